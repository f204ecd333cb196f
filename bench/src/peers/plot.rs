//! Plots as SVG, legible on light and on dark pages.

use std::fmt::Write;

use crate::{figures::number, peers::Figures};

pub(super) fn instructions(figures: &[Figures]) -> String {
    let bars: Vec<_> = figures
        .iter()
        .filter_map(|figures| {
            let counts = figures.counts.as_ref()?[0]?;
            Some(Bar::of(figures, counts.instructions))
        })
        .collect();
    plot("Instructions of a WebSocket handshake", "user mode of the server, by callgrind", bars)
}

pub(super) fn memory(figures: &[Figures]) -> String {
    let bars = figures.iter().map(|figures| Bar::of(figures, figures.memory.used.resident));
    plot(
        "Bytes of an idle WebSocket",
        "resident memory for each of 10,000, after one message of 32 bytes",
        bars.collect(),
    )
}

struct Bar {
    name: String,
    is_this: bool,
    value: f64,
}

impl Bar {
    fn of(figures: &Figures, value: f64) -> Self {
        let name = figures.peer.name.replace('`', "");
        Self { name, is_this: figures.peer.is_this(), value }
    }
}

/// Bars with the least on top.
fn plot(title: &str, subtitle: &str, mut bars: Vec<Bar>) -> String {
    bars.sort_by(|one, other| one.value.total_cmp(&other.value));
    let greatest = bars.last().map_or(1.0, |bar| bar.value);
    let height = TOP + ROW * bars.len() + 8;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" role=\"img\" aria-label=\"{title}\" font-family=\"system-ui, sans-serif\" \
         font-size=\"13\" fill=\"{TEXT}\">\n\
         <text x=\"8\" y=\"22\" font-size=\"15\" font-weight=\"600\">{title}</text>\n\
         <text x=\"8\" y=\"40\" font-size=\"12\">{subtitle}; less is better</text>\n"
    );
    for (row, bar) in bars.iter().enumerate() {
        let y = TOP + ROW * row;
        let width = (LONGEST * bar.value / greatest).max(1.0);
        let (color, weight) = if bar.is_this { (THIS, "600") } else { (PEER, "400") };
        // Writing into a string does not fail.
        writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\" font-weight=\"{weight}\">{}</text>\
             <rect x=\"{LEFT}\" y=\"{}\" width=\"{width:.1}\" height=\"16\" rx=\"2\" fill=\"{color}\"/>\
             <text x=\"{:.1}\" y=\"{}\" font-weight=\"{weight}\">{}</text>",
            LEFT - 8.0,
            y + 13,
            bar.name,
            y,
            LEFT + width + 6.0,
            y + 13,
            number(bar.value.round()),
        )
        .ok();
    }
    svg + "</svg>\n"
}

const WIDTH: usize = 760;
const TOP: usize = 54;
const ROW: usize = 24;
const LEFT: f64 = 290.0;
const LONGEST: f64 = 390.0;
/// Greys and a blue of a middle lightness, for both kinds of pages.
const TEXT: &str = "#7d8590";
const PEER: &str = "#9aa4af";
const THIS: &str = "#3b82f6";
