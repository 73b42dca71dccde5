# SPDX-License-Identifier: BSD-2-Clause
"""Options that are not shown elsewhere, signals, and what is written."""

import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time

from harness import (KVMSERVER, PYTHON, QUICK, Server, check, fails, find,
                     guest, in_threads, run_server, scaled, test, wait_for)

PROGRAM = [guest("chttp_static"), "8080"]
HELLO = b"Hello, World!\n"

# A server that does what its path says and answers with what came of it.
DOER = b'''
import http.server, os, signal, socket, sys, threading, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    count = 0
    def log_message(self, *args):
        pass
    def do_GET(self):
        Handler.count += 1
        what, _, arg = self.path[1:].partition("?")
        try:
            answer = getattr(self, "do_" + what)(arg)
        except OSError as e:
            answer = "error: " + e.strerror
        data = str(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    def do_count(self, arg):
        return Handler.count
    def do_cwd(self, arg):
        return os.getcwd()
    def do_env(self, arg):
        return os.environ.get(arg, "(unset)")
    def do_read(self, arg):
        with open(arg) as f:
            return f.read()
    def do_write(self, arg):
        with open(arg, "w") as f:
            return f.write("written")
    def do_connect(self, arg):
        host, port = arg.rsplit(":", 1)
        with socket.create_connection((host, int(port)), 30) as s:
            s.sendall(b"ping")
            return s.recv(100).decode()
    def do_loop(self, arg):
        while True:
            pass
    def do_sleep(self, arg):
        time.sleep(float(arg or 1000))
        return "slept"
    def do_exit(self, arg):
        os._exit(3)
    def do_abort(self, arg):
        os.abort()
    def do_segv(self, arg):
        os.kill(os.getpid(), signal.SIGSEGV)
    def do_recurse(self, arg):
        sys.setrecursionlimit(1 << 30)
        def f(n): return [f(n + 1)]
        f(0)
    def do_alloc(self, arg):
        got = []
        while True:
            got.append(bytearray(b"x" * (1 << 20)))
    def do_threads(self, arg):
        for i in range(int(arg)):
            threading.Thread(target=self.do_loop, args=("",)).start()
        while True:
            time.sleep(0.001)
    def do_close(self, arg):
        self.connection.close()
        threading.Event().wait()
    def do_raise(self, arg):
        raise KeyboardInterrupt
getattr(http.server, sys.argv[2])(("", int(sys.argv[1])),
    Handler).serve_forever()
'''


class Folder(tempfile.TemporaryDirectory):
    """With doer.py in it."""

    def __enter__(self):
        # Rules are for real paths.
        d = os.path.realpath(super().__enter__())
        with open(os.path.join(d, "doer.py"), "wb") as f:
            f.write(DOER)
        return d


def doer(folder, kind="HTTPServer"):
    return [PYTHON, os.path.join(folder, "doer.py"), "8080", kind]


def read_rules(folder):
    return ("--allow-listen", "--allow-read=/usr,/lib,/lib64,/etc," + folder)


# ---- signals ------------------------------------------------------------------

def signal_set(pid, name, sig):
    """Is it in SigBlk or SigCgt of the main thread?"""
    with open("/proc/%d/status" % pid, encoding="ascii") as f:
        for line in f:
            if line.startswith(name + ":"):
                return bool(int(line.split()[1], 16) >> (sig - 1) & 1)
    return False


def start(*argv, **kw):
    return subprocess.Popen([KVMSERVER, *argv], stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, **kw)


def signals_in_boot(program):
    for sig in (signal.SIGINT, signal.SIGTERM):
        with tempfile.TemporaryDirectory() as d:
            stats = os.path.join(d, "stats")
            p = start("--allow-all", "--max-boot-time", "120", "--stats",
                      stats, "run", *program)
            with p:
                # Signals are held back once it has read its options.
                wait_for("signals are not held back", lambda: signal_set(
                    p.pid, "SigBlk", signal.SIGUSR1))
                time.sleep(0.5)         # and then it boots
                p.send_signal(signal.SIGUSR1)
                wait_for("no file in the boot",
                         lambda: os.path.exists(stats))
                with open(stats, encoding="utf-8") as f:
                    check(json.load(f)["boots"] == 0, "boots")
                start_at = time.monotonic()
                p.send_signal(sig)
                _, err = p.communicate(timeout=QUICK)
                took = time.monotonic() - start_at
            check(p.returncode == 0, "status", p.returncode, err)
            # The 120 s of the boot are not waited for.
            check(took < 30, "took", took)
            check(not err, "stderr:", err)
            with open(stats, encoding="utf-8") as f:
                check(json.load(f)["boots"] == 0, "boots")


@test
def signal_while_it_loops_in_the_boot():
    signals_in_boot([PYTHON, "-c", "while True: pass"])


@test
def signal_while_it_sleeps_in_the_boot():
    # Who sleeps for longer than 5 s is not waited for.
    signals_in_boot([PYTHON, "-c",
                     "import time\nwhile True: time.sleep(2)"])


@test
def second_signal():
    """The first waits for requests at hand, the next one does not."""
    with Server(PROGRAM, "-e") as s:
        c = s.client()
        c.send("GET", "/sleep?ms=50000")
        s.taken()
        s.process.send_signal(signal.SIGTERM)
        # Until then it is one signal that came twice.
        wait_for("the first signal is not handled", lambda: signal_set(
            s.process.pid, "SigCgt", signal.SIGINT))
        time.sleep(0.3)
        check(s.process.poll() is None, "it did not wait")
        s.process.send_signal(signal.SIGINT)
        check(s.process.wait(30) == 128 + 2, "status", s.process.returncode)
        c.close()
        # __exit__ is for servers that end in order.
        s.process.poll = lambda: None
        s.process.send_signal = lambda _: None
        s.process.returncode = 0


@test
def stops_under_load():
    """Clients see whole answers or a closed connection, nothing else."""
    for sig in (signal.SIGINT, signal.SIGTERM):
        s = Server(PROGRAM, "-e", "-t", "2", "-w", "1")
        with s:
            stopped = threading.Event()

            def load(_):
                while not stopped.is_set():
                    try:
                        with s.client() as c:
                            for _ in range(20):
                                a = c.request("GET", "/size?n=50000")
                                check(a.status == 200 and
                                      len(a.body) == 50000, a)
                    except OSError:     # closed; a part of one is none
                        if not stopping:
                            raise

            def all_of_it():
                try:
                    in_threads(8, load)
                except Exception as e:      # noqa: for the main thread
                    errors.append(e)
            errors, stopping = [], []
            t = threading.Thread(target=all_of_it)
            t.start()
            time.sleep(0.5)
            stopping.append(1)
            s.process.send_signal(sig)
            status = s.process.wait(QUICK)
            stopped.set()
            t.join()
            check(not errors, "a client saw", errors)
            check(status == 0, "status", status)
            s.process.poll = lambda: None
            s.process.send_signal = lambda _: None


# ---- statistics -----------------------------------------------------------------

@test
def statistics_while_running():
    keys = ("boots", "forks", "requests", "kvm_exits",
            "kvm_exits_per_request", "pages_reset", "queue_us", "run_us",
            "reset_us", "errors")
    with Server(PROGRAM, "-e", "-t", "1", "-w", "2") as s:
        last = 0
        for path, status in (("/", 200), ("/exit", 503), ("/nothing", 503)):
            for _ in range(5):
                a = s.get(path)
                check(a.status == status, path, a)
            last += 5
            s.at_rest(last)
            stats = s.now()
            for key in keys:
                check(find(stats, key) is not None, key, "is not in", stats)
            check(stats["requests"] == last, "requests", last, stats)
            check(stats["resets"] == last, "resets", last, stats)
            check(stats["boots"] == 1 and stats["forks"] == 1, stats)
        check(stats["errors"]["exit"] == 5 and
              stats["errors"]["stuck"] == 5, stats["errors"])
        check(sum(stats["errors"].values()) == 10, stats["errors"])
        check(stats["run_us"] > 0 and stats["reset_us"] > 0, stats)
    check(s.stats["answers"] == 5, s.stats)


@test
def statistics_of_a_failure():
    with tempfile.TemporaryDirectory() as d:
        stats = os.path.join(d, "stats")
        rc, lines = run_server("--allow-all", "--stats=" + stats, "run",
                               "/bin/true")
        check(rc == 1 and len(lines) == 1, rc, lines)
        with open(stats, encoding="utf-8") as f:
            check(json.load(f)["boots"] == 0, "boots")


# ---- the options ------------------------------------------------------------------

@test
def options_anywhere():
    """In front of the subcommand, behind it, short and long, = or a space."""
    forms = (["-e", "-t", "2", "-w", "3", "run"],
             ["run", "-e", "-t2", "-w3"],
             ["--ephemeral", "run", "--threads=2", "--warmup", "3"],
             ["-w3", "run", "-et", "2"])
    for form in forms:
        s = Server([])
        s.command.remove("run")
        s.command += [*form, *PROGRAM]
        with s:
            for _ in range(4):
                check(s.get("/count").body == b"4", form)
        check(s.stats["forks"] in (1, 2), form, s.stats)
        check(s.stats["warmups"] == 3, form, s.stats)


@test
def cwd_and_env():
    with Folder() as d:
        program = [PYTHON, "doer.py", "8080", "HTTPServer"]
        with Server(program, "-e", "--cwd", d, "--env", "ONE=1",
                    "--env=TWO=2 2", allow=read_rules(d),
                    env={"SECRET": "shown", "SAID_A": "a"}) as s:
            check(s.get("/cwd").body == d.encode(), "cwd")
            check(s.get("/env?ONE").body == b"1", "--env")
            check(s.get("/env?TWO").body == b"2 2", "--env=")
            check(s.get("/env?SECRET").body == b"(unset)", "not allowed")
        with Server(program, "-e", "--cwd", d, "--allow-env=SAID_*",
                    allow=read_rules(d),
                    env={"SECRET": "shown", "SAID_A": "a"}) as s:
            check(s.get("/env?SECRET").body == b"(unset)", "--allow-env")
            check(s.get("/env?SAID_A").body == b"a", "--allow-env=")


@test
def writing():
    with Folder() as d, tempfile.TemporaryDirectory() as out:
        out = os.path.realpath(out)
        names = [os.path.join(out, name) for name in "abc"]
        with Server(doer(d), "-e", allow=read_rules(d)) as s:
            a = s.get("/write?" + names[0])
            check(a.body.startswith(b"error"), a)
            check(not os.listdir(out), "written without permission")
            for _ in range(2):
                check(s.get("/read?/tmp/x").body.startswith(b"error"),
                      "/tmp was kept")
                s.get("/write?/tmp/x")
        with Server(doer(d), "-e", "--allow-write=" + names[1],
                    allow=read_rules(d)) as s:
            a = s.get("/write?" + names[0])
            check(a.body.startswith(b"error"), a)
            a = s.get("/write?" + names[1])
            check(a.body == b"7", a)
        with Server(doer(d), "-e", "--volume", out + ":/data:rw",
                    allow=read_rules(d)) as s:
            a = s.get("/write?/data/c")
            check(a.body == b"7", a)
            check(s.get("/read?/data/c").body == b"written", "read")
        check(sorted(os.listdir(out)) == ["b", "c"], os.listdir(out))


@test
def connecting():
    """Out of the machine: only where it is allowed."""
    with Folder() as d, socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def answer():
            while True:
                try:
                    conn, _ = listener.accept()
                except OSError:
                    return
                with conn:
                    conn.sendall(b"got " + conn.recv(100))
        threading.Thread(target=answer, daemon=True).start()
        path = "/connect?127.0.0.1:%d" % port
        for rules, want in (((), b"error"),
                            (("--allow-connect=127.0.0.1:1",), b"error"),
                            (("--allow-connect=127.0.0.1:%d" % port,), b"got"),
                            (("--allow-connect",), b"got")):
            with Server(doer(d), "-e", *rules, allow=read_rules(d)) as s:
                for _ in range(3):
                    a = s.get(path)
                    check(a.body.startswith(want), rules, a)
        listener.shutdown(socket.SHUT_RDWR)


@test
def limits_have_decimals():
    with Server(PROGRAM, "-e", "--max-request-time", "3.75") as s:
        for path in ("/sleep?ms=40000", "/loop"):
            start_at = time.monotonic()
            a = s.get(path)
            took = time.monotonic() - start_at
            check(a.status == 503 and 3.5 < took < 30, path, took, a)
        check(s.get("/sleep?ms=100").status == 200, "100 of 3750 ms")


@test
def traced():
    with Server(PROGRAM, "-e", "--verbose-syscalls") as s:
        s.get("/")
        calls = (r"socket\(", r"listen\(\d+, ", r"epoll_wait\(\d+, ",
                 r"accept4\(.* = \d+", r"write\(.* = \d+")

        # The answer is out before the line that says so.
        def missing():
            with open(s.log, encoding="utf-8", errors="replace") as f:
                text = f.read()
            return [call for call in calls if not re.search(call, text)]
        wait_for("not traced: %s" % missing(), lambda: not missing(), 20)


@test
def reasons_are_named():
    """What the log says about a failure: kind, tenant, cause."""
    with Server(PROGRAM, "-e", "-v", "--max-request-cpu-time", "0.3") as s:
        for path in ("/crash", "/exit", "/loop", "/nothing", "/close",
                     "/garbage"):
            a = s.get(path)
            check(a.status == 503, path, a)
        with open(s.log, encoding="utf-8", errors="replace") as f:
            text = f.read()
    for want in ("error: crash: tenant \"chttp_static\": ", "SIGSEGV",
                 "error: exit: tenant \"chttp_static\": ",
                 "error: timeout: tenant \"chttp_static\": ",
                 "error: stuck: tenant \"chttp_static\": ",
                 "error: closed: tenant \"chttp_static\": ",
                 "error: protocol: tenant \"chttp_static\": "):
        check(want in text, want, "not in", text)


# ---- Python that misbehaves --------------------------------------------------------

def python_fails(kind, mode):
    # Who works is ended by the CPU time it took; who sleeps in a server whose
    # time is long enough for the next request on a machine that stops at times
    for limit, paths in (("max-request-cpu-time=0.5", (
            "/exit", "/abort", "/segv", "/loop", "/alloc", "/threads?5",
            "/recurse")), ("max-request-time=3.5", ("/sleep", "/close"))):
        with Folder() as d, Server(
                doer(d, kind), "-e", "-t", "2", "-w", "2", "--" + limit,
                "--max-request-memory", "64", "--run-mode", mode,
                "--verify-reset", "--warmup-request", "GET /count") as s:
            for path in paths:
                for i in range(2):
                    fails(s, path, "round", i)
                    a = s.get("/count")
                    check(a.body == b"3", "after", path, a)
        check(s.stats["reset_failures"] == 0, s.stats)


for _kind in ("HTTPServer", "ThreadingHTTPServer"):
    for _mode in ("worker", "runner"):
        def _one(kind=_kind, mode=_mode):
            python_fails(kind, mode)
        _one.__name__ = "python_fails_%s_%s" % (_kind, _mode)
        test(_one)


@test
def failures_in_both_run_modes():
    for mode in ("worker", "runner"):
        with Server(PROGRAM, "-e", "-t", "2", "-w", "2", "--run-mode", mode,
                    "--max-request-cpu-time", "0.2", "--verify-reset") as s:
            def some(_):
                for i in range(scaled(100)):
                    for path in ("/crash", "/exit", "/nothing", "/loop"):
                        if path == "/loop" and i % 10:
                            continue
                        a = s.get(path)
                        check(a.status == 503, mode, path, a)
                        a = s.get("/count")
                        check(a.body == b"3", mode, "after", path, a)
            in_threads(4, some)
        check(s.stats["reset_failures"] == 0, s.stats)
