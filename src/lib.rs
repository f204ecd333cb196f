//! Tower middleware.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod body;
mod error;
mod future;
#[cfg(feature = "h2c")]
pub mod h2c;
mod handler;
mod handshake;
mod layer;
mod negotiation;
mod protocol;
mod rejection;
mod service;
mod switch;
mod task;
mod upgraded;

pub use crate::{
    body::UpgradeBody,
    error::{BoxError, UpgradeError, UpgradeErrorKind},
    future::UpgradeFuture,
    handler::{IntoSwitch, UpgradeHandler, When, WithBodyLimit},
    layer::UpgradeLayer,
    negotiation::Preference,
    protocol::{InvalidProtocol, Protocol},
    rejection::Rejection,
    service::Upgrade,
    switch::{IntoOutcome, Switch},
    upgraded::{Downcast, Upgraded},
};
