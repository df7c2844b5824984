//! Reads what is known of each source: heartbeats, watermarks, counts, and what they prove.

use super::{Facts, ScopeFact, SourceFact, Standing, proven::proven, read::ask};
use crate::{ReportError, format::text, report::Report, run::Order};
use serde_json::Value;
use store::{ReportParams, Store};

const IN_MINUTES: &str =
    "cell < 2147483648 AND cell >= intDiv({from:Int64}, 60000) AND cell < intDiv({to:Int64} + 59999, 60000)";

/// Reads what is known of each source that the report rests on.
pub(super) async fn sources(
    store: &Store,
    (order, params): (&Order, &ReportParams),
    report: &Report,
    facts: &mut Facts,
) -> Result<(), ReportError> {
    let rests_on = |kind: &str| report.needs.is_empty() || report.needs.iter().any(|need| need.as_str() == kind);
    for source in order.sources.iter().filter(|one| rests_on(&one.kind)) {
        let (source_id, kind) = (source.source_id.clone(), source.kind.clone());
        facts.sources.push(SourceFact { source_id, kind, ..SourceFact::default() });
    }
    // One of a kind that nothing tells may be of any.
    facts
        .sources
        .extend(left(store, params).await?.into_iter().filter(|one| one.kind.is_empty() || rests_on(&one.kind)));
    for kind in report.needs {
        if !facts.sources.iter().any(|one| one.kind == kind.as_str() && one.standing != Standing::LeftBefore) {
            facts.lacking_kinds.push(kind.as_str().to_owned());
        }
    }
    let watermarks = store.watermarks(&params.tenant).await?;
    let claims = store.claims(&params.tenant).await?;
    let beats = beats(store, params).await?;
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
        let own: Vec<&Beats> = beats.iter().filter(|one| one.source_id == source.source_id).collect();
        source.heartbeats_sent = own.iter().map(|one| one.sent).sum();
        source.heartbeats_received = own.iter().map(|one| one.received).sum();
        let scopes =
            order.sources.iter().find(|one| one.source_id == source.source_id).and_then(|one| one.scopes.as_ref());
        source.scopes = expected(scopes, &own);
        let number = |row: &[Value], at: usize| row.get(at).and_then(Value::as_u64).unwrap_or_default();
        if let Some(row) = counts.iter().find(|row| row[0] == source.source_id.as_str()) {
            (source.stored, source.duplicate) = (number(row, 1), number(row, 2));
            source.at_source = (number(row, 3) > 0).then(|| number(row, 4));
        }
        // What one that left pushed, nobody says.
        let pulls_alone = scopes.is_none() && source.standing == Standing::Configured;
        let pulled = pulls_alone.then(|| counts_of(&oldest, &source.source_id)).flatten();
        proven(source, (&claims, pulled));
    }
    Ok(())
}

/// Heartbeats of one realm or instance.
struct Beats {
    source_id: String,
    scope: ScopeFact,
    /// Sent in the period, and of these come back.
    sent: u64,
    received: u64,
}

async fn beats(store: &Store, params: &ReportParams) -> Result<Vec<Beats>, ReportError> {
    let sql = "WITH sent_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND sent_at < fromUnixTimestamp64Milli({to:Int64}, 'UTC') AS within \
        SELECT source_id, scope, toUnixTimestamp64Milli(min(sent_at)), minOrNullIf(toUnixTimestamp64Milli(sent_at), notEmpty(seen)), \
        countIf(within), countIf(within AND notEmpty(seen)) \
        FROM heartbeats WHERE tenant = {tenant:String} GROUP BY source_id, scope ORDER BY source_id, scope";
    let one = |row: Vec<Value>| {
        let number = |at: usize| row.get(at).and_then(Value::as_u64).unwrap_or_default();
        let time = |at: usize| row.get(at).and_then(Value::as_i64);
        let scope = ScopeFact { scope: text(&row[1]), first_sent: time(2), first_back: time(3) };
        Beats { source_id: text(&row[0]), scope, sent: number(4), received: number(5) }
    };
    Ok(ask(store, sql, params).await?.into_iter().map(one).collect())
}

/// Scopes whose heartbeats count: one that the config names no more is asked for nothing.
fn expected(named: Option<&Vec<String>>, own: &[&Beats]) -> Vec<ScopeFact> {
    let Some(named) = named else { return own.iter().map(|one| one.scope.clone()).collect() };
    let of = |scope: &String| {
        let known = own.iter().find(|one| one.scope.scope == *scope).map(|one| one.scope.clone());
        known.unwrap_or_else(|| ScopeFact { scope: scope.clone(), ..ScopeFact::default() })
    };
    named.iter().map(of).collect()
}

fn counts_of(rows: &[Vec<Value>], source: &str) -> Option<i64> {
    rows.iter().find(|row| row[0] == source).and_then(|row| row[1].as_i64())
}

/// Sources that the config names no more and of which something is of the period: taking one out of the config takes nothing out of
/// what is known. What was heard of one makes it expected; a gap alone is listed.
async fn left(store: &Store, params: &ReportParams) -> Result<Vec<SourceFact>, ReportError> {
    let known = format!(
        "SELECT source_id, max(of_it) FROM (
            SELECT source_id, toUInt8(1) AS of_it FROM cells WHERE tenant = {{tenant:String}} AND {IN_MINUTES}
            UNION ALL SELECT source_id, toUInt8(1) FROM heartbeats WHERE tenant = {{tenant:String}}
                AND sent_at >= fromUnixTimestamp64Milli({{from:Int64}}, 'UTC') AND sent_at < fromUnixTimestamp64Milli({{to:Int64}}, 'UTC')
            UNION ALL SELECT source_id, toUInt8(0) FROM gaps WHERE tenant = {{tenant:String}}
                AND since < fromUnixTimestamp64Milli({{to:Int64}}, 'UTC') AND (until IS NULL OR until > fromUnixTimestamp64Milli({{from:Int64}}, 'UTC'))
        ) WHERE source_id NOT IN ('', '{}') AND NOT has({{sources:Array(String)}}, source_id) GROUP BY source_id ORDER BY source_id",
        store::OWN_RECORDS
    );
    let mut left = Vec::new();
    for row in ask(store, &known, params).await? {
        let source_id = text(&row[0]);
        let standing = if row[1] == 1 { Standing::Left } else { Standing::LeftBefore };
        let one = ReportParams { sources: vec![source_id.clone()], ..params.clone() };
        let kind = "SELECT toString(source_kind) FROM event_rows WHERE tenant = {tenant:String} AND source_id = {sources:Array(String)}[1] \
            AND source_kind IN ('keycloak', 'backstage') LIMIT 1";
        let kind = ask(store, kind, &one).await?.first().map(|row| text(&row[0])).unwrap_or_default();
        left.push(SourceFact { source_id, kind, standing, ..SourceFact::default() });
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scopes_that_the_config_names_are_asked_for() {
        let scope = |name: &str| ScopeFact { scope: name.into(), first_sent: Some(1), first_back: Some(2) };
        let beats = |name: &str| Beats { source_id: "kc".into(), scope: scope(name), sent: 1, received: 1 };
        let (acme, gone) = (beats("acme"), beats("gone"));
        let named = vec!["acme".to_owned(), "new".to_owned()];
        let new = ScopeFact { scope: "new".into(), ..ScopeFact::default() };
        assert_eq!(expected(Some(&named), &[&acme, &gone]), [scope("acme"), new]);
        assert_eq!(expected(None, &[&acme, &gone]), [scope("acme"), scope("gone")]);
    }
}
