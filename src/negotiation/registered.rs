//! The protocols that a layer has handlers for, as responses list them.

use http::{HeaderMap, HeaderValue, header::UPGRADE};

use super::{
    connection::add_upgrade_option,
    protocol::{Offer, Pattern, Protocol},
};

/// The registered protocols, each once, in the order of registration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registered {
    protocols: Vec<Protocol<'static>>,
    /// The same as a value of `Upgrade`, if there is one.
    upgrade: Option<HeaderValue>,
}

impl Registered {
    /// Adds the protocol of a registration. A pattern for any version adds the bare name.
    pub(crate) fn add(&mut self, pattern: &Pattern) {
        let protocol = pattern.listed();
        if !self.protocols.contains(&protocol) {
            self.protocols.push(protocol);
            self.upgrade = Some(list(&self.protocols));
        }
    }

    /// Returns the value of `Upgrade` in a 426, or `None` if nothing is registered.
    pub(crate) fn upgrade(&self) -> Option<&HeaderValue> {
        self.upgrade.as_ref()
    }

    /// Adds the protocols to the `Upgrade` header of a response, with the option that goes with it
    /// (RFC 9110 §7.8). Protocols that the response lists already are not repeated.
    pub(crate) fn advertise(&self, headers: &mut HeaderMap) {
        let Some(upgrade) = &self.upgrade else {
            return;
        };
        if headers.contains_key(UPGRADE) {
            let is_new = |protocol: &&Protocol<'_>| !lists(headers, protocol);
            let new: Vec<_> = self.protocols.iter().filter(is_new).cloned().collect();
            if !new.is_empty() {
                headers.append(UPGRADE, list(&new));
            }
        } else {
            headers.insert(UPGRADE, upgrade.clone());
        }
        add_upgrade_option(headers);
    }
}

/// Whether an `Upgrade` header lists a protocol. It is the application's, so it has no limits.
fn lists(headers: &HeaderMap, protocol: &Protocol<'_>) -> bool {
    headers.get_all(UPGRADE).iter().any(|value| {
        let mut members = value.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
        members.any(|member| Offer::parse(member).is_some_and(|it| protocol.is_offered_by(it)))
    })
}

fn list(protocols: &[Protocol<'_>]) -> HeaderValue {
    let texts: Vec<String> = protocols.iter().map(ToString::to_string).collect();
    HeaderValue::try_from(texts.join(", ")).expect("tokens, slashes and commas make a header value")
}

#[cfg(test)]
mod tests {
    use http::header::CONNECTION;

    use super::*;

    fn registered(patterns: &[&str]) -> Registered {
        let mut registered = Registered::default();
        for pattern in patterns {
            registered.add(&Pattern::parse(pattern).unwrap());
        }
        registered
    }

    #[test]
    fn each_protocol_is_listed_once_in_the_order_of_registration() {
        for (patterns, upgrade) in [
            (&[][..], None),
            (&["foo"], Some("foo")),
            (&["b/2", "a", "b/1", "A", "b/2"], Some("b/2, a, b/1")),
            (&["TLS/*", "TLS/1.2", "TLS"], Some("TLS, TLS/1.2")),
        ] {
            let registered = registered(patterns);
            let value = registered.upgrade().map(|value| value.to_str().unwrap());
            assert_eq!(value, upgrade, "{patterns:?}");
        }
    }

    #[test]
    fn an_advertisement_is_appended_and_never_doubled() {
        for (upgrade, connection, expected) in [
            (&[][..], &[][..], (&["a, b/1"][..], &["upgrade"][..])),
            (&["A"], &[], (&["A", "b/1"], &["upgrade"])),
            (&["x, a", "b/1"], &["Upgrade"], (&["x, a", "b/1"], &["Upgrade"])),
            (&["b"], &["close"], (&["b", "a, b/1"], &["upgrade", "close"])),
            // Of a broken list, the valid members count.
            (&["a, b c"], &["", "keep-alive"], (&["a, b c", "b/1"], &["upgrade", "keep-alive"])),
        ] {
            let mut headers = HeaderMap::new();
            for value in upgrade {
                headers.append(UPGRADE, HeaderValue::from_static(value));
            }
            for value in connection {
                headers.append(CONNECTION, HeaderValue::from_static(value));
            }
            registered(&["a", "b/1"]).advertise(&mut headers);
            registered(&["b/1", "a"]).advertise(&mut headers);
            let values = |name| headers.get_all(name).iter().map(|value| value.to_str().unwrap());
            let (upgrades, options) = (values(UPGRADE), values(CONNECTION));
            assert_eq!(upgrades.collect::<Vec<_>>(), expected.0, "{upgrade:?} {connection:?}");
            assert_eq!(options.collect::<Vec<_>>(), expected.1, "{upgrade:?} {connection:?}");
        }
    }
}
