"""Python's `websockets` as the client of an echo."""

import socket
import sys
import urllib.parse

from websockets.frames import Frame, Opcode
from websockets.sync.client import connect


class Early(socket.socket):
    """A connection whose first write, the request, has a message behind it."""

    early = Frame(Opcode.TEXT, b"early").serialize(mask=True)

    def sendall(self, data, *flags):
        if self.early:
            assert bytes(data).endswith(b"\r\n\r\n"), "the request is written at once"
        super().sendall(bytes(data) + self.early, *flags)
        self.early = b""


def main(url):
    address = urllib.parse.urlsplit(url)
    sock = Early(socket.AF_INET, socket.SOCK_STREAM)
    sock.connect((address.hostname, address.port))
    with connect(url, sock=sock, compression=None, max_size=None) as client:
        assert client.recv(timeout=10) == "early"
        for message in ["text", "grüß dich", "", b"\x00\xff\x80", b"large" * 3_000_000]:
            client.send(message)
            assert client.recv(timeout=30) == message
        client.send(["frag", "ments"])
        assert client.recv(timeout=10) == "fragments"
        assert client.ping("there?").wait(timeout=10)
        client.close(4000, "enough")
        assert client.close_code == 4000, client.close_code
    # An empty `Sec-WebSocket-Protocol`.
    with connect(url, subprotocols=[]) as client:
        client.send("no subprotocol")
        assert client.recv(timeout=10) == "no subprotocol"
        assert client.subprotocol is None
    print("clients: Python's websockets")


if __name__ == "__main__":
    main(*sys.argv[1:])
