//! The control block of a connection: what is known about it, and how it is told to end.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicU8, AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed},
        },
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use atomic_waker::AtomicWaker;
use http::{Extensions, Method, request};
use tokio::time::Instant;

use super::{
    fate::{Fate, Known, Maker},
    signal::Signal,
};
use crate::{error::UpgradeErrorKind, negotiation::protocol::Protocol};

/// The part of a connection that is shared with code that lists and ends it. It does not hold the
/// connection's IO or its place, so that nobody who holds it delays the end.
#[derive(Debug)]
pub(crate) struct Control {
    id: u64,
    protocol: Protocol<'static>,
    method: Method,
    path: Box<str>,
    since: Instant,
    /// In milliseconds. Here it takes no room, beside the state.
    #[cfg_attr(not(feature = "h2c"), expect(dead_code, reason = "h2c alone asks for it"))]
    handshake_timeout: u32,
    /// [`OPEN`], [`ENDED`], or an [`Abort`].
    state: AtomicU8,
    /// About the response that switches.
    known: Known,
    draining: Signal,
    /// The tasks that an abort wakes, by [`Waiter`].
    waiters: [AtomicWaker; 3],
    read: AtomicU64,
    written: AtomicU64,
    /// When the last byte was read or written, in microseconds since the beginning, or [`UNWATCHED`].
    active: AtomicU64,
    attached: Mutex<Extensions>,
}

/// Why a connection is closed whatever it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Abort {
    /// A shutdown is at its deadline, or somebody wants it.
    Requested = 2,
    /// No byte was read or written for too long.
    Idle = 3,
    /// It is too old, and did not end although it was told to.
    Expired = 4,
}

impl Abort {
    pub(crate) fn kind(self) -> UpgradeErrorKind {
        match self {
            Self::Requested => UpgradeErrorKind::Aborted,
            Self::Idle => UpgradeErrorKind::Idle,
            Self::Expired => UpgradeErrorKind::Expired,
        }
    }
}

/// Those who wait while a connection is open.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Waiter {
    /// The task that runs the handler.
    Task = 0,
    /// A task that reads from the connection. Before there is one, the task that waits for the fate of the
    /// response.
    Reader = 1,
    /// A task that writes to it.
    Writer = 2,
}

const OPEN: u8 = 0;
const ENDED: u8 = 1;

/// No idle timeout looks at the connection, so nobody has to know when it was active.
const UNWATCHED: u64 = u64::MAX;

/// How many bytes of a path are kept.
const PATH: usize = 256;

impl Control {
    pub(crate) fn new(
        id: u64,
        protocol: Protocol<'static>,
        head: &request::Parts,
        handshake_timeout: Duration,
        attached: Extensions,
    ) -> Self {
        // A copy: a clone of the URI could keep the buffer alive that the request was read into.
        let path = head.uri.path();
        let mut end = path.len().min(PATH);
        while !path.is_char_boundary(end) {
            end -= 1;
        }
        Self {
            id,
            protocol,
            method: head.method.clone(),
            path: path[..end].into(),
            since: Instant::now(),
            handshake_timeout: u32::try_from(handshake_timeout.as_millis()).unwrap_or(u32::MAX),
            state: AtomicU8::new(OPEN),
            known: Known::default(),
            draining: Signal::default(),
            waiters: <[AtomicWaker; 3]>::default(),
            read: AtomicU64::new(0),
            written: AtomicU64::new(0),
            active: AtomicU64::new(UNWATCHED),
            attached: Mutex::new(attached),
        }
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn protocol(&self) -> &Protocol<'static> {
        &self.protocol
    }

    pub(crate) fn method(&self) -> &Method {
        &self.method
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn since(&self) -> Instant {
        self.since
    }

    /// Returns the age, which is never `u64::MAX`.
    pub(super) fn age_in_micros(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX - 1)
    }

    #[cfg(feature = "h2c")]
    pub(crate) fn handshake_timeout(&self) -> Duration {
        Duration::from_millis(self.handshake_timeout.into())
    }

    pub(crate) fn attached(&self) -> MutexGuard<'_, Extensions> {
        self.attached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // Telling the connection to end.

    pub(crate) fn draining(&self) -> &Signal {
        &self.draining
    }

    /// Waits until the connection is told to end, is aborted, or has ended.
    pub(crate) async fn told(&self) {
        self.draining.wait_unless(|| !self.is_open()).await;
    }

    /// Tells the connection to end, unless it has ended.
    pub(crate) fn drain(&self) {
        if self.is_open() {
            self.draining.raise();
        }
    }

    /// Has the connection closed, unless it has ended or is being closed.
    pub(crate) fn abort(&self, why: Abort) {
        if self.state.compare_exchange(OPEN, why as u8, AcqRel, Acquire).is_ok() {
            for waiter in &self.waiters {
                waiter.wake();
            }
            self.draining.wake();
        }
    }

    /// Notes that the connection has ended. Returns why it was aborted, if it was.
    pub(crate) fn end(&self) -> Option<Abort> {
        self.state.compare_exchange(OPEN, ENDED, AcqRel, Acquire).ok();
        // A clock may wait for this. The others would keep their tasks alive as long as there are handles.
        let [task, reader, writer] = &self.waiters;
        task.wake();
        drop((reader.take(), writer.take()));
        self.draining.wake();
        self.aborted()
    }

    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.state.load(Acquire) == OPEN
    }

    /// Returns why the connection is aborted, if it is.
    pub(crate) fn aborted(&self) -> Option<Abort> {
        let state = self.state.load(Acquire);
        [Abort::Requested, Abort::Idle, Abort::Expired].into_iter().find(|&why| why as u8 == state)
    }

    /// Has the task woken when the connection is aborted or has ended. Returns whether it still is open;
    /// otherwise the task may not be woken.
    #[inline]
    pub(crate) fn is_open_or_wakes(&self, waiter: Waiter, waker: &Waker) -> bool {
        // In this order, or an abort in between would wake nobody.
        let waiting = &self.waiters[waiter as usize];
        waiting.register(waker);
        let is_open = self.is_open();
        if !is_open {
            // Nobody wakes it, and handles would keep its task alive.
            drop(waiting.take());
        }
        is_open
    }

    /// Polls a future. Returns `None` if the connection is aborted before the future is ready. `known` is the
    /// waker of the last poll, which need not be registered again: only an abort or the end takes it.
    #[inline]
    pub(crate) fn poll_unless_aborted<F>(
        &self,
        cx: &mut Context<'_>,
        future: Pin<&mut F>,
        known: &mut Option<Waker>,
    ) -> Poll<Option<F::Output>>
    where
        F: Future,
    {
        if !self.is_open() {
            return Poll::Ready(None);
        }
        if let Poll::Ready(output) = future.poll(cx) {
            return Poll::Ready(Some(output));
        }
        if known.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        *known = Some(cx.waker().clone());
        if self.is_open_or_wakes(Waiter::Task, cx.waker()) {
            Poll::Pending
        } else {
            Poll::Ready(None)
        }
    }

    // The response that switches.

    pub(super) fn known(&self) -> &Known {
        &self.known
    }

    /// Whether the future that made the response is gone.
    pub(crate) fn is_made(&self, maker: Maker) -> bool {
        self.known.is_gone(maker)
    }

    /// Tells the task of the connection what became of the response, unless it was told before.
    pub(crate) fn tell(&self, fate: Fate) {
        if self.known.tell(fate) {
            self.waiters[Waiter::Reader as usize].wake();
        }
    }

    /// Waits until the fate of the response is known. For the task of the connection alone.
    pub(super) fn poll_fate(&self, cx: &Context<'_>) -> Poll<Fate> {
        if let Some(fate) = self.known.fate() {
            return Poll::Ready(fate);
        }
        // In this order, or nobody would be woken by a fate in between.
        self.waiters[Waiter::Reader as usize].register(cx.waker());
        self.known.fate().map_or(Poll::Pending, Poll::Ready)
    }

    // The bytes that went through the connection. Only its one `Upgraded` writes here, so that no addition has to
    // be atomic.

    #[inline]
    pub(crate) fn read(&self) -> u64 {
        self.read.load(Relaxed)
    }

    #[inline]
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    #[inline]
    pub(crate) fn add_read(&self, bytes: usize) {
        self.read.store(self.read() + bytes as u64, Relaxed);
        self.touch(bytes);
    }

    #[inline]
    pub(crate) fn add_written(&self, bytes: usize) {
        self.written.store(self.written() + bytes as u64, Relaxed);
        self.touch(bytes);
    }

    #[inline]
    fn touch(&self, bytes: usize) {
        if bytes > 0 && self.active.load(Relaxed) != UNWATCHED {
            self.watch();
        }
    }

    /// Notes from now on when the connection was active last.
    pub(crate) fn watch(&self) {
        self.active.store(self.age_in_micros(), Relaxed);
    }

    /// Stops that: the bytes of the connection are no longer known.
    pub(crate) fn unwatch(&self) {
        self.active.store(UNWATCHED, Relaxed);
    }

    /// When the connection was active last, if that is known.
    pub(crate) fn active(&self) -> Option<Instant> {
        let micros = self.active.load(Relaxed);
        (micros != UNWATCHED).then(|| self.since + Duration::from_micros(micros))
    }
}
