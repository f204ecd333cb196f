"""10,000 idle WebSockets on a server that shuts down. See graceful.sh."""

import asyncio
import sys
import time
from collections import Counter

import sessions
from sessions import PATIENCE, Server, Session, check, exchange, upgrade

SESSIONS = 10_000
# Each source address has ports of its own.
SOURCES = [f"127.0.0.{last}" for last in range(2, 12)]


async def open_all(address, paths):
    """Opens a session for each path, not too many at a time."""
    turns = asyncio.Semaphore(200)

    async def open_one(number, path):
        async with turns:
            return await Session.open(address, path, SOURCES[number % len(SOURCES)])

    return await asyncio.gather(*(open_one(*item) for item in enumerate(paths)))


async def watch(session, started):
    code = await session.ended()
    return code, time.monotonic() - started


async def plain_http(connection):
    """Checks the answers on an HTTP connection that was open before the drain."""
    answers = []
    for lines in [["GET / HTTP/1.1"], ["GET /healthz HTTP/1.1"], upgrade("/ws")]:
        status, headers = await exchange(*connection, lines)
        answers.append((status, headers.get("connection")))
    check(answers == [(200, None), (503, None), (503, "close")], f"while draining: {answers}")
    check(await connection[0].read() == b"", "`Connection: close` closes")


async def run(program, stuck, deadline):
    server = await Server.start(program, deadline)
    try:
        before = sessions.resident(server.process.pid)
        paths = ["/stuck" if number < stuck else "/ws" for number in range(SESSIONS)]
        opened = time.monotonic()
        clients = await open_all(server.address, paths)
        opened = time.monotonic() - opened
        each = (sessions.resident(server.process.pid) - before) // SESSIONS
        connection = await asyncio.open_connection(*server.address)
        status, _ = await exchange(*connection, ["GET /healthz HTTP/1.1"])
        check(status == 200, f"/healthz says {status} before the drain")

        server.terminate()
        ends = [asyncio.create_task(watch(client, server.terminated)) for client in clients]
        polite = await asyncio.gather(*ends[stuck:])
        if stuck:
            # The stuck handlers keep the drain going.
            await plain_http(connection)
            try:
                await asyncio.open_connection(*server.address)
                check(False, "a connection was accepted during the drain")
            except ConnectionRefusedError:
                pass
        aborted = await asyncio.gather(*ends[:stuck])
        counts = await server.end()
    finally:
        server.kill()

    codes = Counter(code for code, _ in polite)
    check(codes == {1001: SESSIONS - stuck}, f"close codes: {codes}")
    last = max(after for _, after in polite)
    check(last < deadline, f"the last close frame came after {last:.1f} s")
    check(all(code is None for code, _ in aborted), "a stuck handler said goodbye")
    check(all(after >= deadline for _, after in aborted), "a stuck handler was aborted early")
    check(counts == (SESSIONS - stuck, stuck), f"counts: {counts}")
    check(server.took < deadline + 5, f"the server took {server.took:.1f} s to end")
    print(
        f"ok    {SESSIONS} sessions opened in {opened:.1f} s, {each} bytes resident each; "
        f"{codes[1001]} closed with 1001 within {last:.2f} s, {stuck} aborted at {deadline} s; "
        f"exit code 0 after {server.took:.2f} s"
    )


async def main():
    program = sys.argv[1]
    sessions.raise_descriptor_limit(SESSIONS + 100)
    await asyncio.wait_for(run(program, stuck=0, deadline=10), PATIENCE)
    await asyncio.wait_for(run(program, stuck=SESSIONS // 10, deadline=10), PATIENCE)


asyncio.run(main())
