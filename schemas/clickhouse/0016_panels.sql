-- What dashboards ask (docs/dashboards.md), as views with parameters: the span of time and the person are always bounded, so
-- that no panel can read everything by mistake. Times are UTC milliseconds, [from, to). Nothing here is stored.

-- How long somebody was still allowed on a right that was gone, once per person, clock and removal: `seconds` is the longest
-- time after the removal at which a decision of the span let them in. Decisions without a person count one by one.
CREATE OR REPLACE VIEW {database}.exposures_in {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT d.tenant AS tenant, d.person AS person, toString(d.clock) AS clock, d.at - toIntervalMillisecond(assumeNotNull(d.delay_ms)) AS removed_at,
    min(d.at) AS first_at, max(d.at) AS last_at, count() AS decisions, max(assumeNotNull(d.delay_ms)) / 1000 AS seconds,
    countIf(d.verdict = 'violation') AS violations,
    -- the weakest grade that any of them has
    ['exact', 'session', 'inferred', 'none'][max(indexOf(['exact', 'session', 'inferred', 'none'], toString(d.grade)))] AS grade,
    argMax(d.event_id, d.at) AS last_event,
    arraySort(groupUniqArray(toString(d.permission))) AS permissions
FROM {database}.decision_rows AS d FINAL
WHERE d.at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND d.at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
  AND d.verdict IN ('exposure', 'violation') AND d.delay_ms IS NOT NULL
GROUP BY d.tenant, d.person, d.clock, removed_at, if(d.person = '', d.row_id, toFixedString('', 16));

-- Changes of rights, people, policies and configuration that sources told of, one row per event.
CREATE OR REPLACE VIEW {database}.changes_in {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT e.tenant AS tenant, e.source_id AS source_id, e.time AS time, e.event_id AS event_id, toString(e.kind) AS kind, toString(e.realm) AS realm,
    if(e.person = toFixedString('', 16), '', lower(hex(e.person))) AS person,
    if(if(bitTest(e.same, 1), e.person, e.actor) = toFixedString('', 16), '', lower(hex(if(bitTest(e.same, 1), e.person, e.actor)))) AS actor,
    toString(e.outcome) AS outcome, toString(e.right_kind) AS right_kind, e.right_id AS right_id, e.right_name AS right_name,
    toString(e.right_change) AS right_change, toString(e.resource_kind) AS resource_kind, e.resource AS resource
FROM {database}.event_rows AS e FINAL
WHERE e.time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND e.time < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
  AND e.data_class = 'administration'
ORDER BY indexOf(['webhook', 'pull', 'lines', 'import', 'snapshot', 'operator', 'collector', 'heartbeat'], toString(e.input))
LIMIT 1 BY e.tenant, e.source_id, e.event_id;

-- Logins of people as Keycloak told of them, one row per event. A name that belongs to nobody is not in here.
CREATE OR REPLACE VIEW {database}.logins_in {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT e.tenant AS tenant, e.source_id AS source_id, e.time AS time, e.event_id AS event_id, toString(e.realm) AS realm,
    if(e.person = toFixedString('', 16), '', lower(hex(e.person))) AS person, toString(e.outcome) AS outcome, toString(e.error) AS error,
    toString(e.client) AS client, e.session_id AS session_id, e.ip AS ip
FROM {database}.event_rows AS e FINAL
WHERE e.time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND e.time < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
  AND e.kind = 'login'
ORDER BY indexOf(['webhook', 'pull', 'lines', 'import', 'snapshot', 'operator', 'collector', 'heartbeat'], toString(e.input))
LIMIT 1 BY e.tenant, e.source_id, e.event_id;

-- Per source: what came in of the span, heartbeats, and gaps that touch it. `continuity` never says more than is proven: without
-- a heartbeat that came back it is `not_proven`, whatever is stored. The empty source: gaps that may concern any.
CREATE OR REPLACE VIEW {database}.continuity_in {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT c.tenant AS tenant, c.source_id AS source_id,
    multiIf(sum(c.gaps_open) > 0, 'gap_open', sum(c.gaps_lost) > 0, 'gap_not_repaired', sum(c.heartbeats_seen) = 0, 'not_proven', 'no_gap_known') AS continuity,
    sum(c.stored) AS stored, sum(c.heartbeats) AS heartbeats, sum(c.heartbeats_seen) AS heartbeats_seen,
    sum(c.gaps_open) AS gaps_open, sum(c.gaps_lost) AS gaps_lost, sum(c.gaps_repaired) AS gaps_repaired,
    sum(c.gap_seconds) AS gap_seconds, sum(c.missing) AS missing
FROM
(
    SELECT tenant, source_id, sum(stored) AS stored, toUInt64(0) AS heartbeats, toUInt64(0) AS heartbeats_seen,
        toUInt64(0) AS gaps_open, toUInt64(0) AS gaps_lost, toUInt64(0) AS gaps_repaired, toFloat64(0) AS gap_seconds, toUInt64(0) AS missing
    FROM {database}.cells
    WHERE cell >= intDiv({from:Int64}, 60000) AND cell < intDiv({to:Int64} + 59999, 60000) AND cell < 2147483648
    GROUP BY tenant, source_id HAVING stored > 0
    UNION ALL
    SELECT s.tenant, s.source_id, toUInt64(0), count(), countIf(b.id != ''), toUInt64(0), toUInt64(0), toUInt64(0), toFloat64(0), toUInt64(0)
    FROM (
        SELECT DISTINCT tenant, source_id, scope, id, sent_at FROM {database}.heartbeat_rows
        WHERE sent_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND sent_at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
    ) AS s
    LEFT ANY JOIN (
        SELECT tenant, source_id, id FROM {database}.heartbeat_seen_rows
        WHERE id != '' AND time >= fromUnixTimestamp64Milli({from:Int64} - 86400000, 'UTC') AND time < fromUnixTimestamp64Milli({to:Int64} + 86400000, 'UTC')
    ) AS b ON s.tenant = b.tenant AND s.source_id = b.source_id AND s.id = b.id
    GROUP BY s.tenant, s.source_id
    UNION ALL
    SELECT tenant, source_id, toUInt64(0), toUInt64(0), toUInt64(0),
        countIf(until IS NULL AND repaired_at IS NULL), countIf(until IS NOT NULL AND repaired_at IS NULL), countIf(repaired_at IS NOT NULL),
        -- of the gaps that were not repaired: what of them lies within the span
        sumIf((least(ifNull(toUnixTimestamp64Milli(until), {to:Int64}), {to:Int64}) - greatest(toUnixTimestamp64Milli(since), {from:Int64})) / 1000, repaired_at IS NULL),
        sumIf(ifNull(missing, 0), repaired_at IS NULL)
    FROM {database}.gap_rows FINAL
    WHERE since < fromUnixTimestamp64Milli({to:Int64}, 'UTC') AND (until IS NULL OR until >= fromUnixTimestamp64Milli({from:Int64}, 'UTC'))
    GROUP BY tenant, source_id
    UNION ALL
    SELECT DISTINCT tenant, source_id, toUInt64(0), toUInt64(0), toUInt64(0), toUInt64(0), toUInt64(0), toUInt64(0), toFloat64(0), toUInt64(0)
    FROM {database}.watermark_rows
) AS c
GROUP BY c.tenant, c.source_id;

-- Rights that a person holds directly, with the name that the event which gave or took it says. Of the events only the
-- instants of these grants are read.
CREATE OR REPLACE VIEW {database}.rights_of {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT g.tenant AS tenant, g.person AS person, toString(g.right_kind) AS right_kind, g.right_id AS right_id,
    if(n.name = '', g.right_id, n.name) AS name, g.held_from AS held_from, g.held_to AS held_to,
    g.granted_by AS granted_by, g.removed_by AS removed_by, g.granted_in AS granted_in, g.removed_in AS removed_in, g.rests_on_gap AS rests_on_gap
FROM (SELECT * FROM {database}.grant_rows FINAL WHERE tenant = {tenant:String} AND person = {person:String}) AS g
LEFT ANY JOIN (
    SELECT right_id, argMax(right_name, time) AS name FROM {database}.event_rows
    WHERE tenant = {tenant:String} AND is_deleted = 0 AND right_name != ''
      AND time IN (
        SELECT assumeNotNull(arrayJoin(arrayFilter(t -> t IS NOT NULL, [held_from, held_to]))) FROM {database}.grant_rows FINAL
        WHERE tenant = {tenant:String} AND person = {person:String})
    GROUP BY right_id
) AS n ON n.right_id = g.right_id;

-- A person's sessions, tokens, rights, decisions and missing events on one time axis.
CREATE OR REPLACE VIEW {database}.history_of {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT h.time AS time, h.lane AS lane, h.what AS what, h.detail AS detail, h.verdict AS verdict, h.grade AS grade, h.session_id AS session_id, h.event_id AS event_id
FROM
(
    SELECT at AS time, 'session' AS lane, if(started_at IS NULL, 'session first seen', 'login') AS what, arrayStringConcat(clients, ', ') AS detail,
        '' AS verdict, '' AS grade, session_id, toUUID('00000000-0000-0000-0000-000000000000') AS event_id
    FROM {database}.session_rows FINAL WHERE tenant = {tenant:String} AND person = {person:String}
    UNION ALL
    SELECT assumeNotNull(ended_at), 'session', 'session ended', replaceAll(toString(ended_by), '_', ' '), '', '', session_id, toUUID('00000000-0000-0000-0000-000000000000')
    FROM {database}.session_rows FINAL WHERE tenant = {tenant:String} AND person = {person:String} AND ended_at IS NOT NULL
    UNION ALL
    SELECT at, 'token', if(reused = 1, 'Keycloak token, refresh token used again', 'Keycloak token'), concat(toString(issued_for), ' ', toString(client)), '', '', session_id, event_id
    FROM {database}.token_rows FINAL WHERE tenant = {tenant:String} AND person = {person:String}
    UNION ALL
    SELECT at, 'token', 'Backstage token', concat(replaceAll(toString(kind), '_', ' '), if(empty(claims), '', concat(': ', arrayStringConcat(claims, ', ')))), '',
        if(sure = 1, 'exact', 'inferred'), session_id, event_id
    FROM {database}.credential_rows FINAL WHERE tenant = {tenant:String} AND person = {person:String}
    UNION ALL
    SELECT assumeNotNull(held_from), 'right', concat(right_kind, ' given'), name, '', '', '', granted_in
    FROM {database}.rights_of(tenant = {tenant:String}, person = {person:String}) WHERE held_from IS NOT NULL
    UNION ALL
    SELECT assumeNotNull(held_to), 'right', concat(right_kind, ' taken'), name, '', '', '', removed_in
    FROM {database}.rights_of(tenant = {tenant:String}, person = {person:String}) WHERE held_to IS NOT NULL
    UNION ALL
    SELECT at, 'decision', toString(outcome), concat(if(permission = '', toString(action), toString(permission)), if(resource = '', '', concat(' ', resource))),
        toString(verdict), toString(grade), session_id, event_id
    FROM {database}.decision_rows FINAL WHERE tenant = {tenant:String} AND person = {person:String}
        AND at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
    UNION ALL
    SELECT before, 'missing', concat(toString(missing), ' of a ', toString(right_kind), ' is missing'), arrayStringConcat(causes, ', '), '', '', '', evidence_before
    FROM {database}.missing_event_rows FINAL WHERE tenant = {tenant:String} AND person = {person:String}
) AS h
WHERE h.time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND h.time < fromUnixTimestamp64Milli({to:Int64}, 'UTC');

-- `snapshots` that began within a span.
CREATE OR REPLACE VIEW {database}.snapshots_in {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, source_id, details['snapshot'] AS snapshot, minIf(time, kind = 'snapshot_begin') AS began,
    if(countIf(kind = 'snapshot_end') = 0, NULL, maxIf(time, kind = 'snapshot_end')) AS ended,
    anyIf(details['complete'], kind = 'snapshot_end') = 'true' AS complete,
    sumIf(toUInt64OrZero(details['entities']), kind = 'snapshot_area') AS entities,
    sumIf(toUInt64OrZero(details['changed']), kind = 'snapshot_area') AS changed,
    arraySort(groupArrayIf(concat(realm, if(realm = '', '', ' '), area, ': ', details['outcome']), kind = 'snapshot_area' AND details['outcome'] NOT IN ('complete', 'not_there'))) AS lacking
FROM
(
    SELECT tenant, source_id, event_id, time, toString(kind) AS kind, toString(realm) AS realm, toString(resource_kind) AS area, CAST(details, 'Map(String, String)') AS details
    FROM {database}.event_rows FINAL
    WHERE data_class = 'snapshot' AND kind IN ('snapshot_begin', 'snapshot_end', 'snapshot_area')
      AND time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND time < fromUnixTimestamp64Milli({to:Int64} + 86400000, 'UTC')
    ORDER BY version DESC
    LIMIT 1 BY tenant, source_id, event_id
)
GROUP BY tenant, source_id, snapshot
HAVING countIf(kind = 'snapshot_begin') > 0 AND began < fromUnixTimestamp64Milli({to:Int64}, 'UTC');
