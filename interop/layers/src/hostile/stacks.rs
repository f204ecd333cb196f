//! The parts of hostile stacks.

use std::{
    convert::Infallible,
    future,
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
};
use futures_util::{FutureExt, future::BoxFuture};
use http::StatusCode;
use http_body::Body as _;
use http_body_util::{BodyExt, Collected};
use tower::{
    Service, ServiceExt,
    retry::Policy,
    service_fn,
    util::{AndThenLayer, MapResponseLayer},
};
use tower_http::{
    compression::{CompressionLayer, predicate::SizeAbove},
    set_status::SetStatusLayer,
};

use crate::{
    harness::{Build, under},
    subject::Inner,
};

pub(super) fn error() -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, "sorry").into_response()
}

/// A panic without a report on stderr.
pub(super) fn panic() -> Response {
    std::panic::resume_unwind(Box::new("as it should"))
}

/// Asks what an HTTP server asks.
pub(super) fn ask(response: &Response) {
    if !black_box(response.body().is_end_stream()) {
        black_box(response.body().size_hint());
    }
}

pub(super) async fn keep(response: Response) {
    tokio::time::sleep(Duration::from_hours(1)).await;
    drop(response);
}

pub(super) fn status(status: u16) -> Build {
    under(change(status))
}

pub(super) fn set_status(status: u16) -> Build {
    under(SetStatusLayer::new(code(status)))
}

pub(super) fn code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).expect("a status")
}

/// Changes the status of every response.
pub(super) fn change(status: u16) -> MapResponseLayer<impl Fn(Response) -> Response + Clone> {
    MapResponseLayer::new(move |mut response: Response| {
        *response.status_mut() = code(status);
        response
    })
}

pub(super) fn compress() -> CompressionLayer<SizeAbove> {
    CompressionLayer::new().compress_when(SizeAbove::new(0))
}

/// Holds every response back.
pub(super) fn slow(
    time: Duration,
) -> AndThenLayer<impl Fn(Response) -> BoxFuture<'static, Answer> + Clone> {
    AndThenLayer::new(move |response: Response| {
        async move {
            tokio::time::sleep(time).await;
            Ok(response)
        }
        .boxed()
    })
}

pub(super) type Answer = Result<Response, Infallible>;

/// Does something with the 101, once the future that made it is gone, and answers 500.
pub(super) fn replace_later(look: fn(Response)) -> Build {
    under(AndThenLayer::new(move |response: Response| async move {
        tokio::task::yield_now().await;
        look(response);
        tokio::task::yield_now().await;
        Answer::Ok(error())
    }))
}

/// Reads the body, and makes a response of it with this status.
pub(super) fn collect(status: u16) -> Build {
    under(AndThenLayer::new(move |response: Response| async move {
        let bytes = response.into_body().collect().await.map(Collected::to_bytes);
        Answer::Ok((code(status), bytes.unwrap_or_default()).into_response())
    }))
}

/// Passes the first request on, and answers 500 to the others.
pub(super) fn once(
    inner: Inner,
) -> impl Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send {
    let passed = Arc::new(AtomicBool::new(false));
    service_fn(move |request: Request| {
        let inner = (!passed.swap(true, Ordering::Relaxed)).then(|| inner.clone());
        async move {
            match inner {
                Some(inner) => inner.oneshot(request).await,
                None => Ok(error()),
            }
        }
    })
}

/// Tries once more if the answer is a 101, with a clone that has the extensions.
#[derive(Clone, Debug, Default)]
pub(super) struct Again {
    tried: bool,
}

impl<E> Policy<Request, Response, E> for Again {
    type Future = future::Ready<()>;

    fn retry(&mut self, _: &mut Request, result: &mut Result<Response, E>) -> Option<Self::Future> {
        let is_switch = result.as_ref().is_ok_and(|response| response.status() == 101);
        (is_switch && !std::mem::replace(&mut self.tried, true)).then(|| future::ready(()))
    }

    fn clone_request(&mut self, request: &Request) -> Option<Request> {
        Some(clone_request(request))
    }
}

/// A clone with the extensions, and no body.
pub(crate) fn clone_request(request: &Request) -> Request {
    let mut clone = Request::new(Body::empty());
    *clone.method_mut() = request.method().clone();
    *clone.uri_mut() = request.uri().clone();
    *clone.headers_mut() = request.headers().clone();
    *clone.extensions_mut() = request.extensions().clone();
    clone
}
