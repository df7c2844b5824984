//! Reads the facts of completeness, each by a statement of its own.

use super::{Facts, GapFact, SnapshotFact, Span, sources::sources};
use crate::{ReportError, report::Report, run::Order};
use serde_json::Value;
use std::ops::ControlFlow;
use store::{Gap, ReportParams, Store, StoreError, StreamStatus};

/// Most events that must have happened that are told one by one.
const MISSING_TOLD: u64 = 1_000;
const MISSING: &str = "FROM missing_events WHERE tenant = {tenant:String} AND after < fromUnixTimestamp64Milli({to:Int64}, 'UTC') \
    AND before >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')";

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
    let gaps = store.gaps(&params.tenant, i64::MIN / 1_000).await?;
    for stream in store.streams(&params.tenant).await? {
        facts.contested += stream.contested;
        facts.untold += untold(store, (params, facts.period), (&stream, &gaps)).await?;
    }
    for gap in gaps {
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
    rest(store, params, report, &mut facts).await?;
    Ok(facts)
}

/// Numbers of a stream that are not there and of which no gap tells: it is looked for them every few minutes, and of more holes than are
/// named it is not known when they were.
async fn untold(
    store: &Store,
    (params, period): (&ReportParams, Span),
    (stream, gaps): (&StreamStatus, &[Gap]),
) -> Result<u64, ReportError> {
    let told = |range: (u64, u64)| gaps.iter().any(|gap| gap.tells_missing(stream.stream, range));
    let count = |(first, last): (u64, u64)| last - first + 1;
    let mut untold = 0;
    if stream.missing.len() >= store::MISSING_MAX {
        let named: u64 = stream.missing.iter().copied().map(count).sum();
        untold += (stream.last_seq + 1).saturating_sub(stream.seqs).saturating_sub(named);
    }
    for range in stream.missing.iter().copied().filter(|range| !told(*range)) {
        let (since, until) = store.around(&params.tenant, stream.stream, range).await?;
        if since.unwrap_or(i64::MIN) < period.to && until.unwrap_or(i64::MAX) >= period.from {
            untold += count(range);
        }
    }
    Ok(untold)
}

/// Of what rights are made. A snapshot that lacks something else (sessions, ways to sign in) still says who holds what.
const RIGHTS: &str = "'clients', 'service_accounts', 'roles', 'groups', 'default_groups', 'users', 'members', 'role_users', 'role_groups', 'composites'";

/// Beginning of the last snapshot of a Keycloak before the instant in which all is complete of which rights are made.
async fn last_snapshot(store: &Store, order: &Order) -> Result<Option<i64>, ReportError> {
    let keycloaks: Vec<_> = order.sources.iter().filter(|one| one.kind == "keycloak").collect();
    let sql = &format!(
        "WITH [{RIGHTS}] AS rights SELECT source_id, max(toUnixTimestamp64Milli(began)) FROM snapshots WHERE tenant = {{tenant:String}} \
        AND ended <= fromUnixTimestamp64Milli({{to:Int64}}, 'UTC') AND (complete OR snapshot IN (\
            SELECT snapshot FROM snapshot_areas WHERE tenant = {{tenant:String}} AND has(rights, area) GROUP BY snapshot \
            HAVING countIf(outcome NOT IN ('complete', 'not_there')) = 0 AND uniqExact(area) = length(rights))) \
        GROUP BY source_id ORDER BY source_id"
    );
    let rows = ask(store, sql, &order.params).await?;
    let of = |id: &str| rows.iter().find(|row| row[0] == id).and_then(|row| row[1].as_i64());
    // The least of them: what any of them proves, all do.
    let last: Option<Vec<i64>> = keycloaks.iter().map(|one| of(&one.source_id)).collect();
    Ok(last.and_then(|last| last.into_iter().min()))
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
        let positions = "SELECT stream, next, beyond FROM correlated WHERE tenant = {tenant:String} AND stream != repeat('0', 32) ORDER BY stream";
        for row in ask(store, positions, params).await? {
            let stream = crate::format::text(&row[0]);
            let number = |value: &Value| value.as_u64().unwrap_or_default();
            facts.positions.push((stream.clone(), number(&row[1])));
            let beyond = row[2].as_array().into_iter().flatten();
            facts.beyond.extend(beyond.map(|range| (stream.clone(), number(&range[0]), number(&range[1]))));
        }
        // A number that is missing holds up those before it alone; what comes there after all is correlated when a range holds it.
        let behind = "SELECT count() FROM receipts AS r LEFT ASOF JOIN (SELECT stream, range.1 AS first, range.2 AS end FROM (\
                SELECT stream, arrayJoin(arrayPushFront(beyond, (toUInt64(0), next))) AS range FROM correlated WHERE tenant = {tenant:String})) AS c \
            ON lower(hex(r.stream)) = c.stream AND r.seq >= c.first WHERE r.tenant = {tenant:String} AND r.fate = 'event' \
            AND r.minute >= intDiv({from:Int64}, 60000) AND r.minute < intDiv({to:Int64} + 59999, 60000) AND r.seq >= c.end";
        facts.uncorrelated = ask(store, behind, params).await?.first().and_then(|row| row[0].as_u64());
    }
    missing(store, params, facts).await?;
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

/// What must have happened and nobody told: a loss of deliveries, whatever the report is about.
async fn missing(store: &Store, params: &ReportParams, facts: &mut Facts) -> Result<(), ReportError> {
    let count = format!("SELECT count() {MISSING}");
    facts.missing_count = ask(store, &count, params).await?.first().and_then(|row| row[0].as_u64()).unwrap_or_default();
    let first = format!(
        "SELECT toString(right_kind), right_id, toString(missing), toString(after), toString(before), arrayStringConcat(causes, ' or '), person \
         {MISSING} ORDER BY after, person, right_id, right_kind, missing LIMIT {MISSING_TOLD}"
    );
    for row in ask(store, &first, params).await? {
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
    Ok(())
}

pub(super) async fn ask(store: &Store, sql: &str, params: &ReportParams) -> Result<Vec<Vec<Value>>, ReportError> {
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
