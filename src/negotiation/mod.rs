//! Decision 1: which handler takes the request, or none. It depends on the head alone, and neither waits
//! nor allocates. This module also parses the lists in `Upgrade` and `Connection`.

pub(crate) mod connection;
pub(crate) mod length;
pub(crate) mod protocol;
pub(crate) mod registered;

use std::cell::LazyCell;

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Version,
    header::{EXPECT, UPGRADE},
    request,
};

use self::{
    connection::names_connection_option,
    length::Length,
    protocol::{Offer, Pattern, Protocol},
};

/// How a request asks for another protocol, and so how a switch is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mechanism {
    /// The `Upgrade` header of HTTP/1.1, answered with 101 (RFC 9110 §7.8).
    Upgrade,
    /// An extended CONNECT of HTTP/2, answered with 200 (RFC 8441).
    ExtendedConnect,
}

/// Whose order decides when a request offers several registered protocols.
///
/// The client lists its offers in descending preference, and the server may ignore that order (RFC
/// 9110 §7.8).
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
    /// The client's order: the first offer that a handler accepts. The default.
    #[default]
    Client,
    /// The order of registration: the first handler that accepts one of the offers.
    Server,
}

/// The parts of a registration that negotiation needs.
pub(crate) trait Candidate {
    fn pattern(&self) -> &Pattern;
    fn takes(&self, body: Length) -> bool;
    fn accepts(&self, head: &request::Parts, protocol: &Protocol<'_>) -> bool;
}

/// Why a request goes to the inner service. Later variants are closer to an upgrade.
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

/// The candidate that takes a request.
#[derive(Debug)]
pub(crate) struct Choice<'c, 'a, C> {
    pub(crate) candidate: &'c C,
    /// The protocol to switch to.
    pub(crate) protocol: Protocol<'a>,
    /// Whether the client offers no other.
    pub(crate) is_only: bool,
    /// How long the body of the request is.
    pub(crate) body: Length,
}

/// Finds the candidate for what the `Upgrade` header of a request offers.
///
/// `body` returns `None` if the length cannot be trusted.
pub(crate) fn choose<'c, 'a, C>(
    head: &'a request::Parts,
    body: impl FnOnce() -> Option<Length>,
    candidates: &'c [C],
    preference: Preference,
) -> Result<Choice<'c, 'a, C>, Decline>
where
    'c: 'a,
    C: Candidate,
{
    // RFC 9110 §7.8: a server ignores `Upgrade` in HTTP/1.0. RFC 9113 §8.2.2: HTTP/2 forbids it.
    // CONNECT asks for a tunnel of its own (RFC 9110 §9.3.6). TRACE asks for an echo of the request,
    // which no other protocol sends.
    if head.version != Version::HTTP_11 || [Method::CONNECT, Method::TRACE].contains(&head.method) {
        return Err(Decline::Request);
    }
    if !names_connection_option(&head.headers, "upgrade") {
        return Err(Decline::Connection);
    }
    // Most clients offer one protocol. To fill the array takes longer than to parse that.
    let (one, mut many);
    let offers = if let Some(offer) = only(&head.headers, UPGRADE).and_then(Offer::parse) {
        one = [offer];
        &one[..]
    } else {
        many = [Offer::NONE; MEMBERS];
        parse_offers(head.headers.get_all(UPGRADE), &mut many).ok_or(Decline::Upgrade)?
    };
    if offers.is_empty() {
        return Err(Decline::Upgrade);
    }
    select(head, offers, body, candidates, preference)
}

/// Finds the candidate for the `:protocol` of an extended CONNECT, which offers one protocol.
pub(crate) fn choose_connect<'c, 'a, C>(
    head: &'a request::Parts,
    protocol: &'a str,
    body: impl FnOnce() -> Option<Length>,
    candidates: &'c [C],
) -> Result<Choice<'c, 'a, C>, Decline>
where
    'c: 'a,
    C: Candidate,
{
    let offer = Offer::parse(protocol.as_bytes()).ok_or(Decline::Upgrade)?;
    // hyper leaves the bytes of a CONNECT to the tunnel, so no body can be left unread, whatever an
    // outer layer has put in its place.
    let body = || body().map(|body| if body.is_zero() { Length::Exactly(0) } else { body });
    select(head, &[offer], body, candidates, Preference::Client)
}

fn select<'c, 'a, C>(
    head: &'a request::Parts,
    offers: &[Offer<'a>],
    body: impl FnOnce() -> Option<Length>,
    candidates: &'c [C],
    preference: Preference,
) -> Result<Choice<'c, 'a, C>, Decline>
where
    'c: 'a,
    C: Candidate,
{
    // Unread bytes of a body would become bytes of the new protocol. So the body has to be read, and a
    // client that waits for a 100 before it sends the body has to get one.
    // Asked for when a handler is registered for an offer.
    let body = LazyCell::new(|| {
        body().filter(|body| body.is_zero() || expectation_can_be_met(&head.headers))
    });

    let mut decline = Decline::Unregistered;
    let mut asked = 0_u64;
    let mut accept = |(at, candidate): (usize, &'c C), offer: Offer<'a>| {
        let protocol = candidate.pattern().protocol(offer)?;
        // A client may repeat an offer, and the answer can be costly: that of h2c decodes another header. So each
        // of the first 64 candidates is asked once.
        if protocol.is_as_registered() {
            let bit = u32::try_from(at).ok().and_then(|at| 1_u64.checked_shl(at)).unwrap_or(0);
            if asked & bit != 0 {
                return None;
            }
            asked |= bit;
        }
        let Some(body) = body.filter(|&body| candidate.takes(body)) else {
            decline = decline.max(Decline::Body);
            return None;
        };
        if !candidate.accepts(head, &protocol) {
            decline = Decline::Unaccepted;
            return None;
        }
        Some(Choice { candidate, protocol, is_only: offers.len() == 1, body })
    };
    let candidates = || candidates.iter().enumerate();
    let choice = match preference {
        Preference::Client => offers
            .iter()
            .find_map(|&offer| candidates().find_map(|candidate| accept(candidate, offer))),
        Preference::Server => candidates()
            .find_map(|candidate| offers.iter().find_map(|&offer| accept(candidate, offer))),
    };
    choice.ok_or(decline)
}

/// The offers of a request, which its 101 is held to.
#[derive(Debug)]
pub(crate) enum Offered {
    /// Nothing but the protocol that was agreed on.
    Agreed,
    /// The values of `Upgrade`.
    Listed(Vec<HeaderValue>),
}

impl Offered {
    /// `is_only` says that the protocol that was agreed on is all that the client offers.
    pub(crate) fn new(headers: &HeaderMap, is_only: bool) -> Self {
        if is_only {
            return Self::Agreed;
        }
        Self::Listed(headers.get_all(UPGRADE).iter().cloned().collect())
    }

    /// Whether the 101 may name each of these protocols besides the one that was agreed on.
    ///
    /// RFC 9110 §7.8 allows only protocols that were offered. The exception is `HTTP/1.1` after `TLS`: RFC
    /// 2817 §3.3 names both, although the upper one does not change.
    pub(crate) fn allows(&self, agreed: &Protocol<'_>, protocols: &[Protocol<'_>]) -> bool {
        protocols.iter().enumerate().all(|(index, protocol)| {
            let above_tls = index > 0 && protocols[index - 1].name().eq_ignore_ascii_case("TLS");
            (above_tls && protocol.is_offered_by(Offer::HTTP_11))
                || protocol == agreed
                || match self {
                    Self::Agreed => false,
                    Self::Listed(values) => is_offered(values, protocol),
                }
        })
    }
}

/// Whether a well-formed list of offers has a protocol.
pub(crate) fn is_offered<'a>(
    upgrade: impl IntoIterator<Item = &'a HeaderValue>,
    protocol: &Protocol<'_>,
) -> bool {
    let mut offers = [Offer::NONE; MEMBERS];
    parse_offers(upgrade, &mut offers)
        .is_some_and(|offers| offers.iter().any(|&offer| protocol.is_offered_by(offer)))
}

/// Whether hyper will send the 100 that has to precede the 101 (RFC 9110 §7.8).
///
/// hyper recognises a single `Expect` header with exactly this value. With any other spelling, the
/// client would wait for a 100 that never comes.
fn expectation_can_be_met(headers: &HeaderMap) -> bool {
    const EXPECTATION: &[u8] = b"100-continue";

    let mut values = headers.get_all(EXPECT).iter().map(HeaderValue::as_bytes);
    let (first, rest) = (values.next(), values.next());
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

/// Parses the `Upgrade` header into an array, in the client's order of preference, and returns the
/// part of the array that is filled.
///
/// Returns `None` if the header is malformed or over a limit. RFC 9110 §7.8 lets a server ignore an
/// offer, and acting on half of one would be wrong.
fn parse_offers<'m, 'a>(
    upgrade: impl IntoIterator<Item = &'a HeaderValue>,
    members: &'m mut [Offer<'a>; MEMBERS],
) -> Option<&'m [Offer<'a>]> {
    let mut len = 0;
    visit_values(upgrade, |member| {
        members[len] = Offer::parse(member)?;
        len += 1;
        Some(())
    })?;
    Some(&members[..len])
}

/// Returns the value of a header that has one, unless it is over the limit of a list.
fn only(headers: &HeaderMap, name: HeaderName) -> Option<&[u8]> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().filter(|value| value.len() <= BYTES)?;
    values.next().is_none().then_some(value.as_bytes())
}

/// Calls `visit` with each non-empty member of a list header, over all its values (RFC 9110 §5.3 and
/// §5.6.1), until `visit` returns `None`.
///
/// Returns `None` if `visit` did, or if the header is over a limit.
pub(crate) fn visit_members<'a>(
    headers: &'a HeaderMap,
    name: HeaderName,
    visit: impl FnMut(&'a [u8]) -> Option<()>,
) -> Option<()> {
    visit_values(headers.get_all(name), visit)
}

fn visit_values<'a>(
    values: impl IntoIterator<Item = &'a HeaderValue>,
    mut visit: impl FnMut(&'a [u8]) -> Option<()>,
) -> Option<()> {
    let (mut bytes, mut members) = (0, 0);
    for value in values {
        bytes += value.len();
        if bytes > BYTES {
            return None;
        }
        // A recipient ignores empty members (RFC 9110 §5.6.1.2). `trim_ascii` trims more than the space
        // and tab of RFC 9110 §5.6.3, but a header value can hold no other whitespace.
        let trimmed = value.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
        for member in trimmed.filter(|member| !member.is_empty()) {
            members += 1;
            if members > MEMBERS {
                return None;
            }
            visit(member)?;
        }
    }
    Some(())
}

/// How many members a list header may have: more than any client offers, and few enough for an array.
pub(crate) const MEMBERS: usize = 64;

/// How many bytes the values of a list header may have together.
const BYTES: usize = 8 * 1024;

#[cfg(test)]
mod tests;
