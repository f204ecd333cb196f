//! SETTINGS: what `HTTP2-Settings` says, checked before the switch.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName};

use crate::negotiation::connection::names_connection_option;

pub(super) const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// The value of a request's `HTTP2-Settings`, known to be whole and within bounds.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientSettings<'a> {
    value: &'a [u8],
}

impl<'a> ClientSettings<'a> {
    /// Returns `None` if this header forbids the upgrade.
    ///
    /// RFC 7540 §3.2.1 forbids the upgrade without the header, or with more than one. The client has
    /// to name the header in `Connection`. If it does not, a proxy that does not know the header may
    /// have forwarded it, and it is ignored (RFC 9110 §7.6.1).
    pub(super) fn parse(headers: &'a HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(HTTP2_SETTINGS).iter();
        let value = values.next()?.as_bytes();
        if values.next().is_some() || !names_connection_option(headers, "http2-settings") {
            return None;
        }
        let fits = !value.is_empty() && value.len() <= CHARACTERS * MOST_SETTINGS;
        let settings = Self { value };
        let well_formed = value.chunks(CHARACTERS).all(|characters| {
            decode(characters).is_some_and(|bytes| Setting::read(bytes).is_in_bounds())
        });
        (fits && well_formed).then_some(settings)
    }

    /// How long the payload is, in bytes.
    pub(super) fn len(self) -> usize {
        self.value.len() / CHARACTERS * BYTES
    }

    /// The payload of the SETTINGS frame, one setting after the other.
    pub(super) fn payload(self) -> impl Iterator<Item = [u8; BYTES]> + 'a {
        self.value.chunks(CHARACTERS).filter_map(decode)
    }
}

/// Decodes one setting. Six bytes make exactly eight characters, so that settings can be decoded
/// one by one, and a value with padding or with a part of a setting has a chunk that fails here.
fn decode(characters: &[u8]) -> Option<[u8; BYTES]> {
    if characters.len() != CHARACTERS {
        return None;
    }
    let mut bytes = [0; BYTES];
    // RFC 7540 §3.2.1 names the URL-safe alphabet without padding; this engine takes no other.
    let written = BASE64_URL_SAFE_NO_PAD.decode_slice(characters, &mut bytes).ok()?;
    (written == BYTES).then_some(bytes)
}

/// One setting, RFC 7540 §6.5.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Setting {
    identifier: u16,
    value: u32,
}

impl Setting {
    fn read(bytes: [u8; BYTES]) -> Self {
        let [i0, i1, value @ ..] = bytes;
        Self { identifier: u16::from_be_bytes([i0, i1]), value: u32::from_be_bytes(value) }
    }

    /// Whether HTTP/2 accepts the value. Otherwise it would end the connection.
    ///
    /// Unknown identifiers have to be ignored (RFC 7540 §6.5.2).
    fn is_in_bounds(self) -> bool {
        const ENABLE_PUSH: u16 = 0x2;
        const INITIAL_WINDOW_SIZE: u16 = 0x4;
        const MAX_FRAME_SIZE: u16 = 0x5;
        const ENABLE_CONNECT_PROTOCOL: u16 = 0x8;

        match self.identifier {
            // RFC 7540 §6.5.2, RFC 8441 §3.
            ENABLE_PUSH | ENABLE_CONNECT_PROTOCOL => self.value <= 1,
            INITIAL_WINDOW_SIZE => self.value < 1 << 31,
            MAX_FRAME_SIZE => (1 << 14..1 << 24).contains(&self.value),
            _ => true,
        }
    }
}

/// The bytes of a setting.
const BYTES: usize = 6;

/// The characters of a setting in base64url.
const CHARACTERS: usize = 8;

/// The most settings in one frame of the size that every peer accepts (RFC 7540 §4.2).
const MOST_SETTINGS: usize = (1 << 14) / BYTES;

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header::CONNECTION};

    use super::*;

    fn headers(connection: &'static str, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, HeaderValue::from_static(connection));
        for value in values {
            headers.append(HTTP2_SETTINGS, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[track_caller]
    fn check(value: &str, expected: Option<&[(u16, u32)]>) {
        let headers = headers("Upgrade, HTTP2-Settings", &[value]);
        let settings = ClientSettings::parse(&headers).map(|settings| {
            let read: Vec<_> = settings
                .payload()
                .map(Setting::read)
                .map(|setting| (setting.identifier, setting.value))
                .collect();
            assert_eq!(read.len() * BYTES, settings.len());
            read
        });
        assert_eq!(settings.as_deref(), expected, "{value:?}");
    }

    #[test]
    fn a_payload_is_decoded_as_it_is() {
        // R7540-3.2-01: curl's value.
        let curls = [(3, 100), (4, 1 << 30), (2, 0)];
        check("AAMAAABkAARAAAAAAAIAAAAA", Some(&curls));
        // R7540-3.2.1-06
        check("AARAAAAA", Some(&[(4, 1 << 30)]));
        // R7540-6.5.2-02: unknown identifiers, and one that is repeated.
        check("AAEAAAAAAJkAAAAH", Some(&[(1, 0), (0x99, 7)]));
        check("AAMAAAABAAMAAAAC", Some(&[(3, 1), (3, 2)]));
    }

    #[test]
    fn only_unpadded_base64url_of_whole_settings_is_taken() {
        // R7540-3.2.1-04, R7540-6.5-01, VTX-07, and the value of GO-03, which is empty.
        for value in [
            "",
            "!!!!",
            "!!!!!!!!",
            "AAMAAABk=",
            "AAMAAABk========",
            "AAMAAABkAA",
            "AAMAAABkAA==",
            "AAMAAAB+",
            "AAMAAAB/",
            "AAMAAABk, AAMAAABk",
            "AAMAAABk AAMAAABk",
            "AAAGBAAAAAAAAAMAAABk",
            "incorrect-settings",
            "A",
        ] {
            check(value, None);
        }
        // The two characters that tell the alphabets apart.
        check("AAMA-_-_", Some(&[(3, 0x00fb_ffbf)]));
    }

    #[test]
    fn values_out_of_bounds_are_not_taken() {
        // R7540-6.5.2-01, VTX-08
        for (value, expected) in [
            ("AAIAAAAA", Some((2, 0))),
            ("AAIAAAAB", Some((2, 1))),
            ("AAIAAAAC", None),
            ("AAR_____", Some((4, (1 << 31) - 1))),
            ("AASAAAAA", None),
            ("AAUAAD__", None),
            ("AAUAAEAA", Some((5, 1 << 14))),
            ("AAUA____", Some((5, (1 << 24) - 1))),
            ("AAUBAAAA", None),
            ("AAgAAAAB", Some((8, 1))),
            ("AAgAAAAC", None),
        ] {
            check(value, expected.as_ref().map(std::slice::from_ref));
        }
        // One is enough.
        check("AAMAAABkAAIAAAACAAMAAABk", None);
    }

    #[test]
    fn the_header_comes_once_and_is_named_in_connection() {
        // R7540-3.2.1-01, -02 and -05, P-48, P-49
        let taken = |connection, values: &[&str]| {
            ClientSettings::parse(&headers(connection, values)).is_some()
        };
        assert!(taken("http2-settings", &["AAMAAABk"]));
        assert!(!taken("upgrade", &["AAMAAABk"]));
        assert!(!taken("http2-settings, not a token", &["AAMAAABk"]));
        assert!(!taken("http2-settings", &["AAMAAABk", "AAMAAABk"]));
        assert!(!taken("http2-settings", &[]));
    }

    #[test]
    fn more_settings_than_a_frame_holds_are_not_taken() {
        let most = "AAMAAABk".repeat(MOST_SETTINGS);
        assert!(ClientSettings::parse(&headers("http2-settings", &[&most])).is_some());
        let more = most + "AAMAAABk";
        assert!(ClientSettings::parse(&headers("http2-settings", &[&more])).is_none());
    }
}
