"""Python's h2 on a connection that was upgraded by hand. Prints "ok", or what went wrong."""

import socket
import sys
from urllib.parse import urlsplit

import h2.config
import h2.connection
import h2.events

class Client:
    """One connection: the upgrading request, and the streams behind it."""

    def __init__(self, url, method, path, body=b"", fields=(), early=False):
        address = urlsplit(url)
        self.authority = address.netloc
        self.socket = socket.create_connection((address.hostname, address.port), timeout=20)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        settings = self.h2.initiate_upgrade_connection()
        lines = [
            f"{method} {path} HTTP/1.1",
            f"Host: {self.authority}",
            "Connection: Upgrade, HTTP2-Settings",
            "Upgrade: h2c",
            f"HTTP2-Settings: {settings.decode()}",
            *fields,
        ]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        request = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
        if early:
            # RFC 7540 has the client wait for the 101; these bytes must not be lost all the same.
            request += self.h2.data_to_send()
        self.socket.sendall(request)
        received = b""
        while b"\r\n\r\n" not in received:
            received += self.receive()
        head, self.behind = received.split(b"\r\n\r\n", 1)
        assert head.startswith(b"HTTP/1.1 101 "), head
        self.acknowledgements = 0
        # How many bytes of each stream's answer have come.
        self.answers = {}
        self.ended = set()

    def receive(self):
        bytes = self.socket.recv(65536)
        assert bytes, "the server closed the connection"
        return bytes

    def answer(self, stream):
        """Returns status and body of the answer on a stream."""
        while stream not in self.ended:
            self.socket.sendall(self.h2.data_to_send())
            bytes, self.behind = self.behind or self.receive(), b""
            for event in self.h2.receive_data(bytes):
                self.handle(event)
        self.socket.sendall(self.h2.data_to_send())
        return self.answers[stream]

    def handle(self, event):
        if isinstance(event, h2.events.SettingsAcknowledged):
            self.acknowledgements += 1
        elif isinstance(event, h2.events.ResponseReceived):
            self.answers[event.stream_id] = (dict(event.headers)[b":status"], b"")
        elif isinstance(event, h2.events.DataReceived):
            status, body = self.answers[event.stream_id]
            self.answers[event.stream_id] = (status, body + event.data)
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self.ended.add(event.stream_id)
        elif isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
            raise AssertionError(repr(event))

    def request(self, method, path, body=b""):
        stream = self.h2.get_next_available_stream_id()
        fields = [
            (":method", method),
            (":scheme", "http"),
            (":authority", self.authority),
            (":path", path),
            # An entry of the dynamic table, which only stays in step if stream 1 added none.
            ("x-indexed", "the same every time"),
        ]
        self.h2.send_headers(stream, fields, end_stream=not body)
        if body:
            self.h2.send_data(stream, body, end_stream=True)
        return stream

def expect(actual, expected):
    assert actual == expected, f"{actual!r} instead of {expected!r}"

def main(url):
    for early in (False, True):
        for body in (b"", b"x", b"x" * 65536):
            method = "POST" if body else "GET"
            client = Client(url, method, "/one", body, early=early)
            line = f"{method} /one HTTP/2.0 {len(body)}\n".encode()
            expect(client.answer(1), (b"200", line))
            for number in range(3):
                stream = client.request("PUT", f"/{number}", b"y" * number)
                expect(stream, 3 + 2 * number)
                expect(client.answer(stream), (b"200", f"PUT /{number} HTTP/2.0 {number}\n".encode()))
            expect(client.acknowledgements, 1)

    # Many header fields, of which some are about the connection.
    fields = [f"X-{number}: {number}" for number in range(90)]
    client = Client(url, "GET", "/fields", fields=[*fields, "TE: trailers", "Keep-Alive: 5"])
    expect(client.answer(1), (b"200", b"GET /fields HTTP/2.0 0\n"))

    client = Client(url, "HEAD", "/head")
    expect(client.answer(1), (b"200", b""))
    client = Client(url, "OPTIONS", "*")
    expect(client.answer(1), (b"200", b"OPTIONS * HTTP/2.0 0\n"))

if __name__ == "__main__":
    main(sys.argv[1])
    print("ok")
