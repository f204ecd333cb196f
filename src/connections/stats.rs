//! What became of the requests: the counts that [`Connections`](crate::Connections) keeps.

/// What became of the requests that offered a protocol, at one moment. Counts are since the
/// [`Connections`](crate::Connections) were made.
///
/// A connection that was switched is counted once more if it ends badly.
///
/// See [`Connections::stats`](crate::Connections::stats) for an example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections that there are now, those in their handshake included.
    pub active: usize,
    /// The most that there were at one time.
    pub highest: usize,
    /// Connections that were handed to what a handler runs.
    pub switched: u64,
    /// Requests that a handler, or the inner service, rejected with a [`Rejection`](crate::Rejection).
    pub rejected: u64,
    /// Requests that were refused because the limit was reached.
    pub at_capacity: u64,
    /// Requests that were refused because the layer drains.
    pub drained: u64,
    /// Requests with an `Upgrade` header that went to the inner service, by reason.
    pub declined: Declined,
    /// Handshakes that took longer than [`UpgradeLayer::handshake_timeout`](crate::UpgradeLayer::handshake_timeout).
    pub timed_out: u64,
    /// Upgrades that ended in an [`UpgradeError`](crate::UpgradeError) of a kind that is not
    /// counted beside this.
    pub failed: u64,
    /// Handlers that panicked, before the switch or behind it.
    pub panicked: u64,
    /// Connections that [`Connections::shutdown`](crate::Connections::shutdown) ended.
    pub aborted: u64,
}

/// How many requests with an `Upgrade` header went to the inner service, by reason.
///
/// See [`Connections::stats`](crate::Connections::stats) for an example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Declined {
    /// The method is CONNECT or TRACE, or the version is not HTTP/1.1. The usual reason is a proxy in
    /// front that speaks HTTP/1.0, as nginx does without `proxy_http_version 1.1`.
    pub request: u64,
    /// `Connection` has no `upgrade` option, is malformed, or is over a limit.
    pub connection: u64,
    /// `Upgrade` is empty, malformed, or over a limit.
    pub upgrade: u64,
    /// No handler is registered for what is offered.
    pub unregistered: u64,
    /// The body is longer than the handler takes, is chunked and the handler reads no such body,
    /// contradicts its head, or waits for a `100 Continue` that hyper would not send.
    pub body: u64,
    /// No handler [accepted](crate::UpgradeHandler::accepts).
    pub unaccepted: u64,
    /// There was no place: the limit was reached and
    /// [`AtCapacity::Forward`](crate::AtCapacity::Forward) is set, or the layer was full or draining
    /// and the handler's protocol is [optional](crate::UpgradeHandler::is_optional).
    pub capacity: u64,
}
