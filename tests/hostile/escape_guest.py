# SPDX-License-Identifier: BSD-2-Clause
"""The guest of escape.py: runs the Python it is sent and answers with what
that left in `out`, as JSON.  It stands for a program that has been taken
over."""

import http.server
import json
import traceback


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        code = self.rfile.read(int(self.headers["Content-Length"]))
        out = {}
        try:
            exec(code, {"out": out})
        except BaseException:   # noqa: the attack's own mistake
            out["error"] = traceback.format_exc()
        body = json.dumps(out).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n")

    def log_message(self, *_):
        pass


# What attacks import is there before the freeze.
import ctypes, errno, os, socket, stat, struct, sys, threading, time  # noqa
ctypes.CDLL(None).syscall

http.server.HTTPServer(("127.0.0.1", 8080), Handler).serve_forever()
