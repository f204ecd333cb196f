//! The memory of idle connections.

use std::io;

use crate::{
    client::{Connection, Message, Protocol},
    peers::{Peer, counts::float},
};

pub(super) const CONNECTIONS: u32 = 10_000;

/// Bytes for each connection.
pub(super) struct Memory {
    /// After the handshake.
    pub(super) quiet: Bytes,
    /// After the handshake and one message of 32 bytes.
    pub(super) used: Bytes,
}

pub(super) struct Bytes {
    /// The growth of the process.
    pub(super) resident: f64,
    /// The bytes that its allocator has given out, if it counts.
    pub(super) allocated: Option<f64>,
}

pub(super) async fn of(peer: &Peer) -> io::Result<Memory> {
    let mut server = peer.start(&[])?;
    let message = Message::websocket(32);
    // For everything that is allocated once.
    open(server.address, &message).await?.close().await?;
    let address = server.address;
    let mut look = || {
        let allocated = if peer.is_counted() { Some(server.ask()?[1]) } else { None };
        Ok::<_, io::Error>((server.resident()?, allocated))
    };
    let before = look()?;
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut connection = Connection::open(address).await?;
        connection.upgrade(Protocol::WebSocket).await?;
        connections.push(connection);
    }
    let quiet = look()?;
    for connection in &mut connections {
        connection.echo(&message).await?;
    }
    let used = look()?;
    let each =
        |after: u64, before: u64| float(after.saturating_sub(before)) / f64::from(CONNECTIONS);
    let grown = |(resident, allocated): (u64, Option<u64>)| Bytes {
        resident: each(resident, before.0),
        allocated: allocated.zip(before.1).map(|(after, before)| each(after, before)),
    };
    Ok(Memory { quiet: grown(quiet), used: grown(used) })
}

async fn open(address: std::net::SocketAddr, message: &Message) -> io::Result<Connection> {
    let mut connection = Connection::open(address).await?;
    connection.upgrade(Protocol::WebSocket).await?;
    connection.echo(message).await?;
    Ok(connection)
}
