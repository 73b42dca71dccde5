/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Making and freeing machines; what they log and how they fail.
 */

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "machine/priv.h"

struct machine *
machine_new(const struct tkvm_options *o)
{
	struct machine *m;

	/* Room for every thread it may have; pages not used stay absent. */
	m = mmap(NULL, sizeof *m, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (m == MAP_FAILED)
		return (NULL);
	m->magic = MACHINE_MAGIC;
	m->opt = o;
	m->listener = m->conn = m->exit_of = -1;
	m->deadline = m->limit = ~0UL;
	m->log = o->log;
	m->log_priv = o->log_priv;
	m->bases_ok = 1;
	return (m);
}

void
machine_free(struct machine **pm)
{
	struct machine *m;
	unsigned u;

	TAKE_OBJ_NOTNULL(m, pm, MACHINE_MAGIC);
	files_fini(m);
	if (m->wd != NULL)
		wd_free(&m->wd);
	if (m->vcpu != NULL)
		vcpu_free(&m->vcpu);
	/* Slots before the memory behind them */
	if (m->vm != NULL)
		vm_free(&m->vm);
	if (m->as != NULL)
		as_free(&m->as);
	for (u = 0; u < MAX_THREADS; u++)
		free(m->xsave[u]);
	(void)munmap(m, sizeof *m);
}

void
machine_log(struct machine *m, enum tkvm_log kind, const char *fmt, ...)
{
	char b[1024];
	va_list ap;
	size_t n;

	va_start(ap, fmt);
	(void)vsnprintf(b, sizeof b, fmt, ap);
	va_end(ap);
	if ((kind == TKVM_LOG_STDOUT || kind == TKVM_LOG_STDERR) &&
	    b[0] != '\0')
		(void)snprintf(m->last_line, sizeof m->last_line, "%.190s", b);
	if (m->log == NULL)
		return;
	n = strlen(b);
	/* The program's output was counted by file_log(). */
	if (m->opt->max_log_bytes != 0 && m->stage == M_SERVE &&
	    kind != TKVM_LOG_STDOUT && kind != TKVM_LOG_STDERR) {
		if (m->log_bytes > m->opt->max_log_bytes)
			return;
		m->log_bytes += n;
		if (m->log_bytes > m->opt->max_log_bytes)
			(void)snprintf(b, sizeof b, "(no more log lines for "
			    "this request: max-log-bytes)");
	}
	m->log(m->log_priv, kind, b);
}

void
machine_limited(struct machine *m, enum machine_limit which)
{
	const struct {
		const char	*option;
		unsigned	value;
	} limit[] = {
		[LIMIT_DESCRIPTORS] =
		    { "max-descriptors", m->opt->max_descriptors },
		[LIMIT_THREADS] = { "max-threads", m->opt->max_threads },
		[LIMIT_LOG] = { "max-log-bytes", m->opt->max_log_bytes },
	};

	char b[200];

	m->st.limited++;
	if (m->limited & (1u << which))
		return;
	m->limited |= 1u << which;
	(void)snprintf(b, sizeof b, "tenant \"%.100s\": %s (%u) reached%s",
	    m->opt->tenant, limit[which].option, limit[which].value,
	    which == LIMIT_LOG ? ": more of its output is dropped" : "");
	/* Whatever was logged before: there are few of these. */
	if (m->log != NULL)
		m->log(m->log_priv, TKVM_LOG_WARN, b);
}

void
machine_fail(struct machine *m, enum tkvm_code code, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (m->err.code != TKVM_OK)
		return;			/* the first cause counts */
	m->err.code = code;
	n = snprintf(m->err.text, sizeof m->err.text, "tenant \"%s\": ",
	    m->opt->tenant);
	if (n < 0 || (size_t)n >= sizeof m->err.text)
		n = 0;
	va_start(ap, fmt);
	(void)vsnprintf(m->err.text + n, sizeof m->err.text - (size_t)n, fmt,
	    ap);
	va_end(ap);
}

/* Ring bytes were written by the VMM: part of what a reset puts back. */
void
machine_gk_mark(struct gk_ctx *c, const void *p, size_t len)
{
	struct machine *m = c->priv;

	as_mark(m->as, (uint64_t)((const uint8_t *)p - m->as->base), len);
}
