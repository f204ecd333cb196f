//! The state of a connection: its IO and its streams note it here, and the clock reads it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// The state of one connection. hyper knows all of it, and hides it.
#[derive(Debug)]
pub(super) struct Activity {
    start: Instant,
    /// HTTP/2 has read the opening, and has had the time to hand over the request of stream 1.
    opened: AtomicBool,
    /// The client's preface has come, with its SETTINGS.
    greeted: AtomicBool,
    /// A response said `Connection: close`.
    closing: AtomicBool,
    streams: AtomicUsize,
    /// When a stream ended last, in nanoseconds since the start.
    last_end: AtomicU64,
    reads: AtomicU64,
    written: AtomicU64,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            opened: AtomicBool::new(false),
            greeted: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            streams: AtomicUsize::new(0),
            last_end: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            written: AtomicU64::new(0),
        }
    }

    pub(super) fn start(&self) -> Instant {
        self.start
    }

    pub(super) fn open(&self) {
        self.opened.store(true, Ordering::Release);
    }

    pub(super) fn is_opened(&self) -> bool {
        self.opened.load(Ordering::Acquire)
    }

    pub(super) fn greet(&self) {
        self.greeted.store(true, Ordering::Release);
    }

    pub(super) fn is_greeted(&self) -> bool {
        self.greeted.load(Ordering::Acquire)
    }

    /// Notes that the connection is to end. hyper polls the connection when it has a response to
    /// send, and this is noted before, so nobody needs to be woken.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Notes that the client has sent something.
    pub(super) fn read(&self) {
        self.reads.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    pub(super) fn wrote(&self, bytes: usize) {
        self.written.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Notes a stream, which ends when what is returned is dropped.
    pub(super) fn stream(self: &Arc<Self>) -> Stream {
        self.streams.fetch_add(1, Ordering::AcqRel);
        Stream { activity: Arc::clone(self), is_endless: false }
    }

    /// Returns since when there is no stream, or `None` if there is one.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        // In this order: a stream notes its end before it is gone.
        let idle = self.streams.load(Ordering::Acquire) == 0;
        idle.then(|| self.start + Duration::from_nanos(self.last_end.load(Ordering::Acquire)))
    }
}

/// A stream that is open.
#[derive(Debug)]
pub(super) struct Stream {
    activity: Arc<Activity>,
    is_endless: bool,
}

impl Stream {
    pub(super) fn activity(&self) -> &Activity {
        &self.activity
    }

    /// Has the stream count until the connection ends: that of a tunnel, whose end is not seen here.
    pub(super) fn never_ends(&mut self) {
        self.is_endless = true;
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let Self { activity, is_endless } = self;
        if !*is_endless {
            let end = u64::try_from(activity.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
            activity.last_end.store(end, Ordering::Release);
            activity.streams.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_since_its_last_stream_has_ended() {
        let second = Duration::from_secs(1);
        let activity = Arc::new(Activity::new());
        let start = activity.start();
        assert_eq!(activity.idle_since(), Some(start));
        let (first, second_stream) = (activity.stream(), activity.stream());
        advance(second).await;
        drop(first);
        assert_eq!(activity.idle_since(), None);
        advance(second).await;
        drop(second_stream);
        advance(second).await;
        assert_eq!(activity.idle_since(), Some(start + 2 * second));
        activity.stream().never_ends();
        assert_eq!(activity.idle_since(), None);
    }
}
