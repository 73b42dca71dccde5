/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Things that are told once for an image and all its forks.
 */

#include "linux/sys_files.h"
#include "obj.h"

int
fs_tell_once(struct fs *fs, const char *what, const char *text)
{
	uint32_t h = 2166136261U;
	unsigned bit;

	for (; *what != '\0'; what++)
		h = (h ^ (uint8_t)*what) * 16777619U;
	for (; *text != '\0'; text++)
		h = (h ^ (uint8_t)*text) * 16777619U;
	h = (h ^ (h >> 16)) % (sizeof fs->told * 8);
	bit = 1U << (h & 7);
	return ((atomic_fetch_or(&fs->told[h >> 3], (unsigned char)bit) &
	    bit) == 0);
}
