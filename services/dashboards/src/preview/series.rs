//! Bars or lines over time.

use super::{
    Inside,
    axis::{Time, digits, numbers},
    escaped,
    field::{Field, millis},
    units,
};
use std::{collections::BTreeMap, fmt::Write};

const BELOW: f64 = 50.0;
const ABOVE: f64 = 8.0;
/// A bar's part of its step where its panel says none, and its least width.
const PART: f64 = 0.6;
const LEAST: f64 = 1.0;
const RIGHT: f64 = 20.0;
const LETTER: f64 = 6.6;

/// Values of one series by time.
type Points = BTreeMap<i64, f64>;

pub fn draw(inside: &Inside) -> String {
    let custom = &inside.panel["fieldConfig"]["defaults"]["custom"];
    let stacked = custom["stacking"]["mode"] == "normal";
    let bars = custom["drawStyle"] == "bars";
    let series = series(inside);
    let sum = |at: &i64| series.iter().filter_map(|(_, points)| points.get(at)).sum::<f64>();
    let times = series.iter().flat_map(|(_, points)| points.keys());
    let single = series.iter().flat_map(|(_, points)| points.values()).copied().fold(0.0, f64::max);
    let most = if stacked { times.map(sum).fold(0.0, f64::max) } else { single };
    let ticks = numbers(if most > 0.0 { most } else { 1.0 });
    let top = ticks.last().copied().unwrap_or(1.0);
    let unit = series.first().map_or("none", |(field, _)| field.unit());
    let names: Vec<String> =
        ticks.iter().map(|at| units::text(unit, *at, Some(digits(&ticks)).filter(|_| unit == "short"))).collect();
    let left = names.iter().map(|name| name.len() as f64 * LETTER).fold(20.0, f64::max) + 10.0;
    let height = inside.height - BELOW - ABOVE;
    let y = |value: f64| ABOVE + height * (1.0 - value / top);
    let time = Time { period: inside.period, left, width: inside.width - left - RIGHT };
    let mut out = String::new();
    for (at, name) in ticks.iter().zip(&names) {
        let (end, y) = (inside.width - RIGHT, y(*at));
        _ = write!(out, "<path class=\"grid\" d=\"M{left:.1} {y:.1}H{end:.1}\"/>");
        _ = write!(
            out,
            "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>",
            left - 6.0,
            y + 4.0
        );
    }
    out += &across(&time, inside, (ABOVE, height));
    if bars {
        let step = f64::from(super::interval(inside.panel, inside.period)) * 1e3 / time.span() * time.width;
        let wide = (step * custom["barWidthFactor"].as_f64().unwrap_or(PART)).max(LEAST);
        let before = if custom["barAlignment"] == 1 { 0.0 } else { wide / 2.0 };
        let mut under = Points::new();
        for (field, points) in &series {
            for (at, value) in points {
                let from = under.entry(*at).or_default();
                let (bottom, top) = (y(*from), y(*from + value));
                *from += value;
                let begin = time.beyond(*at) - before;
                let (x, end) = (begin.max(left), (begin + wide).min(left + time.width));
                _ = write!(
                    out,
                    "<rect x=\"{x:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{}\" fill-opacity=\".8\">{}</rect>",
                    (end - x).max(0.0),
                    bottom - top,
                    field.colour(None),
                    hint(field, *value)
                );
            }
        }
    } else {
        for (field, points) in &series {
            let colour = field.colour(None);
            let path: Vec<String> =
                points.iter().map(|(at, value)| format!("{:.1} {:.1}", time.x(*at), y(*value))).collect();
            _ = write!(out, "<path d=\"M{}\" fill=\"none\" stroke=\"{colour}\"/>", path.join("L"));
            for (at, value) in points {
                let (x, y) = (time.x(*at), y(*value));
                let hint = hint(field, *value);
                _ = write!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\" fill=\"{colour}\">{hint}</circle>");
            }
        }
    }
    let named = series.iter().map(|(field, _)| (field.name.clone(), field.colour(None)));
    format!("{}{}", svg(inside, &out), legend(named))
}

/// What a reader sees who points at it.
fn hint(field: &Field, value: f64) -> String {
    format!("<title>{} {}</title>", escaped(&field.name), units::text(field.unit(), value, field.decimals()))
}

/// One series per word, as the data source makes wide frames of long ones, in the order of the words.
fn series(inside: &Inside) -> Vec<(Field, Points)> {
    let mut by_word = BTreeMap::<String, Points>::new();
    for row in inside.frames.iter().flat_map(|frame| &frame.rows) {
        let [time, word, value] = &row[..] else { continue };
        let (Some(at), Some(value)) = (millis(time), value.as_f64()) else { continue };
        by_word.entry(word.as_str().unwrap_or_default().to_owned()).or_default().insert(at, value);
    }
    let field = |(at, (word, points)): (usize, (String, Points))| {
        (Field::new(inside.panel, &(word, "Float64".to_owned()), &[], at), points)
    };
    by_word.into_iter().enumerate().map(field).collect()
}

/// The axis of time, and the marks on it.
pub fn across(time: &Time, inside: &Inside, (top, height): (f64, f64)) -> String {
    let mut out = String::new();
    let bottom = top + height;
    for (x, name) in time.ticks() {
        _ = write!(out, "<path class=\"grid\" d=\"M{x:.1} {top:.1}V{bottom:.1}\"/>");
        _ = write!(
            out,
            "<text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{name}</text>",
            bottom + 16.0
        );
    }
    for mark in inside.marks.iter().filter(|mark| mark.to >= time.period.0 && mark.from <= time.period.1) {
        let (from, to) = (time.x(mark.from), time.x(mark.to));
        let colour = super::field::css(&mark.colour);
        if mark.to > mark.from {
            _ = write!(
                out,
                "<rect x=\"{from:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{height:.1}\" fill=\"{colour}\" fill-opacity=\".1\"/>",
                to - from
            );
            _ = write!(
                out,
                "<rect x=\"{from:.1}\" y=\"{bottom:.1}\" width=\"{:.1}\" height=\"4\" fill=\"{colour}\"/>",
                (to - from).max(3.0)
            );
        } else {
            _ = write!(
                out,
                "<path d=\"M{from:.1} {top:.1}V{bottom:.1}\" stroke=\"{colour}\" stroke-dasharray=\"4 3\"/>"
            );
            _ = write!(out, "<path d=\"M{:.1} {:.1}h10l-5 -5z\" fill=\"{colour}\"/>", from - 5.0, bottom + 5.0);
        }
    }
    out
}

pub fn svg(inside: &Inside, content: &str) -> String {
    let title = escaped(inside.panel["title"].as_str().unwrap_or_default());
    let (width, height) = (inside.width, inside.height);
    format!("<svg role=\"img\" aria-label=\"{title}\" width=\"{width:.0}\" height=\"{height:.0}\">{content}</svg>")
}

pub fn legend(named: impl Iterator<Item = (String, String)>) -> String {
    let one = |(name, colour): (String, String)| format!("<i style=\"background:{colour}\"></i>{}", escaped(&name));
    format!("<div class=\"legend\">{}</div>", named.map(one).collect::<String>())
}
