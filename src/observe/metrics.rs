//! Metrics, through the `metrics` facade. `guide::operating` has a table of them.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use metrics::{counter, gauge, histogram};

use crate::negotiation::{Decline, protocol::Protocol};

pub(crate) fn declined(decline: Decline) {
    // A constant label costs no allocation, and a forwarded request is not to allocate.
    macro_rules! declined {
        ($reason:literal) => {
            counter!("http_upgrades_declined_total", "reason" => $reason)
        };
    }
    let counter = match decline {
        Decline::Request => declined!("request"),
        Decline::Connection => declined!("connection"),
        Decline::Upgrade => declined!("upgrade"),
        Decline::Unregistered => declined!("unregistered"),
        Decline::Body => declined!("body"),
        Decline::Unaccepted => declined!("unaccepted"),
        Decline::Capacity => declined!("capacity"),
    };
    counter.increment(1);
}

pub(crate) fn demanded() {
    counter!("http_upgrades_required_total").increment(1);
}

pub(crate) fn outcome(protocol: &Protocol<'_>, outcome: &'static str) {
    counter!("http_upgrades_total", "protocol" => label(protocol), "outcome" => outcome)
        .increment(1);
}

/// Adds the label `reason` only if the rejection has a reason.
pub(crate) fn rejected(protocol: &Protocol<'_>, reason: Option<&'static str>) {
    let Some(reason) = reason else {
        return outcome(protocol, "rejected");
    };
    let protocol = label(protocol);
    counter!(
        "http_upgrades_total",
        "protocol" => protocol, "outcome" => "rejected", "reason" => reason,
    )
    .increment(1);
}

/// Notes that there is a connection more.
pub(crate) fn begun(protocol: &Protocol<'_>) {
    active(protocol, |connections| connections + 1);
}

/// Notes that there is one less.
pub(crate) fn ended(protocol: &Protocol<'_>) {
    active(protocol, |connections| connections - 1);
}

/// Sets the gauge to the number of connections, so that it is right again after the next change if a
/// recorder was installed late, or has dropped the series.
fn active(protocol: &Protocol<'_>, change: fn(usize) -> usize) {
    let count = |change: fn(usize) -> usize| {
        let mut active = ACTIVE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connections) = active.get_mut(protocol.name()) {
            *connections = change(*connections);
            return *connections;
        }
        *active.entry(label(protocol)).or_insert_with(|| change(0))
    };
    let gauge = gauge!("http_upgrades_active", "protocol" => label(protocol));
    let mut connections = count(change);
    loop {
        // Without the lock: a recorder runs code that we do not know.
        #[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
        gauge.set(connections as f64);
        // Another task may have counted meanwhile, and have set its number first.
        let now = count(|connections| connections);
        if now == connections {
            return;
        }
        connections = now;
    }
}

/// The connections of each protocol, those of all layers together: they share the gauge. There are as many
/// names as are registered.
static ACTIVE: Mutex<BTreeMap<String, usize>> = Mutex::new(BTreeMap::new());

pub(crate) fn duration(protocol: &Protocol<'_>, duration: Duration) {
    histogram!("http_upgrade_duration_seconds", "protocol" => label(protocol)).record(duration);
}

/// Returns the name without the version. With `name/*` a client chooses the version, and each version
/// would be a time series.
fn label(protocol: &Protocol<'_>) -> String {
    protocol.name().to_owned()
}
