/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Fuzzes system calls, faults and signals: the input is a program of stores,
 * calls and exceptions that one request makes, over the real dispatcher,
 * memory and reset.  What is checked besides sanitizers: no assertion is
 * reached, the request ends, and the fork is the image again (verify-reset).
 */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "fake_image.h"
#include "linux/linux.h"

#define MAX_STEPS	64		/* of one request */
#define MAX_RUNS	16
#define VERIFY_EVERY	256
#define CLEAN_EVERY	4096

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);
int LLVMFuzzerInitialize(int *, char ***);

static struct input in;
static unsigned nstep;
static struct tkvm_fork *theFork;
static uint16_t calls[SYS_MAX];
static unsigned ncalls;

/* ---- the guest -------------------------------------------------------------------- */

static uint64_t
some_size(void)
{
	static const uint64_t sizes[] = { 0, 1, 8, 16, 63, 4095, 4096, 4097,
	    0x10000, 0x7ffff000, 0x80000000, ~0UL, ~0UL - 4095, 1UL << 47 };
	const unsigned k = (unsigned)in_int(&in, 1);

	if (k < 128)
		return (k);
	if (k < 240)
		return (sizes[k % NELEM(sizes)]);
	return (in_int(&in, 8));
}

static uint64_t
some_int(void)
{
	const unsigned k = (unsigned)in_int(&in, 1);

	if (k < 192)
		return (k);
	if (k < 208)
		return ((uint64_t)-(int64_t)(k - 191));
	if (k < 240)
		return (1UL << (k - 208 + 4));
	if (k < 250)
		return (in_int(&in, 4));
	return (in_int(&in, 8));
}

static const char *const names[] = {
	"file", "rw/file", "rw/new", "rw", "rw/dir", "rw/link", "/", ".", "..",
	"../../etc/passwd", "/etc/passwd", "/proc/self/maps", "/proc/self/fd/4",
	"/proc/self/root", "/proc/self", "/dev/urandom", "/dev/null",
	"/tmp/memory", "/tmp/x", "/dev/shm/a", "/tmp", "/etc/hosts", "", "prog",
	"/proc/self/task/1/stat", "/proc/meminfo", "/dev/tty", "/sys",
	"rw/link/../file", "/proc/self/cwd/rw/file",
};

/* A path, stored below the end of GOOD where pokes do not go */
static uint64_t
some_path(struct vcpu *v)
{
	unsigned k = (unsigned)in_int(&in, 1);
	uint64_t at = GOOD + 0x8000 + (nstep % 16) * 512, cr2;
	char own[256];
	size_t n;

	if (k >= 250)
		return (in_pointer(&in, (unsigned)in_int(&in, 1)));
	if (k >= 200) {
		n = in_bytes(&in, own, k - 200);
		own[n] = '\0';
		n++;
	} else {
		(void)snprintf(own, sizeof own, "%s", names[k % NELEM(names)]);
		n = strlen(own) + 1;
	}
	if (fake_store(v, at, own, n, &cr2) != 0)
		return (UNMAPPED);
	return (at);
}

static uint64_t
some_arg(struct vcpu *v, enum sys_arg type)
{
	unsigned k;

	switch (type) {
	case A_FD:
	case A_DIRFD:
		k = (unsigned)in_int(&in, 1);
		if (k < 224)
			return (k % NFD);
		return (type == A_DIRFD ? (uint64_t)AT_FDCWD : some_int());
	case A_PATH:
		return (some_path(v));
	case A_SIZE:
		return (some_size());
	case A_BUF:
	case A_PTR:
	case A_IOV:
	case A_TIMESPEC:
	case A_SOCKADDR:
	case A_EPOLLEV:
		return (in_pointer(&in, (unsigned)in_int(&in, 1)));
	case A_HEX:
		k = (unsigned)in_int(&in, 1);
		return (k < 160 ? in_pointer(&in, k) : some_int());
	default:
		return (some_int());
	}
}

static enum vcpu_exit
step_call(struct vcpu *v)
{
	const struct sys_desc *d;
	uint64_t nr, a[6];
	unsigned u;

	nr = in_int(&in, 2);
	nr = nr < 0xff00 ? calls[nr % ncalls] : some_int();
	d = nr < SYS_MAX ? &sys_table[nr] : NULL;
	for (u = 0; u < 6; u++)
		a[u] = d != NULL && d->arg[u] != A_NONE ?
		    some_arg(v, d->arg[u]) : 0;
	/* no description: anything */
	for (u = 0; u < 6 && (d == NULL || d->arg[0] == A_NONE); u++)
		a[u] = some_arg(v, A_HEX);
	return (fake_syscall(v, nr, a[0], a[1], a[2], a[3], a[4], a[5]));
}

/* Bytes, pointers or numbers into the program's memory, at 16 byte steps */
static int
step_poke(struct vcpu *v, unsigned how, enum vcpu_exit *x)
{
	uint8_t b[64];
	uint64_t at, w, cr2;
	unsigned ec;
	size_t n;

	at = how & 4 ? in_pointer(&in, (unsigned)in_int(&in, 1)) :
	    GOOD + in_int(&in, 1) * 8;
	if (how & 2) {
		w = in_pointer(&in, (unsigned)in_int(&in, 1));
		n = sizeof w;
		(void)memcpy(b, &w, n);
	} else if (how & 1) {
		w = some_int();
		n = sizeof w;
		(void)memcpy(b, &w, n);
	} else
		n = in_bytes(&in, b, in_int(&in, 1) % sizeof b);
	ec = fake_store(v, at, b, n, &cr2);
	if (ec == 0)
		return (0);
	*x = fake_fault(v, 14, ec, cr2);
	return (1);
}

/* What the blob's tables and the page it reads look like is the program's
 * choice where both run in ring 3. */
static void
step_scribble(struct vcpu *v)
{
	uint64_t at;
	uint8_t b[16];
	size_t n;

	at = in_int(&in, 1) & 1 ? in_int(&in, 3) % offsetof(struct gk, buf) :
	    offsetof(struct gk, ofd) +
	    in_int(&in, 2) % (32 * sizeof(struct gk_ofd));
	n = in_bytes(&in, b, 1 + in_int(&in, 1) % sizeof b);
	if ((at & PAGE_MASK) + n > PAGE_SZ)
		n = PAGE_SZ - (at & PAGE_MASK);
	fake_store_phys(v, GPA_GK + at, b, n);
}

static void
step_regs(struct vcpu *v)
{
	struct kvm_regs *r = fake_regs(v);
	const uint64_t p = in_pointer(&in, (unsigned)in_int(&in, 1));

	switch (in_int(&in, 1) % 4) {
	case 0:
		r->rsp = p;
		break;
	case 1:
		r->rip = p;
		break;
	case 2:
		r->rflags = p;
		break;
	default:
		r->rsp = GOOD + 0x4000;
		break;
	}
}

enum vcpu_exit
guest_step(struct vcpu *v)
{
	static const uint8_t vectors[] = { 0, 1, 3, 4, 5, 6, 7, 10, 11, 12, 13,
	    14, 16, 17, 19, 31 };
	enum vcpu_exit x;
	unsigned op;

	while (in.p < in.e && nstep++ < MAX_STEPS) {
		op = (unsigned)in_int(&in, 1);
		if (op < 160)
			return (step_call(v));
		if (op < 224) {
			if (step_poke(v, op, &x))
				return (x);
		} else if (op < 232)
			step_scribble(v);
		else if (op < 238)
			step_regs(v);
		else if (op < 246)
			return (fake_fault(v, vectors[in_int(&in, 1) %
			    NELEM(vectors)], in_int(&in, 1),
			    in_pointer(&in, (unsigned)in_int(&in, 1))));
		else if (op < 250)
			return (fake_intr(v));
		else if (op < 254)
			return (fake_leave(v));
		else if (op == 254)
			return (fake_broken(v));
	}
	nstep = MAX_STEPS;
	in.p = in.e;
	return (fake_syscall(v, SYS_exit_group, 0, 0, 0, 0, 0, 0));
}

/* ---- the host ----------------------------------------------------------------------- */

static void
one_request(void)
{
	static const char req[] = "GET / HTTP/1.1\r\n\r\n";
	struct tkvm_fork_state st;
	struct tkvm_error err;
	char buf[512];
	unsigned u;

	err.text[0] = '\0';
	if (tkvm_fork_open(theFork, NULL, 0, 0, &err) != 0)
		fake_die("open", &err);
	(void)tkvm_fork_send(theFork, req, sizeof req - 1);
	for (u = 0; u < MAX_RUNS; u++) {
		switch (tkvm_fork_run(theFork, &err)) {
		case TKVM_RUN_GONE:
			AN(err.code != TKVM_OK && err.text[0] != '\0');
			return;
		case TKVM_RUN_OUTPUT:
			tkvm_fork_state(theFork, &st);
			(void)tkvm_fork_recv(theFork, buf, sizeof buf);
			if (st.closed)
				return;
			break;
		default:
			if (tkvm_fork_wait(theFork, 0, NULL) < 0)
				return;
			break;
		}
	}
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	unsigned u;

	(void)argc;
	(void)argv;
	for (u = 0; u < SYS_MAX; u++)
		if (sys_table[u].fn != NULL || (sys_table[u].flags & SYS_GK))
			calls[ncalls++] = (uint16_t)u;
	theFork = fake_fork(fake_image(0));
	return (0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	static unsigned long n;

	n++;
	in.p = p;
	in.e = p + len;
	nstep = 0;
	theFork->image->opt->verbose_syscalls = (in_int(&in, 1) & 15) == 7;
	one_request();
	fake_reset(&theFork, n % VERIFY_EVERY == 1);
	if (n % CLEAN_EVERY == 0)
		fake_clean();
	return (0);
}
