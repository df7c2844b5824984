-- What belongs to no single right of a person, and from which all that is not held directly follows: kept once and by reference, so
-- that deleting a group of 100,000 members is one row.

CREATE TABLE IF NOT EXISTS {database}.world_rows {on_cluster}
(
    tenant LowCardinality(String),
    -- of ties and accounts: whose
    person String CODEC(ZSTD(1)),
    at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    row_id FixedString(16) CODEC(NONE),
    version UInt64 CODEC(Delta(8), ZSTD(1)),
    is_deleted UInt8 CODEC(ZSTD(1)),
    content UInt64 CODEC(ZSTD(1)),
    because UUID CODEC(ZSTD(1)),
    source_id LowCardinality(String),
    kind LowCardinality(String),
    -- personal where it is a reference
    holder String CODEC(ZSTD(3)),
    held String CODEC(ZSTD(3)),
    held_source_id LowCardinality(String),
    held_from Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    held_to Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    begun_in UUID CODEC(ZSTD(1)),
    rests_on_gap UInt8 CODEC(ZSTD(1))
)
ENGINE = {replicated}ReplacingMergeTree(version, is_deleted)
ORDER BY (tenant, person, at, row_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Two Keycloaks can have groups and roles of one id: a realm that was copied.
ALTER TABLE {database}.grant_rows {on_cluster} ADD COLUMN IF NOT EXISTS source_id LowCardinality(String) AFTER because;

CREATE OR REPLACE VIEW {database}.grants {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, person, source_id, right_kind, right_id, held_from, held_to, granted_by, removed_by, granted_in, removed_in, rests_on_gap,
    because, version
FROM {database}.grant_rows FINAL;

CREATE OR REPLACE VIEW {database}.world {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, person, source_id, kind, holder, held, held_source_id, held_from, held_to, begun_in, rests_on_gap, because, version
FROM {database}.world_rows FINAL;

-- Everything that persons had at some instant from `from` to `to` (UTC milliseconds, both within; equal: as of that instant), by
-- every path: `path` leads from the person to the right, both ends left out. `person` empty: everybody. Each row holds from
-- `held_from` to `held_to`: for as long as everything on its path does. `granted_*` is of what the path begins with; without
-- `granted_at` it was only seen as state. What comes of a Backstage role is a row of kind `permission`: a policy
-- `permission|actions|effect`. It is one walk from what is held, along the rows of `world`.
CREATE OR REPLACE VIEW {database}.effective_in {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
WITH RECURSIVE walk AS (
    SELECT * FROM (
    SELECT d.person AS person, d.source_id AS source_id, d.right_kind AS right_kind, d.right_id AS right_id, CAST([], 'Array(String)') AS path,
        -- 0: the first of its kind on the path; 1: groups above, contained roles, of which only the first is told; 2: the person
        toUInt8(0) AS hop, [d.right_id] AS way, greatest(d.since, ifNull(l.since, -9000000000000000)) AS since, least(d.until, ifNull(l.until, 9000000000000000)) AS until,
        d.begun AS begun, d.granted_by AS granted_by, d.granted_in AS granted_in, d.rests_on_gap AS gap
    FROM (
        SELECT person, toString(source_id) AS source_id, toString(right_kind) AS right_kind, right_id, granted_by, granted_in, rests_on_gap,
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
    SELECT person, toString(source_id), 'reference', holder, CAST([], 'Array(String)'), toUInt8(2), [holder],
        ifNull(toUnixTimestamp64Milli(held_from), -9000000000000000), ifNull(toUnixTimestamp64Milli(held_to), 9000000000000000),
        NULL, '', toUUID('00000000-0000-0000-0000-000000000000'), rests_on_gap
    FROM {database}.world_rows FINAL
    WHERE tenant = {tenant:String} AND kind = 'tie' AND person != '' AND ({person:String} = '' OR person = {person:String})
    )
    UNION ALL
    SELECT w.person, e.held_source_id, e.to_kind, e.held,
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
        -- The times in which the person exists: between those in which they do not.
        arrayJoin(arrayZip(arrayPushFront(arrayMap(t -> t.2, a.gone), -9000000000000000), arrayPushBack(arrayMap(t -> t.1, a.gone), 9000000000000000))) AS lives
    FROM walk AS w LEFT JOIN (
        SELECT person, arraySort(groupArrayIf((since, until), kind = 'gone')) AS gone, max(kind = 'disabled' AND since <= {to:Int64} AND until > {to:Int64}) AS disabled
        FROM (
            SELECT person, kind, ifNull(toUnixTimestamp64Milli(held_from), -9000000000000000) AS since, ifNull(toUnixTimestamp64Milli(held_to), 9000000000000000) AS until
            FROM {database}.world_rows FINAL
            WHERE tenant = {tenant:String} AND kind IN ('gone', 'disabled') AND person != '' AND ({person:String} = '' OR person = {person:String})
        ) GROUP BY person
    ) AS a ON a.person = w.person
    WHERE w.right_kind != 'reference'
)
WHERE greatest(rest_since, lives.1) < least(rest_until, lives.2) AND greatest(rest_since, lives.1) <= {to:Int64} AND least(rest_until, lives.2) > {from:Int64}
GROUP BY ALL;
