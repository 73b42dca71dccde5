/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The first bytes of the blob: what the VMM has to know about it.
 */

#ifndef TKVM_BLOB_H
#define TKVM_BLOB_H

#define BLOB_MAGIC	0x626f6c624d564b54	/* "TKVMblob" */

#ifndef __ASSEMBLER__
#include <stdint.h>

struct blob_head {
	uint64_t	magic;
	uint64_t	entry0;		/* LSTAR where calls arrive in ring 0 */
	uint64_t	entry3;		/* ... in ring 3 */
	uint64_t	copy;		/* the instruction that touches the
					 * program's memory, and ... */
	uint64_t	efault;		/* where to go on when it may not */
	uint64_t	text_end;	/* [GVA_BLOB, here): read and execute */
	uint64_t	end;		/* [text_end, here): read and write */
	uint64_t	start_area;	/* GVA_START */
	/* The VMM enters here at a request's start; [1]: and comes out again
	 * at once.  With system calls in ring 0, and in ring 3 */
	uint64_t	start0[2], start3[2];
};
#endif

#endif
