-- The oracle, 1 of 7: what was told and what was read, taken from the views over events and nothing else.
--
-- These files answer once more, in plain SQL, what the correlation (services/correlate) answers: sessions, who held what, by
-- which path, and what stands behind each decision. They share no code with it. No row in 07_compare.sql: both agree.
-- {database} is where Tokentrail writes, {oracle} an empty database of your own. Run the files in order; every time is UTC
-- milliseconds. Not repeated here: grades, reasons, gaps, and which session paid for a credential.

-- What an operator declares, one row per Backstage. An empty list of clients: any.
CREATE TABLE IF NOT EXISTS {oracle}.joins
(backstage String, keycloak String, clients Array(String), token_life Int64, skew Int64) ENGINE = Memory;

-- Events, each once.
CREATE TABLE {oracle}.told ENGINE = Memory AS
SELECT tenant, source_id AS source, source_kind, toString(event_id) AS event, toUnixTimestamp64Milli(time) AS at, kind,
    native_type, outcome, action = '' AS by_user,
    multiIf(realm_id != '', realm_id, realm != '', realm, source_id) AS within,
    person, person_id AS user, person_name AS name, if(actor_id != '', actor_id, actor_name) AS doer, actor_kind, actor_name,
    client, if(session_id != '', session_id, code_id) AS session, session_id AS session_said, refresh_token_id AS refresh,
    token_id AS token, right_id, right_name, right_kind, right_change, toString(data_class) AS data_class, holder_kind, holder_id, permission, action, resource_kind AS resource_type, details
FROM {database}.events
WHERE data_class != 'snapshot' AND source_kind IN ('keycloak', 'backstage');

-- What snapshots listed, with what each entry stands for.
CREATE TABLE {oracle}.stated ENGINE = Memory AS
SELECT tenant, source_id AS source, snapshot, realm, area, entity, hash, toString(event_id) AS event, person, person_id AS user,
    person_name AS name, session_id AS session, right_id, right_name, holder_id, resource, details
FROM {database}.snapshot_states;

-- Areas that were read whole and of which nothing is missing; and from when to when any area was read.
CREATE TABLE {oracle}.areas ENGINE = Memory AS
SELECT a.tenant AS tenant, a.source_id AS source, a.snapshot AS snapshot, a.realm AS realm, a.area AS area, toString(a.event_id) AS event,
    toUnixTimestamp64Milli(a.time_min) AS begin, toUnixTimestamp64Milli(a.time_max) AS end,
    a.said['outcome'] = 'complete' AND a.said['lists'] = toString(l.lists) AND a.said['pages'] = toString(l.pages)
        AND a.said['entities'] = toString(l.entries) AND s.unknown = 0 AS whole
FROM (SELECT * FROM {database}.snapshot_events WHERE kind = 'snapshot_area') AS a
LEFT JOIN (
    SELECT tenant, source_id, snapshot, realm, area, countIf(said['page'] = '0') AS lists, count() AS pages,
        sum(intDiv(length(said['entries']), 48)) AS entries
    FROM {database}.snapshot_events WHERE kind = 'snapshot_list' GROUP BY ALL
) AS l ON l.tenant = a.tenant AND l.source_id = a.source_id AND l.snapshot = a.snapshot AND l.realm = a.realm AND l.area = a.area
LEFT JOIN (
    SELECT tenant, source, snapshot, realm, area, countIf(event = '00000000-0000-0000-0000-000000000000') AS unknown
    FROM {oracle}.stated GROUP BY ALL
) AS s ON s.tenant = a.tenant AND s.source = a.source_id AND s.snapshot = a.snapshot AND s.realm = a.realm AND s.area = a.area;

-- Which areas make a list, and since when what hangs at another list is read: from when that one began.
CREATE TABLE {oracle}.plans ENGINE = Memory AS
SELECT p.1 AS list, p.2 AS parts, p.3 AS since FROM (SELECT arrayJoin([
    ('users', ['users'], 'users'), ('groups', ['groups'], 'groups'), ('default_groups', ['default_groups'], 'default_groups'),
    ('members', ['members'], 'groups'), ('roles', ['roles'], 'clients'), ('user_roles', ['role_users'], 'clients'),
    ('group_roles', ['role_groups'], 'clients'), ('composites', ['composites'], 'clients'),
    ('sessions', ['sessions', 'offline_sessions'], 'clients'),
    ('users', ['catalog_users'], 'catalog_users'), ('groups', ['catalog_groups'], 'catalog_groups'),
    ('catalog_members', ['catalog_members'], 'catalog_members'), ('role_members', ['rbac_members'], 'rbac_members'),
    ('policies', ['rbac_policies', 'rbac_conditions'], 'rbac_policies')]) AS p);

-- Realms by name: events give the id, snapshots the name; with the role that every user gets.
CREATE TABLE {oracle}.realms ENGINE = Memory AS
SELECT tenant, source, snapshot, realm, any(resource) AS within, min(details['default_role_id']) AS default_role
FROM {oracle}.stated WHERE area = 'realm' AND (tenant, source, snapshot, realm) IN (SELECT tenant, source, snapshot, realm FROM {oracle}.areas WHERE area = 'realm' AND whole)
GROUP BY tenant, source, snapshot, realm;

-- Complete reads of lists. What a read says was so at some instant from `begin` to `end`.
CREATE TABLE {oracle}.reads ENGINE = Memory AS
SELECT a.tenant AS tenant, p.list AS list, a.source AS source, if(a.realm = '', a.source, r.within) AS within, a.snapshot AS snapshot,
    a.realm AS realm, least(min(a.begin), any(s.begin)) AS begin, greatest(max(a.end), least(min(a.begin), any(s.begin))) AS end,
    anyIf(a.event, a.area = p.parts[1]) AS event
FROM (SELECT *, arrayJoin(parts) AS part FROM {oracle}.plans) AS p
INNER JOIN (SELECT * FROM {oracle}.areas WHERE whole) AS a ON a.area = p.part
INNER JOIN {oracle}.areas AS s ON s.tenant = a.tenant AND s.source = a.source AND s.snapshot = a.snapshot AND s.realm = a.realm AND s.area = p.since
LEFT JOIN {oracle}.realms AS r ON r.tenant = a.tenant AND r.source = a.source AND r.snapshot = a.snapshot AND r.realm = a.realm
WHERE a.realm = '' OR r.within != ''
GROUP BY tenant, list, source, within, snapshot, realm, p.parts
HAVING count() = length(p.parts);
