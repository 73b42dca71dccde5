/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Is the program something that we can load?  Everything that its file can
 * tell, so that a mistake shows when the configuration is read.  The loader
 * checks again what it uses: the file may change in between.
 */

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/conf_int.h"
#include "error.h"
#include "obj.h"

#define MAX_PHDR	1024
#define MAX_SCRIPTS	4		/* scripts run by scripts, as Linux */
#define HEAD		256		/* what Linux reads of a #! line */
#define TOP		((uint64_t)1 << 47)

/* The file at hand, and the name it has in errors. */
struct prog {
	const struct tkvm_options *o;
	struct tkvm_error *err;
	const char	*path;
	uint64_t	size;
	int		fd;
	unsigned	depth;
};

static int check_file(const struct tkvm_options *, const char *, unsigned,
    struct tkvm_error *);

#define BAD(p, ...)							\
	((void)opt_err((p)->o, (p)->err, TKVM_E_PROGRAM, __VA_ARGS__), -1)

static int
read_at(const struct prog *p, void *to, size_t len, uint64_t off)
{

	if (off > p->size || len > p->size - off ||
	    pread(p->fd, to, len, (off_t)off) != (ssize_t)len)
		return (BAD(p, "program %s: damaged ELF file: it ends early",
		    p->path));
	return (0);
}

/* ---- ELF ----------------------------------------------------------------- */

static const char *
machine_name(unsigned m, char *buf, size_t len)
{
	static const struct {
		unsigned	m;
		const char	*name;
	} known[] = {
		{ EM_386, "i386" }, { EM_ARM, "arm" }, { EM_MIPS, "mips" },
		{ EM_AARCH64, "aarch64" }, { EM_RISCV, "riscv" },
		{ EM_PPC, "ppc" }, { EM_PPC64, "ppc64" }, { EM_S390, "s390x" },
		{ EM_SPARCV9, "sparc64" }, { EM_X86_64, "x86-64" },
		{ EM_LOONGARCH, "loongarch" },
	};
	unsigned u;

	for (u = 0; u < NELEM(known); u++)
		if (known[u].m == m)
			return (known[u].name);
	(void)snprintf(buf, len, "machine %u", m);
	return (buf);
}

/*
 * Step 1: the identification.  The file's type and machine lie at the same
 * place in 32-bit files, so that these can be named as well.
 */
static int
check_ident(const struct prog *p, const Elf64_Ehdr *eh)
{
	char buf[20];
	unsigned m = eh->e_machine;

	if (eh->e_ident[EI_DATA] == ELFDATA2MSB)
		m = (m >> 8 | m << 8) & 0xffff;
	if (m != EM_X86_64)
		return (BAD(p, "program %s: ELF for %s, this host runs x86-64",
		    p->path, machine_name(m, buf, sizeof buf)));
	if (eh->e_ident[EI_CLASS] != ELFCLASS64)
		return (BAD(p, "program %s: 32-bit ELF (x32), expected 64-bit",
		    p->path));
	if (eh->e_ident[EI_DATA] != ELFDATA2LSB ||
	    eh->e_ident[EI_VERSION] != EV_CURRENT ||
	    eh->e_version != EV_CURRENT)
		return (BAD(p, "program %s: damaged ELF file: wrong byte order "
		    "or version", p->path));
	if (eh->e_type == ET_REL)
		return (BAD(p, "program %s: an object file, link it first",
		    p->path));
	if (eh->e_type != ET_EXEC && eh->e_type != ET_DYN)
		return (BAD(p, "program %s: ELF of type %u, expected a program",
		    p->path, eh->e_type));
	if (eh->e_entry == 0)
		return (BAD(p, "program %s: it has no entry point: a shared "
		    "library?", p->path));
	return (0);
}

/* Step 2: one segment that will be mapped. */
static int
check_load(const struct prog *p, const Elf64_Phdr *ph)
{
	uint64_t end;

	if (ph->p_filesz > ph->p_memsz)
		return (BAD(p, "program %s: damaged ELF file: segment larger "
		    "in the file than in memory", p->path));
	if (__builtin_add_overflow(ph->p_offset, ph->p_filesz, &end) ||
	    end > p->size)
		return (BAD(p, "program %s: damaged ELF file: segment beyond "
		    "its end", p->path));
	if (__builtin_add_overflow(ph->p_vaddr, ph->p_memsz, &end) ||
	    end > TOP)
		return (BAD(p, "program %s: damaged ELF file: segment beyond "
		    "the address space", p->path));
	if ((ph->p_align & (ph->p_align - 1)) != 0 ||
	    ((ph->p_vaddr ^ ph->p_offset) & PAGE_MASK) != 0)
		return (BAD(p, "program %s: damaged ELF file: segment not "
		    "aligned", p->path));
	return (0);
}

static const char *
where_from(const char *interp)
{

	if (strstr(interp, "ld-linux-x86-64") != NULL)
		return ("install libc6");
	if (strstr(interp, "ld-musl") != NULL)
		return ("install musl");
	return ("install what it belongs to, or link the program statically");
}

/* Step 3: the dynamic linker. */
static int
check_interp(const struct prog *p, const Elf64_Phdr *ph)
{
	char interp[PATH_MAX];
	struct stat st;

	if (ph->p_filesz < 2 || ph->p_filesz > sizeof interp)
		return (BAD(p, "program %s: damaged ELF file: the name of its "
		    "interpreter is %ju bytes long", p->path,
		    (uintmax_t)ph->p_filesz));
	if (read_at(p, interp, ph->p_filesz, ph->p_offset) != 0)
		return (-1);
	if (interp[ph->p_filesz - 1] != '\0')	/* as Linux checks it */
		return (BAD(p, "program %s: damaged ELF file: the name of its "
		    "interpreter has no end", p->path));
	if (*interp != '/')
		return (BAD(p, "program %s: its interpreter %.100s is not an "
		    "absolute path", p->path, interp));
	if (stat(interp, &st) != 0)
		return (BAD(p, "program %s: its interpreter %.200s is missing "
		    "(%s)", p->path, interp, where_from(interp)));
	if (!S_ISREG(st.st_mode) || access(interp, R_OK) != 0)
		return (BAD(p, "program %s: its interpreter %.200s is not a "
		    "readable file", p->path, interp));
	return (0);
}

static int
check_phdrs(const struct prog *p, const Elf64_Phdr *ph, unsigned n)
{
	unsigned u, loads = 0, interps = 0;

	for (u = 0; u < n; u++) {
		if (ph[u].p_type == PT_LOAD) {
			loads++;
			if (check_load(p, &ph[u]) != 0)
				return (-1);
		} else if (ph[u].p_type == PT_INTERP) {
			if (interps++ > 0)
				return (BAD(p, "program %s: damaged ELF file: "
				    "two interpreters", p->path));
			if (check_interp(p, &ph[u]) != 0)
				return (-1);
		}
	}
	if (loads == 0)
		return (BAD(p, "program %s: damaged ELF file: nothing to load",
		    p->path));
	return (0);
}

static int
check_elf(const struct prog *p)
{
	Elf64_Ehdr eh;
	Elf64_Phdr *ph;
	int rv;

	if (read_at(p, &eh, sizeof eh, 0) != 0 || check_ident(p, &eh) != 0)
		return (-1);
	if (eh.e_phentsize != sizeof *ph || eh.e_phnum == 0 ||
	    eh.e_phnum > MAX_PHDR)
		return (BAD(p, "program %s: damaged ELF file: %u program "
		    "headers of %u bytes", p->path, eh.e_phnum,
		    eh.e_phentsize));
	ph = calloc(eh.e_phnum, sizeof *ph);
	if (ph == NULL)
		return (opt_err(p->o, p->err, TKVM_E_MEMORY, "out of memory"));
	rv = read_at(p, ph, eh.e_phnum * sizeof *ph, eh.e_phoff);
	if (rv == 0)
		rv = check_phdrs(p, ph, eh.e_phnum);
	free(ph);
	return (rv);
}

/* ---- scripts ------------------------------------------------------------- */

/* "#! /bin/sh -e": `line` is cut after the interpreter's name. */
static char *
script_interp(char *line)
{

	line += 2;
	line += strspn(line, " \t");
	line[strcspn(line, " \t\r\n")] = '\0';
	return (line);
}

static int
check_script(const struct prog *p, char *head)
{
	char *interp, *abs;
	int rv;

	if (p->depth >= MAX_SCRIPTS)
		return (BAD(p, "program %s: scripts run by scripts, too many "
		    "times", p->path));
	interp = script_interp(head);
	if (*interp == '\0')
		return (BAD(p, "program %s: no interpreter after #!", p->path));
	if (strlen(interp) >= HEAD - 3)
		return (BAD(p, "program %s: its #! line is too long", p->path));
	abs = path_canon(interp, p->o->cwd == NULL ? "/" : p->o->cwd);
	if (abs == NULL)
		return (opt_err(p->o, p->err, TKVM_E_MEMORY, "out of memory"));
	if (access(abs, F_OK) != 0)
		rv = BAD(p, "program %s: its interpreter %s is missing "
		    "(install it, or correct the #! line)", p->path, abs);
	else
		rv = check_file(p->o, abs, p->depth + 1, p->err);
	free(abs);
	return (rv);
}

/* ---- the file ------------------------------------------------------------ */

static int
check_content(struct prog *p)
{
	char head[HEAD];
	ssize_t n;

	(void)memset(head, 0, sizeof head);
	n = pread(p->fd, head, sizeof head - 1, 0);
	if (n < 0)
		return (BAD(p, "program %s: cannot read it: %s", p->path,
		    strerror(errno)));
	if (n >= SELFMAG && memcmp(head, ELFMAG, SELFMAG) == 0)
		return (check_elf(p));
	if (n >= 2 && head[0] == '#' && head[1] == '!')
		return (check_script(p, head));
	return (BAD(p, "program %s: not an ELF file and no #! script",
	    p->path));
}

static int
check_stat(const struct prog *p, const struct stat *st)
{

	if (S_ISDIR(st->st_mode))
		return (BAD(p, "program %s: a folder, expected a program",
		    p->path));
	if (!S_ISREG(st->st_mode))
		return (BAD(p, "program %s: not a regular file", p->path));
	/* root may execute what has any x bit: ask for one */
	if ((st->st_mode & 0111) == 0 || access(p->path, X_OK) != 0)
		return (BAD(p, "program %s: not executable (chmod +x?)",
		    p->path));
	return (0);
}

static int
check_file(const struct tkvm_options *o, const char *path, unsigned depth,
    struct tkvm_error *err)
{
	struct prog p = {
		.o = o, .err = err, .path = path, .fd = -1, .depth = depth,
	};
	struct stat st;
	int rv;

	if (stat(path, &st) != 0)
		return (opt_err(o, err, TKVM_E_PROGRAM, "program %s: %s", path,
		    errno == ENOENT ? "no such file" : strerror(errno)));
	if (check_stat(&p, &st) != 0)
		return (-1);
	p.size = (uint64_t)st.st_size;
	p.fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (p.fd < 0)
		return (opt_err(o, err, TKVM_E_PROGRAM,
		    "program %s: cannot read it: %s", path, strerror(errno)));
	rv = check_content(&p);
	(void)close(p.fd);
	return (rv);
}

int
program_check(const struct tkvm_options *o, const char *path,
    struct tkvm_error *err)
{

	return (check_file(o, path, 0, err));
}

/* ---- finding it ---------------------------------------------------------- */

static int
runnable(const char *path)
{
	struct stat st;

	return (stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
	    (st.st_mode & 0111) != 0 && access(path, X_OK) == 0);
}

/* A name without a slash: the first in $PATH that can be run. */
static char *
search_path(const char *name)
{
	const char *dir, *end;
	char *path;

	dir = getenv("PATH");
	if (dir == NULL || *dir == '\0')
		dir = "/usr/local/bin:/usr/bin:/bin";
	for (;; dir = end + 1) {
		end = dir + strcspn(dir, ":");
		/* An empty entry is the current folder: not for us. */
		if (end != dir && asprintf(&path, "%.*s/%s", (int)(end - dir),
		    dir, name) > 0) {
			if (runnable(path))
				return (path);
			free(path);
		}
		if (*end == '\0')
			return (NULL);
	}
}

int
program_find(const struct tkvm_options *o, char **path,
    struct tkvm_error *err)
{
	const char *cwd = o->cwd == NULL ? "/" : o->cwd;
	char *found, *here;
	int local;

	AN(path);
	*path = NULL;
	if (o->program == NULL)
		return (opt_err(o, err, TKVM_E_CONFIG,
		    "program: expected the program to run, got nothing"));
	if (strchr(o->program, '/') != NULL) {
		*path = path_canon(o->program, cwd);
		if (*path == NULL)
			return (opt_err(o, err, TKVM_E_PROGRAM,
			    "program %.200s: path too long", o->program));
		return (0);
	}
	found = search_path(o->program);
	if (found != NULL) {
		*path = path_canon(found, NULL);
		free(found);
		if (*path == NULL)
			return (opt_err(o, err, TKVM_E_MEMORY,
			    "out of memory"));
		return (0);
	}
	here = path_canon(o->program, cwd);
	local = here != NULL && access(here, F_OK) == 0;
	free(here);
	return (opt_err(o, err, TKVM_E_PROGRAM,
	    "program %.200s: no such file in $PATH%s", o->program, local ?
	    " (write ./ in front to run the one in its current folder)" : ""));
}
