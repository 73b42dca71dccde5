/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * /proc/cpuinfo: one x86-64 processor.  Programs that want features ask CPUID;
 * the flags here are those that every guest has.
 */

#include <cpuid.h>

#include "linux/sys_files.h"
#include "obj.h"

static void
brand(char out[49])
{
	uint32_t r[12] = { 0 };
	unsigned u;

	(void)memset(out, 0, 49);
	if (__get_cpuid_max(0x80000000U, NULL) < 0x80000004U)
		return;
	for (u = 0; u < 3; u++)
		(void)__get_cpuid(0x80000002U + u, &r[u * 4], &r[u * 4 + 1],
		    &r[u * 4 + 2], &r[u * 4 + 3]);
	(void)memcpy(out, r, 48);
}

void
proc_cpuinfo(struct machine *m, struct text *x)
{
	uint32_t a = 0, b = 0, c = 0, d = 0, fam, model;
	char vendor[13] = "", name[49], *p;

	(void)m;
	if (__get_cpuid(0, &a, &b, &c, &d)) {
		(void)memcpy(vendor, &b, 4);
		(void)memcpy(vendor + 4, &d, 4);
		(void)memcpy(vendor + 8, &c, 4);
	}
	(void)__get_cpuid(1, &a, &b, &c, &d);
	fam = (a >> 8) & 15;
	model = (a >> 4) & 15;
	if (fam == 6 || fam == 15)
		model |= ((a >> 16) & 15) << 4;
	if (fam == 15)
		fam += (a >> 20) & 255;
	brand(name);
	p = name + strspn(name, " ");
	text_add(x, "processor\t: 0\nvendor_id\t: %s\ncpu family\t: %u\n"
	    "model\t\t: %u\nmodel name\t: %s\nstepping\t: %u\n"
	    "cpu MHz\t\t: 1000.000\nphysical id\t: 0\nsiblings\t: 1\n"
	    "core id\t\t: 0\ncpu cores\t: 1\nfpu\t\t: yes\n"
	    "cpuid level\t: 1\nwp\t\t: yes\n", vendor, fam, model,
	    *p == '\0' ? "unknown" : p, a & 15);
	text_add(x, "flags\t\t: fpu de pse tsc msr pae cx8 cmov pat clflush "
	    "mmx fxsr sse sse2 syscall nx lm%s%s%s%s%s\n",
	    c & 1U ? " pni" : "", c & (1U << 9) ? " ssse3" : "",
	    c & (1U << 19) ? " sse4_1" : "", c & (1U << 20) ? " sse4_2" : "",
	    c & (1U << 23) ? " popcnt" : "");
	text_add(x, "clflush size\t: 64\naddress sizes\t: 48 bits physical, "
	    "48 bits virtual\n\n");
}
