/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The guest's clocks.  CLOCK_MONOTONIC stands still between the freeze and a
 * request, so that no burst of expired timers fires; CLOCK_REALTIME is the
 * host's.
 */

#include <x86intrin.h>

#include "machine/priv.h"

_Static_assert(sizeof(struct gk_vvar) <= PAGE_SZ, "the page at GPA_VVAR");

struct gk_vvar *
machine_vvar(struct machine *m)
{

	as_mark(m->as, GPA_VVAR, PAGE_SZ);
	return ((void *)(m->as->base + GPA_VVAR));
}

void
vvar_update(struct machine *m)
{
	struct gk_vvar *v = machine_vvar(m);

	v->pid = m->proc.pid;
	v->ppid = m->proc.ppid;
	v->uid = m->proc.uid;
	v->gid = m->proc.gid;
	v->ruid = m->proc.ruid;
	v->rgid = m->proc.rgid;
	v->tid = (uint32_t)m->thread[m->proc.cur].tid;
	v->nthreads = m->proc.nthreads;
	/* a trace shows every call */
	v->inside = !m->opt->verbose_syscalls;
}

/* leave: the vCPU is in the blob, and to come out behind the call. */
uint32_t
vvar_leave(struct machine *m, uint32_t leave)
{
	struct gk_vvar *v = machine_vvar(m);
	uint32_t was = v->leave;

	v->leave = leave;
	return (was);
}

void
clock_start(struct machine *m, uint64_t mono_ns)
{
	const unsigned khz = m->vm->host->pub.tsc_khz;
	struct gk_vvar *v = machine_vvar(m);
	uint64_t now;

	now = host_mono();
	m->mono_off = now - mono_ns;
	m->clk.usable = khz != 0;
	m->clk.tsc0 = __rdtsc();
	m->clk.real_ns = host_real();
	m->clk.mono_ns = mono_ns;
	if (khz != 0)
		m->clk.mult = (uint64_t)(((unsigned __int128)1000000 << 32) /
		    khz);
	v->usable = khz != 0;
	v->tsc0 = m->clk.tsc0;
	v->mult = m->clk.mult;
	v->real_ns = m->clk.real_ns;
	v->mono_ns = m->clk.mono_ns;
}

void
clock_skip(struct machine *m, uint64_t ns)
{
	struct gk_vvar *v = machine_vvar(m);

	m->mono_off -= ns;
	m->clk.mono_ns += ns;
	v->mono_ns = m->clk.mono_ns;
}

void
clock_watch(struct machine *m, int on)
{

	machine_vvar(m)->usable = m->clk.usable && !on;
}

/* The same reckoning as in the guest, so that the two never disagree. */
static uint64_t
since(const struct machine *m)
{
	int64_t d = (int64_t)(__rdtsc() - m->clk.tsc0);

	if (d < 0)
		d = 0;
	return ((uint64_t)(((unsigned __int128)(uint64_t)d *
	    m->clk.mult) >> 32));
}

uint64_t
machine_mono(const struct machine *m)
{

	if (m->clk.usable)
		return (m->clk.mono_ns + since(m));
	return (host_mono() - m->mono_off);
}

uint64_t
machine_real(const struct machine *m)
{

	if (m->clk.usable)
		return (m->clk.real_ns + since(m));
	return (host_real());
}

void
machine_times(const struct machine *m, uint64_t *mono, uint64_t *real)
{
	uint64_t d;

	if (m->clk.usable) {
		d = since(m);
		*mono = m->clk.mono_ns + d;
		*real = m->clk.real_ns + d;
		return;
	}
	*mono = machine_mono(m);
	*real = machine_real(m);
}
