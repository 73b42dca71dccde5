/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Tenants files and kvmserver.toml: what is taken, and what is said about
 * what is not.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/options.h"

static char path[] = "/tmp/test_toml.XXXXXX";

static void
put(const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void
good(const char *text, struct tenant_set *set)
{
	struct tkvm_error err = { 0 };

	put(text);
	if (tenants_read(path, set, &err) != 0)
		fail_msg("%s", err.text);
}

/* `want` without the file's name in front. */
static void
bad(const char *text, const char *want)
{
	struct tkvm_error err = { 0 };
	struct tenant_set set;
	const char *got;

	put(text);
	assert_int_equal(tenants_read(path, &set, &err), -1);
	assert_int_equal(set.n, 0);
	assert_null(set.v);
	got = err.text;
	if (strncmp(got, path, strlen(path)) == 0)
		got += strlen(path);
	assert_string_equal(got, want);
}

/* In the parser's own words, which are not ours to test. */
static void
bad_at(const char *text, unsigned line)
{
	struct tkvm_error err = { 0 };
	struct tenant_set set;
	char want[20];

	put(text);
	assert_int_equal(tenants_read(path, &set, &err), -1);
	(void)snprintf(want, sizeof want, ":%u: ", line);
	assert_memory_equal(err.text, path, strlen(path));
	assert_memory_equal(err.text + strlen(path), want, strlen(want));
	assert_null(strchr(err.text, '\n'));
}

#define SH	"program = \"/bin/sh\"\n"

static void
test_good(void **state)
{
	struct tenant_set set;
	struct tkvm_options *o;

	(void)state;
	good("[defaults]\n"
	    "threads = 2\n"
	    "args = [\"default\"]\n"
	    "allow-read = \"/usr,/etc\"\n"
	    "[tenants.hello]\n"
	    "program = \"/bin/sh\"\n"
	    "args = [\n  \"server.py\",\n  \"x\", # comment\n]\n"
	    "cwd = \"/tmp\"\n"
	    "allow-write = true\n"
	    "allow-net = false\n"
	    "env = [\"LANG=C.UTF-8\", \"A=b,c\"]\n"
	    "volume = \"/tmp:/data:rw\"\n"
	    "warmup = 20\n"
	    "max-request-time = 0.1\n"
	    "settle-time = 1\n"
	    "verify-reset = true\n"
	    "[tenants.\"a.b-c_1\"]\n"
	    "program = \"sh\"\n"
	    "threads = 3\n"
	    "allow-read = [\"/srv\"]\n", &set);
	assert_int_equal(set.n, 2);
	o = set.v[0];
	assert_string_equal(o->tenant, "a.b-c_1");
	assert_int_equal(o->threads, 3);
	assert_int_equal(o->args.n, 1);
	assert_int_equal(*o->program, '/');
	assert_int_equal(o->allow_read.rule.n, 1);
	assert_string_equal(o->allow_read.rule.v[0], "/srv");
	o = set.v[1];
	assert_string_equal(o->tenant, "hello");
	assert_int_equal(o->threads, 2);
	assert_int_equal(o->args.n, 2);
	assert_string_equal(o->args.v[0], "server.py");
	assert_int_equal(o->allow_read.rule.n, 2);
	assert_int_equal(o->allow_write.all, 1);
	assert_int_equal(o->allow_net.all, 0);
	assert_int_equal(o->env.n, 2);
	assert_string_equal(o->env.v[1], "A=b,c");
	assert_int_equal(o->nvolume, 1);
	assert_int_equal(o->warmup, 20);
	assert_true(o->max_request_time == 0.1);
	assert_true(o->settle_time == 1);
	assert_int_equal(o->verify_reset, 1);
	tenants_free(&set);
	assert_int_equal(set.n, 0);
}

static void
test_keys(void **state)
{

	(void)state;
	bad("[tenants.x]\n" SH "thread = 2\n",
	    ":3: tenant \"x\": thread: unknown key, did you mean threads?");
	bad("[tenants.x]\n" SH "zzzzzz = 2\n",
	    ":3: tenant \"x\": zzzzzz: unknown key");
	bad("[defaults]\nthraeds = 2\n[tenants.x]\n" SH,
	    ":2: [defaults]: thraeds: unknown key, did you mean threads?");
	bad("[tenants.x]\n" SH "listen = \":80\"\n",
	    ":3: tenant \"x\": listen: only kvmserver has this option");
	bad("[tenants.x]\n" SH "hugepages = true\n",
	    ":3: tenant \"x\": hugepages: not supported in this version");
	bad("[tenant.x]\n" SH,
	    ":1: tenant: expected [defaults] or [tenants.NAME]");
	bad("threads = 1\n",
	    ":1: threads: expected [defaults] or [tenants.NAME]");
	bad("", ": expected at least one [tenants.NAME]");
	bad("[defaults]\n", ": expected at least one [tenants.NAME]");
	bad("[tenants.\"a b\"]\n" SH, ":1: tenant \"a b\": expected a name "
	    "of 1 to 64 letters, digits, '_', '.' or '-'");
	bad("[tenants]\nx = 1\n", ":2: x: expected a table [tenants.x], got "
	    "a whole number");
	bad("[tenants.x]\nthreads = 1\n", ":1: tenant \"x\": program: "
	    "expected the program to run, got nothing");
}

static void
test_types(void **state)
{

	(void)state;
	bad("[tenants.x]\n" SH "threads = \"2\"\n", ":3: tenant \"x\": "
	    "threads: expected a whole number between 0 and 1024, got a "
	    "string");
	bad("[tenants.x]\n" SH "threads = 2.0\n", ":3: tenant \"x\": "
	    "threads: expected a whole number between 0 and 1024, got a "
	    "number with decimals");
	bad("[tenants.x]\n" SH "threads = true\n", ":3: tenant \"x\": "
	    "threads: expected a whole number between 0 and 1024, got true "
	    "or false");
	bad("[tenants.x]\n" SH "\nmax-request-time = [1]\n", ":4: tenant "
	    "\"x\": max-request-time: expected seconds between 0.001 and "
	    "86400, got an array");
	bad("[tenants.x]\n" SH "verify-reset = 1\n", ":3: tenant \"x\": "
	    "verify-reset: expected true or false, got a whole number");
	bad("[tenants.x]\n" SH "cwd = 1979-05-27\n", ":3: tenant \"x\": "
	    "cwd: expected a string, got a date or time");
	bad("[tenants.x]\n" SH "args = [\n\"a\",\n1]\n", ":5: tenant \"x\": "
	    "args: expected a string or an array of strings, got a whole "
	    "number");
	bad("[tenants.x]\n" SH "allow-read = 1\n", ":3: tenant \"x\": "
	    "allow-read: expected true, false, a string or an array of "
	    "strings, got a whole number");
	bad("[tenants.x.threads]\n", ":1: tenant \"x\": threads: expected a "
	    "whole number between 0 and 1024, got a table");
	bad("[defaults]\nthreads = \"2\"\n[tenants.x]\n" SH, ":2: "
	    "[defaults]: threads: expected a whole number between 0 and "
	    "1024, got a string");
}

static void
test_ranges(void **state)
{

	(void)state;
	bad("[tenants.x]\n" SH "threads = 2000\n", ":3: tenant \"x\": "
	    "threads: expected a whole number between 0 and 1024, got "
	    "\"2000\"");
	bad("[tenants.x]\n" SH "threads = -1\n", ":3: tenant \"x\": "
	    "threads: expected a whole number between 0 and 1024, got "
	    "\"-1\"");
	bad("[tenants.x]\n" SH "max-request-time = -0.5\n", ":3: tenant "
	    "\"x\": max-request-time: expected seconds between 0.001 and "
	    "86400, got \"-0.5\"");
	bad("[tenants.x]\n" SH "max-request-time = inf\n", ":3: tenant "
	    "\"x\": max-request-time: expected seconds between 0.001 and "
	    "86400, got \"inf\"");
	bad("[defaults]\nwarmup = 1000000\n[tenants.x]\n" SH, ":2: "
	    "[defaults]: warmup: expected a whole number between 0 and "
	    "100000, got \"1000000\"");
	bad("[tenants.x]\n" SH "cwd = \"here\"\n", ":3: tenant \"x\": cwd: "
	    "expected an absolute path, got \"here\"");
	bad("[tenants.x]\n" SH "cwd = \"/a\\u0000b\"\n", ":3: tenant \"x\": "
	    "cwd: expected text without NUL bytes");
	bad("[tenants.x]\n" SH "volume = \"a:/b\"\n", ":3: tenant \"x\": "
	    "volume: expected an absolute path, got \"a:/b\"");
}

static void
test_checks(void **state)
{

	(void)state;
	bad("[tenants.x]\nthreads = 1\nprogram = \"/nowhere\"\n",
	    ":3: tenant \"x\": program /nowhere: no such file");
	bad("[tenants.x]\n" SH "cwd = \"/nowhere\"\n",
	    ":3: tenant \"x\": cwd: /nowhere: no such folder");
	bad("[defaults]\nallow-all = true\n[tenants.x]\n" SH
	    "allow-read = \"/x\"\n", ":5: tenant \"x\": allow-read: "
	    "allow-all allows it already, use one of them");
}

#define PARTS	400000

/* Each part of a key is a table in a table: enough of them took the stack. */
static void
too_deep(void)
{
	static const char *const in_front[] = {
		"", "[", "[[", "a = \"\"\"b\"\"\"\"\na.b = [ ''' ' # '''', { ",
		"a = \"[\\\"\" # \"\n\".\".",
	};
	const size_t size = 2 * PARTS + 100;
	char *text = malloc(size), *p;
	unsigned u, v;

	assert_non_null(text);
	for (u = 0; u < sizeof in_front / sizeof *in_front; u++) {
		p = stpcpy(text, in_front[u]);
		for (v = 0; v < PARTS; v++)
			p = stpcpy(p, "a.");
		(void)strcpy(p, "a = 1\n");
		bad(text, u < 3 ? ":1: a key of more than 16 parts" :
		    ":2: a key of more than 16 parts");
	}
	free(text);
}

static void
test_syntax(void **state)
{
	struct tkvm_error err = { 0 };
	struct tenant_set set;

	(void)state;
	bad_at("[tenants.x]\n" SH "threads = 1\nthreads = 2\n", 4);
	bad_at("[tenants.x]\n" SH "[tenants.x]\n" SH, 3);
	bad_at("[tenants.x\n" SH, 1);
	/* These trip assertions of some parsers, and what they hold for
	 * unreachable. */
	bad_at("[tenants.x]\n" SH "\n[/x]\na = 1\n", 4);
	bad_at("[/", 1);
#define U29	"_____________________________"
	bad_at("\nx = 01'o-4o-=m" U29 U29 U29 U29 " 8 a\n", 2);
	bad_at("\xc3\xa4 = 1\n", 1);
	bad_at("[\xc4\x97]\n", 1);
	too_deep();
	bad("[tenants.x]\n" SH "cwd = \"/\xc3\xa4\"\n",
	    ":3: tenant \"x\": cwd: /\xc3\xa4: no such folder");
	assert_int_equal(tenants_read("/nowhere/x", &set, &err), -1);
	assert_string_equal(err.text, "/nowhere/x: no such file");
	assert_int_equal(tenants_read("/tmp", &set, &err), -1);
	assert_string_equal(err.text, "/tmp: Is a directory");
}

static void
test_config(void **state)
{
	struct tkvm_options *o = tkvm_options_new(NULL);
	struct tkvm_error err = { 0 };
	char want[200];

	(void)state;
	put("threads = 4\nlisten = \"127.0.0.1:80\"\nallow-read = \"rel\"\n"
	    "[run]\n" SH "threads = 5\n");
	assert_int_equal(tkvm_config_read(path, o, &err), 0);
	assert_int_equal(o->threads, 5);
	assert_string_equal(o->listen, "127.0.0.1:80");
	assert_string_equal(o->program, "/bin/sh");
	put("threads = 4\n[storage]\n");
	assert_int_equal(tkvm_config_read(path, o, &err), -1);
	(void)snprintf(want, sizeof want, "%s:2: [storage]: storage machines "
	    "are not supported yet", path);
	assert_string_equal(err.text, want);
	put("lisen = \"x\"\n");
	assert_int_equal(tkvm_config_read(path, o, &err), -1);
	(void)snprintf(want, sizeof want, "%s:1: lisen: unknown key, did you "
	    "mean listen?", path);
	assert_string_equal(err.text, want);
	tkvm_options_free(&o);
}

/* What --print-config prints can be read again. */
static void
test_dump(void **state)
{
	struct tkvm_options *o = tkvm_options_new(NULL), *p;
	struct tkvm_error err = { 0 };
	char h[33], i[33];
	FILE *f;

	(void)state;
	assert_int_equal(tkvm_options_set(o, "program", "/bin/sh", &err), 0);
	assert_int_equal(tkvm_options_set(o, "args", "a\"b\\c\n\x7f", &err),
	    0);
	assert_int_equal(tkvm_options_set(o, "allow-read", NULL, &err), 0);
	assert_int_equal(tkvm_options_set(o, "allow-env", "A,B*", &err), 0);
	assert_int_equal(tkvm_options_set(o, "volume", "/tmp:/x:w", &err), 0);
	assert_int_equal(tkvm_options_set(o, "max-request-time", "0.001",
	    &err), 0);
	f = fopen(path, "w");
	opt_dump(o, f);
	(void)fclose(f);
	p = tkvm_options_new(NULL);
	if (tkvm_config_read(path, p, &err) != 0)
		fail_msg("%s", err.text);
	tkvm_options_hash(o, h);
	tkvm_options_hash(p, i);
	assert_string_equal(h, i);
	tkvm_options_free(&o);
	tkvm_options_free(&p);
}

static int
setup(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	return (fd < 0 ? -1 : close(fd));
}

static int
teardown(void **state)
{

	(void)state;
	return (unlink(path));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_checks),
		cmocka_unit_test(test_syntax),
		cmocka_unit_test(test_config),
		cmocka_unit_test(test_dump),
	};

	return (cmocka_run_group_tests(tests, setup, teardown));
}
