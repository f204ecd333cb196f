"""A WebSocket client on raw sockets, and the example `graceful` as a child: what the programs
beside this one share. Nothing but Python's own library, so that no framing crate tests itself."""

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
# No answer is slower, on a machine that is not dead.
PATIENCE = 60


def check(fact, text):
    if not fact:
        sys.exit(f"FAILED: {text}")


def raise_descriptor_limit(needed):
    """Lets this process and its children have so many descriptors."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < needed:
        # Only root may.
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, needed))
    else:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def exchange(reader, writer, lines):
    """Sends a request without content, and returns the status and the fields of the answer; the
    content is read as well."""
    writer.write("\r\n".join([*lines, "Host: localhost", "", ""]).encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    status, *fields = head.rstrip().split("\r\n")
    fields = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in fields)}
    await reader.readexactly(int(fields.get("content-length", 0)))
    return int(status.split()[1]), fields


def upgrade(path, key="dGhlIHNhbXBsZSBub25jZQ=="):
    return [
        f"GET {path} HTTP/1.1",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key}",
    ]


class Refused(Exception):
    """A handshake was not answered with its 101."""


class Session:
    """One WebSocket."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, address, path="/ws", source=None):
        """Opens one, from the address `source` if it is given."""
        host, port = address
        local = (source, 0) if source else None
        try:
            reader, writer = await asyncio.open_connection(host, port, local_addr=local, limit=4096)
            key = base64.b64encode(os.urandom(16))
            status, fields = await exchange(reader, writer, upgrade(path, key.decode()))
        except (OSError, asyncio.IncompleteReadError) as error:
            raise Refused(repr(error)) from error
        if status != 101:
            raise Refused(f"{status} {fields}")
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()
        if fields["sec-websocket-accept"] != accept:
            raise Refused(f"{fields}")
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
        """Begins the close handshake."""
        self.send(CLOSE, struct.pack("!H", code))

    async def end(self, payload):
        """Answers a close frame, and waits for the end of the connection."""
        self.send(CLOSE, payload)
        check(await self.reader.read() == b"", "nothing follows a close frame")
        self.writer.close()

    async def ended(self):
        """Waits for the end. Returns the code of the close frame, or `None` if there was none."""
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
    async def start(cls, program, deadline, address="127.0.0.1:0"):
        self = cls()
        self.process = await asyncio.create_subprocess_exec(
            program, address, str(deadline), stdout=asyncio.subprocess.PIPE
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
        """Waits for its end, and returns how many connections finished and were aborted."""
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
    """Returns how much memory a process has, in bytes."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()
