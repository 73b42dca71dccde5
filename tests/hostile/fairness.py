#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Does a tenant at 100 % overload slow down another?

    fairness.py [ROUNDS [REQUESTS]]

Two tenants with one fork each in one varnishd.  Each round measures the p99 of
B, which has one request at a time, twice: beside a native program that spins
in A's place, and while A's fork works all the time, with more requests in its
queue.  Either way one thread more wants a processor.  A's requests take 50 ms
of it and are sent by a process of their own, so that neither their clients nor
Varnish's work for them counts.  The median of the rounds' ratios may be 1.2 at
most; those do not count in which somebody else used the machine.  A
measurement, for a quiet machine with two processors or more; it is no part of
`make check`.
"""

import ctypes
import multiprocessing
import os
import shutil
import signal
import socket
import statistics
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
NOISE = 0.04            # of the machine's time, that others may use


WORK = "/bursts?n=1&ms=50"


def ask(port, host, path):
    """The status, as cheaply as it can be had"""
    with socket.create_connection(("127.0.0.1", port), 30) as s:
        s.sendall(b"GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n"
                  b"\r\n" % (path.encode(), host.encode()))
        got = b""
        while True:
            b = s.recv(65536)
            if not b:
                return int(got[9:12]) if got[:5] == b"HTTP/" else 0
            got += b


def times(v, n):
    """Seconds that each of n requests of B took, sorted"""
    took = []
    for _ in range(n):
        t = time.monotonic()
        status = ask(v.port, "soak", "/")
        took.append(time.monotonic() - t)
        if status != 200:
            raise SystemExit("B was answered %s" % status)
        time.sleep(0.002)
    return sorted(took)


def neighbour(f, *args):
    """For ever, but no longer than who started it"""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)      # PR_SET_PDEATHSIG
    f(*args)


def beside(v, n, f, *args):
    """... while a process does f(*args)"""
    p = multiprocessing.Process(target=neighbour, args=(f, *args),
                                daemon=True)
    p.start()
    time.sleep(0.3)
    try:
        q = Quiet(v)
        t = times(v, n)
        return t, q.others()
    finally:
        p.kill()
        p.join()


def ticks(v):
    """CPU time so far: all there was, and that of Varnish and our own"""
    with open("/proc/stat") as f:
        t = [int(x) for x in f.readline().split()[1:]]
    mine = sum(os.times()[:4]) * os.sysconf("SC_CLK_TCK")
    for pid in [v.worker, v.process.pid] + [
            p.pid for p in multiprocessing.active_children()]:
        with open("/proc/%d/stat" % pid) as f:
            s = f.read().rsplit(")", 1)[1].split()
        mine += int(s[11]) + int(s[12])
    return sum(t[:3]) + t[5] + t[6], mine, sum(t[:8])


class Quiet:
    """What did others use of the machine meanwhile?"""
    def __init__(self, v):
        self.v, self.start = v, ticks(v)

    def others(self):
        used, mine, total = (b - a for a, b in zip(self.start, ticks(self.v)))
        return max(0, used - mine) / max(1, total)


def spin():
    # As the guest does: it looks at the clock
    while True:
        time.monotonic()


def overload(port):
    def client():
        # One connection: what opening them costs Varnish is not A's
        with socket.create_connection(("127.0.0.1", port), 30) as s:
            while True:
                s.sendall(b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" %
                          WORK.encode())
                if not s.recv(65536):
                    break

    for _ in range(OVERLOAD):
        threading.Thread(target=client).start()


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    n = int(sys.argv[2]) if len(sys.argv) > 2 else 500
    folder = tempfile.mkdtemp(prefix="tkvm-fairness.")
    os.chmod(folder, 0o755)
    soak.TENANTS, soak.VCL = TENANTS, VCL
    v = soak.Varnish(folder)
    ratios, noisy = [], 0
    try:
        soak.wait_ready(v, v.names[-1])
        time.sleep(1)
        times(v, 100)
        for i in range(20 * rounds):
            if len(ratios) == rounds:
                break
            # In turn, so that a drift of the machine counts for both
            if i % 2:
                other = beside(v, n, overload, v.port)
                base = beside(v, n, spin)
            else:
                base = beside(v, n, spin)
                other = beside(v, n, overload, v.port)
            p99 = [t[int(n * 0.99)] * 1e3 for t, _ in (base, other)]
            p50 = [t[n // 2] * 1e3 for t, _ in (base, other)]
            if max(q for _, q in (base, other)) > NOISE:
                noisy += 1
                continue
            ratios.append(p99[1] / p99[0])
            print("round %d: p99 %.2f ms (median %.2f) beside a spinner, "
                  "%.2f ms (%.2f) beside an overloaded tenant: %.2f" % (
                      len(ratios), p99[0], p50[0], p99[1], p50[1], ratios[-1]),
                  flush=True)
        c = v.counters(v.names[-1] + ".a")
        print("A: %d requests, %d queued" % (c["requests"], c["queued"]))
    finally:
        v.stop()
        shutil.rmtree(folder, ignore_errors=True)
    if noisy:
        print("%d rounds more did not count: others used the machine" % noisy)
    if not ratios:
        return 77
    median = statistics.median(ratios)
    print("median %.2f: %s" % (median, "PASS" if median <= 1.2 else "FAIL"))
    return median > 1.2


if __name__ == "__main__":
    sys.exit(main())
