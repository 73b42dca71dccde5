/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * --audit: one line of JSON for each access to a file or an address that no
 * option allows, with the option that would.
 *
 * One write(2) a line to the end of the file, so that several processes may
 * have the same one.  Whoever hammers at what is refused fills no disk: at
 * max-audit-bytes a last line says so.
 */

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "conf/options.h"
#include "linux/audit.h"
#include "linux/sys_files.h"
#include "obj.h"

int
audit_open(const struct tkvm_options *o)
{
	int fd;

	if (o->audit == NULL)
		return (-1);
	fd = open(o->audit, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC |
	    O_NOCTTY | O_NONBLOCK, 0640);
	return (fd < 0 ? -errno : fd);
}

/* How many bytes of well-formed UTF-8 stand here; 0: none */
static unsigned
utf8_len(const uint8_t *p)
{
	unsigned n, i;

	if (p[0] < 0x80)
		return (1);
	n = p[0] >= 0xf0 && p[0] < 0xf5 ? 4 : p[0] >= 0xe0 ? 3 :
	    p[0] >= 0xc2 ? 2 : 0;
	if (p[0] >= 0xf5 || n == 0)
		return (0);
	for (i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return (0);
	/* too long, surrogates, beyond Unicode */
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return (0);
	return (n);
}

/* Names of files are bytes, JSON is UTF-8: what is none reads \xNN. */
static struct json_object *
text(const char *s)
{
	const uint8_t *p = (const uint8_t *)s;
	char buf[4 * 4096 + 8];
	size_t len = 0;
	unsigned n;

	while (*p != '\0' && len < sizeof buf - 8) {
		n = utf8_len(p);
		if (n > 0) {
			memcpy(buf + len, p, n);
			len += n;
			p += n;
		} else
			len += (size_t)snprintf(buf + len, 5, "\\x%02x", *p++);
	}
	return (json_object_new_string_len(buf, (int)len));
}

static void
add(struct json_object *j, const char *name, const char *value)
{

	if (value != NULL)
		(void)json_object_object_add(j, name, text(value));
}

static void
add_time(struct json_object *j)
{
	struct timespec ts;
	struct tm tm;
	char date[64], buf[80];

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	if (gmtime_r(&ts.tv_sec, &tm) == NULL ||
	    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm) == 0)
		return;
	(void)snprintf(buf, sizeof buf, "%s.%03dZ", date,
	    (int)(ts.tv_nsec / 1000000));
	add(j, "time", buf);
}

/* The line in hand, or the one that says that there will be no more */
static void
put(struct machine *m, struct json_object *j)
{
	struct fs *fs = m->fs;
	struct json_object *end = NULL;
	struct stat st;
	const char *line;
	char *copy;
	size_t len;

	if (fstat(fs->audit, &st) != 0)
		return;
	line = json_object_to_json_string_length(j, JSON_C_TO_STRING_PLAIN |
	    JSON_C_TO_STRING_NOSLASHESCAPE, &len);
	if (line != NULL && S_ISREG(st.st_mode) &&
	    (uint64_t)st.st_size + len + 1 > m->opt->max_audit_bytes) {
		if (atomic_exchange(&fs->audit_full, 1))
			return;
		end = json_object_new_object();
		add_time(end);
		add(end, "tenant", m->opt->tenant);
		add(end, "full", "max-audit-bytes");
		line = json_object_to_json_string_length(end,
		    JSON_C_TO_STRING_PLAIN, &len);
	} else
		atomic_store(&fs->audit_full, 0);
	copy = line != NULL ? malloc(len + 1) : NULL;
	if (copy != NULL) {
		memcpy(copy, line, len);
		copy[len] = '\n';
		errno = 0;
		if (write(fs->audit, copy, len + 1) != (ssize_t)len + 1 &&
		    fs_tell_once(fs, "audit", "write"))
			machine_log(m, TKVM_LOG_WARN, "audit: cannot write "
			    "%s: %s", m->opt->audit, strerror(errno != 0 ?
			    errno : ENOSPC));
	}
	free(copy);
	(void)json_object_put(end);
}

void
audit_refused(struct machine *m, const char *access, const char *object,
    const char *option, const char *value, const char *denied_by)
{
	struct json_object *j;

	if (m->fs == NULL || m->fs->audit < 0)
		return;
	j = json_object_new_object();
	if (j == NULL)
		return;
	add_time(j);
	add(j, "tenant", m->opt->tenant);
	add(j, "program", m->opt->program);
	add(j, "stage", m->stage == M_SERVE ? "request" : "boot");
	add(j, "access", access);
	add(j, "object", object);
	add(j, "option", option);
	add(j, "value", value);
	add(j, "denied_by", denied_by);
	put(m, j);
	(void)json_object_put(j);
}
