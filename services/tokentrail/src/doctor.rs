//! `tokentrail doctor`: checks the store and each source and says, remedy by remedy, what is missing.

use crate::{config::Config, running::RunFile, status::Report};
use anyhow::Context;

/// One thing that was checked.
pub struct Check {
    /// What was looked at.
    pub what: String,
    /// `None`: good. Else what is wrong and what to do.
    pub remedy: Option<String>,
}

/// A source that said nothing for this long is worth a look, milliseconds.
const SILENT_MS: i64 = 10 * 60 * 1000;

/// What the status of the running program tells, without asking a source.
pub fn from_report(config: &Config, report: &Report, now: i64) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut add = |what: &str, remedy: Option<String>| checks.push(Check { what: what.to_owned(), remedy });
    add(
        "the journal can take receipts",
        (!report.journal.can_append)
            .then(|| "free disk space below data_dir, or raise journal.max_mib; intake answers 503 until then".into()),
    );
    add(
        "no damaged bytes in the journal",
        (report.journal.damage > 0)
            .then(|| "run `tokentrail journal verify`; what is damaged is in quarantine beside the journal".into()),
    );
    add(
        "ClickHouse acknowledges",
        (!report.store_up).then(|| {
            "look at the log; intake goes on, and what is pending is stored when ClickHouse answers again".into()
        }),
    );
    for gap in &report.gaps {
        add("nothing is missing", Some(format!("{}; {}", gap.line(), gap_remedy(&gap.cause))));
    }
    for (id, source) in &config.sources {
        let beats = source.login().is_some_and(|login| login.login_realm.is_none()) || source.heartbeat.is_some();
        let remedy = "its silence cannot be told from a quiet day: set sources.ID.heartbeat (docs/config.md)";
        add(&format!("source {id} has heartbeats"), (!beats).then(|| remedy.replace("ID", id)));
        let last =
            report.inputs.iter().filter(|input| input.source == *id).filter_map(|input| input.last_received_at).max();
        let remedy = match last {
            None => Some(
                "nothing has come in yet: check the address and the secret on its side (`tokentrail up` prints both)"
                    .into(),
            ),
            Some(last) if now - last > SILENT_MS => Some(format!("silent for {} minutes", (now - last) / 60_000)),
            Some(_) => None,
        };
        add(&format!("source {id} speaks"), remedy);
        let dead: u64 = report.inputs.iter().filter(|input| input.source == *id).map(|input| input.dead).sum();
        add(
            &format!("source {id} is understood"),
            (dead > 0).then(|| format!("{dead} dead letters: look at them with SELECT * FROM dead_letters")),
        );
    }
    checks
}

/// What to do about a gap.
fn gap_remedy(cause: &str) -> &'static str {
    match cause {
        "silent" => "what happened there did not arrive: look at the webhook or the shipper; pull or import repairs it",
        "source_unreachable" => "the source took no heartbeat: look whether it ran, and at its address in the config",
        "no_heartbeat" => "Tokentrail did not run then: pull or import repairs it",
        "records_missing" => {
            "records were lost behind intake: run `tokentrail journal verify`, and import that time again"
        }
        "log_rolled_back" => {
            "an older state of the journal was put back: what the store has beyond it has no log any more"
        }
        "sender_dropped" => {
            "the sender's spool was full: raise --spool-mib, or import that time from Backstage's own log"
        }
        _ => "import that time again",
    }
}

/// Asks the running program; prints; true if nothing is wrong.
pub async fn run(config: &Config) -> anyhow::Result<bool> {
    let run = RunFile::read(config)?;
    let report =
        crate::status::fetch(&run).await.context("the running program does not answer on its admin listener")?;
    let mut checks = from_report(config, &report, jiff::Timestamp::now().as_millisecond());
    checks.extend(crate::pulling::check(config).await);
    for check in &checks {
        match &check.remedy {
            None => println!("  ok    {}", check.what),
            Some(remedy) => println!("  look  {}: {}", check.what, crate::table::visible(remedy)),
        }
    }
    Ok(checks.iter().all(|check| check.remedy.is_none()))
}
