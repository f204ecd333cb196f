//! The same app by axum's `WebSocketUpgrade` and by this crate, under the same checks of a client.

#[allow(clippy::print_stdout, reason = "as an app might log")]
mod ours;
#[allow(clippy::print_stdout, reason = "as a server might log")]
mod servers;
#[allow(clippy::print_stdout, reason = "as an app might log")]
mod theirs;

use std::net::SocketAddr;

use axum::{Router, extract::connect_info::MockConnectInfo, http::HeaderMap};
use futures_util::{SinkExt, StreamExt};
use http::{Request, header};
use tokio::io::DuplexStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, client::IntoClientRequest, protocol::Role},
};

use crate::support::*;

/// The state of both apps.
#[derive(Clone)]
struct App {
    name: &'static str,
}

#[derive(serde::Deserialize)]
struct User {
    name: String,
}

impl App {
    fn describe(&self, room: &str, user: &User, peer: SocketAddr, session: &str) -> String {
        format!("{} {room} {} {peer} {session}", self.name, user.name)
    }
}

fn session(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get(header::COOKIE)?.to_str().ok()?;
    cookies.split("; ").find_map(|cookie| cookie.strip_prefix("session=")).map(String::from)
}

fn apps() -> [(&'static str, Router); 2] {
    let app = App { name: "app" };
    let peer = MockConnectInfo(SocketAddr::from(([192, 0, 2, 1], 7)));
    [("theirs", theirs::app(app.clone()).layer(peer)), ("ours", ours::app(app).layer(peer))]
}

/// Opens a WebSocket, with these headers more.
async fn open(
    app: &Router,
    path: &str,
    headers: &[(&'static str, &'static str)],
) -> Result<WebSocketStream<DuplexStream>, Error> {
    let wire = Wire::serve(app.clone());
    let mut request: Request<()> = format!("ws://a.test{path}").into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    client_async(request, wire.io).await.map(|(socket, _response)| socket)
}

const PATH: &str = "/rooms/lobby?name=Ada";
const COOKIE: (&str, &str) = ("cookie", "theme=dark; session=7f");

#[tokio::test(start_paused = true)]
async fn both_see_the_same_of_a_request_and_talk() {
    for (name, app) in apps() {
        for (offer, agreed) in
            [("chat.v1, chat.v2", "chat.v2"), ("chat.v1", "chat.v1"), ("chat.v1, x", "chat.v1")]
        {
            let headers = [COOKIE, ("sec-websocket-protocol", offer)];
            let mut socket = open(&app, PATH, &headers).await.unwrap();
            for text in ["hello", "again"] {
                socket.send(Message::text(text)).await.unwrap();
                let answer = socket.next().await.unwrap().unwrap();
                let expected = format!("app lobby Ada 192.0.2.1:7 7f {agreed}: {text}");
                assert_eq!(answer.to_text().unwrap(), expected, "{name}");
            }
            socket.close(None).await.unwrap();
            while let Some(message) = socket.next().await {
                assert!(message.unwrap().is_close(), "{name}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn both_answer_before_the_switch_what_the_app_decides() {
    let status = |opened: Result<_, Error>| match opened {
        Err(Error::Http(response)) => response.status().as_u16(),
        Ok(_) => 101,
        Err(error) => panic!("{error}"),
    };
    for (name, app) in apps() {
        for (path, headers, expected) in [
            (PATH, &[][..], 401),
            ("/rooms/lobby", &[COOKIE], 400),
            ("/nope", &[COOKIE], 404),
            (PATH, &[COOKIE], 101),
        ] {
            let answered = status(open(&app, path, headers).await);
            assert_eq!(answered, expected, "{name} {path}");
        }
        let mut wire = Wire::serve(app);
        let cookie = "Cookie: session=7f\r\n";
        let plain = request(&format!("GET {PATH} HTTP/1.1"), cookie);
        wire.exchange(plain).await.starts_with("HTTP/1.1 4").and_is_open();
    }
}

#[tokio::test(start_paused = true)]
async fn the_table_of_what_changes_for_axum_is_right() {
    let handshake = "Cookie: session=7f\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                     Sec-WebSocket-Version: 13\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let [(_, theirs), (_, ours)] = apps();
    for (headers, expected) in [
        (handshake.to_owned(), ["101", "101"]),
        (format!("{handshake}Origin: https://elsewhere.test\r\n"), ["101", "403"]),
        (handshake.replace("13", "12"), ["400", "426"]),
        ("Cookie: session=7f\r\n".to_owned(), ["400", "426"]),
    ] {
        for (app, expected) in [&theirs, &ours].into_iter().zip(expected) {
            let sent = request(&format!("GET {PATH} HTTP/1.1"), &headers);
            let received = Wire::serve(app.clone()).exchange(sent).await;
            received.starts_with(&format!("HTTP/1.1 {expected} "));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn both_close_on_a_message_over_the_limit() {
    for (name, app) in apps() {
        let mut socket = open(&app, PATH, &[COOKIE]).await.unwrap();
        socket.send(Message::text("x".repeat(1024))).await.unwrap();
        assert!(socket.next().await.unwrap().unwrap().is_text(), "{name}");
        socket.send(Message::text("x".repeat(1025))).await.ok();
        while let Some(Ok(message)) = socket.next().await {
            assert!(!message.is_text(), "{name}");
        }
    }
}

#[test]
fn the_table_of_lines_in_the_readme_is_right() {
    let lines = |file: &str| file.lines().filter(|line| !line.trim().is_empty()).count() - 1;
    let theirs = lines(include_str!("theirs.rs"));
    let ours = lines(include_str!("ours.rs"));
    let readme = include_str!("../../../README.md");
    for row in [
        format!("| with axum's `WebSocketUpgrade` | {theirs} |"),
        format!("| with this crate | {ours} |"),
    ] {
        assert!(readme.contains(&row), "the README does not say {row}");
    }
}

#[tokio::test(start_paused = true)]
async fn both_talk_over_http_2() {
    use crate::extended_connect::support::{Client, connect};

    for (name, app) in apps() {
        let headers =
            [COOKIE, ("sec-websocket-version", "13"), ("sec-websocket-protocol", "chat.v1")];
        let mut client = Client::serve(app.clone()).await;
        let mut answer = client.send(connect("websocket", PATH, &headers)).await;
        answer.is(200, &["sec-websocket-protocol: chat.v1"]);
        let tunnel = answer.tunnel.take().unwrap();
        let mut socket = WebSocketStream::from_raw_socket(tunnel, Role::Client, None).await;
        socket.send("hello".into()).await.unwrap();
        let expected = "app lobby Ada 192.0.2.1:7 7f chat.v1: hello";
        assert_eq!(socket.next().await.unwrap().unwrap(), expected.into(), "{name}");
        // Without a session, both reject.
        let request = connect("websocket", PATH, &[headers[1]]);
        assert_eq!(client.send(request).await.status, 401, "{name}");
    }
}
