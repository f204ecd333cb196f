//! `Offer`: the same handshake in a handler of one's own.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, StatusCode, request};
use proptest::prelude::*;
use tower::Layer;
use tower_upgrade::{
    Rejection, Switch, UpgradeLayer, Upgraded,
    websocket::{Agreed, Offer, Origins},
};

use super::{ACCEPT, opened, opening, rejected};
use crate::support::*;

/// Sends a request to a handler that makes an `Offer` of it and decides with `decide`.
async fn answer<F>(decide: F, request: &str) -> (Received, Log)
where
    F: Fn(Offer, request::Parts, Log) -> Result<Switch, Rejection> + Clone + Send + Sync + 'static,
{
    let log = Log::default();
    let seen = log.clone();
    let handler = move |request: Request<Bytes>| {
        let (decide, log) = (decide.clone(), seen.clone());
        async move {
            let head = request.into_parts().0;
            let offer = Offer::from_head(&head, &Origins::same_host())?;
            // An offer may be kept across a wait, and moved to another task.
            let offer = tokio::spawn(async { offer }).await.unwrap();
            decide(offer, head, log)
        }
    };
    let service = UpgradeLayer::new().on("websocket", handler).layer(inner(&log));
    let received = Wire::serve(service).exchange(request).await;
    (received, log)
}

fn run(log: Log) -> impl FnOnce(Upgraded, Agreed) -> Echoing + Send + 'static {
    move |io, agreed| {
        log.push(format!("opened {:?} {:?}", agreed.subprotocol, agreed.extensions));
        echo_run(&log, "websocket")(io)
    }
}

#[tokio::test(start_paused = true)]
async fn an_offer_is_answered_with_what_was_agreed_on() {
    let decide = |offer: Offer, head: request::Parts, log: Log| {
        assert_eq!(head.uri.path(), "/x");
        assert!(offer.offered_subprotocols().eq(["b", "a"]));
        let offer = offer.subprotocols(["a", "b"]).agree_extensions(|offers| {
            assert_eq!(offers, "x, y");
            Some(HeaderValue::from_static("x"))
        })?;
        assert_eq!(offer.agreed().subprotocol.as_deref(), Some("a"));
        let (name, value) = (HeaderName::from_static("x-room"), HeaderValue::from_static("1"));
        Ok(offer.switch(run(log)).header(name, value))
    };
    let offers = ["Sec-WebSocket-Protocol: b, a/1, a", "Sec-WebSocket-Extensions: x, y"];
    let (received, log) = answer(decide, &(opening(&[], &offers) + "frame")).await;
    let headers = "sec-websocket-protocol: a\r\nsec-websocket-extensions: x\r\nx-room: 1\r\n";
    received.is(&(opened(ACCEPT, headers) + "[frame]")).and_is_open();
    assert_eq!(log.take()[0], "opened Some(\"a\") Some(\"x\")");
}

#[tokio::test(start_paused = true)]
async fn the_last_agreement_counts() {
    let decide = |offer: Offer, _, log| {
        let offer = offer.subprotocols(["a"]).select_subprotocol(|offered| {
            assert_eq!(offered, ["a", "b"]);
            Some("c".into())
        });
        assert_eq!(offer.agreed(), &Agreed::default());
        let agree = |answer| move |_: &str| Some(HeaderValue::from_static(answer));
        let offer = offer.agree_extensions(agree("x"))?.agree_extensions(agree("z"))?;
        assert_eq!(offer.agreed(), &Agreed::default());
        Ok(offer.switch(run(log)))
    };
    let offers = ["Sec-WebSocket-Protocol: a, b", "Sec-WebSocket-Extensions: x, y"];
    let (received, log) = answer(decide, &opening(&[], &offers)).await;
    received.is(&opened(ACCEPT, ""));
    assert_eq!(log.take()[0], "opened None None");
}

#[tokio::test(start_paused = true)]
async fn names_that_are_no_tokens_count_from_where_they_are_allowed() {
    let decide = |offer: Offer, _, log| {
        assert_eq!(offer.offered_subprotocols().count(), 1);
        let offer = offer.allow_non_token_subprotocols();
        assert!(offer.offered_subprotocols().eq(["a", "SPDY/3.1"]));
        Ok(offer.subprotocols(["SPDY/3.1"]).switch(run(log)))
    };
    let offers = ["Sec-WebSocket-Protocol: a, SPDY/3.1, b c"];
    let (received, _) = answer(decide, &opening(&[], &offers)).await;
    received.is(&opened(ACCEPT, "sec-websocket-protocol: SPDY/3.1\r\n"));
}

#[tokio::test(start_paused = true)]
async fn every_check_comes_before_the_handlers_decision() {
    let decide = |_: Offer, _: request::Parts, log: Log| {
        log.push("decided");
        Err(StatusCode::IM_A_TEAPOT.into())
    };
    for (request, status) in [
        (opening(&[], &[]).replace("GET", "PUT"), "405 Method Not Allowed"),
        (opening(&["Host"], &[]), "400 Bad Request"),
        (opening(&["Sec-WebSocket-Version"], &[]), "400 Bad Request"),
        (
            opening(&["Sec-WebSocket-Version"], &["Sec-WebSocket-Version: 8"]),
            "426 Upgrade Required",
        ),
        (opening(&["Sec-WebSocket-Key"], &["Sec-WebSocket-Key: abc"]), "400 Bad Request"),
        (opening(&[], &["Origin: http://evil.test"]), "403 Forbidden"),
    ] {
        let (received, log) = answer(decide, &request).await;
        received.starts_with(&format!("HTTP/1.1 {status}\r\n")).and_is_open();
        assert_eq!(log.take(), [""; 0]);
    }
    let (received, log) = answer(decide, &opening(&[], &["Sec-WebSocket-Extensions: ;;"])).await;
    received.starts_with("HTTP/1.1 418").and_is_open();
    assert_eq!(log.take(), ["decided"]);
}

#[tokio::test(start_paused = true)]
async fn malformed_extensions_are_an_error_of_the_agreement() {
    let decide = |offer: Offer, _, log| {
        let offer = offer.agree_extensions(|_| unreachable!("the list is malformed"))?;
        Ok(offer.switch(run(log)))
    };
    let (received, _) = answer(decide, &opening(&[], &["Sec-WebSocket-Extensions: ;;"])).await;
    let why = "Sec-WebSocket-Extensions is malformed";
    received.is(&rejected("400 Bad Request", "", why)).and_is_open();
    let (received, _) = answer(decide, &opening(&[], &["Sec-WebSocket-Extensions: "])).await;
    received.is(&opened(ACCEPT, ""));
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "`a/b` is not a subprotocol: it has to be a token")]
async fn an_offer_takes_no_name_that_is_no_token() {
    let head = Request::get("/")
        .header("host", "a.test")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .body(())
        .unwrap()
        .into_parts()
        .0;
    drop(Offer::from_head(&head, &Origins::any()).unwrap().subprotocols(["a", "a/b"]));
}

#[test]
fn an_offer_can_be_kept_anywhere() {
    fn is_free<T: Send + Sync + Unpin + 'static>() {}

    is_free::<Offer>();
    is_free::<Origins>();
}

/// A header value made of pieces that mean something to a parser, and of any others.
fn header_value() -> impl Strategy<Value = HeaderValue> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "a",
            "b/1",
            ",",
            ";",
            "=",
            "\"",
            "\\",
            " ",
            "permessage-deflate",
            "http",
            "https",
            "file",
            "null",
            "://",
            "*",
            ".",
            ":",
            "80",
            "[::1]",
            "a.test",
            "@",
            "/",
            "#",
            "client_max_window_bits",
            "server_max_window_bits=10",
            "\u{e9}",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(32_u8..=255, 0..3),
    ];
    prop::collection::vec(piece, 0..12).prop_filter_map("not a header value", |pieces| {
        HeaderValue::from_bytes(&pieces.concat()).ok()
    })
}

proptest! {
    #[test]
    fn no_header_value_breaks_an_offer(
        origin in prop::collection::vec(header_value(), 0..3),
        protocols in prop::collection::vec(header_value(), 0..3),
        extensions in prop::collection::vec(header_value(), 0..3),
        selected in header_value(),
        allow in any::<bool>(),
    ) {
        let (mut head, ()) = Request::new(()).into_parts();
        for (name, value) in [
            ("host", "a.test"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            head.headers.insert(name, HeaderValue::from_static(value));
        }
        for (name, values) in [
            ("origin", &origin),
            ("sec-websocket-protocol", &protocols),
            ("sec-websocket-extensions", &extensions),
        ] {
            for value in values {
                head.headers.append(name, value.clone());
            }
        }
        for origins in [
            Origins::same_host(),
            Origins::list(["https://*.test", "null", "file://"]),
            Origins::matching(|_, origin| origin.to_string().is_empty()),
        ] {
            let allowed = Offer::from_head(&head, &origins).is_ok();
            prop_assert!(allowed || !origin.is_empty());
        }
        let mut offer = Offer::from_head(&head, &Origins::any()).unwrap();
        if allow {
            offer = offer.allow_non_token_subprotocols();
        }
        let offered: Vec<String> = offer.offered_subprotocols().map(String::from).collect();
        for (index, name) in offered.iter().enumerate() {
            prop_assert!(!offered[..index].contains(name));
            prop_assert!(HeaderValue::from_str(name).is_ok() && !name.contains([',', ' ']));
        }
        let text = String::from_utf8_lossy(selected.as_bytes()).into_owned();
        let offer = offer.select_subprotocol(|_| Some(text.clone()));
        let agreed = offered.contains(&text).then_some(text);
        prop_assert_eq!(&offer.agreed().subprotocol, &agreed);
        if let Ok(offer) = offer.agree_extensions(|_| Some(selected)) {
            let has_extensions = offer.agreed().extensions.is_some();
            prop_assert!(!has_extensions || !extensions.is_empty());
            let switch = format!("{:?}", offer.switch(|_: Upgraded, _: Agreed| async {}));
            prop_assert_eq!(switch.contains("\"sec-websocket-protocol\""), agreed.is_some());
            prop_assert_eq!(switch.contains("\"sec-websocket-extensions\""), has_extensions);
        }
    }
}
