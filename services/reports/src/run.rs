//! One run of a report, from the order to the files.

use crate::{
    Format, ReportError, Target, accuracy,
    chart::Drawing,
    coverage::{self, Facts},
    format::{self, Rows, html},
    output::{Digesting, Passing, failed},
    report::Report,
    sample::Sample,
    sheet::{FileFact, JournalFact, Sheet},
    verdict::verdict,
};
use events::normalise::Context;
use serde_json::Value;
use std::{io::Write, ops::ControlFlow, path::PathBuf};
use store::{ReportParams, Store};

/// Rows that are recomputed from their receipts.
const DERIVED_ROWS: usize = 25;
/// Tries before a period that goes on changing is given up.
const TRIES: u32 = 3;
/// Between two words on progress, rows.
const TELL_ROWS: u64 = 5_000;

/// A source as the config knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownSource {
    /// Source id.
    pub source_id: String,
    /// `keycloak` or `backstage`.
    pub kind: String,
    /// Scopes whose heartbeats must come back by what it pushes; none: it does not push, or none are sent.
    pub scopes: Option<Vec<String>>,
}

/// Who runs it, and with what.
#[derive(Clone, Debug, Default)]
pub struct Who {
    /// Tenant.
    pub tenant: String,
    /// Id of this run.
    pub run_id: String,
    /// Account.
    pub by: String,
    /// audit, incident, dsar, access-review, operations.
    pub purpose: String,
    /// Case, ticket or audit.
    pub case: String,
    /// Beginning, UTC milliseconds.
    pub started: i64,
    /// Version of the program.
    pub version: String,
    /// Commit that it was built from, or that nobody recorded it.
    pub commit: String,
    /// SHA-256 of the program's file.
    pub binary_sha256: String,
}

/// What is to be made.
pub struct Order {
    /// Report.
    pub report: &'static Report,
    /// Parameters of its statement.
    pub params: ReportParams,
    /// Zone in which the times of the question were read.
    pub zone: String,
    /// Format.
    pub format: Format,
    /// Where it goes.
    pub target: Target,
    /// Only so many rows, a random sample.
    pub sample: Option<usize>,
    /// Seed of every lot.
    pub seed: String,
    /// Sources of the config.
    pub sources: Vec<KnownSource>,
    /// Makes events of receipts; none: the key is not here.
    pub normaliser: Option<Context>,
    /// What a look at the journal's bytes found; none: it was not looked at.
    pub journal: Option<JournalFact>,
    /// Who runs it.
    pub who: Who,
}

/// What came of it.
pub struct Outcome {
    /// The sheet.
    pub sheet: Sheet,
    /// Files that stand now: data, then sheet.
    pub files: Vec<PathBuf>,
}

/// Rows as they were read once.
struct Reading {
    data: Passing,
    population: u64,
    rows: u64,
    rows_sha256: String,
    drawn: Vec<(u64, Vec<Value>)>,
    drawing: Drawing,
}

/// Makes a report. `progress` hears how many rows are done, `now` gives UTC milliseconds. A stream gets its bytes only when all of
/// them are there.
pub async fn run(
    store: &Store,
    order: &Order,
    (progress, now): (&mut (dyn FnMut(u64) + Send), &(dyn Fn() -> i64 + Sync)),
    out: &mut (dyn Write + Send),
) -> Result<Outcome, ReportError> {
    let report = order.report;
    if order.format == Format::Parquet && order.sample.is_some() {
        return Err(ReportError::Unfit("parquet is written by ClickHouse, which draws no sample: take ndjson or csv"));
    }
    let paths = order.target.paths(report, order.format);
    let clickhouse = store.server_version().await?;
    let (mut facts, totals, reading) = settled(store, order, (paths.as_ref().map(|paths| &paths.0), progress)).await?;
    facts.accuracy = accuracy::check(store, order, (report, &reading.drawn)).await?;
    let told = |name: &str| totals.iter().find(|total| total.0 == name).map(|total| total.1);
    facts.journal_losses = order.journal.as_ref().map_or(0, |found| found.losses);
    facts.totals_disagree = told("rows").is_some_and(|rows| rows != reading.population);
    let mut sheet = Sheet {
        report,
        parameters: Sheet::parameters(order),
        verdict: verdict(&facts),
        facts,
        population: reading.population,
        rows: reading.rows,
        totals,
        rows_sha256: reading.rows_sha256,
        files: Vec::new(),
        journal: order.journal.clone(),
        who: order.who.clone(),
        ended: now(),
        clickhouse,
    };
    let mut data = reading.data;
    if order.format == Format::Html {
        let page = Passing::new(paths.as_ref().map(|paths| paths.0.as_path()))?;
        let mut writer = page.writer()?;
        html::page(&sheet, (&reading.drawing, &mut data.reader()?), &mut writer)
            .and_then(|()| writer.flush())
            .map_err(|source| failed(page.to(), source))?;
        data = page;
    }
    let Some((data_path, sheet_path)) = paths else {
        data.copy_to(out)?;
        return Ok(Outcome { sheet, files: Vec::new() });
    };
    let name = data_path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    sheet.files.push(FileFact { path: name, sha256: data.sha256()?, rows: sheet.rows });
    let beside = Passing::new(Some(&sheet_path))?;
    let mut writer = beside.writer()?;
    let text = serde_json::to_string_pretty(&sheet.json()).unwrap_or_default() + "\n";
    writer.write_all(text.as_bytes()).and_then(|()| writer.flush()).map_err(|source| failed(beside.to(), source))?;
    // The data first: a sheet never stands beside data that are not its own. A crash between the two leaves data without a
    // sheet, or beside the older one, whose hash then says so.
    data.stand()?;
    beside.stand()?;
    Ok(Outcome { sheet, files: vec![data_path, sheet_path] })
}

/// Facts, totals and rows of one state: totals are taken before and after, and all is read again if they differ.
async fn settled(
    store: &Store,
    order: &Order,
    (to, progress): (Option<&PathBuf>, &mut (dyn FnMut(u64) + Send)),
) -> Result<(Facts, Vec<(String, u64)>, Reading), ReportError> {
    let report = order.report;
    for attempt in 1..=TRIES {
        let mut totals = store.report_counts(report.totals, &order.params).await?;
        let facts = coverage::read(store, order, report).await?;
        let params = ReportParams { proven: facts.proven(), ..order.params.clone() };
        let reading = read(store, (order, &params), (to, progress)).await?;
        if store.report_counts(report.totals, &order.params).await? != totals {
            continue;
        }
        let counted = match report.count {
            "" => Vec::new(),
            count => store.report_counts(count, &order.params).await?,
        };
        // Rows move by more than the totals tell (a group that hangs elsewhere): only what stays different is a difference.
        if counted.iter().all(|(_, rows)| *rows == reading.population) || attempt == TRIES {
            totals.extend(counted);
            totals.sort_unstable();
            return Ok((facts, totals, reading));
        }
    }
    Err(ReportError::Moving(TRIES))
}

async fn read(
    store: &Store,
    (order, params): (&Order, &ReportParams),
    (to, progress): (Option<&PathBuf>, &mut (dyn FnMut(u64) + Send)),
) -> Result<Reading, ReportError> {
    let report = order.report;
    let place = to.filter(|_| order.format != Format::Html);
    let data = Passing::new(place.map(PathBuf::as_path))?;
    let key: Vec<usize> = report.key.iter().filter_map(|name| report.place(name)).collect();
    let mut checked = Sample::new(DERIVED_ROWS, &order.seed, key.clone());
    let mut chosen = order.sample.map(|most| Sample::new(most, &order.seed, key));
    let mut drawing = Drawing::new(report);
    let digest = Digesting::default();
    let by_clickhouse = order.format == Format::Parquet;
    let (mut population, mut trouble) = (0, None);
    {
        let mut hashed: Box<dyn Rows> =
            format::writer(Format::Ndjson, report, Box::new(digest.clone())).map_err(|e| failed(None, e))?;
        // What ClickHouse writes itself goes there below; here its rows are only counted, hashed and drawn.
        let sink: Box<dyn Write + Send> =
            if by_clickhouse { Box::new(std::io::sink()) } else { Box::new(data.writer()?) };
        let mut written = format::writer(order.format, report, sink).map_err(|source| failed(data.to(), source))?;
        let mut each = |line: &[u8]| -> ControlFlow<()> {
            let row: Vec<Value> = match serde_json::from_slice(line) {
                Ok(row) => row,
                Err(_) => {
                    trouble = Some(ReportError::Answer("a row is no JSON".into()));
                    return ControlFlow::Break(());
                }
            };
            if row.len() != report.columns.len() {
                trouble =
                    Some(ReportError::Answer(format!("{} columns instead of {}", row.len(), report.columns.len())));
                return ControlFlow::Break(());
            }
            checked.row(population, &row);
            drawing.row(&row);
            let went = match &mut chosen {
                Some(chosen) => {
                    chosen.row(population, &row);
                    Ok(())
                }
                None => written.row(&row).and_then(|()| hashed.row(&row)),
            };
            population += 1;
            if population % TELL_ROWS == 0 {
                progress(population);
            }
            match went {
                Ok(()) => ControlFlow::Continue(()),
                Err(source) => {
                    trouble = Some(failed(data.to(), source));
                    ControlFlow::Break(())
                }
            }
        };
        store.report_rows(report.sql, params, &mut each).await?;
        if let Some(trouble) = trouble {
            return Err(trouble);
        }
        let chosen = chosen.map(Sample::rows);
        for (_, row) in chosen.iter().flatten() {
            written.row(row).and_then(|()| hashed.row(row)).map_err(|source| failed(data.to(), source))?;
        }
        written.end().map_err(|source| failed(data.to(), source))?;
        progress(population);
        let rows = chosen.as_ref().map_or(population, |rows| rows.len() as u64);
        let drawn = checked.rows();
        drop(written);
        drop(hashed);
        if by_clickhouse {
            parquet(store, (report, params), &data).await?;
        }
        Ok(Reading { data, population, rows, rows_sha256: digest.hex(), drawn, drawing })
    }
}

async fn parquet(store: &Store, (report, params): (&Report, &ReportParams), data: &Passing) -> Result<(), ReportError> {
    let mut writer = data.writer()?;
    let mut trouble = None;
    let mut each = |piece: &[u8]| match writer.write_all(piece) {
        Ok(()) => ControlFlow::Continue(()),
        Err(source) => {
            trouble = Some(source);
            ControlFlow::Break(())
        }
    };
    store.report_bytes((report.sql, "Parquet"), params, &mut each).await?;
    match trouble {
        Some(source) => Err(failed(data.to(), source)),
        None => writer.flush().map_err(|source| failed(data.to(), source)),
    }
}
