//! Bodies, expectations, limits, and single headers, as tables.

use super::*;

#[test]
fn a_body_has_to_be_within_the_handlers_limit() {
    // P-52, P-53, P-54.
    let head = head("connection: upgrade\nupgrade: foo");
    let exactly = |bytes| Some(Length::Exactly(bytes));
    let chunked = Some(Length::Chunked);
    for (body_limit, reads_chunked, body, taken) in [
        (0, false, None, false),
        (0, false, exactly(0), true),
        (0, false, exactly(1), false),
        (5, false, None, false),
        (5, false, exactly(0), true),
        (5, false, exactly(4), true),
        (5, false, exactly(5), true),
        (5, false, exactly(6), false),
        (5, false, exactly(u64::MAX), false),
        (usize::MAX, true, None, false),
        (usize::MAX, false, exactly(1 << 30), true),
        (usize::MAX, false, chunked, false),
        (0, true, chunked, true),
        (5, true, exactly(6), false),
    ] {
        let question = Question { body_limit, chunked: reads_chunked, body, ..QUESTION };
        let (choice, asked) = question.ask(&head);
        assert_eq!(choice.is_some(), taken, "{body:?} of {body_limit}");
        // `accepts` is not called for a request whose body is over the limit.
        assert_eq!(asked.len(), usize::from(taken), "{body:?} of {body_limit}");
    }
}

#[test]
fn another_handler_may_take_a_longer_body() {
    let log = RefCell::default();
    let register = |pattern: &str, body_limit, chunked| Registered {
        pattern: Pattern::parse(pattern).unwrap(),
        body_limit,
        chunked,
        accepts: true,
        log: &log,
    };
    let candidates =
        [register("foo", 4, false), register("foo", 5, false), register("bar", 9, true)];
    let head = head("connection: upgrade\nupgrade: foo, bar");
    for (body, expected) in [
        (Length::Exactly(0), Some(("foo", 4))),
        (Length::Exactly(5), Some(("foo", 5))),
        (Length::Exactly(6), Some(("bar", 9))),
        (Length::Exactly(10), None),
        (Length::Chunked, Some(("bar", 9))),
    ] {
        for preference in [Preference::Client, Preference::Server] {
            let choice = choose(&head, || Some(body), &candidates, preference).ok();
            let choice = choice.map(|it| (it.protocol.to_string(), it.candidate.body_limit));
            let expected = expected.map(|(protocol, limit)| (protocol.to_owned(), limit));
            assert_eq!(choice, expected, "{body:?}");
        }
    }
}

#[test]
fn an_expectation_that_hyper_does_not_meet_is_not_taken_on() {
    // P-55, P-56, R9110-7.8-17, R9110-10.1.1-06, R9110-10.1.1-07, H-7.
    for (text, met) in [
        ("", true),
        ("expect: 100-continue", true),
        ("expect: 100-Continue", true),
        ("Expect: 100-CONTINUE", true),
        // With another expectation, no client waits for a 100.
        ("expect: ", true),
        ("expect: foo", true),
        ("expect: 100-continu", true),
        ("expect: 100, continue", true),
        ("expect: foo\nexpect: bar", true),
        // These expect a 100, and hyper sends none.
        ("expect: 100-continue, x", false),
        ("expect: x, 100-continue", false),
        ("expect: x,100-CONTINUE,y", false),
        ("expect: 100-continue,", false),
        ("expect:  100-continue", false),
        ("expect: 100-continue;q=1", false),
        ("expect: \"100-continue\"", false),
        // Of several text, hyper goes by the last one.
        ("expect: 100-continue\nexpect: x", false),
        ("expect: x\nexpect: 100-continue", false),
        ("expect: 100-continue\nexpect: 100-continue", false),
        ("expect: x\nexpect: y\nexpect: 100-Continue, z", false),
    ] {
        let head = head("connection: upgrade\nupgrade: foo\n".to_owned() + text);
        let question = Question { body_limit: 5, ..QUESTION };
        assert_eq!(expectation_can_be_met(&head.headers), met, "{text:?}");
        for body in [Length::Exactly(1), Length::Exactly(5), Length::Chunked] {
            let question = Question { body: Some(body), chunked: true, ..question };
            let (choice, asked) = question.ask(&head);
            assert_eq!(choice.is_some(), met, "{text:?} with {body:?}");
            assert_eq!(asked.len(), usize::from(met), "{text:?} with {body:?}");
        }
        // R9110-10.1.1-02: a request without a body waits for nothing.
        assert!(question.answer(&head).is_some(), "{text:?} without a body");
    }
    let headers = headers(b"expect: \xff100-continue\xff");
    assert!(!expectation_can_be_met(&headers));
}

#[test]
fn a_connection_option_is_a_whole_member() {
    for (text, named) in [
        ("", false),
        ("connection: ", false),
        ("connection: upgrade", true),
        // P-05, P-19, P-20.
        ("connection: ,,Upgrade,", true),
        ("connection: \tUpgrade\t", true),
        ("connection: UPGRADE", true),
        // P-03, P-04.
        ("connection: keep-alive, Upgrade", true),
        ("connection: upgrade, keep-alive", true),
        ("connection: keep-alive\nconnection: upgrade", true),
        ("connection: upgrade\nconnection: keep-alive", true),
        ("connection: upgrade\nconnection: ", true),
        // P-18.
        ("connection: \"Upgrade\"", false),
        // P-23.
        ("connection: not-upgrade", false),
        ("connection: upgrades", false),
        ("connection: x-upgrade", false),
        ("connection: upgrade-insecure-requests", false),
        ("connection: upgrad", false),
        // P-24.
        ("connection: upgrade/1", false),
        ("connection: upgrade;x", false),
        ("connection: up grade", false),
        // P-25, on either side and in another header.
        ("connection: foo bar, upgrade", false),
        ("connection: upgrade, foo bar", false),
        ("connection: upgrade, foo/1", false),
        ("connection: upgrade\nconnection: foo bar", false),
        // P-51.
        ("proxy-connection: upgrade", false),
        ("upgrade: upgrade", false),
    ] {
        let headers = headers(text.as_bytes());
        assert_eq!(names_connection_option(&headers, "upgrade"), named, "{text:?}");
        assert_eq!(names_connection_option(&headers, "UPGRADE"), named, "{text:?}");
    }
    let headers = headers(b"connection: upgrade, \xff\nupgrade: foo");
    assert!(!names_connection_option(&headers, "upgrade"));
}

#[test]
fn a_connection_option_may_be_any_token() {
    // P-48.
    let headers = headers(b"connection: Upgrade, HTTP2-Settings");
    for (option, named) in
        [("http2-settings", true), ("upgrade", true), ("http2", false), ("", false)]
    {
        assert_eq!(names_connection_option(&headers, option), named, "{option:?}");
    }
}

/// A row of `Upgrade` headers, the list of a 101, and whether that list is allowed.
type Stack<'a> = (&'a str, &'a [&'a str], bool);

#[test]
fn only_what_was_offered_may_be_switched_to() {
    // R9110-7.8-08, R9110-7.8-07 and section 10.6.
    let rows: [Stack<'_>; 23] = [
        ("upgrade: foo", &["foo"], true),
        ("upgrade: foo", &["FOO"], true),
        ("upgrade: foo", &[], true),
        ("upgrade: foo", &["bar"], false),
        ("upgrade: foo", &["foo/1"], false),
        ("upgrade: foo/1", &["foo"], false),
        ("upgrade: foo/x1", &["foo/X1"], false),
        ("upgrade: foo, bar/2", &["bar/2", "foo"], true),
        ("upgrade: foo\nupgrade: bar/2", &["foo", "bar/2"], true),
        ("upgrade: foo", &["foo", "bar"], false),
        ("upgrade: foo", &["bar", "foo"], false),
        // HTTP/1.1 after TLS need not be offered. Everything else has to be.
        ("upgrade: TLS/1.2", &["TLS/1.2", "HTTP/1.1"], true),
        ("upgrade: tls/1.2", &["TLS/1.2", "http/1.1"], true),
        ("upgrade: TLS", &["TLS", "HTTP/1.1"], true),
        ("upgrade: TLS/1.2", &["HTTP/1.1", "TLS/1.2"], false),
        ("upgrade: TLS/1.2", &["HTTP/1.1"], false),
        ("upgrade: TLS/1.2", &["TLS/1.2", "HTTP/2.0"], false),
        ("upgrade: TLS/1.2", &["TLS/1.2", "HTTP"], false),
        ("upgrade: TLS/1.2", &["TLS/1.2", "HTTP/1.1", "HTTP/1.1"], false),
        ("upgrade: foo", &["foo", "HTTP/1.1"], false),
        ("upgrade: foo, HTTP/1.1", &["foo", "HTTP/1.1"], true),
        // A malformed header offers nothing.
        ("upgrade: foo, foo/", &["foo"], false),
        ("connection: upgrade", &["foo"], false),
    ];
    for (text, stack, allowed) in rows {
        let protocols: Vec<Protocol<'_>> =
            stack.iter().map(|protocol| protocol.parse().unwrap()).collect();
        let offered = Offered::new(&headers(text.as_bytes()), false);
        let another = "another".parse().unwrap();
        assert_eq!(offered.allows(&another, &protocols), allowed, "{text:?} {stack:?}");
        // The only offer need not be kept.
        if let Ok(only) = text.trim_start_matches("upgrade: ").parse() {
            assert_eq!(Offered::Agreed.allows(&only, &protocols), allowed, "{text:?} {stack:?}");
        }
    }
}

/// Values that name `foo`, and whether the header still counts, as `Upgrade` and as `Connection`.
#[track_caller]
fn check_limit(values: &[String], within: bool) {
    let bytes: usize = values.iter().map(String::len).sum();
    let note = format!("{} values, {bytes} bytes, {:.40?}", values.len(), values[0]);
    let headers_of =
        |name| values.iter().flat_map(|value| [name, ": ", value, "\n"]).collect::<String>();

    let offer = head("connection: upgrade\n".to_owned() + &headers_of("upgrade"));
    assert_eq!(QUESTION.answer(&offer).is_some(), within, "upgrade: {note}");
    let foo = "foo".parse().unwrap();
    assert_eq!(is_offered(offer.headers.get_all(UPGRADE), &foo), within, "upgrade: {note}");

    let options = headers(headers_of("connection").as_bytes());
    assert_eq!(names_connection_option(&options, "foo"), within, "connection: {note}");
}

#[test]
fn a_header_has_at_most_64_members() {
    // P-33, P-34, P-35, R9110-5.6.1.2-01.
    let others = |members: usize| iter::repeat_n("x", members).collect::<Vec<_>>();
    for (members, within) in [(1, true), (63, true), (64, true), (65, false), (200, false)] {
        let others = others(members - 1);
        check_limit(&[[&others[..], &["foo"]].concat().join(", ")], within);
        check_limit(&[[&["foo"], &others[..]].concat().join(",")], within);
        // Empty members are not counted.
        check_limit(&[[&others[..], &["foo"]].concat().join(" ,, ,\t,")], within);
        // One member in each value.
        let values = [&others[..], &["foo"]].concat();
        check_limit(&values.into_iter().map(str::to_owned).collect::<Vec<_>>(), within);
        // Two values, each within the limit alone.
        let (left, right) = others.split_at(others.len() / 2);
        let values = [[left, &["foo"]].concat().join(","), right.join(",")];
        check_limit(&values, within);
    }
}

#[test]
fn a_header_has_at_most_8_kib_over_all_its_values() {
    // P-33, P-34, P-37, P-38, R9110-5.4-01.
    for (bytes, within) in
        [(3, true), (8191, true), (8192, true), (8193, false), (60_000, false), (300_000, false)]
    {
        let rest = bytes - 3;
        for filler in [",", " ", "\t"] {
            check_limit(&[filler.repeat(rest) + "foo"], within);
            check_limit(&["foo".to_owned() + &filler.repeat(rest)], within);
            // The sum of the values counts, without the commas that would join them.
            check_limit(&[filler.repeat(rest), "foo".to_owned()], within);
            check_limit(&["foo".to_owned(), filler.repeat(rest)], within);
            let (left, right) = (filler.repeat(rest / 2), filler.repeat(rest - rest / 2));
            check_limit(&[left, "foo".to_owned(), right, String::new()], within);
        }
        if let Some(rest) = rest.checked_sub(2) {
            // One long token.
            check_limit(&["x".repeat(rest) + ", foo"], within);
        }
    }
}
