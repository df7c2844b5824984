-- The oracle, 4 of 7: sessions and what was held directly, in the words of the views `sessions` and `grants`.

-- Person keys of Keycloak's users. Only their names are taken from here: the key is a keyed hash that SQL cannot make.
CREATE TABLE {oracle}.people ENGINE = Memory AS
SELECT tenant, source, user, min(key) AS person FROM (
    SELECT tenant, source, user, person AS key FROM {oracle}.told WHERE source_kind = 'keycloak' AND user != '' AND person != ''
    UNION ALL
    SELECT tenant, source, user, person AS key FROM {oracle}.stated WHERE area IN ('users', 'members', 'role_users', 'sessions', 'offline_sessions') AND user != ''
) WHERE key NOT IN ('', '00000000000000000000000000000000') GROUP BY tenant, source, user;

CREATE TABLE {oracle}.grants ENGINE = Memory AS
SELECT h.tenant AS tenant, p.person AS person, if(h.book = 'member', 'group', 'role') AS right_kind, h.held AS right_id,
    if(h.begun IS NOT NULL, h.begun, nullIf(h.since, -9000000000000000)) AS held_from, nullIf(h.until, 9000000000000000) AS held_to,
    h.given_by AS granted_by, h.taken_by AS removed_by, h.given_in AS granted_in, h.taken_in AS removed_in
FROM {oracle}.held AS h LEFT JOIN {oracle}.people AS p ON p.tenant = h.tenant AND p.source = h.source AND p.user = h.holder
WHERE h.book IN ('member', 'user_role');

-- Everything that a session did: order within a millisecond is login (2), tokens (3), callback (5), end (7).
CREATE TABLE {oracle}.uses ENGINE = Memory AS
SELECT tenant, source, session, user, within, at, event, client, u.1 AS what, u.2 AS rank, u.3 AS grant, actor_kind, actor_name,
    details['refresh_token_type'] = 'Offline' AS offline
FROM (
    SELECT *, arrayJoin(multiIf(
        outcome = 'failure', if(kind = 'token_refreshed' AND refresh != '', [('refused', 3, '')], []),
        user = '', [],
        kind IN ('login', 'impersonated'), arrayConcat([('login', 2, '')], if(token = '', [], [('issue', 3, 'password')])),
        kind = 'token_issued' OR kind = 'permission_token_issued', [('issue', 3, if(native_type = 'CODE_TO_TOKEN', 'code', 'other'))],
        kind = 'token_refreshed', [('issue', 3, 'refresh')],
        kind = 'token_exchanged', [('issue', 3, 'exchange')],
        kind = 'client_login', [('issue', 3, 'client')],
        [])) AS u
    FROM {oracle}.told WHERE source_kind = 'keycloak' AND by_user
);

-- Sign-ins of a Backstage through a session of its Keycloak.
CREATE TABLE {oracle}.callbacks ENGINE = Memory AS
SELECT t.tenant AS tenant, j.keycloak AS source, t.session_said AS session, t.at AS at, t.event AS event
FROM {oracle}.told AS t INNER JOIN {oracle}.joins AS j ON j.backstage = t.source
WHERE t.kind = 'backstage_callback' AND t.session_said != '' AND t.outcome != 'failure';

-- Ends: of a session, of all that a user had, of all of a realm.
CREATE TABLE {oracle}.session_ends ENGINE = Memory AS
SELECT tenant, source, within, at, event, user, multiIf(kind = 'sessions_ended_by_admin' OR kind = 'user_deleted', 'user', kind = 'all_sessions_ended', 'realm', 'session') AS which,
    if(kind = 'session_deleted', session_said, session) AS session, if(kind = 'user_deleted', 1, 7) AS rank,
    multiIf(kind = 'logout', 'logout', kind = 'grant_revoked', 'revoke_grant', kind = 'session_expired', 'expired', kind = 'user_deleted', 'user_deleted', 'admin') AS how
FROM {oracle}.told
WHERE source_kind = 'keycloak' AND outcome != 'failure'
    AND ((kind IN ('logout', 'grant_revoked', 'session_expired') AND session != '' AND user != '')
        OR kind IN ('sessions_ended_by_admin', 'session_deleted', 'all_sessions_ended', 'user_deleted'));

CREATE TABLE {oracle}.listed_sessions ENGINE = Memory AS
SELECT DISTINCT s.tenant AS tenant, s.source AS source, s.session AS session, s.user AS user, r.within AS within, r.begin AS begin
FROM (SELECT * FROM {oracle}.stated WHERE area IN ('sessions', 'offline_sessions')) AS s
INNER JOIN {oracle}.reads AS r ON r.tenant = s.tenant AND r.source = s.source AND r.snapshot = s.snapshot AND r.realm = s.realm AND r.list = 'sessions';

-- A session is all that one session id did; several clients are single sign-on.
CREATE TABLE {oracle}.session_facts ENGINE = Memory AS
SELECT tenant, source, session,
    argMinIf(user, (at, rank, event), user != '') AS user, argMinIf(within, (at, rank, event), within != '') AS within,
    minIf(at, what = 'login') AS started, countIf(what = 'login') AS logins,
    countIf(what = 'issue' AND grant = 'refresh') AS refreshes, countIf(what = 'issue' AND offline) > 0 AS is_offline,
    minIf(at, what IN ('login', 'issue', 'callback')) AS first_seen, maxIf(at, what IN ('login', 'issue', 'callback')) AS last_seen,
    countIf(what IN ('login', 'issue', 'callback')) AS signs,
    arraySort(groupUniqArrayIf(client, what IN ('login', 'issue') AND client != '')) AS clients,
    minIf((at, rank, event), what IN ('login', 'issue', 'refused', 'callback')) AS first, countIf(what IN ('login', 'issue', 'refused', 'callback')) AS happened,
    maxIf(at, what IN ('login', 'issue')) AS last_use, countIf(what IN ('login', 'issue')) AS use_count,
    maxIf(at, what = 'listed') AS last_listed, countIf(what != 'refused') AS told, countIf(what = 'listed') AS times_listed,
    (minIf(at, what = 'listed'), 0, '') AS first_listed,
    if(happened > 0 AND (times_listed = 0 OR first <= first_listed), first, first_listed) AS begun,
    groupArrayIf(at, what = 'issue') AS issued,
    groupArrayIf((at, event, actor_name), what = 'login' AND actor_kind = 'impersonator' AND actor_name != '') AS acting
FROM (
    SELECT tenant, source, session, user, within, at, rank, event, client, what, grant, offline, actor_kind, actor_name FROM {oracle}.uses WHERE session != ''
    UNION ALL SELECT tenant, source, session, '', '', at, 5, event, '', 'callback', '', 0, '', '' FROM {oracle}.callbacks
    UNION ALL SELECT tenant, source, session, user, within, at, 7, event, '', 'end', '', 0, '', '' FROM {oracle}.session_ends WHERE which = 'session'
    UNION ALL SELECT tenant, source, session, user, within, begin, 0, '', '', 'listed', '', 0, '', '' FROM {oracle}.listed_sessions
) GROUP BY tenant, source, session;

-- The first end that is told; a revoked grant ends a session only if no other client used it.
CREATE TABLE {oracle}.told_ends ENGINE = Memory AS
SELECT tenant, source, session, min((at, rank, event, how)) AS end, countIf(own) AS own FROM (
    SELECT f.tenant AS tenant, f.source AS source, f.session AS session, e.at AS at, e.rank AS rank, e.event AS event, e.how AS how, true AS own
    FROM {oracle}.session_facts AS f INNER JOIN {oracle}.session_ends AS e ON e.tenant = f.tenant AND e.source = f.source AND e.session = f.session
    WHERE e.which = 'session' AND (e.how != 'revoke_grant' OR length(f.clients) <= 1)
    UNION ALL
    SELECT f.tenant, f.source, f.session, e.at, e.rank, e.event, e.how, false
    FROM {oracle}.session_facts AS f INNER JOIN {oracle}.session_ends AS e ON e.tenant = f.tenant AND e.source = f.source AND e.user = f.user
    WHERE e.which = 'user' AND f.user != '' AND f.happened + f.times_listed > 0 AND (e.at, e.rank, e.event) >= f.begun
    UNION ALL
    SELECT f.tenant, f.source, f.session, e.at, e.rank, e.event, e.how, false
    FROM {oracle}.session_facts AS f INNER JOIN {oracle}.session_ends AS e ON e.tenant = f.tenant AND e.source = f.source AND e.within = f.within
    WHERE e.which = 'realm' AND f.user != '' AND f.happened + f.times_listed > 0 AND (e.at, e.rank, e.event) >= f.begun
) GROUP BY tenant, source, session;

-- Or the first complete read of sessions after its last sign of life that does not list it: also where all sessions of a user or realm
-- are ended later.
CREATE TABLE {oracle}.absences ENGINE = Memory AS
SELECT f.tenant AS tenant, f.source AS source, f.session AS session, argMin(r.end, r.begin) AS at
FROM {oracle}.session_facts AS f
INNER JOIN {oracle}.reads AS r ON r.tenant = f.tenant AND r.source = f.source AND r.within = f.within AND r.list = 'sessions'
CROSS JOIN (SELECT max(skew) AS skew FROM {oracle}.joins) AS c
WHERE f.happened + f.times_listed > 0 AND r.begin > greatest(if(f.use_count > 0, f.last_use, f.begun.1), f.last_listed) + c.skew
GROUP BY tenant, source, session;

CREATE TABLE {oracle}.sessions ENGINE = Memory AS
SELECT f.tenant AS tenant, p.person AS person, f.source AS source_id, f.session AS session_id, if(f.logins > 0, f.started, NULL) AS started_at,
    if(f.signs > 0, f.last_seen, NULL) AS last_seen_at,
    e.session != '' AND (e.own > 0 OR a.session = '' OR e.end.1 <= a.at) AS is_told,
    multiIf(is_told, e.end.1, a.session != '', a.at, NULL) AS ended_at,
    multiIf(is_told, e.end.4, a.session != '', 'absent_from_read', '') AS ended_by,
    f.clients AS clients, f.logins AS logins, f.refreshes AS refreshes, f.is_offline AS offline,
    arrayExists(at -> at > ended_at + c.skew, f.issued) AND ended_at IS NOT NULL AS active_after_end, 
    arraySort(arrayMap(name -> arraySort(arrayFilter(one -> one.3 = name, f.acting))[1], arrayDistinct(arrayMap(one -> one.3, f.acting)))) AS impersonators
FROM {oracle}.session_facts AS f
CROSS JOIN (SELECT max(skew) AS skew FROM {oracle}.joins) AS c
LEFT JOIN {oracle}.people AS p ON p.tenant = f.tenant AND p.source = f.source AND p.user = f.user
LEFT JOIN {oracle}.told_ends AS e ON e.tenant = f.tenant AND e.source = f.source AND e.session = f.session
LEFT JOIN {oracle}.absences AS a ON a.tenant = f.tenant AND a.source = f.source AND a.session = f.session
-- A refresh that is refused tells of no session.
WHERE f.told > 0;
