//! The model: what has a place, and what is counted.

use tower_upgrade::Connection;

use super::fixture::{LIMIT, LIMIT_OF_KEY};
use crate::support::*;

/// The state of a connection that has a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Waits to be released, and then takes this path.
    Pending(&'static str),
    /// The request's body has not arrived.
    Reading,
    Running {
        polite: bool,
    },
    /// The handler has returned, and other tasks have the halves.
    Moved,
}

impl State {
    pub(super) fn is_switched(self) -> bool {
        matches!(self, Self::Running { .. } | Self::Moved)
    }
}

pub(super) struct Entry {
    pub(super) state: State,
    pub(super) wire: Wire,
    pub(super) key: usize,
    /// The connection alone was told to end.
    pub(super) told: bool,
    /// From the end of the step in which it began.
    pub(super) handle: Option<Connection>,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) active: usize,
    pub(super) highest: usize,
    pub(super) switched: u64,
    pub(super) rejected: u64,
    pub(super) at_capacity: u64,
    pub(super) at_key_capacity: u64,
    pub(super) drained: u64,
    pub(super) timed_out: u64,
    pub(super) failed: u64,
    pub(super) panicked: u64,
    pub(super) aborted: u64,
    pub(super) idle: u64,
    pub(super) expired: u64,
}

#[derive(Default)]
pub(super) struct Model {
    pub(super) connections: Vec<Entry>,
    /// Clients that stay although they have no place.
    pub(super) others: Vec<Wire>,
    pub(super) draining: bool,
    pub(super) counts: Counts,
}

impl Model {
    /// Counts the decision of a handler, and returns the next state.
    pub(super) fn decide(&mut self, path: &str, told: bool) -> Option<State> {
        match path {
            "/reject" => self.counts.rejected += 1,
            "/panic" => self.counts.panicked += 1,
            "/stuck" => {
                self.counts.switched += 1;
                return Some(State::Running { polite: false });
            }
            "/moved" => {
                self.counts.switched += 1;
                return Some(State::Moved);
            }
            _ => {
                self.counts.switched += 1;
                return (!self.draining && !told).then_some(State::Running { polite: true });
            }
        }
        None
    }

    /// Counts a client that is gone, which is a failure unless it was switched.
    pub(super) fn lose(&mut self, state: State) {
        self.counts.failed += u64::from(!state.is_switched());
    }

    /// Whether a request gets a place.
    pub(super) fn takes(&mut self, key: usize) -> bool {
        let of_key = self.connections.iter().filter(|entry| entry.key == key).count();
        if self.draining {
            self.counts.drained += 1;
        } else if of_key >= LIMIT_OF_KEY {
            self.counts.at_key_capacity += 1;
        } else if self.connections.len() >= LIMIT {
            self.counts.at_capacity += 1;
        } else {
            self.counts.highest = self.counts.highest.max(self.connections.len() + 1);
            return true;
        }
        false
    }
}

/// A small random generator. A seed determines a history.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((bits ^ (bits >> 31)) >> 33).unwrap() % sides
    }
}
