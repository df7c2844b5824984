-- Suppressions of more than one finding: a rule for one person, or a rule for one source. Written by people; append only.

-- Every change of a suppression: who, when, why. A change that is written twice has one id.
CREATE TABLE IF NOT EXISTS {database}.suppression_rows {on_cluster}
(
    tenant LowCardinality(String),
    suppression_id UUID CODEC(NONE),
    change_id UUID CODEC(NONE),
    changed_at DateTime64(3, 'UTC'),
    -- made, ended
    what LowCardinality(String),
    rule LowCardinality(String),
    -- person (a person key), source (a source id)
    subject_kind LowCardinality(String),
    subject String CODEC(ZSTD(1)),
    -- who answers for it, and who wrote the change; personal
    owner String CODEC(ZSTD(1)),
    actor String CODEC(ZSTD(1)),
    reason String CODEC(ZSTD(1)),
    -- from here on it counts no more: its expiry, or when it was ended
    until DateTime64(3, 'UTC')
)
ENGINE = {replicated}ReplacingMergeTree
ORDER BY (tenant, suppression_id, change_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Each suppression with what became of it. `until` is what was asked for, `over_at` when it is over, `ended_by` who ended it before.
CREATE OR REPLACE VIEW {database}.suppressions {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT x.tenant AS tenant, x.suppression_id AS suppression_id, anyIf(toString(x.rule), x.what = 'made') AS rule,
    anyIf(toString(x.subject_kind), x.what = 'made') AS subject_kind, anyIf(x.subject, x.what = 'made') AS subject,
    anyIf(x.owner, x.what = 'made') AS owner, anyIf(x.actor, x.what = 'made') AS made_by, minIf(x.changed_at, x.what = 'made') AS made_at,
    anyIf(x.reason, x.what = 'made') AS reason, maxIf(x.until, x.what = 'made') AS until, min(x.until) AS over_at,
    argMinIf(x.actor, x.changed_at, x.what = 'ended') AS ended_by, argMinIf(x.reason, x.changed_at, x.what = 'ended') AS ended_because,
    toUInt8(over_at > now64(3)) AS in_force
FROM (SELECT * FROM {database}.suppression_rows FINAL) AS x
GROUP BY x.tenant, x.suppression_id
HAVING countIf(x.what = 'made') > 0;

-- A finding is suppressed by itself, or because it is of a rule and a person or source that are. What is over is over, whoever was
-- silent about it: `over_unheard` says that it ended while it was suppressed. A suppression of one finding can be ended before its time.
CREATE OR REPLACE VIEW {database}.findings {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
WITH
    -- Spans of suppressions by tenant, rule and whom or what they are for, as `suppressions` says, which would be planned by itself.
    (
        SELECT mapFromArrays(groupArray(told), groupArray(spans)) FROM
        (
            SELECT concat(g.tenant, '|', g.rule, '|', g.subject_kind, '|', g.subject) AS told, groupArray((g.made_at, g.over_at, g.owner, toString(g.id))) AS spans
            FROM
            (
                SELECT toString(x.tenant) AS tenant, x.suppression_id AS id, anyIf(toString(x.rule), x.what = 'made') AS rule,
                    anyIf(toString(x.subject_kind), x.what = 'made') AS subject_kind, anyIf(x.subject, x.what = 'made') AS subject,
                    anyIf(x.owner, x.what = 'made') AS owner, minIf(x.changed_at, x.what = 'made') AS made_at, min(x.until) AS over_at
                FROM {database}.suppression_rows AS x FINAL
                GROUP BY x.tenant, x.suppression_id
                HAVING countIf(x.what = 'made') > 0
            ) AS g
            GROUP BY told
        )
    ) AS groups,
    -- (from, to, owner, id of the group; empty: of this finding alone)
    arrayConcat(if(c.quiet_to IS NULL, [], [(c.quiet_from, assumeNotNull(c.quiet_to), c.owner, '')]),
        groups[concat(toString(f.tenant), '|', toString(f.rule), '|person|', f.person)],
        groups[concat(toString(f.tenant), '|', toString(f.rule), '|source|', JSONExtractString(f.detail, 'source'))]) AS spans,
    -- those that count now, the longest first
    arrayReverseSort(q -> q.2, arrayFilter(q -> q.1 <= now64(3) AND q.2 > now64(3), spans)) AS quiet
SELECT f.tenant AS tenant, f.finding_id AS finding_id, toString(f.rule) AS rule, f.rule_version AS rule_version, f.person AS person,
    toString(f.severity) AS severity, toString(f.confidence) AS confidence, f.first_at AS first_at, f.last_at AS last_at,
    f.detail AS detail, f.evidence AS evidence, f.receipts AS receipts, f.content AS content,
    c.opened_at AS opened_at, c.standing AS standing, c.handling AS handling, c.changes AS changes, c.last_change_at AS changed_at,
    if(c.owner = '' AND notEmpty(quiet), quiet[1].3, c.owner) AS owner,
    if(empty(quiet), c.quiet_to, quiet[1].2) AS suppressed_until,
    multiIf(c.standing = 'withdrawn', 'WITHDRAWN', c.handling = 'closed', 'CLOSED', c.standing = 'ended', 'ENDED',
        notEmpty(quiet), 'SUPPRESSED', c.handling = 'acknowledged', 'ACKNOWLEDGED', 'OPEN') AS state,
    if(empty(quiet), '', quiet[1].4) AS suppression,
    toUInt8(c.standing = 'ended' AND arrayExists(q -> q.1 <= c.ended_at AND q.2 > c.ended_at, spans)) AS over_unheard
FROM (SELECT * FROM {database}.finding_rows FINAL) AS f
LEFT JOIN
(
    SELECT x.tenant AS tenant, x.finding_id AS finding_id,
        minIf(x.changed_at, x.what = 'opened') AS opened_at,
        maxIf(x.changed_at, x.what = 'ended') AS ended_at,
        argMaxIf(multiIf(x.what IN ('opened', 'reopened'), 'open', toString(x.what)), x.changed_at, x.actor = 'rules') AS standing,
        -- what the rules find again after it was closed stands again
        if(maxIf(x.changed_at, x.what = 'reopened') > maxIf(x.changed_at, x.what IN ('acknowledged', 'closed')), '',
            argMaxIf(toString(x.what), x.changed_at, x.what IN ('acknowledged', 'closed'))) AS handling,
        minIf(x.changed_at, x.what = 'suppressed') AS quiet_from,
        -- `unsuppressed` is a suppression that ends then
        argMaxIf(if(x.what = 'unsuppressed', toNullable(x.changed_at), x.until), x.changed_at, x.what IN ('suppressed', 'unsuppressed')) AS quiet_to,
        argMaxIf(x.actor, x.changed_at, x.what IN ('acknowledged', 'closed', 'suppressed', 'unsuppressed')) AS owner,
        countIf(x.actor = 'rules') AS changes,
        max(x.changed_at) AS last_change_at
    FROM (SELECT * FROM {database}.finding_change_rows FINAL) AS x
    GROUP BY x.tenant, x.finding_id
) AS c ON f.tenant = c.tenant AND f.finding_id = c.finding_id;

-- As before, and until when nobody is told of what is suppressed.
CREATE OR REPLACE VIEW {database}.register_in {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT f.tenant AS tenant, f.finding_id AS finding_id, f.rule AS rule, f.person AS person, f.severity AS severity, f.confidence AS confidence,
    f.first_at AS first_at, f.last_at AS last_at, f.opened_at AS opened_at, f.state AS state,
    toUInt8(f.standing = 'open' AND f.state IN ('OPEN', 'ACKNOWLEDGED', 'SUPPRESSED')) AS stands,
    greatest(dateDiff('second', f.opened_at, now64(3)), 0) AS age_seconds,
    -- the values in one line, as `tokentrail findings list` writes them: without times, which have columns of their own, and empty ones
    arrayStringConcat(arrayMap(v -> concat(replaceAll(v.1, '_', ' '), ' ', if(startsWith(v.2, '"'), JSONExtractString(v.2), v.2)),
        arraySort(arrayFilter(v -> NOT endsWith(v.1, '_ms') AND v.2 NOT IN ('""', '[]', 'null'), JSONExtractKeysAndValuesRaw(f.detail)))), ', ') AS said,
    if(d.event_id = toUUID('00000000-0000-0000-0000-000000000000'), '', toString(d.event_id)) AS decision, d.session_id AS session_id, f.owner AS owner,
    if(f.state = 'SUPPRESSED', f.suppressed_until, NULL) AS quiet_until
FROM
(
    SELECT * FROM {database}.findings
    WHERE (standing = 'open' AND state IN ('OPEN', 'ACKNOWLEDGED', 'SUPPRESSED'))
       OR (first_at < fromUnixTimestamp64Milli({to:Int64}, 'UTC') AND last_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC'))
) AS f
LEFT JOIN
(
    SELECT e.finding_id AS finding_id, argMax(c.event_id, c.at) AS event_id, argMax(c.session_id, c.at) AS session_id
    FROM (SELECT tenant, finding_id, arrayJoin(evidence) AS event_id FROM {database}.finding_rows FINAL WHERE person != '') AS e
    INNER JOIN
    (
        SELECT tenant, at, event_id, session_id FROM {database}.decision_rows FINAL
        WHERE (tenant, person) IN (SELECT tenant, person FROM {database}.finding_rows WHERE person != '')
          AND event_id IN (SELECT arrayJoin(evidence) FROM {database}.finding_rows WHERE person != '')
    ) AS c ON c.tenant = e.tenant AND c.event_id = e.event_id
    GROUP BY e.finding_id
) AS d ON d.finding_id = f.finding_id;
