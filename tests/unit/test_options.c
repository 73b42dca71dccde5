/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Options: setting, ranges, copying, hashing, checking.
 */

#include <arpa/inet.h>
#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/addr_rule.h"
#include "conf/conf_int.h"
#include "conf/options.h"

static char dir[] = "/tmp/test_options.XXXXXX";

static void
good(struct tkvm_options *o, const char *key, const char *value)
{
	struct tkvm_error err = { 0 };

	if (tkvm_options_set(o, key, value, &err) != 0)
		fail_msg("%s=%s: %s", key, value, err.text);
}

static void
bad(struct tkvm_options *o, const char *key, const char *value,
    const char *text)
{
	struct tkvm_error err = { 0 };

	assert_int_equal(tkvm_options_set(o, key, value, &err), -1);
	assert_int_equal(err.code, TKVM_E_CONFIG);
	assert_string_equal(err.text, text);
}

static void
check_bad(const struct tkvm_options *o, const char *text)
{
	struct tkvm_error err = { 0 };

	assert_int_equal(tkvm_options_check(o, &err), -1);
	assert_string_equal(err.text, text);
}

static void
test_defaults(void **state)
{
	struct tkvm_options *o = tkvm_options_new("x");

	(void)state;
	assert_non_null(o);
	assert_int_equal(o->threads, 1);
	assert_true(o->max_boot_time == 20);
	assert_true(o->max_request_time == 8);
	assert_int_equal(o->max_main_memory, 8192);
	assert_int_equal(o->max_address_space, 122880);
	assert_int_equal(o->max_request_memory, 128);
	assert_int_equal(o->limit_request_memory, 128);
	assert_int_equal(o->max_response_buffer, 64);
	assert_true(o->queue_time == 1);
	assert_true(o->settle_time == 2);
	assert_true(o->drain_time == 0);
	assert_int_equal(o->warmup, 0);
	assert_string_equal(o->run_mode, "auto");
	assert_string_equal(o->warmup_request, "GET /");
	assert_int_equal(o->max_log_bytes, 65536);
	assert_null(o->program);
	assert_int_equal(o->allow_read.all, 0);
	tkvm_options_free(&o);
	assert_null(o);
}

static void
test_numbers(void **state)
{
	struct tkvm_options *o = tkvm_options_new("x");

	(void)state;
	good(o, "max-request-time", "0.1");
	assert_true(o->max_request_time > 0.0999 &&
	    o->max_request_time < 0.1001);
	good(o, "max-request-time", "30");
	assert_true(o->max_request_time == 30);
	good(o, "max-request-time", ".5");
	assert_true(o->max_request_time == 0.5);
	bad(o, "max-request-time", "abc", "tenant \"x\": max-request-time: "
	    "expected seconds between 0.001 and 86400, got \"abc\"");
	bad(o, "max-request-time", "8s", "tenant \"x\": max-request-time: "
	    "expected seconds between 0.001 and 86400, got \"8s\"");
	bad(o, "max-request-time", "0", "tenant \"x\": max-request-time: "
	    "expected seconds between 0.001 and 86400, got \"0\"");
	bad(o, "max-request-time", "inf", "tenant \"x\": max-request-time: "
	    "expected seconds between 0.001 and 86400, got \"inf\"");
	bad(o, "max-request-time", "", "tenant \"x\": max-request-time: "
	    "expected seconds between 0.001 and 86400, got \"\"");
	bad(o, "max-request-time", "1.2.3", "tenant \"x\": max-request-time: "
	    "expected seconds between 0.001 and 86400, got \"1.2.3\"");
	bad(o, "max-request-time", NULL, "tenant \"x\": max-request-time: "
	    "expected SECONDS, got nothing");
	assert_true(o->max_request_time == 0.5);
	good(o, "threads", "7");
	assert_int_equal(o->threads, 7);
	good(o, "threads", "0");
	assert_true(o->threads >= 1);
	bad(o, "threads", "-1", "tenant \"x\": threads: expected a whole "
	    "number between 0 and 1024, got \"-1\"");
	bad(o, "threads", "2.5", "tenant \"x\": threads: expected a whole "
	    "number between 0 and 1024, got \"2.5\"");
	bad(o, "threads", "99999999999999999999999", "tenant \"x\": threads: "
	    "expected a whole number between 0 and 1024, "
	    "got \"99999999999999999999999\"");
	bad(o, "max-request-memory", "0", "tenant \"x\": max-request-memory: "
	    "expected a whole number of MiB between 1 and 1048576, got \"0\"");
	bad(o, "max-request-memory", "128M", "tenant \"x\": "
	    "max-request-memory: expected a whole number of MiB between 1 "
	    "and 1048576, got \"128M\"");
	tkvm_options_free(&o);
}

static void
test_others(void **state)
{
	struct tkvm_options *o = tkvm_options_new("x");

	(void)state;
	good(o, "ephemeral", NULL);
	assert_int_equal(o->ephemeral, 1);
	good(o, "ephemeral", "no");
	assert_int_equal(o->ephemeral, 0);
	bad(o, "ephemeral", "maybe", "tenant \"x\": ephemeral: expected true "
	    "or false, got \"maybe\"");
	bad(o, "run-mode", "fast", "tenant \"x\": run-mode: expected auto, "
	    "worker or runner, got \"fast\"");
	good(o, "run-mode", "runner");
	assert_string_equal(o->run_mode, "runner");
	good(o, "env", "A=1");
	good(o, "env", "B=");
	assert_int_equal(o->env.n, 2);
	assert_string_equal(o->env.v[1], "B=");
	bad(o, "env", "A", "tenant \"x\": env: expected NAME=VALUE, "
	    "got \"A\"");
	bad(o, "env", "=A", "tenant \"x\": env: expected NAME=VALUE, "
	    "got \"=A\"");
	good(o, "args", "");
	assert_int_equal(o->args.n, 1);
	good(o, "warmup-request", "POST /a?b example.com");
	bad(o, "warmup-request", "GET / x\r\nEvil: 1", "tenant \"x\": "
	    "warmup-request: expected METHOD /PATH [HOST], "
	    "got \"GET / x??Evil: 1\"");
	bad(o, "warmup-request", "/", "tenant \"x\": warmup-request: "
	    "expected METHOD /PATH [HOST], got \"/\"");
	bad(o, "program", "", "tenant \"x\": program: expected PATH, "
	    "got nothing");
	bad(o, "max-requst-time", "1", "tenant \"x\": max-requst-time: no "
	    "such option; did you mean max-request-time?");
	bad(o, "frobnicate", "1", "tenant \"x\": frobnicate: no such option");
	bad(o, "hugepages", NULL, "tenant \"x\": hugepages: not supported in "
	    "this version");
	tkvm_options_free(&o);
	o = tkvm_options_new(NULL);
	bad(o, "threads", "x", "threads: expected a whole number between 0 "
	    "and 1024, got \"x\"");
	tkvm_options_free(&o);
}

static void
test_allow(void **state)
{
	struct tkvm_options *o = tkvm_options_new("x");
	char here[PATH_MAX], *want;

	(void)state;
	good(o, "allow-read", "/a//b/./c,/d/../e/");
	good(o, "allow-read", "rel");
	assert_int_equal(o->allow_read.rule.n, 3);
	assert_string_equal(o->allow_read.rule.v[0], "/a/b/c");
	assert_string_equal(o->allow_read.rule.v[1], "/e");
	assert_non_null(getcwd(here, sizeof here));
	assert_true(asprintf(&want, "%s/rel", here) > 0);
	assert_string_equal(o->allow_read.rule.v[2], want);
	free(want);
	assert_int_equal(o->allow_read.all, 0);
	good(o, "allow-read", NULL);
	assert_int_equal(o->allow_read.all, 1);
	bad(o, "allow-write", "/a,,/b", "tenant \"x\": allow-write: expected "
	    "a path, got nothing");
	good(o, "allow-env", "HOME,LC_*,*");
	bad(o, "allow-env", "A*B", "tenant \"x\": allow-env: expected NAME "
	    "or PREFIX*, got \"A*B\"") ;
	good(o, "allow-net", "127.0.0.1:80,[::1]:80,:8080,*,localhost,"
	    "unix:/run/x");
	bad(o, "allow-net", "1.2.3:80", "tenant \"x\": allow-net: expected "
	    "HOST:PORT, HOST, ADDRESS/BITS:PORT, [V6]:PORT, :PORT or "
	    "unix:/PATH, "
	    "got \"1.2.3:80\"");
	bad(o, "allow-net", "h:65536", "tenant \"x\": allow-net: expected "
	    "HOST:PORT, HOST, ADDRESS/BITS:PORT, [V6]:PORT, :PORT or "
	    "unix:/PATH, "
	    "got \"h:65536\"");
	tkvm_options_free(&o);
}

static void
test_volume(void **state)
{
	struct tkvm_options *o = tkvm_options_new("x");

	(void)state;
	good(o, "volume", "/h/../host:/guest/");
	good(o, "volume", "/host:/two:rw");
	good(o, "volume", "/host:/three:w");
	assert_int_equal(o->nvolume, 3);
	assert_string_equal(o->volume[0].host, "/host");
	assert_string_equal(o->volume[0].guest, "/guest");
	assert_int_equal(o->volume[0].read, 1);
	assert_int_equal(o->volume[0].write, 0);
	assert_int_equal(o->volume[1].read, 1);
	assert_int_equal(o->volume[1].write, 1);
	assert_int_equal(o->volume[2].read, 0);
	assert_int_equal(o->volume[2].write, 1);
	bad(o, "volume", "/a", "tenant \"x\": volume: expected "
	    "HOST:/GUEST[:r|w|rw], got \"/a\"");
	bad(o, "volume", "/a:b", "tenant \"x\": volume: expected "
	    "HOST:/GUEST[:r|w|rw], got \"/a:b\"");
	bad(o, "volume", "/a:/b:rx", "tenant \"x\": volume: expected "
	    "HOST:/GUEST[:r|w|rw], got \"/a:/b:rx\"");
	bad(o, "volume", "/a:/b:rr", "tenant \"x\": volume: expected "
	    "HOST:/GUEST[:r|w|rw], got \"/a:/b:rr\"");
	bad(o, "volume", "/a:/b:", "tenant \"x\": volume: expected "
	    "HOST:/GUEST[:r|w|rw], got \"/a:/b:\"");
	assert_int_equal(o->nvolume, 3);
	tkvm_options_free(&o);
}

static struct tkvm_options *
everything(void)
{
	struct tkvm_options *o = tkvm_options_new("x");

	good(o, "program", "/bin/sh");
	good(o, "args", "-c");
	good(o, "env", "A=1");
	good(o, "cwd", "/tmp");
	good(o, "threads", "3");
	good(o, "ephemeral", NULL);
	good(o, "warmup-request", "GET /w");
	good(o, "allow-read", "/a");
	good(o, "allow-net", ":80");
	good(o, "volume", "/tmp:/g:rw");
	good(o, "max-request-time", "0.25");
	return (o);
}

static void
test_dup(void **state)
{
	struct tkvm_options *o = everything(), *p = tkvm_options_dup(o);
	char h[33], i[33], *a = NULL, *b = NULL;
	size_t la, lb;
	FILE *f;

	(void)state;
	assert_non_null(p);
	tkvm_options_hash(o, h);
	tkvm_options_hash(p, i);
	assert_string_equal(h, i);
	assert_int_equal(strlen(h), 32);
	f = open_memstream(&a, &la);
	opt_dump(o, f);
	(void)fclose(f);
	tkvm_options_free(&o);
	f = open_memstream(&b, &lb);
	opt_dump(p, f);
	(void)fclose(f);
	assert_string_equal(a, b);
	assert_non_null(strstr(a, "volume = [\"/tmp:/g:rw\"]\n"));
	assert_non_null(strstr(a, "max-request-time = 0.25\n"));
	assert_string_equal(p->tenant, "x");
	free(a);
	free(b);
	tkvm_options_free(&p);
}

/* Every option of an image makes another hash, and no two the same. */
static void
test_hash(void **state)
{
	static const char *const kv[][2] = {
		{ "program", "/bin/true" }, { "args", "x" }, { "args", "" },
		{ "env", "B=2" }, { "cwd", "/usr" }, { "warmup", "3" },
		{ "warmup-request", "GET /x" }, { "allow-read", "/b" },
		{ "allow-read", NULL }, { "allow-write", "/b" },
		{ "volume", "/tmp:/z:r" }, { "volume", "/tmp:/z:rw" },
		{ "max-main-memory", "77" }, { "max-request-time", "7" },
		{ "settle-time", "0.5" }, { "run-mode", "worker" },
	};
	char h[32][33];
	struct tkvm_options *o;
	unsigned u, w;

	(void)state;
	o = everything();
	tkvm_options_hash(o, h[31]);
	good(o, "listen", ":80");
	good(o, "max-boot-time", "3");
	tkvm_options_hash(o, h[30]);
	assert_string_equal(h[30], h[31]);
	tkvm_options_free(&o);
	for (u = 0; u < sizeof kv / sizeof *kv; u++) {
		o = everything();
		good(o, kv[u][0], kv[u][1]);
		tkvm_options_hash(o, h[u]);
		tkvm_options_free(&o);
		assert_string_not_equal(h[u], h[31]);
		for (w = 0; w < u; w++)
			assert_string_not_equal(h[u], h[w]);
	}
}

static void
test_clear(void **state)
{
	struct tkvm_options *o = everything();
	unsigned u;
	char *a = NULL, *b = NULL;
	size_t la, lb;
	FILE *f;

	(void)state;
	for (u = 0; u < opt_ntable; u++)
		opt_clear(o, &opt_table[u]);
	f = open_memstream(&a, &la);
	opt_dump(o, f);
	(void)fclose(f);
	tkvm_options_free(&o);
	o = tkvm_options_new("x");
	f = open_memstream(&b, &lb);
	opt_dump(o, f);
	(void)fclose(f);
	tkvm_options_free(&o);
	assert_string_equal(a, b);
	free(a);
	free(b);
}

/* ---- checks -------------------------------------------------------------- */

static char *
file(const char *name, const void *content, size_t len, mode_t mode)
{
	static char path[PATH_MAX];
	int fd;

	(void)snprintf(path, sizeof path, "%s/%s", dir, name);
	(void)unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, len), len);
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(close(fd), 0);
	return (path);
}

static void
program_bad(const char *name, const void *content, size_t len, mode_t mode,
    const char *text)
{
	struct tkvm_options *o = tkvm_options_new("x");
	char want[600];

	good(o, "program", file(name, content, len, mode));
	(void)snprintf(want, sizeof want, "tenant \"x\": program %s/%s: %s",
	    dir, name, text);
	check_bad(o, want);
	tkvm_options_free(&o);
}

struct elf {
	Elf64_Ehdr	eh;
	Elf64_Phdr	ph[2];
	char		interp[64];
};

static struct elf
elf(void)
{
	struct elf e;

	(void)memset(&e, 0, sizeof e);
	(void)memcpy(e.eh.e_ident, ELFMAG, SELFMAG);
	e.eh.e_ident[EI_CLASS] = ELFCLASS64;
	e.eh.e_ident[EI_DATA] = ELFDATA2LSB;
	e.eh.e_ident[EI_VERSION] = EV_CURRENT;
	e.eh.e_type = ET_EXEC;
	e.eh.e_machine = EM_X86_64;
	e.eh.e_version = EV_CURRENT;
	e.eh.e_entry = 0x400000;
	e.eh.e_phoff = offsetof(struct elf, ph);
	e.eh.e_phentsize = sizeof(Elf64_Phdr);
	e.eh.e_phnum = 2;
	e.ph[0].p_type = PT_LOAD;
	e.ph[0].p_vaddr = 0x400000;
	e.ph[0].p_filesz = e.ph[0].p_memsz = sizeof e;
	e.ph[0].p_align = 4096;
	e.ph[1].p_type = PT_NULL;
	return (e);
}

static void
with_interp(struct elf *e, const char *interp)
{

	e->ph[1].p_type = PT_INTERP;
	e->ph[1].p_offset = offsetof(struct elf, interp);
	e->ph[1].p_filesz = strlen(interp) + 1;
	(void)strcpy(e->interp, interp);
}

static void
test_program(void **state)
{
	struct tkvm_options *o = tkvm_options_new("x");
	struct tkvm_error err = { 0 };

	(void)state;
	check_bad(o, "tenant \"x\": program: expected the program to run, "
	    "got nothing");
	good(o, "program", "/nowhere/b");
	check_bad(o, "tenant \"x\": program /nowhere/b: no such file");
	good(o, "program", "no-such-program-here");
	check_bad(o, "tenant \"x\": program no-such-program-here: no such "
	    "file in $PATH");
	good(o, "program", "/tmp");
	check_bad(o, "tenant \"x\": program /tmp: a folder, expected a "
	    "program");
	good(o, "program", "sh");
	assert_int_equal(tkvm_options_check(o, &err), 0);
	assert_int_equal(opt_resolve(o, &err), 0);
	assert_true(*o->program == '/');
	good(o, "cwd", "/bin");
	good(o, "program", "./sh");
	assert_int_equal(tkvm_options_check(o, &err), 0);
	tkvm_options_free(&o);
	program_bad("noexec", "#!/bin/sh\n", 10, 0644,
	    "not executable (chmod +x?)");
	program_bad("text", "hello", 5, 0755,
	    "not an ELF file and no #! script");
	program_bad("empty", "", 0, 0755, "not an ELF file and no #! script");
}

static void
test_script(void **state)
{
	struct tkvm_options *o = tkvm_options_new("x");
	char want[200], line[200];

	(void)state;
	good(o, "program", file("s", "#! /bin/sh -e\n", 14, 0755));
	assert_int_equal(tkvm_options_check(o, NULL), 0);
	good(o, "program", file("s", "#!/bin/sh", 9, 0755));
	assert_int_equal(tkvm_options_check(o, NULL), 0);
	tkvm_options_free(&o);
	program_bad("s", "#!\n", 3, 0755, "no interpreter after #!");
	program_bad("s", "#!/no/such\n", 11, 0755, "its interpreter /no/such "
	    "is missing (install it, or correct the #! line)");
	o = tkvm_options_new("x");
	(void)snprintf(line, sizeof line, "#!%s/loop\n", dir);
	good(o, "program", file("loop", line, strlen(line), 0755));
	(void)snprintf(want, sizeof want, "tenant \"x\": program %s/loop: "
	    "scripts run by scripts, too many times", dir);
	check_bad(o, want);
	tkvm_options_free(&o);
}

static void
test_elf(void **state)
{
	struct tkvm_options *o = tkvm_options_new("x");
	struct elf e = elf();

	(void)state;
	good(o, "program", file("e", &e, sizeof e, 0755));
	assert_int_equal(tkvm_options_check(o, NULL), 0);
	with_interp(&e, "/lib64/ld-linux-x86-64.so.2");
	good(o, "program", file("e", &e, sizeof e, 0755));
	assert_int_equal(tkvm_options_check(o, NULL), 0);
	tkvm_options_free(&o);
	with_interp(&e, "/lib/ld-musl-none.so.1");
	program_bad("e", &e, sizeof e, 0755, "its interpreter "
	    "/lib/ld-musl-none.so.1 is missing (install musl)");
	e.interp[e.ph[1].p_filesz - 1] = 'x';
	program_bad("e", &e, sizeof e, 0755, "damaged ELF file: the name of "
	    "its interpreter has no end");
	e.ph[1].p_filesz = 1ULL << 40;
	program_bad("e", &e, sizeof e, 0755, "damaged ELF file: the name of "
	    "its interpreter is 1099511627776 bytes long");
	e = elf();
	e.eh.e_machine = EM_AARCH64;
	program_bad("e", &e, sizeof e, 0755,
	    "ELF for aarch64, this host runs x86-64");
	e.eh.e_machine = EM_386;
	program_bad("e", &e, sizeof e, 0755,
	    "ELF for i386, this host runs x86-64");
	e.eh.e_machine = 0x1234;
	program_bad("e", &e, sizeof e, 0755,
	    "ELF for machine 4660, this host runs x86-64");
	e = elf();
	e.eh.e_ident[EI_CLASS] = ELFCLASS32;
	program_bad("e", &e, sizeof e, 0755,
	    "32-bit ELF (x32), expected 64-bit");
	e = elf();
	e.eh.e_type = ET_REL;
	program_bad("e", &e, sizeof e, 0755, "an object file, link it first");
	e.eh.e_type = ET_CORE;
	program_bad("e", &e, sizeof e, 0755,
	    "ELF of type 4, expected a program");
	e.eh.e_type = ET_DYN;
	e.eh.e_entry = 0;
	program_bad("e", &e, sizeof e, 0755,
	    "it has no entry point: a shared library?");
}

static void
test_elf_headers(void **state)
{
	struct elf e = elf();

	(void)state;
	program_bad("e", &e, 30, 0755, "damaged ELF file: it ends early");
	program_bad("e", &e, sizeof e.eh, 0755,
	    "damaged ELF file: it ends early");
	e.eh.e_phoff = UINT64_MAX - 8;
	program_bad("e", &e, sizeof e, 0755,
	    "damaged ELF file: it ends early");
	e = elf();
	e.eh.e_phnum = 0;
	program_bad("e", &e, sizeof e, 0755,
	    "damaged ELF file: 0 program headers of 56 bytes");
	e.eh.e_phnum = 2;
	e.eh.e_phentsize = 32;
	program_bad("e", &e, sizeof e, 0755,
	    "damaged ELF file: 2 program headers of 32 bytes");
	e = elf();
	e.ph[0].p_type = PT_NULL;
	program_bad("e", &e, sizeof e, 0755,
	    "damaged ELF file: nothing to load");
	e = elf();
	e.ph[0].p_memsz = 10;
	program_bad("e", &e, sizeof e, 0755, "damaged ELF file: segment "
	    "larger in the file than in memory");
	e = elf();
	e.ph[0].p_offset = UINT64_MAX - 4095;
	program_bad("e", &e, sizeof e, 0755,
	    "damaged ELF file: segment beyond its end");
	e = elf();
	e.ph[0].p_memsz = UINT64_MAX - 10;
	program_bad("e", &e, sizeof e, 0755,
	    "damaged ELF file: segment beyond the address space");
	e = elf();
	e.ph[0].p_vaddr += 8;
	program_bad("e", &e, sizeof e, 0755,
	    "damaged ELF file: segment not aligned");
}

static void
test_check(void **state)
{
	struct tkvm_options *o = tkvm_options_new("x");

	(void)state;
	good(o, "program", "/bin/sh");
	good(o, "cwd", "/nowhere");
	check_bad(o, "tenant \"x\": cwd: /nowhere: no such folder");
	good(o, "cwd", "/etc/passwd");
	check_bad(o, "tenant \"x\": cwd: /etc/passwd: not a folder");
	good(o, "cwd", "/");
	good(o, "max-address-space", "100");
	check_bad(o, "tenant \"x\": max-main-memory: expected at most "
	    "max-address-space (100 MiB), got 8192");
	good(o, "max-main-memory", "64");
	good(o, "allow-all", NULL);
	assert_int_equal(tkvm_options_check(o, NULL), 0);
	good(o, "allow-read", "/x");
	check_bad(o, "tenant \"x\": allow-read: allow-all allows it already, "
	    "use one of them");
	good(o, "allow-all", "false");
	good(o, "listen", "nonsense");
	check_bad(o, "tenant \"x\": listen: expected HOST:PORT, [V6]:PORT or "
	    "unix:/PATH, got \"nonsense\"");
	good(o, "listen", "unix:/tmp/x");
	good(o, "volume", "/nowhere:/x");
	check_bad(o, "tenant \"x\": volume: /nowhere: no such file or folder "
	    "(the first path is the host's)");
	opt_clear(o, opt_find("volume"));
	good(o, "volume", "/tmp:/x");
	good(o, "volume", "/usr:/x/");
	check_bad(o, "tenant \"x\": volume: two for /x");
	tkvm_options_free(&o);
}

/* ---- addresses ----------------------------------------------------------- */

static int
matches(const char *rule, const char *addr)
{
	struct sockaddr_storage ss;
	socklen_t len;

	assert_int_equal(addr_parse(addr, &ss, &len), 0);
	return (addr_rule_match(rule, (struct sockaddr *)&ss, len));
}

static void
test_rules(void **state)
{

	(void)state;
	assert_true(matches("127.0.0.1:80", "127.0.0.1:80"));
	assert_false(matches("127.0.0.1:80", "127.0.0.1:81"));
	assert_false(matches("127.0.0.1:80", "127.0.0.2:80"));
	assert_true(matches("127.0.0.1", "127.0.0.1:81"));
	assert_true(matches("127.0.0.1:*", "127.0.0.1:81"));
	assert_true(matches("localhost:80", "127.0.0.1:80"));
	assert_true(matches("127.0.0.1:80", "[::ffff:127.0.0.1]:80"));
	/* A :PORT rule is about the port in both families. */
	assert_true(matches(":80", "[::1]:80"));
	assert_false(matches(":80", "[::1]:81"));
	assert_false(matches(":80", "127.0.0.1:81"));
	assert_true(matches("[::1]:80", "[::1]:80"));
	assert_false(matches("[::1]:80", "[::2]:80"));
	/* Networks, of both families; a mapped address is an IPv4 one. */
	assert_true(matches("10.0.0.0/8:80", "10.1.2.3:80"));
	assert_false(matches("10.0.0.0/8:80", "11.1.2.3:80"));
	assert_false(matches("10.0.0.0/8:80", "10.1.2.3:81"));
	assert_true(matches("192.168.4.0/22", "192.168.7.255:1"));
	assert_false(matches("192.168.4.0/22", "192.168.8.0:1"));
	assert_true(matches("0.0.0.0/0:80", "1.2.3.4:80"));
	assert_false(matches("0.0.0.0/0:80", "[2001:db8::1]:80"));
	assert_true(matches("10.0.0.0/8", "[::ffff:10.1.2.3]:80"));
	assert_true(matches("[::ffff:10.0.0.0/104]:80", "10.1.2.3:80"));
	assert_true(matches("[2001:db8::/33]:80", "[2001:db8:1::1]:80"));
	assert_false(matches("[2001:db8::/33]:80", "[2001:db8:8000::1]:80"));
	assert_true(matches("*", "[::2]:80"));
	assert_true(matches("*", "unix:/x"));
	assert_true(matches("unix:/run/a", "unix:/run/a"));
	assert_true(matches("unix:/run/*", "unix:/run/a"));
	assert_false(matches("unix:/run/a", "unix:/run/ab"));
	assert_false(matches(":80", "unix:/run/ab"));
	assert_true(matches("unix:@x", "unix:@x"));
}

static void
test_addr(void **state)
{
	static const char *const round[] = {
		"127.0.0.1:80", "[::1]:8080", "unix:/run/x", "unix:@abs",
	};
	struct sockaddr_storage ss;
	char buf[ADDR_TEXT], big[300];
	socklen_t len;
	unsigned u;

	(void)state;
	for (u = 0; u < sizeof round / sizeof *round; u++) {
		assert_int_equal(addr_parse(round[u], &ss, &len), 0);
		assert_string_equal(addr_text((struct sockaddr *)&ss, len,
		    buf), round[u]);
	}
	assert_int_equal(addr_parse(":80", &ss, &len), 0);
	assert_int_equal(ss.ss_family, AF_INET6);
	assert_int_equal(addr_parse("localhost:80", &ss, &len), 0);
	assert_int_equal(ss.ss_family, AF_INET);
	assert_int_equal(addr_parse("127.0.0.1", &ss, &len), -1);
	assert_int_equal(addr_parse("127.0.0.0/8:80", &ss, &len), -1);
	assert_int_equal(addr_parse("", &ss, &len), -1);
	assert_int_equal(addr_parse("[::1", &ss, &len), -1);
	assert_int_equal(addr_parse("[::1]80", &ss, &len), -1);
	assert_int_equal(addr_parse("unix:rel", &ss, &len), -1);
	(void)memset(big, 'x', sizeof big - 1);
	big[sizeof big - 1] = '\0';
	(void)memcpy(big, "unix:/", 6);
	assert_int_equal(addr_parse(big, &ss, &len), -1);
	(void)memcpy(big, "aaaaaa", 6);
	assert_int_equal(addr_parse(big, &ss, &len), -1);
	(void)memset(&ss, 0, sizeof ss);
	ss.ss_family = AF_UNIX;
	assert_string_equal(addr_text((struct sockaddr *)&ss, 2, buf),
	    "unix:");
}

static int
setup(void **state)
{

	(void)state;
	return (mkdtemp(dir) == NULL ? -1 : 0);
}

static int
teardown(void **state)
{
	static const char *const names[] = {
		"noexec", "text", "empty", "s", "loop", "e",
	};
	char path[PATH_MAX];
	unsigned u;

	(void)state;
	for (u = 0; u < sizeof names / sizeof *names; u++) {
		(void)snprintf(path, sizeof path, "%s/%s", dir, names[u]);
		(void)unlink(path);
	}
	return (rmdir(dir));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_allow),
		cmocka_unit_test(test_volume),
		cmocka_unit_test(test_dup),
		cmocka_unit_test(test_hash),
		cmocka_unit_test(test_clear),
		cmocka_unit_test(test_program),
		cmocka_unit_test(test_script),
		cmocka_unit_test(test_elf),
		cmocka_unit_test(test_elf_headers),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_addr),
	};

	return (cmocka_run_group_tests(tests, setup, teardown));
}
