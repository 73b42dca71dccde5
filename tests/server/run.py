#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""kvmserver with real guests.

    run.py [--list] [WORD...]

Runs the tests whose names contain one of the words, or all.  The environment
says where things are: KVMSERVER, GUESTDIR (tests/guest of the build folder),
GUEST_PYTHON, and TKVM_TEST_SCALE [0.1; 1 is the full count].  Prints PASS,
FAIL and SKIP lines and a count; ends with 1 if anything failed and with 77 if
nothing could be run.
"""

import os
import sys
import time
import traceback

sys.dont_write_bytecode = True
here = os.path.dirname(os.path.abspath(__file__))
top = os.path.dirname(os.path.dirname(here))
os.environ.setdefault("KVMSERVER", os.path.join(top, "src", "kvmserver"))
os.environ.setdefault("GUESTDIR", os.path.join(top, "tests", "guest"))

import harness          # noqa: E402  needs the environment
import test_good        # noqa: E402, F401
import test_bad         # noqa: E402, F401
import test_limits      # noqa: E402, F401
import test_audit       # noqa: E402, F401
import test_doctor      # noqa: E402, F401
import test_errors      # noqa: E402, F401
import test_linux       # noqa: E402, F401
import test_fresh       # noqa: E402, F401
import test_jail        # noqa: E402, F401
import test_options     # noqa: E402, F401
import test_warm        # noqa: E402, F401


def run(f):
    start = time.monotonic()
    try:
        f()
        result, why = "PASS", ""
    except harness.Skip as e:
        result, why = "SKIP", ": %s" % e
    except Exception as e:      # noqa: a test may fail in any way
        result, why = "FAIL", ": %s" % (e if isinstance(e, harness.Failure)
                                        else repr(e))
        if "-v" in sys.argv:
            traceback.print_exc()
    # Answers may be megabytes.
    why = " ".join(why.split())[:1500]
    print("%s %s (%.1f s)%s" % (result, f.__name__, time.monotonic() - start,
                                why and " " + why), flush=True)
    return result


def missing():
    if not os.access(harness.KVMSERVER, os.X_OK):
        return "no kvmserver at " + harness.KVMSERVER
    if not os.access(harness.guest("chttp_static"), os.X_OK):
        return "no guest programs in " + harness.GUESTDIR
    if not os.path.exists("/dev/kvm"):
        return "no /dev/kvm"
    return None


def main():
    words = [a for a in sys.argv[1:] if not a.startswith("-")]
    todo = [f for f in harness.tests
            if not words or any(w in f.__name__ for w in words)]
    if "--list" in sys.argv:
        print("\n".join(f.__name__ for f in todo))
        return 0
    why = missing()
    results = []
    if why and not os.environ.get("TKVM_REQUIRE_KVM"):
        print("SKIP all: " + why)
        results = ["SKIP"] * len(todo)
    elif why:
        print("FAIL all: " + why)
        results = ["FAIL"]
    else:
        results = [run(f) for f in todo]
    passed, failed, skipped = (results.count(r)
                               for r in ("PASS", "FAIL", "SKIP"))
    print("%d passed, %d failed, %d skipped" % (passed, failed, skipped))
    return 1 if failed else 0 if passed else 77


sys.exit(main())
