/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A guest's memory: guest physical frames in one host mapping, the guest's
 * page tables in such frames, VMAs as Linux has them, and the private set that
 * a reset puts back.
 *
 * Host virtual = as->base + guest physical, always.  [0, image_end) is the
 * image (the parent's memfd, MAP_PRIVATE in a fork), the rest belongs to the
 * request at hand.  The program never sees the page tables.
 */

#ifndef TKVM_MEM_H
#define TKVM_MEM_H

#include <stdint.h>
#include <stdio.h>
#include <sys/uio.h>

#include "tkvm.h"

struct vm;

enum {					/* access, and VMA protection */
	AS_R = 1,			/* = PROT_READ */
	AS_W = 2,			/* = PROT_WRITE */
	AS_X = 4,			/* = PROT_EXEC */
};

#define VMA_SHARED	0x01		/* MAP_SHARED */
#define VMA_GROWSDOWN	0x02
#define VMA_WIPEONFORK	0x04
#define VMA_IMAGE	0x08		/* as it was when the image froze */
#define VMA_FIXEDPART	0x10		/* [vdso]: munmap and mprotect refused */
#define VMA_BEYOND	0x20		/* behind the end of its file: SIGBUS */
#define VMA_NEVER_W	0x40		/* shared, of a file that we may only read */

struct vma {
	uint64_t	start, end;	/* page aligned, end exclusive */
	uint64_t	off;		/* file offset of start */
	uint8_t		prot, flags;
	uint16_t	name;		/* as->name[] index + 1; 0: anonymous */
	uint32_t	file;		/* in memory, mapped shared; or 0 */
};

struct as;

/* ---- regions (vma.c, map.c); all return 0 or -errno ------------------------ */

/*
 * mmap: `addr` is a hint, or binding with MAP_FIXED(_NOREPLACE) in mapflags
 * (the Linux values).  The new VMA is empty: a private file mapping is filled
 * by the caller with as_fill().  The address, or -errno.
 */
int64_t as_map(struct as *, uint64_t addr, uint64_t len, unsigned prot,
    unsigned mapflags, const char *name, uint64_t off);
int as_unmap(struct as *, uint64_t addr, uint64_t len);
int as_protect(struct as *, uint64_t addr, uint64_t len, unsigned prot);
/* mremap(2): the new address, or -errno */
int64_t as_remap(struct as *, uint64_t addr, uint64_t oldlen, uint64_t newlen,
    unsigned flags, uint64_t newaddr);
/* madvise(MADV_DONTNEED): reads as zero (private file pages too) */
int as_dontneed(struct as *, uint64_t addr, uint64_t len);
/* Zero what is there, shared or not: madvise(MADV_REMOVE); -ENOMEM if a part
 * of it is not mapped */
int as_clear(struct as *, uint64_t addr, uint64_t len);
/* Set or clear flags of regions */
int as_set_flags(struct as *, uint64_t addr, uint64_t len, uint8_t set,
    uint8_t clear);
/* NULL if addr is in no VMA; valid until the next change of regions */
const struct vma *as_find(struct as *, uint64_t addr);
/* Iterate in address order: first VMA with end > addr, or NULL */
const struct vma *as_next(struct as *, uint64_t addr);
const char *as_vma_name(struct as *, const struct vma *);
/* Is there a region with (without) these flags in [addr, addr+len)? */
int as_has(struct as *, uint64_t addr, uint64_t len, uint8_t with,
    uint8_t without);
/* Does every region of a mapped range allow this access? */
int as_allows(struct as *, uint64_t addr, uint64_t len, unsigned access);
/* Is [addr, addr+len) mapped throughout? */
int as_covered(struct as *, uint64_t addr, uint64_t len);
/* mincore: 1 if the page has a frame */
int as_present(struct as *, uint64_t addr);
/* Frames in use by mappings, bytes (RSS) and total of the VMAs (VSZ) */
uint64_t as_rss(struct as *);
uint64_t as_vsz(struct as *);
/* Frames there are at most, and of them not yet in use */
void as_frames(const struct as *, uint64_t *total, uint64_t *avail);
/* brk(2): the new break */
uint64_t as_brk(struct as *, uint64_t want);

/* ---- files of guest frames (memfile.c) -------------------------------------- */

#define MEMFILE_HEIGHT	3		/* 512 GiB */

struct memfile {
	uint64_t	root;		/* gpa; 0: no page */
	uint32_t	height;
	uint32_t	npages;
};

/*
 * The frame of page pg: 0 in *gpa is a hole, unless `alloc`.  0 or -ENOSPC,
 * -EFBIG.  The caller has marked the struct memfile itself.
 */
int memfile_page(struct as *, struct memfile *, uint64_t pg, int alloc,
    uint64_t *gpa);
/* Free pages [from, to); as_file_zap() comes first. */
void memfile_cut(struct as *, struct memfile *, uint64_t from, uint64_t to);
/* The first page of [pg, end) that has (or has not) a frame; or end */
uint64_t memfile_next(struct as *, struct memfile *, uint64_t pg, uint64_t end,
    int data);
/* Where a frame is, NULL for nonsense; what the VMM writes it marks. */
uint8_t *as_frame(struct as *, uint64_t gpa);
void as_touch(struct as *, const void *, size_t);
/*
 * The region as_map() has just made shows this file, whose pages come from
 * the callback given to as_file_pager().
 */
int as_map_file(struct as *, uint64_t addr, uint64_t len, uint32_t file,
    int nowrite);
/* Is it mapped anywhere, with at least these rights? */
int as_maps_file(struct as *, uint32_t file, unsigned prot);
/* Take pages [from, to) of a file out of all mappings. */
void as_file_zap(struct as *, uint32_t file, uint64_t from, uint64_t to);
/* 0, -ENXIO behind the end of the file (SIGBUS), -ENOMEM */
typedef int as_pager_f(void *priv, uint32_t file, uint64_t pg, uint64_t *gpa);
void as_file_pager(struct as *, as_pager_f *, void *priv);

/* ---- access by the VMM (access.c): 0 or -EFAULT; demand faults happen ------- */

int as_read(struct as *, uint64_t gva, void *dst, size_t);
int as_write(struct as *, uint64_t gva, const void *src, size_t);
/* For the loader: ignores VMA protection, the range must be mapped. */
int as_poke(struct as *, uint64_t gva, const void *src, size_t);
int as_zero(struct as *, uint64_t gva, size_t);
/*
 * A NUL-terminated string of at most max - 1 bytes: its length, -EFAULT, or
 * -ENAMETOOLONG.
 */
int as_strncpy(struct as *, char *dst, uint64_t gva, size_t max);
/*
 * Host views of guest memory for readv/writev: up to *n entries for at most
 * len bytes, access AS_R (the VMM reads guest memory) or AS_W (the VMM writes
 * it; the pages are then part of the private set).  Bytes covered (may be less
 * than len when entries ran out or a later page faults), or -EFAULT.
 * The views are valid until the next change of regions.
 */
ssize_t as_iov(struct as *, uint64_t gva, size_t len, int access,
    struct iovec *, unsigned *n);
/* pread(fd, off) into fresh frames of [gva, gva+len); short files read zero */
int as_fill(struct as *, uint64_t gva, size_t len, int fd, uint64_t off);

#endif
