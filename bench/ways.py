# SPDX-License-Identifier: BSD-2-Clause
"""The servers that are measured, and the ways to serve their bytes: each way is
an address to load, a header, and the processes whose time counts."""

import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request

from lib import BUILD, FOLDER, HERE, catalogue, harness

WARMUP = 200
MODULES = os.environ.get("VMOD_PATH") or (
    os.path.join(BUILD, "vmod/.libs") +
    ":/usr/lib/x86_64-linux-gnu/varnish/vmods")
VARNISHD = os.environ.get("VARNISHD") or "/usr/sbin/varnishd"
WITH_NOTHING = (
    "-p", "vcc_allow_inline_c=on",
    "-p", "cc_command=gcc -I/usr/include/varnish -O2 -w -fpic -shared "
    "-o %%o %%s %s/nothing.c" % HERE)
SPAWN = os.path.join(BUILD, "bench/spawn")

# A director without a machine, nothing.c: what a fetch costs Varnish itself
NOTHING = """C{
extern const struct vdi_methods nothing_methods[];
static VCL_BACKEND nothing;
}C
sub vcl_init {
	C{
		nothing = VRT_AddDirector(ctx, nothing_methods, NULL, "nothing");
	}C
}
sub vcl_fini {
	C{
		VRT_DelDirector(&nothing);
	}C
}
sub vcl_backend_fetch {
	if (bereq.http.way == "none-deliver") {
		C{
			VRT_l_bereq_backend(ctx, nothing);
		}C
		return (fetch);
	}
}
"""

FLOORS = ("none-synth", "none-deliver")

VCL = """vcl 4.1;
import kvm;
%s
sub vcl_init {
	kvm.tenants("%s");
}
sub vcl_recv {
	if (req.url == "/kvm-stats") {
		return (synth(701));
	}
	if (req.http.way == "synth") {
		return (synth(700));
	}
	if (req.http.way == "none-synth") {
		return (synth(200));
	}
	return (pass);
}
sub vcl_backend_fetch {
	if (bereq.http.way == "deliver") {
		set bereq.backend = kvm.deliver(bereq.http.server);
	}%s
}
sub vcl_synth {
	if (resp.status == 700) {
		if (!kvm.synth(req.http.server)) {
			set resp.status = 503;
		}
		return (deliver);
	}
	if (resp.status == 701) {
		set resp.status = 200;
		set resp.body = kvm.stats();
		return (deliver);
	}
}
"""


class Server:
    """One of those that are measured: its command, on a port or unix:PATH."""

    def __init__(self, name, title, runtime=None, program=None, full=False,
                 quick=True):
        self.name, self.title = name, title
        self.runtime, self.program = runtime, program
        self.full, self.quick = full, quick

    def missing(self):
        if self.program:
            return None if os.path.exists(self.program) else "not built"
        return self.runtime.prepare(FOLDER)

    def argv(self, at):
        if self.program:
            return [self.program, str(at)]
        return self.runtime.argv(FOLDER, at)

    @property
    def env(self):
        return self.runtime.env if self.runtime else {}


def servers():
    by_name = {r.name: r for r in catalogue.RUNTIMES}
    return [
        Server("c", "C, epoll", full=True, program=os.path.join(
            BUILD, "tests/guest/chttp_static")),
        Server("python-asyncio", "Python asyncio",
               by_name["python-asyncio"]),
        Server("node-http", "Node hello", by_name["node-http"], quick=False),
        Server("deno-http", "Deno hello", by_name["deno-http"], full=True),
        Server("deno-react", "Deno React page", by_name["deno-react"],
               quick=False),
    ]


def cpu_of(pid):
    """Seconds of CPU of a process: its threads, and children that ended."""
    total = 0
    for task in os.listdir("/proc/%d/task" % pid):
        try:
            with open("/proc/%d/task/%s/schedstat" % (pid, task)) as f:
                total += int(f.read().split()[0])
        except OSError:
            pass
    with open("/proc/%d/stat" % pid) as f:
        late = f.read().rsplit(")", 1)[1].split()[13:15]
    return total / 1e9 + sum(map(int, late)) / os.sysconf("SC_CLK_TCK")


class Way:
    """`name` of how one server is served.  once: no connection is kept."""

    def __init__(self, name, url, headers, pids, once=False):
        self.name, self.url, self.headers = name, url, headers
        self.pids, self.once = pids, once

    def cpu(self):
        return sum(cpu_of(p) for p in self.pids)

    def must_live(self):
        """Another server may answer at the address of one that has ended."""
        for p in self.pids:
            with open("/proc/%d/stat" % p) as f:
                if f.read().rsplit(")", 1)[1].split()[0] in "ZX":
                    raise RuntimeError("%s: process %d has ended" %
                                       (self.name, p))


class Stage:
    """All servers in all ways, until the end of the `with` block."""

    def __init__(self, todo, threads):
        self.todo, self.threads = todo, threads
        self.dir = tempfile.mkdtemp(prefix="tkvm-bench.")
        os.chmod(self.dir, 0o755)
        self.processes = []
        self.ways = {}          # server name: list of Way

    def start(self, argv, env=()):
        p = subprocess.Popen(argv, env=dict(os.environ, **dict(env)),
                             stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        self.processes.append(p)
        return p.pid

    def kvmserver(self, s, *options):
        port = harness.free_port()
        return port, self.start(
            [harness.KVMSERVER, "--allow-all", "--max-boot-time=120",
             "--warmup=%d" % WARMUP, "--max-request-time=60",
             "--queue-time=60", "--warm-connection", "-t", str(self.threads),
             "--listen=127.0.0.1:%d" % port, *options, "run",
             *s.argv(harness.free_port())], s.env)

    def toml(self):
        path = os.path.join(self.dir, "tenants.toml")
        with open(path, "w", encoding="utf-8") as f:
            f.write("[defaults]\nallow-all = true\nthreads = %d\n"
                    "warm-connection = true\n"
                    "warmup = %d\nmax-boot-time = 120\nqueue-time = 60\n"
                    "max-request-time = 60\n" % (self.threads, WARMUP))
            for s in self.todo:
                argv = s.argv(harness.free_port())
                f.write("[tenants.%s]\nprogram = %s\nargs = %s\nenv = %s\n" % (
                    s.name, json.dumps(argv[0]), json.dumps(argv[1:]),
                    json.dumps(["%s=%s" % kv for kv in s.env.items()] +
                               ["HOME=/tmp", "PATH=/usr/bin:/bin"])))
        return path

    def varnishd(self):
        """With a native backend and a tenant for each server."""
        backends, choice = "backend default none;\n", ""
        natives = {}
        for s in self.todo:
            sock = os.path.join(self.dir, s.name + ".sock")
            natives[s.name] = self.start(s.argv("unix:" + sock), s.env)
            wait(lambda p=sock: os.path.exists(p), sock)
            name = s.name.replace("-", "_")
            backends += 'backend %s { .path = "%s"; }\n' % (name, sock)
            choice += (' else if (bereq.http.server == "%s") {\n'
                       "\t\tset bereq.backend = %s;\n\t}" % (s.name, name))
        self.nothing = os.path.exists("/usr/include/varnish/cache/"
                                      "cache_director.h")
        vcl = os.path.join(self.dir, "bench.vcl")
        with open(vcl, "w", encoding="utf-8") as f:
            f.write(VCL % (backends + NOTHING * self.nothing, self.toml(),
                           choice))
        self.port = harness.free_port()
        home = os.path.join(self.dir, "varnish")
        self.start([VARNISHD, "-j", "none", "-F", "-n", home, "-a",
                    "127.0.0.1:%d" % self.port, "-f", vcl,
                    "-s", "default,100m", "-s", "Transient=default",
                    "-p", "vmod_path=" + MODULES,
                    *(WITH_NOTHING if self.nothing else ()),
                    "-p", "thread_pools=1", "-p", "thread_pool_min=20"])
        wait(lambda: all(t["state"] == "ready" for t in self.stats().values()),
             "varnishd with all tenants")
        master = self.processes[-1].pid
        with open("/proc/%d/task/%d/children" % (master, master)) as f:
            self.worker = int(f.read().split()[0])
        return natives

    def stats(self):
        with urllib.request.urlopen("http://127.0.0.1:%d/kvm-stats" %
                                    self.port, timeout=5) as r:
            return json.load(r)

    def __enter__(self):
        try:
            natives = self.varnishd()
            for s in self.todo:
                self.ways[s.name] = list(self.ways_of(s, natives[s.name]))
            return self
        except BaseException:
            self.__exit__()
            raise

    def ways_of(self, s, native):
        url = "http://127.0.0.1:%d/"
        at = url % self.port
        for way, pids in (("backend", [self.worker, native]),
                          ("deliver", [self.worker]),
                          ("synth", [self.worker])):
            yield Way(way, at, ["way: " + way, "server: " + s.name], pids)
        if s.program:
            yield Way("none-synth", at, ["way: none-synth"], [self.worker])
        if s.program and self.nothing:
            yield Way("none-deliver", at, ["way: none-deliver"],
                      [self.worker])
        port = harness.free_port()
        yield Way("native", url % port, [], [self.start(s.argv(port), s.env)])
        for name, options in (("resident", ()), ("ephemeral", ("-e",))):
            port, pid = self.kvmserver(s, *options)
            yield Way(name, url % port, [], [pid])
        port = harness.free_port()
        yield Way("process", url % port, [], [self.start(
            [SPAWN, str(port), *s.argv("PORT")], s.env)], once=True)
        if s.program:
            port = harness.free_port()
            yield Way("fork", url % port, [], [self.start(
                [SPAWN, "-f", str(port)])], once=True)

    def __exit__(self, *_):
        for p in reversed(self.processes):
            p.terminate()
        for p in self.processes:
            try:
                p.wait(20)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


def wait(condition, what, seconds=150):
    end = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except OSError:
            pass
        if time.monotonic() > end:
            raise RuntimeError("not ready in time: " + what)
        time.sleep(.05)
