//! `tokentrail report`: named reports with the sheet that says what they prove. Reads the store only.

mod words;

pub use words::{list, render_list, render_show, show};

use crate::{
    Format as Printed,
    app::now_ms,
    beating,
    config::{Config, Kind},
    deployment, running,
};
use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use events::{ids::StreamId, normalise::Context as NormaliseContext};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::{Timestamp, civil, tz::TimeZone};
use reports::{
    JournalFact, JournalStream, Order, Outcome, Report, Target, Who, report::Span, run::KnownSource, verdict::State,
};
use std::path::{Path, PathBuf};
use store::ReportParams;

/// `tokentrail report`.
#[derive(Subcommand)]
pub enum ReportCommand {
    /// List the reports and the question that each answers.
    List {
        #[arg(long, value_enum, default_value_t = Printed::Table)]
        format: Printed,
    },
    /// Show one report: its columns and where each comes from, what it leaves out, what it cannot see, its statement.
    Show {
        /// Id (R08) or name (access-trace).
        name: String,
        #[arg(long, value_enum, default_value_t = Printed::Table)]
        format: Printed,
    },
    /// Run one report.
    ///
    /// Exit code: 0 if it is COMPLETE or COMPLETE_WITH_LISTED_GAPS, 1 if it was written and is NOT_PROVEN, 2 if it could not be
    /// made. The verdict goes to standard error, and with --output to the sheet beside the data, FILE.ipe.json.
    Run(RunArgs),
}

/// `tokentrail report run`.
#[derive(Args)]
pub struct RunArgs {
    /// Id (R08) or name (access-trace).
    name: String,
    /// From this time on: 2026-11-23, 2026-11-23T08:00, 2026-11-23T08:00:00Z, or relative (7d ago).
    #[arg(long, value_name = "TIME", requires = "to")]
    from: Option<String>,
    /// Before this time; a day means its beginning.
    #[arg(long, value_name = "TIME", requires = "from")]
    to: Option<String>,
    /// As it was at this instant, for a report that speaks of one.
    #[arg(long, value_name = "TIME", conflicts_with_all = ["from", "to"])]
    as_of: Option<String>,
    /// Zone of times that name none, such as Europe/Berlin. Times in the answer are UTC.
    #[arg(long, value_name = "NAME", default_value = "UTC")]
    zone: String,
    /// How the rows are written.
    #[arg(long, value_enum, default_value_t = RowFormat::Table)]
    format: RowFormat,
    /// A file, or a folder (the data are then named after the report); the sheet is FILE.ipe.json beside it. Absent: standard output.
    #[arg(long, short, value_name = "FILE|DIR")]
    output: Option<PathBuf>,
    /// Only so many rows, a random sample: the same on every machine for the same seed.
    #[arg(long, value_name = "N")]
    sample: Option<usize>,
    /// Seed of the sample, given by the auditor; also of the rows that are recomputed.
    #[arg(long, value_name = "S", default_value = "0")]
    seed: String,
    /// Leave the journal alone: R11 reads all of it, on the machine that has it, and says on its sheet whether it is as it was written.
    #[arg(long)]
    skip_journal: bool,
    /// What it is made for.
    #[arg(long, value_enum, default_value_t = Purpose::Audit)]
    purpose: Purpose,
    /// Case, ticket or audit that it belongs to.
    #[arg(long, default_value = "")]
    case: String,
}

/// Formats of rows.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RowFormat {
    /// For a terminal: some columns.
    Table,
    /// RFC 4180, guarded against formulas.
    Csv,
    /// One document.
    Json,
    /// One object a line.
    Ndjson,
    /// Written by ClickHouse.
    Parquet,
    /// One page with its sheet, to read, print and sign.
    Html,
}

impl RowFormat {
    fn format(self) -> reports::Format {
        match self {
            Self::Table => reports::Format::Table,
            Self::Csv => reports::Format::Csv,
            Self::Json => reports::Format::Json,
            Self::Ndjson => reports::Format::Ndjson,
            Self::Parquet => reports::Format::Parquet,
            Self::Html => reports::Format::Html,
        }
    }
}

/// What a report is made for.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Purpose {
    Audit,
    Incident,
    SubjectAccess,
    AccessReview,
    Operations,
}

impl Purpose {
    fn word(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::Incident => "incident",
            Self::SubjectAccess => "subject access",
            Self::AccessReview => "access review",
            Self::Operations => "operations",
        }
    }
}

impl RunArgs {
    /// A page of a period (UTC milliseconds) with its sheet, into a folder.
    pub fn page(name: &str, (from, to): (i64, i64), folder: &Path) -> anyhow::Result<Self> {
        let text = |ms| anyhow::Ok(Some(Timestamp::from_millisecond(ms)?.to_string()));
        Ok(Self {
            name: name.to_owned(),
            from: text(from)?,
            to: text(to)?,
            as_of: None,
            zone: "UTC".to_owned(),
            format: RowFormat::Html,
            output: Some(folder.join("")),
            sample: None,
            seed: "0".to_owned(),
            skip_journal: false,
            purpose: Purpose::Operations,
            case: String::new(),
        })
    }
}

/// Runs one; true unless nothing is proven.
pub async fn run(config: &Config, args: &RunArgs) -> anyhow::Result<bool> {
    let Outcome { sheet, files } = make(config, args).await?;
    eprintln!("{}", sheet.summary());
    for file in &files {
        eprintln!("  {}", file.display());
    }
    Ok(sheet.verdict.state != State::NotProven)
}

/// Makes one.
pub async fn make(config: &Config, args: &RunArgs) -> anyhow::Result<Outcome> {
    let report = Report::named(&args.name)?;
    let (from, to) = span(report, args)?;
    let store = running::store(config)?;
    let format = args.format.format();
    let target = args.output.as_deref().map_or(Target::Stream, Target::of);
    let order = Order {
        report,
        params: params(config, (from, to)),
        zone: args.zone.clone(),
        format,
        target,
        sample: args.sample,
        seed: args.seed.clone(),
        sources: sources(config),
        normaliser: normaliser(config, &store).await?,
        journal: if report.id == "R11" && !args.skip_journal { journal(config)? } else { None },
        who: who(config, args),
    };
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("  {spinner} {human_pos} rows {per_sec}") {
        bar.set_style(style);
    }
    let mut tell = |rows: u64| bar.set_position(rows);
    let made = reports::run(&store, &order, (&mut tell, &now_ms), &mut std::io::stdout()).await;
    bar.finish_and_clear();
    made.context("the report was not made, and nothing was left of it")
}

/// Reads the journal of this machine, if there is one.
fn journal(config: &Config) -> anyhow::Result<Option<JournalFact>> {
    let dir = config.path("journal");
    if !dir.exists() {
        return Ok(None);
    }
    let bar = ProgressBar::new_spinner().with_message("reading the journal");
    bar.enable_steady_tick(std::time::Duration::from_millis(200));
    let found = durable_log::inspect(&dir).context("the journal cannot be read; --skip-journal leaves it alone")?;
    bar.finish_and_clear();
    let stream = |one: &durable_log::StreamReport| JournalStream {
        stream: StreamId(one.stream).to_string(),
        first_seq: one.first_seq,
        last_seq: one.last_seq,
    };
    Ok(Some(JournalFact {
        intact: found.is_intact(),
        records: found.records,
        losses: found.losses,
        streams: found.streams.iter().map(stream).collect(),
    }))
}

/// From and to, UTC milliseconds.
fn span(report: &Report, args: &RunArgs) -> anyhow::Result<(i64, i64)> {
    let zone = TimeZone::get(&args.zone)
        .with_context(|| format!("{} is no time zone: give a name such as Europe/Berlin, or UTC", args.zone))?;
    let read = |text: &String| moment(text, &zone);
    match (report.span, &args.from, &args.to, &args.as_of) {
        (Span::Period, Some(from), Some(to), _) => {
            let (from, to) = (read(from)?, read(to)?);
            if from >= to {
                bail!("--from is not before --to: there is no time between them");
            }
            Ok((from, to))
        }
        (Span::AsOf, _, _, Some(at)) => read(at).map(|at| (at, at)),
        (Span::Period, ..) => bail!("{} {} is of a period: give --from and --to", report.id, report.name),
        (Span::AsOf, ..) => bail!("{} {} is of an instant: give --as-of", report.id, report.name),
    }
}

/// A day, a time with or without a zone, or a relative one.
fn moment(text: &str, zone: &TimeZone) -> anyhow::Result<i64> {
    let text = text.trim();
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time.as_millisecond());
    }
    let local = text.parse::<civil::DateTime>().or_else(|_| text.parse::<civil::Date>().map(civil::DateTime::from));
    if let Ok(local) = local {
        // An hour that a change of clocks leaves out or has twice is not guessed.
        let there = zone.to_ambiguous_zoned(local).unambiguous();
        let there = there.with_context(|| {
            format!("{text} is not one instant in that zone: clocks change there; give it with Z or an offset")
        })?;
        return Ok(there.timestamp().as_millisecond());
    }
    match crate::ask::moment(text) {
        Ok(time) => Ok(time),
        Err(_) => {
            bail!("{text} is no time: give 2026-11-23, 2026-11-23T08:00, 2026-11-23T08:00:00Z or a span such as 7d ago")
        }
    }
}

fn params(config: &Config, (from, to): (i64, i64)) -> ReportParams {
    let expected = beating::expected(config);
    let interval = |id: &String| {
        let push = expected.iter().find(|one| one.source_id == *id).and_then(|one| one.push.as_ref());
        // One heartbeat per scope and interval.
        push.map_or(0, |(_, scopes, interval)| interval / i64::try_from(scopes.len()).unwrap_or(i64::MAX))
    };
    let sources: Vec<String> = config.sources.keys().cloned().collect();
    let intervals = sources.iter().map(interval).collect();
    ReportParams { tenant: config.tenant.clone(), from, to, sources, intervals, proven: Vec::new() }
}

fn sources(config: &Config) -> Vec<KnownSource> {
    let kind = |kind: Kind| match kind {
        Kind::Keycloak => "keycloak",
        Kind::Backstage => "backstage",
    };
    let expected = beating::expected(config);
    let one = |(id, source): (&String, &crate::config::SourceConfig)| KnownSource {
        source_id: id.clone(),
        kind: kind(source.kind).to_owned(),
        scopes: expected.iter().find(|one| one.source_id == *id).and_then(|one| one.push.clone()).map(|push| push.1),
    };
    config.sources.iter().map(one).collect()
}

/// Makes events of receipts, if the key that the store was written with is here.
async fn normaliser(config: &Config, store: &store::Store) -> anyhow::Result<Option<NormaliseContext>> {
    if !config.path("keys/deployment.key").exists() {
        return Ok(None);
    }
    let key = deployment::key(config)?;
    let fit =
        deployment::bind_store(store, &key).await.context("the report was not made, and nothing was left of it")?;
    Ok((fit == deployment::Fit::Same).then_some(NormaliseContext { key }))
}

fn who(config: &Config, args: &RunArgs) -> Who {
    let account = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_default();
    let by = if account.is_empty() { format!("user id {}", own_uid()) } else { account };
    Who {
        tenant: config.tenant.clone(),
        run_id: uuid::Uuid::new_v4().to_string(),
        by,
        purpose: args.purpose.word().to_owned(),
        case: args.case.clone(),
        started: now_ms(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: option_env!("TOKENTRAIL_COMMIT").unwrap_or("not recorded at the build").to_owned(),
        binary_sha256: binary_sha256(),
    }
}

fn own_uid() -> String {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").map_or_else(|_| "unknown".into(), |own| own.uid().to_string())
}

fn binary_sha256() -> String {
    use sha2::{Digest, Sha256};
    let hash = || -> std::io::Result<String> {
        let mut hash = Sha256::new();
        let mut file = std::fs::File::open(std::env::current_exe()?)?;
        let mut piece = vec![0; 1 << 16];
        loop {
            match std::io::Read::read(&mut file, &mut piece)? {
                0 => return Ok(hex::encode(hash.finalize())),
                n => hash.update(&piece[..n]),
            }
        }
    };
    hash().unwrap_or_else(|_| "unknown".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_their_zone_and_never_guessed() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let at = |text: &str| moment(text, &berlin);
        assert_eq!(at("2026-11-23").unwrap(), at("2026-11-22T23:00:00Z").unwrap());
        assert_eq!(at("2026-11-23T08:00").unwrap(), at("2026-11-23T07:00:00Z").unwrap());
        assert_eq!(at("2026-11-23T08:00:00.5").unwrap() % 1_000, 500);
        assert_eq!(moment("2026-11-23", &TimeZone::UTC).unwrap(), 1_795_392_000_000);
        let twice = at("2026-10-25T02:30").unwrap_err().to_string();
        assert!(twice.contains("clocks change"), "{twice}");
        assert!(at("2026-03-29T02:30").is_err());
        assert!(at("7d ago").is_ok() && at("now").is_ok());
        assert!(at("yesterday").unwrap_err().to_string().contains("2026-11-23T08:00"));
    }
}
