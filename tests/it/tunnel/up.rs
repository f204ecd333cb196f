//! The request that goes up.

use http::HeaderValue;

use super::*;

/// Sends a request, and compares the bytes that the upstream receives.
async fn goes_up_by(mut proxy: Proxy, request: impl AsRef<[u8]>, expected: impl AsRef<[u8]>) {
    let (_client, mut upstream) = proxy.asked(request).await;
    let mut bytes = Vec::new();
    while timeout(QUIET, upstream.0.read_buf(&mut bytes)).await.is_ok_and(|read| read.unwrap() > 0)
    {
    }
    // As text: it is read more easily.
    assert_eq!(bytes.escape_ascii().to_string(), expected.as_ref().escape_ascii().to_string());
}

async fn goes_up(request: impl AsRef<[u8]>, expected: impl AsRef<[u8]>) {
    goes_up_by(Proxy::new(), request, expected).await;
}

#[tokio::test(start_paused = true)]
async fn the_negotiated_protocol_alone_goes_up_with_all_end_to_end_headers_in_order() {
    // R9110-7.6.1-03, R9110-7.6.1-04, S-3, S-23
    let headers = "B: 1\r\nConnection: X-Hop, Upgrade,, keep-alive\r\na:\r\nCookie: c=1\r\nUpgrade: h3, \
                   FOO/2 ,bar\r\nX-Hop: 1\r\nTE: trailers\r\nKeep-Alive: timeout=5\r\nConnection: \
                   x-forwarded-for\r\nProxy-Authorization: Basic eA==\r\nProxy-Connection: \
                   keep-alive\r\nHTTP2-Settings: AAMA\r\nTrailer: x\r\nAccept: a,  b\r\nAuthorization: \
                   Bearer x\r\nX-Forwarded-For: ::1\r\nupgrade: websocket\r\nCookie: d=2\r\nSec-WebSocket-Key: \
                   x\r\nAccept: c\r\n";
    let kept = "b: 1\r\na: \r\ncookie: c=1\r\ncookie: d=2\r\naccept: a,  b\r\naccept: \
                c\r\nauthorization: Bearer x\r\nx-forwarded-for: ::1\r\nsec-websocket-key: x\r\n";
    // The first that is registered would be the WebSocket, whose key is malformed.
    let mut proxy = Proxy::new();
    let failures = proxy.failures.clone();
    proxy.layer = UpgradeLayer::new()
        .on("foo/*", proxy.tunnel())
        .on_failure(move |error| failures.push(kinds(&error)));
    goes_up_by(proxy, get(headers), up("GET /x", kept, "foo/2")).await;
}

#[tokio::test(start_paused = true)]
async fn the_target_goes_up_byte_for_byte() {
    for target in [
        "/",
        "/x",
        "//a.test/x",
        "/a%2Fb/../c;d=%zz//?",
        "/x?a=[b]|%zz&&?/'`{}~\\^",
        "/?http://b.test/",
        "/%00%0d%0aX:1",
        "*",
    ] {
        let request = request(&format!("OPTIONS {target} HTTP/1.1"), FOO);
        goes_up(request, up(&format!("OPTIONS {target}"), "", "foo")).await;
    }
    // A target in absolute-form is its own host, RFC 9112 §3.2.2.
    let absolute = request("GET http://b.test:81/x?y HTTP/1.1", FOO);
    let expected = up("GET /x?y", "", "foo").replace("a.test", "b.test:81");
    goes_up(absolute, expected).await;
    goes_up(request("GET http://a.test HTTP/1.1", FOO), up("GET /", "", "foo")).await;
    goes_up(request("GET http://a.test?y HTTP/1.1", FOO), up("GET /?y", "", "foo")).await;
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_not_for_this_method_goes_nowhere() {
    // RFC 9112 §3.2.3 and §3.2.4. The host of the first would go before `Host`.
    let mut proxy = Proxy::new();
    for line in ["GET b.test HTTP/1.1", "GET b.test:80 HTTP/1.1", "GET * HTTP/1.1"] {
        let answer = proxy.client().exchange(request(line, FOO)).await;
        answer.is("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").and_is_open();
    }
    // Absolute-form needs its one `Host` as well, RFC 9112 §3.2.
    for hosts in ["", "Host: a.test\r\nHost: b.test\r\n"] {
        let request = format!("GET http://a.test/ HTTP/1.1\r\n{hosts}{FOO}\r\n");
        let answer = proxy.client().exchange(request).await;
        answer.is("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").and_is_open();
    }
    proxy.has_not_connected();
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_coded_for_its_way_goes_nowhere() {
    // RFC 9112 §6.1
    let mut proxy = Proxy::new();
    let body = "Transfer-Encoding: gzip, chunked\r\n";
    let mut client = proxy.client();
    let answer = client.exchange(post(&format!("{body}{FOO}"), "5\r\nhello\r\n0\r\n\r\n")).await;
    answer.is("HTTP/1.1 501 Not Implemented\r\ncontent-length: 0\r\n\r\n").and_is_open();
    proxy.has_not_connected();
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_not_ascii_goes_up_as_it_is() {
    let request = |target: &str| request(&format!("GET {target} HTTP/1.1"), FOO);
    goes_up(request("/é?ü"), up("GET /é?ü", "", "foo")).await;
    let proxy = Proxy::with(|tunnel| tunnel.strip_prefix("/x"));
    goes_up_by(proxy, request("/x/é?ü"), up("GET /é?ü", "", "foo")).await;
}

#[tokio::test(start_paused = true)]
async fn every_method_goes_up() {
    // But TRACE, which is not switched.
    for method in ["HEAD", "PUT", "M-SEARCH", "get"] {
        let request = request(&format!("{method} /x HTTP/1.1"), FOO);
        goes_up(request, up(&format!("{method} /x"), "", "foo")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn values_with_any_bytes_go_up_as_they_are() {
    let mut request = b"GET /x HTTP/1.1\r\nHost: a.test\r\nX: \xff\x80\"\t,\r\n".to_vec();
    request.extend_from_slice(FOO.as_bytes());
    request.extend_from_slice(b"\r\n");
    let expected = b"GET /x HTTP/1.1\r\nhost: a.test\r\nx: \xff\x80\"\t,\r\nconnection: \
                     upgrade\r\nupgrade: foo\r\n\r\n";
    goes_up(request, expected).await;
}

#[tokio::test(start_paused = true)]
async fn long_heads_go_up_whole() {
    let long = "x".repeat(100_000);
    let headers = format!("Cookie: {long}\r\nX: {long}\r\n");
    goes_up(get(&format!("{headers}{FOO}")), up("GET /x", &headers.to_lowercase(), "foo")).await;
    let target = format!("/{}?{}", &long[..30_000], &long[..30_000]);
    goes_up(
        request(&format!("GET {target} HTTP/1.1"), FOO),
        up(&format!("GET {target}"), "", "foo"),
    )
    .await;
    // 99 and the host.
    let many: Vec<_> = (0..97).map(|at| format!("x-{at}: {at}\r\n")).collect();
    let many = many.concat();
    goes_up(get(&format!("{many}{FOO}")), up("GET /x", &many, "foo")).await;
}

#[tokio::test(start_paused = true)]
async fn the_body_goes_up_with_its_length() {
    // HAP-04: the upstream is asked once the body is there.
    let announced = post(&format!("Content-Length: 5\r\n{FOO}"), "hello");
    goes_up(announced, up("POST /x", "content-length: 5\r\n", "foo") + "hello").await;
    let chunked = "5;ext=1\r\nhello\r\n1\r\n!\r\n0\r\nTrailer-Field: 1\r\n\r\n";
    let expected = up("POST /x", "", "foo").replace("\r\n\r\n", "\r\ncontent-length: 6\r\n\r\n");
    goes_up(post(&format!("{FOO}Transfer-Encoding: chunked\r\n"), chunked), expected + "hello!")
        .await;
    goes_up(
        post(&format!("{FOO}Transfer-Encoding: chunked\r\nTrailer: x\r\n"), "0\r\n\r\n"),
        up("POST /x", "", "foo"),
    )
    .await;
    goes_up(
        post(&format!("Content-Length: 0\r\n{FOO}"), ""),
        up("POST /x", "content-length: 0\r\n", "foo"),
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_until_the_body_is_there() {
    // HAP-03
    let mut proxy = Proxy::new();
    let mut client = proxy.client();
    client.send(post(&format!("Content-Length: 5\r\n{FOO}"), "hell")).await;
    settle().await;
    proxy.has_not_connected();
    client.send("o").await;
    let mut upstream = proxy.upstream().await;
    let expected = up("POST /x", "content-length: 5\r\n", "foo") + "hello";
    upstream.receive().await.is(&expected).and_is_open();
}

#[tokio::test(start_paused = true)]
async fn a_body_above_the_limit_does_not_go_up() {
    let mut proxy = Proxy::new();
    let long = "x".repeat((64 << 10) + 1);
    // Whose length is announced belongs to the inner service.
    let announced = post(&format!("{FOO}Content-Length: {}\r\n", long.len()), &long);
    proxy.client().exchange(announced).await.is(OK).and_is_open();
    let chunked = format!("{:x}\r\n{long}\r\n0\r\n\r\n", long.len());
    let chunked = post(&format!("{FOO}Transfer-Encoding: chunked\r\n"), &chunked);
    let too_large =
        "HTTP/1.1 413 Payload Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    proxy.client().exchange(chunked).await.is(too_large).and_ends();
    proxy.has_not_connected();
    proxy.is_idle_after(&["foo Body"]);
    // Docker's is as long as the operator says.
    let tcp = format!("Content-Length: {}\r\n{CU}Upgrade: tcp\r\n", long.len());
    let length = format!("content-length: {}\r\n", long.len());
    goes_up(post(&tcp, &long), up("POST /x", &length, "tcp") + &long).await;
}

#[tokio::test(start_paused = true)]
async fn an_expectation_is_met_here_and_stays_behind() {
    let mut proxy = Proxy::new();
    let mut client = proxy.client();
    let head = post(&format!("Content-Length: 5\r\nExpect: 100-continue\r\n{FOO}"), "");
    client.exchange(head).await.is("HTTP/1.1 100 Continue\r\n\r\n").and_is_open();
    client.send("hello").await;
    let expected = up("POST /x", "content-length: 5\r\n", "foo") + "hello";
    proxy.upstream().await.receive().await.is(&expected).and_is_open();
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_split_anywhere_goes_up_whole() {
    let request = request("POST /x?y HTTP/1.1", &format!("Content-Length: 2\r\n{FOO}")) + "ab";
    let expected = up("POST /x?y", "content-length: 2\r\n", "foo") + "ab";
    let mut proxy = Proxy::new();
    for at in 1..request.len() {
        let mut client = proxy.client();
        client.send(&request[..at]).await;
        settle().await;
        proxy.has_not_connected();
        client.send(&request[at..]).await;
        proxy.upstream().await.receive().await.is(&expected).and_is_open();
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_without_one_valid_host_gets_a_400() {
    let mut proxy = Proxy::new();
    for hosts in [
        "",
        "Host:\r\n",
        "Host: a.test\r\nHost: a.test\r\n",
        "Host: a.test\r\nHost: b.test\r\n",
        "Host: user@a.test\r\n",
        "Host: a.test/x\r\n",
        "Host: a.test, b.test\r\n",
        "Host: a.test\";by=\"x\r\n",
    ] {
        let request = format!("GET /x HTTP/1.1\r\n{hosts}{FOO}\r\n");
        let response = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
        proxy.client().exchange(request).await.is(response).and_is_open();
    }
    let user = request("GET http://user@a.test/ HTTP/1.1", FOO);
    proxy.client().exchange(user).await.starts_with("HTTP/1.1 400 Bad Request\r\n");
    proxy.has_not_connected();
    proxy.is_idle_after(&[]);
}

#[tokio::test(start_paused = true)]
async fn the_prefix_is_removed_and_other_paths_belong_to_the_inner_service() {
    let mut proxy = Proxy::with(|tunnel| tunnel.strip_prefix("/api/v1"));
    for (target, expected) in [
        ("/api/v1", "/"),
        ("/api/v1/", "/"),
        ("/api/v1?a=/b", "/?a=/b"),
        ("/api/v1/%2E?", "/%2E?"),
        ("/api/v1//x", "//x"),
        ("/api/v1/api/v1", "/api/v1"),
        ("http://a.test/api/v1/x", "/x"),
    ] {
        let request = request(&format!("GET {target} HTTP/1.1"), FOO);
        let (_client, mut upstream) = proxy.asked(request).await;
        upstream.receive().await.is(&up(&format!("GET {expected}"), "", "foo")).and_is_open();
    }
    for target in ["/", "/api/v10", "/api", "/API/v1", "/api/%761", "/x/api/v1", "*"] {
        let request = request(&format!("OPTIONS {target} HTTP/1.1"), FOO);
        proxy.client().exchange(request).await.is(OK).and_is_open();
        proxy.has_not_connected();
    }
}

#[tokio::test(start_paused = true)]
async fn the_host_is_replaced_on_request() {
    let proxy = Proxy::with(|tunnel| tunnel.host(HeaderValue::from_static("b.test")));
    let expected = up("GET /x", "origin: http://a.test\r\n", "foo").replacen("a.test", "b.test", 1);
    goes_up_by(proxy, get(&format!("Origin: http://a.test\r\n{FOO}")), expected).await;
}
