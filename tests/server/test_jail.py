# SPDX-License-Identifier: BSD-2-Clause
"""kvmserver locks itself up.  That everything works in there is shown by all
other tests: it is the default."""

import http.client
import os
import signal
import subprocess
import tempfile
import time

from harness import (KVMSERVER, QUICK, Server, Skip, check, free_port, guest,
                     test)

PROGRAM = [guest("chttp_static"), "8080"]
SHIM = os.environ.get("JAILBREAK_SO", "")


def status(server):
    """Of each thread: (NoNewPrivs, Seccomp)"""
    base = "/proc/%d/task" % server.process.pid
    found = set()
    for tid in os.listdir(base):
        try:
            with open(os.path.join(base, tid, "status")) as f:
                lines = dict(line.split(":\t", 1) for line in f
                             if ":\t" in line)
        except (FileNotFoundError, ProcessLookupError):
            continue            # it has ended meanwhile
        found.add((int(lines["NoNewPrivs"]), int(lines["Seccomp"])))
    return found


def log_of(server):
    with open(server.log, encoding="utf-8") as f:
        return f.read()


def sanitized(log):
    if "built with a sanitizer" in log:
        raise Skip("built with a sanitizer")


@test
def jail_is_on():
    with Server(PROGRAM, "-e", "-v") as s:
        log = log_of(s)
        found = status(s)
        check(s.get("/").status == 200, "no answer")
    sanitized(log)
    check("jail: no new privileges" in log, log)
    want = 0 if "no system call filter" in log else 2
    check(found == {(1, want)}, "threads:", found)


@test
def jail_is_off():
    with Server(PROGRAM, "-e", "-v", "--no-jail") as s:
        check("no jail (--no-jail)" in log_of(s), log_of(s))
        check(status(s) == {(0, 0)}, "threads:", status(s))


def broken_out(*options, rules=None, call=None):
    """What the shim could do, by name; kvmserver's status; its log."""
    if not os.path.exists(SHIM):
        raise Skip("no jailbreak.so")
    with tempfile.TemporaryDirectory() as d:
        d = os.path.realpath(d)
        for name in "refused", "readable", "writable":
            os.mkdir(os.path.join(d, name))
            with open(os.path.join(d, name, "file"), "w") as f:
                f.write("x")
        if rules is None:
            rules = ["--allow-read=" + d + "/readable",
                     "--allow-write=" + d + "/writable"]
        env = dict(os.environ, LD_PRELOAD=SHIM, JAILBREAK=d + "/out",
                   JAILBREAK_DIR=d)
        if call:
            env["JAILBREAK_CALL"] = call
        port = free_port()
        with open(d + "/log", "w") as log:
            p = subprocess.Popen(
                [KVMSERVER, "-v", "-e", "--listen", "127.0.0.1:%d" % port,
                 *rules, *options, "run", *PROGRAM], env=env, stderr=log)
        server = Server(PROGRAM, at=port)
        end = time.monotonic() + QUICK
        try:
            while p.poll() is None:
                try:
                    check(server.get("/").status == 200, "no answer")
                    break
                except (OSError, http.client.HTTPException):
                    check(time.monotonic() < end, "does not come up")
                    time.sleep(0.02)
            if call is None:
                p.send_signal(signal.SIGTERM)
            p.wait(QUICK)
        finally:
            p.kill()
            p.wait()
        with open(d + "/log", encoding="utf-8") as f:
            log = f.read()
        sanitized(log)
        with open(d + "/out", encoding="utf-8") as f:
            return dict(line.split() for line in f), p.returncode, log


FILES = {
    "read-secret": "EACCES", "read-proc": "EACCES", "open-kvm": "EACCES",
    "read-refused": "EACCES", "write-refused": "EACCES",
    "unlink-refused": "EACCES", "create-refused": "EACCES",
    "read-readable": "OK", "write-readable": "EACCES",
    "create-writable": "OK", "read-writable": "EACCES", "socket": "OK",
}
CALLS = {"packet": "EPERM", "kill": "EPERM", "tgkill": "EPERM",
         "clone": "EPERM", "prctl": "EPERM", "sethostname": "EPERM"}


@test
def jail_holds():
    got, returncode, log = broken_out()
    check(returncode == 0, returncode, log)
    want = {}
    if "no Landlock" not in log:
        want.update(FILES)
        if "ABI 1" not in log and "ABI 2" not in log and "ABI 3" not in log:
            want["connect"] = "EACCES"
    if "no system call filter" not in log:
        want.update(CALLS)
    if not want:
        raise Skip("neither Landlock nor libseccomp here")
    for name, result in want.items():
        check(got[name] == result, name, got[name], "and not", result)


@test
def jail_with_connections():
    """Who may connect somewhere may in the jail."""
    got, _, log = broken_out(rules=["--allow-connect=127.0.0.1:1"])
    check(got["connect"] == "ECONNREFUSED", got["connect"], log)


@test
def jail_no_jail():
    """The shim can do it all where there is no jail."""
    got, _, log = broken_out("--no-jail")
    for name in "read-refused", "create-refused", "open-kvm", "kill":
        check(got[name] == "OK" or os.geteuid() != 0, name, got[name])
    check(got["clone"] == "OK", got["clone"])


@test
def jail_kills():
    for call in "execve", "fork", "ptrace", "setuid", "io_uring":
        _, returncode, log = broken_out(call=call)
        if "no system call filter" in log:
            raise Skip("no libseccomp")
        check(returncode == -signal.SIGSYS, call, returncode)
