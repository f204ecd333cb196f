//! An opening handshake that was checked and has not been answered.

use std::future::Future;

use http::{HeaderMap, HeaderValue, StatusCode, header, request};

use super::{
    Origins, checks, extensions,
    subprotocols::{self, Names},
};
use crate::{
    connections::upgraded::Upgraded,
    handler::{answer::Link, outcome::IntoOutcome, rejection::Rejection, switch::Switch},
    negotiation::protocol::Protocol,
};

/// An opening handshake that was checked and is not answered yet.
///
/// [`switch`](Self::switch) answers it with the 101. The [module](super) has the table of the checks.
/// [`WebSocket`](super::WebSocket) does the same with less code where nothing depends on the request.
///
/// # Example: a page and a socket on one path, in axum
///
/// The feature `axum` makes it an extractor.
///
#[cfg_attr(feature = "axum", doc = "```")]
#[cfg_attr(not(feature = "axum"), doc = "```ignore")]
/// use axum::{
///     Extension, Router,
///     response::{Html, IntoResponse, Response},
///     routing::any,
/// };
/// use tower_upgrade::{
///     UpgradeLayer, Upgraded,
///     websocket::{Offer, Origins},
/// };
///
/// async fn run(_io: Upgraded) {}
///
/// async fn page(ws: Option<Offer>) -> Response {
///     match ws {
///         Some(ws) => ws.switch(|io, _agreed| run(io)).into_response(),
///         None => Html("<p>a page</p>").into_response(),
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), std::convert::Infallible> {
/// let app: Router = Router::new()
///     .route("/", any(page))
///     .layer(UpgradeLayer::new().on_inner("websocket").for_axum())
///     .layer(Extension(Origins::list(["https://app.example.com"])))
///     .layer(UpgradeLayer::outermost());
/// # use tower::ServiceExt;
/// # let request = http::Request::new(axum::body::Body::empty());
/// let response = app.oneshot(request).await?;
/// assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
/// # Ok(())
/// # }
/// ```
///
/// # Example: a handler
///
/// ```
/// use std::convert::Infallible;
///
/// use bytes::Bytes;
/// use http::{Request, Response, StatusCode};
/// use http_body_util::Empty;
/// use hyper::body::Incoming;
/// use hyper_util::{rt::TokioIo, service::TowerToHyperService};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// use tower::{Layer, service_fn};
/// use tower_upgrade::{
///     Rejection, Switch, UpgradeLayer, Upgraded,
///     websocket::{Agreed, Offer, Origins},
/// };
///
/// async fn greet(request: Request<Bytes>) -> Result<Switch, Rejection> {
///     let (head, _) = request.into_parts();
///     let offer = Offer::from_head(&head, &Origins::same_host())?;
///     let Some(name) = head.uri.path().strip_prefix("/greet/").map(String::from) else {
///         return Err(StatusCode::NOT_FOUND.into());
///     };
///     Ok(offer.subprotocols(["greeting"]).switch(async move |mut io: Upgraded, agreed: Agreed| {
///         assert_eq!(agreed.subprotocol.as_deref(), Some("greeting"));
///         // A text frame, by hand, to show where a framing crate begins.
///         io.write_all(&[0x81, name.len() as u8]).await?;
///         io.write_all(name.as_bytes()).await
///     }))
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let service = UpgradeLayer::new().on("websocket", greet).layer(service_fn(
///     |_: Request<Incoming>| async { Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())) },
/// ));
/// let (mut client, server) = tokio::io::duplex(1024);
/// tokio::spawn(
///     hyper::server::conn::http1::Builder::new()
///         .serve_connection(TokioIo::new(server), TowerToHyperService::new(service))
///         .with_upgrades(),
/// );
/// let request = "GET /greet/Ada HTTP/1.1\r\n\
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
/// assert!(answer.ends_with(b"\r\n\r\n\x81\x03Ada"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "an offer is answered by `switch`"]
pub struct Offer {
    /// In HTTP/1.1.
    accept: Option<HeaderValue>,
    /// `Sec-WebSocket-Protocol` and `Sec-WebSocket-Extensions` of the request.
    headers: HeaderMap,
    names: Names,
    agreed: Agreed,
    /// To the layer that asks the inner service.
    link: Option<Link>,
}

/// The subprotocol and the extensions that an opening handshake agreed on.
///
/// See [`Offer`] for an example.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Agreed {
    /// The subprotocol that the 101 names, if one was agreed on.
    pub subprotocol: Option<String>,
    /// The value of `Sec-WebSocket-Extensions` in the 101, if any were agreed on.
    pub extensions: Option<HeaderValue>,
}

impl Offer {
    /// Checks the opening handshake in the head of a request.
    ///
    /// `Upgrade` and `Connection` are not looked at: the layer has done so. In a service inside of
    /// [`UpgradeLayer::on_inner`](crate::UpgradeLayer::on_inner), look first whether the request has the
    /// [`Protocol`](crate::Protocol) in its extensions. A handler of axum takes the offer as an
    /// extractor.
    ///
    /// # Errors
    ///
    /// Fails if a check does. The [module](super) has the table of them.
    pub fn from_head(head: &request::Parts, origins: &Origins) -> Result<Self, Rejection> {
        // The layer has agreed to another protocol with this client.
        let agreed: Option<&Protocol<'static>> = head.extensions.get();
        if agreed.is_some_and(|agreed| !agreed.name().eq_ignore_ascii_case("websocket")) {
            return Err(Rejection::from(StatusCode::BAD_REQUEST).with_reason("offer"));
        }
        let accept = checks::check(head, origins)?;
        let mut headers = HeaderMap::new();
        for name in [header::SEC_WEBSOCKET_PROTOCOL, header::SEC_WEBSOCKET_EXTENSIONS] {
            for value in head.headers.get_all(&name) {
                headers.append(&name, value.clone());
            }
        }
        Ok(Self {
            accept,
            headers,
            names: Names::default(),
            agreed: Agreed::default(),
            link: head.extensions.get().cloned(),
        })
    }

    /// Counts offered subprotocols that are not tokens, such as kubectl's
    /// `SPDY/3.1+portforward.k8s.io`. The default is to leave them out.
    ///
    /// A name has to be visible ASCII without a comma. This affects the methods that are called
    /// after it.
    ///
    /// # Example
    ///
    /// ```
    /// use http::Request;
    /// use tower_upgrade::websocket::{Offer, Origins};
    ///
    /// let (head, ()) = Request::get("/")
    ///     .header("Host", "example.com")
    ///     .header("Sec-WebSocket-Version", "13")
    ///     .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
    ///     .header("Sec-WebSocket-Protocol", "SPDY/3.1+portforward.k8s.io")
    ///     .body(())?
    ///     .into_parts();
    /// let offer = Offer::from_head(&head, &Origins::same_host()).unwrap();
    /// assert_eq!(offer.offered_subprotocols().count(), 0);
    ///
    /// let offer = offer.allow_non_token_subprotocols().subprotocols(["SPDY/3.1+portforward.k8s.io"]);
    /// assert_eq!(offer.agreed().subprotocol.as_deref(), Some("SPDY/3.1+portforward.k8s.io"));
    /// # Ok::<(), http::Error>(())
    /// ```
    pub fn allow_non_token_subprotocols(self) -> Self {
        self.with_names(Names::Visible)
    }

    pub(super) fn with_names(mut self, names: Names) -> Self {
        self.names = names;
        self
    }

    /// Returns the subprotocols that the client offers, in its order of preference.
    pub fn offered_subprotocols(&self) -> impl Iterator<Item = &str> {
        subprotocols::offered(&self.headers, self.names).into_iter()
    }

    /// Agrees on the first of these subprotocols that the client offers. They are in the server's
    /// order of preference and compare exactly.
    ///
    /// If the client offers none of them, the handshake goes on without a subprotocol, which is the
    /// default. [`agreed`](Self::agreed) tells.
    ///
    /// # Panics
    ///
    /// Panics if one of them is not a token (RFC 9110 §5.6.2), unless
    /// [`allow_non_token_subprotocols`](Self::allow_non_token_subprotocols) comes first.
    #[track_caller]
    pub fn subprotocols<I>(mut self, subprotocols: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let offered = subprotocols::offered(&self.headers, self.names);
        let mut agreed = None;
        for name in subprotocols {
            let name = name.as_ref();
            self.names.assert_allow(name);
            if agreed.is_none() && offered.contains(&name) {
                agreed = Some(name.to_owned());
            }
        }
        self.agreed.subprotocol = agreed;
        self
    }

    /// Agrees on the subprotocol that a function selects from those that the client offers, in the
    /// client's order of preference.
    ///
    /// The function is not called if nothing is offered. A subprotocol that was not offered is not
    /// agreed on (RFC 6455 §4.2.2).
    ///
    /// # Example
    ///
    /// ```
    /// use http::Request;
    /// use tower_upgrade::websocket::{Offer, Origins};
    ///
    /// let (head, ()) = Request::get("/")
    ///     .header("Host", "example.com")
    ///     .header("Sec-WebSocket-Version", "13")
    ///     .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
    ///     .header("Sec-WebSocket-Protocol", "chat.v1, chat.v3, xmpp")
    ///     .body(())?
    ///     .into_parts();
    /// let offer = Offer::from_head(&head, &Origins::same_host()).unwrap();
    /// let offer = offer.select_subprotocol(|offered| {
    ///     let chats = offered.iter().filter(|name| name.starts_with("chat.v"));
    ///     chats.max().map(|name| name.to_string())
    /// });
    /// assert_eq!(offer.agreed().subprotocol.as_deref(), Some("chat.v3"));
    /// # Ok::<(), http::Error>(())
    /// ```
    pub fn select_subprotocol<F>(mut self, select: F) -> Self
    where
        F: FnOnce(&[&str]) -> Option<String>,
    {
        let offered = subprotocols::offered(&self.headers, self.names);
        self.agreed.subprotocol = if offered.is_empty() { None } else { select(&offered) }
            .filter(|selected| offered.contains(&selected.as_str()));
        self
    }

    /// Agrees to extensions, such as `permessage-deflate` (RFC 6455 §9), for a framing crate that
    /// implements them. The default is to agree to none.
    ///
    /// The function gets the offers as one well-formed list, and returns the value of
    /// `Sec-WebSocket-Extensions` in the 101. It is not called if nothing is offered.
    ///
    /// An answer that the offers do not allow is not agreed on: one that is malformed, names an
    /// extension that was not offered, or gives permessage-deflate a parameter that its offer does
    /// not allow (RFC 7692 §7.1). [`agreed`](Self::agreed) tells.
    ///
    /// # Errors
    ///
    /// Fails if the header of the request is malformed or has more than 64 members or more than
    /// 8 KiB (RFC 6455 §9.1). Without a call of this method it is not looked at.
    ///
    /// # Example
    ///
    /// ```
    /// use http::{HeaderValue, Request};
    /// use tower_upgrade::{Rejection, websocket::{Offer, Origins}};
    ///
    /// fn compressed(offer: Offer) -> Result<Offer, Rejection> {
    ///     offer.agree_extensions(|offers| {
    ///         let answer = "permessage-deflate; client_max_window_bits=12";
    ///         offers.contains("permessage-deflate").then(|| HeaderValue::from_static(answer))
    ///     })
    /// }
    ///
    /// let request = |extensions: &str| {
    ///     Request::get("/")
    ///         .header("Host", "example.com")
    ///         .header("Sec-WebSocket-Version", "13")
    ///         .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
    ///         .header("Sec-WebSocket-Extensions", extensions)
    ///         .body(())
    /// };
    /// let (head, ()) = request("permessage-deflate; client_max_window_bits")?.into_parts();
    /// let offer = compressed(Offer::from_head(&head, &Origins::same_host()).unwrap()).unwrap();
    /// assert!(offer.agreed().extensions.is_some());
    ///
    /// // This client cannot limit its window.
    /// let (head, ()) = request("permessage-deflate")?.into_parts();
    /// let offer = compressed(Offer::from_head(&head, &Origins::same_host()).unwrap()).unwrap();
    /// assert!(offer.agreed().extensions.is_none());
    ///
    /// let (head, ()) = request("permessage-deflate;;")?.into_parts();
    /// let offer = Offer::from_head(&head, &Origins::same_host()).unwrap();
    /// assert_eq!(compressed(offer).unwrap_err().status(), 400);
    /// # Ok::<(), http::Error>(())
    /// ```
    pub fn agree_extensions<F>(mut self, agree: F) -> Result<Self, Rejection>
    where
        F: FnOnce(&str) -> Option<HeaderValue>,
    {
        self.agreed.extensions = extensions::agree(&self.headers, agree)?;
        Ok(self)
    }

    /// Returns what is agreed on so far.
    pub fn agreed(&self) -> &Agreed {
        &self.agreed
    }

    /// Switches, and runs `run` on the connection, with what was agreed on.
    ///
    /// `run` may return `()` or a `Result` of it. Put code that uses `?` into an `async fn` with a named
    /// error type. [`Switch::to`] says more, and [`Switch::header`] adds headers to the 101.
    pub fn switch<F, Fut>(self, run: F) -> Switch
    where
        F: FnOnce(Upgraded, Agreed) -> Fut + Send + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: IntoOutcome,
    {
        let Self { accept, headers: _, names: _, agreed, link } = self;
        let Agreed { subprotocol, extensions } = &agreed;
        // A name that was checked is a header value.
        let subprotocol = subprotocol.as_deref().and_then(|name| name.parse().ok());
        let extensions = extensions.clone();

        let mut switch = Switch::to(move |io: Upgraded| run(io, agreed)).with_link(link);
        for (name, value) in [
            (header::SEC_WEBSOCKET_ACCEPT, accept),
            (header::SEC_WEBSOCKET_PROTOCOL, subprotocol),
            (header::SEC_WEBSOCKET_EXTENSIONS, extensions),
        ] {
            if let Some(value) = value {
                switch = switch.header(name, value);
            }
        }
        switch
    }
}
