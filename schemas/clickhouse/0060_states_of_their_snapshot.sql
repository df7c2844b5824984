-- Several snapshots can have written one state: a setting that was put back, what is read whole, what is told each time. Which of these
-- receipts says it, and is the evidence, was whichever came first in the answer.

-- Every entity on every list, as before. A function of each place in the text got a copy of the whole text for each of them: the lists of
-- 100,000 users took more memory than a server has.
CREATE OR REPLACE VIEW {database}.snapshot_entries {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, source_id, snapshot, realm, area, resource AS within, time_min, time_max,
    substring(entry, 1, 32) AS entity, substring(entry, 33, 16) AS hash
FROM {database}.snapshot_events
ARRAY JOIN extractAll(said['entries'], '.{48}') AS entry
WHERE kind = 'snapshot_list';

-- State as a snapshot found it, as before: by the receipt of this snapshot, else by the earliest that says it.
CREATE OR REPLACE VIEW {database}.snapshot_states {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT l.tenant AS tenant, l.source_id AS source_id, l.snapshot AS snapshot, l.realm AS realm, l.area AS area, l.within AS within,
    l.entity AS entity, l.hash AS hash, l.time_min AS time_min, l.time_max AS time_max,
    s.event_id AS event_id, s.person AS person, s.person_id AS person_id, s.person_name AS person_name, s.person_email AS person_email,
    s.client AS client, s.session_id AS session_id, s.ip AS ip, s.right_kind AS right_kind, s.right_id AS right_id,
    s.right_name AS right_name, s.holder_kind AS holder_kind, s.holder_id AS holder_id, s.permission AS permission,
    s.resource AS resource, mapFilter((k, v) -> k NOT IN ('snapshot', 'entity', 'hash'), s.said) AS details
FROM (
    SELECT *, if((tenant, source_id, snapshot, entity, hash) IN (
        SELECT tenant, source_id, snapshot, said['entity'], said['hash'] FROM {database}.snapshot_events WHERE startsWith(kind, 'state_')
    ), snapshot, '') AS told_in
    FROM {database}.snapshot_entries
) AS l
LEFT ANY JOIN (
    -- Each receipt for its own snapshot, and for any that has none.
    SELECT *, said['entity'] AS entity, said['hash'] AS hash, arrayJoin([snapshot, '']) AS told_in
    FROM {database}.snapshot_events WHERE startsWith(kind, 'state_')
    ORDER BY time, event_id
    LIMIT 1 BY tenant, source_id, entity, hash, told_in
) AS s ON s.tenant = l.tenant AND s.source_id = l.source_id AND s.entity = l.entity AND s.hash = l.hash AND s.told_in = l.told_in;
