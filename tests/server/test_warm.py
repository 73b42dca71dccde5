# SPDX-License-Identifier: BSD-2-Clause
"""warm-connection: each request is the first on a connection that the program
had accepted when it was frozen."""

import os
import subprocess
import time

from harness import (PYTHON, Server, Skip, check, free_port, in_threads,
                     test)
from test_good import SERVERS, hello

WARM = ("-e", "--warm-connection", "--verify-reset")
NOT_WARM = "each request opens one"

# One connection at a time; says how many it has accepted, how many requests
# came on this one, and what it was told of its client then and now.
SINGLE = """
import socket, sys, threading, time
HOW = %r
def busy():
    while True:
        time.sleep(0.5)
if HOW == "greets, busy":
    threading.Thread(target=busy).start()
l = socket.socket()
l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
l.bind(("127.0.0.1", 8080))
l.listen(16)
accepted = 0
while True:
    s, peer = l.accept()
    accepted += 1
    s.settimeout(2 if HOW == "impatient" else None)
    if HOW.startswith("greets"):
        s.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 1\\r\\n\\r\\n-")
        if not s.recv(1):
            s.close()
            continue
    if HOW == "closes" and accepted %% 2:
        s.close()
        continue
    served = 0
    while True:
        try:
            if b"\\r\\n\\r\\n" not in s.recv(65536):
                break
        except TimeoutError:
            sys.stderr.write("timed out\\n")
            break
        served += 1
        body = b"%%d %%d %%s %%s:%%d" %% (accepted, served,
            b"known" if peer == s.getpeername() else b"other",
            s.getpeername()[0].encode(), s.getpeername()[1])
        s.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: %%d\\r\\n\\r\\n%%s" %%
                  (len(body), body))
        if HOW == "ends":
            break
    s.close()
"""


def single(how=""):
    return [PYTHON, "-c", SINGLE % how]


def log(s):
    with open(s.log, encoding="utf-8", errors="replace") as f:
        return f.read()


def each_server(f):
    for name, program in SERVERS.items():
        def one(name=name, program=program):
            f(program)
        one.__name__ = "%s_%s" % (f.__name__, name)
        test(one)
    return f


@each_server
def warm(program):
    """New and kept connections, one and eight at a time, all the same."""
    with Server(program, *WARM, "-t", "2", "-w", "3") as s:
        for _ in range(20):
            with s.client() as c:
                hello(c)

        def many(_):
            with s.client() as c:
                for i in range(20):
                    if i % 4 == 0:
                        c.close()
                    hello(c)
        in_threads(8, many)
        for _ in range(5):
            a = s.get("/count")
            check(a.body == b"4", "count after 3 warm-ups:", a)
        body = bytes(range(256)) * 4096
        a = s.post("/echo", body)
        check(a.status == 200 and a.body == body, "1 MiB came back", a.status)
        text = log(s)
        check("reset" not in text and NOT_WARM not in text, text[-300:])
    check(s.stats["requests"] >= 180, "requests", s.stats)


@test
def warm_is_the_same_connection():
    """Whoever comes, with the address of who it is."""
    with Server(single(), *WARM, "-w", "2") as s:
        for _ in range(5):
            with s.client() as c:
                a = c.request("GET", "/")
                check(a.body == b"3 1 other 127.0.0.1:%d" %
                      c.sock.getsockname()[1], a)
                a = c.request("GET", "/")       # after a reset
                check(a.body.startswith(b"3 1 "), a)
        check(NOT_WARM not in log(s), log(s)[-300:])


@test
def warm_without_reset():
    """The first client has it, the next ones their own."""
    with Server(single(), "--warm-connection", "-w", "2") as s:
        for i in range(5):
            with s.client() as c:
                for k in range(3):
                    a = c.request("GET", "/")
                    check(a.body.startswith(b"%d %d " % (3 + i, 1 + k)), a)


@test
def warm_is_not_older():
    """A time-out of 2 s runs from the request, not from the freeze."""
    with Server(single("impatient"), *WARM, "--settle-time=0") as s:
        for _ in range(2):
            time.sleep(2.5)
            check(s.get("/").body.startswith(b"1 1 "), log(s)[-300:])
        check("timed out" not in log(s), log(s)[-300:])


@test
def warm_settled():
    """... but what happens before the freeze does count."""
    with Server(single("impatient"), *WARM, "--settle-time=10") as s:
        check(s.get("/").body.startswith(b"2 1 "), log(s)[-300:])
        check("timed out" in log(s) and NOT_WARM in log(s), log(s)[-300:])


TICKS = """
import socket, threading, time
now = time.time()
def tick():
    global now
    while True:
        time.sleep(1)
        now = time.time()
threading.Thread(target=tick).start()
l = socket.socket()
l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
l.bind(("127.0.0.1", 8080))
l.listen(16)
while True:
    s, _ = l.accept()
    s.settimeout(0.7)
    try:
        while s.recv(65536):
            body = b"%f" % now
            s.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n%s" %
                      (len(body), body))
    except TimeoutError:
        pass
    s.close()
"""


@test
def warm_closed_before_a_tick():
    """It closes what is idle before it is frozen in front of its next tick:
    that tick is still the first thing in each request."""
    with Server([PYTHON, "-c", TICKS], *WARM) as s:
        time.sleep(3)
        for _ in range(2):
            before = time.time()
            old = before - float(s.get("/").body)
            check(old < 2, "its time is old by", old)
        check(log(s).count(NOT_WARM) == 1, log(s)[-300:])


@test
def warm_with_those_that_will_not():
    """Who talks first, or closes what is idle, gets new connections."""
    for how, want in (("greets", b"-"), ("greets, busy", b"-"),
                      ("closes", b"2 1 ")):
        with Server(single(how), *WARM, "--max-boot-time=60") as s:
            for _ in range(3):
                a = s.get("/")
                check(a.status == 200 and a.body.startswith(want), how, a)
            check(log(s).count(NOT_WARM) == 1, how, log(s)[-300:])


@test
def warm_and_ended():
    """A program that closes after its answer"""
    with Server(single("ends"), *WARM, "-w", "2", "-t", "2") as s:
        for _ in range(5):
            check(s.get("/").body.startswith(b"3 1 "), log(s)[-300:])


@test
def warm_unix_socket():
    """A client without an address"""
    at = "unix:/tmp/tkvm-warm-%d.sock" % os.getpid()
    with Server(single(), *WARM, listen=at) as s:
        for _ in range(3):
            check(s.get("/").body.startswith(b"1 1 known 127.0.0.1:"), at)


TWO = """
import select, socket, sys
ls = []
for port in map(int, sys.argv[1:]):
    l = socket.socket()
    l.bind(("127.0.0.1", port))
    l.listen(16)
    ls.append(l)
conns = {}
while True:
    for s in select.select(ls + list(conns), [], [])[0]:
        if s in ls:
            c, _ = s.accept()
            conns[c] = s.getsockname()[1]
            continue
        if s.recv(65536):
            body = b"%d %d" % (conns[s], len(conns))
            s.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n%s" %
                      (len(body), body))
        else:
            del conns[s]
            s.close()
"""


@test
def warm_and_a_second_listener():
    """The connection is the first one's; the other's requests open theirs."""
    one, two = free_port(), free_port()
    with Server([PYTHON, "-c", TWO, str(one), str(two)], *WARM, listen="",
                at=one) as s:
        for _ in range(3):
            check(s.get_at(one) == b"%d 1" % one, "the first listener")
            check(s.get_at(two) == b"%d 2" % two, "the second listener")


THREADS = """
import socket, sys, threading
def serve(l, port):
    while True:
        c, _ = l.accept()
        while c.recv(65536):
            c.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n%s" %
                      (len(port), port.encode()))
        c.close()
ls = []
for port in sys.argv[1:]:
    l = socket.socket()
    l.bind(("127.0.0.1", int(port)))
    l.listen(16)
    ls.append(l)
threading.Thread(target=serve, args=(ls[1], sys.argv[2])).start()
serve(ls[0], sys.argv[1])
"""


@test
def warm_and_a_thread_for_each_listener():
    """The first one's thread has the connection and waits there: it is the
    first one's all the same."""
    one, two = free_port(), free_port()
    with Server([PYTHON, "-c", THREADS, str(one), str(two)], *WARM, listen="",
                at=one) as s:
        for _ in range(3):
            for port in (one, two):
                body = s.get_at(port)
                check(body == b"%d" % port, port, body)
        check(NOT_WARM not in log(s), log(s)[-300:])
    with Server([PYTHON, "-c", THREADS, str(one), str(two)], *WARM) as s:
        check(s.get("/").body == b"%d" % one, "--listen is the first one")


ONCE = """
import socket
while True:
    l = socket.socket()
    l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    l.bind(("127.0.0.1", %d))
    l.listen(16)
    c, _ = l.accept()
    l.close()
    while c.recv(65536):
        c.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 1\\r\\n\\r\\nx")
    c.close()
"""


@test
def warm_and_no_listener_left():
    """It does not listen while it serves somebody."""
    port = free_port()
    with Server([PYTHON, "-c", ONCE % port], *WARM, listen="", at=port) as s:
        for _ in range(3):
            check(s.get("/").body == b"x", log(s)[-300:])
        check(log(s).count(NOT_WARM) == 1, log(s)[-300:])


GEVENT = """
import asyncio
from gevent.pywsgi import WSGIServer
from gevent.threadpool import ThreadPool
pool = ThreadPool(2)
def app(env, start):
    start("200 OK", [("Content-Type", "text/plain")])
    if env["PATH_INFO"] == "/":
        return [b"here"]
    return [pool.spawn(lambda: b"there").get()]
WSGIServer(("127.0.0.1", 8080), app, log=None).serve_forever()
"""


@test
def warm_libev_was_not_forked():
    """libev looks at the process id, and gevent would drop what the request
    has given to a thread."""
    if subprocess.run([PYTHON, "-c", "import gevent.libev.corecext"],
                      capture_output=True, check=False).returncode != 0:
        raise Skip("no gevent")
    with Server([PYTHON, "-c", GEVENT], *WARM) as s:
        for _ in range(3):
            check(s.get("/thread").body == b"there", log(s)[-300:])
