//! `connect-tcp`: a handler, and the tunnel between its client and a TCP connection
//! (draft-ietf-httpbis-connect-tcp).

use std::{convert::Infallible, future::pending, io, net::SocketAddr};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::StreamExt;
use http::Request;
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf},
    net::{
        TcpStream,
        tcp::{ReadHalf as FromTarget, WriteHalf as ToTarget},
    },
    time::timeout,
};
use tokio_util::{codec::FramedRead, sync::CancellationToken};
use tower_upgrade::{Rejection, Switch, UpgradeHandler, Upgraded};

use super::{
    capsule::{Capsules, Receive, malformed, put_head},
    proxy::{Proxy, not_connected, opened, target},
};

/// Where the tunnels are.
pub(crate) const PREFIX: &str = "/.well-known/masque/tcp/";

pub(crate) fn handler(proxy: Proxy) -> impl UpgradeHandler {
    let handler = move |request: Request<Bytes>| {
        let proxy = proxy.clone();
        async move { open(&proxy, &request).await }
    };
    handler.when(|head| head.uri.path().starts_with(PREFIX))
}

async fn open(proxy: &Proxy, request: &Request<Bytes>) -> Result<Switch, Rejection> {
    let target = target(request, PREFIX)?;
    let addresses = proxy.addresses(target).await?;
    // The connection comes before the answer: without one there is no switch.
    let connected = timeout(proxy.patience, connect(&addresses)).await;
    let connected = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let (target, address) = connected.map_err(|error| not_connected(&error))?;
    Ok(opened(Switch::to(move |io: Upgraded| tunnel(io, target)), address))
}

async fn connect(addresses: &[SocketAddr]) -> io::Result<(TcpStream, SocketAddr)> {
    let mut last = io::ErrorKind::AddrNotAvailable.into();
    for &address in addresses {
        match TcpStream::connect(address).await {
            Ok(target) => {
                // The client decides which bytes are sent together.
                target.set_nodelay(true)?;
                return Ok((target, address));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Runs a tunnel until both sides have said that they are done. Each may go on when the other is.
///
/// If one side breaks off, the other side is reset, so that nobody takes half of a stream for the whole. A
/// drain does not end a tunnel, because TCP has no goodbye: the deadline of the shutdown does.
async fn tunnel(io: Upgraded, mut target: TcpStream) -> io::Result<()> {
    let (reader, mut writer) = tokio::io::split(io);
    let mut capsules = FramedRead::new(reader, Capsules::new(Stream::default()));
    let is_final = CancellationToken::new();
    let (mut from_target, mut to_target) = target.split();
    let ended = tokio::select! {
        Err(error) = forward(&mut capsules, &mut to_target, &is_final) => Err(error),
        ended = backward(&mut from_target, &mut writer, &is_final) => ended,
    };
    let mut io = capsules.into_inner().unsplit(writer);
    if ended.is_ok() {
        return io.close().await;
    }
    reset(&target);
    // In HTTP/2, and behind TLS, the client gets an EOF without FINAL_DATA.
    if let Ok(client) = io.downcast::<TcpStream>() {
        reset(&client.io);
    }
    ended
}

/// Has a connection end in a RST when it is dropped.
fn reset(connection: &TcpStream) {
    // If it is closed already, there is nothing to tell.
    connection.set_zero_linger().ok();
}

/// Writes the client's bytes to the target, then FIN. Goes on reading, and fails if the client sends more
/// bytes, or breaks off.
async fn forward(
    capsules: &mut FramedRead<ReadHalf<Upgraded>, Capsules<Stream>>,
    target: &mut ToTarget<'_>,
    is_final: &CancellationToken,
) -> io::Result<Infallible> {
    while let Some(data) = capsules.next().await {
        let data = data?;
        target.write_all(&data.bytes).await?;
        if data.is_final {
            target.shutdown().await?;
            is_final.cancel();
        }
    }
    if is_final.is_cancelled() {
        return pending().await;
    }
    Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the stream ended without FINAL_DATA"))
}

/// Writes the target's bytes to the client, then `FINAL_DATA`. Returns when the client has sent its own.
async fn backward(
    target: &mut FromTarget<'_>,
    client: &mut (impl AsyncWrite + Unpin),
    is_final: &CancellationToken,
) -> io::Result<()> {
    let mut bytes = vec![0; LONGEST_PIECE];
    let mut capsule = BytesMut::new();
    loop {
        let length = target.read(&mut bytes).await?;
        let kind = if length == 0 { FINAL_DATA } else { DATA };
        capsule.clear();
        put_head(kind, length, &mut capsule);
        capsule.put_slice(&bytes[..length]);
        client.write_all(&capsule).await?;
        client.flush().await?;
        if length == 0 {
            break;
        }
    }
    is_final.cancelled().await;
    Ok(())
}

/// The bytes in `DATA` and `FINAL_DATA` capsules, as they arrive.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    is_final: bool,
}

#[derive(Debug)]
pub(crate) struct Data {
    pub(crate) bytes: Bytes,
    /// Whether the client has sent its last byte.
    pub(crate) is_final: bool,
}

impl Receive for Stream {
    type Item = Data;

    fn wants(&mut self, kind: u64, _length: u64) -> io::Result<Option<usize>> {
        if kind != DATA && kind != FINAL_DATA {
            return Ok(None);
        }
        if self.is_final {
            return Err(malformed("there are bytes after FINAL_DATA"));
        }
        Ok(Some(1))
    }

    fn piece(&mut self, kind: u64, bytes: Bytes, is_last: bool) -> io::Result<Data> {
        self.is_final = kind == FINAL_DATA && is_last;
        Ok(Data { bytes, is_final: self.is_final })
    }
}

/// The types of the capsules, provisional as in versions 08 and 09 of the draft. The RFC may have others.
pub(crate) const DATA: u64 = 0x2028_d7f0;
pub(crate) const FINAL_DATA: u64 = 0x2028_d7f1;

const LONGEST_PIECE: usize = 16 * 1024;
