//! A tunnel between any client and an upstream that answers any bytes, split in any way: the client gets a
//! 101 if and only if the upstream's is right, and neither side gets a byte too early, too many, or too few.
#![no_main]

use std::{
    convert::Infallible,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, request};
use http_body_util::Full;
use hyper::body::Incoming;
use libfuzzer_sys::{
    arbitrary::{self, Arbitrary},
    fuzz_target,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::timeout,
};
use tower::{Layer, ServiceExt, service_fn, util::BoxCloneService};
use tower_upgrade::{UpgradeErrorKind, UpgradeLayer, tunnel::Tunnel};
use tower_upgrade_fuzz::{
    client::{End, Sending},
    input::{Line, Server, of},
    pieces::Pieces,
    runtime,
    service::{self, boxed},
};

#[derive(Arbitrary, Debug)]
struct Input {
    outermost: bool,
    server: Server,
    client_sizes: Vec<u8>,
    upstream_sizes: Vec<u8>,
    buffer: u8,
    websocket: bool,
    lines: Vec<Line>,
    body: Vec<u8>,
    sending: Sending,
    early: Vec<u8>,
    upstream: Upstream,
}

#[derive(Arbitrary, Debug)]
struct Upstream {
    /// It never connects, it fails to, or it does.
    connects: Connects,
    /// Bytes before which it does not read the request.
    at_once: bool,
    answer: Vec<Part>,
    sizes: Vec<(u8, bool)>,
    /// Whether it ends its side behind its bytes, is gone, or waits for the other side.
    end: UpstreamEnd,
}

#[derive(Arbitrary, Debug, PartialEq, Eq)]
enum Connects {
    Yes,
    Fails,
    Never,
}

#[derive(Arbitrary, Debug, PartialEq, Eq)]
enum UpstreamEnd {
    Waits,
    Shutdown,
    Drop,
}

#[derive(Arbitrary, Debug)]
enum Part {
    /// A right 101.
    Right,
    Line(u8),
    End,
    Bytes(Vec<u8>),
}

const LINES: [&str; 24] = [
    "HTTP/1.1 101 Switching Protocols\r\n",
    "HTTP/1.1 101\r\n",
    "HTTP/1.0 101 x\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 204 No Content\r\n",
    "HTTP/1.1 426 Upgrade Required\r\n",
    "HTTP/1.1 302 Found\r\nLocation: /\r\n",
    "Connection: upgrade\r\n",
    "Connection: close, UPGRADE\r\n",
    "Connection: x\r\n",
    "Upgrade: foo\r\n",
    "Upgrade: FOO\r\n",
    "Upgrade: foo/1\r\n",
    "Upgrade: foo, bar\r\n",
    "Upgrade: websocket\r\n",
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOO=\r\n",
    "Sec-WebSocket-Protocol: chat\r\n",
    "Content-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: gzip\r\n",
    "5\r\nhello\r\n0\r\n\r\n",
];

impl Input {
    fn answer(&self) -> Vec<u8> {
        let right = if self.websocket {
            [LINES[0], LINES[9], LINES[16], LINES[17], "\r\n"].concat()
        } else {
            [LINES[0], LINES[9], LINES[12], "\r\n"].concat()
        };
        let mut bytes = Vec::new();
        for part in &self.upstream.answer {
            match part {
                Part::Right => bytes.extend(right.bytes()),
                Part::Line(which) => bytes.extend(of(*which, &LINES).bytes()),
                Part::End => bytes.extend(b"\r\n"),
                Part::Bytes(any) => bytes.extend(any),
            }
        }
        bytes
    }

    fn request(&self) -> Vec<u8> {
        let mut bytes = if self.websocket {
            b"GET /x HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\n\
              Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                .to_vec()
        } else {
            b"POST /x HTTP/1.1\r\nHost: a.test\r\nUpgrade: foo\r\n".to_vec()
        };
        for line in &self.lines {
            line.write(&mut bytes);
        }
        bytes.extend(b"Connection: upgrade\r\n");
        bytes.extend(format!("Content-Length: {}\r\n\r\n", self.body.len()).bytes());
        bytes.extend(&self.body);
        bytes.extend(&self.early);
        bytes
    }
}

/// The bytes and connections that the upstream has seen.
#[derive(Default)]
struct Seen {
    bytes: Vec<u8>,
    /// How many of the bytes were there before it wrote anything.
    first: usize,
    connections: usize,
}

fuzz_target!(|input: Input| runtime::run(check(&Arc::new(input))));

async fn check(input: &Arc<Input>) {
    let seen = Arc::<Mutex<Seen>>::default();
    let connect = {
        let (input, seen) = (Arc::clone(input), Arc::clone(&seen));
        move |_head: request::Parts| {
            let (input, seen) = (Arc::clone(&input), Arc::clone(&seen));
            async move {
                match input.upstream.connects {
                    Connects::Yes => {}
                    Connects::Fails => return Err(io::Error::other("as asked")),
                    Connects::Never => std::future::pending().await,
                }
                let (ours, upstream) = tokio::io::duplex(usize::from(input.buffer) * 16 + 1);
                let ours = Pieces::new(ours, input.upstream_sizes.clone());
                seen.lock().unwrap().connections += 1;
                tokio::spawn(async move { input.serve(upstream, &seen).await });
                Ok(ours)
            }
        }
    };
    let failures = Arc::<Mutex<Vec<_>>>::default();
    let failed = Arc::clone(&failures);
    let tunnel = Tunnel::new(connect);
    let layer = UpgradeLayer::new().on("websocket", tunnel.clone()).on("foo", tunnel);
    let layer = layer.on_failure(move |error| failed.lock().unwrap().push(error.kind()));
    let connections = layer.connections();
    let inner = service_fn(|_: Request<Incoming>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("inner")))
    });
    let service = layer.layer(inner).map_response(|response| response.map(boxed));
    let service = if input.outermost {
        let service = UpgradeLayer::outermost().layer(service);
        BoxCloneService::new(service.map_response(|response| response.map(boxed)))
    } else {
        BoxCloneService::new(service)
    };
    let (client, server) = tokio::io::duplex(usize::from(input.buffer) * 16 + 1);
    service::serve(input.server, Pieces::new(server, input.client_sizes.clone()), service);
    let received = input.sending.exchange(client, &input.request()).await;
    // The upstream leaves by then, whatever it waits for.
    runtime::wait_for_limits().await;
    assert_eq!(connections.active(), 0);
    let failures = failures.lock().unwrap();
    for kind in [UpgradeErrorKind::Panicked, UpgradeErrorKind::Switch, UpgradeErrorKind::NotEnabled]
    {
        assert!(!failures.contains(&kind), "{failures:?}");
    }
    input.check(&seen.lock().unwrap(), &received);
}

impl Input {
    /// The upstream: reads a request, answers, and reads on.
    async fn serve(&self, io: DuplexStream, seen: &Mutex<Seen>) {
        let (mut reader, mut writer) = tokio::io::split(io);
        if !self.upstream.at_once {
            // Until nothing comes any more.
            let mut bytes = Vec::new();
            while let Ok(Ok(1..)) =
                timeout(Duration::from_secs(2), reader.read_buf(&mut bytes)).await
            {}
            let mut seen = seen.lock().unwrap();
            seen.first = bytes.len();
            seen.bytes = bytes;
        }
        let answer = self.answer();
        let write = async {
            let mut rest = &answer[..];
            for &(size, waits) in &self.upstream.sizes {
                let (piece, behind) = rest.split_at(rest.len().min(size.into()));
                rest = behind;
                writer.write_all(piece).await.ok();
                if waits {
                    runtime::settle().await;
                }
            }
            writer.write_all(rest).await.ok();
            match self.upstream.end {
                UpstreamEnd::Waits => {}
                UpstreamEnd::Shutdown | UpstreamEnd::Drop => drop(writer.shutdown().await),
            }
        };
        let read = async {
            let mut bytes = [0; 64];
            while let Ok(read @ 1..) = reader.read(&mut bytes).await {
                seen.lock().unwrap().bytes.extend(&bytes[..read]);
            }
        };
        let limit = Duration::from_secs(3000);
        if self.upstream.end == UpstreamEnd::Drop {
            let read = async {
                read.await;
                std::future::pending::<()>().await;
            };
            let first = async { tokio::select!(() = write => {}, () = read => {}) };
            timeout(limit, first).await.ok();
        } else {
            timeout(limit, async { tokio::join!(write, read) }).await.ok();
        }
    }

    fn check(&self, seen: &Seen, received: &[u8]) {
        assert!(seen.connections <= 1);
        let switched = received.starts_with(b"HTTP/1.1 101 ")
            || received.starts_with(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 ");
        // Only the request goes up before the upstream answers.
        let of_request = end_of_head(&seen.bytes).map(|end| end + self.body.len());
        if let Some(end) = of_request.filter(|_| !self.upstream.at_once) {
            assert!(seen.first <= end, "{}", seen.bytes.escape_ascii());
        }
        let behind = of_request.and_then(|end| seen.bytes.get(end..)).unwrap_or_default();
        if !switched && self.sending.end != End::Drop {
            assert_eq!(behind, b"");
        }
        // In the protocol, the upstream gets the client's bytes from the first one on.
        assert!(self.early.starts_with(behind), "{}", behind.escape_ascii());

        let answer = self.answer();
        if switched {
            let (end, is_right) = self.judge(&answer).expect("a 101 for the client alone");
            assert!(is_right, "{}", answer.escape_ascii());
            let skipped = if received[9..].starts_with(b"100") { 25 } else { 0 };
            let Some(at) = end_of_head(&received[skipped..]).map(|at| skipped + at) else {
                assert_ne!(self.sending.end, End::Shutdown, "{}", received.escape_ascii());
                return;
            };
            assert!(answer[end..].starts_with(&received[at..]), "{}", received.escape_ascii());
            let undisturbed =
                self.sending.end == End::Shutdown && self.upstream.end == UpstreamEnd::Waits;
            if undisturbed {
                assert_eq!(answer[end..].len(), received[at..].len());
                assert_eq!(behind.len(), self.early.len(), "{}", seen.bytes.escape_ascii());
            }
        } else if self.sending.end == End::Shutdown && seen.connections == 1 {
            // A right 101 reaches the client, perhaps behind empty lines and responses with 100 and 103.
            let mut parts = self.upstream.answer.iter();
            let passes = |part: &&Part| matches!(part, Part::End | Part::Line(3 | 4));
            if let Some(Part::Right) = parts.find(|part| !passes(part)) {
                let is_slow = self.upstream.sizes.iter().filter(|(_, waits)| *waits).count() > 2;
                let is_early = self.upstream.at_once || self.upstream.end != UpstreamEnd::Waits;
                assert!(is_slow || is_early, "{}", received.escape_ascii());
            }
        }
    }

    /// Where the head of the upstream's answer ends, if it is a 101 that hyper can read, and whether it is
    /// the right one.
    fn judge(&self, answer: &[u8]) -> Option<(usize, bool)> {
        let mut start = 0;
        loop {
            let end = start + end_of_head(&answer[start..])?;
            let head = String::from_utf8_lossy(&answer[start..end]);
            let status = head.trim_start().strip_prefix("HTTP/1.").and_then(|it| it.get(2..5));
            if ["100", "102", "103"].contains(&status.unwrap_or_default()) {
                start = end;
                continue;
            }
            if status != Some("101") {
                return None;
            }
            let values = |wanted: &str| -> Vec<&str> {
                let lines = head.lines().filter_map(|line| line.split_once(':'));
                let lines = lines.filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
                let members = lines.flat_map(|(_, list)| list.split(',')).map(str::trim);
                members.filter(|member| !member.is_empty()).collect()
            };
            let protocol = if self.websocket { "websocket" } else { "foo" };
            let is_right = values("connection").iter().any(|it| it.eq_ignore_ascii_case("upgrade"))
                && matches!(values("upgrade")[..], [it] if it.eq_ignore_ascii_case(protocol))
                && (!self.websocket
                    || values("sec-websocket-accept") == ["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]);
            return Some((end, is_right));
        }
    }
}

/// Where the empty line behind a head ends. hyper takes a line feed for the end of a line, and skips empty
/// lines before a head.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let start = bytes.iter().position(|byte| !b"\r\n".contains(byte))?;
    let ends = |at: usize| {
        let behind = &bytes[at..];
        [&b"\n\r\n"[..], b"\n\n"]
            .into_iter()
            .find(|it| behind.starts_with(it))
            .map(|it| at + it.len())
    };
    (start..bytes.len()).find_map(ends)
}
