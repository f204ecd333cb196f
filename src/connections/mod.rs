//! The upgraded connections of a layer: their number, their outcomes, drain and abort.

pub(crate) mod close;
pub(crate) mod session;
pub(crate) mod signal;
pub(crate) mod stats;
pub(crate) mod task;
pub(crate) mod upgraded;

use std::{fmt, future::Future, sync::Arc, time::Duration};

use tokio::{sync::watch, time::timeout};

use self::{signal::Signal, stats::Stats};

/// Counts the upgraded connections of a layer and its clones, and shuts them down.
///
/// [`UpgradeLayer::connections`](crate::UpgradeLayer::connections) returns it. It is cheap to clone,
/// and all clones share the same connections.
///
/// The HTTP server forgets a connection once it is upgraded. `Connections` counts it from the moment
/// a handler takes over the request. The count ends when the function given to
/// [`Switch::to`](crate::Switch::to) has returned and its [`Upgraded`](crate::Upgraded) is dropped.
///
/// # Shutdown
///
/// Drain the upgraded connections before the HTTP server shuts down, or at the same time. Do not wait
/// for the server first: it waits for its HTTP connections without a deadline. With axum:
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
/// The example `graceful` also answers clients that connect during the drain.
///
/// A handler waits for [`Upgraded::draining`](crate::Upgraded::draining), and then closes its
/// connection:
///
/// ```
/// use std::time::Duration;
///
/// use bytes::Bytes;
/// use http::Request;
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// use tower_upgrade::{Switch, UpgradeLayer, Upgraded};
/// # use hyper::body::Incoming;
/// # use hyper_util::{rt::TokioIo, service::TowerToHyperService};
/// # use tower::Layer;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let layer = UpgradeLayer::new().on("wait", |_request: Request<Bytes>| async {
///     Switch::to(|mut io: Upgraded| async move {
///         io.draining().await;
///         io.write_all(b"goodbye").await?;
///         io.close().await
///     })
/// });
/// let connections = layer.connections();
/// # let inner = tower::service_fn(|_: Request<Incoming>| async {
/// #     Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
/// # });
/// # let (mut client, server) = tokio::io::duplex(1024);
/// # let service = TowerToHyperService::new(layer.layer(inner));
/// # tokio::spawn(
/// #     hyper::server::conn::http1::Builder::new()
/// #         .serve_connection(TokioIo::new(server), service)
/// #         .with_upgrades(),
/// # );
///
/// // `layer` wraps a service, and `client` is the other end of a connection to it.
/// let request = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: wait\r\n\r\n";
/// client.write_all(request.as_bytes()).await?;
/// let mut answer = vec![0; 1024];
/// let read = client.read(&mut answer).await?;
/// assert!(answer[..read].starts_with(b"HTTP/1.1 101 Switching Protocols\r\n"));
///
/// let client = tokio::spawn(async move {
///     let mut text = String::new();
///     client.read_to_string(&mut text).await.map(|_| text)
/// });
/// let shutdown = connections.shutdown(Duration::from_secs(30)).await;
/// assert_eq!((shutdown.finished, shutdown.aborted), (1, 0));
/// assert_eq!(client.await??, "goodbye");
/// # Ok(())
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
    /// How many places were returned before the abort.
    finished: usize,
}

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
}

impl Connections {
    /// Makes a set of connections that several layers can share, with
    /// [`UpgradeLayer::with_connections`](crate::UpgradeLayer::with_connections).
    ///
    /// A layer that is not given one makes its own.
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                state: watch::Sender::default(),
                draining: Signal::default(),
                aborting: Signal::default(),
            }),
        }
    }

    /// Returns the number of connections now, including those in their handshake.
    pub fn active(&self) -> usize {
        self.shared.state.borrow().stats.active
    }

    /// Returns the counts of requests and connections so far.
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

    /// Starts a graceful shutdown: no new upgrades, and all handlers are told to end.
    ///
    /// From now on [`Upgraded::draining`](crate::Upgraded::draining) is ready. A request that a handler
    /// would take over gets a 503 and `Connection: close`, with
    /// [`AtCapacity::Forward`](crate::AtCapacity::Forward) too. If the handler's protocol is
    /// [optional](crate::UpgradeHandler::is_optional), such as h2c, the inner service answers the
    /// request instead.
    ///
    /// Handshakes that have begun go on. A drain cannot be undone.
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

    /// Waits until [`drain`](Self::drain) is called and all connections have ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn drained(&self) {
        self.draining().await;
        let mut state = self.shared.state.subscribe();
        // The channel cannot close: `self` has the sender.
        state.wait_for(|state| state.stats.active == 0).await.ok();
    }

    /// [Drains](Self::drain), waits until all connections have ended, and aborts the rest at the
    /// deadline.
    ///
    /// An abort drops the handler's future at its next `await`, and closes the connection. The method
    /// returns one second after the deadline at the latest.
    ///
    /// A handler cannot be aborted if it never reaches an `await`, or if it has moved its connection to
    /// another task. Such a connection counts as aborted, and may outlast this method.
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

    /// Takes a place, unless `limit` is reached or a drain has begun.
    pub(crate) fn reserve(&self, limit: usize) -> Result<Place, NoPlace> {
        let mut place = Ok(());
        self.count(|stats| {
            // The flag is read while the counts are locked. So a drain that waits for zero
            // connections either sees this place, or this place is not given.
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

    /// Changes the counts, without waking a drain that waits for zero connections.
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

/// One of the places in [`Connections`]. Dropping it returns the place.
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

/// How long to wait for aborted connections.
const ABORT: Duration = Duration::from_secs(1);
