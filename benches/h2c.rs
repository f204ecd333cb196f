//! An upgraded connection beside one with prior knowledge, on the same server and with the same
//! client: requests per second, and the server's allocations per request.
//!
//! ```text
//! cargo bench --features h2c --bench h2c
//! ```
//!
//! The two kinds take turns, and each turn makes a pair, so that a machine that is busy is busy
//! for both. What is printed are medians, and the figures of the middle half of the pairs.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program that is run by hand")]

use std::{
    convert::Infallible,
    env,
    future::Future,
    io,
    net::SocketAddr,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::Full;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime,
    sync::oneshot,
};
use tower::{Layer, service_fn};
use tower_upgrade::{
    UpgradeLayer,
    h2c::{H2c, RequestBody, RequestBodyLayer},
};

fn main() {
    let pairs = env::var("PAIRS").map_or(60, |pairs| pairs.parse().unwrap());
    let requests = env::var("REQUESTS").map_or(10_000, |requests| requests.parse().unwrap());

    let (turns, server_turns) = mpsc::channel();
    let (address, addresses) = mpsc::channel();
    thread::spawn(move || serve(&address, &server_turns));
    let address = addresses.recv().unwrap();
    let bench = Bench {
        client: runtime::Builder::new_current_thread().enable_all().build().unwrap(),
        turns,
    };

    let (prior, _) = bench.turn(Client::prior_knowledge(address));
    let (upgraded, _) = bench.turn(Client::upgraded(address));
    let (mut prior, mut upgraded) = (prior.unwrap(), upgraded.unwrap());
    let measure = |client: &mut Client| {
        let (sent, turn) = bench.turn(client.send(requests));
        sent.unwrap();
        Figures {
            rate: f64::from(requests) / turn.took.as_secs_f64(),
            // Far below what a float holds exactly.
            allocations: f64::from(u32::try_from(turn.allocations).unwrap()) / f64::from(requests),
        }
    };
    // What is allocated once, and what has to get warm.
    for _ in 0..3 {
        measure(&mut prior);
        measure(&mut upgraded);
    }
    let pairs: Vec<[Figures; 2]> = (0..pairs)
        .map(|pair| {
            // Whoever goes second may find the machine in another state.
            if pair % 2 == 0 {
                let first = measure(&mut prior);
                [first, measure(&mut upgraded)]
            } else {
                let first = measure(&mut upgraded);
                [measure(&mut prior), first]
            }
        })
        .collect();

    let column = |value: fn(&[Figures; 2]) -> f64| pairs.iter().map(value).collect::<Vec<_>>();
    println!("{} pairs of {requests} requests, {IN_FLIGHT} at a time", pairs.len());
    print("prior knowledge, requests per second", column(|pair| pair[0].rate));
    print("upgraded, requests per second", column(|pair| pair[1].rate));
    print("upgraded to prior knowledge, ratio", column(|pair| pair[1].rate / pair[0].rate));
    let allocations = [
        print("prior knowledge, allocations per request", column(|pair| pair[0].allocations)),
        print("upgraded, allocations per request", column(|pair| pair[1].allocations)),
    ];
    // A count, which a busy machine does not change; reads that end elsewhere change it a little.
    assert!(allocations[1] < allocations[0] + 0.05, "an upgraded connection allocates more");
}

/// How many streams are open at a time.
const IN_FLIGHT: u32 = 32;

struct Figures {
    rate: f64,
    allocations: f64,
}

/// Prints the median, and the first and the third quartile. Returns the median.
fn print(what: &str, mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let [first, median, third] = [1, 2, 3].map(|quarter| values[values.len() * quarter / 4]);
    println!("{what:42} {median:12.4} ({first:.4} to {third:.4})");
    median
}

/// The client's side, which tells the server when a turn begins and ends.
struct Bench {
    client: runtime::Runtime,
    turns: mpsc::Sender<ServerTurn>,
}

/// Until when the server runs, and who wants to know what it allocated.
type ServerTurn = (oneshot::Receiver<()>, mpsc::Sender<u64>);

struct Turn {
    took: Duration,
    allocations: u64,
}

impl Bench {
    fn turn<F>(&self, work: F) -> (F::Output, Turn)
    where
        F: Future,
    {
        let (stop, stopped) = oneshot::channel();
        let (counted, count) = mpsc::channel();
        self.turns.send((stopped, counted)).unwrap();
        let start = Instant::now();
        let output = self.client.block_on(work);
        let took = start.elapsed();
        stop.send(()).unwrap();
        (output, Turn { took, allocations: count.recv().unwrap() })
    }
}

/// Serves both kinds on one thread, and counts what is allocated on it in each turn.
fn serve(address: &mpsc::Sender<SocketAddr>, turns: &mpsc::Receiver<ServerTurn>) {
    let app = service_fn(|_request: Request<RequestBody>| async {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"hello"))))
    });
    let service =
        UpgradeLayer::new().on("h2c", H2c::new(app)).layer(RequestBodyLayer::new().layer(app));
    let service = TowerToHyperService::new(service);
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    address.send(listener.local_addr().unwrap()).unwrap();
    runtime.spawn(async move {
        loop {
            let (io, _) = listener.accept().await.unwrap();
            io.set_nodelay(true).unwrap();
            let service = service.clone();
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                server.serve_connection_with_upgrades(TokioIo::new(io), service).await.unwrap();
            });
        }
    });
    for (stopped, counted) in turns {
        let info = allocation_counter::measure(|| runtime.block_on(stopped).unwrap());
        counted.send(info.count_total).unwrap();
    }
}

/// A client that knows just enough of HTTP/2 to be no burden. Both kinds have the same.
struct Client {
    io: TcpStream,
    received: BytesMut,
    stream: u32,
}

impl Client {
    async fn prior_knowledge(address: SocketAddr) -> io::Result<Self> {
        let io = TcpStream::connect(address).await?;
        io.set_nodelay(true)?;
        let mut client = Self { io, received: BytesMut::new(), stream: 1 };
        client.start().await?;
        Ok(client)
    }

    async fn upgraded(address: SocketAddr) -> io::Result<Self> {
        let mut io = TcpStream::connect(address).await?;
        io.set_nodelay(true)?;
        let request = b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade, http2-settings\r\n\
            Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n";
        io.write_all(request).await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(io.read_u8().await?);
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "));
        let mut client = Self { io, received: BytesMut::new(), stream: 3 };
        // The answer on stream 1 is like any other.
        while client.answers().await? == 0 {}
        client.start().await?;
        Ok(client)
    }

    /// The preface, no settings, an acknowledgement, and a window for everything that will come.
    async fn start(&mut self) -> io::Result<()> {
        let mut octets = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        octets.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
        octets.extend([0, 0, 0, 4, 1, 0, 0, 0, 0]);
        octets.extend([0, 0, 4, 8, 0, 0, 0, 0, 0, 0x7f, 0, 0, 0]);
        self.io.write_all(&octets).await
    }

    /// Sends so many requests, and reads every answer to its end.
    async fn send(&mut self, requests: u32) -> io::Result<()> {
        let (mut sent, mut answered, mut octets) = (0, 0, Vec::new());
        while answered < requests {
            while sent < requests && sent - answered < IN_FLIGHT {
                // GET, http, /, and an authority.
                octets.extend([0, 0, 11, 1, 5]);
                octets.extend(self.stream.to_be_bytes());
                octets.extend(b"\x82\x86\x84\x01\x06a.test");
                self.stream += 2;
                sent += 1;
            }
            self.io.write_all(&octets).await?;
            octets.clear();
            answered += self.answers().await?;
        }
        Ok(())
    }

    /// Reads once, and returns how many answers have ended.
    async fn answers(&mut self) -> io::Result<u32> {
        if self.io.read_buf(&mut self.received).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut answers = 0;
        while let Some(&[a, b, c, kind, flags, ..]) = self.received.first_chunk::<9>() {
            let len = 9 + u32::from_be_bytes([0, a, b, c]) as usize;
            if self.received.len() < len {
                break;
            }
            self.received.advance(len);
            let refused = [3, 7].contains(&kind);
            assert!(!refused, "the server resets a stream, or goes away");
            answers += u32::from(kind == 0 && flags & 1 == 1);
        }
        Ok(answers)
    }
}
