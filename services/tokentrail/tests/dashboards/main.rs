//! Every question of the Grafana dashboards, expanded as Grafana's ClickHouse data source does and asked of the real engine as the
//! reader that dashboards have: on a recorded story, with its truth beside it, and on an empty store.
#![allow(clippy::unwrap_used)] // a test may panic

#[path = "../support/recorded.rs"]
mod recorded;
#[path = "../support/mod.rs"]
mod support;

mod asked;
mod beside;
mod pictures;
mod register;
mod said;
mod seeded;
mod story;

use asked::{Answer, Grafana};
use dashboards::{Source, folder};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use store::engine::Engine;
use story::Story;

/// Not a test: where the engine's child process begins.
#[test]
fn engine_child() {
    store::engine::run_if_asked();
}

fn source() -> Source {
    Source::read(&folder().join("source")).unwrap()
}

/// Types of columns that the data source turns into fields without loss.
fn plain(kind: &str) -> bool {
    let inner = kind.trim_start_matches("LowCardinality(").trim_start_matches("Nullable(").trim_end_matches(')');
    ["String", "UInt", "Int", "Float", "DateTime"].iter().any(|start| inner.starts_with(start))
}

/// What each kind of panel needs of its answer, rows or none.
fn fits(answer: &Answer, kind: dashboards::source::Kind) {
    use dashboards::source::Kind;
    let kinds: Vec<&str> = answer.columns.iter().map(|(_, kind)| kind.as_str()).collect();
    assert!(kinds.iter().all(|kind| plain(kind)), "{}: {kinds:?}", answer.what);
    let time = |at: usize| kinds[at].contains("DateTime");
    let text = |at: usize| kinds[at].contains("String");
    let number = |at: usize| !time(at) && !text(at);
    let good = match kind {
        Kind::Bars | Kind::Line => kinds.len() == 3 && time(0) && text(1) && number(2),
        Kind::Timeline => kinds.len() == 2 && time(0) && text(1) && answer.columns[0].0 == "time",
        Kind::Stat => kinds.len() == 1,
        Kind::Ranking => kinds.len() == 2 && text(0) && number(1),
        Kind::Table => true,
    };
    assert!(good, "{}: {kinds:?}", answer.what);
    let ordered = answer.rows.windows(2).all(|pair| pair[0][0].as_str() <= pair[1][0].as_str());
    assert!(
        !matches!(kind, Kind::Bars | Kind::Line | Kind::Timeline) || ordered,
        "{}: not in order of time",
        answer.what
    );
}

#[tokio::test]
async fn every_question_is_answered_by_the_reader_of_an_empty_store() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(story::options(dir.path())).await.unwrap();
    store::Store::connect(engine.connect_options(store::DEFAULT_DATABASE)).unwrap().migrate().await.unwrap();
    let source = source();
    let grafana = Grafana::new(&source, engine.reader_options());
    let choice = grafana.everything((0, 1_000));
    for (dashboard, panel) in source.dashboards.iter().flat_map(|(n, d)| d.panels.iter().map(move |p| (n, p))) {
        for answer in grafana.panel(dashboard, panel.id, &choice).await {
            fits(&answer, panel.kind);
            let nothing =
                answer.rows.iter().flatten().all(|cell| cell.is_null() || *cell == 0 || cell.as_f64() == Some(0.0));
            assert!(nothing, "{}: something out of nothing: {:?}", answer.what, answer.rows);
        }
    }
    for (name, variable) in source.shared.variables.iter().filter(|(_, one)| one.sql.is_some()) {
        let rows = grafana.ask(name, variable.sql.as_ref().unwrap(), &choice).await.rows;
        // A first start has a tenant to choose, and nothing else.
        assert_eq!(rows, if name == "tenant" { vec![vec![json!("default")]] } else { Vec::new() }, "{name}");
    }
    for (name, annotation) in &source.shared.annotations {
        assert!(grafana.ask(name, &annotation.sql, &choice).await.rows.is_empty(), "{name}");
    }
    for rule in &source.alerts.rules {
        assert!(grafana.ask(&rule.uid, &rule.sql, &choice).await.rows.is_empty(), "{}", rule.uid);
    }
    engine.close().await;
}

#[tokio::test]
async fn every_panel_says_what_the_story_says() {
    let story = Story::told();
    let engine = Engine::start(story::options(&story.engine())).await.unwrap();
    seeded::seed(engine.connect_options(store::DEFAULT_DATABASE)).await;
    story::counted(&store::Store::connect(engine.connect_options(store::DEFAULT_DATABASE)).unwrap()).await;
    let source = source();
    let grafana = Grafana::new(&source, engine.reader_options());
    let names = story::names(&grafana).await;
    let finn = names.iter().find(|(_, name)| *name == "finn").unwrap().0;
    let cleo = names.iter().find(|(_, name)| *name == "cleo").unwrap().0;

    let choice = grafana.everything(story::PERIOD).with("person", cleo).with("search", cleo);
    let mut answers = BTreeMap::new();
    for dashboard in dashboards::DASHBOARDS {
        for panel in &source.dashboards[dashboard].panels {
            let told = grafana.panel(dashboard, panel.id, &choice).await;
            told.iter().for_each(|answer| fits(answer, panel.kind));
            answers.insert((dashboard, panel.id), told);
        }
    }
    said::Story { answers: &mut answers, names: &names }.check();
    assert!(answers.is_empty(), "nothing is asserted of {:?}", answers.keys());

    said::truth(&grafana, &choice, &names).await;
    said::one_decision(&grafana, &choice.clone().with("person", finn)).await;
    register::one_finding(&grafana, &choice.clone().with("person", finn), &names).await;
    register::severities(&grafana, &choice).await;
    register::privileged(&grafana, &choice).await;
    beside::variables(&grafana, &source, &choice, &names).await;
    beside::annotations(&grafana, &source, &choice).await;
    beside::alerts(&grafana, &source).await;
    choices(&grafana, &source, finn).await;
    let looking = register::of_the_story(&grafana, choice).await.with("person", finn).with("search", "finn");
    let pages = pictures::pages(&grafana, &source, &looking, &names).await;
    pictures::leave(&pages);
    pictures::check(&source, &pages);
    engine.close().await;
}

/// One value, several values, and values that nobody should be able to use for SQL of their own.
async fn choices(grafana: &Grafana<'_>, source: &Source, person: &str) {
    let base = grafana.everything(story::PERIOD).with("person", person);
    for several in [vec!["kc"], vec!["kc", "bs"], vec!["o'b\\", "') OR 1=1 --"]] {
        let mut choice = base.clone();
        choice.all.clear();
        for variable in ["source", "realm", "clock", "severity", "rule"] {
            choice.variables.insert(variable.into(), several.iter().map(|one| (*one).to_owned()).collect());
        }
        choice =
            choice.with("finding", "'); --").with("session", "it's").with("decision", "') --").with("search", "%'\\");
        for (name, panel) in source.dashboards.iter().flat_map(|(n, d)| d.panels.iter().map(move |p| (n, p))) {
            grafana.panel(name, panel.id, &choice).await;
        }
        grafana.ask("person", source.shared.variables["person"].sql.as_ref().unwrap(), &choice).await;
    }
    let mut kc = base.clone();
    kc.all.clear();
    kc.variables.insert("source".into(), vec!["kc".into()]);
    let fates = &grafana.panel("pipeline", 11, &kc).await[0];
    let sources: Vec<Value> = fates.column("Source");
    assert!(sources.contains(&json!("kc")) && !sources.contains(&json!("bs")), "{sources:?}");
    let mut claims = base.with("clock", "claims");
    claims.all.retain(|variable| variable != "clock");
    let clocks = grafana.panel("drift", 7, &claims).await[0].column("clock");
    assert_eq!(clocks, [json!("claims")]);
}
