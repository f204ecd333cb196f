//! The limits of an offer, and the choice between several handlers. The ids are those of the
//! requirements.

use tower::Layer;
use tower_upgrade::{Preference, UpgradeHandler, UpgradeLayer};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_header_may_have_64_members() {
    // P-35
    for (members, switched) in [(64, true), (65, false)] {
        let others: Vec<_> = (1..members).map(|n| format!("Upgrade: p{n}\r\n")).collect();
        let others = others.concat();
        let headers = format!("{CU}{others}Upgrade: foo\r\n");
        let (received, log) = exchange(get(&headers)).await;
        received.starts_with(if switched { "HTTP/1.1 101" } else { "HTTP/1.1 200" });
        assert_eq!(log.count("inner"), usize::from(!switched));
    }
    for (members, switched) in [(64, true), (65, false)] {
        let options = "x, ".repeat(members - 1) + "upgrade";
        let (received, _) =
            exchange(get(&format!("Connection: {options}\r\nUpgrade: foo\r\n"))).await;
        received.starts_with(if switched { "HTTP/1.1 101" } else { "HTTP/1.1 200" });
    }
}

#[tokio::test(start_paused = true)]
async fn a_header_may_have_8_kib_over_all_its_values() {
    // P-33, P-34, S-19
    let commas = |bytes: usize| ",".repeat(bytes);
    for (headers, switched) in [
        (format!("{CU}Upgrade: {}foo\r\n", commas(8 * 1024 - 3)), true),
        (format!("{CU}Upgrade: {}foo\r\n", commas(8 * 1024 - 2)), false),
        (format!("{CU}Upgrade: {}\r\nUpgrade: foo\r\n", commas(8 * 1024 - 3)), true),
        (format!("{CU}Upgrade: {}\r\nUpgrade: foo\r\n", commas(8 * 1024 - 2)), false),
        (format!("{CU}Upgrade: foo\r\nUpgrade: {}\r\n", commas(8 * 1024)), false),
        (format!("{CU}Upgrade: {}foo\r\n", commas(60_000)), false),
        (format!("Connection: {}upgrade\r\nUpgrade: foo\r\n", commas(8 * 1024 - 7)), true),
        (format!("Connection: {}upgrade\r\nUpgrade: foo\r\n", commas(8 * 1024 - 6)), false),
        // P-38
        (format!("{CU}Upgrade: {}\r\n", "f".repeat(300_000)), false),
        (format!("{CU}Upgrade: {}\r\n", "foo,".repeat(10_000)), false),
    ] {
        let (received, log) = exchange(get(&headers)).await;
        received.starts_with(if switched { "HTTP/1.1 101" } else { "HTTP/1.1 200" }).and_is_open();
        assert_eq!(log.count("inner"), usize::from(!switched));
    }
}

#[tokio::test(start_paused = true)]
async fn the_clients_order_decides_unless_the_servers_is_set() {
    // P-45, R9110-7.8-01, R9110-7.8-09
    let log = Log::default();
    let layer = UpgradeLayer::new().on("h2c", echo(&log, "h2c")).on("websocket", echo(&log, "ws"));
    for (preference, offer, expected) in [
        (Preference::Client, "websocket, h2c", "websocket"),
        (Preference::Client, "h2c, websocket", "h2c"),
        (Preference::Server, "websocket, h2c", "h2c"),
        (Preference::Server, "h2c, websocket", "h2c"),
        (Preference::Server, "nope, websocket", "websocket"),
    ] {
        let service = layer.clone().preference(preference).layer(inner(&log));
        let headers = format!("{CU}Upgrade: {offer}\r\n");
        Wire::serve(service).exchange(get(&headers)).await.is(&switching(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn handlers_are_asked_until_one_accepts() {
    let log = Log::default();
    let layer = UpgradeLayer::new()
        .on("foo", echo(&log, "chat").when(|head| head.uri.path() == "/chat"))
        .on("foo", echo(&log, "feed").when(|head| head.uri.path() == "/feed"))
        .on("foo", echo(&log, "feed too").when(|head| head.uri.path() == "/feed"))
        .on("bar", echo(&log, "bar").when(|head| head.uri.path() != "/nobody"));
    let service = layer.layer(inner(&log));
    for (path, offer, expected) in [
        ("/chat", "foo", switching("foo")),
        ("/feed", "foo, bar", switching("foo")),
        ("/feed", "bar, foo", switching("bar")),
        ("/other", "foo, bar", switching("bar")),
        ("/other", "foo", OK.into()),
        ("/nobody", "foo, bar, foo", OK.into()),
    ] {
        let bytes = request(&format!("GET {path} HTTP/1.1"), &format!("{CU}Upgrade: {offer}\r\n"));
        Wire::serve(service.clone()).exchange(bytes).await.is(&expected);
    }
    let asked: Vec<_> = log.take().into_iter().filter(|event| event.contains("asked")).collect();
    assert_eq!(asked, ["chat asked \"\"", "feed asked \"\"", "bar asked \"\"", "bar asked \"\""]);
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_header_over_the_limit_is_ignored_as_a_whole() {
    // P-35
    for (first, last) in [("p0", "foo"), ("foo", "p0")] {
        let others: Vec<_> = (1..89).map(|n| format!("Upgrade: p{n}\r\n")).collect();
        let others = others.concat();
        let headers = format!("{CU}Upgrade: {first}\r\n{others}Upgrade: {last}\r\n");
        exchange(get(&headers)).await.0.is(OK).and_is_open();
    }
}
