-- The oracle, 5 of 7: by which path. A path holds for as long as everything on it does: times are cut with one another.

-- Users that may not sign in, and when users, groups and roles do not exist.
CREATE TABLE {oracle}.blocked ENGINE = Memory AS
SELECT tenant, source, 'exists' AS what, id, since, until FROM {oracle}.dead WHERE book = 'user'
UNION ALL SELECT tenant, source, 'active', id, since, until FROM {oracle}.dead WHERE book = 'user'
UNION ALL SELECT tenant, source, 'active', holder, since, until FROM {oracle}.segments WHERE book = 'enabled' AND says = '=false' AND since < until
UNION ALL SELECT tenant, source, 'group', grp, since, until FROM {oracle}.dead_groups
UNION ALL SELECT tenant, source, 'role', id, since, until FROM {oracle}.dead WHERE book = 'role';

-- Everybody and everything that is ever spoken of.
CREATE TABLE {oracle}.things ENGINE = Memory AS
SELECT DISTINCT tenant, source, arrayJoin(['exists', 'active']) AS what, holder AS id FROM {oracle}.segments
    WHERE book IN ('user', 'enabled', 'member', 'user_role')
UNION DISTINCT SELECT tenant, source, arrayJoin(['exists', 'active']), user FROM {oracle}.people
UNION DISTINCT SELECT tenant, source, arrayJoin(['exists', 'active']), substring(says, 2) FROM {oracle}.segments AS s
    INNER JOIN {oracle}.joins AS j ON j.backstage = s.source WHERE s.book = 'catalog_user' AND s.says != ''
UNION DISTINCT SELECT tenant, source, 'group', holder FROM {oracle}.segments WHERE book IN ('group', 'parent', 'called')
UNION DISTINCT SELECT tenant, source, 'group', held FROM {oracle}.segments WHERE book = 'member'
UNION DISTINCT SELECT tenant, source, 'role', held FROM {oracle}.segments WHERE book IN ('user_role', 'group_role', 'composite');

-- The times between: when users and roles exist, when users may sign in, when groups live.
CREATE TABLE {oracle}.free ENGINE = Memory AS
WITH edges AS (
    SELECT tenant, source, what, id, at, sum(step) AS step FROM (
        SELECT tenant, source, what, id, toInt64(-9000000000000000) AS at, 0 AS step FROM {oracle}.things
        UNION ALL SELECT tenant, source, what, id, since, 1 FROM {oracle}.blocked
        UNION ALL SELECT tenant, source, what, id, until, -1 FROM {oracle}.blocked
    ) GROUP BY tenant, source, what, id, at
)
SELECT tenant, source, what, id, at AS since, next AS until FROM (
    SELECT *, sum(step) OVER (PARTITION BY tenant, source, what, id ORDER BY at ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS depth,
        leadInFrame(at, 1, 9000000000000000) OVER (PARTITION BY tenant, source, what, id ORDER BY at ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS next
    FROM edges
) WHERE depth = 0 AND at < next;

-- Groups that only memberships name have nothing above them.
INSERT INTO {oracle}.chains SELECT DISTINCT tenant, source, held, held, [held], -9000000000000000, 9000000000000000
FROM {oracle}.segments WHERE book = 'member' AND (tenant, source, held) NOT IN (SELECT tenant, source, grp FROM {oracle}.chains);

-- Memberships, nested ones too: in `grp`, and so in `above`.
CREATE TABLE {oracle}.nested ENGINE = Memory AS
SELECT m.tenant AS tenant, m.source AS source, m.holder AS user, m.held AS grp, c.above AS above, m.begun AS begun,
    greatest(m.since, c.since, f.since) AS since, least(m.until, c.until, f.until) AS until
FROM (SELECT * FROM {oracle}.held WHERE book = 'member') AS m
INNER JOIN {oracle}.chains AS c ON c.tenant = m.tenant AND c.source = m.source AND c.grp = m.held
INNER JOIN (SELECT * FROM {oracle}.free WHERE what = 'group') AS f ON f.tenant = m.tenant AND f.source = m.source AND f.id = m.held
WHERE greatest(m.since, c.since, f.since) < least(m.until, c.until, f.until);

-- A role and everything that it contains, while all of them exist.
CREATE TABLE {oracle}.contained ENGINE = Memory AS
WITH RECURSIVE roles AS (
    SELECT tenant, source, id, since, until FROM {oracle}.free WHERE what = 'role'
), links AS (
    SELECT h.tenant AS tenant, h.source AS source, h.holder AS outside, h.held AS inside, greatest(h.since, f.since) AS since, least(h.until, f.until) AS until
    FROM (SELECT * FROM {oracle}.held WHERE book = 'composite') AS h INNER JOIN roles AS f ON f.tenant = h.tenant AND f.source = h.source AND f.id = h.held
    WHERE greatest(h.since, f.since) < least(h.until, f.until)
), down AS (
    SELECT tenant, source, id AS role, id AS inside, CAST([id], 'Array(String)') AS way, since, until FROM roles
    WHERE (tenant, source, id) IN (SELECT tenant, source, held FROM {oracle}.held WHERE book IN ('user_role', 'group_role'))
    UNION ALL
    SELECT d.tenant, d.source, d.role, l.inside, arrayPushBack(d.way, l.inside), greatest(d.since, l.since), least(d.until, l.until)
    FROM down AS d INNER JOIN links AS l ON l.tenant = d.tenant AND l.source = d.source AND l.outside = d.inside
    WHERE length(d.way) < 64 AND NOT has(d.way, l.inside) AND greatest(d.since, l.since) < least(d.until, l.until)
)
SELECT tenant, source, role, inside, since, until FROM down;

-- What a Keycloak group is called in a Backstage: by the catalog's annotation; and one that was renamed since the catalog was read,
-- by its new name.
CREATE TABLE {oracle}.renamed ENGINE = Memory AS
WITH looks AS (
    SELECT tenant, source AS backstage, begin AS at,
        leadInFrame(begin, 1, 9000000000000000) OVER (PARTITION BY tenant, source ORDER BY begin ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS next
    FROM {oracle}.reads WHERE list = 'groups' AND realm = ''
), names AS (
    SELECT tenant, source, holder AS grp, n, says, since, until FROM {oracle}.segments WHERE book = 'called' AND since < until
), first AS (
    SELECT tenant, source, holder AS grp, argMin(says, n) AS word FROM {oracle}.segments WHERE book = 'called' AND says != '' GROUP BY tenant, source, grp
)
SELECT n.tenant AS tenant, n.source AS source, l.backstage AS backstage, n.grp AS grp,
    concat('group:default/', replaceRegexpAll(lower(substring(n.says, 2)), '[^a-z0-9._-]', '-')) AS reference,
    greatest(n.since, l.at) AS since, least(n.until, l.next) AS until
FROM names AS n INNER JOIN {oracle}.joins AS j ON j.keycloak = n.source
INNER JOIN looks AS l ON l.tenant = n.tenant AND l.backstage = j.backstage
LEFT JOIN names AS t ON t.tenant = n.tenant AND t.source = n.source AND t.grp = n.grp
LEFT JOIN first AS f ON f.tenant = n.tenant AND f.source = n.source AND f.grp = n.grp
WHERE n.says != '' AND greatest(n.since, l.at) < least(n.until, l.next) AND t.since <= l.at AND l.at < t.until
    AND n.says != if(t.says = '', f.word, t.says);

CREATE TABLE {oracle}.unrenamed ENGINE = Memory AS
WITH edges AS (
    SELECT tenant, source, backstage, grp, at, sum(step) AS step FROM (
        SELECT c.tenant AS tenant, c.source AS source, j.backstage AS backstage, c.above AS grp, toInt64(-9000000000000000) AS at, 0 AS step
        FROM {oracle}.chains AS c INNER JOIN {oracle}.joins AS j ON j.keycloak = c.source GROUP BY ALL
        UNION ALL SELECT tenant, source, backstage, grp, since, 1 FROM {oracle}.renamed
        UNION ALL SELECT tenant, source, backstage, grp, until, -1 FROM {oracle}.renamed
    ) GROUP BY tenant, source, backstage, grp, at
)
SELECT tenant, source, backstage, grp, at AS since, next AS until FROM (
    SELECT *, sum(step) OVER (PARTITION BY tenant, source, backstage, grp ORDER BY at ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS depth,
        leadInFrame(at, 1, 9000000000000000) OVER (PARTITION BY tenant, source, backstage, grp ORDER BY at ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS next
    FROM edges
) WHERE depth = 0 AND at < next;

CREATE TABLE {oracle}.names ENGINE = Memory AS
SELECT u.tenant AS tenant, u.source AS source, u.backstage AS backstage, u.grp AS grp, a.holder AS reference,
    greatest(a.since, u.since) AS since, least(a.until, u.until) AS until
FROM (SELECT * FROM {oracle}.held WHERE book = 'catalog_group') AS a
INNER JOIN {oracle}.unrenamed AS u ON u.tenant = a.tenant AND u.backstage = a.source AND concat('=', u.grp) = a.says
WHERE greatest(a.since, u.since) < least(a.until, u.until)
UNION ALL
SELECT tenant, source, backstage, grp, reference, since, until FROM {oracle}.renamed;

-- A Backstage group and everything above it, as the catalog has it.
CREATE TABLE {oracle}.catalog_chains ENGINE = Memory AS
WITH RECURSIVE up AS (
    SELECT DISTINCT tenant, source, reference, reference AS above, CAST([reference], 'Array(String)') AS way, toInt64(-9000000000000000) AS since, toInt64(9000000000000000) AS until
    FROM (SELECT tenant, backstage AS source, reference FROM {oracle}.names UNION DISTINCT SELECT tenant, source, held FROM {oracle}.held WHERE book = 'catalog_member')
    UNION ALL
    SELECT u.tenant, u.source, u.reference, substring(p.says, 2), arrayPushBack(u.way, substring(p.says, 2)), greatest(u.since, p.since), least(u.until, p.until)
    FROM up AS u INNER JOIN (SELECT * FROM {oracle}.held WHERE book = 'catalog_parent') AS p ON p.tenant = u.tenant AND p.source = u.source AND p.holder = u.above
    WHERE length(u.way) < 64 AND NOT has(u.way, substring(p.says, 2)) AND greatest(u.since, p.since) < least(u.until, p.until)
)
SELECT * FROM up;

-- Whom a reference stood for: by the annotation; one that is gone, for whom it last stood, for as long as tokens live; one that came
-- between two reads, for whom the second names, from the first on.
CREATE TABLE {oracle}.ties ENGINE = Memory AS
SELECT s.tenant AS tenant, s.source AS backstage, s.holder AS reference, j.keycloak AS keycloak,
    substring(if(s.says != '', s.says, s.before), 2) AS user, s.since AS since, if(s.says != '', s.until, least(s.until, s.since + j.token_life + 1)) AS until
FROM (SELECT * FROM {oracle}.islands WHERE book = 'catalog_user') AS s INNER JOIN {oracle}.joins AS j ON j.backstage = s.source
WHERE (s.says != '' OR (s.before != '' AND s.since > -9000000000000000)) AND s.since < s.until
UNION ALL
SELECT s.tenant, s.source, s.holder, j.keycloak, substring(s.next, 2),
    if(i.before != '' AND i.since > -9000000000000000, greatest(s.since, i.since + j.token_life + 1), s.since) AS since, s.until
FROM (
    SELECT *, leadInFrame(says, 1, '') OVER (PARTITION BY tenant, source, holder ORDER BY n ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS next
    FROM {oracle}.segments WHERE book = 'catalog_user'
) AS s
INNER JOIN (SELECT * FROM {oracle}.islands WHERE book = 'catalog_user') AS i
    ON i.tenant = s.tenant AND i.source = s.source AND i.holder = s.holder AND i.island = s.island
INNER JOIN {oracle}.joins AS j ON j.backstage = s.source
WHERE s.says = '' AND s.open AND s.next != '' AND since < s.until;

-- Everything that follows from what is held, with the path to it, both ends left out; `begun`: since when what the path begins with is held.
CREATE TABLE {oracle}.effective ENGINE = Memory AS
WITH groups AS (
    SELECT tenant, source, user, above, if(above = grp, CAST([], 'Array(String)'), [grp]) AS way, begun, since, until FROM {oracle}.nested
), roles AS (
    SELECT tenant, source, holder AS user, held AS role, CAST([], 'Array(String)') AS way, begun, since, until FROM {oracle}.held WHERE book = 'user_role'
    UNION ALL
    SELECT g.tenant, g.source, g.user, r.held, arrayPushBack(g.way, g.above), g.begun, greatest(g.since, r.since), least(g.until, r.until)
    FROM groups AS g INNER JOIN (SELECT * FROM {oracle}.held WHERE book = 'group_role') AS r ON r.tenant = g.tenant AND r.source = g.source AND r.holder = g.above
), backstage AS (
    SELECT g.tenant AS tenant, g.source AS source, g.user AS user, m.held AS role, arrayConcat(g.way, [g.above, r.reference]) AS way, g.begun AS begun,
        greatest(g.since, r.since, m.since) AS since, least(g.until, r.until, m.until) AS until
    FROM groups AS g
    INNER JOIN {oracle}.names AS r ON r.tenant = g.tenant AND r.source = g.source AND r.grp = g.above
    INNER JOIN (SELECT * FROM {oracle}.held WHERE book = 'role_member') AS m ON m.tenant = g.tenant AND m.source = r.backstage AND m.holder = r.reference
    UNION ALL
    SELECT t.tenant, t.keycloak, t.user, m.held, CAST([], 'Array(String)'), m.begun, greatest(t.since, m.since), least(t.until, m.until)
    FROM {oracle}.ties AS t INNER JOIN (SELECT * FROM {oracle}.held WHERE book = 'role_member') AS m ON m.tenant = t.tenant AND m.source = t.backstage AND m.holder = t.reference
), every AS (
    SELECT tenant, source, user, 'group' AS kind, above AS right, way, begun, since, until FROM groups
    UNION ALL
    SELECT r.tenant, r.source, r.user, 'role', c.inside, if(c.inside = r.role, r.way, arrayPushBack(r.way, r.role)), r.begun, greatest(r.since, c.since), least(r.until, c.until)
    FROM roles AS r INNER JOIN {oracle}.contained AS c ON c.tenant = r.tenant AND c.source = r.source AND c.role = r.role
    UNION ALL
    SELECT tenant, source, user, 'backstage_role', role, way, begun, since, until FROM backstage
)
SELECT e.tenant AS tenant, e.source AS source, e.user AS user, e.kind AS kind, e.right AS right, e.way AS way, e.begun AS begun,
    greatest(e.since, f.since) AS since, least(e.until, f.until) AS until
FROM every AS e INNER JOIN (SELECT * FROM {oracle}.free WHERE what = 'exists') AS f ON f.tenant = e.tenant AND f.source = e.source AND f.id = e.user
WHERE greatest(e.since, f.since) < least(e.until, f.until);
