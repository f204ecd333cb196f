//! What can go wrong between an accepted offer and the end of the connection.

use std::{error::Error, fmt};

use crate::negotiation::protocol::Protocol;

/// A boxed error, as bodies and handlers return it.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Why an upgrade that a handler took over did not come to a good end.
///
/// [`UpgradeLayer::on_failure`](crate::UpgradeLayer::on_failure) gets it; see there for an
/// example. [`kind`](Self::kind) tells failures apart, as does the text; why it happened is in
/// [`source`](Error::source), and `{:#}` prints both. The texts and the types of the sources may
/// change at any time.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpgradeErrorKind {
    /// The body of the request broke off, was malformed, or did not have the length that its head
    /// announced: the client got a 400. Or it was chunked and longer than the handler's
    /// [limit](crate::UpgradeHandler::body_limit): the client got a 413.
    Body,
    /// The handler's [`Switch`](crate::Switch) named protocols that it may not switch to. The
    /// client got a 500.
    Switch,
    /// The 101 did not leave the server: an outer layer replaced it or gave up. What the handler
    /// switched to was not run.
    ///
    /// Without [`UpgradeLayer::outermost`](crate::UpgradeLayer::outermost) this is also the kind if
    /// an outer layer hides the body of the 101, and the source of the error says so.
    Replaced,
    /// The HTTP server does not let go of its connections. What the handler switched to was not run.
    NotEnabled,
    /// The connection ended, or a layer outside gave up, before it was switched. What the handler
    /// switched to was not run.
    Disconnected,
    /// The handshake took longer than
    /// [`UpgradeLayer::handshake_timeout`](crate::UpgradeLayer::handshake_timeout). The client got
    /// a 408 if its content was late, and a 503 if the handler was. If it was the connection that
    /// was late, the client may get its 101, and then the end; the handler was not run.
    TimedOut,
    /// What the handler ran on the connection returned an error.
    Handler,
    /// The handler panicked. If it had not switched yet, the client got a 500.
    Panicked,
    /// [`Connections::shutdown`](crate::Connections::shutdown) ended the connection at its
    /// deadline.
    Aborted,
}

impl UpgradeError {
    pub(crate) fn new(
        kind: UpgradeErrorKind,
        protocol: Protocol<'static>,
        source: Option<BoxError>,
    ) -> Self {
        Self { kind, protocol, source }
    }

    /// Returns what kind of failure this is.
    pub fn kind(&self) -> UpgradeErrorKind {
        self.kind
    }

    /// Returns the protocol that was negotiated.
    pub fn protocol(&self) -> &Protocol<'static> {
        &self.protocol
    }
}

impl fmt::Display for UpgradeError {
    /// Writes what happened; with `{:#}`, also why: the text of each source, after a colon.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            UpgradeErrorKind::Body => "the request's body could not be read to its end",
            UpgradeErrorKind::Switch => "the switch names protocols that it may not switch to",
            UpgradeErrorKind::Replaced => {
                "the 101 did not leave the server: an outer layer replaced it or gave up"
            }
            UpgradeErrorKind::NotEnabled => {
                "the connection is served without upgrades: call `.with_upgrades()` on hyper's \
                 connection, or `serve_connection_with_upgrades` on hyper-util's builder"
            }
            UpgradeErrorKind::Disconnected => "the connection ended before it was switched",
            UpgradeErrorKind::TimedOut => "the handshake took too long",
            UpgradeErrorKind::Handler => "the handler failed",
            UpgradeErrorKind::Panicked => "the handler panicked",
            UpgradeErrorKind::Aborted => "the connection was left at the deadline of the shutdown",
        })?;
        let mut source = self.source().filter(|_| f.alternate());
        while let Some(error) = source {
            write!(f, ": {error}")?;
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
