//! What operators see of upgrades: logs, metrics, and the application's callback. The no-op halves
//! stand in for features that are off.

#[cfg_attr(not(feature = "metrics"), path = "no_metrics.rs")]
pub(crate) mod metrics;
#[cfg_attr(not(feature = "tracing"), path = "no_trace.rs")]
pub(crate) mod trace;

use std::{
    fmt,
    panic::{self, AssertUnwindSafe},
    sync::Arc,
};

use crate::error::UpgradeError;

/// Why a request was rejected: for logs and metrics, not for the client.
#[derive(Clone, Debug, Default)]
#[cfg_attr(not(feature = "tracing"), allow(dead_code, reason = "only logs read the other fields"))]
pub(crate) struct Reason {
    pub(crate) word: Option<&'static str>,
    /// The origin that was not allowed, and the host that the request was sent to.
    pub(crate) origin: Option<Box<str>>,
    pub(crate) host: Option<Box<str>>,
}

/// The application's callback for failures.
#[derive(Clone, Default)]
pub(crate) struct OnFailure(Option<Arc<dyn Fn(UpgradeError) + Send + Sync>>);

impl OnFailure {
    pub(crate) fn new(callback: impl Fn(UpgradeError) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(callback)))
    }

    pub(crate) fn call(&self, error: UpgradeError) {
        if let Some(callback) = &self.0 {
            // Its panic would take the answer to the client along.
            panic::catch_unwind(AssertUnwindSafe(|| callback(error))).ok();
        }
    }
}

impl fmt::Debug for OnFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(callback) = self;
        f.write_str(if callback.is_some() { "OnFailure(set)" } else { "OnFailure(unset)" })
    }
}
