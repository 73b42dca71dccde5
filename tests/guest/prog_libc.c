/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * C library habits: stdio, locale, qsort, math, dlopen-free start-up.
 */

#define _GNU_SOURCE
#include <locale.h>
#include <math.h>
#include <pwd.h>
#include <setjmp.h>

#include "prog.h"

static void
at_exit(void)
{
	(void)printf("atexit handler\n");
}

static int
by_int(const void *a, const void *b)
{
	return (*(const int *)a - *(const int *)b);
}

int
main(void)
{
	static int v[5000];
	char line[64];
	struct tm tm;
	time_t t = 86400;
	unsigned bad = 0;
	FILE *f;
	int i;

	(void)atexit(at_exit);
	(void)setlocale(LC_ALL, "C.UTF-8");
	f = tmpfile();
	OK(f != NULL);
	for (i = 0; f != NULL && i < 1000; i++)
		(void)fprintf(f, "line %d\n", i);
	OK(f != NULL && fseek(f, 0, SEEK_SET) == 0);
	for (i = 0; f != NULL && fgets(line, sizeof line, f) != NULL; i++)
		bad += strtol(line + 5, NULL, 10) != i;
	OK(i == 1000 && bad == 0);
	OK(f != NULL && fclose(f) == 0);
	for (i = 0; i < 5000; i++)
		v[i] = i * 7919 % 5003;
	qsort(v, 5000, sizeof v[0], by_int);
	for (i = 1; i < 5000; i++)
		bad += v[i] < v[i - 1];
	OK(bad == 0);
	(void)printf("%.12f %.12f %a\n", sin(1.0 + bad), exp(1.5 + bad),
	    sqrt(2.0 + bad));
	(void)setenv("TZ", "UTC0", 1);
	tzset();
	OK(localtime_r(&t, &tm) != NULL && tm.tm_mday == 2);
	(void)fprintf(stderr, "to stderr\n");
	(void)fputs("no newline at the end", stdout);
	exit(42);
}
