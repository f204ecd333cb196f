//! Drains and shuts down all connections, at once or spread over a time, with a deadline.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use tokio::time::timeout;

use super::{Connections, control::Abort, spread::Spread};

/// How many connections [`Connections::shutdown`] waited for, and how many it aborted.
///
/// See [`Connections`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shutdown {
    /// Connections that ended by themselves during the shutdown.
    pub finished: usize,
    /// Connections that were still open at the deadline, and were aborted.
    pub aborted: usize,
    /// Connections among the aborted ones that had not ended one second later: their handler reaches no
    /// `await`, or another task holds them and neither reads nor writes.
    ///
    /// Connections whose handler called [`Upgraded::downcast`](crate::Upgraded::downcast) and has ended are
    /// not counted.
    pub remaining: usize,
}

impl Connections {
    /// Starts a graceful shutdown: no new upgrades, and all handlers are told to end.
    ///
    /// [`Upgraded::draining`](crate::Upgraded::draining) becomes ready on each connection. From now on, a
    /// request that a handler would take over gets a 503 and `Connection: close`, with
    /// [`AtCapacity::Forward`](crate::AtCapacity::Forward) too. If the handler's protocol is
    /// [optional](crate::UpgradeHandler::is_optional), such as h2c, the inner service answers the request
    /// instead.
    ///
    /// Handshakes that have begun go on. A drain cannot be undone.
    ///
    /// All clients that reconnect do so at once. [`drain_over`](Self::drain_over) spreads this over a time.
    pub fn drain(&self) {
        self.shared.draining.raise();
        // After the flag. A place that was given before it is in this list, and none is given after it.
        for control in self.controls() {
            control.drain();
        }
    }

    /// Starts a graceful shutdown that is spread over a time, so that clients do not all reconnect at once.
    ///
    /// When it is called, new upgrades get a 503 as with [`drain`](Self::drain), and
    /// [`draining`](Self::draining), which is for the server, becomes ready. Each connection is told at a
    /// time of its own: the first at once, the others evenly over `spread`, in random order. An h2c
    /// connection sends GOAWAY at its time.
    ///
    /// The future is ready when the last connection was told. Poll it on a tokio runtime with a timer. To
    /// wait until the connections have ended as well, use [`shutdown_over`](Self::shutdown_over).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the connections that were not told yet are told at once.
    ///
    /// # Panics
    ///
    /// The future panics if the tokio runtime has no timer.
    ///
    /// # Example
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use tower_upgrade::Connections;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let connections = Connections::new();
    /// let telling = connections.drain_over(Duration::from_secs(5));
    /// assert!(connections.is_draining());
    /// telling.await;
    /// # }
    /// ```
    #[must_use = "if the future is dropped, all connections are told at once"]
    pub fn drain_over(
        &self,
        spread: Duration,
    ) -> impl Future<Output = ()> + Send + 'static + use<> {
        Spread::begin(self.clone(), spread).tell()
    }

    /// Whether [`drain`](Self::drain) or [`drain_over`](Self::drain_over) was called.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_upgrade::Connections;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let connections = Connections::new();
    /// assert!(!connections.is_draining());
    /// connections.drain();
    /// assert!(connections.is_draining());
    /// connections.draining().await;
    /// connections.drained().await;
    /// assert_eq!(connections.active(), 0);
    /// # }
    /// ```
    pub fn is_draining(&self) -> bool {
        self.shared.draining.is_raised()
    }

    /// Waits until [`drain`](Self::drain) or [`drain_over`](Self::drain_over) is called.
    ///
    /// This is for the server. A handler waits for [`Upgraded::draining`](crate::Upgraded::draining), which
    /// becomes ready at the time of its own connection.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub fn draining(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let shared = Arc::clone(&self.shared);
        async move { shared.draining.wait().await }
    }

    /// Waits until [`drain`](Self::drain) is called and all connections have ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn drained(&self) {
        self.draining().await;
        loop {
            // It hears of everything from here on, polled or not. So the count is read after this.
            let none_left = self.shared.none_left.notified();
            if self.active() == 0 {
                return;
            }
            none_left.await;
        }
    }

    /// [Drains](Self::drain), waits until all connections have ended, and aborts the rest at the
    /// deadline.
    ///
    /// An [abort](crate::Connection::abort) drops the handler's future at its next `await`, and closes the
    /// connection, also if the handler has moved it or its halves to other tasks. The method returns one
    /// second after the deadline at the latest. [`Shutdown::remaining`] counts the connections that could
    /// not be closed.
    ///
    /// If a [spread](Self::drain_over) drain is under way, it goes on: each connection is still told at its
    /// own moment, and all that are left at the deadline are aborted.
    ///
    /// # Cancel safety
    ///
    /// The drain begins with the first poll, and goes on if the future is dropped. No connection is
    /// aborted if the future is dropped before the deadline.
    ///
    /// # Panics
    ///
    /// Panics if the tokio runtime has no timer.
    pub async fn shutdown(&self, deadline: Duration) -> Shutdown {
        // Before anybody is told: a connection may end while the next is told.
        let finished = self.finished();
        if self.shared.spreads.load(SeqCst) == 0 {
            self.drain();
        }
        self.end(finished, async {}, deadline).await
    }

    /// The same, with the drain [spread](Self::drain_over) over a time.
    ///
    /// The deadline counts from the call. Make it longer than `spread`, by the time that a handler needs to
    /// end. Connections that were not told by then are aborted like all others.
    ///
    /// # Cancel safety
    ///
    /// The drain begins with the first poll. If the future is dropped, the connections that were not told
    /// yet are told at once, and none is aborted.
    ///
    /// # Panics
    ///
    /// Panics if the tokio runtime has no timer.
    ///
    /// # Example
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// # async fn stop(connections: tower_upgrade::Connections) {
    /// let (spread, deadline) = (Duration::from_secs(20), Duration::from_secs(30));
    /// let shutdown = connections.shutdown_over(spread, deadline).await;
    /// println!("{} finished, {} aborted", shutdown.finished, shutdown.aborted);
    /// # }
    /// ```
    pub async fn shutdown_over(&self, spread: Duration, deadline: Duration) -> Shutdown {
        self.end(self.finished(), self.drain_over(spread), deadline).await
    }

    fn finished(&self) -> usize {
        self.state().finished
    }

    /// Waits until all connections have ended, while they are being told, and aborts the rest.
    async fn end(
        &self,
        finished_before: usize,
        telling: impl Future<Output = ()>,
        deadline: Duration,
    ) -> Shutdown {
        {
            let (mut telling, mut drained) = (pin!(telling), pin!(self.drained()));
            let mut all_told = false;
            let ended = poll_fn(|cx| {
                all_told = all_told || telling.as_mut().poll(cx).is_ready();
                drained.as_mut().poll(cx)
            });
            timeout(deadline, ended).await.ok();
        }
        let mut shutdown = {
            let state = self.state();
            let finished = state.finished - finished_before;
            Shutdown { finished, aborted: state.stats.active, remaining: 0 }
        };
        if shutdown.aborted > 0 {
            for control in self.controls() {
                control.abort(Abort::Requested);
            }
            timeout(ABORT, self.drained()).await.ok();
            shutdown.remaining = self.active();
        }
        shutdown
    }
}

/// How long to wait for aborted connections.
const ABORT: Duration = Duration::from_secs(1);
