//! From the offer to the end of the connection.

use std::time::Duration;

use super::*;

#[tokio::test(start_paused = true)]
async fn the_request_that_asked_is_answered_inside_tls() {
    // R2817-3.3-01, R2817-3.3-02, R2817-3.3-03, P-50
    for (version, tls) in [("TLS/1.2", &TLS12), ("TLS/1.3", &TLS13), ("tls/1.2", &TLS13)] {
        let server = Server::new();
        let mut wire = server.connect();
        let protocols = format!("{}, HTTP/1.1", version.to_uppercase());
        wire.exchange(offer(version)).await.is(&switching(&protocols)).and_is_open();
        assert_eq!(server.log.take(), [""; 0], "it is answered inside TLS only");
        let mut secure = Secure::handshake(wire.io, server.client(tls)).await.unwrap();
        secure.receive().await.is(ANSWER).and_is_open();
        assert_eq!(server.log.take(), ["TLS, from clear: GET /x"]);

        // The connection goes on in HTTP/1.1.
        secure.exchange(&(get("A: b\r\n") + &get(""))).await.is(&ANSWER.repeat(2)).and_is_open();
        let close = get("Connection: close\r\n");
        let closes = ANSWER.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
        secure.exchange(&close).await.is(&closes).and_ends();
        let events = ["TLS: GET /x a=b", "TLS: GET /x", "TLS: GET /x connection=close"];
        assert_eq!(server.log.take(), events);
    }
}

#[tokio::test(start_paused = true)]
async fn it_does_not_matter_how_the_request_arrives() {
    let server = Server::new();
    let request = offer("TLS/1.2");
    for at in 0..request.len() {
        let mut wire = server.connect();
        let received = wire.exchange_split(request.as_bytes(), at).await;
        received.is(&switching("TLS/1.2, HTTP/1.1"));
        let mut secure = Secure::handshake(wire.io, server.client(&TLS13)).await.unwrap();
        secure.receive().await.is(ANSWER).and_is_open();
        assert_eq!(server.log.take(), ["TLS, from clear: GET /x"], "split at {at}");
    }
}

#[tokio::test(start_paused = true)]
async fn options_for_the_server_switch_without_asking_for_anything() {
    // R2817-3.2-01. The list is that of libcups.
    let server = Server::new();
    let headers = format!("{CU}Upgrade: TLS/1.2, TLS/1.1, TLS/1.0\r\n");
    let request = request("OPTIONS * HTTP/1.1", &headers);
    let mut secure = server.switch(server.connect(), &request).await;
    secure.receive().await.is(ANSWER).and_is_open();
    assert_eq!(server.log.take(), ["TLS, from clear: OPTIONS *"]);
}

#[tokio::test(start_paused = true)]
async fn requests_that_ask_for_no_version_of_rustls_are_answered_in_clear() {
    // R2817-3.1-01, P-50
    let server = Server::new();
    let mut wire = server.connect();
    let version = |tls: &str| format!("{CU}Upgrade: {tls}\r\n");
    for headers in [
        String::new(),
        "Upgrade: TLS/1.2\r\n".into(),
        version("TLS"),
        version("TLS/x"),
        version("TLS/1.2.3"),
        version("TLS/1.0"),
        version("TLS/1.2/3"),
        version("TLS/1.2") + "Content-Length: 2\r\n",
    ] {
        let body = if headers.contains("Length") { "hi" } else { "" };
        wire.exchange(get(&headers) + body).await.is(ANSWER).and_is_open();
        let events = server.log.take();
        assert_eq!(events.len(), 1, "{headers}");
        assert!(events[0].starts_with("clear: GET /x"), "{events:?}");
    }
    // A later request of the connection may still ask.
    let mut secure = server.switch(wire, &offer("TLS/1.9, TLS/1.2")).await;
    secure.receive().await.is(ANSWER).and_is_open();
}

#[tokio::test(start_paused = true)]
async fn the_first_response_is_sent_as_its_request_asked() {
    let server = Server::new();
    let ok = "HTTP/1.1 200 OK\r\n";
    for (line, headers, expected, is_open) in [
        ("HEAD /x", CU, format!("{ok}content-length: 2\r\n\r\n"), true),
        (
            "GET /x",
            "Connection: close, Upgrade\r\n",
            format!("{ok}content-length: 2\r\nconnection: close\r\n\r\nok"),
            false,
        ),
        (
            "GET /trailers",
            "Connection: TE, upgrade\r\nTE: trailers\r\n",
            format!(
                "{ok}trailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n\
                 2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n"
            ),
            true,
        ),
    ] {
        let headers = format!("{headers}Upgrade: TLS/1.2\r\n");
        let request = request(&format!("{line} HTTP/1.1"), &headers);
        let mut secure = server.switch(server.connect(), &request).await;
        let received = secure.receive().await;
        assert_eq!(received, Received { text: expected, ended: !is_open }, "{line}");
        if is_open {
            secure.exchange(&get("")).await.is(ANSWER).and_is_open();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_offer_is_gone_from_the_request_and_the_rest_is_not() {
    // R2817-3.3-03
    let server = Server::new();
    let request =
        get("Connection: Upgrade, HTTP2-Settings, x-a\r\nA: 1\r\nUpgrade: TLS/1.2, h2c\r\n\
         HTTP2-Settings: AAMAAABk\r\nConnection: keep-alive\r\n");
    let mut secure = server.switch(server.connect(), &request).await;
    secure.receive().await.is(ANSWER).and_is_open();
    assert_eq!(server.log.take(), ["TLS, from clear: GET /x a=1 connection=x-a, keep-alive"]);
}

#[tokio::test(start_paused = true)]
async fn inside_tls_nothing_is_upgraded() {
    // P-50: `Upgrade: TLS/1.2` on a connection that is TLS already.
    let server = Server::new();
    let mut secure = server.switch(server.connect(), &offer("TLS/1.2")).await;
    secure.receive().await.is(ANSWER);
    server.log.take();
    for _ in 0..2 {
        secure.exchange(&offer("TLS/1.2")).await.is(ANSWER).and_is_open();
        assert_eq!(server.log.take(), ["TLS: GET /x connection=upgrade upgrade=TLS/1.2"]);
    }
    // After a request with an offer, hyper leaves out the end that TLS has for a connection.
    let close = get("Connection: close, upgrade\r\nUpgrade: TLS/1.2\r\n");
    secure.exchange(&close).await.starts_with("HTTP/1.1 200 OK\r\n").and_ends();
}

#[tokio::test(start_paused = true)]
async fn the_426_lists_the_versions_and_tls_begins_only_after_a_101() {
    // R2817-4.2-01, R2817-4.2-02
    let server = Server::new();
    let layer = server.layer().required();
    let text = "an upgrade is required, to one of these protocols: TLS/1.3, TLS/1.2\n";
    let demand = format!(
        "HTTP/1.1 426 Upgrade Required\r\ncontent-type: text/plain; charset=utf-8\r\n\
         upgrade: TLS/1.3, TLS/1.2\r\nconnection: upgrade\r\ncontent-length: {}\r\n\r\n{text}",
        text.len(),
    );
    let mut wire = server.connect_to(&layer);
    wire.exchange(get("")).await.is(&demand).and_is_open();
    let mut secure = server.switch(wire, &offer("TLS/1.2")).await;
    secure.receive().await.is(ANSWER).and_is_open();
    assert_eq!(server.log.take(), ["TLS, from clear: GET /x"]);

    // R2817-4.2-03
    let mut wire = server.connect_to(&layer);
    wire.exchange(get("")).await.is(&demand).and_is_open();
    let rejected = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    wire.exchange(b"\x16\x03\x01\x02\0\x01").await.is(rejected).and_ends();
}

#[tokio::test(start_paused = true)]
async fn responses_in_clear_advertise_tls_and_those_inside_do_not() {
    // R2817-4.1-01
    let server = Server::new();
    let mut wire = server.connect_to(&server.layer().advertise());
    let advertised = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nupgrade: TLS/1.3, TLS/1.2\r\n\
        connection: upgrade\r\n\r\nok";
    wire.exchange(get("")).await.is(advertised).and_is_open();
    let mut secure = server.switch(wire, &offer("TLS/1.3")).await;
    secure.exchange(&get("")).await.is(&ANSWER.repeat(2)).and_is_open();
}

#[tokio::test(start_paused = true)]
async fn a_handshake_has_ten_seconds() {
    let server = Server::new();
    let mut wire = server.connect();
    wire.exchange(offer("TLS/1.2")).await.starts_with(SWITCHED).and_is_open();
    tokio::time::sleep(Duration::from_secs(8)).await;
    wire.exchange(b"\x16\x03\x01").await.is("").and_is_open();
    tokio::time::sleep(Duration::from_secs(1)).await;
    wire.receive().await.is("").and_ends();
    drop(wire);
    settle().await;
    assert_eq!(server.log.count("failed TLS/1.2 Handler"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_the_connection_after_the_response() {
    let server = Server::new();
    let layer = server.layer();
    let mut secure = server.switch(server.connect_to(&layer), &offer("TLS/1.2")).await;
    secure.receive().await.is(ANSWER).and_is_open();
    let connections = layer.connections();
    let shutdown = tokio::spawn(async move { connections.shutdown(Duration::from_secs(60)).await });
    secure.receive().await.is("").and_ends();
    drop(secure);
    let shutdown = shutdown.await.unwrap();
    assert_eq!((shutdown.finished, shutdown.aborted), (1, 0));
    assert_eq!(server.log.count("failed"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_without_an_end_of_tls_is_no_failure() {
    let server = Server::new();
    let mut secure = server.switch(server.connect(), &offer("TLS/1.2")).await;
    secure.receive().await.is(ANSWER).and_is_open();
    drop(secure);
    settle().await;
    assert_eq!(server.log.take(), ["TLS, from clear: GET /x"]);
}
