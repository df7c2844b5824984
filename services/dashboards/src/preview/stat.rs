//! One value, as large as its panel allows.

use super::{Inside, escaped};

/// Width of a letter, as a part of its size.
const LETTER: f64 = 0.58;
const PADDING: f64 = 8.0;

pub fn draw(inside: &Inside) -> String {
    let Some((frame, row)) = inside.frames.iter().find_map(|frame| Some((frame, frame.rows.last()?))) else {
        return String::new();
    };
    let fields = inside.fields(frame, 0);
    let Some((field, value)) = fields.first().zip(row.first()) else { return String::new() };
    let shown = field.show(value);
    let (width, height) = (inside.width - 2.0 * PADDING, inside.height - 2.0 * PADDING);
    let size = (height / 1.2).min(width / (shown.text.chars().count() as f64 * LETTER));
    format!("<div class=\"stat\" style=\"color:{};font-size:{size:.1}px\">{}</div>", shown.colour, escaped(&shown.text))
}
