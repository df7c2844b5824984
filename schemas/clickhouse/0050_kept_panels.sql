-- What the overview asks: views of one table each, of what is kept. Of what a question costs, planning is nearly all, and grows with each table
-- that a view names. So these read what the roller counted and leave out what is not counted yet: of an hour in use they say what it held when it was
-- counted last, some seconds ago. The first and the last hour of a span count whole. Views without `kept_` are exact at any instant.

-- Decisions of the hours of a span per verdict, clock and grade.
CREATE OR REPLACE VIEW {database}.kept_decided_in {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, fromUnixTimestamp64Milli(greatest(toInt64(hour) * 3600000, {from:Int64}), 'UTC') AS time, toString(verdict) AS verdict, toString(clock) AS clock,
    toString(grade) AS grade, decisions
FROM {database}.decision_hour_rows FINAL
WHERE hour >= intDiv(greatest({from:Int64}, 0), 3600000) AND hour <= intDiv(greatest({to:Int64} - 1, 0), 3600000) AND decisions > 0;

-- Access that was used after its right was gone: per person, clock and removal. These are kept one by one, so the span is exact.
CREATE OR REPLACE VIEW {database}.kept_exposures_in {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT d.tenant AS tenant, d.person AS person, toString(d.clock) AS clock, d.at - toIntervalMillisecond(assumeNotNull(d.delay_ms)) AS removed_at,
    min(d.at) AS first_at, max(d.at) AS last_at, count() AS decisions, max(assumeNotNull(d.delay_ms)) / 1000 AS seconds,
    countIf(d.verdict = 'violation') AS violations,
    -- the weakest grade that any of them has
    ['exact', 'session', 'inferred', 'none'][max(indexOf(['exact', 'session', 'inferred', 'none'], toString(d.grade)))] AS grade,
    argMax(d.event_id, d.at) AS last_event,
    arraySort(groupUniqArray(toString(d.permission))) AS permissions
FROM {database}.deviation_rows AS d FINAL
WHERE d.hour >= intDiv(greatest({from:Int64}, 0), 3600000) AND d.hour <= intDiv(greatest({to:Int64}, 0), 3600000)
  AND d.at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND d.at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
  AND d.verdict IN ('exposure', 'violation') AND d.delay_ms IS NOT NULL
GROUP BY d.tenant, d.person, d.clock, removed_at, if(d.person = '', d.row_id, toFixedString('', 16));

-- Logins of the hours of a span per source, realm, outcome and cause: how many.
CREATE OR REPLACE VIEW {database}.kept_logins_in {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, source_id, fromUnixTimestamp64Milli(greatest(toInt64(hour) * 3600000, {from:Int64}), 'UTC') AS time, toString(realm) AS realm,
    toString(outcome) AS outcome, toString(error) AS error, logins, unknown, last
FROM {database}.login_hour_rows FINAL
WHERE hour >= intDiv(greatest({from:Int64}, 0), 3600000) AND hour <= intDiv(greatest({to:Int64} - 1, 0), 3600000) AND logins > 0;

-- Failed ones: by whom (several accounts that an operator made one person are one) and from where (states, to be merged), too.
CREATE OR REPLACE VIEW {database}.kept_failures_in {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
WITH
    (
        SELECT mapFromArrays(groupArray(concat(tenant, '|', account)), groupArray(person)) FROM (
            SELECT DISTINCT toString(tenant) AS tenant, account, person FROM {database}.alias_rows FINAL WHERE account != ''
        )
    ) AS merged
SELECT tenant, source_id, fromUnixTimestamp64Milli(greatest(toInt64(hour) * 3600000, {from:Int64}), 'UTC') AS time, toString(realm) AS realm,
    toString(error) AS error, logins, unknown,
    arrayMap(a -> if(mapContains(merged, concat(toString(tenant), '|', a)), merged[concat(toString(tenant), '|', a)], a), people) AS persons, addresses, last
FROM {database}.login_hour_rows FINAL
WHERE hour >= intDiv(greatest({from:Int64}, 0), 3600000) AND hour <= intDiv(greatest({to:Int64} - 1, 0), 3600000) AND logins > 0 AND outcome = 'failure';

-- Changes of the hours of a span per source, realm, kind and outcome.
CREATE OR REPLACE VIEW {database}.kept_changes_in {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
WITH
    (
        SELECT mapFromArrays(groupArray(concat(tenant, '|', account)), groupArray(person)) FROM (
            SELECT DISTINCT toString(tenant) AS tenant, account, person FROM {database}.alias_rows FINAL WHERE account != ''
        )
    ) AS merged
SELECT tenant, source_id, fromUnixTimestamp64Milli(greatest(toInt64(hour) * 3600000, {from:Int64}), 'UTC') AS time, toString(realm) AS realm,
    toString(kind) AS kind, toString(outcome) AS outcome, changes,
    arrayMap(a -> if(mapContains(merged, concat(toString(tenant), '|', a)), merged[concat(toString(tenant), '|', a)], a), actors) AS persons, last
FROM {database}.change_hour_rows FINAL
WHERE hour >= intDiv(greatest({from:Int64}, 0), 3600000) AND hour <= intDiv(greatest({to:Int64} - 1, 0), 3600000) AND changes > 0;

-- Findings that stand, whether somebody looks at them or is silent about them, as `findings` says it.
CREATE OR REPLACE VIEW {database}.exceptions {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT f.tenant AS tenant, f.finding_id AS finding_id, f.severity AS severity, c.opened_at AS opened_at
FROM (SELECT tenant, finding_id, toString(severity) AS severity FROM {database}.finding_rows FINAL) AS f
INNER JOIN
(
    SELECT x.tenant AS tenant, x.finding_id AS finding_id, minIf(x.changed_at, x.what = 'opened') AS opened_at
    FROM {database}.finding_change_rows AS x FINAL
    GROUP BY x.tenant, x.finding_id
    HAVING argMaxIf(multiIf(x.what IN ('opened', 'reopened'), 'open', toString(x.what)), x.changed_at, x.actor = 'rules') = 'open'
       -- what the rules find again after it was closed stands again
       AND (maxIf(x.changed_at, x.what = 'reopened') > maxIf(x.changed_at, x.what IN ('acknowledged', 'closed'))
         OR argMaxIf(toString(x.what), x.changed_at, x.what IN ('acknowledged', 'closed')) != 'closed')
) AS c ON c.tenant = f.tenant AND c.finding_id = f.finding_id;

-- Who holds or held a privileged right, as `privileged_in` says of all times: looked up by the processor that leads, now and then. `row_id` is made
-- of all that a row says.
CREATE TABLE IF NOT EXISTS {database}.privileged_holding_rows {on_cluster}
(
    tenant LowCardinality(String),
    row_id FixedString(16) CODEC(NONE),
    version UInt64,
    is_deleted UInt8,
    person String CODEC(ZSTD(1)),
    kind LowCardinality(String),
    right_id String CODEC(ZSTD(1)),
    name String CODEC(ZSTD(1)),
    through String CODEC(ZSTD(1)),
    held_from Nullable(DateTime64(3, 'UTC')),
    held_to Nullable(DateTime64(3, 'UTC')),
    granted_in UUID CODEC(NONE),
    rests_on_gap UInt8
)
ENGINE = {replicated}ReplacingMergeTree(version, is_deleted)
ORDER BY (tenant, row_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE OR REPLACE VIEW {database}.kept_privileged_in {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, person, toString(kind) AS kind, right_id, name, through, held_from, held_to, granted_in, rests_on_gap,
    toUInt8(ifNull(held_to >= fromUnixTimestamp64Milli({to:Int64}, 'UTC'), 1)) AS holds
FROM {database}.privileged_holding_rows FINAL
WHERE ifNull(held_from < fromUnixTimestamp64Milli({to:Int64}, 'UTC'), 1) AND ifNull(held_to >= fromUnixTimestamp64Milli({from:Int64}, 'UTC'), 1);
