//! Bug reports of other servers' users, on the wire.

use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tower::{Layer, service_fn, util::MapRequestLayer};
use tower_upgrade::{
    UpgradeLayer,
    h2c::{H2c, RequestBody},
};

use super::support::*;
use crate::support::*;

/// DATA frames of a stream, the last of them its end.
fn upload(stream: u32, bytes: usize) -> Vec<u8> {
    let body = vec![b'x'; bytes];
    let mut frames = body.chunks(16_384).peekable();
    let mut bytes = Vec::new();
    while let Some(piece) = frames.next() {
        bytes.extend(frame(0, u8::from(frames.peek().is_none()), stream, piece));
    }
    bytes
}

/// A POST on a stream, which is not its end.
fn post_on(stream: u32, path: &str) -> Vec<u8> {
    let authority = literal(0x01, b"a.test");
    let path = literal(0x04, path.as_bytes());
    frame(1, 0x4, stream, &[&[0x83, 0x86], &authority[..], &path].concat())
}

#[tokio::test(start_paused = true)]
async fn the_body_of_the_upgrading_request_takes_nothing_of_a_window() {
    // `curl --http2 -d x URL/one --next --http2 -T 8m URL/two` got a FLOW_CONTROL_ERROR: the server
    // had counted the first body, and the client had not.
    for bytes in [0, 1, 65_536] {
        let lines = format!("{}Content-Length: {bytes}\r\n", offer());
        let first = request("POST /one HTTP/1.1", &lines) + &"x".repeat(bytes);
        let mut client = Client::connect();
        let frames = client.upgrade(first).await;
        assert_eq!(frames, ANSWERED, "no window is opened for it either");
        client.exchange([&preface()[..], &SETTINGS_ACK].concat()).await;
        for stream in [3, 5, 7] {
            // All that the windows of the stream and of the connection allow, at once.
            let bytes = [post_on(stream, "/two"), upload(stream, 1 << 20)].concat();
            let frames = client.exchange(bytes).await;
            assert!(frames.contains(&format!("DATA {stream} 2 END")), "{frames:?}");
            let expected = "POST http://a.test/two HTTP/2.0 1048576 bytes";
            assert_eq!(client.log.count(expected), 1);
            client.log.take();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_header_of_an_outer_layer_cannot_be_removed_by_the_client() {
    // S-23, CVE-2021-32813
    for connection in ["Upgrade, HTTP2-Settings, X-Real-Ip", "x-real-ip,upgrade,http2-settings"] {
        let log = Log::default();
        let service = MapRequestLayer::new(|mut request: Request<Incoming>| {
            let address = HeaderValue::from_static("192.0.2.1");
            request.headers_mut().insert("x-real-ip", address);
            request
        })
        .layer(layer(&log).layer(http1(app(&log))));
        let mut client = Client::to(Wire::serve(service), log);
        let lines = format!(
            "Connection: {connection}\r\nX-Real-Ip: forged\r\nUpgrade: h2c\r\nHTTP2-Settings: {CURL}\r\n"
        );
        client.upgrade(get(&lines)).await;
        assert_eq!(client.log.take(), ["GET http://a.test/x HTTP/2.0 \"\"\nx-real-ip: 192.0.2.1"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_content_length_with_zeros_in_front_is_a_number() {
    // HTTP/2 takes 19 digits, and reset the stream.
    let lines = format!("{}Content-Length: 00000000000000000005\r\n", offer());
    let bytes = request("POST /x HTTP/1.1", &lines) + "hello";
    let mut client = Client::connect();
    assert_eq!(client.upgrade(bytes).await, ANSWERED);
    let expected = "POST http://a.test/x HTTP/2.0 \"hello\"\ncontent-length: 00000000000000000005";
    assert_eq!(client.log.take(), [expected]);
}

#[tokio::test(start_paused = true)]
async fn a_percent_encoded_host_is_answered_as_in_http_1_1() {
    // A client of a socket in the file system. It got a 400, and a 200 without the offer.
    let bytes = format!("GET /x HTTP/1.1\r\nHost: %2ftmp%2fx.sock\r\n{}\r\n", offer());
    let mut client = Client::connect();
    assert_eq!(client.upgrade(bytes).await, ANSWERED);
    assert_eq!(client.log.take(), ["GET /x HTTP/2.0 \"\"\nhost: %2ftmp%2fx.sock"]);
}

#[tokio::test(start_paused = true)]
async fn private_extensions_of_the_layers_do_not_reach_the_streams() {
    let log = Log::default();
    let extensions = log.clone();
    let service = service_fn(move |request: Request<RequestBody>| {
        extensions.push(format!("{} {}", request.uri().path(), request.extensions().len()));
        Box::pin(std::future::ready(Ok(Response::new(Full::default())))) as Answer
    });
    let layer = UpgradeLayer::new().on("h2c", H2c::new(service.clone()));
    let service = UpgradeLayer::outermost().layer(layer.layer(http1(service)));
    let mut client = Client::to(Wire::serve(service), log);
    let lines = format!("{}Transfer-Encoding: chunked\r\n", offer());
    let first = request("POST /x HTTP/1.1", &lines) + "1\r\nx\r\n0\r\nX-Sum: 1\r\n\r\n";
    client.upgrade(first).await;
    client.exchange([preface(), request_on(3, "/y")].concat()).await;
    assert_eq!(client.log.take(), ["/x 0", "/y 0"]);
}

#[cfg(feature = "tracing")]
#[tokio::test(start_paused = true)]
async fn the_streams_run_inside_of_the_connections_span() {
    use std::{
        convert::Infallible,
        pin::Pin,
        task::{Context, Poll},
    };

    use bytes::Bytes;
    use http_body::{Body, Frame};

    /// Logs the span in which its body is polled.
    struct Spanned(Log);

    impl Body for Spanned {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            self.0.push(format!("body in {}", span()));
            Poll::Ready(None)
        }
    }

    fn span() -> &'static str {
        tracing::Span::current().metadata().map_or("none", |metadata| metadata.name())
    }

    let subscriber = tracing_subscriber::registry();
    let _default = tracing::subscriber::set_default(subscriber);
    let log = Log::default();
    let seen = log.clone();
    let service = service_fn(move |_request: Request<RequestBody>| {
        let seen = seen.clone();
        async move {
            tokio::task::yield_now().await;
            seen.push(format!("service in {}", span()));
            Ok::<_, Infallible>(Response::new(Spanned(seen)))
        }
    });
    let layer = UpgradeLayer::new().on("h2c", H2c::new(service.clone()));
    let mut client = Client::to(Wire::serve(layer.layer(http1(service))), log);
    client.upgrade(get(&offer())).await;
    client.exchange([preface(), request_on(3, "/y")].concat()).await;
    assert_eq!(client.log.take(), ["service in upgrade", "body in upgrade"].repeat(2));
}
