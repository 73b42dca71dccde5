#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""An HTTP client for the .vtc files: what varnishtest's cannot do.

    client.py ready NAME TENANT...          wait until they are (varnishadm);
                                            TENANT or VCL.TENANT
    client.py pool NAME TENANT FIELD N      wait until that is so: busy, forks,
                                            waiting (varnishadm)
    client.py stat NAME COUNTER OP N        the same for a counter; varnishtest
                                            looks for 5 seconds only
    client.py many PORT PATH N THREADS [BODY]
                                            N times `scale` requests, all 200
    client.py size PORT PATH N              the body is N bytes of the pattern
    client.py echo PORT PATH N length|chunked
                                            POST N bytes, read them back
    client.py early PORT PATH N             POST N bytes to one who may answer
                                            and close before it has them all;
                                            prints status and Connection
    client.py times PORT PATH FIRST LAST    the first byte of the body comes
                                            before FIRST, the last after LAST
                                            and the end of the answer within
                                            a second of it (seconds)
    client.py before PORT PATH T [STATUS]   the whole answer comes before T
    client.py limits PORT N                 N times a /loop that is ended, and
                                            a /count that is not
    client.py slow PORT PATH BYTES SECONDS [FILE]
                                            read BYTES in SECONDS, then leave;
                                            FILE is made after the first ones

The scale is the environment's TKVM_TEST_SCALE.

What is said to be quick is tried TRIES times, and has to be so once: the host
may have had something else to do, but what is slow by itself is slow each time.
What must not be too early has no second try.
"""

import http.client
import json
import operator
import os
import socket
import subprocess
import sys
import threading
import time

PATTERN = b"abcdefghijklmnopqrstuvwxyz" * 2521      # 65546 bytes
TIMEOUT = 120
TRIES = 8


def scaled(n):
    return max(4, int(n * float(os.environ.get("TKVM_TEST_SCALE", "0.1"))))


def pattern(n):
    while n > 0:
        yield PATTERN[:n]
        n -= min(n, len(PATTERN))


class Check:
    """Compares a stream with the pattern."""

    def __init__(self):
        self.pos = 0

    def __call__(self, data):
        at = self.pos % 26
        want = (PATTERN * (len(data) // len(PATTERN) + 2))[at:at + len(data)]
        assert data == want, "wrong bytes at %d" % self.pos
        self.pos += len(data)


def connect(port):
    return http.client.HTTPConnection("127.0.0.1", int(port), timeout=TIMEOUT)


def wait_for(what, look):
    """Until look() answers (True, ...); what else it answers is for the text"""
    end = time.monotonic() + TIMEOUT
    while True:
        done, seen = look()
        if done:
            return
        assert time.monotonic() < end, "not %s: %s" % (what, seen)
        time.sleep(.05)


def backends(name, *options):
    out = subprocess.run(
        ["varnishadm", "-t", "60", "-n", name, "backend.list", "-j", *options,
         "*.*"], stdout=subprocess.PIPE, check=True).stdout
    return json.loads(out)[3]


def named(backend, tenant):
    return backend == tenant or backend.endswith("." + tenant)


def ready(name, *tenants):
    def look():
        lst = backends(name)
        return all(any(named(k, t) and v["probe_message"][2] == "healthy"
                       for k, v in lst.items()) for t in tenants), lst
    wait_for("ready", look)


def pool(name, tenant, field, n):
    def look():
        lst = {k: v["probe_details"] for k, v in backends(name, "-p").items()
               if named(k, tenant)}
        return any(v[field] == int(n) for v in lst.values()), lst
    wait_for("%s %s" % (n, field), look)


def stat(name, counter, op, n):
    compare = {"==": operator.eq, ">=": operator.ge, "<=": operator.le}[op]

    def look():
        out = subprocess.run(
            ["varnishstat", "-n", name, "-1", "-f", counter],
            stdout=subprocess.PIPE, check=True).stdout.decode().split()
        return out[:1] == [counter] and compare(int(out[1]), int(n)), out
    wait_for("%s %s %s" % (counter, op, n), look)


def many(port, path, n, threads, body=None):
    n, threads, errors = scaled(int(n)), int(threads), []

    def run(count):
        try:
            c = connect(port)
            for _ in range(count):
                c.request("GET", path)
                r = c.getresponse()
                got = r.read()
                assert r.status == 200, "status %d" % r.status
                assert body is None or got == body.encode(), got[:100]
        except Exception as e:          # whatever it is, the test has failed
            errors.append(repr(e))

    t = [threading.Thread(target=run, args=(n // threads + 1,))
         for _ in range(threads)]
    for x in t:
        x.start()
    for x in t:
        x.join()
    assert not errors, errors[:3]


def read_checked(r, n):
    check = Check()
    while True:
        data = r.read(1 << 16)
        if not data:
            break
        check(data)
    assert check.pos == n, "%d bytes of %d" % (check.pos, n)


def size(port, path, n):
    c = connect(port)
    c.request("GET", path)
    r = c.getresponse()
    assert r.status == 200, "status %d" % r.status
    read_checked(r, int(n))


def send_body(c, n, framing):
    for data in pattern(n):
        if framing == "chunked":
            c.send(b"%x\r\n%s\r\n" % (len(data), data))
        else:
            c.send(data)
    if framing == "chunked":
        c.send(b"0\r\n\r\n")


def echo(port, path, n, framing):
    """Sends and reads at the same time: the guest answers while it reads."""
    n = int(n)
    c = connect(port)
    c.putrequest("POST", path)
    if framing == "chunked":
        c.putheader("Transfer-Encoding", "chunked")
    else:
        c.putheader("Content-Length", str(n))
    c.endheaders()
    t = threading.Thread(target=send_body, args=(c, n, framing))
    t.start()
    r = http.client.HTTPResponse(c.sock, method="POST")
    r.begin()
    assert r.status == 200, "status %d" % r.status
    read_checked(r, n)
    t.join()


def early(port, path, n):
    """A client that stops at an error while it sends would miss the answer
    that has come before it, so this one sends in a thread of its own."""
    n = int(n)
    c = connect(port)
    c.putrequest("POST", path)
    c.putheader("Content-Length", str(n))
    c.endheaders()

    def send():
        try:
            send_body(c, n, "length")
        except ConnectionError:
            pass

    t = threading.Thread(target=send)
    t.start()
    r = http.client.HTTPResponse(c.sock, method="POST")
    r.begin()
    r.read()
    print(r.status, r.getheader("Connection"))
    t.join()


def raw(port, path):
    s = socket.create_connection(("127.0.0.1", int(port)), TIMEOUT)
    s.sendall(b"GET %s HTTP/1.1\r\nHost: test\r\n\r\n" % path.encode())
    return s


def in_time(once):
    """once() answers what is wrong, if anything: is it so each time?"""
    for _ in range(TRIES):
        why = once()
        if why is None:
            return
        print(why, flush=True)
    raise AssertionError("%s, and %d times" % (why, TRIES))


def times(port, path, first, last):
    first, last = float(first), float(last)

    def once():
        t0 = time.monotonic()
        c = connect(port)
        c.request("GET", path)
        r = c.getresponse()
        assert r.status == 200, "status %d" % r.status
        assert r.read(1)
        t1 = time.monotonic() - t0
        while r.read1(1 << 16):
            pass
        t2 = time.monotonic() - t0
        assert t2 > last, "the last came after %.3f s" % t2
        if t1 >= first:
            return "the first byte came after %.3f s" % t1
        if t2 >= last + 1:
            return "the last after %.3f s" % t2
        return None

    in_time(once)


def before(port, path, limit, status=None):
    def once():
        t0 = time.monotonic()
        c = connect(port)
        c.request("GET", path)
        r = c.getresponse()
        r.read()
        t1 = time.monotonic() - t0
        assert status is None or r.status == int(status), \
            "status %d" % r.status
        return None if t1 < float(limit) else "it took %.3f s" % t1

    in_time(once)


def limits(port, n):
    """The limit may be so short that a /count does not come in time where the
    processor is somebody else's for a while; a machine that has not got over
    the /loop would never answer it."""
    c = connect(port)

    def get(path):
        c.request("GET", path)
        r = c.getresponse()
        return r.status, r.read()

    for _ in range(int(n)):
        status, _ = get("/loop")
        assert status == 503, status
        for _ in range(TRIES):
            status, body = get("/count")
            if status != 503:
                break
        assert (status, body) == (200, b"2"), (status, body)


def slow(port, path, nbytes, seconds, begun=None):
    nbytes, end = int(nbytes), time.monotonic() + float(seconds)
    s = raw(port, path)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    while nbytes > 0 and time.monotonic() < end:
        data = s.recv(min(nbytes, 4096))
        if not data:
            break
        if begun is not None:
            open(begun, "w").close()
        nbytes -= len(data)
        time.sleep(.01)
    s.close()


if __name__ == "__main__":
    {f.__name__: f for f in (ready, pool, stat, many, size, echo, early,
                             times, before, limits, slow)}[sys.argv[1]](*sys.argv[2:])
