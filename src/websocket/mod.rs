//! WebSocket: the opening handshake of RFC 6455, for any crate that does the frames.

mod checks;
mod origins;

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Request, header, request};

use self::checks::Checked;
pub use self::origins::Origins;
use crate::{
    connections::upgraded::Upgraded,
    handler::{
        UpgradeHandler,
        rejection::Rejection,
        switch::{End, IntoOutcome, Outcome, Switch},
    },
    negotiation::protocol,
};

/// A handler that answers the opening handshake of RFC 6455 §4.2 and hands the connection over.
///
/// The handshake is this crate's, the frames are not: give the connection to the framing crate of
/// your choice, as a server, with the handshake already done. What the handshake agreed on is in
/// the [`Handshake`].
///
/// Register it as `"websocket"`. A request that offers `websocket` and that
/// [`when`](UpgradeHandler::when) leaves to this handler is either switched or refused:
///
/// | refused with | if |
/// |---|---|
/// | 405 and `Allow: GET` | the method is not GET |
/// | 400 | `Host`, `Sec-WebSocket-Key` or `Sec-WebSocket-Version` is not there exactly once, or one of them, `Sec-WebSocket-Protocol` or `Sec-WebSocket-Extensions` is malformed, has more than 64 members or more than 8 KiB |
/// | 426 and `Sec-WebSocket-Version: 13` | the version is another |
/// | 403 | the request comes from a page of an origin that is not allowed |
///
/// A request with content is forwarded to the inner service, as is one without the `upgrade`
/// option in `Connection`.
///
/// # Origins
///
/// A browser lets any page open a WebSocket to any host, and sends the cookies along. The
/// [origins](WebSocket::origins) that may do so are, by default, those of the host that the
/// request is sent to. Programs other than browsers send no `Origin`, and are not refused for it.
///
/// # At the end
///
/// Say `TCP_NODELAY` on the sockets that the server accepts, or small messages wait for one
/// another. After the close frame read on until the client is gone, with a time limit: a socket
/// that is closed with octets unread is reset, and the close frame may be lost.
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
    run: Arc<dyn Fn(Upgraded, Handshake) -> Outcome + Send + Sync>,
    origins: Origins,
    select_subprotocol: Option<Arc<SelectSubprotocol>>,
    agree_extensions: Option<Arc<AgreeExtensions>>,
    on_connect: Option<Arc<OnConnect>>,
}

type SelectSubprotocol = dyn Fn(&request::Parts, &[&str]) -> Option<String> + Send + Sync;
type AgreeExtensions = dyn Fn(&str) -> Option<HeaderValue> + Send + Sync;
type OnConnect = dyn Fn(Handshake) -> Connecting + Send + Sync;
type Connecting = Pin<Box<dyn Future<Output = Result<Handshake, Rejection>> + Send>>;

/// What an opening handshake agreed on.
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
    /// `run` may return `()` or a `Result` of it; an error and a panic end the connection and go to
    /// [`UpgradeLayer::on_failure`](crate::UpgradeLayer::on_failure).
    ///
    /// See the [type](Self) for an example.
    pub fn new<F, Fut>(run: F) -> Self
    where
        F: Fn(Upgraded, Handshake) -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: IntoOutcome,
    {
        let run = move |io, handshake| -> Outcome { Box::pin(End { run: run(io, handshake) }) };
        Self {
            config: Arc::new(Config {
                run: Arc::new(run),
                origins: Origins::same_host(),
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

    /// Names the subprotocols that are spoken, in order of preference (RFC 6455 §1.9).
    ///
    /// The first of them that the client offered is agreed on. If none was, the handshake goes on
    /// without a subprotocol, which is the default. Subprotocols compare exactly.
    ///
    /// # Panics
    ///
    /// Panics if one of them is not a token (RFC 9110 §5.6.2).
    #[track_caller]
    pub fn subprotocols<I>(self, subprotocols: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let subprotocols: Vec<String> = subprotocols.into_iter().map(Into::into).collect();
        for subprotocol in &subprotocols {
            assert!(
                protocol::is_token(subprotocol.as_bytes()),
                "`{}` is not a subprotocol: it has to be a token (RFC 9110 section 5.6.2)",
                subprotocol.escape_debug(),
            );
        }
        self.select_subprotocol(move |_head, offered| {
            subprotocols.iter().find(|known| offered.contains(&known.as_str())).cloned()
        })
    }

    /// Selects the subprotocol with a function, which gets the request and what it offers, in the
    /// client's order of preference. It replaces [`subprotocols`](Self::subprotocols).
    ///
    /// It is not called if nothing is offered. A subprotocol that was not offered is not agreed
    /// on (RFC 6455 §4.2.2).
    ///
    /// # Example
    ///
    /// ```
    /// use tower_upgrade::{Upgraded, websocket::{Handshake, WebSocket}};
    ///
    /// let websocket = WebSocket::new(|_io: Upgraded, handshake: Handshake| async move {
    ///     assert_eq!(handshake.subprotocol.as_deref(), Some("chat.v2"));
    /// });
    /// let websocket = websocket.select_subprotocol(|_head, offered| {
    ///     offered.iter().copied().filter(|name| name.starts_with("chat.v")).max().map(String::from)
    /// });
    /// # drop(websocket);
    /// ```
    pub fn select_subprotocol<F>(mut self, select: F) -> Self
    where
        F: Fn(&request::Parts, &[&str]) -> Option<String> + Send + Sync + 'static,
    {
        self.config_mut().select_subprotocol = Some(Arc::new(select));
        self
    }

    /// Agrees to extensions, such as `permessage-deflate` (RFC 6455 §9), for a framing crate that
    /// implements them. The default is to agree to none.
    ///
    /// `agree` gets the offers as one well-formed list, and returns the value of
    /// `Sec-WebSocket-Extensions` in the 101. It is not called if nothing is offered. A value
    /// that is malformed, or names an extension that was not offered, is not agreed on.
    ///
    /// # Example
    ///
    /// ```
    /// use http::HeaderValue;
    /// use tower_upgrade::{Upgraded, websocket::{Handshake, WebSocket}};
    ///
    /// let websocket = WebSocket::new(|_io: Upgraded, handshake: Handshake| async move {
    ///     let _compress = handshake.extensions.is_some();
    /// });
    /// let websocket = websocket.agree_extensions(|offers| {
    ///     assert_eq!(offers, "permessage-deflate; client_max_window_bits");
    ///     let answer = "permessage-deflate; server_no_context_takeover";
    ///     offers.contains("permessage-deflate").then(|| HeaderValue::from_static(answer))
    /// });
    /// # drop(websocket);
    /// ```
    pub fn agree_extensions<F>(mut self, agree: F) -> Self
    where
        F: Fn(&str) -> Option<HeaderValue> + Send + Sync + 'static,
    {
        self.config_mut().agree_extensions = Some(Arc::new(agree));
        self
    }

    /// Asks an asynchronous function before the 101 is sent, after all other checks. The default
    /// is to ask nobody.
    ///
    /// It returns the handshake, perhaps with more in the extensions of its head, or refuses with
    /// anything that a [`Rejection`] can be made from. What it changes in
    /// [`subprotocol`](Handshake::subprotocol) or [`extensions`](Handshake::extensions) is undone,
    /// since that is agreed on.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped if the client goes away.
    ///
    /// # Example
    ///
    /// ```
    /// use http::StatusCode;
    /// use tower_upgrade::{Upgraded, websocket::{Handshake, WebSocket}};
    ///
    /// #[derive(Clone)]
    /// struct User(String);
    ///
    /// let websocket = WebSocket::new(|_io: Upgraded, handshake: Handshake| async move {
    ///     assert!(handshake.head.extensions.get::<User>().is_some());
    /// });
    /// let websocket = websocket.on_connect(|mut handshake: Handshake| async move {
    ///     if !handshake.head.headers.contains_key("cookie") {
    ///         return Err(StatusCode::UNAUTHORIZED);
    ///     }
    ///     handshake.head.extensions.insert(User("Ada".into()));
    ///     Ok(handshake)
    /// });
    /// # drop(websocket);
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
    async fn connect(self: Arc<Self>, head: request::Parts) -> Result<Switch, Rejection> {
        let (accept, subprotocol, extensions) = self.check(&head)?;
        let mut handshake =
            Handshake { head, subprotocol: subprotocol.clone(), extensions: extensions.clone() };
        if let Some(on_connect) = &self.on_connect {
            handshake = on_connect(handshake).await?;
            handshake.subprotocol.clone_from(&subprotocol);
            handshake.extensions.clone_from(&extensions);
        }
        let mut switch = Switch::to(move |io: Upgraded| (self.run)(io, handshake))
            .header(header::SEC_WEBSOCKET_ACCEPT, accept);
        // A subprotocol is one of those offered, and so a token.
        if let Some(name) = subprotocol.and_then(|name| HeaderValue::try_from(name).ok()) {
            switch = switch.header(header::SEC_WEBSOCKET_PROTOCOL, name);
        }
        if let Some(extensions) = extensions {
            switch = switch.header(header::SEC_WEBSOCKET_EXTENSIONS, extensions);
        }
        Ok(switch)
    }

    /// Returns the key's answer, and the subprotocol and the extensions that are agreed on.
    fn check(&self, head: &request::Parts) -> Result<Agreement, Rejection> {
        let checked = Checked::new(head, &self.origins)?;
        let subprotocol = self.select_subprotocol.as_ref();
        let extensions = self.agree_extensions.as_ref();
        Ok((
            checked.accept(),
            subprotocol.and_then(|select| checked.select_subprotocol(|names| select(head, names))),
            extensions.and_then(|agree| checked.agree_extensions(|offers| agree(offers))),
        ))
    }
}

type Agreement = (HeaderValue, Option<String>, Option<HeaderValue>);

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { config } = self;
        f.debug_struct("WebSocket").field("origins", &config.origins).finish_non_exhaustive()
    }
}
