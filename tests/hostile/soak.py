#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Mixed requests through varnishd for a long time: good ones, crashes, loops,
errors of every kind, slow clients and such that leave, with a VCL reload every
few seconds.

    soak.py [REQUESTS]

The worker process stays the same, its memory and descriptors stay flat after
the first tenth, every answer is the right one, and the counters know of each
request and error.  REQUESTS: 1,000,000, or less by TKVM_TEST_SCALE (0.1:
20,000).
"""

import collections
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(here), "server"))

import harness          # noqa: E402
from harness import wait_for    # noqa: E402

RELOAD = 10 if harness.SCALE >= 1 else 4
CLIENTS = 6
# Loops end by the CPU time they have used, so that a busy host, or one that
# stops for a while, makes no other request late.
LIMIT = 0.3             # max-request-cpu-time of the tenant
PATIENCE = 300          # s: everything else

# path, weight, what the counters call it, statuses that are right
MIX = [
    ("/", 500, "ok", (200,)),
    ("/size?n=100000", 60, "ok", (200,)),
    ("/chunked?n=3000", 60, "ok", (200,)),
    ("/status?c=404", 20, "ok", (404,)),
    ("/crash", 20, "err_crash", (503,)),
    ("/abort", 10, "err_crash", (503,)),
    ("/exit", 10, "err_exit", (503,)),
    ("/garbage", 10, "err_protocol", (503,)),
    ("/close", 10, "err_closed", (503,)),
    ("/nothing", 10, "err_stuck", (503,)),
    ("/loop", 2, "err_timeout", (503,)),
    ("slow", 10, "ok", (200,)),
    ("leave", 10, "left", ()),
]

TENANTS = """
[tenants.soak]
program = "%s/chttp_static"
args = ["8080"]
threads = 3
max-request-cpu-time = %g
max-boot-time = 120
max-request-time = 200
queue-time = 200
queue-limit = 1000
"""

VCL = """
vcl 4.1;
import kvm;
backend default none;
# %d
sub vcl_init { kvm.tenants("%s"); }
sub vcl_recv { return (pass); }
sub vcl_backend_fetch { set bereq.backend = kvm.deliver("soak"); }
sub vcl_backend_error { set beresp.http.X-Error = "1"; }
"""


class Varnish:
    def __init__(self, folder):
        self.dir = folder
        self.port = harness.free_port()
        self.sums = collections.Counter()
        self.names = []
        with open(folder + "/t.toml", "w") as f:
            f.write(TENANTS % (harness.GUESTDIR, LIMIT))
        self.process = subprocess.Popen(
            [os.environ.get("VARNISHD") or "/usr/sbin/varnishd", "-F",
             "-j", "none", "-n", folder + "/v",
             "-a", "127.0.0.1:%d" % self.port, "-f", "", "-T",
             "127.0.0.1:0", "-s", "malloc,64m",
             "-p", "vmod_path=" + os.environ["VMOD_PATH"],
             "-p", "vcl_cooldown=1", "-p", "cli_timeout=%d" % PATIENCE,
             "-p", "first_byte_timeout=%d" % PATIENCE,
             "-p", "between_bytes_timeout=%d" % PATIENCE],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        try:
            wait_for("varnishd does not start", self.answers)
            self.reload(0)
            self.adm("start")
            self.adm("vcl.state", self.names[0], "warm")
            wait_for("no worker process", self.children)
            time.sleep(1)       # whoever ends at once is not it
            self.worker = self.child()
        except BaseException:
            self.process.kill()
            raise

    def adm(self, *words):
        r = subprocess.run(["varnishadm", "-n", self.dir + "/v", "-t",
                            str(PATIENCE),
                            *words], stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT)
        if r.returncode:
            raise harness.Failure("varnishadm %s: %s" % (
                " ".join(words), r.stdout.decode()[:300]))
        return r.stdout.decode()

    def answers(self):
        try:
            return self.adm("ping")
        except harness.Failure:
            return None

    def children(self):
        with open("/proc/%d/task/%d/children" % (self.process.pid,
                                                 self.process.pid)) as f:
            return f.read().split()

    def child(self):
        found = self.children()
        return int(found[0]) if found else 0

    def counters(self, vcl):
        out = subprocess.run(["varnishstat", "-n", self.dir + "/v", "-j",
                              "-t", str(PATIENCE), "-f", "KVM.%s.*" % vcl],
                             stdout=subprocess.PIPE, check=True).stdout
        stat = json.loads(out)
        stat = stat.get("counters", stat)
        return {k.split(".")[-1]: v["value"] for k, v in stat.items()
                if k.startswith("KVM.")}

    def take(self, vcl):
        """Its last requests are over: what did it count?  One may have been
        given this VCL and not have come to the tenant yet, and the client's
        answer is out before it is counted: nothing is on its way, and that
        stays so for a while."""
        end = time.monotonic() + PATIENCE
        before, same = None, 0
        while same < 3 and time.monotonic() < end:
            time.sleep(0.3)
            c = self.counters(vcl)
            harness.check("requests" in c, vcl, "has no counters")
            n = c["requests"]
            over = c["busy"] == 0 and ends(c) == n
            same = same + 1 if over and n == before else 0
            before = n
        self.sums.update(c)

    def reload(self, n):
        name = "soak%d" % n
        path = "%s/%s.vcl" % (self.dir, name)
        with open(path, "w") as f:
            f.write(VCL % (n, self.dir + "/t.toml"))
        # Warm, so that its counters stay when it is not in use any more: the
        # first one is as soon as there is a worker process.
        self.adm("vcl.load", name, path, "warm" if n > 0 else "auto")
        if n > 0:
            wait_ready(self, name)
        self.adm("vcl.use", name)
        os.unlink(path)
        self.names.append(name)
        if len(self.names) > 1:
            old = self.names.pop(0)
            self.take(old)
            self.adm("vcl.discard", old)

    def usage(self):
        with open("/proc/%d/status" % self.worker) as f:
            rss = sum(int(x.split()[1]) for x in f
                      if x.startswith(("RssAnon:", "RssShmem:")))
        return rss, len(os.listdir("/proc/%d/fd" % self.worker))

    def stop(self):
        self.process.terminate()
        self.process.wait(PATIENCE)


class Load:
    def __init__(self, varnish, total):
        self.v = varnish
        self.left = total
        self.total = total
        self.lock = threading.Lock()
        self.sent = collections.Counter()
        self.wrong = []
        self.stop = False

    def next(self):
        with self.lock:
            if self.left <= 0 or self.stop:
                return False
            self.left -= 1
            return True

    def ask(self, path, slow=False, leave=False, host="soak"):
        with socket.create_connection(("127.0.0.1", self.v.port),
                                      PATIENCE) as s:
            s.sendall(b"GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close"
                      b"\r\n\r\n" % (path.encode(), host.encode()))
            if leave:
                time.sleep(random.random() / 20)
                return None
            got = b""
            while True:
                b = s.recv(200 if slow else 65536)
                if not b:
                    break
                got += b
                if slow and len(got) < 4000:
                    time.sleep(0.005)
        return int(got[9:12]) if got[:5] == b"HTTP/" else 0

    def client(self):
        weights = [m[1] for m in MIX]
        while self.next():
            path, _, name, right = random.choices(MIX, weights)[0]
            try:
                if path == "leave":
                    self.ask("/size?n=300000", leave=True)
                    status = None
                elif path == "slow":
                    status = self.ask("/size?n=50000", slow=True)
                else:
                    status = self.ask(path)
            except OSError as e:
                status = repr(e)
            with self.lock:
                self.sent[name] += 1
                if right and status not in right:
                    self.wrong.append((path, status))
                    self.stop = len(self.wrong) > 20


def ends(counters):
    return sum(n for k, n in counters.items()
               if k.startswith("err_") or k in ("ok", "abandoned"))


def wait_ready(v, name):
    wait_for("the tenant is not ready",
             lambda: v.counters(name).get("ready"), PATIENCE)


def flat(samples, what, slack):
    """Nothing grows after the first tenth."""
    early = samples[max(1, len(samples) // 10)]
    late = samples[-1]
    if late > early * 1.1 + slack:
        return "%s grew from %d to %d" % (what, early, late)
    return None


def soak(folder, total):
    v = Varnish(folder)
    bad = []
    try:
        wait_ready(v, v.names[-1])
        load = Load(v, total)
        threads = [threading.Thread(target=load.client)
                   for _ in range(CLIENTS)]
        for t in threads:
            t.start()
        rss, fds, reloads = [], [], 0
        while any(t.is_alive() for t in threads):
            time.sleep(RELOAD)
            reloads += 1
            v.reload(reloads)
            r, f = v.usage()
            rss.append(r)
            fds.append(f)
            if reloads % 30 == 0:
                print("%d of %d, memory %d KiB, %d descriptors" % (
                    total - load.left, total, r, f), flush=True)
        for t in threads:
            t.join()
        v.take(v.names[-1])
        bad += ["%s: %s" % w for w in load.wrong[:5]]
        if v.child() != v.worker:
            bad.append("the worker was restarted")
        if len(rss) > 3:
            bad += [b for b in (flat(rss, "memory (KiB)", 20000),
                                flat(fds, "descriptors", 40)) if b]
        print("%d requests, %d reloads, sent %s" % (
            sum(load.sent.values()), reloads, dict(load.sent)))
        print("memory %s KiB, descriptors %s" % (
            [rss[0], max(rss), rss[-1]], [fds[0], max(fds), fds[-1]]))
        left = load.sent.pop("left", 0)
        for name in sorted(set(load.sent) | {
                k for k in v.sums if k.startswith("err_")}):
            n, want = v.sums.get(name, 0), load.sent.get(name, 0)
            # Who leaves may have had his answer, or not.
            more = left if name in ("ok", "abandoned") else 0
            if not want <= n <= want + more:
                bad.append("%s: counted %d, sent %d" % (name, n, want))
        if v.sums["requests"] != ends(v.sums):
            bad.append("%d requests, but %d ends" % (v.sums["requests"],
                                                     ends(v.sums)))
        if v.sums.get("not_ready"):
            bad.append("%d not ready" % v.sums["not_ready"])
    finally:
        v.stop()
    return bad


def main():
    if not os.path.exists("/dev/kvm"):
        print("0 passed, 0 failed, 1 skipped")
        return 77
    total = int(sys.argv[1]) if len(sys.argv) > 1 else \
        1000000 if harness.SCALE >= 1 else int(200000 * harness.SCALE)
    folder = tempfile.mkdtemp(prefix="tkvm-soak.")
    os.chmod(folder, 0o755)
    try:
        bad = soak(folder, total)
    except Exception as e:      # noqa: counted
        bad = [repr(e)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for b in bad:
        print("FAIL soak: " + b)
    print("%d passed, %d failed, 0 skipped" % (not bad, bool(bad)))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
