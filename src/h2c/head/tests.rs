//! The head of a request, as fields and as frames.

use http::{HeaderValue, Request};

use super::*;

/// A head as hyper makes it from these lines.
fn head(method: &str, target: &str, lines: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in lines {
        request = request.header(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    request.body(()).unwrap().into_parts().0
}

fn fields(head: &Parts) -> Vec<String> {
    let mut fields = Vec::new();
    visit_fields(head, authority(head).unwrap(), |name, value| {
        let text = [name, b"=", value].concat();
        fields.push(String::from_utf8(text).unwrap());
    });
    fields
}

#[test]
fn fields_of_the_connection_are_left_out() {
    let head = head(
        "GET",
        "/x?y",
        &[
            ("host", "a.test:80"),
            ("connection", "Upgrade, HTTP2-Settings, X-Hop"),
            ("connection", "close"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAMAAABk"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("expect", "100-continue"),
            ("content-length", "0"),
            ("content-length", "0"),
            ("x-hop", "1"),
            ("te", "gzip;q=0.5, Trailers"),
            ("te", "trailers"),
            ("cookie", "a=1; b=2"),
            ("cookie", "c=3"),
            ("x-empty", ""),
        ],
    );
    let expected = [
        ":method=GET",
        ":scheme=http",
        ":authority=a.test:80",
        ":path=/x?y",
        "content-length=0",
        "te=trailers",
        "cookie=a=1; b=2",
        "cookie=c=3",
        "x-empty=",
    ];
    assert_eq!(fields(&head), expected);
}

#[test]
fn the_target_becomes_scheme_authority_and_path() {
    let host = [("host", "a.test")];
    for (method, target, expected) in [
        ("GET", "/", ["http", "a.test", "/"]),
        ("OPTIONS", "*", ["http", "a.test", "*"]),
        ("GET", "http://b.test:81/x?", ["http", "b.test:81", "/x?"]),
        ("GET", "https://b.test", ["https", "b.test", "/"]),
        ("M-SEARCH", "/a%20b", ["http", "a.test", "/a%20b"]),
    ] {
        let head = head(method, target, &host);
        assert!(has_path(&head), "{target}");
        let [scheme, authority, path] = expected;
        let fields = fields(&head);
        assert_eq!(fields[0], format!(":method={method}"));
        assert_eq!(fields[1], format!(":scheme={scheme}"));
        assert_eq!(fields[2], format!(":authority={authority}"));
        assert_eq!(fields[3], format!(":path={path}"));
    }
    for (method, target) in [("GET", "*"), ("GET", "a.test:80")] {
        assert!(!has_path(&head(method, target, &host)), "{method} {target}");
    }
}

#[test]
fn a_request_without_one_valid_host_is_for_nobody() {
    // R9112-3.2-01, VTX-04
    let absolute = "http://b.test/";
    for (target, hosts, expected) in [
        ("/", &["a.test"][..], Some("a.test")),
        ("/", &["[::1]:80"], Some("[::1]:80")),
        (absolute, &["a.test"], Some("b.test")),
        ("http://me@b.test/", &["a.test"], None),
        ("/", &[], None),
        (absolute, &[], None),
        ("/", &["a.test", "a.test"], None),
        (absolute, &["a.test", "b.test"], None),
        ("/", &[""], None),
        ("/", &["a.test, b.test"], None),
        ("/", &["localhost:not"], None),
        ("/", &["me@a.test"], None),
        ("/", &["a@a"], None),
        ("/", &["a:1@a"], None),
        ("/", &["a.test/x"], None),
        ("/", &["\u{e9}.test"], None),
    ] {
        let hosts: Vec<_> = hosts.iter().map(|&host| ("host", host)).collect();
        let head = head("GET", target, &hosts);
        let authority = authority(&head).map(|octets| std::str::from_utf8(octets).unwrap());
        assert_eq!(authority, expected, "{target} {hosts:?}");
    }
}

#[test]
fn lengths_are_integers_with_a_prefix_of_seven_bits() {
    // RFC 7541 §5.1 and §C.1, for another prefix.
    for (len, expected) in [
        (0, &[0][..]),
        (126, &[126]),
        (127, &[127, 0]),
        (128, &[127, 1]),
        (254, &[127, 127]),
        (255, &[127, 0x80, 1]),
        (1337, &[127, 0xba, 0x09]),
        (65_535, &[127, 0x80, 0xff, 0x03]),
    ] {
        let mut block = Vec::new();
        put_string(&mut block, &vec![b'x'; len]);
        assert_eq!(block.len(), len + expected.len());
        assert_eq!(&block[..expected.len()], expected, "{len}");
    }
}

/// The frames behind the preface: length, kind, flags and stream.
fn frames(mut octets: &[u8]) -> Vec<(usize, u8, u8, u32)> {
    let mut frames = Vec::new();
    octets = octets.strip_prefix(PREFACE).unwrap();
    while let Some((head, rest)) = octets.split_first_chunk::<FRAME_HEAD>() {
        let [a, b, c, kind, flags, stream @ ..] = *head;
        let len = u32::from_be_bytes([0, a, b, c]) as usize;
        frames.push((len, kind, flags, u32::from_be_bytes(stream)));
        octets = &rest[len..];
    }
    assert_eq!(octets, b"");
    frames
}

#[test]
fn blocks_and_content_are_divided_into_frames() {
    const FRAME: usize = 16_384;
    let connection = ("connection", "http2-settings");
    let settings = ("http2-settings", "AAMAAABkAARAAAAA");
    let host = ("host", "a");
    let overhead = {
        let head = head("GET", "/", &[host, connection, settings, ("x", "")]);
        let mut block = Vec::new();
        visit_fields(&head, b"a", |name, value| put_literal(&mut block, name, value));
        // A value of this length takes two octets more to say so.
        block.len() + 2
    };
    let value = "v".repeat(FRAME - overhead);
    let exactly = head("GET", "/", &[host, connection, settings, ("x", &value)]);
    let value = "v".repeat(FRAME - overhead + 1);
    let above = head("GET", "/", &[host, connection, settings, ("x", &value)]);
    for (head, content, expected) in [
        (&exactly, 0, &[(FRAME, HEADERS, END_HEADERS | END_STREAM, 1)][..]),
        (&above, 0, &[(FRAME, HEADERS, END_STREAM, 1), (1, CONTINUATION, END_HEADERS, 1)]),
        (&exactly, 1, &[(FRAME, HEADERS, END_HEADERS, 1), (1, DATA, END_STREAM, 1)]),
        (
            &above,
            FRAME,
            &[
                (FRAME, HEADERS, 0, 1),
                (1, CONTINUATION, END_HEADERS, 1),
                (FRAME, DATA, END_STREAM, 1),
            ],
        ),
        (
            &exactly,
            FRAME + 1,
            &[(FRAME, HEADERS, END_HEADERS, 1), (FRAME, DATA, 0, 1), (1, DATA, END_STREAM, 1)],
        ),
    ] {
        let settings = ClientSettings::parse(&head.headers).unwrap();
        let content = vec![b'c'; content];
        let opening = opening(head, b"a", settings, &content, FRAME);
        let frames = frames(&opening);
        assert_eq!(frames[0], (12, SETTINGS, 0, 0));
        assert_eq!(&frames[1..], expected);
    }
}
