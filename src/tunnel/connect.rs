//! How a tunnel gets a connection to its upstream.

use std::{
    error::Error,
    fmt,
    future::{Future, poll_fn},
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use http::{Uri, request};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tower::Service;

use crate::error::BoxError;

/// Opens connections to an upstream, for [`Tunnel::new`](super::Tunnel::new).
///
/// It is implemented for functions and closures from the head of the client's request to a future of an
/// IO. Each call has to return a connection of its own, because a tunnel takes it whole and closes it at
/// its end.
///
/// See [`Tunnel::new`](super::Tunnel::new) for an example.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot open connections to an upstream",
    label = "not a connector",
    note = "a connector is a function or closure from `http::request::Parts` to a future of `Result<Io, E>`, \
            where `Io` is tokio's `AsyncRead + AsyncWrite`",
    note = "`Tunnel::to(url)` connects over TCP, and `Tunnel::with_connector` takes a `tower::Service<Uri>`"
)]
pub trait Connect: Send + Sync + 'static {
    /// A connection.
    type Io: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Opens a connection for a request of a client.
    ///
    /// The future is dropped if the client goes away, or if it takes longer than
    /// [`connect_timeout`](super::Tunnel::connect_timeout).
    fn connect(
        &self,
        head: request::Parts,
    ) -> impl Future<Output = Result<Self::Io, BoxError>> + Send;
}

impl<F, Fut, Io, E> Connect for F
where
    F: Fn(request::Parts) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Io, E>> + Send + 'static,
    Io: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    E: Into<BoxError>,
{
    type Io = Io;

    fn connect(
        &self,
        head: request::Parts,
    ) -> impl Future<Output = Result<Self::Io, BoxError>> + Send {
        let connecting = self(head);
        async { connecting.await.map_err(Into::into) }
    }
}

/// Connects over TCP, for [`Tunnel::to`](super::Tunnel::to).
#[derive(Clone, Debug)]
pub struct Tcp {
    pub(super) host: Box<str>,
    pub(super) port: u16,
}

impl Connect for Tcp {
    type Io = TcpStream;

    async fn connect(&self, _head: request::Parts) -> Result<TcpStream, BoxError> {
        let stream = TcpStream::connect((&*self.host, self.port)).await?;
        // The bytes come in the pieces that the client sent, and none is to wait for the next.
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// Connects to a Unix socket, for [`Tunnel::to_unix`](super::Tunnel::to_unix).
#[cfg(unix)]
#[derive(Clone, Debug)]
pub struct Unix {
    pub(super) path: Box<std::path::Path>,
}

#[cfg(unix)]
impl Connect for Unix {
    type Io = tokio::net::UnixStream;

    async fn connect(&self, _head: request::Parts) -> Result<Self::Io, BoxError> {
        Ok(tokio::net::UnixStream::connect(&self.path).await?)
    }
}

/// Connects by a tower service, for [`Tunnel::with_connector`](super::Tunnel::with_connector).
#[derive(Clone, Debug)]
pub struct Connector<S> {
    pub(super) url: Uri,
    pub(super) service: S,
}

impl<S> Connect for Connector<S>
where
    S: Service<Uri> + Clone + Send + Sync + 'static,
    S::Response: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    type Io = ConnectorIo<S::Response>;

    fn connect(
        &self,
        _head: request::Parts,
    ) -> impl Future<Output = Result<Self::Io, BoxError>> + Send {
        let (mut service, url) = (self.service.clone(), self.url.clone());
        async move {
            poll_fn(|cx| service.poll_ready(cx)).await.map_err(Into::into)?;
            let io = service.call(url).await.map_err(Into::into)?;
            Ok(ConnectorIo(TokioIo::new(io)))
        }
    }
}

/// A connection that a [`Connector`] has opened, as tokio's IO.
#[derive(Debug)]
pub struct ConnectorIo<Io>(TokioIo<Io>);

impl<Io> ConnectorIo<Io> {
    pub(super) fn get_ref(&self) -> &Io {
        self.0.inner()
    }
}

impl<Io> AsyncRead for ConnectorIo<Io>
where
    Io: hyper::rt::Read + Unpin,
{
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<Io> AsyncWrite for ConnectorIo<Io>
where
    Io: hyper::rt::Write + Unpin,
{
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }
}

/// The URL of an upstream, in its parts.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) url: Uri,
    pub(super) host: Box<str>,
    pub(super) port: Option<u16>,
}

impl Upstream {
    pub(super) fn parse(url: &str) -> Result<Self, InvalidUpstream> {
        let invalid = |why| InvalidUpstream { url: url.into(), why };
        let parsed: Uri = url.parse().map_err(|_| invalid("it is not a URL"))?;
        let authority = parsed.authority().filter(|_| parsed.scheme().is_some());
        let authority = authority
            .ok_or_else(|| invalid("it has no scheme and host, such as `http://127.0.0.1:9000`"))?;
        let (authority, port) = crate::host::parse(authority.as_str().as_bytes())
            .ok_or_else(|| invalid("its host is malformed, or has user information"))?;
        if parsed.query().is_some() {
            return Err(invalid("it has a query"));
        }
        // An IPv6 address is written in brackets, and looked up without them.
        let host = authority.host();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let host = host.into();
        Ok(Self { url: parsed, host, port })
    }

    pub(super) fn into_tcp(self) -> Result<Tcp, InvalidUpstream> {
        let Self { url, host, port } = self;
        if url.scheme_str() == Some("http") {
            return Ok(Tcp { host, port: port.unwrap_or(80) });
        }
        let why = "`Tunnel::to` connects to `http` only: give `Tunnel::with_connector` a connector \
                   that speaks TLS";
        Err(InvalidUpstream { url: url.to_string(), why })
    }
}

/// The error for a URL that cannot be an upstream.
///
/// # Example
///
/// ```
/// use tower_upgrade::tunnel::Tunnel;
///
/// let error = Tunnel::to("https://example.com").unwrap_err();
/// assert!(error.to_string().starts_with("`https://example.com/` cannot be an upstream"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidUpstream {
    url: String,
    why: &'static str,
}

impl fmt::Display for InvalidUpstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, why } = self;
        write!(f, "`{}` cannot be an upstream: {why}", url.escape_debug())
    }
}

impl Error for InvalidUpstream {}

impl From<InvalidUpstream> for io::Error {
    fn from(error: InvalidUpstream) -> Self {
        Self::new(io::ErrorKind::InvalidInput, error)
    }
}
