/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * chttp: a small HTTP/1.1 server for the tests.  An ordinary Linux program:
 * one thread, non-blocking sockets, level-triggered waiting.  It does not
 * know whether it runs in a machine of libtkvm and must never find out.
 *
 * chttp.c: options and the ways of waiting; chttp_conn.c: one connection,
 * its buffers and the parser; chttp_path.c: what each path answers;
 * chttp_bad.c: the paths that misbehave.
 */

#ifndef CHTTP_H
#define CHTTP_H

#include <stddef.h>
#include <stdint.h>

#define IN_SIZE		(32u << 10)
#define OUT_SIZE	(64u << 10)
#define MAX_CONN	1024

enum state {
	ST_HEAD,		/* reading a request head */
	ST_BODY,		/* reading its body */
	ST_ANSWER,		/* making the answer */
	ST_TIMER,		/* waiting for `deadline`, then `then` */
	ST_FLUSH,		/* the answer is made, not yet written */
	ST_LINGER,		/* our side is shut down, see path_413() */
	ST_STUCK,		/* neither reads nor answers */
	ST_DEAD			/* to be closed */
};

enum framing { FR_NONE, FR_LENGTH, FR_CHUNKED };

enum chunk_state { CK_SIZE, CK_DATA, CK_CRLF, CK_TRAILER };

enum generator {
	GEN_NONE,
	GEN_PATTERN,		/* 'a' + i % 26, `gen_left` bytes */
	GEN_MEMORY,		/* gen_mem, freed afterwards */
	GEN_STREAM,		/* "chunk i\n", one every gen_ms */
	GEN_FILL		/* for ever */
};

enum after {
	AFTER_NEXT,		/* keep-alive */
	AFTER_CLOSE,
	AFTER_LINGER,
	AFTER_BURN,		/* compute for after_ms, then go on */
	AFTER_TIMER		/* a timer of after_ms, then go on */
};

struct conn {
	unsigned	magic;
#define CONN_MAGIC	0x63687474
	int		fd;
	enum state	state;
	unsigned	interest;	/* what the waiter has been told */

	char		*in;
	size_t		inlen;
	char		*out;
	size_t		outoff, outlen;

	/* the request; the strings lie in head[] */
	char		*head;
	size_t		headlen;
	char		*method, *path, *query;
	int		is_head, keep, is_10;
	enum framing	framing;
	uint64_t	body_left;	/* of the body or of the chunk */
	enum chunk_state chunk;
	int		echo;
	int		expect;		/* Expect: 100-continue */
	unsigned	nth;		/* asked for on this connection */

	/* the answer */
	enum generator	gen;
	uint64_t	gen_pos, gen_left;
	int		gen_chunked;
	unsigned	gen_ms;
	char		*gen_mem;
	enum after	after;
	unsigned	after_ms;
	double		deadline;
	void		(*then)(struct conn *);
};

/* chttp.c */
double now(void);
void die(const char *what) __attribute__((noreturn));

/* chttp_conn.c */
struct conn *conn_new(int fd);
void conn_free(struct conn *);
int conn_wants_in(const struct conn *);
int conn_wants_out(const struct conn *);
void conn_read(struct conn *);
void conn_pump(struct conn *);
void conn_timer(struct conn *);

size_t space(struct conn *);
void put(struct conn *, const void *, size_t);
void putf(struct conn *, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void wait_ms(struct conn *, unsigned ms, void (*then)(struct conn *));

/* chttp_path.c */
struct path {
	const char	*name;
	void		(*answer)(struct conn *);
};
extern unsigned long served;
uint64_t num(const struct conn *, const char *name, uint64_t dflt);
void str(struct conn *, const char *body);
void head_chunked(struct conn *);
void generate(struct conn *, enum generator, uint64_t left);
void path_start(struct conn *);
void path_answer(struct conn *);
void gen_more(struct conn *);
void answer_error(struct conn *, unsigned status, const char *reason);
void burn(unsigned ms);

/* chttp_bad.c: ends with an empty entry */
extern const struct path bad_paths[];
void path_413(struct conn *);

#endif
