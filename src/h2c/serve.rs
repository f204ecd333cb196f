//! hyper's HTTP/2 server on the connection: where its tasks run, and how the connection ends.

use std::{
    error::Error,
    future::{Future, poll_fn},
    io,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::Response;
use http_body_util::Empty;
use hyper::{server::conn::http2, service::service_fn};
use hyper_util::rt::TokioIo;

use super::{
    clock::{Clock, Limits, Strike},
    io::Spliced,
    opening,
    stream::{StreamService, Streams},
};
use crate::{
    connections::{task, upgraded::Upgraded},
    error::BoxError,
    observe::trace,
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
        // hyper calls this while it is polled, which happens inside the connection's span.
        task::spawn(trace::in_current_span(future));
    }
}

/// The settings of one connection.
pub(super) struct Serving {
    /// The bytes that HTTP/2 reads first.
    pub(super) opening: Bytes,
    pub(super) http2: http2::Builder<Executor>,
    pub(super) idle_timeout: Option<Duration>,
    pub(super) max_age: Option<Duration>,
}

/// Serves HTTP/2 until the connection ends, or until it is to leave and its streams have ended.
pub(super) async fn serve<S>(
    mut io: Upgraded,
    serving: Serving,
    streams: Streams<S>,
) -> Result<(), BoxError>
where
    S: StreamService,
{
    let Serving { opening, http2, idle_timeout: idle, max_age: age } = serving;
    let handle = io.connection();
    let control = handle.control();
    let limits = Limits { preface: control.handshake_timeout(), idle, age };
    let activity = Arc::clone(streams.activity());
    let end = {
        let spliced = TokioIo::new(Spliced::new(&mut io, opening, Arc::clone(&activity)));
        let mut connection = pin!(http2.serve_connection(spliced, streams));
        let mut clock = pin!(Clock::new(&activity, limits));
        let serve = poll_fn(|cx| {
            if let Poll::Ready(end) = connection.as_mut().poll(cx) {
                return Poll::Ready(Step::Ended(end));
            }
            if activity.is_closing() {
                return Poll::Ready(Step::Strike(Strike::Leave));
            }
            clock.as_mut().poll_strike(cx).map(Step::Strike)
        });
        match control.draining().unless_raised(pin!(serve)).await {
            Some(Step::Ended(end)) => outcome(end),
            Some(Step::Strike(Strike::NoPreface)) => Err(NO_PREFACE.into()),
            Some(Step::Strike(_)) | None => {
                // GOAWAY: no more streams, and those that run go on.
                connection.as_mut().graceful_shutdown();
                clock.as_mut().leave();
                poll_fn(|cx| match connection.as_mut().poll(cx) {
                    Poll::Ready(end) => Poll::Ready(outcome(end)),
                    // All that can be done is done.
                    Poll::Pending => clock.as_mut().poll_strike(cx).map(|_gone| Ok(())),
                })
                .await
            }
        }
    };
    // If the client does not take the rest, nobody can do more for it.
    io.close().await.ok();
    end
}

/// The events that a connection waits for.
enum Step {
    Ended(hyper::Result<()>),
    Strike(Strike),
}

/// A client that has reset the connection, which some do when they have their answers, is no
/// failure.
fn outcome(end: hyper::Result<()>) -> Result<(), BoxError> {
    end.or_else(|error| {
        let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
        let is_reset = source.is_some_and(|source| {
            [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset].contains(&source.kind())
        });
        if is_reset { Ok(()) } else { Err(error.into()) }
    })
}

/// Has hyper panic now over options that it would panic over at the first connection.
#[track_caller]
pub(super) fn check(http2: &http2::Builder<Executor>) {
    let mut http2 = http2.clone();
    // It would need a timer, and there may be no runtime yet.
    http2.keep_alive_interval(None);
    let service = service_fn(|_request| {
        std::future::ready(Ok::<_, std::convert::Infallible>(Response::new(Empty::<Bytes>::new())))
    });
    let client = tokio::io::join(opening::PREFACE.as_slice(), tokio::io::sink());
    let connection = pin!(http2.serve_connection(TokioIo::new(client), service));
    // It fails, because that client leaves right behind its preface.
    let _end: Poll<hyper::Result<()>> = connection.poll(&mut Context::from_waker(Waker::noop()));
}

const NO_PREFACE: &str = "the client's HTTP/2 preface did not come within the handshake timeout";
