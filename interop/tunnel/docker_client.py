"""The bytes of Docker's `attach`: a POST with a body that switches to `tcp`, through a tunnel."""

import os
import socket
import sys

host, port = sys.argv[1].split(":")
BODY = b'{"Detach": false}'


def check(fact, text):
    if not fact:
        sys.exit(f"FAILED: {text}")


class Client:
    def __init__(self, target, body=BODY, early=b"", upgrade="Connection: Upgrade\r\nUpgrade: tcp\r\n"):
        self.socket = socket.create_connection((host, int(port)), timeout=20)
        head = f"POST {target} HTTP/1.1\r\nHost: docker\r\n{upgrade}Content-Type: application/json\r\n"
        self.socket.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body + early)
        self.stream = self.socket.makefile("rb")
        self.status = self.stream.readline().split(b" ", 2)[1]
        lines = iter(self.stream.readline, b"\r\n")
        self.headers = dict(line.decode().lower().rstrip().split(": ", 1) for line in lines)

    def switched(self):
        check(self.status == b"101", f"status {self.status}")
        check(self.headers["connection"] == "upgrade", self.headers)
        check(self.headers["upgrade"] == "tcp", self.headers)
        check(self.headers["content-type"] == "application/vnd.docker.raw-stream", self.headers)
        return self


ATTACH = "/v1.47/containers/x/attach?stream=1&stdin=1&stdout=1"

client = Client(ATTACH).switched()
check(client.stream.read(len(BODY)) == BODY, "the daemon has the body")
client.socket.sendall(b"hello")
check(client.stream.read(5) == b"hello", "an echo")
client.socket.shutdown(socket.SHUT_WR)
check(client.stream.read() == b"5 bytes\n", "what the daemon sends after the client's EOF")
print("ok      docker: attach with a body, and bytes after the client's EOF")

client = Client(ATTACH, early=b"early").switched()
check(client.stream.read(len(BODY) + 5) == BODY + b"early", "bytes that came with the request")
large = os.urandom(1 << 20)
client.socket.sendall(large[: 1 << 19])
check(client.stream.read(1 << 19) == large[: 1 << 19], "the first half")
client.socket.sendall(large[1 << 19 :])
client.socket.shutdown(socket.SHUT_WR)
rest = client.stream.read()
check(rest == large[1 << 19 :] + b"1048581 bytes\n", "the second half")
print("ok      docker: bytes that came with the request, and 1 MiB")

client = Client("/v1.47/containers/x/attach?stream=0").switched()
check(client.stream.read() == BODY, "the daemon closes its direction")
client.socket.sendall(b"after it")
client.socket.close()
client.stream.close()
read = Client("/v1.47/read", b"", upgrade="")
length = int(read.headers["content-length"])
check(read.stream.read(length) == b"8", "what the daemon read after its own EOF")
print("ok      docker: bytes after the daemon's EOF")

client = Client("/v1.47/containers/missing/attach?stream=1")
check(client.status == b"404", f"status {client.status}")
body = client.stream.read(int(client.headers["content-length"]))
check(body == b'{"message": "POST /containers/missing/attach: no such thing"}', body)
print("ok      docker: an error of the daemon arrives whole")
