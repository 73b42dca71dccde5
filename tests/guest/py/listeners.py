#!/usr/bin/python3
"""Three listeners: one on the main thread, one on a second thread that starts
late, one on a Unix socket.  Arguments: PORT PORT PATH."""
import os
import socketserver
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer


def serve(kind, address, name, delay=0):
    """Answer with the name and how often it was asked for."""
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        count = 0

        def do_GET(self):
            Handler.count += 1
            body = b"%s %d\n" % (name.encode(), Handler.count)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def address_string(self):
            return "client"

        def log_message(self, *_):
            pass

    time.sleep(delay)
    kind(address, Handler).serve_forever()


class UnixServer(socketserver.UnixStreamServer):
    def server_bind(self):
        if os.path.exists(self.server_address):
            os.unlink(self.server_address)
        super().server_bind()


first, second, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
threading.Thread(target=serve, args=(
    UnixServer, path, "unix")).start()
threading.Thread(target=serve, args=(
    HTTPServer, ("127.0.0.1", second), "second", 0.2)).start()
serve(HTTPServer, ("127.0.0.1", first), "first")
