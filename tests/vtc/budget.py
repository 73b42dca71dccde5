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
    """Our counters.  They are taken over when no request is in flight."""
    time.sleep(.2)
    out = subprocess.run(["varnishstat", "-n", name, "-j"], check=True,
                         stdout=subprocess.PIPE).stdout
    counters = json.loads(out)["counters"]
    start = "KVM.%s.%s." % (vcl, tenant)
    return {k[len(start):]: v["value"] for k, v in counters.items()
            if k.startswith(start)}


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


def main(name, port, vcl):
    bad = []

    def limit(what, value, most):
        print("%s: %.3f, at most %g" % (what, value, most))
        if value > most:
            bad.append(what)

    for tenant, limits in LIMITS.items():
        for way in ("deliver", "synth"):
            load(port, tenant, way, 50)
            a = stats(name, vcl, tenant)
            load(port, tenant, way, N)
            b = stats(name, vcl, tenant)
            assert b["requests"] - a["requests"] == N, (a, b)
            assert b["resets"] - a["resets"] == N, (a, b)
            for k, most in limits.items():
                limit("%s %s %s" % (tenant, way, k), (b[k] - a[k]) / N, most)
            if not shutil.which("strace"):
                print("no strace: host calls are not counted")
                continue
            calls = host_calls(name, lambda: load(port, tenant, way, N))
            if calls is None:
                print("strace may not attach: host calls are not counted")
                continue
            limit("%s %s ioctl" % (tenant, way), calls["ioctl"] / N, IOCTLS)
            for c in NEVER:
                if c in calls:
                    limit("%s %s %s" % (tenant, way, c), calls[c] / N, RARE)
    assert not bad, "over the budget: " + ", ".join(bad)


if __name__ == "__main__":
    main(*sys.argv[1:])
