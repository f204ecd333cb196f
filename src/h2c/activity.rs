//! The state of a connection: its IO and its streams note it here, and the clock reads it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
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
    /// How many parts of streams there are, and in the upper half, how many of them the services
    /// are done with.
    parts: AtomicU64,
    /// When a stream ended last, in nanoseconds since the start.
    last_end: AtomicU64,
    /// The client should have heard of GOAWAY by now.
    late: AtomicBool,
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
            parts: AtomicU64::new(0),
            last_end: AtomicU64::new(0),
            late: AtomicBool::new(false),
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

    /// Notes a stream. It ends when the returned [`Stream`] and all parts of it are dropped.
    pub(super) fn stream(self: &Arc<Self>) -> Stream {
        let counts = if self.late.load(Ordering::Acquire) { 0 } else { PART };
        Stream::new(Arc::clone(self), counts)
    }

    /// Whether the services are done with all streams. HTTP/2 may still have something to send.
    pub(super) fn is_answered(&self) -> bool {
        let parts = self.parts.load(Ordering::Acquire);
        parts & u64::from(u32::MAX) == parts >> 32
    }

    /// Has streams that begin from now on not count.
    pub(super) fn set_late(&self) {
        self.late.store(true, Ordering::Release);
    }

    /// Returns since when there is no stream, or `None` if there is one.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        // In this order: a stream notes its end before it is gone.
        let idle = self.parts.load(Ordering::Acquire) == 0;
        idle.then(|| self.start + Duration::from_nanos(self.last_end.load(Ordering::Acquire)))
    }
}

/// The count of a part of a stream, and that of a part that is unsent.
const PART: u64 = 1;
const UNSENT: u64 = PART << 32 | PART;

/// A part of a stream that is open. The stream ends with the last of its parts.
#[derive(Debug)]
pub(super) struct Stream {
    activity: Arc<Activity>,
    /// Dropping this part takes so much off the count.
    counts: u64,
}

impl Stream {
    fn new(activity: Arc<Activity>, counts: u64) -> Self {
        activity.parts.fetch_add(counts, Ordering::AcqRel);
        Self { activity, counts }
    }

    /// Notes a part that HTTP/2 has and has not sent yet.
    pub(super) fn unsent(&self) -> Self {
        Self::new(Arc::clone(&self.activity), self.counts * UNSENT)
    }

    pub(super) fn activity(&self) -> &Activity {
        &self.activity
    }

    /// Has the stream count until the connection ends: that of a tunnel, whose end is not seen here.
    pub(super) fn never_ends(&mut self) {
        // The service has answered it.
        self.activity.parts.fetch_add(self.counts * (UNSENT - PART), Ordering::AcqRel);
        self.counts = 0;
    }
}

impl Clone for Stream {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.activity), self.counts)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let Self { activity, counts } = self;
        if *counts > 0 {
            let end = u64::try_from(activity.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
            activity.last_end.store(end, Ordering::Release);
            activity.parts.fetch_sub(*counts, Ordering::AcqRel);
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
        // Each part of a stream counts, and none of one that has begun too late.
        let first = activity.stream();
        activity.set_late();
        let late = activity.stream();
        let (part, unsent) = (first.clone(), first.unsent());
        drop(first);
        assert!(!activity.is_answered());
        drop(part);
        assert!(activity.is_answered());
        assert_eq!(activity.idle_since(), None);
        drop(unsent);
        let since = activity.idle_since();
        assert_eq!(since, Some(start + 3 * second));
        let part = late.clone();
        assert_eq!(activity.idle_since(), since);
        drop((late.unsent(), late, part));
        assert_eq!(activity.idle_since(), since);

        let activity = Arc::new(Activity::new());
        activity.stream().never_ends();
        assert_eq!((activity.idle_since(), activity.is_answered()), (None, true));
    }
}
