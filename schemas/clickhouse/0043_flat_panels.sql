-- The views of the dashboards again, each asking tables and not another view: of what a question to them costs, planning is nearly all, and each
-- view within a view is planned by itself, with the rights of its maker. They say what they said.

-- Decisions of a span per verdict, clock and grade. `time` is the beginning of an hour that is kept, else the instant of the decision; so
-- a sum over hours or longer is exact, and a finer one only where nothing is kept.
CREATE OR REPLACE VIEW {database}.decided_in {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
WITH (SELECT groupUniqArray((toString(tenant), cell)) FROM {database}.mark_rows FINAL WHERE stream = toFixedString('decisions by hr.', 16) AND state != 0) AS open
SELECT tenant, fromUnixTimestamp64Milli(toInt64(hour) * 3600000, 'UTC') AS time, toString(verdict) AS verdict, toString(clock) AS clock,
    toString(grade) AS grade, decisions, CAST(reasons, 'Map(String, UInt64)') AS reasons
FROM {database}.decision_hour_rows FINAL
WHERE hour >= intDiv(greatest({from:Int64}, 0) + 3599999, 3600000) AND hour < intDiv(greatest({to:Int64}, 0), 3600000) AND decisions > 0
  AND (toString(tenant), hour) NOT IN open
UNION ALL
WITH (SELECT groupUniqArray((toString(tenant), cell)) FROM {database}.mark_rows FINAL WHERE stream = toFixedString('decisions by hr.', 16) AND state != 0) AS open
SELECT tenant, decided_at, verdict, clock, grade, toUInt64(count()), sumMap(CAST(arrayMap(r -> (r, toUInt64(1)), reasons), 'Map(String, UInt64)'))
FROM
(
    SELECT d.tenant AS tenant, d.at AS decided_at, argMax(toString(d.verdict), d.version) AS verdict, argMax(toString(d.clock), d.version) AS clock,
        argMax(toString(d.grade), d.version) AS grade, argMax(CAST(d.reasons, 'Array(String)'), d.version) AS reasons
    FROM {database}.decision_rows AS d
    WHERE d.at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND d.at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
      AND (d.at < fromUnixTimestamp64Milli(intDiv(greatest({from:Int64}, 0) + 3599999, 3600000) * 3600000, 'UTC')
        OR d.at >= fromUnixTimestamp64Milli(intDiv(greatest({to:Int64}, 0), 3600000) * 3600000, 'UTC')
        OR (d.at >= fromUnixTimestamp64Milli(toInt64(arrayMin(open.2)) * 3600000, 'UTC')
          AND d.at < fromUnixTimestamp64Milli(toInt64(arrayMax(open.2) + 1) * 3600000, 'UTC')
          AND (toString(d.tenant), toUInt32(intDiv(greatest(toUnixTimestamp64Milli(d.at), 0), 3600000))) IN open))
    GROUP BY d.tenant, d.person, d.at, d.row_id
    HAVING argMax(d.is_deleted, d.version) = 0
)
GROUP BY tenant, decided_at, verdict, clock, grade;

-- Decisions that did not go as the rights were.
CREATE OR REPLACE VIEW {database}.deviations_in {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
WITH (SELECT groupUniqArray((toString(tenant), cell)) FROM {database}.mark_rows FINAL WHERE stream = toFixedString('decisions by hr.', 16) AND state != 0) AS open
SELECT tenant, person, at AS decided_at, row_id, event_id, toString(permission) AS permission, toString(outcome) AS outcome,
    toString(verdict) AS verdict, delay_ms, toString(clock) AS clock, toString(grade) AS grade
FROM {database}.deviation_rows FINAL
WHERE hour >= intDiv(greatest({from:Int64}, 0), 3600000) AND hour <= intDiv(greatest({to:Int64}, 0), 3600000)
  AND at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
  AND (toString(tenant), hour) NOT IN open
UNION ALL
WITH (SELECT groupUniqArray((toString(tenant), cell)) FROM {database}.mark_rows FINAL WHERE stream = toFixedString('decisions by hr.', 16) AND state != 0) AS open
SELECT d.tenant AS tenant, d.person AS person, d.at AS decided_at, d.row_id AS row_id, argMax(d.event_id, d.version) AS event_id,
    argMax(toString(d.permission), d.version) AS permission, argMax(toString(d.outcome), d.version) AS outcome,
    argMax(toString(d.verdict), d.version) AS verdict, tupleElement(argMax(tuple(d.delay_ms), d.version), 1) AS delay_ms,
    argMax(toString(d.clock), d.version) AS clock, argMax(toString(d.grade), d.version) AS grade
FROM {database}.decision_rows AS d
WHERE d.at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND d.at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
  AND (d.at < fromUnixTimestamp64Milli(toInt64(0), 'UTC')
    OR (d.at >= fromUnixTimestamp64Milli(toInt64(arrayMin(open.2)) * 3600000, 'UTC')
      AND d.at < fromUnixTimestamp64Milli(toInt64(arrayMax(open.2) + 1) * 3600000, 'UTC')
      AND (toString(d.tenant), toUInt32(intDiv(greatest(toUnixTimestamp64Milli(d.at), 0), 3600000))) IN open))
GROUP BY d.tenant, d.person, d.at, d.row_id
HAVING argMax(d.is_deleted, d.version) = 0 AND argMax(toString(d.verdict), d.version) IN ('exposure', 'violation', 'pending_grant', 'name_collision', 'allowed_without_right', 'denied_with_right');

-- Access that was used after its right was gone: per person, clock and removal.
CREATE OR REPLACE VIEW {database}.exposures_in {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT e.tenant AS tenant, e.person AS person, e.clock AS clock, e.decided_at - toIntervalMillisecond(assumeNotNull(e.delay_ms)) AS removed_at,
    min(e.decided_at) AS first_at, max(e.decided_at) AS last_at, count() AS decisions, max(assumeNotNull(e.delay_ms)) / 1000 AS seconds,
    countIf(e.verdict = 'violation') AS violations,
    -- the weakest grade that any of them has
    ['exact', 'session', 'inferred', 'none'][max(indexOf(['exact', 'session', 'inferred', 'none'], e.grade))] AS grade,
    argMax(e.event_id, e.decided_at) AS last_event,
    arraySort(groupUniqArray(e.permission)) AS permissions
FROM
(
    WITH (SELECT groupUniqArray((toString(tenant), cell)) FROM {database}.mark_rows FINAL WHERE stream = toFixedString('decisions by hr.', 16) AND state != 0) AS open
    SELECT tenant, person, at AS decided_at, row_id, event_id, toString(permission) AS permission, toString(outcome) AS outcome,
        toString(verdict) AS verdict, delay_ms, toString(clock) AS clock, toString(grade) AS grade
    FROM {database}.deviation_rows FINAL
    WHERE hour >= intDiv(greatest({from:Int64}, 0), 3600000) AND hour <= intDiv(greatest({to:Int64}, 0), 3600000)
      AND at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
      AND (toString(tenant), hour) NOT IN open
    UNION ALL
    WITH (SELECT groupUniqArray((toString(tenant), cell)) FROM {database}.mark_rows FINAL WHERE stream = toFixedString('decisions by hr.', 16) AND state != 0) AS open
    SELECT d.tenant AS tenant, d.person AS person, d.at AS decided_at, d.row_id AS row_id, argMax(d.event_id, d.version) AS event_id,
        argMax(toString(d.permission), d.version) AS permission, argMax(toString(d.outcome), d.version) AS outcome,
        argMax(toString(d.verdict), d.version) AS verdict, tupleElement(argMax(tuple(d.delay_ms), d.version), 1) AS delay_ms,
        argMax(toString(d.clock), d.version) AS clock, argMax(toString(d.grade), d.version) AS grade
    FROM {database}.decision_rows AS d
    WHERE d.at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND d.at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
      AND (d.at < fromUnixTimestamp64Milli(toInt64(0), 'UTC')
        OR (d.at >= fromUnixTimestamp64Milli(toInt64(arrayMin(open.2)) * 3600000, 'UTC')
          AND d.at < fromUnixTimestamp64Milli(toInt64(arrayMax(open.2) + 1) * 3600000, 'UTC')
          AND (toString(d.tenant), toUInt32(intDiv(greatest(toUnixTimestamp64Milli(d.at), 0), 3600000))) IN open))
    GROUP BY d.tenant, d.person, d.at, d.row_id
    HAVING argMax(d.is_deleted, d.version) = 0 AND argMax(toString(d.verdict), d.version) IN ('exposure', 'violation', 'pending_grant', 'name_collision', 'allowed_without_right', 'denied_with_right')
) AS e
WHERE e.verdict IN ('exposure', 'violation') AND e.delay_ms IS NOT NULL
GROUP BY e.tenant, e.person, e.clock, removed_at, if(e.person = '', e.row_id, toFixedString('', 16));

-- Logins of a span per source, realm, outcome and cause; as 0027 says.
CREATE OR REPLACE VIEW {database}.logins_counted_in {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
WITH
    (
        SELECT mapFromArrays(groupArray(concat(tenant, '|', account)), groupArray(person)) FROM (
            SELECT DISTINCT toString(tenant) AS tenant, account, person FROM {database}.alias_rows FINAL WHERE account != ''
        )
    ) AS merged
SELECT tenant, source_id, time, realm, outcome, error, logins, unknown, arrayMap(a -> if(mapContains(merged, concat(toString(tenant), '|', a)), merged[concat(toString(tenant), '|', a)], a), accounts) AS people, addresses, last
FROM
(
    WITH (SELECT groupUniqArray((toString(tenant), cell)) FROM {database}.mark_rows FINAL WHERE stream = toFixedString('events by hour..', 16) AND state != 0) AS open
    SELECT tenant, source_id, fromUnixTimestamp64Milli(toInt64(hour) * 3600000, 'UTC') AS time, toString(realm) AS realm, toString(outcome) AS outcome,
        toString(error) AS error, logins, unknown, people AS accounts, addresses, last
    FROM {database}.login_hour_rows FINAL
    WHERE hour >= intDiv(greatest({from:Int64}, 0) + 3599999, 3600000) AND hour < intDiv(greatest({to:Int64}, 0), 3600000) AND logins > 0
      AND (toString(tenant), hour) NOT IN open
    UNION ALL
    WITH (SELECT groupUniqArray((toString(tenant), cell)) FROM {database}.mark_rows FINAL WHERE stream = toFixedString('events by hour..', 16) AND state != 0) AS open
    SELECT tenant, source_id, time, realm, outcome, error, toUInt64(count()), toUInt64(countIf(who = '')),
        groupUniqArrayIf(who, who != '' AND outcome = 'failure'), uniqExactStateIf(ip, outcome = 'failure'), max(time)
    FROM
    (
        SELECT tenant, source_id, time, event_id, toString(realm) AS realm, toString(outcome) AS outcome, toString(error) AS error,
            if(person = toFixedString('', 16), '', lower(hex(person))) AS who, ip, toUInt32(intDiv(greatest(toUnixTimestamp64Milli(time), 0), 3600000)) AS hour
        FROM {database}.event_rows FINAL
        WHERE kind = 'login' AND time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND time < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
          AND (time < fromUnixTimestamp64Milli(intDiv(greatest({from:Int64}, 0) + 3599999, 3600000) * 3600000, 'UTC')
            OR time >= fromUnixTimestamp64Milli(intDiv(greatest({to:Int64}, 0), 3600000) * 3600000, 'UTC')
            OR (time >= fromUnixTimestamp64Milli(toInt64(arrayMin(open.2)) * 3600000, 'UTC')
              AND time < fromUnixTimestamp64Milli(toInt64(arrayMax(open.2) + 1) * 3600000, 'UTC')
              AND (toString(tenant), toUInt32(intDiv(greatest(toUnixTimestamp64Milli(time), 0), 3600000))) IN open))
        ORDER BY indexOf(['webhook', 'kafka', 'pull', 'lines', 'import', 'snapshot', 'operator', 'collector', 'heartbeat'], toString(input))
        LIMIT 1 BY tenant, source_id, event_id, hour
    )
    GROUP BY tenant, source_id, time, realm, outcome, error
);

-- Changes of a span per source, realm, kind and outcome; as 0027 says.
CREATE OR REPLACE VIEW {database}.changes_counted_in {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
WITH
    (
        SELECT mapFromArrays(groupArray(concat(tenant, '|', account)), groupArray(person)) FROM (
            SELECT DISTINCT toString(tenant) AS tenant, account, person FROM {database}.alias_rows FINAL WHERE account != ''
        )
    ) AS merged
SELECT tenant, source_id, time, realm, kind, outcome, changes, arrayMap(a -> if(mapContains(merged, concat(toString(tenant), '|', a)), merged[concat(toString(tenant), '|', a)], a), accounts) AS actors, last
FROM
(
    WITH (SELECT groupUniqArray((toString(tenant), cell)) FROM {database}.mark_rows FINAL WHERE stream = toFixedString('events by hour..', 16) AND state != 0) AS open
    SELECT tenant, source_id, fromUnixTimestamp64Milli(toInt64(hour) * 3600000, 'UTC') AS time, toString(realm) AS realm, toString(kind) AS kind,
        toString(outcome) AS outcome, changes, actors AS accounts, last
    FROM {database}.change_hour_rows FINAL
    WHERE hour >= intDiv(greatest({from:Int64}, 0) + 3599999, 3600000) AND hour < intDiv(greatest({to:Int64}, 0), 3600000) AND changes > 0
      AND (toString(tenant), hour) NOT IN open
    UNION ALL
    WITH (SELECT groupUniqArray((toString(tenant), cell)) FROM {database}.mark_rows FINAL WHERE stream = toFixedString('events by hour..', 16) AND state != 0) AS open
    SELECT tenant, source_id, time, realm, what, outcome, toUInt64(count()), groupUniqArray(who), max(time)
    FROM
    (
        SELECT tenant, source_id, time, event_id, toString(realm) AS realm, toString(kind) AS what, toString(outcome) AS outcome,
            if(if(bitTest(same, 1), person, actor) = toFixedString('', 16), '', lower(hex(if(bitTest(same, 1), person, actor)))) AS who, toUInt32(intDiv(greatest(toUnixTimestamp64Milli(time), 0), 3600000)) AS hour
        FROM {database}.event_rows FINAL
        WHERE data_class = 'administration' AND time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND time < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
          AND (time < fromUnixTimestamp64Milli(intDiv(greatest({from:Int64}, 0) + 3599999, 3600000) * 3600000, 'UTC')
            OR time >= fromUnixTimestamp64Milli(intDiv(greatest({to:Int64}, 0), 3600000) * 3600000, 'UTC')
            OR (time >= fromUnixTimestamp64Milli(toInt64(arrayMin(open.2)) * 3600000, 'UTC')
              AND time < fromUnixTimestamp64Milli(toInt64(arrayMax(open.2) + 1) * 3600000, 'UTC')
              AND (toString(tenant), toUInt32(intDiv(greatest(toUnixTimestamp64Milli(time), 0), 3600000))) IN open))
        ORDER BY indexOf(['webhook', 'kafka', 'pull', 'lines', 'import', 'snapshot', 'operator', 'collector', 'heartbeat'], toString(input))
        LIMIT 1 BY tenant, source_id, event_id, hour
    )
    GROUP BY tenant, source_id, time, realm, what, outcome
);

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
    WITH (SELECT groupUniqArray((toString(tenant), toString(source_id), cell)) FROM {database}.mark_rows FINAL WHERE stream = toFixedString('', 16) AND state != 0) AS open
    SELECT tenant, source_id, sum(stored) AS stored, toUInt64(0) AS heartbeats, toUInt64(0) AS heartbeats_seen,
        toUInt64(0) AS gaps_open, toUInt64(0) AS gaps_lost, toUInt64(0) AS gaps_repaired, toFloat64(0) AS gap_seconds, toUInt64(0) AS missing
    FROM {database}.rollup_rows FINAL
    WHERE cell >= intDiv({from:Int64}, 60000) AND cell < intDiv({to:Int64} + 59999, 60000) AND cell < 2147483648
      AND (toString(tenant), toString(source_id), cell) NOT IN open
    GROUP BY tenant, source_id HAVING stored > 0
    UNION ALL
    -- Minutes that are not kept: an event counts once in each.
    WITH (SELECT groupUniqArray((toString(tenant), toString(source_id), cell)) FROM {database}.mark_rows FINAL WHERE stream = toFixedString('', 16) AND state != 0) AS open
    SELECT tenant, source_id, toUInt64(count()), toUInt64(0), toUInt64(0), toUInt64(0), toUInt64(0), toUInt64(0), toFloat64(0), toUInt64(0)
    FROM (
        SELECT DISTINCT tenant, source_id, minute, event_id FROM {database}.receipt_rows FINAL
        WHERE delivery_cell = 0 AND fate = 'event' AND minute >= intDiv({from:Int64}, 60000) AND minute < intDiv({to:Int64} + 59999, 60000)
          AND minute IN open.3 AND (toString(tenant), toString(source_id), minute) IN open
    )
    GROUP BY tenant, source_id
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
