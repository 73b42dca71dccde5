# SPDX-License-Identifier: BSD-2-Clause
"""What the measurements of this folder have in common: where things are, how
a server is started and asked, what is said about the machine."""

import json
import os
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(HERE)
for folder in ("server", "runtimes"):
    sys.path.insert(0, os.path.join(TOP, "tests", folder))
sys.dont_write_bytecode = True
BUILD = os.environ.get("TKVM_BUILDDIR") or os.path.join(TOP, "build")
os.environ.setdefault("KVMSERVER", os.path.join(BUILD, "src/kvmserver"))
os.environ.setdefault("GUESTRUN", os.path.join(BUILD, "tests/guest/guestrun"))
os.environ.setdefault("LOOPS", os.path.join(BUILD, "bench/loops"))
os.environ.setdefault("RUNTIMES_DIR", os.path.join(BUILD, "tests/runtimes"))

import catalogue            # noqa: E402
import harness              # noqa: E402

CPUS = sorted(os.sched_getaffinity(0))
CLIENT, SERVER = CPUS[0], CPUS[-1]
FOLDER = catalogue.folder()


def settings(cpu, nice=True):
    def f():
        os.sched_setaffinity(0, {cpu} if cpu is not None else set(CPUS))
        try:
            if nice:
                os.nice(-15)
        except PermissionError:
            pass
    return f


class Running:
    """One server, native or in kvmserver; started is how long it took."""

    def __init__(self, r, how, cpu=SERVER, warmup=0, threads=1):
        self.port = harness.free_port()
        self.stats = os.path.join(FOLDER, "stats.%d.json" % self.port)
        argv = r.argv(FOLDER, self.port)
        env = dict(os.environ, **r.env)
        if how != "native":
            argv = [harness.KVMSERVER, "--allow-all", "--max-boot-time=120",
                    "--stats=" + self.stats, "--warmup", str(warmup),
                    "-t", str(threads), "--max-request-time=60",
                    *(["-e"] if how == "reset" else []), "run", *argv]
        self.address = ("127.0.0.1", self.port)
        start = time.monotonic()
        self.process = subprocess.Popen(
            argv, env=env, preexec_fn=settings(cpu),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        while True:
            try:
                self.sock = socket.create_connection(self.address, 60)
                break
            except OSError:
                if self.process.poll() is not None:
                    raise RuntimeError("%s: ended" % r.name)
                time.sleep(.001)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request()
        self.started = time.monotonic() - start

    def request(self):
        """One, on the connection that is open, or a new one."""
        if self.sock is None:
            self.sock = socket.create_connection(self.address, 60)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        data = b""
        while b"\r\n\r\n" not in data:
            data += self.more()
        head, data = data.split(b"\r\n\r\n", 1)
        head = head.lower()
        if b" 200 " not in head.split(b"\r\n")[0]:
            raise RuntimeError(head)
        at = head.find(b"content-length:")
        if at >= 0:
            n = int(head[at + 15:].split(b"\r\n")[0])
            while len(data) < n:
                data += self.more()
        elif b"chunked" in head:
            while not data.endswith(b"0\r\n\r\n"):
                data += self.more()
        if b"connection: close" in head or head.startswith(b"http/1.0"):
            self.sock.close()
            self.sock = None

    def more(self):
        data = self.sock.recv(262144)
        if not data:
            raise RuntimeError("closed")
        return data

    def cpu(self):
        """Seconds that all its threads have run for, ended ones too."""
        # clock_getcpuclockid(3), which Python has not
        return time.clock_gettime(~self.process.pid << 3 | 2)

    def per_request(self, n, took):
        start = self.cpu()
        for _ in range(n):
            one = time.monotonic()
            self.request()
            took.append(time.monotonic() - one)
        return (self.cpu() - start) / n

    def memory(self):
        with open("/proc/%d/status" % self.process.pid) as f:
            return sum(int(line.split()[1]) for line in f
                       if line.startswith("RssAnon:"))

    def end(self):
        if self.sock is not None:
            self.sock.close()
        self.process.terminate()
        self.process.wait()
        try:
            with open(self.stats) as f:
                return json.load(f)
        except OSError:
            return {}
        finally:
            if os.path.exists(self.stats):
                os.unlink(self.stats)


def machine():
    with open("/proc/cpuinfo") as f:
        cpu = [line.split(":")[1].strip() for line in f
               if line.startswith("model name")][0]
    return "%s, Linux %s, %d CPUs" % (
        cpu, os.uname().release.split("-")[0], os.cpu_count())


def table(out, columns, rows):
    print("| " + " | ".join(columns) + " |", file=out)
    print("|" + " --- |" * len(columns), file=out)
    for r in rows:
        print("| " + " | ".join(r) + " |", file=out, flush=True)
