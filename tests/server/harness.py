# SPDX-License-Identifier: BSD-2-Clause
"""kvmserver and an HTTP client for the tests in this folder.

Only the standard library.  A test is a function marked with @test; it passes
when it returns, skips with Skip, and fails with any other exception.
"""

import collections
import http.client
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import tempfile
import threading
import time

SCALE = float(os.environ.get("TKVM_TEST_SCALE", "0.1"))
KVMSERVER = os.environ.get("KVMSERVER", "")
GUESTDIR = os.environ.get("GUESTDIR", "")
PYTHON = os.environ.get("GUEST_PYTHON") or "/usr/bin/python3"
MIB = 1 << 20
# A request that should be quick; generous, for slow and busy machines, and
# such as stop for seconds.  Whoever judges a time leaves room for that.
QUICK = 60

tests = []


class Skip(Exception):
    pass


class Failure(Exception):
    pass


def test(f):
    tests.append(f)
    return f


def fail(*what):
    raise Failure(" ".join(str(w) for w in what)) from None


def check(condition, *what):
    if not condition:
        fail(*what)


def scaled(n, least=4):
    return max(least, int(n * SCALE))


def guest(name):
    return os.path.join(GUESTDIR, name)


def pattern(n):
    return (b"abcdefghijklmnopqrstuvwxyz" * (n // 26 + 1))[:n]


# Ports that no connection gets for its own end: such a one may come between
# free_port() and the server that it is for, and a client that tries a free one
# of those again and again once connects to itself.
PORTS, BLOCK = range(16384, 32768), 256


def port_block():
    """Some for this process alone, for as long as it holds the socket."""
    blocks = [range(a, a + BLOCK) for a in PORTS[::BLOCK]]
    random.shuffle(blocks)
    for block in blocks:
        held = socket.socket(socket.AF_UNIX)
        try:
            held.bind("\0tkvm-test-ports-%d" % block[0])
            return held, itertools.cycle(block)
        except OSError:
            held.close()
    return None, itertools.cycle(random.sample(PORTS, len(PORTS)))


HELD = []


def free_port():
    """The block's others come first: who got it may not have bound it yet."""
    if not HELD:
        HELD.extend(port_block())
    for port in HELD[1]:
        with socket.socket() as s:
            try:
                s.bind(("0.0.0.0", port))
            except OSError:
                continue
        return port


# ---- the server -------------------------------------------------------------

class Server:
    """A kvmserver with one program.  `port` is where it serves.

    On leaving the `with` block it gets SIGTERM, has to end with 0 and to have
    been the same process all the time; `stats` is what it wrote then.
    """

    def __init__(self, program, *options, listen=None, at=None,
                 allow=("--allow-all",), env=None, wait=150):
        self.port = at or free_port()
        self.address = listen or "127.0.0.1:%d" % self.port
        self.dir = tempfile.TemporaryDirectory(prefix="tkvm-server.")
        self.log = os.path.join(self.dir.name, "log")
        self.stats_file = os.path.join(self.dir.name, "stats.json")
        self.stats = {}
        self.wait = wait
        self.env = dict(os.environ, PYTHONDONTWRITEBYTECODE="1",
                        **(env or {}))
        # Most tests are not about these: a machine that stops for a second
        # or two is no reason for an answer to fail.  Options come after them.
        self.command = [
            KVMSERVER, *allow, "--stats=" + self.stats_file,
            "--queue-time=60", "--max-request-time=60", "--max-boot-time=120",
            *(["--listen", self.address] if listen != "" else []),
            *options, "run", *program]

    def __enter__(self):
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, env=self.env)
        deadline = time.monotonic() + self.wait
        while True:
            try:
                self.connect(timeout=2).close()
                return self
            except OSError:
                if self.process.poll() is not None:
                    fail("kvmserver ended with", self.process.returncode,
                         self.tail())
                if time.monotonic() > deadline:
                    self.process.kill()
                    self.process.wait()
                    fail("not ready in time:", self.tail())
                time.sleep(0.02)

    def __exit__(self, kind, value, trace):
        ended = self.process.poll()
        if ended is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(QUICK)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                ended = "no end after SIGTERM"
        tail = self.tail()
        try:
            with open(self.stats_file, encoding="utf-8") as f:
                self.stats = json.load(f)
        except (OSError, ValueError) as e:
            self.stats = {"broken": str(e)}
        self.dir.cleanup()
        if kind is None:
            check(ended is None, "kvmserver ended:", ended, tail)
            check(self.process.returncode == 0, "status",
                  self.process.returncode, tail)
        elif ended is not None:
            fail("kvmserver ended with", ended, tail, "during:", repr(value))
        elif isinstance(value, Failure):
            fail(value, "| log:", tail)
        elif isinstance(value, Exception):
            fail(repr(value), "| log:", tail)

    def tail(self):
        try:
            with open(self.log, "rb") as f:
                text = f.read().decode("utf-8", "replace")
        except OSError:
            return ""
        return " / ".join(text.strip().splitlines()[-3:])

    def connect(self, timeout=QUICK):
        if self.address.startswith("unix:"):
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(timeout)
            try:
                s.connect(self.address[5:])
            except OSError:
                s.close()
                raise
            return s
        s = socket.create_connection(("127.0.0.1", self.port), timeout)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s

    def get_at(self, at):
        """The body from another port, or from a Unix socket; None: nobody
        listens there."""
        keep = self.address, self.port
        self.address = "unix:" + at if isinstance(at, str) else ""
        self.port = at
        try:
            return self.get("/").body
        except (ConnectionRefusedError, FileNotFoundError):
            return None
        finally:
            self.address, self.port = keep

    def client(self, timeout=QUICK):
        return Client(self, timeout)

    def get(self, path, **kw):
        with self.client(kw.pop("timeout", QUICK)) as c:
            return c.request("GET", path, **kw)

    def post(self, path, body, **kw):
        with self.client(kw.pop("timeout", QUICK)) as c:
            return c.request("POST", path, body, **kw)

    def now(self):
        """The statistics so far."""
        if os.path.exists(self.stats_file):
            os.unlink(self.stats_file)
        self.process.send_signal(signal.SIGUSR1)
        wait_for("no file after SIGUSR1",
                 lambda: os.path.exists(self.stats_file))
        with open(self.stats_file, encoding="utf-8") as f:
            return json.load(f)

    def taken(self, n=1):
        """Wait until n requests have got to a machine, or been refused."""
        wait_for("not %d requests" % n, lambda: self.now()["requests"] >= n)

    def at_rest(self, n):
        """Wait until n resets are over: answers are out before that."""
        wait_for("not %d resets" % n, lambda: self.now()["resets"] >= n)

    # What the process holds.

    def rss(self):
        """Anonymous memory and memfds, in KiB."""
        with open("/proc/%d/status" % self.process.pid) as f:
            return sum(int(line.split()[1]) for line in f
                       if line.startswith(("RssAnon:", "RssShmem:")))

    def descriptors(self):
        """How many of each kind: VMs and vCPUs have kinds of their own."""
        kinds = collections.Counter()
        base = "/proc/%d/fd/" % self.process.pid
        for fd in os.listdir(base):
            try:
                name = os.readlink(base + fd)
            except OSError:
                continue
            kinds[name.split("[")[0] if name.startswith("socket") else
                  "kvm-vcpu" if "kvm-vcpu" in name else name] += 1
        return kinds

    def threads(self):
        return len(os.listdir("/proc/%d/task" % self.process.pid))


# ---- the client -------------------------------------------------------------

class Answer(collections.namedtuple("Answer", "status headers body")):
    def __str__(self):
        return "%d %.200r" % (self.status, self.body)


class Client:
    """One connection, opened when needed."""

    def __init__(self, server, timeout=QUICK):
        self.server = server
        self.timeout = timeout
        self.sock = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.sock is not None:
            self.sock.close()
            self.sock = None

    def send(self, method, path, body=None, chunked=False, headers=()):
        """Send a request; the body on a thread, as it may be echoed."""
        if self.sock is None:
            self.sock = self.server.connect(self.timeout)
        lines = ["%s %s HTTP/1.1" % (method, path), "Host: test", *headers]
        if chunked:
            lines.append("Transfer-Encoding: chunked")
        elif body is not None:
            lines.append("Content-Length: %d" % len(body))
        head = ("\r\n".join(lines) + "\r\n\r\n").encode()
        if body is None or len(body) <= 32768 and not chunked:
            self.sock.sendall(head + (body or b""))
            return None
        self.sock.sendall(head)
        t = threading.Thread(target=self.send_body, daemon=True,
                             args=(self.sock, body, chunked))
        t.start()
        return t

    @staticmethod
    def send_body(sock, body, chunked):
        try:
            for i in range(0, len(body), 65536):
                part = body[i:i + 65536]
                if chunked:
                    part = b"%x\r\n%s\r\n" % (len(part), part)
                sock.sendall(part)
            if chunked:
                sock.sendall(b"0\r\n\r\n")
        except OSError:
            pass        # an early answer closes the connection

    def response(self, method="GET"):
        """The head has been read; .read() gives the body."""
        r = http.client.HTTPResponse(self.sock, method=method)
        r.begin()
        return r

    def request(self, method, path, body=None, **kw):
        sender = self.send(method, path, body, **kw)
        r = self.response(method)
        answer = Answer(r.status, r.headers, r.read())
        if sender is not None:
            sender.join(self.timeout)
        if r.will_close:
            self.close()
        return answer


def wait_for(what, condition, seconds=QUICK):
    end = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < end, what)
        time.sleep(0.02)


def fails(server, path, *where):
    """There is no answer, and that is said in good time."""
    start = time.monotonic()
    a = server.get(path)
    took = time.monotonic() - start
    check(a.status == 503, path, *where, a)
    check(took < 50, path, "took", took)


def best_of(n, what, judge):
    """judge() measures a time, and says whether it is right.  A machine that
    is busy, or stops, makes it wrong now and then; a fault of ours always."""
    seen = []
    for _ in range(n):
        right, measured = judge()
        if right:
            return
        seen.append(measured)
    fail(what, seen)


def in_threads(n, f):
    """Run f(i) in n threads; the first exception is ours."""
    errors = []

    def call(i):
        try:
            f(i)
        except Exception as e:      # noqa: handed on below
            errors.append(e)

    threads = [threading.Thread(target=call, args=(i,)) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors:
        raise errors[0]


def find(stats, name):
    """The value of a key, however deep; names differ in - and _ only."""
    if isinstance(stats, dict):
        for key, value in stats.items():
            if key.replace("-", "_") == name:
                return value
        for value in stats.values():
            found = find(value, name)
            if found is not None:
                return found
    return None


def run_server(*argv, env=None, timeout=2 * QUICK, limit=None):
    """A kvmserver that should end by itself: status and lines of stderr.
    `limit` is called in its process before it starts."""
    p = subprocess.run([KVMSERVER, *argv], stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       env=dict(os.environ, **(env or {})), timeout=timeout,
                       preexec_fn=limit)
    return p.returncode, p.stderr.decode("utf-8", "replace").splitlines()
