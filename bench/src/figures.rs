//! Figures of several rounds, and tables of them.

use std::fmt::Write;

/// The figures of one thing in all rounds.
#[derive(Clone, Default)]
pub(crate) struct Rounds(Vec<f64>);

impl Rounds {
    pub(crate) fn push(&mut self, figure: f64) {
        self.0.push(figure);
        self.0.sort_by(f64::total_cmp);
    }

    pub(crate) fn median(&self) -> f64 {
        self.0[self.0.len() / 2]
    }

    /// The least, the median and the greatest.
    fn spread(&self) -> [f64; 3] {
        [self.0[0], self.median(), self.0[self.0.len() - 1]]
    }

    /// `median (least–greatest)`.
    pub(crate) fn show(&self) -> String {
        let [least, median, greatest] = self.spread().map(number);
        format!("{median} ({least}–{greatest})")
    }
}

/// A number with three digits or with all before the point, in groups of three.
pub(crate) fn number(value: f64) -> String {
    let decimals = match value.abs() {
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.decimals$}");
    let whole = text.split('.').next().unwrap_or_default().len();
    let mut grouped = String::new();
    for (at, character) in text.chars().enumerate() {
        if at > 0 && at < whole && (whole - at) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(character);
    }
    grouped
}

/// A table in Markdown. The first column is text, all others are numbers.
pub(crate) struct Table(String);

impl Table {
    pub(crate) fn new(heads: &[&str]) -> Self {
        let mut table = Self(String::new());
        table.row(heads.iter().map(|&head| head.to_owned()));
        table.0.push_str("|---|");
        table.0.push_str(&"--:|".repeat(heads.len() - 1));
        table.0.push('\n');
        table
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.0.push('|');
        for cell in cells {
            // Writing into a string does not fail.
            write!(self.0, " {cell} |").ok();
        }
        self.0.push('\n');
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}
