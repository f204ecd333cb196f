//! The "yes" of a handler: what the 101 says, and what happens on the connection afterwards.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{self, CONNECTION, UPGRADE},
};
use pin_project_lite::pin_project;

use super::answer::Link;
use crate::{
    connections::upgraded::Upgraded,
    error::BoxError,
    negotiation::{self, protocol::Protocol},
};

/// A handler's consent to switch protocols.
///
/// The layer makes the `101 Switching Protocols` from it, and runs the function given to
/// [`Switch::to`] once the HTTP server has sent that 101 and let go of the connection.
///
/// # Example
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, header::{HeaderName, HeaderValue}};
/// use tokio::io::AsyncWriteExt;
/// use tower_upgrade::{Switch, UpgradeLayer, Upgraded};
///
/// let layer = UpgradeLayer::new().on("greeting/1", |_request: Request<Bytes>| async {
///     let switch = Switch::to(|mut io: Upgraded| async move { io.write_all(b"hello").await });
///     switch.header(HeaderName::from_static("x-mood"), HeaderValue::from_static("good"))
/// });
/// assert!(format!("{layer:?}").contains("greeting/1"));
/// ```
#[must_use = "a switch does nothing unless the handler returns it"]
pub struct Switch {
    pub(super) headers: HeaderMap,
    protocols: Option<String>,
    run: Run,
    /// To the layer that waits for the inner service's answer, if it is known.
    pub(super) link: Option<Link>,
}

/// What runs on the connection.
pub(crate) type Run = Box<dyn FnOnce(Upgraded) -> Outcome + Send>;

/// A run's end.
pub(crate) type Outcome = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

pin_project! {
    /// Ends with the outcome of what a handler runs. In an `async` block that would be held twice:
    /// as what the block was given, and as what it awaits.
    pub(crate) struct End<F> {
        #[pin]
        pub(crate) run: F,
    }
}

impl<F> Future for End<F>
where
    F: Future,
    F::Output: IntoOutcome,
{
    type Output = Result<(), BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().run.poll(cx).map(IntoOutcome::into_outcome)
    }
}

impl Switch {
    /// Switches, and runs `run` on the connection.
    ///
    /// The function is called on a task of its own, with the connection exactly as the HTTP
    /// server left it: the first byte that it reads is the first one behind the request. It may
    /// return `()` or a `Result` of it. An error and a panic end the connection and go to
    /// [`UpgradeLayer::on_failure`](crate::UpgradeLayer::on_failure).
    ///
    /// The function is dropped, and never called, if the HTTP server does not take this 101 to send
    /// it; see [layer order](crate#layer-order) for what can escape notice.
    ///
    /// A block that only loops returns neither. Put the loop into an `async fn` that returns
    /// `io::Result<()>`.
    pub fn to<F, Fut>(run: F) -> Self
    where
        F: FnOnce(Upgraded) -> Fut + Send + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: IntoOutcome,
    {
        Self {
            headers: HeaderMap::new(),
            protocols: None,
            run: Box::new(|io| Box::pin(End { run: run(io) })),
            link: None,
        }
    }

    /// Ties the switch to the layer that handed the request to the inner service.
    #[cfg(feature = "websocket")]
    pub(crate) fn with_link(mut self, link: Option<Link>) -> Self {
        self.link = link;
        self
    }

    /// Adds a field to the 101. Fields of the same name are sent in the order in which they were
    /// added.
    ///
    /// A field that may not stand in a 101 is dropped here, so that a proxy can pass on what an
    /// upstream said without a filter of its own: `Connection`, `Upgrade`, `Content-Length`,
    /// `Content-Type`, `HTTP2-Settings`, `Keep-Alive`, `Proxy-Connection`, `TE`, `Trailer` and
    /// `Transfer-Encoding` (RFC 9110 §6.4.1, §7.6.1 and §8.6, RFC 9112 §6.1, RFC 7540 §3.2.1).
    /// The layer sets the first two itself.
    ///
    /// # Example
    ///
    /// ```
    /// use http::header::{CONTENT_LENGTH, HeaderValue, SERVER};
    /// use tower_upgrade::{Switch, Upgraded};
    ///
    /// let switch = Switch::to(|_io: Upgraded| async {})
    ///     .header(SERVER, HeaderValue::from_static("example"))
    ///     .header(CONTENT_LENGTH, HeaderValue::from_static("5"));
    /// assert!(format!("{switch:?}").contains("server"));
    /// assert!(!format!("{switch:?}").contains("content-length"));
    /// ```
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        if !is_forbidden(&name) {
            self.headers.append(name, value);
        }
        self
    }

    /// Names the whole stack of protocols in the 101, lowest layer first (RFC 9110 §7.8), such as
    /// `TLS/1.2, HTTP/1.1`. The default is the one protocol that was negotiated.
    ///
    /// The first must be the negotiated one. The others must have been offered too, except that
    /// `HTTP/1.1` may stand behind `TLS` (RFC 2817 §3.3). Anything else is answered with a 500
    /// instead of the 101, and goes to
    /// [`UpgradeLayer::on_failure`](crate::UpgradeLayer::on_failure).
    ///
    /// # Example
    ///
    /// ```
    /// use tower_upgrade::{Switch, Upgraded};
    ///
    /// let switch = Switch::to(|_io: Upgraded| async {}).protocols("TLS/1.2, HTTP/1.1");
    /// assert!(format!("{switch:?}").contains("TLS/1.2, HTTP/1.1"));
    /// ```
    pub fn protocols(mut self, protocols: impl Into<String>) -> Self {
        self.protocols = Some(protocols.into());
        self
    }

    /// Divides the switch into the header section of the 101 and what runs behind it.
    pub(crate) fn into_parts(
        self,
        protocol: &Protocol<'_>,
        offer: &HeaderMap,
    ) -> Result<(HeaderMap, Run), InvalidSwitch> {
        let upgrade = match self.protocols {
            None => protocol.to_header_value(),
            Some(protocols) => {
                stack(&protocols, protocol, offer).ok_or(InvalidSwitch { protocols })?
            }
        };
        let mut headers = self.headers;
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, upgrade);
        Ok((headers, self.run))
    }
}

impl fmt::Debug for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { headers, protocols, run: _, link: _ } = self;
        f.debug_struct("Switch")
            .field("headers", headers)
            .field("protocols", protocols)
            .finish_non_exhaustive()
    }
}

/// Returns the `Upgrade` field for a list of protocols, if it may be the answer to `offer`.
fn stack(protocols: &str, negotiated: &Protocol<'_>, offer: &HeaderMap) -> Option<HeaderValue> {
    let members = protocols.split(',').map(|member| member.trim_matches([' ', '\t']));
    let stack: Vec<Protocol<'_>> =
        members.map(|member| member.parse().ok()).collect::<Option<_>>()?;
    let (lowest, upper) = stack.split_first()?;
    if lowest != negotiated || !negotiation::all_offered(offer, &stack) {
        return None;
    }
    let mut field = negotiated.to_string();
    for protocol in upper {
        field.push_str(", ");
        field.push_str(&protocol.to_string());
    }
    HeaderValue::try_from(field).ok()
}

/// The error for a [`Switch`] that names protocols that it may not switch to.
#[derive(Debug)]
pub(crate) struct InvalidSwitch {
    protocols: String,
}

impl fmt::Display for InvalidSwitch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is not a list that starts with the negotiated protocol and has only offered ones",
            self.protocols.escape_debug(),
        )
    }
}

impl std::error::Error for InvalidSwitch {}

/// What a run may return: `()`, or a `Result` of it with any error.
///
/// # Example
///
/// ```
/// use tower_upgrade::IntoOutcome;
///
/// assert!(().into_outcome().is_ok());
/// assert!(Err::<(), _>(std::fmt::Error).into_outcome().is_err());
/// ```
#[diagnostic::on_unimplemented(
    message = "what runs on a connection cannot return `{Self}`",
    label = "this returns `{Self}`",
    note = "it returns `()`, or `Result<(), E>` with any error: end the block with `Ok::<(), E>(())`, \
            or drop a value with `.map(drop)`",
    note = "a block that only loops returns `!`: put it into an `async fn` that returns \
            `std::io::Result<()>`"
)]
pub trait IntoOutcome {
    /// Converts the end of a run.
    ///
    /// # Errors
    ///
    /// Returns the error that the run ended with.
    fn into_outcome(self) -> Result<(), BoxError>;
}

impl IntoOutcome for () {
    fn into_outcome(self) -> Result<(), BoxError> {
        Ok(())
    }
}

impl<E> IntoOutcome for Result<(), E>
where
    E: Into<BoxError>,
{
    fn into_outcome(self) -> Result<(), BoxError> {
        self.map_err(Into::into)
    }
}

/// Whether a field belongs to the HTTP connection or to content, neither of which a 101 leaves.
fn is_forbidden(name: &HeaderName) -> bool {
    const FORBIDDEN: [HeaderName; 7] = [
        CONNECTION,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        UPGRADE,
    ];
    FORBIDDEN.contains(name)
        || ["http2-settings", "keep-alive", "proxy-connection"].contains(&name.as_str())
}
