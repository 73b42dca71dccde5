# SPDX-License-Identifier: BSD-2-Clause
"""Each limit: it holds, the log names the tenant and the option, a counter has
it, and the next request is right."""

import http.client
import threading
import time

from harness import Server, check, find, guest, test, wait_for

PROGRAM = [guest("chttp_static"), "8080"]
TENANT = 'tenant "chttp_static": '


def log_of(s):
    with open(s.log, "rb") as f:
        return f.read().decode("utf-8", "replace")


def said(s, text, times=1):
    """The log has this text so often, by the tenant's name."""
    wait_for("%r not %d times in %s" % (text, times, log_of(s)[-600:]),
             lambda: log_of(s).count(text) >= times)
    n = log_of(s).count(text)
    check(n == times, repr(text), n, "times instead of", times, "in",
          log_of(s)[-600:])
    line = [x for x in log_of(s).splitlines() if text in x][0]
    check("tenant" in line, "no tenant is named:", line)


def server(*options):
    return Server(PROGRAM, "-e", "-v", "-t", "1", "-w", "3", *options)


def next_is_right(s):
    a = s.get("/count")
    check(a.status == 200 and a.body == b"4", "the next request", a)


def fails(options, paths, text, kind, fine=()):
    """Requests that fail, by this error; and such that do not."""
    with server(*options) as s:
        for path in fine:
            a = s.get(path)
            check(a.status == 200, path, a)
        check(text not in log_of(s), "too early:", log_of(s)[-300:])
        for path in paths:
            try:
                a = s.get(path)
                check(a.status == 503, path, a)
            except (http.client.HTTPException, ConnectionError):
                check("chunked" in path or "eof" in path, path, "broken")
            next_is_right(s)
        said(s, text, len(paths))
    errors = find(s.stats, "errors")
    check(errors[kind] == len(paths), kind, errors)
    check(find(s.stats, "reset_failures") == 0, s.stats)


def refuses(options, path, body, text, times=1):
    """The program is told no, and goes on."""
    with server(*options) as s:
        for i in range(2):
            a = s.get(path)
            check(a.status == 200 and a.body == body, path, a)
            said(s, text, i + 1)
            next_is_right(s)
    check(s.stats["limited"] == 2 * times, "limited:", s.stats["limited"])


@test
def limit_wall_time():
    # Long enough for what is right to be so on a machine that stops at times
    fails(["--max-request-time", "3.5"], ["/loop", "/sleep?ms=30000"],
          "longer than max-request-time (3.5 s)", "timeout",
          ["/sleep?ms=200"])


@test
def limit_cpu_time():
    for mode in "worker", "runner":
        fails(["--max-request-cpu-time", "0.3",
               "--run-mode", mode], ["/loop", "/bursts?n=200&ms=20"],
              "CPU time than max-request-cpu-time (0.3 s)", "timeout",
              ["/sleep?ms=700", "/bursts?n=5&ms=20"])


@test
def limit_cpu_time_is_in_time():
    with server("--max-request-cpu-time", "0.3") as s:
        start = time.monotonic()
        check(s.get("/loop").status == 503, "a loop")
        took = time.monotonic() - start
        check(0.29 <= took < 20, "after", took)


@test
def limit_memory():
    fails(["--max-request-memory", "16"], ["/alloc"],
          "max-request-memory (16 MiB)", "limit", ["/touch?mb=4"])


@test
def limit_descriptors():
    for path in "/fds?n=40", "/fds?n=40&file=1":
        with server("--max-descriptors", "50") as s:
            check(s.get(path).body == b"40 all\n", path)
        check(s.stats["limited"] == 0, s.stats)
    with server("--max-descriptors", "50") as s:
        n = int(s.get("/fds?n=1000").body.split()[0])
        check(40 <= n < 50, n, "descriptors")
        for path in "/fds?n=1000", "/fds?n=1000&file=1":
            a = s.get(path)
            check(a.body == b"%d Too many open files\n" % n, path, a)
        next_is_right(s)
        said(s, "max-descriptors (50) reached", 3)
    check(s.stats["limited"] == 3, s.stats)


@test
def limit_threads():
    refuses(["--max-threads", "5"], "/threads?n=100",
            b"4 Resource temporarily unavailable\n",
            "max-threads (5) reached")


@test
def limit_log():
    with server("--max-log-bytes", "1000") as s:
        for i in range(2):
            check(s.get("/log?n=900").status == 200, "within")
            check(s.get("/log?n=100000").status == 200, "beyond")
            said(s, "max-log-bytes (1000) reached", i + 1)
            n = log_of(s).count("%099d" % 0)
            check(n == 0, n)
            check(len(log_of(s)) < 8000, len(log_of(s)))
        lines = [x for x in log_of(s).splitlines() if "0" * 80 in x]
        check(len(lines) == 2 * (9 + 10), len(lines), "lines logged")
        next_is_right(s)
    check(s.stats["limited"] >= 2, s.stats["limited"])


@test
def limit_response_headers():
    fails(["--max-response-headers", "20"], ["/bigheaders?n=30&len=10"],
          "more than 20 headers (max-response-headers)", "limit",
          ["/bigheaders?n=15&len=10"])


@test
def limit_response_header_size():
    fails(["--max-response-header-size", "4"], ["/bigheaders?n=20&len=500"],
          "more than 4 KiB of header (max-response-header-size)", "limit",
          ["/bigheaders?n=5&len=500"])


@test
def limit_response_body():
    fails(["--max-response-body", "1"],
          ["/size?n=1048577", "/chunked?n=1100000", "/eof?n=1100000", "/fill"
           "?chunked"],
          "larger than max-response-body (1 MiB)", "limit",
          ["/size?n=1048576", "/chunked?n=1048576", "/eof?n=1048576"])


@test
def limit_queue():
    with server("--queue-limit", "1", "--queue-time", "1") as s:
        got = []
        slow = threading.Thread(target=s.get, args=("/sleep?ms=5000",))
        slow.start()
        s.taken()
        others = [threading.Thread(target=lambda: got.append(s.get("/")))
                  for _ in range(4)]
        for t in others:
            t.start()
        for t in others + [slow]:
            t.join()
        check(all(a.status == 503 for a in got), got)
        log = log_of(s)
        check(TENANT in log, log[-300:])
        check("(queue-limit)" in log and "(queue-time)" in log, log[-600:])
        # queue-time is for those that wait for a reset, too.
        s.at_rest(1)
        next_is_right(s)
    check(s.stats["rejected"] == 4 and
          find(s.stats, "errors")["busy"] == 4, s.stats)
