//! A drain that is spread over a time: each connection is told at a moment of its own.

use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use super::{Connections, clock::random, control::Control, session::FOREVER};

/// Tells connections to end, one after the other. If it is dropped, the rest are told at once.
pub(super) struct Spread {
    connections: Connections,
    /// In random order. They are told from the end.
    untold: Vec<Arc<Control>>,
    total: usize,
    begun: Instant,
    over: Duration,
}

impl Spread {
    pub(super) fn begin(connections: Connections, over: Duration) -> Self {
        connections.shared.spreads.fetch_add(1, SeqCst);
        connections.shared.draining.raise();
        // After the flag, as in a drain. Those that another spread drain has told are left out.
        let mut untold = connections.controls();
        untold.retain(|control| !control.draining().is_raised());
        shuffle(&mut untold);
        let total = untold.len();
        Self { connections, untold, total, begun: Instant::now(), over: over.min(FOREVER) }
    }

    pub(super) async fn tell(mut self) {
        while !self.untold.is_empty() {
            sleep_until(self.begun + self.moment()).await;
            let elapsed = self.begun.elapsed();
            // A timer is not exact, and there may be more of them than it has ticks.
            while self.moment() <= elapsed {
                let Some(control) = self.untold.pop() else { break };
                control.drain();
            }
        }
    }

    /// When the next connection is told, after the beginning: the first at once, and the last one step
    /// before the time is over.
    fn moment(&self) -> Duration {
        let told = self.total - self.untold.len();
        let nanos = self.over.as_nanos() * told as u128 / self.total as u128;
        // No more than thirty years.
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl Drop for Spread {
    fn drop(&mut self) {
        for control in &self.untold {
            control.drain();
        }
        self.connections.shared.spreads.fetch_sub(1, SeqCst);
    }
}

/// Puts them into random order (Fisher and Yates).
fn shuffle<T>(items: &mut [T]) {
    for last in (1..items.len()).rev() {
        // The remainder prefers some by less than one in a billion.
        let index = random() % (last as u64 + 1);
        items.swap(last, usize::try_from(index).unwrap_or(last));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_order_comes_up() {
        // By chance, one is missing once in 10^78 runs.
        let orders: HashSet<[u8; 3]> = (0..1000)
            .map(|_| {
                let mut items = [1, 2, 3];
                shuffle(&mut items);
                items
            })
            .collect();
        assert_eq!(orders.len(), 6);
    }
}
