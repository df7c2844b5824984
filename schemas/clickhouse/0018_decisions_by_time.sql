-- What panels ask of everybody's decisions, read in their order of time.

-- Decisions lie by person. Who asks for a week of everybody reads this second order of them, which ClickHouse keeps in step
-- with each part (a merge makes it anew from the rows that it leaves). It serves questions without FINAL alone: `judged_in` takes
-- the newest version of each row by itself.
ALTER TABLE {database}.decision_rows {on_cluster} MODIFY SETTING deduplicate_merge_projection_mode = 'rebuild';
ALTER TABLE {database}.decision_rows {on_cluster} ADD PROJECTION IF NOT EXISTS by_time
(
    SELECT tenant, at, person, row_id, version, is_deleted, event_id, permission, outcome, verdict, delay_ms, clock, grade, reasons
    ORDER BY tenant, at
);
ALTER TABLE {database}.decision_rows {on_cluster} MATERIALIZE PROJECTION by_time;

-- Decisions of a span, of everybody, with the columns that lie by time. One person's are found faster in `decisions`.
CREATE OR REPLACE VIEW {database}.judged_in {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT d.tenant AS tenant, d.person AS person, d.at AS decided_at, argMax(d.event_id, d.version) AS event_id,
    argMax(toString(d.permission), d.version) AS permission, argMax(toString(d.outcome), d.version) AS outcome,
    argMax(toString(d.verdict), d.version) AS verdict, tupleElement(argMax(tuple(d.delay_ms), d.version), 1) AS delay_ms,
    argMax(toString(d.clock), d.version) AS clock, argMax(toString(d.grade), d.version) AS grade,
    argMax(CAST(d.reasons, 'Array(String)'), d.version) AS reasons
FROM {database}.decision_rows AS d
WHERE d.at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND d.at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
GROUP BY d.tenant, d.person, d.at, d.row_id
HAVING argMax(d.is_deleted, d.version) = 0;

-- Of these the ones that did not go as the rights were. Rows that ever were such are looked for first: they are few.
CREATE OR REPLACE VIEW {database}.deviations_in {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT e.tenant AS tenant, e.person AS person, e.decided_at AS decided_at, e.row_id AS row_id, e.event_id AS event_id, e.permission AS permission,
    e.outcome AS outcome, e.verdict AS verdict, e.delay_ms AS delay_ms, e.clock AS clock, e.grade AS grade
FROM
(
    SELECT d.tenant AS tenant, d.person AS person, d.at AS decided_at, d.row_id AS row_id, argMax(d.event_id, d.version) AS event_id,
        argMax(toString(d.permission), d.version) AS permission, argMax(toString(d.outcome), d.version) AS outcome,
        argMax(toString(d.verdict), d.version) AS verdict, tupleElement(argMax(tuple(d.delay_ms), d.version), 1) AS delay_ms,
        argMax(toString(d.clock), d.version) AS clock, argMax(toString(d.grade), d.version) AS grade
    FROM {database}.decision_rows AS d
    WHERE d.at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND d.at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
      AND d.row_id IN (
        SELECT row_id FROM {database}.decision_rows
        WHERE at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
          AND verdict IN ('exposure', 'violation', 'pending_grant', 'name_collision', 'allowed_without_right', 'denied_with_right'))
    GROUP BY d.tenant, d.person, d.at, d.row_id
    HAVING argMax(d.is_deleted, d.version) = 0
) AS e
WHERE e.verdict IN ('exposure', 'violation', 'pending_grant', 'name_collision', 'allowed_without_right', 'denied_with_right');

-- How long somebody was still allowed on a right that was gone, once per person, clock and removal: `seconds` is the longest
-- time after the removal at which a decision of the span let them in. Decisions without a person count one by one.
CREATE OR REPLACE VIEW {database}.exposures_in {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT e.tenant AS tenant, e.person AS person, e.clock AS clock, e.decided_at - toIntervalMillisecond(assumeNotNull(e.delay_ms)) AS removed_at,
    min(e.decided_at) AS first_at, max(e.decided_at) AS last_at, count() AS decisions, max(assumeNotNull(e.delay_ms)) / 1000 AS seconds,
    countIf(e.verdict = 'violation') AS violations,
    -- the weakest grade that any of them has
    ['exact', 'session', 'inferred', 'none'][max(indexOf(['exact', 'session', 'inferred', 'none'], e.grade))] AS grade,
    argMax(e.event_id, e.decided_at) AS last_event,
    arraySort(groupUniqArray(e.permission)) AS permissions
FROM {database}.deviations_in(from = {from:Int64}, to = {to:Int64}) AS e
WHERE e.verdict IN ('exposure', 'violation') AND e.delay_ms IS NOT NULL
GROUP BY e.tenant, e.person, e.clock, removed_at, if(e.person = '', e.row_id, toFixedString('', 16));
