"""Makes one run of the example `graceful`, and prints its metrics. See metrics.sh."""

import asyncio
import sys

from sessions import PATIENCE, TEXT, Server, Session, check, exchange, upgrade

# Those of this crate, without the buckets of the histogram and without what differs in each run.
SHOWN = ("http_upgrades_", "http_upgrade_duration_seconds_count")


async def metrics(address):
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    text = (await reader.read()).split(b"\r\n\r\n", 1)[1].decode()
    writer.close()
    return sorted(line for line in text.splitlines() if line.startswith(SHOWN))


async def answered(address, lines, expected):
    reader, writer = await asyncio.open_connection(*address)
    status, _ = await exchange(reader, writer, lines)
    check(status == expected, f"{lines[0]} is answered with {status}")
    writer.close()


async def run(program):
    server = await Server.start(program, 10)
    try:
        # One client that comes and goes.
        session = await Session.open(server.address)
        session.send(TEXT, b"hello")
        check(await session.receive() == (TEXT, b"hello"), "an echo")
        session.close()
        await session.ended()
        # One whose handshake is malformed, and one that asks for what nobody speaks.
        without_key = [line for line in upgrade("/ws") if "Key" not in line]
        await answered(server.address, without_key, 400)
        unknown = ["GET / HTTP/1.1", "Connection: upgrade", "Upgrade: unknown"]
        await answered(server.address, unknown, 200)
        # One that breaks off, and two that stay.
        session = await Session.open(server.address)
        session.writer.transport.abort()
        stay = [await Session.open(server.address, path) for path in ["/ws", "/stuck"]]
        # Each poll is a request, so the server gets on with the rest meanwhile.
        active = 'http_upgrades_active{protocol="websocket"} 2'
        failed = 'http_upgrades_total{protocol="websocket",outcome="failed"} 1'
        while not {active, failed} <= set(lines := await metrics(server.address)):
            await asyncio.sleep(0)
        print("\n".join(lines))
        check(len(stay) == 2, "two stay")
    finally:
        server.kill()


asyncio.run(asyncio.wait_for(run(sys.argv[1]), PATIENCE))
