//! The token by which the outermost layer knows the response of a handshake from any other.

use std::{
    fmt, mem,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE},
};
use hyper::upgrade::OnUpgrade;

use super::sent::Departure;
use crate::{
    connect,
    negotiation::{connection, length::Length},
};

/// The outermost layer puts a token in the request's extensions for the layer that switches.
///
/// It stands in the request, because middleware that makes a new response drops the extensions of
/// the old one. It does not keep the exit alive: that ends with the outermost layer's future.
#[derive(Clone)]
pub(crate) struct Token {
    exit: Weak<Exit>,
    /// Of the request that the exit is for, and so of the connection that its 101 leaves on.
    pub(crate) on_upgrade: OnUpgrade,
    /// How long a body the client's head announces, whatever layers make of the head later.
    pub(crate) length: Option<Length>,
}

impl Token {
    /// Ties a response whose mark has this value to the request. `departure` is dropped unless the
    /// outermost layer lets that response out.
    pub(crate) fn register(&self, value: HeaderValue, departure: Departure) {
        if let Some(exit) = self.exit.upgrade() {
            exit.register(Handshake { value, departure });
        }
    }

    /// Whether there is still an outermost layer that waits for the response.
    pub(crate) fn is_valid(&self) -> bool {
        self.exit.strong_count() > 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Token").finish_non_exhaustive()
    }
}

/// The place where the response to one request leaves the outermost layer.
#[derive(Debug, Default)]
pub(crate) struct Exit(Mutex<Registered>);

#[derive(Debug, Default)]
enum Registered {
    #[default]
    Nothing,
    /// A handshake that made its response.
    Handshake(Handshake),
    /// Clones of the request were switched twice, by responses of this status. No handler may run.
    Refused(StatusCode),
    /// The response has left, or is none.
    Gone,
}

#[derive(Debug)]
struct Handshake {
    /// Of the header by which its response is known.
    value: HeaderValue,
    departure: Departure,
}

/// The decision of the outermost layer about a response.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It does not switch, or no handshake was made for it: it passes as it is.
    Pass,
    /// It is the response of the handshake.
    Confirm(Departure),
    /// It switches, and no handler stands behind it any more.
    Unavailable,
}

impl Exit {
    pub(crate) fn token(self: &Arc<Self>, on_upgrade: OnUpgrade, length: Option<Length>) -> Token {
        Token { exit: Arc::downgrade(self), on_upgrade, length }
    }

    fn replace(&self, registered: Registered) -> Registered {
        // Nothing panics while the lock is held, so a poisoned one holds nothing broken.
        mem::replace(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner), registered)
    }

    fn register(&self, handshake: Handshake) {
        let mut registered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = match *registered {
            Registered::Nothing => {
                *registered = Registered::Handshake(handshake);
                return;
            }
            // The connection can be switched once, and it is not known whose response will be sent.
            Registered::Handshake(_) => {
                let status = handshake.departure.status();
                mem::replace(&mut *registered, Registered::Refused(status))
            }
            Registered::Refused(_) | Registered::Gone => return,
        };
        // To drop a departure wakes a task, which is not to wait for the lock.
        drop(registered);
        drop(refused);
    }

    /// Decides about the response with this status and these headers. Later handshakes are refused.
    pub(crate) fn leave(&self, status: StatusCode, headers: &mut HeaderMap) -> Verdict {
        let is_101 = status == StatusCode::SWITCHING_PROTOCOLS;
        let mark = headers.remove(connect::SWITCH);
        let is_marked = |value: &HeaderValue| {
            if is_101 { is_only_upgrade(headers, value) } else { mark.as_ref() == Some(value) }
        };
        match self.replace(Registered::Gone) {
            Registered::Handshake(Handshake { value, departure })
                if status == departure.status() && is_marked(&value) =>
            {
                if departure.is_abandoned() {
                    return Verdict::Unavailable;
                }
                if is_101 {
                    // Layers may set `Connection` on any response, which loses the option that goes
                    // with `Upgrade`.
                    connection::add_upgrade_option(headers);
                } else {
                    headers.remove(CONNECTION);
                }
                // Layers may add framing to any response. One that switches must not have it (RFC 9110
                // §8.6, RFC 9112 §6.1).
                headers.remove(CONTENT_LENGTH);
                headers.remove(TRANSFER_ENCODING);
                Verdict::Confirm(departure)
            }
            Registered::Handshake(Handshake { departure, .. })
                if opens(status, departure.status()) =>
            {
                Verdict::Unavailable
            }
            Registered::Refused(agreed) if opens(status, agreed) => Verdict::Unavailable,
            _ => Verdict::Pass,
        }
    }
}

/// Whether a response with this status switches, if that of the handshake was to have the status `agreed`.
/// Any 2xx opens the tunnel of a CONNECT (RFC 9110 §9.3.6).
fn opens(status: StatusCode, agreed: StatusCode) -> bool {
    status == agreed || (agreed == StatusCode::OK && status.is_success())
}

fn is_only_upgrade(headers: &HeaderMap, value: &HeaderValue) -> bool {
    let mut lines = headers.get_all(UPGRADE).iter();
    lines.next() == Some(value) && lines.next().is_none()
}
