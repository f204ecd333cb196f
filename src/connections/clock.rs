//! The limits of time of a connection: its age, and how long it may be idle.

use std::{
    future::Future,
    hash::{BuildHasher, RandomState},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    control::{Abort, Control, Waiter},
    session::FOREVER,
    until::poll_timer,
};

/// How long a connection may live, and be idle.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Until it is told to end.
    pub(crate) lifetime: Option<Duration>,
    /// From there until it is aborted.
    pub(crate) grace: Duration,
    /// Without a byte, until it is aborted.
    pub(crate) idle: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { lifetime: None, grace: GRACE, idle: None }
    }
}

/// Long enough for a handler's goodbye, and for its client to take it.
const GRACE: Duration = Duration::from_secs(30);

pin_project! {
    /// Runs what goes on in a connection, and has it end in time.
    ///
    /// The function on the connection may return while other tasks have the connection. Its time goes on.
    pub(crate) struct Limited<F> {
        #[pin]
        connection: F,
        has_returned: bool,
        // In a box, because without limits there is none.
        clock: Option<Pin<Box<Clock>>>,
    }
}

impl<F> Limited<F> {
    #[inline]
    pub(crate) fn new(control: &Arc<Control>, limits: Limits, connection: F) -> Self {
        let is_limited = limits.lifetime.is_some() || limits.idle.is_some();
        let clock = is_limited.then(|| Box::pin(Clock::new(Arc::clone(control), limits)));
        Self { connection, has_returned: false, clock }
    }
}

impl<F> Future for Limited<F>
where
    F: Future<Output = ()>,
{
    type Output = ();

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let Some(clock) = this.clock else {
            return this.connection.poll(cx);
        };
        if !*this.has_returned {
            *this.has_returned = this.connection.poll(cx).is_ready();
        }
        if clock.as_mut().poll_end(cx, *this.has_returned).is_pending() {
            return Poll::Pending;
        }
        *this.clock = None;
        if *this.has_returned { Poll::Ready(()) } else { Poll::Pending }
    }
}

pin_project! {
    /// The timer of a connection with limits.
    struct Clock {
        control: Arc<Control>,
        grace: Duration,
        idle: Option<Duration>,
        // When the connection is told to end, if it is not yet.
        due: Option<Instant>,
        // When it is aborted, if it was told.
        end: Option<Instant>,
        #[pin]
        timer: Sleep,
    }
}

impl Clock {
    fn new(control: Arc<Control>, limits: Limits) -> Self {
        let Limits { lifetime, grace, idle } = limits;
        let due = lifetime.map(|lifetime| control.since() + jittered(lifetime.min(FOREVER)));
        let (grace, idle) = (grace.min(FOREVER), idle.map(|idle| idle.min(FOREVER)));
        Self { control, grace, idle, due, end: None, timer: sleep_until(Instant::now()) }
    }

    /// Is ready when the connection has ended, or is aborted.
    fn poll_end(self: Pin<&mut Self>, cx: &mut Context<'_>, has_returned: bool) -> Poll<()> {
        let mut this = self.project();
        // As long as the function runs, it is what waits for an abort, and its end comes here anyway.
        let is_open = if has_returned {
            this.control.is_open_or_wakes(Waiter::Task, cx.waker())
        } else {
            this.control.is_open()
        };
        if !is_open {
            return Poll::Ready(());
        }
        loop {
            ready!(poll_timer(this.timer.as_mut(), cx));
            let now = Instant::now();
            if this.due.is_some_and(|due| due <= now) {
                this.control.drain();
                *this.due = None;
                *this.end = Some(now + *this.grace);
            }
            let idle = this.idle.map(|idle| this.control.active().unwrap_or(now) + idle);
            let abort = if this.end.is_some_and(|end| end <= now) {
                Some(Abort::Expired)
            } else {
                idle.filter(|&idle| idle <= now).map(|_| Abort::Idle)
            };
            if let Some(why) = abort {
                this.control.abort(why);
                return Poll::Ready(());
            }
            match [*this.due, *this.end, idle].into_iter().flatten().min() {
                Some(next) => this.timer.as_mut().reset(next),
                // Not without limits, and nothing would be limited.
                None => return Poll::Ready(()),
            }
        }
    }
}

/// Shortens a lifetime by up to a tenth, so that connections that began together do not end together.
fn jittered(lifetime: Duration) -> Duration {
    let nanos = (lifetime.as_nanos() / 10 * u128::from(random() >> 32)) >> 32;
    // No more than three years.
    lifetime.saturating_sub(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)))
}

/// Returns a random number. The standard library has no other source. It is for spreading a load and for the
/// key of a WebSocket to an upstream, which need no secret.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(())
}

#[cfg(test)]
mod tests {
    use std::task::{Wake, Waker};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn r2_a_handle_keeps_no_task_alive_whose_connection_has_ended() {
        struct Task;

        impl Wake for Task {
            fn wake(self: Arc<Self>) {}
        }

        let (head, ()) = http::Request::new(()).into_parts();
        let (protocol, timeout) = ("foo".parse().unwrap(), Duration::from_secs(1));
        let control = Arc::new(Control::new(0, protocol, &head, timeout, http::Extensions::new()));
        let limits = Limits { lifetime: Some(timeout), ..Limits::default() };
        let ends = Arc::clone(&control);
        let connection = async move {
            ends.end();
        };
        let mut limited = Box::pin(Limited::new(&control, limits, connection));
        let task = Arc::new(Task);
        let waker = Waker::from(Arc::clone(&task));
        assert!(limited.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
        drop((limited, waker));
        assert_eq!(Arc::strong_count(&task), 1);
    }
}
