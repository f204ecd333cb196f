//! The client of one connection.

use std::time::Duration;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::{sleep, timeout},
};

use crate::runtime::settle;

/// How a client sends its bytes.
#[derive(Arbitrary, Clone, Debug)]
pub struct Sending {
    /// How many bytes at once, and what it does then.
    splits: Vec<(u8, Pause)>,
    pub end: End,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Pause {
    None,
    /// Until the server is idle.
    Settle,
    /// Longer than a handshake may take.
    Long,
}

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Ends its side when the server is idle.
    Shutdown,
    /// Ends its side at once.
    ShutdownAtOnce,
    /// Is gone at once.
    Drop,
}

impl Sending {
    /// Whether what the server does is independent of how fast it is.
    pub fn is_determined(&self) -> bool {
        self.end == End::Shutdown
    }

    /// Sends all bytes, and returns all that the server sends.
    pub async fn exchange(&self, io: DuplexStream, bytes: &[u8]) -> Vec<u8> {
        let (mut reader, mut writer) = tokio::io::split(io);
        let mut received = Vec::new();
        let write = async {
            let mut rest = bytes;
            for &(size, pause) in &self.splits {
                let (piece, after) = rest.split_at(usize::from(size).min(rest.len()));
                rest = after;
                // The server may have closed the connection.
                writer.write_all(piece).await.ok();
                match pause {
                    Pause::None => {}
                    Pause::Settle => settle().await,
                    Pause::Long => sleep(Duration::from_secs(30)).await,
                }
            }
            writer.write_all(rest).await.ok();
            match self.end {
                End::Shutdown => {
                    // Until handlers that never decide have timed out.
                    sleep(Duration::from_secs(1000)).await;
                    writer.shutdown().await.ok();
                }
                End::ShutdownAtOnce => drop(writer.shutdown().await),
                End::Drop => {}
            }
        };
        let read = async {
            reader.read_to_end(&mut received).await.ok();
            if self.end == End::Drop {
                std::future::pending::<()>().await;
            }
        };
        if self.end == End::Drop {
            tokio::select! {
                () = write => {}
                () = read => {}
            }
        } else {
            tokio::join!(write, read);
        }
        received
    }
}

/// Returns the bytes that come until the server is idle.
pub async fn receive(io: &mut DuplexStream) -> Vec<u8> {
    let mut received = Vec::new();
    while let Ok(Ok(1..)) = timeout(Duration::from_secs(1), io.read_buf(&mut received)).await {}
    received
}
