//! The service of a connection's streams: the user's, given what belongs to the connection, and
//! relieved of what hyper does in HTTP/1.1 only.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{
    Extensions, HeaderValue, Method, Request, Response, StatusCode, header::CONTENT_LENGTH,
};
use http_body::{Body, Frame, SizeHint};
use hyper::{body::Incoming, service::Service as HyperService};
use hyper_util::service::{TowerToHyperService, TowerToHyperServiceFuture};
use pin_project_lite::pin_project;
use tower::Service;

/// The streams' service, as hyper calls it.
#[derive(Clone, Debug)]
pub(super) struct Streams<S> {
    service: TowerToHyperService<S>,
    extensions: Extensions,
}

impl<S> Streams<S> {
    /// `extensions` are those that every request of the connection has.
    pub(super) fn new(service: S, extensions: Extensions) -> Self {
        Self { service: TowerToHyperService::new(service), extensions }
    }
}

impl<S, B> HyperService<Request<Incoming>> for Streams<S>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone,
    B: Body,
{
    type Response = Response<StreamBody<B>>;
    type Error = S::Error;
    type Future = StreamFuture<S>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        // A clone of no extensions costs nothing.
        let mut extensions = self.extensions.clone();
        // What HTTP/2 found out about this request is the newer truth.
        extensions.extend(std::mem::take(request.extensions_mut()));
        *request.extensions_mut() = extensions;
        let is_head = request.method() == Method::HEAD;
        StreamFuture { response: self.service.call(request), is_head }
    }
}

pin_project! {
    /// The future of a stream's response.
    pub(super) struct StreamFuture<S>
    where
        S: Service<Request<Incoming>>,
    {
        #[pin]
        response: TowerToHyperServiceFuture<S, Request<Incoming>>,
        is_head: bool,
    }
}

impl<S, B> Future for StreamFuture<S>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    B: Body,
{
    type Output = Result<Response<StreamBody<B>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.response.poll(cx))?;
        Poll::Ready(Ok(without_content(response, *this.is_head)))
    }
}

/// Drops content where none may be sent (RFC 9110 §6.4.1), as hyper does it in HTTP/1.1. In
/// HTTP/2 hyper sends it, and clients end the stream over it, so that a service that was right
/// for HTTP/1.1 would not be for the same request on stream 1.
fn without_content<B>(response: Response<B>, is_head: bool) -> Response<StreamBody<B>>
where
    B: Body,
{
    let (mut head, body) = response.into_parts();
    let no_content = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&head.status);
    if is_head && !no_content && !body.is_end_stream() {
        // The length of what a GET would have got (RFC 9110 §8.6). An empty body says nothing
        // about that.
        if let Some(octets) = body.size_hint().exact() {
            head.headers.entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(octets));
        }
    }
    let body = (!is_head && !no_content).then_some(body);
    Response::from_parts(head, StreamBody { body })
}

pin_project! {
    /// The body of a stream's response: the service's unchanged, or none.
    #[derive(Debug)]
    pub(super) struct StreamBody<B> {
        #[pin]
        body: Option<B>,
    }
}

impl<B> Body for StreamBody<B>
where
    B: Body,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().body.as_pin_mut().map_or(Poll::Ready(None), |body| body.poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::{Either, Empty, Full};

    use super::*;

    #[test]
    fn content_is_dropped_where_none_may_be_sent_and_its_length_stays() {
        let length = |octets| Some(HeaderValue::from(octets));
        for (status, is_head, content, expected) in [
            (200, false, "hello", (None, 5)),
            (200, true, "hello", (length(5), 0)),
            (404, true, "hello", (length(5), 0)),
            // Nothing is known about what a GET would have got.
            (200, true, "", (None, 0)),
            (204, false, "hello", (None, 0)),
            (204, true, "hello", (None, 0)),
            (304, false, "hello", (None, 0)),
            (304, true, "hello", (None, 0)),
        ] {
            let body = match content {
                "" => Either::Left(Empty::<Bytes>::new()),
                content => Either::Right(Full::from(content)),
            };
            let response = Response::builder().status(status).body(body).unwrap();
            let response = without_content(response, is_head);
            let length = response.headers().get(CONTENT_LENGTH).cloned();
            let octets = response.body().size_hint().exact().unwrap();
            assert_eq!((length, octets), expected, "{status} {is_head} {content:?}");
            assert_eq!(response.body().is_end_stream(), octets == 0);
        }
        // A length that the service gives is left alone.
        let response = Response::builder().header(CONTENT_LENGTH, 7).body(Full::from("hello"));
        let response: Response<Full<Bytes>> = response.unwrap();
        assert_eq!(without_content(response, true).headers()[CONTENT_LENGTH], "7");
    }
}
