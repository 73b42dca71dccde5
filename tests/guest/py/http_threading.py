#!/usr/bin/python3
"""http.server with a thread for each connection."""
import sys
from http.server import ThreadingHTTPServer
from handler import Handler

ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
