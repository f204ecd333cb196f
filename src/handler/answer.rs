//! How the inner service's yes gets to the layer: a [`Switch`] as a response.

use std::{
    fmt, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use http::{HeaderMap, Response, StatusCode};

use super::switch::Switch;
use crate::negotiation::protocol::Protocol;

impl Switch {
    /// Makes the response by which a service inside of
    /// [`UpgradeLayer::on_inner`](crate::UpgradeLayer::on_inner) says yes. The layer makes the 101 from
    /// it. With the feature `axum`, handlers return the `Switch` itself.
    ///
    /// The headers of the switch are on the response, and headers that middleware adds to it get onto
    /// the 101, except those that a [101 cannot have](Self::header). If middleware changes the status,
    /// the client gets that response and nothing is switched.
    ///
    /// Where no layer takes it, the response is a 500 with a sentence that says so: return it for a
    /// request that the layer handed to this service, once.
    ///
    /// # Example
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::{Response, StatusCode};
    /// use http_body_util::Full;
    /// use tower_upgrade::{Switch, Upgraded};
    ///
    /// // Nobody asked for it.
    /// let switch = Switch::to(|_io: Upgraded| async {});
    /// let response: Response<Full<Bytes>> = switch.into_response();
    /// assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    /// ```
    pub fn into_response<B>(mut self) -> Response<B>
    where
        B: From<&'static str>,
    {
        let headers = mem::take(&mut self.headers);
        match self.link.take() {
            None => {
                let mut response = respond(StatusCode::INTERNAL_SERVER_ERROR, NOT_TAKEN, headers);
                response.extensions_mut().insert(Carried::new(self));
                response
            }
            // The layer is there, so the response may say what it stands for.
            Some(link) if link.put(self) => respond(StatusCode::SWITCHING_PROTOCOLS, "", headers),
            Some(_) => respond(StatusCode::INTERNAL_SERVER_ERROR, NOT_TAKEN, HeaderMap::new()),
        }
    }
}

fn respond<B>(status: StatusCode, text: &'static str, headers: HeaderMap) -> Response<B>
where
    B: From<&'static str>,
{
    let mut response = Response::new(B::from(text));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// What a request carries that the layer hands to the inner service. It holds nothing alive: when
/// the layer's future is gone, nobody takes a switch any more.
#[derive(Clone)]
pub(crate) struct Link(Weak<Slot>);

impl Link {
    /// Whether the layer waits for a yes to this protocol.
    #[cfg(all(feature = "axum", feature = "websocket"))]
    pub(crate) fn is_for(&self, name: &str) -> bool {
        self.0.upgrade().is_some_and(|slot| slot.protocol.name().eq_ignore_ascii_case(name))
    }

    /// Returns whether the layer can still take the switch.
    fn put(&self, switch: Switch) -> bool {
        let Some(slot) = self.0.upgrade() else {
            return false;
        };
        let mut yes = slot.lock();
        let is_first = matches!(*yes, Yes::NotSaid);
        *yes = if is_first { Yes::Said(switch) } else { Yes::SaidTwice };
        is_first
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Link").finish_non_exhaustive()
    }
}

/// Where the layer finds the yes to one request.
pub(crate) struct Slot {
    protocol: Protocol<'static>,
    yes: Mutex<Yes>,
}

/// What the inner service has said.
pub(crate) enum Yes {
    NotSaid,
    Said(Switch),
    /// Clones of the request were answered. A connection is switched once, and it is not known for
    /// which of them.
    SaidTwice,
}

impl Slot {
    pub(crate) fn new(protocol: Protocol<'static>) -> Arc<Self> {
        Arc::new(Self { protocol, yes: Mutex::new(Yes::NotSaid) })
    }

    pub(crate) fn link(self: &Arc<Self>) -> Link {
        Link(Arc::downgrade(self))
    }

    pub(crate) fn protocol(&self) -> &Protocol<'static> {
        &self.protocol
    }

    /// Takes what was said. A yes that comes later is one too many.
    pub(crate) fn take(&self) -> Yes {
        mem::replace(&mut *self.lock(), Yes::SaidTwice)
    }

    fn lock(&self) -> MutexGuard<'_, Yes> {
        // Nothing panics while the lock is held, so a poisoned one holds nothing broken.
        self.yes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A switch in the extensions of the response that stands for it.
#[derive(Clone)]
pub(crate) struct Carried(Arc<Mutex<Option<Switch>>>);

impl Carried {
    fn new(switch: Switch) -> Self {
        Self(Arc::new(Mutex::new(Some(switch))))
    }

    /// Returns `None` if it was taken for a clone of the response.
    pub(crate) fn take(&self) -> Option<Switch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The text of the 500 that a client sees if no layer takes the switch.
const NOT_TAKEN: &str =
    "a switch of protocols was answered where no `UpgradeLayer::on_inner` takes it\n";
