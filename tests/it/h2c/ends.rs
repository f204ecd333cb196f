//! Ends over real sockets, where a connection that is closed too early is reset, and loses data.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower::{Layer, service_fn};
use tower_upgrade::{
    Connections, UpgradeLayer,
    h2c::{H2c, RequestBody},
};

use super::support::*;
use crate::support::*;

/// Answers with as many bytes as the path says.
async fn bytes(request: Request<RequestBody>) -> Result<Response<Full<Bytes>>, Infallible> {
    let bytes = request.uri().path()[1..].parse().unwrap();
    Ok(Response::new(Full::from(vec![b'x'; bytes])))
}

/// A client's socket, and what came of its connection.
struct Socket {
    io: TcpStream,
    received: Vec<u8>,
    connections: Connections,
    log: Log,
}

impl Socket {
    /// Connects to a server, and upgrades with a request for no bytes. The windows are as large as
    /// they can be.
    async fn upgraded() -> Self {
        let log = Log::default();
        let failures = log.clone();
        let service = service_fn(bytes);
        let layer = UpgradeLayer::new()
            .on("h2c", H2c::new(service))
            .on_failure(move |error| failures.push(describe(&error)));
        let connections = layer.connections();
        let service = TowerToHyperService::new(layer.layer(http1(service)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (io, _) = listener.accept().await.unwrap();
            let connection = http1::Builder::new().serve_connection(TokioIo::new(io), service);
            connection.with_upgrades().await.unwrap();
        });
        let io = TcpStream::connect(address).await.unwrap();
        let mut socket = Self { io, received: Vec::new(), connections, log };
        socket.send(request("GET /0 HTTP/1.1", &offer_with("AAR_____"))).await;
        while !socket.received.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
            assert_ne!(socket.io.read_buf(&mut socket.received).await.unwrap(), 0);
        }
        let end = socket.received.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
        socket.received.drain(..end);
        let rest = (1 << 31) - 1 - 65_535;
        socket.send([preface(), window_update(0, rest)].concat()).await;
        socket
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.io.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Takes the frames that are whole: type, flags, stream and payload.
    fn frames(&mut self) -> Vec<(u8, u8, u32, Vec<u8>)> {
        let mut frames = Vec::new();
        while let Some(&[a, b, c, kind, flags, stream @ ..]) = self.received.first_chunk::<9>() {
            let end = 9 + u32::from_be_bytes([0, a, b, c]) as usize;
            if self.received.len() < end {
                break;
            }
            let payload = self.received[9..end].to_vec();
            self.received.drain(..end);
            frames.push((kind, flags, u32::from_be_bytes(stream), payload));
        }
        frames
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_answers_arrive_behind_the_clients_goaway() {
    // 11 of 191 were lost: the PING came when the socket was closed.
    const ANSWERS: u32 = 199;
    for _ in 0..20 {
        let mut socket = Socket::upgraded().await;
        let requests = (0..ANSWERS).flat_map(|n| request_on(3 + 2 * n, "/20000"));
        socket.send(requests.collect::<Vec<_>>()).await;
        socket.send([frame(7, 0, 0, &[0; 8]), frame(6, 0, 0, &[1; 8])].concat()).await;
        let mut ends = 0;
        while socket.io.read_buf(&mut socket.received).await.unwrap() > 0 {
            for (kind, flags, stream, payload) in socket.frames() {
                if kind != 0 {
                    continue;
                }
                ends += u32::from(stream > 1 && flags & 1 == 1);
                // As a client does that reads, and that knows nothing of the end.
                let read = u32::try_from(payload.len()).unwrap();
                socket.io.write_all(&frame(6, 0, 0, &[2; 8])).await.unwrap();
                if read > 0 {
                    socket.io.write_all(&window_update(0, read)).await.unwrap();
                }
            }
        }
        assert_eq!(ends, ANSWERS);
        socket.connections.drain();
        drop(socket.io);
        socket.connections.drained().await;
        assert_eq!(socket.log.take(), [] as [&str; 0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_gets_all_of_an_answer_through_a_drain() {
    // 3,096,576 bytes of them arrived: updates of the window came when the socket was closed.
    const BYTES: usize = 4_000_000;
    let mut socket = Socket::upgraded().await;
    socket.send(request_on(3, &format!("/{BYTES}"))).await;
    let mut read = 0;
    let mut has_drained = false;
    while socket.io.read_buf(&mut socket.received).await.unwrap() > 0 {
        for (kind, flags, stream, payload) in socket.frames() {
            if kind == 6 && flags == 0 {
                socket.send(frame(6, 1, 0, &payload)).await;
            }
            if (kind, stream) != (0, 3) {
                continue;
            }
            read += payload.len();
            if !has_drained {
                // The kernel's buffers are as full as they get.
                socket.connections.drain();
                has_drained = true;
            }
            let update = window_update(0, u32::try_from(payload.len().max(1)).unwrap());
            socket.send(update).await;
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(read, BYTES);
    assert_eq!(socket.connections.active(), 1);
    drop(socket.io);
    socket.connections.drained().await;
    assert_eq!(socket.log.take(), [] as [&str; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_before_an_error_of_the_client_arrives() {
    for _ in 0..10 {
        let mut socket = Socket::upgraded().await;
        // WINDOW_UPDATE of nothing is an error of the connection, and more frames are on their way.
        socket.send(request_on(3, "/1000")).await;
        while !socket.frames().iter().any(|&(kind, _, stream, _)| (kind, stream) == (0, 3)) {
            socket.io.read_buf(&mut socket.received).await.unwrap();
        }
        socket.send([window_update(0, 0), frame(6, 0, 0, &[0; 8]).repeat(1_000)].concat()).await;
        let mut goaway = None;
        while socket.io.read_buf(&mut socket.received).await.unwrap() > 0 {
            for (kind, _, _, payload) in socket.frames() {
                goaway = (kind == 7).then(|| payload[4..8].to_vec()).or(goaway);
            }
        }
        assert_eq!(goaway.as_deref(), Some(&[0, 0, 0, 1][..]), "PROTOCOL_ERROR");
    }
}
