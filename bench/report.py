# SPDX-License-Identifier: BSD-2-Clause
"""benchmarks.json, benchmarks.md and its plots from what bench has measured."""

import json
import os
import subprocess
import sys

from lib import table

WAYS = (
    ("backend", "native server, an ordinary backend of Varnish over a Unix "
     "socket, `return (pass)`"),
    ("deliver", "`kvm.deliver()`, `return (pass)`, reset after each request"),
    ("synth", "`kvm.synth()`, reset after each request"),
    ("none-synth", "Varnish's own synthetic answer, without any server: what "
     "is left of *synth*"),
    ("none-deliver", "a director that has its answer at once "
     "(`bench/nothing.c`), `return (pass)`: what is left of *deliver*"),
    ("native", "native server over TCP, without Varnish"),
    ("resident", "`kvmserver`, without a reset, without Varnish"),
    ("ephemeral", "`kvmserver -e`, reset after each request, without Varnish"),
    ("process", "a new process for each request (fork and exec of the server), "
     "without Varnish"),
    ("fork", "a new process for each request that answers itself (fork only), "
     "without Varnish"),
)

HEAD = """# Benchmarks

Made by `make bench{quick}` ({took} s: {rounds} rounds of {seconds} s for each
figure, all ways in turn, the order turned round in every second round).
{machine}; load average {load}; wrk runs on the same CPUs. Other load on the
machine is in here: compare ratios, which are taken within a round, and look at
their spread. The machines have `warm-connection` set: native servers behind
Varnish keep their connections, too.

Ways to serve the same bytes:

"""

PLOT = """set terminal svg size 900,360 font "sans,11"
set output "{out}"
set style data histogram
set style histogram clustered gap 2
set style fill solid 0.8 border -1
set grid ytics
set key outside right top
set logscale y
set ylabel "{label}"
set title "{title}"
set xtics rotate by -15
plot {columns}
"""


def us(x):
    return "%.0f" % x if x < 10000 else "%.0f ms" % (x / 1e3)


def ratio(r, key):
    if key not in r:
        return ""
    return "%.2f (%.2f-%.2f)" % tuple(r[key])


def find(data, server, way, connections, keep=True):
    for r in data["runs"]:
        if (r["server"], r["way"], r["connections"], r["keep"]) == \
                (server, way, connections, keep):
            return r
    return None


# ---- what must be reached ----------------------------------------------------

def middle(data, server, way, connections, key):
    r = find(data, server, way, connections)
    return r[key][0] if r and key in r else None


def against_process(data, server):
    """How many times as long a new process takes, p50 at 1 connection."""
    ours, other = (find(data, server, way, 1, keep) for way, keep in
                   (("synth", True), ("process", False)))
    return other["p50"] / ours["p50"] if ours and other else None


def our_calls(data, server, way):
    """Host system calls of a request that a native backend has not."""
    calls = data["requests"].get("%s/%s" % (server, way), {}).get("host_calls")
    if calls is None:
        return None
    varnish = {"read", "writev", "write", "poll", "epoll_wait", "epoll_ctl",
               "accept", "accept4", "futex", "clock_nanosleep", "nanosleep",
               "restart_syscall", "ioctl", "getsockname", "close",
               "setsockopt", "fcntl", "getpid"}
    return sum(n for c, n in calls.items() if c not in varnish)


def targets(data):
    """(what, target text, value or None, limit, is a lower limit)"""
    q = data["requests"]

    def count(server, key):
        return q.get(server + "/synth", {}).get(key)
    for s, most in (("c", 1), ("python-asyncio", 1), ("node-http", 2),
                    ("deno-http", 2), ("deno-react", 2)):
        if s in data["servers"]:
            yield ("KVM exits of a request: " + data["servers"][s], count(
                s, "exits"), most, False)
    yield ("host system calls of a request besides ioctl and Varnish's own",
           our_calls(data, "c", "synth"), 0, False)
    vm = data["vm"].get("c")
    if vm:
        yield ("VM loop with reset, C, against a bare exit",
               vm["us_least"] / vm["bare_exit_us"], 1.9, False)
        yield ("reset, C, against 10 us + 0.5 us a page",
               vm["reset_us"] / (10 + .5 * vm["pages"]), 1, False)
    for s, way, n, key, limit, lower in (
            ("c", "synth", 1, "p50_ratio", .85, False),
            ("c", "synth", 4, "rps_ratio", 1.5, True),
            ("c", "deliver", 1, "p50_ratio", 1.0, False),
            ("c", "deliver", 4, "rps_ratio", 1.0, True),
            ("python-asyncio", "synth", 1, "p50_ratio", 1.0, False),
            ("deno-react", "synth", 1, "p50_ratio", 1.1, False)):
        if s in data["servers"]:
            yield ("%s, %s against a native backend: %s, %d connection%s" % (
                data["servers"][s], way, "p50" if key == "p50_ratio" else
                "throughput", n, "s" * (n > 1)),
                middle(data, s, way, n, key), limit, lower)
    for s in ("python-asyncio", "deno-http"):
        if s in data["servers"]:
            yield ("%s: a process for each request against synth, p50" %
                   data["servers"][s], against_process(data, s), 20, True)


def target_rows(data):
    for what, value, limit, lower in targets(data):
        if value is None:
            yield (what, "", "", "not measured")
            continue
        text = "%s %g" % ("at least" if lower else "at most", limit)
        # Among hundreds of requests there may be a timer's exit.
        if what.startswith("KVM exits"):
            limit += .05
        ok = value >= limit if lower else value <= limit
        yield what, text, "%.2f" % value, "yes" if ok else "**no**"


# ---- tables --------------------------------------------------------------------

def run_rows(data, server):
    for r in data["runs"]:
        if r["server"] == server:
            yield (r["way"], str(r["connections"]),
                   "kept" if r["keep"] else "new", us(r["p50"]), us(r["p90"]),
                   us(r["p99"]), ratio(r, "p50_ratio"), "%.0f" % r["rps"],
                   ratio(r, "rps_ratio"), us(r["cpu"]))


def request_rows(data):
    for key, v in data["requests"].items():
        server, way = key.split("/")
        calls = v.get("host_calls")
        yield (data["servers"][server], way, *(
            "%.2f" % v[k] if k in v else "" for k in (
                "exits", "pages_reset", "run_us", "reset_us")),
            ", ".join("%s %.2f" % c for c in sorted(calls.items(),
                      key=lambda c: -c[1])) if calls else "")


def vm_rows(data):
    for s, v in data["vm"].items():
        yield (data["servers"][s], "%.1f" % v["bare_exit_us"],
               "%.1f (%.1f-%.1f)" % (v["us"], v["us_least"], v["us_most"]),
               "%.1f" % v["run_us"], "%.1f" % v["reset_us"],
               "%.2f" % v["exits"], "%.1f" % v["pages"],
               "%.0f" % v["fork_kib"])


def plot(data, folder, key, label, name):
    """A group of bars for each server, 1 connection kept, all ways."""
    ways = [w for w, _ in WAYS if any(r["way"] == w for r in data["runs"])]
    lines = []
    for s, title in data["servers"].items():
        values = []
        for w in ways:
            r = find(data, s, w, 1) or find(data, s, w, 1, False)
            values.append("%.1f" % r[key] if r else "NaN")
        lines.append('"%s" %s' % (title, " ".join(values)))
    text = "$data << E\n%s\nE\n" % "\n".join(lines) + PLOT.format(
        out=os.path.join(folder, name), label=label,
        title=label + ", 1 connection (new ones for a process a request)",
        columns=", ".join('$data using %d:xtic(1) title "%s"' % (n + 2, w)
                          for n, w in enumerate(ways)))
    try:
        subprocess.run(["gnuplot"], input=text.encode(), check=True)
        return True
    except OSError:
        print("no gnuplot: no plots", file=sys.stderr)
        return False


def write(data, folder):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "benchmarks.json"), "w",
              encoding="utf-8") as f:
        json.dump(data, f, indent=1)
        f.write("\n")
    plots = [(n, label) for key, label, n in (
        ("p50", "median latency, us", "benchmarks-latency.svg"),
        ("rps", "requests a second", "benchmarks-throughput.svg"),
        ("cpu", "CPU time of the server, us", "benchmarks-cpu.svg"))
        if plot(data, folder, key, label, n)]
    with open(os.path.join(folder, "benchmarks.md"), "w",
              encoding="utf-8") as out:
        out.write(HEAD.format(quick="-quick" if data["quick"] else "",
                              took=data["took_s"], **{k: data[k] for k in (
                                  "rounds", "seconds", "machine", "load")}))
        for w, text in WAYS:
            if any(r["way"] == w for r in data["runs"]):
                out.write("- **%s**: %s\n" % (w, text))
        out.write("\n## What must be reached\n\n")
        table(out, ("", "target", "measured", "reached"), target_rows(data))
        for name, label in plots:
            out.write("\n![%s](%s)\n" % (label, name))
        out.write("\n## The machine alone\n\nA request and its reset in one "
                  "thread without a server or Varnish around it "
                  "(`bench/idle_forks`), and a bare exit from ring 3 and "
                  "back in the same process: the floor. Microseconds.\n\n")
        table(out, ("server", "bare exit", "request and reset", "run",
                    "reset", "exits", "pages", "KiB a fork"), vm_rows(data))
        out.write("\n## A request in numbers\n\nOne connection, kept. Exits "
                  "and pages from our counters, host system calls by strace "
                  "in a run of its own: those of varnishd, and of the native "
                  "server with *backend*; `ioctl` is KVM_RUN, and after the "
                  "answer the two of a reset.\n\n")
        table(out, ("server", "way", "exits", "pages", "run us", "reset us",
                    "host system calls"), request_rows(data))
        for s, title in data["servers"].items():
            out.write("\n## %s\n\nLatencies and CPU time (of the server's "
                      "processes, for a request) in us; ratios to *backend* "
                      "in the same round: median, least and most.\n\n" % title)
            table(out, ("way", "connections", "they are", "p50", "p90", "p99",
                        "p50 ratio", "requests/s", "ratio", "CPU"),
                  run_rows(data, s))
