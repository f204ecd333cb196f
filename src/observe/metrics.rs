//! Metrics, through the `metrics` facade. `guide::operating` has a table of them.

use std::time::Duration;

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

pub(crate) fn active(protocol: &Protocol<'_>, change: f64) {
    gauge!("http_upgrades_active", "protocol" => label(protocol)).increment(change);
}

pub(crate) fn duration(protocol: &Protocol<'_>, duration: Duration) {
    histogram!("http_upgrade_duration_seconds", "protocol" => label(protocol)).record(duration);
}

/// Returns the name without the version. With `name/*` a client chooses the version, and each version
/// would be a time series.
fn label(protocol: &Protocol<'_>) -> String {
    protocol.name().to_owned()
}
