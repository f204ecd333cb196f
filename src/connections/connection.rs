//! [`Connection`]: a handle for one connection, for code that lists connections and ends them.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use http::Method;

use super::control::{Abort, Control};
use crate::negotiation::protocol::Protocol;

/// A handle for one upgraded connection: says who is connected, and ends the connection.
///
/// [`Connections::list`](crate::Connections::list) and [`Connections::get`](crate::Connections::get)
/// return it, and so does [`Upgraded::connection`](crate::Upgraded::connection) in a handler. It is cheap
/// to clone, and does not keep the connection open. After the connection has ended, its methods still return
/// the last values, and [`drain`](Self::drain) and [`abort`](Self::abort) do nothing.
///
/// # Example
///
/// ```
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
/// /// The user that the handler found out about.
/// #[derive(Clone)]
/// struct User(&'static str);
///
/// let layer = UpgradeLayer::new().on("wait", |_request: Request<Bytes>| async {
///     Switch::to(|mut io: Upgraded| async move {
///         io.connection().insert(User("ann"));
///         io.write_all(b"hello").await?;
///         io.draining().await;
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
/// let request =
///     "GET /a?b HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: wait\r\n\r\n";
/// client.write_all(request.as_bytes()).await?;
/// let mut answer = Vec::new();
/// while !answer.ends_with(b"hello") {
///     client.read_buf(&mut answer).await?;
/// }
///
/// // An administrator finds the connection of a user, and has it end.
/// let listed = connections.list();
/// let ann = listed.iter().find(|it| it.get::<User>().is_some_and(|user| user.0 == "ann")).unwrap();
/// assert_eq!((ann.protocol().name(), ann.method().as_str(), ann.path()), ("wait", "GET", "/a"));
/// assert_eq!((ann.read(), ann.written()), (0, 5));
/// connections.get(ann.id()).unwrap().drain();
/// assert_eq!(client.read_buf(&mut answer).await?, 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Connection {
    control: Arc<Control>,
}

impl Connection {
    pub(super) fn new(control: Arc<Control>) -> Self {
        Self { control }
    }

    #[cfg(feature = "h2c")]
    pub(crate) fn control(&self) -> &Control {
        &self.control
    }

    /// Returns a number that no other connection of the same [`Connections`](crate::Connections) has, then
    /// or later.
    pub fn id(&self) -> u64 {
        self.control.id()
    }

    /// Returns the protocol that was negotiated.
    pub fn protocol(&self) -> &Protocol<'static> {
        self.control.protocol()
    }

    /// Returns the method of the request that asked for the protocol.
    pub fn method(&self) -> &Method {
        self.control.method()
    }

    /// Returns the path of that request, without the query: its first 256 bytes, if it is longer.
    pub fn path(&self) -> &str {
        self.control.path()
    }

    /// Returns the time since the layer took over the request, or since the inner service returned its
    /// switch. The handshake counts.
    pub fn age(&self) -> Duration {
        self.control.since().elapsed()
    }

    /// Returns how many bytes were read from the connection so far, until a
    /// [`downcast`](crate::Upgraded::downcast).
    pub fn read(&self) -> u64 {
        self.control.read()
    }

    /// Returns how many bytes were written to the connection so far, until a
    /// [`downcast`](crate::Upgraded::downcast).
    pub fn written(&self) -> u64 {
        self.control.written()
    }

    /// Tells the handler of this connection to end, as [`Connections::drain`](crate::Connections::drain)
    /// tells all of them: [`Upgraded::draining`](crate::Upgraded::draining) is ready. An `h2c` connection
    /// sends GOAWAY.
    ///
    /// It cannot be undone. The handler decides when it ends.
    pub fn drain(&self) {
        self.control.drain();
    }

    /// Whether the handler of this connection was told to end.
    pub fn is_draining(&self) -> bool {
        self.control.draining().is_raised()
    }

    /// Waits until the handler of this connection is told to end, or the connection is aborted or has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub fn draining(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let control = Arc::clone(&self.control);
        async move { control.told().await }
    }

    /// Closes this connection, whatever its handler does.
    ///
    /// The handler's future is dropped at its next `await`. If the handler has moved its
    /// [`Upgraded`](crate::Upgraded), or the halves of it, to other tasks, their reads and writes fail with
    /// [`ConnectionAborted`](std::io::ErrorKind::ConnectionAborted), and a task that is blocked in one is
    /// woken. The first of them closes the connection. Two kinds of tasks keep it open: one that neither
    /// reads nor writes, and one that has called [`downcast`](crate::Upgraded::downcast).
    ///
    /// The connection is reported as [`UpgradeErrorKind::Aborted`](crate::UpgradeErrorKind::Aborted). A
    /// handshake that is pending is answered with 503.
    pub fn abort(&self) {
        self.control.abort(Abort::Requested);
    }

    /// Attaches a value to the connection, which [`get`](Self::get) returns on every handle. Returns the
    /// value of the same type that was attached before.
    ///
    /// [`UpgradeLayer::attach`](crate::UpgradeLayer::attach) attaches a value of the request's extensions,
    /// such as the peer's address.
    pub fn insert<T>(&self, value: T) -> Option<T>
    where
        T: Clone + Send + Sync + 'static,
    {
        let value = Arc::new(value);
        // The user's code, which drops and clones, runs without the lock.
        let replaced = self.control.attached().insert(value);
        replaced.map(Arc::unwrap_or_clone)
    }

    /// Returns a clone of the value of this type that is attached to the connection.
    pub fn get<T>(&self) -> Option<T>
    where
        T: Clone + Send + Sync + 'static,
    {
        let value = self.control.attached().get::<Arc<T>>().cloned();
        value.map(Arc::unwrap_or_clone)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.id())
            .field("protocol", self.protocol())
            .field("path", &self.path())
            .field("draining", &self.is_draining())
            .finish_non_exhaustive()
    }
}
