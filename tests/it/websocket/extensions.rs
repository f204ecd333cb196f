//! Extensions: what is offered, and which answers are sent.

use http::HeaderValue;
use tower_upgrade::websocket::WebSocket;

use super::{ACCEPT, answer, handler, opened, opening, rejected};
use crate::support::*;

/// A handler that logs what it is offered, and answers this.
fn agreeing(answer: Option<&'static str>) -> impl Fn(&Log) -> WebSocket {
    move |log| {
        let seen = log.clone();
        handler(log).agree_extensions(move |offers| {
            seen.push(format!("offered {offers}"));
            answer.map(HeaderValue::from_static)
        })
    }
}

#[tokio::test(start_paused = true)]
async fn only_offered_extensions_are_agreed_to() {
    // R6455-4.2.2-ext
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
    // A server that knows none says nothing.
    answer(handler, &request).await.0.is(&opened(ACCEPT, ""));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_its_offer_does_not_allow_is_not_sent() {
    // RFC 7692 §7.1: the table of all parameters is beside the code.
    for (offer, answered, sent) in [
        ("client_max_window_bits", "client_max_window_bits=12", true),
        ("server_no_context_takeover", "client_max_window_bits=12", false),
        ("client_max_window_bits=10", "client_max_window_bits=12", false),
        ("server_max_window_bits=12", "server_max_window_bits=10", true),
        ("server_max_window_bits=10", "server_max_window_bits=12", false),
        ("client_max_window_bits", "server_no_context_takeover; server_no_context_takeover", false),
        ("client_max_window_bits", "max_window_bits=12", false),
    ] {
        let line = format!("Sec-WebSocket-Extensions: permessage-deflate; {offer}");
        let extensions = format!("permessage-deflate; {answered}");
        let value = HeaderValue::try_from(extensions.clone()).unwrap();
        let agreeing = |log: &Log| handler(log).agree_extensions(move |_| Some(value.clone()));
        let (received, log) = answer(agreeing, &opening(&[], &[&line])).await;
        if sent {
            received.is(&opened(ACCEPT, &format!("sec-websocket-extensions: {extensions}\r\n")));
            assert!(log.has(&format!("opened /x None Some({extensions:?})")), "{log:?}");
        } else {
            received.is(&opened(ACCEPT, ""));
            assert!(log.has("opened /x None None"), "{log:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_extensions_are_no_offer() {
    for line in [
        "X: y",
        "Sec-WebSocket-Extensions: ",
        "Sec-WebSocket-Extensions: ,",
        "Sec-WebSocket-Extensions: , ,\r\nSec-WebSocket-Extensions: ",
    ] {
        for handler in [agreeing(Some("x")), agreeing(None)] {
            let (received, log) = answer(handler, &opening(&[], &[line])).await;
            received.is(&opened(ACCEPT, ""));
            assert_eq!(log.take()[0], "opened /x None None");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn malformed_extensions_are_rejected_if_somebody_agrees_to_some() {
    // R6455-4.2.2-ext, R6455-8.1-01
    for offer in [
        ";;",
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
        "x;a=\"\\\u{e9}\"",
    ] {
        let line = format!("Sec-WebSocket-Extensions: {offer}");
        let (received, log) = answer(agreeing(None), &opening(&[], &[&line])).await;
        let why = "Sec-WebSocket-Extensions is malformed";
        received.is(&rejected("400 Bad Request", "", why)).and_is_open();
        assert_eq!(log.take(), [""; 0]);
        // Otherwise the header is not looked at.
        answer(handler, &opening(&[], &[&line])).await.0.is(&opened(ACCEPT, ""));
    }
    for offer in ["x", ",x,", "x;a", "x; a = 1 ; b=\"2\"", "x;a=\"\\1\"", "x, x;a"] {
        let line = format!("Sec-WebSocket-Extensions: {offer}");
        answer(agreeing(None), &opening(&[], &[&line])).await.0.is(&opened(ACCEPT, ""));
    }
}

#[tokio::test(start_paused = true)]
async fn extensions_have_the_limits_of_every_other_list() {
    for (members, opens) in [(64, true), (65, false), (50_000, false)] {
        let list: Vec<_> = (0..members).map(|n| format!("p{n}")).collect();
        let line = format!("Sec-WebSocket-Extensions: {}", list.join(","));
        let (received, _) = answer(agreeing(None), &opening(&[], &[&line])).await;
        let rejection = rejected("400 Bad Request", "", "Sec-WebSocket-Extensions is malformed");
        received.is(&if opens { opened(ACCEPT, "") } else { rejection }).and_is_open();
        answer(handler, &opening(&[], &[&line])).await.0.is(&opened(ACCEPT, ""));
    }
    // The offers are compared with an answer that repeats them all.
    let list = vec!["permessage-deflate; client_max_window_bits=15"; 64].join(",");
    let line = format!("Sec-WebSocket-Extensions: {list}");
    let echoing = |log: &Log| {
        handler(log).agree_extensions(|offers| HeaderValue::try_from(offers.to_owned()).ok())
    };
    answer(echoing, &opening(&[], &[&line])).await.0.is(&opened(ACCEPT, ""));
}
