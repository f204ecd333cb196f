//! The counts that [`Connections`](crate::Connections) keeps of requests and connections.

/// A snapshot of how many requests were switched, rejected, declined or failed.
///
/// Counts start when the [`Connections`](crate::Connections) are made. A switched connection that
/// fails later is counted twice: once as switched and once as failed, panicked, aborted, idle or expired.
///
/// See [`Connections::stats`](crate::Connections::stats) for an example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections now, including those in their handshake.
    pub active: usize,
    /// The highest value of `active` so far.
    pub highest: usize,
    /// Connections that were handed to the function given to [`Switch::to`](crate::Switch::to).
    pub switched: u64,
    /// Requests that a handler or the inner service rejected with a
    /// [`Rejection`](crate::Rejection).
    pub rejected: u64,
    /// Requests that got a 503 because
    /// [`UpgradeLayer::max_connections`](crate::UpgradeLayer::max_connections) was reached.
    pub at_capacity: u64,
    /// Requests that got a 429 because
    /// [`UpgradeLayer::max_connections_per`](crate::UpgradeLayer::max_connections_per) was reached.
    pub at_key_capacity: u64,
    /// Requests that got a 503 during a drain.
    pub drained: u64,
    /// Requests that got a 426, or another response that demands an upgrade, because of
    /// [`UpgradeLayer::required`](crate::UpgradeLayer::required).
    pub required: u64,
    /// Requests with an offer that no handler took over, by reason.
    pub declined: Declined,
    /// Handshakes that took longer than
    /// [`UpgradeLayer::handshake_timeout`](crate::UpgradeLayer::handshake_timeout).
    pub timed_out: u64,
    /// Upgrades that failed with an [`UpgradeError`](crate::UpgradeError) of any other kind than
    /// `TimedOut`, `Panicked`, `Aborted`, `Idle` and `Expired`, which have counts of their own.
    pub failed: u64,
    /// Handlers that panicked, before or after the switch.
    pub panicked: u64,
    /// Connections that were aborted, by [`Connections::shutdown`](crate::Connections::shutdown) or by
    /// [`Connection::abort`](crate::Connection::abort). Each counts when it has ended.
    pub aborted: u64,
    /// Connections that were closed because of
    /// [`UpgradeLayer::idle_timeout`](crate::UpgradeLayer::idle_timeout).
    pub idle: u64,
    /// Connections that were closed because they went on after their
    /// [`UpgradeLayer::max_lifetime`](crate::UpgradeLayer::max_lifetime).
    pub expired: u64,
    /// Bytes read from connections that have ended, after their switch and until a
    /// [`downcast`](crate::Upgraded::downcast).
    pub read: u64,
    /// Bytes written to them.
    pub written: u64,
}

/// How many requests with an offer no handler took over, by reason.
///
/// The offer is an `Upgrade` header, or an [extended CONNECT](crate::UpgradeLayer::extended_connect). The
/// inner service gets these requests, unless an upgrade is [required](crate::UpgradeLayer::required).
///
/// See [`Connections::stats`](crate::Connections::stats) for an example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Declined {
    /// The version is not HTTP/1.1, or the method is CONNECT or TRACE. The usual cause is a proxy in
    /// front that speaks HTTP/1.0, as nginx does without `proxy_http_version 1.1`. CONNECT is counted
    /// without an `Upgrade` header, too, unless it is an extended CONNECT that counts as an offer.
    pub request: u64,
    /// `Connection` has no `upgrade` option, is malformed, or is over a limit.
    pub connection: u64,
    /// `Upgrade` is empty, malformed, or over a limit, or `:protocol` is malformed.
    pub upgrade: u64,
    /// No handler is registered for an offered protocol.
    pub unregistered: u64,
    /// The body is longer than the handler's [limit](crate::UpgradeHandler::body_limit), is chunked
    /// without the handler [reading such bodies](crate::UpgradeHandler::reads_chunked_body),
    /// contradicts its head, or waits for a `100 Continue` that hyper would not send.
    pub body: u64,
    /// No handler [accepted](crate::UpgradeHandler::accepts) the request, or the inner service was
    /// asked and answered without a switch or a [`Rejection`](crate::Rejection).
    pub unaccepted: u64,
    /// [`UpgradeLayer::max_connections`](crate::UpgradeLayer::max_connections) or
    /// [`max_connections_per`](crate::UpgradeLayer::max_connections_per) was reached with
    /// [`AtCapacity::Forward`](crate::AtCapacity::Forward) set. Or it was reached, or a drain had
    /// begun, and the handler's protocol is [optional](crate::UpgradeHandler::is_optional).
    pub capacity: u64,
}
