//! Random histories of a layer's connections, compared with a model that only counts.

use std::{future, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode};
use tokio::{
    io::AsyncReadExt,
    sync::Notify,
    time::{Instant, sleep, timeout},
};
use tower::Layer;
use tower_upgrade::{Switch, UpgradeHandler, UpgradeLayer, Upgraded};

use crate::support::*;

const LIMIT: usize = 5;
const HANDSHAKE: Duration = Duration::from_secs(1000);

/// The path chooses the decision, and a query has the handler wait first.
fn layer(release: &Arc<Notify>) -> UpgradeLayer {
    let release = Arc::clone(release);
    let handler = move |request: Request<Bytes>| {
        let release = Arc::clone(&release);
        async move {
            if request.uri().query().is_some() {
                release.notified().await;
            }
            match request.uri().path() {
                "/reject" => Err(StatusCode::FORBIDDEN),
                "/panic" => panic!("as asked"),
                "/stuck" => Ok(Switch::to(|io: Upgraded| talk(io, false))),
                _ => Ok(Switch::to(|io: Upgraded| talk(io, true))),
            }
        }
    };
    UpgradeLayer::new()
        .on("foo", handler.with_body_limit(5))
        .max_connections(LIMIT)
        .handshake_timeout(HANDSHAKE)
}

/// Obeys the client's bytes, until the client is gone or, if polite, until a drain.
async fn talk(mut io: Upgraded, polite: bool) -> Result<(), &'static str> {
    let draining = io.draining();
    let told = async { if polite { draining.await } else { future::pending().await } };
    let obey = async {
        match io.read_u8().await {
            Ok(b'p') => panic!("as told"),
            Ok(b'e') => Err("as told"),
            _ => Ok(()),
        }
    };
    tokio::select! {
        end = obey => end,
        () = told => Ok(()),
    }
}

/// The state of a connection that has a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Waits to be released, and then takes this path.
    Pending(&'static str),
    /// The request's body has not arrived.
    Reading,
    Running {
        polite: bool,
    },
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    active: usize,
    highest: usize,
    switched: u64,
    rejected: u64,
    at_capacity: u64,
    drained: u64,
    timed_out: u64,
    failed: u64,
    panicked: u64,
    aborted: u64,
}

#[derive(Default)]
struct Model {
    connections: Vec<(State, Wire)>,
    /// Clients that stay although they have no place.
    others: Vec<Wire>,
    draining: bool,
    counts: Counts,
}

impl Model {
    /// Counts the decision of a handler, and returns the next state.
    fn decide(&mut self, path: &str) -> Option<State> {
        match path {
            "/reject" => self.counts.rejected += 1,
            "/panic" => self.counts.panicked += 1,
            "/stuck" => {
                self.counts.switched += 1;
                return Some(State::Running { polite: false });
            }
            _ => {
                self.counts.switched += 1;
                return (!self.draining).then_some(State::Running { polite: true });
            }
        }
        None
    }

    /// Counts a client that is gone, which is a failure unless it was switched.
    fn lose(&mut self, state: State) {
        self.counts.failed += u64::from(!matches!(state, State::Running { .. }));
    }

    /// Whether a request gets a place.
    fn takes(&mut self) -> bool {
        if self.draining {
            self.counts.drained += 1;
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
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((bits ^ (bits >> 31)) >> 33).unwrap() % sides
    }
}

struct History {
    dice: Dice,
    release: Arc<Notify>,
    layer: UpgradeLayer,
    model: Model,
}

impl History {
    fn new(seed: u64) -> Self {
        let release = Arc::default();
        Self { dice: Dice(seed), layer: layer(&release), release, model: Model::default() }
    }

    async fn step(&mut self) {
        match self.dice.roll(24) {
            0..10 => self.open().await,
            10..12 => self.open_without_body().await,
            12..15 => self.release(),
            15..18 => self.tell(b'p').await,
            18 => self.tell(b'e').await,
            19..22 => self.leave(),
            22 => self.wait_for_handshakes().await,
            _ if self.dice.roll(4) == 0 => self.drain(),
            _ => {}
        }
        settle().await;
    }

    async fn open(&mut self) {
        let path = ["/polite", "/stuck", "/reject", "/panic"][self.dice.roll(4)];
        let wait = self.dice.roll(3) == 0;
        let mut wire = Wire::serve(self.layer.layer(inner(&Log::default())));
        let target = if wait { format!("{path}?wait") } else { path.into() };
        wire.send(request(&format!("GET {target} HTTP/1.1"), FOO)).await;
        if self.model.takes() {
            let state = if wait { Some(State::Pending(path)) } else { self.model.decide(path) };
            if let Some(state) = state {
                self.model.connections.push((state, wire));
                return;
            }
        }
        self.model.others.push(wire);
    }

    async fn open_without_body(&mut self) {
        let mut wire = Wire::serve(self.layer.layer(inner(&Log::default())));
        wire.send(post(&format!("{FOO}Content-Length: 5\r\n"), "hell")).await;
        if self.model.takes() {
            self.model.connections.push((State::Reading, wire));
        } else {
            self.model.others.push(wire);
        }
    }

    fn release(&mut self) {
        self.release.notify_waiters();
        for (state, wire) in std::mem::take(&mut self.model.connections) {
            let state = match state {
                State::Pending(path) => self.model.decide(path),
                state => Some(state),
            };
            match state {
                Some(state) => self.model.connections.push((state, wire)),
                None => self.model.others.push(wire),
            }
        }
    }

    async fn tell(&mut self, word: u8) {
        if self.model.connections.is_empty() {
            return;
        }
        let index = self.dice.roll(self.model.connections.len());
        if let (State::Running { .. }, wire) = &mut self.model.connections[index] {
            wire.send([word]).await;
            self.model.others.push(self.model.connections.swap_remove(index).1);
            match word {
                b'p' => self.model.counts.panicked += 1,
                _ => self.model.counts.failed += 1,
            }
        }
    }

    fn leave(&mut self) {
        if !self.model.connections.is_empty() {
            let index = self.dice.roll(self.model.connections.len());
            let (state, _wire) = self.model.connections.swap_remove(index);
            self.model.lose(state);
        }
    }

    async fn wait_for_handshakes(&mut self) {
        sleep(HANDSHAKE).await;
        let before = self.model.connections.len();
        self.model.connections.retain(|(state, _)| matches!(state, State::Running { .. }));
        self.model.counts.timed_out += (before - self.model.connections.len()) as u64;
    }

    fn drain(&mut self) {
        self.layer.connections().drain();
        self.model.draining = true;
        self.model.connections.retain(|(state, _)| *state != State::Running { polite: true });
    }

    fn counts(&self) -> Counts {
        let stats = self.layer.connections().stats();
        Counts {
            active: stats.active,
            highest: stats.highest,
            switched: stats.switched,
            rejected: stats.rejected,
            at_capacity: stats.at_capacity,
            drained: stats.drained,
            timed_out: stats.timed_out,
            failed: stats.failed,
            panicked: stats.panicked,
            aborted: stats.aborted,
        }
    }

    #[track_caller]
    fn check(&mut self, what: &str) {
        self.model.counts.active = self.model.connections.len();
        assert_eq!(self.counts(), self.model.counts, "{what}");
    }

    async fn shut_down(&mut self) {
        let begun = Instant::now();
        let before = self.model.connections.len();
        self.drain();
        let left = self.model.connections.len();
        let shutdown = self.layer.connections().shutdown(Duration::from_secs(10)).await;
        // The polite handlers know of the drain above, and have not run since.
        assert_eq!((shutdown.finished, shutdown.aborted), (before - left, left));
        assert_eq!(begun.elapsed(), Duration::from_secs(if left > 0 { 10 } else { 0 }));
        self.model.counts.aborted += left as u64;
        self.model.connections.clear();
    }
}

/// The panics of a history would fill the output.
fn silence_expected_panics() {
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
            for (state, _wire) in std::mem::take(&mut history.model.connections) {
                history.model.lose(state);
            }
            settle().await;
        }
        history.check(&format!("seed {seed}, at the end"));
        assert_eq!(history.layer.connections().active(), 0);
        history.layer.connections().drain();
        timeout(Duration::from_secs(1), history.layer.connections().drained()).await.unwrap();

        let counts = history.counts();
        all.switched += counts.switched;
        all.rejected += counts.rejected;
        all.at_capacity += counts.at_capacity;
        all.drained += counts.drained;
        all.timed_out += counts.timed_out;
        all.failed += counts.failed;
        all.panicked += counts.panicked;
        all.aborted += counts.aborted;
    }
    // The histories cover every event.
    let Counts { switched, rejected, at_capacity, drained, .. } = all;
    for count in [switched, rejected, at_capacity, drained, all.timed_out, all.failed] {
        assert!(count > 100, "{all:?}");
    }
    assert!(all.panicked > 100 && all.aborted > 100, "{all:?}");
}
