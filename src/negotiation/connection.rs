//! The `Connection` header, and the headers that it goes with.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONNECTION, UPGRADE},
};

use super::{
    only,
    protocol::{Protocol, is_token},
    visit_members,
};

/// Whether the `Connection` header is well-formed and has this option (RFC 9110 §7.6.1).
pub(crate) fn names_connection_option(headers: &HeaderMap, option: &str) -> bool {
    // Nearly every client that upgrades sends this and nothing else.
    if only(headers, CONNECTION).is_some_and(|value| value.eq_ignore_ascii_case(option.as_bytes()))
    {
        return true;
    }
    let mut named = false;
    let well_formed = visit_members(headers, CONNECTION, |member| {
        named |= member.eq_ignore_ascii_case(option.as_bytes());
        is_token(member).then_some(())
    });
    well_formed.is_some() && named
}

/// Adds the option `upgrade` to `Connection` unless it is there. RFC 9110 §7.8 requires it beside
/// `Upgrade`.
pub(crate) fn add_upgrade_option(headers: &mut HeaderMap) {
    // Of a malformed header, the well-formed members count.
    let is_upgrade = |member: &[u8]| member.eq_ignore_ascii_case(b"upgrade");
    if headers.get_all(CONNECTION).iter().any(|value| members(value).any(is_upgrade)) {
        return;
    }
    let values: Vec<_> = headers.get_all(CONNECTION).iter().cloned().collect();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    // hyper joins the values. An empty one would make an empty member, which RFC 9110 §5.6.1.1
    // forbids.
    for value in values.into_iter().filter(|value| !value.as_bytes().trim_ascii().is_empty()) {
        headers.append(CONNECTION, value);
    }
}

/// Removes `Upgrade`, `HTTP2-Settings` and the `Connection` options of these names, wherever they stand,
/// and keeps all other headers in their order.
///
/// Nothing else is removed because `Connection` names it: an outer layer may have added that header, and
/// a client must not be able to remove it.
pub(crate) fn strip(headers: &mut HeaderMap) {
    let is_there = |name| headers.contains_key(name);
    if !is_there(UPGRADE) && !is_there(HTTP2_SETTINGS) && !names_stripped_option(headers) {
        return;
    }
    // `HeaderMap::remove` would move the last header into the gap.
    let mut kept = HeaderMap::with_capacity(headers.keys_len());
    let mut name = CONNECTION;
    for (next, value) in std::mem::take(headers) {
        // Further values of a name come without it.
        name = next.unwrap_or(name);
        if name == UPGRADE || name == HTTP2_SETTINGS {
            continue;
        }
        let value = if name == CONNECTION { without_options(value) } else { Some(value) };
        if let Some(value) = value {
            kept.append(name.clone(), value);
        }
    }
    *headers = kept;
}

/// Reduces an offer to one protocol, which stays with its option.
pub(crate) fn strip_other_offers(headers: &mut HeaderMap, protocol: &Protocol<'_>) {
    strip(headers);
    headers.insert(UPGRADE, protocol.to_header_value());
    add_upgrade_option(headers);
}

/// Returns a value of `Connection` without the options that are stripped, or nothing if it has no other.
fn without_options(value: HeaderValue) -> Option<HeaderValue> {
    if !members(&value).any(is_stripped) {
        return Some(value);
    }
    let others: Vec<&[u8]> =
        members(&value).filter(|member| !member.is_empty() && !is_stripped(member)).collect();
    if others.is_empty() {
        return None;
    }
    // Parts of a header value make a header value.
    HeaderValue::from_bytes(&others.join(&b", "[..])).ok()
}

fn names_stripped_option(headers: &HeaderMap) -> bool {
    headers.get_all(CONNECTION).iter().any(|value| members(value).any(is_stripped))
}

fn members(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

fn is_stripped(option: &[u8]) -> bool {
    let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
    is(UPGRADE.as_str()) || is(HTTP2_SETTINGS.as_str())
}

const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    fn lines(headers: &HeaderMap) -> Vec<(&str, &str)> {
        headers
            .iter()
            .map(|(name, value)| (name.as_str(), std::str::from_utf8(value.as_bytes()).unwrap()))
            .collect()
    }

    #[test]
    fn what_an_upgrade_consists_of_is_stripped_and_the_rest_stays_in_order() {
        // S-3, S-4, S-23
        for (before, after) in [
            (
                &[("a", "1"), ("upgrade", "foo, h2c"), ("b", "2"), ("upgrade", "bar"), ("c", "3")]
                    [..],
                &[("a", "1"), ("b", "2"), ("c", "3")][..],
            ),
            (
                &[
                    ("connection", "Upgrade, HTTP2-Settings"),
                    ("http2-settings", "AAMA"),
                    ("a", "1"),
                ],
                &[("a", "1")],
            ),
            // `HTTP2-Settings` without its option, and the option without the header.
            (&[("connection", "upgrade"), ("http2-settings", "AAMA")], &[]),
            (&[("connection", "http2-settings")], &[]),
            (
                &[("connection", "keep-alive,UPGRADE ,, x"), ("connection", "close")],
                &[("connection", "keep-alive, x"), ("connection", "close")],
            ),
            // S-23: headers that the client names in `Connection` stay, and stay named.
            (
                &[("connection", "upgrade, x-real-ip"), ("x-real-ip", "::1")],
                &[("connection", "x-real-ip"), ("x-real-ip", "::1")],
            ),
            // Malformed, and still without the option.
            (
                &[("connection", "a b, upgrade, \"q\", \u{e9}")],
                &[("connection", "a b, \"q\", \u{e9}")],
            ),
            // Nothing to strip.
            (
                &[("connection", " keep-alive ,, x-upgrade"), ("te", "trailers")],
                &[("connection", " keep-alive ,, x-upgrade"), ("te", "trailers")],
            ),
        ] {
            let mut stripped = headers(before);
            strip(&mut stripped);
            assert_eq!(lines(&stripped), after, "{before:?}");
        }
    }
}
