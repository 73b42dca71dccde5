# SPDX-License-Identifier: BSD-2-Clause
"""A Flask application under wsgiref or waitress."""

import sys
import time
from flask import Flask

app = Flask(__name__)
count = 0


@app.route("/")
def hello():
    global count
    count += 1
    return "hello %d\n" % count


@app.route("/time")
def clock():
    return "%d 0\n" % (time.time() * 1000)


port = int(sys.argv[1])
if sys.argv[2] == "waitress":
    from waitress import serve
    serve(app, host="127.0.0.1", port=port, _quiet=True)
else:
    from wsgiref.simple_server import make_server, WSGIRequestHandler
    WSGIRequestHandler.log_message = lambda *_: None
    make_server("127.0.0.1", port, app).serve_forever()
