"""A slow reader of 4 MB on an upgraded connection, whose server is told to end meanwhile: it gets all
of them. Prints "ok", or what went wrong.

Usage: h2c_slow.py PROGRAM BYTES-PER-SECOND
"""

import signal
import socket
import struct
import subprocess
import sys
import time

BYTES = 4_000_000
DATA, HEADERS, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 4, 6, 7, 8


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


class Reader:
    """One connection, with windows for the whole answer, that reads slowly."""

    def __init__(self, address, rate):
        host, port = address.split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=60)
        self.rate = rate
        self.start = time.monotonic()
        self.read = 0
        self.pending = b""

    def receive(self):
        """Reads some bytes, when their time has come. Returns nothing at the end."""
        early = self.start + self.read / self.rate - time.monotonic()
        time.sleep(max(0, early))
        data = self.socket.recv(16_384)
        self.read += len(data)
        self.pending += data
        return data

    def until(self, end):
        while end not in self.pending:
            assert self.receive(), "the server closed the connection"
        before, self.pending = self.pending.split(end, 1)
        return before

    def frames(self):
        """Yields frames until the server closes its side."""
        while True:
            while len(self.pending) < 9 or len(self.pending) < 9 + self.length():
                if not self.receive():
                    assert not self.pending, "a part of a frame"
                    return
            end = 9 + self.length()
            head, payload, self.pending = self.pending[:9], self.pending[9:end], self.pending[end:]
            yield head[3], head[4], struct.unpack(">I", head[5:])[0], payload

    def length(self):
        return int.from_bytes(self.pending[:3], "big")


def main(program, rate):
    server = subprocess.Popen([program, "127.0.0.1:0", "600"], stdout=subprocess.PIPE, text=True)
    try:
        address = server.stdout.readline().strip().removeprefix("listening on http://")
        reader = Reader(address, rate)
        # INITIAL_WINDOW_SIZE of 2^31 - 1.
        reader.socket.sendall(
            f"GET /bytes/{BYTES} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade, HTTP2-Settings\r\n"
            "Upgrade: h2c\r\nHTTP2-Settings: AAR_____\r\n\r\n".encode()
        )
        head = reader.until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        window = struct.pack(">I", 2**31 - 1 - 65_535)
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0)
        reader.socket.sendall(preface + frame(WINDOW_UPDATE, 0, 0, window))
        received, told = 0, False
        for kind, flags, stream, payload in reader.frames():
            if kind == PING and not flags & 1:
                reader.socket.sendall(frame(PING, 1, 0, payload))
            if kind == DATA and payload:
                received += len(payload)
                # What every client does that does not know how much will come.
                reader.socket.sendall(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", len(payload))))
                if not told and received > 100_000:
                    server.send_signal(signal.SIGINT)
                    told = True
        took = time.monotonic() - reader.start
        assert received == BYTES, f"{received} of {BYTES} bytes came"
        reader.socket.close()
        line = server.stdout.readline().strip()
        assert line == "1 finished, 0 aborted", line
        assert server.wait(60) == 0
        print(f"{BYTES} bytes in {took:.0f} s", file=sys.stderr)
    finally:
        server.kill()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
    print("ok")
