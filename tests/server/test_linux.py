# SPDX-License-Identifier: BSD-2-Clause
"""What a program finds of Linux in a request, and again in the next one."""

import os
import shutil
import socket
import socketserver
import tempfile
import textwrap
import threading
import time

from harness import (PYTHON, Server, Skip, check, find, guest,
                     run_server, test)


class snippets(Server):
    """Runs what is posted to it, `start` before the freeze; no reset may
    leave anything."""

    def __init__(self, *options, start="", **kw):
        super().__init__([PYTHON, guest("py/snippets.py"), "8080",
                          textwrap.dedent(start)], "-e", "--verify-reset",
                         *options, **kw)

    def __exit__(self, kind, *rest):
        super().__exit__(kind, *rest)
        if kind is None:
            check(find(self.stats, "reset_failures") == 0, "reset:",
                  self.stats)


def ask(s, text):
    return s.post("/", textwrap.dedent(text).encode()).body.decode()


INOTIFY = """
    import ctypes, os, struct
    c = ctypes.CDLL(None, use_errno=True)
    fd = c.inotify_init1(os.O_NONBLOCK)
    def watch(path, mask):
        return c.inotify_add_watch(fd, path.encode(), mask)
    def events():
        try:
            b = os.read(fd, 65536)
        except BlockingIOError:
            return "none"
        found = []
        while b:
            wd, mask, cookie, n = struct.unpack_from("iIII", b)
            found.append("%d:%x:%s" % (wd, mask,
                         b[16:16 + n].rstrip(b"\\0").decode()))
            b = b[16 + n:]
        return " ".join(found)
    os.mkdir("/dev/shm/d")
    watch("/dev/shm/d", 0x302)      # modify, create, delete
    open("/dev/shm/d/old", "w").close()
"""


@test
def inotify_is_reset():
    """Events of a request are its own; those of before the freeze stay."""
    with snippets(start=INOTIFY) as s:
        for _ in range(20):
            got = ask(s, """
                with open("/dev/shm/d/new", "w") as f:
                    f.write("x")
                os.unlink("/dev/shm/d/old")
                print(events())
                print(events(), watch("/dev/shm", 0x100))
                open("/dev/shm/other", "w").close()
                """)
            check(got == "1:100:old 1:100:new 1:2:new 1:200:old\nnone 2\n",
                  "events:", got)
        # Nothing is left of any of them.
        got = ask(s, "print(events(), os.listdir('/dev/shm/d'))")
        check(got == "1:100:old ['old']\n", "left over:", got)


@test
def cpu_timers_are_reset():
    """A profiler of one request: it ticks while that works, and is gone."""
    start = """
        import signal, time
        ticks = []
        signal.signal(signal.SIGPROF, lambda *_: ticks.append(1))
        def work(s):
            end = time.process_time() + s
            while time.process_time() < end:
                pass
        def work_until(n):
            end = time.process_time() + 3
            while len(ticks) < n and time.process_time() < end:
                pass
    """
    with snippets(start=start) as s:
        # Ticks that are late, on a busy machine, are one: five of them may
        # take longer than 50 ms, but not less.
        for _ in range(5):
            got = ask(s, """
                work(0.05)
                before = len(ticks)
                start = time.process_time()
                signal.setitimer(signal.ITIMER_PROF, 0.01, 0.01)
                time.sleep(0.05)
                asleep = len(ticks)
                work_until(5)
                used = time.process_time() - start
                print(before, asleep < 3, len(ticks) > 4,
                      len(ticks) <= used * 100 + 2)
                """)
            check(got == "0 True True True\n", "ticks:", got)
    start += "    signal.setitimer(signal.ITIMER_PROF, 0.01, 0.01)\n    "
    with snippets(start=start) as s:
        for _ in range(3):
            got = ask(s, "ticks.clear(); work_until(5); print(len(ticks) > 4)")
            check(got == "True\n", "from before the freeze:", got)


# ---- the outside -------------------------------------------------------------

class NameServer:
    """Answers A for one name, with 127.0.0.1, and nothing for others."""

    ADDRESS = "127.0.0.77"
    NAME = b"\7backend\4test\0"

    def __init__(self):
        self.asked = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self.socket.bind((self.ADDRESS, 53))
        except OSError as e:
            self.socket.close()
            raise Skip("no name server at %s:53: %s" % (self.ADDRESS, e))
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            query, sender = self.socket.recvfrom(512)
            if not query:               # from __exit__()
                return
            end = query.index(b"\0", 12) + 5
            name, kind = query[12:end - 4], query[end - 4:end - 2]
            self.asked.append(name)
            known = name.lower() == self.NAME
            found = known and kind == b"\0\1"
            self.socket.sendto(
                query[:2] + (b"\x81\x80" if known else b"\x81\x83") +
                b"\0\1" + (b"\0\1" if found else b"\0\0") + b"\0\0\0\0" +
                query[12:end] + (b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\1"
                                 if found else b""), sender)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.sendto(b"", (self.ADDRESS, 53))
        self.thread.join()
        self.socket.close()


class Backend(socketserver.ThreadingTCPServer):
    """Says a line to everyone who connects, and keeps the connection."""
    daemon_threads = True
    allow_reuse_address = True

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.sendall(b"line from outside\n")
            while self.request.recv(100):
                self.request.sendall(b"more\n")

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_):
        pass                    # a guest was reset

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


RESOLVE = """
    import socket
    try:
        found = socket.getaddrinfo("backend.test", %d,
                                   type=socket.SOCK_STREAM)
        print(sorted({a[4][0] for a in found}))
        s = socket.create_connection(found[0][4], 30)
        print(s.recv(100).decode(), end="")
    except OSError as e:
        print(type(e).__name__)
"""


@test
def names_are_resolved():
    """getaddrinfo() in a request, and a connection to what it found."""
    with NameServer() as dns, Backend() as backend, \
            tempfile.TemporaryDirectory(prefix="tkvm-etc.") as etc:
        with open(os.path.join(etc, "resolv.conf"), "w") as f:
            f.write("nameserver %s\noptions timeout:15 attempts:2\n" %
                    dns.ADDRESS)
        with open(os.path.join(etc, "nsswitch.conf"), "w") as f:
            f.write("hosts: dns\n")
        allow = ["--allow-read", "--allow-listen", "--volume=%s:/etc:r" % etc]
        text = RESOLVE % backend.port
        rules = ["--allow-connect=%s:53,127.0.0.1:%d" % (dns.ADDRESS,
                                                         backend.port)]
        with snippets(*rules, allow=allow) as s:
            for _ in range(5):
                before = len(dns.asked)
                got = ask(s, text)
                check(got == "['127.0.0.1']\nline from outside\n", got)
                check(len(dns.asked) > before, "not asked again")
            got = ask(s, text.replace("backend.test", "other.test"))
            check(got == "gaierror\n", "a name that is not there:", got)
        # The name server alone; and not even that.
        with snippets("--allow-connect=%s:53" % dns.ADDRESS,
                      allow=allow) as s:
            got = ask(s, text)
            check(got == "['127.0.0.1']\nPermissionError\n", "refused:", got)
        before = len(dns.asked)
        with snippets(allow=allow) as s:
            got = ask(s, text)
            check(got == "gaierror\n", "no name server:", got)
        check(len(dns.asked) == before, "asked without a permission")


@test
def connections_of_the_boot_are_reset():
    """One that was made before the freeze is dead in each fork, and that is
    said once."""
    with Backend() as backend:
        start = """
            import select, socket
            kept = [socket.create_connection(("127.0.0.1", %d))
                    for _ in range(3)]
            print(kept[0].recv(100))
        """ % backend.port
        with snippets("-t", "2", start=start) as s:
            for _ in range(5):
                got = ask(s, """
                    for f in (lambda: kept[0].recv(10),
                              lambda: kept[1].send(b"x"),
                              lambda: kept[2].recv(10)):
                        try:
                            print(f())
                        except OSError as e:
                            print(type(e).__name__)
                    new = socket.create_connection(("127.0.0.1", %d))
                    print(new.recv(100))
                    """ % backend.port)
                check(got.splitlines() == [
                    "ConnectionResetError", "BrokenPipeError",
                    "ConnectionResetError", "b'line from outside\\n'"], got)
            with open(s.log) as f:
                said = [line for line in f if "at freeze" in line]
            check(len(said) == 1 and "3 connections to the outside" in
                  said[0], "warnings:", said)


# ---- one process -------------------------------------------------------------

OUTSIDE_THEN_IN = """
    import socket
    for family, lo in (socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"):
        here = socket.socket(family, socket.SOCK_DGRAM)
        here.bind((lo, 0))
        here.settimeout(30)
        s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        s.bind(("::", 0))
        s.sendto(b"away", ("::ffff:127.0.0.1", %d))
        for n in 3, 0, 20000:
            to = here.getsockname()[:2]
            if family == socket.AF_INET:
                to = "::ffff:" + to[0], to[1]
            assert s.sendto(b"x" * n, to) == n
            data, who = here.recvfrom(65536)
            print(len(data), who[0], who[1] != 0)
    """


@test
def host_datagrams_reach_those_inside():
    """A UDP socket that is the host's by now still sends inside."""
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
    except OSError as e:
        raise Skip("no IPv6 on this host: %s" % e)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.bind(("127.0.0.1", 0))
        out.settimeout(30)
        port = out.getsockname()[1]
        with snippets() as s:
            for _ in range(2):
                got = ask(s, OUTSIDE_THEN_IN % port)
                check(got == "".join(
                    "%d %s True\n" % (n, lo) for lo in ("127.0.0.1", "::1")
                    for n in (3, 0, 20000)), got)
                check(out.recv(16) == b"away" == out.recv(16), "outside")


def no_boot(program, *words, options=(), within=60):
    """Ends in time, and its last line has all these words."""
    start = time.monotonic()
    rc, lines = run_server("--allow-all", "--max-boot-time=100", *options,
                           "--listen", "127.0.0.1:0", "run", "-e", *program,
                           timeout=within + 5)
    took = time.monotonic() - start
    lines = [line for line in lines if line] or [""]
    check(rc == 1, "status", rc, lines)
    for word in words:
        check(word in lines[-1], word, "not in", lines[-1])
    check(sum("cannot start another" in line for line in lines) <= 3,
          "told again and again:", lines)
    check(took < within, "took", took)


ONE = "a guest is one process and cannot start another"


@test
def second_process_at_boot():
    """What forks its servers says so, whether it gives up or waits."""
    no_boot([PYTHON, "-c", "import os; os.fork()"], "called clone", ONE)
    no_boot([PYTHON, "-c", "import os, time\ntry:\n os.fork()\n"
                           "except OSError:\n while True: time.sleep(1)"],
            "max-boot-time", "called clone", ONE,
            options=["--max-boot-time=6"])
    # Asleep, it is not waited for.
    no_boot([PYTHON, "-c", "import os, time\ntry:\n os.fork()\n"
                           "except OSError:\n time.sleep(1000)"],
            "the program sleeps before it listened", "called clone", ONE)
    # For a while is another matter.
    no_boot([PYTHON, "-c", "import os, time\ntry:\n os.fork()\n"
                           "except OSError:\n for _ in range(7):\n  "
                           "time.sleep(1)\nos._exit(7)"],
            "with status 7", "called clone", ONE)
    no_boot([PYTHON, "-c", "import os; os.execv('/bin/true', ['true'])"],
            "execve of /bin/true", ONE)
    no_boot([PYTHON, "-c", "import subprocess; subprocess.run(['/bin/true'])"],
            "it called", ONE)


@test
def prefork_servers():
    """Those that people have."""
    found = 0
    with tempfile.TemporaryDirectory(prefix="tkvm-fork.") as folder:
        with open(os.path.join(folder, "wsgi.py"), "w") as f:
            f.write("def app(env, start):\n start('200 OK', [])\n"
                    " return [b'']\n")
        with open(os.path.join(folder, "fpm.conf"), "w") as f:
            f.write("[global]\nerror_log=/dev/stderr\ndaemonize=no\n[www]\n"
                    "user=nobody\nlisten=127.0.0.1:8080\npm=static\n"
                    "pm.max_children=1\n")
        for program in (
                ["/usr/bin/gunicorn", "--chdir", folder, "-b",
                 "127.0.0.1:8080", "wsgi:app"],
                ["/usr/sbin/php-fpm8.2", "-F", "-R", "-y",
                 folder + "/fpm.conf"]):
            if os.access(program[0], os.X_OK):
                found += 1
                no_boot(program, ONE)
    if not found:
        raise Skip("neither gunicorn nor php-fpm8.2")


@test
def second_process_in_a_request():
    """The request fails and says which call it was; the others go on."""
    with snippets() as s:
        for _ in range(5):
            a = s.post("/", b"import os\ntry: os.fork()\n"
                            b"except OSError as e: print(e.strerror)\n")
            check(a.body == b"Function not implemented\n", a)
            a = s.post("/", b"import os\ntry: os.fork()\n"
                            b"except OSError: os._exit(3)\n")
            check(a.status == 503, a)
            check(ask(s, "print(1)") == "1\n", "the next one")
        with open(s.log) as f:
            text = f.read()
        check(text.count("clone: refused, " + ONE) == 1, "not once:", text)
        check("with status 3; it called clone, but " + ONE in text, text)


@test
def busybox_httpd():
    """Forks for each connection, so a warm-up request finds out."""
    busybox = shutil.which("busybox")
    if not busybox:
        raise Skip("no busybox")
    with tempfile.TemporaryDirectory(prefix="tkvm-www.") as folder:
        program = [busybox, "httpd", "-f", "-p", "8080", "-h", folder]
        no_boot(program, "warm-up request 1 of 1", "called", ONE,
                options=["-w", "1"])
        with Server(program, "-e") as s:
            check(s.get("/").status == 503, "answered")
            with open(s.log) as f:
                check(ONE + " (is there an option to serve without" in
                      f.readlines()[-1], s.tail())


@test
def program_behind_links():
    """/proc/self/exe is the file itself, as Java's launcher needs it."""
    with tempfile.TemporaryDirectory(prefix="tkvm-link.") as folder:
        first, second = os.path.join(folder, "a"), os.path.join(folder, "b")
        os.symlink(os.path.realpath(PYTHON), first)
        os.symlink("a", second)
        with Server([second, guest("py/snippets.py"), "8080"], "-e") as s:
            got = ask(s, "import os\nprint(os.readlink('/proc/self/exe'))")
            check(got == os.path.realpath(PYTHON) + "\n", got)


@test
def nobody_listens_there():
    """guest-listen names an address that the program does not use."""
    with tempfile.TemporaryDirectory(prefix="tkvm-listen.") as folder:
        no_boot([PYTHON, guest("py/listeners.py"), "8080", "8081",
                 folder + "/sock"], "not on 8082 (guest-listen)",
                options=["--guest-listen=8082", "--max-boot-time=8"])


@test
def replaced_while_waiting():
    """A read with SO_RCVTIMEO keeps to its socket and its time when another
    file comes in place of that."""
    with snippets() as s:
        got = ask(s, """
            import ctypes, os, socket, struct, threading, time
            a, b = socket.socketpair()
            a.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO,
                         struct.pack("qq", 0, 50000))
            e = ctypes.CDLL(None).eventfd(0, 0)
            out = []
            def reads():
                try:
                    out.append(os.read(a.fileno(), 8))
                except BlockingIOError:
                    out.append("late")
            t = threading.Thread(target=reads)
            t.start()
            time.sleep(0.01)
            os.dup2(e, a.fileno())
            time.sleep(0.5)
            os.write(e, struct.pack("q", 7))
            t.join()
            print(out[0], os.read(a.fileno(), 8)[0], end="")
            """)
        check(got == "late 7", got)
    n = find(s.stats, "syscalls")
    check(n < 100000, n, "system calls")


# A file of one page, of which two are mapped
MAPPED = """
    import ctypes, os
    c = ctypes.CDLL(None, use_errno=True)
    c.mmap.restype = ctypes.c_void_p
    c.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int,
                       ctypes.c_int, ctypes.c_int, ctypes.c_long]
    c.mremap.restype = ctypes.c_void_p
    c.mremap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t,
                         ctypes.c_int]
    fd = os.open("%s", os.O_RDWR)
    at = c.mmap(None, 8192, 1, 1, fd, 0)        # PROT_READ, MAP_SHARED
    private = c.mmap(None, 4096, 1, 2, fd, 0)
    second = c.mmap(None, 4096, 1, 1, fd, 4096)
    def at_start(n=6, of=None):
        return ctypes.string_at(of or at, n).decode()
    os.pwrite(fd, b"boot", 0)
"""


@test
def shared_mapping_shows_writes():
    """... of the program, to files of the host, as databases expect it."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as d:
        name = os.path.join(d, "data")
        with open(name, "wb") as f:
            f.write(b"before".ljust(4096, b"."))
        with snippets(start=MAPPED % name) as s:
            for _ in range(3):
                got = ask(s, """
                    print(at_start(), at_start(of=private))
                    os.pwritev(fd, [b"re", b"que"], 0)
                    print(at_start())
                    os.pwrite(fd, b"12345678", 4092)    # grows
                    print(at_start(4100)[-9:], at_start(4, second))
                    src = os.memfd_create("x")
                    os.write(src, b"sent")
                    os.lseek(fd, 8, 0)
                    os.sendfile(fd, src, 0, 4)
                    os.copy_file_range(fd, fd, 4, 8, 14)
                    r, w = os.pipe()
                    os.write(w, b"splice")
                    os.splice(r, fd, 6, offset_dst=20)
                    print(at_start(26))
                    fd2 = os.open(os.readlink("/proc/self/fd/%d" % fd),
                                  os.O_WRONLY | os.O_APPEND)
                    os.write(fd2, b"end")
                    print(at_start(4104)[-5:-1])
                    # other lengths, other sizes of the mapping
                    os.ftruncate(fd, 4090)
                    print(list(at_start(4094).encode()[-5:]))
                    big = c.mremap(at, 8192, 16384, 1)
                    os.ftruncate(fd, 12288)
                    os.pwrite(fd, b"third", 8192)
                    print(repr(at_start(5, big + 8192)), at_start(2, big))
                    more = c.mmap(None, 4096, 1, 1, fd, 0)
                    more = c.mremap(more, 4096, 12288, 1)
                    print(at_start(5, more + 8192), at_start(2, more))
                    os.posix_fallocate(fd, 0, 16384)
                    print(list(at_start(2, big + 12288).encode()))
                    """)
                check(got == "bootre before\nrequee\n.12345678 5678\n" +
                      "requee..sent..sent..splice\n8end\n"
                      "[46, 0, 0, 0, 0]\n'third' re\nthird re\n[0, 0]\n",
                      got)
                os.truncate(name, 4096)
                with open(name, "r+b") as f:
                    f.write(b"before".ljust(4096, b"."))
