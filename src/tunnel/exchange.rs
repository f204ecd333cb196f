//! [`Tunnel`] as a handler: from the client's request to a switch, or to the answer in its place.

use std::mem;

use bytes::Bytes;
use http::{
    Request, Response, StatusCode,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
    request,
};
use http_body::Body;

use super::{
    Tunnel,
    carry::carry,
    connect::Connect,
    error::{TunnelError, TunnelErrorKind},
    headers::{end_to_end, is_decoded},
    request::{Asked, is_h2c},
    response,
    upstream::{self, Answer},
};
use crate::{
    connect,
    connections::upgraded::Upgraded,
    error::BoxError,
    handler::{UpgradeHandler, rejection::Rejection, switch::Switch},
    negotiation::protocol::Protocol,
};

impl<C> UpgradeHandler for Tunnel<C>
where
    C: Connect,
{
    /// Whether the path has the prefix. HTTP/2 is not tunnelled in HTTP/2.
    fn accepts(&self, head: &request::Parts, protocol: &Protocol<'_>) -> bool {
        self.rewrite.applies_to(&head.uri)
            && !(is_h2c(protocol) && connect::protocol(head).is_some())
    }

    /// Returns 64 KiB. [`with_body_limit`](UpgradeHandler::with_body_limit) sets another.
    fn body_limit(&self) -> usize {
        BODY_LIMIT
    }

    /// Returns `true`: the request goes up with the length of its body.
    fn reads_chunked_body(&self) -> bool {
        true
    }

    async fn upgrade(&self, request: Request<Bytes>) -> Result<Switch, Rejection> {
        let (head, body) = request.into_parts();
        // The layer puts it there.
        let protocol = head.extensions.get::<Protocol<'static>>().cloned();
        let protocol = protocol.ok_or(StatusCode::INTERNAL_SERVER_ERROR)?;
        let mut asked = self.rewrite.ask(&head, body, &protocol)?;
        let request = mem::take(&mut asked.request);
        let io = upstream::connect(&self.connector, head, self.connect_timeout).await;
        let answer = match io {
            Ok(io) => upstream::ask(io, request, self.response_timeout).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(Answer::Switching(response, free)) => {
                let (head, ()) = response.into_parts();
                if let Some(why) = response::mismatch(&head, &asked, &protocol) {
                    return Err(failed(TunnelError::new(TunnelErrorKind::NotSwitched, why)));
                }
                let closes_websocket = self.closes_websocket && protocol.is_websocket();
                let switch =
                    Switch::to(move |client: Upgraded| carry(client, free, closes_websocket))
                        .with_headers(response::switching(&head, asked.is_connect));
                Ok(match self.idle_timeout {
                    Some(limit) => switch.idle_timeout(limit),
                    None => switch,
                })
            }
            Ok(Answer::Other(response)) => other(*response, &asked),
            Err(error) => Err(failed(error)),
        }
    }
}

/// Passes on an answer that does not switch.
fn other<B>(response: Response<B>, asked: &Asked) -> Result<Switch, Rejection>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    if asked.is_connect && response.status().is_success() {
        // It would open the tunnel, RFC 9110 §9.3.6.
        let why = format!("it answered {} in place of 101", response.status());
        return Err(failed(TunnelError::new(TunnelErrorKind::NotSwitched, why)));
    }
    if !is_decoded(response.headers()) {
        let why = "its body has a transfer coding beside chunked";
        return Err(failed(TunnelError::new(TunnelErrorKind::Malformed, why)));
    }
    let mut response = response;
    // RFC 9112 §2.3: in HTTP/1.0 it would be sent so, and end with the connection.
    *response.version_mut() = http::Version::HTTP_11;
    // RFC 9112 §6.3: `Content-Length` beside `Transfer-Encoding` is no length, and would be taken for one.
    let is_chunked = response.headers().contains_key(TRANSFER_ENCODING);
    let except = if is_chunked { &[CONTENT_LENGTH][..] } else { &[] };
    *response.headers_mut() = end_to_end(response.headers(), except);
    Err(Rejection::from(response).with_reason("upstream"))
}

fn failed(error: TunnelError) -> Rejection {
    Rejection::from((error.status(), format!("{error}\n"))).with_error(error.into())
}

/// More than any request to upgrade has, and little enough to hold for each.
const BODY_LIMIT: usize = 64 * 1024;
