//! Replaces `metrics.rs` if the feature `metrics` is off. All functions are empty.

use std::time::Duration;

use crate::negotiation::{Decline, protocol::Protocol};

pub(crate) fn declined(_: Decline) {}

pub(crate) fn demanded() {}

pub(crate) fn outcome(_: &Protocol<'_>, _: &'static str) {}

pub(crate) fn rejected(_: &Protocol<'_>, _: Option<&'static str>) {}

pub(crate) fn begun(_: &Protocol<'_>) {}

pub(crate) fn ended(_: &Protocol<'_>) {}

pub(crate) fn duration(_: &Protocol<'_>, _: Duration) {}
