//! Which curves have to be straight, and which are not.

use super::{Figures, run::Counts};

/// A curve, and how it bends.
type Bent = (String, String);

/// How much more than in proportion something may grow.
const SLACK: f64 = 1.5;

/// Names of the counts that may not depend on the number of connections, or are counted for each connection.
const LEVEL: [&str; 8] = ["open", "handshake", "message", "list", "get", "stats", "drain", "abort"];

/// Returns what a request costs above the same bytes to hyper alone: the same request without a layer, or the
/// same bytes in a header that nobody reads. To a tunnel, these go through it.
pub(super) fn own(counts: &Counts, name: &str) -> f64 {
    counts.each(name) - counts.each(&baseline(counts, name))
}

fn baseline(counts: &Counts, name: &str) -> String {
    let bare = name.rsplit_once('/').map(|(what, _)| format!("{what}/0")).unwrap_or_default();
    match name.split_once(", ") {
        Some((way @ ("tunnel" | "upstream"), _)) => format!("{way}, other/1"),
        _ if counts.0.iter().any(|count| count.name == bare) => bare,
        _ => "other, no offer/0".into(),
    }
}

pub(super) fn bent(figures: &Figures) -> Vec<Bent> {
    all(figures)
        .into_iter()
        .filter_map(|(curve, least, most)| {
            let how =
                || format!("{most:.0} instructions, where {SLACK} times {least:.0} is allowed");
            (most > SLACK * least).then(|| (curve, how()))
        })
        .collect()
}

pub(super) fn number(figures: &Figures) -> usize {
    all(figures).len()
}

/// Returns each curve, with what its greatest point would be if it was straight, and what it is.
fn all(figures: &Figures) -> Vec<(String, f64, f64)> {
    let mut curves = Vec::new();
    if let [(few, first), .., (many, last)] = figures.idle.as_slice() {
        for ((who, first), (_, last)) in first.iter().zip(last) {
            for name in LEVEL.iter().filter(|name| first.0.iter().any(|it| it.name == **name)) {
                let curve = format!("{name} of {who}, from {few} to {many} connections");
                // A tree may be three levels deeper.
                let deeper = if *name == "get" { 100.0 } else { 0.0 };
                curves.push((curve, first.each(name) + deeper, last.each(name)));
            }
        }
    }
    if let [(_, first), .., (keys, last)] = figures.keys.as_slice() {
        let curve = format!("handshake, of {keys} keys");
        curves.push((curve, first.each("handshake"), last.each("handshake")));
    }
    for (kind, most) in [
        ("exact", 100.0),
        ("version", 100.0),
        ("any version", 100.0),
        ("inner service", 100.0),
        ("origins", 1000.0),
        ("subprotocols", 100.0),
    ] {
        curves.extend(grown(&figures.registrations, kind, most));
    }
    let at = |bytes| figures.headers.iter().find(|(it, _)| *it == bytes).map(|(_, counts)| counts);
    // The line through two points, and a third point far behind them.
    for (first, second, last) in [(1024, 2048, 8192), (4096, 8192, 65_536)] {
        let (Some(one), Some(two), Some(three)) = (at(first), at(second), at(last)) else {
            continue;
        };
        let step = f64::from(second - first);
        for name in
            one.0.iter().map(|count| &count.name).filter(|name| baseline(one, name) != **name)
        {
            let (own, after) = (own(one, name), own(two, name));
            // One instruction for each byte is always allowed.
            let line = own.max(0.0) + (after - own).max(step) * f64::from(last - first) / step;
            curves.push((
                format!("{name}, from {second} to {last} bytes"),
                line,
                self::own(three, name),
            ));
        }
    }
    if let Some(counts) = at(8192) {
        // A repeated offer costs what a longer header does, and not as often as it is repeated.
        for many in
            ["h2c", "h2c and H2C"].map(|names| format!("HTTP2-Settings, 64 offers of {names}/1"))
        {
            let repeated = counts.each(&many);
            curves.push((many, counts.each("HTTP2-Settings/1"), repeated));
        }
    }
    curves
}

/// Returns the curves of one kind: what is added to the cost, from 10 to the most.
fn grown(counts: &Counts, kind: &str, most: f64) -> Vec<(String, f64, f64)> {
    let what = |name: &str| name.strip_prefix(&format!("{kind}/1/")).map(ToOwned::to_owned);
    let curves = counts.0.iter().filter_map(|count| what(&count.name)).map(|what| {
        let cost = |number: f64| counts.each(&format!("{kind}/{number}/{what}"));
        let curve = format!("{kind}, {what}, from 10 to {most}");
        // Some hundreds are what a count differs by from one run to the next.
        let added = (cost(10.0) - cost(1.0)).max(300.0) / 9.0;
        (curve, cost(1.0) + added * (most - 1.0), cost(most))
    });
    curves.collect()
}
