//! Offers on the wire that are switched or forwarded. The ids are those of the requirements.

use crate::support::*;

/// The outcome of a request.
enum Outcome {
    /// The inner service answers, and the request has hyper's `OnUpgrade`.
    Forwarded,
    /// The inner service answers, and the request has no `OnUpgrade`.
    ForwardedPlain,
    /// A 101 with this `Upgrade` header.
    Switched(&'static str),
}

use Outcome::{Forwarded, ForwardedPlain, Switched};

/// Sends the request whole, and then split at every byte. The bytes `NP` follow, and belong to the
/// new protocol after a 101.
async fn check(id: &str, request: impl AsRef<[u8]>, outcome: Outcome) {
    let request = request.as_ref();
    for at in 0..request.len() {
        let log = Log::default();
        let mut wire = connect(&log);
        let upgrade = match outcome {
            Switched(upgrade) => upgrade,
            Forwarded | ForwardedPlain => {
                let received = wire.exchange_split(request, at).await;
                let plain = matches!(outcome, ForwardedPlain);
                let suffix = if plain { "" } else { " upgradable" };
                let events = log.take();
                assert!(received.text.contains("200 OK"), "{id} split at {at}: {received:?}");
                assert_eq!(events.len(), 1, "{id} split at {at}: {events:?}");
                assert!(events[0].starts_with("inner "), "{id} split at {at}: {events:?}");
                assert_eq!(
                    events[0].ends_with(" upgradable"),
                    !plain,
                    "{id} split at {at}: {events:?}, not {suffix:?}",
                );
                continue;
            }
        };
        let bytes = [request, b"NP"].concat();
        let received = wire.exchange_split(&bytes, at).await;
        let expected = switching(upgrade) + "[NP]";
        assert_eq!(received.text, expected, "{id} split at {at}");
        assert!(!received.ended, "{id} split at {at}");
        assert_eq!(log.count("inner"), 0, "{id} split at {at}");
        assert!(log.has(&format!("{} runs {upgrade}", handler_of(upgrade))), "{id}: {log:?}");
        assert_eq!(log.count("failed"), 0, "{id}: {log:?}");
    }
}

fn handler_of(upgrade: &str) -> &str {
    upgrade.split('/').next().unwrap()
}

async fn check_all<const N: usize>(rows: [(&str, &str, Outcome); N]) {
    for (id, headers, outcome) in rows {
        check(id, get(headers), outcome).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_registered_protocol_is_switched_to() {
    check_all([
        ("P-01 R9110-7.8-01", "Connection: upgrade\r\nUpgrade: foo\r\n", Switched("foo")),
        (
            "P-03",
            "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n",
            Switched("websocket"),
        ),
        ("options besides it", "Connection: Upgrade, x-other\r\nUpgrade: foo\r\n", Switched("foo")),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn all_values_of_a_header_are_one_list() {
    check_all([
        (
            "P-02 R9110-5.2-01",
            "Connection: upgrade\r\nUpgrade: nope\r\nUpgrade: foo\r\n",
            Switched("foo"),
        ),
        (
            "P-04",
            "Connection: keep-alive\r\nConnection: Upgrade\r\nUpgrade: foo\r\n",
            Switched("foo"),
        ),
        (
            "R9110-5.3-01",
            "Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: websocket\r\n",
            Switched("websocket"),
        ),
        ("P-44", "Connection: upgrade\r\nUpgrade: websocket, websocket\r\n", Switched("websocket")),
        ("P-47 R7540-3.2-04", "Connection: upgrade\r\nUpgrade: h2, h2c\r\n", Switched("h2c")),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn empty_members_do_not_count() {
    check_all([
        (
            "P-05 R9110-5.6.1.2-01",
            "Connection: ,,Upgrade,\r\nUpgrade: ,, websocket ,\r\n",
            Switched("websocket"),
        ),
        ("P-06 empty R9110-5.6.1.2-02", "Connection: upgrade\r\nUpgrade:\r\n", Forwarded),
        ("P-06 comma", "Connection: upgrade\r\nUpgrade: ,\r\n", Forwarded),
        ("P-06 commas", "Connection: upgrade\r\nUpgrade: , ,\t,\r\n", Forwarded),
        ("P-06 blanks", "Connection: upgrade\r\nUpgrade:   \t \r\n", Forwarded),
        ("P-06 two values", "Connection: upgrade\r\nUpgrade:\r\nUpgrade: ,\r\n", Forwarded),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn space_and_tab_around_members_do_not_count() {
    check_all([
        (
            "P-19 R9110-5.5-01",
            "Connection:\tUpgrade\t\r\nUpgrade:\tfoo\t,\tnope\t\r\n",
            Switched("foo"),
        ),
        ("R9110-5.5-01", "Connection: upgrade\r\nUpgrade: \t foo \t\r\n", Switched("foo")),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn names_of_headers_options_and_protocols_match_in_any_ascii_case() {
    check_all([
        (
            "P-20 R9110-7.8-05",
            "CONNECTION: UPGRADE\r\nUPGRADE: WEBSOCKET\r\n",
            Switched("websocket"),
        ),
        ("R9110-5.1-01", "connection: UPGRADE\r\nuPGRADE: FOO\r\n", Switched("foo")),
        ("VTX-24", "Connection: UpGrAdE\r\nUpgrade: wEbSoCkEt\r\n", Switched("websocket")),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_version_is_matched_as_registered() {
    check_all([
        (
            "P-12 any version, echoed as offered",
            "Connection: upgrade\r\nUpgrade: foo/1\r\n",
            Switched("foo/1"),
        ),
        ("P-13 exactly 2", "Connection: upgrade\r\nUpgrade: bar/1, bar/2\r\n", Switched("bar/2")),
        ("P-13 no version", "Connection: upgrade\r\nUpgrade: bar\r\n", Forwarded),
        ("P-13 another version", "Connection: upgrade\r\nUpgrade: bar/2.0\r\n", Forwarded),
        ("P-46 none is registered", "Connection: upgrade\r\nUpgrade: websocket/13\r\n", Forwarded),
        ("P-50 TLS/1.2", "Connection: upgrade\r\nUpgrade: TLS/1.2\r\n", Switched("TLS/1.2")),
        (
            "R9110-7.8-05 spelled as offered",
            "Connection: upgrade\r\nUpgrade: FOO/x11\r\n",
            Switched("foo/x11"),
        ),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_malformed_member_voids_the_header() {
    for (id, member) in [
        ("P-07", "foo/"),
        ("P-08", "/1"),
        ("P-09", "foo/1/2"),
        ("P-10", "foo/, /1, foo/1/2, foo"),
        ("P-11", "foo / 1"),
        ("P-11", "foo /1"),
        ("P-11", "foo/ 1"),
        ("P-14", "foo bar"),
        ("P-14", "foo;q=1"),
        ("P-14", "foo=1"),
        ("P-14", "foo:1"),
        ("P-14", "(foo)"),
        ("P-14", "foo@1"),
        ("P-16", "\"websocket\""),
        ("P-16", "\"foo\""),
        ("P-17", "\"x, foo, y\""),
        ("TOM-07", "foo, RTA[/x11"),
        ("TOM-08", "foo, RTA/x}11"),
    ] {
        let headers = format!("Connection: upgrade\r\nUpgrade: {member}\r\n");
        check(id, get(&headers), Forwarded).await;
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_beyond_ascii_void_the_header() {
    for (id, member) in [
        ("P-15 R9110-5.5-02", &b"web\xFFsocket, foo"[..]),
        ("P-15", b"w\xC3\xA9b, foo"),
        ("S-22 Kelvin sign", b"websoc\xE2\x84\xAAet"),
        ("S-22 long s", b"web\xC5\xBFocket"),
    ] {
        let bytes = [b"GET /x HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: ", member, b"\r\n\r\n"];
        check(id, bytes.concat(), Forwarded).await;
    }
}

#[tokio::test(start_paused = true)]
async fn every_token_character_may_be_in_a_name() {
    // R9110-5.6.2-01
    let log = Log::default();
    let name = "f!#$%&'*+-.^_~0`|";
    let layer = tower_upgrade::UpgradeLayer::new().on(name, echo(&log, "odd"));
    let mut wire = Wire::serve(tower::Layer::layer(&layer, inner(&log)));
    let headers = format!("Connection: upgrade\r\nUpgrade: {name}\r\n");
    wire.exchange(get(&headers)).await.is(&switching(name));
}

#[tokio::test(start_paused = true)]
async fn half_an_offer_is_forwarded() {
    check_all([
        ("P-21 R9110-7.6.1-06", "Upgrade: foo\r\n", Forwarded),
        ("P-22 R9110-7.6.1-07", "Connection: upgrade\r\n", ForwardedPlain),
        ("P-51", "Proxy-Connection: upgrade\r\nUpgrade: foo\r\n", Forwarded),
        ("an empty field", "Connection:\r\nUpgrade: foo\r\n", Forwarded),
        ("R9110-7.8-02 unknown", "Connection: upgrade\r\nUpgrade: nope\r\n", Forwarded),
        ("R9110-7.8-19", "Connection: upgrade\r\nUpgrade: HTTP/2.0\r\n", Forwarded),
        ("P-47 R7540-3.2-04", "Connection: upgrade\r\nUpgrade: h2\r\n", Forwarded),
        ("R6455-4.2.1-03", "Connection: upgrade\r\nUpgrade: websockets\r\n", Forwarded),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_option_is_a_whole_token() {
    for (id, option) in [
        ("P-18", "\"Upgrade\""),
        ("P-23 S-22", "not-upgrade"),
        ("P-23", "upgrades"),
        ("P-23", "x-upgrade"),
        ("P-23", "upgrade-insecure-requests"),
        ("P-24", "upgrade/1"),
        ("P-24", "upgrade;x"),
        ("P-24", "up grade"),
        ("P-25", "foo bar, upgrade"),
        ("S-22", "notupgrade"),
    ] {
        let headers = format!("Connection: {option}\r\nUpgrade: foo\r\n");
        check(id, get(&headers), Forwarded).await;
    }
}

#[tokio::test(start_paused = true)]
async fn only_http_1_1_switches() {
    // P-27, R9110-7.8-15, R9110-15.2-01
    let headers = "Connection: upgrade\r\nUpgrade: foo\r\n";
    check("P-27", request("GET /x HTTP/1.0", headers), ForwardedPlain).await;
}

#[tokio::test(start_paused = true)]
async fn connect_and_trace_are_forwarded_and_the_handler_decides_about_other_methods() {
    let headers = "Connection: upgrade\r\nUpgrade: foo\r\n";
    check("P-32 R9110-9.3.6-02", request("CONNECT h:443 HTTP/1.1", headers), Forwarded).await;
    check("P-62", request("TRACE /x HTTP/1.1", headers), Forwarded).await;
    check("P-62", request("HEAD /x HTTP/1.1", headers), Switched("foo")).await;
    check("P-62 R9110-7.8-13", request("OPTIONS * HTTP/1.1", headers), Switched("foo")).await;
    check("any method", request("BREW /x HTTP/1.1", headers), Switched("foo")).await;
}

#[tokio::test(start_paused = true)]
async fn a_bare_line_feed_ends_a_line() {
    // P-42, R9112-2.2-01
    let request = "GET /x HTTP/1.1\nHost: a\nConnection: upgrade\nUpgrade: foo\n\n";
    check("P-42", request, Switched("foo")).await;
}

#[tokio::test(start_paused = true)]
async fn a_request_with_connection_close_is_switched_too() {
    // P-26, R9112-9.6-01. hyper appends its own option to the 101.
    let (received, _) =
        exchange(get("Connection: close, Upgrade\r\nUpgrade: foo\r\n") + "NP").await;
    let expected = switching("foo").replace("connection: upgrade", "connection: upgrade, close");
    received.is(&(expected + "[NP]"));
}

#[tokio::test(start_paused = true)]
async fn the_agreed_protocol_is_in_the_request_and_on_the_connection() {
    use bytes::Bytes;
    use http::Request;
    use tower_upgrade::{Protocol, Switch, UpgradeLayer, Upgraded};
    let log = Log::default();
    let seen = log.clone();
    let layer = UpgradeLayer::new().on("Foo/*", move |request: Request<Bytes>| {
        let seen = seen.clone();
        async move {
            let protocol = request.extensions().get::<Protocol<'static>>().unwrap();
            seen.push(format!("{protocol} {:?}", request.headers()["x-more"]));
            Switch::to(move |io: Upgraded| async move { seen.push(format!("{}", io.protocol())) })
        }
    });
    let headers = format!("{CU}Upgrade: fOO/9\r\nX-More: 1\r\n");
    let mut wire = Wire::serve(tower::Layer::layer(&layer, inner(&log)));
    wire.exchange(get(&headers)).await.is(&switching("Foo/9")).and_ends();
    assert_eq!(log.take(), ["Foo/9 \"1\"", "Foo/9"]);
}

#[tokio::test(start_paused = true)]
async fn a_forwarded_offer_with_connection_close_is_answered_and_closed() {
    // P-60, R9112-9.6-01: nothing after the answer is read.
    let (received, log) =
        exchange(get("Connection: close, upgrade\r\nUpgrade: nope\r\n") + "NP").await;
    received.is(&OK.replace("content-length", "connection: close\r\ncontent-length")).and_ends();
    assert_eq!(log.take(), ["inner GET /x \"\" upgradable"]);
}

#[tokio::test(start_paused = true)]
async fn a_connect_without_a_port_is_forwarded() {
    // R9110-9.3.6-01
    for target in ["h:", "h"] {
        let bytes = request(&format!("CONNECT {target} HTTP/1.1"), FOO);
        let (received, log) = exchange(bytes).await;
        assert!(!received.text.contains("101"), "{received:?}");
        assert_eq!(log.count("foo"), 0, "{log:?}");
    }
}
