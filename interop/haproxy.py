"""Clients of two instances behind HAProxy, which are restarted one after the other. See
haproxy.sh."""

import asyncio
import os
import socket
import sys
import tempfile
import time
from collections import Counter

import sessions
from sessions import CLOSE, PATIENCE, TEXT, Rejected, Server, Session, check, exchange

# Clients that hold a session, and open a new one when it is closed.
HOLDERS = 200
# Clients that open one session after the other.
RESTLESS = 8


class Clients:
    """The observations of all clients."""

    def __init__(self, address):
        self.address = address
        self.leaving = asyncio.Event()
        self.open = set()
        self.ends = Counter()
        self.handshakes = 0
        self.slowest = 0.0

    async def session(self):
        began = time.monotonic()
        try:
            session = await Session.open(self.address)
        except Rejected as rejected:
            check(False, f"a handshake failed: {rejected}")
        self.handshakes += 1
        self.slowest = max(self.slowest, time.monotonic() - began)
        return session

    async def until_closed(self, session):
        """Counts the code of the close frame. Other frames may come before it."""
        while True:
            try:
                opcode, payload = await session.receive()
            except (OSError, asyncio.IncompleteReadError) as error:
                check(False, f"a session ended without a close frame: {error!r}")
            if opcode == CLOSE:
                code = int.from_bytes(payload[:2], "big")
                self.ends[code] += 1
                return code, payload

    async def hold(self):
        leaving = asyncio.create_task(self.leaving.wait())
        while not self.leaving.is_set():
            session = await self.session()
            session.send(TEXT, b"hello")
            check(await session.receive() == (TEXT, b"hello"), "the echo")
            self.open.add(session)
            closed = asyncio.create_task(self.until_closed(session))
            await asyncio.wait([closed, leaving], return_when=asyncio.FIRST_COMPLETED)
            if not closed.done():
                session.close()
            _, payload = await closed
            self.open.discard(session)
            if not self.leaving.is_set():
                await session.end(payload)
            session.writer.close()

    async def hurry(self):
        while not self.leaving.is_set():
            session = await self.session()
            session.close()
            # The server may have closed first, with 1001. This is then the answer to it.
            await self.until_closed(session)
            session.writer.close()

    async def all_open(self):
        while len(self.open) < HOLDERS:
            await asyncio.sleep(0.01)


async def both_up(address):
    """Waits until the balancer sees both instances."""
    while True:
        try:
            reader, writer = await asyncio.open_connection(*address)
            status, _ = await exchange(reader, writer, ["GET /both HTTP/1.0"])
            writer.close()
        except (OSError, asyncio.IncompleteReadError):
            status = None
        if status == 200:
            return
        await asyncio.sleep(0.02)


async def balance(listener, instances, log):
    a, b = (f"{host}:{port}" for host, port in (instance.address for instance in instances))
    descriptor = listener.fileno()
    environment = {"LISTENER": str(descriptor), "INSTANCE_A": a, "INSTANCE_B": b}
    config = os.path.join(os.path.dirname(__file__), "haproxy.cfg")
    return await asyncio.create_subprocess_exec(
        "haproxy", "-db", "-f", config,
        env=os.environ | environment, pass_fds=[descriptor], stdout=log, stderr=log,
    )


async def restart(program, instances, which, clients):
    """Ends an instance, waits until its clients are on the other one, and starts it again."""
    instance = instances[which]
    instance.terminate()
    finished, aborted = await instance.end()
    check(aborted == 0, f"{aborted} sessions were aborted")
    await clients.all_open()
    address = "{}:{}".format(*instance.address)
    instances[which] = await Server.start(program, 10, address)
    await both_up(clients.address)
    print(f"ok    {'ab'[which]} ended in {instance.took:.2f} s, its {finished} sessions finished")


async def run(program, log):
    listener = socket.create_server(("127.0.0.1", 0))
    instances = [await Server.start(program, 10), await Server.start(program, 10)]
    balancer = await balance(listener, instances, log)
    try:
        clients = Clients(listener.getsockname())
        await both_up(clients.address)
        tasks = [clients.hold() for _ in range(HOLDERS)] + [clients.hurry() for _ in range(RESTLESS)]
        running = asyncio.gather(*tasks)

        async def story():
            await clients.all_open()
            for which in (0, 1):
                await restart(program, instances, which, clients)
            clients.leaving.set()

        await asyncio.gather(running, story())
        for instance in instances:
            instance.terminate()
            check((await instance.end())[1] == 0, "a session was left")
    finally:
        balancer.kill()
        for instance in instances:
            instance.kill()
    check(set(clients.ends) == {1000, 1001}, f"close codes: {clients.ends}")
    check(sum(clients.ends.values()) == clients.handshakes, f"{clients.handshakes}, {clients.ends}")
    # The first instance had about half of the clients that hold a session. The second one then had all.
    check(clients.ends[1001] > HOLDERS, f"close codes: {clients.ends}")
    print(
        f"ok    {clients.handshakes} handshakes, none failed, the slowest took "
        f"{clients.slowest:.2f} s; {clients.ends[1001]} sessions closed with 1001, "
        f"{clients.ends[1000]} by the client"
    )


sessions.raise_descriptor_limit(4_096)
with tempfile.TemporaryFile("w+") as log:
    try:
        asyncio.run(asyncio.wait_for(run(sys.argv[1], log), PATIENCE))
    except BaseException:
        log.seek(0)
        print(log.read(), file=sys.stderr)
        raise
