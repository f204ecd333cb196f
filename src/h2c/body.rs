//! The request body that the streams' service gets, and the layer that gives it to HTTP/1.1 as well.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tower::{Layer, Service};

use super::activity::Stream;

/// The body of a request on an upgraded connection.
///
/// On the first stream it is the body of the upgrading request, which was read before the switch. On all
/// others it is hyper's [`Incoming`]. The service given to [`H2c::new`](super::H2c::new) has to take
/// `Request<RequestBody>`, as a service that is generic over the body does, such as axum's `Router`.
///
/// Wrap a service for this type in [`RequestBodyLayer`] to have it answer HTTP/1.1 requests as well; see
/// there for an example.
#[derive(Debug)]
pub struct RequestBody {
    kind: Kind,
    /// The stream is open until this is dropped.
    _stream: Option<Stream>,
}

#[derive(Debug)]
enum Kind {
    /// The parts that were read before the switch, until they are taken.
    Read {
        data: Bytes,
        trailers: Option<Box<HeaderMap>>,
    },
    Incoming(Incoming),
}

impl RequestBody {
    pub(super) fn read(data: Bytes, trailers: Option<HeaderMap>) -> Self {
        let trailers = trailers.map(Box::new);
        Self { kind: Kind::Read { data, trailers }, _stream: None }
    }

    pub(super) fn of_stream(body: Incoming, stream: Stream) -> Self {
        Self { kind: Kind::Incoming(body), _stream: Some(stream) }
    }
}

impl From<Incoming> for RequestBody {
    fn from(body: Incoming) -> Self {
        Self { kind: Kind::Incoming(body), _stream: None }
    }
}

impl From<Bytes> for RequestBody {
    fn from(data: Bytes) -> Self {
        Self::read(data, None)
    }
}

impl Default for RequestBody {
    /// Makes an empty body.
    fn default() -> Self {
        Self::from(Bytes::new())
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.kind {
            Kind::Incoming(body) => Pin::new(body).poll_frame(cx),
            Kind::Read { data, .. } if !data.is_empty() => {
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(data)))))
            }
            Kind::Read { trailers, .. } => {
                Poll::Ready(trailers.take().map(|trailers| Ok(Frame::trailers(*trailers))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Incoming(body) => body.is_end_stream(),
            Kind::Read { data, trailers } => data.is_empty() && trailers.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Incoming(body) => body.size_hint(),
            Kind::Read { data, .. } => SizeHint::with_exact(data.len() as u64),
        }
    }
}

/// Wraps a service for [`RequestBody`] so that it takes hyper's [`Incoming`], as HTTP/1.1 needs it.
///
/// So one service, written for one type of body, answers both. A service that is generic over the body does
/// not need this layer.
///
/// # Example
///
/// ```
/// use std::convert::Infallible;
///
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::{BodyExt, Full};
/// use tower::{Layer, service_fn};
/// use tower_upgrade::{
///     UpgradeLayer,
///     h2c::{H2c, RequestBody, RequestBodyLayer},
/// };
///
/// async fn echo(request: Request<RequestBody>) -> Result<Response<Full<Bytes>>, hyper::Error> {
///     let body = request.into_body().collect().await?.to_bytes();
///     Ok(Response::new(Full::new(body)))
/// }
///
/// let app = service_fn(echo);
/// let service = UpgradeLayer::new()
///     .on("h2c", H2c::new(app))
///     .layer(RequestBodyLayer::new().layer(app));
/// # fn is_a_service<S: tower::Service<Request<hyper::body::Incoming>>>(_service: S) {}
/// # is_a_service(service);
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "a layer does nothing unless it is put around a service"]
pub struct RequestBodyLayer {
    _private: (),
}

impl RequestBodyLayer {
    /// Makes the layer.
    pub const fn new() -> Self {
        Self { _private: () }
    }
}

impl<S> Layer<S> for RequestBodyLayer {
    type Service = WithRequestBody<S>;

    fn layer(&self, inner: S) -> Self::Service {
        WithRequestBody { inner }
    }
}

/// A service that gives the inner service hyper's body as a [`RequestBody`].
///
/// Made by [`RequestBodyLayer`]; see there for an example.
#[derive(Clone, Copy, Debug)]
pub struct WithRequestBody<S> {
    inner: S,
}

impl<S> Service<Request<Incoming>> for WithRequestBody<S>
where
    S: Service<Request<RequestBody>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        self.inner.call(request.map(RequestBody::from))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_body_that_was_read_is_one_piece_and_its_trailers() {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "1".parse().unwrap());
        for (data, trailers) in
            [("", None), ("hello", None), ("hello", Some(trailers.clone())), ("", Some(trailers))]
        {
            let body = RequestBody::read(Bytes::from(data), trailers.clone());
            assert_eq!(body.size_hint().exact(), Some(data.len() as u64));
            assert_eq!(body.is_end_stream(), data.is_empty() && trailers.is_none());
            let collected = body.collect().await.unwrap();
            assert_eq!(collected.trailers(), trailers.as_ref());
            assert_eq!(collected.to_bytes(), data);
        }
        assert!(RequestBody::default().is_end_stream());
    }
}
