//! The page of results.

use std::io;

use crate::{
    figures::{Table, number},
    machine,
    peers::{
        Figures,
        counts::Counts,
        h2c::Way,
        loads,
        memory::{Bytes, CONNECTIONS},
        rates::{ROUND, ROUNDS, Rates},
    },
};

pub(super) fn page(
    figures: &[Figures],
    rates: &[Vec<Option<Rates>>],
    h2c: &[Way; 2],
    priority: &str,
) -> io::Result<String> {
    let sections = [
        format!(
            "# tower-upgrade beside its peers\n\nWritten by `bench/run.sh`. {}.\n\n{PREFACE}",
            machine::facts()?
        ),
        format!(
            "## Instructions\n\n{INSTRUCTIONS} {}\n\n![](instructions.svg)\n\n{}",
            beside(figures, "instructions", |counts| counts.instructions.round()),
            counts(figures, |counts| counts.instructions.round())
        ),
        format!(
            "## Allocations\n\n{ALLOCATIONS} {}\n\n{}",
            beside(figures, "allocations", |counts| counts.allocations),
            counts(figures, |counts| counts.allocations)
        ),
        memory(figures),
        time(figures, rates, priority),
        self::h2c(h2c),
        about(figures),
    ];
    Ok(sections.join("\n"))
}

/// Returns the cost of this crate above hyper by hand.
fn beside(figures: &[Figures], what: &str, of: impl Fn(Counts) -> f64) -> String {
    let cost = |key: &str, load: usize| {
        let figures = figures.iter().find(|figures| figures.peer.key == key)?;
        Some(of(figures.counts.as_ref()?[load]?))
    };
    let more = |load| Some(number(cost("this-hyper", load)? - cost("hyper", load)?));
    match (more(0), more(4)) {
        (Some(handshake), Some(request)) => format!(
            "On hyper, a WebSocket handshake by this crate takes {handshake} {what} more than one by hand, and \
             a plain request {request} more."
        ),
        _ => String::new(),
    }
}

fn counts(figures: &[Figures], of: impl Fn(Counts) -> f64) -> String {
    let loads = loads();
    let mut heads = vec!["for each"];
    heads.extend(loads.iter().map(|load| load.unit));
    let mut table = Table::new(&heads);
    for figures in figures {
        let Some(counts) = &figures.counts else { continue };
        let cells =
            counts.iter().map(|counts| counts.map_or_else(none, |counts| number(of(counts))));
        table.row([figures.peer.name.to_owned()].into_iter().chain(cells));
    }
    table.text().to_owned()
}

fn memory(figures: &[Figures]) -> String {
    let mut table = Table::new(&[
        "bytes for each",
        "resident, after the handshake",
        "resident, after one message",
        "allocated, after the handshake",
        "allocated, after one message",
    ]);
    for figures in figures {
        let (quiet, used) = (&figures.memory.quiet, &figures.memory.used);
        let resident = |bytes: &Bytes| number(bytes.resident.round());
        let allocated =
            |bytes: &Bytes| bytes.allocated.map_or_else(none, |bytes| number(bytes.round()));
        table.row([
            figures.peer.name.to_owned(),
            resident(quiet),
            resident(used),
            allocated(quiet),
            allocated(used),
        ]);
    }
    let connections = number(f64::from(CONNECTIONS));
    format!(
        "## Memory of an idle WebSocket\n\nFor each of {connections} connections that are open at once. \
         {MEMORY} {}\n\n![](memory.svg)\n\n{}",
        memory_beside(figures),
        table.text()
    )
}

/// Returns the memory of an idle connection of this crate above one by hand.
fn memory_beside(figures: &[Figures]) -> String {
    let allocated = |key: &str| {
        let figures = figures.iter().find(|figures| figures.peer.key == key)?;
        figures.memory.quiet.allocated
    };
    match (allocated("this-hyper"), allocated("hyper")) {
        (Some(this), Some(hyper)) => format!(
            "On hyper, a connection of this crate has {} bytes more allocated than one by hand.",
            number((this - hyper).round())
        ),
        _ => String::new(),
    }
}

fn time(figures: &[Figures], rates: &[Vec<Option<Rates>>], priority: &str) -> String {
    let mut text = format!(
        "## CPU time and rates\n\n{ROUNDS} rounds of {} s, in which all servers take turns. The cells are \
         `median (least–greatest)`. {priority} {TIME}\n",
        ROUND.as_secs_f64()
    );
    for (load, rates) in loads().iter().zip(rates) {
        let mut table =
            Table::new(&[load.title, "µs of CPU for each", "rate, to hyper by hand", "per second"]);
        for (figures, rates) in figures.iter().zip(rates) {
            let Some(rates) = rates else { continue };
            table.row([
                figures.peer.name.to_owned(),
                rates.cost.show(),
                rates.ratio.show(),
                number(rates.rate.median()),
            ]);
        }
        let connections = load.connections;
        text.extend([
            "\n",
            &connections.to_string(),
            " connections, one in flight on each:\n\n",
            table.text(),
        ]);
    }
    text
}

fn h2c([prior, upgrade]: &[Way; 2]) -> String {
    let mut table = Table::new(&[
        "for each request",
        "instructions",
        "allocations",
        "µs of CPU",
        "requests per second",
    ]);
    for way in [prior, upgrade] {
        table.row([
            way.name.to_owned(),
            number(way.counts.instructions.round()),
            number(way.counts.allocations),
            way.cost.show(),
            way.rate.show(),
        ]);
    }
    format!(
        "## h2c\n\nHTTP/2 by upgrade and by prior knowledge, on one server of this crate, with one connection \
         and 32 requests in flight. None of the peers does h2c by upgrade. An upgraded connection answers {} \
         of the requests per second of the other, and takes {} of its instructions: after the first request, \
         both are the same to hyper.\n\n{}",
        number(upgrade.rate.median() / prior.rate.median()),
        number(upgrade.counts.instructions / prior.counts.instructions),
        table.text()
    )
}

fn about(figures: &[Figures]) -> String {
    let mut table = String::from("## What is compared\n\n| | |\n|---|---|\n");
    for figures in figures {
        table.extend(["| ", figures.peer.name, " | ", figures.peer.about, " |\n"]);
    }
    if !figures.iter().any(|figures| figures.peer.key == "rama") {
        table += "\nrama is left out: build with `--features rama`.\n";
    }
    table
}

fn none() -> String {
    "–".to_owned()
}

const PREFACE: &str = "All servers do the same: `GET /` answers `plain`, a WebSocket at `/ws` echoes messages, and \
`Upgrade: echo/1` echoes bytes where the peer takes other protocols than WebSocket. All have default settings unless \
the name says otherwise, and `TCP_NODELAY` where it can be set. Versions are in `Cargo.lock`. A server runs on one core, \
the client on another. What the peers are, and what each does not do, is in the last table: a handshake that checks \
less costs less.\n";
const INSTRUCTIONS: &str = "In user mode, of the whole server, counted by callgrind: those of twice as many units on one \
connection at a time, less those of so many. A handshake is a connection that is accepted, upgraded and closed by its \
client. Each allocation has some ten instructions of its count. A build in which shared dependencies have other features differs by up to 4 %.";
const ALLOCATIONS: &str = "Allocations and reallocations of the whole server, counted by its allocator, on one \
connection at a time.";
const MEMORY: &str = "Resident memory is what the process has grown by, and allocated is what its allocator has given out. \
A buffer that was allocated and never written is in the second figure only. Nearly all of it is the buffers of the framing \
crate. The kernel's memory of a socket is in neither.";
const TIME: &str = "CPU time is that of the server's process, user and kernel, and the kernel's part is the greater one. \
A server that does not fill its core is as fast as the client lets it be: then a rate near that of hyper says little, and \
the CPU time says more. Handshakes per second end near 14,000 on Linux, where the client runs out of ports: a closed one is \
taken again after a second.";
