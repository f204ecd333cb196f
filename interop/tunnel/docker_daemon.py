"""Answers as Docker's daemon does, for one container `x`, whose process counts what it reads.

`attach` and `exec` switch to `tcp`: what the client sends comes back, and when it has closed its direction,
the number of its bytes follows. With `?stream=0` the daemon closes its direction first, and says what it
read afterwards in `/read`.
"""

import asyncio
import json
import struct
import urllib.parse

VERSION = "1.47"
read_later = asyncio.Queue()


async def request(reader):
    """Reads a request. Returns its method, path, query, headers and body, or `None` at EOF."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
    except asyncio.IncompleteReadError:
        return None
    line, *fields = head.rstrip().split("\r\n")
    method, target, _ = line.split()
    headers = {name.lower(): value.strip() for name, value in (field.split(":", 1) for field in fields)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    target = urllib.parse.urlsplit(target)
    path = target.path.removeprefix(f"/v{VERSION}")
    return method, path, dict(urllib.parse.parse_qsl(target.query)), headers, body


def answer(writer, method, status, value):
    body = b"OK" if value is None else json.dumps(value).encode()
    kind = "text/plain" if value is None else "application/json"
    head = f"HTTP/1.1 {status}\r\nApi-Version: {VERSION}\r\nContent-Type: {kind}\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode())
    if method != "HEAD":
        writer.write(body)


def switch(writer, kind):
    kind = f"application/vnd.docker.{kind}-stream"
    head = f"HTTP/1.1 101 UPGRADED\r\nContent-Type: {kind}\r\nConnection: Upgrade\r\nUpgrade: tcp"
    writer.write(f"{head}\r\n\r\n".encode())


async def process(reader, writer, multiplexed):
    """Sends back what it reads, and its length."""

    def output(data):
        head = struct.pack(">BxxxI", 1, len(data)) if multiplexed else b""
        writer.write(head + data)

    total = 0
    while data := await reader.read(65536):
        output(data)
        await writer.drain()
        total += len(data)
    output(f"{total} bytes\n".encode())


async def handle(reader, writer):
    while asked := await request(reader):
        method, path, query, headers, body = asked
        upgrades = headers.get("upgrade") == "tcp" and headers["connection"].lower() == "upgrade"
        if path == "/_ping":
            answer(writer, method, "200 OK", None)
        elif path == "/containers/x/json":
            state = {"Status": "running", "Running": True, "Paused": False, "Restarting": False}
            config = {"Tty": False, "OpenStdin": True}
            answer(writer, method, "200 OK", {"Id": "x", "Name": "/x", "State": state, "Config": config})
        elif path == "/containers/x/wait":
            answer(writer, method, "200 OK", {"StatusCode": 0})
        elif path == "/containers/x/exec":
            answer(writer, method, "201 Created", {"Id": "e"})
        elif path == "/exec/e/json":
            answer(writer, method, "200 OK", {"ID": "e", "Running": False, "ExitCode": 0})
        elif path == "/read":
            answer(writer, method, "200 OK", await read_later.get())
        elif path == "/containers/x/attach" and upgrades and query.get("stream") == "0":
            switch(writer, "raw")
            writer.write(body)
            writer.write_eof()
            await read_later.put(len(await reader.read()))
            break
        elif path == "/containers/x/attach" and upgrades:
            # Docker's client is told that its container has no terminal. The other one reads plain bytes.
            multiplexed = headers.get("user-agent", "").startswith("Docker")
            switch(writer, "multiplexed" if multiplexed else "raw")
            # It shows the client that the body arrived. Docker's client sends none.
            writer.write(body)
            await process(reader, writer, multiplexed)
            break
        elif path == "/exec/e/start" and upgrades and json.loads(body)["Detach"] is False:
            switch(writer, "multiplexed")
            await process(reader, writer, True)
            break
        else:
            answer(writer, method, "404 Not Found", {"message": f"{method} {path}: no such thing"})
    writer.close()


async def main():
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    _, port = server.sockets[0].getsockname()
    print(f"listening on http://127.0.0.1:{port}", flush=True)
    await server.serve_forever()


asyncio.run(main())
