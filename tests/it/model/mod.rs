//! Random histories of a layer's connections, compared with a model that only counts.

mod counts;
mod fixture;

use std::{collections::BTreeMap, mem, sync::Arc, time::Duration};

use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};
use tower::Layer;
use tower_upgrade::{Connection, UpgradeLayer};

use self::{
    counts::{Counts, Dice, Entry, Model, State},
    fixture::{HANDSHAKE, Limits, layer},
};
use crate::support::*;

struct History {
    dice: Dice,
    limits: Limits,
    release: Arc<Notify>,
    layer: UpgradeLayer,
    model: Model,
    /// Of all connections so far.
    handles: BTreeMap<u64, Connection>,
}

impl History {
    fn new(seed: u64) -> Self {
        let release = Arc::default();
        let mut dice = Dice(seed);
        let limits = [Limits::None, Limits::Idle, Limits::Lifetime][dice.roll(3)];
        let layer = layer(&release, limits);
        let (model, handles) = (Model::default(), BTreeMap::new());
        Self { dice, limits, release, layer, model, handles }
    }

    async fn step(&mut self) {
        match self.dice.roll(32) {
            0..12 => self.open().await,
            12..14 => self.open_without_body().await,
            14..17 => self.release(),
            17..20 => self.tell(b'p').await,
            20 => self.tell(b'e').await,
            21..24 => self.leave(),
            24 => self.wait_for_handshakes().await,
            25..27 => self.abort_one(),
            27..29 => self.drain_one(),
            29 => self.disturb_the_gone(),
            30 if self.dice.roll(4) == 0 => self.drain_over().await,
            31 if self.dice.roll(4) == 0 => self.drain(),
            _ => {}
        }
        settle().await;
    }

    async fn open(&mut self) {
        let path = ["/polite", "/stuck", "/moved", "/reject", "/panic"][self.dice.roll(5)];
        let wait = self.dice.roll(3) == 0;
        let key = self.dice.roll(4);
        // So few bytes that a writer is blocked at once.
        let mut wire = Wire::serve_with_buffer(self.layer.layer(inner(&Log::default())), 256);
        let target = if wait { format!("{path}?wait") } else { path.into() };
        let headers = format!("{FOO}X-Key: {key}\r\n");
        wire.send(request(&format!("GET {target} HTTP/1.1"), &headers)).await;
        if self.model.takes(key) {
            let state =
                if wait { Some(State::Pending(path)) } else { self.model.decide(path, false) };
            self.hold(state, wire, key);
        } else {
            self.model.others.push(wire);
        }
    }

    fn hold(&mut self, state: Option<State>, wire: Wire, key: usize) {
        match state {
            Some(state) => {
                let entry = Entry { state, wire, key, told: false, handle: None };
                self.model.connections.push(entry);
            }
            None => self.model.others.push(wire),
        }
    }

    async fn open_without_body(&mut self) {
        let key = self.dice.roll(4);
        let mut wire = Wire::serve(self.layer.layer(inner(&Log::default())));
        wire.send(post(&format!("{FOO}X-Key: {key}\r\nContent-Length: 5\r\n"), "hell")).await;
        let state = self.model.takes(key).then_some(State::Reading);
        self.hold(state, wire, key);
    }

    fn release(&mut self) {
        self.release.notify_waiters();
        for mut entry in mem::take(&mut self.model.connections) {
            if let State::Pending(path) = entry.state {
                let Some(state) = self.model.decide(path, entry.told) else {
                    self.model.others.push(entry.wire);
                    continue;
                };
                entry.state = state;
            }
            self.model.connections.push(entry);
        }
    }

    /// The index of some connection.
    fn any(&mut self) -> Option<usize> {
        let connections = self.model.connections.len();
        (connections > 0).then(|| self.dice.roll(connections))
    }

    async fn tell(&mut self, word: u8) {
        let Some(index) = self.any() else { return };
        let entry = &mut self.model.connections[index];
        if let State::Running { .. } = entry.state {
            entry.wire.send([word]).await;
            self.model.others.push(self.model.connections.swap_remove(index).wire);
            match word {
                b'p' => self.model.counts.panicked += 1,
                _ => self.model.counts.failed += 1,
            }
        }
    }

    fn leave(&mut self) {
        if let Some(index) = self.any() {
            let state = self.model.connections.swap_remove(index).state;
            self.model.lose(state);
        }
    }

    async fn wait_for_handshakes(&mut self) {
        sleep(HANDSHAKE).await;
        let Model { connections, counts, .. } = &mut self.model;
        connections.retain(|entry| {
            let is_polite = entry.state == State::Running { polite: true };
            match self.limits {
                _ if !entry.state.is_switched() => counts.timed_out += 1,
                Limits::None => return true,
                Limits::Idle => counts.idle += 1,
                // It ends when it is told.
                Limits::Lifetime if is_polite => {}
                Limits::Lifetime => counts.expired += 1,
            }
            false
        });
    }

    fn abort_one(&mut self) {
        if let Some(index) = self.any() {
            let entry = self.model.connections.swap_remove(index);
            entry.handle.unwrap().abort();
            self.model.counts.aborted += 1;
            self.model.others.push(entry.wire);
        }
    }

    fn drain_one(&mut self) {
        if let Some(index) = self.any() {
            let entry = &mut self.model.connections[index];
            let handle = entry.handle.as_ref().unwrap();
            handle.drain();
            assert!(handle.is_draining());
            entry.told = true;
            if entry.state == (State::Running { polite: true }) {
                self.model.others.push(self.model.connections.swap_remove(index).wire);
            }
        }
    }

    /// Uses the handles of connections that have ended.
    fn disturb_the_gone(&mut self) {
        let connections = self.layer.connections();
        for (&id, handle) in &self.handles {
            if connections.get(id).is_none() {
                let was_draining = handle.is_draining();
                handle.drain();
                handle.abort();
                assert_eq!(handle.is_draining(), was_draining);
            }
        }
    }

    fn drain(&mut self) {
        self.layer.connections().drain();
        self.all_told();
    }

    async fn drain_over(&mut self) {
        let spread = Duration::from_secs(10);
        let telling = self.layer.connections().drain_over(spread);
        match self.dice.roll(3) {
            0 => telling.await,
            // The rest hear when the future is dropped.
            1 => drop(timeout(spread / 3, telling).await),
            _ => drop(telling),
        }
        self.all_told();
    }

    fn all_told(&mut self) {
        self.model.draining = true;
        self.model.connections.retain(|entry| entry.state != State::Running { polite: true });
    }

    fn counts(&self) -> Counts {
        let stats = self.layer.connections().stats();
        Counts {
            active: stats.active,
            highest: stats.highest,
            switched: stats.switched,
            rejected: stats.rejected,
            at_capacity: stats.at_capacity,
            at_key_capacity: stats.at_key_capacity,
            drained: stats.drained,
            timed_out: stats.timed_out,
            failed: stats.failed,
            panicked: stats.panicked,
            aborted: stats.aborted,
            idle: stats.idle,
            expired: stats.expired,
        }
    }

    #[track_caller]
    fn check(&mut self, what: &str) {
        self.model.counts.active = self.model.connections.len();
        assert_eq!(self.counts(), self.model.counts, "{what}");
        // One step begins one connection at the most, and its id is a new one.
        let mut listed = self.layer.connections().list();
        listed.sort_by_key(Connection::id);
        for entry in &mut self.model.connections {
            if entry.handle.is_none() {
                let handle = listed.last().unwrap().clone();
                let newest = self.handles.last_key_value();
                assert!(newest.is_none_or(|(&newest, _)| newest < handle.id()), "{what}");
                self.handles.insert(handle.id(), handle.clone());
                entry.handle = Some(handle);
            }
        }
        let handles = self.model.connections.iter().filter_map(|entry| entry.handle.as_ref());
        let mut expected: Vec<u64> = handles.map(Connection::id).collect();
        expected.sort_unstable();
        assert_eq!(listed.iter().map(Connection::id).collect::<Vec<_>>(), expected, "{what}");
        for entry in &self.model.connections {
            let told = entry.told || self.model.draining;
            assert_eq!(entry.handle.as_ref().unwrap().is_draining(), told, "{what}");
        }
    }

    async fn shut_down(&mut self) {
        let begun = Instant::now();
        let before = self.model.connections.len();
        self.drain();
        let left = self.model.connections.len();
        let shutdown = self.layer.connections().shutdown(Duration::from_secs(10)).await;
        // The polite handlers know of the drain above, and have not run since.
        assert_eq!((shutdown.finished, shutdown.aborted), (before - left, left));
        assert_eq!(shutdown.remaining, 0);
        assert_eq!(begun.elapsed(), Duration::from_secs(if left > 0 { 10 } else { 0 }));
        self.model.counts.aborted += left as u64;
        self.model.connections.clear();
    }
}

/// The panics of a history would fill the output.
fn silence_expected_panics() {
    let _guard = HOOK.lock();
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload().downcast_ref::<&str>();
        let expected = text.is_some_and(|text| text.starts_with("as "));
        if !expected {
            print(panic);
        }
    }));
}

#[tokio::test(start_paused = true)]
async fn after_every_history_no_place_is_taken() {
    silence_expected_panics();
    let mut all = Counts::default();
    for seed in 0..3000 {
        let mut history = History::new(seed);
        let steps = 1 + history.dice.roll(24);
        for step in 0..steps {
            history.step().await;
            history.check(&format!("seed {seed}, step {step}"));
        }
        if seed % 2 == 0 {
            history.shut_down().await;
        } else {
            for entry in mem::take(&mut history.model.connections) {
                history.model.lose(entry.state);
            }
            settle().await;
        }
        history.check(&format!("seed {seed}, at the end"));
        history.disturb_the_gone();
        assert_eq!(history.layer.connections().active(), 0);
        history.layer.connections().drain();
        timeout(Duration::from_secs(1), history.layer.connections().drained()).await.unwrap();

        let counts = history.counts();
        all.switched += counts.switched;
        all.rejected += counts.rejected;
        all.at_capacity += counts.at_capacity;
        all.at_key_capacity += counts.at_key_capacity;
        all.drained += counts.drained;
        all.timed_out += counts.timed_out;
        all.failed += counts.failed;
        all.panicked += counts.panicked;
        all.aborted += counts.aborted;
        all.idle += counts.idle;
        all.expired += counts.expired;
    }
    // The histories cover every event.
    let Counts { switched, rejected, at_capacity, drained, .. } = all;
    for count in [switched, rejected, at_capacity, drained, all.timed_out, all.failed] {
        assert!(count > 100, "{all:?}");
    }
    for count in [all.panicked, all.aborted, all.idle, all.expired, all.at_key_capacity] {
        assert!(count > 100, "{all:?}");
    }
}
