"""10,000 idle WebSockets on a server that shuts down. See graceful.sh."""

import asyncio
import json
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


async def watch(session):
    """Returns the code of the close frame, and when it came."""
    code = await session.ended()
    return code, time.monotonic()


async def ask(address, line):
    """Sends a request on a connection of its own, and returns the status and the body."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(f"{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    head, body = (await reader.read()).split(b"\r\n\r\n", 1)
    writer.close()
    return int(head.split()[1]), body


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
        ends = [asyncio.create_task(watch(client)) for client in clients]
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
    last = max(at for _, at in polite) - server.terminated
    check(last < deadline, f"the last close frame came after {last:.1f} s")
    check(all(code is None for code, _ in aborted), "a stuck handler said goodbye")
    early = [at for _, at in aborted if at - server.terminated < deadline]
    check(not early, "a stuck handler was aborted early")
    check(counts == (SESSIONS - stuck, stuck), f"counts: {counts}")
    check(server.took < deadline + 5, f"the server took {server.took:.1f} s to end")
    print(
        f"ok    {SESSIONS} sessions opened in {opened:.1f} s, {each} bytes resident each; "
        f"{codes[1001]} closed with 1001 within {last:.2f} s, {stuck} aborted at {deadline} s; "
        f"exit code 0 after {server.took:.2f} s"
    )


async def run_spread(program, spread, deadline):
    """Moves one connection on, and then all, a part of them in each second."""
    server = await Server.start(program, deadline, spread=spread)
    try:
        clients = await open_all(server.address, ["/ws"] * SESSIONS)
        ends = [asyncio.create_task(watch(client)) for client in clients]

        status, body = await ask(server.address, "GET /connections")
        listed = json.loads(body)
        ids = {connection["id"] for connection in listed}
        check((status, len(listed), len(ids)) == (200, SESSIONS, SESSIONS), "a list of all")
        one = f"/connections/{listed[0]['id']}"
        status, _ = await ask(server.address, f"DELETE {one}")
        check(status == 202, f"DELETE is answered with {status}")
        done, ends = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        check([task.result()[0] for task in done] == [1001], "one connection is moved on")
        while (await ask(server.address, f"DELETE {one}"))[0] != 404:
            await asyncio.sleep(0)
        _, body = await ask(server.address, "GET /connections")
        check({it["id"] for it in json.loads(body)} < ids, "the others stay")

        server.terminate()
        results = await asyncio.gather(*ends)
        counts = await server.end()
    finally:
        server.kill()
    codes = Counter(code for code, _ in results)
    check(codes == {1001: SESSIONS - 1}, f"close codes: {codes}")
    check(counts == (SESSIONS - 1, 0), f"counts: {counts}")
    seconds = Counter(int(at - server.terminated) for _, at in results)
    even = (SESSIONS - 1) / spread
    shares = [seconds[second] / even for second in range(spread)]
    check(all(0.7 < share < 1.3 for share in shares), f"of an even share: {shares}")
    shown = ", ".join(str(seconds[second]) for second in range(spread))
    print(
        f"ok    {SESSIONS} sessions, one of them moved on, the others over {spread} s: {shown} in each "
        f"second; exit code 0 after {server.took:.2f} s"
    )


async def main():
    program = sys.argv[1]
    sessions.raise_descriptor_limit(SESSIONS + 100)
    await asyncio.wait_for(run(program, stuck=0, deadline=10), PATIENCE)
    await asyncio.wait_for(run(program, stuck=SESSIONS // 10, deadline=10), PATIENCE)
    await asyncio.wait_for(run_spread(program, spread=5, deadline=20), PATIENCE)


asyncio.run(main())
