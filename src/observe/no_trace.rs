//! Replaces `trace.rs` if the feature `tracing` is off. All functions are empty.

use std::{future::Future, time::Duration};

use http::{StatusCode, request};

use super::Reason;
use crate::{
    error::UpgradeError,
    negotiation::{Decline, protocol::Protocol},
};

pub(crate) fn declined(_: Decline, _: &request::Parts) {}

pub(crate) fn demanded(_: StatusCode, _: &request::Parts) {}

pub(crate) fn not_announced() {}

pub(crate) fn turned_away(_: &Protocol<'_>, _: &'static str, _: &request::Parts) {}

#[cfg(feature = "h2c")]
pub(crate) fn in_current_span<F>(future: F) -> F {
    future
}

pub(crate) fn rejected(_: &Protocol<'_>, _: StatusCode, _: &Reason, _: &request::Parts) {}

#[cfg(all(feature = "axum", feature = "websocket"))]
pub(crate) fn unasked(_: &request::Parts) {}

#[derive(Debug)]
pub(crate) struct Span;

#[allow(clippy::unused_self, reason = "the methods are those of the span that it stands in for")]
impl Span {
    pub(crate) fn new(_: &Protocol<'_>, _: &request::Parts) -> Self {
        Self
    }

    pub(crate) fn instrument<F: Future>(
        &self,
        future: F,
    ) -> impl Future<Output = F::Output> + use<F> {
        future
    }

    pub(crate) fn rejected(&self, _: StatusCode, _: &Reason) {}

    pub(crate) fn switched(&self) {}

    pub(crate) fn failed(&self, _: &UpgradeError) {}

    pub(crate) fn ended(&self, _: Duration, _: u64, _: u64) {}
}
