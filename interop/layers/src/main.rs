//! Tries a switch under each stack of layers, and prints the outcomes as Markdown.
//!
//! Fails if a cell is not as the source has it beside the row. With `outermost()` a switch has to
//! work, unless the row names a reason, and no handler may run behind another response.

mod harness;
mod hostile;
mod http2;
mod rows;
mod stores;
mod subject;

use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
    sync::atomic::Ordering,
};

use harness::{Client, Column, Exchange, Word, status};
use hostile::Hostile;
use rows::{Kind, Row};
use subject::{HANDLER, Subject};

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> ExitCode {
    let mut report = Report::default();
    for (origin, rows) in rows::all() {
        for row in rows {
            report.row(origin, &row).await;
        }
    }
    for hostile in hostile::all() {
        report.hostile(&hostile).await;
    }
    report.print();
    for problem in &report.problems {
        eprintln!("FAILED: {problem}");
    }
    if report.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The findings of all runs.
#[derive(Default)]
struct Report {
    problems: Vec<String>,
    /// The names of layers, without what varies.
    layers: BTreeSet<&'static str>,
    /// The number of cells with each word, without `outermost()` and with it.
    kinds: BTreeMap<Kind, [BTreeMap<String, usize>; 2]>,
    /// Lines of tables.
    rows: Vec<String>,
    exceptions: Vec<String>,
    hostile: Vec<String>,
    /// How many hostile stacks run a handler, without `outermost()` and with it.
    escapes: [usize; 2],
    /// How many rows switch over HTTP/2, without `outermost()` and with it.
    over_http2: [usize; 2],
    /// The rows that do not, and their reasons.
    http2_rows: Vec<String>,
    /// How many hostile stacks run a handler over HTTP/2 whose client did not get its 200.
    http2_escapes: [usize; 2],
}

impl Report {
    async fn row(&mut self, origin: &str, row: &Row) {
        let Row { name, kind, build, except, .. } = row;
        self.layers.insert(name.split(',').next().unwrap_or(name));
        let mut line = vec![origin.to_owned(), (*name).to_owned()];
        for column in Column::ALL {
            let reference = Exchange::WebSocket.run(column, build, &Subject::reference()).await;
            let plain = Exchange::Plain.run(column, build, &Subject::ours()).await;
            let mut cells = [Word::Hang; 3];
            let exchanges = [Exchange::Early, Exchange::Body, Exchange::WebSocket];
            for (cell, exchange) in cells.iter_mut().zip(exchanges) {
                *cell = exchange.run(column, build, &Subject::ours()).await;
            }
            if plain != Word::Works {
                self.problems.push(format!("{name}, {column:?}: a plain GET is {plain}"));
            }
            let expected = row.expected(column);
            if cells != expected {
                let problem = format!("{name}, {column:?}: {cells:?}, not {expected:?}");
                self.problems.push(problem);
            }
            let over_http2 = http2::switches(column, build).await;
            let (expected, reason) = http2::expected(name);
            let expected = expected[usize::from(column != Column::Without)];
            if over_http2 != expected {
                let problem =
                    format!("{name}, {column:?}, HTTP/2: {over_http2:?}, not {expected:?}");
                self.problems.push(problem);
            }
            if column == Column::OnRouter {
                continue;
            }
            for cell in cells {
                let words = &mut self.kinds.entry(*kind).or_default()[column as usize];
                *words.entry(cell.to_string()).or_default() += 1;
                line.push(cell.to_string());
            }
            if column == Column::With {
                line.push(reference.to_string());
            }
            self.over_http2[column as usize] += usize::from(over_http2 == [Word::Works; 2]);
            if let (Column::With, Some(reason)) = (column, reason) {
                let ([without, with], _) = http2::expected(name);
                let cells = without.into_iter().chain(with).map(|cell| cell.to_string());
                let cells = cells.collect::<Vec<_>>().join(" | ");
                self.http2_rows.push(format!("| {name} | {cells} | {reason} |"));
            }
        }
        self.rows.push(format!("| {} |", line.join(" | ")));
        if let Some((_, reason)) = except {
            self.exceptions.push(format!("- {name}: {reason}."));
        }
    }

    async fn hostile(&mut self, hostile: &Hostile) {
        let Hostile { name, build, escapes } = hostile;
        let mut line = vec![(*name).to_owned()];
        for column in Column::ALL {
            let mut ran = [false; 3];
            for (ran, client) in ran.iter_mut().zip(Client::ALL) {
                let subject = Subject::ours();
                let bytes = client.run(column, build, &subject).await;
                let counts = subject.counts();
                if counts.accepted.load(Ordering::Relaxed) == 0 {
                    self.problems.push(format!("{name}, {column:?}: no handler was asked"));
                }
                let is_on_the_wire =
                    bytes.windows(HANDLER.len()).any(|bytes| bytes == HANDLER.as_bytes());
                *ran = is_on_the_wire || counts.ran.load(Ordering::Relaxed) > 0;
                if column != Column::OnRouter {
                    let answer = status(&bytes).map_or("none".into(), |status| status.to_string());
                    line.push(if *ran { format!("{answer}, **handler runs**") } else { answer });
                }
            }
            let (ran_over_http2, status) = http2::runs(column, build).await;
            if ran_over_http2 != http2::may_run(name)[usize::from(column != Column::Without)] {
                let problem = format!("{name}, {column:?}, HTTP/2: {ran_over_http2}, {status}");
                self.problems.push(problem);
            }
            if let Some(escaped) = self.http2_escapes.get_mut(column as usize) {
                *escaped += usize::from(ran_over_http2 && !http2::HARMLESS.contains(name));
            }
            let expected = if column == Column::Without { *escapes } else { [false; 3] };
            if ran != expected {
                self.problems.push(format!("{name}, {column:?}: {ran:?}, not {expected:?}"));
            }
            if let Some(escaped) = self.escapes.get_mut(column as usize) {
                *escaped += usize::from(ran.contains(&true));
            }
        }
        self.hostile.push(format!("| {} |", line.join(" | ")));
    }

    fn print(&self) {
        let Self { layers, kinds, rows, exceptions, hostile, escapes, .. } = self;
        let Self { over_http2: [switch, switch_with], http2_rows, http2_escapes, .. } = self;
        let [escaped, escaped_with] = escapes;
        let [http2_escaped, http2_escaped_with] = http2_escapes;
        println!("# Layers around `UpgradeLayer`\n");
        println!("Printed by `interop/layers.sh`, which fails if a cell changes.\n");
        println!(
            "{} layers, or ways to apply one, in {} rows. Of {} hostile stacks, {escaped} run a \
            handler without `outermost()`, and {escaped_with} with it.\n",
            layers.len(),
            rows.len(),
            hostile.len(),
        );

        println!("## Layer order\n");
        println!("| outer layer | works without `outermost()` | works with it | why |");
        println!("|---|---|---|---|");
        for (kind, [without, with]) in kinds {
            let (name, why) = (kind.name(), kind.why());
            println!("| {name} | {} | {} | {why} |", most(without), most(with));
        }

        println!("\n## Exceptions\n");
        println!("With `outermost()`, a switch works in every row but these:\n");
        println!("{}", exceptions.join("\n"));

        println!("\n## HTTP/2\n");
        println!(
            "Each row is also tried with extended CONNECT, for a protocol with bytes right after the \
            answer, and for a WebSocket. {switch} of {} rows switch without `outermost()`, and \
            {switch_with} with it. The others:\n",
            rows.len(),
        );
        println!(
            "| outer layer | without: early bytes | WebSocket | with: early bytes | WebSocket | why |"
        );
        println!("|---|---|---|---|---|---|");
        println!("{}", http2_rows.join("\n"));
        println!(
            "\nOf the {} hostile stacks, {} do nothing to a 200. Of the others, {http2_escaped} run a \
            handler without `outermost()`, all of which change the status to 204 in place, and \
            {http2_escaped_with} with it.",
            hostile.len(),
            http2::HARMLESS.len(),
        );

        println!("\n## Rows\n");
        println!(
            "Each row is tried with a plain GET, which always works; an upgrade with bytes right \
            after its head; an upgrade with a body of five bytes; a WebSocket; and axum's \
            `WebSocketUpgrade` under the same layers. With `outermost()` as the last layer of a \
            `Router`, all is as with `outermost()` around everything. A malformed 101 lacks \
            `Connection: upgrade`, or has a `Content-Length`.\n"
        );
        println!(
            "| origin | outer layer | without: early bytes | body | WebSocket | with: early bytes | \
            body | WebSocket | axum's |"
        );
        println!("|---|---|---|---|---|---|---|---|---|");
        println!("{}", rows.join("\n"));

        println!("\n## Hostile stacks\n");
        println!(
            "Each answers something else than the 101 of a handler that has agreed. It is tried \
            with a client that talks on right after its request, one that leaves when it has the \
            answer, and one that talks on and sends `Connection: upgrade, close`. A cell is the \
            status that the client gets.\n"
        );
        println!(
            "| hostile stack | without: talks on | leaves | closes | with: talks on | leaves | \
            closes |"
        );
        println!("|---|---|---|---|---|---|---|");
        println!("{}", hostile.join("\n"));
    }
}

/// The word that most cells have, and their number if others have another.
fn most(words: &BTreeMap<String, usize>) -> String {
    let all: usize = words.values().sum();
    match words.iter().max_by_key(|(_, count)| **count) {
        Some((word, count)) if *count == all => word.clone(),
        Some((word, count)) => format!("{word} ({count} of {all} cells)"),
        None => String::new(),
    }
}
