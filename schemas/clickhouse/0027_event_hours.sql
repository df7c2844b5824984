-- Counts of logins and of changes per hour, kept as those of decisions are (0022): before rows of an hour of events are written a durable mark
-- says that what is kept of it may be old, and it is settled after the hour was counted again. An hour with a mark is counted from its rows
-- at each question. What lies before 1970 is never kept. Copies of one event that its inputs date into different hours count in each.

-- Logins of people per hour. `people` (accounts' keys) and `addresses` (hashes) are those of failures alone: of nothing else is it asked how many there were.
CREATE TABLE IF NOT EXISTS {database}.login_hour_rows {on_cluster}
(
    tenant LowCardinality(String),
    -- since 1970
    hour UInt32 CODEC(Delta(4), ZSTD(1)),
    source_id LowCardinality(String),
    realm LowCardinality(String),
    outcome LowCardinality(String),
    error LowCardinality(String),
    version UInt64 CODEC(Delta(8), ZSTD(1)),
    logins UInt64 CODEC(T64, ZSTD(1)),
    -- by names that belong to nobody
    unknown UInt64 CODEC(T64, ZSTD(1)),
    people Array(String) CODEC(ZSTD(1)),
    addresses AggregateFunction(uniqExact, String),
    last DateTime64(3, 'UTC') CODEC(ZSTD(1))
)
ENGINE = {replicated}ReplacingMergeTree(version)
ORDER BY (tenant, hour, source_id, realm, outcome, error)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Changes of rights, people, policies and configuration per hour.
CREATE TABLE IF NOT EXISTS {database}.change_hour_rows {on_cluster}
(
    tenant LowCardinality(String),
    hour UInt32 CODEC(Delta(4), ZSTD(1)),
    source_id LowCardinality(String),
    realm LowCardinality(String),
    kind LowCardinality(String),
    outcome LowCardinality(String),
    version UInt64 CODEC(Delta(8), ZSTD(1)),
    changes UInt64 CODEC(T64, ZSTD(1)),
    -- accounts' keys of who made them, nobody among them
    actors Array(String) CODEC(ZSTD(1)),
    last DateTime64(3, 'UTC') CODEC(ZSTD(1))
)
ENGINE = {replicated}ReplacingMergeTree(version)
ORDER BY (tenant, hour, source_id, realm, kind, outcome)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Which accounts are one person by hand: read below, and part of 0033 too. Whichever comes first makes it.
ALTER TABLE {database}.alias_rows {on_cluster} ADD COLUMN IF NOT EXISTS account String CODEC(ZSTD(1));

-- Hours of events whose kept rows may be old.
CREATE OR REPLACE VIEW {database}.open_event_hours {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT DISTINCT tenant, cell AS hour FROM {database}.mark_rows FINAL WHERE stream = toFixedString('events by hour..', 16) AND state != 0;

-- Logins, one row per event and hour, of the input whose word counts first: what the kept counts count.
CREATE OR REPLACE VIEW {database}.logins_told_in {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, source_id, time, event_id, toString(realm) AS realm, toString(outcome) AS outcome, toString(error) AS error,
    if(person = toFixedString('', 16), '', lower(hex(person))) AS who, ip, toUInt32(intDiv(greatest(toUnixTimestamp64Milli(time), 0), 3600000)) AS hour
FROM {database}.event_rows FINAL
WHERE time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND time < fromUnixTimestamp64Milli({to:Int64}, 'UTC') AND kind = 'login'
ORDER BY indexOf(['webhook', 'kafka', 'pull', 'lines', 'import', 'snapshot', 'operator', 'collector', 'heartbeat'], toString(input))
LIMIT 1 BY tenant, source_id, event_id, hour;

-- Changes, one row per event and hour: what the kept counts count.
CREATE OR REPLACE VIEW {database}.changes_told_in {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, source_id, time, event_id, toString(realm) AS realm, toString(kind) AS what, toString(outcome) AS outcome,
    if(if(bitTest(same, 1), person, actor) = toFixedString('', 16), '', lower(hex(if(bitTest(same, 1), person, actor)))) AS who, toUInt32(intDiv(greatest(toUnixTimestamp64Milli(time), 0), 3600000)) AS hour
FROM {database}.event_rows FINAL
WHERE time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND time < fromUnixTimestamp64Milli({to:Int64}, 'UTC') AND data_class = 'administration'
ORDER BY indexOf(['webhook', 'kafka', 'pull', 'lines', 'import', 'snapshot', 'operator', 'collector', 'heartbeat'], toString(input))
LIMIT 1 BY tenant, source_id, event_id, hour;

-- Logins of a span per source, realm, outcome and cause. `time` is the beginning of an hour that is kept, else the instant; so a sum over hours or
-- longer is exact, and a finer one only where nothing is kept. `people` (nobody is not one; several accounts that an operator made
-- one person are one) and `addresses` (states, to be merged) are there of failures alone.
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
    WITH (SELECT groupUniqArray((toString(tenant), hour)) FROM {database}.open_event_hours) AS open
    SELECT tenant, source_id, fromUnixTimestamp64Milli(toInt64(hour) * 3600000, 'UTC') AS time, toString(realm) AS realm, toString(outcome) AS outcome,
        toString(error) AS error, logins, unknown, people AS accounts, addresses, last
    FROM {database}.login_hour_rows FINAL
    WHERE hour >= intDiv(greatest({from:Int64}, 0) + 3599999, 3600000) AND hour < intDiv(greatest({to:Int64}, 0), 3600000) AND logins > 0
      AND (toString(tenant), hour) NOT IN open
    UNION ALL
    WITH (SELECT groupUniqArray((toString(tenant), hour)) FROM {database}.open_event_hours) AS open
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

-- Changes of a span per source, realm, kind and outcome, in the same way.
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
    WITH (SELECT groupUniqArray((toString(tenant), hour)) FROM {database}.open_event_hours) AS open
    SELECT tenant, source_id, fromUnixTimestamp64Milli(toInt64(hour) * 3600000, 'UTC') AS time, toString(realm) AS realm, toString(kind) AS kind,
        toString(outcome) AS outcome, changes, actors AS accounts, last
    FROM {database}.change_hour_rows FINAL
    WHERE hour >= intDiv(greatest({from:Int64}, 0) + 3599999, 3600000) AND hour < intDiv(greatest({to:Int64}, 0), 3600000) AND changes > 0
      AND (toString(tenant), hour) NOT IN open
    UNION ALL
    WITH (SELECT groupUniqArray((toString(tenant), hour)) FROM {database}.open_event_hours) AS open
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

-- Logins of one person with every account of theirs: found by the index on persons, where `logins_in` reads everybody's.
CREATE OR REPLACE VIEW {database}.logins_of {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, source_id, time, event_id, toString(realm) AS realm, toString(outcome) AS outcome, toString(error) AS error, toString(client) AS client, session_id, ip
FROM {database}.event_rows FINAL
WHERE tenant = {tenant:String} AND time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND time < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
  AND kind = 'login'
  AND person IN (
    SELECT toFixedString(unhex(account), 16) FROM {database}.alias_rows FINAL
    WHERE tenant = {tenant:String} AND person = {person:String} AND account != ''
    UNION ALL
    -- an account that is somebody else's by hand has no logins of its own
    SELECT toFixedString(unhex({person:String}), 16)
    WHERE {person:String} NOT IN (SELECT account FROM {database}.alias_rows FINAL WHERE tenant = {tenant:String} AND account != '' AND person != {person:String}))
ORDER BY indexOf(['webhook', 'kafka', 'pull', 'lines', 'import', 'snapshot', 'operator', 'collector', 'heartbeat'], toString(input))
LIMIT 1 BY tenant, source_id, event_id;

-- As before (0022), but what has a mark is looked up once for each question and not three times.
CREATE OR REPLACE VIEW {database}.decided_in {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
WITH (SELECT groupUniqArray((toString(tenant), hour)) FROM {database}.open_hours) AS open
SELECT tenant, fromUnixTimestamp64Milli(toInt64(hour) * 3600000, 'UTC') AS time, toString(verdict) AS verdict, toString(clock) AS clock,
    toString(grade) AS grade, decisions, CAST(reasons, 'Map(String, UInt64)') AS reasons
FROM {database}.decision_hour_rows FINAL
WHERE hour >= intDiv(greatest({from:Int64}, 0) + 3599999, 3600000) AND hour < intDiv(greatest({to:Int64}, 0), 3600000) AND decisions > 0
  AND (toString(tenant), hour) NOT IN open
UNION ALL
WITH (SELECT groupUniqArray((toString(tenant), hour)) FROM {database}.open_hours) AS open
SELECT tenant, decided_at, verdict, clock, grade, toUInt64(count()), sumMap(CAST(arrayMap(r -> (r, toUInt64(1)), reasons), 'Map(String, UInt64)'))
FROM {database}.judged
WHERE decided_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND decided_at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
  AND (decided_at < fromUnixTimestamp64Milli(intDiv(greatest({from:Int64}, 0) + 3599999, 3600000) * 3600000, 'UTC')
    OR decided_at >= fromUnixTimestamp64Milli(intDiv(greatest({to:Int64}, 0), 3600000) * 3600000, 'UTC')
    OR (decided_at >= fromUnixTimestamp64Milli(toInt64(arrayMin(open.2)) * 3600000, 'UTC')
      AND decided_at < fromUnixTimestamp64Milli(toInt64(arrayMax(open.2) + 1) * 3600000, 'UTC')
      AND (toString(tenant), hour) IN open))
GROUP BY tenant, decided_at, verdict, clock, grade;

CREATE OR REPLACE VIEW {database}.deviations_in {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
WITH (SELECT groupUniqArray((toString(tenant), hour)) FROM {database}.open_hours) AS open
SELECT tenant, person, at AS decided_at, row_id, event_id, toString(permission) AS permission, toString(outcome) AS outcome,
    toString(verdict) AS verdict, delay_ms, toString(clock) AS clock, toString(grade) AS grade
FROM {database}.deviation_rows FINAL
WHERE hour >= intDiv(greatest({from:Int64}, 0), 3600000) AND hour <= intDiv(greatest({to:Int64}, 0), 3600000)
  AND at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
  AND (toString(tenant), hour) NOT IN open
UNION ALL
WITH (SELECT groupUniqArray((toString(tenant), hour)) FROM {database}.open_hours) AS open
SELECT tenant, person, decided_at, row_id, event_id, permission, outcome, verdict, delay_ms, clock, grade
FROM {database}.judged
WHERE decided_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND decided_at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
  AND (decided_at < fromUnixTimestamp64Milli(toInt64(0), 'UTC')
    OR (decided_at >= fromUnixTimestamp64Milli(toInt64(arrayMin(open.2)) * 3600000, 'UTC')
      AND decided_at < fromUnixTimestamp64Milli(toInt64(arrayMax(open.2) + 1) * 3600000, 'UTC')
      AND (toString(tenant), hour) IN open))
  AND verdict IN ('exposure', 'violation', 'pending_grant', 'name_collision', 'allowed_without_right', 'denied_with_right');

-- What was told before this file: every hour of it is to be counted. A mark too many does no harm, so this may be repeated.
INSERT INTO {database}.mark_rows
SELECT DISTINCT tenant, toFixedString('events by hour..', 16), '', toUInt32(intDiv(toUnixTimestamp64Milli(time), 3600000)) AS cell, 0, 1, 2, now()
FROM {database}.event_rows WHERE time >= fromUnixTimestamp64Milli(toInt64(0), 'UTC');
