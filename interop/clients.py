"""Python's `websockets` as the client of an echo."""

import random
import socket
import sys
import urllib.parse

from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
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


def plain(url):
    messages(url)
    # An empty `Sec-WebSocket-Protocol`. Other servers than those of the examples reject it.
    with connect(url, subprotocols=[]) as client:
        client.send("no subprotocol")
        assert client.recv(timeout=10) == "no subprotocol"
        assert client.subprotocol is None


def messages(url, kind=Early):
    address = urllib.parse.urlsplit(url)
    sock = kind(socket.AF_INET, socket.SOCK_STREAM)
    sock.connect((address.hostname, address.port))
    with connect(url, sock=sock, compression=None, max_size=None) as client:
        if kind is not Early:
            client.send("early")
        assert client.recv(timeout=10) == "early"
        for message in ["text", "grüß dich", "", b"\x00\xff\x80", b"large" * 3_000_000]:
            client.send(message)
            assert client.recv(timeout=30) == message
        client.send(["frag", "ments"])
        assert client.recv(timeout=10) == "fragments"
        assert client.ping("there?").wait(timeout=10)
        client.close(4000, "enough")
        assert client.close_code == 4000, client.close_code
    print("clients: Python's websockets")


def patient(url):
    """The same, from a client that waits for the answer to its handshake."""
    messages(url, socket.socket)


# What a client asks of permessage-deflate, and what the server has to answer.
OFFERS = [
    ({}, "permessage-deflate"),
    ({"server_no_context_takeover": True}, "permessage-deflate; server_no_context_takeover"),
    ({"client_no_context_takeover": True}, "permessage-deflate; client_no_context_takeover"),
    ({"server_max_window_bits": 9}, "permessage-deflate; server_max_window_bits=9"),
    ({"server_max_window_bits": 15}, "permessage-deflate; server_max_window_bits=15"),
    ({"client_max_window_bits": 9}, "permessage-deflate"),
]


def deflate(url):
    # Repeats itself after 4 KiB, which a smaller window does not see.
    block = random.Random(1).randbytes(4096)
    for parameters, answer in OFFERS:
        factory = ClientPerMessageDeflateFactory(**parameters)
        with connect(url, compression=None, extensions=[factory], max_size=None) as client:
            assert client.response.headers["Sec-WebSocket-Extensions"] == answer, parameters
            for message in ["text", "text", "", block * 64, "last"]:
                client.send(message)
                assert client.recv(timeout=30) == message
            client.send(["frag", "ments"])
            assert client.recv(timeout=10) == "fragments"
    factory = ClientPerMessageDeflateFactory(server_max_window_bits=8)
    with connect(url, compression=None, extensions=[factory]) as client:
        assert "Sec-WebSocket-Extensions" not in client.response.headers
        client.send("not compressed")
        assert client.recv(timeout=10) == "not compressed"
    print("clients: Python's websockets, compressed")


if __name__ == "__main__":
    run, url = sys.argv[1:]
    runs = {"plain": plain, "messages": messages, "patient": patient, "deflate": deflate}
    runs[run](url)
