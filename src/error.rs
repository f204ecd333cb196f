//! The error of an upgrade: from the moment a handler takes over the request until the connection is
//! closed.

use std::{error::Error, fmt};

use crate::negotiation::protocol::Protocol;

/// A boxed error, as bodies and handlers return it.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// The error of an upgrade that failed after a handler took over the request.
///
/// [`UpgradeLayer::on_failure`](crate::UpgradeLayer::on_failure) receives it; see there for an
/// example. [`kind`](Self::kind) tells failures apart, and [`source`](Error::source) has the cause.
/// `{}` prints the failure, and `{:#}` the failure and its causes. The texts and the types of the
/// sources may change at any time.
#[derive(Debug)]
pub struct UpgradeError {
    kind: UpgradeErrorKind,
    protocol: Protocol<'static>,
    source: Option<BoxError>,
}

/// The kinds of [`UpgradeError`].
///
/// # Example
///
/// ```
/// use tower_upgrade::UpgradeErrorKind;
///
/// fn is_the_clients_doing(kind: UpgradeErrorKind) -> bool {
///     matches!(kind, UpgradeErrorKind::Body | UpgradeErrorKind::Disconnected)
/// }
/// assert!(!is_the_clients_doing(UpgradeErrorKind::Panicked));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UpgradeErrorKind {
    /// The body of the request broke off, was malformed, or did not have the length that its head
    /// announced; the client got a 400. Or the body was chunked and longer than the handler's
    /// [limit](crate::UpgradeHandler::body_limit); the client got a 413.
    Body,
    /// The upstream of a `tunnel::Tunnel` could not be reached, or did not answer with a right 101. The
    /// client got a 502 or a 504. The source is a `tunnel::TunnelError`.
    Upstream,
    /// The [`Switch`](crate::Switch) named protocols that it may not switch to; or the inner service switched
    /// twice for one request, or to WebSocket without a `websocket::Offer`. The client got a 500.
    Switch,
    /// The 101, or the 200 to an extended CONNECT, did not leave the server, because an outer layer replaced
    /// or dropped it. The function given to [`Switch::to`](crate::Switch::to) did not run.
    ///
    /// Without [`UpgradeLayer::outermost`](crate::UpgradeLayer::outermost) this is also the kind if
    /// an outer layer hides the body of that response. The source of the error then says to add it. If a
    /// layer around the outermost layer replaces the 101, the source says so.
    Replaced,
    /// The HTTP server does not hand over its connections. The function given to
    /// [`Switch::to`](crate::Switch::to) did not run. The text of the error names the call that is
    /// missing.
    NotEnabled,
    /// The connection was closed, or an outer layer dropped the request, before the switch. The
    /// function given to [`Switch::to`](crate::Switch::to) did not run.
    Disconnected,
    /// The handshake took longer than
    /// [`UpgradeLayer::handshake_timeout`](crate::UpgradeLayer::handshake_timeout). The client got
    /// a 408 if its body was late, and a 503 if the handler was late. If the HTTP server handed over
    /// the connection too late, the client may see the 101 and then EOF, and the function given to
    /// [`Switch::to`](crate::Switch::to) did not run.
    TimedOut,
    /// The function given to [`Switch::to`](crate::Switch::to) returned an error.
    Handler,
    /// The handler, or the function given to [`Switch::to`](crate::Switch::to), panicked. If there
    /// was no 101 yet, the client got a 500.
    Panicked,
    /// The connection was still open at the deadline of
    /// [`Connections::shutdown`](crate::Connections::shutdown), or
    /// [`Connection::abort`](crate::Connection::abort) was called, and it was closed.
    Aborted,
    /// No byte was read from the connection or written to it for
    /// [`UpgradeLayer::idle_timeout`](crate::UpgradeLayer::idle_timeout), and it was closed.
    Idle,
    /// The connection was told to end because of
    /// [`UpgradeLayer::max_lifetime`](crate::UpgradeLayer::max_lifetime), did not end within
    /// [`UpgradeLayer::lifetime_grace`](crate::UpgradeLayer::lifetime_grace), and was closed.
    Expired,
}

impl UpgradeError {
    pub(crate) fn new(
        kind: UpgradeErrorKind,
        protocol: Protocol<'static>,
        source: Option<BoxError>,
    ) -> Self {
        Self { kind, protocol, source }
    }

    /// Returns the kind of the failure.
    pub fn kind(&self) -> UpgradeErrorKind {
        self.kind
    }

    /// Returns the protocol that was negotiated.
    pub fn protocol(&self) -> &Protocol<'static> {
        &self.protocol
    }
}

impl fmt::Display for UpgradeError {
    /// Writes the failure. With `{:#}`, the text of each source follows after a colon.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            UpgradeErrorKind::Body => "the request's body could not be read to its end",
            UpgradeErrorKind::Upstream => "the upstream did not switch",
            UpgradeErrorKind::Switch => "the switch could not be carried out",
            UpgradeErrorKind::Replaced => {
                "the response that switches did not leave the server: an outer layer replaced or dropped it"
            }
            UpgradeErrorKind::NotEnabled => {
                "the connection is served without upgrades: call `.with_upgrades()` on hyper's \
                 connection, or `serve_connection_with_upgrades` on hyper-util's builder"
            }
            UpgradeErrorKind::Disconnected => "the connection was closed before it was switched",
            UpgradeErrorKind::TimedOut => "the handshake took longer than `handshake_timeout`",
            UpgradeErrorKind::Handler => "the upgraded connection ended with an error",
            UpgradeErrorKind::Panicked => {
                "the handler, or the function on its connection, panicked"
            }
            UpgradeErrorKind::Aborted => {
                "the connection was aborted, by a shutdown at its deadline or by its handle"
            }
            UpgradeErrorKind::Idle => "the connection was idle for `idle_timeout` and was closed",
            UpgradeErrorKind::Expired => {
                "the connection went on after `max_lifetime` and its grace, and was closed"
            }
        })?;
        let mut written = String::new();
        let mut source = self.source().filter(|_| f.alternate());
        while let Some(error) = source {
            let text = error.to_string();
            // Some errors have the text of their source at the end of their own.
            if !written.ends_with(&text) {
                write!(f, ": {text}")?;
            }
            written = text;
            source = error.source();
        }
        Ok(())
    }
}

impl Error for UpgradeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}
