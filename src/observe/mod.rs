//! Logs, metrics, and the application's callback. `no_trace.rs` and `no_metrics.rs` replace the first
//! two if their features are off.

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

/// Whether anybody hears how long a connection was open. To read the clock takes longer than most that is
/// done for a connection.
pub(crate) const REPORTS_DURATIONS: bool = cfg!(any(feature = "metrics", feature = "tracing"));

/// The reason for a rejection, for logs and metrics. The client does not see it.
#[derive(Clone, Debug, Default)]
#[cfg_attr(not(feature = "tracing"), allow(dead_code, reason = "only logs read the other fields"))]
pub(crate) struct Reason {
    pub(crate) word: Option<&'static str>,
    /// The rejected origin, and the request's host.
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
            // A panic in the callback would drop the response to the client.
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
