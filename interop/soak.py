"""The clients of soak.sh: all kinds at the same time, in rounds. After each round no client is left, so
that the server's descriptors are those of the beginning and its memory has stopped to grow.

Usage: soak.py PORT PID SECONDS
"""

import asyncio
import os
import random
import socket
import struct
import sys
import time

PORT, PID, SECONDS = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
# Rounds are short enough for a few in a minute, and longer than every limit of time.
ROUND = max(6.0, SECONDS / 10)
CLIENTS = 60

# What clients did that the server counts as a failure, exactly.
injected = dict.fromkeys(["Handler", "Panicked", "TimedOut", "rejected"], 0)
# What may be counted, since it depends on how fast the server is.
possible = dict.fromkeys(["Body", "Disconnected", "Aborted", "Handler", "TimedOut"], 0)
done = {}
errors = []


def offer(path, protocol="foo", lines="", body=b"", method="GET"):
    head = f"{method} {path} HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: {protocol}\r\n{lines}\r\n"
    return head.encode() + body


async def connect():
    return await asyncio.open_connection("127.0.0.1", PORT)


async def head(reader):
    bytes_ = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
    return int(bytes_[9:12])


def reset(writer):
    sock = writer.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def switched(path, protocol="foo", lines="", body=b"", method="GET"):
    """A connection that is upgraded, or `None` if its layer is being replaced."""
    reader, writer = await connect()
    writer.write(offer(path, protocol, lines, body, method))
    status = await head(reader)
    if status == 503:
        writer.close()
        return None
    assert status == 101, status
    return reader, writer


async def echoes(connection, times, pause=0.0):
    """Whether all of it came back. A drain ends the connection between two messages."""
    reader, writer = connection
    for _ in range(times):
        message = random.randbytes(random.choice([1, 50, 5000]))
        writer.write(message)
        try:
            echoed = await asyncio.wait_for(reader.readexactly(len(message)), 30)
        except (asyncio.IncompleteReadError, ConnectionError):
            break
        assert echoed == message
        await asyncio.sleep(pause)
    writer.close()


async def upgrade(until):
    if connection := await switched("/echo"):
        await echoes(connection, 20)


async def upgrade_with_body(until):
    body = random.randbytes(random.randrange(1025))
    lines = f"Content-Length: {len(body)}\r\n"
    if connection := await switched("/echo", "foo", lines, body, "POST"):
        await echoes(connection, 3)


async def tunnel(until):
    if connection := await switched("/echo", "tun"):
        # A drain aborts a tunnel that is never idle, and a tunnel that ends with bytes unread is reset.
        possible["Aborted"] += 1
        possible["Handler"] += 1
        await echoes(connection, 20)


async def byte_a_second(until):
    if connection := await switched("/stuck"):
        reader, writer = connection
        possible["Aborted"] += 1
        while time.monotonic() < until:
            writer.write(b"x")
            # When its layer ends, it is aborted, which is a reset if a byte of it is unread.
            try:
                if await reader.read(1) == b"":
                    break
            except ConnectionError:
                break
            await asyncio.sleep(1)
        writer.close()


async def byte_a_second_of_a_head(until):
    reader, writer = await connect()
    for byte in offer("/echo"):
        if time.monotonic() >= until:
            break
        writer.write(bytes([byte]))
        await asyncio.sleep(1)
    writer.close()


async def plain(until):
    reader, writer = await connect()
    for _ in range(20):
        writer.write(b"POST / HTTP/1.1\r\nHost: a.test\r\nUpgrade: foo\r\nContent-Length: 5\r\n\r\nhello")
        assert await head(reader) == 200
        assert await reader.readexactly(5) == b"hello"
    writer.close()


async def refused(until):
    reader, writer = await connect()
    for _ in range(5):
        writer.write(offer("/reject"))
        status = await head(reader)
        if status == 503:
            break
        assert status == 403, status
        injected["rejected"] += 1
    writer.close()


async def panics(until):
    reader, writer = await connect()
    writer.write(offer("/panic"))
    status = await head(reader)
    if status != 503:
        assert status == 500, status
        injected["Panicked"] += 1
    writer.close()


async def fails(until):
    if connection := await switched("/fail"):
        assert await connection[0].read() == b""
        injected["Handler"] += 1
        connection[1].close()


async def never_decided(until):
    reader, writer = await connect()
    started = time.monotonic()
    writer.write(offer("/never"))
    # A layer that is being replaced says so at once, or when its deadline comes.
    assert await head(reader) == 503
    if 0.9 < time.monotonic() - started:
        injected["TimedOut"] += 1
    writer.close()


async def aborted_handshake(until):
    reader, writer = await connect()
    possible["Disconnected"] += 1
    # On a busy machine the client is late.
    possible["TimedOut"] += 1
    writer.write(offer("/never"))
    await writer.drain()
    await asyncio.sleep(random.choice([0, 0, 0.01, 0.1]))
    reset(writer)


async def aborted_body(until):
    reader, writer = await connect()
    possible["Body"] += 1
    possible["Disconnected"] += 1
    possible["TimedOut"] += 1
    writer.write(offer("/echo", "foo", "Content-Length: 100\r\n", b"half", "POST"))
    await writer.drain()
    await asyncio.sleep(random.choice([0, 0.05]))
    reset(writer)


async def resets(until):
    protocol = random.choice(["foo", "tun"])
    if connection := await switched("/echo", protocol):
        # The tunnel tells an upstream that a broken connection is no clean end.
        possible["Handler"] += protocol == "tun"
        reader, writer = connection
        writer.write(random.randbytes(random.choice([1, 100_000])))
        await asyncio.sleep(random.choice([0, 0.01]))
        reset(writer)


async def key_is_full(until):
    key = f"X-Key: {random.random()}\r\n"
    held = [await switched("/echo", "foo", key) for _ in range(2)]
    if all(held):
        reader, writer = await connect()
        writer.write(offer("/echo", "foo", key))
        # Fewer are there if a drain began meanwhile.
        assert await head(reader) in [429, 503, 101]
        writer.close()
    for connection in filter(None, held):
        await echoes(connection, 1)


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0)


async def h2c(until):
    reader, writer = await connect()
    lines = "HTTP2-Settings: AAMAAABkAAQAAP__\r\n"
    request = offer("/", "h2c", lines).replace(b"Connection: upgrade", b"Connection: Upgrade, HTTP2-Settings")
    writer.write(request)
    # A layer that is being replaced answers in HTTP/1.1.
    if await head(reader) == 101:
        writer.write(PREFACE)
    received = b""
    while b"hello" not in received:
        piece = await asyncio.wait_for(reader.read(1000), 30)
        assert piece, received
        received += piece
    writer.close()


async def extended_connect(until):
    reader, writer = await connect()
    headers = [(":method", "CONNECT"), (":protocol", "foo"), (":scheme", "http"), (":path", "/echo"), (":authority", "a.test")]
    block = b"".join(
        b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode() for name, value in headers
    )
    writer.write(PREFACE + frame(1, 4, 1, block))
    writer.write(frame(0, 0, 1, b"echo this"))
    received = b""
    # It is echoed, or a 503 ends the stream, if the layer is being replaced.
    while b"echo this" not in received and frame(0, 1, 1) not in received:
        piece = await asyncio.wait_for(reader.read(1000), 30)
        if not piece or b"\1\5\0\0\0\1" in received + piece:
            break
        received += piece
    writer.close()


KINDS = [
    upgrade, upgrade_with_body, tunnel, byte_a_second, byte_a_second_of_a_head, plain, refused, panics, fails,
    never_decided, aborted_handshake, aborted_body, resets, key_is_full, h2c, extended_connect,
]


async def client(until):
    while time.monotonic() < until:
        kind = random.choice(KINDS)
        try:
            await kind(until)
            done[kind.__name__] = done.get(kind.__name__, 0) + 1
        except Exception as error:
            errors.append(f"{kind.__name__}: {error!r}")
            if len(errors) > 20:
                return


async def get(path):
    reader, writer = await connect()
    writer.write(f"GET {path} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n".encode())
    response = await asyncio.wait_for(reader.read(), 60)
    writer.close()
    return response.partition(b"\r\n\r\n")[2].decode()


async def rotate(until):
    while time.monotonic() < until - 5:
        await asyncio.sleep(2)
        assert await get("/rotate") == "rotated"


def resident():
    with open(f"/proc/{PID}/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def descriptors():
    return len(os.listdir(f"/proc/{PID}/fd"))


async def main():
    await get("/stats")
    await asyncio.sleep(0.5)
    at_first = descriptors()
    started = time.monotonic()
    memory = []
    while time.monotonic() < started + SECONDS:
        until = time.monotonic() + ROUND
        await asyncio.gather(rotate(until), *(client(until) for _ in range(CLIENTS)))
        # What is stuck is aborted with its layer, and the handshakes that hang have timed out by then.
        await get("/rotate")
        await asyncio.sleep(2)
        memory.append(resident())
        print(f"{time.monotonic() - started:5.0f} s: {sum(done.values())} clients, {memory[-1]} KiB, {descriptors()} descriptors", flush=True)
        if descriptors() != at_first:
            errors.append(f"{descriptors()} descriptors, and {at_first} at first")
        if errors:
            break

    stats = dict(line.split() for line in (await get("/stats")).splitlines())
    stats = {name: int(count) for name, count in stats.items()}
    print("done", done)
    print("stats", stats)
    if stats["active"]:
        errors.append(f"{stats['active']} places are taken")
    for name, count in injected.items():
        more = possible.get(name, 0)
        if not count <= stats.get(name, 0) <= count + more:
            errors.append(f"{name}: {stats.get(name, 0)}, and {count} were injected")
    for name, count in possible.items():
        if name not in injected and stats.get(name, 0) > count:
            errors.append(f"{name}: {stats.get(name, 0)}, and {count} could be")
    others = set(stats) - set(injected) - set(possible) - {"active", "switched", "at_key_capacity", "drained"}
    if others:
        errors.append(f"not injected: {others}")
    for kind in KINDS:
        if not done.get(kind.__name__):
            errors.append(f"no {kind.__name__} was done")
    # The first rounds fill the allocator's arenas. A leak of 100 bytes a client would show.
    warm = max(memory[: max(2, len(memory) // 3)])
    if memory[-1] > warm * 1.1 + 1024:
        errors.append(f"{memory[-1]} KiB of memory, and {warm} after the first rounds")
    for error in errors:
        print("FAILED ", error)
    sys.exit(bool(errors))


asyncio.run(main())
