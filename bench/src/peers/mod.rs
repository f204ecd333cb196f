//! This crate beside its peers: one server each, the same loads, the same client.

use std::{env, fs, io, path::Path, rc::Rc};

use crate::{
    client::{Message, Protocol},
    load::Work,
    process::{CORE, Process},
};

mod counts;
mod h2c;
mod list;
mod memory;
mod plot;
mod rates;
mod results;

use list::{PEERS, Peer};

/// Measures all peers, or those with these keys, and writes `RESULTS.md` and the plots into a directory.
pub(crate) async fn compare(directory: &str, keys: &[&str]) -> io::Result<()> {
    let wanted = |peer: &&Peer| keys.is_empty() || peer.is_base() || keys.contains(&peer.key);
    let peers: Vec<&Peer> = PEERS.iter().filter(|peer| peer.is_built()).filter(wanted).collect();
    let mut figures = Vec::new();
    for &peer in &peers {
        eprintln!("counting: {}", peer.key);
        let counts = if peer.is_counted() { Some(counts::of(peer).await?) } else { None };
        figures.push(Figures { peer, counts, memory: memory::of(peer).await? });
    }
    let (h2c, priority) = h2c::measure().await?;
    let rates = rates::of(&peers).await?;

    let directory = Path::new(directory);
    let text = results::page(&figures, &rates, &h2c, priority)?;
    print!("{text}");
    fs::write(directory.join("RESULTS.md"), text)?;
    fs::write(directory.join("instructions.svg"), plot::instructions(&figures))?;
    fs::write(directory.join("memory.svg"), plot::memory(&figures))
}

/// The exact figures of a peer.
struct Figures {
    peer: &'static Peer,
    counts: Option<Vec<Option<counts::Counts>>>,
    memory: memory::Memory,
}

/// A kind of work, and how much of it is done.
struct Load {
    title: &'static str,
    unit: &'static str,
    work: Work,
    /// Units that are counted, with one connection.
    counted: u32,
    /// Connections while the time is measured.
    connections: u32,
}

fn loads() -> [Load; 5] {
    let messages = |bytes| Work::Messages(Protocol::WebSocket, Rc::new(Message::websocket(bytes)));
    [
        Load {
            title: "handshakes",
            unit: "handshake",
            work: Work::Handshakes(Protocol::WebSocket),
            counted: 200,
            connections: 16,
        },
        Load {
            title: "handshakes for `echo/1`",
            unit: "handshake for `echo/1`",
            work: Work::Handshakes(Protocol::Raw),
            counted: 200,
            connections: 16,
        },
        Load {
            title: "messages of 32 bytes",
            unit: "message of 32 bytes",
            work: messages(32),
            counted: 1000,
            connections: 32,
        },
        Load {
            title: "messages of 16 KiB",
            unit: "message of 16 KiB",
            work: messages(16 * 1024),
            counted: 300,
            connections: 8,
        },
        Load {
            title: "plain requests",
            unit: "plain request",
            work: Work::Requests,
            counted: 1000,
            connections: 32,
        },
    ]
}

impl Load {
    fn fits(&self, peer: &Peer) -> bool {
        peer.raw || !matches!(self.work, Work::Handshakes(Protocol::Raw))
    }
}

impl Peer {
    /// Starts its server, below these programs.
    fn start(&self, below: &[&str]) -> io::Result<Process> {
        start(self.key, below)
    }
}

fn start(key: &str, below: &[&str]) -> io::Result<Process> {
    if key == list::NODE {
        return Process::announced(
            CORE,
            &[below, &["node", "--single-threaded", "bench/node/ws.cjs"]].concat(),
        );
    }
    let server = env::current_exe()?.with_file_name("server");
    Process::announced(CORE, &[below, &[&*server.to_string_lossy(), key]].concat())
}
