# SPDX-License-Identifier: BSD-2-Clause
"""Guests that misbehave: 503 in time, no leak, the next request right."""

import http.client
import itertools
import os
import shutil
import socket
import tempfile
import threading
import time

from harness import (MIB, PYTHON, Client, Server, check, find, guest,
                     in_threads, pattern, scaled, test)

HELLO = b"Hello, World!\n"
PROGRAM = [guest("chttp_static"), "8080"]

# path, seconds until it has to be over when the limit is 1 s
FAILING = {
    "/crash": 1, "/ud": 1, "/abort": 1, "/exit": 1, "/close": 1,
    "/half": 1, "/garbage": 1, "/nothing": 1, "/sleepforever": 1,
    "/noread": 1, "/loop": 2.5, "/alloc": 2.5, "/in": 1, "/kernel": 1,
    "/far": 2.5,
}


def next_is_right(s):
    a = s.get("/count")
    check(a.status == 200 and a.body == b"4", "the next request", a)


def failing(path, limit):
    with Server(PROGRAM, "-e", "-t", "2", "-w", "3", "--max-request-time",
                "1", "--max-request-memory", "32") as s:
        for i in range(4):
            start = time.monotonic()
            a = s.get(path)
            took = time.monotonic() - start
            check(a.status == 503, path, "round", i, a)
            check(took < limit + 1.5, path, "took", took)
            next_is_right(s)
        c = s.client()
        a = c.request("POST", path, pattern(1000))
        check(a.status == 503, "POST", path, a)
        c.close()
        next_is_right(s)
    errors = find(s.stats, "errors")
    check(errors, "no errors counted:", s.stats)


for _path, _limit in FAILING.items():
    def _one(path=_path, limit=_limit):
        failing(path, limit)
    _one.__name__ = "fails_" + _path[1:]
    test(_one)


@test
def mappings_go_back():
    """No frame lost, none left mapped, however a request has moved them."""
    with Server(PROGRAM, "-e", "-t", "1", "-w", "3", "--max-request-memory",
                "64", "--verify-reset") as s:
        for _ in range(12):
            a = s.get("/remap")
            check(a.status == 200 and a.body == b"moved\n", a)
            next_is_right(s)
    check(find(s.stats, "reset_failures") == 0, s.stats)


@test
def tables_go_back():
    """Whatever the program says about how much of its tables is in use."""
    with Server(PROGRAM, "-e", "-t", "1", "-w", "3", "--verify-reset") as s:
        for _ in range(4):
            a = s.get("/marks")
            check(a.status in (200, 503), a)
            next_is_right(s)
    check(find(s.stats, "reset_failures") == 0, s.stats)


@test
def short_body():
    """The head was out: the client has to see that the body is broken."""
    with Server(PROGRAM, "-e", "-w", "3") as s:
        for _ in range(4):
            try:
                a = s.get("/shortbody")
                check(a.status == 503, "a whole answer:", a)
            except (http.client.IncompleteRead, ConnectionError):
                pass
            next_is_right(s)


@test
def fills_while_the_client_is_slow():
    with Server(PROGRAM, "-e", "-t", "1", "-w", "3", "--max-request-time",
                "1") as s:
        for slow in (True, False):
            c = s.client(timeout=5)
            c.sock = s.connect(5)
            c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            c.send("GET", "/fill")
            start = time.monotonic()
            try:
                while time.monotonic() - start < 10:
                    if not c.sock.recv(4096 if slow else MIB):
                        break
                    if slow:
                        time.sleep(0.05)
            except ConnectionError:
                pass
            check(time.monotonic() - start < 10, "no end of it")
            c.close()
            next_is_right(s)


@test
def large_unread_body():
    """A guest that neither reads nor answers, and 64 MiB for it."""
    with Server(PROGRAM, "-e", "-w", "3", "--max-request-time", "2") as s:
        try:
            a = s.post("/noread", pattern(64 * MIB))
            check(a.status == 503, a.status)
        except ConnectionError:
            pass
        next_is_right(s)


@test
def clients_that_leave():
    with Server(PROGRAM, "-e", "-t", "2", "-w", "3", "--max-request-time",
                "1") as s:
        for path in ("/", "/fill", "/sleep?ms=300", "/size?n=10000000",
                     "/stream?n=100&ms=10", "/loop"):
            for _ in range(5):
                c = s.client()
                c.send("GET", path)
                c.close()
        sock = s.connect()
        sock.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\n"
                     b"Content-Length: 1000\r\n\r\nonly this")
        sock.close()
        time.sleep(1.5)
        next_is_right(s)


@test
def bad_requests():
    with Server(PROGRAM, "-e", "-w", "3") as s:
        for raw in (b"\r\n\r\n\r\n", b"GARBAGE\r\n\r\n",
                    b"GET / HTTP/9.9\r\n\r\n",
                    b"GET / HTTP/1.1\r\nNo-Colon\r\n\r\n",
                    b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
                    b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
                    b"Content-Length: 2\r\n\r\nx",
                    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
                    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                    b"GET / HTTP/1.1\r\nX: " + b"x" * 200000 + b"\r\n\r\n",
                    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
                    bytes(range(256)) * 16):
            sock = s.connect(5)
            answer = b""
            try:
                sock.sendall(raw)
                sock.shutdown(socket.SHUT_WR)
                answer = sock.recv(65536)
            except ConnectionError:
                pass
            sock.close()
            check(answer == b"" or answer.startswith(
                (b"HTTP/1.1 4", b"HTTP/1.1 501", b"HTTP/1.1 505")),
                  raw[:40], "got", answer[:80])
            next_is_right(s)


@test
def queue_is_bounded():
    with Server(PROGRAM, "-e", "-t", "1", "-w", "3", "--queue-limit", "2",
                "--queue-time", "0.3") as s:
        statuses = []

        def one(_):
            statuses.append(s.get("/sleep?ms=1000"))
        in_threads(8, one)
        busy = [a for a in statuses if a.status == 503]
        check(1 <= len(statuses) - len(busy) <= 4 and len(busy) >= 4,
              [a.status for a in statuses])
        check(all("Retry-After" in a.headers for a in busy), "Retry-After")
        next_is_right(s)


@test
def memory_of_a_request():
    with Server(PROGRAM, "-e", "-w", "3", "--max-request-memory", "64",
                "--limit-request-memory", "4") as s:
        for _ in range(5):
            a = s.get("/touch?mb=32")
            check(a.status == 200, "32 of 64 MiB:", a)
        before = s.rss()
        a = s.get("/touch?mb=128")
        check(a.status == 503 or a.body == b"Cannot allocate memory", a)
        next_is_right(s)
        check(s.rss() < before + 70 * 1024, "memory kept:", before, s.rss())


@test
def no_leak():
    """Thousands of failures: the same memory, descriptors and threads."""
    n = scaled(10000)
    paths = itertools.cycle(
        ["/crash", "/exit", "/close", "/garbage", "/half", "/nothing",
         "/abort", "/ud", "/shortbody", "/noread", "/", "/size?n=100000"] * 3 +
        ["/loop", "/sleepforever", "/alloc", "/fill"])
    with Server(PROGRAM, "-e", "-t", "2", "-w", "3", "--max-request-time",
                "0.1", "--max-request-memory", "16", "--queue-time", "20",
                "--queue-limit", "100") as s:
        def failures(count):
            todo = [next(paths) for _ in range(count)]

            def some(i):
                for path in todo[i::8]:
                    c = Client(s)
                    try:
                        a = c.request("GET", path)
                        check(a.status in (200, 503), path, a.status)
                    except (http.client.HTTPException, ConnectionError):
                        check(path in ("/shortbody", "/fill"), path, "broken")
                    c.close()
            in_threads(8, some)
            time.sleep(1)
            next_is_right(s)

        failures(max(160, n // 5))
        rss, fds, threads = s.rss(), s.descriptors(), s.threads()
        failures(n)
        check(s.threads() <= threads + 1, "threads:", threads, s.threads())
        now = s.descriptors()
        check(sum(now.values()) <= sum(fds.values()) + 2, "descriptors:",
              fds, now)
        check(s.rss() < rss * 1.2 + 8192, "memory (KiB):", rss, s.rss())


@test
def files_replaced_under_load():
    """What the program was loaded from, and what it has mapped, is cut off,
    written over and replaced while it serves: nothing changes."""
    script = """
import http.server, mmap, os, sys
f = open(sys.argv[1], "r+b")
m = mmap.mmap(f.fileno(), 0, flags=mmap.MAP_PRIVATE)
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = bytes(m[0:4]) + bytes(m[70000:70004])
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
http.server.HTTPServer(("127.0.0.1", 8080), H).serve_forever()
"""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as d:
        python, code, data = (os.path.join(d, n) for n in
                              ("python", "code.py", "data"))
        shutil.copy(os.path.realpath(PYTHON), python)
        with open(code, "w") as f:
            f.write(script)
        with open(data, "wb") as f:
            f.write(b"good" * 20000)
        stop = threading.Event()

        def spoil():
            n = 0
            while not stop.is_set():
                for path in (python, code, data):
                    if n % 3 == 0:
                        os.truncate(path, 0)
                    elif n % 3 == 1:
                        with open(path, "wb") as f:
                            f.write(b"bad!" * 50000)
                    else:
                        with open(path + ".new", "wb") as f:
                            f.write(b"new!" * 1000)
                        os.replace(path + ".new", path)
                n += 1
                time.sleep(0.002)

        with Server([python, code, data], "-e", "-t", "2", "-w", "3",
                    "--verify-reset") as s:
            check(s.get("/").body == b"goodgood", "before")
            t = threading.Thread(target=spoil)
            t.start()
            try:
                for _ in range(scaled(2000)):
                    a = s.get("/")
                    check(a.status == 200 and a.body == b"goodgood", a)
            finally:
                stop.set()
                t.join()
