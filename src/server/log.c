/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Log lines to stderr, one write each; the guest's own output as it is.
 */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "obj.h"
#include "server/server.h"

static int verbose, syscalls;

void
log_init(int v, int s)
{

	verbose = v;
	syscalls = s;
}

static size_t
stamp(char *buf, size_t len)
{
	struct timespec ts;
	struct tm tm;
	char date[40];

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	if (gmtime_r(&ts.tv_sec, &tm) == NULL ||
	    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm) == 0)
		date[0] = '\0';
	(void)snprintf(buf, len, "%s.%03dZ ", date,
	    (int)(ts.tv_nsec / 1000000));
	return (strlen(buf));
}

void
log_line(void *priv, enum tkvm_log level, const char *msg)
{
	static const char *const name[] = {
		[TKVM_LOG_ERROR] = "error: ", [TKVM_LOG_WARN] = "warning: ",
		[TKVM_LOG_INFO] = "", [TKVM_LOG_DEBUG] = "debug: ",
		[TKVM_LOG_SYSCALL] = "",
	};
	char date[64], nl = '\n';
	struct iovec iov[4];
	const char *kind;
	int n = 0, fd = STDERR_FILENO;

	(void)priv;
	AN(msg);
	if ((level == TKVM_LOG_INFO && !verbose) ||
	    ((level == TKVM_LOG_DEBUG || level == TKVM_LOG_SYSCALL) &&
	    !syscalls))
		return;
	if (level == TKVM_LOG_STDOUT)
		fd = STDOUT_FILENO;
	else if ((unsigned)level < NELEM(name)) {
		kind = name[level];
		iov[n].iov_base = date;
		iov[n++].iov_len = stamp(date, sizeof date);
		(void)strncat(date, kind, sizeof date - strlen(date) - 1);
		iov[0].iov_len = strlen(date);
	}
	/* writev() takes no const, and changes nothing */
	(void)memcpy(&iov[n].iov_base, &msg, sizeof msg);
	iov[n++].iov_len = strlen(msg);
	iov[n].iov_base = &nl;
	iov[n++].iov_len = 1;
	if (writev(fd, iov, n) < 0)
		return;		/* nobody to tell */
}

void
logf_line(enum tkvm_log level, const char *fmt, ...)
{
	char buf[1000];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(buf, sizeof buf, fmt, ap);
	va_end(ap);
	log_line(NULL, level, buf);
}
