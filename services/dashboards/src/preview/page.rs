//! The page: head, variables, and the panels in Grafana's grid of 24 columns.

use super::{Drawing, Inside, escaped, ranking, series, stat, table, timeline};
use serde_json::Value;

/// Pixels of the grid, of a screen 1,600 wide.
const GRID: f64 = 1_568.0;
const COLUMNS: f64 = 24.0;
const ROW: f64 = 30.0;
const GUTTER: f64 = 8.0;
const HEAD: f64 = 32.0;
const PADDING: f64 = 8.0;

/// Grafana's colours by name, dark and light.
const COLOURS: [(&str, &str, &str); 13] = [
    ("red", "#F2495C", "#E02F44"),
    ("orange", "#FF9830", "#FF780A"),
    ("yellow", "#FADE2A", "#F2CC0C"),
    ("green", "#73BF69", "#56A64B"),
    ("blue", "#5794F2", "#3274D9"),
    ("purple", "#B877D9", "#A352CC"),
    ("light-blue", "#8AB8FF", "#5794F2"),
    ("semi-dark-yellow", "#F2CC0C", "#E0B400"),
    ("dark-green", "#37872D", "#19730E"),
    ("dark-yellow", "#E0B400", "#CC9D00"),
    ("semi-dark-orange", "#FF780A", "#FA6400"),
    ("text", "#CCCCDC", "#24292E"),
    ("transparent", "rgba(0,0,0,0)", "rgba(255,255,255,0)"),
];

const STYLE: &str = include_str!("page.css");

struct Place {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

fn place(panel: &Value) -> Place {
    let at = |key: &str| panel["gridPos"][key].as_f64().unwrap_or_default();
    let column = (GRID - (COLUMNS - 1.0) * GUTTER) / COLUMNS;
    let (x, y, w, h) = (at("x"), at("y"), at("w"), at("h"));
    Place {
        left: x * (column + GUTTER),
        top: y * (ROW + GUTTER),
        width: w * column + (w - 1.0) * GUTTER,
        height: h * ROW + (h - 1.0) * GUTTER,
    }
}

/// Pixels across the inside of a panel.
pub fn inner_width(panel: &Value) -> f64 {
    place(panel).width - 2.0 * PADDING
}

/// The whole page.
pub fn page(drawing: &Drawing) -> String {
    let colours = |light: bool| -> String {
        COLOURS.iter().map(|(name, dark, bright)| format!("--{name}:{};", if light { bright } else { dark })).collect()
    };
    let said = |key: &str| escaped(drawing.dashboard[key].as_str().unwrap_or_default());
    let chosen = drawing.chosen.iter().map(|(label, value)| {
        format!("<span class=\"variable\"><b>{}</b><i>{}</i></span>", escaped(label), escaped(value))
    });
    let panels = drawing.dashboard["panels"].as_array().map(Vec::as_slice).unwrap_or_default();
    let bottom = panels.iter().map(|panel| place(panel).top + place(panel).height).fold(0.0, f64::max);
    let drawn: String = panels.iter().map(|panel| one(drawing, panel)).collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <style>:root{{{}}}@media (prefers-color-scheme:light){{:root{{{}}}}}\n{STYLE}</style></head><body>\n\
         <header><h1>{title}</h1><time>{} to {} UTC</time></header>\n<nav>{}</nav>\n\
         <main style=\"width:{GRID}px;height:{bottom}px\">\n{drawn}</main></body></html>\n",
        colours(false),
        colours(true),
        super::axis::stamp(drawing.period.0),
        super::axis::stamp(drawing.period.1),
        chosen.collect::<String>(),
        title = said("title"),
    )
}

fn one(drawing: &Drawing, panel: &Value) -> String {
    let Place { left, top, width, height } = place(panel);
    let id = panel["id"].as_u64().and_then(|id| u32::try_from(id).ok()).unwrap_or_default();
    let inside = Inside {
        panel,
        frames: drawing.answers.get(&id).map(Vec::as_slice).unwrap_or_default(),
        period: drawing.period,
        marks: &drawing.marks,
        width: width - 2.0 * PADDING,
        height: height - HEAD - 2.0 * PADDING,
    };
    let body = inside.nothing().unwrap_or_else(|| match panel["type"].as_str() {
        Some("stat") => stat::draw(&inside),
        Some("table") => table::draw(&inside),
        Some("timeseries") => series::draw(&inside),
        Some("state-timeline") => timeline::draw(&inside),
        Some("bargauge") => ranking::draw(&inside),
        other => format!("<p class=\"nothing\">{} is not drawn here</p>", other.unwrap_or("this")),
    });
    format!(
        "<section id=\"panel-{id}\" style=\"left:{left:.1}px;top:{top:.1}px;width:{width:.1}px;height:{height:.1}px\">\
         <h2 title=\"{}\">{}<small>i</small></h2><div>{body}</div></section>\n",
        escaped(panel["description"].as_str().unwrap_or_default()),
        escaped(panel["title"].as_str().unwrap_or_default()),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_panel_without_an_answer_says_what_that_means() {
        let source = crate::Source::read(&crate::folder().join("source")).unwrap();
        for dashboard in source.dashboards.values() {
            let json = crate::dashboard::json(&source.shared, dashboard).unwrap();
            let drawing = Drawing {
                dashboard: &json,
                period: (0, 1_000),
                chosen: vec![],
                answers: BTreeMap::new(),
                marks: vec![],
            };
            let page = page(&drawing);
            assert_eq!(page.matches("<section ").count(), dashboard.panels.len());
            for panel in &dashboard.panels {
                let section = page.split(&format!("id=\"panel-{}\"", panel.id)).nth(1).unwrap();
                let section = section.split("</section>").next().unwrap();
                let empty = format!("<p class=\"nothing\">{}</p>", escaped(&panel.empty));
                assert!(section.contains(&empty) && section.contains(&escaped(&panel.title)), "{}", panel.title);
            }
        }
    }
}
