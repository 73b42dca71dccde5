/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * From a program file to a process about to run: ELF segments, interpreter,
 * stack, auxiliary vector, `#!` scripts.  What execve(2) does, after
 * fs/binfmt_elf.c and fs/binfmt_script.c of Linux.
 *
 * The file may be hostile or broken: every header field is checked, and what
 * is checked is what is used.
 */

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "machine/priv.h"

#define MAX_ARGS	4096
#define MAX_PHDRS	64
#define STACK_SIZE	(8UL << 20)
#define PIE_BASE	0x555555554000UL
#define INTERP_MAX	4096
#define SCRIPT_DEPTH	4
#define SCRIPT_LINE	256

struct elf {
	const char	*path;
	int		fd;
	GElf_Ehdr	eh;
	GElf_Phdr	ph[MAX_PHDRS];
	unsigned	nph;
	uint64_t	lo, hi;		/* page range of all PT_LOAD */
	uint64_t	bias;
	char		interp[INTERP_MAX];
};

/* argv under construction: scripts put words in front */
struct args {
	const char	*v[MAX_ARGS];
	unsigned	n;
};

/* ---- reading ---------------------------------------------------------------------- */

static int
elf_phdrs(struct elf *e, Elf *el, off_t size, struct tkvm_error *err)
{
	uint64_t end, last = 0;
	size_t i, n;
	GElf_Phdr *p;

	if (elf_getphdrnum(el, &n) != 0 || n == 0 || n > MAX_PHDRS)
		return (err_set(err, TKVM_E_PROGRAM,
		    "%s: bad number of program headers", e->path));
	e->lo = ~0UL;
	for (i = 0; i < n; i++) {
		p = &e->ph[i];
		if (gelf_getphdr(el, (int)i, p) == NULL)
			return (err_set(err, TKVM_E_PROGRAM,
			    "%s: cannot read program header %zu", e->path, i));
		if (p->p_type != PT_LOAD && p->p_type != PT_INTERP)
			continue;
		if (__builtin_add_overflow(p->p_offset, p->p_filesz, &end) ||
		    end > (uint64_t)size)
			return (err_set(err, TKVM_E_PROGRAM, "%s: segment "
			    "%zu lies outside the file (truncated?)",
			    e->path, i));
		if (p->p_type == PT_INTERP)
			continue;
		if (p->p_filesz > p->p_memsz ||
		    __builtin_add_overflow(p->p_vaddr, p->p_memsz, &end) ||
		    end > GVA_USER_END ||
		    ((p->p_vaddr ^ p->p_offset) & PAGE_MASK) != 0 ||
		    p->p_vaddr < last)
			return (err_set(err, TKVM_E_PROGRAM,
			    "%s: segment %zu has bad addresses", e->path, i));
		last = p->p_vaddr;
		if (PAGE_DOWN(p->p_vaddr) < e->lo)
			e->lo = PAGE_DOWN(p->p_vaddr);
		if (PAGE_UP(end) > e->hi)
			e->hi = PAGE_UP(end);
	}
	e->nph = (unsigned)n;
	if (e->lo >= e->hi)
		return (err_set(err, TKVM_E_PROGRAM,
		    "%s: nothing to load", e->path));
	return (0);
}

static int
elf_interp(struct elf *e, struct tkvm_error *err)
{
	unsigned i;
	ssize_t r;

	for (i = 0; i < e->nph; i++) {
		if (e->ph[i].p_type != PT_INTERP)
			continue;
		if (e->ph[i].p_filesz < 2 ||
		    e->ph[i].p_filesz >= sizeof e->interp)
			break;
		r = pread(e->fd, e->interp, e->ph[i].p_filesz,
		    (off_t)e->ph[i].p_offset);
		if (r != (ssize_t)e->ph[i].p_filesz ||
		    e->interp[r - 1] != '\0' || e->interp[0] != '/')
			break;
		return (0);
	}
	if (i == e->nph)
		return (0);
	return (err_set(err, TKVM_E_PROGRAM, "%s: bad interpreter path",
	    e->path));
}

static int
elf_read(struct elf *e, const char *path, int fd, struct tkvm_error *err)
{
	struct stat st;
	Elf *el;
	int r;

	memset(e, 0, sizeof *e);
	e->path = path;
	e->fd = fd;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return (err_set(err, TKVM_E_PROGRAM, "%s: not a regular file",
		    path));
	(void)elf_version(EV_CURRENT);
	el = elf_begin(fd, ELF_C_READ, NULL);
	if (el == NULL || elf_kind(el) != ELF_K_ELF ||
	    gelf_getehdr(el, &e->eh) == NULL) {
		r = err_set(err, TKVM_E_PROGRAM,
		    "%s: not an ELF file and no #! script", path);
	} else if (gelf_getclass(el) != ELFCLASS64 ||
	    e->eh.e_machine != EM_X86_64) {
		r = err_set(err, TKVM_E_PROGRAM,
		    "%s: ELF for machine %u, this host runs x86-64", path,
		    e->eh.e_machine);
	} else if (e->eh.e_type != ET_EXEC && e->eh.e_type != ET_DYN) {
		r = err_set(err, TKVM_E_PROGRAM,
		    "%s: an ELF file, but not a program", path);
	} else
		r = elf_phdrs(e, el, st.st_size, err);
	if (el != NULL)
		(void)elf_end(el);
	return (r == 0 ? elf_interp(e, err) : r);
}

/* ---- mapping ----------------------------------------------------------------------- */

static int
elf_place(struct machine *m, struct elf *e, uint64_t want,
    struct tkvm_error *err)
{
	int64_t a;

	if (e->eh.e_type == ET_EXEC) {
		if (e->lo < GVA_USER_MIN)
			return (err_set(err, TKVM_E_PROGRAM,
			    "%s: linked below 0x%lx", e->path, GVA_USER_MIN));
		return (0);
	}
	/* find room for all of it; the segments then take it over */
	a = as_map(m->as, want, e->hi - e->lo, 0, 0, NULL, 0);
	if (a < 0)
		return (err_set(err, TKVM_E_PROGRAM, "%s: no room for it",
		    e->path));
	e->bias = (uint64_t)a - e->lo;
	return (as_unmap(m->as, (uint64_t)a, e->hi - e->lo));
}

static int
elf_segment(struct machine *m, const struct elf *e, const GElf_Phdr *p)
{
	uint64_t start, fend, mend;
	unsigned prot;
	int64_t a;

	prot = ((p->p_flags & PF_R) ? AS_R : 0) |
	    ((p->p_flags & PF_W) ? AS_W : 0) |
	    ((p->p_flags & PF_X) ? AS_X : 0);
	start = PAGE_DOWN(e->bias + p->p_vaddr);
	fend = e->bias + p->p_vaddr + p->p_filesz;
	mend = PAGE_UP(e->bias + p->p_vaddr + p->p_memsz);
	if (mend == start)
		return (0);
	if (p->p_filesz > 0) {
		a = as_map(m->as, start, PAGE_UP(fend) - start, prot,
		    MAP_FIXED, e->path, PAGE_DOWN(p->p_offset));
		if (a < 0 || as_fill(m->as, start, fend - start, e->fd,
		    PAGE_DOWN(p->p_offset)) != 0)
			return (-ENOMEM);
	} else
		fend = start;
	if (mend > PAGE_UP(fend)) {
		a = as_map(m->as, PAGE_UP(fend), mend - PAGE_UP(fend), prot,
		    MAP_FIXED, NULL, 0);
		if (a < 0)
			return (-ENOMEM);
	}
	return (0);
}

static int
elf_map(struct machine *m, struct elf *e, uint64_t want,
    struct tkvm_error *err)
{
	unsigned i;

	if (elf_place(m, e, want, err) != 0)
		return (-1);
	for (i = 0; i < e->nph; i++)
		if (e->ph[i].p_type == PT_LOAD &&
		    elf_segment(m, e, &e->ph[i]) != 0)
			return (err_set(err, TKVM_E_LIMIT, "%s: does not fit "
			    "into max-main-memory (%u MiB)", e->path,
			    m->opt->max_main_memory));
	return (0);
}

/* Where the program headers are in memory, for AT_PHDR. */
static uint64_t
elf_phdr_addr(const struct elf *e)
{
	const GElf_Phdr *p;
	unsigned i;

	for (i = 0; i < e->nph; i++) {
		p = &e->ph[i];
		if (p->p_type == PT_LOAD && e->eh.e_phoff >= p->p_offset &&
		    e->eh.e_phoff < p->p_offset + p->p_filesz)
			return (e->bias + p->p_vaddr + e->eh.e_phoff -
			    p->p_offset);
	}
	return (0);
}

/* ---- stack ------------------------------------------------------------------------- */

struct stack {
	struct machine	*m;
	uint64_t	sp;
	int		failed;
};

static uint64_t
push_bytes(struct stack *s, const void *p, size_t n)
{

	s->sp -= n;
	if (as_poke(s->m->as, s->sp, p, n) != 0)
		s->failed = 1;
	return (s->sp);
}

static uint64_t
push_str(struct stack *s, const char *t)
{

	return (push_bytes(s, t, strlen(t) + 1));
}

static const char *const default_env[] = {
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	"HOME=/tmp",
	NULL
};

/* --allow-env: names, or prefixes that end in an asterisk */
static int
env_allowed(const struct tkvm_options *o, const char *name, size_t len)
{
	const char *r;
	size_t n;
	unsigned u;

	if (o->allow_all || o->allow_env.all)
		return (1);
	for (u = 0; u < o->allow_env.rule.n; u++) {
		r = o->allow_env.rule.v[u];
		n = strlen(r);
		if (n > 0 && r[n - 1] == '*') {
			if (n - 1 <= len && !strncmp(name, r, n - 1))
				return (1);
		} else if (n == len && !strncmp(name, r, n))
			return (1);
	}
	return (0);
}

/* NAME=VALUE strings: the configured ones, allowed ones of the host, ours. */
static unsigned
make_env(struct machine *m, const char **v, unsigned max)
{
	extern char **environ;
	const struct tkvm_options *o = m->opt;
	unsigned n = 0, u, k;
	size_t len;
	char **e;

	for (u = 0; u < o->env.n && n < max; u++)
		v[n++] = o->env.v[u];
	for (e = environ; e != NULL && *e != NULL && n < max; e++) {
		len = strcspn(*e, "=");
		if (!env_allowed(o, *e, len))
			continue;
		for (k = 0; k < n; k++)
			if (!strncmp(v[k], *e, len + 1))
				break;
		if (k == n)
			v[n++] = *e;
	}
	for (u = 0; default_env[u] != NULL && n < max; u++) {
		len = strcspn(default_env[u], "=");
		for (k = 0; k < n; k++)
			if (!strncmp(v[k], default_env[u], len + 1))
				break;
		if (k == n)
			v[n++] = default_env[u];
	}
	return (n);
}

static void
push_vectors(struct stack *s, const struct args *a, const uint64_t *argp,
    unsigned envc, const uint64_t *envp, const uint64_t (*aux)[2],
    unsigned naux)
{
	uint64_t zero = 0, argc = a->n;
	unsigned words;

	words = 1 + a->n + 1 + envc + 1 + naux * 2;
	s->sp &= ~15UL;
	if (words & 1)
		s->sp -= 8;
	(void)push_bytes(s, aux, naux * 16);
	(void)push_bytes(s, &zero, 8);
	(void)push_bytes(s, envp, envc * 8);
	(void)push_bytes(s, &zero, 8);
	(void)push_bytes(s, argp, a->n * 8);
	(void)push_bytes(s, &argc, 8);
}

/* Code on the stack (of nested functions of GCC's) has to be asked for. */
static unsigned
stack_exec(const struct elf *prog)
{
	unsigned i;

	for (i = 0; i < prog->nph; i++)
		if (prog->ph[i].p_type == PT_GNU_STACK)
			return (prog->ph[i].p_flags & PF_X ? AS_X : 0);
	return (0);
}

static int
make_stack(struct machine *m, const struct args *a, const struct elf *prog,
    const struct elf *interp, const char *execfn, struct tkvm_error *err)
{
	static const char platform[] = "x86_64";
	uint64_t *argp, *envp, rnd[2], at_random, at_execfn, at_plat;
	struct stack s = { m, GVA_USER_END - PAGE_SZ, 0 };
	const char *env[512];
	unsigned envc, u;

	if (as_map(m->as, GVA_USER_END - PAGE_SZ - STACK_SIZE, STACK_SIZE,
	    AS_R | AS_W | stack_exec(prog), MAP_FIXED | MAP_GROWSDOWN,
	    "[stack]", 0) < 0)
		return (err_set(err, TKVM_E_MEMORY, "no room for the stack"));
	envc = make_env(m, env, NELEM(env));
	argp = calloc(a->n + 1, 8);
	envp = calloc(envc + 1, 8);
	if (argp == NULL || envp == NULL) {
		free(argp);
		free(envp);
		return (err_set(err, TKVM_E_MEMORY, "out of memory"));
	}
	at_execfn = push_str(&s, execfn);
	for (u = envc; u-- > 0;)
		envp[u] = push_str(&s, env[u]);
	for (u = a->n; u-- > 0;)
		argp[u] = push_str(&s, a->v[u]);
	at_plat = push_str(&s, platform);
	s.sp &= ~15UL;
	(void)getrandom(rnd, sizeof rnd, 0);
	at_random = push_bytes(&s, rnd, sizeof rnd);
	m->proc.at_random = at_random;
	{
		const uint64_t aux[][2] = {
			{ AT_SYSINFO_EHDR, m->vdso },
			{ AT_HWCAP, 0x178bfbff },
			{ AT_PAGESZ, PAGE_SZ },
			{ AT_CLKTCK, 100 },
			{ AT_PHDR, elf_phdr_addr(prog) },
			{ AT_PHENT, sizeof(Elf64_Phdr) },
			{ AT_PHNUM, prog->nph },
			{ AT_BASE, interp != NULL ? interp->bias : 0 },
			{ AT_FLAGS, 0 },
			{ AT_ENTRY, prog->bias + prog->eh.e_entry },
			{ AT_UID, m->proc.uid }, { AT_EUID, m->proc.uid },
			{ AT_GID, m->proc.gid }, { AT_EGID, m->proc.gid },
			{ AT_SECURE, 0 },
			{ AT_RANDOM, at_random },
			{ AT_HWCAP2, 2 },	/* ring 3 may use FSGSBASE */
			{ AT_EXECFN, at_execfn },
			{ AT_PLATFORM, at_plat },
			{ AT_MINSIGSTKSZ, 2048 + m->vm->host->xsave_size },
			{ AT_NULL, 0 },
		};
		_Static_assert(sizeof aux <= sizeof m->proc.auxv, "auxv");
		memcpy(m->proc.auxv, aux, sizeof aux);
		push_vectors(&s, a, argp, envc, envp, aux, NELEM(aux));
	}
	free(argp);
	free(envp);
	if (s.failed)
		return (err_set(err, TKVM_E_LIMIT,
		    "arguments and environment do not fit on the stack"));
	m->thread[0].regs.rsp = s.sp;
	return (0);
}

/* ---- scripts ----------------------------------------------------------------------- */

/* "#!interpreter [one argument]": 1 when it is one; the words live in buf. */
static int
script_line(int fd, char *buf, char **interp, char **arg)
{
	ssize_t n;
	char *p, *e;

	n = pread(fd, buf, SCRIPT_LINE - 1, 0);
	if (n < 3 || buf[0] != '#' || buf[1] != '!')
		return (0);
	buf[n] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	p = buf + 2 + strspn(buf + 2, " \t");
	*interp = p;
	p += strcspn(p, " \t");
	*arg = NULL;
	if (*p != '\0') {
		*p++ = '\0';
		p += strspn(p, " \t");
		for (e = p + strlen(p); e > p && (e[-1] == ' ' ||
		    e[-1] == '\t'); e--)
			e[-1] = '\0';
		if (*p != '\0')
			*arg = p;
	}
	return (**interp == '/');
}

static int
open_program(struct machine *m, const char *path, struct tkvm_error *err)
{
	int fd;

	fd = path_open_host(m, path, O_RDONLY);
	if (fd >= 0)
		return (fd);
	return (err_set(err, TKVM_E_PROGRAM, "cannot open %s: %s%s", path,
	    strerror(-fd), fd == -EACCES ?
	    " (not readable, or not allowed by allow-read)" : ""));
}

/* Replace a script by its interpreter, as often as needed; a descriptor. */
static int
resolve_scripts(struct machine *m, struct args *a, char **path,
    char (*bufs)[SCRIPT_LINE], struct tkvm_error *err)
{
	char *interp, *arg, *script = NULL;
	unsigned depth;
	int fd;

	for (depth = 0; depth <= SCRIPT_DEPTH; depth++) {
		fd = open_program(m, *path, err);
		if (fd < 0) {
			if (script != NULL)
				err_prefix(err, "%s needs its interpreter",
				    script);
			return (-1);
		}
		if (depth == SCRIPT_DEPTH ||
		    !script_line(fd, bufs[depth], &interp, &arg))
			return (fd);
		(void)close(fd);
		if (a->n + 2 > MAX_ARGS)
			break;
		/* interp [arg] script args... */
		memmove(&a->v[arg != NULL ? 2 : 1], &a->v[0],
		    a->n * sizeof a->v[0]);
		a->n += arg != NULL ? 2 : 1;
		a->v[0] = interp;
		if (arg != NULL)
			a->v[1] = arg;
		a->v[arg != NULL ? 2 : 1] = script = *path;
		*path = interp;
	}
	return (err_set(err, TKVM_E_PROGRAM, "%s: too many arguments", *path));
}

/* ---- all of it ----------------------------------------------------------------------- */

static int
load_elf(struct machine *m, const struct args *a, const char *path, int fd,
    struct tkvm_error *err)
{
	struct elf *e, *prog, *interp = NULL;
	int ifd = -1, r;

	e = calloc(2, sizeof *e);
	if (e == NULL)
		return (err_set(err, TKVM_E_MEMORY, "out of memory"));
	prog = &e[0];
	r = elf_read(prog, path, fd, err);
	if (r == 0 && prog->interp[0] != '\0') {
		ifd = open_program(m, prog->interp, err);
		if (ifd < 0) {
			err_prefix(err, "%s needs its interpreter", path);
			r = -1;
		} else {
			interp = &e[1];
			r = elf_read(interp, prog->interp, ifd, err);
		}
	}
	if (r == 0)
		r = elf_map(m, prog, PIE_BASE, err);
	if (r == 0 && interp != NULL)
		r = elf_map(m, interp, 0, err);
	if (r == 0) {
		m->as->brk_start = m->as->brk =
		    prog->bias + prog->hi + 16 * PAGE_SZ;
		m->as->brk_max = m->as->brk_start + (1UL << 40);
		r = make_stack(m, a, prog, interp, path, err);
		m->thread[0].regs.rip = interp != NULL ?
		    interp->bias + interp->eh.e_entry :
		    prog->bias + prog->eh.e_entry;
		m->thread[0].regs.rflags = 0x202;
	}
	if (ifd >= 0)
		(void)close(ifd);
	free(e);
	return (r);
}

int
load_program(struct machine *m, struct tkvm_error *err)
{
	char bufs[SCRIPT_DEPTH + 1][SCRIPT_LINE], *path;
	const struct tkvm_options *o = m->opt;
	struct args *a;
	unsigned u;
	int fd, r = -1;

	a = calloc(1, sizeof *a);
	if (a == NULL)
		return (err_set(err, TKVM_E_MEMORY, "out of memory"));
	a->v[a->n++] = o->program;
	for (u = 0; u < o->args.n && a->n < MAX_ARGS; u++)
		a->v[a->n++] = o->args.v[u];
	path = o->program;
	fd = resolve_scripts(m, a, &path, bufs, err);
	if (fd >= 0) {
		/* ld.so finds what is beside the program by it */
		path_canonical(m, path, m->proc.exe, sizeof m->proc.exe);
		(void)snprintf(m->thread[0].comm, sizeof m->thread[0].comm,
		    "%s", strrchr(path, '/') != NULL ?
		    strrchr(path, '/') + 1 : path);
		r = load_elf(m, a, path, fd, err);
		(void)close(fd);
	}
	free(a);
	return (r);
}
