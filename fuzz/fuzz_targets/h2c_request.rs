//! Any request that upgrades to HTTP/2: its service sees what it sees of the same request without the offer,
//! and the client's own streams are never taken for it.
#![no_main]

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, Version, header};
use http_body_util::{BodyExt, Full};
use libfuzzer_sys::{
    arbitrary::{self, Arbitrary},
    fuzz_target,
};
use tower::{Layer, ServiceExt, service_fn, util::BoxCloneService};
use tower_upgrade::{
    UpgradeErrorKind, UpgradeLayer,
    h2c::{H2c, RequestBody, RequestBodyLayer},
};
use tower_upgrade_fuzz::{
    client::{End, Sending},
    frames::{self, END_HEADERS, END_STREAM, HEADERS, SETTINGS},
    input::{Body, Line, Server, of},
    pieces::Pieces,
    runtime,
    service::{self, Served, boxed},
};

#[derive(Arbitrary, Debug)]
struct Input {
    method: u8,
    target: Target,
    host: Host,
    lines: Vec<Line>,
    headers: Vec<(u8, Vec<u8>)>,
    body: Body,
    sizes: Vec<u8>,
    buffer: u8,
    sending: Sending,
    /// HTTP/2 takes no more bytes of headers.
    limit: Option<u8>,
    /// A stream of the client's own, and any bytes.
    third: bool,
    bytes: Vec<u8>,
}

#[derive(Arbitrary, Debug)]
enum Target {
    Known(u8),
    Path(Vec<u8>),
}

#[derive(Arbitrary, Debug)]
enum Host {
    Known(u8),
    Any(Vec<u8>),
}

impl Input {
    fn request(&self, offer: &str) -> Vec<u8> {
        let visible = |bytes: &[u8]| -> Vec<u8> {
            bytes.iter().copied().filter(|&it| it > b' ' && it != 127).collect()
        };
        let method = of(self.method, &["GET", "POST", "HEAD", "PUT", "OPTIONS", "TRACE", "BREW"]);
        let mut bytes = format!("{method} ").into_bytes();
        match &self.target {
            Target::Known(which) => bytes.extend(
                of(
                    *which,
                    &[
                        "/",
                        "*",
                        "http://b.test",
                        "http://b.test:81/?x",
                        "https://u@b.test/",
                        "/a?b",
                    ],
                )
                .bytes(),
            ),
            Target::Path(path) => bytes.extend([b"/", &visible(path)[..]].concat()),
        }
        bytes.extend(b" HTTP/1.1\r\nHost: ");
        match &self.host {
            Host::Known(which) => bytes.extend(
                of(*which, &["a.test", "a.test:80", "[::1]:1", "%2ftmp%2fx.sock", "", "A.test:"])
                    .bytes(),
            ),
            Host::Any(host) => bytes.extend(visible(host)),
        }
        bytes.extend(b"\r\n");
        for line in &self.lines {
            // Another offer would not be the same request.
            if let Line::Other(_) = line {
                line.write(&mut bytes);
            }
        }
        for (name, value) in &self.headers {
            let Ok(value) = HeaderValue::from_bytes(value) else {
                continue;
            };
            let name =
                of(*name, &["X-One", "Cookie", "TE", "Keep-Alive", "Trailer", "x-two", "Via"]);
            bytes.extend([name.as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        bytes.extend(offer.bytes());
        self.body.write(&mut bytes);
        bytes
    }

    async fn exchange(&self, service: Served, bytes: &[u8]) -> Vec<u8> {
        let (client, server) = tokio::io::duplex(usize::from(self.buffer) * 64 + 1);
        service::serve(Server::Http1, Pieces::new(server, self.sizes.clone()), service);
        self.sending.exchange(client, bytes).await
    }
}

fuzz_target!(|input: Input| runtime::run(check(&input)));

type Reports = Arc<Mutex<Vec<(Version, Report)>>>;

async fn check(input: &Input) {
    let reports = Reports::default();
    let app = {
        let reports = Arc::clone(&reports);
        service_fn(move |request: Request<RequestBody>| {
            let reports = Arc::clone(&reports);
            Box::pin(async move {
                let version = request.version();
                if let Some(report) = Report::of(request).await {
                    reports.lock().unwrap().push((version, report));
                }
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("answer")))
            }) as std::pin::Pin<Box<dyn Future<Output = _> + Send>>
        })
    };
    let mut h2c = H2c::new(app.clone());
    if let Some(limit) = input.limit {
        h2c = h2c.http2(|http2| {
            http2.max_header_list_size(limit.into());
        });
    }
    let layer = UpgradeLayer::new().on("h2c", h2c).on_failure(|error| {
        assert_ne!(error.kind(), UpgradeErrorKind::Panicked, "{error:?}");
    });
    let connections = layer.connections();
    let service = layer.layer(RequestBodyLayer::new().layer(app));
    let service = BoxCloneService::new(service.map_response(|response| response.map(boxed)));

    input.exchange(service.clone(), &input.request("X-Last: 1\r\n")).await;
    runtime::settle().await;
    let plain = std::mem::take(&mut *reports.lock().unwrap());
    let offer =
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n";
    let mut bytes = input.request(&format!("{offer}X-Last: 1\r\n"));
    bytes.extend(frames::PREFACE);
    frames::frame(&mut bytes, SETTINGS, 0, 0, &[]);
    if input.third {
        let headers: [(&str, &[u8]); 4] = [
            (":method", b"GET"),
            (":scheme", b"http"),
            (":path", b"/third-of-the-client"),
            (":authority", b"third.test"),
        ];
        let flags = END_HEADERS | END_STREAM;
        frames::frame(&mut bytes, HEADERS, flags, 3, &frames::block(&headers));
    }
    bytes.extend(&input.bytes);
    let received = input.exchange(service, &bytes).await;
    // A connection that lingers ends after some seconds.
    runtime::wait_for_limits().await;
    assert_eq!(connections.active(), 0);

    let offered = std::mem::take(&mut *reports.lock().unwrap());
    let is_third = |report: &Report| report.host.as_deref() == Some("third.test");
    let mut first: Vec<_> = offered.iter().filter(|(_, report)| !is_third(report)).collect();
    let switched = received.starts_with(b"HTTP/1.1 101 ")
        || received.starts_with(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 ");
    // With any bytes behind it, the client may send more requests.
    if input.bytes.is_empty() {
        assert!(first.len() <= 1, "{offered:?}");
        for (_, report) in offered.iter().filter(|(_, report)| is_third(report)) {
            assert!(report.headers.is_empty() && report.body.is_empty(), "{offered:?}");
        }
    }
    if input.sending.end != End::Shutdown {
        return;
    }
    if !switched {
        // In HTTP/1.1, the preface is no request.
        first.truncate(1);
    }
    match (&plain[..], &first[..]) {
        ([], []) => {}
        // Only its `Host` can be invalid, or HTTP/2 has refused stream 1.
        ([_plain], []) => {
            let is_refused = switched && (input.limit.is_some() || !input.bytes.is_empty());
            // So can its body, if the client is too slow. hyper does not flush the answer to an unread body,
            // so that it may be cut.
            let received =
                received.strip_prefix(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap_or(&received);
            let is_bad = received.starts_with(&b"HTTP/1.1 4"[..received.len().min(10)]);
            assert!(is_refused || is_bad, "{}", received.escape_ascii());
        }
        ([(_, plain)], [(version, offered), ..]) => {
            assert_eq!(plain, offered);
            assert_eq!(*version == Version::HTTP_2, switched);
        }
        _ => panic!("{plain:?} {offered:?}"),
    }
}

/// Everything that a service sees of a request, but for what was about the connection.
#[derive(Debug, PartialEq, Eq)]
struct Report {
    line: String,
    host: Option<String>,
    headers: Vec<(String, HeaderValue)>,
    trailers: Vec<(String, HeaderValue)>,
    accepts_trailers: bool,
    body: Bytes,
}

impl Report {
    /// Returns `None` if the body breaks.
    async fn of(request: Request<RequestBody>) -> Option<Self> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.ok()?;
        let mut te = head
            .headers
            .get_all(header::TE)
            .iter()
            .flat_map(|te| te.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii));
        let host = head.headers.get(header::HOST).map(|it| it.as_bytes());
        let host = head.uri.authority().map(|it| it.as_str().as_bytes()).or(host);
        Some(Self {
            line: format!("{} {:?}", head.method, head.uri.path_and_query()),
            host: host.map(|host| String::from_utf8_lossy(host).into_owned()),
            accepts_trailers: te.any(|it| it.eq_ignore_ascii_case(b"trailers")),
            headers: lines(&head.headers),
            trailers: body.trailers().map(lines).unwrap_or_default(),
            body: body.to_bytes(),
        })
    }
}

fn lines(headers: &HeaderMap) -> Vec<(String, HeaderValue)> {
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
    let lines = headers.iter().filter(|(name, _)| !OF_THE_CONNECTION.contains(&name.as_str()));
    lines.map(|(name, value)| (name.to_string(), value.clone())).collect()
}
