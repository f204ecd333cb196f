//! How the inner service's [`Switch`] reaches the layer: as a response.

use std::{
    fmt, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use http::{HeaderMap, Response, StatusCode};

use super::switch::Switch;
use crate::negotiation::protocol::Protocol;

impl Switch {
    /// Converts the switch into a response that an inner service returns to
    /// [`UpgradeLayer::on_inner`](crate::UpgradeLayer::on_inner). The layer sends the 101 in its place.
    ///
    /// With the feature `axum`, axum handlers return the `Switch` itself.
    ///
    /// The response has the headers of the switch. Middleware between the service and the layer may add
    /// headers, and they are sent with the 101, except those that a [101 cannot have](Self::header). If
    /// middleware changes the status, the client gets that response and nothing is switched. Until the layer
    /// takes it, the switch of a `websocket::Offer` is a 101, and every other switch is a 500. So a 500 that
    /// middleware sets in place of the second kind goes unnoticed.
    ///
    /// Return the response only for a request that came from the layer, and only once. Otherwise the
    /// client sees a 500 whose body says that no layer took it.
    ///
    /// # Example
    ///
    /// [`UpgradeLayer::on_inner`](crate::UpgradeLayer::on_inner) has an example with a layer. Without
    /// one:
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::{Response, StatusCode};
    /// use http_body_util::Full;
    /// use tower_upgrade::{Switch, Upgraded};
    ///
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
            // The layer has the switch, so the response may already be a 101.
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

/// The way back to the layer, in the extensions of a request that the layer hands to the inner
/// service. It is weak: once the layer's future is dropped, no switch is taken.
#[derive(Clone)]
pub(crate) struct Link(Weak<Slot>);

impl Link {
    /// Returns the protocol to which the layer waits for a switch.
    #[cfg(feature = "axum")]
    pub(crate) fn protocol(&self) -> Option<Protocol<'static>> {
        self.0.upgrade().map(|slot| slot.protocol.clone())
    }

    /// Returns whether the layer can still take the switch.
    fn put(&self, switch: Switch) -> bool {
        let Some(slot) = self.0.upgrade() else {
            return false;
        };
        let mut yes = slot.lock();
        let is_first = matches!(*yes, Yes::NotSaid);
        let now = if is_first { Yes::Said(switch) } else { Yes::SaidTwice };
        let before = mem::replace(&mut *yes, now);
        // A switch holds values of the user's, and is dropped when the lock is free.
        drop(yes);
        drop(before);
        is_first
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Link").finish_non_exhaustive()
    }
}

/// Where the layer finds the switch for one request.
pub(crate) struct Slot {
    protocol: Protocol<'static>,
    yes: Mutex<Yes>,
}

/// Whether the inner service has switched.
pub(crate) enum Yes {
    NotSaid,
    Said(Switch),
    /// The inner service answered clones of the request. A connection is switched once, and it is not
    /// known for which of them.
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

    /// Takes the answer. A later one counts as a second.
    pub(crate) fn take(&self) -> Yes {
        mem::replace(&mut *self.lock(), Yes::SaidTwice)
    }

    fn lock(&self) -> MutexGuard<'_, Yes> {
        // No code panics while it holds the lock, so a poisoned lock guards a valid value.
        self.yes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A switch in the extensions of its response.
#[derive(Clone)]
pub(crate) struct Carried(Arc<Mutex<Option<Switch>>>);

impl Carried {
    fn new(switch: Switch) -> Self {
        Self(Arc::new(Mutex::new(Some(switch))))
    }

    /// Returns `None` if the switch was already taken, from a clone of the response.
    pub(crate) fn take(&self) -> Option<Switch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The text of the 500 that a client sees if no layer takes the switch.
const NOT_TAKEN: &str = "the handler switched protocols, but no `UpgradeLayer::on_inner` offered it one \
                         for this request\n";

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    use super::*;

    /// Notes when it is dropped whether the lock of the slot is free.
    struct Asks(Arc<Slot>, Arc<AtomicBool>);

    impl Drop for Asks {
        fn drop(&mut self) {
            self.1.store(self.0.yes.try_lock().is_ok(), Relaxed);
        }
    }

    #[test]
    fn values_of_a_switch_are_dropped_when_the_lock_is_free() {
        let (slot, was_free) = (Slot::new("foo".parse().unwrap()), Arc::default());
        let asks = Asks(Arc::clone(&slot), Arc::clone(&was_free));
        let link = slot.link();
        assert!(link.put(Switch::to(move |_| async move { drop(asks) })));
        assert!(!was_free.load(Relaxed));
        assert!(!link.put(Switch::to(|_| async {})));
        assert!(was_free.load(Relaxed));
        assert!(matches!(slot.take(), Yes::SaidTwice));
    }
}
