//! `Sec-WebSocket-Protocol`: the subprotocols that a request offers.

use http::{HeaderMap, header};

use crate::negotiation::{protocol::is_token, visit_members};

/// Which names of subprotocols are valid.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Names {
    /// A token, RFC 6455 §4.1.
    #[default]
    Token,
    /// Any visible ASCII, as in kubectl's `SPDY/3.1+portforward.k8s.io`.
    Visible,
}

impl Names {
    pub(super) fn allow(self, name: &[u8]) -> bool {
        match self {
            Self::Token => is_token(name),
            // The comma ends a member of the list.
            Self::Visible => {
                !name.is_empty() && name.iter().all(|&byte| byte.is_ascii_graphic() && byte != b',')
            }
        }
    }

    #[track_caller]
    pub(super) fn assert_allow(self, name: &str) {
        let remedy = match self {
            Self::Token => {
                "it has to be a token (RFC 9110 section 5.6.2), unless \
                 `allow_non_token_subprotocols` comes first"
            }
            Self::Visible => "it has to be visible ASCII without a comma",
        };
        assert!(
            self.allow(name.as_bytes()),
            "`{}` is not a subprotocol: {remedy}",
            name.escape_debug(),
        );
    }
}

/// Returns the subprotocols that are offered, in the client's order of preference.
///
/// A list over a limit offers nothing, because a part of it may lack the client's first choice.
/// The limit on the members also bounds the comparisons.
pub(super) fn offered(headers: &HeaderMap, names: Names) -> Vec<&str> {
    let mut offered = Vec::new();
    let within_limits = visit_members(headers, header::SEC_WEBSOCKET_PROTOCOL, |member| {
        let name = std::str::from_utf8(member).ok().filter(|_| names.allow(member));
        if let Some(name) = name.filter(|name| !offered.contains(name)) {
            offered.push(name);
        }
        Some(())
    });
    if within_limits.is_none() {
        offered.clear();
    }
    offered
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn offers_are_unique_names_in_the_clients_order() {
        for (lines, tokens, visible) in [
            (&[][..], &[][..], &[][..]),
            (&[""], &[], &[]),
            (&[" , ,"], &[], &[]),
            (&["b, a"], &["b", "a"], &["b", "a"]),
            (&["b", "a,c"], &["b", "a", "c"], &["b", "a", "c"]),
            (&["a, a, A, a"], &["a", "A"], &["a", "A"]),
            (&["a, x/1, b"], &["a", "b"], &["a", "x/1", "b"]),
            (&["\"q\", a b, a\tb, b"], &["b"], &["\"q\"", "b"]),
            (&["\u{e9}, b"], &["b"], &["b"]),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                let line = HeaderValue::from_bytes(line.as_bytes()).unwrap();
                headers.append(header::SEC_WEBSOCKET_PROTOCOL, line);
            }
            assert_eq!(offered(&headers, Names::Token), tokens, "{lines:?}");
            assert_eq!(offered(&headers, Names::Visible), visible, "{lines:?}");
        }
    }
}
