# SPDX-License-Identifier: BSD-2-Clause
"""fresh.c's answer from Python: secrets and uuid, and `random` as it is or
with examples/fresh/sitecustomize.py."""

import http.server
import random
import secrets
import uuid

own = random.Random()
seeded = random.Random(1)


def draw():
    yield "secrets", secrets.token_hex(16)
    yield "uuid4", uuid.uuid4()
    yield "random", "%r-%d" % (random.random(), random.randint(0, 1 << 60))
    yield "sample", "-".join(map(str, random.sample(range(10 ** 9), 4)))
    yield "own", own.getrandbits(64)
    # One with a seed goes on as it should.
    yield "seeded", seeded.random()


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        data = "".join("%s %s\n" % p for p in draw()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


list(draw())
http.server.HTTPServer(("127.0.0.1", 8080), Handler).serve_forever()
