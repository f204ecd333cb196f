//! HTTP/2 by upgrade beside HTTP/2 by prior knowledge, on one server of this crate.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::{
    figures::Rounds,
    h2::Connection,
    peers::{
        counts::{self, Counts, float},
        start,
    },
    process::run_before_others,
};

/// One of the two ways.
pub(super) struct Way {
    pub(super) name: &'static str,
    pub(super) counts: Counts,
    pub(super) rate: Rounds,
    /// Microseconds of CPU time for each request.
    pub(super) cost: Rounds,
}

/// Measures prior knowledge, and then the upgrade. From here on the program runs before others, of which the
/// text says whether it does.
pub(super) async fn measure() -> io::Result<([Way; 2], &'static str)> {
    let instructions = [instructions(false).await?, instructions(true).await?];
    let priority = run_before_others()?;
    let mut server = start(KEY, &[])?;
    let address = server.address;
    let mut connections =
        [Connection::prior_knowledge(address).await?, Connection::upgraded(address).await?];
    let mut ways =
        [Way::new("prior knowledge", instructions[0]), Way::new("upgrade", instructions[1])];
    for (way, connection) in ways.iter_mut().zip(&mut connections) {
        connection.send(COUNTED).await?;
        let [before, _] = server.ask()?;
        connection.send(COUNTED).await?;
        let [after, _] = server.ask()?;
        way.counts.allocations = float(after - before) / f64::from(COUNTED);
    }
    for round in 0..2 * ROUNDS {
        for turn in 0..2 {
            // The second of a pair may find the machine in another state.
            let which = (turn + round as usize) % 2;
            let (way, connection) = (&mut ways[which], &mut connections[which]);
            let (before, begin) = (server.cpu_time()?, Instant::now());
            let mut requests = 0;
            while begin.elapsed() < ROUND {
                connection.send(BATCH).await?;
                requests += BATCH;
            }
            let used = server.cpu_time()?.saturating_sub(before);
            way.rate.push(f64::from(requests) / begin.elapsed().as_secs_f64());
            way.cost.push(used.as_secs_f64() * 1e6 / f64::from(requests));
        }
    }
    Ok((ways, priority))
}

impl Way {
    fn new(name: &'static str, instructions: f64) -> Self {
        let counts = Counts { instructions, allocations: 0.0 };
        Self { name, counts, rate: Rounds::default(), cost: Rounds::default() }
    }
}

async fn instructions(upgraded: bool) -> io::Result<f64> {
    let work = async |address: SocketAddr, requests| {
        let mut connection = if upgraded {
            Connection::upgraded(address).await?
        } else {
            Connection::prior_knowledge(address).await?
        };
        connection.send(requests).await
    };
    counts::instructions(KEY, COUNTED, work).await
}

const KEY: &str = "h2c";
const COUNTED: u32 = 3200;
const BATCH: u32 = 3200;
const ROUNDS: u32 = 5;
const ROUND: Duration = Duration::from_secs(1);
