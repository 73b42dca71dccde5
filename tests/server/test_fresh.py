# SPDX-License-Identifier: BSD-2-Clause
"""What is drawn at random differs in every request, and what image-max-age
does for what was drawn before.

TKVM_TEST_SCALE=1: 100,000 requests of each kind.
"""

import collections
import os
import shutil
import tempfile
import time

from harness import (PYTHON, QUICK, SCALE, Server, Skip, check,
                     guest, in_threads, scaled, test)

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fresh")
RECIPES = os.environ.get("FRESH") or os.path.join(
    os.path.dirname(os.path.dirname(os.path.dirname(HERE))),
    "examples", "fresh")
ATFORK = os.environ.get("FRESH_ATFORK", "")
RUNTIMES = os.environ.get("RUNTIMES_DIR", "")
COUNT = 100000 if SCALE >= 1 else scaled(3000)


def collect(server, n=COUNT, workers=2):
    """n requests: what came of each name, in order of arrival."""
    values = collections.defaultdict(list)

    def some(i):
        with server.client() as c:
            for _ in range(n // workers):
                answer = c.request("GET", "/")
                check(answer.status == 200, answer.status, answer.body)
                for line in answer.body.decode().splitlines():
                    name, value = line.split(" ", 1)
                    values[name].append(value)

    in_threads(workers, some)
    return values


def no_repeat(values, *names):
    check(not values["bad"], "the program says", values["bad"][:3])
    for name in names:
        n = len(values[name])
        check(n >= COUNT - 1, "only", n, "of", name)
        check(len(set(values[name])) == n, name, "repeats:",
              n - len(set(values[name])), "of", n)


def repeats(values, *names):
    """What is known to repeat does: the recipe is needed."""
    for name in names:
        check(len(set(values[name])) < len(values[name]), name,
              "does not repeat: is the recipe still needed?")


@test
def fresh_c():
    with Server([guest("fresh")], "-e", "-t2") as s:
        values = collect(s)
    no_repeat(values, "getrandom", "getentropy", "urandom", "random",
              "at_random", "generation")
    # Four million process ids: some come twice.
    pids = collections.Counter(values["pid"])
    check(len(pids) > COUNT * 0.9, "process ids:", pids.most_common(3))
    check("0" not in values["generation"], "the image's generation")
    for name in "openssl", "arc4random":
        if values[name]:
            no_repeat(values, name)
        else:
            print("# no", name, "here")


@test
def fresh_c_resident():
    """A machine that is not reset is one request for ever."""
    with Server([guest("fresh")], "-t1") as s:
        values = collect(s, 10, 1)
    check(set(values["generation"]) == {values["generation"][0]},
          "generations", values["generation"])
    check(len(set(values["getrandom"])) == 10, "repeats")


@test
def random_without_an_exit():
    """A program that has asked for randomness once finds some in each request
    to come: nothing leaves the machine for it."""
    with Server([guest("chttp_static"), "8080"], "-e", "-t1") as s:
        seen = [s.get("/random").body for _ in range(200)]
    check(len(set(seen)) == 200, "repeats")
    exits = s.stats["kvm_exits_per_request"]
    check(exits <= 1.3, "exits per request:", exits)


PYTHON_FRESH = [PYTHON, os.path.join(HERE, "fresh.py")]


@test
def fresh_python():
    with Server(PYTHON_FRESH, "-e", "-t2", "-w2") as s:
        values = collect(s)
    no_repeat(values, "secrets", "uuid4")
    repeats(values, "random", "own")


@test
def fresh_python_recipe():
    with Server(PYTHON_FRESH, "-e", "-t2", "-w2",
                "--env", "PYTHONPATH=" + RECIPES) as s:
        values = collect(s)
    no_repeat(values, "secrets", "uuid4", "random", "sample", "own")
    check(len(set(values["seeded"])) == 1, "a seed is not kept")


SCRIPT = os.path.join(HERE, "fresh.mjs")
NODE_FRESH = ("getRandomValues", "randomBytes")
NODE_CACHED = ("webUUID", "randomUUID", "defaultUUID", "randomInt", "random")


def node():
    path = shutil.which("node")
    if path is None:
        raise Skip("no node (tests/setup --runtimes)")
    return path


@test
def fresh_node():
    with Server([node(), SCRIPT], "-e", "-t2", "-w2", "--max-boot-time=60"
                ) as s:
        values = collect(s)
    no_repeat(values, *NODE_FRESH)
    repeats(values, *NODE_CACHED)


@test
def fresh_node_recipe():
    with Server([node(), SCRIPT], "-e", "-t2", "-w2", "--max-boot-time=60",
                "--env", "NODE_OPTIONS=--require=" +
                os.path.join(RECIPES, "node.cjs")) as s:
        values = collect(s)
    no_repeat(values, *NODE_FRESH, *NODE_CACHED)


def deno():
    for folder in RUNTIMES, "/opt/rt":
        path = os.path.join(folder, "node_modules", "deno", "deno")
        if os.access(path, os.X_OK):
            return path
    raise Skip("no deno (tests/setup --runtimes)")


@test
def fresh_deno_recipe():
    if not os.path.exists(ATFORK):
        raise Skip("no library of examples/fresh")
    with tempfile.TemporaryDirectory(prefix="tkvm-deno.") as cache:
        with Server([deno(), "run", "--preload",
                     os.path.join(RECIPES, "deno.mjs"), "-A", SCRIPT],
                    "-e", "-t2", "-w2", "--max-boot-time=60",
                    "--env", "DENO_DIR=" + cache,
                    "--env", "DENO_NO_UPDATE_CHECK=1",
                    "--env", "LD_PRELOAD=" + ATFORK, wait=90) as s:
            values = collect(s)
    no_repeat(values, *NODE_FRESH, *NODE_CACHED)


# ---- image-max-age -----------------------------------------------------------

AGING = b'''
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass
    def do_GET(self):
        data = str(hash("what differs in every process")).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
if os.path.exists(sys.argv[1]):
    sys.exit("no more")
http.server.HTTPServer(("127.0.0.1", 8080), Handler).serve_forever()
'''


def aging(folder, *options):
    """With as few rights as it needs: images are booted in the jail, and look
    up a name each time."""
    folder = os.path.realpath(folder)
    program = os.path.join(folder, "aging.py")
    with open(program, "wb") as f:
        f.write(AGING)
    return Server([PYTHON, program, os.path.join(folder, "no-more")], "-e",
                  "-t2", "--allow-connect=localhost:1", *options,
                  allow=("--allow-listen", "--allow-read=/usr,/lib,/lib64,"
                         "/etc," + folder))


@test
def image_max_age():
    """Images follow each other; no request waits or fails for it."""
    with tempfile.TemporaryDirectory() as d:
        with aging(d, "--image-max-age=0.5") as s:
            seen = []
            end = time.monotonic() + QUICK
            while len(set(seen)) < 4:
                check(time.monotonic() < end, "images:", set(seen))
                answer = s.get("/")
                check(answer.status == 200, answer.status, answer.body)
                seen.append(answer.body)
            held = s.descriptors()
        boots = s.stats["boots"]
    check(boots >= 4, "boots:", boots)
    check(s.stats["reset_failures"] == 0, s.stats)
    # Two, and at the moment of a change one more.
    check(s.stats["forks"] in (2, 3), "forks:", s.stats["forks"])
    check(s.stats["forks_created"] - s.stats["forks_destroyed"] ==
          s.stats["forks"], s.stats)
    # Two, two that are on their way out, one that boots.
    check(held["anon_inode:kvm-vm"] <= 5, held)
    with tempfile.TemporaryDirectory() as d:
        with aging(d) as s:
            check(len({s.get("/").body for _ in range(20)}) == 1, "one image")
        check(s.stats["boots"] == 1, s.stats["boots"])


@test
def image_max_age_fails():
    """A boot that fails leaves the image before where it was, and says so."""
    with tempfile.TemporaryDirectory() as d:
        with aging(d, "--image-max-age=0.3", "-v") as s:
            with open(os.path.join(d, "no-more"), "w"):
                pass
            time.sleep(0.4)
            end = time.monotonic() + QUICK
            while True:
                check(s.get("/").status == 200, "no answer")
                with open(s.log, encoding="utf-8") as f:
                    if "serves on (image-max-age)" in f.read():
                        break
                check(time.monotonic() < end, "nothing in the log")
                time.sleep(0.05)
            before = s.get("/").body
            check(s.get("/").body == before, "another image")
            os.unlink(os.path.join(d, "no-more"))
            while s.get("/").body == before:
                check(time.monotonic() < end, "no new image")
                time.sleep(0.05)


@test
def image_max_age_replaced():
    """The program is replaced by what cannot run: the log has the reason."""
    with tempfile.TemporaryDirectory() as d:
        program = os.path.join(d, "program")
        shutil.copy(guest("chttp_static"), program)
        with Server([program, "8080"], "-e", "-v",
                    "--image-max-age=0.3") as s:
            with open(program + ".new", "w", encoding="utf-8") as f:
                f.write("#!/nonexistent/sh\n")
            os.chmod(program + ".new", 0o755)
            os.rename(program + ".new", program)
            end = time.monotonic() + QUICK
            log = ""
            while "serves on (image-max-age)" not in log:
                check(s.get("/").status == 200, "no answer")
                with open(s.log, encoding="utf-8") as f:
                    log = f.read()
                check(time.monotonic() < end, "nothing in the log")
            check(program + " needs its interpreter: cannot open "
                  "/nonexistent/sh" in log, log)


@test
def image_max_age_end():
    """SIGTERM while an image boots ends it."""
    with tempfile.TemporaryDirectory() as d:
        with aging(d, "--image-max-age=0.01") as s:
            for _ in range(scaled(30)):
                check(s.get("/").status == 200, "no answer")


@test
def image_max_age_load():
    """Two clients at once, all the time, over several images."""
    with tempfile.TemporaryDirectory() as d:
        with aging(d, "--image-max-age=0.2") as s:
            end = time.monotonic() + 2 * QUICK
            images = set()

            def some(i):
                with s.client() as c:
                    while len(images) < 3:
                        check(time.monotonic() < end, len(images), "images")
                        answer = c.request("GET", "/")
                        check(answer.status == 200, answer.status)
                        images.add(answer.body)

            in_threads(2, some)
            rss = s.rss()
        check(s.stats["boots"] > 2, s.stats["boots"])
        check(rss < 300000, "anonymous memory:", rss)
