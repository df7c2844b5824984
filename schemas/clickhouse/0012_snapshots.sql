-- Snapshots of state as people query them. Everything here is derived from events of data class `snapshot`
-- (docs/snapshots.md) and is right over rows that were written twice, in any order, or by several normalisers.

-- What receipts of snapshots say, one row per event: what a kill repeated has the same id and another time.
CREATE OR REPLACE VIEW {database}.snapshot_events {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT
    e.tenant AS tenant, e.source_id AS source_id, e.event_id AS event_id, toString(e.kind) AS kind,
    CAST(e.details, 'Map(String, String)') AS said, said['snapshot'] AS snapshot,
    toString(e.realm) AS realm, toString(e.resource_kind) AS area, e.resource AS resource,
    e.time AS time, e.time - toIntervalMillisecond(e.earlier_ms) AS time_min, e.time + toIntervalMillisecond(e.later_ms) AS time_max,
    lower(hex(e.person)) AS person, e.person_id AS person_id, e.person_name AS person_name, e.person_email AS person_email,
    toString(e.client) AS client, e.session_id AS session_id, e.ip AS ip,
    toString(e.right_kind) AS right_kind, e.right_id AS right_id, e.right_name AS right_name,
    toString(e.holder_kind) AS holder_kind, e.holder_id AS holder_id, toString(e.permission) AS permission
FROM {database}.event_rows AS e FINAL
WHERE e.data_class = 'snapshot'
ORDER BY e.version DESC
LIMIT 1 BY e.tenant, e.source_id, e.event_id;

-- One row per snapshot. Without an end nothing of it is believed: `ended` is null and `complete` is 0.
CREATE OR REPLACE VIEW {database}.snapshots {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT
    tenant, source_id, snapshot,
    minIf(time, kind = 'snapshot_begin') AS began,
    if(countIf(kind = 'snapshot_end') = 0, NULL, maxIf(time, kind = 'snapshot_end')) AS ended,
    anyIf(said['trigger'], kind = 'snapshot_begin') AS trigger,
    anyIf(said['full'], kind = 'snapshot_begin') = 'true' AS is_full,
    anyIf(said['previous'], kind = 'snapshot_begin') AS previous,
    anyIf(said['complete'], kind = 'snapshot_end') = 'true' AS complete,
    sumIf(toUInt64OrZero(said['entities']), kind = 'snapshot_area') AS entities,
    sumIf(toUInt64OrZero(said['changed']), kind = 'snapshot_area') AS changed,
    arraySort(groupArrayIf(concat(realm, if(realm = '', '', ' '), area, ': ', said['outcome'], if(said['needs'] = '', '', concat(' (', said['needs'], ')'))),
        kind = 'snapshot_area' AND said['outcome'] NOT IN ('complete', 'not_there'))) AS lacking
FROM {database}.snapshot_events
WHERE kind IN ('snapshot_begin', 'snapshot_end', 'snapshot_area')
GROUP BY tenant, source_id, snapshot;

-- What became of each area of each snapshot. Absence says something only where the outcome is `complete`.
CREATE OR REPLACE VIEW {database}.snapshot_areas {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, source_id, snapshot, realm, area, said['outcome'] AS outcome, said['needs'] AS needs,
    toUInt64OrZero(said['lists']) AS lists, toUInt64OrZero(said['pages']) AS pages, toUInt64OrZero(said['entities']) AS entities,
    toUInt64OrZero(said['changed']) AS changed, time_min, time_max
FROM {database}.snapshot_events
WHERE kind = 'snapshot_area';

-- Every entity on every list: keyed id and hash, 32 and 16 hex digits one after another in the list.
CREATE OR REPLACE VIEW {database}.snapshot_entries {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, source_id, snapshot, realm, area, resource AS within, time_min, time_max,
    substring(entry, 1, 32) AS entity, substring(entry, 33, 16) AS hash
FROM {database}.snapshot_events
ARRAY JOIN arrayMap(at -> substring(said['entries'], 48 * at + 1, 48), range(intDiv(length(said['entries']), 48))) AS entry
WHERE kind = 'snapshot_list';

-- State as a snapshot found it: each listed entity with what it is, wherever the receipt that says so came.
CREATE OR REPLACE VIEW {database}.snapshot_states {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT l.tenant AS tenant, l.source_id AS source_id, l.snapshot AS snapshot, l.realm AS realm, l.area AS area, l.within AS within,
    l.entity AS entity, l.hash AS hash, l.time_min AS time_min, l.time_max AS time_max,
    s.event_id AS event_id, s.person AS person, s.person_id AS person_id, s.person_name AS person_name, s.person_email AS person_email,
    s.client AS client, s.session_id AS session_id, s.ip AS ip, s.right_kind AS right_kind, s.right_id AS right_id,
    s.right_name AS right_name, s.holder_kind AS holder_kind, s.holder_id AS holder_id, s.permission AS permission,
    s.resource AS resource, mapFilter((k, v) -> k NOT IN ('snapshot', 'entity', 'hash'), s.said) AS details
FROM {database}.snapshot_entries AS l
LEFT ANY JOIN (
    SELECT *, said['entity'] AS entity, said['hash'] AS hash FROM {database}.snapshot_events WHERE startsWith(kind, 'state_')
) AS s ON s.tenant = l.tenant AND s.source_id = l.source_id AND s.entity = l.entity AND s.hash = l.hash;

-- What a complete area no longer lists, compared with the last snapshot before in which the same area was complete: it was
-- absent at some instant from time_min to time_max.
CREATE OR REPLACE VIEW {database}.snapshot_absences {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT b.tenant AS tenant, b.source_id AS source_id, a.snapshot AS snapshot, b.snapshot AS last_seen_in, b.realm AS realm, b.area AS area,
    b.entity AS entity, b.time_min AS last_seen, a.time_min AS time_min, a.time_max AS time_max,
    b.person_id AS person_id, b.person_name AS person_name, b.right_kind AS right_kind, b.right_id AS right_id, b.right_name AS right_name,
    b.holder_kind AS holder_kind, b.holder_id AS holder_id, b.client AS client, b.session_id AS session_id
FROM {database}.snapshot_states AS b
INNER JOIN (
    SELECT tenant, source_id, snapshot, realm, area, time_min, time_max, lagInFrame(snapshot) OVER (
        PARTITION BY tenant, source_id, realm, area ORDER BY time_max, snapshot ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS before
    FROM {database}.snapshot_areas
    WHERE outcome = 'complete'
) AS a ON a.tenant = b.tenant AND a.source_id = b.source_id AND a.before = b.snapshot AND a.realm = b.realm AND a.area = b.area
WHERE (b.tenant, b.source_id, a.snapshot, b.entity) NOT IN (SELECT tenant, source_id, snapshot, entity FROM {database}.snapshot_entries);
