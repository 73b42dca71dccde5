/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * See fake_image.h.
 */

#include <arpa/inet.h>
#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sanitizer/lsan_interface.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "fake_image.h"

#define CODE		0x400000UL
#define DATA		0x402000UL
#define PATHS		(GOOD + 0xf000)	/* where boot keeps its strings */

char fake_dir[64];
static unsigned step;
static int booted;

/* ---- input -------------------------------------------------------------------- */

uint64_t
in_int(struct input *in, unsigned bytes)
{
	uint64_t v = 0;

	(void)in_bytes(in, &v, bytes);
	return (v);
}

size_t
in_bytes(struct input *in, void *to, size_t max)
{
	size_t n = (size_t)(in->e - in->p);

	if (n > max)
		n = max;
	(void)memcpy(to, in->p, n);
	in->p += n;
	return (n);
}

uint64_t
in_pointer(struct input *in, unsigned kind)
{

	switch (kind % PTR_KINDS) {
	case 0:		return (0);
	case 1:		return (UNMAPPED);
	case 2:		return (GOOD + GOOD_SIZE - 1);
	case 3:		return (GOOD + GOOD_SIZE - (in_int(in, 1) & 63));
	case 4:		return (0xffffffff80000000UL);
	case 5:		return (0x0000800000000000UL + in_int(in, 1));
	case 6:		return (RDONLY + in_int(in, 1));
	case 7:		return (NOACCESS + in_int(in, 1));
	case 8:		return (GVA_BLOB + in_int(in, 2));
	case 9:		return (GVA_KERN + GPA_PML4 + in_int(in, 2));
	case 10:	return (NOACCESS - (in_int(in, 1) & 63));
	case 11:	return (GVA_GK + in_int(in, 4) % sizeof(struct gk));
	case 12:	return (SHARED + in_int(in, 2) % 8192);
	case 13:	return (in_int(in, 8));
	default:	return (GOOD + in_int(in, 1) * 16);
	}
}

/* ---- the boot --------------------------------------------------------------------- */

static uint64_t
result(struct vcpu *v)
{

	return (fake_regs(v)->rax);
}

/* Store something, with the page faults that belong to it. */
static int
put(struct vcpu *v, uint64_t gva, const void *p, size_t len,
    enum vcpu_exit *x)
{
	unsigned ec;
	uint64_t cr2;

	ec = fake_store(v, gva, p, len, &cr2);
	if (ec == 0)
		return (1);
	*x = fake_fault(v, 14, ec, cr2);
	return (0);
}

static enum vcpu_exit
do_mmap(struct vcpu *v, uint64_t at, uint64_t len, int prot, int flags,
    uint64_t fd)
{

	return (fake_syscall(v, SYS_mmap, at, len, (uint64_t)prot,
	    (uint64_t)(MAP_FIXED | flags), fd, 0));
}

#define ANON		(MAP_PRIVATE | MAP_ANONYMOUS)
#define RW		(PROT_READ | PROT_WRITE)

/* One step of the boot; none fails. */
static enum vcpu_exit
boot_step(struct vcpu *v)
{
	struct sockaddr_in sin;
	enum vcpu_exit x;
	char path[100];

	if (step > 0 && (int64_t)result(v) < 0 && (int64_t)result(v) > -4096) {
		(void)fprintf(stderr, "boot step %u: %s\n", step,
		    strerror(-(int)result(v)));
		abort();
	}
	switch (step++) {
	case 0:
		fake_regs(v)->rsp = GOOD + 0xe000;
		return (do_mmap(v, GOOD, GOOD_SIZE, RW, ANON, ~0UL));
	case 1:
		return (do_mmap(v, RDONLY, 4096, PROT_READ, ANON, ~0UL));
	case 2:
		return (do_mmap(v, NOACCESS, 4096, PROT_NONE, ANON, ~0UL));
	case 3:
		return (do_mmap(v, NEXT_TO_NONE, 4096, RW, ANON, ~0UL));
	case 4:
		(void)memset(&sin, 0, sizeof sin);
		sin.sin_family = AF_INET;
		sin.sin_port = htons(80);
		step--;
		if (!put(v, PATHS, &sin, sizeof sin, &x))
			return (x);
		(void)snprintf(path, sizeof path, "%s/rw/file", fake_dir);
		if (!put(v, PATHS + 64, path, strlen(path) + 1, &x) ||
		    !put(v, PATHS + 256, "/tmp/memory", 12, &x) ||
		    !put(v, PATHS + 320, fake_dir, strlen(fake_dir) + 1, &x))
			return (x);
		step++;
		/* 3: the listener */
		return (fake_syscall(v, SYS_socket, AF_INET, SOCK_STREAM, 0,
		    0, 0, 0));
	case 5:
		return (fake_syscall(v, SYS_bind, 3, PATHS, sizeof sin, 0, 0,
		    0));
	case 6:
		return (fake_syscall(v, SYS_listen, 3, 16, 0, 0, 0, 0));
	case 7:		/* 4 */
		return (fake_syscall(v, SYS_open, PATHS + 64, O_RDWR, 0, 0, 0,
		    0));
	case 8:
		return (do_mmap(v, FILEMAP, 8192, RW, MAP_PRIVATE, 4));
	case 9:		/* 5 */
		return (fake_syscall(v, SYS_open, PATHS + 256,
		    O_RDWR | O_CREAT, 0600, 0, 0, 0));
	case 10:	/* 6 */
		return (fake_syscall(v, SYS_memfd_create, PATHS + 256, 0, 0, 0,
		    0, 0));
	case 11:
		return (fake_syscall(v, SYS_ftruncate, 6, 8192, 0, 0, 0, 0));
	case 12:
		return (do_mmap(v, SHARED, 8192, RW, MAP_SHARED, 6));
	case 13:	/* 7: a directory */
		return (fake_syscall(v, SYS_open, PATHS + 320, O_DIRECTORY, 0,
		    0, 0, 0));
	case 14:	/* 8, 9 */
		return (fake_syscall(v, SYS_pipe2, GOOD, O_NONBLOCK, 0, 0, 0,
		    0));
	case 15:	/* 10, 11 */
		return (fake_syscall(v, SYS_socketpair, AF_UNIX,
		    SOCK_STREAM | SOCK_NONBLOCK, 0, GOOD, 0, 0));
	case 16:	/* 12 */
		return (fake_syscall(v, SYS_eventfd2, 0, O_NONBLOCK, 0, 0, 0,
		    0));
	case 17:	/* 13 */
		return (fake_syscall(v, SYS_timerfd_create, 1, O_NONBLOCK, 0,
		    0, 0, 0));
	case 18:	/* 14 */
		return (fake_syscall(v, SYS_epoll_create1, 0, 0, 0, 0, 0, 0));
	case 19:	/* 15 */
		return (fake_syscall(v, SYS_socket, AF_INET, SOCK_DGRAM, 0, 0,
		    0, 0));
	case 20:	/* 16 */
		return (fake_syscall(v, SYS_socket, AF_UNIX, SOCK_DGRAM, 0, 0,
		    0, 0));
	case 21:	/* 17 */
		return (fake_syscall(v, SYS_socket, AF_INET6, SOCK_STREAM, 0,
		    0, 0, 0));
	case 22:	/* 18 */
		return (fake_syscall(v, SYS_inotify_init1, 0, 0, 0, 0, 0, 0));
	case 23:
		return (fake_syscall(v, SYS_accept4, 3, 0, 0, 0, 0, 0));
	default:	/* 19: warm-connection */
		return (fake_syscall(v, SYS_read, CONN_FD, GOOD, 100, 0, 0,
		    0));
	}
}

enum vcpu_exit
fake_guest(struct vcpu *v)
{

	return (booted ? guest_step(v) : boot_step(v));
}

/* ---- files on the host ---------------------------------------------------------------- */

static void
clean(const char *dir)
{
	char path[512];
	struct dirent *e;
	DIR *d;

	d = opendir(dir);
	while (d != NULL && (e = readdir(d)) != NULL) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		(void)snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
		if (unlink(path) == 0)
			continue;
		(void)chmod(path, 0700);
		clean(path);
		(void)rmdir(path);
	}
	if (d != NULL)
		(void)closedir(d);
}

static void
write_file(const char *name, const void *p, size_t len)
{
	char path[128];
	int fd;

	(void)snprintf(path, sizeof path, "%s/%s", fake_dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
	if (fd < 0 || write(fd, p, len) != (ssize_t)len || close(fd) != 0) {
		perror(path);
		abort();
	}
}

void
fake_clean(void)
{
	static const char text[6000] = "0123456789 a text\n";
	char path[128];

	(void)snprintf(path, sizeof path, "%s/rw", fake_dir);
	clean(path);
	write_file("rw/file", text, sizeof text);
}

static void
at_exit(void)
{

	(void)chdir("/");
	clean(fake_dir);
	(void)rmdir(fake_dir);
}

static void
make_program(void)
{
	struct {
		Elf64_Ehdr	eh;
		Elf64_Phdr	ph[2];
		uint8_t		rest[0x3000];
	} f;

	(void)memset(&f, 0, sizeof f);
	(void)memcpy(f.eh.e_ident, ELFMAG, SELFMAG);
	f.eh.e_ident[EI_CLASS] = ELFCLASS64;
	f.eh.e_ident[EI_DATA] = ELFDATA2LSB;
	f.eh.e_ident[EI_VERSION] = EV_CURRENT;
	f.eh.e_type = ET_EXEC;
	f.eh.e_machine = EM_X86_64;
	f.eh.e_version = EV_CURRENT;
	f.eh.e_entry = CODE + 0x1000;
	f.eh.e_phoff = sizeof f.eh;
	f.eh.e_ehsize = sizeof f.eh;
	f.eh.e_phentsize = sizeof f.ph[0];
	f.eh.e_phnum = 2;
	f.ph[0] = (Elf64_Phdr){ .p_type = PT_LOAD, .p_flags = PF_R | PF_X,
	    .p_offset = 0, .p_vaddr = CODE, .p_filesz = 0x2000,
	    .p_memsz = 0x2000, .p_align = 4096 };
	f.ph[1] = (Elf64_Phdr){ .p_type = PT_LOAD, .p_flags = PF_R | PF_W,
	    .p_offset = 0x2000, .p_vaddr = DATA, .p_filesz = 0x1000,
	    .p_memsz = 0x3000, .p_align = 4096 };
	write_file("prog", &f, sizeof f);
}

/* ---- the image -------------------------------------------------------------------------- */

static void
no_log(void *priv, enum tkvm_log level, const char *msg)
{

	(void)priv;
	(void)level;
	AN(msg);
}

static void
set(struct tkvm_options *o, const char *key, const char *value)
{
	struct tkvm_error err;

	if (tkvm_options_set(o, key, value, &err) != 0) {
		(void)fprintf(stderr, "%s: %s\n", key, err.text);
		abort();
	}
}

static struct tkvm_options *
make_options(int warm)
{
	struct tkvm_options *o;
	char path[128];

	o = tkvm_options_new("fuzz");
	AN(o);
	(void)snprintf(path, sizeof path, "%s/prog", fake_dir);
	set(o, "program", path);
	set(o, "cwd", fake_dir);
	set(o, "allow-read", fake_dir);
	(void)snprintf(path, sizeof path, "%s/rw", fake_dir);
	set(o, "allow-write", path);
	set(o, "allow-connect", "127.0.0.1:1");
	set(o, "private-tmp", "on");
	set(o, "settle-time", "0");
	set(o, "warmup", "0");
	set(o, "max-main-memory", "4");
	set(o, "max-request-memory", "2");
	set(o, "limit-request-memory", "1");
	set(o, "max-response-buffer", "1");
	set(o, "max-request-time", "0.05");
	set(o, "run-mode", "worker");
	if (warm)
		set(o, "warm-connection", "on");
	tkvm_options_log(o, no_log, NULL);
	return (o);
}

static void
make_files(void)
{
	struct rlimit rl;
	char path[128];

	(void)snprintf(fake_dir, sizeof fake_dir, "/var/tmp/tkvm-fuzz-XXXXXX");
	AN(mkdtemp(fake_dir));
	(void)atexit(at_exit);
	(void)snprintf(path, sizeof path, "%s/rw", fake_dir);
	AZ(mkdir(path, 0700));
	fake_clean();
	make_program();
	/* No guest fills the disk. */
	AZ(getrlimit(RLIMIT_FSIZE, &rl));
	rl.rlim_cur = 64 << 20;
	AZ(setrlimit(RLIMIT_FSIZE, &rl));
}

struct tkvm_image *
fake_image(int warm)
{
	static struct tkvm_image *img[2];
	struct tkvm_options *o;
	struct tkvm_error err;

	if (img[warm] != NULL)
		return (img[warm]);
	if (fake_dir[0] == '\0')
		make_files();
	booted = 0;
	step = 0;
	o = make_options(warm);
	img[warm] = tkvm_boot(o, NULL, &err);
	if (img[warm] == NULL) {
		(void)fprintf(stderr, "%s\n", err.text);
		abort();
	}
	AN((img[warm]->m->conn >= 0) == warm);
	tkvm_options_free(&o);
	__lsan_register_root_region(img[warm]->m, sizeof *img[warm]->m);
	booted = 1;
	return (img[warm]);
}

/* ---- forks ------------------------------------------------------------------------------- */

void
fake_die(const char *what, const struct tkvm_error *err)
{

	(void)fprintf(stderr, "%s: %s\n", what, err->text);
	abort();
}

struct tkvm_fork *
fake_fork(struct tkvm_image *img)
{
	struct tkvm_error err;
	struct tkvm_fork *f;

	f = tkvm_fork_new(img, &err);
	if (f == NULL)
		fake_die("fork", &err);
	/* It is mapped, not allocated. */
	__lsan_register_root_region(f->m, sizeof *f->m);
	return (f);
}

void
fake_fork_free(struct tkvm_fork **pf)
{

	__lsan_unregister_root_region((*pf)->m, sizeof *(*pf)->m);
	tkvm_fork_free(pf);
}

void
fake_reset(struct tkvm_fork **pf, int now)
{
	struct tkvm_image *img = (*pf)->image;
	struct tkvm_error err;

	if ((*pf)->m->vcpu->dead) {
		AN(tkvm_fork_reset(*pf, &err) != 0);
		fake_fork_free(pf);
		*pf = fake_fork(img);
	} else if (tkvm_fork_reset(*pf, &err) != 0)
		fake_die("reset", &err);
	if (now && machine_verify((*pf)->m, &err) != 0)
		fake_die("verify", &err);
}
