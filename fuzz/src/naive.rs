//! The first decision, slow and plain: which registration takes a request.

use http::{HeaderMap, HeaderName, header, request};

use crate::input::Setup;

/// The parts of a list header, or `None` if it is over a limit.
fn members(headers: &HeaderMap, name: HeaderName) -> Option<Vec<String>> {
    let values: Vec<&[u8]> = headers.get_all(name).iter().map(|value| value.as_bytes()).collect();
    if values.iter().map(|value| value.len()).sum::<usize>() > 8192 {
        return None;
    }
    // Each byte becomes the character of its number.
    let list: String = values.join(&b","[..]).into_iter().map(char::from).collect();
    let members = list.split(',').map(|member| member.trim_matches([' ', '\t']).to_owned());
    let members: Vec<String> = members.filter(|member| !member.is_empty()).collect();
    (members.len() <= 64).then_some(members)
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|it| it.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(it))
}

/// The protocols that a header offers, in order, if all of them are well-formed.
fn offers(headers: &HeaderMap) -> Option<Vec<Offer>> {
    members(headers, header::UPGRADE)?.into_iter().map(offer).collect()
}

fn offer(member: String) -> Option<Offer> {
    match member.split_once('/') {
        None => is_token(&member).then_some((member, None)),
        Some((name, version)) => (is_token(name) && is_token(version))
            .then(|| (name.to_owned(), Some(version.to_owned()))),
    }
}

/// Whether the connection option `upgrade` is there, and all options are well-formed.
fn names_upgrade(headers: &HeaderMap) -> bool {
    members(headers, header::CONNECTION).is_some_and(|options| {
        options.iter().all(|option| is_token(option))
            && options.iter().any(|option| option.eq_ignore_ascii_case("upgrade"))
    })
}

/// How long the body of a request is that hyper has parsed. `None` is chunked.
pub fn length(headers: &HeaderMap) -> Option<u64> {
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return None;
    }
    let length = headers.get(header::CONTENT_LENGTH).map(|length| length.to_str().unwrap().parse());
    Some(length.map_or(0, Result::unwrap))
}

/// Whether the client waits for a 100 that hyper does not send.
fn waits_in_vain(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::EXPECT).iter();
    let values: Vec<String> =
        values.map(|value| String::from_utf8_lossy(value.as_bytes()).to_lowercase()).collect();
    values != ["100-continue"] && values.iter().any(|value| value.contains("100-continue"))
}

/// The registration that takes a request of HTTP/1.1, by its index, and the protocol.
pub fn choose(setup: &Setup, head: &request::Parts) -> Option<(usize, String)> {
    if ["CONNECT", "TRACE"].contains(&head.method.as_str()) || !names_upgrade(&head.headers) {
        return None;
    }
    let length = length(&head.headers);
    if length != Some(0) && waits_in_vain(&head.headers) {
        return None;
    }
    let offers = offers(&head.headers)?;
    take(setup, &offers, length, is_even(head), setup.server_preference)
}

/// The same for an extended CONNECT without a body, of which this is the `:protocol`.
pub fn choose_connect(setup: &Setup, protocol: &[u8], even: bool) -> Option<(usize, String)> {
    let protocol: String = protocol.iter().copied().map(char::from).collect();
    take(setup, &[offer(protocol)?], Some(0), even, false)
}

type Offer = (String, Option<String>);

fn take(
    setup: &Setup,
    offers: &[Offer],
    length: Option<u64>,
    even: bool,
    server_preference: bool,
) -> Option<(usize, String)> {
    let mut choices = Vec::new();
    for (rank, (name, version)) in offers.iter().enumerate() {
        for (index, registration) in setup.registrations.iter().enumerate() {
            let pattern = registration.pattern.0;
            let (registered, rule) = pattern.split_once('/').unwrap_or((pattern, ""));
            let version = version.as_deref().unwrap_or_default();
            let matches = registered.eq_ignore_ascii_case(name) && (rule == "*" || rule == version);
            let takes = match (&registration.handler, length) {
                (None, length) => length == Some(0),
                (Some(handler), None) => handler.chunked,
                (Some(handler), Some(length)) => length <= handler.body_limit.into(),
            };
            let accepts = registration.handler.as_ref().is_none_or(|it| !it.only_even || even);
            if matches && takes && accepts {
                let slash = if version.is_empty() { "" } else { "/" };
                let rank = if server_preference { (index, rank) } else { (rank, index) };
                choices.push((rank, (index, format!("{registered}{slash}{version}"))));
            }
        }
    }
    choices.into_iter().min().map(|(_, choice)| choice)
}

/// Whether the request's number is even.
pub fn is_even(head: &request::Parts) -> bool {
    head.uri.path().bytes().last().is_some_and(|byte| byte % 2 == 0)
}
