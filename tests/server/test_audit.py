# SPDX-License-Identifier: BSD-2-Clause
"""--audit: a line for each refused access, and what it says helps."""

import json
import os
import socket

from harness import Server, check, fail, test
from test_options import Folder, doer, read_rules


def lines(path, **want):
    with open(path, encoding="utf-8") as f:
        found = [json.loads(line) for line in f]
    return [x for x in found
            if all(x.get(k) == v for k, v in want.items())]


def one(path, **want):
    got = lines(path, **want)
    if len(got) != 1:
        fail(len(got), "lines with", want)
    return got[0]


@test
def audit_lines():
    with Folder() as d, socket.socket() as l:
        l.bind(("127.0.0.1", 0))
        l.listen(5)
        address = "127.0.0.1:%d" % l.getsockname()[1]
        log = os.path.join(d, "audit.json")
        secret = os.path.realpath(os.path.join(d, os.pardir,
                                               "secret-%d" % os.getpid()))
        os.mkdir(os.path.join(d, "volume"))
        with open(secret, "w") as f:
            f.write("x")
        try:
            with Server(doer(d), "-e", "--audit", log,
                        "--deny-connect=127.0.0.1:9",
                        "--volume=" + d + "/volume:/v",
                        "--private-tmp=off",
                        allow=read_rules(d)) as s:
                for what in ("read?" + secret, "write?" + d + "/doer.py",
                             "write?/v/file", "connect?" + address,
                             "connect?127.0.0.1:9",
                             "read?/usr/no%5c%22such"):
                    s.get("/" + what)
            got = one(log, object=secret, access="read", stage="request")
            check(got["option"] == "allow-read" and got["value"] == secret and
                  got["tenant"] == "python3" and
                  got["program"].endswith("python3") and
                  got["time"].endswith("Z"), got)
            got = one(log, object=d + "/doer.py", access="write")
            check(got["option"] == "allow-write", got)
            got = one(log, object="/v/file", access="write")
            check(got["option"] == "volume" and
                  got["value"] == d + "/volume:/v:rw", got)
            got = one(log, object=address, access="connect")
            check(got["option"] == "allow-connect" and
                  got["value"] == address, got)
            got = one(log, object="127.0.0.1:9")
            check(got["denied_by"] == "deny-connect" and
                  "option" not in got, got)
            # What is not there is not refused.
            check(not lines(log, object='/usr/no\\"such'), "not there")

            # With what they say, all goes.
            os.unlink(log)
            with Server(doer(d), "-e", "--audit", log, "--private-tmp=off",
                        "--allow-read=" + secret,
                        "--allow-write=" + d + "/doer.py",
                        "--volume=" + d + "/volume:/v:rw",
                        "--allow-connect=" + address,
                        allow=read_rules(d)[:1] +
                        ("--allow-read=/usr,/lib,/lib64,/etc," + d + "," +
                         secret,)) as s:
                check(s.get("/read?" + secret).body == b"x", "still refused")
                check(s.get("/write?/v/file").body == b"7", "still refused")
            check(not lines(log, stage="request"), lines(log))
        finally:
            os.unlink(secret)


@test
def audit_is_bounded():
    with Folder() as d:
        log = os.path.join(d, "audit.json")
        with Server(doer(d), "-e", "--audit", log, "--max-audit-bytes=4000",
                    "--private-tmp=off", allow=read_rules(d)) as s:
            for i in range(100):
                s.get("/read?/root/%d" % i)
        size = os.path.getsize(log)
        check(3000 < size < 4300, "bytes:", size)
        got = lines(log)
        check(got[-1].get("full") == "max-audit-bytes", got[-1])
        check(len(lines(log, full="max-audit-bytes")) == 1, "said twice")


@test
def audit_on_a_full_disk():
    """Says so, once, and goes on."""
    with Folder() as d:
        with Server(doer(d), "-e", "--audit", "/dev/full",
                    "--private-tmp=off", allow=read_rules(d)) as s:
            for n in range(3):
                check(s.get("/read?/var/no%d" % n).status == 200, "answer")
            with open(s.log) as f:
                told = [x for x in f if "audit: cannot write" in x]
            check(len(told) == 1 and "No space left" in told[0], told)


@test
def audit_of_odd_names():
    """Names are bytes, JSON is UTF-8."""
    with Folder() as d:
        log = os.path.join(d, "audit.json")
        program = os.path.join(d, "odd.py")
        with open(program, "w") as f:
            f.write("import http.server\n"
                    "for n in (b'a\\xff\\xc0\\x80b', b'caf\\xc3\\xa9', "
                    "b'\"\\\\\\n\\x01', b'\\xed\\xa0\\x80'):\n"
                    "    try: open(b'/root/' + n)\n"
                    "    except OSError: pass\n"
                    "http.server.HTTPServer(('', 8080), "
                    "http.server.SimpleHTTPRequestHandler).serve_forever()\n")
        with Server([doer(d)[0], program], "-e", "--audit", log,
                    "--private-tmp=off", allow=read_rules(d)):
            pass
        names = {x["object"] for x in lines(log, stage="boot")}
    for name in ("/root/a\\xff\\xc0\\x80b", "/root/café", '/root/"\\\n\x01',
                 "/root/\\xed\\xa0\\x80"):
        check(name in names, repr(name), "is not in", sorted(names))
