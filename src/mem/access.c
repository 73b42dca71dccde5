/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Guest memory, as the VMM reads and writes it on the guest's behalf.
 */

#include <errno.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>

#include "mem/as.h"

/* Pages the VMM has written itself are not in KVM's dirty log. */
void
as_mark(struct as *as, uint64_t gpa, uint64_t len)
{
	uint64_t p, e;

	if (as->image == NULL || len == 0)
		return;
	e = (gpa + len - 1) / PAGE_SZ;
	for (p = gpa / PAGE_SZ; p <= e; p++) {
		if (p * PAGE_SZ >= as->image_end) {
			bit_set(&as->rdirty, p - as->lo / PAGE_SZ);
			continue;
		}
		if (bit_get(&as->priv, p))
			continue;
		bit_set(&as->priv, p);
		/* the list has room for every page of the image */
		as->plist[as->npriv++] = (uint32_t)p;
	}
}

static uint8_t *
page_hva(struct as *as, uint64_t gva, unsigned access, int force)
{
	uint64_t *pte, gpa;
	int i;

	if (gva < GVA_USER_MIN || gva >= GVA_USER_END)
		return (NULL);
	for (i = 0; i < 2; i++) {
		pte = pt_leaf(as, gva, 0);
		if (pte != NULL && *pte != 0 && (force || ((*pte & PTE_P) &&
		    (!(access & AS_W) || (*pte & PTE_W))))) {
			gpa = (*pte & PTE_ADDR) + (gva & PAGE_MASK);
			if (gpa >= as->slot_end)
				return (NULL);
			if (access & AS_W)
				as_mark(as, gpa, 1);
			return (as->base + gpa);
		}
		if (force ? as_populate(as, gva, 1) != 0 :
		    as_fault(as, gva, access) != 0)
			return (NULL);
	}
	return (NULL);
}

static int
copy(struct as *as, uint64_t gva, void *rd, const void *wr, size_t len,
    int force)
{
	uint8_t *p;
	size_t n;

	for (; len > 0; len -= n, gva += n) {
		n = PAGE_SZ - (gva & PAGE_MASK);
		if (n > len)
			n = len;
		p = page_hva(as, gva, rd != NULL ? AS_R : AS_W, force);
		if (p == NULL)
			return (-EFAULT);
		/* The other side may be the same frame, in a shared mapping of
		 * the file that is read or written: memmove. */
		if (rd != NULL) {
			memmove(rd, p, n);
			rd = (uint8_t *)rd + n;
		} else if (wr != NULL) {
			memmove(p, wr, n);
			wr = (const uint8_t *)wr + n;
		} else
			memset(p, 0, n);
	}
	return (0);
}

int
as_read(struct as *as, uint64_t gva, void *dst, size_t len)
{

	return (copy(as, gva, dst, NULL, len, 0));
}

int
as_write(struct as *as, uint64_t gva, const void *src, size_t len)
{

	return (copy(as, gva, NULL, src, len, 0));
}

int
as_poke(struct as *as, uint64_t gva, const void *src, size_t len)
{

	return (copy(as, gva, NULL, src, len, 1));
}

int
as_zero(struct as *as, uint64_t gva, size_t len)
{

	return (copy(as, gva, NULL, NULL, len, 0));
}

int
as_strncpy(struct as *as, char *dst, uint64_t gva, size_t max)
{
	size_t n, room, done;
	uint8_t *p;
	char *e;

	for (done = 0; done < max; done += n, gva += n) {
		n = PAGE_SZ - (gva & PAGE_MASK);
		room = max - done;
		if (n > room)
			n = room;
		p = page_hva(as, gva, AS_R, 0);
		if (p == NULL)
			return (-EFAULT);
		memcpy(dst + done, p, n);
		/* look at the copy: the guest may be writing */
		e = memchr(dst + done, '\0', n);
		if (e != NULL)
			return ((int)(e - dst));
	}
	return (-ENAMETOOLONG);
}

ssize_t
as_iov(struct as *as, uint64_t gva, size_t len, int access,
    struct iovec *iov, unsigned *niov)
{
	unsigned max = *niov, u = 0;
	size_t n, done;
	uint8_t *p;

	for (done = 0; done < len; done += n, gva += n) {
		n = PAGE_SZ - (gva & PAGE_MASK);
		if (n > len - done)
			n = len - done;
		p = page_hva(as, gva, (unsigned)access, 0);
		if (p == NULL)
			break;
		if (u > 0 && (uint8_t *)iov[u - 1].iov_base +
		    iov[u - 1].iov_len == p) {
			iov[u - 1].iov_len += n;
			continue;
		}
		if (u == max)
			break;
		iov[u].iov_base = p;
		iov[u++].iov_len = n;
	}
	*niov = u;
	if (done == 0 && len > 0)
		return (-EFAULT);
	return ((ssize_t)done);
}

/*
 * A booting program's memory is a file: the kernel copies from one to the
 * other, and clears and maps no page for it that the program does not use.
 */
ssize_t
fill_run(uint8_t *base, int memfd, uint64_t gpa, size_t n, int fd, off_t off)
{
	off_t from = off;
	ssize_t r;

	if (memfd >= 0 && n >= PAGE_SZ &&
	    lseek(memfd, (off_t)gpa, SEEK_SET) >= 0) {
		r = sendfile(memfd, fd, &from, n);
		if (r > 0)
			return (r);
	}
	return (pread(fd, base + gpa, n, off));
}

int
as_fill(struct as *as, uint64_t gva, size_t len, int fd, uint64_t off)
{
	size_t done, n;
	ssize_t r;
	uint8_t *p;
	int i;

	if (later_add(as, gva, len, fd, off) == 0)
		return (0);
	i = as_populate(as, gva, len);
	if (i != 0)
		return (i);
	for (done = 0; done < len; done += (size_t)r) {
		p = page_hva(as, gva + done, AS_W, 1);
		if (p == NULL)
			return (-EFAULT);
		n = PAGE_SZ - ((gva + done) & PAGE_MASK);
		/* as many pages as lie in a row */
		while (done + n < len &&
		    page_hva(as, gva + done + n, AS_W, 1) == p + n)
			n += PAGE_SZ;
		if (n > len - done)
			n = len - done;
		r = fill_run(as->base, as->image == NULL ? as->memfd : -1,
		    (uint64_t)(p - as->base), n, fd, (off_t)(off + done));
		if (r < 0 && errno == EINTR)
			r = 0;
		else if (r < 0)
			return (-errno);
		else if (r == 0)
			break;		/* behind the end: zero */
	}
	return (0);
}

uint64_t
as_gpa(struct as *as, uint64_t gva)
{
	uint64_t *pte;

	pte = pt_leaf(as, gva, 0);
	if (pte == NULL || *pte == 0)
		return (0);
	return ((*pte & PTE_ADDR) + (gva & PAGE_MASK));
}
