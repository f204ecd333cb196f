//! The upgraded connections of a layer: how many there are, what became of them, and their end.

pub(crate) mod close;
pub(crate) mod session;
pub(crate) mod signal;
pub(crate) mod stats;
pub(crate) mod task;
pub(crate) mod upgraded;

use std::{fmt, future::Future, sync::Arc, time::Duration};

use tokio::{sync::watch, time::timeout};

use self::{signal::Signal, stats::Stats};

/// The upgraded connections of a layer and its clones.
///
/// The HTTP server forgets a connection once it is upgraded; here it is known from the moment a
/// handler takes the request over until what the handler runs has ended and its
/// [`Upgraded`](crate::Upgraded) is dropped. [`UpgradeLayer::connections`](crate::UpgradeLayer::connections)
/// returns it. It is cheap to clone, and clones are the same connections.
///
/// # Shutdown
///
/// Drain first, or together with the HTTP server's own shutdown. Do not wait for the server before:
/// it waits for each of its HTTP connections, without a deadline. With axum, for one:
///
/// ```no_run
/// use std::{future::IntoFuture, io, time::Duration};
///
/// # async fn run(listener: tokio::net::TcpListener, app: axum::Router) -> io::Result<()> {
/// # let layer = tower_upgrade::UpgradeLayer::new();
/// let connections = layer.connections();
/// let server = axum::serve(listener, app.layer(layer))
///     .with_graceful_shutdown(connections.draining())
///     .into_future();
/// let server = tokio::spawn(server);
/// tokio::signal::ctrl_c().await?;
/// let deadline = Duration::from_secs(30);
/// let (shutdown, _served) =
///     tokio::join!(connections.shutdown(deadline), tokio::time::timeout(deadline, server));
/// println!("{} finished, {} aborted", shutdown.finished, shutdown.aborted);
/// # Ok(())
/// # }
/// ```
///
/// The example `graceful` goes further: it also answers those who come during the drain.
///
/// What handlers hear of it:
///
/// ```
/// use std::{future, time::Duration};
///
/// use bytes::Bytes;
/// use http::Request;
/// use tower_upgrade::{Switch, UpgradeLayer, Upgraded};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let layer = UpgradeLayer::new().on("wait", |_request: Request<Bytes>| async {
///     Switch::to(|io: Upgraded| async move {
///         // Say farewell in the protocol's own way, once it is time.
///         io.draining().await;
///     })
/// });
/// let connections = layer.connections();
///
/// // Serve, until a signal comes; then:
/// let shutdown = connections.shutdown(Duration::from_secs(30)).await;
/// assert_eq!((shutdown.finished, shutdown.aborted), (0, 0));
/// # }
/// ```
#[derive(Clone)]
pub struct Connections {
    shared: Arc<Shared>,
}

struct Shared {
    state: watch::Sender<State>,
    draining: Signal,
    aborting: Signal,
}

#[derive(Default)]
struct State {
    stats: Stats,
    /// How many places were given back before connections were aborted.
    finished: usize,
}

/// How [`Connections::shutdown`] ended.
///
/// See [`Connections`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shutdown {
    /// Connections that ended by themselves before the deadline.
    pub finished: usize,
    /// Connections that were left at the deadline, and were aborted.
    pub aborted: usize,
}

impl Connections {
    /// Makes the connections of a layer that has none yet.
    ///
    /// A layer makes its own; this is for layers that share them, with
    /// [`UpgradeLayer::with_connections`](crate::UpgradeLayer::with_connections).
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                state: watch::Sender::default(),
                draining: Signal::default(),
                aborting: Signal::default(),
            }),
        }
    }

    /// Returns how many connections there are now, those in their handshake included.
    pub fn active(&self) -> usize {
        self.shared.state.borrow().stats.active
    }

    /// Returns what became of the requests so far.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_upgrade::Connections;
    ///
    /// let stats = Connections::new().stats();
    /// assert_eq!((stats.active, stats.switched, stats.declined.unregistered), (0, 0, 0));
    /// ```
    pub fn stats(&self) -> Stats {
        self.shared.state.borrow().stats
    }

    /// Stops taking requests, and tells the handlers.
    ///
    /// From now on a request that a handler would take over is answered with 503 and
    /// `Connection: close`, with [`AtCapacity::Forward`](crate::AtCapacity::Forward) too, and
    /// [`Upgraded::draining`](crate::Upgraded::draining) is ready. If the handler's protocol is
    /// [optional](crate::UpgradeHandler::is_optional), such as h2c, the inner service answers the
    /// request instead. A handshake that has begun goes on. Nothing takes this back.
    pub fn drain(&self) {
        self.shared.draining.raise();
    }

    /// Whether [`drain`](Self::drain) was called.
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

    /// Waits until [`drain`](Self::drain) is called.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub fn draining(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.shared.draining.wait()
    }

    /// Waits until [`drain`](Self::drain) is called and no connection is left.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn drained(&self) {
        self.draining().await;
        let mut state = self.shared.state.subscribe();
        // The sender is in `self`, so that the channel cannot close.
        state.wait_for(|state| state.stats.active == 0).await.ok();
    }

    /// [Drains](Self::drain), waits until all connections have ended or the deadline has passed,
    /// and aborts what is left.
    ///
    /// To abort a connection is to drop what its handler runs, at its next `await`, and with it
    /// the connection. What never gets to an `await`, or has given its connection to a task of its
    /// own, cannot be aborted; it counts as aborted, and is waited for one second longer.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped after it was polled, the connections are told to drain all the
    /// same, and none is aborted.
    ///
    /// # Panics
    ///
    /// Panics if the tokio runtime has no timer.
    pub async fn shutdown(&self, deadline: Duration) -> Shutdown {
        let finished_before = self.shared.state.borrow().finished;
        self.drain();
        timeout(deadline, self.drained()).await.ok();
        let shutdown = {
            let state = self.shared.state.borrow();
            let finished = state.finished - finished_before;
            Shutdown { finished, aborted: state.stats.active }
        };
        if shutdown.aborted > 0 {
            self.shared.aborting.raise();
            timeout(ABORT, self.drained()).await.ok();
        }
        shutdown
    }

    /// Takes a place, if there are fewer than `limit` and no drain has begun.
    pub(crate) fn reserve(&self, limit: usize) -> Result<Place, NoPlace> {
        let mut place = Ok(());
        self.count(|stats| {
            // This is asked while the counts are locked. Whoever waits for them to be zero, after
            // a drain has begun, either sees this place or has it refused.
            if self.is_draining() {
                place = Err(NoPlace::Draining);
            } else if stats.active >= limit {
                place = Err(NoPlace::Full);
            } else {
                stats.active += 1;
                stats.highest = stats.highest.max(stats.active);
            }
        });
        place.map(|()| Place { connections: self.clone() })
    }

    /// Changes the counts, without waking anybody.
    pub(crate) fn count(&self, change: impl FnOnce(&mut Stats)) {
        self.shared.state.send_if_modified(|state| {
            change(&mut state.stats);
            false
        });
    }
}

impl Default for Connections {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shared } = self;
        f.debug_struct("Connections")
            .field("active", &shared.state.borrow().stats.active)
            .field("draining", &shared.draining.is_raised())
            .finish_non_exhaustive()
    }
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoPlace {
    Draining,
    Full,
}

/// One of the places in [`Connections`]. It is given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    connections: Connections,
}

impl Place {
    pub(crate) fn draining(&self) -> &Signal {
        &self.connections.shared.draining
    }

    pub(crate) fn aborting(&self) -> &Signal {
        &self.connections.shared.aborting
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.shared.state.send_if_modified(|state| {
            state.stats.active -= 1;
            state.finished += usize::from(!self.aborting().is_raised());
            state.stats.active == 0
        });
    }
}

/// How long an aborted connection is waited for.
const ABORT: Duration = Duration::from_secs(1);
