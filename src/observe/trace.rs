//! Logs, through `tracing`: a span for each request that a handler takes over, and events.

use std::{
    error::Error,
    future::Future,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use http::{StatusCode, request};
use tracing::{Instrument, debug, error, info, info_span, warn};

use super::Reason;
use crate::{
    error::{UpgradeError, UpgradeErrorKind},
    negotiation::{Decline, protocol::Protocol},
};

pub(crate) fn declined(decline: Decline, head: &request::Parts) {
    debug!(
        target: TARGET,
        reason = reason(decline),
        method = %head.method,
        path = head.uri.path(),
        version = ?head.version,
        "declined",
    );
}

pub(crate) fn demanded(status: StatusCode, head: &request::Parts) {
    debug!(
        target: TARGET,
        status = status.as_u16(),
        method = %head.method,
        path = head.uri.path(),
        version = ?head.version,
        "upgrade required",
    );
}

/// Warns that clients of HTTP/2 do not use extended CONNECT.
pub(crate) fn not_announced() {
    warn!(
        target: TARGET,
        "clients speak HTTP/2 and upgrade on other connections: if the server does not announce extended \
         CONNECT, call `enable_connect_protocol()` on hyper's or hyper-util's HTTP/2 builder",
    );
}

pub(crate) fn turned_away(protocol: &Protocol<'_>, outcome: &'static str, head: &request::Parts) {
    info!(
        target: TARGET,
        outcome,
        %protocol,
        method = %head.method,
        path = head.uri.path(),
        "turned away",
    );
}

/// Runs a future inside the current span.
#[cfg(feature = "h2c")]
pub(crate) fn in_current_span<F: Future>(future: F) -> impl Future<Output = F::Output> + use<F> {
    future.in_current_span()
}

pub(crate) fn rejected(
    protocol: &Protocol<'_>,
    status: StatusCode,
    reason: &Reason,
    head: &request::Parts,
) {
    // `tracing` does not record fields that are `None`.
    info!(
        target: TARGET,
        status = status.as_u16(),
        reason = reason.word,
        origin = reason.origin.as_deref(),
        host = reason.host.as_deref(),
        %protocol,
        method = %head.method,
        path = head.uri.path(),
        "rejected",
    );
}

/// Warns of an axum handler that got an offer which no layer handed to it.
#[cfg(all(feature = "axum", feature = "websocket"))]
pub(crate) fn unasked(head: &request::Parts) {
    error!(
        target: TARGET,
        method = %head.method,
        path = head.uri.path(),
        version = ?head.version,
        "a WebSocket was offered to a handler, and no layer takes its answer: put \
         `UpgradeLayer::new().on_inner(\"websocket\")` around the routes, with `extended_connect()` for \
         HTTP/2",
    );
}

/// The span of an upgrade.
///
/// The request's own span ends with the 101, so this span is a root that follows from it.
#[derive(Debug)]
pub(crate) struct Span(tracing::Span);

impl Span {
    pub(crate) fn new(protocol: &Protocol<'_>, head: &request::Parts) -> Self {
        let span = info_span!(
            target: TARGET,
            parent: None,
            "upgrade",
            %protocol,
            method = %head.method,
            path = head.uri.path(),
        );
        span.follows_from(tracing::Span::current());
        Self(span)
    }

    pub(crate) fn instrument<F: Future>(
        &self,
        future: F,
    ) -> impl Future<Output = F::Output> + use<F> {
        future.instrument(self.0.clone())
    }

    pub(crate) fn rejected(&self, status: StatusCode, reason: &Reason) {
        info!(
            target: TARGET,
            parent: &self.0,
            status = status.as_u16(),
            reason = reason.word,
            origin = reason.origin.as_deref(),
            host = reason.host.as_deref(),
            "rejected",
        );
    }

    pub(crate) fn switched(&self) {
        info!(target: TARGET, parent: &self.0, "switched");
    }

    pub(crate) fn failed(&self, failure: &UpgradeError) {
        let (kind, source) = (failure.kind(), failure.source());
        // A source means that the outermost layer is missing or misplaced: a mistake in the
        // configuration. It happens with each upgrade, so only the first is logged as an error.
        let is_mistake = kind == UpgradeErrorKind::Replaced && source.is_some();
        let is_news = is_mistake && !MISTAKE_LOGGED.swap(true, Ordering::Relaxed);
        if kind == UpgradeErrorKind::Panicked || is_news {
            error!(target: TARGET, parent: &self.0, ?kind, source, "{failure}");
        } else {
            warn!(target: TARGET, parent: &self.0, ?kind, source, "{failure}");
        }
    }

    pub(crate) fn ended(&self, duration: Duration, read: u64, written: u64) {
        info!(target: TARGET, parent: &self.0, ?duration, read, written, "ended");
    }
}

fn reason(decline: Decline) -> &'static str {
    match decline {
        Decline::Request => "request",
        Decline::Connection => "connection",
        Decline::Upgrade => "upgrade",
        Decline::Unregistered => "unregistered",
        Decline::Body => "body",
        Decline::Unaccepted => "unaccepted",
        Decline::Capacity => "capacity",
    }
}

/// Whether this process has logged a lost 101 as an error.
static MISTAKE_LOGGED: AtomicBool = AtomicBool::new(false);

/// The target for `RUST_LOG`. The default would be the path of this private module.
const TARGET: &str = "tower_upgrade";
