"""Shared by the programs in this directory: a WebSocket client on raw sockets, and the example
`graceful` as a child process. Uses only Python's own library, so that no framing crate tests itself."""

import asyncio
import base64
import hashlib
import os
import resource
import signal
import struct
import sys
import time

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CLOSE = 8
TEXT = 1
# In seconds. Every answer is faster, even on a busy machine.
PATIENCE = 60


def check(fact, text):
    if not fact:
        sys.exit(f"FAILED: {text}")


def raise_descriptor_limit(needed):
    """Raises the limit of descriptors of this process and its children."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < needed:
        # Only root can raise the hard limit.
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, needed))
    else:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def exchange(reader, writer, lines):
    """Sends a request without a body. Reads the whole answer, and returns its status and headers."""
    writer.write("\r\n".join([*lines, "Host: localhost", "", ""]).encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    status, *headers = head.rstrip().split("\r\n")
    headers = dict(line.split(":", 1) for line in headers)
    headers = {name.lower(): value.strip() for name, value in headers.items()}
    await reader.readexactly(int(headers.get("content-length", 0)))
    return int(status.split()[1]), headers


def upgrade(path, key="dGhlIHNhbXBsZSBub25jZQ=="):
    return [
        f"GET {path} HTTP/1.1",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key}",
    ]


class Rejected(Exception):
    """The answer to a handshake is not the expected 101."""


class Session:
    """One WebSocket."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, address, path="/ws", source=None):
        """Opens a session, from the address `source` if it is given."""
        host, port = address
        local = (source, 0) if source else None
        try:
            reader, writer = await asyncio.open_connection(host, port, local_addr=local, limit=4096)
            key = base64.b64encode(os.urandom(16))
            status, headers = await exchange(reader, writer, upgrade(path, key.decode()))
        except (OSError, asyncio.IncompleteReadError) as error:
            raise Rejected(repr(error)) from error
        if status != 101:
            raise Rejected(f"{status} {headers}")
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()
        if headers["sec-websocket-accept"] != accept:
            raise Rejected(f"{headers}")
        return cls(reader, writer)

    def send(self, opcode, payload):
        check(len(payload) < 126, "only short frames are sent")
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
        self.writer.write(bytes([0x80 | opcode, 0x80 | len(payload)]) + mask + masked)

    async def receive(self):
        """Returns the opcode and the payload of the next frame."""
        first, length = await self.reader.readexactly(2)
        check(first & 0xF0 == 0x80 and length < 126, "only short, whole frames are expected")
        return first & 0x0F, await self.reader.readexactly(length)

    def close(self, code=1000):
        """Sends a close frame."""
        self.send(CLOSE, struct.pack("!H", code))

    async def end(self, payload):
        """Answers a close frame, and waits for EOF."""
        self.send(CLOSE, payload)
        check(await self.reader.read() == b"", "nothing follows a close frame")
        self.writer.close()

    async def ended(self):
        """Waits for the close frame or EOF. Returns the code of the close frame, or `None`."""
        try:
            opcode, payload = await self.receive()
            if opcode != CLOSE:
                return None
            code = struct.unpack("!H", payload[:2])[0]
            await self.end(payload[:2])
            return code
        except (OSError, asyncio.IncompleteReadError):
            self.writer.close()
            return None


class Server:
    """A process of the example `graceful`."""

    @classmethod
    async def start(cls, program, deadline, address="127.0.0.1:0", spread=0, log=None):
        self = cls()
        self.process = await asyncio.create_subprocess_exec(
            program, address, str(deadline), str(spread), stdout=asyncio.subprocess.PIPE, stderr=log
        )
        line = (await self.process.stdout.readline()).decode()
        check(line.startswith("listening on http://"), f"the example says {line!r}")
        host, port = line.strip().removeprefix("listening on http://").split(":")
        self.address = (host, int(port))
        return self

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)
        self.terminated = time.monotonic()

    async def end(self):
        """Waits for the process, and returns how many connections finished and were aborted."""
        output, _ = await self.process.communicate()
        self.took = time.monotonic() - self.terminated
        check(self.process.returncode == 0, f"the example ended with {self.process.returncode}")
        words = output.decode().split()
        check(words[1::2] == ["finished,", "aborted"], f"the example says {output!r}")
        return int(words[0]), int(words[2])

    def kill(self):
        if self.process.returncode is None:
            self.process.kill()


def resident(pid):
    """Returns the resident memory of a process, in bytes."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()
