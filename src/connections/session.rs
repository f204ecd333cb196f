//! Reports each event of a request that offers a protocol, once: to the counts, the logs, the metrics
//! and the application's callback.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use http::{StatusCode, request};

use super::{Connections, NoPlace, Place, control::Control};
use crate::{
    error::{BoxError, UpgradeError, UpgradeErrorKind},
    negotiation::{Decline, protocol::Protocol},
    observe::{self, OnFailure, Reason, metrics, trace},
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
    pub(crate) fn begin(&self, place: Place, head: &request::Parts) -> Session {
        let protocol = place.control().protocol();
        metrics::begun(protocol);
        Session {
            span: trace::Span::new(protocol, head),
            on_failure: self.on_failure.clone(),
            reported: AtomicU8::new(NOTHING),
            switched: AtomicU64::new(NEVER),
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

    /// Reports that a request is answered with an error because there is no place.
    pub(crate) fn turned_away(
        &self,
        no_place: NoPlace,
        protocol: &Protocol<'_>,
        head: &request::Parts,
    ) {
        let outcome = match no_place {
            NoPlace::Draining => "drained",
            NoPlace::Full => "at_capacity",
            NoPlace::FullForKey => "at_key_capacity",
        };
        self.connections.count(|stats| {
            *match no_place {
                NoPlace::Draining => &mut stats.drained,
                NoPlace::Full => &mut stats.at_capacity,
                NoPlace::FullForKey => &mut stats.at_key_capacity,
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
    on_failure: OnFailure,
    span: trace::Span,
    /// [`NOTHING`], [`SWITCHED`], [`FAILED`], or [`FINAL`].
    reported: AtomicU8,
    /// When the handler received the connection, in microseconds of its age, or [`NEVER`].
    switched: AtomicU64,
    // The last field: it is dropped after everything is reported.
    place: Place,
}

const NEVER: u64 = u64::MAX;

const NOTHING: u8 = 0;
const SWITCHED: u8 = 1;

/// The function on the connection failed. Other tasks may have the connection.
const FAILED: u8 = 2;

/// A failure or a rejection, behind which nothing is reported.
const FINAL: u8 = 3;

impl Session {
    pub(crate) fn control(&self) -> &Arc<Control> {
        self.place.control()
    }

    pub(crate) fn protocol(&self) -> &Protocol<'static> {
        self.control().protocol()
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
        self.reported.store(FINAL, Relaxed);
        self.place.connections().count(|stats| stats.rejected += 1);
        self.span.rejected(status, reason);
        metrics::rejected(self.protocol(), reason.word);
    }

    /// Reports that the handler receives the connection.
    pub(crate) fn switched(&self) {
        self.reported.store(SWITCHED, Relaxed);
        if observe::REPORTS_DURATIONS {
            self.switched.store(self.control().age_in_micros(), Relaxed);
        }
        self.place.connections().count(|stats| stats.switched += 1);
        self.span.switched();
        metrics::outcome(self.protocol(), "switched");
    }

    /// Reports a failure. An abort is the reason of all failures after it, except panics.
    pub(crate) fn failed(&self, kind: UpgradeErrorKind, source: Option<BoxError>) {
        let (kind, source) = match self.control().aborted() {
            Some(why) if kind != UpgradeErrorKind::Panicked => (why.kind(), None),
            _ => (kind, source),
        };
        // A connection that its handler has moved elsewhere may still be aborted.
        let may_go_on = self.control().aborted().is_none()
            && [SWITCHED, FAILED].contains(&self.reported.load(Relaxed));
        self.reported.store(if may_go_on { FAILED } else { FINAL }, Relaxed);
        self.place.connections().count(|stats| {
            *match kind {
                UpgradeErrorKind::TimedOut => &mut stats.timed_out,
                UpgradeErrorKind::Panicked => &mut stats.panicked,
                UpgradeErrorKind::Aborted => &mut stats.aborted,
                UpgradeErrorKind::Idle => &mut stats.idle,
                UpgradeErrorKind::Expired => &mut stats.expired,
                _ => &mut stats.failed,
            } += 1;
        });
        let error = UpgradeError::new(kind, self.protocol().clone(), source);
        self.span.failed(&error);
        metrics::outcome(self.protocol(), outcome(kind));
        self.on_failure.call(error);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // From here on it cannot be aborted, so that each abort is reported.
        let aborted = self.control().end();
        match (self.reported.load(Relaxed), aborted) {
            // The HTTP server drops the future of a handshake whose client is gone. Nothing else reports
            // it.
            (NOTHING, _) => self.failed(UpgradeErrorKind::Disconnected, None),
            // The function on the connection returned before, and other tasks had the connection.
            (SWITCHED | FAILED, Some(why)) => self.failed(why.kind(), None),
            _ => {}
        }
        let control = self.control();
        let switched = self.switched.load(Relaxed);
        if switched != NEVER {
            let duration = Duration::from_micros(control.age_in_micros() - switched);
            self.span.ended(duration, control.read(), control.written());
            metrics::duration(control.protocol(), duration);
        }
        metrics::ended(control.protocol());
    }
}

/// The label of a failure in metrics.
fn outcome(kind: UpgradeErrorKind) -> &'static str {
    match kind {
        UpgradeErrorKind::TimedOut => "timed_out",
        UpgradeErrorKind::Panicked => "panicked",
        UpgradeErrorKind::Aborted => "aborted",
        UpgradeErrorKind::Idle => "idle",
        UpgradeErrorKind::Expired => "expired",
        UpgradeErrorKind::Upstream => "upstream_failed",
        _ => "failed",
    }
}

/// Longer than any server runs, and short enough to be added to an instant.
pub(crate) const FOREVER: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);
