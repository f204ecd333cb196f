//! Messages echoed per second by each framing crate: medians of interleaved rounds, as ratios.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};
use tower_upgrade::BoxError;

pub(crate) async fn run(address: SocketAddr) -> Result<(), BoxError> {
    println!("{CONNECTIONS} connections, medians of {ROUNDS} rounds of {ROUND:?}");
    for (bytes, in_flight) in LOADS {
        let mut rates = PATHS.map(|_| Vec::new());
        // They take turns, so that other load on the machine hits all of them alike.
        for _ in 0..ROUNDS {
            for (path, rates) in PATHS.iter().zip(&mut rates) {
                rates.push(round(address, path, bytes, in_flight).await?);
            }
        }
        println!("{bytes} bytes, {in_flight} in flight:");
        let medians = rates.map(median);
        for (path, rate) in PATHS.iter().zip(medians) {
            println!("{path:>20} {rate:>9.0} /s {:>6.2}", rate / medians[0]);
        }
    }
    Ok(())
}

async fn round(
    address: SocketAddr,
    path: &str,
    bytes: usize,
    in_flight: u32,
) -> Result<f64, BoxError> {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(connect(address, path).await?);
    }
    let start = Instant::now();
    let mut echoes = JoinSet::new();
    for connection in connections {
        echoes.spawn(exchange(connection, bytes, in_flight, start + ROUND));
    }
    let mut messages = 0;
    while let Some(echoed) = echoes.join_next().await {
        messages += echoed??;
    }
    Ok(f64::from(messages) / start.elapsed().as_secs_f64())
}

async fn connect(address: SocketAddr, path: &str) -> Result<TcpStream, BoxError> {
    let mut io = TcpStream::connect(address).await?;
    io.set_nodelay(true)?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    io.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(io.read_u8().await?);
    }
    if !head.starts_with(b"HTTP/1.1 101 ") {
        return Err("the server did not switch".into());
    }
    Ok(io)
}

/// Sends as many messages as may be in flight, waits for their echoes, and so on. The client
/// parses nothing, as the length of an echo is known, and so costs the same for all servers.
async fn exchange(
    mut io: TcpStream,
    bytes: usize,
    in_flight: u32,
    end: Instant,
) -> Result<u32, BoxError> {
    let sent = frame(bytes, Some([7, 11, 13, 17]))?.repeat(in_flight as usize);
    let expected = frame(bytes, None)?.repeat(in_flight as usize);
    let mut received = vec![0; expected.len()];
    let mut messages = 0;
    while Instant::now() < end {
        let (mut reader, mut writer) = io.split();
        // Both at once: neither side can take in everything before it sends.
        tokio::try_join!(writer.write_all(&sent), reader.read_exact(&mut received))?;
        messages += in_flight;
    }
    if received != expected {
        return Err("the echo differs".into());
    }
    io.write_all(CLOSE).await?;
    // The servers copy the code, and then close the connection.
    received.clear();
    io.read_to_end(&mut received).await?;
    if received != [0x88, 2, 3, 232] {
        return Err("the closing handshake was not completed".into());
    }
    Ok(messages)
}

/// A binary message of zeros in one frame, RFC 6455 §5.2.
fn frame(bytes: usize, mask: Option<[u8; 4]>) -> Result<Vec<u8>, BoxError> {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    let mut frame = vec![0x82];
    if bytes < 126 {
        frame.push(masked + u8::try_from(bytes)?);
    } else {
        frame.push(masked + 126);
        frame.extend(u16::try_from(bytes)?.to_be_bytes());
    }
    frame.extend(mask.iter().flatten());
    // A zero that is masked is the mask.
    frame.extend(mask.unwrap_or_default().iter().cycle().take(bytes));
    Ok(frame)
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

const PATHS: [&str; 4] = ["/tungstenite", "/tokio-websockets", "/fastwebsockets", "/yawc"];
/// Bytes of a message, and messages that are sent before the first echo is waited for.
const LOADS: [(usize, u32); 4] = [(64, 1), (64, 32), (16 * 1024, 1), (16 * 1024, 8)];
/// A masked close frame with code 1000.
const CLOSE: &[u8] = &[0x88, 0x82, 0, 0, 0, 0, 3, 232];
const CONNECTIONS: usize = 8;
const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_millis(500);
