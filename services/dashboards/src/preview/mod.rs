//! A preview of a dashboard: one page of HTML without scripts, drawn from what Grafana reads (`provisioning/json`) and from the answers to
//! its questions. It follows Grafana 13.2 where that decides what a reader sees: the grid, widths of columns, units, colours of words and
//! thresholds, what stands in empty cells and empty panels, widths of bars, marks on the time axis. It is a picture to look at and no
//! proof of how Grafana draws.

mod axis;
mod field;
mod page;
mod ranking;
mod series;
mod stat;
mod table;
mod timeline;
mod units;

pub use page::page;

use field::Field;
use serde_json::Value;
use std::collections::BTreeMap;

/// The answer to one question.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// Names and ClickHouse's types.
    pub columns: Vec<(String, String)>,
    /// In order.
    pub rows: Vec<Vec<Value>>,
}

/// A mark on the time axes.
#[derive(Clone, Debug)]
pub struct Mark {
    /// A colour of Grafana.
    pub colour: String,
    /// UTC milliseconds.
    pub from: i64,
    /// The same for a moment.
    pub to: i64,
}

impl Mark {
    /// A row of an annotation: its time, and where it ends.
    pub fn read(colour: &str, row: &[Value]) -> Option<Self> {
        let from = field::millis(row.first()?)?;
        let to = row.get(1).and_then(field::millis).unwrap_or(from);
        Some(Self { colour: colour.to_owned(), from, to })
    }
}

/// What is drawn.
#[derive(Debug)]
pub struct Drawing<'a> {
    /// The dashboard as Grafana reads it.
    pub dashboard: &'a Value,
    /// UTC milliseconds.
    pub period: (i64, i64),
    /// Labels of the variables, with what is chosen.
    pub chosen: Vec<(String, String)>,
    /// Answers by panel id.
    pub answers: BTreeMap<u32, Vec<Frame>>,
    /// Annotations.
    pub marks: Vec<Mark>,
}

/// The inside of a panel.
struct Inside<'a> {
    panel: &'a Value,
    frames: &'a [Frame],
    period: (i64, i64),
    marks: &'a [Mark],
    width: f64,
    height: f64,
}

impl Inside<'_> {
    /// What stands there when there is nothing.
    fn nothing(&self) -> Option<String> {
        if self.frames.iter().any(|frame| !frame.rows.is_empty()) {
            return None;
        }
        let text = self.panel["fieldConfig"]["defaults"]["noValue"].as_str().unwrap_or("No data");
        Some(format!("<p class=\"nothing\">{}</p>", escaped(text)))
    }

    /// The fields of a frame; `index` of the first in the palette.
    fn fields(&self, frame: &Frame, index: usize) -> Vec<Field> {
        let values = |at: usize| frame.rows.iter().map(|row| &row[at]).collect::<Vec<_>>();
        let one = |(at, column): (usize, &(String, String))| Field::new(self.panel, column, &values(at), index + at);
        frame.columns.iter().enumerate().map(one).collect()
    }
}

/// Text as HTML shows it.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Steps to which Grafana rounds the width of a bar: below the first number of seconds, the second.
const STEPS: [(f64, u32); 21] = [
    (1.5, 1),
    (3.5, 2),
    (7.5, 5),
    (12.5, 10),
    (17.5, 15),
    (25.0, 20),
    (45.0, 30),
    (90.0, 60),
    (210.0, 120),
    (450.0, 300),
    (750.0, 600),
    (1_050.0, 900),
    (1_500.0, 1_200),
    (2_700.0, 1_800),
    (5_400.0, 3_600),
    (9_000.0, 7_200),
    (16_200.0, 10_800),
    (32_400.0, 21_600),
    (86_400.0, 43_200),
    (604_800.0, 86_400),
    (1_814_400.0, 604_800),
];

/// Seconds of a bar of this panel over a period: as many bars as `maxDataPoints` says, else a pixel each, but no narrower than `interval`.
pub fn interval(panel: &Value, (from, to): (i64, i64)) -> u32 {
    let points = panel["maxDataPoints"].as_f64().unwrap_or_else(|| page::inner_width(panel));
    let wide = (to - from) as f64 / 1e3 / points;
    let rounded = STEPS.iter().find(|(below, _)| wide < *below).map_or(2_592_000, |(_, seconds)| *seconds);
    let least = panel["interval"].as_str().map_or(1, |text| match text.split_at(text.len() - 1) {
        (number, "h") => number.parse::<u32>().unwrap_or(1) * 3_600,
        (number, "m") => number.parse::<u32>().unwrap_or(1) * 60,
        (number, _) => number.parse().unwrap_or(1),
    });
    rounded.max(least)
}

#[cfg(test)]
mod tests {
    use super::interval;
    use serde_json::json;

    #[test]
    fn a_bar_is_as_wide_as_grafana_makes_it() {
        let week = (0, 7 * 86_400_000);
        let grid = json!({"w": 12, "h": 8});
        assert_eq!(interval(&json!({"gridPos": grid}), week), 900);
        assert_eq!(interval(&json!({"gridPos": grid, "maxDataPoints": 100}), week), 7_200);
        assert_eq!(interval(&json!({"gridPos": grid, "interval": "1h"}), (0, 3_600_000)), 3_600);
    }
}
