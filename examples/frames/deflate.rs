//! The handshake's part of permessage-deflate: agrees to as much of an offer as yawc implements.

use http::HeaderValue;

/// Returns the answer to the first offer of permessage-deflate that yawc can serve, if there is one.
pub(crate) fn agree(offers: &str) -> Option<HeaderValue> {
    HeaderValue::try_from(offers.split(',').find_map(answer)?).ok()
}

/// RFC 7692 §7.1: an offer with a parameter that is unknown, repeated or invalid is declined.
fn answer(offer: &str) -> Option<String> {
    let mut parts = offer.split(';').map(str::trim);
    let mut answer = parts.next().filter(|name| *name == "permessage-deflate")?.to_owned();
    let mut names = Vec::new();
    for part in parts {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name.trim_end(), Some(value.trim_start().trim_matches('"'))),
            None => (part, None),
        };
        if names.contains(&name) {
            return None;
        }
        names.push(name);
        match (name, value.map(window_bits)) {
            ("server_no_context_takeover" | "client_no_context_takeover", None) => {
                answer = format!("{answer}; {name}");
            }
            // zlib has no window of 8 bits.
            ("server_max_window_bits", Some(Some(bits @ 9..))) => {
                answer = format!("{answer}; {name}={bits}");
            }
            // A hint, and needs no answer: yawc decompresses with the largest window.
            ("client_max_window_bits", None | Some(Some(_))) => {}
            _ => return None,
        }
    }
    Some(answer)
}

/// From 8 to 15, without a leading zero.
fn window_bits(value: &str) -> Option<u8> {
    (8..=15).find(|bits| bits.to_string() == value)
}
