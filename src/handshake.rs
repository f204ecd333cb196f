//! Decision 2, switch or refuse: from the request that a handler owns to the end of what it runs.

use std::{
    any::Any,
    future::{self, Future},
    panic::{self, AssertUnwindSafe},
    pin::pin,
    sync::Weak,
    task::Poll,
};

use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode,
    header::{CONNECTION, UPGRADE},
    request,
};
use http_body::Body;
use http_body_util::{BodyExt, Limited};
use hyper::upgrade::OnUpgrade;
use tokio::sync::oneshot;

use crate::{
    BoxError, Protocol, Switch, UpgradeError, UpgradeErrorKind, Upgraded,
    body::{OwnBody, SwitchingBody},
    handler::BoxedHandler,
    layer::OnFailure,
    rejection,
    switch::Run,
    task,
};

/// A request that a handler took over.
pub(crate) struct Handshake {
    pub(crate) handler: BoxedHandler,
    pub(crate) protocol: Protocol<'static>,
    pub(crate) on_upgrade: OnUpgrade,
    pub(crate) on_failure: OnFailure,
}

impl Handshake {
    /// Reads the content, asks the handler, and makes the response.
    ///
    /// `future` is alive as long as the future that this runs in.
    pub(crate) async fn respond<B>(
        self,
        mut head: request::Parts,
        body: B,
        future: Weak<()>,
    ) -> Response<OwnBody>
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        // Reading is also what makes hyper send the 100 that a client may be waiting for.
        let content = match Limited::new(body, self.handler.body_limit()).collect().await {
            Ok(content) => content.to_bytes(),
            Err(error) => {
                self.fail(UpgradeErrorKind::Body, error);
                let mut response = plain(StatusCode::BAD_REQUEST);
                // Where the content ends is not known, so nothing behind it can be either.
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                return response;
            }
        };
        let lines = head.headers.get_all(UPGRADE).iter();
        let offer: HeaderMap = lines.map(|line| (UPGRADE, line.clone())).collect();
        head.extensions.insert(self.protocol.clone());
        let request = Request::from_parts(head, content);
        let handler = self.handler.clone();
        match catch_panic(async move { handler.upgrade(request).await }).await {
            Ok(Ok(switch)) => self.switch(switch, &offer, future),
            Ok(Err(rejection)) => rejection.into_response(&self.protocol).map(OwnBody::Rejection),
            Err(panic) => {
                self.fail(UpgradeErrorKind::Panicked, panic);
                plain(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }

    /// Makes the 101, and has the connection waited for.
    fn switch(self, switch: Switch, offer: &HeaderMap, future: Weak<()>) -> Response<OwnBody> {
        let (headers, run) = match switch.into_parts(&self.protocol, offer) {
            Ok(parts) => parts,
            Err(error) => {
                self.fail(UpgradeErrorKind::Switch, error);
                return plain(StatusCode::INTERNAL_SERVER_ERROR);
            }
        };
        let (body, sent) = SwitchingBody::new(future);
        // hyper gives the connection up only after it has written the response, so nobody could
        // wait for it here.
        task::spawn(self.run(run, sent));
        let mut response = Response::new(OwnBody::Switching(body));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *response.headers_mut() = headers;
        response
    }

    /// Waits until the 101 is sent and the connection free, and runs what the handler switched to.
    async fn run(self, run: Run, sent: oneshot::Receiver<()>) {
        let Self { handler: _, protocol, on_upgrade, on_failure } = self;
        let fail = |kind, source: Option<BoxError>| {
            on_failure.call(UpgradeError::new(kind, protocol.clone(), source));
        };
        if sent.await.is_err() {
            return fail(UpgradeErrorKind::Replaced, None);
        }
        let io = match on_upgrade.await {
            Ok(io) => Upgraded::new(io, protocol.clone()),
            Err(error) if error.is_user() => {
                return fail(UpgradeErrorKind::NotEnabled, Some(error.into()));
            }
            Err(error) => return fail(UpgradeErrorKind::Disconnected, Some(error.into())),
        };
        match catch_panic(async move { run(io).await }).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => fail(UpgradeErrorKind::Handler, Some(error)),
            Err(panic) => fail(UpgradeErrorKind::Panicked, Some(panic)),
        }
    }

    fn fail(&self, kind: UpgradeErrorKind, source: impl Into<BoxError>) {
        let error = UpgradeError::new(kind, self.protocol.clone(), Some(source.into()));
        self.on_failure.call(error);
    }
}

fn plain(status: StatusCode) -> Response<OwnBody> {
    let mut response = Response::new(OwnBody::Rejection(rejection::empty()));
    *response.status_mut() = status;
    response
}

/// Runs a handler's future. A panic in it becomes an error that holds the panic's message.
async fn catch_panic<F>(future: F) -> Result<F::Output, BoxError>
where
    F: Future,
{
    let mut future = pin!(future);
    // The future is not polled again after a panic, so nobody sees what it may have left broken.
    future::poll_fn(|cx| match panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Ok),
        Err(payload) => Poll::Ready(Err(panic_message(&*payload))),
    })
    .await
}

/// The text that a panic was called with.
fn panic_message(payload: &(dyn Any + Send)) -> BoxError {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a value that is not text").into()
}
