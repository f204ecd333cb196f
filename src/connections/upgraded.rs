//! The connection, once it speaks the new protocol.

#[cfg(feature = "h2c")]
use std::time::Duration;
use std::{
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper_util::{rt::TokioIo, server::conn::auto};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[cfg(feature = "h2c")]
use super::signal::Signal;
use super::{close::close, session::Session};
use crate::negotiation::protocol::Protocol;

/// A connection that was switched to another protocol.
///
/// Reads and writes the bytes of the new protocol with tokio's [`AsyncRead`] and [`AsyncWrite`],
/// vectored writes included. The first byte read is the first one after the request: bytes that the
/// client sent early, and that the HTTP server read ahead, come first. [`close`](Self::close) ends the
/// connection so that the client receives everything. Dropping it closes the socket at once.
///
/// # Cancel safety
///
/// It is that of the connection that the HTTP server was given. Nothing is buffered on top of it but
/// the bytes that were read ahead, and those stay until they are read.
///
/// # Example
///
/// ```
/// use bytes::Bytes;
/// use http::Request;
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// use tower_upgrade::{Switch, UpgradeLayer, Upgraded};
/// # use hyper::body::Incoming;
/// # use hyper_util::{rt::TokioIo, service::TowerToHyperService};
/// # use tower::Layer;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let layer = UpgradeLayer::new().on("ping/*", |_request: Request<Bytes>| async {
///     Switch::to(|mut io: Upgraded| async move {
///         assert_eq!(io.protocol().version(), Some("7"));
///         let mut ping = [0; 4];
///         io.read_exact(&mut ping).await?;
///         assert_eq!(&ping, b"ping");
///         io.write_all(b"pong").await?;
///         io.shutdown().await
///     })
/// });
/// # let inner = tower::service_fn(|_: Request<Incoming>| async {
/// #     Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
/// # });
/// # let (mut client, server) = tokio::io::duplex(1024);
/// # let service = TowerToHyperService::new(layer.layer(inner));
/// # tokio::spawn(
/// #     hyper::server::conn::http1::Builder::new()
/// #         .serve_connection(TokioIo::new(server), service)
/// #         .with_upgrades(),
/// # );
///
/// // `layer` is around a service, and `client` is the other end of a connection to it.
/// let request = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: ping/7\r\n\r\n";
/// client.write_all(request.as_bytes()).await?;
/// client.write_all(b"ping").await?;
/// let mut answer = Vec::new();
/// client.read_to_end(&mut answer).await?;
/// assert!(answer.ends_with(b"\r\n\r\npong"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Upgraded {
    io: TokioIo<hyper::upgrade::Upgraded>,
    meter: Meter,
}

/// Counts bytes, and reports them when the connection is dropped.
#[derive(Debug)]
struct Meter {
    session: Arc<Session>,
    read: u64,
    written: u64,
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.session.transferred(self.read, self.written);
    }
}

impl Upgraded {
    pub(crate) fn new(io: hyper::upgrade::Upgraded, session: Arc<Session>) -> Self {
        Self { io: TokioIo::new(io), meter: Meter { session, read: 0, written: 0 } }
    }

    /// Returns the protocol that was negotiated.
    pub fn protocol(&self) -> &Protocol<'static> {
        self.meter.session.protocol()
    }

    /// Waits until [`Connections::drain`](crate::Connections::drain) is called: the time to say
    /// farewell in the protocol's own way, and to end.
    ///
    /// The future does not borrow from the connection, so that a handler can wait for it while it
    /// reads, or take it before it gives the connection away.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Example
    ///
    /// ```
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt};
    /// use tower_upgrade::{Switch, Upgraded};
    ///
    /// let switch = Switch::to(|mut io: Upgraded| async move {
    ///     let draining = io.draining();
    ///     tokio::pin!(draining);
    ///     let mut bytes = [0; 1024];
    ///     loop {
    ///         tokio::select! {
    ///             read = io.read(&mut bytes) => match read? {
    ///                 0 => return io.shutdown().await,
    ///                 read => io.write_all(&bytes[..read]).await?,
    ///             },
    ///             () = &mut draining => {
    ///                 io.write_all(b"goodbye\n").await?;
    ///                 return io.close().await;
    ///             }
    ///         }
    ///     }
    /// });
    /// # drop(switch);
    /// ```
    pub fn draining(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.meter.session.draining().wait()
    }

    /// Whether [`Connections::drain`](crate::Connections::drain) was called.
    pub fn is_draining(&self) -> bool {
        self.meter.session.draining().is_raised()
    }

    /// Ends the connection so that the client receives everything that was written: flushes, closes
    /// our side, and discards what the client still sends until it closes its side.
    ///
    /// A connection that is dropped while bytes of the client are on their way is reset by the
    /// kernel, and the client may lose the end of what was written.
    ///
    /// The wait is bounded. A client that does not close its side is given up 5 seconds after its
    /// last byte, and one that goes on sending after 5 seconds in all, or one second more for each
    /// 10 kB that the connection has written, 424 seconds at most: a slow reader may still be
    /// receiving them. The connection keeps its place until then.
    ///
    /// # Errors
    ///
    /// Returns the error that flushing or closing our side failed with, which is
    /// [`TimedOut`](io::ErrorKind::TimedOut) if the client did not take the bytes in that time. A
    /// client that resets the connection afterwards is no error.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the wait is over, and our side may not be closed yet. It can be
    /// called again.
    ///
    /// # Panics
    ///
    /// Panics if the tokio runtime has no timer.
    ///
    /// # Example
    ///
    /// ```
    /// use tokio::io::AsyncWriteExt;
    /// use tower_upgrade::{Switch, Upgraded};
    ///
    /// let switch = Switch::to(|mut io: Upgraded| async move {
    ///     io.write_all(b"goodbye\n").await?;
    ///     io.close().await
    /// });
    /// # drop(switch);
    /// ```
    pub async fn close(&mut self) -> io::Result<()> {
        close(&mut self.io, self.meter.written).await
    }

    #[cfg(feature = "h2c")]
    pub(crate) fn handshake_timeout(&self) -> Duration {
        self.meter.session.handshake_timeout()
    }

    #[cfg(feature = "h2c")]
    pub(crate) fn drain_signal(&self) -> &Signal {
        self.meter.session.draining()
    }

    /// Takes the connection apart into the IO that the HTTP server was given and the bytes that
    /// it had already read from it.
    ///
    /// `T` is the tokio type, such as `TcpStream`, wherever the server was given it in
    /// hyper-util's `TokioIo`, as `axum::serve` does. It works behind hyper's `http1::Builder` and
    /// behind hyper-util's `auto` builder.
    ///
    /// From then on the connection is known only as long as what the handler runs: take
    /// [`draining`](Self::draining) before, and end with the connection. Its bytes are not
    /// counted any more.
    ///
    /// # Errors
    ///
    /// Gives the connection back, whole, if the IO is of another type.
    ///
    /// # Example
    ///
    /// ```
    /// use tokio::{io::AsyncWriteExt, net::TcpStream};
    /// use tower_upgrade::{Downcast, Switch, Upgraded};
    ///
    /// let switch = Switch::to(|io: Upgraded| async {
    ///     match io.downcast::<TcpStream>() {
    ///         Ok(Downcast { mut io, read_ahead, .. }) => {
    ///             io.set_nodelay(true)?;
    ///             io.write_all(&read_ahead).await
    ///         }
    ///         Err(mut io) => io.write_all(b"not TCP").await,
    ///     }
    /// });
    /// # drop(switch);
    /// ```
    pub fn downcast<T>(self) -> Result<Downcast<T>, Self>
    where
        T: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let Self { io, meter } = self;
        let downcast = |io: TokioIo<T>, read_ahead| {
            let protocol = meter.session.protocol().clone();
            Downcast { io: io.into_inner(), read_ahead, protocol }
        };
        // The `auto` builder wraps the IO in a type of its own that only it can remove.
        match auto::upgrade::downcast(io.into_inner()) {
            Ok(parts) => Ok(downcast(parts.io, parts.read_buf)),
            Err(io) => match io.downcast() {
                Ok(parts) => Ok(downcast(parts.io, parts.read_buf)),
                Err(io) => Err(Self { io: TokioIo::new(io), meter }),
            },
        }
    }
}

/// The parts of an [`Upgraded`] connection, from [`Upgraded::downcast`]; see there for an
/// example.
#[derive(Debug)]
#[non_exhaustive]
pub struct Downcast<T> {
    /// The IO that the HTTP server was given.
    pub io: T,
    /// The bytes behind the request that were already read from `io`. They come first.
    pub read_ahead: Bytes,
    /// The protocol that was negotiated.
    pub protocol: Protocol<'static>,
}

impl AsyncRead for Upgraded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        self.meter.read += (buf.filled().len() - before) as u64;
        read
    }
}

impl Upgraded {
    fn written(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = written {
            self.meter.written += bytes as u64;
        }
        written
    }
}

impl AsyncWrite for Upgraded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.written(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.written(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
