//! WebSocket through a tunnel: the key and its answer.

use super::*;

fn up_websocket(headers: &str) -> String {
    format!(
        "GET /x HTTP/1.1\r\nhost: a.test\r\nsec-websocket-key: {KEY}\r\nsec-websocket-version: \
         13\r\n{headers}connection: upgrade\r\nupgrade: websocket\r\n\r\n"
    )
}

fn accepted(accept: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: \
         WebSocket\r\n{accept}\r\n"
    )
}

#[tokio::test(start_paused = true)]
async fn a_websocket_is_carried_with_what_was_negotiated_for_it() {
    // HAP-07, NGH-04
    let mut proxy = Proxy::new();
    let offered = "Sec-WebSocket-Protocol: chat, v2\r\nSec-WebSocket-Extensions: \
                   permessage-deflate\r\nOrigin: http://b.test\r\n";
    let (mut client, mut upstream) = proxy.asked(get(&websocket(offered))).await;
    let expected = up_websocket(
        "sec-websocket-protocol: chat, v2\r\nsec-websocket-extensions: \
         permessage-deflate\r\norigin: http://b.test\r\n",
    );
    upstream.receive().await.is(&expected).and_is_open();
    let chosen = "Sec-WebSocket-Protocol: v2\r\nSec-WebSocket-Extensions: permessage-deflate\r\n";
    upstream.send(accepted(&format!("Sec-WebSocket-Accept: {ACCEPT}\r\n{chosen}"))).await;
    let expected = format!(
        "HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: \
         {ACCEPT}\r\n{}connection: upgrade\r\nupgrade: websocket\r\n\r\n",
        chosen.to_lowercase()
    );
    client.receive().await.is(&expected).and_is_open();
    client.send(b"\x89\x80abcd").await;
    upstream.receive().await.is("\u{fffd}\u{fffd}abcd").and_is_open();
    upstream.send(b"\x0a\x00").await;
    client.receive().await.is("\n\0").and_is_open();
}

#[tokio::test(start_paused = true)]
async fn a_websocket_without_one_valid_key_gets_a_400() {
    // HAP-08, HAP-09
    let mut proxy = Proxy::new();
    let key = |key: &str| format!("Sec-WebSocket-Key: {key}\r\n");
    for headers in [
        format!("{CU}Upgrade: websocket\r\n"),
        format!("{CU}Upgrade: proto1, websocket, proto2\r\nUpgrade: proto3\r\n"),
        format!("{CU}Upgrade: websocket\r\n{}", key("")),
        format!("{CU}Upgrade: websocket\r\n{}", key("x")),
        format!("{CU}Upgrade: websocket\r\n{}", key("dGhlIHNhbXBsZSBub25jZQ=")),
        websocket(&key(KEY)),
        // It stays even if the client names it, and so there are two.
        websocket(&format!("{}Connection: sec-websocket-key\r\n", key(KEY))),
    ] {
        let response = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
        proxy.client().exchange(get(&headers)).await.is(response).and_is_open();
    }
    proxy.has_not_connected();
    proxy.is_idle_after(&[]);
}

#[tokio::test(start_paused = true)]
async fn a_websocket_by_another_method_gets_a_405() {
    // S-6, SMU-04
    let mut proxy = Proxy::new();
    for method in ["POST", "HEAD", "get"] {
        let request =
            request(&format!("{method} /x HTTP/1.1"), &websocket("Content-Length: 0\r\n"));
        let response = proxy.client().exchange(request).await;
        response.starts_with("HTTP/1.1 405 Method Not Allowed\r\nallow: GET\r\n").and_is_open();
    }
    proxy.has_not_connected();
}

#[tokio::test(start_paused = true)]
async fn a_websocket_whose_key_is_not_answered_gets_a_502() {
    // HAP-10, HAP-11
    let mut proxy = Proxy::new();
    let right = format!("Sec-WebSocket-Accept: {ACCEPT}\r\n");
    for accept in [
        "",
        "Sec-WebSocket-Accept:\r\n",
        &format!("Sec-WebSocket-Accept: {}\r\n", ACCEPT.to_lowercase()),
        &format!("Sec-WebSocket-Accept: {KEY}\r\n"),
        &format!("Sec-WebSocket-Accept: {ACCEPT}, {ACCEPT}\r\n"),
        &format!("{right}{right}"),
        &format!("{right}Sec-WebSocket-Accept: x\r\n"),
    ] {
        let (mut client, mut upstream) = proxy.asked(get(&websocket(""))).await;
        upstream.receive().await.is(&up_websocket("")).and_is_open();
        upstream.send(accepted(accept) + "early").await;
        client.receive().await.is(&not_switched()).and_is_open();
        upstream.is_dropped().await;
        proxy.is_idle_after(&["websocket Upstream NotSwitched"]);
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_an_upstream_thinks_of_the_version_is_its_answer() {
    // S-5, S-27, SMU-03
    let mut proxy = Proxy::new();
    let old = websocket("").replace("13", "12");
    let (mut client, mut upstream) = proxy.asked(get(&old)).await;
    upstream.receive().await.is(&up_websocket("").replace("13", "12")).and_is_open();
    upstream
        .send(
            "HTTP/1.1 426 Upgrade Required\r\nConnection: upgrade\r\nUpgrade: \
             websocket\r\nSec-WebSocket-Version: 13\r\nContent-Length: 0\r\n\r\n",
        )
        .await;
    let expected = "HTTP/1.1 426 Upgrade Required\r\nsec-websocket-version: 13\r\nupgrade: \
                    websocket\r\nconnection: upgrade\r\ncontent-length: 0\r\n\r\n";
    client.receive().await.is(expected).and_is_open();
    upstream.is_dropped().await;
    // The next request is one.
    client.exchange(get("")).await.is(OK).and_is_open();
    proxy.has_not_connected();
    proxy.is_idle_after(&[]);
}
