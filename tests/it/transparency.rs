//! For a request that is not upgraded, the bytes on the wire are the same as without the layer.

use std::{
    collections::VecDeque,
    convert::Infallible,
    fmt::Write,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Either, Full};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use tokio::{io::AsyncWriteExt, time::timeout};
use tower::{Layer, util::BoxCloneService};

use crate::support::*;

/// The bytes that a client sends on one connection.
#[derive(Clone)]
struct Case {
    bytes: Vec<u8>,
    /// Another request may follow on the same connection.
    persists: bool,
}

impl Case {
    fn new(request_line: &str, headers: &[&[u8]], framing: Framing) -> Self {
        let (framing, body) = framing;
        let mut bytes = format!("{request_line}\r\nHost: a.test\r\nX-More: 1\r\n").into_bytes();
        bytes.extend_from_slice(&headers.concat());
        bytes.extend_from_slice(format!("{framing}x-MORE: 2\r\n\r\n{body}").as_bytes());
        let ends = bytes.windows(7).any(|window| window == b": close");
        let tunnels = request_line.starts_with("CONNECT");
        Self { bytes, persists: !ends && !tunnels && request_line.ends_with("/1.1") }
    }

    /// The pieces in which the bytes are sent: whole, in two, and byte by byte.
    fn deliveries(&self) -> Vec<Vec<&[u8]>> {
        let bytes = &*self.bytes;
        let end_of_head = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        let mut deliveries = vec![vec![bytes]];
        for at in [1, end_of_head / 2, end_of_head - 1, end_of_head, bytes.len() - 1] {
            deliveries.push(vec![&bytes[..at], &bytes[at..]]);
        }
        if bytes.len() < 512 {
            deliveries.push(bytes.chunks(1).collect());
        }
        deliveries
    }
}

/// The headers that announce a body, and the body.
type Framing = (&'static str, &'static str);

const NO_BODY: Framing = ("", "");

/// Framings that no handler of the fixture takes.
const BODIES: [Framing; 5] = [
    ("Content-Length: 5\r\n", "hello"),
    ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\n", "2\r\nhe\r\n3;ext=1\r\nllo\r\n0\r\n\r\n"),
    (
        "Transfer-Encoding: chunked\r\nTrailer: Upgrade, X-Sum\r\n",
        "5\r\nhello\r\n0\r\nUpgrade: foo\r\nX-Sum: 1\r\nX-Sum: 2\r\n\r\n",
    ),
    ("Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
];

/// Offers that a handler of the fixture accepts, unless there is a body.
const REGISTERED: [&[u8]; 3] = [
    b"Connection: upgrade\r\nUpgrade: foo\r\n",
    b"Connection: keep-alive, Upgrade\r\nUpgrade: nope\r\nUpgrade: WebSocket\r\n",
    b"Upgrade: h2c, bar/2\r\nConnection: keep-alive\r\nConnection: Upgrade, HTTP2-Settings\r\n\
      HTTP2-Settings: AAMAAABkAAQAAP__\r\n",
];

/// No offer, half an offer, malformed offers, and offers of protocols without a handler.
fn others() -> Vec<Vec<u8>> {
    let mut others: Vec<Vec<u8>> = [
        &b""[..],
        b"Connection: keep-alive\r\n",
        b"Connection: upgrade\r\n",
        b"Upgrade: foo\r\n",
        b"Proxy-Connection: upgrade\r\nUpgrade: foo\r\n",
        b"Connection: upgrade\r\nUpgrade: nope\r\n",
        b"Connection: upgrade\r\nUpgrade: bar/1, HTTP/2.0\r\nUpgrade: TLS-ish\r\n",
        b"Connection: keep-alive\r\nConnection: ,,Upgrade,\r\nUpgrade: ,, nope ,\r\n",
        b"Connection: upgrade\r\nUpgrade:\r\n",
        b"Connection: upgrade\r\nUpgrade: , ,\t,\r\n",
        b"Connection: upgrade\r\nUpgrade: foo/\r\n",
        b"Connection: upgrade\r\nUpgrade: foo / 1, foo\r\n",
        b"Connection: upgrade\r\nUpgrade: \"foo\"\r\n",
        b"Connection: upgrade\r\nUpgrade: w\xFFs, foo\r\nX-Obs: \x80\xFE\t\xC3\xA9\r\n",
        b"Connection: not-upgrade\r\nUpgrade: foo\r\n",
        b"Connection: \"upgrade\"\r\nUpgrade: foo\r\n",
        b"Connection: up grade, upgrade\r\nUpgrade: foo\r\n",
    ]
    .map(<[u8]>::to_vec)
    .into();
    others.push([b"Connection: upgrade\r\nUpgrade: ", &*b"p,".repeat(64), b"foo\r\n"].concat());
    others.push([b"Connection: upgrade\r\nUpgrade: foo", &*b",p".repeat(64), b"\r\n"].concat());
    others.push([b"Connection: upgrade\r\nUpgrade: ", &*b",".repeat(8192), b"foo\r\n"].concat());
    others.push([b"Connection: ", &*b",".repeat(8192), b"upgrade\r\nUpgrade: foo\r\n"].concat());
    others
}

/// The requests, as products of small tables. No handler takes one of them.
fn corpus() -> Vec<Case> {
    let mut cases = Vec::new();
    let none = [NO_BODY, ("Content-Length: 0\r\n", "")];
    for headers in others() {
        for framing in none.into_iter().chain(BODIES) {
            cases.push(Case::new("POST /x HTTP/1.1", &[&headers], framing));
        }
    }
    for headers in REGISTERED {
        for framing in BODIES {
            for expect in EXPECTATIONS {
                for persistence in [&b""[..], b"Connection: close\r\n"] {
                    let headers = [headers, expect, persistence];
                    cases.push(Case::new("PUT /x?y HTTP/1.1", &headers, framing));
                }
            }
        }
    }
    for expect in EXPECTATIONS {
        cases.push(Case::new("GET /unread HTTP/1.1", &[expect], NO_BODY));
        cases.push(Case::new("POST /unread HTTP/1.1", &[REGISTERED[0], expect], BODIES[0]));
        cases.push(Case::new("POST /unread HTTP/1.1", &[REGISTERED[0], expect], BODIES[2]));
    }
    for request_line in REQUEST_LINES {
        for headers in [&b""[..], b"Upgrade: foo\r\n", b"Connection: upgrade\r\nUpgrade: nope\r\n"]
        {
            cases.push(Case::new(request_line, &[headers], NO_BODY));
        }
    }
    // These may have complete offers, because they cannot be upgraded.
    for request_line in [
        "GET /x HTTP/1.0",
        "HEAD /x HTTP/1.0",
        "CONNECT h:443 HTTP/1.1",
        "CONNECT [::1]:443 HTTP/1.0",
        "TRACE /x HTTP/1.1",
    ] {
        for headers in REGISTERED {
            cases.push(Case::new(request_line, &[headers], NO_BODY));
            cases.push(Case::new(request_line, &[headers, b"Connection: close\r\n"], NO_BODY));
        }
    }
    cases
}

const EXPECTATIONS: [&[u8]; 4] =
    [b"", b"Expect: 100-continue\r\n", b"Expect: 100-Continue, x\r\n", b"Expect: nothing\r\n"];

const REQUEST_LINES: [&str; 19] = [
    "GET / HTTP/1.1",
    "GET /nothing HTTP/1.1",
    "GET /many HTTP/1.1",
    "GET /stream HTTP/1.1",
    "GET /stream HTTP/1.0",
    "GET /close HTTP/1.1",
    "GET /upgrade-required HTTP/1.1",
    "HEAD /x HTTP/1.1",
    "HEAD /many HTTP/1.1",
    "HEAD /stream HTTP/1.1",
    "OPTIONS * HTTP/1.1",
    "TRACE /x HTTP/1.1",
    "BREW /x HTTP/1.1",
    "GET /x HTTP/1.0",
    "GET //a/../b/./;c=d HTTP/1.1",
    "GET /%00%zz?%&&=? HTTP/1.1",
    "GET /?http://b.test/x HTTP/1.1",
    "GET http://b.test:81/x?y HTTP/1.1",
    "DELETE /a|b\"{}~ HTTP/1.1",
];

#[tokio::test(start_paused = true)]
async fn a_request_that_is_not_upgraded_gets_the_same_bytes_as_without_the_layer() {
    let cases = corpus();
    assert!(cases.len() >= 200, "{}", cases.len());
    for case in &cases {
        let bytes = compare(case).await;
        let text = String::from_utf8_lossy(&bytes);
        let answered = ["100 Continue", "200 OK", "426 Upgrade Required"];
        assert!(
            answered.iter().any(|status| text[9..].starts_with(status)),
            "{}: {text}",
            case.bytes.escape_ascii(),
        );
    }
}

#[tokio::test(start_paused = true)]
async fn pipelined_requests_that_are_not_upgraded_get_the_same_bytes_as_without_the_layer() {
    let mut cases = corpus();
    let closing: Vec<_> = cases.iter().filter(|case| !case.persists).cloned().collect();
    cases.retain(|case| case.persists);
    let count = cases.len();
    for first in (0..count).step_by(2) {
        // A request of another table follows, and after two of three pairs one that closes the
        // connection.
        let second = &cases[(first * 7 + count / 2) % count];
        let mut pipeline = cases[first].clone();
        pipeline.bytes.extend_from_slice(&second.bytes);
        if first % 6 > 0 {
            pipeline.bytes.extend_from_slice(&closing[first % closing.len()].bytes);
        }
        compare(&pipeline).await;
    }
}

/// Compares the answers with the layer and without it, for each way to split the bytes.
async fn compare(case: &Case) -> Vec<u8> {
    let mut bytes = Vec::new();
    for pieces in case.deliveries() {
        let log = Log::default();
        let without = talk(Wire::serve(mirror()), &pieces).await;
        let with = talk(Wire::serve(fixture(&log).layer(mirror())), &pieces).await;
        let (case, pieces) = (case.bytes.escape_ascii(), pieces.len());
        assert_eq!(with, without, "{case} in {pieces} pieces");
        assert_eq!(log.take(), [""; 0], "{case} in {pieces} pieces");
        bytes = with.bytes.unescaped;
    }
    bytes
}

/// The bytes that the client receives, and the result of the connection once the client is gone.
#[derive(Debug, PartialEq)]
struct Answer {
    bytes: Escaped,
    ended: bool,
    connection: String,
}

/// Bytes with a readable `Debug`.
#[derive(PartialEq)]
struct Escaped {
    unescaped: Vec<u8>,
}

impl std::fmt::Debug for Escaped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.unescaped.escape_ascii())
    }
}

async fn talk(mut wire: Wire, pieces: &[&[u8]]) -> Answer {
    for (index, piece) in pieces.iter().enumerate() {
        if index > 0 {
            settle().await;
        }
        // The server may have closed already, with the layer and without.
        wire.io.write_all(piece).await.ok();
    }
    let (bytes, ended) = wire.receive_bytes().await;
    let lines = bytes.split_inclusive(|&byte| byte == b'\n');
    let unescaped = lines.filter(|line| !line.starts_with(b"date: ")).collect::<Vec<_>>().concat();
    let Wire { io, connection } = wire;
    drop(io);
    let connection = timeout(Duration::from_secs(60), connection).await.unwrap().unwrap();
    Answer { bytes: Escaped { unescaped }, ended, connection: format!("{connection:?}") }
}

type Mirror = BoxCloneService<Request<Incoming>, Response<Either<Full<Bytes>, Frames>>, Infallible>;

/// Answers with everything that it received. The path chooses the form of the answer.
fn mirror() -> Mirror {
    BoxCloneService::new(tower::service_fn(async |request: Request<Incoming>| {
        let (head, body) = request.into_parts();
        let upgradable = head.extensions.get::<OnUpgrade>().is_some();
        let mut text = String::new();
        writeln!(text, "{} {} {:?} {upgradable}", head.method, head.uri, head.version).unwrap();
        write_lines(&mut text, &head.headers);
        if head.uri.path() != "/unread" {
            let body = body.collect().await.unwrap();
            write_lines(&mut text, &body.trailers().cloned().unwrap_or_default());
            writeln!(text, "{}", body.to_bytes().escape_ascii()).unwrap();
        }
        let mut response = Response::new(Either::Left(Full::from(text.clone())));
        if head.method == Method::HEAD {
            let value = HeaderValue::try_from(text.escape_default().to_string()).unwrap();
            response.headers_mut().insert("x-mirror", value);
        }
        let mut add = |name, value: &'static [u8]| {
            let value = HeaderValue::from_bytes(value).unwrap();
            response.headers_mut().append(HeaderName::from_static(name), value);
        };
        match head.uri.path() {
            "/many" => {
                for value in [&b"a=1"[..], b"b=2", b"", b"a=1", b"obs \xFE text"] {
                    add("set-cookie", value);
                    add("x-between", value);
                }
            }
            "/close" => add("connection", b"close"),
            "/upgrade-required" => {
                add("upgrade", b"foo");
                add("connection", b"upgrade");
                *response.status_mut() = http::StatusCode::UPGRADE_REQUIRED;
            }
            "/nothing" => *response.body_mut() = Either::Right(Frames([].into())),
            "/stream" => {
                add("trailer", b"x-sum");
                *response.body_mut() = Either::Right(Frames::of(text));
            }
            _ => {}
        }
        Ok(response)
    }))
}

fn write_lines(text: &mut String, headers: &HeaderMap) {
    for (name, value) in headers {
        writeln!(text, "{name}: {}", value.as_bytes().escape_ascii()).unwrap();
    }
}

/// A body of unknown length.
struct Frames(VecDeque<Frame<Bytes>>);

impl Frames {
    fn of(text: String) -> Self {
        let mut body = Bytes::from(text);
        let start = body.split_to(9);
        let trailers = HeaderMap::from_iter([(
            HeaderName::from_static("x-sum"),
            HeaderValue::from_static("9"),
        )]);
        Self([Frame::data(start), Frame::data(body), Frame::trailers(trailers)].into())
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }
}
