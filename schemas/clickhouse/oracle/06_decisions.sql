-- The oracle, 6 of 7: per decision the latest credential that can stand behind it, the rights that support it, and how long ago that changed.

-- Decisions about people, made when policies were known.
CREATE TABLE {oracle}.judged ENGINE = Memory AS
SELECT d.tenant AS tenant, d.source AS backstage, d.event AS event, d.at AS at, d.name AS reference, d.permission AS permission,
    d.action AS action, d.resource_type AS resource_type, d.outcome AS outcome, d.person AS named, t.user AS user, t.keycloak AS keycloak
FROM (
    SELECT d.tenant AS tenant, d.source AS source, d.event AS event, d.at AS at, d.name AS name, d.permission AS permission, d.action AS action,
        d.resource_type AS resource_type, d.outcome AS outcome, d.person AS person
    FROM {oracle}.told AS d
    LEFT JOIN (SELECT * FROM {oracle}.segments WHERE book = 'policies_known' AND says != '') AS k ON k.tenant = d.tenant AND k.source = d.source
    WHERE d.kind = 'decision' AND startsWith(d.name, 'user:') AND d.permission != '' AND d.outcome IN ('allow', 'deny') AND k.since <= d.at AND d.at < k.until
) AS d
LEFT JOIN (
    SELECT d.tenant AS tenant, d.event AS event, t.user AS user, t.keycloak AS keycloak
    FROM (SELECT * FROM {oracle}.told WHERE kind = 'decision') AS d
    INNER JOIN {oracle}.ties AS t ON t.tenant = d.tenant AND t.backstage = d.source AND t.reference = d.name
    WHERE t.since <= d.at AND d.at < t.until
) AS t ON t.tenant = d.tenant AND t.event = d.event;

-- The latest Backstage token issued within the life of a token; without any, the latest token of Keycloak that could have paid for one.
CREATE TABLE {oracle}.credentials ENGINE = Memory AS
WITH issued AS (
    SELECT tenant, source AS backstage, name AS reference, at, max(event) AS event FROM {oracle}.told WHERE kind = 'backstage_token_issued' GROUP BY ALL
), paying AS (
    SELECT u.tenant AS tenant, j.backstage AS backstage, u.user AS user, u.at AS at, max(u.event) AS event
    FROM {oracle}.uses AS u INNER JOIN {oracle}.joins AS j ON j.keycloak = u.source
    WHERE u.what = 'issue' AND u.grant IN ('code', 'refresh', 'other') AND u.session != '' AND (empty(j.clients) OR has(j.clients, u.client)) GROUP BY ALL
)
SELECT d.tenant AS tenant, d.event AS event,
    multiIf(i.event != '' AND i.at > d.at - j.token_life, i.at, p.event != '' AND p.at > d.at - j.token_life, p.at, NULL) AS credential_at,
    multiIf(i.event != '' AND i.at > d.at - j.token_life, i.event, p.event != '' AND p.at > d.at - j.token_life, p.event, '') AS credential
FROM {oracle}.judged AS d
INNER JOIN {oracle}.joins AS j ON j.backstage = d.backstage
ASOF LEFT JOIN issued AS i ON i.tenant = d.tenant AND i.backstage = d.backstage AND i.reference = d.reference AND i.at <= d.at
ASOF LEFT JOIN paying AS p ON p.tenant = d.tenant AND p.backstage = d.backstage AND p.user = d.user AND p.at <= d.at;

-- What is asked, each once.
CREATE TABLE {oracle}.questions ENGINE = Memory AS
SELECT *, row_number() OVER () AS question FROM (
    SELECT DISTINCT tenant, backstage, reference, user, keycloak, permission, action, resource_type FROM {oracle}.judged);

-- Members of roles that stand for somebody: (group, group above it that counts, Backstage group); all empty: the person.
CREATE TABLE {oracle}.standing ENGINE = Memory AS
WITH asked AS (SELECT DISTINCT tenant, backstage, reference, user, keycloak FROM {oracle}.questions),
-- Where Keycloak has not told what is above a group, the catalog has.
untold AS (
    SELECT tenant, source, holder AS grp, since, until FROM {oracle}.segments WHERE book = 'parent' AND says = '' AND since < until
    UNION ALL SELECT DISTINCT tenant, source, above, toInt64(-9000000000000000), toInt64(9000000000000000) FROM {oracle}.chains
    WHERE (tenant, source, above) NOT IN (SELECT tenant, source, holder FROM {oracle}.segments WHERE book = 'parent')
), groups AS (
    SELECT a.tenant AS tenant, a.backstage AS backstage, a.reference AS reference, a.user AS user, a.keycloak AS keycloak, n.grp AS grp, n.above AS above, r.reference AS member, n.begun AS begun, greatest(n.since, r.since) AS since, least(n.until, r.until) AS until
    FROM asked AS a
    INNER JOIN {oracle}.nested AS n ON n.tenant = a.tenant AND n.source = a.keycloak AND n.user = a.user
    INNER JOIN {oracle}.names AS r ON r.tenant = a.tenant AND r.source = a.keycloak AND r.backstage = a.backstage AND r.grp = n.above
    WHERE greatest(n.since, r.since) < least(n.until, r.until)
),
-- Memberships of which no event and no read of Keycloak speaks.
catalog AS (
    SELECT a.tenant AS tenant, a.backstage AS backstage, a.reference AS reference, a.user AS user, a.keycloak AS keycloak, m.held AS within, c.above AS member, greatest(m.since, c.since) AS since, least(m.until, c.until) AS until
    FROM asked AS a
    INNER JOIN (SELECT * FROM {oracle}.held WHERE book = 'catalog_member') AS m ON m.tenant = a.tenant AND m.source = a.backstage AND m.holder = a.reference
    INNER JOIN {oracle}.catalog_chains AS c ON c.tenant = a.tenant AND c.source = a.backstage AND c.reference = m.held
    WHERE greatest(m.since, c.since) < least(m.until, c.until)
), homes AS (
    SELECT tenant, source, holder AS user, within FROM {oracle}.marks WHERE book IN ('user', 'member') UNION DISTINCT SELECT tenant, source, holder, within FROM {oracle}.listed WHERE book IN ('user', 'member')
), read_for AS (
    SELECT DISTINCT h.tenant AS tenant, h.source AS source, h.user AS user FROM homes AS h
    INNER JOIN {oracle}.reads AS r ON r.tenant = h.tenant AND r.source = h.source AND r.within = h.within AND r.list = 'members'
), called AS (
    SELECT tenant, source, holder AS grp, if(says = '', first, says) AS says, since, until FROM (
        SELECT *, argMinIf(says, n, says != '') OVER (PARTITION BY tenant, source, holder) AS first FROM {oracle}.segments WHERE book = 'called'
    ) WHERE since < until
), told AS (
    -- Keycloak speaks of the membership in the annotated group.
    SELECT DISTINCT a.tenant AS tenant, a.backstage AS backstage, a.reference AS reference, a.user AS user, g.holder AS within, g.since AS since, g.until AS until
    FROM asked AS a
    INNER JOIN (SELECT * FROM {oracle}.held WHERE book = 'catalog_group') AS g ON g.tenant = a.tenant AND g.source = a.backstage
    INNER JOIN (SELECT DISTINCT tenant, source, holder, held FROM {oracle}.segments WHERE book = 'member') AS m
        ON m.tenant = a.tenant AND m.source = a.keycloak AND m.holder = a.user AND concat('=', m.held) = g.says
    UNION ALL
    SELECT DISTINCT a.tenant, a.backstage, a.reference, a.user, g.holder, g.since, g.until
    FROM asked AS a
    INNER JOIN (SELECT * FROM {oracle}.held WHERE book = 'catalog_group') AS g ON g.tenant = a.tenant AND g.source = a.backstage
    INNER JOIN read_for AS r ON r.tenant = a.tenant AND r.source = a.keycloak AND r.user = a.user
    UNION ALL
    -- Or the person is in another group of that name.
    SELECT DISTINCT a.tenant, a.backstage, a.reference, a.user, g.holder, greatest(g.since, c.since), least(g.until, c.until)
    FROM asked AS a
    INNER JOIN (SELECT * FROM {oracle}.held WHERE book = 'catalog_group') AS g ON g.tenant = a.tenant AND g.source = a.backstage
    INNER JOIN (SELECT DISTINCT tenant, source, holder, held FROM {oracle}.segments WHERE book = 'member') AS m ON m.tenant = a.tenant AND m.source = a.keycloak AND m.holder = a.user
    INNER JOIN called AS c ON c.tenant = m.tenant AND c.source = m.source AND c.grp = m.held
    WHERE concat('=', m.held) != g.says AND greatest(g.since, c.since) < least(g.until, c.until)
        AND replaceRegexpAll(lower(substring(c.says, 2)), '[^a-z0-9._-]', '-') = splitByChar('/', g.holder)[-1]
), untold_catalog AS (
    SELECT tenant, backstage, reference, user, within, at AS since, next AS until FROM (
        SELECT *, sum(step) OVER (PARTITION BY tenant, backstage, reference, user, within ORDER BY at ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS depth,
            leadInFrame(at, 1, 9000000000000000) OVER (PARTITION BY tenant, backstage, reference, user, within ORDER BY at ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS next
        FROM (
            SELECT tenant, backstage, reference, user, within, at, sum(step) AS step FROM (
                SELECT DISTINCT tenant, backstage, reference, user, within, toInt64(-9000000000000000) AS at, 0 AS step FROM catalog
                UNION ALL SELECT tenant, backstage, reference, user, within, since, 1 FROM told
                UNION ALL SELECT tenant, backstage, reference, user, within, until, -1 FROM told
            ) GROUP BY tenant, backstage, reference, user, within, at
        )
    ) WHERE depth = 0 AND at < next
)
SELECT tenant, backstage, reference, user, '' AS grp, '' AS above, '' AS via, reference AS member, CAST(NULL, 'Nullable(Int64)') AS begun,
    toInt64(-9000000000000000) AS since, toInt64(9000000000000000) AS until FROM asked
UNION ALL
SELECT tenant, backstage, reference, user, grp, if(above = grp, '', above), member, member, begun, since, until FROM groups
UNION ALL
SELECT g.tenant, g.backstage, g.reference, g.user, g.grp, if(g.above = g.grp, '', g.above), c.above, c.above, g.begun, greatest(g.since, u.since, c.since), least(g.until, u.until, c.until)
FROM groups AS g
INNER JOIN untold AS u ON u.tenant = g.tenant AND u.source = g.keycloak AND u.grp = g.above
INNER JOIN (SELECT * FROM {oracle}.catalog_chains WHERE above != reference) AS c ON c.tenant = g.tenant AND c.source = g.backstage AND c.reference = g.member
WHERE greatest(g.since, u.since, c.since) < least(g.until, u.until, c.until)
UNION ALL
SELECT c.tenant, c.backstage, c.reference, c.user, '', '', c.member, c.member, NULL, greatest(c.since, u.since), least(c.until, u.until)
FROM catalog AS c INNER JOIN untold_catalog AS u ON u.tenant = c.tenant AND u.backstage = c.backstage AND u.reference = c.reference AND u.user = c.user AND u.within = c.within
WHERE greatest(c.since, u.since) < least(c.until, u.until);

-- Every path from a person to a permission: member of a role, role has a policy that fits, person may sign in.
CREATE TABLE {oracle}.ways ENGINE = Memory AS
SELECT q.tenant AS tenant, q.question AS question, s.grp AS grp, s.above AS above, s.via AS via, r.held AS role, p.held AS policy,
    if(s.via = '', r.begun, s.begun) AS begun, splitByChar('|', p.held)[3] = 'deny' AS denies,
    greatest(s.since, r.since, p.since, ifNull(a.since, -9000000000000000)) AS since, least(s.until, r.until, p.until, ifNull(a.until, 9000000000000000)) AS until
FROM {oracle}.questions AS q
INNER JOIN {oracle}.standing AS s ON s.tenant = q.tenant AND s.backstage = q.backstage AND s.reference = q.reference AND s.user = q.user
INNER JOIN (SELECT * FROM {oracle}.held WHERE book = 'role_member') AS r ON r.tenant = q.tenant AND r.source = q.backstage AND r.holder = s.member
INNER JOIN (SELECT * FROM {oracle}.held WHERE book = 'policy') AS p ON p.tenant = q.tenant AND p.source = q.backstage AND p.holder = r.held
LEFT JOIN (SELECT tenant, source, id, toNullable(since) AS since, toNullable(until) AS until FROM {oracle}.free WHERE what = 'active') AS a
    ON a.tenant = q.tenant AND a.source = q.keycloak AND a.id = q.user AND q.user != ''
WHERE splitByChar('|', p.held)[1] IN (q.permission, q.resource_type) AND has(splitByChar(',', splitByChar('|', p.held)[2]), q.action)
    AND (q.user = '' OR a.since IS NOT NULL)
    AND greatest(s.since, r.since, p.since, ifNull(a.since, -9000000000000000)) < least(s.until, r.until, p.until, ifNull(a.until, 9000000000000000));

-- From when to when a permission was supported: by a path at least, and denied by none.
CREATE TABLE {oracle}.supported ENGINE = Memory AS
WITH edges AS (
    SELECT tenant, question, at, sum(allow) AS allow, sum(deny) AS deny FROM (
        SELECT tenant, question, since AS at, toInt64(NOT denies) AS allow, toInt64(denies) AS deny FROM {oracle}.ways
        UNION ALL SELECT tenant, question, until, -toInt64(NOT denies), -toInt64(denies) FROM {oracle}.ways
        UNION ALL SELECT tenant, question, toInt64(-9000000000000000), 0, 0 FROM {oracle}.questions
    ) GROUP BY tenant, question, at
), states AS (
    SELECT tenant, question, at, sum(allow) OVER w > 0 AND sum(deny) OVER w = 0 AS yes FROM edges
    WINDOW w AS (PARTITION BY tenant, question ORDER BY at ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
)
-- The instants at which the answer became another.
SELECT tenant, question, at, yes FROM (
    SELECT *, lagInFrame(toInt8(yes), 1, -1) OVER (PARTITION BY tenant, question ORDER BY at ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS before FROM states
) WHERE before != toInt8(yes);

CREATE TABLE {oracle}.decisions ENGINE = Memory AS
WITH standing AS (
    SELECT d.tenant AS tenant, d.event AS event, d.at AS at, d.outcome AS outcome, d.named AS named, d.user AS user, d.keycloak AS keycloak, q.question AS question,
        s.yes AS yes, s.at AS changed,
        multiIf(d.outcome = 'allow' AND s.yes, d.at, d.outcome = 'allow' AND s.at > -9000000000000000, s.at - 1, d.outcome = 'deny', d.at, NULL) AS seen_at
    FROM {oracle}.judged AS d
    INNER JOIN {oracle}.questions AS q ON q.tenant = d.tenant AND q.backstage = d.backstage AND q.reference = d.reference AND q.user = d.user
        AND q.keycloak = d.keycloak AND q.permission = d.permission AND q.action = d.action AND q.resource_type = d.resource_type
    ASOF INNER JOIN {oracle}.supported AS s ON s.tenant = q.tenant AND s.question = q.question AND s.at <= d.at
), support AS (
    SELECT s.tenant AS tenant, s.event AS event, arraySort(groupUniqArray(toString((w.grp, w.above, w.via, w.role, w.policy, w.begun)))) AS support
    FROM standing AS s INNER JOIN {oracle}.ways AS w ON w.tenant = s.tenant AND w.question = s.question
    WHERE w.since <= s.seen_at AND s.seen_at < w.until AND NOT w.denies GROUP BY tenant, event
)
SELECT s.tenant AS tenant, s.event AS event_id, if(s.user = '', s.named, p.person) AS person, s.yes AS supported,
    if(s.changed > -9000000000000000 AND ((s.outcome = 'allow' AND NOT s.yes) OR (s.outcome = 'deny' AND s.yes)), s.at - s.changed, NULL) AS delay_ms,
    u.support AS support, c.credential_at AS credential_at, c.credential AS credential
FROM standing AS s
LEFT JOIN support AS u ON u.tenant = s.tenant AND u.event = s.event
LEFT JOIN {oracle}.credentials AS c ON c.tenant = s.tenant AND c.event = s.event
LEFT JOIN {oracle}.people AS p ON p.tenant = s.tenant AND p.source = s.keycloak AND p.user = s.user;

-- What decisions on conditions came to: no line of their own tells it, but that of the call in which they were made, if both carry one trace and lie within an hour.
CREATE TABLE {oracle}.finals ENGINE = Memory AS
WITH calls AS (
    SELECT tenant, source, details['trace_id'] AS trace, (at, event) AS moment, multiIf(kind = 'decision', outcome, outcome = 'success', 'allow', 'deny') AS became
    FROM {oracle}.told
    WHERE source_kind = 'backstage' AND trace != '' AND permission = '' AND (kind = 'decision' OR (data_class = 'decision'
        AND (outcome = 'success' OR (outcome = 'failure' AND details['denied'] = 'true')) AND (name != '' OR actor_kind = 'static')))
)
SELECT d.tenant AS tenant, d.event AS event_id, argMinIf(c.became, c.moment, c.became != '') AS final_outcome
FROM (SELECT *, details['trace_id'] AS trace FROM {oracle}.told WHERE kind = 'decision' AND source_kind = 'backstage' AND outcome = 'conditional') AS d
LEFT JOIN calls AS c ON c.tenant = d.tenant AND c.source = d.source AND c.trace = d.trace AND d.trace != '' AND c.moment >= (d.at, d.event) AND c.moment.1 <= d.at + 3600000
GROUP BY tenant, event_id;
