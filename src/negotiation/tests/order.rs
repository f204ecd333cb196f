//! Which handlers are asked, and in which order.

use super::*;

/// Rows of registrations, an offer, and the choice for each preference.
type Preferences<'a> = (&'a [&'a str], &'a str, Option<&'a str>, Option<&'a str>);

#[test]
fn the_preference_decides_between_several_offers() {
    // P-45, R9110-7.8-01, R9110-7.8-09.
    let rows: [Preferences<'_>; 8] = [
        (&["a", "b"], "a, b", Some("a"), Some("a")),
        (&["a", "b"], "b, a", Some("b"), Some("a")),
        (&["a", "b"], "nope, b, a", Some("b"), Some("a")),
        (&["b", "a"], "nope, b\na", Some("b"), Some("b")),
        (&["b", "a"], "a\nb", Some("a"), Some("b")),
        // Among the offers that one pattern matches, the client's order decides.
        (&["a/*"], "a/2, a, a/1", Some("a/2"), Some("a/2")),
        (&["a/1", "a/*"], "a/2, a/1", Some("a/2"), Some("a/1")),
        (&["a", "b"], "c", None, None),
    ];
    for (registered, offer, client, server) in rows {
        let head = offering(offer);
        for (preference, expected) in [(Preference::Client, client), (Preference::Server, server)] {
            let question = Question { registered, preference, ..QUESTION };
            assert_eq!(question.answer(&head).as_deref(), expected, "{question:?} {offer:?}");
        }
    }
}

/// Rows of declining patterns, the chosen pattern, and the log of `accepts` calls.
type Asked<'a> = (&'a [&'a str], Option<(&'a str, &'a str)>, &'a [&'a str]);

#[track_caller]
fn check_asked<const N: usize>(preference: Preference, rows: [Asked<'_>; N]) {
    let head = offering("nope, B/1\na, b/2");
    for (declining, expected, log) in rows {
        let registered = &["a", "c", "b/1", "b/2", "A/*", "b/*"];
        let question = Question { registered, declining, preference, ..QUESTION };
        let (choice, asked) = question.ask(&head);
        let choice = choice.as_ref().map(|(pattern, protocol)| (&**pattern, &**protocol));
        assert_eq!(choice, expected, "{declining:?}");
        assert_eq!(asked, log, "{declining:?}");
    }
}

#[test]
fn for_each_offer_the_handlers_are_asked_in_order_of_registration() {
    check_asked(
        Preference::Client,
        [
            (&[], Some(("b/1", "b/1")), &["b/1 b/1"]),
            (&["a"], Some(("b/1", "b/1")), &["b/1 b/1"]),
            (&["b/1"], Some(("b/*", "b/1")), &["b/1 b/1", "b/* b/1"]),
            (&["b/1", "b/*"], Some(("a", "a")), &["b/1 b/1", "b/* b/1", "a a"]),
            (&["b/1", "b/*", "a"], Some(("A/*", "A")), &["b/1 b/1", "b/* b/1", "a a", "A/* A"]),
            (
                &["b/1", "b/*", "a", "A/*"],
                Some(("b/2", "b/2")),
                &["b/1 b/1", "b/* b/1", "a a", "A/* A", "b/2 b/2"],
            ),
            (
                &["b/1", "b/*", "a", "A/*", "b/2"],
                None,
                &["b/1 b/1", "b/* b/1", "a a", "A/* A", "b/2 b/2", "b/* b/2"],
            ),
        ],
    );
}

#[test]
fn a_handler_is_asked_once_however_often_a_client_repeats_an_offer() {
    // With 64 times `h2c`, the handler decoded the settings of the client 64 times.
    let registered = &["h2c", "foo/*", "bar/2", "h2c"];
    let head = offering(&["h2c, foo/1, H2C, foo, bar/2, FOO, foo/1"; 9].join(", "));
    for preference in [Preference::Client, Preference::Server] {
        let question = Question { registered, declining: registered, preference, ..QUESTION };
        let (choice, mut asked) = question.ask(&head);
        assert_eq!(choice, None);
        // A version of the client's is another protocol each time.
        asked.retain(|asked| asked != "foo/* foo/1");
        asked.sort();
        assert_eq!(asked, ["bar/2 bar/2", "foo/* foo", "h2c h2c", "h2c h2c"], "{preference:?}");
    }
}

#[test]
fn each_handler_is_asked_for_the_offers_in_the_clients_order() {
    check_asked(
        Preference::Server,
        [
            (&[], Some(("a", "a")), &["a a"]),
            (&["a"], Some(("b/1", "b/1")), &["a a", "b/1 b/1"]),
            (&["a", "b/1"], Some(("b/2", "b/2")), &["a a", "b/1 b/1", "b/2 b/2"]),
            (&["a", "b/1", "b/2"], Some(("A/*", "A")), &["a a", "b/1 b/1", "b/2 b/2", "A/* A"]),
            (
                &["a", "b/1", "b/2", "A/*"],
                Some(("b/*", "b/1")),
                &["a a", "b/1 b/1", "b/2 b/2", "A/* A", "b/* b/1"],
            ),
            (
                &["a", "b/1", "b/2", "A/*", "b/*"],
                None,
                &["a a", "b/1 b/1", "b/2 b/2", "A/* A", "b/* b/1", "b/* b/2"],
            ),
        ],
    );
}

#[test]
fn no_handler_is_asked_about_a_request_without_a_registered_offer() {
    for text in [
        "upgrade: foo",
        "connection: upgrade\nupgrade: nope",
        "connection: upgrade\nupgrade: foo, foo/",
        "connection: upgrade, x y\nupgrade: foo",
        "connection: upgrade\nupgrade: bar",
    ] {
        assert_eq!(QUESTION.ask(&head(text)), (None, vec![]), "{text:?}");
    }
    let question = Question { registered: &[], ..QUESTION };
    assert_eq!(question.ask(&offering("foo")), (None, vec![]));
}

#[test]
fn a_declined_request_has_the_reason_closest_to_an_upgrade() {
    let log = RefCell::default();
    let register = |pattern: &str, accepts| Registered {
        pattern: Pattern::parse(pattern).unwrap(),
        body_limit: 5,
        chunked: false,
        accepts,
        log: &log,
    };
    let candidates = [register("foo", true), register("bar", false)];
    let offer = "connection: upgrade\nupgrade: ";
    for (text, body, reason) in [
        ("upgrade: foo".to_owned(), Some(0), Decline::Connection),
        ("connection: up grade\nupgrade: foo".to_owned(), Some(0), Decline::Connection),
        (format!("{offer},"), Some(0), Decline::Upgrade),
        (format!("{offer}foo;x"), Some(0), Decline::Upgrade),
        (format!("{offer}nope"), Some(0), Decline::Unregistered),
        (format!("{offer}nope"), None, Decline::Unregistered),
        (format!("{offer}foo, nope"), Some(6), Decline::Body),
        (format!("{offer}nope, bar"), None, Decline::Body),
        (format!("expect: x, 100-continue\n{offer}foo"), Some(5), Decline::Body),
        (format!("{offer}nope, bar"), Some(0), Decline::Unaccepted),
    ] {
        for preference in [Preference::Client, Preference::Server] {
            let head = head(&text);
            let choice = choose(&head, || body.map(Length::Exactly), &candidates, preference);
            assert_eq!(choice.map(drop), Err(reason), "{text:?}");
        }
    }
    let mut head = head("connection: upgrade\nupgrade: foo");
    head.method = Method::CONNECT;
    let choice = choose(&head, || Some(Length::Exactly(0)), &candidates, Preference::Client);
    assert_eq!(choice.map(drop), Err(Decline::Request));
}
