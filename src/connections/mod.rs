//! The upgraded connections of a layer: their number, their outcomes, drain and abort.

pub(crate) mod admission;
pub(crate) mod clock;
pub(crate) mod close;
pub(crate) mod connection;
pub(crate) mod control;
mod registry;
pub(crate) mod session;
pub(crate) mod signal;
mod spread;
pub(crate) mod stats;
pub(crate) mod task;
pub(crate) mod upgraded;

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{sync::watch, time::timeout};

use self::{
    admission::Claims,
    connection::Connection,
    control::{Abort, Control},
    registry::Registry,
    signal::Signal,
    spread::Spread,
    stats::Stats,
};

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
    /// Says that no more places are given. Each connection has a signal of its own.
    draining: Signal,
    /// How many spread drains are under way.
    spreads: AtomicUsize,
}

#[derive(Default)]
struct State {
    stats: Stats,
    registry: Registry,
    /// The number of connections so far, which is the id of the next.
    begun: u64,
    /// How many places were returned by connections that were not aborted.
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
    /// Of those, connections that had not ended one second later: their handler reaches no `await`, or
    /// another task holds them and neither reads nor writes.
    ///
    /// A connection that was taken apart by [`Upgraded::downcast`](crate::Upgraded::downcast) is not known
    /// any more once its handler has ended, and not counted here.
    pub remaining: usize,
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
                spreads: AtomicUsize::new(0),
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

    /// Returns a handle for each connection, in no particular order, those in their handshake included.
    ///
    /// It is a snapshot: connections may end, and others may begin, while it is looked at.
    ///
    /// See [`Connection`] for an example.
    pub fn list(&self) -> Vec<Connection> {
        self.controls().into_iter().map(Connection::new).collect()
    }

    /// Returns a handle for the connection with this [id](Connection::id), unless it has ended.
    ///
    /// See [`Connection`] for an example.
    pub fn get(&self, id: u64) -> Option<Connection> {
        let state = self.shared.state.borrow();
        state.registry.get(id).map(Connection::new)
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
    /// It takes effect when it is called: new upgrades are refused as by [`drain`](Self::drain), and
    /// [`draining`](Self::draining) is ready, which is for the server. But each connection is told at its
    /// own moment: the first at once, the others evenly over `spread`, in random order. h2c connections
    /// send GOAWAY at theirs.
    ///
    /// The future is ready when the last connection was told. It has to be polled, and needs the timer of a
    /// tokio runtime. To wait until the connections have ended as well, use
    /// [`shutdown_over`](Self::shutdown_over).
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
        self.spread(spread).tell()
    }

    fn spread(&self, over: Duration) -> Spread {
        self.shared.spreads.fetch_add(1, SeqCst);
        self.shared.draining.raise();
        let mut untold = self.controls();
        untold.retain(|control| !control.draining().is_raised());
        Spread::new(self.clone(), untold, over)
    }

    /// Notes that all connections of a spread drain are told.
    fn spread_ends(&self) {
        self.shared.spreads.fetch_sub(1, SeqCst);
    }

    fn controls(&self) -> Vec<Arc<Control>> {
        self.shared.state.borrow().registry.all()
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
    /// is the moment of its own connection.
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
        let mut state = self.shared.state.subscribe();
        // The channel cannot close: `self` has the sender.
        state.wait_for(|state| state.stats.active == 0).await.ok();
    }

    /// [Drains](Self::drain), waits until all connections have ended, and aborts the rest at the
    /// deadline.
    ///
    /// An [abort](Connection::abort) drops the handler's future at its next `await`, and closes the
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
        if self.shared.spreads.load(SeqCst) == 0 {
            self.drain();
        }
        self.end(async {}, deadline).await
    }

    /// The same, with the drain [spread](Self::drain_over) over a time.
    ///
    /// The deadline counts from the beginning, so it should be longer than `spread` by the time that a
    /// handler needs. Connections that were not told by then are aborted like all others.
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
        self.end(self.drain_over(spread), deadline).await
    }

    /// Waits until all connections have ended, while they are being told, and aborts the rest.
    async fn end(&self, telling: impl Future<Output = ()>, deadline: Duration) -> Shutdown {
        let finished_before = self.shared.state.borrow().finished;
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
            let state = self.shared.state.borrow();
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

    /// Takes a place for a connection, unless `limit` is reached or a drain has begun. `control` is given
    /// the connection's id.
    pub(crate) fn reserve(
        &self,
        limit: usize,
        mut claims: Claims,
        control: impl FnOnce(u64) -> Control,
    ) -> Result<Place, NoPlace> {
        // The keys have locks of their own, and run the user's code.
        if !self.is_draining() && !claims.take() {
            return Err(NoPlace::FullForKey);
        }
        let mut place = Err(NoPlace::Full);
        self.shared.state.send_if_modified(|state| {
            // The flag is read while the counts are locked. So a drain either sees this connection, or the
            // place is not given.
            if self.is_draining() {
                place = Err(NoPlace::Draining);
            } else if state.registry.len() < limit {
                let control = Arc::new(control(state.begun));
                state.begun += 1;
                state.registry.insert(Arc::clone(&control));
                let stats = &mut state.stats;
                stats.active = state.registry.len();
                stats.highest = stats.highest.max(stats.active);
                place = Ok(control);
            }
            false
        });
        place.map(|control| Place { connections: self.clone(), control, _claims: claims })
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
    /// Of a key, all places are taken.
    FullForKey,
}

/// One of the places in [`Connections`]. Dropping it returns the place.
#[derive(Debug)]
pub(crate) struct Place {
    connections: Connections,
    control: Arc<Control>,
    _claims: Claims,
}

impl Place {
    pub(crate) fn connections(&self) -> &Connections {
        &self.connections
    }

    pub(crate) fn control(&self) -> &Arc<Control> {
        &self.control
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let aborted = self.control.end();
        self.connections.shared.state.send_if_modified(|state| {
            state.registry.remove(&self.control);
            state.stats.active = state.registry.len();
            state.finished += usize::from(aborted.is_none());
            state.stats.active == 0
        });
    }
}

/// How long to wait for aborted connections.
const ABORT: Duration = Duration::from_secs(1);
