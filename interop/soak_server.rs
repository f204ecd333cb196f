//! The server of interop/soak.sh: everything that the crate does, on one port.
//!
//! - An offer of `foo` goes to a handler, whose path chooses what it does.
//! - An offer of `tun` goes through a tunnel to a second server in this process.
//! - An offer of `h2c` continues in HTTP/2. Extended CONNECT is an offer, too.
//! - `POST /rotate` puts a new layer in the place of the old one, whose connections are told to end over one
//!   second and are aborted after two more. It answers when they have ended.
//! - `GET /stats` sums up all layers so far, and counts the failures of each kind.
#![allow(clippy::unwrap_used, reason = "a server of a test that cannot go on should stop")]
#![allow(clippy::print_stdout, reason = "a program that a script reads")]

use std::{
    collections::BTreeMap,
    convert::Infallible,
    env, io,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tower::{Layer, ServiceExt, service_fn};
use tower_upgrade::{
    BoxError, Switch, UpgradeHandler, UpgradeLayer, Upgraded,
    h2c::{H2c, RequestBody},
    tunnel::Tunnel,
};

/// The panics that handlers are asked for.
const PANIC: &str = "as asked";

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload().downcast_ref() != Some(&PANIC) {
            print(panic);
        }
    }));
    let upstream = TcpListener::bind("127.0.0.1:0").await?;
    let server = Arc::new(Server::new(Some(format!("http://{}", upstream.local_addr()?))));
    tokio::spawn(accept(upstream, Arc::new(Server::new(None))));
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into());
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        () = accept(listener, Arc::clone(&server)) => {}
        _ = terminate.recv() => server.rotate().await,
    }
    Ok(())
}

async fn accept(listener: TcpListener, server: Arc<Server>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, say.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            let service = service_fn(move |request| Arc::clone(&server).answer(request));
            let mut builder = auto::Builder::new(TokioExecutor::new());
            builder.http2().enable_connect_protocol();
            let service = UpgradeLayer::outermost().layer(service);
            let service = TowerToHyperService::new(service);
            // A client that breaks off is no news.
            builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await.is_ok()
        });
    }
}

type Failures = Arc<Mutex<BTreeMap<String, u64>>>;

type Answer = Response<http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>>;

struct Server {
    /// Where the tunnel leads to. Without it, this is that server.
    upstream: Option<String>,
    layer: Mutex<UpgradeLayer>,
    /// The counts of the layers that were replaced.
    counts: Mutex<BTreeMap<&'static str, u64>>,
    failures: Failures,
}

impl Server {
    fn new(upstream: Option<String>) -> Self {
        let failures = Failures::default();
        let layer = Mutex::new(layer(upstream.as_deref(), &failures));
        Self { upstream, layer, counts: Mutex::default(), failures }
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Answer, Infallible> {
        let plain = |text: String| {
            Response::new(Full::from(text).map_err(|never| match never {}).boxed_unsync())
        };
        match request.uri().path() {
            "/rotate" => {
                self.rotate().await;
                return Ok(plain("rotated".into()));
            }
            "/stats" => return Ok(plain(self.stats())),
            _ => {}
        }
        let layer = self.layer.lock().unwrap().clone();
        let response = layer.layer(service_fn(hello)).oneshot(request).await?;
        Ok(response.map(BodyExt::boxed_unsync))
    }

    async fn rotate(&self) {
        let new = layer(self.upstream.as_deref(), &self.failures);
        let old = std::mem::replace(&mut *self.layer.lock().unwrap(), new);
        let (spread, deadline) = (Duration::from_secs(1), Duration::from_secs(3));
        let shutdown = old.connections().shutdown_over(spread, deadline).await;
        assert_eq!(shutdown.remaining, 0);
        for (name, count) in counts(&old) {
            *self.counts.lock().unwrap().entry(name).or_default() += count;
        }
    }

    /// Lines of a name and a number.
    fn stats(&self) -> String {
        let mut sum = self.counts.lock().unwrap().clone();
        for (name, count) in counts(&self.layer.lock().unwrap()) {
            *sum.entry(name).or_default() += count;
        }
        let failures = self.failures.lock().unwrap();
        let failures = failures.iter().map(|(name, count)| (&**name, *count));
        let counts = sum.into_iter().chain(failures);
        let lines: Vec<_> = counts.map(|(name, count)| format!("{name} {count}\n")).collect();
        lines.concat()
    }
}

fn layer(upstream: Option<&str>, failures: &Failures) -> UpgradeLayer {
    let failures = Arc::clone(failures);
    let layer = match upstream {
        Some(upstream) => UpgradeLayer::new().on("tun", Tunnel::to(upstream).expect("a URL")),
        None => UpgradeLayer::new().on("tun", foo),
    };
    let h2c = H2c::new(service_fn(hello::<RequestBody>));
    layer
        .on("foo", foo.with_body_limit(1024))
        .on("h2c", h2c)
        .extended_connect()
        .handshake_timeout(Duration::from_secs(1))
        .max_connections_per(|head| head.headers.get("x-key").cloned(), 2)
        .on_failure(move |error| {
            let kind = format!("{:?}", error.kind());
            *failures.lock().unwrap().entry(kind).or_default() += 1;
        })
}

fn counts(layer: &UpgradeLayer) -> [(&'static str, u64); 5] {
    let stats = layer.connections().stats();
    [
        ("active", stats.active as u64),
        ("switched", stats.switched),
        ("rejected", stats.rejected),
        ("at_key_capacity", stats.at_key_capacity),
        ("drained", stats.drained),
    ]
}

async fn hello<B>(request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible>
where
    B: http_body::Body,
{
    let text = if request.into_body().collect().await.is_ok() { "hello" } else { "broken" };
    Ok(Response::new(Full::from(text)))
}

async fn foo(request: Request<Bytes>) -> Result<Switch, StatusCode> {
    match request.uri().path() {
        "/reject" => Err(StatusCode::FORBIDDEN),
        "/panic" => std::panic::panic_any(PANIC),
        "/never" => std::future::pending().await,
        "/fail" => Ok(Switch::to(|_io: Upgraded| async { Err::<(), _>(io::Error::other(PANIC)) })),
        "/stuck" => Ok(Switch::to(|io: Upgraded| echo(io, false))),
        _ => Ok(Switch::to(|io: Upgraded| echo(io, true))),
    }
}

/// Echoes until the client leaves, or until a drain if it is heard.
async fn echo(mut io: Upgraded, hears: bool) {
    let draining = io.draining();
    let told = async {
        if hears {
            draining.await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    let mut bytes = [0; 4096];
    let echo = async {
        // A reset is the client's way to leave here.
        while let Ok(read @ 1..) = io.read(&mut bytes).await {
            if io.write_all(&bytes[..read]).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = echo => {}
        () = told => {}
    }
}
