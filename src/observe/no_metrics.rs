//! Stands in for the metrics when the feature `metrics` is off: nothing of it costs anything.

use std::time::Duration;

use crate::negotiation::{Decline, protocol::Protocol};

pub(super) fn declined(_: Decline) {}

pub(super) fn outcome(_: &Protocol<'_>, _: &'static str) {}

pub(super) fn active(_: &Protocol<'_>, _: f64) {}

pub(super) fn duration(_: &Protocol<'_>, _: Duration) {}
