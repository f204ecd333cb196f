"""A server with Python's `websockets`: the upstream of a tunnel. It does what ws_server.cjs does."""

import asyncio
import json
import socket
import struct

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

opened = 0
codes = []


def answer(connection, request):
    if request.path == "/ended":
        return connection.respond(200, json.dumps({"open": opened - len(codes), "codes": codes}))
    if request.path == "/reject":
        response = connection.respond(401, "who's it?")
        response.headers["WWW-Authenticate"] = 'Basic realm="tea"'
        return response
    return None


async def handle(connection):
    global opened
    opened += 1
    path = connection.request.path
    if path == "/bye":
        await connection.close(4001, "bye")
    elif path == "/terminate":
        await connection.recv()
        linger = struct.pack("ii", 1, 0)
        connection.transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, linger
        )
        connection.transport.abort()
    try:
        async for message in connection:
            await connection.send(message)
    except ConnectionClosed:
        pass
    await connection.wait_closed()
    codes.append(connection.close_code)


def choose(_, offered):
    return "second" if "second" in offered else None


async def main():
    server = await serve(
        handle, "127.0.0.1", 0, process_request=answer, select_subprotocol=choose, max_size=None
    )
    _, port = server.sockets[0].getsockname()
    print(f"listening on http://127.0.0.1:{port}", flush=True)
    await server.serve_forever()


asyncio.run(main())
