//! What is known of completeness: what each source proves, gaps, counts at the source against counts stored, snapshots,
//! events that must have happened, and the positions that the answers rest on.

mod proven;

use crate::{ReportError, report::Report, run::Order, verdict::moment};
use proven::proven;
use serde::Serialize;
use serde_json::Value;
use std::ops::ControlFlow;
use store::{ReportParams, Store, StoreError};

/// A time [from, to), UTC milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Span {
    /// Beginning.
    pub from: i64,
    /// End.
    pub to: i64,
}

/// A source that the report rests on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SourceFact {
    /// Source.
    pub source_id: String,
    /// Product.
    pub kind: String,
    /// Times for which something proves that everything arrived.
    pub proven: Vec<Span>,
    /// What proves them, in words.
    pub proven_by: Vec<String>,
    /// The first heartbeat that came back.
    pub first_heartbeat: Option<i64>,
    /// By input: complete up to here.
    pub watermarks: Vec<(String, i64)>,
    /// Heartbeats sent in the period.
    pub heartbeats_sent: u64,
    /// Of these, come back.
    pub heartbeats_received: u64,
    /// Events of the period at the source, as far as pull read them; none: it is not pulled.
    pub at_source: Option<u64>,
    /// Events of the period that are stored.
    pub stored: u64,
    /// Further copies of them.
    pub duplicate: u64,
}

impl SourceFact {
    /// Why no more is proven.
    pub(crate) fn why(&self) -> String {
        match (self.first_heartbeat, self.watermarks.iter().map(|mark| mark.1).max()) {
            (None, _) => "no heartbeat of it ever came back, and nobody says what an import holds".into(),
            (Some(first), Some(mark)) => {
                format!("heartbeats come back since {}, and it is complete up to {}", moment(first), moment(mark))
            }
            (Some(first), None) => format!("heartbeats come back since {}", moment(first)),
        }
    }
}

/// A gap that touches the period.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GapFact {
    /// Source; empty: any.
    pub source_id: String,
    /// Realm, instance or stream.
    pub scope: String,
    /// Way in; empty: any.
    pub input: String,
    /// Why.
    pub cause: String,
    /// Beginning, UTC milliseconds.
    pub since: i64,
    /// End; none while open.
    pub until: Option<i64>,
    /// How much is known to be missing.
    pub missing: Option<u64>,
    /// The input that brought everything after all.
    pub repaired_by: Option<String>,
}

/// A snapshot that the answers may rest on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SnapshotFact {
    /// Source.
    pub source_id: String,
    /// Id.
    pub snapshot: String,
    /// Beginning, as printed by the store.
    pub began: String,
    /// True if every area was read whole.
    pub complete: bool,
    /// Entities on its lists.
    pub entities: u64,
}

/// Rows derived anew from their receipts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Accuracy {
    /// Seed of the draw.
    pub seed: String,
    /// Rows drawn.
    pub tried: u64,
    /// Of these, the same.
    pub agree: u64,
    /// Another value than the receipt gives.
    pub mismatch: u64,
    /// Bodies that do not agree with their commitment.
    pub tampered: u64,
    /// Bodies erased or past their time.
    pub no_body: u64,
    /// Rows that rest on no event of their own.
    pub without_event: u64,
    /// Version of the normaliser.
    pub mapping_version: u32,
    /// What was derived of each row.
    pub columns: Vec<&'static str>,
    /// Event and column of what differs.
    pub differences: Vec<String>,
    /// Why nothing was derived.
    pub not_done: Option<String>,
}

/// Everything that the verdict is made from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// The period; of a report as of an instant: from the last snapshot to it.
    pub period: Span,
    /// When it was read, UTC milliseconds.
    pub read_at: i64,
    /// Sources that the report rests on.
    pub sources: Vec<SourceFact>,
    /// Kinds of source that it rests on and that nobody configured.
    pub lacking_kinds: Vec<String>,
    /// Gaps that touch the period.
    pub gaps: Vec<GapFact>,
    /// Events that must have happened, in words.
    pub missing_events: Vec<String>,
    /// Receipts not understood that may be of the period.
    pub dead: u64,
    /// Positions with several commitments.
    pub contested: u64,
    /// Events of the period that the correlation has not seen; none: the report does not rest on it.
    pub uncorrelated: Option<u64>,
    /// Snapshots: the last before the end, and those within.
    pub snapshots: Vec<SnapshotFact>,
    /// True if the report needs a snapshot and has none.
    pub snapshot_lacking: bool,
    /// Stream and first position that is not correlated: what the answers rest on.
    pub positions: Vec<(String, u64)>,
    /// Rows derived anew.
    pub accuracy: Option<Accuracy>,
    /// True if rows and control totals differ.
    pub totals_disagree: bool,
}

impl Facts {
    /// The unrepaired gaps of a source, as times.
    pub(crate) fn gaps_of(&self, source: &str) -> Vec<Span> {
        let of = |gap: &&GapFact| gap.repaired_by.is_none() && (gap.source_id == source || gap.source_id.is_empty());
        let span = |gap: &GapFact| Span { from: gap.since, to: gap.until.unwrap_or(i64::MAX) };
        self.gaps.iter().filter(of).map(span).collect()
    }

    /// What is proven, by source.
    pub(crate) fn proven(&self) -> Vec<(String, i64, i64)> {
        let of = |source: &SourceFact| {
            source.proven.iter().map(|span| (source.source_id.clone(), span.from, span.to)).collect::<Vec<_>>()
        };
        self.sources.iter().flat_map(of).collect()
    }

    /// The watermark that the report was run at: up to where the slowest source is complete.
    pub fn watermark(&self) -> Option<i64> {
        let of = |source: &SourceFact| source.watermarks.iter().map(|mark| mark.1).max();
        self.sources.iter().map(of).min().flatten()
    }
}

const IN_MINUTES: &str =
    "cell < 2147483648 AND cell >= intDiv({from:Int64}, 60000) AND cell < intDiv({to:Int64} + 59999, 60000)";

/// Reads the facts.
pub(crate) async fn read(store: &Store, order: &Order, report: &Report) -> Result<Facts, ReportError> {
    let params = &order.params;
    let mut facts =
        Facts { period: Span { from: params.from, to: params.to }, read_at: order.who.started, ..Facts::default() };
    if report.span == crate::report::Span::AsOf {
        let last = last_snapshot(store, order).await?;
        facts.snapshot_lacking = last.is_none();
        facts.period.from = last.unwrap_or(params.to.saturating_sub(1));
    }
    // Of a report as of an instant, what its answers rest on begins at the snapshot before it.
    let params = &ReportParams { from: facts.period.from, ..params.clone() };
    sources(store, (order, params), report, &mut facts).await?;
    for gap in store.gaps(&params.tenant, i64::MIN / 1_000).await? {
        let until = gap.until.unwrap_or(i64::MAX);
        let everybody = gap.source_id.is_empty() || gap.source_id == store::OWN_RECORDS;
        let concerns = everybody || facts.sources.iter().any(|one| one.source_id == gap.source_id);
        if concerns && gap.since < facts.period.to && until > facts.period.from {
            facts.gaps.push(GapFact {
                source_id: gap.source_id,
                scope: gap.scope,
                input: gap.input,
                cause: gap.cause,
                since: gap.since,
                until: gap.until,
                missing: gap.missing,
                repaired_by: gap.repaired_at.map(|_| gap.repaired_by),
            });
        }
    }
    for stream in store.streams(&params.tenant).await? {
        facts.contested += stream.contested;
    }
    rest(store, params, report, &mut facts).await?;
    Ok(facts)
}

/// Beginning of the last complete snapshot of a Keycloak before the instant.
async fn last_snapshot(store: &Store, order: &Order) -> Result<Option<i64>, ReportError> {
    let keycloaks: Vec<_> = order.sources.iter().filter(|one| one.kind == "keycloak").collect();
    let sql = "SELECT source_id, max(toUnixTimestamp64Milli(began)) FROM snapshots WHERE tenant = {tenant:String} AND complete \
        AND ended <= fromUnixTimestamp64Milli({to:Int64}, 'UTC') GROUP BY source_id ORDER BY source_id";
    let rows = ask(store, sql, &order.params).await?;
    let of = |id: &str| rows.iter().find(|row| row[0] == id).and_then(|row| row[1].as_i64());
    // The least of them: what any of them proves, all do.
    let last: Option<Vec<i64>> = keycloaks.iter().map(|one| of(&one.source_id)).collect();
    Ok(last.and_then(|last| last.into_iter().min()))
}

async fn sources(
    store: &Store,
    (order, params): (&Order, &ReportParams),
    report: &Report,
    facts: &mut Facts,
) -> Result<(), ReportError> {
    for source in &order.sources {
        if report.needs.is_empty() || report.needs.iter().any(|kind| kind.as_str() == source.kind) {
            let (source_id, kind) = (source.source_id.clone(), source.kind.clone());
            facts.sources.push(SourceFact { source_id, kind, ..SourceFact::default() });
        }
    }
    for kind in report.needs {
        if !facts.sources.iter().any(|one| one.kind == kind.as_str()) {
            facts.lacking_kinds.push(kind.as_str().to_owned());
        }
    }
    let watermarks = store.watermarks(&params.tenant).await?;
    let claims = store.claims(&params.tenant).await?;
    // Per scope: when heartbeats began to come back. The last scope to begin counts.
    let beats = "SELECT source_id, scope, minIf(toUnixTimestamp64Milli(sent_at), notEmpty(seen)), \
        countIf(notEmpty(seen)), countIf(sent_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND sent_at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')), \
        countIf(notEmpty(seen) AND sent_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND sent_at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')) \
        FROM heartbeats WHERE tenant = {tenant:String} GROUP BY source_id, scope ORDER BY source_id, scope";
    let beats = ask(store, beats, params).await?;
    let counts = format!(
        "SELECT source_id, sum(stored), sum(toInt64(events) - toInt64(stored)), countIf(input = 'pull' AND events + dead > 0), \
         sumIf(alone, input = 'pull') + sum(both) + sumIf(dead + ignored, input = 'pull') FROM cells WHERE tenant = {{tenant:String}} AND {IN_MINUTES} GROUP BY source_id"
    );
    let counts = ask(store, &counts, params).await?;
    let oldest = "SELECT source_id, min(cell) * 60000 FROM cells WHERE tenant = {tenant:String} AND cell < 2147483648 AND input = 'pull' AND events > 0 GROUP BY source_id";
    let oldest = ask(store, oldest, params).await?;
    for source in &mut facts.sources {
        let marks = watermarks.iter().filter(|mark| mark.source_id == source.source_id);
        source.watermarks = marks.map(|mark| (mark.input.as_str().to_owned(), mark.watermark)).collect();
        let own: Vec<_> = beats.iter().filter(|row| row[0] == source.source_id.as_str()).collect();
        let number = |row: &[Value], at: usize| row.get(at).and_then(Value::as_u64).unwrap_or_default();
        source.heartbeats_sent = own.iter().map(|row| number(row, 4)).sum();
        source.heartbeats_received = own.iter().map(|row| number(row, 5)).sum();
        let scopes =
            order.sources.iter().find(|one| one.source_id == source.source_id).and_then(|one| one.scopes.as_ref());
        let told = |scope: &String| own.iter().any(|row| row[1] == scope.as_str() && number(row, 3) > 0);
        let every = scopes.is_none_or(|scopes| scopes.iter().all(told));
        if !own.is_empty() && every && own.iter().all(|row| number(row, 3) > 0) {
            source.first_heartbeat = own.iter().filter_map(|row| row[2].as_i64()).max();
        }
        if let Some(row) = counts.iter().find(|row| row[0] == source.source_id.as_str()) {
            (source.stored, source.duplicate) = (number(row, 1), number(row, 2));
            source.at_source = (number(row, 3) > 0).then(|| number(row, 4));
        }
        let pulled = scopes.is_none().then(|| counts_of(&oldest, &source.source_id)).flatten();
        proven(source, (&claims, pulled));
    }
    Ok(())
}

fn counts_of(rows: &[Vec<Value>], source: &str) -> Option<i64> {
    rows.iter().find(|row| row[0] == source).and_then(|row| row[1].as_i64())
}

async fn rest(store: &Store, params: &ReportParams, report: &Report, facts: &mut Facts) -> Result<(), ReportError> {
    // A dead letter has no event's time: one that was read or imported later may be of any time before.
    let dead = "SELECT source_id, count() FROM dead_letters WHERE tenant = {tenant:String} AND received_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') \
        AND (input NOT IN ('webhook', 'lines') OR received_at < fromUnixTimestamp64Milli({to:Int64} + 600000, 'UTC')) GROUP BY source_id";
    for row in ask(store, dead, params).await? {
        let concerns = row[0] == "" || facts.sources.iter().any(|one| row[0] == one.source_id.as_str());
        facts.dead += row[1].as_u64().filter(|_| concerns).unwrap_or_default();
    }
    if report.correlated {
        let positions = "SELECT stream, next FROM correlated WHERE tenant = {tenant:String} AND stream != repeat('0', 32) ORDER BY stream";
        for row in ask(store, positions, params).await? {
            facts.positions.push((crate::format::text(&row[0]), row[1].as_u64().unwrap_or_default()));
        }
        let behind = "SELECT count() FROM receipts AS r LEFT ANY JOIN (SELECT stream, next FROM correlated WHERE tenant = {tenant:String}) AS c \
            ON lower(hex(r.stream)) = c.stream WHERE r.tenant = {tenant:String} AND r.fate = 'event' \
            AND r.minute >= intDiv({from:Int64}, 60000) AND r.minute < intDiv({to:Int64} + 59999, 60000) AND r.seq >= c.next";
        facts.uncorrelated = ask(store, behind, params).await?.first().and_then(|row| row[0].as_u64());
    }
    // What must have happened and nobody told is a loss of deliveries, whatever the report is about.
    let missing = "SELECT toString(right_kind), right_id, toString(missing), toString(after), toString(before), arrayStringConcat(causes, ' or '), person \
        FROM missing_events WHERE tenant = {tenant:String} AND after < fromUnixTimestamp64Milli({to:Int64}, 'UTC') \
        AND before >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') ORDER BY after, person, right_id LIMIT 1000";
    for row in ask(store, missing, params).await? {
        let text = |at: usize| row.get(at).map(crate::format::text).unwrap_or_default();
        facts.missing_events.push(format!(
            "{} of {} {} of person {}, between {} and {}; likely {}",
            text(2),
            text(0),
            text(1),
            if text(6).is_empty() { "(nobody)".into() } else { text(6) },
            text(3),
            text(4),
            text(5).replace('_', " ")
        ));
    }
    let snapshots = "SELECT source_id, snapshot, toString(began), complete, entities FROM snapshots WHERE tenant = {tenant:String} \
        AND began < fromUnixTimestamp64Milli({to:Int64}, 'UTC') ORDER BY began DESC, snapshot LIMIT 20";
    for row in ask(store, snapshots, params).await? {
        facts.snapshots.push(SnapshotFact {
            source_id: crate::format::text(&row[0]),
            snapshot: crate::format::text(&row[1]),
            began: crate::format::text(&row[2]),
            complete: row[3] == true || row[3] == 1,
            entities: row[4].as_u64().unwrap_or_default(),
        });
    }
    Ok(())
}

async fn ask(store: &Store, sql: &str, params: &ReportParams) -> Result<Vec<Vec<Value>>, ReportError> {
    let (mut rows, mut broken) = (Vec::new(), false);
    let mut each = |line: &[u8]| match serde_json::from_slice(line) {
        Ok(row) => {
            rows.push(row);
            ControlFlow::Continue(())
        }
        Err(_) => {
            broken = true;
            ControlFlow::Break(())
        }
    };
    let asked: Result<(), StoreError> = store.report_rows(sql, params, &mut each).await;
    asked?;
    if broken { Err(ReportError::Answer("a fact of completeness".into())) } else { Ok(rows) }
}
