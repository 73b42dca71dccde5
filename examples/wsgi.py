# SPDX-License-Identifier: BSD-2-Clause
"""A WSGI application under Python's own server; nothing special about it."""

import os
import sys
from wsgiref.simple_server import make_server

requests = 0


def application(environ, start_response):
    global requests
    requests += 1
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    yield (
        f"Hello from Python {sys.version.split()[0]}!\n"
        f"You are {environ['REMOTE_ADDR']} and asked for "
        f"{environ['PATH_INFO']}.\n"
        f"Request number {requests} of this process, "
        f"a random number: {os.urandom(4).hex()}\n"
    ).encode()


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8080
    make_server("127.0.0.1", port, application).serve_forever()
