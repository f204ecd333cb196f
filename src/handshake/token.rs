//! The token by which the outermost layer knows the 101 of a handshake from any other response.

use std::{
    fmt, mem,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE},
};
use hyper::upgrade::OnUpgrade;
use tokio::sync::oneshot;

use crate::negotiation::{self, length::Length};

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
    /// Ties a 101 with this `Upgrade` header to the request. `sent` is dropped unless the outermost
    /// layer lets that 101 out.
    pub(crate) fn register(&self, upgrade: HeaderValue, sent: oneshot::Sender<bool>) {
        if let Some(exit) = self.exit.upgrade() {
            exit.register(Handshake { upgrade, sent });
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
    /// A handshake that made its 101.
    Handshake(Handshake),
    /// Clones of the request were switched twice, or the response is gone. No handler may run.
    Refused,
}

#[derive(Debug)]
struct Handshake {
    upgrade: HeaderValue,
    sent: oneshot::Sender<bool>,
}

/// The decision of the outermost layer about a response.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It is no 101, or that of somebody else: it passes as it is.
    Pass,
    /// It is the 101 of the handshake that waits for this sender.
    Confirm(oneshot::Sender<bool>),
    /// It is a 101 that no handler stands behind any more.
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
            // The connection can be switched once, and it is not known whose 101 will be sent.
            Registered::Handshake(_) | Registered::Refused => {
                mem::replace(&mut *registered, Registered::Refused)
            }
        };
        // To drop a sender wakes a task, which is not to wait for the lock.
        drop(registered);
        drop(refused);
    }

    /// Decides about the response with this status and these headers. Later handshakes are refused.
    pub(crate) fn leave(&self, status: StatusCode, headers: &mut HeaderMap) -> Verdict {
        let registered = self.replace(Registered::Refused);
        if matches!(registered, Registered::Nothing) || status != StatusCode::SWITCHING_PROTOCOLS {
            return Verdict::Pass;
        }
        match registered {
            // The handshake may have timed out, or been aborted, on the way of its 101.
            Registered::Handshake(Handshake { upgrade, sent })
                if is_only_value(headers, &upgrade) && !sent.is_closed() =>
            {
                // Two things that layers do to the headers of any response: they set `Connection`,
                // which loses the option that goes with `Upgrade`, and they add framing, which a 101
                // must not have (RFC 9110 §8.6, RFC 9112 §6.1).
                negotiation::add_upgrade_option(headers);
                headers.remove(CONTENT_LENGTH);
                headers.remove(TRANSFER_ENCODING);
                Verdict::Confirm(sent)
            }
            _ => Verdict::Unavailable,
        }
    }
}

fn is_only_value(headers: &HeaderMap, upgrade: &HeaderValue) -> bool {
    let mut lines = headers.get_all(UPGRADE).iter();
    lines.next() == Some(upgrade) && lines.next().is_none()
}
