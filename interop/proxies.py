"""Clients of an example behind a proxy. See proxies.sh."""

import asyncio
import json
import os
import signal
import socket
import struct
import sys

from sessions import CLOSE, PATIENCE, TEXT, Session, check, exchange, upgrade


async def bytes_of(front, other):
    """The example `echo`: a close by the server, and a protocol other than WebSocket."""
    session = await Session.open(front)
    session.send(TEXT, b"\xff")
    opcode, payload = await session.receive()
    check((opcode, payload[:2]) == (CLOSE, struct.pack("!H", 1007)), f"{opcode} {payload}")
    session.writer.close()
    print("ok      a text that is not UTF-8 is answered with 1007")

    reader, writer = await asyncio.open_connection(*front)
    offer = ["GET / HTTP/1.1", "Connection: Upgrade", "Upgrade: echo"]
    status, _ = await exchange(reader, writer, offer)
    check(status == other, f"another protocol is answered with {status}")
    if status == 101:
        writer.write(b"hello")
        check(await reader.readexactly(5) == b"hello", "another protocol is carried")
    writer.close()
    print(f"ok      a protocol other than WebSocket is answered with {status}")


async def plain(front):
    """Requests before a handshake on the same connection, and one that is rejected."""
    reader, writer = await asyncio.open_connection(*front)
    for path, expected in [("/", 200), ("/healthz", 200), ("/nothing", 404)]:
        status, _ = await exchange(reader, writer, [f"GET {path} HTTP/1.1"])
        check(status == expected, f"{path} is answered with {status}")
    handshake = upgrade("/ws")
    status, _ = await exchange(reader, writer, [*handshake, "Origin: http://elsewhere.test"])
    check(status == 403, f"another origin is answered with {status}")
    status, _ = await exchange(reader, writer, [*handshake, "Origin: http://localhost"])
    check(status == 101, f"the same origin is answered with {status}")
    session = Session(reader, writer)
    await echoes(session)
    session.close()
    code = struct.pack("!H", 1000)
    check(await session.receive() == (CLOSE, code), "the close frame comes back")
    check(await reader.read() == b"", "nothing follows a close frame")
    writer.close()
    print("ok      plain requests, 403 for another origin, and a session on one connection")


async def echoes(session):
    session.send(TEXT, b"hello")
    check(await session.receive() == (TEXT, b"hello"), "an echo")


async def count(server, expected):
    """Waits until the server has so many upgraded connections."""
    while True:
        reader, writer = await asyncio.open_connection(*server)
        writer.write(b"GET /connections HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        listed = json.loads((await reader.read()).split(b"\r\n\r\n", 1)[1])
        writer.close()
        if len(listed) == expected:
            return
        await asyncio.sleep(0.01)


async def vanish(front, server):
    """Clients that leave without a close frame, by FIN and by RST. Returns those that stay."""
    sessions = [await Session.open(front) for _ in range(20)]
    for session in sessions:
        await echoes(session)
    await count(server, 20)
    for session in sessions[:7]:
        session.writer.close()
    await count(server, 13)
    for session in sessions[7:14]:
        linger = struct.pack("ii", 1, 0)
        session.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        session.writer.transport.abort()
    await count(server, 6)
    print("ok      the server notices clients that vanish, by FIN and by RST")
    return sessions[14:]


async def sessions_of(front, server, process):
    """The example `graceful`: what it counts, and how it ends."""
    await plain(front)
    await count(server, 0)
    staying = await vanish(front, server)
    for session in staying:
        await echoes(session)
    os.kill(int(process), signal.SIGTERM)
    for session in staying:
        code = await session.ended()
        check(code == 1001, f"the close code at shutdown is {code}")
    print("ok      a graceful shutdown reaches the clients as 1001")


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


run, front, *rest = sys.argv[1:]
if run == "bytes":
    running = bytes_of(address(front), int(rest[0]))
else:
    running = sessions_of(address(front), address(rest[0]), rest[1])
asyncio.run(asyncio.wait_for(running, PATIENCE))
