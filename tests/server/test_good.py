# SPDX-License-Identifier: BSD-2-Clause
"""Ordinary requests to well-behaved servers, in all shapes."""

import http.client
import os
import tempfile
import time

from harness import (MIB, PYTHON, QUICK, Server, best_of, check, find,
                     free_port, guest, in_threads, pattern, run_server,
                     scaled, test, wait_for)

HELLO = b"Hello, World!\n"
# Where a guest listens matters to nobody: `--listen` says where we serve.
GUEST_PORT = "8080"


def c_server(name, *flags):
    return [guest(name), *flags, GUEST_PORT]


def py_server(name):
    return [PYTHON, guest("py/" + name + ".py"), GUEST_PORT]


SERVERS = {
    "static": c_server("chttp_static"),
    "dynamic": c_server("chttp_dyn"),
    "poll": c_server("chttp_dyn", "-m", "poll"),
    "http_server": py_server("http_server"),
    "http_threading": py_server("http_threading"),
    "asyncio": py_server("asyncio_server"),
    "wsgi": py_server("wsgi_server"),
}


def each_server(f):
    """A test for each of them, named after both."""
    for name, program in SERVERS.items():
        def one(name=name, program=program):
            f(name, program)
        one.__name__ = "%s_%s" % (f.__name__, name)
        test(one)
    return f


def hello(c):
    a = c.request("GET", "/")
    check(a.status == 200 and a.body == HELLO, "answer", a)


@each_server
def small(name, program):
    """1 and 8 at a time, on new and on kept connections; /count stays."""
    n = scaled(10000)
    with Server(program, "-e", "-t", "2", "-w", "5") as s:
        for _ in range(n // 2):
            with s.client() as c:
                hello(c)
        with s.client() as c:
            for _ in range(n - n // 2):
                hello(c)

        def many(_):
            with s.client() as c:
                for i in range(n // 8):
                    if i % 4 == 0:
                        c.close()
                    hello(c)
        in_threads(8, many)
        for _ in range(10):
            a = s.get("/count")
            check(a.body == b"6", "count after 5 warm-ups:", a)
    requests = find(s.stats, "requests")
    check(requests is not None and requests >= 2 * n - 8, "statistics:",
          s.stats)


@each_server
def bodies(name, program):
    """0 bytes, 1 MiB and 64 MiB, down and up, the latter echoed."""
    with Server(program, "-e", "-t", "2", "-w", "2", "--max-request-time",
                "60") as s:
        for size, n in ((0, 20), (MIB, 20), (64 * MIB, scaled(20, 2))):
            want = pattern(size)
            for i in range(n):
                a = s.get("/size?n=%d" % size, timeout=120)
                check(a.status == 200 and a.body == want, "size", size,
                      "round", i, a.status, len(a.body))
                a = s.post("/echo", want, timeout=120)
                check(a.status == 200 and a.body == want, "echo", size,
                      "round", i, a.status, len(a.body))


@each_server
def verify_reset(name, program):
    n = scaled(1000)
    with Server(program, "-e", "-w", "5", "--verify-reset") as s:
        for i in range(n):
            path, want = (("/", HELLO), ("/count", b"6"),
                          ("/size?n=100000", pattern(100000)))[i % 3]
            a = s.get(path)
            check(a.status == 200 and a.body == want, path, a.status,
                  a.body[:80])
        a = s.post("/echo", want)
        check(a.body == want, "echo", a.status, len(a.body))
    bad = find(s.stats, "reset_failures")
    check(not bad, "differences after a reset:", bad, s.stats)


@test
def echo_chunked_64m():
    body = pattern(64 * MIB)
    for name in ("static", "http_server", "asyncio"):
        with Server(SERVERS[name], "-e", "--max-request-time", "60") as s:
            a = s.post("/echo", body, chunked=True, timeout=120)
            check(a.status == 200 and a.body == body, name, a.status,
                  len(a.body))


def waiting(mode, *flags):
    with Server(c_server("chttp_static", "-m", mode, *flags), "-e", "-w",
                "3") as s:
        for _ in range(scaled(200, 20)):
            with s.client() as c:
                hello(c)
        for _ in range(5):
            check(s.get("/count").body == b"4", "count")
        a = s.get("/sleep?ms=100")
        check(a.body == HELLO, "sleep", a)


for _mode in ("epoll", "poll", "select", "accept"):
    for _flags in ((), ("-t",)):
        def _one(mode=_mode, flags=_flags):
            waiting(mode, *flags)
        _one.__name__ = "waits_in_%s%s" % (_mode, "_ticking" if _flags else "")
        test(_one)


@test
def run_modes():
    """On the worker's thread and on pinned threads of their own."""
    for mode in ("worker", "runner"):
        with Server(SERVERS["static"], "-e", "-t", "2", "-w", "2",
                    "--run-mode", mode, "--verify-reset") as s:
            def many(_):
                with s.client() as c:
                    for i in range(scaled(500)):
                        if i % 3 == 0:
                            c.close()
                        hello(c)
            in_threads(8, many)
            check(s.get("/count").body == b"3", mode, "count")


def runners(pid):
    """Names of threads that run one machine each."""
    names = []
    for task in os.listdir("/proc/%d/task" % pid):
        try:
            with open("/proc/%d/task/%s/comm" % (pid, task)) as f:
                names.append(f.read().strip())
        except FileNotFoundError:
            pass
    return names.count("tkvm-runner")


@test
def long_requests_get_a_thread():
    """Only by default, and where a machine did not have one anyway."""
    for mode, most in (("worker", 0), ("auto", 1)):
        with Server(SERVERS["static"], "-e", "-t", "1", "-w", "2",
                    "--run-mode", mode, "--verify-reset") as s:
            pid = s.process.pid
            for _ in range(20):
                check(s.get("/").body == HELLO, mode, "answer")
            before = runners(pid)
            for _ in range(3):
                check(s.get("/bursts?n=1&ms=20").status == 200, "burst")
            # It starts, and takes its name, behind the answer.
            wait_for("%s: %d, then %d" % (mode, before, runners(pid)),
                     lambda: runners(pid) == most)
            check(before <= most, mode, "short requests", before)
            for _ in range(50):
                check(s.get("/").body == HELLO, mode, "answer")
            check(s.get("/bursts?n=1&ms=20").status == 200, "burst")
            s.at_rest(20 + 3 + 50 + 1)
            check(runners(pid) == most, mode, "a second one")


@test
def settling_ends():
    """Work at each timer: boot in time, settled or not: no more than half of
    the time is for that, if it is less than 16 s."""
    with Server([guest("chttp_static"), "-b", "8080"], "-e",
                "--max-boot-time", "8") as s:
        check(s.get("/").body == HELLO, "no answer")


# As libev has it: what the time of day is to the monotonic clock is looked at
# again every half second of the latter.
DISTANCE = """
import socket, time
l = socket.socket()
l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
l.bind(("127.0.0.1", 8080))
l.listen(16)
seen = time.monotonic()
while True:
    s, _ = l.accept()
    again = time.monotonic() - seen >= 0.5
    s.recv(65536)
    s.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\n"
              b"Connection: close\\r\\n\\r\\n" +
              (b"again" if again else b"stale"))
    s.close()
"""


@test
def distance_of_clocks():
    """The time of day went on since the freeze: who keeps how far it is from
    the monotonic clock looks again."""
    with Server([PYTHON, "-c", DISTANCE], "-e") as s:
        for _ in range(2):
            check(s.get("/").body == b"again", "the time of the freeze")


@test
def resident():
    """Without -e a machine remembers."""
    with Server(SERVERS["static"], "-t", "1") as s:
        for i in range(1, 20):
            a = s.get("/count")
            check(a.body == b"%d" % i, "count", i, a)


def nth(c):
    a = c.request("GET", "/nth")
    check(a.status == 200, a)
    return int(a.body)


@test
def kept_for_its_client():
    """The guest's end of one client's connection is never another's."""
    for listen in (None, "unix:/tmp/tkvm-test-%d.sock" % os.getpid()):
        with Server(SERVERS["static"], "-t", "1", listen=listen) as s:
            with s.client() as one, s.client() as two:
                check(max(nth(one) for _ in range(10)) > 1, "none was kept")
                check([nth(c) for c in (two, one, two, one)] == [1] * 4,
                      listen, "another client's connection")


@test
def framing():
    with Server(SERVERS["static"], "-e") as s:
        a = s.get("/chunked?n=100000")
        check(a.body == pattern(100000), "chunked", len(a.body))
        a = s.get("/eof?n=100000")
        check(a.body == pattern(100000), "eof", len(a.body))
        with s.client() as c:
            for status in (204, 304):
                a = c.request("GET", "/status?c=%d" % status)
                check(a.status == status and a.body == b"", a)
            for status in (201, 404, 500):
                a = c.request("GET", "/status?c=%d" % status)
                check(a.status == status and a.body == b"%d\n" % status, a)
            a = c.request("HEAD", "/")
            check(a.status == 200 and a.body == b"" and
                  a.headers["Content-Length"] == "14", "HEAD", a)
            a = c.request("HEAD", "/size?n=1000000")
            check(a.headers["Content-Length"] == "1000000", "HEAD", a)
            a = c.request("GET", "/interim")
            check(a.status == 200 and a.body == HELLO, "interim", a)
            a = c.request("GET", "/bigheaders")
            check(a.body == b"big\n" and len(a.headers["X-Big-39"]) == 500,
                  "big headers", a.status, len(a.headers))
            a = c.request("POST", "/", b"thrown away" * 1000)
            check(a.body == HELLO, "unread body", a)


@test
def headers_and_peer():
    with Server(SERVERS["static"], "-e") as s:
        with s.client() as c:
            a = c.request("GET", "/headers?a=b%20c",
                          headers=["X-One: 1", "X-Empty:", "Cookie: a=b"])
            text = a.body.decode()
            check(text.startswith("GET /headers?a=b%20c HTTP/1.1\r\n"), text)
            for want in ("x-one: 1", "x-empty:", "cookie: a=b", "host: test"):
                check("\r\n" + want in text.lower(), want, "in", text)
            port = c.sock.getsockname()[1]
            a = c.request("GET", "/peer")
            check(a.body == b"127.0.0.1:%d\n" % port, a, "not", port)


@test
def streamed():
    """Each chunk comes when it is written, not at the end."""
    with Server(SERVERS["static"], "-e") as s, s.client() as c:
        def chunks():
            c.send("GET", "/stream?n=10&ms=50")
            r = c.response()
            times = []
            start = time.monotonic()
            for i in range(10):
                line = r.readline()
                check(line == b"chunk %d\n" % i, line)
                times.append(time.monotonic() - start)
            check(r.read() == b"", "more than ten")
            longest = max(b - a for a, b in zip(times, times[1:]))
            return times[9] - times[0] > 0.35 and longest < 0.3, times
        best_of(8, "all at once, or in lumps:", chunks)


@test
def early_streaming_echo():
    """The answer begins while the request is still being sent."""
    with Server(SERVERS["static"], "-e") as s, s.client() as c:
        c.sock = s.connect()
        c.sock.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\n"
                       b"Content-Length: 1000000\r\n\r\n")
        c.sock.sendall(pattern(500000))
        time.sleep(0.2)
        c.sock.sendall(pattern(1000000)[500000:])
        r = c.response()
        check(r.read() == pattern(1000000), "echo")


@test
def late_work():
    """The client does not wait for what happens after the answer."""
    with Server(SERVERS["static"], "-e", "-t", "1", "-w", "1") as s:
        for path in ("/late?ms=500", "/latetimer?ms=500"):
            def answer(path=path):
                # Not the reset of the request before
                check(s.get("/count").body == b"2", "count, with", path)
                start = time.monotonic()
                a = s.get(path)
                took = time.monotonic() - start
                check(a.body == HELLO, path, a)
                return took < 0.4, took
            best_of(8, path, answer)
            check(s.get("/count").body == b"2", "count after", path)


@test
def fresh_in_each_request():
    with Server(SERVERS["static"], "-e", "-t", "1", "-w", "2") as s:
        seen = {s.get("/random").body for _ in range(100)}
        check(len(seen) == 100, "random numbers repeat:", 100 - len(seen))
        pids = {s.get("/pid").body for _ in range(50)}
        check(len(pids) > 1, "always the same process id")
        time.sleep(1.1)
        before = time.time()
        a = s.get("/time")
        check(before - 1.5 <= int(a.body) <= time.time() + 0.5, "time", a,
              before, time.time())


@test
def answers_413_without_reading():
    with Server(SERVERS["static"], "-e", "-t", "1") as s:
        for _ in range(5):
            start = time.monotonic()
            try:
                a = s.post("/413", pattern(16 * MIB))
                check(a.status == 413, a.status)
            except (ConnectionError, http.client.HTTPException):
                # A client that only writes may miss it; it must be quick.
                pass
            check(time.monotonic() - start < 30, "too slow")
            a = s.get("/")
            check(a.body == HELLO, "the next request", a)


@test
def permissions():
    folder = os.path.dirname(guest("chttp_dyn"))
    program = SERVERS["dynamic"]
    rules = ("--allow-read=%s,/usr,/lib,/lib64,/etc/ld.so.cache,"
             "/etc/hostname" % folder, "--allow-listen")
    with Server(program, "-e", "--env", "MARK=here", allow=rules,
                env={"SECRET": "shown"}) as s:
        with open("/etc/hostname", "rb") as f:
            check(s.get("/file?p=/etc/hostname").body == f.read(), "hostname")
        # There is an /etc/passwd, but not the host's.
        a = s.get("/file?p=/etc/passwd")
        with open("/etc/passwd", "rb") as f:
            check(a.body != f.read() and b"daemon" not in a.body, "passwd")
        for path in ("/etc/shadow", "/etc/../etc/fstab", "/etc/hostname2",
                     "/usr/../etc/shadow", "/proc/2/environ",
                     "/proc/self/root/etc/shadow",
                     "/proc/self/cwd/../../../../../../etc/fstab"):
            a = s.get("/file?p=" + path)
            check(a.body in (b"Permission denied", b"No such file or "
                             b"directory"), path, a.body[:60])
        check(s.get("/env?n=MARK").body == b"here\n", "--env")
        check(s.get("/env?n=SECRET").body == b"(unset)\n", "our environment")
    with Server(program, "--volume", "/etc:/conf:r", "-e", allow=rules) as s:
        a = s.get("/file?p=/conf/passwd")
        check(b"daemon" in a.body, "volume", a.body[:60])
        a = s.get("/file?p=/conf/../etc/shadow")
        check(b"root:" not in a.body, "out of the volume", a.body[:60])


@test
def addresses():
    """--listen unix:, the guest's own address, options on both sides."""
    path = "/tmp/tkvm-test-%d.sock" % os.getpid()
    with Server(SERVERS["static"], "-e", listen="unix:" + path) as s:
        check(s.get("/").body == HELLO, "unix")
        check(s.get("/peer").status == 200, "peer")
    check(not os.path.exists(path), "the socket is left over")
    s = Server([guest("chttp_static"), str(free_port())], "-e", listen="")
    s.port = int(s.command[-1])
    with s:
        check(s.get("/").body == HELLO, "own address")
    s = Server([], "-e")
    s.command.remove("-e")
    s.command += ["-e", "-w", "4", *SERVERS["static"]]
    with s:
        check(s.get("/count").body == b"5", "options behind run")


@test
def listeners():
    """Three of one program: all are served, or the one that is named."""
    first, second = free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="tkvm-listen.") as folder:
        path = os.path.join(folder, "sock")
        program = [PYTHON, guest("py/listeners.py"), str(first),
                   str(second), path]
        named = ["--guest-listen=%d" % second]
        # Freezing waits for the thread that sleeps: its timer is due.
        with Server(program, "-e", "-t", "2", "--verify-reset", *named,
                    listen="", at=second) as s:
            # Only this one is served.
            check(s.get_at(second) == b"second 1\n", "named")
            check(s.get_at(first) is None, "not named")
        with Server(program, "-e", "-t", "2", "--verify-reset", *named) as s:
            check(s.get("/").body == b"second 1\n", "named, elsewhere")
        with Server(program, "-e", "-t", "2", "--verify-reset",
                    listen="", at=first) as s:
            for _ in range(5):
                check(s.get_at(first) == b"first 1\n", "first")
                check(s.get_at(second) == b"second 1\n", "second")
                check(s.get_at(path) == b"unix 1\n", "unix")
        check(not os.path.exists(path), "the socket is left over")
        allow = ["--allow-read", "--allow-write", "--allow-listen=:%d" % first]
        with Server(program, "-t", "1", listen="", at=first,
                    allow=allow) as s:
            check(s.get_at(first) == b"first 1\n", "allowed")
            check(s.get_at(second) is None, "not allowed")
            check(s.get_at(first) == b"first 2\n", "resident")
        with Server(program, "-t", "1", listen="", at=first) as s:
            for i in range(1, 5):
                for at, name in ((first, "first"), (second, "second"),
                                 (path, "unix")):
                    check(s.get_at(at) == b"%s %d\n" % (name.encode(), i),
                          "resident", name)


@test
def statistics():
    with Server(SERVERS["static"], "-e", "-t", "1", "-w", "20") as s:
        for _ in range(500):
            with s.client() as c:
                hello(c)
        with s.client() as c:
            for _ in range(500):
                hello(c)
        check(s.now()["requests"] == 1000, "requests:", s.now())
    check(find(s.stats, "requests") == 1000, "requests:", s.stats)
    exits = find(s.stats, "kvm_exits_per_request")
    # one, and a few where the watchdog's kick came while it ran
    check(exits is not None and 0 < exits <= 1.3, "exits per request:", exits,
          s.stats)


@test
def simple_calls_need_no_exit():
    """The signal mask and the end of the heap are changed inside."""
    with Server([guest("chttp_static"), "8080"], "-e", "-t1") as s:
        for _ in range(50):
            check(s.get("/mask").body == b"ok", "not as it was set")
    exits = find(s.stats, "kvm_exits_per_request")
    check(0 < exits <= 1.3, "exits per request:", exits)


@test
def stops_cleanly():
    for sig in (2, 15):
        s = Server(SERVERS["static"], "-e", "-t", "2")
        with s:
            idle = s.connect()
            hello(s.client())
            busy = s.client()
            busy.send("GET", "/sleep?ms=3000")
            # One that is being served is; the 60 s are not waited for.
            s.taken(2)
            start = time.monotonic()
            s.process.send_signal(sig)
            s.process.wait(QUICK)
            check(s.process.returncode == 0, "status", s.process.returncode)
            check(time.monotonic() - start < 30, "too slow")
            idle.close()
            busy.close()
            # __exit__ would complain about a server that has ended.
            s.process.poll = lambda: None
            s.process.send_signal = lambda _: None
    status, lines = run_server("--help")
    check(status == 0 and not lines, "--help", status, lines)
    status, lines = run_server("--no-such-option", "run", "/bin/true")
    check(status != 0 and len(lines) >= 1, "unknown option", lines)
