//! The preview of each dashboard over the story, as a page: `make pictures` has a browser draw it.

use crate::asked::{Answer, Grafana};
use dashboards::{
    Source,
    expand::Choice,
    preview::{Drawing, Frame, Mark, interval, page},
    source::Kind,
};
use serde_json::Value;
use std::{collections::BTreeMap, path::Path};

/// A dashboard as Grafana reads it.
fn read(source: &Source, name: &str) -> Value {
    let files = source.files().unwrap();
    let found = files.iter().find(|(path, _)| path.file_name().is_some_and(|file| *file == *format!("{name}.json")));
    serde_json::from_str(found.unwrap().1).unwrap()
}

/// The pages by name of their dashboard.
pub async fn pages(
    grafana: &Grafana<'_>,
    source: &Source,
    choice: &Choice,
    names: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut pages = BTreeMap::new();
    for (name, dashboard) in &source.dashboards {
        let json = read(source, name);
        let mut answers = BTreeMap::new();
        for (panel, made) in dashboard.panels.iter().zip(json["panels"].as_array().unwrap()) {
            let mut own = choice.clone();
            if matches!(panel.kind, Kind::Bars | Kind::Line) {
                own.interval = interval(made, (choice.from, choice.to));
            }
            let frames = grafana.panel(name, panel.id, &own).await.into_iter();
            answers.insert(panel.id, frames.map(|Answer { columns, rows, .. }| Frame { columns, rows }).collect());
        }
        let mut marks = Vec::new();
        for name in &dashboard.annotations {
            let known = &source.shared.annotations[name];
            let answer = grafana.ask(name, &known.sql, choice).await;
            marks.extend(answer.rows.iter().filter_map(|row| Mark::read(&known.colour, row)));
        }
        let chosen = dashboard.variables.iter().map(|variable| {
            let value = choice.variables[variable].join(", ");
            let text = if choice.all.contains(variable) {
                "All".to_owned()
            } else {
                names.get(&value).cloned().unwrap_or(value)
            };
            (source.shared.variables[variable].label.clone(), text)
        });
        let drawing =
            Drawing { dashboard: &json, period: (choice.from, choice.to), chosen: chosen.collect(), answers, marks };
        pages.insert(name.clone(), page(&drawing));
    }
    pages
}

/// What a reader sees of the story in each panel: finn, his finding and its last decision are chosen.
const SEEN: [(&str, &[(u32, &str)]); 4] = [
    (
        "overview",
        &[
            (1, ">gap open<"),
            (2, ">0<"),
            (3, ">10.4 mins<"),
            (4, ">9.7 mins<"),
            (5, ">63%<"),
            (6, ">0<"),
            (7, "<title>token 9.72 mins</title>"),
            (8, "<title>pending grant 44</title>"),
            (9, ">9.7 mins<"),
            (10, ">gap not repaired<"),
            (11, ">sender dropped<"),
            (12, ">backstage policy added<"),
            (13, "<title>failure 2</title>"),
            (14, ">invalid user credentials<"),
            (15, ">4<"),
            (16, ">D02 leaver active<"),
            (17, ">critical<"),
            (18, ">0<"),
            (19, ">directly<"),
        ],
    ),
    (
        "drift",
        &[
            (1, ">0<"),
            (2, ">73<"),
            (3, ">25.3 s<"),
            (4, ">15.1 s<"),
            (5, ">9.7 mins<"),
            (6, ">0<"),
            (7, "<title>token 9.72 mins</title>"),
            (8, "<title>exposure 1</title>"),
            (9, ">pending grant<"),
            (10, ">granted in backstage<"),
            (11, ">catalog.entity.delete<"),
            (12, ">none, as far as is known<"),
            (13, ">none, as far as is known<"),
            (14, ">several tokens<"),
            (15, ">complete<"),
            (16, ">NOT EVALUABLE<"),
            (17, ">SUPPRESSED<"),
            (18, ">area realm_roles, what not in the &quot;baseline&quot;<"),
        ],
    ),
    (
        "investigation",
        &[
            (1, ">finn@pair.example<"),
            (2, ">9.7 mins<"),
            (3, ">holds nothing directly, as far as is known<"),
            (4, ">Backstage token 21:25:05<"),
            (5, ">2026-11-23 21:34:50.090<"),
            (6, ">role:default/releasers<"),
            (7, ">ek9oRNHn9t99ii5sBq6jngmw<"),
            (8, ">127.0.0.1<"),
            (9, ">egon<"),
            (10, ">D02 leaver active<"),
            (11, ">user updated<"),
            (12, ">opened<"),
            (13, ">rights from catalog, disabled<"),
            (14, ">in force<"),
        ],
    ),
    (
        "pipeline",
        &[
            (1, ">1<"),
            (2, "<div class=\"stat\""),
            (3, ">1<"),
            (4, ">0<"),
            (5, ">0<"),
            (6, ">0<"),
            (7, "<title>kc "),
            (8, "<title>kc 4 s</title>"),
            (9, "<title>kc 1</title>"),
            (10, ">pull read nothing in this period<"),
            (11, ">1,456<"),
            (12, ">bs: initiated<"),
            (13, ">not repaired<"),
            (14, ">2026-11-23 21:35:06<"),
            (15, ">none in this period<"),
            (16, ">1,5"),
            (17, ">redaction off<"),
            (18, ">complete<"),
        ],
    ),
];

/// Every panel is there with its title and what the story says, and no table is wider than its panel.
pub fn check(source: &Source, pages: &BTreeMap<String, String>) {
    for (name, seen) in SEEN {
        let sections: Vec<&str> = pages[name].split("<section ").skip(1).collect();
        let panels = &source.dashboards[name].panels;
        assert_eq!((sections.len(), seen.len()), (panels.len(), panels.len()), "{name}");
        for (panel, section) in panels.iter().zip(sections) {
            let (what, section) = (&panel.title, section.split("</section>").next().unwrap());
            assert!(section.starts_with(&format!("id=\"panel-{}\"", panel.id)), "{name}: {what}: {section}");
            assert!(section.contains(&format!("\">{what}<small>")), "{name}: {what}: {section}");
            let (_, text) = seen.iter().find(|(id, _)| *id == panel.id).unwrap();
            assert!(section.contains(text), "{name}: {what} does not show {text}: {section}");
            let filled = panel.kind == Kind::Table && !section.contains("class=\"nothing\"");
            assert!(
                !filled || !section.contains(&format!(">{}<", panel.empty)),
                "{name}: {what}: an empty cell: {section}"
            );
            assert!(!section.contains("data-cut"), "{name}: {what}: the name of a column is cut: {section}");
            assert!(!section.contains("data-more"), "{name}: {what} is wider than its panel: {section}");
        }
    }
}

/// Leaves them where `make pictures` looks for them.
pub fn leave(pages: &BTreeMap<String, String>) {
    let Some(dir) = std::env::var_os("TOKENTRAIL_PICTURES") else { return };
    std::fs::create_dir_all(&dir).unwrap();
    for (name, page) in pages {
        std::fs::write(Path::new(&dir).join(name).with_extension("html"), page).unwrap();
    }
}
