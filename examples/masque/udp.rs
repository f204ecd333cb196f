//! `connect-udp`: a handler, and the tunnel between its client and a UDP socket (RFC 9298).

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::StreamExt;
use http::Request;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt, ReadHalf},
    net::UdpSocket,
    time::sleep,
};
use tokio_util::{codec::FramedRead, sync::CancellationToken};
use tower_upgrade::{Rejection, Switch, UpgradeHandler, Upgraded};

use super::{
    capsule::{Capsules, Receive, get_varint, malformed, put_head},
    proxy::{Proxy, not_connected, opened, target},
};

/// Where the tunnels are.
pub(crate) const PREFIX: &str = "/.well-known/masque/udp/";

pub(crate) fn handler(proxy: Proxy) -> impl UpgradeHandler {
    let handler = move |request: Request<Bytes>| {
        let proxy = proxy.clone();
        async move { open(&proxy, &request).await }
    };
    handler.when(|head| head.uri.path().starts_with(PREFIX))
}

async fn open(proxy: &Proxy, request: &Request<Bytes>) -> Result<Switch, Rejection> {
    let target = target(request, PREFIX)?;
    // RFC 9298 §3.1: the name is looked up before the answer.
    let addresses = proxy.addresses(target).await?;
    let (socket, address) = connect(&addresses).await.map_err(|error| not_connected(&error))?;
    Ok(opened(Switch::to(move |io: Upgraded| tunnel(io, socket)), address))
}

/// A socket that is connected to the first of the addresses to which there is a route. The kernel drops
/// datagrams of anyone else, and tells of ICMP errors.
async fn connect(addresses: &[SocketAddr]) -> io::Result<(UdpSocket, SocketAddr)> {
    let mut last = io::ErrorKind::AddrNotAvailable.into();
    for &address in addresses {
        let local: SocketAddr = if address.is_ipv4() {
            (Ipv4Addr::UNSPECIFIED, 0).into()
        } else {
            (Ipv6Addr::UNSPECIFIED, 0).into()
        };
        let socket = UdpSocket::bind(local).await?;
        match socket.connect(address).await {
            Ok(()) => return Ok((socket, address)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Runs a tunnel until the client closes its side, the socket is dead, or the server drains.
///
/// Fails if the client breaks the protocol, and closes its connection at once (RFC 9297 §3.3). Fails if the
/// socket is dead, when the client has received everything.
async fn tunnel(io: Upgraded, socket: UdpSocket) -> io::Result<()> {
    let draining = io.draining();
    let (reader, mut writer) = tokio::io::split(io);
    let mut capsules = FramedRead::new(reader, Capsules::new(Datagrams));
    let stop = CancellationToken::new();
    let from_client = async {
        let _stop = stop.clone().drop_guard();
        to_target(&mut capsules, &socket, &stop).await
    };
    let from_target = async {
        let _stop = stop.clone().drop_guard();
        to_client(&socket, &mut writer, &stop).await
    };
    let too_late = async {
        tokio::select! {
            () = draining => stop.cancel(),
            () = stop.cancelled() => {}
        }
        // A capsule that is half written is finished, if the client takes it.
        sleep(GRACE).await;
    };
    let (from_client, from_target) = tokio::select! {
        both = async { tokio::join!(from_client, from_target) } => both,
        () = too_late => return Err(io::ErrorKind::TimedOut.into()),
    };
    let dead = from_client?.or(from_target?);
    capsules.into_inner().unsplit(writer).close().await?;
    dead.map_or(Ok(()), Err)
}

/// Sends the client's datagrams. Returns the error of a dead socket, or `None` if the client has closed
/// its side.
async fn to_target(
    capsules: &mut FramedRead<ReadHalf<Upgraded>, Capsules<Datagrams>>,
    socket: &UdpSocket,
    stop: &CancellationToken,
) -> io::Result<Option<io::Error>> {
    while let Some(Some(datagram)) = stop.run_until_cancelled(capsules.next()).await {
        let Some(payload) = datagram? else { continue };
        match socket.send(&payload).await {
            Ok(_) => {}
            // RFC 9298 §5: a payload that does not fit into a packet is dropped.
            Err(error) if is_too_long(&error) => {}
            Err(error) => return Ok(Some(error)),
        }
    }
    Ok(None)
}

fn is_too_long(error: &io::Error) -> bool {
    // `EMSGSIZE` of Linux, of BSD and macOS, and of Windows. It has no stable kind yet.
    matches!(error.raw_os_error(), Some(90 | 40 | 10040))
}

/// Sends the target's datagrams to the client, one after the other. While the client does not take one,
/// the next ones wait in the socket's buffer, and the kernel drops those for which there is no room.
async fn to_client(
    socket: &UdpSocket,
    client: &mut (impl AsyncWrite + Unpin),
    stop: &CancellationToken,
) -> io::Result<Option<io::Error>> {
    let mut payload = vec![0; LONGEST_PAYLOAD];
    let mut capsule = BytesMut::new();
    while let Some(received) = stop.run_until_cancelled(socket.recv(&mut payload)).await {
        let length = match received {
            Ok(length) => length,
            Err(error) => return Ok(Some(error)),
        };
        capsule.clear();
        put_head(DATAGRAM, 1 + length, &mut capsule);
        capsule.put_u8(CONTEXT_OF_UDP);
        capsule.put_slice(&payload[..length]);
        client.write_all(&capsule).await?;
        client.flush().await?;
    }
    Ok(None)
}

/// The payloads in DATAGRAM capsules. `None` is a datagram of a context that nobody has registered.
#[derive(Debug)]
pub(crate) struct Datagrams;

impl Receive for Datagrams {
    type Item = Option<Bytes>;

    fn wants(&mut self, kind: u64, length: u64) -> io::Result<Option<usize>> {
        if kind != DATAGRAM {
            return Ok(None);
        }
        match usize::try_from(length) {
            Ok(length) if length <= LONGEST_CONTEXT + LONGEST_PAYLOAD => Ok(Some(length)),
            _ => Err(malformed(TOO_LONG)),
        }
    }

    fn piece(&mut self, _kind: u64, mut value: Bytes, _is_last: bool) -> io::Result<Option<Bytes>> {
        match get_varint(&mut value) {
            Some(0) if value.len() > LONGEST_PAYLOAD => Err(malformed(TOO_LONG)),
            Some(0) => Ok(Some(value)),
            Some(_) => Ok(None),
            None => Err(malformed("a datagram has no context ID")),
        }
    }
}

const TOO_LONG: &str = "a datagram is longer than one of UDP can be";

/// The type of a DATAGRAM capsule (RFC 9297 §3.5).
const DATAGRAM: u64 = 0;

/// The context ID of UDP payloads (RFC 9298 §4), as a variable-length integer.
const CONTEXT_OF_UDP: u8 = 0;

const LONGEST_PAYLOAD: usize = 65_527;

/// A context ID is a variable-length integer.
const LONGEST_CONTEXT: usize = 8;

/// How long a client has to take the rest of a capsule when the tunnel ends.
const GRACE: Duration = Duration::from_secs(5);
