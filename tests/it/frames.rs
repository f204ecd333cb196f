//! WebSocket messages with each framing crate. The client is another crate.

use std::future::Future;

use futures_util::{SinkExt, StreamExt};
use tokio::io::DuplexStream;
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

/// The server has the first message before the handshake is done.
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

/// The message is larger than the pipe, so the handler reads and writes in turns.
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

/// An error of a framing crate closes the connection and is reported.
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

/// How many bytes a pipe holds in each direction.
const PIPE: usize = 64 * 1024;
