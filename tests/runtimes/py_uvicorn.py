# SPDX-License-Identifier: BSD-2-Clause
"""An ASGI application under uvicorn."""

import sys
import time
import uvicorn

count = 0


async def app(scope, receive, send):
    global count
    if scope["type"] != "http":
        return
    if scope["path"] == "/time":
        body = b"%d 0\n" % (time.time() * 1000)
    else:
        count += 1
        body = b"hello %d\n" % count
    await send({"type": "http.response.start", "status": 200, "headers": [
        (b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})

uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]),
            log_level="warning")
