//! The upstream of the proxies: answers every WebSocket handshake, and then sends back what it gets.
//!
//! No proxy here looks at frames, so the frames come back masked, and the upstream costs the least that
//! it can.

use std::io;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

pub(crate) async fn serve() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on http://{}", listener.local_addr()?);
    loop {
        let (io, _) = listener.accept().await?;
        // A client that goes away in the middle ends its connection only.
        tokio::spawn(async move { echo(io).await.ok() });
    }
}

async fn echo(mut io: TcpStream) -> io::Result<()> {
    io.set_nodelay(true)?;
    let mut bytes = vec![0; BUFFER];
    let mut head = 0;
    // The client waits for the answer before it sends more.
    while !bytes[..head].ends_with(b"\r\n\r\n") {
        match io.read(&mut bytes[head..]).await? {
            0 => return Ok(()),
            read => head += read,
        }
    }
    io.write_all(SWITCHING).await?;
    loop {
        match io.read(&mut bytes).await? {
            0 => return io.shutdown().await,
            read => io.write_all(&bytes[..read]).await?,
        }
    }
}

const BUFFER: usize = 128 * 1024;
/// The client's key is always that of RFC 6455, and so is the answer to it.
const SWITCHING: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\
    Connection: Upgrade\r\n\
    Upgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
