//! The checks of RFC 6455 §4.2.1 and the answers of §4.2.2: pure, from the head of a request.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header, request};
use http_body_util::Full;
use sha1::{Digest, Sha1};

use super::Origins;
use crate::{
    handler::rejection::Rejection,
    host,
    negotiation::{protocol::is_token, visit_members},
};

/// An opening handshake in which everything is as it has to be.
#[derive(Debug)]
pub(super) struct Checked<'a> {
    key: &'a [u8],
    subprotocols: Vec<&'a str>,
    /// The offered extensions, as one list, and their names.
    extensions: (String, Vec<String>),
}

impl<'a> Checked<'a> {
    pub(super) fn new(head: &'a request::Parts, origins: &Origins) -> Result<Self, Rejection> {
        let headers = &head.headers;
        if head.method != Method::GET {
            return Err(refuse(
                StatusCode::METHOD_NOT_ALLOWED,
                "a WebSocket is opened with GET",
                Some((header::ALLOW, "GET")),
            ));
        }
        // RFC 9112 §3.2; hyper does not look at it.
        let host = single(headers, HOST)?;
        if host::parse(host).is_none() {
            return Err(malformed(HOST));
        }
        let version = single(headers, VERSION)?;
        if !is_version(version) {
            return Err(malformed(VERSION));
        }
        if version != b"13" {
            // RFC 6455 §4.4. `Rejection` adds the `Upgrade` that RFC 9110 §15.5.22 requires.
            return Err(refuse(
                StatusCode::UPGRADE_REQUIRED,
                "only version 13 of WebSocket is spoken here",
                Some((header::SEC_WEBSOCKET_VERSION, "13")),
            ));
        }
        let key = single(headers, KEY)?;
        if !is_key(key) {
            return Err(malformed(KEY));
        }
        if !origins.allow(head) {
            return Err(refuse(
                StatusCode::FORBIDDEN,
                "pages of this origin may not connect",
                None,
            ));
        }
        let subprotocols = subprotocols(headers).ok_or_else(|| malformed(PROTOCOL))?;
        let extensions = extensions(headers).ok_or_else(|| malformed(EXTENSIONS))?;
        Ok(Self { key, subprotocols, extensions })
    }

    /// Returns the value of `Sec-WebSocket-Accept`: of the key as it was sent, RFC 6455 §4.2.2.
    pub(super) fn accept(&self) -> HeaderValue {
        const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

        let digest = Sha1::new().chain_update(self.key).chain_update(GUID).finalize();
        HeaderValue::try_from(STANDARD.encode(digest)).expect("base64 makes a field value")
    }

    /// Returns what `select` chooses, if it was offered.
    pub(super) fn select_subprotocol(
        &self,
        select: impl FnOnce(&[&str]) -> Option<String>,
    ) -> Option<String> {
        let Self { subprotocols, .. } = self;
        if subprotocols.is_empty() {
            return None;
        }
        select(subprotocols).filter(|selected| subprotocols.contains(&selected.as_str()))
    }

    /// Returns what `agree` agrees to, if it was offered.
    pub(super) fn agree_extensions(
        &self,
        agree: impl FnOnce(&str) -> Option<HeaderValue>,
    ) -> Option<HeaderValue> {
        let (offers, offered) = &self.extensions;
        if offered.is_empty() {
            return None;
        }
        let agreed = agree(offers)?;
        let names = extension_names(agreed.to_str().ok()?)?;
        let was_offered = |name| offered.contains(name);
        (!names.is_empty() && names.iter().all(was_offered)).then_some(agreed)
    }
}

/// The value of a field that has to be there once, without surrounding whitespace.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a [u8], Rejection> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (Some(line), None) => Ok(line.as_bytes().trim_ascii()),
        _ => Err(refuse(
            StatusCode::BAD_REQUEST,
            &format!("{name} has to be there exactly once"),
            None,
        )),
    }
}

/// `NZDIGIT` and so on, RFC 6455 §4.3: 0 to 255 without a leading zero.
fn is_version(value: &[u8]) -> bool {
    match value {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => {
            rest.iter().all(u8::is_ascii_digit)
                && std::str::from_utf8(value).is_ok_and(|value| value.parse::<u8>().is_ok())
        }
        _ => false,
    }
}

/// Whether this is the base64 of 16 octets, RFC 6455 §4.1.
fn is_key(value: &[u8]) -> bool {
    // RFC 6455's own example of a key has bits behind its last octet, which a client may send.
    const ENGINE: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
    );
    let mut octets = [0; 18];
    value.len() == 24 && ENGINE.decode_slice(value, &mut octets) == Ok(16)
}

/// `1#token` if the field is there, each at most once, RFC 6455 §4.1 and §4.3.
fn subprotocols(headers: &HeaderMap) -> Option<Vec<&str>> {
    let mut subprotocols = Vec::new();
    visit_members(headers, header::SEC_WEBSOCKET_PROTOCOL, |member| {
        let member = std::str::from_utf8(member).ok().filter(|_| is_token(member))?;
        (!subprotocols.contains(&member)).then(|| subprotocols.push(member))
    })?;
    (headers.contains_key(PROTOCOL) != subprotocols.is_empty()).then_some(subprotocols)
}

/// The offers of extensions as one list, and their names; `None` if the field is malformed.
fn extensions(headers: &HeaderMap) -> Option<(String, Vec<String>)> {
    let mut members = Vec::new();
    visit_members(headers, header::SEC_WEBSOCKET_EXTENSIONS, |member| {
        members.push(std::str::from_utf8(member).ok()?);
        Some(())
    })?;
    let list = members.join(", ");
    let names = extension_names(&list)?;
    (headers.contains_key(EXTENSIONS) != names.is_empty()).then_some((list, names))
}

/// The names in a list of extensions, RFC 6455 §9.1; `None` if a member is malformed.
///
/// `extension = token *(";" token ["=" (token | quoted-string)])`, in which a quoted string has
/// to be a token once it is unquoted. So no comma, semicolon or equals sign is ever quoted, and
/// splitting at them finds every malformed member.
fn extension_names(list: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    for extension in list.split(',').map(str::trim).filter(|extension| !extension.is_empty()) {
        let mut parts = extension.split(';').map(str::trim);
        let name = parts.next().filter(|name| is_token(name.as_bytes()))?;
        if !parts.all(is_parameter) {
            return None;
        }
        names.push(name.to_owned());
    }
    Some(names)
}

fn is_parameter(parameter: &str) -> bool {
    let (name, value) = match parameter.split_once('=') {
        Some((name, value)) => (name.trim_end(), value.trim_start()),
        None => return is_token(parameter.as_bytes()),
    };
    is_token(name.as_bytes())
        && match value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) {
            Some(quoted) => unquote(quoted).is_some_and(|value| is_token(&value)),
            None => is_token(value.as_bytes()),
        }
}

/// Undoes the backslashes between the quotes, RFC 9110 §5.6.4.
fn unquote(quoted: &str) -> Option<Vec<u8>> {
    let mut octets = quoted.bytes();
    let mut unquoted = Vec::new();
    while let Some(octet) = octets.next() {
        unquoted.push(match octet {
            b'\\' => octets.next()?,
            b'"' => return None,
            octet => octet,
        });
    }
    Some(unquoted)
}

fn malformed(name: &str) -> Rejection {
    refuse(StatusCode::BAD_REQUEST, &format!("{name} is malformed"), None)
}

fn refuse(status: StatusCode, why: &str, field: Option<(HeaderName, &'static str)>) -> Rejection {
    let mut response = Response::new(Full::<Bytes>::from(format!("{why}\n")));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if let Some((name, value)) = field {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response.into()
}

const HOST: &str = "Host";
const VERSION: &str = "Sec-WebSocket-Version";
const KEY: &str = "Sec-WebSocket-Key";
const PROTOCOL: &str = "Sec-WebSocket-Protocol";
const EXTENSIONS: &str = "Sec-WebSocket-Extensions";
