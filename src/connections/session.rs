//! Reports each event of a request that offers a protocol, once: to the counts, the logs, the metrics
//! and the application's callback.

use std::{
    future::Future,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{StatusCode, request};
use tokio::time::Instant;

use super::{Connections, NoPlace, Place, signal::Signal};
use crate::{
    error::{BoxError, UpgradeError, UpgradeErrorKind},
    negotiation::{Decline, protocol::Protocol},
    observe::{OnFailure, Reason, metrics, trace},
};

/// Receives the reports about all requests of a layer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observer {
    pub(crate) connections: Connections,
    pub(crate) on_failure: OnFailure,
}

impl Observer {
    /// Reports that no handler takes a request that offers a protocol.
    pub(crate) fn declined(&self, decline: Decline, head: &request::Parts) {
        self.connections.count(|stats| {
            let declined = &mut stats.declined;
            *match decline {
                Decline::Request => &mut declined.request,
                Decline::Connection => &mut declined.connection,
                Decline::Upgrade => &mut declined.upgrade,
                Decline::Unregistered => &mut declined.unregistered,
                Decline::Body => &mut declined.body,
                Decline::Unaccepted => &mut declined.unaccepted,
                Decline::Capacity => &mut declined.capacity,
            } += 1;
        });
        trace::declined(decline, head);
        metrics::declined(decline);
    }

    /// Reports that a request got a response which demands an upgrade.
    pub(crate) fn demanded(&self, status: StatusCode, head: &request::Parts) {
        self.connections.count(|stats| stats.required += 1);
        trace::demanded(status, head);
        metrics::demanded();
    }

    /// Reports that a handler takes over a request for which there is a place.
    pub(crate) fn begin(
        &self,
        place: Place,
        protocol: Protocol<'static>,
        head: &request::Parts,
        handshake_timeout: Duration,
    ) -> Session {
        metrics::active(&protocol, 1.0);
        Session {
            span: trace::Span::new(&protocol, head),
            protocol,
            handshake_timeout: u32::try_from(handshake_timeout.as_millis()).unwrap_or(u32::MAX),
            observer: self.clone(),
            reported: AtomicBool::new(false),
            switched: OnceLock::new(),
            bytes: OnceLock::new(),
            place,
        }
    }

    /// Reports that the inner service rejected a request that it was asked about.
    pub(crate) fn rejected(
        &self,
        protocol: &Protocol<'_>,
        status: StatusCode,
        reason: &Reason,
        head: &request::Parts,
    ) {
        self.connections.count(|stats| stats.rejected += 1);
        trace::rejected(protocol, status, reason, head);
        metrics::rejected(protocol, reason.word);
    }

    /// Reports that a request gets a 503 because there is no place.
    pub(crate) fn turned_away(
        &self,
        no_place: NoPlace,
        protocol: &Protocol<'_>,
        head: &request::Parts,
    ) {
        let outcome = match no_place {
            NoPlace::Draining => "drained",
            NoPlace::Full => "at_capacity",
        };
        self.connections.count(|stats| {
            *match no_place {
                NoPlace::Draining => &mut stats.drained,
                NoPlace::Full => &mut stats.at_capacity,
            } += 1;
        });
        trace::turned_away(protocol, outcome, head);
        metrics::outcome(protocol, outcome);
    }
}

/// One request that a handler took over, and its connection after the switch.
///
/// The task that runs the handler and the handler's `Upgraded` share it. The place is returned when
/// the last of them is dropped.
#[derive(Debug)]
pub(crate) struct Session {
    protocol: Protocol<'static>,
    /// In milliseconds. Here it takes no room, beside the flag.
    #[cfg_attr(not(feature = "h2c"), expect(dead_code, reason = "h2c alone asks for it"))]
    handshake_timeout: u32,
    observer: Observer,
    span: trace::Span,
    /// Whether a first outcome was reported.
    reported: AtomicBool,
    /// When the handler received the connection.
    switched: OnceLock<Instant>,
    /// How many bytes were read and written, once the connection is dropped.
    bytes: OnceLock<(u64, u64)>,
    // The last field: it is dropped after everything is reported.
    place: Place,
}

impl Session {
    pub(crate) fn protocol(&self) -> &Protocol<'static> {
        &self.protocol
    }

    #[cfg(feature = "h2c")]
    pub(crate) fn handshake_timeout(&self) -> Duration {
        Duration::from_millis(self.handshake_timeout.into())
    }

    pub(crate) fn draining(&self) -> &Signal {
        self.place.draining()
    }

    pub(crate) fn aborting(&self) -> &Signal {
        self.place.aborting()
    }

    /// Runs a future inside the connection's span.
    pub(crate) fn instrument<F>(&self, future: F) -> impl Future<Output = F::Output> + use<F>
    where
        F: Future,
    {
        self.span.instrument(future)
    }

    /// Reports that the handler rejected the request.
    pub(crate) fn rejected(&self, status: StatusCode, reason: &Reason) {
        self.reported.store(true, Ordering::Relaxed);
        self.observer.connections.count(|stats| stats.rejected += 1);
        self.span.rejected(status, reason);
        metrics::rejected(&self.protocol, reason.word);
    }

    /// Reports that the handler receives the connection.
    pub(crate) fn switched(&self) {
        self.reported.store(true, Ordering::Relaxed);
        self.switched.get_or_init(Instant::now);
        self.observer.connections.count(|stats| stats.switched += 1);
        self.span.switched();
        metrics::outcome(&self.protocol, "switched");
    }

    /// Reports a failure.
    pub(crate) fn failed(&self, kind: UpgradeErrorKind, source: Option<BoxError>) {
        self.reported.store(true, Ordering::Relaxed);
        self.observer.connections.count(|stats| {
            *match kind {
                UpgradeErrorKind::TimedOut => &mut stats.timed_out,
                UpgradeErrorKind::Panicked => &mut stats.panicked,
                UpgradeErrorKind::Aborted => &mut stats.aborted,
                _ => &mut stats.failed,
            } += 1;
        });
        let error = UpgradeError::new(kind, self.protocol.clone(), source);
        self.span.failed(&error);
        metrics::outcome(&self.protocol, outcome(kind));
        self.observer.on_failure.call(error);
    }

    /// Records how many bytes were read and written.
    pub(crate) fn transferred(&self, read: u64, written: u64) {
        self.bytes.get_or_init(|| (read, written));
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // The HTTP server drops the future of a handshake whose client is gone. Nothing else reports
        // it.
        if !self.reported.load(Ordering::Relaxed) {
            self.failed(UpgradeErrorKind::Disconnected, None);
        }
        if let Some(switched) = self.switched.get() {
            let (read, written) = self.bytes.get().copied().unwrap_or_default();
            let duration = switched.elapsed();
            self.span.ended(duration, read, written);
            metrics::duration(&self.protocol, duration);
        }
        metrics::active(&self.protocol, -1.0);
    }
}

/// The label of a failure in metrics.
fn outcome(kind: UpgradeErrorKind) -> &'static str {
    match kind {
        UpgradeErrorKind::TimedOut => "timed_out",
        UpgradeErrorKind::Panicked => "panicked",
        UpgradeErrorKind::Aborted => "aborted",
        _ => "failed",
    }
}

/// Longer than any server runs, and short enough to be added to an instant.
pub(crate) const FOREVER: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);
