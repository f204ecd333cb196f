//! The service of a connection's streams: the user's, given what belongs to the connection, and
//! relieved of what hyper does in HTTP/1.1 only.

use std::{
    cell::Cell,
    future::Future,
    io::IoSlice,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::{
    Extensions, HeaderValue, Method, Request, Response, StatusCode, header::CONTENT_LENGTH,
};
use http_body::{Body, Frame, SizeHint};
use hyper::{body::Incoming, service::Service as HyperService};
use hyper_util::service::{TowerToHyperService, TowerToHyperServiceFuture};
use pin_project_lite::pin_project;
use tower::Service;

use super::{
    activity::{Activity, Stream},
    body::RequestBody,
};
use crate::{error::BoxError, negotiation::connection::names_connection_option};

/// A service that can answer the streams of an upgraded connection.
///
/// It is every [`Service`] from `Request<`[`RequestBody`]`>` to a `Response` with any body, as far as
/// it can be used from several tasks. The trait gives these bounds a name, so that the compiler can
/// say what is missing.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot answer the streams of an upgraded connection",
    label = "not a service for `Request<tower_upgrade::h2c::RequestBody>`",
    note = "`H2c` needs a `Clone + Send + Sync` service from `Request<tower_upgrade::h2c::RequestBody>` to \
            a `Response`, whose future and body are `Send`",
    note = "write a service for `hyper::body::Incoming` for `RequestBody` instead, or for any body; \
            `tower_upgrade::h2c::RequestBodyLayer` wraps it where it answers HTTP/1.1"
)]
pub trait StreamService:
    Clone
    + Send
    + Sync
    + Service<
        Request<RequestBody>,
        Response = Response<Self::ResponseBody>,
        Error: Into<BoxError>,
        Future: Send,
    > + 'static
{
    /// The body of the service's responses.
    type ResponseBody: Body<Data: Send, Error: Into<BoxError>> + Send + 'static;
}

#[diagnostic::do_not_recommend]
impl<S, B> StreamService for S
where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type ResponseBody = B;
}

/// The streams' service, as hyper calls it.
pub(super) struct Streams<S> {
    service: TowerToHyperService<S>,
    /// The request that is put in the place of the one in the opening, until then.
    first: Cell<Option<Request<RequestBody>>>,
    /// Those that every request of the connection has.
    extensions: Extensions,
    activity: Arc<Activity>,
}

impl<S> Streams<S> {
    /// `first` is the request of stream 1, and its extensions are those of all streams.
    pub(super) fn new(service: S, mut first: Request<RequestBody>) -> Self {
        let extensions = std::mem::take(first.extensions_mut());
        Self {
            service: TowerToHyperService::new(service),
            first: Cell::new(Some(first)),
            extensions,
            activity: Arc::new(Activity::new()),
        }
    }

    pub(super) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }

    /// Returns the upgrading request in place of that of stream 1, and others as they are.
    fn request(&self, request: Request<Incoming>, stream: &Stream) -> Request<RequestBody> {
        match self.first.take() {
            // If HTTP/2 has refused stream 1, for its size perhaps, the first call is another's.
            Some(first) if !self.activity.is_opened() => first,
            _ => request.map(|body| RequestBody::of_stream(body, stream.clone())),
        }
    }
}

impl<S, B> HyperService<Request<Incoming>> for Streams<S>
where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone,
    B: Body,
{
    type Response = Response<StreamBody<B>>;
    type Error = S::Error;
    type Future = StreamFuture<S>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let stream = self.activity.stream();
        let mut request = self.request(request, &stream);
        // A clone of no extensions costs nothing.
        let mut extensions = self.extensions.clone();
        // The extensions that HTTP/2 has set for this request win.
        extensions.extend(std::mem::take(request.extensions_mut()));
        *request.extensions_mut() = extensions;
        let is_head = request.method() == Method::HEAD;
        let is_connect = request.method() == Method::CONNECT;
        let response = self.service.call(request);
        StreamFuture { response, is_head, is_connect, stream: Some(stream) }
    }
}

pin_project! {
    /// The future of a stream's response.
    pub(super) struct StreamFuture<S>
    where
        S: Service<Request<RequestBody>>,
    {
        #[pin]
        response: TowerToHyperServiceFuture<S, Request<RequestBody>>,
        is_head: bool,
        is_connect: bool,
        stream: Option<Stream>,
    }
}

impl<S, B> Future for StreamFuture<S>
where
    S: Service<Request<RequestBody>, Response = Response<B>>,
    B: Body,
{
    type Output = Result<Response<StreamBody<B>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.response.poll(cx))?;
        if let Some(stream) = this.stream {
            // hyper removes it, and has the same response close a connection of HTTP/1.1.
            if names_connection_option(response.headers(), "close") {
                stream.activity().close();
            }
            if *this.is_connect && response.status().is_success() {
                // A tunnel.
                stream.never_ends();
            }
        }
        let response = without_body(response, *this.is_head);
        Poll::Ready(Ok(response.map(|body| StreamBody { body, stream: this.stream.take() })))
    }
}

/// Drops a body where none may be sent (RFC 9110 §6.4.1), as hyper does it in HTTP/1.1. In HTTP/2
/// hyper sends it, and clients end the stream over it, so that a service that was right for
/// HTTP/1.1 would not be for the same request on stream 1.
fn without_body<B>(response: Response<B>, is_head: bool) -> Response<Option<B>>
where
    B: Body,
{
    let (mut head, body) = response.into_parts();
    let no_body = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&head.status);
    if is_head && !no_body && !body.is_end_stream() {
        // The length of what a GET would have got (RFC 9110 §8.6). An empty body says nothing
        // about that.
        if let Some(bytes) = body.size_hint().exact() {
            head.headers.entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(bytes));
        }
    }
    if head.status == StatusCode::NO_CONTENT {
        // Not allowed (RFC 9110 §8.6), and clients end the stream over it.
        head.headers.remove(CONTENT_LENGTH);
    }
    let body = (!is_head && !no_body).then_some(body);
    Response::from_parts(head, body)
}

pin_project! {
    /// The body of a stream's response: the service's unchanged, or none.
    #[derive(Debug)]
    pub(super) struct StreamBody<B> {
        #[pin]
        body: Option<B>,
        // The stream is open until hyper drops this.
        stream: Option<Stream>,
    }
}

impl<B> Body for StreamBody<B>
where
    B: Body,
{
    type Data = Unsent<B::Data>;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, B::Error>>> {
        let this = self.project();
        let Some(body) = this.body.as_pin_mut() else {
            return Poll::Ready(None);
        };
        let frame = ready!(body.poll_frame(cx)?);
        let stream = this.stream;
        Poll::Ready(frame.map(|frame| {
            Ok(frame.map_data(|data| Unsent { data, _stream: stream.as_ref().map(Stream::unsent) }))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// A piece of a body, which HTTP/2 keeps until it is written. The body is gone by then, and the stream
/// is not.
#[derive(Debug)]
pub(super) struct Unsent<D> {
    data: D,
    _stream: Option<Stream>,
}

impl<D> Buf for Unsent<D>
where
    D: Buf,
{
    fn remaining(&self) -> usize {
        self.data.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.data.chunk()
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.data.chunks_vectored(slices)
    }

    fn advance(&mut self, bytes: usize) {
        self.data.advance(bytes);
    }

    fn copy_to_bytes(&mut self, len: usize) -> Bytes {
        self.data.copy_to_bytes(len)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{Either, Empty, Full};

    use super::*;

    #[test]
    fn an_unsent_piece_is_the_services() {
        let piece = || Unsent { data: Bytes::from("hello"), _stream: None };
        assert_eq!((piece().remaining(), piece().chunk()), (5, &b"hello"[..]));
        let mut slices = [IoSlice::new(&[])];
        assert_eq!((piece().chunks_vectored(&mut slices), &slices[0][..]), (1, &b"hello"[..]));
        let mut piece = piece();
        piece.advance(1);
        assert_eq!((piece.copy_to_bytes(3), piece.chunk()), (Bytes::from("ell"), &b"o"[..]));
    }

    #[test]
    fn a_body_says_how_long_it_is() {
        let body = |body| StreamBody { body, stream: None };
        assert_eq!(body(Some(Full::<Bytes>::from("hello"))).size_hint().exact(), Some(5));
        assert_eq!(body(None::<Full<Bytes>>).size_hint().exact(), Some(0));
    }

    #[test]
    fn a_body_is_dropped_where_none_may_be_sent_and_its_length_stays() {
        let length = |bytes| Some(HeaderValue::from(bytes));
        for (status, is_head, text, expected) in [
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
            let body = match text {
                "" => Either::Left(Empty::<Bytes>::new()),
                text => Either::Right(Full::from(text)),
            };
            let response = Response::builder().status(status).body(body).unwrap();
            let response = without_body(response, is_head);
            let length = response.headers().get(CONTENT_LENGTH).cloned();
            let bytes =
                response.body().as_ref().map_or(0, |body| body.size_hint().exact().unwrap());
            assert_eq!((length, bytes), expected, "{status} {is_head} {text:?}");
        }
        // A length that the service gives is left alone.
        let response = Response::builder().header(CONTENT_LENGTH, 7).body(Full::from("hello"));
        let response: Response<Full<Bytes>> = response.unwrap();
        assert_eq!(without_body(response, true).headers()[CONTENT_LENGTH], "7");
    }
}
