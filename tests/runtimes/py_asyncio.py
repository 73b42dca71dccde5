# SPDX-License-Identifier: BSD-2-Clause
"""HTTP on asyncio streams, on a port or unix:PATH.  /time tells clock and ticks
of a 1 s interval."""

import asyncio
import sys
import time
from email.utils import formatdate

count = ticks = 0


async def ticker():
    global ticks
    while True:
        await asyncio.sleep(1)
        ticks += 1


async def serve(reader, writer):
    global count
    while True:
        line = await reader.readline()
        if not line:
            break
        while (await reader.readline()).strip():
            pass
        asyncio.get_running_loop()      # asks for the process id
        if line.split()[1] == b"/time":
            body = "%d %d\n" % (time.time() * 1000, ticks)
        else:
            count += 1
            body = "hello %d\n" % count
        writer.write(("HTTP/1.1 200 OK\r\nContent-Length: %d\r\nDate: %s\r\n"
                      "\r\n%s" % (len(body), formatdate(usegmt=True), body)
                      ).encode())
        await writer.drain()
    writer.close()


async def main():
    timer = asyncio.create_task(ticker())
    if sys.argv[1].startswith("unix:"):
        server = await asyncio.start_unix_server(serve, sys.argv[1][5:])
    else:
        server = await asyncio.start_server(serve, "127.0.0.1",
                                            int(sys.argv[1]))
    await asyncio.gather(server.serve_forever(), timer)

asyncio.run(main())
