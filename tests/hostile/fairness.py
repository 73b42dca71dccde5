#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Does a tenant at 100 % overload slow down another?

    fairness.py [ROUNDS [REQUESTS]]

Two tenants with one fork each in one varnishd.  Each round measures the p99 of
B twice: beside a native program that spins in A's place, and while A's fork
is spinning all the time with more requests in its queue.  The median of the
rounds' ratios may be 1.2 at most.  A measurement: run it on a quiet machine
with two processors or more; it is no part of `make check`.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import soak             # noqa: E402

TENANTS = """
[defaults]
program = "%s/chttp_static"
args = ["8080"]
threads = 1
max-request-time = %g
queue-time = 1
queue-limit = 8
[tenants.soak]
[tenants.a]
"""
VCL = soak.VCL.replace('kvm.deliver("soak")',
                       'kvm.deliver(regsub(bereq.http.Host, ":.*", ""))')
OVERLOAD = 4            # clients of A


def ask(v, host, path):
    load = soak.Load(v, 0)
    return load.ask(path, host=host)


def p99(v, n):
    took = []
    for _ in range(n):
        t = time.monotonic()
        status = ask(v, "soak", "/")
        took.append(time.monotonic() - t)
        if status != 200:
            raise SystemExit("B was answered %s" % status)
        time.sleep(0.002)
    return sorted(took)[int(n * 0.99)]


def beside_spinner(v, n):
    p = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        return p99(v, n)
    finally:
        p.kill()
        p.wait()


def beside_overload(v, n):
    stop = threading.Event()

    def client():
        while not stop.is_set():
            ask(v, "a", "/loop")

    threads = [threading.Thread(target=client) for _ in range(OVERLOAD)]
    for t in threads:
        t.start()
    time.sleep(0.5)
    try:
        return p99(v, n)
    finally:
        stop.set()
        for t in threads:
            t.join()


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    n = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    folder = tempfile.mkdtemp(prefix="tkvm-fairness.")
    os.chmod(folder, 0o755)
    soak.TENANTS, soak.VCL = TENANTS, VCL
    v = soak.Varnish(folder)
    ratios = []
    try:
        soak.wait_ready(v, v.names[-1])
        time.sleep(1)
        p99(v, 100)
        for i in range(rounds):
            # In turn, so that a drift of the machine counts for both
            if i % 2:
                other = beside_overload(v, n)
                base = beside_spinner(v, n)
            else:
                base = beside_spinner(v, n)
                other = beside_overload(v, n)
            ratios.append(other / base)
            print("round %d: p99 %.2f ms beside a spinner, %.2f ms beside "
                  "an overloaded tenant: %.2f" % (i + 1, base * 1e3,
                                                  other * 1e3, ratios[-1]))
    finally:
        v.stop()
        shutil.rmtree(folder, ignore_errors=True)
    median = statistics.median(ratios)
    print("median %.2f: %s" % (median, "PASS" if median <= 1.2 else "FAIL"))
    return median > 1.2


if __name__ == "__main__":
    sys.exit(main())
