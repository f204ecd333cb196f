//! An entry of a list of origins.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::Origin;

/// An entry of a list.
#[derive(Debug)]
pub(super) struct Listed {
    /// Without the `*.` that may be in front of its host.
    origin: Origin,
    /// Whether names below the host are meant instead of the host.
    below: bool,
}

impl Listed {
    /// Returns `None` if no page has such an origin.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://").unwrap_or((text, ""));
        let (origin, below) = match rest.strip_prefix("*.") {
            Some(rest) => (Origin::parse(&format!("{scheme}://{rest}"))?, true),
            None => (Origin::parse(text)?, false),
        };
        let host = origin.host();
        let is_matched = match origin.scheme() {
            // A page is not loaded from a WebSocket.
            "ws" | "wss" => false,
            // These have no host, which is how they are parsed.
            "" | "file" => host.is_empty() && !below,
            _ => is_name(host) || (is_address(host) && !below),
        };
        is_matched.then_some(Self { origin, below })
    }

    pub(super) fn matches(&self, origin: &Origin) -> bool {
        if !self.below {
            return self.origin == *origin;
        }
        let below = origin.host().strip_suffix(self.origin.host());
        self.origin.scheme() == origin.scheme()
            && self.origin.port() == origin.port()
            && below.and_then(|below| below.strip_suffix('.')).is_some_and(|name| !name.is_empty())
    }
}

/// Whether this is a name that a page's host can have. One that ends with a number is an address.
fn is_name(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let is_label = |label: &str| {
        let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        !label.is_empty() && label.bytes().all(is_valid)
    };
    let last = host.rsplit('.').next().unwrap_or(host);
    host.split('.').all(is_label) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_address(host: &str) -> bool {
    let v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    v6.map_or_else(|| host.parse::<Ipv4Addr>().is_ok(), |host| host.parse::<Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_that_no_page_matches_is_none() {
        for text in [
            "",
            "*",
            "a.test",
            "a.test:3000",
            "*.a.test",
            "https://",
            "https://*",
            "https://*.",
            "https://*a.test",
            "https://*.*.a.test",
            "https://a.*.test",
            "https://a.*",
            "https://*.*",
            "*://a.test",
            "https://a.test:*",
            "https://a.test/",
            "https://a.test/path",
            "https://*.a.test/",
            "https://a.test?x",
            "https://a.test:x",
            "https://a.test:65536",
            "https://user@a.test",
            " https://a.test",
            "https://a.test ",
            "https://a.test,https://b.test",
            "https://a.test, https://b.test",
            "https://a.test,b.test",
            "https://a..test",
            "https://.a.test",
            "https://b\u{fc}cher.test",
            "https://1.2.3",
            "https://256.0.0.1",
            "https://*.127.0.0.1",
            "https://*.[::1]",
            "https://[::1",
            "https://[x]",
            "ws://a.test",
            "wss://*.a.test",
            "NULL",
            "null://",
            "file:///",
            "file://a",
            "file://*.a.test",
            "://a.test",
        ] {
            assert!(Listed::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn entries_match_the_origins_that_they_name() {
        for (entry, origin, matches) in [
            ("https://a.test", "https://a.test", true),
            ("HTTPS://A.test:443", "https://a.test", true),
            ("https://a.test", "http://a.test", false),
            ("https://a.test", "https://b.a.test", false),
            ("http://a.test:3000", "http://a.test:3000", true),
            ("http://a.test:3000", "http://a.test", false),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000", true),
            ("http://[::1]:3000", "http://[::1]:3000", true),
            ("tauri://localhost", "tauri://localhost", true),
            ("chrome-extension://abcdefgh", "chrome-extension://abcdefgh", true),
            ("http://a_b.test", "http://a_b.test", true),
            ("https://xn--bcher-kva.test", "https://xn--bcher-kva.test", true),
            ("https://*.a.test", "https://b.a.test", true),
            ("https://*.A.test", "https://c.B.a.test", true),
            ("https://*.a.test", "https://a.test", false),
            ("https://*.a.test", "https://.a.test", false),
            ("https://*.a.test", "https://ba.test", false),
            ("https://*.a.test", "https://b.a.test.evil.test", false),
            ("https://*.a.test", "https://b.a.test:444", false),
            ("https://*.a.test", "http://b.a.test", false),
            ("https://*.a.test:444", "https://b.a.test:444", true),
            ("http://*.localhost:3000", "http://b.localhost:3000", true),
            ("null", "null", true),
            ("null", "file://", false),
            ("file://", "file://", true),
            ("file://", "null", false),
            ("https://a.test", "null", false),
        ] {
            let listed = Listed::parse(entry).unwrap_or_else(|| panic!("{entry}"));
            let origin = Origin::parse(origin).unwrap_or_else(|| panic!("{origin}"));
            assert_eq!(listed.matches(&origin), matches, "{entry} {origin}");
        }
    }
}
