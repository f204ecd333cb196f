//! One connection of the load client.
//!
//! It parses as little as it can: it knows the bytes of every echo, and compares them.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The protocol that a connection is upgraded to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Protocol {
    /// `Upgrade: websocket`, at `/ws`.
    WebSocket,
    /// `Upgrade: echo/1`, at `/`.
    Raw,
}

impl Protocol {
    fn request(self) -> &'static [u8] {
        match self {
            Self::WebSocket => WEBSOCKET,
            Self::Raw => RAW,
        }
    }
}

pub(crate) struct Connection {
    io: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        let io = TcpStream::connect(address).await?;
        io.set_nodelay(true)?;
        Ok(Self { io, received: Vec::new() })
    }

    /// Asks for an upgrade, and reads the head of the 101.
    pub(crate) async fn upgrade(&mut self, to: Protocol) -> io::Result<()> {
        self.io.write_all(to.request()).await?;
        self.received.clear();
        while !self.received.ends_with(b"\r\n\r\n") {
            self.read().await?;
        }
        if self.received.starts_with(b"HTTP/1.1 101 ") {
            Ok(())
        } else {
            Err(unexpected("an answer that is no 101", &self.received))
        }
    }

    /// Sends a plain request, and reads the response to its end.
    pub(crate) async fn request(&mut self) -> io::Result<()> {
        self.io.write_all(PLAIN).await?;
        self.received.clear();
        // All servers answer with the same body.
        while !self.received.ends_with(PLAIN_BODY) {
            self.read().await?;
        }
        if self.received.starts_with(b"HTTP/1.1 200 ") {
            Ok(())
        } else {
            Err(unexpected("an answer that is no 200", &self.received))
        }
    }

    /// Sends a message, and reads its echo.
    pub(crate) async fn echo(&mut self, message: &Message) -> io::Result<()> {
        self.received.resize(message.echoed.len(), 0);
        if message.sent.len() <= SMALL {
            self.io.write_all(&message.sent).await?;
            self.io.read_exact(&mut self.received).await?;
        } else {
            // Both at once: an echo may begin before the message has ended.
            let (mut reader, mut writer) = self.io.split();
            tokio::try_join!(
                writer.write_all(&message.sent),
                reader.read_exact(&mut self.received)
            )?;
        }
        if self.received == message.echoed {
            Ok(())
        } else {
            Err(unexpected("another echo", &self.received[..16]))
        }
    }

    /// Sends a FIN, and reads up to the server's. A closing WebSocket may come before it.
    pub(crate) async fn close(mut self) -> io::Result<()> {
        self.io.shutdown().await?;
        self.received.clear();
        self.io.read_to_end(&mut self.received).await.map(drop)
    }

    async fn read(&mut self) -> io::Result<()> {
        match self.io.read_buf(&mut self.received).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// The bytes of one message and of its echo.
pub(crate) struct Message {
    sent: Vec<u8>,
    echoed: Vec<u8>,
}

impl Message {
    /// A binary message in one frame, masked; its echo is not masked.
    pub(crate) fn websocket(bytes: usize) -> Self {
        let mut echoed = vec![0x82];
        match (u8::try_from(bytes), u16::try_from(bytes)) {
            (Ok(length @ ..126), _) => echoed.push(length),
            (_, Ok(length)) => {
                echoed.push(126);
                echoed.extend(length.to_be_bytes());
            }
            _ => {
                echoed.push(127);
                echoed.extend((bytes as u64).to_be_bytes());
            }
        }
        let mut sent = echoed.clone();
        sent[1] |= 0x80;
        sent.extend(MASK);
        let payload = (b'a'..=b'z').cycle().take(bytes);
        sent.extend(payload.clone().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        echoed.extend(payload);
        Self { sent, echoed }
    }

    /// The same message, for a server that sends back the very bytes it gets.
    pub(crate) fn returned(bytes: usize) -> Self {
        let sent = Self::websocket(bytes).sent;
        Self { echoed: sent.clone(), sent }
    }
}

fn unexpected(what: &str, bytes: &[u8]) -> io::Error {
    io::Error::other(format!("{what}: {}", bytes.escape_ascii()))
}

const WEBSOCKET: &[u8] = b"GET /ws HTTP/1.1\r\n\
    Host: localhost\r\n\
    Connection: Upgrade\r\n\
    Upgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const RAW: &[u8] = b"GET / HTTP/1.1\r\n\
    Host: localhost\r\n\
    Connection: Upgrade\r\n\
    Upgrade: echo/1\r\n\r\n";
const PLAIN: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const PLAIN_BODY: &[u8] = b"\r\n\r\nplain";
const MASK: [u8; 4] = [7, 11, 13, 17];
/// A message of this size fits into the buffers of a socket, so that a server takes it as a whole.
const SMALL: usize = 4096;
