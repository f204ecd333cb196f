//! The one place where tasks are spawned.

use std::future::Future;

/// Runs a future on a task of its own.
///
/// Its end is not awaited here, so whoever needs to know of it has the future tell.
pub(crate) fn spawn<F>(future: F)
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(future);
}
