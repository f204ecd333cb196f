//! Rows of body wrappers as users write them, around the body of the response or of the request.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    middleware::{from_fn, map_request, map_response},
    response::Response,
};
use bytes::Bytes;
use futures_util::StreamExt;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{
    BodyDataStream, BodyExt, BodyStream, Collected, Either, Empty, Full, Limited, StreamBody,
    channel::Channel,
};
use tower::util::{AndThenLayer, MapRequestLayer, MapResponseLayer};
use tower_http::{map_request_body::MapRequestBodyLayer, map_response_body::MapResponseBodyLayer};

use super::{EOF, Kind::*, Row, WORKS, row};
use crate::{
    harness::{Build, routed, under},
    rows::FORWARDED,
};

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = responses();
    rows.extend(rebuilt_responses());
    rows.extend(requests());
    rows
}

fn responses() -> Vec<Row> {
    vec![
        row("response: poll_frame only", HidesResponse, response(Wrapper::bare), EOF),
        row("response: poll_frame, is_end_stream", HidesResponse, response(Wrapper::ending), EOF),
        row("response: poll_frame, size_hint", HidesResponse, response(Wrapper::sized), EOF),
        row("response: all three", Passes, response(Wrapper::honest), WORKS),
        row(
            "response: UnsyncBoxBody",
            Passes,
            response(|body| body.map_err(tower::BoxError::from).boxed_unsync()),
            WORKS,
        ),
        row("response: UnsyncBoxBody, twice", Passes, response(twice_boxed), WORKS),
        row(
            "response: map_err",
            Passes,
            response(|body| body.map_err(tower::BoxError::from)),
            WORKS,
        ),
        row(
            "response: map_frame",
            HidesResponse,
            response(|body| body.map_frame(|frame| frame)),
            EOF,
        ),
        row("response: Limited", Passes, response(|body| Limited::new(body, 1 << 20)), WORKS),
        row("response: Either", Passes, response(Either::<_, Empty<Bytes>>::Left), WORKS),
        row("response: with_trailers", HidesResponse, response(trailing), EOF),
        row("response: fuse", Passes, response(BodyExt::fuse), WORKS),
        row("response: BodyDataStream", HidesResponse, response(streamed), EOF),
        row("response: StreamBody", HidesResponse, response(framed), EOF),
        row("response: a channel and a task", HidesResponse, response(channelled), EOF),
        row(
            "response: a box that asks both questions first",
            Passes,
            response(|body| {
                let _ = (body.is_end_stream(), body.size_hint());
                body
            }),
            WORKS,
        ),
        row(
            "response: content-length from size_hint",
            Passes,
            under(MapResponseLayer::new(|response: Response| {
                let (mut head, body) = response.into_parts();
                if let Some(bytes) = body.size_hint().exact() {
                    head.headers.insert("x-length", bytes.into());
                }
                Response::from_parts(head, body)
            })),
            WORKS,
        ),
    ]
}

fn rebuilt_responses() -> Vec<Row> {
    vec![
        row(
            "response: collected",
            RebuildsResponse,
            under(AndThenLayer::new(|response: Response| async {
                let (head, body) = response.into_parts();
                let bytes = body.collect().await.map(Collected::to_bytes).unwrap_or_default();
                Ok::<_, Infallible>(Response::from_parts(head, Full::new(bytes)))
            })),
            EOF,
        ),
        row(
            "response: collected, axum's to_bytes in from_fn",
            RebuildsResponse,
            routed(|router| {
                router.layer(from_fn(async |request: Request, next: axum::middleware::Next| {
                    let (head, body) = next.run(request).await.into_parts();
                    let bytes = to_bytes(body, 1 << 20).await.unwrap_or_default();
                    Response::from_parts(head, Body::from(bytes))
                }))
            }),
            EOF,
        ),
        row(
            "response: collected, a new head with the same status and headers",
            RebuildsResponse,
            routed(|router| {
                router.layer(map_response(async |response: Response| {
                    let mut new = Response::new(Body::empty());
                    *new.status_mut() = response.status();
                    *new.headers_mut() = response.headers().clone();
                    let bytes = to_bytes(response.into_body(), 1 << 20).await;
                    *new.body_mut() = bytes.unwrap_or_default().into();
                    new
                }))
            }),
            EOF,
        ),
        row(
            "response: body dropped, an empty one for it",
            RebuildsResponse,
            under(MapResponseLayer::new(|response: Response| match response.status().as_u16() {
                101 => response.map(|_| Body::empty()),
                _ => response,
            })),
            EOF,
        ),
        row(
            "response: first frame read, and put back",
            RebuildsResponse,
            under(AndThenLayer::new(|response: Response| async {
                let (head, mut body) = response.into_parts();
                let first = body.frame().await.transpose().ok().flatten();
                let first = futures_util::stream::iter(first.map(Ok::<_, axum::Error>));
                let body = StreamBody::new(first.chain(BodyStream::new(body)));
                Ok::<_, Infallible>(Response::from_parts(head, body))
            })),
            EOF,
        ),
    ]
}

fn requests() -> Vec<Row> {
    vec![
        row("request: poll_frame only", HidesRequest, request(Wrapper::bare), WORKS),
        row("request: poll_frame, is_end_stream", HidesRequest, request(Wrapper::ending), WORKS),
        row("request: poll_frame, size_hint", PassesRequest, request(Wrapper::sized), WORKS),
        row("request: all three", PassesRequest, request(Wrapper::honest), WORKS),
        row("request: a box, twice", PassesRequest, request(twice_boxed), WORKS),
        row(
            "request: map_frame",
            HidesRequest,
            request(|body| body.map_frame(|frame| frame)),
            WORKS,
        ),
        row("request: Limited", PassesRequest, request(|body| Limited::new(body, 64)), WORKS),
        row("request: with_trailers", HidesRequest, request(trailing), WORKS),
        row("request: BodyDataStream", HidesRequest, request(streamed), WORKS),
        row("request: StreamBody", HidesRequest, request(framed), WORKS),
        row("request: a channel and a task", HidesRequest, request(channelled), WORKS),
        row(
            "request: collected",
            RebuildsRequest,
            routed(|router| {
                router.layer(map_request(async |request: Request| {
                    let (head, body) = request.into_parts();
                    let bytes = to_bytes(body, 64).await.unwrap_or_default();
                    Request::from_parts(head, Body::from(bytes))
                }))
            }),
            WORKS,
        ),
        row(
            "request: collected, chunks counted by a stream",
            HidesRequest,
            routed(|router| {
                router.layer(map_request(async |request: Request| {
                    let (head, body) = request.into_parts();
                    let chunks: Vec<_> = StreamExt::collect(body.into_data_stream()).await;
                    let body = Body::from_stream(futures_util::stream::iter(chunks));
                    Request::from_parts(head, body)
                }))
            }),
            WORKS,
        ),
        row(
            "request: a new head with the old extensions",
            PassesRequest,
            under(MapRequestLayer::new(|request: Request| {
                let (old, body) = request.into_parts();
                let (mut head, body) = Request::new(body).into_parts();
                head.method = old.method;
                head.uri = old.uri;
                head.headers = old.headers;
                head.extensions = old.extensions;
                Request::from_parts(head, body)
            })),
            WORKS,
        ),
        row(
            "request: a new head without extensions",
            DropsExtensions,
            under(MapRequestLayer::new(|request: Request| {
                let (old, body) = request.into_parts();
                let (mut head, body) = Request::new(body).into_parts();
                head.method = old.method;
                head.uri = old.uri;
                head.headers = old.headers;
                Request::from_parts(head, body)
            })),
            FORWARDED,
        )
        .except(FORWARDED, "axum's `WebSocketUpgrade` is not possible either"),
    ]
}

/// A row that maps the body of the response.
fn response<B>(map: fn(Body) -> B) -> Build
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<tower::BoxError>,
{
    under(MapResponseBodyLayer::new(map))
}

/// A row that maps the body of the request.
fn request<B>(map: fn(Body) -> B) -> Build
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<tower::BoxError>,
{
    under(MapRequestBodyLayer::new(map))
}

fn twice_boxed(body: Body) -> http_body_util::combinators::UnsyncBoxBody<Bytes, axum::Error> {
    body.boxed_unsync().boxed_unsync()
}

fn trailing(body: Body) -> impl http_body::Body<Data = Bytes, Error = axum::Error> {
    body.with_trailers(async { None })
}

fn streamed(body: Body) -> Body {
    Body::from_stream(BodyDataStream::new(body))
}

fn framed(body: Body) -> StreamBody<BodyStream<Body>> {
    StreamBody::new(BodyStream::new(body))
}

/// Has a task of its own move the body through a channel.
fn channelled(mut body: Body) -> Channel<Bytes, axum::Error> {
    let (mut sender, channel) = Channel::new(1);
    tokio::spawn(async move {
        while let Some(Ok(frame)) = body.frame().await {
            if sender.send(frame).await.is_err() {
                break;
            }
        }
    });
    channel
}

/// A wrapper that passes frames on, and perhaps the answers to questions.
struct Wrapper {
    body: Body,
    ends: bool,
    sizes: bool,
}

impl Wrapper {
    fn bare(body: Body) -> Self {
        Self { body, ends: false, sizes: false }
    }

    fn ending(body: Body) -> Self {
        Self { body, ends: true, sizes: false }
    }

    fn sized(body: Body) -> Self {
        Self { body, ends: false, sizes: true }
    }

    fn honest(body: Body) -> Self {
        Self { body, ends: true, sizes: true }
    }
}

impl http_body::Body for Wrapper {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.ends && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.sizes { self.body.size_hint() } else { SizeHint::default() }
    }
}
