#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The tests that runtimes have of their own, natively and in a machine.

    own.py [-v] [-t SECONDS] GUESTRUN (go PACKAGE... | python MODULE...)

Go's packages are compiled from the sources that Debian's golang-go has;
CPython's modules (test_socket, test_asyncio.test_streams, ...) are those of
libpython3.11-testsuite.  Says how many cases passed on both sides and which
of them differ; -v keeps the outputs, in the folder that is named.  What needs
a second process fails in a machine, or is left out: own_unittest.py.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON = "/usr/bin/python3"
RESULT = re.compile(r"--- (PASS|FAIL|SKIP): (\S+)")


def once(argv, cwd, limit):
    """Its output; what it had written if it took too long"""
    env = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
    try:
        p = subprocess.run(argv, cwd=cwd, env=env, timeout=limit + 20,
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, check=False)
        return p.stdout.decode(errors="replace")
    except subprocess.TimeoutExpired as e:
        return (e.stdout or b"").decode(errors="replace")


class Go:
    """A package's tests, again without the one that ended them all"""

    def __init__(self, package, folder, limit):
        root = subprocess.run(["go", "env", "GOROOT"], check=True,
                              stdout=subprocess.PIPE).stdout.decode().strip()
        self.cwd = os.path.join(root, "src", package)
        self.program = os.path.join(folder, package.replace("/", "_"))
        self.limit = limit
        subprocess.run(["go", "test", "-c", "-o", self.program, package],
                       check=True)

    def cases(self, wrap):
        left = once([self.program, "-test.list", "^(Test|Example)"],
                    self.cwd, self.limit).split()
        found, log = {}, ""
        while left:
            out = once(wrap + [self.program, "-test.v", "-test.short",
                               "-test.timeout=%ds" % self.limit,
                               "-test.run=^(%s)$" % "|".join(left)],
                       self.cwd, self.limit)
            log += out
            found.update((n, how) for how, n in RESULT.findall(out))
            begun = [n for n in re.findall(r"^=== RUN +(\S+)$", out, re.M)
                     if n in left and n not in found]
            found.update((n, "DIED") for n in begun)
            rest = [n for n in left if n not in found]
            if len(rest) == len(left) or re.search("^(PASS|FAIL)$", out, re.M):
                break
            left = rest
        return found, log


class Python:
    def __init__(self, module, folder, limit):
        self.module, self.limit = module, limit
        self.where = folder + ".w"

    def cases(self, wrap):
        out = once(wrap + [PYTHON, os.path.join(HERE, "own_unittest.py"),
                           self.where, self.module], "/", self.limit)
        shutil.rmtree(self.where, ignore_errors=True)
        return {n: how for how, n in reversed(RESULT.findall(out))}, out


def compare(name, suite, opt, folder):
    """One line, and one for each case that differs; how many do"""
    vm = [opt.guestrun, "-o", "private-tmp=on", "-t", str(opt.t)]
    native, n_log = suite.cases([])
    inside, v_log = suite.cases(vm)
    if opt.v:
        for how, log in (("native", n_log), ("vm", v_log)):
            path = os.path.join(folder, name.replace("/", "_") + "." + how)
            with open(path, "w") as f:
                f.write(log)
    print("%s: %d passed natively, %d in a machine" % (
        name, list(native.values()).count("PASS"),
        list(inside.values()).count("PASS")))
    other = [n for n in sorted(native)
             if native[n] == "PASS" and inside.get(n) != "PASS"]
    for n in other:
        print("    %s: %s" % (n, inside.get(n, "did not run")))
    sys.stdout.flush()
    return len(other)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("-v", action="store_true")
    p.add_argument("-t", type=int, default=150)
    p.add_argument("guestrun")
    p.add_argument("what", choices=("go", "python"))
    p.add_argument("names", nargs="+")
    opt = p.parse_args()
    opt.guestrun = os.path.abspath(opt.guestrun)
    folder = tempfile.mkdtemp(prefix="own-")
    bad = 0
    for name in opt.names:
        kind = Go if opt.what == "go" else Python
        bad += compare(name, kind(name, folder, opt.t), opt, folder)
    if opt.v:
        print("outputs in %s" % folder)
    else:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(1 if bad else 0)


main()
