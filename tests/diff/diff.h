/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * For the fam_*.c programs, one for each family of system calls: cases that
 * say what they see.  `run` wants a case to say the same on Linux and inside a
 * machine, so no addresses, times or process ids in it.
 *
 *	CASE(name) { ... }	a case that leaves the process as it found it
 *	ALONE(name) { ... }	one that may end the process or change it for good
 */

#ifndef DIFF_H
#define DIFF_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PG	4096UL
#define MS	1000000UL	/* in ns */

struct diff_case {
	const char	*name;
	void		(*func)(void);
	int		alone;
};

void diff_add(const struct diff_case *);

#define DIFF_CASE(nm, aln)						\
	static void case_##nm(void);					\
	static const struct diff_case desc_##nm = {			\
		#nm, case_##nm, aln };					\
	static void __attribute__((constructor))			\
	add_##nm(void)							\
	{								\
		diff_add(&desc_##nm);					\
	}								\
	static void							\
	case_##nm(void)
#define CASE(nm)	DIFF_CASE(nm, 0)
#define ALONE(nm)	DIFF_CASE(nm, 1)

/* A line of output, in one write: threads and signal handlers may call it. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* EINVAL and so on, 0 as "0" */
const char *errno_name(int);

/* What a call answers: a number, or the name of its errno */
#define RET(call)							\
	do {								\
		long r_;						\
		errno = 0;						\
		r_ = (long)(call);					\
		if (r_ == -1 && errno != 0)				\
			say("%s: %s", #call, errno_name(errno));	\
		else							\
			say("%s: %ld", #call, r_);			\
	} while (0)
/* ... only whether it worked, where the number is an address or the like */
#define WORKS(call)							\
	do {								\
		long w_;						\
		errno = 0;						\
		w_ = (long)(call);					\
		if (w_ == -1)						\
			say("%s: %s", #call, errno_name(errno));	\
		else							\
			say("%s: ok", #call);				\
	} while (0)
/* An error number that the call itself answers (pthread_*, posix_*) */
#define ERRNUM(call)							\
	say("%s: %s", #call, errno_name(call))
#define SHOW(expr)	say("%s: %ld", #expr, (long)(expr))
/* Needed to go on */
#define MUST(cond)							\
	do {								\
		if (!(cond)) {						\
			say("line %d: not %s: %s", __LINE__, #cond,	\
			    errno_name(errno));				\
			return;						\
		}							\
	} while (0)

/* Does a load or store work?  Ends with SIGSEGV or SIGBUS: which, and si_code */
struct probe {
	int		sig, code;
	uint64_t	addr;
};
struct probe probe_read(const volatile void *);
struct probe probe_write(volatile void *);
struct probe probe_exec(const void *);	/* calls it */
/* "ok", or "SIGSEGV/1" with "+" behind it when si_addr is the address */
const char *probe_text(struct probe, const volatile void *);
#define READS(p)	say("read %s: %s", #p, probe_text(probe_read(p), p))
#define WRITES(p)	say("write %s: %s", #p, probe_text(probe_write(p), p))
#define RUNS(p)		say("run %s: %s", #p, probe_text(probe_exec(p), p))

/* Anonymous private memory, read and write, or the end of the program */
uint8_t *mem_new(size_t);
/* Two pages: the second cannot be accessed; its first byte.  For bad pointers
 * at page edges. */
uint8_t *mem_edge(void);
/* A thread or none: pthread_create that cannot fail */
pthread_t thread_start(void *(*)(void *), void *);
void ms_sleep(unsigned);
uint64_t now_ns(clockid_t);
/* A fresh folder in /tmp, made the current one; and away with it */
void tmp_enter(void);
void tmp_leave(void);

#endif
