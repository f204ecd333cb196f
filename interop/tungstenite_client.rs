//! tokio-tungstenite as the client of an echo; `interop/clients.sh` runs it.
#![allow(clippy::print_stdout, reason = "a script's reader wants to know what was done")]

#[path = "../tests/it/early.rs"]
mod early;

use std::{env, time::Duration};

use futures_util::{SinkExt, StreamExt};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Message,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};
use tower_upgrade::BoxError;

use early::Early;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let address = env::args().nth(1).ok_or("the address of the server is missing")?;
    let io = Early::text(TcpStream::connect(&address).await?, "early");
    let (mut client, _) = client_async(format!("ws://{address}/ws"), io).await?;
    expect(&mut client, &Message::text("early")).await?;
    for message in [
        Message::text("text"),
        Message::text("grüß dich"),
        Message::text(""),
        Message::binary(vec![0, 255, 128]),
        Message::binary(b"large".repeat(2_000_000)),
    ] {
        client.send(message.clone()).await?;
        expect(&mut client, &message).await?;
    }
    client.send(Message::Ping("there?".into())).await?;
    expect(&mut client, &Message::Pong("there?".into())).await?;
    let close = CloseFrame { code: CloseCode::Library(4000), reason: "".into() };
    client.close(Some(close.clone())).await?;
    expect(&mut client, &Message::Close(Some(close))).await?;
    println!("clients: tokio-tungstenite");
    Ok(())
}

async fn expect(
    client: &mut WebSocketStream<Early<TcpStream>>,
    expected: &Message,
) -> Result<(), BoxError> {
    let message = timeout(Duration::from_secs(30), client.next()).await?;
    match message.transpose()? {
        Some(message) if message == *expected => Ok(()),
        other => Err(format!("{other:.80?} came instead of {expected:.80?}").into()),
    }
}
