//! What can be shown of the files without Grafana: they are made from the source, and hold the rules that Grafana's own linter
//! checks and some more: ids, places, units, texts, links, variables, alert rules.
#![allow(clippy::unwrap_used)] // a test may panic

use dashboards::{
    DATA_SOURCE, DATA_SOURCE_UID, Source, folder,
    source::{Dashboard, Kind},
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    path::{Path, PathBuf},
};

/// Units of Grafana that our panels use; a typing error would be shown as a suffix.
const UNITS: [&str; 7] = ["string", "short", "locale", "s", "ms", "percentunit", "time:YYYY-MM-DD HH:mm:ss.SSS"];
const COLUMNS: u32 = 24;

fn source() -> Source {
    Source::read(&folder().join("source")).unwrap()
}

/// Each dashboard as Grafana reads it.
fn made() -> BTreeMap<String, Value> {
    let files = source().files().unwrap();
    let json = files.into_iter().filter(|(path, _)| path.extension().is_some_and(|end| end == "json"));
    json.map(|(path, text)| {
        (path.file_stem().unwrap().to_str().unwrap().to_owned(), serde_json::from_str(&text).unwrap())
    })
    .collect()
}

fn files_below(dir: &Path, into: &mut BTreeSet<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files_below(&path, into) } else { assert!(into.insert(path)) }
    }
}

#[test]
fn what_grafana_reads_is_made_from_the_source() {
    let root = folder().join("provisioning");
    let mut there = BTreeSet::new();
    files_below(&root, &mut there);
    for (path, content) in source().files().unwrap() {
        let path = root.join(path);
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == content, "{} is not what its source says: run make dashboards", path.display());
        there.remove(&path);
    }
    assert!(there.is_empty(), "nothing makes these files: {there:?}");
}

#[test]
fn ids_are_unique_and_panels_neither_overlap_nor_leave_the_page() {
    let mut uids = HashSet::new();
    for (name, dashboard) in source().dashboards {
        assert!((8..=40).contains(&dashboard.uid.len()) && uids.insert(dashboard.uid.clone()), "{name}");
        let mut ids = HashSet::new();
        let mut taken = HashSet::new();
        for panel in &dashboard.panels {
            assert!(panel.id > 0 && ids.insert(panel.id), "{name}: the id {} is there twice", panel.id);
            let [x, y, w, h] = panel.at;
            assert!(w > 0 && h > 0 && x + w <= COLUMNS, "{name}: {} leaves the page", panel.title);
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                assert!(taken.insert(cell), "{name}: {} overlaps at {cell:?}", panel.title);
            }
        }
        let bottom = taken.iter().map(|(_, y)| y + 1).max().unwrap();
        assert_eq!(taken.len(), (bottom * COLUMNS) as usize, "{name}: a hole between panels");
    }
}

#[test]
fn every_panel_says_what_it_is_in_which_unit_and_what_nothing_means() {
    for (name, dashboard) in source().dashboards {
        assert!(dashboard.description.len() > 40, "{name}");
        let mut titles = HashSet::new();
        for panel in &dashboard.panels {
            let title = &panel.title;
            assert!(titles.insert(title.clone()), "{name}: two panels are called {title}");
            assert!(panel.description.len() > 20 && !panel.empty.is_empty(), "{name}: {title}");
            let units = panel.columns.values().filter_map(|column| column.unit.as_ref()).chain([&panel.unit]);
            for unit in units {
                assert!(UNITS.contains(&unit.as_str()), "{name}: {title}: {unit} is no unit");
            }
            assert!(panel.questions().next().is_some(), "{name}: {title} asks nothing");
            assert!(panel.query.is_empty() || panel.kind == Kind::Timeline, "{name}: {title}");
            let several = matches!(panel.kind, Kind::Bars | Kind::Line);
            // What is kept by the hour cannot be shown in finer bars.
            let kept = ["decided_in(", "counted_in(", "kept_logins_in(", "kept_changes_in("];
            let by_hour = several && panel.questions().any(|sql| kept.iter().any(|view| sql.contains(view)));
            assert_eq!(panel.interval.as_deref(), by_hour.then_some("1h"), "{name}: {title}");
            assert_eq!(panel.series.is_some(), several, "{name}: {title}: a series over time is named by its word");
        }
    }
}

#[test]
fn the_rules_of_grafanas_linter_hold() {
    for (name, dashboard) in made() {
        assert_eq!((&dashboard["id"], &dashboard["editable"]), (&Value::Null, &Value::Bool(false)), "{name}");
        assert_eq!(dashboard["schemaVersion"], 42, "{name}");
        let variables = dashboard["templating"]["list"].as_array().unwrap();
        let sources: Vec<&Value> = variables.iter().filter(|variable| variable["type"] == "datasource").collect();
        assert_eq!(sources.len(), 1, "{name}");
        let expected = ("datasource", "Data source", DATA_SOURCE, DATA_SOURCE_UID);
        let said = |key: &str| sources[0][key].as_str().unwrap();
        let current = sources[0]["current"]["value"].as_str().unwrap();
        assert_eq!((said("name"), said("label"), said("query"), current), expected, "{name}");
        let refers =
            |value: &Value| value["datasource"]["uid"] == "${datasource}" && value["datasource"]["type"] == DATA_SOURCE;
        for variable in variables.iter().filter(|variable| variable["type"] == "query") {
            assert!(variable["refresh"] == 2 && refers(variable), "{name}: {variable}");
        }
        for annotation in &dashboard["annotations"]["list"].as_array().unwrap()[1..] {
            assert!(refers(annotation), "{name}: {annotation}");
        }
        for panel in dashboard["panels"].as_array().unwrap() {
            let targets = panel["targets"].as_array().unwrap();
            assert!(refers(panel) && !targets.is_empty() && targets.iter().all(refers), "{name}: {}", panel["title"]);
            let letters: HashSet<&str> = targets.iter().map(|target| target["refId"].as_str().unwrap()).collect();
            assert_eq!(letters.len(), targets.len(), "{name}: {}", panel["title"]);
        }
    }
}

/// Names within `${name}`, `${name:format}` and the second argument of `$__conditionalAll`.
fn variables_in(text: &str) -> BTreeSet<String> {
    let braced = text.split("${").skip(1).map(|rest| rest.split(['}', ':']).next().unwrap());
    let plain = text.split(", $").skip(1).map(|rest| rest.split(')').next().unwrap());
    braced.chain(plain).filter(|name| !name.starts_with(['_', '{'])).map(str::to_owned).collect()
}

#[test]
fn variables_are_declared_and_used_and_always_quoted() {
    let source = source();
    for (name, dashboard) in &source.dashboards {
        let declared: BTreeSet<String> = dashboard.variables.iter().cloned().collect();
        let mut used = BTreeSet::new();
        let variables = dashboard.variables.iter().filter_map(|one| source.shared.variables[one].sql.as_deref());
        let annotations = dashboard.annotations.iter().map(|one| source.shared.annotations[one].sql.as_str());
        let panels = dashboard.panels.iter().flat_map(|panel| panel.questions());
        for sql in variables.chain(annotations).chain(panels) {
            used.extend(variables_in(sql));
            let bare = sql.replace("${__from}", "").replace("${__to}", "");
            for place in bare.split("${").skip(1) {
                let inner = place.split('}').next().unwrap();
                assert!(inner.ends_with(":singlequote"), "{name}: {inner} could carry SQL");
            }
        }
        assert_eq!(used, declared, "{name}");
    }
}

/// Aliases of a question's columns, and the texts between its first SELECT and FROM.
fn has_column(sql: &str, column: &str) -> bool {
    [format!("AS \"{column}\""), format!("AS {column},"), format!("AS {column}\n")]
        .iter()
        .any(|text| sql.contains(text))
}

#[test]
fn links_lead_to_dashboards_that_know_what_they_are_told() {
    let source = source();
    let by_uid: BTreeMap<&str, &Dashboard> = source.dashboards.values().map(|one| (one.uid.as_str(), one)).collect();
    let mut used = BTreeSet::new();
    for dashboard in source.dashboards.values() {
        for panel in &dashboard.panels {
            for (column, settings) in &panel.columns {
                assert!(panel.questions().all(|sql| has_column(sql, column)), "{}: no column {column}", panel.title);
                let Some(name) = &settings.link else { continue };
                used.insert(name.clone());
                let url = &source.shared.links[name].url;
                let (uid, query) = url.strip_prefix("/d/").unwrap().split_once('?').unwrap();
                let target = by_uid.get(uid).unwrap_or_else(|| panic!("{name}: no dashboard {uid}"));
                for part in query.split('&') {
                    if let Some(set) = part.strip_prefix("var-") {
                        let variable = set.split('=').next().unwrap();
                        assert!(target.variables.iter().any(|one| one == variable), "{name}: {uid} has no {variable}");
                    } else if let Some(passed) = part.strip_suffix(":queryparam}") {
                        let variable = passed.trim_start_matches("${");
                        for one in [dashboard, target].into_iter().filter(|_| variable != "datasource") {
                            let known = one.variables.iter().any(|known| known == variable);
                            assert!(known, "{name} in {}: {} has no {variable}", panel.title, one.title);
                        }
                    } else {
                        assert_eq!(part, "${__url_time_range}", "{name}");
                    }
                }
                for field in url.split("${__data.fields.").skip(1).map(|rest| rest.split('}').next().unwrap()) {
                    assert!(
                        panel.questions().all(|sql| has_column(sql, field)),
                        "{name}: {} has no {field}",
                        panel.title
                    );
                }
            }
        }
    }
    assert_eq!(used, source.shared.links.keys().cloned().collect(), "links that nobody follows");
}

#[test]
fn alert_rules_name_their_panel_and_the_columns_that_they_speak_of() {
    let source = source();
    let alerts = &source.alerts;
    let shown = source.dashboards.values().find(|one| one.uid == alerts.dashboard).unwrap();
    assert!(source.dashboards.values().any(|one| one.folder == alerts.folder));
    let mut uids = HashSet::new();
    for rule in &alerts.rules {
        assert!(rule.uid.len() <= 40 && uids.insert(&rule.uid), "{}", rule.uid);
        assert!(shown.panels.iter().any(|panel| panel.id == rule.panel), "{}", rule.uid);
        assert!(["OK", "Alerting", "NoData", "KeepLast"].contains(&rule.no_data.as_str()), "{}", rule.uid);
        assert!(["critical", "warning"].contains(&rule.severity.as_str()), "{}", rule.uid);
        assert!(rule.lasts.trim_end_matches(['s', 'm', 'h']).parse::<u32>().is_ok(), "{}", rule.uid);
        assert!(!rule.remedy.is_empty() && !rule.sql.contains("${"), "{}: no variables in an alert", rule.uid);
        for label in rule.summary.split("$labels.").skip(1).map(|rest| rest.split(' ').next().unwrap()) {
            let plain = [format!("AS {label}"), format!("{label},")].iter().any(|text| rule.sql.contains(text));
            assert!(plain, "{}: no column {label}", rule.uid);
        }
    }
}

#[test]
fn the_data_source_is_the_reader_and_its_password_is_in_no_file_of_ours() {
    let source = source();
    let one = &source.plain["datasource"]["datasources"][0];
    assert_eq!((&one["uid"], &one["type"]), (&DATA_SOURCE_UID.into(), &DATA_SOURCE.into()));
    assert_eq!(one["jsonData"]["username"], "tokentrail_reader");
    let password = one["secureJsonData"]["password"].as_str().unwrap();
    assert!(password.starts_with("$__file{") && password.ends_with('}'), "{password}");
    let roles = std::fs::read_to_string(folder().join("../schemas/clickhouse/roles.sql")).unwrap();
    assert!(roles.contains("CREATE USER IF NOT EXISTS tokentrail_reader"));
    let compose = std::fs::read_to_string(folder().join("../docker-compose.yml")).unwrap();
    let provisioned = source.files().unwrap().values().cloned().collect::<String>();
    for name in provisioned.split("${TOKENTRAIL_").skip(1).map(|rest| rest.split('}').next().unwrap()) {
        assert!(compose.contains(&format!("TOKENTRAIL_{name}:")), "docker-compose.yml does not set TOKENTRAIL_{name}");
    }
    let path = source.plain["folders"]["providers"][0]["options"]["path"].as_str().unwrap();
    let mounted = Path::new(path).parent().unwrap().display();
    assert!(compose.contains(&format!("./dashboards/provisioning:{mounted}:ro")));
    let secret = password.trim_start_matches("$__file{/run/secrets/").trim_end_matches('}');
    assert!(compose.contains(&format!("secrets: [grafana_admin_password, {secret}]")), "{secret} is not mounted");
}

/// Small by nature, growing with what is found alone, or added up from kept counts.
const SMALL: [&str; 12] = [
    "aliases",
    "correlated",
    "exceptions",
    "fates",
    "findings",
    "gaps",
    "line_counts",
    "persons",
    "rule_states",
    "streams",
    "suppressions",
    "watermarks",
];
/// Grow without end: only with a bound of time or of one person.
const LARGE: [&str; 7] =
    ["cells", "coverage", "credentials", "dead_letters", "decisions", "missing_events", "sessions"];

/// Every question reads one tenant, and large views within bounds. Views that end in `_in` or `_of` have the bounds as parameters.
#[test]
fn no_question_reads_everything() {
    let source = source();
    let panels = source.dashboards.values().flat_map(|one| &one.panels);
    let panels = panels.flat_map(|panel| panel.questions().map(move |sql| (panel.title.clone(), sql)));
    let variables = source.shared.variables.iter().filter_map(|(name, one)| Some((name.clone(), one.sql.as_deref()?)));
    let annotations = source.shared.annotations.iter().map(|(name, one)| (name.clone(), one.sql.as_str()));
    for (what, sql) in panels.chain(variables.filter(|(name, _)| name != "tenant")).chain(annotations) {
        assert!(sql.contains("tenant = ${tenant:singlequote}"), "{what}: of every tenant");
        let sql = &sql.replace("ARRAY JOIN", "");
        let words: Vec<&str> = sql.split_whitespace().collect();
        let read = words.windows(2).filter(|pair| matches!(pair[0], "FROM" | "JOIN")).map(|pair| pair[1]);
        let read: Vec<&str> =
            read.map(|name| name.split(['(', ')']).next().unwrap()).filter(|name| !name.is_empty()).collect();
        assert!(!read.is_empty(), "{what}");
        for view in read {
            let person = "person = ${person:singlequote}";
            let bounded = match view {
                view if view.ends_with("_in") => sql.contains(&format!("{view}(from = ${{__from}}, to = ${{__to}})")),
                "history_of" | "logins_of" => sql.contains(person) && sql.contains("from = ${__from}, to = ${__to}"),
                "evidence_of" => {
                    sql.contains("evidence_of(tenant = ${tenant:singlequote}, finding = ${finding:singlequote})")
                }
                "finding_changes" => sql.contains("toString(finding_id) = ${finding:singlequote}"),
                view if view.ends_with("_of") => {
                    sql.contains(&format!("{view}(tenant = ${{tenant:singlequote}}, {person})"))
                }
                view if LARGE.contains(&view) => {
                    let times = ["$__timeFilter(", "$__fromTime", "${__from}"].iter().any(|bound| sql.contains(bound));
                    times || sql.contains(person)
                }
                view => SMALL.contains(&view),
            };
            assert!(bounded, "{what} reads {view} without a bound");
        }
    }
    for rule in &source.alerts.rules {
        let bounded =
            LARGE.iter().all(|view| !rule.sql.contains(&format!("FROM {view}"))) || rule.sql.contains("$__timeFilter(");
        assert!(bounded, "{} reads without a bound", rule.uid);
    }
}
