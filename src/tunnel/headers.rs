//! Removes the headers of a message that are for one connection only (RFC 9110 §7.6.1).

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        self, CONNECTION, EXPECT, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
        TRANSFER_ENCODING, UPGRADE,
    },
};

/// Returns the headers that are for the other side, in their order, except these.
pub(super) fn end_to_end(headers: &HeaderMap, except: &[HeaderName]) -> HeaderMap {
    // `HeaderMap::remove` would move the last header into the gap.
    let mut kept = HeaderMap::with_capacity(headers.keys_len());
    let named = named(headers);
    for (name, value) in headers {
        if !is_hop_by_hop(name) && !named.contains_key(name) && !except.contains(name) {
            kept.append(name, value.clone());
        }
    }
    kept
}

/// Whether the body is not coded for its way, or chunked and nothing else, which hyper decodes.
pub(super) fn is_decoded(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(TRANSFER_ENCODING).iter();
    match (lines.next(), lines.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"),
        _ => false,
    }
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    const HOP_BY_HOP: [HeaderName; 8] = [
        CONNECTION,
        // The layer has read the body, so a client that waited for a 100 has got it.
        EXPECT,
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
    ];
    HOP_BY_HOP.contains(name)
        || ["http2-settings", "keep-alive", "proxy-connection"].contains(&name.as_str())
}

/// Returns the headers that `Connection` names, and may. These are mostly none.
///
/// They are looked up, because an upstream's list has no limit, and each member compared with each header would
/// be millions of comparisons.
fn named(headers: &HeaderMap) -> HeaderMap<()> {
    let lines = headers.get_all(CONNECTION).iter().map(HeaderValue::as_bytes);
    let members = lines.flat_map(|line| line.split(|&byte| byte == b',')).map(<[u8]>::trim_ascii);
    let mut named = HeaderMap::default();
    for member in members.filter(|member| !is_option(member) && !is_kept(member)) {
        // The name is made once, and for a header that is there, because that allocates.
        let is_new = |name| headers.contains_key(name) && !named.contains_key(name);
        if std::str::from_utf8(member).is_ok_and(is_new) {
            named.extend(HeaderName::from_bytes(member).ok().map(|name| (name, ())));
        }
    }
    named
}

/// Whether a member is no header, or one that stays behind anyway.
fn is_option(member: &[u8]) -> bool {
    let is = |option: &str| member.eq_ignore_ascii_case(option.as_bytes());
    is("upgrade") || is("keep-alive") || is("close")
}

/// Whether a header stays even if the client names it in `Connection`: an outer layer or a proxy in
/// front may have added it, and the client must not be able to remove it. Or the request would be
/// another without it.
fn is_kept(name: &[u8]) -> bool {
    const KEPT: [HeaderName; 5] =
        [header::HOST, header::FORWARDED, header::ORIGIN, header::CONTENT_LENGTH, header::VIA];
    let is = |kept: &HeaderName| name.eq_ignore_ascii_case(kept.as_str().as_bytes());
    let begins = |start: &str| {
        name.get(..start.len()).is_some_and(|name| name.eq_ignore_ascii_case(start.as_bytes()))
    };
    KEPT.iter().any(is) || begins("x-forwarded-") || begins("x-real-") || begins("sec-websocket-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines<'a>(lines: &[(&'static str, &'a str)]) -> (HeaderMap, Vec<(String, &'a str)>) {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        (headers, lines.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect())
    }

    #[test]
    fn a_long_list_of_headers_takes_no_memory_for_those_that_are_not_there_or_were_named() {
        // Each of its members was compared with each header.
        let mut headers = HeaderMap::new();
        let mut bytes_of = |length| {
            let list: Vec<String> = (0..length).map(|at| format!("x-{at}")).collect();
            headers.insert(CONNECTION, list.join(",").parse().unwrap());
            allocation_counter::measure(|| assert!(named(&headers).is_empty())).bytes_total
        };
        let (short, long) = (bytes_of(1), bytes_of(10_000));
        assert!(long <= short, "{long} bytes, and {short} for one header");
        headers.insert("x-9999", HeaderValue::from_static("1"));
        assert!(named(&headers).contains_key("x-9999"));
        // One that is there takes it once, however often it is named.
        let once = allocation_counter::measure(|| drop(named(&headers))).bytes_total;
        headers.append(CONNECTION, "x-9999,".repeat(10_000).parse().unwrap());
        assert_eq!(allocation_counter::measure(|| drop(named(&headers))).bytes_total, once);
    }

    #[test]
    fn headers_of_the_connection_stay_behind_and_the_rest_goes_on_in_order() {
        // R9110-7.6.1-03, R9110-7.6.1-04, S-23
        let all = lines(&[
            ("host", "a.test"),
            ("connection", "upgrade, X-Hop,, keep-alive"),
            ("x-hop", "1"),
            ("b", "2"),
            ("te", "trailers"),
            ("expect", "100-continue"),
            ("cookie", "c=1"),
            ("cookie", "d=2"),
            ("connection", "x-real-ip, host, forwarded, X-Forwarded-For"),
            ("x-real-ip", "::1"),
            ("forwarded", "for=_a"),
            ("x-forwarded-for", "::1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "Basic eA=="),
            ("transfer-encoding", "chunked"),
            ("trailer", "x"),
            ("upgrade", "websocket"),
            ("http2-settings", "AAMA"),
            ("last", ""),
        ]);
        let (_, kept) = lines(&[
            ("host", "a.test"),
            ("b", "2"),
            ("cookie", "c=1"),
            ("cookie", "d=2"),
            ("x-real-ip", "::1"),
            ("forwarded", "for=_a"),
            ("x-forwarded-for", "::1"),
            ("last", ""),
        ]);
        let end_to_end = end_to_end(&all.0, &[]);
        let passed: Vec<_> = end_to_end
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap()))
            .collect();
        assert_eq!(passed, kept);
    }
}
