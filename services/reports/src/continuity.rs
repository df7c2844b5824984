//! R11 continuity and integrity: per source and hour, what was expected, what came, by which way, and what is missing.

use crate::report::{Chart, Column, Report, Span, column, no_source};

const COLUMNS: &[Column] = &[
    column("hour", "beginning of the hour, UTC", "the period"),
    column("source_id", "source", "coverage.source_id"),
    column("heartbeats_expected", "by the configured interval and scopes; empty: none are configured", "the config"),
    column("heartbeats_sent", "as the collector sent them", "heartbeats"),
    column("heartbeats_received", "of these, seen again by any input", "heartbeats"),
    column("longest_way_ms", "longest time that one took", "heartbeats"),
    column(
        "at_source",
        "events at the source, as far as pull read them, those that were not understood too; empty: the source is not pulled",
        "coverage.at_source",
    ),
    column("stored", "events stored", "coverage.stored"),
    column("difference", "of those at the source, how many are no stored events", "cells.dead, cells.ignored"),
    column(
        "lost_by_webhook",
        "events that only pull brought, from the minute of the first event by webhook or topic on",
        "cells.alone",
    ),
    column("healed_by_pull", "of these, stored now", "cells.alone"),
    column(
        "webhook_only",
        "events that only webhook or topic brought: of types that the source does not save",
        "cells.alone",
    ),
    column("duplicate", "further copies", "cells"),
    column("ignored", "understood, and no event", "cells"),
    column("dead", "not understood", "cells.dead"),
    column("possible_duplicate", "stored ones that nothing tells from a repeat", "cells"),
    column("gaps", "gaps that touch the hour: input, cause, from, to, what repaired it", "gaps"),
    column("unrepaired_gap_seconds", "of the hour within gaps that nothing repaired", "gaps"),
    column(
        "state",
        "complete; listed gap; unproven: nothing proves that everything of it arrived",
        "heartbeats, watermarks, claims, gaps",
    ),
    column(
        "journal_verified",
        "whether the journal's bytes are as they were written: of all that it keeps, the sheet says it",
        "always on the sheet",
    ),
    no_source("clock_offset", "offset of the source's clock to NTP"),
    column("basis", "what the row rests on", "always counts of receipts and heartbeats"),
    column("confidence", "always proven: counts of what is stored", "always proven"),
];

/// Hours of the period for each source that the config names or of which something is of the period; the first and last may be cut by
/// it. Records of Tokentrail itself are no source: what is missing of them is on the sheet.
macro_rules! hours {
    () => {
        "WITH known AS (
    SELECT DISTINCT source_id FROM (
        SELECT arrayJoin({sources:Array(String)}) AS source_id
        UNION ALL SELECT DISTINCT source_id FROM cells WHERE tenant = {tenant:String} AND cell < 2147483648
            AND cell >= intDiv({from:Int64}, 60000) AND cell < intDiv({to:Int64} + 59999, 60000)
        UNION ALL SELECT DISTINCT source_id FROM heartbeats WHERE tenant = {tenant:String}
            AND sent_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND sent_at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
        UNION ALL SELECT DISTINCT source_id FROM gaps WHERE tenant = {tenant:String}
            AND since < fromUnixTimestamp64Milli({to:Int64}, 'UTC') AND (until IS NULL OR until > fromUnixTimestamp64Milli({from:Int64}, 'UTC'))
    ) WHERE source_id NOT IN ('', '(tokentrail)')
), hours AS (
    SELECT source_id, arrayJoin(range(toInt64(intDiv({from:Int64}, 3600000)), toInt64(intDiv({to:Int64} + 3599999, 3600000)))) AS hour FROM known
)"
    };
}

const SQL: &str = concat!(
    hours!(),
    ", beats AS (
    SELECT source_id, toInt64(intDiv(toUnixTimestamp64Milli(sent_at), 3600000)) AS hour, count() AS sent, countIf(notEmpty(seen)) AS back,
        maxOrNull(if(notEmpty(seen), toUnixTimestamp64Milli(arrayMin(x -> x.3, seen)) - toUnixTimestamp64Milli(sent_at), NULL)) AS longest
    FROM heartbeats WHERE tenant = {tenant:String}
      AND sent_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND sent_at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
    GROUP BY source_id, hour
), pushing AS (
    SELECT source_id, min(cell) AS first FROM cells
    WHERE tenant = {tenant:String} AND input IN ('webhook', 'kafka') AND events > 0 AND cell < 2147483648 GROUP BY source_id
), counted AS (
    SELECT l.source_id AS source_id, toInt64(intDiv(l.cell, 60)) AS hour, sum(l.stored) AS stored, sum(toInt64(l.events) - toInt64(l.stored)) AS duplicate,
        sum(l.ignored) AS ignored, sum(l.dead) AS dead, sum(l.possible_duplicate) AS possible,
        sumIf(l.alone, l.input = 'pull' AND p.first > 0 AND l.cell >= p.first) AS lost, sumIf(l.alone, l.input IN ('webhook', 'kafka')) AS webhook_alone,
        sumIf(l.alone, l.input = 'pull') + sum(l.both) AS by_pull, sumIf(l.dead + l.ignored, l.input = 'pull') AS unlike,
        countIf(l.input = 'pull' AND l.events + l.dead > 0) AS pulled
    FROM cells AS l LEFT ANY JOIN pushing AS p ON p.source_id = l.source_id
    WHERE l.tenant = {tenant:String} AND l.cell < 2147483648
      AND l.cell >= intDiv({from:Int64}, 60000) AND l.cell < intDiv({to:Int64} + 59999, 60000)
    GROUP BY source_id, hour
), missing AS (
    SELECT h.source_id AS source_id, h.hour AS hour,
        arraySort(groupArray(concat(toString(g.input), ' ', toString(g.cause), if(g.scope = '', '', concat(' (', g.scope, ')')), ' from ', toString(g.since), ' to ',
            ifNull(toString(g.until), 'now'), if(g.repaired_at IS NULL, '', concat(', repaired by ', toString(g.repaired_by)))))) AS gaps,
        arraySort(groupArrayIf((greatest(toUnixTimestamp64Milli(g.since), h.hour * 3600000, {from:Int64}),
            least(ifNull(toUnixTimestamp64Milli(g.until), {to:Int64}), h.hour * 3600000 + 3600000, {to:Int64})), g.repaired_at IS NULL)) AS open
    FROM hours AS h CROSS JOIN gaps AS g
    WHERE g.tenant = {tenant:String} AND (g.source_id = h.source_id OR g.source_id = '')
      AND toUnixTimestamp64Milli(g.since) < least(h.hour * 3600000 + 3600000, {to:Int64})
      AND ifNull(toUnixTimestamp64Milli(g.until), {to:Int64}) > greatest(h.hour * 3600000, {from:Int64})
    GROUP BY source_id, hour
)
SELECT
    fromUnixTimestamp64Milli(toInt64(h.hour) * 3600000, 'UTC') AS hour,
    h.source_id AS source_id,
    if({intervals:Array(Int64)}[indexOf({sources:Array(String)}, h.source_id)] = 0, NULL,
        intDiv(least(toInt64(h.hour) * 3600000 + 3600000, {to:Int64}) - greatest(toInt64(h.hour) * 3600000, {from:Int64}),
            {intervals:Array(Int64)}[indexOf({sources:Array(String)}, h.source_id)])) AS heartbeats_expected,
    b.sent AS heartbeats_sent,
    b.back AS heartbeats_received,
    b.longest AS longest_way_ms,
    if(c.pulled > 0, c.by_pull + c.unlike, NULL) AS at_source,
    c.stored AS stored,
    if(c.pulled > 0, c.unlike, NULL) AS difference,
    c.lost AS lost_by_webhook,
    c.lost AS healed_by_pull,
    if(c.pulled > 0, c.webhook_alone, 0) AS webhook_only,
    c.duplicate AS duplicate,
    c.ignored AS ignored,
    c.dead AS dead,
    c.possible AS possible_duplicate,
    m.gaps AS gaps,
    arrayFold((a, x) -> (a.1 + greatest(0, x.2 - greatest(x.1, a.2)), greatest(a.2, x.2)), m.open, (toInt64(0), toInt64(0))).1 / 1000 AS unrepaired_gap_seconds,
    multiIf(unrepaired_gap_seconds > 0, 'listed gap',
        arrayExists((s, f, t) -> s = h.source_id AND f <= greatest(toInt64(h.hour) * 3600000, {from:Int64})
                AND t >= least(toInt64(h.hour) * 3600000 + 3600000, {to:Int64}),
            {proven_sources:Array(String)}, {proven_from:Array(Int64)}, {proven_to:Array(Int64)}), 'complete', 'unproven') AS state,
    'on the sheet' AS journal_verified,
    'none on record' AS clock_offset,
    'counts' AS basis,
    'proven' AS confidence
FROM hours AS h
LEFT ANY JOIN beats AS b ON b.source_id = h.source_id AND b.hour = h.hour
LEFT ANY JOIN counted AS c ON c.source_id = h.source_id AND c.hour = h.hour
LEFT ANY JOIN missing AS m ON m.source_id = h.source_id AND m.hour = h.hour
ORDER BY hour, source_id"
);

const TOTALS: &str = concat!(
    hours!(),
    "
SELECT name, n FROM (
    SELECT 'rows' AS name, count() AS n FROM hours
    UNION ALL SELECT concat('stored/', source_id), sum(stored) FROM cells WHERE tenant = {tenant:String} AND cell < 2147483648
        AND cell >= intDiv({from:Int64}, 60000) AND cell < intDiv({to:Int64} + 59999, 60000) AND source_id != '' GROUP BY source_id
    UNION ALL SELECT 'heartbeats received', countIf(notEmpty(seen)) FROM heartbeats WHERE tenant = {tenant:String}
        AND sent_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND sent_at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
    UNION ALL SELECT 'state', sum(cityHash64(since, cause, ifNull(toString(until), ''), ifNull(toString(repaired_at), ''))) FROM gaps WHERE tenant = {tenant:String}
        AND since < fromUnixTimestamp64Milli({to:Int64}, 'UTC') AND (until IS NULL OR until > fromUnixTimestamp64Milli({from:Int64}, 'UTC'))
) ORDER BY name"
);

/// The report.
pub(crate) const REPORT: Report = Report {
    id: "R11",
    name: "continuity",
    version: "1.2.1",
    question: "Did everything arrive: per source and hour, which heartbeats were expected and came, what the source has against what is stored, what was lost and healed, and which gaps remain?",
    criteria: &["CC2.1", "CC4.1", "CC7.2", "A1.1"],
    span: Span::Period,
    needs: &[],
    columns: COLUMNS,
    brief: &[
        "hour",
        "source_id",
        "heartbeats_sent",
        "heartbeats_received",
        "at_source",
        "stored",
        "lost_by_webhook",
        "healed_by_pull",
        "dead",
        "unrepaired_gap_seconds",
        "state",
    ],
    key: &["hour", "source_id"],
    sql: SQL,
    totals: TOTALS,
    count: "",
    charts: &[
        Chart::OverTime { title: "Events stored per hour, by source", time: "hour", by: "source_id", weight: "stored" },
        Chart::OverTime { title: "Source hours by state", time: "hour", by: "state", weight: "" },
    ],
    evidence: "",
    derived: &[],
    exclusions: &["hours of sources that the config names no more and of which nothing is of the period"],
    limits: &[
        "counts are of whole minutes: a period that begins or ends within one includes all of it",
        "events that only their delivery tells from a repeat have no minute and are in no hour",
        "the journal's bytes are looked at on the machine that has the journal, unless the run leaves them out: the sheet says what was found; elsewhere `tokentrail journal verify` looks",
        "who read this tool's answers is not recorded yet",
    ],
    correlated: false,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_our_own_have_no_hours() {
        let without = format!("source_id NOT IN ('', '{}')", store::OWN_RECORDS);
        assert!(SQL.contains(&without) && TOTALS.contains(&without));
    }
}
