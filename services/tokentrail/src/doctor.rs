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
    for id in config.sources.keys() {
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
