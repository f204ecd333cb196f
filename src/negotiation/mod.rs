//! Decision 1, whose request is it, from the head alone: without waiting, without allocating. And
//! what else is asked of the lists in `Upgrade` and `Connection`.

pub(crate) mod length;
pub(crate) mod protocol;

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Version,
    header::{CONNECTION, EXPECT, UPGRADE},
    request,
};

use self::{
    length::Length,
    protocol::{Offer, Pattern, Protocol, is_token},
};

/// Whose order counts when a request offers several protocols that handlers are registered for.
///
/// RFC 9110 §7.8 lists the client's offers in descending preference and lets the server
/// disregard that.
///
/// # Example
///
/// ```
/// use tower_upgrade::Preference;
///
/// assert_eq!(Preference::default(), Preference::Client);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Preference {
    /// The first protocol of the request that a handler accepts. The default.
    #[default]
    Client,
    /// The first registration that accepts one of the offers.
    Server,
}

/// A registration, as far as negotiation needs to know it.
pub(crate) trait Candidate {
    fn pattern(&self) -> &Pattern;
    fn body_limit(&self) -> usize;
    fn reads_chunked_body(&self) -> bool;
    fn accepts(&self, head: &request::Parts, protocol: &Protocol<'_>) -> bool;
}

/// Why a request is the inner service's. The later ones are closer to an upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Decline {
    Request,
    Connection,
    Upgrade,
    Unregistered,
    Body,
    Unaccepted,
    Capacity,
}

/// Finds the candidate that owns the request, the protocol to switch to, and the length of the body
/// that comes first.
///
/// `body` is the length of the request's body, or `None` if it cannot be trusted.
pub(crate) fn choose<'c, 'a, C>(
    head: &'a request::Parts,
    body: Option<Length>,
    candidates: &'c [C],
    preference: Preference,
) -> Result<(&'c C, Protocol<'a>, Length), Decline>
where
    'c: 'a,
    C: Candidate,
{
    // RFC 9110 §7.8 has HTTP/1.0 ignore the field, RFC 9113 §8.2.2 forbids it in HTTP/2.
    // CONNECT asks for a tunnel of its own (RFC 9110 §9.3.6). TRACE asks for the request to be
    // reflected, which no other protocol does.
    if head.version != Version::HTTP_11 || [Method::CONNECT, Method::TRACE].contains(&head.method) {
        return Err(Decline::Request);
    }
    if !names_connection_option(&head.headers, "upgrade") {
        return Err(Decline::Connection);
    }
    let mut offers = [Offer::NONE; MEMBERS];
    let offers = parse_offers(&head.headers, &mut offers).ok_or(Decline::Upgrade)?;
    if offers.is_empty() {
        return Err(Decline::Upgrade);
    }
    // Bytes of a body that is not read to its end would become bytes of the new protocol, and a
    // client that waits for a 100 has to get one.
    let body = body.filter(|body| body.is_zero() || expectation_can_be_met(&head.headers));

    let mut decline = Decline::Unregistered;
    let mut accept = |candidate: &'c C, offer: Offer<'a>| {
        let protocol = candidate.pattern().protocol(offer)?;
        let fits = |body: &Length| match *body {
            Length::Exactly(bytes) => {
                usize::try_from(bytes).is_ok_and(|bytes| bytes <= candidate.body_limit())
            }
            Length::Chunked => candidate.reads_chunked_body(),
        };
        let Some(body) = body.filter(fits) else {
            decline = decline.max(Decline::Body);
            return None;
        };
        if !candidate.accepts(head, &protocol) {
            decline = Decline::Unaccepted;
            return None;
        }
        Some((candidate, protocol, body))
    };
    let choice = match preference {
        Preference::Client => offers
            .iter()
            .find_map(|&offer| candidates.iter().find_map(|candidate| accept(candidate, offer))),
        Preference::Server => candidates
            .iter()
            .find_map(|candidate| offers.iter().find_map(|&offer| accept(candidate, offer))),
    };
    choice.ok_or(decline)
}

/// Whether the `Connection` field is well-formed and has this option (RFC 9110 §7.6.1).
pub(crate) fn names_connection_option(headers: &HeaderMap, option: &str) -> bool {
    let mut named = false;
    let well_formed = visit_members(headers, CONNECTION, |member| {
        named |= member.eq_ignore_ascii_case(option.as_bytes());
        is_token(member).then_some(())
    });
    well_formed.is_some() && named
}

/// Adds the option `upgrade` to `Connection` unless it is there: RFC 9110 §7.8 allows no `Upgrade`
/// without it.
pub(crate) fn add_upgrade_option(headers: &mut HeaderMap) {
    if names_connection_option(headers, "upgrade") {
        return;
    }
    let lines: Vec<_> = headers.get_all(CONNECTION).iter().cloned().collect();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    // hyper joins the lines, and an empty one would make an empty member, which RFC 9110 §5.6.1.1
    // forbids.
    for line in lines.into_iter().filter(|line| !line.as_bytes().trim_ascii().is_empty()) {
        headers.append(CONNECTION, line);
    }
}

/// Whether each of these protocols may be named in a 101 to a request with these `Upgrade` lines.
///
/// RFC 9110 §7.8 forbids what was not offered. Behind TLS an unoffered `HTTP/1.1` may stand all
/// the same: RFC 2817 §3.3 names the stack, whose upper layer goes on as it was.
pub(crate) fn all_offered(headers: &HeaderMap, protocols: &[Protocol<'_>]) -> bool {
    let mut offers = [Offer::NONE; MEMBERS];
    let Some(offers) = parse_offers(headers, &mut offers) else {
        return false;
    };
    protocols.iter().enumerate().all(|(index, protocol)| {
        let above_tls = index > 0 && protocols[index - 1].name().eq_ignore_ascii_case("TLS");
        let is_http_11 = protocol.is_offered_by(Offer::HTTP_11);
        (above_tls && is_http_11) || offers.iter().any(|&offer| protocol.is_offered_by(offer))
    })
}

/// Whether hyper will send the 100 that has to precede the 101 (RFC 9110 §7.8).
///
/// hyper recognises one line of exactly this value. Any other way to name the expectation would
/// leave a client waiting that is about to be told to switch.
fn expectation_can_be_met(headers: &HeaderMap) -> bool {
    const EXPECTATION: &[u8] = b"100-continue";

    let mut lines = headers.get_all(EXPECT).iter().map(HeaderValue::as_bytes);
    let (first, rest) = (lines.next(), lines.next());
    if rest.is_none() && first.is_none_or(|value| value.eq_ignore_ascii_case(EXPECTATION)) {
        return true;
    }
    headers.get_all(EXPECT).iter().all(|value| {
        value
            .as_bytes()
            .windows(EXPECTATION.len())
            .all(|window| !window.eq_ignore_ascii_case(EXPECTATION))
    })
}

/// Writes the members of the `Upgrade` field, in the order of preference, into an array that is
/// long enough, and returns them.
///
/// Returns `None` if the field is malformed or over a limit. RFC 9110 §7.8 lets a server ignore an
/// offer, and acting on a part of one is never right.
fn parse_offers<'m, 'a>(
    headers: &'a HeaderMap,
    members: &'m mut [Offer<'a>; MEMBERS],
) -> Option<&'m [Offer<'a>]> {
    let mut len = 0;
    visit_members(headers, UPGRADE, |member| {
        members[len] = Offer::parse(member)?;
        len += 1;
        Some(())
    })?;
    Some(&members[..len])
}

/// Calls `visit` with each non-empty member of a list-valued field, over all its lines
/// (RFC 9110 §5.3 and §5.6.1), until it returns `None`.
///
/// Returns `None` if `visit` did, or if the field is over a limit.
pub(crate) fn visit_members<'a>(
    headers: &'a HeaderMap,
    name: HeaderName,
    mut visit: impl FnMut(&'a [u8]) -> Option<()>,
) -> Option<()> {
    let (mut octets, mut members) = (0, 0);
    for line in headers.get_all(name) {
        octets += line.len();
        if octets > OCTETS {
            return None;
        }
        // A recipient ignores empty members (RFC 9110 §5.6.1.2). Of the ASCII whitespace that is
        // trimmed, a field value can hold only space and tab.
        let lines_members = line.as_bytes().split(|&octet| octet == b',').map(<[u8]>::trim_ascii);
        for member in lines_members.filter(|member| !member.is_empty()) {
            members += 1;
            if members > MEMBERS {
                return None;
            }
            visit(member)?;
        }
    }
    Some(())
}

/// How many members a field may have. More than any client offers; few enough for an array.
pub(crate) const MEMBERS: usize = 64;

/// How many octets the lines of a field may have together.
const OCTETS: usize = 8 * 1024;

#[cfg(test)]
mod tests;
