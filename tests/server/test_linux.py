# SPDX-License-Identifier: BSD-2-Clause
"""What a program finds of Linux in a request, and again in the next one."""

import textwrap

from harness import PYTHON, Server, check, guest, test


def snippets(*options, start="", **kw):
    """A server that runs what is posted to it, `start` before the freeze."""
    return Server([PYTHON, guest("py/snippets.py"), "8080",
                   textwrap.dedent(start)], "-e", "--verify-reset", *options,
                  **kw)


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
    """
    with snippets(start=start) as s:
        for _ in range(5):
            got = ask(s, """
                work(0.05)
                before = len(ticks)
                signal.setitimer(signal.ITIMER_PROF, 0.01, 0.01)
                time.sleep(0.05)
                asleep = len(ticks)
                work(0.1)
                print(before, asleep < 3, 5 <= len(ticks) <= 20)
                """)
            check(got == "0 True True\n", "ticks:", got)
    start += "    signal.setitimer(signal.ITIMER_PROF, 0.01, 0.01)\n    "
    with snippets(start=start) as s:
        for _ in range(3):
            got = ask(s, "ticks.clear(); work(0.1); print(len(ticks) > 4)")
            check(got == "True\n", "from before the freeze:", got)
