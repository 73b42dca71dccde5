/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A small program, booted on the fake KVM and frozen while it waits in
 * accept(2), with something of everything: regions of each protection and
 * descriptors of each kind.
 */

#ifndef FAKE_IMAGE_H
#define FAKE_IMAGE_H

#include "fake_kvm.h"

/* Regions of the program, a page each unless told otherwise */
#define GOOD		0x10000000UL	/* 64 KiB, readable and writable */
#define GOOD_SIZE	0x10000UL	/* ... nothing is mapped behind it */
#define RDONLY		0x10020000UL
#define NOACCESS	0x10030000UL
#define NEXT_TO_NONE	0x1002f000UL	/* writable, before NOACCESS */
#define UNMAPPED	0x10050000UL
#define FILEMAP		0x10060000UL	/* of a host file, private */
#define SHARED		0x10070000UL	/* of a memfd */
#define NFD		24		/* descriptors that are open, or nearly */
#define CONN_FD		19		/* of the first connection */

/* Bytes of the input, zero behind its end */
struct input {
	const uint8_t	*p, *e;
};

uint64_t in_int(struct input *, unsigned bytes);
size_t in_bytes(struct input *, void *, size_t max);

/* A pointer of any sort for an argument, chosen by the input */
#define PTR_KINDS	16u
uint64_t in_pointer(struct input *, unsigned kind);

/* Folder of this process for host files; removed at the end */
extern char fake_dir[];
/* The image, without or with `warm` connection; made at the first call. */
struct tkvm_image *fake_image(int warm);
/* A fork of it, and the next one after one that broke */
struct tkvm_fork *fake_fork(struct tkvm_image *);
void fake_fork_free(struct tkvm_fork **);
/* Say what failed, and end. */
void fake_die(const char *what, const struct tkvm_error *)
    __attribute__((noreturn));
/* Back to the image, which is checked `now`. */
void fake_reset(struct tkvm_fork **, int now);
/* Empty the folder that the guest may write to. */
void fake_clean(void);

/* What the guest does after the boot: see fake_guest(). */
enum vcpu_exit guest_step(struct vcpu *);

#endif
