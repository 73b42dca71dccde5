#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Guests that try to reach files and addresses they were not given.

Around the guest's folders lie others with a secret in them, and servers that
count who comes.  Every attack runs in the guest (escape_guest.py) and must end
with an error or with something that is not the secret; strace watches
kvmserver from outside: between the first attack and the last, no file outside
of the rules is opened but as a place to look from (O_PATH), and nothing there
is made, changed or removed.
"""

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading

sys.dont_write_bytecode = True
here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(here), "server"))

import harness          # noqa: E402

SECRET = secrets.token_hex(16)
TRIES = int(os.environ.get("ESCAPE_TRIES", "100"))      # races, at least
results = []


def result(name, why=None):
    print("PASS " + name if why is None else
          "FAIL %s: %s" % (name, str(why)[:600]), flush=True)
    results.append(why is None)


# ---- the attacks ------------------------------------------------------------
# They run in the guest: `base` is the folder everything is in.  get() notes
# under a name what was read, or the error.

PRELUDE = r"""
import ctypes, errno, os, socket, stat, struct, sys, threading, time
base = %(base)r
ports = %(ports)r
libc = ctypes.CDLL(None, use_errno=True)

def get(name, f, *a, **k):
    try:
        r = f(*a, **k)
        out[name] = r if isinstance(r, str) else repr(r)
    except OSError as e:
        out[name] = "E:" + errno.errorcode.get(e.errno, str(e.errno))

def read(path, flags=os.O_RDONLY, **k):
    fd = os.open(path, flags, 0o600, **k)
    try:
        return os.read(fd, 4096).decode("latin-1")
    finally:
        os.close(fd)

def call(nr, *a):
    r = libc.syscall(nr, *a)
    if r < 0:
        raise OSError(ctypes.get_errno(), "")
    return r

secret = base + "/secret"
ro, rw = base + "/ro", base + "/rw"
"""

FILES = r"""
ways = {
    "plain": secret + "/file",
    "dots": ro + "/../secret/file",
    "many-dots": ro + "/" + "../" * 40 + base[1:] + "/secret/file",
    "inner-dots": ro + "/sub/../../secret/file",
    "slashes": base + "//secret///file",
    "dot": base + "/./secret/./file",
    "prefix": base + "/ro-not/file",
    "link": ro + "/link",
    "link-folder": ro + "/folder/file",
    "link-relative": ro + "/relative",
    "link-chain": ro + "/chain",
    "proc-root": "/proc/self/root" + secret + "/file",
    "proc-1-root": "/proc/1/root" + secret + "/file",
    "proc-cwd": "/proc/self/cwd/../../.." + secret + "/file",
    "proc-task": "/proc/self/task/1/root" + secret + "/file",
    "proc-thread": "/proc/thread-self/root" + secret + "/file",
    "proc-environ-host": "/proc/%d/environ" % ports["pid"],
    "proc-fd-host": "/proc/%d/fd/0" % ports["pid"],
    "proc-mem-host": "/proc/%d/mem" % ports["pid"],
    "dev-mem": "/dev/mem", "dev-kvm": "/dev/kvm", "sysrq": "/proc/sysrq-trigger",
    "kcore": "/proc/kcore", "shadow": "/etc/shadow",
    "denied-volume": "/vol/../secret/file",
    "volume-link": "/vol/link", "volume-dots": "/vol/sub/../../secret/file",
    "fifo-outside": ro + "/fifo-link",
}
for name, path in ways.items():
    get(name, read, path)
    get(name + "/write", read, path, os.O_RDWR | os.O_CREAT)
    get(name + "/trunc", read, path, os.O_WRONLY | os.O_TRUNC)
    get(name + "/stat", lambda: str(os.stat(path).st_size == 33))
    get(name + "/unlink", os.unlink, path)
    get(name + "/list", lambda: ",".join(os.listdir(os.path.dirname(path))))
for n in range(0, 64):
    get("fd-%d" % n, read, "/proc/self/fd/%d/../file" % n)
    get("fd-%d/up" % n, read, "../../.." + secret + "/file",
        dir_fd=n)
"""

HANDLES = r"""
d = os.open(ro, os.O_RDONLY | os.O_DIRECTORY)
p = os.open(ro, os.O_PATH)
lp = os.open(ro + "/link", os.O_PATH | os.O_NOFOLLOW)
for name, fd in (("dir", d), ("path", p), ("link", lp)):
    get(name + "-dots", read, "../secret/file", dir_fd=fd)
    get(name + "-link", read, "link", dir_fd=fd)
    get(name + "-proc", read, "/proc/self/fd/%d" % fd)
    get(name + "-proc-dots", read, "/proc/self/fd/%d/../secret/file" % fd)
    get(name + "-openat2", call, 437, fd, b"../secret/file",
        struct.pack("QQQ", 0, 0, 0), 24)
    get(name + "-fchdir", lambda: (os.fchdir(fd), read("../secret/file"))[1])
    get(name + "-empty", call, 257, fd, b"", 0, 0)
get("open-path", os.open, secret + "/file", os.O_PATH)
get("open-path-folder", os.open, secret, os.O_PATH)
get("handle", call, 303, -100, (secret + "/file").encode(), b"\x80" + b"\0" * 200,
    b"\0" * 8, 0)
get("by-handle", call, 304, d, b"\x08\0\0\0\1\0\0\0" + b"\0" * 200, 0)
get("chroot", os.chroot, base)
get("tmpfile", os.open, secret, os.O_TMPFILE | os.O_RDWR)
get("truncate", os.truncate, secret + "/file", 0)
get("chmod", os.chmod, secret + "/file", 0o777)
get("chmod-link", os.chmod, ro + "/link", 0o777)
get("utime", os.utime, ro + "/link")
get("xattr", os.setxattr, secret + "/file", "user.a", b"b")
get("chdir", os.chdir, secret)
get("statfs", os.statvfs, secret + "/file")
get("inotify", call, 254, call(294, 0), secret.encode(), 0xfff)
get("access", lambda: str(os.access(secret + "/file", os.F_OK)))
get("exec", os.execv, secret + "/file", ["x"])
get("unix", lambda: socket.socket(socket.AF_UNIX).connect(secret + "/sock"))
get("unix-link", lambda: socket.socket(socket.AF_UNIX).connect(ro + "/sock"))
"""

MAKING = r"""
f = secret + "/file"
get("symlink", os.symlink, f, rw + "/s1")
get("symlink-read", read, rw + "/s1")
get("symlink-write", read, rw + "/s1", os.O_WRONLY | os.O_TRUNC)
get("symlink-create", os.symlink, secret + "/new", rw + "/s2")
get("symlink-create-open", read, rw + "/s2", os.O_CREAT | os.O_WRONLY)
get("symlink-folder", os.symlink, secret, rw + "/s3")
get("symlink-folder-create", read, rw + "/s3/new2", os.O_CREAT | os.O_WRONLY)
get("symlink-folder-mkdir", os.mkdir, rw + "/s3/new3")
get("symlink-folder-unlink", os.unlink, rw + "/s3/file")
get("symlink-folder-rename", os.rename, rw + "/s3/file", rw + "/got")
get("symlink-dots", os.symlink, "../secret/file", rw + "/s4")
get("symlink-dots-read", read, rw + "/s4")
get("symlink-proc", os.symlink, "/proc/self/root" + f, rw + "/s5")
get("symlink-proc-read", read, rw + "/s5")
get("symlink-self", os.symlink, rw + "/s6", rw + "/s6")
get("symlink-self-read", read, rw + "/s6")
get("link", os.link, f, rw + "/l1")
get("link-read", read, rw + "/l1")
get("link-symlink", os.link, rw + "/s1", rw + "/l2", follow_symlinks=True)
get("link-symlink-read", read, rw + "/l2")
get("link-into", os.link, rw + "/own", secret + "/new4")
fd = os.open(rw + "/s1", os.O_PATH | os.O_NOFOLLOW)
get("linkat-empty", call, 265, fd, b"", -100, (rw + "/l3").encode(), 0x1000)
get("linkat-proc", call, 265, -100, b"/proc/self/fd/%d" % fd, -100,
    (rw + "/l4").encode(), 0x400)
get("rename-out", os.rename, rw + "/own", secret + "/new5")
get("rename-in", os.rename, f, rw + "/got2")
get("rename-exchange", call, 316, -100, f.encode(), -100,
    (rw + "/own").encode(), 2)
get("rename-ro", os.rename, rw + "/own", ro + "/new6")
get("write-ro", read, ro + "/file", os.O_RDWR)
get("create-ro", read, ro + "/new7", os.O_CREAT | os.O_WRONLY)
get("unlink-ro", os.unlink, ro + "/file")
get("device", os.mknod, rw + "/dev", stat.S_IFBLK | 0o666, os.makedev(8, 0))
get("device-read", read, rw + "/dev")
get("setuid", os.chmod, rw + "/own", 0o6755)
get("chown", os.chown, rw + "/own", 1, 1)
get("mount", call, 165, rw.encode(), ro.encode(), b"", 4096, 0)
get("move-root", os.rename, rw, base + "/rw2")
get("rmdir-root", os.rmdir, rw)
"""

# The host flips a name between a file of the guest's and a link to the secret.
RACE = r"""
n = 0
hits = 0
end = time.monotonic() + %(seconds)g
# A busy machine needs longer for as many.
last = end + 100
while time.monotonic() < (end if n > %(tries)d else last):
    for way in (rw + "/flip/file", rw + "/flipfile"):
        try:
            if %(secret)r in read(way):
                hits += 1
        except OSError:
            pass
        try:
            fd = os.open(way, os.O_WRONLY | os.O_CREAT, 0o600)
            os.write(fd, b"mine")
            os.close(fd)
        except OSError:
            pass
        n += 1
out["tries"] = n
out["hits"] = hits
"""

NET = r"""
def tcp(fam, addr, wait=1):
    s = socket.socket(fam)
    s.settimeout(wait)
    s.connect(addr)
    s.send(b"x")
    return s.recv(10).decode()

def udp(fam, addr):
    s = socket.socket(fam, socket.SOCK_DGRAM)
    s.settimeout(0.2)
    s.sendto(b"x", addr)
    return s.recv(10).decode()

def udp_connect(fam, addr):
    s = socket.socket(fam, socket.SOCK_DGRAM)
    s.settimeout(0.2)
    s.connect(addr)
    s.send(b"x")
    return s.recv(10).decode()

def fastopen(addr):
    s = socket.socket()
    s.settimeout(1)
    s.sendto(b"x", 0x20000000, addr)
    return s.recv(10).decode()

def again(first, addr):
    s = socket.socket()
    s.settimeout(1)
    s.connect(first)
    try:
        libc.connect(s.fileno(), b"\0" * 16, 16)
        s.connect(addr)
    finally:
        s.send(b"x")
    return s.recv(10).decode()

I4, I6 = socket.AF_INET, socket.AF_INET6
good, bad = ports["good"], ports["bad"]
get("allowed", tcp, I4, ("127.0.0.1", good), wait=60)
get("denied", tcp, I4, ("127.0.0.1", bad))
get("mapped", tcp, I6, ("::ffff:127.0.0.1", bad))
get("compatible", tcp, I6, ("::127.0.0.1", bad))
get("nat64", tcp, I6, ("64:ff9b::7f00:1", bad))
get("any", tcp, I4, ("0.0.0.0", bad))
get("any6", tcp, I6, ("::", bad))
get("mapped-any", tcp, I6, ("::ffff:0.0.0.0", bad))
get("loop6", tcp, I6, ("::1", bad))
get("other-loop", tcp, I4, ("127.0.0.2", bad))
get("port-0", tcp, I4, ("127.0.0.1", 0))
get("udp", udp, I4, ("127.0.0.1", bad))
get("udp-mapped", udp, I6, ("::ffff:127.0.0.1", bad))
get("udp-connect", udp_connect, I4, ("127.0.0.1", bad))
get("fastopen", fastopen, ("127.0.0.1", bad))
get("again", again, ("127.0.0.1", good), ("127.0.0.1", bad))
get("name", tcp, I4, ("localhost", bad))
for kind, fam, typ, proto in (("raw", I4, 3, 1), ("packet", 17, 3, 768),
    ("netlink", 16, 3, 0), ("vsock", 40, 1, 0), ("sctp", I4, 1, 132),
    ("alg", 38, 5, 0), ("raw6", I6, 3, 58)):
    get(kind, socket.socket, fam, typ, proto)
get("abstract", lambda: tcp(socket.AF_UNIX, "\0" + ports["abstract"]))
get("abstract-datagram", lambda: socket.socket(socket.AF_UNIX,
    socket.SOCK_DGRAM).sendto(b"x", "\0" + ports["abstract"]))
# a port of the host's: seen from outside afterwards
s = socket.socket()
get("bind", s.bind, ("0.0.0.0", ports["free"]))
get("listen", s.listen)
"""


# ---- the host ----------------------------------------------------------------

class Counter(threading.Thread):
    """Servers nobody may come to (but for the first one)."""

    def __init__(self, abstract):
        super().__init__(daemon=True)
        self.came = []
        self.socks = {}
        self.ports = {"abstract": abstract, "pid": os.getpid()}
        good = self.tcp("good", socket.AF_INET, "127.0.0.1")
        self.ports["good"] = good
        bad = self.tcp("bad", socket.AF_INET, "0.0.0.0")
        self.ports["bad"] = bad
        try:
            s = socket.socket(socket.AF_INET6)
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            s.bind(("::", bad))
            s.listen(50)
            self.socks[s] = "bad6"
        except OSError:
            pass
        u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        u.bind(("0.0.0.0", bad))
        self.socks[u] = "udp"
        a = socket.socket(socket.AF_UNIX)
        a.bind("\0" + abstract)
        a.listen(50)
        self.socks[a] = "abstract"
        self.ports["free"] = harness.free_port()

    def tcp(self, name, family, addr):
        s = socket.socket(family)
        s.bind((addr, 0))
        s.listen(50)
        self.socks[s] = name
        return s.getsockname()[1]

    def path(self, path):
        s = socket.socket(socket.AF_UNIX)
        s.bind(path)
        s.listen(50)
        self.socks[s] = "path"

    def run(self):
        import select
        while True:
            for s in select.select(list(self.socks), [], [])[0]:
                name = self.socks[s]
                self.came.append(name)
                if s.type == socket.SOCK_DGRAM:
                    s.recvfrom(10)
                    continue
                c, _ = s.accept()
                c.settimeout(10)
                try:
                    c.recv(10)
                    c.send(b"hello")
                except OSError:
                    pass
                c.close()


def make_files(base):
    for d in ("secret", "ro", "ro/sub", "rw", "ro-not", "vol", "vol/sub"):
        os.mkdir(os.path.join(base, d))
    os.chmod(base, 0o755)

    def write(name, text):
        with open(os.path.join(base, name), "w") as f:
            f.write(text)

    write("secret/file", SECRET + "\n")
    write("ro-not/file", SECRET + "\n")
    write("ro/file", "mine\n")
    write("rw/own", "mine\n")
    write("vol/file", "mine\n")
    for name, to in (("ro/link", base + "/secret/file"),
                     ("ro/folder", base + "/secret"),
                     ("ro/relative", "../secret/file"),
                     ("ro/chain", "link"), ("ro/sock", "../secret/sock"),
                     ("ro/fifo-link", "../secret/fifo"),
                     ("vol/link", base + "/secret/file")):
        os.symlink(to, os.path.join(base, name))
    os.mkfifo(base + "/secret/fifo")


def snapshot(base):
    """All there is outside of rw, to see whether it is touched."""
    seen = {}
    for folder in ("secret", "ro", "ro-not", "vol"):
        top = os.path.join(base, folder)
        for d, dirs, files in os.walk(top):
            for n in dirs + files + ["."]:
                st = os.lstat(os.path.join(d, n))
                seen[os.path.join(d, n)] = (
                    st.st_mode, st.st_ino, st.st_size, st.st_mtime_ns,
                    st.st_ctime_ns, st.st_nlink)
    with open(base + "/secret/file") as f:
        seen["secret"] = f.read()
    return seen


def flip(base, stop):
    """Two names in rw: now a link to the secret, now the guest's own."""
    a, b = base + "/rw/flip", base + "/rw/flipfile"
    os.mkdir(base + "/rw/real")
    with open(base + "/rw/real/file", "w") as f:
        f.write("mine")
    n = 0
    while not stop.is_set():
        for name, to in ((a, base + ("/secret" if n & 1 else "/rw/real")),
                         (b, base + ("/secret/file" if n & 1 else
                                     "/rw/real/file"))):
            os.symlink(to, name + ".new")
            os.rename(name + ".new", name)
        n += 1


OPENED = re.compile(
    r"\b(open|openat|openat2|creat)\((.*)\) += \d+<(.*?)>(?:\(deleted\))?$")
CHANGED = re.compile(
    r"\b(unlink|unlinkat|rename|renameat|renameat2|link|linkat|symlink|"
    r"symlinkat|mkdir|mkdirat|mknod|mknodat|truncate|chmod|fchmodat|chown|"
    r"fchownat|utimensat|setxattr|lsetxattr|mount|chroot)\((.*)\) += 0$")
SYSTEM = ("/usr/", "/lib", "/proc/", "/sys/", "/dev/", "/etc/localtime",
          "anon_inode", "socket:", "pipe:", "/memfd:", "/dev/null", "/var/lib")


def strace_says(log, base):
    """Lines about files that kvmserver had no business with."""
    bad = []
    ours = (base + "/ro", base + "/rw", base + "/vol")
    for line in log:
        m = OPENED.search(line)
        if m:
            if "O_PATH" in m.group(2) or m.group(3).startswith(SYSTEM):
                continue
            if any(m.group(3) == o or m.group(3).startswith(o + "/")
                   for o in ours):
                continue
            bad.append(line)
            continue
        m = CHANGED.search(line)
        if m and ("<%s/rw" % base not in m.group(2) or
                  "/secret>" in m.group(2) or "/ro>" in m.group(2)):
            bad.append(line)
    return bad


def judge(name, out, secret_ok=()):
    """No answer holds the secret, and nothing succeeded that may not."""
    if "error" in out:
        return out["error"]
    got = [k for k, v in out.items() if isinstance(v, str) and SECRET in v]
    if got:
        return "the secret was read: " + " ".join(got)
    if len(out) < 2:
        return "no attack was made"
    return None


def serve(base, trace, counter):
    options = [
        "--allow-read=/usr,/lib,/lib64,/etc/localtime,%s/ro,%s" %
        (base, here),
        "--allow-write=%s/rw" % base,
        "--allow-read=%s/rw" % base,
        "--volume=%s/vol:/vol:r" % base,
        "--allow-connect=127.0.0.1,localhost:%d" % counter.ports["good"],
        "--deny-connect=127.0.0.1:%d" % counter.ports["bad"],
        "--cwd=" + here, "-e", "-t", "1", "--verify-reset",
        "--max-request-time=200", "--max-boot-time=120",
    ]
    server = harness.Server(
        [harness.PYTHON, "-I", os.path.join(here, "escape_guest.py")],
        *options, allow=())
    if trace:
        server.command = ["strace", "-D", "-f", "--seccomp-bpf", "-y",
                          "-s", "200", "-e",
                          "trace=%file,%desc,connect,bind,sendto,sendmsg",
                          "-e", "trace=!ioctl,read,write,close,fstat,lseek,"
                          "poll,ppoll,epoll_wait,pread64,fcntl,mmap,"
                          "getdents64,ftruncate,dup,dup2,newfstatat",
                          "-o", trace] + server.command
    return server


def check_net(out, counter):
    why = judge("net", out)
    if why:
        return why
    if out["allowed"] != "hello":
        return "what is allowed does not work: " + out["allowed"]
    bad = [k for k, v in out.items() if v == "hello" and k != "allowed"]
    if bad:
        return "reached: " + " ".join(bad)
    if set(counter.came) - {"good"}:
        return "somebody came: " + " ".join(counter.came)
    with socket.socket() as s:
        s.settimeout(1)
        if s.connect_ex(("127.0.0.1", counter.ports["free"])) == 0:
            return "the guest's port is open on the host"
    return None


def attack(server, code, **more):
    values = dict(more)
    prelude = PRELUDE % values
    body = (prelude + (code % values if code is RACE else code)).encode()
    return json.loads(server.post("/", body, timeout=250).body)


def may_trace():
    """Containers, and hosts with Yama, may not let it."""
    if not shutil.which("strace"):
        return False
    return subprocess.run(
        ["strace", "-D", "-f", "--seccomp-bpf", "-o", "/dev/null", "true"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL).returncode == 0


def run(base):
    trace = os.path.join(base, "trace") if may_trace() else None
    make_files(base)
    counter = Counter("tkvm-escape-%d" % os.getpid())
    counter.path(base + "/secret/sock")
    counter.start()
    before = snapshot(base)
    known = dict(base=base, ports=counter.ports)
    with serve(base, trace, counter) as server:
        start = os.path.getsize(trace) if trace else 0
        result("files", judge("files", attack(server, FILES, **known)))
        result("handles", judge("handles", attack(server, HANDLES, **known)))
        result("making", judge("making", attack(server, MAKING, **known)))
        result("net", check_net(attack(server, NET, **known), counter))
        stop = threading.Event()
        flipper = threading.Thread(target=flip, args=(base, stop))
        flipper.start()
        try:
            out = attack(server, RACE, seconds=max(2, 30 * harness.SCALE),
                         secret=SECRET, tries=TRIES, **known)
        finally:
            stop.set()
            flipper.join()
        result("race", None if out.get("hits") == 0 and out["tries"] > TRIES
               else out)
        after = snapshot(base)
        result("untouched", None if before == after else
               [k for k in set(before) | set(after)
                if before.get(k) != after.get(k)])
        check = server.get("/").body
        result("next-request", None if check == b"ok\n" else check)
        if trace:
            with open(trace, "rb") as f:
                f.seek(start)
                log = f.read().decode("utf-8", "replace").splitlines()
            lines = strace_says(log, base)
            result("strace", None if not lines and len(log) > 100 else
                   "%d lines of %d: %s" % (len(lines), len(log),
                                           " | ".join(lines[:5])))
        else:
            print("SKIP strace: not installed, or not allowed")


def main():
    if not os.path.exists("/dev/kvm"):
        print("0 passed, 0 failed, 1 skipped")
        return 77
    base = os.path.realpath(tempfile.mkdtemp(prefix="tkvm-escape.",
                                             dir="/var/tmp"))
    try:
        run(base)
    except Exception as e:      # noqa: counted
        result("the test itself", repr(e))
    finally:
        shutil.rmtree(base, ignore_errors=True)
    print("%d passed, %d failed, 0 skipped" % (
        sum(results), len(results) - sum(results)))
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
