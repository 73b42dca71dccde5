/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What the kernel hands a program: argv, envp, the auxiliary vector.
 */

#define _GNU_SOURCE
#include <sys/auxv.h>
#include <sys/utsname.h>

#include <elf.h>

#include "prog.h"

extern char **environ;

int
main(int argc, char **argv)
{
	const char *base;
	struct utsname u;
	uintptr_t sp;
	int i;

	(void)printf("argc %d\n", argc);
	base = strrchr(argv[0], '/');
	(void)printf("argv[0] %s\n", base == NULL ? argv[0] : base + 1);
	for (i = 1; i < argc; i++)
		(void)printf("argv[%d] <%s>\n", i, argv[i]);
	OK(argv[argc] == NULL);
	OK(environ == argv + argc + 1);
	(void)printf("PROG_TEST=%s\n", getenv("PROG_TEST") == NULL ? "(unset)"
	    : getenv("PROG_TEST"));
	OK(getauxval(AT_PAGESZ) == 4096);
	OK(getauxval(AT_CLKTCK) == 100);
	OK(getauxval(AT_PHENT) == sizeof(Elf64_Phdr));
	OK(getauxval(AT_PHNUM) > 2 && getauxval(AT_PHNUM) < 20);
	OK(getauxval(AT_PHDR) != 0 && getauxval(AT_ENTRY) != 0);
	OK(getauxval(AT_UID) == getuid() && getauxval(AT_EGID) == getegid());
	OK(getauxval(AT_SECURE) == 0);
	OK(getauxval(AT_RANDOM) != 0);
	OK(strcmp((const char *)getauxval(AT_PLATFORM), "x86_64") == 0);
	OK(getauxval(AT_EXECFN) != 0 &&
	    strcmp((const char *)getauxval(AT_EXECFN), argv[0]) == 0);
	OK(((const Elf64_Ehdr *)getauxval(AT_SYSINFO_EHDR))->e_ident[1] ==
	    'E');
	__asm__("mov %%rsp, %0" : "=r"(sp));
	OK(sp < (uintptr_t)argv && (uintptr_t)argv < (uintptr_t)argv[0]);
	OK(uname(&u) == 0 && strcmp(u.sysname, "Linux") == 0 &&
	    strcmp(u.machine, "x86_64") == 0);
	OK(sysconf(_SC_PAGESIZE) == 4096);
	OK(sysconf(_SC_NPROCESSORS_ONLN) >= 1);
	OK(getpid() > 0 && gettid() == getpid() && getppid() >= 0);
	return (7);
}
