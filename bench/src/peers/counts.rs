//! Instructions and allocations for each unit of work, which other load of the machine does not change.

use std::{env, fs, io};

use crate::{
    load::{Until, Work},
    peers::{Peer, loads, start},
};

#[derive(Clone, Copy)]
pub(super) struct Counts {
    pub(super) instructions: f64,
    pub(super) allocations: f64,
}

/// The counts for each load that fits.
pub(super) async fn of(peer: &Peer) -> io::Result<Vec<Option<Counts>>> {
    let mut counts = Vec::new();
    for load in loads() {
        counts.push(if load.fits(peer) {
            Some(Counts {
                instructions: instructions(peer.key, load.counted, async |address, units| {
                    work(&load.work, address, units).await
                })
                .await?,
                allocations: allocations(peer, &load.work, load.counted).await?,
            })
        } else {
            None
        });
    }
    Ok(counts)
}

async fn work(work: &Work, address: std::net::SocketAddr, units: u32) -> io::Result<()> {
    work.run(address, 1, Until::Units(units), || Ok(())).await.map(drop)
}

/// The instructions in user mode of one unit: those of twice as many units, less those of so many.
pub(super) async fn instructions(
    key: &str,
    units: u32,
    work: impl AsyncFn(std::net::SocketAddr, u32) -> io::Result<()>,
) -> io::Result<f64> {
    let mut collected = [0.0; 2];
    for (collected, times) in collected.iter_mut().zip([1, 2]) {
        let log = env::temp_dir().join(format!("callgrind-{}", std::process::id()));
        let into = format!("--log-file={}", log.to_string_lossy());
        let callgrind =
            ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", into.as_str()];
        let server = start(key, &callgrind)?;
        work(server.address, units * times).await?;
        server.end()?;
        let text = fs::read_to_string(&log)?;
        fs::remove_file(&log)?;
        let count =
            text.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
        *collected = count.ok_or_else(|| io::Error::other(format!("no count: {text}")))?;
    }
    Ok((collected[1] - collected[0]) / f64::from(units))
}

async fn allocations(peer: &Peer, work: &Work, units: u32) -> io::Result<f64> {
    let mut server = peer.start(&[])?;
    let address = server.address;
    // For everything that is allocated once.
    self::work(work, address, units.div_ceil(10)).await?;
    let ask = || server.ask().map(|[allocations, _]| allocations);
    let (_, [before, after]) = work.run(address, 1, Until::Units(units), ask).await?;
    server.end()?;
    Ok(float(after - before) / f64::from(units))
}

/// A count as a float, which holds all counts of this size exactly.
#[allow(clippy::cast_precision_loss, reason = "the counts are below 2^52")]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}
