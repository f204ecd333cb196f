//! When a connection ends because of the time.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use super::activity::Activity;
use crate::connections::{close::patience, until::poll_timer};

/// How long the parts of a connection's life may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Until the client's preface has come.
    pub(super) preface: Duration,
    /// Without a stream.
    pub(super) idle: Option<Duration>,
    /// Altogether.
    pub(super) age: Option<Duration>,
}

/// The reasons why the clock strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strike {
    /// The client's preface did not come.
    NoPreface,
    /// The connection was idle for too long, or is too old: time for GOAWAY.
    Leave,
    /// GOAWAY is sent, no stream is left, and the client has had the time to receive everything.
    Gone,
}

pin_project! {
    /// The one timer of a connection.
    pub(super) struct Clock<'a> {
        activity: &'a Activity,
        limits: Limits,
        left: Option<Left>,
        // Whether the timer is set.
        is_set: bool,
        #[pin]
        timer: Sleep,
    }
}

/// The state of the connection when GOAWAY was sent.
struct Left {
    at: Instant,
    reads: u64,
    /// How much was written when that was looked at last, and when that has changed.
    written: u64,
    wrote: Instant,
}

impl Left {
    fn now(activity: &Activity) -> Self {
        let at = Instant::now();
        Self { at, reads: activity.reads(), written: activity.written(), wrote: at }
    }
}

impl<'a> Clock<'a> {
    pub(super) fn new(activity: &'a Activity, limits: Limits) -> Self {
        let timer = sleep_until(activity.start());
        Self { activity, limits, left: None, is_set: true, timer }
    }

    /// Notes that GOAWAY is sent.
    pub(super) fn leave(self: Pin<&mut Self>) {
        let this = self.project();
        *this.left = Some(Left::now(this.activity));
        *this.is_set = true;
        this.timer.reset(Instant::now());
    }

    pub(super) fn poll_strike(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Strike> {
        let mut this = self.project();
        while *this.is_set {
            ready!(poll_timer(this.timer.as_mut(), cx));
            let now = Instant::now();
            let next = match this.left {
                None => before(this.activity, *this.limits, now),
                Some(left) => behind(this.activity, left, now),
            };
            match next {
                Ok(Some(next)) => this.timer.as_mut().reset(next),
                Ok(None) => *this.is_set = false,
                Err(strike) => return Poll::Ready(strike),
            }
        }
        Poll::Pending
    }
}

/// Decides before GOAWAY, or returns when to ask again.
fn before(activity: &Activity, limits: Limits, now: Instant) -> Result<Option<Instant>, Strike> {
    let Limits { preface, idle, age } = limits;
    let preface = (!activity.is_greeted()).then(|| activity.start() + preface);
    if preface.is_some_and(|preface| preface <= now) {
        return Err(Strike::NoPreface);
    }
    // With a stream it cannot be too late before this much time has passed.
    let idle = idle.map(|idle| activity.idle_since().unwrap_or(now) + idle);
    let age = age.map(|age| activity.start() + age);
    let leave = idle.into_iter().chain(age).min();
    if leave.is_some_and(|leave| leave <= now) {
        return Err(Strike::Leave);
    }
    Ok(preface.into_iter().chain(leave).min())
}

/// Decides behind GOAWAY, or returns when to ask again.
///
/// HTTP/2 waits without a limit: for the client's answer to a PING, with new streams until it comes,
/// and for the client to take its last bytes.
fn behind(activity: &Activity, left: &mut Left, now: Instant) -> Result<Option<Instant>, Strike> {
    let written = activity.written();
    let patience = patience(written);
    if left.at + patience <= now {
        activity.set_late();
    }
    if std::mem::replace(&mut left.written, written) != written {
        left.wrote = now;
    }
    // A client that pauses has answered the PING. This one has not, and takes nothing.
    let is_silent = activity.reads() == left.reads && activity.is_answered();
    let since = activity.idle_since().or_else(|| is_silent.then_some(left.wrote));
    let gone = since.map_or(now, |since| since.max(left.at)) + patience;
    if gone <= now { Err(Strike::Gone) } else { Ok(Some(gone)) }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::pin, sync::Arc};

    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The reason why the clock strikes, and after how many seconds.
    async fn strike(clock: Pin<&mut Clock<'_>>) -> (Strike, u64) {
        let start = clock.activity.start();
        let mut clock = clock;
        let strike = poll_fn(|cx| clock.as_mut().poll_strike(cx)).await;
        (strike, start.elapsed().as_secs())
    }

    fn limits(idle: Option<u64>, age: Option<u64>) -> Limits {
        let seconds = |seconds| SECOND * u32::try_from(seconds).unwrap();
        Limits { preface: 10 * SECOND, idle: idle.map(seconds), age: age.map(seconds) }
    }

    #[tokio::test(start_paused = true)]
    async fn the_preface_has_to_come_in_time() {
        let activity = Activity::new();
        let mut clock = pin!(Clock::new(&activity, limits(None, None)));
        assert_eq!(strike(clock.as_mut()).await, (Strike::NoPreface, 10));
        activity.greet();
        let mut clock = pin!(Clock::new(&activity, limits(None, None)));
        let mut forever = tokio_test::task::spawn(strike(clock.as_mut()));
        tokio_test::assert_pending!(forever.poll());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_stream_and_an_old_one_leave() {
        for (idle, age, expected) in
            [(Some(20), None, 20), (None, Some(30), 30), (Some(20), Some(30), 20)]
        {
            let activity = Arc::new(Activity::new());
            activity.greet();
            let mut clock = pin!(Clock::new(&activity, limits(idle, age)));
            assert_eq!(strike(clock.as_mut()).await, (Strike::Leave, expected));
        }
        // A stream that ends at 25 seconds.
        for (age, expected) in [(None, 45), (Some(30), 30)] {
            let activity = Arc::new(Activity::new());
            activity.greet();
            let mut clock = pin!(Clock::new(&activity, limits(Some(20), age)));
            let stream = activity.stream();
            tokio::spawn(async move {
                tokio::time::sleep(25 * SECOND).await;
                drop(stream);
            });
            assert_eq!(strike(clock.as_mut()).await, (Strike::Leave, expected));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_answer_goaway_is_gone() {
        for (written, expected) in [(0, 10 + 5), (100_000, 10 + 15)] {
            let activity = Arc::new(Activity::new());
            let mut clock = pin!(Clock::new(&activity, limits(None, None)));
            let stream = activity.stream();
            advance(SECOND).await;
            clock.as_mut().leave();
            activity.wrote(written);
            tokio::spawn(async move {
                tokio::time::sleep(9 * SECOND).await;
                drop(stream);
            });
            assert_eq!(strike(clock.as_mut()).await, (Strike::Gone, expected));
        }
        // New streams do not keep the connection for ever.
        let activity = Arc::new(Activity::new());
        let mut clock = pin!(Clock::new(&activity, limits(None, None)));
        clock.as_mut().leave();
        let begins = Arc::clone(&activity);
        tokio::spawn(async move {
            loop {
                let _stream = begins.stream();
                tokio::time::sleep(3 * SECOND).await;
            }
        });
        // After 5 seconds new ones do not count, and the one that is open then ends at 6.
        assert_eq!(strike(clock.as_mut()).await, (Strike::Gone, 11));
    }
}
