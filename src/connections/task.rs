//! The one place where tasks are spawned.

use std::future::Future;

/// Runs a future on a task of its own.
///
/// There is no handle to await. A caller that needs to know when the task ends has the future
/// report it.
pub(crate) fn spawn<F>(future: F)
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(future);
}
