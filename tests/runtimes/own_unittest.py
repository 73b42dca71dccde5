#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""One of CPython's test modules, a line for each of its cases (own.py).

    own_unittest.py FOLDER MODULE

FOLDER is made and gone to: on both sides the same way from the root.  What
asks for a second process is skipped, before it asks.
"""

import faulthandler
import importlib
import os
import subprocess
import sys
import unittest

# Of protocols that a machine has not, or that wait for a child
LEFT_OUT = ("VSOCK", "UDPLITE", "RFC3542", "SCTP", "TestForkInThread")


def skip(*_args, **_kwargs):
    raise unittest.SkipTest("a second process")


class Popen(subprocess.Popen):
    def __init__(self, *_args, **_kwargs):  # pylint: disable=W0231
        self.returncode = 0
        self._child_created = False
        skip()


def no_processes():
    import posix
    import _posixsubprocess
    import platform
    subprocess.Popen = Popen
    _posixsubprocess.fork_exec = skip
    for name in ("fork", "forkpty", "system", "popen", "posix_spawn",
                 "posix_spawnp", "execv", "execve", "spawnv", "spawnve"):
        for where in (os, posix):
            if hasattr(where, name):
                setattr(where, name, skip)
    platform.platform = lambda *_args, **_kwargs: "Linux"


class Result(unittest.TextTestResult):
    def say(self, test, how):
        print("--- %s: %s" % (how, test.id()), flush=True)

    def addSuccess(self, test):
        self.say(test, "PASS")
        super().addSuccess(test)

    def addError(self, test, err):
        self.say(test, "FAIL")
        super().addError(test, err)

    def addFailure(self, test, err):
        self.say(test, "FAIL")
        super().addFailure(test, err)

    def addSkip(self, test, reason):
        self.say(test, "SKIP")
        super().addSkip(test, reason)

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.say(test, "FAIL")
        super().addSubTest(test, subtest, err)


def kept(suite):
    out = unittest.TestSuite()
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            out.addTest(kept(test))
        elif not any(word in test.id() for word in LEFT_OUT):
            out.addTest(test)
    return out


def main():
    folder, name = sys.argv[1:]
    del sys.argv[1:]
    os.makedirs(folder, exist_ok=True)
    os.chdir(folder)
    faulthandler.enable()
    no_processes()
    from test import support
    # For some modules that is the loopback only.
    support.use_resources = ["network"] if name == "test_socketserver" else []
    try:
        module = importlib.import_module("test." + name)
    except unittest.SkipTest as e:
        print("--- SKIP: %s (%s)" % (name, e))
        return
    suite = kept(unittest.defaultTestLoader.loadTestsFromModule(module))
    unittest.TextTestRunner(resultclass=Result).run(suite)
    sys.stdout.flush()
    os._exit(0)


main()
