//! The connection after the switch.

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

use super::{
    close::close,
    connection::Connection,
    control::{Control, Waiter},
    session::Session,
};
use crate::negotiation::protocol::Protocol;

/// A connection after its switch. Read and write it with tokio's [`AsyncRead`] and [`AsyncWrite`].
///
/// Bytes the client sent right after its request are the first bytes that are read, even if the HTTP
/// server had read them ahead. Vectored writes are passed on.
///
/// Dropping it closes the connection at once, and the client may lose the last bytes that were
/// written. Call [`close`](Self::close) to let the client receive them.
///
/// After an [abort](Connection::abort), all its operations fail with
/// [`ConnectionAborted`](io::ErrorKind::ConnectionAborted), in every task, and blocked tasks are woken. The
/// first operation that is polled closes the connection.
///
/// # Cancel safety
///
/// Reads and writes are as cancel safe as those of the connection that the HTTP server was given.
/// Bytes that were read ahead stay until they are read.
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
/// // `layer` wraps a service, and `client` is the other end of a connection to it.
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
    /// `None` after an abort.
    open: Option<Open>,
    control: Arc<Control>,
}

/// As the HTTP server hands it over.
type Io = TokioIo<hyper::upgrade::Upgraded>;

#[derive(Debug)]
struct Open {
    io: Io,
    session: Arc<Session>,
}

impl Upgraded {
    pub(crate) fn new(io: hyper::upgrade::Upgraded, session: Arc<Session>) -> Self {
        let control = Arc::clone(session.control());
        Self { open: Some(Open { io: TokioIo::new(io), session }), control }
    }

    /// Returns the protocol that was negotiated.
    pub fn protocol(&self) -> &Protocol<'static> {
        self.control.protocol()
    }

    /// Returns the handle of this connection that [`Connections::list`](crate::Connections::list) returns,
    /// too.
    ///
    /// See [`Connection`] for an example.
    pub fn connection(&self) -> Connection {
        Connection::new(Arc::clone(&self.control))
    }

    /// Waits until the connection is told to end, by [`Connections::drain`](crate::Connections::drain) or
    /// by [`Connection::drain`]. The handler should then end its protocol and close the connection.
    ///
    /// The future does not borrow the connection. A handler can wait for it while it reads, or take it
    /// before it moves the connection elsewhere.
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
        self.connection().draining()
    }

    /// Whether the connection was told to end.
    pub fn is_draining(&self) -> bool {
        self.control.draining().is_raised()
    }

    /// Closes the connection so that the client receives everything that was written.
    ///
    /// Flushes, closes our side, and discards the bytes that the client still sends until it closes its
    /// side. Without this, the kernel resets a connection that is dropped with bytes of the client
    /// in flight or unread, and the client may lose the last bytes that were written.
    ///
    /// The wait is bounded, and the connection counts until it is over:
    ///
    /// - The wait ends 5 seconds after the client's last byte.
    /// - If the client goes on sending, the wait ends after 5 seconds in all, and one second more for
    ///   each 10 kB that the connection has written, because a slow client may still be receiving. That
    ///   is 424 seconds at most.
    /// - Before the wait, flushing and closing our side may take as long as the second limit.
    ///
    /// # Errors
    ///
    /// Fails if flushing or closing our side fails. The error is
    /// [`TimedOut`](io::ErrorKind::TimedOut) if the client does not receive the bytes in time. A client
    /// that resets the connection afterwards is not an error.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, our side may still be open. The method can be called again.
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
        let written = self.control.written();
        close(self, written).await
    }

    /// Returns the IO that the HTTP server was given, and the bytes that the server had read ahead
    /// from it.
    ///
    /// `T` is the tokio type, such as `TcpStream`, if the server was given it in hyper-util's
    /// `TokioIo`, as `axum::serve` does. This works with hyper's `http1::Builder` and with
    /// hyper-util's `auto` builder.
    ///
    /// From then on, the connection counts until the function given to [`Switch::to`](crate::Switch::to)
    /// returns, and its bytes are not counted. An [abort](Connection::abort) drops that function's future,
    /// and does not reach IO that was moved elsewhere. So keep the IO inside that function. Call
    /// [`draining`](Self::draining) before `downcast`.
    ///
    /// # Errors
    ///
    /// Returns the connection, unchanged, if the IO is of another type, or if the connection is aborted.
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
        let Self { open, control } = self;
        let Some(Open { io, session }) = open else {
            return Err(Self { open, control });
        };
        let downcast = |io: TokioIo<T>, read_ahead| {
            control.unwatch();
            let protocol = control.protocol().clone();
            Downcast { io: io.into_inner(), read_ahead, protocol }
        };
        // The `auto` builder wraps the IO in a type that only its own `downcast` can remove.
        match auto::upgrade::downcast(io.into_inner()) {
            Ok(parts) => Ok(downcast(parts.io, parts.read_buf)),
            Err(io) => match io.downcast() {
                Ok(parts) => Ok(downcast(parts.io, parts.read_buf)),
                Err(io) => {
                    Err(Self { open: Some(Open { io: TokioIo::new(io), session }), control })
                }
            },
        }
    }

    /// Polls the IO, and has the task woken by an abort as well. After an abort, closes it and fails.
    #[inline]
    fn poll_io<T>(
        &mut self,
        cx: &mut Context<'_>,
        waiter: Waiter,
        poll: impl FnOnce(Pin<&mut Io>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if let Some(Open { io, .. }) = &mut self.open {
            if self.control.is_open() {
                let polled = poll(Pin::new(io), cx);
                if polled.is_ready() || self.control.is_open_or_wakes(waiter, cx.waker()) {
                    return polled;
                }
            }
        }
        Poll::Ready(Err(self.give_up()))
    }

    /// Closes an aborted connection.
    #[cold]
    fn give_up(&mut self) -> io::Error {
        // The place goes with it.
        self.open = None;
        io::ErrorKind::ConnectionAborted.into()
    }

    #[inline]
    fn poll_written(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(Pin<&mut Io>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let written = self.poll_io(cx, Waiter::Writer, poll);
        if let Poll::Ready(Ok(bytes)) = written {
            self.control.add_written(bytes);
        }
        written
    }
}

/// The parts of an [`Upgraded`] connection.
///
/// Returned by [`Upgraded::downcast`]; see there for an example.
#[derive(Debug)]
#[non_exhaustive]
pub struct Downcast<T> {
    /// The IO that the HTTP server was given.
    pub io: T,
    /// Bytes after the request that the server had read ahead. They come before the bytes in `io`.
    pub read_ahead: Bytes,
    /// The protocol that was negotiated.
    pub protocol: Protocol<'static>,
}

impl AsyncRead for Upgraded {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = self.poll_io(cx, Waiter::Reader, |io, cx| io.poll_read(cx, buf));
        if read.is_ready() {
            self.control.add_read(buf.filled().len() - before);
        }
        read
    }
}

impl AsyncWrite for Upgraded {
    #[inline]
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_written(cx, |io, cx| io.poll_write(cx, buf))
    }

    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_io(cx, Waiter::Writer, AsyncWrite::poll_flush)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_io(cx, Waiter::Writer, AsyncWrite::poll_shutdown)
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_written(cx, |io, cx| io.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.io.is_write_vectored())
    }
}
