//! A client of HTTP/2 that opens tunnels by extended CONNECT.

use std::future::Future;

use bytes::Bytes;
use http::{Request, Response, StatusCode, Version};
use http_body::Body;
use http_body_util::{BodyExt, Empty};
use hyper::{
    body::Incoming,
    client::conn::http2::{SendRequest, handshake},
    ext::Protocol,
    server::conn::http2,
    upgrade::Upgraded,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tower::{Service, util::BoxCloneService};
use tower_upgrade::BoxError;

use crate::support::*;

pub(crate) type Tunnel = TokioIo<Upgraded>;

/// The client's end of a connection.
pub(crate) struct Client(SendRequest<Empty<Bytes>>);

impl Client {
    /// Serves one connection with hyper's HTTP/2, which announces extended CONNECT.
    pub(crate) async fn serve<S, B>(service: S) -> Self
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<BoxError> + Send + Sync + 'static,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        // In a box: the compiler cannot build the type incrementally otherwise.
        let service = BoxCloneService::new(service);
        Self::of(|io| {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.enable_connect_protocol();
            builder.serve_connection(TokioIo::new(io), TowerToHyperService::new(service))
        })
        .await
    }

    /// The client's end of a connection that a future serves.
    pub(crate) async fn of<F, E>(serve: impl FnOnce(DuplexStream) -> F) -> Self
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Send + 'static,
    {
        let (client, server) = tokio::io::duplex(1 << 16);
        tokio::spawn(serve(server));
        Self::over(client).await
    }

    /// A client on a connection that is served.
    pub(crate) async fn over<T>(io: T) -> Self
    where
        T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(io)).await.unwrap();
        tokio::spawn(connection);
        // Until the server's settings are there.
        settle().await;
        Self(sender)
    }

    pub(crate) async fn send(&mut self, request: Request<()>) -> Answer {
        self.sending(request).await
    }

    /// The same as a future that is independent of the client.
    pub(crate) fn sending(
        &mut self,
        request: Request<()>,
    ) -> impl Future<Output = Answer> + Send + 'static + use<> {
        let response = self.0.send_request(request.map(|()| Empty::new()));
        async { Answer::of(response.await.unwrap()).await }
    }

    /// Sends an extended CONNECT for `/x`.
    pub(crate) async fn connect(&mut self, protocol: &'static str) -> Answer {
        self.send(connect(protocol, "/x", &[])).await
    }

    /// Sends a request whose stream may be reset.
    pub(crate) async fn send_raw(
        &mut self,
        request: Request<()>,
    ) -> hyper::Result<Response<Incoming>> {
        self.0.send_request(request.map(|()| Empty::new())).await
    }
}

/// An extended CONNECT.
pub(crate) fn connect(
    protocol: &'static str,
    path: &str,
    headers: &[(&'static str, &'static str)],
) -> Request<()> {
    let request = Request::connect(format!("http://a.test{path}")).version(Version::HTTP_2);
    let request = request.extension(Protocol::from_static(protocol));
    let request =
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(()).unwrap()
}

/// A response, and the tunnel behind it.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// All headers but `date`, as `name: value`, sorted.
    pub(crate) headers: Vec<String>,
    pub(crate) text: String,
    pub(crate) tunnel: Option<Tunnel>,
}

impl Answer {
    async fn of(response: Response<Incoming>) -> Self {
        let status = response.status();
        let mut headers: Vec<_> = response
            .headers()
            .iter()
            .filter(|(name, _)| *name != "date")
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        headers.sort();
        let (tunnel, text) =
            if status.is_success() && response.headers().get("content-length").is_none() {
                (hyper::upgrade::on(response).await.ok().map(TokioIo::new), String::new())
            } else {
                let body = response.into_body().collect().await.unwrap().to_bytes();
                (None, String::from_utf8_lossy(&body).into_owned())
            };
        Self { status, headers, text, tunnel }
    }

    #[track_caller]
    pub(crate) fn is(&self, status: u16, headers: &[&str]) -> &Self {
        assert_eq!(
            (self.status.as_u16(), &self.headers[..]),
            (status, &headers.map_to_strings()[..])
        );
        self
    }

    #[track_caller]
    pub(crate) fn tunnel(&mut self) -> &mut Tunnel {
        self.tunnel.as_mut().unwrap()
    }

    /// Sends bytes into the tunnel, and returns those that come back until all tasks are idle.
    pub(crate) async fn exchange(&mut self, bytes: &str) -> String {
        self.tunnel().write_all(bytes.as_bytes()).await.unwrap();
        self.receive().await.0
    }

    /// Returns the bytes that come, and whether the stream has ended.
    pub(crate) async fn receive(&mut self) -> (String, bool) {
        let tunnel = self.tunnel();
        let mut bytes = Vec::new();
        while let Ok(read) = tokio::time::timeout(QUIET, tunnel.read_buf(&mut bytes)).await {
            if read.unwrap_or(0) == 0 {
                return (String::from_utf8(bytes).unwrap(), true);
            }
        }
        (String::from_utf8(bytes).unwrap(), false)
    }
}

trait MapToStrings {
    fn map_to_strings(&self) -> Vec<String>;
}

impl MapToStrings for [&str] {
    fn map_to_strings(&self) -> Vec<String> {
        self.iter().map(|&text| text.to_owned()).collect()
    }
}
