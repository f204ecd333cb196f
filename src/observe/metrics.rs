//! Metrics, through the `metrics` facade. The crate's documentation has the table of them.

use std::time::Duration;

use metrics::{counter, gauge, histogram};

use crate::negotiation::{Decline, protocol::Protocol};

pub(crate) fn declined(decline: Decline) {
    // A label that is known beforehand costs no allocation, and these requests are forwarded.
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

pub(crate) fn outcome(protocol: &Protocol<'_>, outcome: &'static str) {
    counter!("http_upgrades_total", "protocol" => label(protocol), "outcome" => outcome)
        .increment(1);
}

/// The label `reason` is only there if the rejection has a reason.
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

/// The name alone: with `name/*`, a client chooses the version, and each would be a series.
fn label(protocol: &Protocol<'_>) -> String {
    protocol.name().to_owned()
}
