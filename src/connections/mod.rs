//! The upgraded connections of a layer: their number, their outcomes, drain and abort.

pub(crate) mod admission;
pub(crate) mod clock;
pub(crate) mod close;
pub(crate) mod connection;
pub(crate) mod control;
pub(crate) mod fate;
mod registry;
pub(crate) mod run;
pub(crate) mod session;
pub(crate) mod shutdown;
pub(crate) mod signal;
mod spread;
pub(crate) mod stats;
pub(crate) mod task;
pub(crate) mod until;
pub(crate) mod upgraded;

use std::{
    fmt, mem,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicUsize},
};

use tokio::sync::Notify;

use self::{
    admission::Claims, connection::Connection, control::Control, registry::Registry,
    signal::Signal, stats::Stats,
};

/// Counts, lists and shuts down the upgraded connections of a layer and its clones.
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

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Wakes those who wait until there is no connection.
    none_left: Notify,
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

impl Connections {
    /// Makes a set of connections that several layers can share, with
    /// [`UpgradeLayer::with_connections`](crate::UpgradeLayer::with_connections).
    ///
    /// A layer makes its own set unless it is given one.
    pub fn new() -> Self {
        Self { shared: Arc::default() }
    }

    /// Returns the number of connections now, including those in their handshake.
    pub fn active(&self) -> usize {
        self.state().stats.active
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
        self.state().stats
    }

    /// Returns a handle for each connection, in no particular order, those in their handshake included.
    ///
    /// The list is a snapshot: connections may end or begin at any time. One that begins during the call is
    /// not in it.
    ///
    /// See [`Connection`] for an example.
    pub fn list(&self) -> Vec<Connection> {
        self.controls().into_iter().map(Connection::new).collect()
    }

    /// Returns a handle for the connection with this [id](Connection::id), unless it has ended.
    ///
    /// See [`Connection`] for an example.
    pub fn get(&self, id: u64) -> Option<Connection> {
        self.state().registry.get(id).map(Connection::new)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock, so a poisoned lock guards a valid value.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns all connections that have begun before the call. Handshakes need the lock as well, so that it is
    /// held for a part of the list at a time.
    fn controls(&self) -> Vec<Arc<Control>> {
        let (len, end) = {
            let state = self.state();
            (state.registry.len(), state.begun)
        };
        let (mut controls, mut next) = (Vec::with_capacity(len), Some(0));
        while let Some(id) = next {
            next = self.state().registry.part(id..end, &mut controls);
        }
        controls
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
        let mut state = self.state();
        // The flag is read while the counts are locked. So a drain either sees this connection, or the place is
        // not given. `control` holds values of the user's, and is dropped when the lock is free.
        let no_place = if self.is_draining() {
            Some(NoPlace::Draining)
        } else {
            (state.registry.len() >= limit).then_some(NoPlace::Full)
        };
        if let Some(no_place) = no_place {
            drop(state);
            return Err(no_place);
        }
        let control = Arc::new(control(state.begun));
        state.begun += 1;
        state.registry.insert(Arc::clone(&control));
        let active = state.registry.len();
        state.stats.active = active;
        state.stats.highest = state.stats.highest.max(active);
        drop(state);
        Ok(Place { connections: self.clone(), control, claims })
    }

    /// Changes the counts.
    pub(crate) fn count(&self, change: impl FnOnce(&mut Stats)) {
        change(&mut self.state().stats);
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
            .field("active", &self.active())
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
    claims: Claims,
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
        // It has ended with its session, if there was one.
        let aborted =
            if self.control.is_open() { self.control.end() } else { self.control.aborted() };
        // Before somebody who waits for this one learns of its end. And behind a guard, because a user's key
        // may panic when it is compared.
        let claims = mem::take(&mut self.claims);
        panic::catch_unwind(AssertUnwindSafe(|| drop(claims))).ok();
        let mut state = self.connections.state();
        // The registry's share is not the last.
        state.registry.remove(&self.control);
        let active = state.registry.len();
        state.stats.active = active;
        state.finished += usize::from(aborted.is_none());
        state.stats.read += self.control.read();
        state.stats.written += self.control.written();
        drop(state);
        if active == 0 {
            self.connections.shared.none_left.notify_waiters();
        }
    }
}
