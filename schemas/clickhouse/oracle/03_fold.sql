-- The oracle, 3 of 7: histories. Evidence in the order of time, one piece after the other: how it was from when to when.

-- When a user, a group or a role ended: later reads no longer speak of what they held.
CREATE TABLE {oracle}.ends (tenant String, source String, id String, at Int64) ENGINE = Memory;

-- Reads that speak of a book, and what was seen in passing: all but those so near to an event that it cannot be told which came first.
CREATE VIEW {oracle}.evidence AS
WITH things AS (
    SELECT tenant, book, source, holder, held, min(within) AS within, groupArray(at) AS told_at FROM (
        SELECT tenant, book, source, holder, held, within, at FROM {oracle}.marks
        UNION ALL SELECT tenant, book, source, holder, held, within, NULL FROM {oracle}.listed
        UNION ALL SELECT tenant, 'called', source, grp, '', within, NULL FROM {oracle}.passing
    ) GROUP BY tenant, book, source, holder, held
), ended AS (
    SELECT tenant, source, id, min(at) AS at FROM {oracle}.ends GROUP BY tenant, source, id
)
SELECT DISTINCT tenant, book, source, holder, held, at, at AS until, rank, event, says, doer, 0 AS is_read FROM {oracle}.marks
UNION ALL
SELECT p.tenant, 'called', p.source, p.grp, '', p.at, p.at, 0, p.event, p.says, '', 1
FROM {oracle}.passing AS p
LEFT JOIN things AS t ON t.tenant = p.tenant AND t.book = 'called' AND t.source = p.source AND t.holder = p.grp
CROSS JOIN (SELECT max(skew) AS skew FROM {oracle}.joins) AS c
WHERE NOT arrayExists(at -> at >= p.at - c.skew AND at <= p.at + c.skew, t.told_at)
UNION ALL
SELECT t.tenant, t.book, t.source, t.holder, t.held, r.begin, r.end, 0, r.event, l.says, '', 1
FROM things AS t
INNER JOIN {oracle}.books AS b ON b.book = t.book
INNER JOIN {oracle}.reads AS r ON r.tenant = t.tenant AND r.list = b.list AND r.source = t.source AND r.within = t.within
LEFT JOIN {oracle}.listed AS l ON l.tenant = t.tenant AND l.book = t.book AND l.source = t.source AND l.holder = t.holder AND l.held = t.held
    AND l.snapshot = r.snapshot AND l.within = r.within
LEFT JOIN ended AS h ON h.tenant = t.tenant AND h.source = t.source AND h.id = t.holder
LEFT JOIN ended AS k ON k.tenant = t.tenant AND k.source = t.source AND k.id = t.held
CROSS JOIN (SELECT max(skew) AS skew FROM {oracle}.joins) AS c
WHERE (b.absence_counts OR l.says != '')
    AND NOT arrayExists(at -> at >= r.begin - c.skew AND at <= r.end + c.skew, t.told_at)
    AND (t.book NOT IN ('member', 'user_role', 'group_role', 'composite', 'default_group')
        OR ((h.id = '' OR r.end + c.skew < h.at) AND (k.id = '' OR r.end + c.skew < k.at)));

-- One row per piece of evidence and one (n = 0) for the time before the first: what it says holds from `since` to `until`.
-- Pieces of one island say the same without interruption.
CREATE VIEW {oracle}.fold AS
WITH ordered AS (
    SELECT e.*, if(is_read, says, if(says = '', '=1', '')) AS implied, is_read OR b.changes_only AS implies,
        row_number() OVER w AS n, lagInFrame(says) OVER w AS before
    FROM {oracle}.evidence AS e INNER JOIN {oracle}.books AS b ON b.book = e.book
    WINDOW w AS (PARTITION BY tenant, book, source, holder, held ORDER BY at, rank, event ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
), joined AS (
    SELECT *, n > 1 AND implies AND before != implied AS broken,
        if(n = 1, (implies AND implied = says) OR (NOT implies AND says = ''), before = says AND NOT broken) AS goes_on
    FROM ordered
), placed AS (
    SELECT *, sum(NOT goes_on) OVER w AS island, max(if(broken, until, at)) OVER w AS since
    FROM joined
    WINDOW w AS (PARTITION BY tenant, book, source, holder, held ORDER BY n ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
)
SELECT tenant, book, source, holder, held, n, island, says, since, leadInFrame(since, 1, 9000000000000000) OVER w AS until,
    at, rank, event, doer, is_read, leadInFrame(broken, 1, 0) OVER w AS open
FROM placed
WINDOW w AS (PARTITION BY tenant, book, source, holder, held ORDER BY n ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
UNION ALL
SELECT tenant, book, source, holder, held, 0, 0, if(implies, implied, ''), -9000000000000000, since, 0, 0, '', '', 1, 0
FROM placed WHERE n = 1;

CREATE TABLE {oracle}.segments
(tenant String, book String, source String, holder String, held String, n UInt64, island UInt64, says String, since Int64, until Int64,
at Int64, rank UInt8, event String, doer String, is_read UInt8, open UInt8) ENGINE = Memory;

-- First what rests on nothing else.
INSERT INTO {oracle}.segments SELECT * FROM {oracle}.fold WHERE book NOT IN ('member', 'user_role', 'group_role', 'composite', 'default_group');

-- Users, groups and roles that do not exist: after an end that is told or read, until they are there again. What was not there yet when
-- it was first looked for has not ended.
CREATE TABLE {oracle}.dead ENGINE = Memory AS
SELECT tenant, source, book, holder AS id, since, until, before != '' AS ended FROM (
    SELECT *, lagInFrame(says) OVER (PARTITION BY tenant, book, source, holder ORDER BY n ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS before
    FROM {oracle}.segments WHERE book IN ('user', 'group', 'role')
)
WHERE n > 0 AND says = '' AND (ended OR NOT open);

-- A group and everything above it, nearest first.
CREATE TABLE {oracle}.chains ENGINE = Memory AS
WITH RECURSIVE up AS (
    SELECT DISTINCT tenant, source, holder AS grp, holder AS above, CAST([holder], 'Array(String)') AS way,
        toInt64(-9000000000000000) AS since, toInt64(9000000000000000) AS until
    FROM {oracle}.segments WHERE book IN ('group', 'parent', 'called')
    UNION ALL
    SELECT u.tenant, u.source, u.grp, substring(p.says, 2), arrayPushBack(u.way, substring(p.says, 2)), greatest(u.since, p.since), least(u.until, p.until)
    FROM up AS u INNER JOIN (SELECT * FROM {oracle}.segments WHERE book = 'parent' AND length(says) > 1) AS p
        ON p.tenant = u.tenant AND p.source = u.source AND p.holder = u.above
    WHERE length(u.way) < 64 AND NOT has(u.way, substring(p.says, 2)) AND greatest(u.since, p.since) < least(u.until, p.until)
)
SELECT * FROM up;

-- Groups that are gone, by themselves or with one above them.
CREATE TABLE {oracle}.dead_groups ENGINE = Memory AS
SELECT c.tenant AS tenant, c.source AS source, c.grp AS grp, greatest(c.since, d.since) AS since, least(c.until, d.until) AS until,
    d.ended AND d.since >= c.since AS ends
FROM {oracle}.chains AS c INNER JOIN {oracle}.dead AS d ON d.tenant = c.tenant AND d.source = c.source AND d.id = c.above AND d.book = 'group'
WHERE greatest(c.since, d.since) < least(c.until, d.until);

INSERT INTO {oracle}.ends SELECT tenant, source, grp, min(since) FROM {oracle}.dead_groups WHERE ends GROUP BY tenant, source, grp;

INSERT INTO {oracle}.ends SELECT tenant, source, id, min(since) FROM {oracle}.dead WHERE book IN ('user', 'role') AND ended GROUP BY tenant, source, id;

INSERT INTO {oracle}.segments SELECT * FROM {oracle}.fold WHERE book = 'default_group';

-- A composite that names the outer role by name alone is of the last role that had come to the name and had not ended, or else of the next.
INSERT INTO {oracle}.marks
SELECT t.tenant, 'composite', t.source, t.within,
    multiIf(countIf(n.role != '' AND n.first <= t.moment AND n.ends_at > t.at) > 0, argMaxIf(n.role, n.first, n.role != '' AND n.first <= t.moment AND n.ends_at > t.at),
        countIf(n.role != '' AND n.first > t.moment) > 0, argMinIf(n.role, n.first, n.role != '' AND n.first > t.moment), concat('name:', t.named)),
    t.inner, t.at, 1, t.event, t.says, t.doer
FROM (
    SELECT *, concat(details['holder_client_uuid'], ':', holder_id) AS named, (at, 1, event) AS moment, if(right_id = '', concat('name:', right_name), right_id) AS inner,
        if(right_change = 'granted', '=1', '') AS says
    FROM {oracle}.told
    WHERE kind IN ('composite_added', 'composite_removed') AND right_change IN ('granted', 'revoked') AND details['holder_named_by'] = 'name' AND outcome != 'failure'
) AS t
LEFT JOIN (
    SELECT n.tenant AS tenant, n.source AS source, n.within AS within, n.named AS named, n.role AS role, n.first AS first, if(e.id = '', 9000000000000000, e.at) AS ends_at
    FROM {oracle}.role_names AS n
    LEFT JOIN (SELECT tenant, source, id, min(since) AS at FROM {oracle}.dead WHERE book = 'role' AND ended GROUP BY tenant, source, id) AS e
        ON e.tenant = n.tenant AND e.source = n.source AND e.id = n.role
) AS n ON n.tenant = t.tenant AND n.source = t.source AND n.within = t.within AND n.named = t.named
GROUP BY t.tenant, t.source, t.within, t.named, t.inner, t.at, t.event, t.says, t.doer, t.moment;

-- When a user came into being, if that is known; no event tells the default groups and the default role that they get then.
CREATE TABLE {oracle}.births ENGINE = Memory AS
SELECT tenant, source, holder AS user, argMin(since, n) AS at, argMin(rank, n) AS rank, argMin(event, n) AS event FROM (
    SELECT *, lagInFrame(says, 1, '=') OVER (PARTITION BY tenant, source, holder ORDER BY n ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS before
    FROM {oracle}.segments WHERE book = 'user'
) WHERE n > 0 AND says != '' AND before = '' GROUP BY tenant, source, user;

CREATE TABLE {oracle}.gifts ENGINE = Memory AS
WITH homes AS (
    SELECT tenant, source, holder AS user, min(within) AS within FROM (
        SELECT tenant, source, holder, within FROM {oracle}.marks WHERE book = 'user' UNION ALL SELECT tenant, source, holder, within FROM {oracle}.listed WHERE book = 'user'
    ) GROUP BY tenant, source, user
)
SELECT b.tenant AS tenant, 'user_role' AS book, b.source AS source, h.within AS within, b.user AS holder, r.role AS held, b.at AS at, b.rank AS rank, b.event AS event
FROM {oracle}.births AS b INNER JOIN homes AS h ON h.tenant = b.tenant AND h.source = b.source AND h.user = b.user
INNER JOIN (SELECT tenant, source, within, min(default_role) AS role FROM {oracle}.realms WHERE default_role != '' GROUP BY ALL) AS r
    ON r.tenant = b.tenant AND r.source = b.source AND r.within = h.within
UNION ALL
SELECT b.tenant, 'member', b.source, h.within, b.user, d.held, b.at, b.rank, b.event
FROM {oracle}.births AS b INNER JOIN homes AS h ON h.tenant = b.tenant AND h.source = b.source AND h.user = b.user
INNER JOIN (SELECT * FROM {oracle}.segments WHERE book = 'default_group' AND says != '') AS d
    ON d.tenant = b.tenant AND d.source = b.source AND d.holder = h.within
WHERE d.since <= b.at AND b.at < d.until
    AND (b.tenant, b.source, d.held, b.at) NOT IN (
        SELECT g.tenant, g.source, g.grp, c.at FROM {oracle}.dead_groups AS g INNER JOIN {oracle}.births AS c ON c.tenant = g.tenant AND c.source = g.source
        WHERE g.since <= c.at AND c.at < g.until)
    AND (b.tenant, b.source, b.user, d.held, b.event) NOT IN (SELECT tenant, source, holder, held, event FROM {oracle}.marks WHERE book = 'member');

INSERT INTO {oracle}.marks SELECT tenant, book, source, within, holder, held, at, rank, event, '=1', '' FROM {oracle}.gifts;

-- Then what ends with them.
INSERT INTO {oracle}.segments SELECT * FROM {oracle}.fold WHERE book IN ('member', 'user_role', 'group_role', 'composite');

-- Islands: it said the same without interruption from `since` to `until`; `begun` is null where no event says when that began.
CREATE TABLE {oracle}.islands ENGINE = Memory AS
WITH pieces AS (
    SELECT tenant, book, source, holder, held, island, argMin(says, n) AS word, min(since) AS from, max(until) AS to,
        argMin(is_read, n) AS by_read, argMin(event, n) AS first, argMin(doer, n) AS who, argMin(at, n) AS told_at
    FROM {oracle}.segments GROUP BY tenant, book, source, holder, held, island
)
SELECT tenant, book, source, holder, held, island, word AS says, from AS since, to AS until, if(by_read, NULL, told_at) AS begun,
    if(by_read, '', first) AS given_in, if(by_read, '', who) AS given_by, leadInFrame(first, 1, '') OVER w AS taken_in,
    leadInFrame(if(by_read, '', who), 1, '') OVER w AS taken_by, lagInFrame(word) OVER w AS before
FROM pieces
WINDOW w AS (PARTITION BY tenant, book, source, holder, held ORDER BY island ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING);

CREATE VIEW {oracle}.held AS SELECT * FROM {oracle}.islands WHERE says != '';
