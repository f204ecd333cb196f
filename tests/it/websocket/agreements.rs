//! Subprotocols and extensions.

use http::HeaderValue;
use tower_upgrade::{
    Upgraded,
    websocket::{Handshake, WebSocket},
};

use super::{ACCEPT, answer, handler, opened, opening, refused};
use crate::support::*;

#[tokio::test(start_paused = true)]
async fn the_first_subprotocol_of_the_servers_that_was_offered_is_agreed_on() {
    // R6455-4.2.2-subproto, R6455-11.3.4-01
    let known = |log: &Log| handler(log).subprotocols(["superchat", "chat"]);
    for (offer, agreed) in [
        ("Sec-WebSocket-Protocol: chat, superchat", Some("superchat")),
        ("Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: x", Some("chat")),
        ("Sec-WebSocket-Protocol: ,chat,", Some("chat")),
        ("Sec-WebSocket-Protocol: x, y", None),
        ("Sec-WebSocket-Protocol: CHAT", None),
        ("X: y", None),
    ] {
        let (received, log) = answer(known, &opening(&[], &[offer])).await;
        let field = agreed.map(|name| format!("sec-websocket-protocol: {name}\r\n"));
        received.is(&opened(ACCEPT, &field.unwrap_or_default()));
        assert_eq!(log.take()[0], format!("opened /x {agreed:?} None"));
    }
    // A server that knows none says nothing.
    let offer = "Sec-WebSocket-Protocol: chat";
    answer(handler, &opening(&[], &[offer])).await.0.is(&opened(ACCEPT, ""));
}

#[tokio::test(start_paused = true)]
async fn a_subprotocol_that_was_not_offered_is_never_agreed_on() {
    let inventive = |log: &Log| {
        handler(log).select_subprotocol(|head, offered| {
            assert_eq!((head.uri.path(), offered), ("/x", &["a", "b"][..]));
            Some("c".into())
        })
    };
    let offer = "Sec-WebSocket-Protocol: a, b";
    answer(inventive, &opening(&[], &[offer])).await.0.is(&opened(ACCEPT, ""));
    // Without an offer it is not asked.
    answer(inventive, &opening(&[], &[])).await.0.is(&opened(ACCEPT, ""));
    let choosy = |log: &Log| handler(log).select_subprotocol(|_, offered| Some(offered[1].into()));
    let expected = opened(ACCEPT, "sec-websocket-protocol: b\r\n");
    answer(choosy, &opening(&[], &[offer])).await.0.is(&expected);
}

#[tokio::test(start_paused = true)]
async fn malformed_subprotocols_are_refused() {
    // R6455-4.2.1-08, R6455-8.1-01
    for offer in ["a b", "a/b", "\"a\"", "", ",", "a, a", "a;b", "\u{e9}"] {
        let line = format!("Sec-WebSocket-Protocol: {offer}");
        let (received, _) = answer(handler, &opening(&[], &[&line])).await;
        let why = "Sec-WebSocket-Protocol is malformed";
        received.is(&refused("400 Bad Request", "", why)).and_is_open();
    }
}

#[tokio::test(start_paused = true)]
async fn only_offered_extensions_are_agreed_to() {
    // R6455-4.2.2-ext
    let agreeing = |answer: Option<&'static str>| {
        move |log: &Log| {
            let log = log.clone();
            handler(&log).agree_extensions(move |offers| {
                log.push(format!("offered {offers}"));
                answer.map(HeaderValue::from_static)
            })
        }
    };
    let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x;a=\"1\"\r\n\
                 Sec-WebSocket-Extensions: y";
    let request = opening(&[], &[offer]);

    let answered = "permessage-deflate; server_max_window_bits=10";
    let (received, log) = answer(agreeing(Some(answered)), &request).await;
    received.is(&opened(ACCEPT, &format!("sec-websocket-extensions: {answered}\r\n")));
    let offers = "offered permessage-deflate; client_max_window_bits, x;a=\"1\", y";
    assert_eq!(log.take()[..2], [offers, &format!("opened /x None Some({answered:?})")]);

    for none in [None, Some("")] {
        answer(agreeing(none), &request).await.0.is(&opened(ACCEPT, ""));
    }
    for bad in ["z", "permessage-deflate, z", "permessage-deflate;;", "x y"] {
        let (received, log) = answer(agreeing(Some(bad)), &request).await;
        received.is(&opened(ACCEPT, ""));
        assert!(log.has("opened /x None None"), "{log:?}");
    }
    // Offered none: not asked, and nothing said.
    let (received, log) = answer(agreeing(Some("x")), &opening(&[], &[])).await;
    received.is(&opened(ACCEPT, ""));
    assert_eq!(log.count("offered"), 0);
    // A server that knows none says nothing.
    answer(handler, &request).await.0.is(&opened(ACCEPT, ""));
}

#[tokio::test(start_paused = true)]
async fn malformed_extensions_are_refused() {
    // R6455-4.2.2-ext, R6455-8.1-01
    for offer in [
        ";;",
        "",
        ",",
        "x;",
        "x;;y",
        "x y",
        "x;a b",
        "x;a=",
        "x;=1",
        "x;a=\"",
        "x;a=\"\"",
        "x;a=\"1 2\"",
        "x;a=\"1\\\"",
        "x;a=\"\\\"\"",
        "x;a=1=2",
        "\u{e9}",
    ] {
        let line = format!("Sec-WebSocket-Extensions: {offer}");
        let (received, _) = answer(handler, &opening(&[], &[&line])).await;
        let why = "Sec-WebSocket-Extensions is malformed";
        received.is(&refused("400 Bad Request", "", why)).and_is_open();
    }
    for offer in ["x", ",x,", "x;a", "x; a = 1 ; b=\"2\"", "x;a=\"\\1\"", "x, x;a"] {
        let line = format!("Sec-WebSocket-Extensions: {offer}");
        answer(handler, &opening(&[], &[&line])).await.0.is(&opened(ACCEPT, ""));
    }
}

#[test]
#[should_panic(expected = "`a b` is not a subprotocol")]
fn what_is_no_token_cannot_be_a_subprotocol() {
    drop(WebSocket::new(|_: Upgraded, _: Handshake| async {}).subprotocols(["a b"]));
}

#[tokio::test(start_paused = true)]
async fn lists_have_the_limits_of_every_other() {
    // One request took a core for seconds, when each of 97,500 subprotocols was compared with all
    // that came before it.
    for name in ["Protocol", "Extensions"] {
        for (members, opens) in [(64, true), (65, false), (50_000, false)] {
            let list: Vec<_> = (0..members).map(|n| format!("p{n}")).collect();
            let line = format!("Sec-WebSocket-{name}: {}", list.join(","));
            let (received, _) = answer(handler, &opening(&[], &[&line])).await;
            let why = format!("Sec-WebSocket-{name} is malformed");
            let refusal = refused("400 Bad Request", "", &why);
            received.is(&if opens { opened(ACCEPT, "") } else { refusal }).and_is_open();
        }
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
    received.is(&opened(ACCEPT, "sec-websocket-protocol: chat\r\n"));
    assert_eq!(log.take()[0], "opened /x Some(\"chat\") None");
}
