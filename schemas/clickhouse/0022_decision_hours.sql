-- Counts of decisions per hour, so that no panel adds up a week of everybody's. They are kept as those of receipts are (0007): before
-- rows of an hour are written a durable mark says that what is kept of it may be old, and it is settled after the hour was counted again.
-- An hour with a mark is counted from its rows at each question. What lies before 1970 is never kept.

-- Decisions that stand per hour, verdict, clock and grade; `reasons`: of how many of them each reason holds.
CREATE TABLE IF NOT EXISTS {database}.decision_hour_rows {on_cluster}
(
    tenant LowCardinality(String),
    -- since 1970
    hour UInt32 CODEC(Delta(4), ZSTD(1)),
    verdict LowCardinality(String),
    clock LowCardinality(String),
    grade LowCardinality(String),
    version UInt64 CODEC(Delta(8), ZSTD(1)),
    decisions UInt64 CODEC(T64, ZSTD(1)),
    reasons Map(LowCardinality(String), UInt64) CODEC(ZSTD(1))
)
ENGINE = {replicated}ReplacingMergeTree(version)
ORDER BY (tenant, hour, verdict, clock, grade)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Of these the ones that did not go as the rights were, one by one: they are few, and questions about them are many.
CREATE TABLE IF NOT EXISTS {database}.deviation_rows {on_cluster}
(
    tenant LowCardinality(String),
    hour UInt32 CODEC(Delta(4), ZSTD(1)),
    person String CODEC(ZSTD(1)),
    at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    row_id FixedString(16) CODEC(NONE),
    version UInt64 CODEC(Delta(8), ZSTD(1)),
    is_deleted UInt8 CODEC(ZSTD(1)),
    event_id UUID CODEC(NONE),
    permission LowCardinality(String),
    outcome LowCardinality(String),
    verdict LowCardinality(String),
    delay_ms Nullable(Int64) CODEC(ZSTD(1)),
    clock LowCardinality(String),
    grade LowCardinality(String)
)
ENGINE = {replicated}ReplacingMergeTree(version, is_deleted)
ORDER BY (tenant, hour, person, at, row_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Hours whose kept rows may be old.
CREATE OR REPLACE VIEW {database}.open_hours {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT DISTINCT tenant, cell AS hour FROM {database}.mark_rows FINAL WHERE stream = toFixedString('decisions by hr.', 16) AND state != 0;

-- Decisions as their rows say, the newest version of each. Only with a condition on `decided_at`.
CREATE OR REPLACE VIEW {database}.judged {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT d.tenant AS tenant, d.person AS person, d.at AS decided_at, d.row_id AS row_id, argMax(d.event_id, d.version) AS event_id,
    argMax(toString(d.permission), d.version) AS permission, argMax(toString(d.outcome), d.version) AS outcome,
    argMax(toString(d.verdict), d.version) AS verdict, tupleElement(argMax(tuple(d.delay_ms), d.version), 1) AS delay_ms,
    argMax(toString(d.clock), d.version) AS clock, argMax(toString(d.grade), d.version) AS grade,
    argMax(CAST(d.reasons, 'Array(String)'), d.version) AS reasons,
    toUInt32(intDiv(greatest(toUnixTimestamp64Milli(d.at), 0), 3600000)) AS hour
FROM {database}.decision_rows AS d
GROUP BY d.tenant, d.person, d.at, d.row_id
HAVING argMax(d.is_deleted, d.version) = 0;

-- Decisions of a span per verdict, clock and grade. `time` is the beginning of an hour that is kept, else the instant of the decision; so
-- a sum over hours or longer is exact, and a finer one only where nothing is kept.
CREATE OR REPLACE VIEW {database}.decided_in {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, fromUnixTimestamp64Milli(toInt64(hour) * 3600000, 'UTC') AS time, toString(verdict) AS verdict, toString(clock) AS clock,
    toString(grade) AS grade, decisions, CAST(reasons, 'Map(String, UInt64)') AS reasons
FROM {database}.decision_hour_rows FINAL
WHERE hour >= intDiv(greatest({from:Int64}, 0) + 3599999, 3600000) AND hour < intDiv(greatest({to:Int64}, 0), 3600000) AND decisions > 0
  AND (tenant, hour) NOT IN (SELECT tenant, hour FROM {database}.open_hours)
UNION ALL
WITH (SELECT tuple(min(hour), max(hour)) FROM {database}.open_hours) AS open
SELECT tenant, decided_at, verdict, clock, grade, toUInt64(count()), sumMap(CAST(arrayMap(r -> (r, toUInt64(1)), reasons), 'Map(String, UInt64)'))
FROM {database}.judged
WHERE decided_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND decided_at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
  -- the cut hours at both ends, and whole ones that are not kept
  AND (decided_at < fromUnixTimestamp64Milli(intDiv(greatest({from:Int64}, 0) + 3599999, 3600000) * 3600000, 'UTC')
    OR decided_at >= fromUnixTimestamp64Milli(intDiv(greatest({to:Int64}, 0), 3600000) * 3600000, 'UTC')
    OR (decided_at >= fromUnixTimestamp64Milli(toInt64(tupleElement(open, 1)) * 3600000, 'UTC')
      AND decided_at < fromUnixTimestamp64Milli(toInt64(tupleElement(open, 2) + 1) * 3600000, 'UTC')
      AND (tenant, hour) IN (SELECT tenant, hour FROM {database}.open_hours)))
GROUP BY tenant, decided_at, verdict, clock, grade;

-- Decisions of a span that did not go as the rights were.
CREATE OR REPLACE VIEW {database}.deviations_in {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, person, at AS decided_at, row_id, event_id, toString(permission) AS permission, toString(outcome) AS outcome,
    toString(verdict) AS verdict, delay_ms, toString(clock) AS clock, toString(grade) AS grade
FROM {database}.deviation_rows FINAL
WHERE hour >= intDiv(greatest({from:Int64}, 0), 3600000) AND hour <= intDiv(greatest({to:Int64}, 0), 3600000)
  AND at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
  AND (tenant, hour) NOT IN (SELECT tenant, hour FROM {database}.open_hours)
UNION ALL
WITH (SELECT tuple(min(hour), max(hour)) FROM {database}.open_hours) AS open
SELECT tenant, person, decided_at, row_id, event_id, permission, outcome, verdict, delay_ms, clock, grade
FROM {database}.judged
WHERE decided_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND decided_at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
  AND (decided_at < fromUnixTimestamp64Milli(toInt64(0), 'UTC')
    OR (decided_at >= fromUnixTimestamp64Milli(toInt64(tupleElement(open, 1)) * 3600000, 'UTC')
      AND decided_at < fromUnixTimestamp64Milli(toInt64(tupleElement(open, 2) + 1) * 3600000, 'UTC')
      AND (tenant, hour) IN (SELECT tenant, hour FROM {database}.open_hours)))
  AND verdict IN ('exposure', 'violation', 'pending_grant', 'name_collision', 'allowed_without_right', 'denied_with_right');

-- What was decided before this file: every hour of it is to be counted. A mark too many does no harm, so this may be repeated.
INSERT INTO {database}.mark_rows
SELECT DISTINCT tenant, toFixedString('decisions by hr.', 16), '', toUInt32(intDiv(toUnixTimestamp64Milli(at), 3600000)) AS cell, 0, 1, 2, now()
FROM {database}.decision_rows WHERE at >= fromUnixTimestamp64Milli(toInt64(0), 'UTC');
