# SPDX-License-Identifier: BSD-2-Clause
"""The servers of this folder: how each is built and started.

The sources are copied into a folder of the build tree, where npm's packages
are too, so that names need no symbolic links.
"""

import os
import shutil
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON = os.environ.get("GUEST_PYTHON") or "/usr/bin/python3"
DENO = "node_modules/deno/deno"


class Runtime:
    """`command` is what runs it, PORT standing for the port.

    ticks: /time counts a 1 s interval.  date: its answers have a Date header.
    path, size: what is asked for, and the least number of bytes answered.
    make: the command that makes the program from source; unmade: what to
    know when that fails.
    """

    def __init__(self, name, command, needs=(), ticks=False, date=True,
                 size=0, make=None, source=None, env=(), options=(),
                 unmade=""):
        self.name = name
        self.command = command
        self.needs = needs
        self.ticks = ticks
        self.date = date
        self.size = size
        self.make = make
        self.source = source
        self.env = dict(env)
        self.options = options
        self.unmade = unmade

    def argv(self, folder, port):
        return [a.replace("PORT", str(port)).replace("DIR", folder)
                for a in self.command]

    def missing(self, folder):
        """Why it cannot be run here, or None."""
        for n in self.needs:
            if n.startswith("python:"):
                module = n[7:]
                if subprocess.run([PYTHON, "-c", "import " + module],
                                  stderr=subprocess.DEVNULL).returncode:
                    return "no Python module " + module
            elif n.startswith("ruby:"):
                if subprocess.run(["/usr/bin/ruby", "-r", n[5:], "-e", ""],
                                  stderr=subprocess.DEVNULL).returncode:
                    return "no Ruby library " + n[5:]
            elif "/" in n:
                if not os.path.exists(os.path.join(folder, n)):
                    return "no " + n
            elif shutil.which(n) is None:
                return "no " + n
        return None

    def prepare(self, folder):
        """Build what has to be built; an error text, or None."""
        why = self.missing(folder)
        if why or not self.make:
            return why
        made = os.path.join(folder, self.name)
        source = os.path.join(folder, self.source)
        if (os.path.exists(made) and
                os.path.getmtime(made) >= os.path.getmtime(source)):
            return None
        env = dict(os.environ, GO111MODULE="off", DENO_NO_UPDATE_CHECK="1",
                   NO_COLOR="1",
                   GOCACHE=os.path.join(folder, ".go"),
                   DENO_DIR=os.path.join(folder, ".deno"))
        p = subprocess.run(self.make, cwd=folder, env=env,
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, timeout=600)
        if p.returncode == 0:
            return None
        said = p.stdout.decode("utf-8", "replace").splitlines()
        why = [s for s in said if "error" in s.lower()] or said
        return "not built: " + " ".join(why)[:200] + self.unmade


def python(name, script, *args, **kw):
    needs = kw.pop("needs", ())
    return Runtime(name, [PYTHON, "DIR/" + script, "PORT", *args],
                   needs=["python:" + n for n in needs],
                   env={"PYTHONDONTWRITEBYTECODE": "1"}, **kw)


PRODUCTION = {"NODE_ENV": "production"}
NODE = shutil.which("node") or "/usr/bin/node"
DENO_ENV = {"DENO_DIR": "/tmp/deno", "DENO_NO_UPDATE_CHECK": "1",
            **PRODUCTION}

RUNTIMES = [
    python("python-asyncio", "py_asyncio.py", ticks=True),
    python("python-uvicorn", "py_uvicorn.py", needs=["uvicorn"]),
    python("python-aiohttp", "py_aiohttp.py", needs=["aiohttp"], ticks=True),
    python("flask-wsgiref", "py_flask.py", "wsgiref", needs=["flask"]),
    python("flask-waitress", "py_flask.py", "waitress",
           needs=["flask", "waitress"]),
    python("python-django", "py_django.py", needs=["django"]),
    python("python-sqlite", "py_sqlite.py", needs=["sqlite3"]),
    Runtime("node-http", [NODE, "DIR/node_http.js", "PORT"], ["node"],
            ticks=True),
    Runtime("node-react", [NODE, "DIR/node_react.mjs", "PORT"],
            ["node", "node_modules/react-dom/server.js"],
            size=25000, env=PRODUCTION),
    Runtime("node-workers", [NODE, "DIR/node_workers.js", "PORT"], ["node"],
            ticks=True),
    Runtime("deno-http", ["DIR/" + DENO, "run", "-A", "DIR/deno_http.js",
                          "PORT"], [DENO], ticks=True, env=DENO_ENV),
    Runtime("deno-compiled", ["DIR/deno-compiled", "PORT"], [DENO],
            ticks=True, env=DENO_ENV, source="deno_http.js",
            make=[DENO, "compile", "-A", "-o", "deno-compiled",
                  "deno_http.js"],
            # Tried: npm has no denort, and the deno of npm as DENORT_BIN
            # makes a program that is deno's prompt.
            unmade="; it downloads denort from dl.deno.land, and npm has "
            "none: put one on this machine and set DENORT_BIN"),
    Runtime("deno-react", ["DIR/" + DENO, "run", "-A", "DIR/deno_react.mjs",
                           "PORT"],
            [DENO, "node_modules/react-dom/server.js"], size=25000,
            env=DENO_ENV),
    Runtime("go-http", ["DIR/go-http", "PORT"], ["go"], ticks=True,
            source="go_http.go", make=["go", "build", "-o", "go-http",
                                       "go_http.go"]),
    Runtime("rust-http", ["DIR/rust-http", "PORT"], ["rustc"], ticks=True,
            date=False, source="rust_http.rs",
            make=["rustc", "-O", "-o", "rust-http", "rust_http.rs"]),
    Runtime("perl-daemon", ["/usr/bin/perl", "DIR/perl_daemon.pl", "PORT"],
            ["/usr/share/perl5/HTTP/Daemon.pm"]),
    Runtime("ruby-webrick", ["/usr/bin/ruby", "DIR/ruby_webrick.rb", "PORT"],
            ["/usr/bin/ruby", "ruby:webrick"], ticks=True),
    Runtime("tcl-socket", ["/usr/bin/tclsh", "DIR/tcl_socket.tcl", "PORT"],
            ["/usr/bin/tclsh"], ticks=True),
    Runtime("lua-socket", ["/usr/bin/lua5.4", "DIR/lua_socket.lua", "PORT"],
            ["lua5.4", "/usr/share/lua/5.4/socket.lua"], date=False),
]


def folder():
    """Where the servers are, with the sources as they are now."""
    where = os.environ.get("RUNTIMES_DIR") or os.path.join(
        os.path.dirname(os.path.dirname(HERE)), "build", "tests", "runtimes")
    os.makedirs(where, exist_ok=True)
    for f in os.listdir(HERE):
        source, copy = os.path.join(HERE, f), os.path.join(where, f)
        if os.path.realpath(source) == os.path.realpath(copy):
            continue
        # make would find a copy of the test itself before the test
        if f in ("run.py", "catalogue.py"):
            continue
        if not os.path.isfile(source) or not f.endswith(
                (".py", ".js", ".mjs", ".go", ".rs", ".pl", ".lua", ".json",
                 ".rb", ".tcl")):
            continue
        with open(source, "rb") as s:
            text = s.read()
        try:
            with open(copy, "rb") as c:
                if c.read() == text:
                    continue
        except OSError:
            pass
        with open(copy, "wb") as c:
            c.write(text)
    return where
