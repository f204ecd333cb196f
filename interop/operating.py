"""Makes one run of the example `graceful`, and prints its metrics to one file and its log to another. See
operating.sh."""

import asyncio
import os
import re
import sys

from sessions import CLOSE, PATIENCE, TEXT, Server, Session, check, exchange, upgrade

# Those of this crate, without the buckets of the histogram and without what differs in each run.
SHOWN = ("http_upgrades_", "http_upgrade_duration_seconds_count")


async def metrics(address):
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    text = (await reader.read()).split(b"\r\n\r\n", 1)[1].decode()
    writer.close()
    return sorted(line for line in text.splitlines() if line.startswith(SHOWN))


async def answered(connection, lines, expected):
    reader, writer = connection
    status, _ = await exchange(reader, writer, lines)
    check(status == expected, f"{lines[0]} is answered with {status}")
    writer.close()


async def run(program, metrics_path, log_path):
    os.environ.update(RUST_LOG="tower_upgrade=debug", NO_COLOR="1")
    with open(log_path, "wb") as log:
        server = await Server.start(program, 2, log=log)
        try:
            with open(metrics_path, "w", encoding="utf-8") as file:
                print(*await before_the_shutdown(server), sep="\n", file=file)
            # Both that have stayed are told of the shutdown, and one ends. The server does not listen any more, so the
            # one that it turns away is connected before.
            connection = await asyncio.open_connection(*server.address)
            server.terminate()
            opcode, payload = await server.polite.receive()
            check((opcode, payload[:2]) == (CLOSE, b"\x03\xe9"), "a connection is told to end, with 1001")
            await answered(connection, upgrade("/ws"), 503)
            await server.polite.end(payload[:2])
            check(await server.end() == (1, 1), "one connection finishes, and one is aborted")
        finally:
            server.kill()
    with open(log_path, encoding="utf-8") as log:
        lines = [re.sub(r"^\S+ ", "", line) for line in log]
    with open(log_path, "w", encoding="utf-8") as log:
        log.writelines(lines)


async def before_the_shutdown(server):
    """Returns the metrics after all that happens before the shutdown."""
    # One client that comes and goes.
    session = await Session.open(server.address)
    session.send(TEXT, b"hello")
    check(await session.receive() == (TEXT, b"hello"), "an echo")
    session.close()
    await session.ended()
    await until(server, "http_upgrades_active", "", 0)
    # One whose handshake is malformed, and one that asks for what nobody speaks.
    without_key = [line for line in upgrade("/ws") if "Key" not in line]
    await answered(await asyncio.open_connection(*server.address), without_key, 400)
    unknown = ["GET / HTTP/1.1", "Connection: upgrade", "Upgrade: unknown"]
    await answered(await asyncio.open_connection(*server.address), unknown, 200)
    # One that breaks off, and two that stay.
    session = await Session.open(server.address)
    session.writer.transport.abort()
    await until(server, "http_upgrades_active", "", 0)
    server.polite = await Session.open(server.address)
    await until(server, "http_upgrades_total", ',outcome="switched"', 3)
    server.stuck = await Session.open(server.address, "/stuck")
    return await until(server, "http_upgrades_total", ',outcome="switched"', 4)


async def until(server, name, outcome, value):
    """Returns the metrics once this one has this value, which is logged by then. Each poll is a request, so the
    server gets on with the rest meanwhile."""
    expected = f'{name}{{protocol="websocket"{outcome}}} {value}'
    while expected not in (lines := await metrics(server.address)):
        await asyncio.sleep(0)
    return lines


asyncio.run(asyncio.wait_for(run(*sys.argv[1:]), PATIENCE))
