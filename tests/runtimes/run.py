#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The servers people run, unmodified, under kvmserver and as tenants.

    run.py [--list] [WORD...]

Tests whose names contain one of the words, or all.  A server that is not
installed is skipped.  The environment: KVMSERVER, RUNTIMES_DIR (where to put
and find the servers), GUEST_PYTHON, TKVM_TEST_SCALE [0.1; 1 is the full
count], VARNISHD and VMOD_PATH.
"""

import email.utils
import os
import struct
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "server"))
os.environ.setdefault("KVMSERVER", os.path.join(TOP, "src", "kvmserver"))

import catalogue                                        # noqa: E402
import harness                                          # noqa: E402
from harness import check, find, scaled, Server, Skip   # noqa: E402

WARMUP = 5
VERIFIED = 100      # requests with --verify-reset, which is slow
VARNISHD = os.environ.get("VARNISHD") or "/usr/sbin/varnishd"
VMOD_PATH = os.environ.get("VMOD_PATH") or os.path.join(TOP, "vmod", ".libs")
FOLDER = catalogue.folder()
CLOCKSHIFT = os.path.join(FOLDER, "clockshift.so")

VCL = """
vcl 4.1;
import kvm;
backend default none;
sub vcl_init { kvm.tenants("%s"); }
sub vcl_recv { return (pass); }
sub vcl_backend_fetch { set bereq.backend = kvm.deliver("it"); }
"""


class Varnish(Server):
    """varnishd with one tenant, where Server is kvmserver with one."""

    def __init__(self, r):
        super().__init__([])
        toml = os.path.join(self.dir.name, "t.toml")
        vcl = os.path.join(self.dir.name, "t.vcl")
        argv = r.argv(FOLDER, 8080)
        env = ["%s=%s" % e for e in r.env.items()]
        with open(toml, "w") as f:
            f.write('[tenants.it]\nprogram = "%s"\nargs = %s\nenv = %s\n'
                    'allow-all = true\nthreads = 2\nwarmup = %d\n'
                    'max-boot-time = 120\nmax-request-time = 60\n'
                    'queue-time = 60\nqueue-limit = 100\n' % (
                        argv[0], list(argv[1:]), env, WARMUP))
        with open(vcl, "w") as f:
            f.write(VCL % toml)
        self.command = [
            VARNISHD, "-j", "none", "-F", "-n", self.dir.name,
            "-a", self.address, "-f", vcl, "-s", "malloc,64m",
            "-p", "vmod_path=" + VMOD_PATH]

    def __enter__(self):
        super().__enter__()
        end = time.monotonic() + self.wait
        while True:
            a = self.get("/time")
            if a.status == 200:
                return self
            if time.monotonic() > end:
                self.process.kill()
                self.process.wait()
                harness.fail("tenant not ready:", a)
            time.sleep(.2)


def kvmserver(r, *options, env=None):
    port = harness.free_port()
    return Server(r.argv(FOLDER, port), "-e", "--warmup", str(WARMUP),
                  "--queue-limit=100", *options,
                  *["--env=%s=%s" % e for e in r.env.items()], env=env)


def right(r, a, first):
    """One answer; `first` collects a page to compare the next ones with."""
    check(a.status == 200, a)
    text = a.body.decode()
    if r.size == 0:
        check(text == "hello %d\n" % (WARMUP + 1), "body", repr(text[:80]))
        return
    check(len(text) > r.size, "only", len(text), "bytes")
    check("hello <!-- -->%d<" % (WARMUP + 1) in text, "count:",
          repr(text[:200]))
    if first:
        check(text == first[0], "another page than before")
    else:
        first.append(text)


def load(r, server, n):
    """n requests one at a time, n by eight clients."""
    page = []
    with server.client(60) as c:
        for _ in range(n):
            right(r, c.request("GET", "/"), page)

    def some(i):
        with server.client(120) as c:
            for _ in range(i, n, 8):
                right(r, c.request("GET", "/"), page)
    harness.in_threads(8, some)


def served(r):
    with kvmserver(r, "-t", "2") as s:
        load(r, s, scaled(1000))
    check(find(s.stats, "reset_failures") == 0, s.stats)


def verified(r):
    n = scaled(VERIFIED)
    with kvmserver(r, "--verify-reset") as s:
        with s.client(60) as c:
            page = []
            for _ in range(n):
                right(r, c.request("GET", "/"), page)
    check(find(s.stats, "reset_failures") == 0, s.stats)
    check(find(s.stats, "resets") >= n, s.stats)


def tenant(r):
    if not os.path.exists(VARNISHD):
        raise Skip("no varnishd")
    with Varnish(r) as s:
        load(r, s, scaled(1000))


def at_time(r, server, ticks):
    """Clock, Date and interval as they should be now: at some time of the
    request, which takes long when the machine stops meanwhile."""
    with open(server.shift, "rb") as f:
        shift = struct.unpack("q", f.read())[0]
    before = time.time()
    a = server.get("/time")
    after = time.time()
    check(a.status == 200, a)
    said = int(a.body.split()[0]) / 1000 - shift
    check(before - 2 < said < after + 2, "clock is off by", before - said,
          "to", after - said, "s")
    if r.date:
        date = email.utils.parsedate_to_datetime(a.headers["Date"])
        said = date.timestamp() - shift
        check(before - 3 < said < after + 2, "Date is off by", before - said,
              "to", after - said, "s")
    now = int(a.body.split()[1])
    # ... and the request that `ticks` is from took at most `slack`.
    slack = 1 + int(after - before)
    check(ticks is None or abs(now - ticks[0]) <= slack + ticks[1],
          "interval fired from", ticks, "to", now)
    return now, slack - 1


def clock(r):
    """30 seconds and an hour after the freeze."""
    if not os.path.exists(CLOCKSHIFT):
        raise Skip("no clockshift.so")
    with tempfile.NamedTemporaryFile() as f:
        f.write(struct.pack("q", 0))
        f.flush()
        env = {"LD_PRELOAD": CLOCKSHIFT, "CLOCKSHIFT": f.name}
        with kvmserver(r, env=env) as s:
            s.shift = f.name
            ticks = at_time(r, s, None)
            for seconds in (30, 3600):
                with open(f.name, "r+b") as g:
                    g.write(struct.pack("q", seconds))
                for _ in range(3):
                    at_time(r, s, ticks)


TESTS = [("served", served), ("verified", verified), ("clock", clock),
         ("tenant", tenant)]


def run(r, name, f, why):
    start = time.monotonic()
    result = "PASS"
    try:
        if why:
            raise Skip(why)
        f(r)
        why = ""
    except Skip as e:
        result, why = "SKIP", str(e)
    except Exception as e:      # noqa: a test may fail in any way
        result, why = "FAIL", (str(e) if isinstance(e, harness.Failure)
                               else repr(e))
    why = " ".join((why or "").split())[:1500]
    print("%s %s %s (%.1f s)%s" % (
        result, r.name, name, time.monotonic() - start,
        why and ": " + why), flush=True)
    return result


def main():
    words = [a for a in sys.argv[1:] if not a.startswith("-")]
    todo = [(r, n, f) for r in catalogue.RUNTIMES for n, f in TESTS
            if not words or any(w in r.name + " " + n for w in words)]
    if "--list" in sys.argv:
        print("\n".join("%s %s" % (r.name, n) for r, n, _ in todo))
        return 0
    if not os.path.exists("/dev/kvm"):
        bad = bool(os.environ.get("TKVM_REQUIRE_KVM"))
        print("%s all: no /dev/kvm" % ("FAIL" if bad else "SKIP"))
        print("0 passed, %d failed, %d skipped" % (bad, not bad))
        return 1 if bad else 77
    why, results = {}, []
    for r, n, f in todo:
        if r.name not in why:
            why[r.name] = r.prepare(FOLDER)
        results.append(run(r, n, f, why[r.name]))
    passed, failed, skipped = (results.count(x)
                               for x in ("PASS", "FAIL", "SKIP"))
    print("%d passed, %d failed, %d skipped" % (passed, failed, skipped))
    return 1 if failed else 0 if passed else 77


if __name__ == "__main__":
    sys.exit(main())
