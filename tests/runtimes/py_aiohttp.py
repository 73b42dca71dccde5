# SPDX-License-Identifier: BSD-2-Clause
"""aiohttp's own server."""

import asyncio
import sys
import time
from aiohttp import web

count = ticks = 0


async def ticker():
    global ticks
    while True:
        await asyncio.sleep(1)
        ticks += 1


async def hello(request):
    global count
    count += 1
    return web.Response(text="hello %d\n" % count)


async def clock(request):
    return web.Response(text="%d %d\n" % (time.time() * 1000, ticks))


async def start(application):
    application["ticker"] = asyncio.create_task(ticker())

app = web.Application()
app.router.add_get("/", hello)
app.router.add_get("/time", clock)
app.on_startup.append(start)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
