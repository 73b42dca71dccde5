#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""kvmserver's front against the fake guest of fake_tkvm.c: connections,
framing, queue, errors, signals, command line.

Usage: test_server_front.py [KVMSERVER_FAKE] [TEST...]"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SERVER = os.environ.get("KVMSERVER_FAKE", os.path.join(".", "unit",
                                                       "kvmserver_fake"))
TMP = tempfile.TemporaryDirectory(prefix="front.")
PROGRAM = "/bin/sh"
PATIENCE = 60       # s; for what comes at once where nothing else runs
TRIES = 8           # for what is to be quick: once it has to be


def wait_until(true, what):
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def in_time(once):
    """once() answers what was too slow, if anything: is it so each time?"""
    for _ in range(TRIES):
        why = once()
        if why is None:
            return
    raise AssertionError("too slow %d times: %s" % (TRIES, why))


class Server:
    """A server on a Unix socket or a free port of 127.0.0.1."""

    def __init__(self, *options, tcp=False, env=None, wait=True):
        self.path = os.path.join(TMP.name, "sock")
        self.stats_file = os.path.join(TMP.name, "stats.json")
        self.tcp = tcp
        listen = "127.0.0.1:0" if tcp else "unix:" + self.path
        self.proc = subprocess.Popen(
            [SERVER, "run", "-v", "--listen", listen, "--stats",
             self.stats_file, *options, PROGRAM],
            stderr=subprocess.PIPE, env={**os.environ, **(env or {})},
            cwd=TMP.name)
        self.log = []
        self.ready = threading.Event()
        self.addr = None
        self.reader = threading.Thread(target=self.read_log)
        self.reader.start()
        if wait:
            assert self.ready.wait(PATIENCE), self.log
            assert self.addr is not None, self.log

    def read_log(self):
        for line in self.proc.stderr:
            line = line.decode().rstrip("\n")
            if " jail: " not in line:
                self.log.append(line)
            m = re.search(r"serving (\S+)$", line)
            if m:
                self.addr = m.group(1)
                self.ready.set()
        self.ready.set()

    def connect(self, timeout=PATIENCE):
        if self.tcp:
            host, port = self.addr.rsplit(":", 1)
            s = socket.create_connection((host, int(port)), timeout)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(timeout)
            s.connect(self.path)
        return Client(s)

    def stats(self):
        try:
            os.unlink(self.stats_file)
        except FileNotFoundError:
            pass
        self.proc.send_signal(signal.SIGUSR1)
        wait_until(lambda: os.path.exists(self.stats_file), "no statistics")
        with open(self.stats_file) as f:
            return json.load(f)

    def wait_for(self, field, n):
        """Until the statistics say so"""
        wait_until(lambda: self.stats()[field] == n,
                   "%s is not %d" % (field, n))

    def stop(self, sig=signal.SIGTERM, status=0):
        self.proc.send_signal(sig)
        rv = self.proc.wait(PATIENCE)
        self.reader.join()
        self.proc.stderr.close()
        assert rv == status, (rv, self.log)
        for line in self.log:
            assert "Sanitizer" not in line and "runtime error" not in line, \
                self.log

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.stop()
        else:
            sys.stderr.write("\n".join(self.log[-20:]) + "\n")
            self.proc.kill()
            self.proc.wait()
            self.reader.join()
            self.proc.stderr.close()


class Client:
    def __init__(self, s):
        self.s = s
        self.buf = b""

    def send(self, data):
        self.s.sendall(data)
        return self

    def fill(self):
        more = self.s.recv(65536)
        self.buf += more
        return len(more) > 0

    def line(self):
        while b"\r\n" not in self.buf:
            assert self.fill(), "closed: %r" % self.buf
        out, self.buf = self.buf.split(b"\r\n", 1)
        return out

    def exactly(self, n):
        while len(self.buf) < n:
            assert self.fill(), "closed after %d of %d" % (len(self.buf), n)
        out, self.buf = self.buf[:n], self.buf[n:]
        return out

    def head(self):
        status = self.line().decode()
        fields = {}
        while True:
            line = self.line().decode()
            if not line:
                break
            name, value = line.split(": ", 1)
            assert name.lower() not in fields, line
            fields[name.lower()] = value
        return int(status.split()[1]), fields

    def reply(self, head=False):
        status, fields = self.head()
        if head or status in (204, 304) or status < 200:
            body = b""
        elif "content-length" in fields:
            body = self.exactly(int(fields["content-length"]))
        elif fields.get("transfer-encoding") == "chunked":
            body = b""
            while True:
                n = int(self.line(), 16)
                body += self.exactly(n)
                assert self.line() == b""
                if n == 0:
                    break
        else:
            while self.fill():
                pass
            body, self.buf = self.buf, b""
        return status, fields, body

    def get(self, path, method="GET", fields="", body=b""):
        self.send(("%s %s HTTP/1.1\r\nHost: h\r\n%s\r\n"
                   % (method, path, fields)).encode() + body)
        return self.reply(method == "HEAD")

    def closed(self):
        assert self.buf == b"", self.buf
        try:
            return not self.fill()
        except ConnectionResetError:
            return True

    def close(self):
        self.s.close()


def post(c, path, body, fields=""):
    return c.get(path, "POST", "Content-Length: %d\r\n%s" % (len(body),
                                                             fields), body)


# ---- answers ---------------------------------------------------------------


def test_basic():
    for tcp in (False, True):
        with Server(tcp=tcp) as s:
            c = s.connect()
            for _ in range(3):
                status, fields, body = c.get("/hello")
                assert status == 200 and body == b"hello\n"
                assert fields["x-guest"] == "yes"
                assert "x-hop" not in fields
                assert "connection" not in fields
            assert c.get("/nothing")[0] == 404
            status, fields, body = c.get("/hello", "HEAD")
            assert fields["content-length"] == "6" and body == b""
            assert c.get("/204")[:1] == (204,)
            status, fields, _ = c.get("/304")
            assert status == 304 and fields["content-length"] == "7"
            assert c.get("/chunked")[2] == b"abcdefg"
            status, fields, body = c.get("/eof")
            assert body == b"up to the end\n"
            assert fields["transfer-encoding"] == "chunked"
            assert c.get("/hello")[2] == b"hello\n"
            c.close()


def test_http10():
    with Server() as s:
        c = s.connect()
        c.send(b"GET /hello HTTP/1.0\r\n\r\n")
        status, fields, body = c.reply()
        assert (status, body) == (200, b"hello\n")
        assert fields["connection"] == "close" and c.closed()
        c = s.connect()
        for _ in range(2):
            c.send(b"GET /hello HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")
            status, fields, body = c.reply()
            assert fields["connection"] == "keep-alive"
        # No chunks for 1.0: closing ends it
        for path, want in (("/chunked", b"abcdefg"),
                           ("/eof", b"up to the end\n")):
            c = s.connect()
            c.send(b"GET %s HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
                   % path.encode())
            status, fields, body = c.reply()
            assert body == want and fields["connection"] == "close"
            assert "transfer-encoding" not in fields


def test_close():
    with Server() as s:
        c = s.connect()
        status, fields, body = c.get("/hello", fields="Connection: close\r\n")
        assert fields["connection"] == "close" and c.closed()
        # A client that sends no more still gets its answer
        c = s.connect()
        c.send(b"GET /nap HTTP/1.1\r\nHost: h\r\n\r\n")
        c.s.shutdown(socket.SHUT_WR)
        assert c.reply()[2] == b"rested\n" and c.closed()


def test_request_head():
    with Server(tcp=True) as s:
        c = s.connect()
        body = c.get("/req?a=b", fields="Connection: X-Drop, keep-alive\r\n"
                     "X-Drop: 1\r\nX-Keep:   a b  \r\nTE: trailers\r\n"
                     "Keep-Alive: 5\r\nUpgrade: h2c\r\nX-Empty:\r\n"
                     "Proxy-Connection: x\r\n")[2].decode()
        assert body == ("GET /req?a=b HTTP/1.1\r\nHost: h\r\n"
                        "X-Keep: a b\r\nX-Empty: \r\n\r\n"), repr(body)
        c.send(b"GET /req HTTP/1.0\r\n\r\n")
        body = c.reply()[2].decode()
        assert body == "GET /req HTTP/1.1\r\nHost: %s\r\n\r\n" % s.addr, body
        c = s.connect()
        peer = c.get("/peer")[2].decode()
        assert peer == "%s:%d" % c.s.getsockname(), peer
    with Server() as s:
        assert s.connect().get("/peer")[2] == b"none"


def test_bad_requests():
    with Server() as s:
        for request, want in (
                (b"GET / HTTP/1.1\r\n\r\n", 400),
                (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
                (b"FETCH / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
                (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
                (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
                (b"GET / HTTP/1.1\r\nHost: a\r\nA b: c\r\n\r\n", 400),
                (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
                (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\x01c\r\n\r\n", 400),
                (b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
                (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400),
                (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
                 400),
                (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
                 b"Content-Length: 1\r\n\r\n", 400),
                (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
                 b"Transfer-Encoding: chunked\r\n\r\n", 400),
                (b"POST / HTTP/1.1\r\nHost: a\r\n"
                 b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
                (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
                 400),
                (b"POST / HTTP/1.1\r\nHost: a\r\n"
                 b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
                (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: magic\r\n\r\n", 417),
                (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 200
                 + b"\r\n", 431),
                (b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"b" * 70000
                 + b"\r\n\r\n", 431),
                (b"GET /" + b"b" * 70000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
                 431),
                (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", (400, 501)),
        ):
            for slow in (False, True):
                if slow and len(request) > 200:
                    continue
                c = s.connect()
                try:
                    if slow:
                        for i in range(len(request)):
                            c.send(request[i:i + 1])
                    else:
                        c.send(request)
                except BrokenPipeError:
                    pass
                status, fields, body = c.reply()
                want = want if isinstance(want, tuple) else (want,)
                assert status in want, (request[:80], status, body)
                assert fields["connection"] == "close"
                assert c.closed()
        st = s.stats()
        assert st["bad_requests"] > 20 and st["requests"] == 0, st


def test_pipelining():
    with Server("-t", "2") as s:
        c = s.connect()
        one = b"GET /hello HTTP/1.1\r\nHost: h\r\n\r\n"
        two = (b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n"
               b"\r\n12345")
        three = (b"POST /echo HTTP/1.1\r\nHost: h\r\n"
                 b"Transfer-Encoding: chunked\r\n\r\n"
                 b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: u\r\n\r\n")
        c.send((one + two + three) * 50)
        for _ in range(50):
            assert c.reply()[2] == b"hello\n"
            assert c.reply()[2] == b"12345"
            assert c.reply()[2] == b"abcde"
        c.send(b"\r\n" + one)
        assert c.reply()[2] == b"hello\n"
        # In pieces of all sizes
        data = one + two + three + one
        for n in (1, 3, 7, 31, 64):
            for i in range(0, len(data), n):
                c.send(data[i:i + n])
            assert [c.reply()[2] for _ in range(4)] == [
                b"hello\n", b"12345", b"abcde", b"hello\n"]


def test_bodies():
    with Server("-e") as s:
        c = s.connect()
        for n in (0, 1, 1000, 65535, 65536, 65537, 200000, 1 << 20, 8 << 20):
            body = os.urandom(n)
            t = threading.Thread(target=c.send, args=(
                b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n"
                b"\r\n" % n + body,))
            t.start()
            got = c.reply()
            t.join()
            assert got[0] == 200 and got[2] == body, (n, got[0], len(got[2]))
        for sizes in ([10], [65536], [70000, 5], [1] * 300, [3000] * 40,
                      [1 << 20] * 4):
            parts = [os.urandom(n) for n in sizes]
            data = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in parts)
            t = threading.Thread(target=c.send, args=(
                b"POST /echo HTTP/1.1\r\nHost: h\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n" + data
                + b"0\r\n\r\nGET /hello HTTP/1.1\r\nHost: h\r\n\r\n",))
            t.start()
            got = c.reply()
            t.join()
            assert got[0] == 200 and got[2] == b"".join(parts), sizes
            assert c.reply()[2] == b"hello\n"


def test_expect():
    with Server() as s:
        for n in (10, 100000):
            c = s.connect()
            c.send(b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n"
                   b"Expect: 100-continue\r\n\r\n" % n)
            assert c.head()[0] == 100
            c.send(b"x" * n)
            assert c.reply()[2] == b"x" * n
            # Body without waiting: no 100
            assert post(c, "/echo", b"y" * n,
                        "Expect: 100-continue\r\n")[0] in (200, 100)
            c.close()


def test_early_answer():
    with Server() as s:
        # It answers without reading: no more of the body is read
        c = s.connect()
        try:
            c.send(b"POST /early HTTP/1.1\r\nHost: h\r\n"
                   b"Content-Length: 10000000\r\n\r\n" + b"x" * 1000000)
        except OSError:
            pass
        status, fields, body = c.reply()
        assert status == 413 and fields["connection"] == "close"
        assert c.closed()
        # A small body is there already: the connection can go on
        c = s.connect()
        assert post(c, "/early", b"x" * 100)[0] == 413
        assert c.get("/hello")[2] == b"hello\n"


def test_streaming():
    with Server() as s:
        c = s.connect()

        def once():
            start = time.monotonic()
            c.send(b"GET /drip HTTP/1.1\r\nHost: h\r\n\r\n")
            c.head()
            seen = []
            for i in range(5):
                assert c.line() == b"000005"
                assert c.exactly(7) == b"drip%d\r\n" % i
                seen.append(time.monotonic() - start)
            assert c.line() == b"0" and c.line() == b""
            assert seen[4] > 0.15, seen
            return None if seen[0] < 0.04 else seen

        in_time(once)


# ---- errors ----------------------------------------------------------------


def test_errors():
    with Server("--max-request-time", "1", "-e", tcp=True) as s:
        for path, kind in (("/crash", "crash"), ("/exit", "exit"),
                           ("/loop", "timeout"), ("/sleep", "timeout"),
                           ("/stuck", "stuck"), ("/garbage", "protocol"),
                           ("/close", "closed")):
            c = s.connect()
            status, fields, body = c.get(path)
            assert status == 503 and kind.encode() in body, (path, body)
            assert c.get("/hello")[2] == b"hello\n"
            c.close()
        # The header was out: the answer breaks off
        for path in ("/short", "/broken"):
            c = s.connect()
            c.send(b"GET %s HTTP/1.1\r\nHost: h\r\n\r\n" % path.encode())
            try:
                c.reply()
            except (AssertionError, ConnectionResetError):
                pass
            else:
                raise AssertionError("complete answer to " + path)
        c = s.connect()
        c.send(b"GET /broken HTTP/1.0\r\n\r\n")
        try:
            c.reply()
        except ConnectionResetError:
            pass
        else:
            raise AssertionError("answer without length looks complete")
        st = s.stats()
        assert st["errors"]["timeout"] == 2, st
        assert st["errors"]["crash"] == 3, st
        assert st["errors"]["stuck"] == 1, st
        wait_until(lambda: sum('"sh": SIGSEGV' in x for x in s.log) >= 2,
                   s.log)


def test_resident():
    for options, want in (((), [1, 2, 3, 4]), (("-e",), [1, 1, 1, 1])):
        with Server(*options) as s:
            c = s.connect()
            got = [int(c.get("/count")[2]) for _ in range(4)]
            assert got == want, got
    # A resident machine that crashed is replaced
    with Server() as s:
        c = s.connect()
        assert c.get("/count")[2] == b"1\n"
        assert c.get("/crash")[0] == 503
        assert c.get("/count")[2] == b"1\n"
        assert c.get("/stuck")[0] == 503
        assert c.get("/count")[2] == b"3\n"


def test_client_gone():
    with Server("-e", "--max-request-time", "30", "--queue-time",
                "60") as s:
        for _ in range(5):
            c = s.connect()
            c.send(b"GET /big/100000000 HTTP/1.1\r\nHost: h\r\n\r\n")
            c.exactly(1000)
            c.close()
            c = s.connect()
            c.send(b"POST /echo HTTP/1.1\r\nHost: h\r\n"
                   b"Content-Length: 1000000\r\n\r\n12345")
            c.close()
            c = s.connect()
            c.send(b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Le")
            c.close()
            s.connect().close()
        c = s.connect()
        assert c.get("/count")[2] == b"1\n"
        s.wait_for("client_gone", 15)


# ---- many clients ----------------------------------------------------------


def test_slow_clients():
    """Clients that are slow or idle hold no machine."""
    with Server("-e") as s:
        idle = [s.connect() for _ in range(50)]
        for i, c in enumerate(idle):
            c.send(b"GET /hello HTTP/1.1\r\nHost: h\r\n"[:i % 30])
        slow = [s.connect() for _ in range(10)]
        for c in slow:
            c.send(b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n"
                   b"\r\n1234")
        # Ones that do not read: their answers fit into host memory
        lazy = [s.connect() for _ in range(4)]
        for c in lazy:
            c.send(b"GET /big/900000 HTTP/1.1\r\nHost: h\r\n\r\n")
        c = s.connect()
        # ... or these would be told that there is none
        for _ in range(100):
            assert c.get("/hello")[2] == b"hello\n"
        for c in slow:
            c.send(b"56789")
        for c in slow:
            assert c.reply()[2] == b"123456789"
        for c in lazy:
            assert c.reply()[2] == b"b" * 900000
            assert c.get("/hello")[2] == b"hello\n"
        for i, c in enumerate(idle):
            c.send(b"GET /hello HTTP/1.1\r\nHost: h\r\n\r\n"[i % 30:])
        for c in idle:
            assert c.reply()[2] == b"hello\n"


def test_no_blocking_behind_slow_request():
    """A request that takes long holds up nobody while a machine is free."""
    with Server("-t", "2") as s:
        clients = [s.connect() for _ in range(8)]
        for c in clients:
            assert c.get("/hello")[0] == 200

        def once():
            start = time.monotonic()
            clients[0].send(b"GET /nap HTTP/1.1\r\nHost: h\r\n\r\n")
            time.sleep(0.05)
            for c in clients[1:]:
                assert c.get("/hello")[2] == b"hello\n"
            took = time.monotonic() - start
            assert clients[0].reply()[2] == b"rested\n"
            return None if took < 0.25 else took

        in_time(once)


def test_queue():
    with Server("-t", "1", "--queue-time", "0.5",
                "--queue-limit", "3", "--max-request-time", "5") as s:
        first = s.connect().send(b"GET /sleep HTTP/1.1\r\nHost: h\r\n\r\n")
        s.wait_for("requests", 1)
        start = time.time()
        others = [s.connect().send(b"GET /hello HTTP/1.1\r\nHost: h\r\n\r\n")
                  for _ in range(6)]
        took = []
        for c in others:
            status, fields, body = c.reply()
            assert status == 503 and b"busy" in body
            assert fields["retry-after"] == "1"
            took.append(time.time() - start)
        took.sort()
        # before the first one ends
        assert took[5] < 4, took
        assert first.reply()[0] == 503
        for c in others:
            assert c.get("/hello")[0] == 200
        st = s.stats()
        assert st["rejected"] == 6 and st["errors"]["busy"] == 6, st
    with Server("-t", "1", "--queue-time", "60") as s:
        start = time.time()
        all_of_them = [s.connect().send(b"GET /nap HTTP/1.1\r\nHost: h\r\n"
                                        b"\r\n") for _ in range(4)]
        for c in all_of_them:
            assert c.reply()[2] == b"rested\n"
        assert time.time() - start > 1.1
        assert s.stats()["queue_us"] > 300000


def test_crowd():
    """Many at a time are not too many as long as it is quick."""
    with Server("-e", "-t", "1", "--queue-limit", "1") as s:
        clients = [s.connect() for _ in range(200)]
        for _ in range(20):
            for c in clients:
                c.send(b"GET /hello HTTP/1.1\r\nHost: h\r\n\r\n")
            for c in clients:
                assert c.reply()[0] == 200
        assert s.stats()["rejected"] == 0


def test_many():
    with Server("-e", "-t", "4", tcp=True) as s:
        bad = []

        def client(n):
            try:
                c = s.connect()
                for i in range(100):
                    if i % 10 == 0:
                        c.close()
                        c = s.connect()
                    if i % 3 == 0:
                        body = b"%d-%d" % (n, i) * 50
                        assert post(c, "/echo", body)[2] == body
                    else:
                        assert c.get("/count")[2] == b"1\n"
                c.close()
            except Exception as e:
                bad.append(e)

        threads = [threading.Thread(target=client, args=(n,))
                   for n in range(16)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert not bad, bad[0]
        st = s.stats()
        assert st["requests"] == st["answers"] == 1600, st


# ---- start and stop --------------------------------------------------------


def test_stop():
    with Server() as s:
        idle = s.connect()
        idle.get("/hello")
    for sig in (signal.SIGINT, signal.SIGTERM):
        s = Server()
        c = s.connect().send(b"GET /nap HTTP/1.1\r\nHost: h\r\n\r\n")
        s.wait_for("requests", 1)
        s.stop(sig)
        assert c.reply()[2] == b"rested\n"
        assert not os.path.exists(s.path)
        with open(s.stats_file) as f:
            st = json.load(f)
        assert st["requests"] == 1 and st["boots"] == 1, st
        assert st["kvm_exits"] == 2 and st["boot_kvm_exits"] == 77, st
    s = Server()
    s.connect().send(b"GET /loop HTTP/1.1\r\nHost: h\r\n\r\n")
    s.wait_for("requests", 1)
    # Two that come at the same time are one.
    while s.proc.poll() is None:
        s.proc.send_signal(signal.SIGTERM)
        time.sleep(0.1)
    s.stop(status=128 + 15)


def test_boot():
    s = Server(env={"FAKE_BOOT_MS": "100000"}, wait=False)

    def waits_for_signals():
        with open("/proc/%d/status" % s.proc.pid) as f:
            blocked = int(re.search(r"SigBlk:\s*(\S+)", f.read()).group(1), 16)
        return blocked >> (signal.SIGINT - 1) & 1

    wait_until(waits_for_signals, s.log)
    # ... PATIENCE is less than that boot.
    s.stop(signal.SIGINT)
    s = Server(env={"FAKE_BOOT_FAIL": "1"}, wait=False)
    assert s.proc.wait(PATIENCE) == 1
    s.reader.join()
    s.proc.stderr.close()
    log = [line for line in s.log if "no jail" not in line]
    assert log == ['kvmserver: tenant "sh": it exited with 1 before it '
                   'listened'], s.log


def run(*args, env=None, cwd=None):
    p = subprocess.run([SERVER, *args], capture_output=True, text=True,
                       env={**os.environ, **(env or {})},
                       cwd=cwd or TMP.name, timeout=PATIENCE)
    return p.returncode, p.stdout, p.stderr


def test_listen():
    sock = "unix:" + os.path.join(TMP.name, "guest")
    rv, _, err = run("run", PROGRAM, env={"FAKE_LISTEN": sock})
    assert rv == 1 and err == (
        'kvmserver: tenant "sh": the program listens on %s, which is not '
        'allowed (use --allow-listen=%s, or --listen=ADDR to serve another '
        'address)\n' % (sock, sock)), err
    with Server() as s:
        rv, _, err = run("run", "--listen", "unix:" + s.path, PROGRAM)
        assert rv == 1 and "Address already in use" in err, err
    # A socket that nobody answers any more is replaced
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(os.path.join(TMP.name, "sock"))
    dead.listen()
    dead.close()
    with Server() as s:
        assert s.connect().get("/hello")[0] == 200


def test_command_line():
    def fails(status, text, *args, cwd=None):
        rv, out, err = run(*args, cwd=cwd)
        assert (rv, out, err) == (status, "", text), (rv, out, err)

    see = " (see kvmserver --help)\n"
    fails(2, "kvmserver: expected a subcommand: run or doctor" + see)
    fails(2, "kvmserver: run: expected PROGRAM" + see, "run")
    fails(2, "kvmserver: snapshot: not in this version" + see, "snapshot",
          "x")
    fails(2, "kvmserver: snaprun: not in this version" + see, "snaprun")
    fails(2, "kvmserver: storage: not in this version" + see, "storage")
    fails(2, "kvmserver: storage: not in this version" + see, "run", PROGRAM,
          "a", "++", "storage", "x")
    fails(2, "kvmserver: walk: no such subcommand, expected run or "
          "doctor" + see,
          "walk")
    fails(2, "kvmserver: --thread-s: no such option, did you mean --threads?"
          + see, "--thread-s=2", "run", PROGRAM)
    fails(2, "kvmserver: -x: no such option" + see, "run", "-x", PROGRAM)
    fails(2, "kvmserver: --hugepages: not supported in this version" + see,
          "--hugepages", "run", PROGRAM)
    fails(2, "kvmserver: --max-request-time: expected seconds between 0.001 "
          "and 86400, got \"abc\"" + see, "run", "--max-request-time", "abc",
          PROGRAM)
    fails(2, "kvmserver: --env: expected a value" + see, "run", "--env")
    fails(1, "kvmserver: tenant \"b\": program /a/b: no such file\n", "run",
          "/a/b")
    fails(1, "kvmserver: tenant \"sh\": allow-read: allow-all allows it "
          "already, use one of them\n", "run", "--allow-all",
          "--allow-read=/x", PROGRAM)
    fails(2, "kvmserver: /nowhere: no such file\n", "-c", "/nowhere", "run",
          PROGRAM)
    for option, text in (("--help", "--max-request-time=SECONDS"),
                         ("--help-all", "--hugepages"),
                         ("--version", "kvmserver ")):
        rv, out, err = run(option)
        assert rv == 0 and err == "" and text in out, (option, out, err)


def test_config():
    with tempfile.TemporaryDirectory() as d:
        with open(os.path.join(d, "kvmserver.toml"), "w") as f:
            f.write('threads = 3\nenv = ["A=1", "B=2"]\n'
                    'max-request-time = 2.5\nallow-read = "/usr"\n'
                    '[run]\nprogram = "/bin/sh"\nargs = ["x"]\n')
        rv, out, err = run("--print-config", cwd=d)
        assert rv == 0, err
        for line in ("threads = 3", 'env = ["A=1", "B=2"]',
                     "max-request-time = 2.5", 'allow-read = ["/usr"]',
                     'program = "/bin/sh"', 'args = ["x"]',
                     "ephemeral = false"):
            assert line + "\n" in out, line
        rv, out, err = run("-t", "5", "-e", "--env", "C=3", "run", "--env",
                           "D=4", "--allow-read", "--print-config", "ls",
                           "-l", "--threads", "9", cwd=d)
        for line in ("threads = 5", 'env = ["C=3", "D=4"]',
                     "allow-read = true", 'program = "ls"',
                     'args = ["-l", "--threads", "9"]', "ephemeral = true"):
            assert line + "\n" in out, (line, out)
        with open(os.path.join(d, "kvmserver.toml"), "w") as f:
            f.write("threads = 3\nthread = 4\n")
        rv, out, err = run("run", PROGRAM, cwd=d)
        assert rv == 2 and err == ("kvmserver: kvmserver.toml:2: thread: "
                                   "unknown key, did you mean threads?\n")
        rv, out, err = run("-c", "/dev/null", "--print-config", cwd=d)
        assert rv == 0 and "threads = 1\n" in out


def main():
    global SERVER
    names = sys.argv[1:]
    if names and os.path.exists(names[0]):
        SERVER = names.pop(0)
    SERVER = os.path.abspath(SERVER)
    for name, f in list(globals().items()):
        if not name.startswith("test_") or (names and name not in names):
            continue
        start = time.time()
        f()
        print("ok %s (%.2f s)" % (name, time.time() - start), flush=True)


main()
