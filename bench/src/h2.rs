//! A client with just enough HTTP/2 to cost little.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub(crate) struct Connection {
    io: TcpStream,
    received: Vec<u8>,
    /// The stream of the next request.
    stream: u32,
}

impl Connection {
    pub(crate) async fn prior_knowledge(address: SocketAddr) -> io::Result<Self> {
        let mut connection = Self { io: connect(address).await?, received: Vec::new(), stream: 1 };
        connection.start().await?;
        Ok(connection)
    }

    pub(crate) async fn upgraded(address: SocketAddr) -> io::Result<Self> {
        let mut io = connect(address).await?;
        io.write_all(UPGRADE).await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(io.read_u8().await?);
        }
        if !head.starts_with(b"HTTP/1.1 101 ") {
            return Err(io::Error::other("the server did not switch to h2c"));
        }
        let mut connection = Self { io, received: Vec::new(), stream: 3 };
        // The answer on stream 1 counts as well.
        while connection.answers().await? == 0 {}
        connection.start().await?;
        Ok(connection)
    }

    /// Sends the preface, empty settings, an acknowledgement, and a window for all answers.
    async fn start(&mut self) -> io::Result<()> {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
        bytes.extend([0, 0, 0, 4, 1, 0, 0, 0, 0]);
        bytes.extend([0, 0, 4, 8, 0, 0, 0, 0, 0, 0x7f, 0, 0, 0]);
        self.io.write_all(&bytes).await
    }

    /// Sends requests, so many at a time, and reads every answer to its end.
    pub(crate) async fn send(&mut self, requests: u32) -> io::Result<()> {
        let (mut sent, mut answered, mut bytes) = (0, 0, Vec::new());
        while answered < requests {
            // A batch is sent when the one before is answered, so that every run does the same.
            if sent == answered {
                for _ in 0..IN_FLIGHT.min(requests - sent) {
                    // GET, http, /, and an authority.
                    bytes.extend([0, 0, 11, 1, 5]);
                    bytes.extend(self.stream.to_be_bytes());
                    bytes.extend(b"\x82\x86\x84\x01\x06a.test");
                    self.stream += 2;
                    sent += 1;
                }
                self.io.write_all(&bytes).await?;
                bytes.clear();
            }
            answered += self.answers().await?;
        }
        Ok(())
    }

    /// Reads once, and returns how many answers have ended.
    async fn answers(&mut self) -> io::Result<u32> {
        if self.io.read_buf(&mut self.received).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (mut answers, mut at) = (0, 0);
        while let Some(&[a, b, c, kind, flags, ..]) = self.received[at..].first_chunk::<9>() {
            let length = 9 + u32::from_be_bytes([0, a, b, c]) as usize;
            if self.received.len() - at < length {
                break;
            }
            at += length;
            if kind == RST_STREAM || kind == GOAWAY {
                return Err(io::Error::other("the server resets a stream or sends GOAWAY"));
            }
            answers += u32::from(kind == DATA && flags & END_STREAM != 0);
        }
        self.received.drain(..at);
        Ok(answers)
    }
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let io = TcpStream::connect(address).await?;
    io.set_nodelay(true)?;
    Ok(io)
}

const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\n\
    Host: a.test\r\n\
    Connection: upgrade, http2-settings\r\n\
    Upgrade: h2c\r\n\
    HTTP2-Settings: AAMAAABk\r\n\r\n";
const IN_FLIGHT: u32 = 32;
const DATA: u8 = 0;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
