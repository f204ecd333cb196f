//! The page of figures.

use std::io;

use super::{
    Figures,
    curves::own,
    run::{Counts, Program},
};
use crate::{
    figures::{Table, number},
    machine,
};

pub(super) fn page(figures: &Figures, program: &Program) -> io::Result<String> {
    let times = Times::of(program)?;
    let sections = [
        format!(
            "# What grows\n\nWritten by `bench/growth.sh`. {}.\n\n{PREFACE}",
            machine::facts()?
        ),
        format!("## Idle connections: instructions\n\n{}\n{IDLE}", idle(figures)),
        format!("## Idle connections: memory\n\n{}\n{MEMORY}", times.memory()),
        format!("## Idle connections: time\n\n{}\n{TIME}", times.table()),
        format!("## Limits by key\n\n{}\n{KEYED}", keys(figures)),
        format!("## Registrations\n\n{}\n{REGISTRATIONS}", registrations(figures)),
        format!("## Hostile headers\n\n{HEADERS}\n{}\n{HOSTILE}", headers(figures)),
        format!("## What stops at 1,000,000 connections\n\n{}", times.million(figures)),
    ];
    Ok(sections.join("\n"))
}

fn idle(figures: &Figures) -> String {
    let mut heads = vec!["instructions".to_owned()];
    heads.extend(figures.idle.iter().map(|(size, _)| format!("beside {}", number((*size).into()))));
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    let mut table = Table::new(&heads);
    for (what, who, name) in [
        ("handshake, hyper by hand", "hand", "handshake"),
        ("handshake", "layer", "handshake"),
        ("handshake, with limits of time", "limited", "handshake"),
        ("message of 32 bytes, hyper by hand", "hand", "message"),
        ("message of 32 bytes", "layer", "message"),
        ("message of 32 bytes, with limits of time", "limited", "message"),
        ("`Connections::list`, for each connection", "layer", "list"),
        ("`Connections::get`", "layer", "get"),
        ("`Connections::stats`", "layer", "stats"),
        ("`drain` and `drained`, for each", "layer", "drain"),
        ("the same, with limits of time", "limited", "drain"),
        ("`shutdown` with an abort, for each", "stubborn", "abort"),
    ] {
        let cells = figures.idle.iter().map(|(_, all)| {
            let counts = all.iter().find(|(it, _)| *it == who);
            counts.map_or_else(String::new, |(_, counts)| whole(counts.each(name)))
        });
        table.row([what.to_owned()].into_iter().chain(cells));
    }
    table.text().to_owned()
}

fn keys(figures: &Figures) -> String {
    let mut table =
        Table::new(&["10,000 connections", "instructions of one more handshake", "bytes for each"]);
    for (keys, counts) in &figures.keys {
        let held = counts.get("open").held / counts.get("open").units;
        let keys = if *keys == 1 {
            "of one key".into()
        } else {
            format!("of {} keys", number((*keys).into()))
        };
        table.row([keys, whole(counts.each("handshake")), whole(held)]);
    }
    table.text().to_owned()
}

fn registrations(figures: &Figures) -> String {
    let counts = &figures.registrations;
    let mut text = String::new();
    for (kind, about, sizes) in [
        ("exact", "`name`", &[1, 10, 100][..]),
        ("version", "`name/1`", &[1, 10, 100]),
        ("any version", "`name/*`", &[1, 10, 100]),
        ("inner service", "`on_inner(name)`, not switched", &[1, 10, 100]),
        ("origins", "`Origins::list`, entries", &[1, 10, 100, 1000]),
        ("subprotocols", "`subprotocols`", &[1, 10, 100]),
    ] {
        let heads: Vec<String> =
            sizes.iter().map(|size| number(f64::from(*size))).map(|text| trim(&text)).collect();
        let mut all = vec![about];
        all.extend(heads.iter().map(String::as_str));
        let mut table = Table::new(&all);
        let start = format!("{kind}/1/");
        for what in counts.0.iter().filter_map(|count| count.name.strip_prefix(&start)) {
            let cell = |size: &i32| whole(counts.each(&format!("{kind}/{size}/{what}")));
            table.row([what.to_owned()].into_iter().chain(sizes.iter().map(cell)));
        }
        text.push_str(table.text());
        text.push('\n');
    }
    text
}

fn headers(figures: &Figures) -> String {
    let mut heads = vec!["header".to_owned()];
    heads.extend(figures.headers.iter().map(|(bytes, _)| format!("{} KiB", bytes / 1024)));
    heads.push("of hyper, 8 KiB".into());
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    let mut table = Table::new(&heads);
    let Some((_, first)) = figures.headers.first() else { return String::new() };
    for count in first.0.iter().filter(|count| !count.name.ends_with("/0")) {
        let name = &count.name;
        let (what, registrations) = name.rsplit_once('/').unwrap_or((name, ""));
        let what = if registrations == "1" {
            what.into()
        } else {
            format!("{what}, {registrations} registrations")
        };
        let is_baseline = ["tunnel, other", "upstream, other"].contains(&what.as_str());
        let cost =
            |counts: &Counts| if is_baseline { counts.each(name) } else { own(counts, name) };
        let cells = figures.headers.iter().map(|(_, counts)| whole(cost(counts)));
        let hyper = figures.headers.iter().find(|(bytes, _)| *bytes == 8192);
        let hyper = hyper.map_or(0.0, |(_, counts)| counts.each(name) - cost(counts));
        table.row([what].into_iter().chain(cells).chain([whole(hyper)]));
    }
    table.text().to_owned()
}

/// Figures that are measured natively, and not counted.
struct Times {
    sizes: Vec<(u32, [Option<Counts>; 3])>,
    spread: Counts,
    sockets: Counts,
}

impl Times {
    fn of(program: &Program) -> io::Result<Self> {
        let of = |who: &str, size: u32| program.time(&["idle", who, &size.to_string()]);
        let mut sizes = Vec::new();
        for size in [1_000, 10_000, 50_000] {
            sizes.push((
                size,
                [Some(of("hand", size)?), Some(of("layer", size)?), Some(of("stubborn", size)?)],
            ));
        }
        sizes.push((MILLION, [None, Some(of("layer", MILLION)?), None]));
        let (spread, sockets) = (of("spread", 50_000)?, program.time(&["sockets", SOCKETS])?);
        Ok(Self { sizes, spread, sockets })
    }

    fn memory(&self) -> String {
        let mut table = Table::new(&[
            "connections",
            "allocated, hyper by hand",
            "allocated",
            "resident, hyper by hand",
            "resident",
        ]);
        for (size, [hand, layer, _]) in &self.sizes {
            let each = |counts: &Option<Counts>, of: fn(&super::run::Count) -> f64| {
                let open = counts.as_ref().map(|counts| counts.get("open"));
                open.map_or_else(none, |open| whole(of(open) / open.units))
            };
            table.row([
                number((*size).into()),
                each(hand, |open| open.held),
                each(layer, |open| open.held),
                each(hand, |open| open.resident),
                each(layer, |open| open.resident),
            ]);
        }
        table.text().to_owned()
    }

    fn table(&self) -> String {
        let mut table = Table::new(&[
            "connections",
            "open, µs of CPU for each",
            "`list`, ms",
            "`get`, µs",
            "drain, ms",
            "drain, µs for each",
            "abort, ms",
            "abort, µs for each",
        ]);
        for (size, [_, layer, stubborn]) in &self.sizes {
            let cell = |counts: &Option<Counts>, name: &str, of: fn(&super::run::Count) -> f64| {
                let count = counts.as_ref().map(|counts| counts.get(name));
                count.map_or_else(none, |count| number(of(count)))
            };
            table.row([
                number((*size).into()),
                cell(layer, "open", |it| it.cpu / it.units / 1e3),
                cell(layer, "list", |it| it.wall / 1e6),
                cell(layer, "get", |it| it.wall / it.units / 1e3),
                cell(layer, "drain", |it| it.wall / 1e6),
                cell(layer, "drain", |it| it.wall / it.units / 1e3),
                cell(stubborn, "abort", |it| it.wall / 1e6),
                cell(stubborn, "abort", |it| it.wall / it.units / 1e3),
            ]);
        }
        let spread = self.spread.get("spread");
        format!(
            "{}\n`shutdown_over` 10 s ended 50,000 connections in {} s, with {} ms of CPU: {} µs for each.\n",
            table.text(),
            number(spread.wall / 1e9),
            number(spread.cpu / 1e6),
            number(spread.cpu / spread.units / 1e3),
        )
    }

    fn million(&self, figures: &Figures) -> String {
        let Some((_, [_, Some(million), _])) = self.sizes.last() else { return String::new() };
        let (open, list, drain) = (million.get("open"), million.get("list"), million.get("drain"));
        let kernel = |name: &str| {
            let count = self.sockets.get(name);
            // There are two sockets for each connection here, the client's and the server's.
            count.held / count.units / 2.0
        };
        let handshake = figures.idle.last().and_then(|(_, all)| {
            all.iter().find(|(who, _)| *who == "layer").map(|(_, counts)| counts.each("handshake"))
        });
        let abort =
            self.sizes.iter().filter_map(|(_, [.., stubborn])| stubborn.as_ref()).next_back();
        let abort =
            abort.map_or(0.0, |counts| counts.get("abort").wall / counts.get("abort").units);
        let mut text = format!(
            "{MILLION_PREFACE}\n\n| resource | for one | for 1,000,000 | what stops |\n|---|---|---|---|\n"
        );
        let gigabytes = |bytes: f64| format!("{} GB", number(bytes * 1e6 / 1e9));
        for [resource, one, all, stops] in [
            ["descriptors".into(), "1".into(), "1,000,000".into(), DESCRIPTORS.into()],
            [
                "ports".into(),
                "none on the server's side".into(),
                "1 listening".into(),
                PORTS.into(),
            ],
            [
                "kernel, socket and its descriptor (the growth of the slab)".into(),
                format!("{} bytes", whole(kernel("slab"))),
                gigabytes(kernel("slab")),
                KERNEL.into(),
            ],
            [
                "kernel, buffers of idle sockets".into(),
                format!("{} bytes", whole(kernel("buffers"))),
                gigabytes(kernel("buffers")),
                BUFFERS.into(),
            ],
            [
                "heap of hyper and this crate, the pipe of the test included".into(),
                format!("{} bytes", whole(open.held / open.units)),
                gigabytes(open.held / open.units),
                HEAP.into(),
            ],
            [
                "handshakes after a restart, on one core, without the kernel".into(),
                format!("{} instructions", whole(handshake.unwrap_or_default())),
                format!("{} s", number(open.wall / 1e9)),
                HANDSHAKES.into(),
            ],
            [
                "`list`".into(),
                format!("{} ns", whole(list.wall / list.units)),
                format!("{} ms", number(list.wall / 1e6)),
                LIST.into(),
            ],
            [
                "drain and its end, on one core, without the kernel".into(),
                format!("{} µs", number(drain.wall / drain.units / 1e3)),
                format!("{} s", number(drain.wall / 1e9)),
                DRAIN.into(),
            ],
            [
                "abort at the deadline of a `shutdown`, of 50,000".into(),
                format!("{} µs", number(abort / 1e3)),
                format!("{} s", number(abort / 1e3)),
                ABORT.into(),
            ],
            [
                "the one lock".into(),
                "some 600 instructions of a handshake".into(),
                "the same".into(),
                LOCK.into(),
            ],
            [
                "timers, with limits of time".into(),
                "177 bytes".into(),
                "0.18 GB".into(),
                TIMERS.into(),
            ],
            ["ids and counters, 64 bits".into(), "1".into(), "1,000,000".into(), IDS.into()],
        ] {
            text.extend(["| ", &resource, " | ", &one, " | ", &all, " | ", stops.as_str(), " |\n"]);
        }
        text
    }
}

fn whole(value: f64) -> String {
    // Three digits are enough of what differs from one run to the next.
    number(value.round()).trim_end_matches(".00").trim_end_matches(".0").to_owned()
}

fn trim(text: &str) -> String {
    text.trim_end_matches(".00").trim_end_matches(".0").to_owned()
}

fn none() -> String {
    "–".to_owned()
}

const MILLION: u32 = 1_000_000;

/// As many as the usual limit of descriptors allows, with both ends in one process.
const SOCKETS: &str = "9000";

const PREFACE: &str = "A server of this crate on hyper and its clients are in one process and on one thread, joined by \
pipes, so that 50,000 connections need no descriptors. Instructions are those of both ends, in user mode, counted by \
callgrind inside of what is measured. They differ by some hundreds from one run to the next, because maps have random \
keys. `bench/growth.sh` fails if a curve is not straight: if it ends at more than 1.5 times of where the line through \
its beginning does.\n";
const IDLE: &str = "- A message and `stats` cost the same beside 50,000 connections as beside 1,000, and a handshake costs the same but \
for the depth of a tree.
- `list` costs the same for each connection. It holds the lock, which handshakes need as well, for 256 connections at \
a time.
- `get` looks into a tree, which is a few levels deep.
- A drain and an abort cost the same for each connection, however many there are.
";
const MEMORY: &str = "For each connection, in bytes, of both ends and the pipe between them, without a framing crate. \
`hyper by hand` has no drain and no list, and its handler waits for bytes alone.

- Both figures are level: there is nothing of which one connection takes more because there are others. The list of \
connections is a tree, whose nodes are between half full and full.
";
const TIME: &str = "These are of the clock, on a shared machine, so only their order of size counts. Caches are the reason \
why a list of more connections takes longer for each: a connection has to be touched.

- The time until `drained` is in proportion to the number of connections.
- A spread drain has a timer for each millisecond at most, and not for each connection.
";
const KEYED: &str = "- A limit by key is a map: it costs the same for one key as for 10,000. A key is in the map as long as \
it has a connection. The keys are copies of `Host`: a clone of the header's value would keep hyper's buffer of 8 KiB \
for each connection.
";
const REGISTRATIONS: &str = "A request on a connection of its own, the end of the connection included. All names have \
the same length and begin alike, which is the worst case. A request with 64 others offers as many protocols as an \
`Upgrade` header may have, of which none is registered.

- A request without an offer costs the same with any number of registrations.
- An offer is compared with each registration until one matches, so its cost is a line.
- 64 offers cost 64 times that: offers times registrations, of which the client chooses the first, 64 at most, and the \
server the second.
- The entries of `Origins::list` and the subprotocols are compared one after the other as well: a line. 64 offered \
subprotocols are compared with each other once, whatever the server knows.
";
const HEADERS: &str = "What a request costs above the same request to hyper without a layer, or, for headers that hyper does \
not look at, above the same bytes in a header that nobody reads. The last column is that other request. `as many as fit` \
are members of one or two letters. A figure below zero is a request that is answered without its handler, or less work \
for hyper. The rows for `tunnel` are above the first of them, and those for `upstream`, whose hostile headers are those \
of the upstream's response, as well.\n";
const HOSTILE: &str = "- A header over a limit (64 members, or 8 KiB in all) costs about what one at the limit does, or less.
- Some thousands more or less at 8 KiB, and ten thousands at 64 KiB, are of hyper's buffers, whose growth depends on \
where they are.
- `Upgrade` and `Connection` are read once, byte for byte: a line. With 100 registrations, 64 offers add what they add \
to a short header.
- `Sec-WebSocket-Extensions` is a line. It is parsed only if the application agrees to extensions, and once more if it \
answers.
- `HTTP2-Settings` is a line, and is decoded once, however often h2c is offered.
- Of a tunnel, each header is looked up in what `Connection` names, and each member in the headers, so both are lines.
- From 8 to 64 KiB, hyper itself costs more than in proportion: it parses a head from its start with each read.
";
const MILLION_PREFACE: &str = "The rows for the heap, the handshakes, `list` and the drain are measured, with a million \
connections over pipes: nothing in this crate stops at that number. The kernel's memory is measured with 9,000 idle \
connections over loopback, of which each has two sockets here. All others are on paper.";
const DESCRIPTORS: &str = "`ulimit -n` is 1,024 by default, and `fs.nr_open` 1,048,576: both have to be raised, for \
the listener and the files as well, and `fs.file-max`";
const PORTS: &str = "28,232 ports of one client's address (`net.ipv4.ip_local_port_range`): a proxy in front needs 36 \
addresses, on either side";
const KERNEL: &str = "memory: more than that of this crate";
const BUFFERS: &str =
    "`net.ipv4.tcp_mem`, as soon as the sockets are not idle: a buffer grows to megabytes";
const HEAP: &str = "memory; the framing crate's buffers come on top: 5 KB with tokio-websockets, 128 KiB with \
tungstenite's default";
const HANDSHAKES: &str = "the time to come back after a restart; TLS and the kernel's part come on top (RESULTS.md has the CPU time over sockets)";
const LIST: &str = "the lock is held for 256 of them at a time, so no handshake waits for the list";
const DRAIN: &str = "clients that come back at once: `drain_over` spreads them";
const ABORT: &str = "`shutdown` waits one second for them, and then counts the others as `remaining`; they end all the \
same";
const LOCK: &str = "handshakes at more than some 60 cores at once; messages do not take it";
const TIMERS: &str = "nothing: tokio's wheel adds and removes one in constant time";
const IDS: &str = "nothing, for 500,000 years at a million a second";
