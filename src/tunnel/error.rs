//! The failures between a tunnel and its upstream.

use std::{error::Error, fmt, io};

use http::StatusCode;

use crate::error::BoxError;

/// The error of a [`Tunnel`](super::Tunnel): the upstream did not switch, or one of the two connections
/// broke.
///
/// It is the source of the [`UpgradeError`](crate::UpgradeError) that
/// [`UpgradeLayer::on_failure`](crate::UpgradeLayer::on_failure) receives. [`kind`](Self::kind) tells
/// failures apart, and [`source`](Error::source) has the cause. The texts and the types of the sources
/// may change at any time.
///
/// # Example
///
/// ```
/// use std::error::Error;
///
/// use tower_upgrade::{UpgradeLayer, tunnel::{TunnelError, TunnelErrorKind}};
///
/// let layer = UpgradeLayer::new().on_failure(|error| {
///     let tunnel = error.source().and_then(|source| source.downcast_ref::<TunnelError>());
///     if tunnel.is_some_and(|error| error.kind() == TunnelErrorKind::Connect) {
///         eprintln!("the upstream is down: {error:#}");
///     }
/// });
/// # drop(layer);
/// ```
#[derive(Debug)]
pub struct TunnelError {
    kind: TunnelErrorKind,
    source: BoxError,
}

/// The kinds of [`TunnelError`].
///
/// See [`TunnelError`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TunnelErrorKind {
    /// The connection to the upstream failed: for example, no process listens there, or the name was not
    /// found. The client got a 502.
    Connect,
    /// It took longer than [`Tunnel::connect_timeout`](super::Tunnel::connect_timeout) to connect. The
    /// client got a 504.
    ConnectTimedOut,
    /// The upstream did not answer within
    /// [`Tunnel::response_timeout`](super::Tunnel::response_timeout). The client got a 504.
    ResponseTimedOut,
    /// The upstream closed the connection without an answer. The client got a 502.
    Closed,
    /// The connection to the upstream broke before its answer. The client got a 502.
    Reset,
    /// The upstream's answer was not HTTP/1.1, or its body had a transfer coding beside chunked. The client
    /// got a 502.
    Malformed,
    /// The upstream answered a 101, but not the one that was asked for: `Connection` did not have the
    /// option `upgrade`, `Upgrade` named something else, or `Sec-WebSocket-Accept` was wrong. Or it came
    /// as HTTP/1.0, or before the upstream had read the request. Or it answered an extended CONNECT with a
    /// 2xx in place of a 101. The client got a 502.
    NotSwitched,
    /// After the switch, the connection to the client broke. The one to the upstream was reset.
    Client,
    /// After the switch, the connection to the upstream broke. The one to the client was reset.
    Upstream,
}

impl TunnelError {
    pub(super) fn new(kind: TunnelErrorKind, source: impl Into<BoxError>) -> Self {
        Self { kind, source: source.into() }
    }

    /// The error of an exchange with the upstream.
    pub(super) fn exchange(error: hyper::Error) -> Self {
        // A request that was not begun is canceled because of another error, or of none at the end of the
        // connection.
        let source = error.source().and_then(|source| source.downcast_ref());
        let cause = if error.is_canceled() { source.unwrap_or(&error) } else { &error };
        let kind = if cause.is_incomplete_message() || cause.is_canceled() {
            TunnelErrorKind::Closed
        } else if cause.source().is_some_and(<dyn Error>::is::<io::Error>) {
            TunnelErrorKind::Reset
        } else {
            // It cannot be parsed, or came before the request.
            TunnelErrorKind::Malformed
        };
        Self::new(kind, error)
    }

    /// Returns the kind of the failure.
    pub fn kind(&self) -> TunnelErrorKind {
        self.kind
    }

    /// The status of the response, if there was no switch yet.
    pub(super) fn status(&self) -> StatusCode {
        match self.kind {
            TunnelErrorKind::ConnectTimedOut | TunnelErrorKind::ResponseTimedOut => {
                StatusCode::GATEWAY_TIMEOUT
            }
            _ => StatusCode::BAD_GATEWAY,
        }
    }
}

impl fmt::Display for TunnelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            TunnelErrorKind::Connect => "cannot connect to the upstream",
            TunnelErrorKind::ConnectTimedOut => {
                "connecting to the upstream took longer than `connect_timeout`"
            }
            TunnelErrorKind::ResponseTimedOut => {
                "the upstream did not answer within `response_timeout`"
            }
            TunnelErrorKind::Closed => "the upstream closed the connection without an answer",
            TunnelErrorKind::Reset => "the connection to the upstream broke before its answer",
            TunnelErrorKind::Malformed => "the upstream's answer is not HTTP/1.1",
            TunnelErrorKind::NotSwitched => {
                "the upstream did not switch to the protocol that it was asked for"
            }
            TunnelErrorKind::Client => "the connection to the client broke",
            TunnelErrorKind::Upstream => "the connection to the upstream broke",
        })
    }
}

impl Error for TunnelError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

/// The two connections of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Upstream,
}

impl Side {
    /// The error of a connection that broke after the switch.
    pub(super) fn broke(self, error: io::Error) -> TunnelError {
        let kind = match self {
            Self::Client => TunnelErrorKind::Client,
            Self::Upstream => TunnelErrorKind::Upstream,
        };
        TunnelError::new(kind, error)
    }
}
