//! SETTINGS: what `HTTP2-Settings` says, checked before the switch, and how a payload is read.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName};

use crate::negotiation::names_connection_option;

pub(super) const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// The value of a request's `HTTP2-Settings`, known to be whole and within bounds.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientSettings<'a> {
    value: &'a [u8],
}

impl<'a> ClientSettings<'a> {
    /// Returns `None` if the request is not to be upgraded on account of this field.
    ///
    /// RFC 7540 §3.2.1 forbids to upgrade without the field, or with more than one. It has the
    /// client name the field in `Connection`; where it is not named, it may have been passed on
    /// by a proxy that does not know it, and is to be ignored (RFC 9110 §7.6.1).
    pub(super) fn parse(headers: &'a HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all(HTTP2_SETTINGS).iter();
        let value = lines.next()?.as_bytes();
        if lines.next().is_some() || !names_connection_option(headers, "http2-settings") {
            return None;
        }
        let fits = !value.is_empty() && value.len() <= CHARACTERS * MOST_SETTINGS;
        let settings = Self { value };
        let well_formed = value.chunks(CHARACTERS).all(|characters| {
            decode(characters).is_some_and(|octets| Setting::read(octets).is_in_bounds())
        });
        (fits && well_formed).then_some(settings)
    }

    /// How long the payload is, in octets.
    pub(super) fn len(self) -> usize {
        self.value.len() / CHARACTERS * OCTETS
    }

    /// The payload of the SETTINGS frame, one setting after the other.
    pub(super) fn payload(self) -> impl Iterator<Item = [u8; OCTETS]> + 'a {
        self.value.chunks(CHARACTERS).filter_map(decode)
    }
}

/// Decodes one setting. Six octets make exactly eight characters, so that settings can be decoded
/// one by one, and a value with padding or with a part of a setting has a chunk that fails here.
fn decode(characters: &[u8]) -> Option<[u8; OCTETS]> {
    if characters.len() != CHARACTERS {
        return None;
    }
    let mut octets = [0; OCTETS];
    // RFC 7540 §3.2.1 names the URL-safe alphabet without padding; this engine takes no other.
    let written = BASE64_URL_SAFE_NO_PAD.decode_slice(characters, &mut octets).ok()?;
    (written == OCTETS).then_some(octets)
}

/// One setting, RFC 7540 §6.5.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) identifier: u16,
    pub(super) value: u32,
}

impl Setting {
    pub(super) const INITIAL_WINDOW_SIZE: u16 = 0x4;
    pub(super) const MAX_FRAME_SIZE: u16 = 0x5;
    pub(super) const MAX_HEADER_LIST_SIZE: u16 = 0x6;

    pub(super) fn read(octets: [u8; OCTETS]) -> Self {
        let [i0, i1, value @ ..] = octets;
        Self { identifier: u16::from_be_bytes([i0, i1]), value: u32::from_be_bytes(value) }
    }

    /// Whether the value may be given to HTTP/2, which would end the connection over it.
    ///
    /// Identifiers that are not known have to be ignored (RFC 7540 §6.5.2).
    fn is_in_bounds(self) -> bool {
        const ENABLE_PUSH: u16 = 0x2;
        const ENABLE_CONNECT_PROTOCOL: u16 = 0x8;

        match self.identifier {
            // RFC 7540 §6.5.2, RFC 8441 §3.
            ENABLE_PUSH | ENABLE_CONNECT_PROTOCOL => self.value <= 1,
            Self::INITIAL_WINDOW_SIZE => self.value < 1 << 31,
            Self::MAX_FRAME_SIZE => (1 << 14..1 << 24).contains(&self.value),
            _ => true,
        }
    }
}

/// The octets of a setting.
pub(super) const OCTETS: usize = 6;

/// The characters of a setting in base64url.
const CHARACTERS: usize = 8;

/// As many settings as go into one frame of the size that every peer takes (RFC 7540 §4.2).
const MOST_SETTINGS: usize = (1 << 14) / OCTETS;

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
            assert_eq!(read.len() * OCTETS, settings.len());
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
    fn the_field_stands_once_and_is_named_in_connection() {
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
