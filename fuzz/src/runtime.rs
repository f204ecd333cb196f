//! A runtime for one input.

use std::{future::Future, panic, time::Duration};

use tokio::time::{sleep, timeout};

/// Runs a future with paused time, so that a timer fires as soon as every task is idle. Panics if the
/// future takes longer than any limit of the crate.
pub fn run<F>(future: F) -> F::Output
where
    F: Future,
{
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime");
    let limit = Duration::from_secs(24 * 3600);
    runtime.block_on(async { timeout(limit, future).await.expect("no hang") })
}

/// Waits until every other task is idle.
pub async fn settle() {
    sleep(Duration::from_secs(1)).await;
}

/// Panics with this message are part of an input.
pub const EXPECTED_PANIC: &str = "a panic of a handler";

/// Lets panics that an input asks for pass. libFuzzer takes all others for a finding.
pub fn allow_expected_panics() {
    let abort = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if panic.payload().downcast_ref() != Some(&EXPECTED_PANIC) {
            abort(panic);
        }
    }));
}

/// Waits until every limit of time is over.
pub async fn wait_for_limits() {
    sleep(Duration::from_secs(3600)).await;
}
