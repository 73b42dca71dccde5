#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""What a request may cost at most, for w00000.vtc: counts, which are the same
on a busy machine.  docs/performance.md says what each is for.

    budget.py NAME PORT VCL

Who lowers a count lowers its limit, so that it stays low; who has to raise one
says why in the commit.
"""

import http.client
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time

N = 200
TRIES = 5

# Exits: the guest's wait for the next connection, and rarely a timer.  Pages:
# of the C server a third is the connection's; of Python, what it allocates.
# They depend on compiler and version a little.
LIMITS = {
    "c": {"exits": 1.05, "pages_reset": 22},
    "asyncio": {"exits": 1.1, "pages_reset": 450},
}
# Host calls of a worker process for a request: KVM_RUN, KVM_GET_DIRTY_LOG of the
# reset (after the answer), and none of the others that Varnish itself does not
# make.
IOCTLS = 2.1
NEVER = ("getrandom", "mmap", "munmap", "mprotect", "mremap", "brk", "madvise",
         "timer_settime", "timerfd_settime", "setitimer", "rt_sigaction",
         "rt_sigprocmask", "tgkill", "clock_gettime", "gettid", "openat",
         "close", "pread64")     # kicks of the watchdog come with strace
RARE = .05


def stats(name, vcl, tenant):
    """Our counters, when the last request has been reset and counted, which
    may be after its answer."""
    start = "KVM.%s.%s." % (vcl, tenant)
    end = time.monotonic() + 60
    while True:
        out = subprocess.run(["varnishstat", "-n", name, "-j"], check=True,
                             stdout=subprocess.PIPE).stdout
        found = {k[len(start):]: v["value"]
                 for k, v in json.loads(out)["counters"].items()
                 if k.startswith(start)}
        if found["resets"] == found["requests"] and found["busy"] == 0:
            return found
        assert time.monotonic() < end, found
        time.sleep(.1)


def load(port, tenant, way, n):
    c = http.client.HTTPConnection("127.0.0.1", int(port), timeout=60)
    for _ in range(n):
        c.request("GET", "/", headers={"tenant": tenant, "way": way})
        r = c.getresponse()
        r.read()
        assert r.status == 200, r.status
    c.close()


def host_calls(name, run):
    """{call: how many} of the worker process while `run` does N requests."""
    pid = re.search(r"Worker\D*(\d+)", subprocess.run(
        ["varnishadm", "-n", name, "pid"], check=True,
        stdout=subprocess.PIPE).stdout.decode()).group(1)
    with tempfile.NamedTemporaryFile() as log:
        p = subprocess.Popen(["strace", "-f", "-c", "-o", log.name, "-p", pid],
                             stderr=subprocess.PIPE)
        # It says what it is attached to.
        if b"attached" not in p.stderr.readline():
            p.terminate()
            return None
        time.sleep(1)
        run()
        p.terminate()
        p.communicate()
        found = {}
        for line in log.read().decode().splitlines():
            w = line.split()
            if len(w) >= 5 and w[3].isdigit() and w[-1] != "total":
                found[w[-1]] = int(w[3])
        return found


def of_counters(name, port, vcl, tenant, way):
    """[(what, how many a request, at most)]"""
    a = stats(name, vcl, tenant)
    load(port, tenant, way, N)
    b = stats(name, vcl, tenant)
    assert b["requests"] - a["requests"] == N, (a, b)
    assert b["resets"] - a["resets"] == N, (a, b)
    return [(k, (b[k] - a[k]) / N, most) for k, most in LIMITS[tenant].items()]


def of_the_host(name, port, tenant, way):
    """Likewise"""
    if not shutil.which("strace"):
        print("no strace: host calls are not counted")
        return []
    calls = host_calls(name, lambda: load(port, tenant, way, N))
    if calls is None:
        print("strace may not attach: host calls are not counted")
        return []
    return [("ioctl", calls["ioctl"] / N, IOCTLS)] + [
        (c, calls[c] / N, RARE) for c in NEVER if c in calls]


def over(what, count):
    """What is over its limit in each of TRIES rounds.  A request costs what it
    costs at least; more where its thread was held up for milliseconds and the
    watchdog came, or Varnish had to start a thread."""
    bad = None
    for _ in range(TRIES):
        now = set()
        for k, value, most in count():
            print("%s %s: %.3f, at most %g" % (what, k, value, most))
            if value > most:
                now.add("%s %s" % (what, k))
        bad = now if bad is None else bad & now
        if not bad:
            break
    return bad


def main(name, port, vcl):
    bad = set()
    for tenant in LIMITS:
        for way in ("deliver", "synth"):
            what = "%s %s" % (tenant, way)
            load(port, tenant, way, 50)
            bad |= over(what, lambda t=tenant, w=way:
                        of_counters(name, port, vcl, t, w))
            bad |= over(what, lambda t=tenant, w=way:
                        of_the_host(name, port, t, w))
    assert not bad, "over the budget: " + ", ".join(sorted(bad))


if __name__ == "__main__":
    main(*sys.argv[1:])
