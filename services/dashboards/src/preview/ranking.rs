//! Horizontal bars: a word and a number each.

use super::{Inside, escaped};

const LETTER: f64 = 7.2;
/// The most of the width that words take.
const NAMES: f64 = 0.4;
/// Room for the number after the bar.
const VALUE: f64 = 70.0;

pub fn draw(inside: &Inside) -> String {
    let Some(frame) = inside.frames.first() else { return String::new() };
    let fields = inside.fields(frame, 0);
    let [_, number] = &fields[..] else { return String::new() };
    let most = frame.rows.iter().filter_map(|row| row[1].as_f64()).fold(0.0, f64::max);
    let word = |row: &Vec<serde_json::Value>| row[0].as_str().unwrap_or_default().to_owned();
    let names = frame.rows.iter().map(|row| word(row).chars().count() as f64 * LETTER + 12.0).fold(0.0, f64::max);
    let names = names.min(inside.width * NAMES);
    let room = inside.width - names - VALUE;
    let bars = frame.rows.iter().map(|row| {
        let shown = number.show(&row[1]);
        let wide = row[1].as_f64().unwrap_or_default() / most.max(1.0) * room;
        format!(
            "<div><span class=\"name\" style=\"width:{names:.0}px\">{}</span><span class=\"bar\" style=\"width:{wide:.1}px;background:{}\"></span>\
             <span class=\"value\">{}</span></div>",
            escaped(&word(row)), shown.colour, escaped(&shown.text)
        )
    });
    format!("<div class=\"bars\">{}</div>", bars.collect::<String>())
}
