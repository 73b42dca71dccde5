# SPDX-License-Identifier: BSD-2-Clause
"""What cannot work says so: one line, the cause, what to do, quickly."""

import os
import resource
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time

from harness import (KVMSERVER, PYTHON, QUICK, Server, Skip, best_of, check,
                     guest, run_server, test)

STATIC = guest("chttp_static")


def fails(*argv, word, env=None, within=18, status=None, limit=None):
    """Ends with an error of one line in which one of the words occurs, and
    before the 20 s of max-boot-time are over."""
    start = time.monotonic()
    rc, lines = run_server(*argv, env=env, timeout=within + 5, limit=limit)
    took = time.monotonic() - start
    lines = [line for line in lines if line]
    check(rc not in (0, None) and rc > 0, "status", rc, lines)
    check(status is None or rc == status, "status", rc, lines)
    check(len(lines) == 1, "not one line:", lines)
    words = [word] if isinstance(word, str) else word
    check(any(w.lower() in lines[0].lower() for w in words), words, "in",
          lines[0])
    check(took < within, "took", took, lines)


def cpu_seconds(pid):
    with open("/proc/%d/stat" % pid, encoding="ascii") as f:
        words = f.read().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def run(program, *options, args=("8080",), **kw):
    fails("--allow-all", "--listen", "127.0.0.1:0", *options, "run", program,
          *args, **kw)


def a_file(folder, name, content, mode=0o755):
    path = os.path.join(folder, name)
    with open(path, "wb") as f:
        f.write(content)
    os.chmod(path, mode)
    return path


@test
def no_dev_kvm():
    run(STATIC, env={"TKVM_DEV": "/nonexistent/kvm"}, word="/nonexistent/kvm")


@test
def dev_kvm_is_something_else():
    run(STATIC, env={"TKVM_DEV": "/dev/null"}, word="/dev/null")


@test
def no_permission_on_dev_kvm():
    if os.geteuid() == 0:
        # Root may open everything: ask as nobody.
        if not shutil.which("setpriv"):
            raise Skip("root, and no setpriv")
        with tempfile.TemporaryDirectory() as d:
            os.chmod(d, 0o755)
            dev = a_file(d, "kvm", b"", 0o600)
            p = subprocess.run(
                ["setpriv", "--reuid=65534", "--regid=65534",
                 "--clear-groups", KVMSERVER, "--allow-all", "--listen",
                 "127.0.0.1:0", "run", "/bin/true"],
                env=dict(os.environ, TKVM_DEV=dev), stderr=subprocess.PIPE,
                timeout=30)
        text = p.stderr.decode()
        if "libtool" in text or "cannot open" in text or \
                "ermission denied" in text and dev not in text:
            raise Skip("the build folder is not open to others")
        check(p.returncode > 0 and dev in text, p.returncode, text)
        check(len(text.strip().splitlines()) == 1, "not one line:", text)
    else:
        with tempfile.TemporaryDirectory() as d:
            dev = a_file(d, "kvm", b"", 0)
            run(STATIC, env={"TKVM_DEV": dev}, word=dev)


@test
def program_missing():
    run("/nonexistent/server", word="/nonexistent/server")
    run("no-such-program-anywhere", word="no-such-program-anywhere")


@test
def program_is_no_program():
    with tempfile.TemporaryDirectory() as d:
        run(d, word=d)
        run(a_file(d, "plain", b"\x7fELF", 0o644), word="execut")
        run(a_file(d, "text", b"just text\n"), word="ELF")
        run(a_file(d, "empty", b""), word="ELF")
        run(a_file(d, "short", b"\x7fELF\2\1\1"), word=["short", "ELF"])
        run(a_file(d, "script", b"#!/nonexistent/sh\n"),
            word="/nonexistent/sh")


def patched(folder, name, source, *patches):
    with open(source, "rb") as f:
        data = bytearray(f.read())
    for offset, value in patches:
        data[offset:offset + len(value)] = value
    return a_file(folder, name, bytes(data))


@test
def other_kinds_of_elf():
    with tempfile.TemporaryDirectory() as d:
        run(patched(d, "arm64", STATIC, (18, struct.pack("<H", 183))),
            word=["aarch64", "x86_64", "x86-64"])
        run(patched(d, "elf32", STATIC, (4, b"\1")), word=["32", "64"])
        run(patched(d, "bigendian", STATIC, (5, b"\2")),
            word=["endian", "byte order", "x86"])
        run(patched(d, "object", STATIC, (16, struct.pack("<H", 1))),
            word=["object", "execut", "type"])
        run(patched(d, "cut", STATIC, (32, struct.pack("<Q", 1 << 60))),
            word=["header", "damaged", "ELF"])


@test
def interpreter_missing():
    with open(guest("chttp_dyn"), "rb") as f:
        data = f.read()
    ld = b"/lib64/ld-linux-x86-64.so.2"
    at = data.index(ld)
    with tempfile.TemporaryDirectory() as d:
        run(patched(d, "noload", guest("chttp_dyn"),
                    (at, b"/lib64/ld-none".ljust(len(ld), b"\0"))),
            word="/lib64/ld-none")


def run_not(*options, program, args=("8080",), words):
    """The error comes last, after what the program itself says."""
    rc, lines = run_server(*options, "--listen", "127.0.0.1:0", "run",
                           program, *args)
    check(rc == 1 and lines, program, rc, lines)
    check(lines[-1].startswith("kvmserver: "), lines)
    for word in words:
        check(word in lines[-1], word, "in", lines[-1])


@test
def not_allowed():
    # The program itself needs no permission, what it opens does.
    run_not("--allow-listen", program=guest("chttp_dyn"),
            words=["allow-read=", "libc.so"])
    with tempfile.TemporaryDirectory() as d:
        script = a_file(d, "server.py", b"import http.server\n")
        run_not("--allow-read=/usr,/lib,/lib64,/etc", program=PYTHON,
                args=[script], words=["allow-read=" + script])
        run_not("--allow-read=/usr,/lib,/lib64,/etc", "--cwd", d,
                program=PYTHON, args=["server.py"],
                words=["allow-read=" + script])
    fails("--allow-read", "--listen", "127.0.0.1:0", "--cwd", "/nonexistent", "run", STATIC, "8080",
          word="/nonexistent")
    fails("--allow-all", "--allow-read=/usr", "run", STATIC, "8080",
          word="allow-all")
    fails("--allow-read", "run", STATIC, "8080", word="allow-listen=")
    fails("--allow-listen=127.0.0.1:1", "run", STATIC, "8080",
          word="allow-listen=")


@test
def boot_too_long():
    # Half a second each: who sleeps for longer than 5 is ended by that.
    run(PYTHON, "--max-boot-time", "0.5", word="max-boot-time",
        args=["-c", "import time\nwhile True: time.sleep(0.5)"])


@test
def boot_loops():
    with tempfile.TemporaryDirectory() as d:
        script = a_file(d, "loop.py", b"#!%s\nwhile True: pass\n" %
                        PYTHON.encode())
        run(script, "--max-boot-time", "1", word="max-boot-time")


@test
def exits_before_it_listens():
    run("/bin/true", word=["exit", "ended"])
    run("/bin/false", word="1")


@test
def crashes_before_it_listens():
    run(guest("prog_segv_static"), word=["SIGSEGV", "signal 11"])


@test
def memory_too_small():
    fails("--allow-all", "--max-main-memory", "2", "--listen", "127.0.0.1:0",
          "run", PYTHON, guest("py/http_server.py"), "8080",
          word="max-main-memory")


@test
def wrong_options():
    for argv in (["--threads", "many"], ["--max-request-time", "-1"],
                 ["--max-boot-time", "soon"], ["--volume", "nowhere"],
                 ["--env", "=x"], ["--run-mode", "fast"],
                 ["--listen", "nonsense"]):
        rc, lines = run_server("--allow-all", *argv, "run", STATIC, "8080")
        check(rc > 0 and lines, argv, rc, lines)
        check(argv[0].lstrip("-") in " ".join(lines), argv, lines)
    rc, lines = run_server("--allow-all", "run")
    check(rc > 0 and lines, "no program", lines)
    rc, lines = run_server()
    check(rc > 0, "no arguments", lines)


@test
def address_in_use():
    with Server([STATIC, "8080"], "-e") as s:
        fails("--allow-all", "--listen", s.address, "run", STATIC, "8080",
              word=["in use", s.address])


@test
def file_size_limit():
    """The image is a file to RLIMIT_FSIZE, which speaks by SIGXFSZ."""
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))
    run(STATIC, word="ulimit -f", limit=limit)


@test
def no_descriptors_for_clients():
    """They wait until there are some, and the log says why."""
    with Server([STATIC, "8080"], "-e") as s:
        n = sum(s.descriptors().values())
        old = resource.prlimit(s.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(s.process.pid, resource.RLIMIT_NOFILE, (n, old[1]))
        first = [s.connect(timeout=QUICK) for _ in range(4)]
        deadline = time.monotonic() + QUICK
        while "ulimit -n" not in s.tail():
            check(time.monotonic() < deadline, "not a word:", s.tail())
            time.sleep(0.1)
        check(s.tail().count("ulimit -n") == 1, "too many:", s.tail())

        def idle():
            before = cpu_seconds(s.process.pid)
            time.sleep(0.5)
            used = cpu_seconds(s.process.pid) - before
            return used < 0.1, used
        best_of(4, "it spins: CPU time in 0.5 s:", idle)
        resource.prlimit(s.process.pid, resource.RLIMIT_NOFILE, old)
        for c in first:
            c.close()
        a = s.get("/count")
        check(a.status == 200 and a.body == b"1", "the next request", a)


# Waits in a call, for the peer on port argv[1], as the path says.
WAITS = """
import os, socket, sys
l = socket.socket()
l.bind(("127.0.0.1", 8080))
l.listen()
while True:
    c, _ = l.accept()
    how = c.recv(65536).split()[1].decode().strip("/")
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    if how == "recv":
        n = len(s.recv(100))
    elif how == "read":
        n = len(os.read(s.fileno(), 100))
    elif how == "all":
        n = len(s.recv(100, socket.MSG_WAITALL))
    elif how == "splice":
        r, w = os.pipe()
        n = os.splice(s.fileno(), w, 100)
    elif how == "send":
        s.sendall(bytes(16 << 20))
        n = 100
    elif how == "sendfile":
        f = os.memfd_create("f")
        os.ftruncate(f, 16 << 20)
        n = 0
        while n < 16 << 20:
            n += os.sendfile(s.fileno(), f, n, 16 << 20)
        n = 100
    s.close()
    c.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % n +
              b"x" * n)
    c.close()
"""


def slow_peer(listener):
    """Answers after a second, then reads what there is."""
    while True:
        try:
            s, _ = listener.accept()
        except OSError:
            return
        time.sleep(1)
        try:
            s.sendall(bytes(50))
            time.sleep(0.3)
            s.sendall(bytes(50))
            while s.recv(1 << 20):
                pass
        except OSError:
            pass
        s.close()


@test
def waiting_takes_no_cpu():
    """A program that waits for a connection of its own sleeps."""
    with socket.socket() as peer:
        peer.bind(("127.0.0.1", 0))
        peer.listen()
        threading.Thread(target=slow_peer, args=(peer,), daemon=True).start()
        port = str(peer.getsockname()[1])
        with Server([PYTHON, "-c", WAITS, port], "-e") as s:
            for how in ("recv", "read", "all", "splice", "send", "sendfile"):
                def one(how=how):
                    before = cpu_seconds(s.process.pid)
                    a = s.get("/" + how)
                    check(a.status == 200 and 50 <= len(a.body) <= 100, how,
                          a)
                    used = cpu_seconds(s.process.pid) - before
                    return used < 0.5, used
                best_of(4, how + " takes CPU time:", one)
        peer.shutdown(socket.SHUT_RDWR)


@test
def no_descriptors_and_no_memory():
    """The listener that had to wait is listened to again, even if epoll had no
    memory for that at first."""
    shim = os.environ.get("NOEPOLL_SO", "")
    if not os.path.exists(shim):
        raise Skip("no noepoll.so")
    with Server([STATIC, "8080"], "-e", "-t", "1",
                env={"LD_PRELOAD": shim}) as s:
        n = sum(s.descriptors().values())
        old = resource.prlimit(s.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(s.process.pid, resource.RLIMIT_NOFILE, (n, old[1]))
        first = [s.connect(timeout=QUICK) for _ in range(4)]
        for c in first:
            c.sendall(b"GET")
        deadline = time.monotonic() + QUICK
        while "ulimit -n" not in s.tail():
            check(time.monotonic() < deadline, "not a word:", s.tail())
            time.sleep(0.1)
        resource.prlimit(s.process.pid, resource.RLIMIT_NOFILE, old)
        for c in first:
            c.close()
        time.sleep(4.5)         # until the usher has had its rounds

        def eight():
            start = time.monotonic()
            for _ in range(8):
                check(s.get("/count").body == b"1", "the next request")
            spent = time.monotonic() - start
            return spent < 3, spent
        best_of(5, "nobody is told of clients:", eight)
