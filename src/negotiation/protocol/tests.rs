//! Protocols, their texts and their patterns. The ids are those of the requirements.

use std::hash::{Hash, Hasher};

use proptest::{
    option,
    prelude::{Strategy, prop_oneof, proptest},
};

use super::*;

/// `tchar`, RFC 9110 §5.6.2.
const TCHAR: &str = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// Texts that are not protocols, R9110-2.2-01 and P-07 to P-18.
const INVALID: [&str; 24] = [
    "",
    "/",
    "foo/",
    "/1",
    "foo//1",
    "foo/1/2",
    "foo/1/",
    "foo bar",
    " foo",
    "foo ",
    "foo / 1",
    "foo/ 1",
    "f,oo",
    "foo,",
    "\"foo\"",
    "foo;q=1",
    "foo=1",
    "foo:1",
    "(foo)",
    "foo@1",
    "f\u{e9}",
    "foo\n",
    "foo\0",
    "foo\u{7f}",
];

fn token() -> impl Strategy<Value = String> {
    "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}"
}

/// Protocols of so few letters that two of them are often equal but for case.
fn short() -> impl Strategy<Value = (String, Option<String>)> {
    ("[aAbB]{1,2}", option::of("[aA1]"))
}

fn text(name: &str, version: Option<&str>) -> String {
    name.to_owned() + &version.map(|version| format!("/{version}")).unwrap_or_default()
}

fn protocol(text: &str) -> Protocol<'static> {
    text.parse().unwrap()
}

/// Records the bytes that are hashed.
#[derive(Default)]
struct Written(Vec<u8>);

impl Hasher for Written {
    fn finish(&self) -> u64 {
        0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
    }
}

fn hashed(value: &impl Hash) -> Vec<u8> {
    let mut written = Written::default();
    value.hash(&mut written);
    written.0
}

#[test]
fn a_token_is_made_of_token_characters() {
    // R9110-5.6.2-01.
    for byte in 0..=u8::MAX {
        let expected = TCHAR.as_bytes().contains(&byte);
        assert_eq!(is_token(&[byte]), expected, "{byte:#04x}");
        assert_eq!(is_token(&[b'f', byte, b'o']), expected, "{byte:#04x}");
        // The byte may be the slash, but then it needs a name and a version.
        assert_eq!(Offer::parse(&[b'f', byte]).is_some(), expected, "{byte:#04x}");
        assert_eq!(Offer::parse(&[byte, b'f']).is_some(), expected, "{byte:#04x}");
        let slash = byte == b'/';
        assert_eq!(Offer::parse(&[b'f', byte, b'o']).is_some(), expected || slash, "{byte:#04x}");
    }
    assert!(!is_token(b""));
    assert!(is_token(TCHAR.as_bytes()));
}

#[test]
fn an_invalid_text_is_shown_in_the_error() {
    // R9110-2.2-01.
    for (text, shown) in [
        ("", "``"),
        ("foo bar", "`foo bar`"),
        ("foo/1/2", "`foo/1/2`"),
        ("f,oo", "`f,oo`"),
        ("\"foo\"", "`\\\"foo\\\"`"),
        ("foo\r\nbar: 1", "`foo\\r\\nbar: 1`"),
        ("f\u{e9}", "`f\u{e9}`"),
    ] {
        let error = text.parse::<Protocol<'_>>().unwrap_err();
        let message = " is not a protocol: a name and perhaps a slash and a version, \
                       each a token (RFC 9110 sections 5.6.2 and 7.8)";
        assert_eq!(error.to_string(), shown.to_owned() + message);
        assert_eq!(error, InvalidProtocol { text: text.into() });
    }
}

#[test]
fn an_invalid_text_is_neither_an_offer_nor_a_pattern() {
    for text in INVALID {
        assert!(text.parse::<Protocol<'_>>().is_err(), "{text:?}");
        assert_eq!(Offer::parse(text.as_bytes()), None, "{text:?}");
        assert!(Pattern::parse(text).is_err(), "{text:?}");
    }
    assert_eq!(Offer::parse(b"w\xffs"), None);
}

#[test]
fn names_compare_without_case_and_versions_exactly() {
    // R9110-7.8-05.
    for (left, right, equal) in [
        ("websocket", "WebSocket", true),
        ("RTA/x11", "rta/x11", true),
        ("RTA/x11", "RTA/X11", false),
        ("foo", "foo/1", false),
        ("foo/1", "foo/1.0", false),
        ("foo/1", "foo/2", false),
        ("foo", "fo", false),
        ("foo", "bar", false),
        // These differ in the bit of letter case, and are not letters.
        ("^", "~", false),
    ] {
        assert_eq!(protocol(left) == protocol(right), equal, "{left} and {right}");
        let offer = Offer::parse(right.as_bytes()).unwrap();
        assert_eq!(protocol(left).is_offered_by(offer), equal, "{left} and {right}");
    }
}

#[test]
fn an_owned_protocol_is_the_borrowed_one() {
    let pattern = Pattern::parse("Foo/*").unwrap();
    let borrowed = pattern.protocol(Offer::parse(b"fOO/Bar").unwrap()).unwrap();
    let owned: Protocol<'static> = borrowed.clone().into_owned();
    assert_eq!(owned, borrowed);
    assert_eq!((owned.name(), owned.version()), ("Foo", Some("Bar")));
}

/// Rows of an offer and the protocol that is agreed on.
#[track_caller]
fn check_pattern<const N: usize>(pattern: &str, rows: [(&str, Option<&str>); N]) {
    let pattern = Pattern::parse(pattern).unwrap();
    for (offer, expected) in rows {
        let agreed = pattern.protocol(Offer::parse(offer.as_bytes()).unwrap());
        let agreed = agreed.map(|protocol| protocol.to_string());
        assert_eq!(agreed.as_deref(), expected, "{pattern} and {offer}");
    }
}

#[test]
fn a_pattern_without_a_version_matches_none() {
    check_pattern(
        "Foo",
        [
            ("Foo", Some("Foo")),
            ("foo", Some("Foo")),
            ("FOO", Some("Foo")),
            ("foo/1", None),
            ("foo/*", None),
            ("fo", None),
            ("fooo", None),
            ("*", None),
        ],
    );
}

#[test]
fn a_pattern_with_a_version_matches_only_that_one() {
    // P-13.
    check_pattern(
        "Foo/1a",
        [
            ("foo/1a", Some("Foo/1a")),
            ("Foo/1a", Some("Foo/1a")),
            ("foo/1A", None),
            ("foo/1", None),
            ("foo/1a.0", None),
            ("foo/*", None),
            ("foo", None),
            ("bar/1a", None),
        ],
    );
}

#[test]
fn a_pattern_with_an_asterisk_matches_every_version_and_none() {
    check_pattern(
        "Foo/*",
        [
            ("foo", Some("Foo")),
            ("foo/1", Some("Foo/1")),
            ("FOO/xY", Some("Foo/xY")),
            ("foo/*", Some("Foo/*")),
            ("bar", None),
            ("bar/1", None),
        ],
    );
}

#[test]
fn an_asterisk_stands_for_versions_only() {
    check_pattern("*", [("*", Some("*")), ("foo", None), ("*/1", None)]);
    check_pattern("foo/1*", [("foo/1*", Some("foo/1*")), ("foo/12", None)]);
}

#[test]
fn a_pattern_is_shown_as_it_was_registered() {
    for text in ["foo", "Foo/1", "TLS/*", "*", "*/*"] {
        assert_eq!(Pattern::parse(text).unwrap().to_string(), text);
    }
}

proptest! {
    #[test]
    fn a_protocol_is_shown_as_it_was_parsed(name in token(), version in option::of(token())) {
        let text = text(&name, version.as_deref());
        let protocol = protocol(&text);
        assert_eq!(protocol.name(), name);
        assert_eq!(protocol.version(), version.as_deref());
        assert_eq!(protocol.to_string(), text);
        assert_eq!(protocol.to_header_value(), text);
        assert_eq!(protocol.to_string().parse(), Ok(protocol.clone()));
        assert_eq!(protocol.clone().into_owned(), protocol);
        assert!(protocol.is_offered_by(Offer::parse(text.as_bytes()).unwrap()));
        assert_eq!(Pattern::parse(&text).unwrap().to_string(), text);
    }

    #[test]
    fn a_text_is_a_protocol_if_it_is_one_token_or_two(
        text in prop_oneof!["[a/*]{0,5}", "[!-~]{0,6}", "\\PC{0,8}", ".*"],
    ) {
        let parts: Vec<&str> = text.split('/').collect();
        let token = |part: &&str| !part.is_empty() && part.chars().all(|c| TCHAR.contains(c));
        let valid = parts.len() <= 2 && parts.iter().all(token);
        assert_eq!(text.parse::<Protocol<'_>>().is_ok(), valid);
        assert_eq!(Offer::parse(text.as_bytes()).is_some(), valid);
        assert_eq!(Pattern::parse(&text).is_ok(), valid);
    }

    #[test]
    fn equality_and_hash_agree(left in short(), right in short()) {
        let equal = left.0.to_lowercase() == right.0.to_lowercase() && left.1 == right.1;
        let left = protocol(&text(&left.0, left.1.as_deref()));
        let right = protocol(&text(&right.0, right.1.as_deref()));
        assert_eq!(left == right, equal);
        assert_eq!(right == left, equal);
        // More than the contract of `Hash`: unequal protocols write unequal bytes, none of which
        // begin the other's.
        let (left, right) = (hashed(&left), hashed(&right));
        assert_eq!(left == right, equal);
        assert!(equal || !left.starts_with(&right), "{left:?} starts with {right:?}");
    }

    #[test]
    fn a_pattern_matches_what_its_own_protocol_equals(pattern in short(), offer in short()) {
        let pattern = text(&pattern.0, pattern.1.as_deref());
        let offered = text(&offer.0, offer.1.as_deref());
        let parsed = Pattern::parse(&pattern).unwrap();
        let agreed = parsed.protocol(Offer::parse(offered.as_bytes()).unwrap());
        assert_eq!(agreed.is_some(), protocol(&pattern) == protocol(&offered));
        // The registered spelling wins.
        assert!(agreed.is_none_or(|agreed| agreed.to_string() == pattern));
    }
}
