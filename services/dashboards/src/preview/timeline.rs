//! States over time: a lane per question, each state until the next one of its lane, the last until the end of the period.

use super::{
    Inside,
    axis::Time,
    escaped,
    field::millis,
    series::{across, legend, svg},
};
use std::fmt::Write;

const BELOW: f64 = 50.0;
const LETTER: f64 = 7.0;
/// A lane's part of its place.
const PART: f64 = 0.8;

pub fn draw(inside: &Inside) -> String {
    let lanes: Vec<_> = inside.frames.iter().filter(|frame| frame.columns.len() == 2).collect();
    let left = lanes.iter().map(|frame| frame.columns[1].0.len() as f64 * LETTER).fold(20.0, f64::max) + 12.0;
    let time = Time { period: inside.period, left, width: inside.width - left - 20.0 };
    let height = inside.height - BELOW;
    let each = height / lanes.len().max(1) as f64;
    let mut out = across(&time, inside, (0.0, height));
    let mut words: Vec<(String, String)> = Vec::new();
    for (at, frame) in lanes.iter().enumerate() {
        let fields = inside.fields(frame, at.saturating_sub(1));
        let field = &fields[1];
        let (top, high) = (each * at as f64 + each * (1.0 - PART) / 2.0, each * PART);
        _ = write!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            left - 8.0,
            top + high / 2.0 + 4.0,
            escaped(&field.name)
        );
        // Equal neighbours are one block.
        let mut blocks: Vec<(i64, &serde_json::Value)> = Vec::new();
        for row in &frame.rows {
            let Some(from) = millis(&row[0]) else { continue };
            if blocks.last().is_none_or(|(_, state)| *state != &row[1]) {
                blocks.push((from, &row[1]));
            }
        }
        for (index, (from, state)) in blocks.iter().enumerate() {
            let end = blocks.get(index + 1).map_or(inside.period.1, |(next, _)| *next);
            let shown = field.show(state);
            if state.is_null() {
                continue;
            }
            let (x, wide) = (time.x(*from), time.x(end) - time.x(*from));
            _ = write!(
                out,
                "<rect x=\"{x:.1}\" y=\"{top:.1}\" width=\"{wide:.1}\" height=\"{high:.1}\" fill=\"{}\" fill-opacity=\".75\"/>",
                shown.colour
            );
            if shown.text.chars().count() as f64 * LETTER < wide {
                _ = write!(
                    out,
                    "<text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                    x + 4.0,
                    top + high / 2.0 + 4.0,
                    escaped(&shown.text)
                );
            }
            if !words.iter().any(|(word, _)| *word == shown.text) {
                words.push((shown.text, shown.colour));
            }
        }
    }
    format!("{}{}", svg(inside, &out), legend(words.into_iter()))
}
