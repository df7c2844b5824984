-- Two inputs' copies of one event are compared in every canonical field (`events::normalise::canonical_fields`), and what differs is counted
-- per hour. Each view is the one of before but for `conflicts`: what one representation cannot carry (an empty field, an unknown outcome, a
-- removal without names, a time that no source told) is no difference.

-- One row per event: the inputs merged field by field. For a span of time read `events_in`, which reads that span only.
CREATE OR REPLACE VIEW {database}.events {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
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
FROM {database}.event_inputs AS i
GROUP BY i.tenant, i.source_id, i.event_id;

-- `events` with from <= time < to (UTC milliseconds). Inputs that date one event more than a day apart are merged by `events` only.
CREATE OR REPLACE VIEW {database}.events_in {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
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
FROM {database}.event_inputs_in(from = {from:Int64}, to = {to:Int64}) AS i
GROUP BY i.tenant, i.source_id, i.event_id
HAVING time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND time < fromUnixTimestamp64Milli({to:Int64}, 'UTC');

-- Events per source and hour whose copies differ; a row of an hour in which none does any more says 0. Copies that are dated into different
-- hours count in each.
CREATE TABLE IF NOT EXISTS {database}.differing_hour_rows {on_cluster}
(
    tenant LowCardinality(String),
    source_id LowCardinality(String),
    -- since 1970
    hour UInt32 CODEC(Delta(4), ZSTD(1)),
    version UInt64 CODEC(Delta(8), ZSTD(1)),
    events UInt64 CODEC(T64, ZSTD(1)),
    -- names of the fields
    fields Array(LowCardinality(String)) CODEC(ZSTD(1))
)
ENGINE = {replicated}ReplacingMergeTree(version)
ORDER BY (tenant, source_id, hour)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- What was told before this file: every hour of it is to be compared. A mark too many does no harm, so this may be repeated.
INSERT INTO {database}.mark_rows
SELECT DISTINCT tenant, toFixedString('events by hour..', 16), '', toUInt32(intDiv(toUnixTimestamp64Milli(time), 3600000)) AS cell, 0, toUInt64(toUnixTimestamp64Micro(now64(6))), 2, now()
FROM {database}.event_rows WHERE time >= fromUnixTimestamp64Milli(toInt64(0), 'UTC');
