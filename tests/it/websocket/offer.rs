//! `Offer`: the same handshake in a handler of one's own.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, StatusCode, request};
use tower::Layer;
use tower_upgrade::{
    Rejection, Switch, UpgradeLayer, Upgraded,
    websocket::{Agreed, Offer, Origins},
};

use super::{ACCEPT, opened, opening, rejected};
use crate::support::*;

/// What a handler answers that makes an `Offer` and decides with this function.
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
