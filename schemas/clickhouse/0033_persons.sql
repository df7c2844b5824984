-- Whose account an operator merged into whose person, by hand: acts are events (`person_merged`, `person_split`), and rows name the
-- person that they come to. `account`: person key of the account alone; empty where nobody merged it.
ALTER TABLE {database}.alias_rows {on_cluster} ADD COLUMN IF NOT EXISTS account String CODEC(ZSTD(1));
ALTER TABLE {database}.grant_rows {on_cluster} ADD COLUMN IF NOT EXISTS account String CODEC(ZSTD(1));
ALTER TABLE {database}.world_rows {on_cluster} ADD COLUMN IF NOT EXISTS account String CODEC(ZSTD(1));

CREATE OR REPLACE VIEW {database}.aliases {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, person, if(account = '', person, account) AS account, kind, name, user_id, borne_from, borne_to, because, version
FROM {database}.alias_rows FINAL;

-- Of several accounts of one person, the names of the one whose key the person has come first.
CREATE OR REPLACE VIEW {database}.persons {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT a.tenant AS tenant, a.person AS person,
    argMax(nullIf(a.user_id, ''), (a.account = '', a.user_id)) AS keycloak_user_id,
    argMaxIf(a.name, (a.account = '', a.at), a.kind = 'username') AS username,
    argMaxIf(a.name, (a.account = '', a.at), a.kind = 'email') AS email,
    arraySort(groupUniqArrayIf(a.name, a.kind = 'reference')) AS references,
    arraySort(groupUniqArray(if(a.account = '', a.person, a.account))) AS accounts
FROM {database}.alias_rows AS a FINAL
GROUP BY a.tenant, a.person;

CREATE OR REPLACE VIEW {database}.grants {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, person, source_id, right_kind, right_id, held_from, held_to, granted_by, removed_by, granted_in, removed_in, rests_on_gap,
    if(account = '', person, account) AS account, because, version
FROM {database}.grant_rows FINAL;

CREATE OR REPLACE VIEW {database}.world {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, person, source_id, kind, holder, held, held_source_id, held_from, held_to, begun_in, rests_on_gap,
    if(account = '', person, account) AS account, because, version
FROM {database}.world_rows FINAL;

-- Accounts that count as another one's person, for who asks events: they carry the account's key for good.
CREATE OR REPLACE VIEW {database}.merged_accounts {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT DISTINCT a.tenant AS tenant, a.account AS account, a.person AS person
FROM {database}.alias_rows AS a FINAL
WHERE a.account != '';

-- What operators said of persons, in order: the account that was moved, and for a merge the one that it was moved to.
CREATE OR REPLACE VIEW {database}.person_acts {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT e.tenant AS tenant, e.event_id AS event_id, e.time AS done_at, if(e.kind = 'person_merged', 'merge', 'split') AS act,
    lower(hex(e.person)) AS account, e.details['account_source'] AS account_source, e.details['account_kind'] AS account_kind,
    if(e.person_id = '', e.person_name, e.person_id) AS account_name, e.details['into_person'] AS into,
    e.details['into_source'] AS into_source, toString(if(e.kind = 'person_merged', e.resource_kind, '')) AS into_kind, e.resource AS into_name,
    e.actor_name AS done_by, e.personal['reason'] AS reason
FROM (
    SELECT tenant, event_id, time, toString(kind) AS kind, person, person_id, person_name, toString(resource_kind) AS resource_kind, resource,
        if(bitTest(same, 3), person_name, actor_name) AS actor_name, CAST(details, 'Map(String, String)') AS details,
        CAST(personal, 'Map(String, String)') AS personal
    FROM {database}.event_rows FINAL
    WHERE source_id = '' AND kind IN ('person_merged', 'person_split') AND is_deleted = 0
) AS e
ORDER BY e.time, e.event_id;

-- Everything that persons had at some instant from `from` to `to` (UTC milliseconds, both within; equal: as of that instant), by
-- every path: `path` leads from the person to the right, both ends left out. `person` empty: everybody. Each row holds from
-- `held_from` to `held_to`: for as long as everything on its path does. `granted_*` is of what the path begins with; without
-- `granted_at` it was only seen as state. What comes of a Backstage role is a row of kind `permission`: a policy
-- `permission|actions|effect`. It is one walk from what is held, along the rows of `world`.
CREATE OR REPLACE VIEW {database}.effective_in {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
WITH RECURSIVE walk AS (
    SELECT * FROM (
    SELECT d.person AS person, d.account AS account, d.source_id AS source_id, d.right_kind AS right_kind, d.right_id AS right_id, CAST([], 'Array(String)') AS path,
        -- 0: the first of its kind on the path; 1: groups above, contained roles, of which only the first is told; 2: the person
        toUInt8(0) AS hop, [d.right_id] AS way, greatest(d.since, ifNull(l.since, -9000000000000000)) AS since, least(d.until, ifNull(l.until, 9000000000000000)) AS until,
        d.begun AS begun, d.granted_by AS granted_by, d.granted_in AS granted_in, d.rests_on_gap AS gap
    FROM (
        SELECT person, if(account = '', person, account) AS account, toString(source_id) AS source_id, toString(right_kind) AS right_kind, right_id, granted_by, granted_in, rests_on_gap,
            if(toUInt128(granted_in) = 0, NULL, toUnixTimestamp64Milli(held_from)) AS begun,
            ifNull(toUnixTimestamp64Milli(held_from), -9000000000000000) AS since, ifNull(toUnixTimestamp64Milli(held_to), 9000000000000000) AS until
        FROM {database}.grant_rows FINAL
        WHERE tenant = {tenant:String} AND person != '' AND ({person:String} = '' OR person = {person:String}) AND since <= {to:Int64} AND until > {from:Int64}
    ) AS d
    -- A group of which no such row is there has always lived.
    LEFT JOIN (
        SELECT toString(source_id) AS source_id, holder, toNullable(ifNull(toUnixTimestamp64Milli(held_from), -9000000000000000)) AS since,
            toNullable(ifNull(toUnixTimestamp64Milli(held_to), 9000000000000000)) AS until
        FROM {database}.world_rows FINAL WHERE tenant = {tenant:String} AND person = '' AND kind = 'lives'
    ) AS l ON l.source_id = d.source_id AND l.holder = d.right_id
    WHERE greatest(d.since, ifNull(l.since, -9000000000000000)) <= {to:Int64} AND least(d.until, ifNull(l.until, 9000000000000000)) > {from:Int64}
    UNION ALL
    SELECT person, if(account = '', person, account), toString(source_id), 'reference', holder, CAST([], 'Array(String)'), toUInt8(2), [holder],
        ifNull(toUnixTimestamp64Milli(held_from), -9000000000000000), ifNull(toUnixTimestamp64Milli(held_to), 9000000000000000),
        NULL, '', toUUID('00000000-0000-0000-0000-000000000000'), rests_on_gap
    FROM {database}.world_rows FINAL
    WHERE tenant = {tenant:String} AND kind = 'tie' AND person != '' AND ({person:String} = '' OR person = {person:String})
    )
    UNION ALL
    SELECT w.person, w.account, e.held_source_id, e.to_kind, e.held,
        if(w.hop = 2 OR (w.hop = 1 AND e.to_kind = w.right_kind), w.path, arrayPushBack(w.path, w.right_id)),
        toUInt8(e.to_kind = w.right_kind), arrayPushBack(w.way, e.held), greatest(w.since, e.since), least(w.until, e.until),
        if(w.hop = 2, e.begun, w.begun), w.granted_by, if(w.hop = 2, e.begun_in, w.granted_in), greatest(w.gap, e.rests_on_gap)
    FROM walk AS w INNER JOIN (
        SELECT toString(source_id) AS source_id, holder, held, toString(held_source_id) AS held_source_id, begun_in, rests_on_gap,
            transform(toString(kind), ['parent', 'group_role', 'composite', 'name', 'role_member', 'policy'], ['group', 'group', 'role', 'group', 'reference', 'backstage_role'], '') AS from_kind,
            transform(toString(kind), ['parent', 'group_role', 'composite', 'name', 'role_member', 'policy'], ['group', 'role', 'role', 'reference', 'backstage_role', 'permission'], '') AS to_kind,
            if(toUInt128(begun_in) = 0, NULL, toUnixTimestamp64Milli(held_from)) AS begun,
            ifNull(toUnixTimestamp64Milli(held_from), -9000000000000000) AS since, ifNull(toUnixTimestamp64Milli(held_to), 9000000000000000) AS until
        FROM {database}.world_rows FINAL
        WHERE tenant = {tenant:String} AND person = '' AND kind IN ('parent', 'group_role', 'composite', 'name', 'role_member', 'policy')
            AND since <= {to:Int64} AND until > {from:Int64}
    ) AS e ON e.source_id = w.source_id AND e.from_kind = w.right_kind AND e.holder = w.right_id
    WHERE length(w.way) < 64 AND NOT has(w.way, e.held) AND greatest(w.since, e.since) < least(w.until, e.until)
        AND greatest(w.since, e.since) <= {to:Int64} AND least(w.until, e.until) > {from:Int64}
)
SELECT {tenant:String} AS tenant, person, source_id, right_kind, right_id, path,
    fromUnixTimestamp64Milli(nullIf(greatest(rest_since, lives.1), -9000000000000000), 'UTC') AS held_from,
    fromUnixTimestamp64Milli(nullIf(least(rest_until, lives.2), 9000000000000000), 'UTC') AS held_to,
    fromUnixTimestamp64Milli(begun, 'UTC') AS granted_at, granted_by, granted_in, toUInt8(max(gap)) AS rests_on_gap, toUInt8(max(disabled)) AS is_disabled
FROM (
    SELECT w.person AS person, w.source_id AS source_id, w.right_kind AS right_kind, w.right_id AS right_id, w.path AS path, w.begun AS begun,
        w.granted_by AS granted_by, w.granted_in AS granted_in, w.gap AS gap, w.since AS rest_since, w.until AS rest_until, a.disabled AS disabled,
        -- The times in which the account exists: between those in which it does not.
        arrayJoin(arrayZip(arrayPushFront(arrayMap(t -> t.2, a.gone), -9000000000000000), arrayPushBack(arrayMap(t -> t.1, a.gone), 9000000000000000))) AS lives
    FROM walk AS w LEFT JOIN (
        SELECT account, arraySort(groupArrayIf((since, until), kind = 'gone')) AS gone, max(kind = 'disabled' AND since <= {to:Int64} AND until > {to:Int64}) AS disabled
        FROM (
            SELECT if(account = '', person, account) AS account, kind, ifNull(toUnixTimestamp64Milli(held_from), -9000000000000000) AS since, ifNull(toUnixTimestamp64Milli(held_to), 9000000000000000) AS until
            FROM {database}.world_rows FINAL
            WHERE tenant = {tenant:String} AND kind IN ('gone', 'disabled') AND person != '' AND ({person:String} = '' OR person = {person:String})
        ) GROUP BY account
    ) AS a ON a.account = w.account
    WHERE w.right_kind != 'reference'
)
WHERE greatest(rest_since, lives.1) < least(rest_until, lives.2) AND greatest(rest_since, lives.1) <= {to:Int64} AND least(rest_until, lives.2) > {from:Int64}
GROUP BY ALL;
