//! hyper's HTTP/2 server on the connection: where its tasks run, and what it announces.

use std::{
    convert::Infallible,
    error::Error,
    future::{self, Future},
    io,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Empty;
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tower::Service;

use super::{
    head::FRAME_HEAD,
    io::Spliced,
    settings::{self, Setting},
    stream::Streams,
};
use crate::{
    connections::{task, upgraded::Upgraded},
    error::BoxError,
};

/// Runs the streams of a connection on tokio, each on a task of its own.
///
/// It stands in the type of the options that [`H2c::http2`](super::H2c::http2) sets; see there
/// for an example.
#[derive(Clone, Copy, Debug)]
pub struct Executor {
    _private: (),
}

impl Executor {
    pub(super) const fn new() -> Self {
        Self { _private: () }
    }
}

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        task::spawn(future);
    }
}

/// Serves HTTP/2 until the connection ends, or until it is drained and its streams have ended.
/// `opening` is what is read first.
pub(super) async fn serve<S, B>(
    io: Upgraded,
    opening: Bytes,
    http2: http2::Builder<Executor>,
    streams: Streams<S>,
) -> hyper::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let draining = io.drain_signal().clone();
    let io = TokioIo::new(Spliced::new(io, opening));
    let mut connection = pin!(http2.serve_connection(io, streams));
    let end = if let Some(end) = draining.unless_raised(connection.as_mut()).await {
        end
    } else {
        // GOAWAY: no more streams, and those that run go on.
        connection.as_mut().graceful_shutdown();
        connection.await
    };
    end.or_else(|error| if is_reset(&error) { Ok(()) } else { Err(error) })
}

/// Whether the client has reset the connection, which some do when they have their answers, and
/// which is then no failure.
fn is_reset(error: &hyper::Error) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    source.is_some_and(|source| {
        [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset].contains(&source.kind())
    })
}

/// What the server announces, and so holds the opening to as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// The largest payload of a frame.
    pub(super) frame: usize,
    /// How much content a stream may send before the server has read some.
    pub(super) window: usize,
    /// The size that a header list must stay below.
    pub(super) header_list: usize,
}

impl Limits {
    /// Reads the limits from the SETTINGS frame that every connection starts with. hyper's
    /// options can be set, but not be asked for.
    pub(super) fn of(http2: &http2::Builder<Executor>) -> Self {
        let mut announced = Vec::new();
        let service = service_fn(|_request| {
            future::ready(Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())))
        });
        {
            let io = TokioIo::new(Listener { written: &mut announced });
            let connection = pin!(http2.serve_connection(io, service));
            // It writes the frame, and waits for a preface that never comes.
            let waiting = connection.poll(&mut Context::from_waker(Waker::noop()));
            debug_assert!(waiting.is_pending());
        }
        Self::read(&announced)
    }

    fn read(frame: &[u8]) -> Self {
        // The defaults of RFC 7540 §6.5.2.
        let mut limits = Self { frame: 16_384, window: 65_535, header_list: usize::MAX };
        let payload = frame.get(FRAME_HEAD..).unwrap_or_default();
        for octets in payload.chunks_exact(settings::OCTETS) {
            let octets = octets.try_into().expect("a chunk is as long as it was said to be");
            let Setting { identifier, value } = Setting::read(octets);
            let value = usize::try_from(value).unwrap_or(usize::MAX);
            match identifier {
                Setting::MAX_FRAME_SIZE => limits.frame = value,
                Setting::INITIAL_WINDOW_SIZE => limits.window = value,
                Setting::MAX_HEADER_LIST_SIZE => limits.header_list = value,
                _ => {}
            }
        }
        limits
    }
}

/// A peer that never says anything, and remembers what it is told.
struct Listener<'a> {
    written: &'a mut Vec<u8>,
}

impl AsyncRead for Listener<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        _buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Listener<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.written.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_are_those_that_the_server_announces() {
        let mut http2 = http2::Builder::new(Executor::new());
        http2.initial_stream_window_size(1_000).max_frame_size(20_000).max_header_list_size(70_000);
        let expected = Limits { frame: 20_000, window: 1_000, header_list: 70_000 };
        assert_eq!(Limits::of(&http2), expected);
        http2.adaptive_window(true);
        assert_eq!(Limits::of(&http2).window, 65_535);
    }
}
