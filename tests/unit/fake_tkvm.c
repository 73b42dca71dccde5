/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A libtkvm without machines, to test what is in front of them: a "guest" in
 * this process answers by path, through rings and runs like a real one's.
 * tests/unit/test_server_front.py says what each path is for.
 */

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "conf/addr_rule.h"
#include "conf/options.h"
#include "conn/exchange.h"
#include "error.h"
#include "obj.h"
#include "tkvm.h"

#define RING	(256 * 1024)
#define HEAD	(80 * 1024)

struct tkvm_image {
	unsigned	magic;
#define IMAGE_MAGIC	0x464b494d
	struct tkvm_options *opt;
	double		boot_s;
	unsigned	refs;		/* one thread has to do with them */
};

struct ring {
	char		b[RING];
	size_t		off, len;
};

struct tkvm_fork {
	unsigned	magic;
#define FORK_MAGIC	0x464b464b
	struct tkvm_image *img;
	struct tkvm_exchange *spare;
	struct ring	in, out;
	char		head[HEAD];
	size_t		head_len;
	int		have_head, in_eof, closed, open;
	char		method[16], path[1024];
	uint64_t	length, body, left;
	int		chunked, started, step;
	double		timer, deadline;
	char		peer[ADDR_TEXT];
	unsigned	count;		/* requests, since its reset */
	struct tkvm_fork_stats st;
	struct tkvm_fork *next;
};

struct tkvm_pool {
	unsigned	magic;
#define POOL_MAGIC	0x464b504c
	struct tkvm_image *img;
	pthread_mutex_t	mtx;
	pthread_cond_t	cond;
	struct tkvm_fork *idle;
	struct tkvm_pool_stats st;
};

static double
now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ((double)ts.tv_sec + (double)ts.tv_nsec * 1e-9);
}

static void
sleep_until(double t)
{
	double left = t - now();

	if (left > 0)
		(void)poll(NULL, 0, (int)(left * 1000) + 1);
}

/* ---- image --------------------------------------------------------------- */

int
tkvm_host_probe(struct tkvm_host *h, struct tkvm_error *err)
{

	(void)err;
	if (h != NULL)
		(void)memset(h, 0, sizeof *h);
	return (0);
}

struct tkvm_image *
tkvm_boot(const struct tkvm_options *o, const volatile int *cancel,
    struct tkvm_error *err)
{
	struct tkvm_image *img;
	const char *ms = getenv("FAKE_BOOT_MS");
	double end = now() + (ms == NULL ? 0 : atof(ms) / 1000);

	while (now() < end) {
		if (cancel != NULL && *cancel) {
			(void)err_set(err, TKVM_E_BOOT, "cancelled");
			return (NULL);
		}
		sleep_until(now() + 0.002);
	}
	if (getenv("FAKE_BOOT_FAIL") != NULL) {
		(void)err_set(err, TKVM_E_BOOT, "tenant \"%s\": it exited "
		    "with 1 before it listened", o->tenant);
		return (NULL);
	}
	ALLOC_OBJ(img, IMAGE_MAGIC);
	AN(img);
	img->opt = tkvm_options_dup(o);
	AN(img->opt);
	img->refs = 1;
	return (img);
}

void
tkvm_image_ref(struct tkvm_image *img)
{

	CHECK_OBJ_NOTNULL(img, IMAGE_MAGIC);
	img->refs++;
}

void
tkvm_image_unref(struct tkvm_image **p)
{
	struct tkvm_image *img;

	TAKE_OBJ_NOTNULL(img, p, IMAGE_MAGIC);
	if (--img->refs > 0)
		return;
	tkvm_options_free(&img->opt);
	FREE_OBJ(img);
}

void
tkvm_image_stats(const struct tkvm_image *img, struct tkvm_image_stats *st)
{

	CHECK_OBJ_NOTNULL(img, IMAGE_MAGIC);
	(void)memset(st, 0, sizeof *st);
	st->boot_exits = 77;
}

unsigned
tkvm_image_listeners(const struct tkvm_image *img)
{

	CHECK_OBJ_NOTNULL(img, IMAGE_MAGIC);
	return (1);
}

void
tkvm_fork_listener(struct tkvm_fork *f, unsigned n)
{

	CHECK_OBJ_NOTNULL(f, FORK_MAGIC);
	assert(n == 0);
}

socklen_t
tkvm_image_listener(const struct tkvm_image *img, unsigned n,
    struct sockaddr_storage *ss)
{
	const char *s = getenv("FAKE_LISTEN");
	socklen_t len;

	CHECK_OBJ_NOTNULL(img, IMAGE_MAGIC);
	assert(n == 0);
	if (addr_parse(s == NULL ? "127.0.0.1:0" : s, ss, &len) != 0)
		return (0);
	return (len);
}

/* ---- forks --------------------------------------------------------------- */

struct tkvm_exchange **
fork_spare(struct tkvm_fork *f)
{

	CHECK_OBJ_NOTNULL(f, FORK_MAGIC);
	return (&f->spare);
}

const struct tkvm_options *
fork_options(const struct tkvm_fork *f)
{

	CHECK_OBJ_NOTNULL(f, FORK_MAGIC);
	return (f->img->opt);
}

struct tkvm_fork *
tkvm_fork_new(struct tkvm_image *img, struct tkvm_error *err)
{
	struct tkvm_fork *f;

	ALLOC_OBJ(f, FORK_MAGIC);
	if (f == NULL)
		(void)err_set(err, TKVM_E_MEMORY, "no memory");
	else
		f->img = img;
	return (f);
}

void
tkvm_fork_free(struct tkvm_fork **p)
{
	struct tkvm_fork *f;

	TAKE_OBJ_NOTNULL(f, p, FORK_MAGIC);
	exchange_spare_free(&f->spare);
	FREE_OBJ(f);
}

void
tkvm_fork_close(struct tkvm_fork *f)
{

	CHECK_OBJ_NOTNULL(f, FORK_MAGIC);
	f->in.off = f->in.len = f->out.off = f->out.len = 0;
	f->head_len = 0;
	f->have_head = f->in_eof = f->closed = f->open = 0;
	f->length = f->body = f->left = 0;
	f->chunked = f->started = f->step = 0;
	f->timer = 0;
}

void
tkvm_fork_keep(struct tkvm_fork *f)
{

	tkvm_fork_close(f);
}

void
tkvm_fork_client(struct tkvm_fork *f, uint64_t client)
{

	(void)f;
	(void)client;
}

int
tkvm_fork_reset(struct tkvm_fork *f, struct tkvm_error *err)
{

	(void)err;
	tkvm_fork_close(f);
	f->count = 0;
	f->st.resets++;
	return (0);
}

int
tkvm_fork_open(struct tkvm_fork *f, const struct sockaddr *peer,
    socklen_t len, double deadline, struct tkvm_error *err)
{

	(void)err;
	CHECK_OBJ_NOTNULL(f, FORK_MAGIC);
	AZ(f->open);
	f->open = 1;
	f->count++;
	f->st.requests++;
	f->deadline = deadline > 0 ? deadline :
	    now() + f->img->opt->max_request_time;
	(void)snprintf(f->peer, sizeof f->peer, "none");
	if (peer != NULL)
		(void)addr_text(peer, len, f->peer);
	return (0);
}

static size_t
put(struct ring *r, const void *p, size_t n)
{

	if (r->off > 0) {
		(void)memmove(r->b, r->b + r->off, r->len);
		r->off = 0;
	}
	if (n > RING - r->len)
		n = RING - r->len;
	(void)memcpy(r->b + r->len, p, n);
	r->len += n;
	return (n);
}

static size_t
get(struct ring *r, void *p, size_t n)
{

	if (n > r->len)
		n = r->len;
	(void)memcpy(p, r->b + r->off, n);
	r->off += n;
	r->len -= n;
	return (n);
}

size_t
tkvm_fork_send(struct tkvm_fork *f, const void *p, size_t n)
{

	AN(f->open);
	return (put(&f->in, p, n));
}

void
tkvm_fork_send_eof(struct tkvm_fork *f)
{

	f->in_eof = 1;
}

size_t
tkvm_fork_recv(struct tkvm_fork *f, void *p, size_t n)
{

	AN(f->open);
	return (get(&f->out, p, n));
}

void
tkvm_fork_state(struct tkvm_fork *f, struct tkvm_fork_state *st)
{

	(void)memset(st, 0, sizeof *st);
	st->accepted = 1;
	st->closed = (unsigned)f->closed;
	st->in = f->in.len;
	st->in_space = RING - f->in.len;
	st->out = f->out.len;
}

void
tkvm_fork_log(struct tkvm_fork *f, tkvm_log_f *log, void *priv)
{

	(void)f;
	(void)log;
	(void)priv;
}

void
tkvm_fork_limit(struct tkvm_fork *f, double until)
{

	(void)f;
	(void)until;
}

int
tkvm_fork_wait(struct tkvm_fork *f, double until, struct tkvm_error *err)
{
	double t = f->timer;

	if (f->timer == 0)
		return (-1);
	if (until > 0 && until < t)
		t = until;
	if (f->deadline < t) {
		sleep_until(f->deadline);
		return (err_set(err, TKVM_E_TIMEOUT, "tenant \"%s\": over "
		    "max-request-time", f->img->opt->tenant));
	}
	sleep_until(t);
	if (t < f->timer)
		return (0);
	f->timer = 0;
	return (1);
}

/* ---- the guest ----------------------------------------------------------- */

static void __attribute__((format(printf, 2, 3)))
say(struct tkvm_fork *f, const char *fmt, ...)
{
	static _Thread_local char buf[2 * HEAD];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(buf, sizeof buf, fmt, ap);
	va_end(ap);
	if (put(&f->out, buf, (size_t)n) != (size_t)n)
		abort();
}

static void
say_text(struct tkvm_fork *f, const char *text)
{

	say(f, "HTTP/1.1 200 OK\r\nConnection: x-hop\r\nX-Hop: 1\r\n"
	    "X-Guest: yes\r\nContent-Length: %zu\r\n\r\n%s", strlen(text),
	    strcmp(f->method, "HEAD") == 0 ? "" : text);
}

static uint64_t
field(const struct tkvm_fork *f, const char *name)
{
	const char *p = strcasestr(f->head, name);

	return (p == NULL ? 0 : strtoull(p + strlen(name), NULL, 10));
}

static int
take_head(struct tkvm_fork *f)
{

	while (f->in.len > 0 && f->head_len < HEAD - 1) {
		(void)get(&f->in, f->head + f->head_len++, 1);
		f->head[f->head_len] = '\0';
		if (f->head_len >= 4 && memcmp(f->head + f->head_len - 4,
		    "\r\n\r\n", 4) == 0) {
			f->have_head = 1;
			(void)sscanf(f->head, "%15s %1023s", f->method,
			    f->path);
			f->length = field(f, "\r\nContent-Length:");
			f->chunked = strcasestr(f->head,
			    "\r\nTransfer-Encoding: chunked") != NULL;
			return (1);
		}
	}
	return (0);
}

/* Echo what comes; chunks go back as the chunks they are. */
static enum tkvm_run
echo(struct tkvm_fork *f)
{
	char buf[4096], *tail = f->head;
	size_t n;

	if (!f->started) {
		f->started = 1;
		if (f->chunked)
			say(f, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked"
			    "\r\n\r\n");
		else
			say(f, "HTTP/1.1 200 OK\r\nContent-Length: %ju\r\n"
			    "\r\n", (uintmax_t)f->length);
		(void)memset(tail, 0, 5);
	}
	while (f->in.len > 0 && f->out.len + sizeof buf <= RING) {
		n = get(&f->in, buf, sizeof buf);
		(void)put(&f->out, buf, n);
		f->body += n;
		if (n >= 5)
			(void)memcpy(tail, buf + n - 5, 5);
		else {
			(void)memmove(tail, tail + n, 5 - n);
			(void)memcpy(tail + 5 - n, buf, n);
		}
		if (f->chunked && memcmp(tail, "0\r\n\r\n", 5) == 0)
			f->step = 9;
	}
	return (f->in.len > 0 ? TKVM_RUN_OUTPUT : TKVM_RUN_IDLE);
}

static enum tkvm_run
drip(struct tkvm_fork *f)
{

	if (f->step == 0)
		say(f, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
		    "\r\n");
	if (f->step < 5) {
		say(f, "5\r\ndrip%d\r\n", f->step++);
		f->timer = now() + 0.05;
	} else if (f->step++ == 5)
		say(f, "0\r\n\r\n");
	return (TKVM_RUN_IDLE);
}

static enum tkvm_run
big(struct tkvm_fork *f)
{
	char buf[4096];
	size_t n;

	if (!f->started) {
		f->started = 1;
		f->left = strtoull(f->path + 5, NULL, 10);
		say(f, "HTTP/1.1 200 OK\r\nContent-Length: %ju\r\n\r\n",
		    (uintmax_t)f->left);
	}
	(void)memset(buf, 'b', sizeof buf);
	while (f->left > 0 && f->out.len < RING) {
		n = f->left < sizeof buf ? (size_t)f->left : sizeof buf;
		f->left -= put(&f->out, buf, n);
	}
	return (f->left > 0 ? TKVM_RUN_OUTPUT : TKVM_RUN_IDLE);
}

static enum tkvm_run
gone(struct tkvm_fork *f, struct tkvm_error *err, enum tkvm_code code,
    const char *what)
{

	(void)err_set(err, code, "tenant \"%s\": %s", f->img->opt->tenant,
	    what);
	return (TKVM_RUN_GONE);
}

/* Whole body first, as most programs do. */
static int
read_all(struct tkvm_fork *f)
{
	char buf[4096];

	while (f->in.len > 0 && f->body < f->length)
		f->body += get(&f->in, buf, sizeof buf);
	return (f->body >= f->length);
}

static int
is(const struct tkvm_fork *f, const char *path)
{

	return (strncmp(f->path, path, strlen(path)) == 0);
}

static enum tkvm_run
answer_odd(struct tkvm_fork *f, struct tkvm_error *err)
{

	if (is(f, "/crash"))
		return (gone(f, err, TKVM_E_CRASH, "SIGSEGV at 0x0"));
	if (is(f, "/exit"))
		return (gone(f, err, TKVM_E_EXIT, "it exited with 3"));
	if (is(f, "/loop")) {
		sleep_until(f->deadline);
		return (gone(f, err, TKVM_E_TIMEOUT, "over max-request-time"));
	}
	if (is(f, "/sleep"))
		f->timer = now() + 1000;
	else if (is(f, "/nap") && f->step++ == 0)
		f->timer = now() + 0.3;
	else if (is(f, "/nap"))
		say_text(f, "rested\n");
	else if (is(f, "/garbage"))
		say(f, "hello\r\n\r\n");
	else if (is(f, "/close"))
		f->closed = 1;
	else if (is(f, "/short")) {
		/* The head can be passed on before it is known */
		if (f->step++ == 0) {
			say(f, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n"
			    "\r\nshort");
			f->timer = now() + 0.02;
		} else
			f->closed = 1;
	} else if (is(f, "/broken")) {
		if (f->step++ == 0) {
			say(f, "HTTP/1.1 200 OK\r\n\r\npart");
			f->timer = now() + 0.02;
		} else
			return (gone(f, err, TKVM_E_CRASH, "SIGSEGV"));
	} else if (!is(f, "/stuck"))
		say(f, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
	return (TKVM_RUN_IDLE);
}

static enum tkvm_run
answer(struct tkvm_fork *f, struct tkvm_error *err)
{
	char text[200];

	if (is(f, "/echo"))
		return (echo(f));
	if (is(f, "/early")) {
		say(f, "HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\n"
		    "big\n");
		f->closed = 1;
		return (TKVM_RUN_OUTPUT);
	}
	if (!read_all(f))
		return (TKVM_RUN_IDLE);
	if (is(f, "/drip"))
		return (drip(f));
	if (is(f, "/big/"))
		return (big(f));
	if (is(f, "/hello"))
		say_text(f, "hello\n");
	else if (is(f, "/count")) {
		(void)snprintf(text, sizeof text, "%u\n", f->count);
		say_text(f, text);
	} else if (is(f, "/peer"))
		say_text(f, f->peer);
	else if (is(f, "/req"))
		say_text(f, f->head);
	else if (is(f, "/204"))
		say(f, "HTTP/1.1 204 No Content\r\n\r\n");
	else if (is(f, "/304"))
		say(f, "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n"
		    "\r\n");
	else if (is(f, "/chunked"))
		say(f, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		    "3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n");
	else if (is(f, "/eof")) {
		say(f, "HTTP/1.1 200 OK\r\n\r\nup to the end\n");
		f->closed = 1;
	} else
		return (answer_odd(f, err));
	return (TKVM_RUN_IDLE);
}

enum tkvm_run
tkvm_fork_run(struct tkvm_fork *f, struct tkvm_error *err)
{

	CHECK_OBJ_NOTNULL(f, FORK_MAGIC);
	AN(f->open);
	f->st.exits++;
	if (!f->have_head && !take_head(f))
		return (TKVM_RUN_IDLE);
	return (answer(f, err));
}

/* ---- pools --------------------------------------------------------------- */

struct tkvm_pool *
tkvm_pool_new(struct tkvm_image *img, struct tkvm_error *err)
{
	struct tkvm_pool *p;
	struct tkvm_fork *f;
	unsigned u;

	ALLOC_OBJ(p, POOL_MAGIC);
	AN(p);
	p->img = img;
	tkvm_image_ref(img);
	(void)pthread_mutex_init(&p->mtx, NULL);
	(void)pthread_cond_init(&p->cond, NULL);
	for (u = 0; u < img->opt->threads; u++) {
		f = tkvm_fork_new(img, err);
		AN(f);
		f->next = p->idle;
		p->idle = f;
		p->st.forks++;
		p->st.created++;
	}
	return (p);
}

static void
add_stats(struct tkvm_pool_stats *to, const struct tkvm_fork *f)
{

	to->sum.requests += f->st.requests;
	to->sum.exits += f->st.exits;
	to->sum.resets += f->st.resets;
}

void
tkvm_pool_free(struct tkvm_pool **pp)
{
	struct tkvm_pool *p;
	struct tkvm_fork *f;

	TAKE_OBJ_NOTNULL(p, pp, POOL_MAGIC);
	AZ(p->st.busy);
	while ((f = p->idle) != NULL) {
		p->idle = f->next;
		tkvm_fork_free(&f);
	}
	tkvm_image_unref(&p->img);
	(void)pthread_mutex_destroy(&p->mtx);
	(void)pthread_cond_destroy(&p->cond);
	FREE_OBJ(p);
}

struct tkvm_fork *
tkvm_pool_take(struct tkvm_pool *p, double *queued, struct tkvm_error *err)
{
	struct tkvm_fork *f;

	CHECK_OBJ_NOTNULL(p, POOL_MAGIC);
	*queued = 0;
	(void)pthread_mutex_lock(&p->mtx);
	f = p->idle;
	if (f != NULL) {
		p->idle = f->next;
		p->st.busy++;
		p->st.requests++;
	}
	(void)pthread_mutex_unlock(&p->mtx);
	if (f == NULL)
		(void)err_set(err, TKVM_E_BUSY, "tenant \"%s\": no machine is "
		    "free", p->img->opt->tenant);
	return (f);
}

void
tkvm_pool_give(struct tkvm_pool *p, struct tkvm_fork **fp, int broken)
{
	struct tkvm_fork *f;

	CHECK_OBJ_NOTNULL(p, POOL_MAGIC);
	TAKE_OBJ_NOTNULL(f, fp, FORK_MAGIC);
	if (broken || p->img->opt->ephemeral)
		(void)tkvm_fork_reset(f, NULL);
	AZ(f->open);
	(void)pthread_mutex_lock(&p->mtx);
	f->next = p->idle;
	p->idle = f;
	p->st.busy--;
	p->st.destroyed += broken ? 1 : 0;
	(void)pthread_mutex_unlock(&p->mtx);
}

void
tkvm_pool_stats(struct tkvm_pool *p, struct tkvm_pool_stats *st)
{
	const struct tkvm_fork *f;

	CHECK_OBJ_NOTNULL(p, POOL_MAGIC);
	(void)pthread_mutex_lock(&p->mtx);
	*st = p->st;
	for (f = p->idle; f != NULL; f = f->next)
		add_stats(st, f);
	(void)pthread_mutex_unlock(&p->mtx);
}
