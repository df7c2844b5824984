-- Where the events of each account stand: the person key of whom an event names, as the person or as the actor, with its time, source and kind. Written
-- before the events themselves, by the same hand, so that nobody's event is ever missed by who looks here first. A row only says where to look: it stays when a
-- newer normaliser dates the event otherwise or takes it away, and what stands there is read from the events. Hence no version: a row that is written
-- again, in any order, is the same row. Who erases a person erases their rows here too.
CREATE TABLE IF NOT EXISTS {database}.person_event_rows {on_cluster}
(
    tenant LowCardinality(String),
    person FixedString(16) CODEC(ZSTD(1)),
    time DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    source_id LowCardinality(String),
    kind LowCardinality(String)
)
ENGINE = {replicated}ReplacingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (tenant, person, time, source_id, kind)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Events of a span that name one of some accounts (`persons`: their keys) in any input: as `events_in`, and found by where they stand. An input that
-- dates such an event otherwise is merged in if it names one of them too.
CREATE OR REPLACE VIEW {database}.events_of {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT
    i.tenant AS tenant, i.source_id AS source_id, i.event_id AS event_id,
    argMin(i.time, i.rank) AS time,
    argMin(i.time - toIntervalMillisecond(i.earlier_ms), i.rank) AS time_min,
    argMin(i.time + toIntervalMillisecond(i.later_ms), i.rank) AS time_max,
    argMin(i.time_basis, i.rank) AS time_basis,
    argMin(i.source_kind, i.rank) AS source_kind,
    argMin(i.kind, i.rank) AS kind,
    argMin(i.data_class, i.rank) AS data_class,
    argMin(i.native_type, i.rank) AS native_type,
    if(countIf(i.outcome != 'unknown') = 0, 'unknown', argMinIf(i.outcome, i.rank, i.outcome != 'unknown')) AS outcome,
    argMinIf(i.right_change, i.rank, i.right_change != '') AS right_change,
    argMinIf(i.native_id, i.rank, i.native_id != '') AS native_id,
    argMinIf(i.realm, i.rank, i.realm != '') AS realm,
    argMinIf(i.realm_id, i.rank, i.realm_id != '') AS realm_id,
    argMinIf(i.person_id, i.rank, i.person_id != '') AS person_id,
    argMinIf(i.person_name, i.rank, i.person_name != '') AS person_name,
    argMinIf(i.person_email, i.rank, i.person_email != '') AS person_email,
    argMinIf(i.actor_kind, i.rank, i.actor_kind != '') AS actor_kind,
    argMinIf(i.client, i.rank, i.client != '') AS client,
    argMinIf(i.session_id, i.rank, i.session_id != '') AS session_id,
    argMinIf(i.token_id, i.rank, i.token_id != '') AS token_id,
    argMinIf(i.refresh_token_id, i.rank, i.refresh_token_id != '') AS refresh_token_id,
    argMinIf(i.new_refresh_token_id, i.rank, i.new_refresh_token_id != '') AS new_refresh_token_id,
    argMinIf(i.ip, i.rank, i.ip != '') AS ip,
    argMinIf(i.user_agent, i.rank, i.user_agent != '') AS user_agent,
    argMinIf(i.right_kind, i.rank, i.right_kind != '') AS right_kind,
    argMinIf(i.right_id, i.rank, i.right_id != '') AS right_id,
    argMinIf(i.right_name, i.rank, i.right_name != '') AS right_name,
    argMinIf(i.holder_kind, i.rank, i.holder_kind != '') AS holder_kind,
    argMinIf(i.holder_id, i.rank, i.holder_id != '') AS holder_id,
    argMinIf(i.resource_kind, i.rank, i.resource_kind != '') AS resource_kind,
    argMinIf(i.resource, i.rank, i.resource != '') AS resource,
    argMinIf(i.permission, i.rank, i.permission != '') AS permission,
    argMinIf(i.action, i.rank, i.action != '') AS action,
    argMinIf(i.error, i.rank, i.error != '') AS error,
    argMinIf(i.code_id, i.rank, i.code_id != '') AS code_id,
    argMinIf(i.actor_id, i.rank, i.actor_id != '') AS actor_id,
    argMinIf(i.actor_name, i.rank, i.actor_name != '') AS actor_name,
    argMinIf(lower(hex(i.person_bytes)), i.rank, i.person_bytes != toFixedString(unhex('00000000000000000000000000000000'), 16)) AS person,
    argMinIf(lower(hex(i.actor_bytes)), i.rank, i.actor_bytes != toFixedString(unhex('00000000000000000000000000000000'), 16)) AS actor,
    argMinIf(i.owner_refs, i.rank, notEmpty(i.owner_refs)) AS owner_refs,
    arrayFold((a, m) -> mapUpdate(a, m.2), arrayReverseSort(m -> m.1, groupArray((i.rank, i.details))), CAST(map(), 'Map(String, String)')) AS details,
    arrayFold((a, m) -> mapUpdate(a, m.2), arrayReverseSort(m -> m.1, groupArray((i.rank, i.personal))), CAST(map(), 'Map(String, String)')) AS personal,
    argMin(i.receipt, (281474976710655 - bitAnd(i.version, 281474976710655), i.receipt)) AS receipt,
    fromUnixTimestamp64Milli(toInt64(min(281474976710655 - bitAnd(i.version, 281474976710655))), 'UTC') AS received_at,
    toUInt32(max(bitShiftRight(i.version, 48))) AS normaliser,
    arrayMap(x -> x.2, arraySort(groupArray((i.rank, toString(i.input))))) AS inputs,
    -- inputs that contradict each other in what both say; what only one says is no conflict
    arrayFilter(x -> x != '', [
        if(minIf(i.kind, i.kind != '') != maxIf(i.kind, i.kind != ''), 'kind', ''),
        if(minIf(i.native_type, i.native_type != '') != maxIf(i.native_type, i.native_type != ''), 'native_type', ''),
        if(minIf(i.time, i.time_basis IN ('event', 'line')) != maxIf(i.time, i.time_basis IN ('event', 'line')), 'time', ''),
        if(minIf(i.outcome, i.outcome != 'unknown') != maxIf(i.outcome, i.outcome != 'unknown'), 'outcome', ''),
        if(minIf(i.realm_id, i.realm_id != '') != maxIf(i.realm_id, i.realm_id != ''), 'realm_id', ''),
        if(minIf(i.person_bytes, i.person_bytes != toFixedString(unhex('00000000000000000000000000000000'), 16)) != maxIf(i.person_bytes, i.person_bytes != toFixedString(unhex('00000000000000000000000000000000'), 16)), 'person', ''),
        if(minIf(i.person_id, i.person_id != '') != maxIf(i.person_id, i.person_id != ''), 'person_id', ''),
        if(minIf(i.actor_bytes, i.actor_bytes != toFixedString(unhex('00000000000000000000000000000000'), 16)) != maxIf(i.actor_bytes, i.actor_bytes != toFixedString(unhex('00000000000000000000000000000000'), 16)), 'actor', ''),
        if(minIf(i.actor_id, i.actor_id != '') != maxIf(i.actor_id, i.actor_id != ''), 'actor_id', ''),
        if(minIf(i.client, i.client != '') != maxIf(i.client, i.client != ''), 'client', ''),
        if(minIf(i.session_id, i.session_id != '') != maxIf(i.session_id, i.session_id != ''), 'session_id', ''),
        if(minIf(i.code_id, i.code_id != '') != maxIf(i.code_id, i.code_id != ''), 'code_id', ''),
        if(minIf(i.token_id, i.token_id != '') != maxIf(i.token_id, i.token_id != ''), 'token_id', ''),
        if(minIf(i.refresh_token_id, i.refresh_token_id != '') != maxIf(i.refresh_token_id, i.refresh_token_id != ''), 'refresh_token_id', ''),
        if(minIf(i.new_refresh_token_id, i.new_refresh_token_id != '') != maxIf(i.new_refresh_token_id, i.new_refresh_token_id != ''), 'new_refresh_token_id', ''),
        if(minIf(i.ip, i.ip != '') != maxIf(i.ip, i.ip != ''), 'ip', ''),
        if(minIf(i.right_kind, i.right_kind != '') != maxIf(i.right_kind, i.right_kind != ''), 'right_kind', ''),
        if(minIf(i.right_id, i.right_id != '') != maxIf(i.right_id, i.right_id != ''), 'right_id', ''),
        if(minIf(i.right_name, i.right_name != '') != maxIf(i.right_name, i.right_name != ''), 'right_name', ''),
        if(minIf(i.right_change, i.right_change NOT IN ('', 'revoked_unnamed')) != maxIf(i.right_change, i.right_change NOT IN ('', 'revoked_unnamed')), 'right_change', ''),
        if(minIf(i.holder_kind, i.holder_kind != '') != maxIf(i.holder_kind, i.holder_kind != ''), 'holder_kind', ''),
        if(minIf(i.holder_id, i.holder_id != '') != maxIf(i.holder_id, i.holder_id != ''), 'holder_id', ''),
        if(minIf(i.resource_kind, i.resource_kind != '') != maxIf(i.resource_kind, i.resource_kind != ''), 'resource_kind', ''),
        if(minIf(i.resource, i.resource != '') != maxIf(i.resource, i.resource != ''), 'resource', ''),
        if(minIf(i.action, i.action != '') != maxIf(i.action, i.action != ''), 'action', ''),
        if(minIf(i.error, i.error != '') != maxIf(i.error, i.error != ''), 'error', '')]) AS conflicts
FROM
(
    SELECT
        r.tenant AS tenant, r.source_id AS source_id, r.event_id AS event_id, r.input AS input,
        -- whose word counts first, field by field; an input not named here comes last
        if(indexOf(['webhook', 'kafka', 'pull', 'lines', 'import', 'snapshot', 'operator', 'collector', 'heartbeat'], toString(r.input)) = 0, 99, indexOf(['webhook', 'kafka', 'pull', 'lines', 'import', 'snapshot', 'operator', 'collector', 'heartbeat'], toString(r.input))) AS rank,
        argMax(r.time, r.version) AS time,
        argMax(r.earlier_ms, r.version) AS earlier_ms,
        argMax(r.later_ms, r.version) AS later_ms,
        argMax(toString(r.kind), r.version) AS kind,
        argMax(toString(r.native_type), r.version) AS native_type,
        argMax(toString(r.native_id), r.version) AS native_id,
        argMax(toString(r.data_class), r.version) AS data_class,
        argMax(toString(r.outcome), r.version) AS outcome,
        argMax(toString(r.realm), r.version) AS realm,
        argMax(toString(r.realm_id), r.version) AS realm_id,
        argMax(toString(r.person_id), r.version) AS person_id,
        argMax(toString(r.person_name), r.version) AS person_name,
        argMax(toString(r.person_email), r.version) AS person_email,
        argMax(toString(r.actor_kind), r.version) AS actor_kind,
        argMax(toString(r.client), r.version) AS client,
        argMax(toString(r.session_id), r.version) AS session_id,
        argMax(toString(r.token_id), r.version) AS token_id,
        argMax(toString(r.refresh_token_id), r.version) AS refresh_token_id,
        argMax(toString(r.new_refresh_token_id), r.version) AS new_refresh_token_id,
        argMax(toString(r.ip), r.version) AS ip,
        argMax(toString(r.user_agent), r.version) AS user_agent,
        argMax(toString(r.right_kind), r.version) AS right_kind,
        argMax(toString(r.right_id), r.version) AS right_id,
        argMax(toString(r.right_name), r.version) AS right_name,
        argMax(toString(r.right_change), r.version) AS right_change,
        argMax(toString(r.holder_kind), r.version) AS holder_kind,
        argMax(toString(r.holder_id), r.version) AS holder_id,
        argMax(toString(r.resource_kind), r.version) AS resource_kind,
        argMax(toString(r.resource), r.version) AS resource,
        argMax(toString(r.permission), r.version) AS permission,
        argMax(toString(r.action), r.version) AS action,
        argMax(toString(r.error), r.version) AS error,
        argMax(toString(r.source_kind), r.version) AS source_kind,
        argMax(toString(r.time_basis), r.version) AS time_basis,
        argMax(if(bitTest(r.same, 0), r.session_id, r.code_id), r.version) AS code_id,
        argMax(r.person, r.version) AS person_bytes,
        argMax(if(bitTest(r.same, 1), r.person, r.actor), r.version) AS actor_bytes,
        argMax(if(bitTest(r.same, 2), r.person_id, r.actor_id), r.version) AS actor_id,
        argMax(if(bitTest(r.same, 3), r.person_name, r.actor_name), r.version) AS actor_name,
        argMax(r.owner_refs, r.version) AS owner_refs,
        argMax(CAST(r.details, 'Map(String, String)'), r.version) AS details,
        argMax(CAST(r.personal, 'Map(String, String)'), r.version) AS personal,
        argMax(tuple(r.stream, r.seq, r.ordinal), r.version) AS receipt,
        max(r.version) AS version
    FROM {database}.event_rows AS r
    WHERE r.tenant = {tenant:String}
      AND r.time >= fromUnixTimestamp64Milli(greatest({from:Int64} - 86400000, -2208988800000), 'UTC')
      AND r.time < fromUnixTimestamp64Milli(least({to:Int64} + 86400000, 10413792000000), 'UTC')
      AND (r.source_id, r.time) IN (
        SELECT source_id, time FROM {database}.person_event_rows
        WHERE tenant = {tenant:String} AND person IN (SELECT toFixedString(unhex(arrayJoin({persons:Array(String)})), 16))
          AND time >= fromUnixTimestamp64Milli(greatest({from:Int64} - 86400000, -2208988800000), 'UTC')
          AND time < fromUnixTimestamp64Milli(least({to:Int64} + 86400000, 10413792000000), 'UTC'))
    GROUP BY r.tenant, r.source_id, r.event_id, r.input
    HAVING argMax(r.is_deleted, r.version) = 0
) AS i
GROUP BY i.tenant, i.source_id, i.event_id
HAVING time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND time < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
   AND countIf(i.person_bytes IN (arrayMap(k -> toFixedString(unhex(k), 16), {persons:Array(String)})) OR i.actor_bytes IN (arrayMap(k -> toFixedString(unhex(k), 16), {persons:Array(String)}))) > 0;

-- Whether an account is somebody else's by hand: without a look at everybody's names.
ALTER TABLE {database}.alias_rows {on_cluster} ADD INDEX IF NOT EXISTS by_account account TYPE bloom_filter(0.001) GRANULARITY 1;

-- Logins of one person with every account of theirs, as before (0027), but found by where their logins stand.
CREATE OR REPLACE VIEW {database}.logins_of {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
WITH (
    SELECT groupUniqArray(toFixedString(unhex(key), 16)) FROM (
        SELECT account AS key FROM {database}.alias_rows FINAL
        WHERE tenant = {tenant:String} AND person = {person:String} AND account != ''
        UNION ALL
        -- an account that is somebody else's by hand has no logins of its own
        SELECT {person:String} WHERE {person:String} NOT IN (
            SELECT account FROM {database}.alias_rows FINAL WHERE tenant = {tenant:String} AND account = {person:String} AND person != {person:String}))
) AS accounts
SELECT tenant, source_id, time, event_id, toString(realm) AS realm, toString(outcome) AS outcome, toString(error) AS error, toString(client) AS client, session_id, ip
FROM {database}.event_rows FINAL
WHERE tenant = {tenant:String} AND time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND time < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
  AND kind = 'login' AND has(accounts, person)
  AND (source_id, time) IN (
    SELECT source_id, time FROM {database}.person_event_rows
    WHERE tenant = {tenant:String} AND person IN (SELECT arrayJoin(accounts)) AND kind = 'login'
      AND time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND time < fromUnixTimestamp64Milli({to:Int64}, 'UTC'))
ORDER BY indexOf(['webhook', 'kafka', 'pull', 'lines', 'import', 'snapshot', 'operator', 'collector', 'heartbeat'], toString(input))
LIMIT 1 BY tenant, source_id, event_id;

-- What was told before this file. The same rows again do no harm, so this may be repeated.
INSERT INTO {database}.person_event_rows
SELECT tenant, arrayJoin(arrayFilter(k -> k != toFixedString('', 16), [person, actor])) AS person, time, source_id, kind
FROM {database}.event_rows WHERE is_deleted = 0;
