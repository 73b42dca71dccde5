#!/usr/bin/python3
"""Runs what it is asked to: the body of a POST is Python, and what it prints
is the answer.  Arguments: PORT [PYTHON-TO-BEGIN-WITH].  Names stay."""
import contextlib
import io
import sys
import traceback
from http.server import BaseHTTPRequestHandler, HTTPServer

names = {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        text = self.rfile.read(int(self.headers["Content-Length"])).decode()
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            try:
                exec(text, names)
            except Exception:
                out.write(traceback.format_exc())
        body = out.getvalue().encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        return "client"

    def log_message(self, *_):
        pass


if len(sys.argv) > 2:
    exec(sys.argv[2], names)
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
