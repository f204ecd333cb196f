//! A client that upgrades, and reads and writes frames.

use std::{convert::Infallible, future::Future, pin::Pin};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};
use tower::{Layer, Service, service_fn};
use tower_upgrade::{
    UpgradeLayer,
    h2c::{H2c, RequestBody, RequestBodyLayer, WithRequestBody},
};

use crate::support::*;

pub(crate) type Answer =
    Pin<Box<dyn Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send>>;

/// A service for streams and for HTTP/1.1.
pub(crate) trait App:
    Service<
        Request<RequestBody>,
        Response = Response<Full<Bytes>>,
        Error = Infallible,
        Future = Answer,
    > + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> App for S where
    S: Service<
            Request<RequestBody>,
            Response = Response<Full<Bytes>>,
            Error = Infallible,
            Future = Answer,
        > + Clone
        + Send
        + Sync
        + 'static
{
}

/// Answers `ok` once it has read the body, and logs `GET http://a.test/x HTTP/2.0 ""` and, in
/// HTTP/2, each header on a line of its own.
///
/// `/long` is answered with 100,000 bytes, `/never` never, `/panic` with a panic, and `/204` and
/// `/304` with that status.
pub(crate) fn app(log: &Log) -> impl App + use<> {
    let log = log.clone();
    service_fn(move |request: Request<RequestBody>| {
        let log = log.clone();
        Box::pin(answer(request, log)) as Answer
    })
}

async fn answer(
    request: Request<RequestBody>,
    log: Log,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => {
            log.push(format!("broke: {error}"));
            return Ok(Response::new(Full::default()));
        }
    };
    let body = match body.len() {
        0..100 => format!("{:?}", String::from_utf8_lossy(&body)),
        bytes => format!("{bytes} bytes"),
    };
    let mut event = format!("{} {} {:?} {body}", head.method, head.uri, head.version);
    if head.version == Version::HTTP_2 {
        for (name, value) in &head.headers {
            event.push('\n');
            event.push_str(name.as_str());
            event.push_str(": ");
            event.push_str(&String::from_utf8_lossy(value.as_bytes()));
        }
    }
    log.push(event);
    let path = head.uri.path();
    let mut response = Response::new(Full::from("ok"));
    match path {
        "/never" => {
            let _dropped = Dropped(log);
            std::future::pending::<()>().await;
        }
        "/panic" => panic!("as asked for"),
        "/long" => *response.body_mut() = Full::from(vec![b'x'; 100_000]),
        "/204" | "/304" => *response.status_mut() = path[1..].parse().unwrap(),
        _ => {}
    }
    Ok(response)
}

/// The same for HTTP/1.1.
pub(crate) fn http1<S>(app: S) -> WithRequestBody<S> {
    RequestBodyLayer::new().layer(app)
}

/// Logs when it is dropped.
struct Dropped(Log);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.push("dropped");
    }
}

/// A layer with h2c for the app, and nothing else.
pub(crate) fn layer(log: &Log) -> UpgradeLayer {
    let failures = log.clone();
    UpgradeLayer::new()
        .on("h2c", H2c::new(app(log)))
        .on_failure(move |error| failures.push(describe(&error)))
}

pub(crate) const CUS: &str = "Connection: Upgrade, HTTP2-Settings\r\n";

/// `MAX_CONCURRENT_STREAMS` 100, `INITIAL_WINDOW_SIZE` 2^30 and `ENABLE_PUSH` 0, as curl has it.
pub(crate) const CURL: &str = "AAMAAABkAARAAAAAAAIAAAAA";

/// The lines of a good offer, without `Host`.
pub(crate) fn offer() -> String {
    offer_with(CURL)
}

pub(crate) fn offer_with(settings: &str) -> String {
    format!("{CUS}Upgrade: h2c\r\nHTTP2-Settings: {settings}\r\n")
}

/// The client's end of a connection that may be upgraded.
pub(crate) struct Client {
    pub(crate) wire: Wire,
    pub(crate) log: Log,
    received: Vec<u8>,
    pub(crate) ended: bool,
}

impl Client {
    /// Connects to the app behind its layer.
    pub(crate) fn connect() -> Self {
        let log = Log::default();
        Self::to(Wire::serve(layer(&log).layer(http1(app(&log)))), log)
    }

    /// Connects to the app behind another handler for it.
    pub(crate) fn connect_to<H>(handler: impl FnOnce(&Log) -> H) -> Self
    where
        H: tower_upgrade::UpgradeHandler,
    {
        let log = Log::default();
        let layer = UpgradeLayer::new().on("h2c", handler(&log));
        Self::to(Wire::serve(layer.layer(http1(app(&log)))), log)
    }

    pub(crate) fn to(wire: Wire, log: Log) -> Self {
        Self { wire, log, received: Vec::new(), ended: false }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.wire.send(bytes).await;
    }

    /// Reads until the server has nothing more to say.
    async fn read(&mut self) {
        let quiet = std::time::Duration::from_secs(1);
        while let Ok(read) = timeout(quiet, self.wire.io.read_buf(&mut self.received)).await {
            if read.unwrap_or(0) == 0 {
                self.ended = true;
                break;
            }
        }
    }

    /// Takes the head of a 101 that switches to h2c, and nothing else.
    #[track_caller]
    pub(crate) fn take_101(&mut self) {
        let end = self.received.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
        let head: Vec<u8> = self.received.drain(..end).collect();
        let head = String::from_utf8(head).unwrap();
        let lines = head.split_inclusive("\r\n").filter(|line| !line.starts_with("date: "));
        assert_eq!(lines.collect::<String>(), switching("h2c"));
    }

    /// Sends a request that is upgraded, and returns the frames behind the 101.
    pub(crate) async fn upgrade(&mut self, request: impl AsRef<[u8]>) -> Vec<String> {
        self.send(request).await;
        self.read().await;
        self.take_101();
        self.frames()
    }

    /// Sends bytes, and returns the frames that are the answer.
    pub(crate) async fn exchange(&mut self, bytes: impl AsRef<[u8]>) -> Vec<String> {
        self.send(bytes).await;
        self.read().await;
        self.frames()
    }

    /// Closes the client's side, and lets the server notice.
    pub(crate) async fn leave(&mut self) {
        self.wire.io.shutdown().await.unwrap();
        settle().await;
    }

    /// Takes the frames that have come.
    fn frames(&mut self) -> Vec<String> {
        let mut frames = Vec::new();
        let received = std::mem::take(&mut self.received);
        let mut rest = &received[..];
        while let Some((&[a, b, c, kind, flags, stream @ ..], behind)) =
            rest.split_first_chunk::<9>()
        {
            let len = u32::from_be_bytes([0, a, b, c]) as usize;
            let (payload, behind) = behind.split_at(len);
            frames.push(frame_text(kind, flags, u32::from_be_bytes(stream), payload));
            rest = behind;
        }
        assert_eq!(rest, b"", "a part of a frame");
        frames
    }
}

/// `DATA 1 2 END`, `HEADERS 1 200`, `SETTINGS ACK`, `GOAWAY 1 PROTOCOL_ERROR`.
fn frame_text(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> String {
    let number =
        |at: usize| u32::from_be_bytes(payload[at..][..4].try_into().unwrap()) & 0x7fff_ffff;
    let reason = |at| match number(at) {
        0 => "NO_ERROR",
        1 => "PROTOCOL_ERROR",
        3 => "FLOW_CONTROL_ERROR",
        5 => "STREAM_CLOSED",
        6 => "FRAME_SIZE_ERROR",
        7 => "REFUSED_STREAM",
        8 => "CANCEL",
        9 => "COMPRESSION_ERROR",
        _ => "ANOTHER_ERROR",
    };
    let end = if flags & 1 == 1 { " END" } else { "" };
    match kind {
        0 => format!("DATA {stream} {}{end}", payload.len()),
        1 => {
            // The status comes first, perhaps behind a new size for the dynamic table, and these
            // are in the static one.
            let status = match payload.iter().find(|&byte| byte & 0xe0 != 0x20) {
                Some(0x88) => 200,
                Some(0x89) => 204,
                Some(0x8b) => 304,
                Some(0x8c) => 400,
                // Not in the table, and in a Huffman code.
                Some(0x48) if payload.windows(4).any(|bytes| bytes == LITERAL_431) => 431,
                _ => 0,
            };
            format!("HEADERS {stream} {status}{end}")
        }
        3 => format!("RST_STREAM {stream} {}", reason(0)),
        4 if flags == 1 => "SETTINGS ACK".into(),
        4 => "SETTINGS".into(),
        6 => "PING".into(),
        7 => format!("GOAWAY {} {}", number(0), reason(4)),
        8 => format!("WINDOW_UPDATE {stream} {}", number(0)),
        _ => format!("frame of type {kind}"),
    }
}

const LITERAL_431: [u8; 4] = [0x83, 0x69, 0x90, 0xff];

/// The server's first frames: its settings, and a window for the connection.
pub(crate) const SERVER_PREFACE: [&str; 2] = ["SETTINGS", "WINDOW_UPDATE 0 983041"];

/// The frames behind the 101 when stream 1 is answered with `ok`.
pub(crate) const ANSWERED: [&str; 4] =
    [SERVER_PREFACE[0], SERVER_PREFACE[1], "HEADERS 1 200", "DATA 1 2 END"];

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The client's preface: the 24 bytes, and SETTINGS without a setting.
pub(crate) fn preface() -> Vec<u8> {
    [PREFACE, &frame(4, 0, 0, &[])].concat()
}

pub(crate) const SETTINGS_ACK: [u8; 9] = [0, 0, 0, 4, 1, 0, 0, 0, 0];

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A request without a body on a stream.
pub(crate) fn request_on(stream: u32, path: &str) -> Vec<u8> {
    request_with(stream, path, &[])
}

/// The same with more of a header block.
pub(crate) fn request_with(stream: u32, path: &str, block: &[u8]) -> Vec<u8> {
    // GET and http are in the static table, the others are literals that are not indexed.
    let authority = literal(0x01, b"a.test");
    let block = [&[0x82, 0x86], &authority[..], &literal(0x04, path.as_bytes()), block].concat();
    frame(1, 0x5, stream, &block)
}

/// A literal with the name that a first byte stands for.
pub(crate) fn literal(name: u8, value: &[u8]) -> Vec<u8> {
    [&[name, u8::try_from(value.len()).unwrap()], value].concat()
}

/// A literal with a name of its own, of which the first byte says what becomes of it.
pub(crate) fn named_literal(first: u8, name: &[u8], value: &[u8]) -> Vec<u8> {
    [&[first, u8::try_from(name.len()).unwrap()], name, &literal(0, value)[1..]].concat()
}

pub(crate) fn window_update(stream: u32, bytes: u32) -> Vec<u8> {
    frame(8, 0, stream, &bytes.to_be_bytes())
}

pub(crate) fn rst_stream(stream: u32) -> Vec<u8> {
    frame(3, 0, stream, &8_u32.to_be_bytes())
}
