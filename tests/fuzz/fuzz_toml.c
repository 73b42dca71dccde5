/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Fuzzes tenants files and kvmserver's configuration: the TOML reader and all
 * that is checked about options.  What was accepted is dumped as TOML, which
 * must be read back as the same.
 */

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "conf/options.h"
#include "obj.h"

#define MAX_FILE	8192

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);
int LLVMFuzzerInitialize(int *, char ***);

static int fd;
static char name[64];

static void
store(const void *p, size_t len)
{

	AZ(ftruncate(fd, 0));
	assert(pwrite(fd, p, len, 0) == (ssize_t)len);
	AZ(lseek(fd, 0, SEEK_SET));
}

static void
check_error(const struct tkvm_error *err)
{

	assert(err->code != TKVM_OK);
	AN(err->text[0]);
	AN(memchr(err->text, '\0', sizeof err->text));
	AZ(strpbrk(err->text, "\n\r"));
}

static char *
dump(const struct tkvm_options *o, size_t *len)
{
	char *p = NULL;
	FILE *f;

	f = open_memstream(&p, len);
	AN(f);
	opt_dump(o, f);
	AZ(fclose(f));
	return (p);
}

static void
round_trip(const struct tkvm_options *o)
{
	struct tkvm_options *back;
	struct tkvm_error err;
	char *one, *two, hash[33];
	size_t n, k;

	tkvm_options_hash(o, hash);
	(void)tkvm_options_check(o, &err);
	one = dump(o, &n);
	store(one, n);
	back = tkvm_options_new("fuzz");
	AN(back);
	if (tkvm_config_read(name, back, &err) != 0) {
		(void)fprintf(stderr, "%s\n%s", err.text, one);
		abort();
	}
	two = dump(back, &k);
	if (n != k || memcmp(one, two, n) != 0) {
		(void)fprintf(stderr, "%s---\n%s", one, two);
		abort();
	}
	tkvm_options_free(&back);
	free(one);
	free(two);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{

	(void)argc;
	(void)argv;
	fd = memfd_create("toml", MFD_CLOEXEC);
	assert(fd >= 0);
	(void)snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
	return (0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	struct tkvm_options *o;
	struct tenant_set set;
	struct tkvm_error err;
	unsigned u;

	if (len < 1 || len > MAX_FILE)
		return (0);
	store(p + 1, len - 1);
	if (p[0] & 1) {
		(void)memset(&set, 0, sizeof set);
		if (tenants_read(name, &set, &err) != 0)
			check_error(&err);
		else
			for (u = 0; u < set.n && u < 4; u++)
				round_trip(set.v[u]);
		tenants_free(&set);
		return (0);
	}
	o = tkvm_options_new("fuzz");
	AN(o);
	if (tkvm_config_read(name, o, &err) != 0)
		check_error(&err);
	else
		round_trip(o);
	tkvm_options_free(&o);
	return (0);
}
