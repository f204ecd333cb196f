//! Protocols in an `Upgrade` header, and the patterns that handlers are registered with.

use std::{error::Error, fmt, hash, str::FromStr, sync::Arc};

use http::HeaderValue;

/// A protocol in an `Upgrade` header: a name, and an optional version (RFC 9110 §7.8).
///
/// Names compare without regard to ASCII case, and versions compare exactly. Both are tokens
/// (RFC 9110 §5.6.2), so neither is empty or has a space, a comma or a slash.
///
/// [`UpgradeHandler::accepts`](crate::UpgradeHandler::accepts) gets a `Protocol` that borrows from the
/// request. The negotiated one is owned. It is in the extensions of the request that
/// [`UpgradeHandler::upgrade`](crate::UpgradeHandler::upgrade) gets, and
/// [`Upgraded::protocol`](crate::Upgraded::protocol) returns it. With the feature `axum` it is an extractor
/// below [`on_inner`](crate::UpgradeLayer::on_inner).
///
/// # Example
///
/// ```
/// use tower_upgrade::Protocol;
///
/// let protocol: Protocol = "WebSocket".parse()?;
/// assert_eq!(protocol.name(), "WebSocket");
/// assert_eq!(protocol.version(), None);
/// assert_eq!(protocol, "websocket".parse()?);
///
/// let protocol: Protocol = "TLS/1.2".parse()?;
/// assert_eq!(protocol.version(), Some("1.2"));
/// assert_eq!(protocol.to_string(), "TLS/1.2");
///
/// assert!("TLS/".parse::<Protocol>().is_err());
/// # Ok::<(), tower_upgrade::InvalidProtocol>(())
/// ```
#[derive(Clone)]
pub struct Protocol<'a> {
    spelling: Arc<Spelling>,
    /// In place of the spelling's.
    version: Option<&'a str>,
}

/// The text of a protocol. A registration's is shared by its connections.
struct Spelling {
    name: Box<str>,
    version: Option<Box<str>>,
    /// The same as a value of `Upgrade`.
    value: HeaderValue,
}

impl Spelling {
    /// Both texts are tokens.
    fn new(name: &str, version: Option<&str>) -> Self {
        let value = match version {
            Some(version) => HeaderValue::try_from(format!("{name}/{version}")),
            None => HeaderValue::try_from(name),
        };
        let value = value.expect("tokens and a slash make a header value");
        Self { name: name.into(), version: version.map(Into::into), value }
    }
}

impl Protocol<'_> {
    /// Returns the name, spelled as in the registration or in the text that was parsed.
    pub fn name(&self) -> &str {
        &self.spelling.name
    }

    /// Returns the version, if the protocol has one.
    pub fn version(&self) -> Option<&str> {
        self.version.or(self.spelling.version.as_deref())
    }

    /// Returns the protocol with its own copy of the text.
    pub fn into_owned(self) -> Protocol<'static> {
        let spelling = match self.version {
            None => self.spelling,
            version => Arc::new(Spelling::new(&self.spelling.name, version)),
        };
        Protocol { spelling, version: None }
    }

    /// Whether this is WebSocket. A version, which it does not have, makes it no other protocol.
    pub(crate) fn is_websocket(&self) -> bool {
        self.name().eq_ignore_ascii_case("websocket")
    }

    /// Whether this is all that was registered, without a version of the client's.
    pub(super) fn is_as_registered(&self) -> bool {
        self.version.is_none()
    }

    pub(crate) fn to_header_value(&self) -> HeaderValue {
        match self.version {
            None => self.spelling.value.clone(),
            version => Spelling::new(self.name(), version).value,
        }
    }

    /// Whether `offer` is this protocol.
    pub(crate) fn is_offered_by(&self, offer: Offer<'_>) -> bool {
        self.is_named_by(offer) && self.version().map(str::as_bytes) == offer.version
    }

    fn is_named_by(&self, offer: Offer<'_>) -> bool {
        // Most clients spell it as it is registered.
        let name = self.name().as_bytes();
        name == offer.name || name.eq_ignore_ascii_case(offer.name)
    }
}

impl FromStr for Protocol<'static> {
    type Err = InvalidProtocol;

    /// Parses `name ["/" version]`.
    ///
    /// # Errors
    ///
    /// Fails if the name, or the version after a slash, is not a token.
    fn from_str(text: &str) -> Result<Self, InvalidProtocol> {
        Offer::parse(text.as_bytes()).ok_or_else(|| InvalidProtocol { text: text.into() })?;
        let (name, version) = match text.split_once('/') {
            Some((name, version)) => (name, Some(version)),
            None => (text, None),
        };
        Ok(Self { spelling: Arc::new(Spelling::new(name, version)), version: None })
    }
}

impl fmt::Display for Protocol<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self.version() {
            Some(version) => write!(f, "/{version}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Protocol<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Protocol")
            .field("name", &self.name())
            .field("version", &self.version())
            .finish()
    }
}

impl PartialEq<Protocol<'_>> for Protocol<'_> {
    fn eq(&self, other: &Protocol<'_>) -> bool {
        self.name().eq_ignore_ascii_case(other.name()) && self.version() == other.version()
    }
}

impl Eq for Protocol<'_> {}

impl hash::Hash for Protocol<'_> {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        for byte in self.name().bytes() {
            state.write_u8(byte.to_ascii_lowercase());
        }
        // No token has the byte 0xff, so no two protocols write the same sequence.
        state.write_u8(0xff);
        self.version().hash(state);
    }
}

/// The error for a text that is not a [`Protocol`].
///
/// # Example
///
/// ```
/// use tower_upgrade::Protocol;
///
/// let error = "web socket".parse::<Protocol>().unwrap_err();
/// assert!(error.to_string().starts_with("`web socket` is not a protocol"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidProtocol {
    text: String,
}

impl fmt::Display for InvalidProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is not a protocol: a name and perhaps a slash and a version, \
             each a token (RFC 9110 sections 5.6.2 and 7.8)",
            self.text.escape_debug(),
        )
    }
}

impl Error for InvalidProtocol {}

/// One member of a request's `Upgrade` header, checked but not yet looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offer<'a> {
    name: &'a [u8],
    version: Option<&'a [u8]>,
}

impl<'a> Offer<'a> {
    /// Fills the unused part of an array.
    pub(crate) const NONE: Self = Offer { name: &[], version: None };

    pub(crate) const HTTP_11: Self = Offer { name: b"HTTP", version: Some(b"1.1") };

    /// `protocol = protocol-name [ "/" protocol-version ]`, RFC 9110 §7.8.
    pub(crate) fn parse(member: &'a [u8]) -> Option<Self> {
        let mut parts = member.splitn(2, |&byte| byte == b'/');
        let name = parts.next().filter(|name| is_token(name))?;
        let version = parts.next();
        // A slash is not a token character, so a second one fails here.
        version.is_none_or(is_token).then_some(Offer { name, version })
    }
}

/// The protocols that a handler is registered for.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    /// Without a version if `any_version` is set.
    protocol: Protocol<'static>,
    /// It matches any version, or none.
    any_version: bool,
}

impl Pattern {
    /// Parses `name`, `name/version` or `name/*`.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidProtocol> {
        let protocol: Protocol<'static> = text.parse()?;
        // An asterisk is a token, and so a valid version, but no protocol has it.
        if protocol.version() == Some("*") {
            let spelling = Arc::new(Spelling::new(protocol.name(), None));
            return Ok(Self { protocol: Protocol { spelling, version: None }, any_version: true });
        }
        Ok(Self { protocol, any_version: false })
    }

    /// Returns the spelling that clients send, if this pattern misspells a well-known protocol.
    pub(crate) fn misspells(&self) -> Option<&'static str> {
        let is = |name| self.protocol.name().eq_ignore_ascii_case(name);
        let has_version = self.protocol.version().is_some();
        if is("ws") || is("wss") || (is("websocket") && has_version) {
            // WebSocket has its version in `Sec-WebSocket-Version` (RFC 6455 §4.1).
            Some("websocket")
        } else if is("h2") || (is("h2c") && has_version) {
            // `h2` is HTTP/2 over TLS, which is negotiated by ALPN, not by `Upgrade` (RFC 9113 §3.1).
            Some("h2c")
        } else {
            None
        }
    }

    /// Returns the protocol as a server lists it. No list can name every version, so a pattern for any
    /// version is listed without one.
    pub(super) fn listed(&self) -> Protocol<'static> {
        self.protocol.clone()
    }

    /// Returns the protocol to agree on if the offer matches this pattern.
    ///
    /// The name is spelled as registered. Only a version can be text of the client, and it is a checked
    /// token. RFC 9110 §7.8 matches names case-insensitively and has no rule for versions, so versions
    /// match exactly.
    pub(crate) fn protocol<'a>(&self, offer: Offer<'a>) -> Option<Protocol<'a>> {
        let protocol = &self.protocol;
        let version = if !protocol.is_named_by(offer) {
            return None;
        } else if self.any_version {
            offer.version.map(std::str::from_utf8).transpose().ok()?
        } else if protocol.is_offered_by(offer) {
            None
        } else {
            return None;
        };
        Some(Protocol { version, ..protocol.clone() })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.protocol.fmt(f)?;
        f.write_str(if self.any_version { "/*" } else { "" })
    }
}

/// Whether these bytes are a token (RFC 9110 §5.6.2).
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| TOKEN_CHARACTERS[usize::from(byte)])
}

/// A table, because each byte of each offer is looked up.
static TOKEN_CHARACTERS: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < u8::MAX {
        table[byte as usize] = is_token_character(byte);
        byte += 1;
    }
    table
};

const fn is_token_character(byte: u8) -> bool {
    matches!(
        byte,
        b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`'
            | b'|' | b'~' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z'
    )
}

#[cfg(test)]
mod tests;
