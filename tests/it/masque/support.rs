//! A client of both proxies, by `Upgrade` in HTTP/1.1 and by extended CONNECT in HTTP/2.

use std::{future::Future, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::{
    body::Incoming,
    client::conn::http2::{SendRequest, handshake},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};
use tower::{Layer, service_fn};
use tower_upgrade::UpgradeLayer;

use super::{elsewhere::elsewhere, proxy::Proxy, tcp, udp};
use crate::{
    extended_connect::support::connect,
    support::{Inner, Log, Wire, describe},
};

/// Both proxies.
pub(crate) fn layer(proxy: Proxy, log: &Log) -> UpgradeLayer {
    let log = log.clone();
    UpgradeLayer::new()
        .on("connect-udp", udp::handler(proxy.clone()))
        .on("connect-tcp", tcp::handler(proxy))
        .on_failure(move |error| log.push(describe(&error)))
        .extended_connect()
}

/// The service of both examples.
pub(crate) fn service(layer: &UpgradeLayer) -> tower_upgrade::Upgrade<Inner> {
    layer.layer(Inner::new(service_fn(elsewhere)))
}

/// A connection of HTTP/1.1, for raw bytes.
pub(crate) fn wire() -> Wire {
    Wire::serve(service(&layer(Proxy::default(), &Log::default())))
}

/// A request for a tunnel of HTTP/1.1.
pub(crate) fn offer(protocol: &str, path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n"
    )
}

/// The path of a tunnel to a port of 127.0.0.1.
pub(crate) fn path(protocol: &str, port: u16) -> String {
    format!("/.well-known/masque/{}/127.0.0.1/{port}/", protocol.strip_prefix("connect-").unwrap())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Http {
    One,
    Two,
}

pub(crate) const BOTH: [Http; 2] = [Http::One, Http::Two];

pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// The answer to a request for a tunnel.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// All headers but `date` and those of a connection of HTTP/1.1, as `name: value`, sorted.
    pub(crate) headers: Vec<String>,
    io: Box<dyn Io>,
    _client: Option<SendRequest<Empty<Bytes>>>,
}

/// Asks for a tunnel on a connection of its own, which is a pipe.
pub(crate) async fn ask(
    http: Http,
    layer: &UpgradeLayer,
    protocol: &'static str,
    path: &str,
) -> Answer {
    let (client, server) = tokio::io::duplex(1 << 16);
    ask_over(http, layer, protocol, path, client, server).await
}

/// The same on a connection that is given.
pub(crate) async fn ask_over<T: Io + 'static>(
    http: Http,
    layer: &UpgradeLayer,
    protocol: &'static str,
    path: &str,
    client: T,
    server: T,
) -> Answer {
    let service = TowerToHyperService::new(service(layer));
    tokio::spawn(async {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http2().enable_connect_protocol();
        builder.serve_connection_with_upgrades(TokioIo::new(server), service).await.ok();
    });
    in_time(async {
        match http {
            Http::One => ask_one(client, &offer(protocol, path)).await,
            Http::Two => ask_two(client, protocol, path).await,
        }
    })
    .await
}

async fn ask_one(mut io: impl Io + 'static, request: &str) -> Answer {
    io.write_all(request.as_bytes()).await.unwrap();
    let head = read_head(&mut io).await;
    let status = head.strip_prefix("HTTP/1.1 ").unwrap()[..3].parse().unwrap();
    let headers = head.lines().skip(1).filter(|line| !line.is_empty()).map(str::to_owned);
    Answer { status, headers: end_to_end(headers), io: Box::new(io), _client: None }
}

/// Reads up to the end of a head.
pub(crate) async fn read_head(io: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(io.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn ask_two(io: impl Io + 'static, protocol: &'static str, path: &str) -> Answer {
    let (mut client, connection) = handshake(TokioExecutor::new(), TokioIo::new(io)).await.unwrap();
    tokio::spawn(connection);
    // The server's settings, without which there is no extended CONNECT, come before any answer.
    let request = Request::get("http://a.test/").body(Empty::<Bytes>::new()).unwrap();
    let response: Response<Incoming> = client.send_request(request).await.unwrap();
    assert_eq!(response.status(), 404);
    let request = connect(protocol, path, &[]).map(|()| Empty::new());
    let response = client.send_request(request).await.unwrap();
    let status = response.status().as_u16();
    let headers = response.headers().iter();
    let headers = headers.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
    let headers = end_to_end(headers);
    let io: Box<dyn Io> = if status == 200 {
        Box::new(TokioIo::new(hyper::upgrade::on(response).await.unwrap()))
    } else {
        drop(response.into_body().collect().await.unwrap());
        Box::new(tokio::io::empty())
    };
    Answer { status, headers, io, _client: Some(client) }
}

fn end_to_end(headers: impl Iterator<Item = String>) -> Vec<String> {
    let of_the_connection = ["date: ", "connection: ", "upgrade: "];
    let is_other = |line: &String| !of_the_connection.iter().any(|start| line.starts_with(start));
    let mut headers: Vec<_> = headers.filter(is_other).collect();
    headers.sort();
    headers
}

impl Answer {
    #[track_caller]
    pub(crate) fn is(&self, status: u16, headers: &[&str]) {
        let given: Vec<_> = self.headers.iter().map(String::as_str).collect();
        assert_eq!((self.status, &given[..]), (status, headers));
    }

    /// Returns the tunnel, which has to be open.
    #[track_caller]
    pub(crate) fn tunnel(&mut self) -> &mut dyn Io {
        assert!([101, 200].contains(&self.status), "{}: {:?}", self.status, self.headers);
        &mut *self.io
    }

    pub(crate) fn into_tunnel(self) -> Box<dyn Io> {
        self.io
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        in_time(self.tunnel().write_all(bytes.as_ref())).await.unwrap();
    }

    /// Ends the client's side.
    pub(crate) async fn finish(&mut self) {
        in_time(self.tunnel().shutdown()).await.unwrap();
    }

    /// Reads as many bytes as are expected, and compares them.
    #[track_caller]
    pub(crate) fn expect<'a>(&'a mut self, expected: &'a [u8]) -> impl Future<Output = ()> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let mut read = vec![0; expected.len()];
            in_time(self.tunnel().read_exact(&mut read)).await.unwrap();
            assert!(read == expected, "{caller}: {:?}", String::from_utf8_lossy(&read));
        }
    }

    /// Reads to the end, which is not a reset.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        in_time(self.tunnel().read_to_end(&mut rest)).await.unwrap();
        rest
    }
}

/// Fails the test if something does not happen, instead of waiting for ever. No test passes by it.
#[track_caller]
pub(crate) fn in_time<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    async move {
        let output = timeout(Duration::from_secs(60), future).await;
        output.unwrap_or_else(|_| panic!("{caller}: it does not happen"))
    }
}

/// Waits until no tunnel is left.
pub(crate) async fn until_idle(layer: &UpgradeLayer) {
    in_time(async {
        while layer.connections().active() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}
