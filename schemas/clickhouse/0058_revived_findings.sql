-- What was closed stands again where it goes on or gets worse afterwards: the rules answer the act by which it was closed (`revived`). Whether they
-- do follows from the act and from what the finding says now, so a register that is filled anew from the log is the one that was lost.

-- Of `closed`: how bad the finding was to whoever closed it; empty: not said.
ALTER TABLE {database}.finding_change_rows {on_cluster} ADD COLUMN IF NOT EXISTS severity LowCardinality(String);
-- When the last act was made that a step of the rules answers. An act that is read later and was made later is not answered by it.
ALTER TABLE {database}.finding_change_rows {on_cluster} ADD COLUMN IF NOT EXISTS answers Nullable(DateTime64(3, 'UTC'));

-- A finding is suppressed by itself, or because it is of a rule and a person or source that are. What is over is over, whoever was
-- silent about it: `over_unheard` says that it ended while it was suppressed. A suppression of one finding can be ended before its time.
-- What is found again after it was over or withdrawn is handled as it was: only a step that answers (`revived`; what is so now, was
-- over, and is so again) takes that back.
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
    c.opened_at AS opened_at, c.standing AS standing, c.handling AS handling, c.handled_at AS handled_at, c.handled_severity AS handled_severity, c.changes AS changes, c.last_change_at AS changed_at,
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
        argMaxIf(multiIf(x.what IN ('opened', 'reopened'), 'open', toString(x.what)), x.changed_at, x.actor = 'rules' AND x.what != 'revived') AS standing,
        -- the last word of people, unless the rules answered it
        maxIf(x.changed_at, x.what IN ('acknowledged', 'closed')) AS handled_at,
        argMaxIf(toString(x.severity), (x.changed_at, x.change_id), x.what IN ('acknowledged', 'closed')) AS handled_severity,
        -- (a release from before said that it began anew by reopening it)
        if(ifNull(max(if(x.what = 'reopened' AND x.reason = 'it began after somebody had dealt with it', toNullable(x.changed_at), x.answers)) >= handled_at, 0), '',
            argMaxIf(toString(x.what), (x.changed_at, x.change_id), x.what IN ('acknowledged', 'closed'))) AS handling,
        minIf(x.changed_at, x.what = 'suppressed') AS quiet_from,
        -- `unsuppressed` is a suppression that ends then
        argMaxIf(if(x.what = 'unsuppressed', toNullable(x.changed_at), x.until), x.changed_at, x.what IN ('suppressed', 'unsuppressed')) AS quiet_to,
        argMaxIf(x.actor, x.changed_at, x.what IN ('acknowledged', 'closed', 'suppressed', 'unsuppressed')) AS owner,
        countIf(x.actor = 'rules') AS changes,
        max(x.changed_at) AS last_change_at
    FROM (SELECT * FROM {database}.finding_change_rows FINAL) AS x
    GROUP BY x.tenant, x.finding_id
) AS c ON f.tenant = c.tenant AND f.finding_id = c.finding_id;

-- Findings that stand, whether somebody looks at them or is silent about them, as `findings` says it.
CREATE OR REPLACE VIEW {database}.exceptions {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT f.tenant AS tenant, f.finding_id AS finding_id, f.severity AS severity, c.opened_at AS opened_at
FROM (SELECT tenant, finding_id, toString(severity) AS severity FROM {database}.finding_rows FINAL) AS f
INNER JOIN
(
    SELECT x.tenant AS tenant, x.finding_id AS finding_id, minIf(x.changed_at, x.what = 'opened') AS opened_at
    FROM {database}.finding_change_rows AS x FINAL
    GROUP BY x.tenant, x.finding_id
    HAVING argMaxIf(multiIf(x.what IN ('opened', 'reopened'), 'open', toString(x.what)), x.changed_at, x.actor = 'rules' AND x.what != 'revived') = 'open'
       AND (ifNull(max(if(x.what = 'reopened' AND x.reason = 'it began after somebody had dealt with it', toNullable(x.changed_at), x.answers)) >= maxIf(x.changed_at, x.what IN ('acknowledged', 'closed')), 0)
         OR argMaxIf(toString(x.what), (x.changed_at, x.change_id), x.what IN ('acknowledged', 'closed')) != 'closed')
) AS c ON c.tenant = f.tenant AND c.finding_id = f.finding_id;
