//! Units per second, and the CPU time of each: all peers in turn, in several rounds.

use std::{io, time::Duration};

use crate::{
    figures::Rounds,
    load::Until,
    peers::{Peer, loads},
};

pub(super) const ROUNDS: u32 = 5;
pub(super) const ROUND: Duration = Duration::from_secs(1);
const WARM_UP: Duration = Duration::from_millis(200);

/// The figures of one peer under one load.
#[derive(Clone, Default)]
pub(super) struct Rates {
    pub(super) rate: Rounds,
    /// The rate divided by that of the base in the same round.
    pub(super) ratio: Rounds,
    /// Microseconds of CPU time for each unit.
    pub(super) cost: Rounds,
}

/// For each load the rates of each peer that it fits.
pub(super) async fn of(peers: &[&Peer]) -> io::Result<Vec<Vec<Option<Rates>>>> {
    let mut servers = Vec::new();
    for peer in peers {
        servers.push(peer.start(&[])?);
    }
    let mut all = Vec::new();
    for load in loads() {
        eprintln!("rates: {}", load.title);
        let mut rates = vec![Rates::default(); peers.len()];
        for round in 0..=ROUNDS {
            let until = Until::Over(if round == 0 { WARM_UP } else { ROUND });
            let mut base = 0.0;
            for ((peer, server), rates) in peers.iter().zip(&servers).zip(&mut rates) {
                if !load.fits(peer) {
                    continue;
                }
                let (done, [before, after]) = load
                    .work
                    .run(server.address, load.connections, until, || server.cpu_time())
                    .await?;
                let units = f64::from(done.units);
                let rate = units / done.took.as_secs_f64();
                if peer.is_base() {
                    base = rate;
                }
                if round > 0 {
                    rates.rate.push(rate);
                    rates.ratio.push(rate / base);
                    rates.cost.push(after.saturating_sub(before).as_secs_f64() * 1e6 / units);
                }
            }
        }
        let fits = |(peer, rates): (&&Peer, Rates)| load.fits(peer).then_some(rates);
        all.push(peers.iter().zip(rates).map(fits).collect());
    }
    Ok(all)
}
