#!/usr/bin/python3
"""asyncio.start_server with a small HTTP/1.1 parser and keep-alive."""
import asyncio
import sys
from urllib.parse import parse_qs, urlsplit

PATTERN = b"abcdefghijklmnopqrstuvwxyz" * 2521
served = 0


async def read_head(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    method, target, _ = lines[0].split(" ", 2)
    headers = {}
    for line in lines[1:]:
        name, sep, value = line.partition(":")
        if sep:
            headers[name.strip().lower()] = value.strip()
    return method, urlsplit(target), headers


async def chunks(reader, headers):
    if headers.get("transfer-encoding", "").lower() == "chunked":
        while True:
            n = int((await reader.readline()).split(b";")[0], 16)
            if n == 0:
                while await reader.readline() not in (b"\r\n", b""):
                    pass
                return
            yield await reader.readexactly(n)
            await reader.readline()
    left = int(headers.get("content-length", 0))
    while left > 0:
        data = await reader.read(min(left, 65536))
        if not data:
            return
        left -= len(data)
        yield data


def head(status, *fields):
    lines = ["HTTP/1.1 " + status, "Content-Type: text/plain", *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def size(writer, method, n):
    writer.write(head("200 OK", "Content-Length: %d" % n))
    while n > 0 and method != "HEAD":
        writer.write(PATTERN[:n])
        n -= min(n, len(PATTERN))
        await writer.drain()


async def echo(reader, writer, headers):
    length = headers.get("content-length")
    if length is not None:
        writer.write(head("200 OK", "Content-Length: " + length))
    else:
        writer.write(head("200 OK", "Transfer-Encoding: chunked"))
    async for data in chunks(reader, headers):
        if length is None:
            data = b"%x\r\n%s\r\n" % (len(data), data)
        writer.write(data)
        await writer.drain()
    if length is None:
        writer.write(b"0\r\n\r\n")


async def one_request(reader, writer):
    global served
    method, url, headers = await read_head(reader)
    served += 1
    if method == "POST":
        await echo(reader, writer, headers)
        return
    if url.path == "/size":
        await size(writer, method, int(parse_qs(url.query)["n"][0]))
        return
    status, body = "404 Not Found", b"not found\n"
    if url.path == "/":
        status, body = "200 OK", b"Hello, World!\n"
    elif url.path == "/count":
        status, body = "200 OK", b"%d" % served
    answer = head(status, "Content-Length: %d" % len(body))
    writer.write(answer if method == "HEAD" else answer + body)
    await writer.drain()


async def client(reader, writer):
    try:
        while True:
            await one_request(reader, writer)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(client, "127.0.0.1",
                                        int(sys.argv[1]))
    async with server:
        await server.serve_forever()

asyncio.run(main())
