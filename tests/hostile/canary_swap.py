#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""canary_drive while all that it has mapped, images and forks, is pushed out to
swap again and again: what was swapped out is no other request's, either.

    canary_swap.py [ALTERNATIONS]

Skipped where there is no swap in use, or process_madvise() is not allowed.
"""

import ctypes
import errno
import os
import re
import struct
import subprocess
import sys
import time

HERE = os.path.abspath(os.environ.get("HOSTILEDIR", "."))
LONG = os.environ.get("TKVM_TEST_SCALE") == "1"
PROCESS_MADVISE, MADV_PAGEOUT = 440, 21
libc = ctypes.CDLL(None, use_errno=True)


def skip(why):
    print("1..0 # SKIP " + why)
    sys.exit(77)


def swap_is_there():
    with open("/proc/swaps", encoding="ascii") as f:
        return len(f.readlines()) > 1


def page_out(pid, pidfd):
    """How many mappings that took; None: it has ended"""
    n = 0
    try:
        with open("/proc/%d/maps" % pid, encoding="utf-8") as f:
            lines = f.read().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return None
    ctypes.set_errno(0)
    for line in lines:
        w = line.split()
        if "rw" not in w[1] or w[-1].startswith("[v"):
            continue
        a, b = (int(x, 16) for x in w[0].split("-"))
        n += libc.syscall(PROCESS_MADVISE, pidfd, struct.pack("QQ", a, b - a),
                          1, MADV_PAGEOUT, 0) > 0
    return n


def swapped(pid):
    try:
        with open("/proc/%d/status" % pid, encoding="ascii") as f:
            return int(re.search(r"VmSwap:\s+(\d+)", f.read()).group(1))
    except (OSError, AttributeError):
        return 0


def main():
    if not os.path.exists(os.environ.get("TKVM_DEV") or "/dev/kvm"):
        skip("no /dev/kvm")
    if not swap_is_there():
        skip("no swap: swapon one")
    count = sys.argv[1] if len(sys.argv) > 1 else "10000" if LONG else "200"
    p = subprocess.Popen([HERE + "/canary_drive", "-n", count,
                          HERE + "/canary"])
    fd = os.pidfd_open(p.pid)
    rounds = most = 0
    while p.poll() is None:
        taken = page_out(p.pid, fd)
        if ctypes.get_errno() in (errno.EPERM, errno.ENOSYS):
            p.kill()
            skip("process_madvise: " + os.strerror(ctypes.get_errno()))
        rounds += bool(taken)
        most = max(most, swapped(p.pid))
        time.sleep(0.05)
    print("%d times pushed out, up to %d KiB in swap" % (rounds, most))
    if most == 0:
        print("FAIL canary_swap: nothing was swapped out")
    return 1 if p.returncode != 0 or most == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
