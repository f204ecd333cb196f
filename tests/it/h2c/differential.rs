//! Thousands of generated requests, each sent in plain HTTP/1.1 and with an offer of h2c: the service
//! sees the same.

use std::{
    fmt::Write,
    hash::{DefaultHasher, Hash, Hasher},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Version, header};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tower::{Layer, service_fn, util::MapRequestLayer};
use tower_upgrade::{
    UpgradeLayer,
    h2c::{H2c, RequestBody},
};

use super::support::*;
use crate::support::*;

const REQUESTS: u64 = 5_000;

/// Xorshift: the same numbers in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }

    fn one_in(&mut self, number: usize) -> bool {
        self.below(number) == 0
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// A request: its first line and headers, and then its body.
struct Generated {
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Generated {
    fn with(&self, lines: &str) -> Vec<u8> {
        [&self.head, lines.as_bytes(), b"\r\n", &self.body].concat()
    }
}

fn generate(numbers: &mut Numbers) -> Generated {
    let methods = ["GET", "GET", "POST", "POST", "PUT", "HEAD", "DELETE", "PATCH", "M-SEARCH"];
    let mut method = numbers.one_of(&methods);
    let mut target = Vec::new();
    match numbers.below(8) {
        0 => {
            method = "OPTIONS";
            target.push(b'*');
        }
        1 => target.extend(numbers.one_of(&[
            &b"http://b.test/x"[..],
            b"http://b.test",
            b"http://b.test:81/?",
            b"https://b.test/x?y=http://c.test/",
        ])),
        _ => {
            target.push(b'/');
            for _ in 0..numbers.below(12) {
                let pieces: [&[u8]; 11] =
                    [b"a", b"/", b"?", b"=", b"&", b"%2f", b"%zz", b"\xc3\xa9", b"{", b"|", b"^"];
                target.extend(numbers.one_of(&pieces));
            }
        }
    }
    let host = numbers.one_of(&["a.test", "a.test:80", "[::1]:1", "127.0.0.1", "%2ftmp%2fx.sock"]);
    let mut lines = vec![format!("Host: {host}").into_bytes()];
    for _ in 0..numbers.below(10) {
        let line = numbers.one_of(&[
            &b"X-One: 1"[..],
            b"x-one: 2",
            b"X-Two:",
            b"X-Three: \xe9",
            b"Cookie: a=1; b=2",
            b"Cookie: c=3",
            b"Accept: text/html, */*;q=0.8",
            b"TE: trailers",
            b"TE: gzip;q=0.5",
            b"TE: deflate, Trailers",
            b"X-Real-Ip: 10.0.0.1",
            b"Authorization: Basic eDp5",
            b"Connection: X-Real-Ip, X-One",
            b"Connection: keep-alive",
            b"Connection:",
            b"Keep-Alive: timeout=5",
            b"Proxy-Connection: keep-alive",
            b"Trailer: x-sum",
            b"Content-Type: text/plain",
            b"X-Long: 0123456789012345678901234567890123456789012345678901234567890123456789",
        ]);
        lines.push(line.to_vec());
    }
    let mut body: Vec<u8> = Vec::new();
    let bytes =
        if numbers.one_in(50) { 65_536 } else { numbers.one_of(&[0, 1, 5, 24, 300, 2_000]) };
    let content: Vec<u8> =
        (0..bytes).map(|_| numbers.one_of(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")).collect();
    match numbers.below(3) {
        0 => {}
        1 => {
            let zeros = numbers.one_of(&["", "", "0", "000000000000000000"]);
            lines.push(format!("Content-Length: {zeros}{bytes}").into_bytes());
            body = content;
        }
        _ => {
            lines.push(b"Transfer-Encoding: chunked".to_vec());
            let mut rest = &content[..];
            while !rest.is_empty() {
                let (chunk, behind) = rest.split_at(1 + numbers.below(rest.len()));
                write_chunk(&mut body, chunk, numbers.one_in(4));
                rest = behind;
            }
            body.extend(b"0\r\n");
            if numbers.one_in(3) {
                body.extend(b"X-Sum: 1\r\nX-Sum: 2\r\n");
            }
            body.extend(b"\r\n");
        }
    }
    if !body.is_empty() && numbers.one_in(4) {
        lines.push(b"Expect: 100-continue".to_vec());
    }
    // In any order.
    for at in (1..lines.len()).rev() {
        lines.swap(at, numbers.below(at + 1));
    }
    let mut head = [method.as_bytes(), b" ", &target, b" HTTP/1.1\r\n"].concat();
    for line in lines {
        head.extend(line);
        head.extend(b"\r\n");
    }
    Generated { head, body }
}

fn write_chunk(body: &mut Vec<u8>, chunk: &[u8], with_extension: bool) {
    let extension = if with_extension { ";a=b" } else { "" };
    body.extend(format!("{:x}{extension}\r\n", chunk.len()).bytes());
    body.extend(chunk);
    body.extend(b"\r\n");
}

/// A layer around the server put it there.
#[derive(Clone)]
struct Peer(u64);

/// Everything that a service sees of a request, but for the version and what was about the
/// connection.
async fn report<B>(request: Request<B>) -> String
where
    B: Body<Data = Bytes, Error: std::fmt::Debug>,
{
    const OF_THE_CONNECTION: [&str; 8] = [
        "host",
        "te",
        "connection",
        "upgrade",
        "http2-settings",
        "keep-alive",
        "proxy-connection",
        "transfer-encoding",
    ];
    let (head, body) = request.into_parts();
    // HTTP/2 knows one member of TE.
    let mut te = head.headers.get_all(header::TE).iter();
    let trailers = te.any(|te| te.to_str().unwrap().to_lowercase().contains("trailers"));
    let uri = &head.uri;
    let host = head.headers.get(header::HOST).map(|host| host.to_str().unwrap());
    let host = uri.authority().map_or(host, |authority| Some(authority.as_str()));
    let mut text = format!(
        "{} {} {host:?} {:?} {} {trailers}\n",
        head.method,
        uri.scheme_str().unwrap_or("http"),
        uri.path_and_query(),
        head.extensions.get::<Peer>().unwrap().0,
    );
    let mut write = |headers: &HeaderMap| {
        for (name, value) in headers {
            if !OF_THE_CONNECTION.contains(&name.as_str()) {
                writeln!(text, "{name}: {value:?}").unwrap();
            }
        }
    };
    write(&head.headers);
    let body = body.collect().await.unwrap();
    write(&body.trailers().cloned().unwrap_or_default());
    let body = body.to_bytes();
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    writeln!(text, "{} {:x}", body.len(), hasher.finish()).unwrap();
    text
}

#[tokio::test(start_paused = true)]
async fn a_service_sees_the_same_request_with_and_without_the_offer() {
    let log = Log::default();
    let reports = log.clone();
    let service = service_fn(move |request: Request<RequestBody>| {
        let reports = reports.clone();
        Box::pin(async move {
            let version = request.version();
            let text = report(request).await;
            reports.push(format!("{version:?} {text}"));
            Ok(Response::new(Full::from("ok")))
        }) as Answer
    });
    let layer = UpgradeLayer::new().on("h2c", H2c::new(service.clone()));
    let seed = 0x9e37_79b9_7f4a_7c15;
    let mut numbers = Numbers(seed);
    let mut upgraded = 0;
    for number in 0..REQUESTS {
        let peer = MapRequestLayer::new(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer(number));
            request
        });
        let service = peer.layer(layer.layer(http1(service.clone())));
        let request = generate(&mut numbers);
        // The plain request has the last lines too, so that none has another place.
        let plain = "X-Last: 1\r\n";
        let lines = format!("{}X-Last: 1\r\n", offer());
        let mut reported = Vec::new();
        for bytes in [request.with(plain), request.with(&lines)] {
            let mut wire = Wire::serve(service.clone());
            wire.send(&bytes).await;
            settle().await;
            reported.push(log.take());
        }
        let head = request.head.escape_ascii().to_string();
        let [plain, offered] = &reported[..] else { unreachable!() };
        let without_version = |reports: &[String]| {
            reports.iter().map(|report| report[8..].to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(plain.len(), 1, "{head}");
        assert_eq!(without_version(plain), without_version(offered), "{head}");
        upgraded += usize::from(offered[0].starts_with(&format!("{:?}", Version::HTTP_2)));
    }
    assert_eq!(upgraded as u64, REQUESTS, "requests that were upgraded");
}
