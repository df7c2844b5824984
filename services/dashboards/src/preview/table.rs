//! A table: columns as wide as they say, the rest of the width to the others, never less than Grafana's least. What does not fit is
//! cut off, as in Grafana, where a reader has to scroll; how much is cut is said in the corner.

use super::{Inside, escaped, field::Type};

/// The least width of a column that says neither width nor least width.
const LEAST: f64 = 150.0;
const NAMES: f64 = 34.0;
const LINE: f64 = 20.0;
/// Around a name; what the sign of a filter takes; a letter's width, roughly.
const AROUND: f64 = 12.0;
const FILTER: f64 = 22.0;
const LETTER: f64 = 7.5;
const ROW: f64 = 36.0;

pub fn draw(inside: &Inside) -> String {
    let Some(frame) = inside.frames.first() else { return String::new() };
    let fields = inside.fields(frame, 0);
    let given: Vec<Option<f64>> = fields.iter().map(|field| field.custom("width").as_f64()).collect();
    let free = given.iter().filter(|width| width.is_none()).count().max(1) as f64;
    let rest = (inside.width - given.iter().flatten().sum::<f64>()) / free;
    let least = |at: usize| fields[at].custom("minWidth").as_f64().unwrap_or(LEAST);
    let widths: Vec<f64> =
        given.iter().enumerate().map(|(at, width)| width.unwrap_or_else(|| rest.max(least(at)))).collect();
    let side = |kind: Type| if kind == Type::Number { " class=\"number\"" } else { "" };
    let long = |text: &str| text.chars().count() as f64 * LETTER;
    let (mut names, mut lines) = (String::new(), 1.0);
    for (field, width) in fields.iter().zip(&widths) {
        let filter = *field.custom("filterable") == true;
        let room = width - AROUND - if filter { FILTER } else { 0.0 };
        if long(&field.name) > room && *field.custom("wrapHeaderText") == true && field.name.contains(' ') {
            lines = 2.0;
        }
        let cut = field.name.split(' ').any(|word| long(word) > room);
        names += &format!(
            "<span{}{} style=\"width:{width:.0}px\"><b>{}</b>{}</span>",
            side(field.kind),
            if cut { " data-cut" } else { "" },
            escaped(&field.name),
            if filter { "<i></i>" } else { "" }
        );
    }
    let head = NAMES + (lines - 1.0) * LINE;
    let mut out = format!("<div class=\"row names\" style=\"height:{head}px\">{names}</div>");
    let shown = ((inside.height - head) / ROW).ceil().max(1.0) as usize;
    for row in frame.rows.iter().take(shown) {
        out += "<div class=\"row\">";
        for ((field, value), width) in fields.iter().zip(row).zip(&widths) {
            let cell = field.show(value);
            let coloured = field.custom("cellOptions")["type"] == "color-text";
            let colour = if coloured { format!(";color:{}", cell.colour) } else { String::new() };
            let text = escaped(&cell.text);
            let text = if field.linked() && !text.is_empty() { format!("<a>{text}</a>") } else { text };
            out += &format!("<span{} style=\"width:{width:.0}px{colour}\">{text}</span>", side(field.kind));
        }
        out += "</div>";
    }
    let beyond = widths.iter().sum::<f64>() - inside.width;
    let more = if beyond > 1.0 { format!(" data-more=\"{beyond:.0} px to the right\"") } else { String::new() };
    format!("<div class=\"table\"{more}>{out}</div>")
}
