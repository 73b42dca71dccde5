"""What the http.server programs answer: /, /count, /echo, /size?n=."""
import threading
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

PATTERN = b"abcdefghijklmnopqrstuvwxyz" * 2521
lock = threading.Lock()
served = 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def count(self):
        global served
        with lock:
            served += 1
            return served

    def log_message(self, *args):
        pass

    def answer(self, body, status=200):
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def chunks(self):
        """The request body, piece by piece."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while True:
                n = int(self.rfile.readline().split(b";")[0], 16)
                if n == 0:
                    while self.rfile.readline() not in (b"\r\n", b""):
                        pass
                    return
                yield self.rfile.read(n)
                self.rfile.readline()
        left = int(self.headers.get("Content-Length", 0))
        while left > 0:
            data = self.rfile.read(min(left, 65536))
            if not data:
                return
            left -= len(data)
            yield data

    def do_GET(self):
        n = self.count()
        url = urlsplit(self.path)
        if url.path == "/":
            self.answer(b"Hello, World!\n")
        elif url.path == "/count":
            self.answer(b"%d" % n)
        elif url.path == "/size":
            self.size(int(parse_qs(url.query)["n"][0]))
        else:
            self.answer(b"not found\n", 404)

    do_HEAD = do_GET

    def size(self, n):
        self.send_response(200)
        self.send_header("Content-Length", str(n))
        self.end_headers()
        while n > 0 and self.command != "HEAD":
            self.wfile.write(PATTERN[:n])
            n -= min(n, len(PATTERN))

    def do_POST(self):
        self.count()
        length = self.headers.get("Content-Length")
        self.send_response(200)
        if length is not None:
            self.send_header("Content-Length", length)
        else:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for data in self.chunks():
            if length is None:
                data = b"%x\r\n%s\r\n" % (len(data), data)
            self.wfile.write(data)
        if length is None:
            self.wfile.write(b"0\r\n\r\n")
