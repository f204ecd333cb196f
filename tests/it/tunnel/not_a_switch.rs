//! Answers of an upstream that are not the switch that was asked for.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_101_that_is_not_the_one_that_was_asked_for_is_a_502_and_the_upstream_is_closed() {
    // S-6
    let mut proxy = Proxy::new();
    for head in [
        "HTTP/1.1 101 Switching Protocols\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: foo/1\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade:\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: close\r\nUpgrade: foo/1\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: keep-alive, upgrades\r\nUpgrade: foo/1\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: foo\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: foo/2\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: foo/1/1\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: bar\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: foo/1, bar\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: foo/1, foo/1\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: foo/1\r\nUpgrade: \
         foo/1\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: foo/1\r\nUpgrade: \
         h2c\r\n",
        // RFC 9110 §7.8: HTTP/1.0 has no upgrades.
        "HTTP/1.0 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: foo/1\r\n",
    ] {
        let (mut client, mut upstream) = proxy.asked(get(&format!("{CU}Upgrade: foo/1\r\n"))).await;
        upstream.receive().await.is(&up("GET /x", "", "foo/1")).and_is_open();
        upstream.send(format!("{head}\r\nearly")).await;
        let received = client.receive().await;
        assert_eq!(received.text, not_switched(), "{head}");
        upstream.is_dropped().await;
        proxy.is_idle_after(&["foo/1 Upstream NotSwitched"]);
        // It is HTTP as before.
        client.exchange(get("")).await.is(OK).and_is_open();
    }
}

#[tokio::test(start_paused = true)]
async fn any_other_answer_goes_down_whole_without_the_headers_of_its_connection() {
    // S-5, S-7, S-9, S-10, R9110-7.6.1
    let mut proxy = Proxy::new();
    for (status, more) in [
        ("200 OK", ""),
        ("201 Created", ""),
        ("302 Found", "Location: http://c.test/\r\n"),
        ("401 Unauthorized", "WWW-Authenticate: Basic\r\n"),
        ("404 Not Found", ""),
        ("500 Internal Server Error", ""),
        ("599 <none>", ""),
    ] {
        let (mut client, mut upstream) = proxy.asked(get(FOO)).await;
        upstream.receive().await.is(&up("GET /x", "", "foo")).and_is_open();
        let head = format!(
            "HTTP/1.1 {status}\r\nSet-Cookie: a\r\nConnection: upgrade, x-hop\r\nUpgrade: \
             foo\r\n{more}X-Hop: 1\r\nKeep-Alive: 1\r\nProxy-Connection: x\r\nSet-Cookie: \
             b\r\nContent-Length: 4\r\n\r\nbody"
        );
        upstream.send(head).await;
        let expected = format!(
            "HTTP/1.1 {status}\r\nset-cookie: a\r\nset-cookie: b\r\n{}content-length: \
             4\r\n\r\nbody",
            more.replace("Location", "location").replace("WWW-Authenticate", "www-authenticate")
        );
        client.receive().await.is(&expected).and_is_open();
        upstream.is_dropped().await;
        proxy.is_idle_after(&[]);
        client.exchange(get("")).await.is(OK).and_is_open();
        proxy.has_not_connected();
    }
}

#[tokio::test(start_paused = true)]
async fn a_length_beside_a_transfer_coding_is_none() {
    // RFC 9112 §6.3
    let mut proxy = Proxy::new();
    for length in [3, 30] {
        let (mut client, mut upstream) = proxy.asked(get(FOO)).await;
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        upstream.send(head + "5\r\nhello\r\n0\r\n\r\n").await;
        let expected =
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
        client.receive().await.is(expected).and_is_open();
    }
    // Without the header, nobody could decode it.
    let (mut client, mut upstream) = proxy.asked(get(FOO)).await;
    upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n").await;
    let answer = client.receive().await;
    answer.is(&failed("502 Bad Gateway", "the upstream's answer is not HTTP/1.1")).and_is_open();
    proxy.is_idle_after(&["foo Upstream Malformed"]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_a_body_is_one() {
    let mut proxy = Proxy::new();
    for (method, head) in [
        ("GET", "HTTP/1.1 204 No Content\r\nx: 1\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\nx: 1\r\n\r\n"),
        ("HEAD", "HTTP/1.1 200 OK\r\nx: 1\r\ncontent-length: 5\r\n\r\n"),
        ("GET", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    ] {
        let request = request(&format!("{method} /x HTTP/1.1"), FOO);
        let (mut client, mut upstream) = proxy.asked(request).await;
        upstream.receive().await.is(&up(&format!("{method} /x"), "", "foo")).and_is_open();
        upstream.send(head).await;
        client.receive().await.is(head).and_is_open();
        upstream.is_dropped().await;
        client.exchange(get("")).await.is(OK).and_is_open();
    }
}

#[tokio::test(start_paused = true)]
async fn outer_layers_know_the_length_of_an_answer() {
    use http_body::Body;
    use tower::ServiceExt;

    for (length, known) in [("Content-Length: 4\r\n\r\nbody", Some(4)), ("\r\nbody", None)] {
        let mut proxy = Proxy::new();
        let log = Log::default();
        let seen = log.clone();
        let service = proxy.layer.layer(inner(&proxy.inner)).map_response(
            move |response: http::Response<tower_upgrade::UpgradeBody<_>>| {
                seen.push(format!("{:?}", response.body().size_hint().exact()));
                response
            },
        );
        let mut client = Wire::serve(service);
        client.send(get(FOO)).await;
        let mut upstream = proxy.upstream().await;
        upstream.send(format!("HTTP/1.1 404 Not Found\r\n{length}")).await;
        client.receive().await.starts_with("HTTP/1.1 404");
        assert_eq!(log.take(), [format!("{known:?}")]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_is_streamed_as_it_comes() {
    // ENV-06
    let mut proxy = Proxy::new();
    let (mut client, mut upstream) = proxy.asked(get(FOO)).await;
    upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    client
        .receive()
        .await
        .is("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        .and_is_open();
    upstream.send("5;x\r\nhello\r\n").await;
    client.receive().await.is("5\r\nhello\r\n").and_is_open();
    upstream.send("1\r\n!\r\n0\r\nX: 1\r\n\r\n").await;
    client.receive().await.is("1\r\n!\r\n0\r\n\r\n").and_is_open();
    upstream.0.shutdown().await.ok();
    client.exchange(get("")).await.is(OK).and_is_open();
    proxy.is_idle_after(&[]);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_ends_with_the_upstreams_connection_is_whole() {
    let mut proxy = Proxy::new();
    for version in ["1.0", "1.1"] {
        let (mut client, mut upstream) = proxy.asked(get(FOO)).await;
        upstream.send(format!("HTTP/{version} 200 OK\r\n\r\nhello")).await;
        let expected = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
        client.receive().await.is(expected).and_is_open();
        drop(upstream);
        client.receive().await.is("0\r\n\r\n").and_is_open();
        client.exchange(get("")).await.is(OK).and_is_open();
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_does_not_look_whole() {
    let mut proxy = Proxy::new();
    for (head, rest) in [
        ("Content-Length: 9\r\n\r\nhello", "content-length: 9\r\n\r\nhello"),
        (
            "Transfer-Encoding: chunked\r\n\r\n9\r\nhello",
            "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        ),
    ] {
        let (mut client, mut upstream) = proxy.asked(get(FOO)).await;
        upstream.send(format!("HTTP/1.1 200 OK\r\n{head}")).await;
        client.receive().await.is(&format!("HTTP/1.1 200 OK\r\n{rest}")).and_is_open();
        drop(upstream);
        client.receive().await.is("").and_ends();
    }
}

#[tokio::test(start_paused = true)]
async fn informational_responses_come_before_the_answer() {
    let mut proxy = Proxy::new();
    for before in [
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early \
         Hints\r\n\r\n",
    ] {
        let (mut client, mut upstream) = proxy.asked(get(FOO)).await;
        upstream.send(before).await;
        client.receive().await.is("").and_is_open();
        upstream.send(switching("foo")).await;
        client.receive().await.is(&switching("foo")).and_is_open();
        let (mut client, mut upstream) = proxy.asked(get(FOO)).await;
        upstream.send(format!("{before}HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")).await;
        client.receive().await.is("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_before_the_body_was_read_goes_down() {
    let mut proxy = Proxy::with_buffer(1024, |tunnel| tunnel);
    let body = "x".repeat(60_000);
    let request = post(&format!("Content-Length: {}\r\n{FOO}", body.len()), &body);
    // One that does not read on, and one that closes.
    for closes in [false, true] {
        let (mut client, mut upstream) = proxy.asked(&request).await;
        upstream.0.read_exact(&mut [0; 100]).await.unwrap();
        let answer = "HTTP/1.1 413 Payload Too Large\r\ncontent-length: 4\r\n\r\nlong";
        upstream.send(answer).await;
        if closes {
            drop(upstream);
            client.receive().await.is(answer).and_is_open();
        } else {
            client.receive().await.is(answer).and_is_open();
            upstream.0.read_to_end(&mut Vec::new()).await.unwrap();
        }
        proxy.is_idle_after(&[]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_101_before_the_whole_request_was_read_is_a_502() {
    // HAP-03. The rest of the request would be lost, and the new protocol taken for it.
    let mut proxy = Proxy::with_buffer(1024, |tunnel| tunnel);
    let body = "x".repeat(60_000);
    let request = post(&format!("Content-Length: {}\r\n{FOO}", body.len()), &body);
    for read in [0, 100, 1024, 30_000] {
        let (mut client, mut upstream) = proxy.asked(&request).await;
        upstream.0.read_exact(&mut vec![0; read]).await.unwrap();
        upstream.send(switching("foo")).await;
        client.receive().await.is(&not_switched()).and_is_open();
        upstream.0.read_to_end(&mut Vec::new()).await.unwrap();
        proxy.is_idle_after(&["foo Upstream NotSwitched"]);
    }
    let (mut client, mut upstream) = proxy.asked(&request).await;
    let expected = up("POST /x", "content-length: 60000\r\n", "foo") + &body;
    let mut received = vec![0; expected.len()];
    upstream.0.read_exact(&mut received).await.unwrap();
    assert_eq!(String::from_utf8(received).unwrap(), expected);
    upstream.send(switching("foo")).await;
    client.receive().await.is(&switching("foo")).and_is_open();
}

#[tokio::test(start_paused = true)]
async fn the_framing_of_a_101_counts_for_nothing() {
    // RFC 9110 §8.6, RFC 9112 §6.1: it has no body.
    let mut proxy = Proxy::new();
    for headers in [
        "Connection: close, upgrade\r\n",
        "Connection: close\r\nConnection: Upgrade\r\n",
        "Content-Length: 2\r\nConnection: upgrade\r\n",
        "Transfer-Encoding: chunked\r\nConnection: upgrade\r\n",
        "Connection: keep-alive, UPGRADE\r\nKeep-Alive: 1\r\n",
        "Connection: upgrade, date\r\nDate: x\r\nTrailer: x\r\nProxy-Authenticate: Basic\r\n",
    ] {
        let (mut client, mut upstream) = proxy.asked(get(FOO)).await;
        let head = format!("HTTP/1.1 101 ok\r\n{headers}Upgrade: Foo\r\n\r\nNP");
        upstream.send(head).await;
        let received = client.receive().await;
        assert_eq!(received.text, switching("foo") + "NP", "{headers}");
        assert!(!received.ended, "{headers}");
        client.send("up").await;
        upstream.receive().await.ends_with("\r\n\r\nup").and_is_open();
    }
}
