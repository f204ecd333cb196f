//! Messages through each framing crate, with another crate as the client.

#[path = "../../examples/frames/deflate.rs"]
mod deflate;

use std::future::Future;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Message, Utf8Bytes,
        protocol::{
            CloseFrame,
            frame::{
                Frame,
                coding::{CloseCode, Data, OpCode},
            },
        },
    },
};
use tower::Layer;
use tower_upgrade::{
    IntoOutcome, UpgradeLayer, Upgraded,
    websocket::{Handshake, WebSocket},
};

use crate::{
    early::Early,
    echo,
    support::{Log, Wire, describe, inner, settle},
};

#[tokio::test(start_paused = true)]
async fn tungstenite() {
    messages(echo::tungstenite).await;
    large_message(echo::tungstenite).await;
    broken_frame(echo::tungstenite).await;
}

#[tokio::test(start_paused = true)]
async fn tokio_websockets() {
    messages(echo::tokio_websockets).await;
    large_message(echo::tokio_websockets).await;
    broken_frame(echo::tokio_websockets).await;
}

#[tokio::test(start_paused = true)]
async fn fastwebsockets() {
    messages(echo::fastwebsockets).await;
    large_message(echo::fastwebsockets).await;
    broken_frame(echo::fastwebsockets).await;
}

#[tokio::test(start_paused = true)]
async fn yawc() {
    messages(echo::yawc).await;
    large_message(echo::yawc).await;
    broken_frame(echo::yawc).await;
}

#[tokio::test(start_paused = true)]
async fn yawc_compresses_if_it_was_agreed_to() {
    let websocket = WebSocket::new(echo::yawc).agree_extensions(deflate::agree);
    let log = Log::default();
    let mut io = Wire::serve(UpgradeLayer::new().on("websocket", websocket).layer(inner(&log))).io;
    let request = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";
    io.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(io.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    assert!(head.contains("\r\nsec-websocket-extensions: permessage-deflate\r\n"), "{head}");

    // "Hello", the same from the context, and an empty message, RFC 7692 §7.2.3. The mask is zero.
    let messages: [&[u8]; 3] = [
        b"\xc1\x87\0\0\0\0\xf2\x48\xcd\xc9\xc9\x07\x00",
        b"\xc1\x85\0\0\0\0\xf2\x00\x11\x00\x00",
        b"\xc1\x81\0\0\0\0\x00",
    ];
    for (message, first) in messages.into_iter().zip([0xc1, 0xc1, 0x81]) {
        io.write_all(message).await.unwrap();
        assert_eq!(io.read_u8().await.unwrap(), first);
        let length = usize::from(io.read_u8().await.unwrap());
        io.read_exact(&mut vec![0; length]).await.unwrap();
    }
}

#[test]
fn an_offer_of_permessage_deflate_is_agreed_to_as_far_as_yawc_implements_it() {
    for (offers, answer) in [
        ("permessage-deflate", Some("permessage-deflate")),
        ("permessage-deflate; client_max_window_bits", Some("permessage-deflate")),
        ("permessage-deflate; client_max_window_bits=8", Some("permessage-deflate")),
        (
            "permessage-deflate; server_max_window_bits = \"10\"; client_no_context_takeover",
            Some("permessage-deflate; server_max_window_bits=10; client_no_context_takeover"),
        ),
        (
            "permessage-deflate; server_max_window_bits=8, permessage-deflate; server_no_context_takeover",
            Some("permessage-deflate; server_no_context_takeover"),
        ),
        ("x-other, permessage-deflate", Some("permessage-deflate")),
        ("x-other", None),
        ("permessage-deflate; server_max_window_bits", None),
        ("permessage-deflate; server_max_window_bits=7", None),
        ("permessage-deflate; server_max_window_bits=16", None),
        ("permessage-deflate; server_max_window_bits=09", None),
        ("permessage-deflate; client_max_window_bits=16", None),
        ("permessage-deflate; server_no_context_takeover=1", None),
        ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", None),
        ("permessage-deflate; unknown", None),
    ] {
        let agreed = deflate::agree(offers);
        assert_eq!(agreed.as_ref().map(|value| value.to_str().unwrap()), answer, "{offers}");
    }
}

/// The first message reaches the server before the handshake is complete.
async fn messages<F, Fut>(run: F)
where
    F: Fn(Upgraded, Handshake) -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: IntoOutcome,
{
    let log = Log::default();
    let mut client = connect(&log, run).await;
    assert_eq!(receive(&mut client).await, Message::text("early"));

    for message in [Message::text("grüß dich"), Message::text(""), Message::binary(vec![0; 126])]
    {
        client.send(message.clone()).await.unwrap();
        assert_eq!(receive(&mut client).await, message);
    }

    // A ping may come between the fragments of a message.
    let fragment =
        |data, end| Message::Frame(Frame::message(&b"half "[..], OpCode::Data(data), end));
    client.send(fragment(Data::Text, false)).await.unwrap();
    client.send(Message::Ping("now".into())).await.unwrap();
    assert_eq!(receive(&mut client).await, Message::Pong("now".into()));
    client.send(fragment(Data::Continue, true)).await.unwrap();
    assert_eq!(receive(&mut client).await, Message::text("half half "));

    let reason = Utf8Bytes::from_static("enough");
    client.close(Some(CloseFrame { code: CloseCode::Away, reason })).await.unwrap();
    let Message::Close(Some(close)) = receive(&mut client).await else {
        panic!("the server answers a close frame with something else");
    };
    assert_eq!(close.code, CloseCode::Away);
    assert!(client.next().await.is_none());
    assert_eq!(log.take(), [""; 0]);
}

/// A message larger than the pipe: the handler reads and writes in turns.
async fn large_message<F, Fut>(run: F)
where
    F: Fn(Upgraded, Handshake) -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: IntoOutcome,
{
    let mut client = connect(&Log::default(), run).await;
    assert_eq!(receive(&mut client).await, Message::text("early"));
    let bytes: Vec<u8> = (0..PIPE * 3).map(|at| u8::try_from(at % 251).unwrap()).collect();
    client.send(Message::binary(bytes.clone())).await.unwrap();
    assert_eq!(receive(&mut client).await, Message::binary(bytes));
}

/// A frame that breaks the protocol ends the connection, and the error is reported.
async fn broken_frame<F, Fut>(run: F)
where
    F: Fn(Upgraded, Handshake) -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: IntoOutcome,
{
    let log = Log::default();
    let mut client = connect(&log, run).await;
    assert_eq!(receive(&mut client).await, Message::text("early"));
    let not_utf8 = Frame::message(vec![0xFF], OpCode::Data(Data::Text), true);
    client.send(Message::Frame(not_utf8)).await.unwrap();
    while let Some(Ok(message)) = client.next().await {
        assert!(message.is_close(), "{message:?}");
    }
    settle().await;
    assert_eq!(log.count("failed websocket Handler"), 1, "{log:?}");
}

async fn connect<F, Fut>(log: &Log, run: F) -> WebSocketStream<Early<DuplexStream>>
where
    F: Fn(Upgraded, Handshake) -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: IntoOutcome,
{
    let failures = log.clone();
    let layer = UpgradeLayer::new()
        .on("websocket", WebSocket::new(run))
        .on_failure(move |error| failures.push(describe(&error)));
    let wire = Wire::serve_with_buffer(layer.layer(inner(log)), PIPE);
    let (client, response) =
        client_async("ws://a.test/", Early::text(wire.io, "early")).await.unwrap();
    assert_eq!(response.status(), 101);
    client
}

async fn receive(client: &mut WebSocketStream<Early<DuplexStream>>) -> Message {
    client.next().await.unwrap().unwrap()
}

/// Bytes that a pipe holds in each direction.
const PIPE: usize = 64 * 1024;
