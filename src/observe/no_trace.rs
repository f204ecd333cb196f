//! Stands in for the logs when the feature `tracing` is off: nothing of it costs anything.

use std::{future::Future, time::Duration};

use http::{StatusCode, request};

use crate::{
    error::UpgradeError,
    negotiation::{Decline, protocol::Protocol},
};

pub(super) fn declined(_: Decline, _: &request::Parts) {}

pub(super) fn turned_away(_: &Protocol<'_>, _: &'static str, _: &request::Parts) {}

#[derive(Debug)]
pub(super) struct Span;

#[allow(clippy::unused_self, reason = "the methods are those of the span that it stands in for")]
impl Span {
    pub(super) fn new(_: &Protocol<'_>, _: &request::Parts) -> Self {
        Self
    }

    pub(super) fn instrument<F: Future>(
        &self,
        future: F,
    ) -> impl Future<Output = F::Output> + use<F> {
        future
    }

    pub(super) fn rejected(&self, _: StatusCode) {}

    pub(super) fn switched(&self) {}

    pub(super) fn failed(&self, _: &UpgradeError) {}

    pub(super) fn ended(&self, _: Duration, _: u64, _: u64) {}
}
