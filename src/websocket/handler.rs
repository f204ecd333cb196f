//! The handler that does the opening handshake for every request alike.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Request, request};

use super::{Agreed, Offer, Origins, subprotocols::Names};
use crate::{
    connections::upgraded::Upgraded,
    handler::{UpgradeHandler, outcome::IntoOutcome, rejection::Rejection, switch::Switch},
};

/// A handler that answers the opening handshake of RFC 6455 §4.2 and hands the connection over.
///
/// This crate does the handshake. A framing crate of your choice reads and writes the messages: give it the
/// connection, as a server, after the handshake. [`Handshake`] has the request, and the subprotocol and
/// extensions that were agreed on.
///
/// Register it as `"websocket"`, and limit it to its paths with [`when`](UpgradeHandler::when). It switches
/// or rejects every request that offers `websocket` there: the [module](super) has the table of the checks.
/// A request with a body, or without the option `upgrade` in `Connection`, is forwarded to the inner service.
///
/// # Origins
///
/// A browser lets any page open a WebSocket to any host, and sends the host's cookies along. By default,
/// only pages of the same host may connect. [`Origins`] has the other choices, and the settings of proxies
/// that break the default.
///
/// # Small messages and the close
///
/// Set `TCP_NODELAY` on the sockets that the server accepts, or small messages wait for each other. After
/// the close frame, call [`Upgraded::close`](crate::Upgraded::close): a socket that is dropped with unread
/// bytes is reset, and the client may lose the close frame.
///
/// # Example
///
/// ```
/// use std::convert::Infallible;
///
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::Empty;
/// use hyper::body::Incoming;
/// use hyper_util::{rt::TokioIo, service::TowerToHyperService};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// use tower::{Layer, service_fn};
/// use tower_upgrade::{
///     UpgradeHandler, UpgradeLayer, Upgraded,
///     websocket::{Handshake, WebSocket},
/// };
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// // Sends one text frame, by hand, to show where a framing crate begins.
/// let greet = |mut io: Upgraded, handshake: Handshake| async move {
///     assert_eq!(handshake.subprotocol.as_deref(), Some("greeting"));
///     io.write_all(b"\x81\x05hello").await
/// };
/// let layer = UpgradeLayer::new().on(
///     "websocket",
///     WebSocket::new(greet).subprotocols(["greeting"]).when(|head| head.uri.path() == "/greet"),
/// );
/// let service = layer.layer(service_fn(|_: Request<Incoming>| async {
///     Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
/// }));
///
/// let (mut client, server) = tokio::io::duplex(1024);
/// tokio::spawn(
///     hyper::server::conn::http1::Builder::new()
///         .serve_connection(TokioIo::new(server), TowerToHyperService::new(service))
///         .with_upgrades(),
/// );
/// let request = "GET /greet HTTP/1.1\r\n\
///     Host: example.com\r\n\
///     Connection: Upgrade\r\n\
///     Upgrade: websocket\r\n\
///     Sec-WebSocket-Version: 13\r\n\
///     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
///     Sec-WebSocket-Protocol: greeting\r\n\r\n";
/// client.write_all(request.as_bytes()).await?;
/// let mut answer = Vec::new();
/// client.read_to_end(&mut answer).await?;
/// assert!(answer.starts_with(b"HTTP/1.1 101 Switching Protocols\r\n"));
/// assert!(answer.ends_with(b"\r\n\r\n\x81\x05hello"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a handler does nothing unless it is registered"]
pub struct WebSocket {
    config: Arc<Config>,
}

#[derive(Clone)]
struct Config {
    /// Switches, to the function on the connection.
    switch: Arc<dyn Fn(Offer, Handshake) -> Switch + Send + Sync>,
    origins: Origins,
    names: Names,
    select_subprotocol: Option<Arc<SelectSubprotocol>>,
    agree_extensions: Option<Arc<AgreeExtensions>>,
    on_connect: Option<Arc<OnConnect>>,
}

type SelectSubprotocol = dyn Fn(&request::Parts, &[&str]) -> Option<String> + Send + Sync;
type AgreeExtensions = dyn Fn(&str) -> Option<HeaderValue> + Send + Sync;
type OnConnect = dyn Fn(Handshake) -> Connecting + Send + Sync;
type Connecting = Pin<Box<dyn Future<Output = Result<Handshake, Rejection>> + Send>>;

/// The result of an opening handshake: the request, the subprotocol and the extensions.
///
/// See [`WebSocket`] for an example.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Handshake {
    /// The head of the request, with its extensions.
    pub head: request::Parts,
    /// The subprotocol that the 101 names, if one was agreed on.
    pub subprotocol: Option<String>,
    /// The value of `Sec-WebSocket-Extensions` in the 101, if any were agreed on.
    pub extensions: Option<HeaderValue>,
}

impl WebSocket {
    /// Makes a handler that runs `run` on every connection that it switches.
    ///
    /// `run` returns `()` or a `Result` of it. An error or a panic closes the connection and is reported to
    /// [`UpgradeLayer::on_failure`](crate::UpgradeLayer::on_failure).
    ///
    /// See the [type](Self) for an example.
    pub fn new<F, Fut>(run: F) -> Self
    where
        F: Fn(Upgraded, Handshake) -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: IntoOutcome,
    {
        let run = Arc::new(run);
        let switch = move |offer: Offer, handshake| {
            let run = Arc::clone(&run);
            offer.switch(move |io, agreed| {
                let Agreed { subprotocol, extensions } = agreed;
                run(io, Handshake { subprotocol, extensions, ..handshake })
            })
        };
        Self {
            config: Arc::new(Config {
                switch: Arc::new(switch),
                origins: Origins::same_host(),
                names: Names::default(),
                select_subprotocol: None,
                agree_extensions: None,
                on_connect: None,
            }),
        }
    }

    /// Sets which origins' pages may connect. The default is [`Origins::same_host`].
    pub fn origins(mut self, origins: Origins) -> Self {
        self.config_mut().origins = origins;
        self
    }

    /// Accepts subprotocols that are not tokens, such as kubectl's `SPDY/3.1+portforward.k8s.io`. By default
    /// they are ignored. Call it before [`subprotocols`](Self::subprotocols).
    ///
    /// A name has to be visible ASCII without a comma.
    pub fn allow_non_token_subprotocols(mut self) -> Self {
        self.config_mut().names = Names::Visible;
        self
    }

    /// Sets the subprotocols of the server, in order of preference (RFC 6455 §1.9). None by default.
    ///
    /// The first one that the client offers is agreed on. If the client offers none of them, the handshake
    /// goes on without a subprotocol. Subprotocols compare exactly.
    ///
    /// # Panics
    ///
    /// Panics if one of them is not a token (RFC 9110 §5.6.2), unless
    /// [`allow_non_token_subprotocols`](Self::allow_non_token_subprotocols) comes first.
    #[track_caller]
    pub fn subprotocols<I>(self, subprotocols: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let subprotocols: Vec<String> = subprotocols.into_iter().map(Into::into).collect();
        for subprotocol in &subprotocols {
            self.config.names.assert_allow(subprotocol);
        }
        self.select_subprotocol(move |_head, offered| {
            subprotocols.iter().find(|known| offered.contains(&known.as_str())).cloned()
        })
    }

    /// Selects the subprotocol with a function, which gets the request and what it offers, in the
    /// client's order of preference. It replaces [`subprotocols`](Self::subprotocols).
    ///
    /// It is not called if nothing is offered. A subprotocol that was not offered is not agreed
    /// on (RFC 6455 §4.2.2). See [`Offer::select_subprotocol`] for an example.
    pub fn select_subprotocol<F>(mut self, select: F) -> Self
    where
        F: Fn(&request::Parts, &[&str]) -> Option<String> + Send + Sync + 'static,
    {
        self.config_mut().select_subprotocol = Some(Arc::new(select));
        self
    }

    /// Agrees to extensions, such as `permessage-deflate` (RFC 6455 §9), for a framing crate that
    /// implements them. None by default.
    ///
    /// `agree` gets the offers as one well-formed list, and returns the value of
    /// `Sec-WebSocket-Extensions` in the 101. It is not called if nothing is offered. A request in
    /// which the header is malformed is rejected with 400.
    ///
    /// An answer that the offers do not allow is not agreed on: one that is malformed, names an
    /// extension that was not offered, or gives permessage-deflate a parameter that its offer does
    /// not allow (RFC 7692 §7.1). See [`Offer::agree_extensions`] for an example.
    pub fn agree_extensions<F>(mut self, agree: F) -> Self
    where
        F: Fn(&str) -> Option<HeaderValue> + Send + Sync + 'static,
    {
        self.config_mut().agree_extensions = Some(Arc::new(agree));
        self
    }

    /// Calls an asynchronous function after all other checks, before the 101 is sent. No function by default.
    ///
    /// The function returns the handshake, to whose head it may add extensions, or fails with anything that
    /// converts into a [`Rejection`]. Changes of [`subprotocol`](Handshake::subprotocol) and
    /// [`extensions`](Handshake::extensions) are undone, because these are agreed on.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped if the client disconnects.
    ///
    /// # Example
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::{Request, StatusCode};
    /// use tower_upgrade::{UpgradeHandler, Upgraded, websocket::{Handshake, WebSocket}};
    ///
    /// #[derive(Clone)]
    /// struct User(String);
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let websocket = WebSocket::new(|_io: Upgraded, handshake: Handshake| async move {
    ///     let User(name) = handshake.head.extensions.get().expect("`on_connect` has put it there");
    ///     println!("{name} is there");
    /// });
    /// let websocket = websocket.on_connect(|mut handshake: Handshake| async move {
    ///     if !handshake.head.headers.contains_key("cookie") {
    ///         return Err(StatusCode::UNAUTHORIZED);
    ///     }
    ///     handshake.head.extensions.insert(User("Ada".into()));
    ///     Ok(handshake)
    /// });
    /// let request = Request::get("/")
    ///     .header("Host", "example.com")
    ///     .header("Sec-WebSocket-Version", "13")
    ///     .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    /// let rejection = websocket.upgrade(request.body(Bytes::new())?).await.unwrap_err();
    /// assert_eq!(rejection.status(), StatusCode::UNAUTHORIZED);
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_connect<F, Fut, E>(mut self, on_connect: F) -> Self
    where
        F: Fn(Handshake) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Handshake, E>> + Send + 'static,
        E: Into<Rejection>,
    {
        self.config_mut().on_connect = Some(Arc::new(move |handshake| {
            let connecting = on_connect(handshake);
            Box::pin(async { connecting.await.map_err(Into::into) })
        }));
        self
    }

    fn config_mut(&mut self) -> &mut Config {
        Arc::make_mut(&mut self.config)
    }
}

impl UpgradeHandler for WebSocket {
    fn upgrade(
        &self,
        request: Request<Bytes>,
    ) -> impl Future<Output = Result<Switch, Rejection>> + Send {
        self.config.clone().connect(request.into_parts().0)
    }
}

impl Config {
    // Not an `async fn`, whose future would hold the head twice.
    fn connect(
        self: Arc<Self>,
        head: request::Parts,
    ) -> impl Future<Output = Result<Switch, Rejection>> + Send {
        let step = self.offer(&head).map(|offer| {
            let Agreed { subprotocol, extensions } = offer.agreed().clone();
            let handshake = Handshake { head, subprotocol, extensions };
            let Some(on_connect) = &self.on_connect else {
                return Step::Switch((self.switch)(offer, handshake));
            };
            let connecting = on_connect(handshake);
            let config = Arc::clone(&self);
            Step::Connect(Box::pin(async move { Ok((config.switch)(offer, connecting.await?)) }))
        });
        async move {
            match step {
                Err(rejection) => Err(rejection),
                Ok(Step::Switch(switch)) => Ok(switch),
                Ok(Step::Connect(connecting)) => connecting.await,
            }
        }
    }

    /// Checks the handshake, and agrees on a subprotocol and extensions.
    fn offer(&self, head: &request::Parts) -> Result<Offer, Rejection> {
        let mut offer = Offer::from_head(head, &self.origins)?.with_names(self.names);
        if let Some(select) = &self.select_subprotocol {
            offer = offer.select_subprotocol(|offered| select(head, offered));
        }
        if let Some(agree) = &self.agree_extensions {
            offer = offer.agree_extensions(|offers| agree(offers))?;
        }
        Ok(offer)
    }
}

/// The next step after all checks.
enum Step {
    Switch(Switch),
    /// The application is asked. In a box, so that all others have a small future.
    Connect(Pin<Box<dyn Future<Output = Result<Switch, Rejection>> + Send>>),
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { config } = self;
        f.debug_struct("WebSocket").field("origins", &config.origins).finish_non_exhaustive()
    }
}
