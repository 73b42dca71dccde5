/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Fuzzes the loader: the input is the program (or its interpreter, or a
 * script) of a machine that is made once and emptied after each.
 */

#include <elf.h>
#include <fcntl.h>
#include <sanitizer/lsan_interface.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fake_image.h"

#define MAX_FILE	(64 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);
int LLVMFuzzerInitialize(int *, char ***);

static struct tkvm_options *direct, *interp;
static struct machine *theMachine;
static int prog_fd, ld_fd;

enum vcpu_exit
guest_step(struct vcpu *v)
{

	return (fake_syscall(v, SYS_exit_group, 0, 0, 0, 0, 0, 0));
}

static int
make(const char *file)
{
	char path[128];
	int fd;

	(void)snprintf(path, sizeof path, "%s/%s", fake_dir, file);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0700);
	assert(fd >= 0);
	return (fd);
}

static struct tkvm_options *
options(const char *file)
{
	struct tkvm_options *o;
	struct tkvm_error err;
	char text[200];

	o = tkvm_options_dup(fake_image(0)->opt);
	AN(o);
	(void)snprintf(text, sizeof text, "%s/%s", fake_dir, file);
	AZ(tkvm_options_set(o, "program", text, &err));
	/* A short name, for interpreters */
	(void)snprintf(text, sizeof text, "%s:/f:r", fake_dir);
	AZ(tkvm_options_set(o, "volume", text, &err));
	return (o);
}

/* A program that wants the interpreter /f/l */
static void
make_dynamic(void)
{
	uint8_t b[0x3000 + 1024];
	Elf64_Ehdr *eh = (void *)b;
	Elf64_Phdr *ph = (void *)(b + sizeof *eh);
	char path[128];
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof path, "%s/prog", fake_dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = read(fd, b, sizeof b);
	assert(n > 0);
	(void)close(fd);
	ph[2] = ph[1];
	ph[1] = ph[0];
	ph[0] = (Elf64_Phdr){ .p_type = PT_INTERP, .p_offset = 0x200,
	    .p_filesz = 5, .p_memsz = 5 };
	eh->e_phnum = 3;
	eh->e_type = ET_DYN;
	(void)memcpy(b + 0x200, "/f/l", 5);
	fd = make("dyn");
	assert(write(fd, b, (size_t)n) == n);
	(void)close(fd);
}

/* As machine_setup() does it, without the program */
static void
make_machine(void)
{
	const struct kvmhost *host;
	struct tkvm_error err;
	struct machine *m;

	theMachine = m = machine_new(direct);
	AN(m);
	__lsan_register_root_region(m, sizeof *m);
	AZ(kvmhost_get(&host, &err));
	m->vm = vm_new(host, &err);
	m->as = as_new_boot(m->vm, 4 << 20, &err);
	AN(m->as);
	AZ(kern_install(m, &err));
	m->vcpu = vcpu_new(m->vm, m->as->base, kern_lstar(host), &err);
	m->as->vcpu = m->vcpu;
	m->proc.pid = m->proc.image_pid = 1;
	m->proc.nthreads = m->proc.hi_thread = 1;
	(void)snprintf(m->proc.cwd, sizeof m->proc.cwd, "/");
	m->opt = direct;
	proc_init_limits(m);
	m->thread[0].state = T_RUN;
	m->thread[0].tid = 1;
	AZ(files_init(m));
	m->as->vsz_limit = (uint64_t)direct->max_address_space << 20;
}

/* All but the vDSO goes. */
static void
empty_machine(struct machine *m)
{
	const struct vma *v;
	uint64_t at = 0;

	while ((v = as_next(m->as, at)) != NULL) {
		at = v->end;
		if (!(v->flags & VMA_FIXEDPART))
			AZ(as_unmap(m->as, v->start, v->end - v->start));
	}
	m->as->brk_start = m->as->brk = m->as->brk_max = 0;
	(void)memset(&m->thread[0].regs, 0, sizeof m->thread[0].regs);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct rlimit rl;

	(void)argc;
	(void)argv;
	(void)fake_image(0);
	AZ(getrlimit(RLIMIT_FSIZE, &rl));
	rl.rlim_cur = 1 << 30;	/* a machine's memory is a file */
	AZ(setrlimit(RLIMIT_FSIZE, &rl));
	prog_fd = make("p");
	ld_fd = make("l");
	make_dynamic();
	direct = options("p");
	interp = options("dyn");
	make_machine();
	return (0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	struct machine *m = theMachine;
	struct tkvm_error err;
	int fd, r;

	if (len < 1 || len > MAX_FILE)
		return (0);
	fd = p[0] & 1 ? ld_fd : prog_fd;
	AZ(ftruncate(fd, 0));
	assert(pwrite(fd, p + 1, len - 1, 0) == (ssize_t)(len - 1));
	m->opt = p[0] & 1 ? interp : direct;
	err.code = TKVM_OK;
	r = load_program(m, &err);
	if (getenv("FUZZ_SHOW") != NULL)
		(void)fprintf(stderr, "%d %s\n", r, r == 0 ? "" : err.text);
	if (r != 0)
		assert(err.code != TKVM_OK && err.code != TKVM_E_INTERNAL);
	else {
		assert(m->thread[0].regs.rsp >= GVA_USER_MIN);
		assert(m->thread[0].regs.rsp < GVA_USER_END);
	}
	empty_machine(m);
	return (0);
}
