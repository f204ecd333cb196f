//! Subprotocols: what is offered, and which one is agreed on.

use http::HeaderValue;
use tower_upgrade::{
    Upgraded,
    websocket::{Handshake, WebSocket},
};

use super::{ACCEPT, answer, handler, opened, opening};
use crate::support::*;

/// A handler that logs what it is offered, and agrees on the last of them.
fn choosy(log: &Log) -> WebSocket {
    let seen = log.clone();
    handler(log).select_subprotocol(move |_, offered| {
        seen.push(format!("offered {offered:?}"));
        offered.last().map(|&name| name.into())
    })
}

/// The 101 that names this subprotocol.
fn speaking(subprotocol: Option<&str>) -> String {
    let header = subprotocol.map(|name| format!("sec-websocket-protocol: {name}\r\n"));
    opened(ACCEPT, &header.unwrap_or_default())
}

#[tokio::test(start_paused = true)]
async fn the_first_subprotocol_of_the_servers_that_was_offered_is_agreed_on() {
    // R6455-4.2.2-subproto, R6455-11.3.4-01
    let known = |log: &Log| handler(log).subprotocols(["superchat", "chat"]);
    for (offer, agreed) in [
        ("Sec-WebSocket-Protocol: chat, superchat", Some("superchat")),
        ("Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: x", Some("chat")),
        ("Sec-WebSocket-Protocol: ,chat,", Some("chat")),
        ("Sec-WebSocket-Protocol: chat, chat", Some("chat")),
        ("Sec-WebSocket-Protocol: a/b, chat", Some("chat")),
        ("Sec-WebSocket-Protocol: x, y", None),
        ("Sec-WebSocket-Protocol: CHAT", None),
        ("X: y", None),
    ] {
        let (received, log) = answer(known, &opening(&[], &[offer])).await;
        received.is(&speaking(agreed));
        assert_eq!(log.take()[0], format!("opened /x {agreed:?} None"));
    }
    // A server that knows none says nothing.
    let offer = "Sec-WebSocket-Protocol: chat";
    answer(handler, &opening(&[], &[offer])).await.0.is(&speaking(None));
}

#[tokio::test(start_paused = true)]
async fn a_subprotocol_that_was_not_offered_is_never_agreed_on() {
    let inventive = |name: &'static str| {
        move |log: &Log| {
            handler(log).select_subprotocol(move |head, offered| {
                assert_eq!((head.uri.path(), offered), ("/x", &["a", "b"][..]));
                Some(name.into())
            })
        }
    };
    let offer = "Sec-WebSocket-Protocol: a, b, x/1";
    for name in ["c", "A", "", "a, b", "x/1", "a\r\nx: y"] {
        answer(inventive(name), &opening(&[], &[offer])).await.0.is(&speaking(None));
    }
    // Without an offer it is not asked.
    answer(inventive("a"), &opening(&[], &[])).await.0.is(&speaking(None));
    answer(choosy, &opening(&[], &[offer])).await.0.is(&speaking(Some("b")));
}

#[tokio::test(start_paused = true)]
async fn offers_that_are_no_tokens_are_left_out() {
    // R6455-4.2.1-08, R6455-8.1-01
    for offer in ["", ",", " , ,", "a b", "a/b", "\"a\"", "a;b", "\u{e9}", "a/b, \u{e9}"] {
        let line = format!("Sec-WebSocket-Protocol: {offer}");
        for handler in [handler, choosy] {
            let (received, log) = answer(handler, &opening(&[], &[&line])).await;
            received.is(&speaking(None));
            assert_eq!(log.take()[0], "opened /x None None", "{offer}");
        }
    }
    for (offer, offered, agreed) in [
        ("a b, a, b/1", r#"["a"]"#, "a"),
        ("\u{e9}, b, a, b, b", r#"["b", "a"]"#, "a"),
        ("a, , a\r\nSec-WebSocket-Protocol: b, a", r#"["a", "b"]"#, "b"),
    ] {
        let line = format!("Sec-WebSocket-Protocol: {offer}");
        let (received, log) = answer(choosy, &opening(&[], &[&line])).await;
        received.is(&speaking(Some(agreed)));
        assert_eq!(log.take()[0], format!("offered {offered}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_may_take_names_that_are_no_tokens() {
    const KUBECTL: &str = "SPDY/3.1+portforward.k8s.io";

    let known = |log: &Log| {
        handler(log).allow_non_token_subprotocols().subprotocols([KUBECTL, "v2.portforward"])
    };
    for (offer, agreed) in [
        (KUBECTL, Some(KUBECTL)),
        ("v2.portforward, SPDY/3.1+portforward.k8s.io", Some(KUBECTL)),
        ("v2.portforward", Some("v2.portforward")),
        ("spdy/3.1+portforward.k8s.io", None),
        ("", None),
    ] {
        let line = format!("Sec-WebSocket-Protocol: {offer}");
        answer(known, &opening(&[], &[&line])).await.0.is(&speaking(agreed));
    }
    // The others stay out: none of them can stand in an answer as one member.
    let lenient = |log: &Log| choosy(log).allow_non_token_subprotocols();
    let line = "Sec-WebSocket-Protocol: a/1, b 2, \u{e9}, \"c\", a/1";
    let (received, log) = answer(lenient, &opening(&[], &[line])).await;
    received.is(&speaking(Some("\"c\"")));
    assert_eq!(log.take()[0], r#"offered ["a/1", "\"c\""]"#);
}

#[test]
#[should_panic(expected = "`a/b` is not a subprotocol: it has to be a token")]
fn a_name_that_is_no_token_cannot_be_configured() {
    drop(WebSocket::new(|_: Upgraded, _: Handshake| async {}).subprotocols(["a/b"]));
}

#[test]
#[should_panic(expected = "`a, b` is not a subprotocol: it has to be visible ASCII")]
fn a_list_cannot_be_configured_as_a_name() {
    let handler = WebSocket::new(|_: Upgraded, _: Handshake| async {});
    drop(handler.allow_non_token_subprotocols().subprotocols(["a, b"]));
}

#[tokio::test(start_paused = true)]
async fn a_list_over_a_limit_offers_nothing() {
    // One request took a core for seconds, when each of 97,500 subprotocols was compared with all
    // that came before it.
    let joined = |members| (0..members).map(|n| format!("p{n}")).collect::<Vec<_>>().join(",");
    let line = |list: &str| format!("Sec-WebSocket-Protocol: {list}");
    for (list, agreed) in [
        (joined(64), Some("p63")),
        (joined(65), None),
        (joined(50_000), None),
        (format!("p0, {}", "p".repeat(8 * 1024)), None),
        (",".repeat(9 * 1024), None),
    ] {
        let (received, _) = answer(choosy, &opening(&[], &[&line(&list)])).await;
        received.is(&speaking(agreed));
        let lenient = |log: &Log| choosy(log).allow_non_token_subprotocols();
        answer(lenient, &opening(&[], &[&line(&list)])).await.0.is(&speaking(agreed));
        answer(handler, &opening(&[], &[&line(&list)])).await.0.is(&speaking(None));
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_agreed_on_cannot_be_changed_behind_the_clients_back() {
    let known = |log: &Log| {
        handler(log).subprotocols(["chat"]).on_connect(|mut handshake: Handshake| async {
            handshake.subprotocol = Some("other".into());
            handshake.extensions = Some(HeaderValue::from_static("other"));
            Ok::<_, http::StatusCode>(handshake)
        })
    };
    let offer = "Sec-WebSocket-Protocol: chat";
    let (received, log) = answer(known, &opening(&[], &[offer])).await;
    received.is(&speaking(Some("chat")));
    assert_eq!(log.take()[0], "opened /x Some(\"chat\") None");
}
