//! Tables of which handler takes a request. The ids are those of the requirements.

use std::{cell::RefCell, iter};

use http::{Request, header::CONNECTION};

use super::*;

mod generators;
mod headers;
mod oracle;
mod order;

/// A registration that logs its `accepts` calls.
struct Registered<'l> {
    pattern: Pattern,
    body_limit: usize,
    chunked: bool,
    accepts: bool,
    log: &'l RefCell<Vec<String>>,
}

impl Candidate for Registered<'_> {
    fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    fn takes(&self, body: Length) -> bool {
        body.fits(self.body_limit, self.chunked)
    }

    fn accepts(&self, _head: &request::Parts, protocol: &Protocol<'_>) -> bool {
        self.log.borrow_mut().push(format!("{} {protocol}", self.pattern));
        self.accepts
    }
}

/// The protocols that every vector of the requirements may assume.
const FIXTURE: [&str; 6] = ["websocket", "h2c", "TLS/*", "connect-udp", "foo/*", "bar/2"];

/// The arguments of `choose`, except the headers.
#[derive(Clone, Copy, Debug)]
struct Question<'a> {
    registered: &'a [&'a str],
    /// Patterns whose handlers do not accept.
    declining: &'a [&'a str],
    body_limit: usize,
    /// Whether the handlers read chunked bodies.
    chunked: bool,
    body: Option<Length>,
    preference: Preference,
}

const QUESTION: Question<'static> = Question {
    registered: &FIXTURE,
    declining: &[],
    body_limit: 0,
    chunked: false,
    body: Some(Length::Exactly(0)),
    preference: Preference::Client,
};

impl Question<'_> {
    /// Returns the chosen pattern and protocol, and the log of `accepts` calls.
    fn ask(&self, head: &request::Parts) -> (Option<(String, String)>, Vec<String>) {
        let log = RefCell::default();
        let register = |pattern: &&str| Registered {
            pattern: Pattern::parse(pattern).unwrap(),
            body_limit: self.body_limit,
            chunked: self.chunked,
            accepts: !self.declining.contains(pattern),
            log: &log,
        };
        let candidates: Vec<_> = self.registered.iter().map(register).collect();
        let choice = choose(head, || self.body, &candidates, self.preference).ok();
        let choice = choice.map(|it| (it.candidate.pattern.to_string(), it.protocol.to_string()));
        (choice, log.take())
    }

    /// Returns the protocol alone.
    fn answer(&self, head: &request::Parts) -> Option<String> {
        self.ask(head).0.map(|(_, protocol)| protocol)
    }
}

/// Makes a head from headers divided by line feeds. The text after `": "` is the value, unchanged.
fn head(text: impl AsRef<[u8]>) -> request::Parts {
    let (mut head, ()) = Request::new(()).into_parts();
    head.headers = headers(text.as_ref());
    head
}

fn headers(text: &[u8]) -> HeaderMap {
    let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let colon = line.windows(2).position(|bytes| bytes == b": ").unwrap();
            let name = HeaderName::from_bytes(&line[..colon]).unwrap();
            (name, HeaderValue::from_bytes(&line[colon + 2..]).unwrap())
        })
        .collect()
}

/// Makes a head that asks for an upgrade. Line feeds divide the values of `Upgrade`.
fn offering(value: &str) -> request::Parts {
    head("connection: upgrade\nupgrade: ".to_owned() + &value.replace('\n', "\nupgrade: "))
}

/// Rows of headers, and the protocol that is switched to.
#[track_caller]
fn check<const N: usize>(rows: [(&str, Option<&str>); N]) {
    for (text, expected) in rows {
        assert_eq!(QUESTION.answer(&head(text)).as_deref(), expected, "{text:?}");
    }
}

/// Rows of values of `Upgrade`, and the protocol that is switched to.
#[track_caller]
fn check_upgrade<const N: usize>(rows: [(&str, Option<&str>); N]) {
    for (value, expected) in rows {
        assert_eq!(QUESTION.answer(&offering(value)).as_deref(), expected, "{value:?}");
    }
}

#[test]
fn a_registered_protocol_is_found_in_the_offer() {
    check_upgrade([
        // P-01, P-02, R9110-5.2-01: all values are one list.
        ("foo", Some("foo")),
        ("nope\nfoo", Some("foo")),
        ("nope, neither\nnor/1\nfoo, websocket", Some("foo")),
        // R9110-7.8-02, R9110-7.8-19.
        ("nope", None),
        ("HTTP/2.0", None),
        // P-47.
        ("h2", None),
        ("h2, h2c", Some("h2c")),
        // P-12, P-13, P-46: versions match exactly where they are registered.
        ("foo/1", Some("foo/1")),
        ("bar/2", Some("bar/2")),
        ("bar/1, bar/2", Some("bar/2")),
        ("bar", None),
        ("bar/1", None),
        ("bar/2.0", None),
        ("bar/*", None),
        ("websocket/13", None),
        // R9110-7.8-05, P-20: names match in any case, and are spelled as registered.
        ("WebSocket", Some("websocket")),
        ("FOO/Bar", Some("foo/Bar")),
        ("tls/1.2", Some("TLS/1.2")),
        ("BAR/2", Some("bar/2")),
        // P-45, P-44.
        ("foo, websocket", Some("foo")),
        ("websocket, foo", Some("websocket")),
        ("websocket, websocket", Some("websocket")),
        ("foo/2, foo/1, foo", Some("foo/2")),
        // A name that another one begins with.
        ("fo", None),
        ("fooo", None),
    ]);
}

#[test]
fn empty_members_and_whitespace_do_not_count() {
    check_upgrade([
        // P-05, P-06, P-19, R9110-5.5-01, R9110-5.6.1.2-01, R9110-5.6.1.2-02.
        ("", None),
        (",", None),
        (", ,\t,", None),
        (" \t ", None),
        ("\n\n", None),
        (",, websocket ,", Some("websocket")),
        (" \t foo \t", Some("foo")),
        ("\tfoo\t,\tnope\t", Some("foo")),
        ("foo,websocket", Some("foo")),
        ("\n,\nfoo\n,", Some("foo")),
    ]);
}

#[test]
fn one_malformed_member_voids_the_offer() {
    check_upgrade([
        // P-07, P-08, P-09, P-10.
        ("foo/", None),
        ("/1", None),
        ("/", None),
        ("foo//1", None),
        ("foo/1/2", None),
        ("foo/1/", None),
        ("foo/, /1, foo/1/2, foo", None),
        ("foo, foo/", None),
        ("foo\nfoo/", None),
        ("foo/\nfoo", None),
        // P-11.
        ("foo / 1", None),
        ("foo /1", None),
        ("foo/ 1", None),
        ("foo/\t1", None),
        // P-14.
        ("foo bar", None),
        ("foo\tbar", None),
        ("foo;q=1", None),
        ("foo=1", None),
        ("foo:1", None),
        ("(foo)", None),
        ("foo@1", None),
        ("foo, [x]", None),
        // P-16, P-17.
        ("\"foo\"", None),
        ("\"websocket\"", None),
        ("\"x, foo, y\"", None),
        ("\"x\\\", foo, y\"", None),
        // P-15: bytes beyond ASCII, here as UTF-8.
        ("wéb, foo", None),
    ]);
    // P-15, R9110-5.5-02.
    for value in [&b"web\xffsocket, foo"[..], b"foo, \xff", b"\x80", b"foo/\xff", b"foo\xa0"] {
        let head = head([b"connection: upgrade\nupgrade: ", value].concat());
        assert_eq!(QUESTION.ask(&head), (None, vec![]), "{value:?}");
    }
}

#[test]
fn the_connection_option_has_to_be_there_too() {
    check([
        // P-21, P-22, R9110-7.6.1-06, R9110-7.6.1-07.
        ("upgrade: foo", None),
        ("connection: upgrade", None),
        ("", None),
        ("connection: \nupgrade: foo", None),
        ("connection: keep-alive\nupgrade: foo", None),
        // P-51.
        ("proxy-connection: upgrade\nupgrade: foo", None),
        // P-03, P-04, P-20, P-26, R9110-5.1-01, R9110-7.6.1-01.
        ("connection: upgrade\nupgrade: foo", Some("foo")),
        ("CONNECTION: UPGRADE\nUPGRADE: FOO", Some("foo")),
        ("connection: keep-alive, Upgrade\nupgrade: foo", Some("foo")),
        ("connection: keep-alive\nconnection: Upgrade\nupgrade: foo", Some("foo")),
        ("connection: close, Upgrade\nupgrade: foo", Some("foo")),
        // P-25: a malformed member voids this header as well.
        ("connection: foo bar, upgrade\nupgrade: foo", None),
        ("connection: upgrade\nconnection: foo bar\nupgrade: foo", None),
    ]);
}

#[test]
fn only_http_11_can_be_upgraded() {
    // P-27, P-30, R9110-7.8-15.
    let mut head = offering("foo");
    for (version, expected) in [
        (Version::HTTP_09, None),
        (Version::HTTP_10, None),
        (Version::HTTP_11, Some("foo")),
        (Version::HTTP_2, None),
        (Version::HTTP_3, None),
    ] {
        head.version = version;
        assert_eq!(QUESTION.answer(&head).as_deref(), expected, "{version:?}");
    }
}

#[test]
fn connect_and_trace_are_forwarded() {
    // P-32, P-62, R9110-7.8-13, R9110-9.3.6-02.
    let mut head = offering("foo");
    for (method, expected) in [
        ("CONNECT", None),
        ("TRACE", None),
        ("GET", Some("foo")),
        ("HEAD", Some("foo")),
        ("POST", Some("foo")),
        ("PUT", Some("foo")),
        ("DELETE", Some("foo")),
        ("OPTIONS", Some("foo")),
        ("PATCH", Some("foo")),
        // Methods are case-sensitive (RFC 9110 §9.1).
        ("connect", Some("foo")),
        ("trace", Some("foo")),
        ("BREW", Some("foo")),
    ] {
        head.method = method.parse().unwrap();
        assert_eq!(QUESTION.answer(&head).as_deref(), expected, "{method}");
    }
}
