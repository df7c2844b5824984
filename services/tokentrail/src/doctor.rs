//! `tokentrail doctor`: checks the store and each source and says, remedy by remedy, what is missing.

mod backstage;
mod correlation;
mod journal;
mod kafka;
mod saved;
mod snapshots;

use crate::{
    config::{Config, Kind, SourceConfig},
    gaps::GapReport,
    running::RunFile,
    status::Report,
    table::visible,
};
use anyhow::Context;
use serde::Serialize;

/// One thing that was checked.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// Name for programs.
    pub id: String,
    /// Source id, if it is about one.
    pub source: Option<String>,
    /// What was looked at.
    pub what: String,
    /// `None`: good. Else what is wrong and what to do.
    pub remedy: Option<String>,
    /// What is lost until that is done.
    pub lost: Option<String>,
}

impl Check {
    /// A thing that is good unless [`Check::look`] says otherwise.
    pub fn new(id: &str, what: impl Into<String>) -> Self {
        Self { id: id.to_owned(), source: None, what: what.into(), remedy: None, lost: None }
    }

    /// It is about one source.
    pub fn of_source(mut self, source: &str) -> Self {
        self.source = Some(source.to_owned());
        self
    }

    /// Something is wrong: what to do.
    pub fn look(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// What is lost meanwhile.
    pub fn losing(mut self, lost: impl Into<String>) -> Self {
        self.lost = Some(lost.into());
        self
    }

    fn good(&self) -> bool {
        self.remedy.is_none()
    }
}

/// What doctor found, as `--format json` prints it.
#[derive(Serialize)]
pub struct Findings {
    /// Nothing is to be looked at.
    pub good: bool,
    /// Everything that was checked.
    pub checks: Vec<Check>,
}

/// A source that said nothing for this long is worth a look, milliseconds.
const SILENT_MS: i64 = 10 * 60 * 1000;
/// How far back dead letters are told.
const DAY_MS: i64 = 24 * 3_600_000;
/// Name of the check of dead letters.
const UNDERSTOOD: &str = "understood";

/// What the status of the running program tells, without asking a source.
pub fn from_report(config: &Config, report: &Report, now: i64) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Some(journal) = &report.journal {
        checks.extend(journal::checks(config, journal, now));
    }
    if let Some(kafka) = &report.kafka {
        checks.extend(kafka::checks(kafka, now));
    }
    checks.extend(kafka::sources(&report.topics, now));
    if !report.stores() {
        // What became of it is told where it is stored.
        checks.extend(config.sources.iter().map(|(id, source)| heartbeats(id, source)));
        checks.extend(config.sources.keys().filter_map(|id| taken(id, report)));
        checks.extend(snapshots::checks(config, &report.snapshots, now));
        return checks;
    }
    let remedy = (report.store_up == Some(false)).then(|| {
        let why = report.without_store.as_deref().unwrap_or("it has not acknowledged the last block");
        format!("{why}; look at the log. Intake goes on, and what is pending is stored when it answers again")
    });
    checks.push(Check { remedy, ..Check::new("clickhouse", "ClickHouse acknowledges") });
    if report.without_store.is_some() {
        // What came in, what is missing and how the answers stand is written there.
        return checks;
    }
    checks.extend(correlation::checks(report));
    checks.extend(report.gaps.iter().map(GapReport::check));
    for (id, source) in &config.sources {
        checks.push(heartbeats(id, source));
        checks.extend(of_source(id, report, now));
        checks
            .extend(report.paths.iter().filter(|path| path.source == *id).flat_map(|path| saved::checks(source, path)));
    }
    checks.extend(snapshots::checks(config, &report.snapshots, now));
    checks
}

fn heartbeats(id: &str, source: &SourceConfig) -> Check {
    let check = Check::new("heartbeat", format!("source {id} has heartbeats")).of_source(id);
    if source.login().is_some_and(|login| login.login_realm.is_none()) || source.heartbeat.is_some() {
        return check;
    }
    let remedy = format!("set sources.{id}.heartbeat (docs/config.md)");
    check.look(remedy).losing("its silence cannot be told from a quiet day: nothing proves that it is complete")
}

/// Of a collector: whether a source has delivered anything to it. What is fetched from a source is told by itself.
fn taken(id: &str, report: &Report) -> Option<Check> {
    let check = Check::new("speaks", format!("source {id} speaks")).of_source(id);
    let mut inputs = report.taken.iter().filter(|taken| taken.source == id).peekable();
    if inputs.peek().is_none() {
        let is_fetched =
            report.pulls.iter().any(|pull| pull.source == id) || report.topics.iter().any(|topic| topic.source == id);
        let nothing = "it has delivered nothing since this collector began: check the address and the secret on its side (`tokentrail collect` prints both)";
        return (!is_fetched).then(|| check.look(nothing));
    }
    Some(match inputs.map(|taken| taken.dead).sum::<u64>() {
        0 => check,
        dead => check.look(format!(
            "{dead} receipts since the start cannot be understood: look at them where they are stored (`tokentrail deadletters list`)"
        )),
    })
}

fn of_source(id: &str, report: &Report, now: i64) -> [Check; 2] {
    let inputs = || report.inputs.iter().filter(|input| input.source == *id);
    let speaks = Check::new("speaks", format!("source {id} speaks")).of_source(id);
    let speaks = match inputs().filter_map(|input| input.last_received_at).max() {
        None => speaks.look(
            "nothing has come in yet: check the address and the secret on its side (`tokentrail up` prints both)",
        ),
        Some(last) if now - last > SILENT_MS => speaks.look(format!("silent for {} minutes", (now - last) / 60_000)),
        Some(_) => speaks,
    };
    let dead: u64 = inputs().map(|input| input.dead).sum();
    let understood = Check::new(UNDERSTOOD, format!("source {id} is understood")).of_source(id);
    let understood = match dead {
        0 => understood,
        dead => understood.look(format!("{dead} dead letters: look at them with `tokentrail deadletters list`")),
    };
    [speaks, understood]
}

/// Asks the running program, its store and the sources.
pub async fn run(config: &Config) -> anyhow::Result<Findings> {
    let run = RunFile::read(config)?;
    let report =
        crate::status::fetch(&run).await.context("the running program does not answer on its admin listener")?;
    let now = crate::app::now_ms();
    let mut checks = from_report(config, &report, now);
    checks.extend(crate::pulling::check(config).await);
    checks.extend(kafka::topic(config).await);
    if run.store.is_none() || report.without_store.is_some() {
        return Ok(Findings { good: checks.iter().all(Check::good), checks });
    }
    let store = run.store(config)?;
    // What does not parse can never be understood: it is something to look at while it is new.
    for check in checks.iter_mut().filter(|check| check.id == UNDERSTOOD && !check.good()) {
        let id = check.source.clone().unwrap_or_default();
        let dead = store.dead_since((config.tenant.as_str(), &id), now - DAY_MS).await;
        if dead.context("the store does not say what was not understood")? == 0 {
            check.what = format!("source {id} is understood; dead letters are older than a day");
            check.remedy = None;
        }
    }
    for (id, source) in config.sources.iter().filter(|(_, source)| source.kind == Kind::Backstage) {
        let place = (config.tenant.as_str(), id.as_str());
        let found = backstage::check(&store, place, (&crate::beating::scopes(source), now)).await;
        checks.extend(found.context("the store does not say what came in")?);
    }
    Ok(Findings { good: checks.iter().all(Check::good), checks })
}

/// For people.
pub fn render(findings: &Findings) -> String {
    let mut out = String::new();
    for check in &findings.checks {
        let Some(remedy) = &check.remedy else {
            out.push_str(&format!("  ok    {}\n", check.what));
            continue;
        };
        out.push_str(&format!("  look  {}: {}\n", check.what, visible(remedy)));
        if let Some(lost) = &check.lost {
            out.push_str(&format!("        until then: {}\n", visible(lost)));
        }
    }
    out
}
