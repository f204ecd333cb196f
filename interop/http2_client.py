"""Extended CONNECT by Python's h2, with the frames of wsproto. Prints what holds, or the failure."""

import socket
import sys

import h2.config
import h2.connection
import h2.events
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from wsproto.frame_protocol import FrameProtocol, Opcode

WEBSOCKET = {"sec-websocket-version": "13"}

class Client:
    """One connection of HTTP/2, with prior knowledge."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.authority = address
        self.socket = socket.create_connection((host, int(port)), timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.h2.initiate_connection()
        self.streams = {}
        self.settings = None
        self.until(lambda: self.settings is not None)

    def request(self, method, path, headers=(), protocol=None):
        """Sends the head of a request, and returns its stream. A CONNECT stays open."""
        head = [
            (":method", method),
            (":scheme", "http"),
            (":authority", self.authority),
            (":path", path),
        ]
        if protocol:
            head.append((":protocol", protocol))
        head.extend(dict(headers).items())
        number = self.h2.get_next_available_stream_id()
        self.h2.send_headers(number, head, end_stream=method != "CONNECT")
        self.streams[number] = Stream(self, number)
        return self.streams[number]

    def connect(self, protocol, path, headers=()):
        """Returns the stream of an extended CONNECT, after the answer to it."""
        stream = self.request("CONNECT", path, headers, protocol)
        self.until(lambda: stream.headers)
        return stream

    def until(self, holds):
        """Sends and receives until the condition holds."""
        while not holds():
            self.flush()
            data = self.socket.recv(65536)
            assert data, "the server closed the connection"
            for event in self.h2.receive_data(data):
                self.handle(event)
        self.flush()

    def flush(self):
        self.socket.sendall(self.h2.data_to_send())

    def handle(self, event):
        if isinstance(event, h2.events.RemoteSettingsChanged):
            # The first frame of the server, and the only one of its settings.
            self.settings = {code: it.new_value for code, it in event.changed_settings.items()}
        elif isinstance(event, h2.events.ResponseReceived):
            headers = [(name.decode(), value.decode()) for name, value in event.headers]
            self.streams[event.stream_id].headers = dict(headers)
        elif isinstance(event, h2.events.DataReceived):
            self.streams[event.stream_id].data += event.data
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self.streams[event.stream_id].ended = True
        elif isinstance(event, h2.events.StreamReset):
            # RFC 9113 §8.1: after a whole answer, a server may say that it needs no more of the request.
            after_all = event.error_code == ErrorCodes.NO_ERROR and self.streams[event.stream_id].ended
            assert after_all, repr(event)
        elif isinstance(event, h2.events.ConnectionTerminated):
            raise AssertionError(repr(event))

class Stream:
    """A stream, and what came on it so far."""

    def __init__(self, client, number):
        self.client = client
        self.number = number
        self.headers = {}
        self.data = b""
        self.ended = False

    @property
    def status(self):
        return int(self.headers[":status"])

    def send(self, data):
        """Sends as much at a time as the server's windows allow."""
        client = self.client
        window = lambda: client.h2.local_flow_control_window(self.number)
        while data:
            client.until(lambda: window() > 0)
            size = min(window(), client.h2.max_outbound_frame_size)
            client.h2.send_data(self.number, bytes(data[:size]))
            data = data[size:]
        client.flush()

    def read(self, size):
        """Returns the next bytes."""
        self.client.until(lambda: len(self.data) >= size)
        data, self.data = self.data[:size], self.data[size:]
        return data

    def end(self):
        """Ends the client's side."""
        self.client.h2.end_stream(self.number)

    def answer(self):
        """Returns the status and the body of the whole answer."""
        self.client.until(lambda: self.ended)
        return self.status, self.data

class WebSocket:
    """A WebSocket on a stream."""

    def __init__(self, client, headers=()):
        self.stream = client.connect("websocket", "/ws", {**WEBSOCKET, **dict(headers)})
        expect(self.stream.status, 200)
        self.frames = FrameProtocol(client=True, extensions=[])

    def send(self, message):
        self.stream.send(self.frames.send_data(message))

    def receive(self):
        """Returns the opcode and the payload of the next message or control frame."""
        payload = None
        while True:
            for frame in self.frames.received_frames():
                if frame.opcode.iscontrol():
                    return frame.opcode, frame.payload
                payload = frame.payload if payload is None else payload + frame.payload
                if frame.message_finished:
                    return frame.opcode, payload
            self.stream.client.until(lambda: self.stream.data)
            self.frames.receive_bytes(self.stream.read(len(self.stream.data)))

    def echoes(self, message):
        self.send(message)
        opcode = Opcode.TEXT if isinstance(message, str) else Opcode.BINARY
        expect(self.receive(), (opcode, message))

    def close(self):
        """The closing handshake. After the server's close frame, its side of the stream ends."""
        self.stream.send(self.frames.close(4000, "enough"))
        opcode, (code, _reason) = self.receive()
        expect((opcode, code), (Opcode.CLOSE, 4000))
        self.stream.client.until(lambda: self.stream.ended)
        expect(self.stream.data, b"")
        self.stream.end()
        self.stream.client.flush()

def answer(client):
    expect(client.settings.get(SettingCodes.ENABLE_CONNECT_PROTOCOL), 1)
    stream = client.connect("websocket", "/ws", WEBSOCKET)
    expect(stream.status, 200)
    expect([name for name in stream.headers if name not in (":status", "date")], [])
    stream.end()
    client.until(lambda: stream.ended)

def messages(client):
    socket = WebSocket(client)
    window = client.settings.get(SettingCodes.INITIAL_WINDOW_SIZE, 65535)
    large = b"large" * 400_000
    assert len(large) > window, f"{window} bytes would go without waiting for the server"
    for message in ("text", "grüß dich", b"\0\xff\x80", large, "x" * 1_000_000, ""):
        socket.echoes(message)
    socket.stream.send(socket.frames.ping(b"there?"))
    expect(socket.receive(), (Opcode.PONG, b"there?"))
    socket.close()

def early(client):
    """The first message goes out before the answer is known."""
    stream = client.request("CONNECT", "/ws", WEBSOCKET, "websocket")
    frames = FrameProtocol(client=True, extensions=[])
    stream.send(frames.send_data("early"))
    expect(stream.read(7), b"\x81\x05early")
    expect(stream.status, 200)
    stream.end()
    client.until(lambda: stream.ended)

def side_by_side(client):
    sockets = [WebSocket(client) for _ in range(20)]
    for number, socket in enumerate(sockets):
        socket.send(f"to {number}")
    pages = [client.request("GET", f"/{number}") for number in range(20)]
    for number, socket in reversed(list(enumerate(sockets))):
        expect(socket.receive(), (Opcode.TEXT, f"to {number}"))
    for page in pages:
        expect(page.answer(), (200, b"plain"))
    for socket in sockets:
        socket.close()

def reset(client):
    """A stream that is reset leaves the others alone. The server logs one failure, of the second."""
    stays = WebSocket(client)
    for error in (ErrorCodes.CANCEL, ErrorCodes.INTERNAL_ERROR):
        left = WebSocket(client)
        left.echoes("before")
        client.h2.reset_stream(left.stream.number, error)
        stays.echoes("after")
    expect(client.request("GET", "/").answer(), (200, b"plain"))
    stays.close()

def rejections(client):
    def connect(protocol, path, headers=()):
        stream = client.connect(protocol, path, headers)
        # The answer is whole although the client's side is open.
        client.until(lambda: stream.ended)
        return stream

    wrong = connect("websocket", "/ws", {"sec-websocket-version": "12"})
    expect((wrong.status, wrong.headers["sec-websocket-version"]), (400, "13"))
    for origin, status in (("http://elsewhere.test", 403), ("null", 403)):
        expect(connect("websocket", "/ws", {**WEBSOCKET, "origin": origin}).status, status)
    WebSocket(client, {"origin": f"http://{client.authority}"}).close()

    expect(connect("unheard-of", "/required").status, 501)
    # Here it is forwarded. The inner service must not answer with a 2xx, which would be a switch.
    expect(connect("unheard-of", "/").status, 501)
    get = client.request("GET", "/required")
    expect(get.answer()[0], 405)
    expect((get.headers["allow"], get.headers.get("upgrade")), ("CONNECT", None))

def bytes_of_protocols(client):
    for protocol, path, sent, received in (
        ("echo", "/", b"Hello\0\xff", b"Hello\0\xff"),
        ("echo", "/required", b"Hello", b"Hello"),
        ("shout/2", "/", b"Hello", b"HELLO"),
    ):
        stream = client.connect(protocol, path)
        expect(stream.status, 200)
        stream.send(sent)
        expect(stream.read(len(received)), received)
        stream.end()
        client.until(lambda: stream.ended)
        expect(stream.data, b"")

def expect(actual, expected):
    def short(value):
        text = repr(value)
        return text if len(text) < 200 else f"{text[:200]}…"
    assert actual == expected, f"{short(actual)} instead of {short(expected)}"

def main(address):
    client = Client(address)
    for check in (answer, messages, early, side_by_side, reset, rejections, bytes_of_protocols):
        check(client)
        print(f"http2: Python's h2, {check.__name__.replace('_', ' ')}")

if __name__ == "__main__":
    main(sys.argv[1])
