-- Which rights are privileged, as an operator names them (config `privileged`), by the ids that Keycloak knows them by: kept by the
-- processor that leads, so that no panel looks for names among all events.
CREATE TABLE IF NOT EXISTS {database}.privileged_right_rows {on_cluster}
(
    tenant LowCardinality(String),
    right_id String CODEC(ZSTD(1)),
    version UInt64,
    is_deleted UInt8,
    -- group, role; empty: named by its id alone, and no event told of it yet
    kind LowCardinality(String),
    -- path of the group, name of the role; empty as above
    name String CODEC(ZSTD(1))
)
ENGINE = {replicated}ReplacingMergeTree(version, is_deleted)
ORDER BY (tenant, right_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Who held a privileged right directly within a span (UTC milliseconds, [from, to)); `holds`: still at its end.
CREATE OR REPLACE VIEW {database}.privileged_in {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT g.tenant AS tenant, g.person AS person, if(p.kind = '', toString(g.right_kind), p.kind) AS kind, g.right_id AS right_id,
    if(p.name = '', g.right_id, p.name) AS name, g.held_from AS held_from, g.held_to AS held_to, g.granted_in AS granted_in,
    g.rests_on_gap AS rests_on_gap, toUInt8(ifNull(g.held_to >= fromUnixTimestamp64Milli({to:Int64}, 'UTC'), 1)) AS holds
FROM
(
    SELECT * FROM {database}.grant_rows FINAL
    WHERE right_id IN (SELECT right_id FROM {database}.privileged_right_rows FINAL)
      AND ifNull(held_from < fromUnixTimestamp64Milli({to:Int64}, 'UTC'), 1) AND ifNull(held_to >= fromUnixTimestamp64Milli({from:Int64}, 'UTC'), 1)
) AS g
INNER JOIN (SELECT tenant, right_id, toString(kind) AS kind, name FROM {database}.privileged_right_rows FINAL) AS p ON p.tenant = g.tenant AND p.right_id = g.right_id;

-- As in 0021, with the input `kafka` in the order of the others.
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
ORDER BY indexOf(['webhook', 'kafka', 'pull', 'lines', 'import', 'snapshot', 'operator', 'collector', 'heartbeat'], toString(e.input))
LIMIT 1 BY e.tenant, e.source_id, e.event_id;
