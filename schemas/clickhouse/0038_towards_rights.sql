-- Who has a right is asked from the right: what leads to it is looked for first, and then only those who hold something of that.
-- Everything that persons had at some instant from `from` to `to` (UTC milliseconds, both within; equal: as of that instant), by
-- every path: `path` leads from the person to the right, both ends left out. `person` empty: everybody. Each row holds from
-- `held_from` to `held_to`: for as long as everything on its path does. `granted_*` is of what the path begins with; without
-- `granted_at` it was only seen as state. What comes of a Backstage role is a row of kind `permission`: a policy
-- `permission|actions|effect`. It is one walk from what is held, along the rows of `world`, and within `towards`: ids and references from
-- which the rights that are asked for can be reached, themselves among them; empty: all.
CREATE OR REPLACE VIEW {database}.effective_towards {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
WITH RECURSIVE walk AS (
    SELECT * FROM (
    SELECT d.person AS person, d.account AS account, d.source_id AS source_id, d.right_kind AS right_kind, d.right_id AS right_id, CAST([], 'Array(String)') AS path,
        -- 0: the first of its kind on the path; 1: groups above, contained roles, of which only the first is told; 2: the person
        toUInt8(0) AS hop, [d.right_id] AS way, greatest(d.since, ifNull(l.since, -9000000000000000)) AS since, least(d.until, ifNull(l.until, 9000000000000000)) AS until,
        d.begun AS begun, d.granted_by AS granted_by, d.granted_in AS granted_in, d.by_default AS by_default, d.rests_on_gap AS gap
    FROM (
        SELECT person, if(account = '', person, account) AS account, toString(source_id) AS source_id, toString(right_kind) AS right_kind, right_id, granted_by, granted_in, by_default, rests_on_gap,
            if(toUInt128(granted_in) = 0, NULL, toUnixTimestamp64Milli(held_from)) AS begun,
            ifNull(toUnixTimestamp64Milli(held_from), -9000000000000000) AS since, ifNull(toUnixTimestamp64Milli(held_to), 9000000000000000) AS until
        FROM {database}.grant_rows FINAL
        WHERE tenant = {tenant:String} AND person != '' AND ({person:String} = '' OR person = {person:String}) AND since <= {to:Int64} AND until > {from:Int64}
            AND (empty({towards:Array(String)}) OR right_id IN {towards:Array(String)})
    ) AS d
    -- A group or role of which no such row is there has always lived.
    LEFT JOIN (
        SELECT toString(source_id) AS source_id, holder, toNullable(ifNull(toUnixTimestamp64Milli(held_from), -9000000000000000)) AS since,
            toNullable(ifNull(toUnixTimestamp64Milli(held_to), 9000000000000000)) AS until
        FROM {database}.world_rows FINAL WHERE tenant = {tenant:String} AND person = '' AND kind = 'lives'
    ) AS l ON l.source_id = d.source_id AND l.holder = d.right_id
    WHERE greatest(d.since, ifNull(l.since, -9000000000000000)) <= {to:Int64} AND least(d.until, ifNull(l.until, 9000000000000000)) > {from:Int64}
    UNION ALL
    SELECT person, if(account = '', person, account), toString(source_id), 'reference', holder, CAST([], 'Array(String)'), toUInt8(2), [holder],
        ifNull(toUnixTimestamp64Milli(held_from), -9000000000000000), ifNull(toUnixTimestamp64Milli(held_to), 9000000000000000),
        NULL, '', toUUID('00000000-0000-0000-0000-000000000000'), toUInt8(0), rests_on_gap
    FROM {database}.world_rows FINAL
    WHERE tenant = {tenant:String} AND kind = 'tie' AND person != '' AND ({person:String} = '' OR person = {person:String})
        AND (empty({towards:Array(String)}) OR holder IN {towards:Array(String)})
    )
    UNION ALL
    SELECT w.person, w.account, e.held_source_id, e.to_kind, e.held,
        if(w.hop = 2 OR (w.hop = 1 AND e.to_kind = w.right_kind), w.path, arrayPushBack(w.path, w.right_id)),
        toUInt8(e.to_kind = w.right_kind), arrayPushBack(w.way, e.held), greatest(w.since, e.since), least(w.until, e.until),
        if(w.hop = 2, e.begun, w.begun), w.granted_by, if(w.hop = 2, e.begun_in, w.granted_in), w.by_default, greatest(w.gap, e.rests_on_gap)
    FROM walk AS w INNER JOIN (
        SELECT x.source_id AS source_id, x.holder AS holder, x.held AS held, x.held_source_id AS held_source_id, x.begun_in AS begun_in, x.rests_on_gap AS rests_on_gap,
            x.from_kind AS from_kind, x.to_kind AS to_kind, x.begun AS begun,
            greatest(x.since, ifNull(r.since, -9000000000000000)) AS since, least(x.until, ifNull(r.until, 9000000000000000)) AS until
        FROM (
        SELECT toString(source_id) AS source_id, holder, held, toString(held_source_id) AS held_source_id, begun_in, rests_on_gap,
            transform(toString(kind), ['parent', 'group_role', 'composite', 'name', 'role_member', 'policy'], ['group', 'group', 'role', 'group', 'reference', 'backstage_role'], '') AS from_kind,
            transform(toString(kind), ['parent', 'group_role', 'composite', 'name', 'role_member', 'policy'], ['group', 'role', 'role', 'reference', 'backstage_role', 'permission'], '') AS to_kind,
            if(toUInt128(begun_in) = 0, NULL, toUnixTimestamp64Milli(held_from)) AS begun,
            ifNull(toUnixTimestamp64Milli(held_from), -9000000000000000) AS since, ifNull(toUnixTimestamp64Milli(held_to), 9000000000000000) AS until
        FROM {database}.world_rows FINAL
        WHERE tenant = {tenant:String} AND person = '' AND kind IN ('parent', 'group_role', 'composite', 'name', 'role_member', 'policy')
            AND since <= {to:Int64} AND until > {from:Int64} AND (empty({towards:Array(String)}) OR held IN {towards:Array(String)})
        ) AS x
        -- With a role end its mappings, and no row of them says so.
        LEFT JOIN (
            SELECT toString(source_id) AS source_id, holder, toNullable(ifNull(toUnixTimestamp64Milli(held_from), -9000000000000000)) AS since,
                toNullable(ifNull(toUnixTimestamp64Milli(held_to), 9000000000000000)) AS until
            FROM {database}.world_rows FINAL WHERE tenant = {tenant:String} AND person = '' AND kind = 'lives'
        ) AS r ON r.source_id = x.held_source_id AND r.holder = x.held AND x.to_kind = 'role'
        WHERE greatest(x.since, ifNull(r.since, -9000000000000000)) <= {to:Int64} AND least(x.until, ifNull(r.until, 9000000000000000)) > {from:Int64}
    ) AS e ON e.source_id = w.source_id AND e.from_kind = w.right_kind AND e.holder = w.right_id
    WHERE length(w.way) < 64 AND NOT has(w.way, e.held) AND greatest(w.since, e.since) < least(w.until, e.until)
        AND greatest(w.since, e.since) <= {to:Int64} AND least(w.until, e.until) > {from:Int64}
)
SELECT {tenant:String} AS tenant, person, source_id, right_kind, right_id, path,
    fromUnixTimestamp64Milli(nullIf(greatest(rest_since, lives.1), -9000000000000000), 'UTC') AS held_from,
    fromUnixTimestamp64Milli(nullIf(least(rest_until, lives.2), 9000000000000000), 'UTC') AS held_to,
    fromUnixTimestamp64Milli(begun, 'UTC') AS granted_at, granted_by, granted_in, by_default, toUInt8(max(gap)) AS rests_on_gap, toUInt8(max(disabled)) AS is_disabled
FROM (
    SELECT w.person AS person, w.source_id AS source_id, w.right_kind AS right_kind, w.right_id AS right_id, w.path AS path, w.begun AS begun,
        w.granted_by AS granted_by, w.granted_in AS granted_in, w.by_default AS by_default, w.gap AS gap, w.since AS rest_since, w.until AS rest_until, a.disabled AS disabled,
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

-- The same, towards everything.
CREATE OR REPLACE VIEW {database}.effective_in {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT * FROM {database}.effective_towards(tenant = {tenant:String}, person = {person:String}, from = {from:Int64}, to = {to:Int64},
    towards = CAST([], 'Array(String)'));

-- Who had a privileged right within a span (UTC milliseconds, [from, to)), by every path in Keycloak: one row for each way. `through`: what
-- is held directly and leads to it (a group below, a role that contains it, a group that has it); empty: the right itself. `holds`: still
-- at the end of the span. It is a walk from the rights to what leads to them, and from there to who holds that.
CREATE OR REPLACE VIEW {database}.privileged_in {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
WITH RECURSIVE back AS (
    SELECT tenant, right_id AS target, right_id AS id, '' AS source_id, [right_id] AS way, toInt64(-9000000000000000) AS since,
        toInt64(9000000000000000) AS until, toUInt8(0) AS gap
    FROM (SELECT toString(tenant) AS tenant, right_id FROM {database}.privileged_right_rows FINAL)
    UNION ALL
    SELECT b.tenant, b.target, e.holder, e.source_id, arrayPushBack(b.way, e.holder), greatest(b.since, e.since), least(b.until, e.until),
        greatest(b.gap, e.gap)
    FROM back AS b INNER JOIN (
        SELECT x.tenant AS tenant, x.source_id AS source_id, x.held_source_id AS held_source_id, x.holder AS holder, x.held AS held, x.gap AS gap,
            greatest(x.since, ifNull(l.since, -9000000000000000)) AS since, least(x.until, ifNull(l.until, 9000000000000000)) AS until
        FROM (
            SELECT toString(tenant) AS tenant, toString(source_id) AS source_id, toString(held_source_id) AS held_source_id, holder, held, rests_on_gap AS gap,
                ifNull(toUnixTimestamp64Milli(held_from), -9000000000000000) AS since, ifNull(toUnixTimestamp64Milli(held_to), 9000000000000000) AS until
            FROM {database}.world_rows FINAL WHERE person = '' AND kind IN ('parent', 'group_role', 'composite')
        ) AS x
        LEFT JOIN (
            SELECT toString(tenant) AS tenant, toString(source_id) AS source_id, holder,
                toNullable(ifNull(toUnixTimestamp64Milli(held_from), -9000000000000000)) AS since, toNullable(ifNull(toUnixTimestamp64Milli(held_to), 9000000000000000)) AS until
            FROM {database}.world_rows FINAL WHERE person = '' AND kind = 'lives'
        ) AS l ON l.tenant = x.tenant AND l.source_id = x.held_source_id AND l.holder = x.held
    ) AS e ON e.tenant = b.tenant AND e.held = b.id
    WHERE length(b.way) < 64 AND NOT has(b.way, e.holder) AND (b.source_id = '' OR b.source_id = e.held_source_id)
        AND greatest(b.since, e.since) < least(b.until, e.until)
)
SELECT h.tenant AS tenant, h.person AS person, multiIf(p.kind != '', p.kind, h.through = '', h.right_kind, 'role') AS kind, h.right_id AS right_id,
    if(p.name = '', h.right_id, p.name) AS name, h.through AS through,
    fromUnixTimestamp64Milli(nullIf(greatest(h.since, h.lives.1), -9000000000000000), 'UTC') AS held_from,
    fromUnixTimestamp64Milli(nullIf(least(h.until, h.lives.2), 9000000000000000), 'UTC') AS held_to,
    h.granted_in AS granted_in, h.gap AS rests_on_gap, toUInt8(least(h.until, h.lives.2) >= {to:Int64}) AS holds
FROM (
    SELECT w.tenant AS tenant, w.person AS person, w.right_kind AS right_kind, w.right_id AS right_id, w.through AS through, w.since AS since, w.until AS until,
        w.granted_in AS granted_in, w.gap AS gap,
        -- The times in which the account exists: between those in which it does not.
        arrayJoin(arrayZip(arrayPushFront(arrayMap(t -> t.2, a.gone), -9000000000000000), arrayPushBack(arrayMap(t -> t.1, a.gone), 9000000000000000))) AS lives
    FROM (
        SELECT g.tenant AS tenant, g.person AS person, g.account AS account, g.right_kind AS right_kind, b.target AS right_id, if(b.id = b.target, '', b.id) AS through,
            greatest(g.since, b.since, ifNull(l.since, -9000000000000000)) AS since, least(g.until, b.until, ifNull(l.until, 9000000000000000)) AS until,
            g.granted_in AS granted_in, greatest(g.gap, b.gap) AS gap
        FROM (
            SELECT toString(tenant) AS tenant, person, if(account = '', person, account) AS account, toString(source_id) AS source_id, toString(right_kind) AS right_kind,
                right_id, granted_in, rests_on_gap AS gap,
                ifNull(toUnixTimestamp64Milli(held_from), -9000000000000000) AS since, ifNull(toUnixTimestamp64Milli(held_to), 9000000000000000) AS until
            FROM {database}.grant_rows FINAL
            WHERE right_id IN (SELECT id FROM back) AND since < {to:Int64} AND until >= {from:Int64}
        ) AS g
        INNER JOIN back AS b ON b.tenant = g.tenant AND b.id = g.right_id
        LEFT JOIN (
            SELECT toString(tenant) AS tenant, toString(source_id) AS source_id, holder,
                toNullable(ifNull(toUnixTimestamp64Milli(held_from), -9000000000000000)) AS since, toNullable(ifNull(toUnixTimestamp64Milli(held_to), 9000000000000000)) AS until
            FROM {database}.world_rows FINAL WHERE person = '' AND kind = 'lives'
        ) AS l ON l.tenant = g.tenant AND l.source_id = g.source_id AND l.holder = g.right_id
        WHERE b.source_id = '' OR b.source_id = g.source_id
    ) AS w
    LEFT JOIN (
        SELECT tenant, account, arraySort(groupArray((since, until))) AS gone FROM (
            SELECT toString(tenant) AS tenant, if(account = '', person, account) AS account,
                ifNull(toUnixTimestamp64Milli(held_from), -9000000000000000) AS since, ifNull(toUnixTimestamp64Milli(held_to), 9000000000000000) AS until
            FROM {database}.world_rows FINAL WHERE kind = 'gone' AND person != ''
        ) GROUP BY tenant, account
    ) AS a ON a.tenant = w.tenant AND a.account = w.account
) AS h
INNER JOIN (SELECT toString(tenant) AS tenant, right_id, toString(kind) AS kind, name FROM {database}.privileged_right_rows FINAL) AS p
    ON p.tenant = h.tenant AND p.right_id = h.right_id
WHERE greatest(h.since, h.lives.1) < least(h.until, h.lives.2) AND greatest(h.since, h.lives.1) < {to:Int64} AND least(h.until, h.lives.2) >= {from:Int64};
