//! One request and its answer on a connection of its own, driven by whoever waits for it: no task.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, request};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::http1::{self, Connection},
};
use hyper_util::rt::TokioIo;
use pin_project_lite::pin_project;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};

use super::{
    connect::Connect,
    error::{TunnelError, TunnelErrorKind},
    headers::end_to_end,
    written::Written,
};

/// The upstream's answer.
pub(super) enum Answer<Io>
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    /// A 101, and the connection after it.
    Switching(Response<()>, Free<Io>),
    /// Anything else.
    Other(Box<Response<UpstreamBody<Io>>>),
}

/// A connection that HTTP has ended on.
pub(super) struct Free<Io> {
    pub(super) io: Io,
    /// Bytes that came right after the 101.
    pub(super) read_ahead: Bytes,
}

/// Connects to the upstream.
pub(super) async fn connect<C>(
    connect: &C,
    head: request::Parts,
    limit: Duration,
) -> Result<C::Io, TunnelError>
where
    C: Connect,
{
    match timeout(limit, connect.connect(head)).await {
        Ok(Ok(io)) => Ok(io),
        Ok(Err(error)) => Err(TunnelError::new(TunnelErrorKind::Connect, error)),
        Err(late) => Err(TunnelError::new(TunnelErrorKind::ConnectTimedOut, late)),
    }
}

/// Sends the request, and waits for the answer.
pub(super) async fn ask<Io>(
    io: Io,
    request: Request<Full<Bytes>>,
    limit: Duration,
) -> Result<Answer<Io>, TunnelError>
where
    Io: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    timeout(limit, exchange(io, request))
        .await
        .map_err(|late| TunnelError::new(TunnelErrorKind::ResponseTimedOut, late))?
}

async fn exchange<Io>(io: Io, request: Request<Full<Bytes>>) -> Result<Answer<Io>, TunnelError>
where
    Io: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(Written::new(io))).await.map_err(TunnelError::exchange)?;
    let mut connection = Driven { connection, has_ended: false };
    let mut response = pin!(sender.send_request(request));
    let response = poll_fn(|cx| {
        // It delivers the response, or its own error in place of it.
        drop(connection.poll(cx));
        response.as_mut().poll(cx)
    })
    .await
    .map_err(TunnelError::exchange)?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let response = response.map(|incoming| UpstreamBody { incoming, connection });
        return Ok(Answer::Other(Box::new(response)));
    }
    poll_fn(|cx| connection.poll(cx)).await.map_err(TunnelError::exchange)?;
    let parts = connection.connection.into_parts();
    let Written { io, is_flushed } = parts.io.into_inner();
    if !is_flushed {
        // hyper drops what it has not written, and the client's bytes would go up as the rest of the
        // request.
        let why = "it answered 101 before it had read the request";
        return Err(TunnelError::new(TunnelErrorKind::NotSwitched, why));
    }
    let free = Free { io, read_ahead: parts.read_buf };
    Ok(Answer::Switching(response.map(drop), free))
}

/// A connection, which may be polled after its end.
struct Driven<Io>
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    connection: Connection<TokioIo<Written<Io>>, Full<Bytes>>,
    has_ended: bool,
}

impl<Io> Driven<Io>
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        if self.has_ended {
            return Poll::Ready(Ok(()));
        }
        let polled = self.connection.poll_without_shutdown(cx);
        self.has_ended = polled.is_ready();
        polled
    }
}

pin_project! {
    /// The body of an answer that does not switch. It drives the connection that it comes by, and closes
    /// it at its end: nothing else is to be read from it.
    pub(super) struct UpstreamBody<Io>
    where
        Io: AsyncRead,
        Io: AsyncWrite,
        Io: Unpin,
    {
        #[pin]
        incoming: Incoming,
        connection: Driven<Io>,
    }
}

impl<Io> Body for UpstreamBody<Io>
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.project();
        // Its errors come by the body.
        drop(this.connection.poll(cx));
        let frame = this.incoming.poll_frame(cx);
        // Trailers are headers, too.
        frame.map_ok(|frame| match frame.into_trailers() {
            Ok(trailers) => Frame::trailers(end_to_end(&trailers, &[])),
            Err(frame) => frame,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
