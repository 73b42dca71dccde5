#!/usr/bin/python3
"""A WSGI application under wsgiref: HTTP/1.0, one request a connection."""
import sys
from urllib.parse import parse_qs
from wsgiref.simple_server import WSGIRequestHandler, make_server

PATTERN = b"abcdefghijklmnopqrstuvwxyz" * 2521
served = 0


class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass


def pattern(n):
    while n > 0:
        yield PATTERN[:n]
        n -= min(n, len(PATTERN))


def body(environ):
    left = int(environ.get("CONTENT_LENGTH") or 0)
    while left > 0:
        data = environ["wsgi.input"].read(min(left, 65536))
        if not data:
            return
        left -= len(data)
        yield data


def app(environ, start_response):
    global served
    served += 1
    status, text = "404 Not Found", b"not found\n"
    path = environ["PATH_INFO"]
    if environ["REQUEST_METHOD"] == "POST":
        start_response("200 OK", [
            ("Content-Length", environ.get("CONTENT_LENGTH") or "0")])
        return body(environ)
    if path == "/size":
        n = int(parse_qs(environ["QUERY_STRING"])["n"][0])
        start_response("200 OK", [("Content-Length", str(n))])
        return pattern(n)
    if path == "/":
        status, text = "200 OK", b"Hello, World!\n"
    elif path == "/count":
        status, text = "200 OK", b"%d" % served
    start_response(status, [("Content-Type", "text/plain"),
                            ("Content-Length", str(len(text)))])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [text]


with make_server("127.0.0.1", int(sys.argv[1]), app,
                 handler_class=Quiet) as server:
    server.serve_forever()
