//! `Sec-WebSocket-Extensions`: what a request offers, and which answers it allows.

use std::borrow::Cow;

use http::{HeaderMap, HeaderValue, header};

use super::checks;
use crate::{
    handler::rejection::Rejection,
    negotiation::{protocol::is_token, visit_members},
};

/// Returns the answer of `agree` to the extensions that a request offers, if they allow it. `agree` is not
/// called if there are none.
///
/// Fails if the header of the request is malformed or over a limit.
pub(super) fn agree(
    headers: &HeaderMap,
    agree: impl FnOnce(&str) -> Option<HeaderValue>,
) -> Result<Option<HeaderValue>, Rejection> {
    let mut members = Vec::new();
    visit_members(headers, header::SEC_WEBSOCKET_EXTENSIONS, |member| {
        members.push(std::str::from_utf8(member).ok()?);
        Some(())
    })
    .ok_or_else(checks::malformed_extensions)?;
    let list = members.join(", ");
    let offers = parse(&list).ok_or_else(checks::malformed_extensions)?;
    if offers.is_empty() {
        return Ok(None);
    }
    Ok(agree(&list).filter(|answer| answer.to_str().is_ok_and(|answer| allow(&offers, answer))))
}

/// Whether a server may send this answer to these offers.
fn allow(offers: &[Extension<'_>], answer: &str) -> bool {
    let Some(answer) = parse(answer) else {
        return false;
    };
    // RFC 7692 §5: an answer agrees to permessage-deflate once, whichever offer it takes.
    let is_deflate = |extension: &&Extension<'_>| extension.name == PERMESSAGE_DEFLATE;
    !answer.is_empty()
        && answer.iter().filter(is_deflate).count() <= 1
        && answer.iter().all(|extension| offers.iter().any(|offer| offer.allows(extension)))
}

/// A member of the list, RFC 6455 §9.1.
#[derive(Debug)]
struct Extension<'a> {
    name: &'a str,
    /// Names, and values without their quotes.
    parameters: Vec<(&'a str, Option<Cow<'a, str>>)>,
}

impl Extension<'_> {
    /// Whether `answer` may be the answer to this offer. Parameters of extensions other than
    /// permessage-deflate mean nothing here.
    fn allows(&self, answer: &Extension<'_>) -> bool {
        if self.name != answer.name {
            return false;
        }
        self.name != PERMESSAGE_DEFLATE
            || match (Deflate::parse_offer(self), Deflate::parse_answer(answer)) {
                (Some(offer), Some(answer)) => offer.allows(&answer),
                _ => false,
            }
    }
}

/// The parameters of permessage-deflate, RFC 7692 §7.1.
#[derive(Debug, Default)]
struct Deflate {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    client_max_window_bits: Option<u8>,
}

impl Deflate {
    /// Returns `None` if a server has to decline this offer.
    fn parse_offer(extension: &Extension<'_>) -> Option<Self> {
        // Without a value, the client can limit its window to any size.
        Self::parse(extension, Some(15))
    }

    /// Returns `None` if a client fails on this answer.
    fn parse_answer(extension: &Extension<'_>) -> Option<Self> {
        Self::parse(extension, None)
    }

    /// Returns `None` if a parameter is unknown, is there twice, or has a value that it cannot
    /// have. `client_bits` is what `client_max_window_bits` means without a value.
    fn parse(extension: &Extension<'_>, client_bits: Option<u8>) -> Option<Self> {
        let mut deflate = Self::default();
        for (name, value) in &extension.parameters {
            let is_first = match (*name, value) {
                ("server_no_context_takeover", None) => {
                    !std::mem::replace(&mut deflate.server_no_context_takeover, true)
                }
                ("client_no_context_takeover", None) => {
                    !std::mem::replace(&mut deflate.client_no_context_takeover, true)
                }
                ("server_max_window_bits", Some(value)) => {
                    deflate.server_max_window_bits.replace(window_bits(value)?).is_none()
                }
                ("client_max_window_bits", value) => {
                    let bits = value.as_deref().map_or(client_bits, window_bits)?;
                    deflate.client_max_window_bits.replace(bits).is_none()
                }
                _ => return None,
            };
            if !is_first {
                return None;
            }
        }
        Some(deflate)
    }

    /// Whether `answer` may be the answer to this offer.
    fn allows(&self, answer: &Self) -> bool {
        // §7.1.1.1: the client may be unable to keep a context, so it has to be confirmed. §7.1.1.2
        // leaves `client_no_context_takeover` to the server.
        let contexts = answer.server_no_context_takeover || !self.server_no_context_takeover;
        // §7.1.2.1: the client may be unable to use a larger window, so a size that it asks for has
        // to be confirmed.
        let server_window = match (self.server_max_window_bits, answer.server_max_window_bits) {
            (Some(offered), Some(answered)) => answered <= offered,
            (Some(_), None) => false,
            (None, _) => true,
        };
        // §7.1.2.2: a client that does not name it may be unable to limit its window.
        let client_window = match (self.client_max_window_bits, answer.client_max_window_bits) {
            (Some(offered), Some(answered)) => answered <= offered,
            (None, Some(_)) => false,
            (_, None) => true,
        };
        contexts && server_window && client_window
    }
}

/// 8 to 15 without a leading zero.
fn window_bits(value: &str) -> Option<u8> {
    match value.as_bytes() {
        [digit @ (b'8' | b'9')] => Some(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Some(10 + digit - b'0'),
        _ => None,
    }
}

/// Parses a list of extensions. Returns `None` if a member is malformed.
///
/// `extension = token *(";" token ["=" (token | quoted-string)])`, in which a quoted string has
/// to be a token once it is unquoted. So no comma, semicolon or equals sign is ever quoted, and
/// splitting at them finds every malformed member.
fn parse(list: &str) -> Option<Vec<Extension<'_>>> {
    let members = list.split(',').map(trim).filter(|member| !member.is_empty());
    members.map(parse_extension).collect()
}

fn parse_extension(member: &str) -> Option<Extension<'_>> {
    let mut parts = member.split(';').map(trim);
    let name = parts.next().filter(|name| is_token(name.as_bytes()))?;
    let parameters = parts.map(parse_parameter).collect::<Option<_>>()?;
    Some(Extension { name, parameters })
}

fn parse_parameter(parameter: &str) -> Option<(&str, Option<Cow<'_, str>>)> {
    let (name, value) = match parameter.split_once('=') {
        None => (parameter, None),
        Some((name, value)) => {
            let value = trim(value);
            let value = match value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) {
                Some(quoted) => Cow::Owned(unquote(quoted)?),
                None => Cow::Borrowed(value),
            };
            (trim(name), Some(value))
        }
    };
    let is_valid = is_token(name.as_bytes())
        && value.as_deref().is_none_or(|value| is_token(value.as_bytes()));
    is_valid.then_some((name, value))
}

/// Undoes the backslashes between the quotes, RFC 9110 §5.6.4.
fn unquote(quoted: &str) -> Option<String> {
    let mut characters = quoted.chars();
    let mut unquoted = String::new();
    while let Some(character) = characters.next() {
        unquoted.push(match character {
            '\\' => characters.next()?,
            '"' => return None,
            character => character,
        });
    }
    Some(unquoted)
}

/// Removes whitespace as HTTP knows it. Unicode knows more.
fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

const PERMESSAGE_DEFLATE: &str = "permessage-deflate";

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(offers: &str, answer: &str) -> bool {
        let mut headers = HeaderMap::new();
        let offers = HeaderValue::from_str(offers).unwrap();
        headers.append(header::SEC_WEBSOCKET_EXTENSIONS, offers);
        let answer = HeaderValue::from_str(answer).unwrap();
        agree(&headers, |_| Some(answer)).unwrap().is_some()
    }

    #[test]
    fn an_answer_to_permessage_deflate_has_parameters_that_its_offer_allows() {
        // RFC 7692 §7.1. `pmd` stands for `permessage-deflate`, and the parameters for their
        // initials.
        for (offers, answer, allowed) in [
            ("pmd", "pmd", true),
            ("pmd; cmwb", "pmd", true),
            // §7.1.1: both may be answered without an offer. The server's has to be confirmed.
            ("pmd", "pmd; snct; cnct", true),
            ("pmd; snct; cnct", "pmd; snct", true),
            ("pmd; snct", "pmd", false),
            ("pmd", "pmd; snct=1", false),
            ("pmd; snct=1", "pmd; snct", false),
            // §7.1.2.1
            ("pmd", "pmd; smwb=8", true),
            ("pmd; smwb=10", "pmd; smwb=10", true),
            ("pmd; smwb=10", "pmd; smwb=9", true),
            ("pmd; smwb=\"10\"", "pmd; smwb=\"\\9\"", true),
            ("pmd; smwb=10", "pmd; smwb=11", false),
            ("pmd; smwb=8", "pmd; smwb=9", false),
            ("pmd; smwb=10", "pmd", false),
            ("pmd; smwb", "pmd; smwb=10", false),
            ("pmd", "pmd; smwb", false),
            ("pmd", "pmd; smwb=7", false),
            ("pmd", "pmd; smwb=16", false),
            ("pmd", "pmd; smwb=08", false),
            ("pmd", "pmd; smwb=+9", false),
            ("pmd", "pmd; smwb=100", false),
            // §7.1.2.2
            ("pmd; cmwb", "pmd; cmwb=15", true),
            ("pmd; cmwb=10", "pmd; cmwb=10", true),
            ("pmd; cmwb=10", "pmd", true),
            ("pmd; cmwb=10", "pmd; cmwb=11", false),
            ("pmd; cmwb", "pmd; cmwb", false),
            ("pmd; cmwb", "pmd; cmwb=7", false),
            ("pmd; cmwb=16", "pmd; cmwb=15", false),
            ("pmd", "pmd; cmwb=15", false),
            // Unknown and repeated ones.
            ("pmd", "pmd; x", false),
            ("pmd; x", "pmd; x", false),
            ("pmd; x", "pmd", false),
            ("pmd", "pmd; snct; snct", false),
            ("pmd; cmwb; cmwb", "pmd", false),
            ("pmd", "pmd; smwb=9; smwb=9", false),
            // An offer that cannot be met may have another one behind it.
            ("pmd; smwb=10; x, pmd; smwb=10, pmd", "pmd; smwb=10", true),
            ("pmd; smwb=10, pmd", "pmd", true),
            ("pmd; smwb=10, pmd; cmwb", "pmd; smwb=10; cmwb=10", true),
            ("pmd; smwb=10, pmd; snct", "pmd", false),
            ("pmd, pmd", "pmd, pmd", false),
            // The parameters of other extensions are not looked at.
            ("x, pmd", "x; y=1, pmd", true),
            ("x, pmd", "x; y=1, pmd; y=1", false),
            ("x, pmd", "X", false),
            ("x, pmd", "", false),
            ("", "pmd", false),
        ] {
            let long = |text: &str| {
                text.replace("pmd", PERMESSAGE_DEFLATE)
                    .replace("snct", "server_no_context_takeover")
                    .replace("cnct", "client_no_context_takeover")
                    .replace("smwb", "server_max_window_bits")
                    .replace("cmwb", "client_max_window_bits")
            };
            assert_eq!(allows(&long(offers), &long(answer)), allowed, "{offers} -> {answer}");
        }
    }
}
