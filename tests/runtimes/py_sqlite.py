# SPDX-License-Identifier: BSD-2-Clause
"""A counter in a database: SQLite with a write-ahead log, whose index is a
shared mapping, on a file in memory.  A thread for each connection."""
import sqlite3
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FILE = "/dev/shm/tkvm-sqlite-%s.db" % sys.argv[1]
lock = threading.Lock()


def open_database():
    db = sqlite3.connect(FILE, check_same_thread=False)
    db.execute("pragma journal_mode = wal")
    return db


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/time":
            text = "%d 0\n" % (time.time() * 1000)
        else:
            with lock:
                database.execute("insert into t values (1)")
                database.commit()
            # Another connection to it sees that.
            other = open_database()
            text = "hello %d\n" % other.execute(
                "select count(*) from t").fetchone()
            other.close()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def address_string(self):
        return "client"

    def log_message(self, *_):
        pass


database = open_database()
database.execute("create table t (x)")
database.commit()
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
