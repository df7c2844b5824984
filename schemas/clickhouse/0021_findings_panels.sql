-- What panels ask of the register of findings. It grows with what is found, never with what is decided.

-- Findings of a span, and all that stand whatever the span: times are UTC milliseconds, [from, to). `age_seconds` counts from when it was
-- opened. Of the evidence the last decision is named, with its session, where it is a person's.
CREATE OR REPLACE VIEW {database}.register_in {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT f.tenant AS tenant, f.finding_id AS finding_id, f.rule AS rule, f.person AS person, f.severity AS severity, f.confidence AS confidence,
    f.first_at AS first_at, f.last_at AS last_at, f.opened_at AS opened_at, f.state AS state,
    toUInt8(f.standing = 'open' AND f.state IN ('OPEN', 'ACKNOWLEDGED', 'SUPPRESSED')) AS stands,
    greatest(dateDiff('second', f.opened_at, now64(3)), 0) AS age_seconds,
    -- the values in one line, as `tokentrail findings list` writes them: without times, which have columns of their own, and empty ones
    arrayStringConcat(arrayMap(v -> concat(replaceAll(v.1, '_', ' '), ' ', if(startsWith(v.2, '"'), JSONExtractString(v.2), v.2)),
        arraySort(arrayFilter(v -> NOT endsWith(v.1, '_ms') AND v.2 NOT IN ('""', '[]', 'null'), JSONExtractKeysAndValuesRaw(f.detail)))), ', ') AS said,
    if(d.event_id = toUUID('00000000-0000-0000-0000-000000000000'), '', toString(d.event_id)) AS decision, d.session_id AS session_id, f.owner AS owner
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

-- The events on which a finding rests, as the first of their inputs tells each. Empty for an id that is none.
CREATE OR REPLACE VIEW {database}.evidence_of {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT e.tenant AS tenant, e.source_id AS source_id, e.time AS time, e.event_id AS event_id, toString(e.kind) AS kind, toString(e.outcome) AS outcome,
    if(e.person = toFixedString('', 16), '', lower(hex(e.person))) AS person, e.session_id AS session_id,
    multiIf(e.permission != '', toString(e.permission), e.right_name != '', e.right_name, e.resource) AS what,
    concat(lower(hex(e.stream)), '/', toString(e.seq)) AS receipt
FROM {database}.event_rows AS e FINAL
WHERE e.tenant = {tenant:String}
  -- evidence lies at most a day before the finding: the failures before the login that is one
  AND e.time >= (SELECT min(first_at) - INTERVAL 1 DAY FROM {database}.finding_rows WHERE tenant = {tenant:String} AND finding_id = toUUIDOrZero({finding:String}))
  AND e.time <= (SELECT max(last_at) + INTERVAL 1 DAY FROM {database}.finding_rows WHERE tenant = {tenant:String} AND finding_id = toUUIDOrZero({finding:String}))
  AND e.event_id IN (SELECT arrayJoin(evidence) FROM {database}.finding_rows FINAL WHERE tenant = {tenant:String} AND finding_id = toUUIDOrZero({finding:String}))
ORDER BY indexOf(['webhook', 'pull', 'lines', 'import', 'snapshot', 'operator', 'collector', 'heartbeat'], toString(e.input))
LIMIT 1 BY e.tenant, e.source_id, e.event_id;
