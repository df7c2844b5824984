//! R01 access listing: who held what at an instant, by which path, granted when and by whom, last login and last use.

use crate::report::{Chart, Column, Report, Span, column, no_source};
use events::receipt::SourceKind;

const COLUMNS: &[Column] = &[
    column("person", "person key", "grants.person"),
    column("username", "the person's last username", "persons.username"),
    column("keycloak_user_id", "Keycloak's user id", "persons.keycloak_user_id"),
    column("references", "Backstage entity references that stood for the person", "persons.references"),
    column(
        "account_type",
        "service account: of a client, as Keycloak says; none on record: whether it is a human's, or break-glass, nothing here declares",
        "aliases.kind",
    ),
    column(
        "enabled",
        "1 or 0 as last told or read before the instant; empty: not known",
        "events of the user, snapshots",
    ),
    column("right_kind", "group, role, backstage_role; nothing: the person holds nothing", "effective_in.right_kind"),
    column("right_id", "Keycloak's id, or the Backstage role", "effective_in.right_id"),
    column("right_name", "group path or role name as last written", "events.right_name"),
    column(
        "grant_path",
        "direct, given in Backstage, or through what the person holds: group, group above it, role that contains it, Backstage group",
        "effective_in.path, group paths",
    ),
    column("granted_time", "when what the path begins with was given; empty: no event says", "effective_in.granted_at"),
    column("granted_by", "who gave that, as the source says", "effective_in.granted_by"),
    column(
        "effective_from",
        "since when all of the path holds; empty: as far back as is known",
        "effective_in.held_from",
    ),
    no_source("approval", "approval of the grant: no ticket feed"),
    no_source("expires", "end of the grant: Keycloak has none"),
    no_source("mfa_enrolled", "second factor: no credential inventory is read"),
    column("last_login", "last login before the instant; empty: none seen", "sessions.started_at, events"),
    column(
        "last_use",
        "last decision that was allowed on the strength of this group or Backstage role; empty: none seen",
        "decisions.support",
    ),
    column(
        "basis",
        "snapshot: first seen as state; replay: granted by an event; replay-with-gap: an event is missing",
        "grants",
    ),
    column("confidence", "proven; inferred where an event is missing", "effective_in.rests_on_gap"),
    column("evidence", "event that gave what the path begins with; empty: seen as state", "effective_in.granted_in"),
];

const SQL: &str = "WITH told AS (
    SELECT * FROM event_rows FINAL WHERE tenant = {tenant:String} AND time <= fromUnixTimestamp64Milli({to:Int64}, 'UTC')
), named AS (
    SELECT t.right_id AS right_id, argMax(t.right_name, (t.time, t.right_name)) AS right_name FROM told AS t WHERE t.right_id != '' AND t.right_name != '' GROUP BY t.right_id
), names AS (
    SELECT mapFromArrays(groupArray(right_id), groupArray(right_name)) AS known FROM named
), held AS (
    SELECT e.person AS person, e.right_kind AS right_kind, e.right_id AS right_id,
        if(mapContains(n.known, e.right_id), n.known[e.right_id], e.right_id) AS right_name,
        multiIf(notEmpty(e.path), concat(if(e.by_default = 1, 'by default through ', 'through '), arrayStringConcat(arrayMap(step -> if(mapContains(n.known, step), n.known[step], step), e.path), ' > ')),
            e.right_kind = 'backstage_role', 'given in Backstage', e.by_default = 0, 'direct', e.right_kind = 'group', 'default group', 'default role') AS grant_path,
        e.granted_at AS granted_at, e.granted_by AS granted_by, e.granted_in AS granted_in, e.rests_on_gap AS rests_on_gap, e.held_from AS held_from
    FROM effective_in(tenant = {tenant:String}, person = '', from = {to:Int64}, to = {to:Int64}) AS e CROSS JOIN names AS n
    WHERE e.right_kind != 'permission'
), walked AS (
    -- Where nothing told of the tree of groups, their paths do: what a group lies in, unless another path leads there.
    SELECT *, countIf(above = '' AND right_kind = 'group') OVER (PARTITION BY person, if(above = '', right_name, above)) AS led_there
    FROM (SELECT *, arrayJoin(arrayConcat([''], if(right_kind = 'group' AND grant_path IN ('direct', 'default group') AND startsWith(right_name, '/'),
            arrayMap(n -> arrayStringConcat(arraySlice(splitByChar('/', right_name), 1, n), '/'), range(2, length(splitByChar('/', right_name)))), []))) AS above
        FROM held)
), every_path AS (
    SELECT w.person AS person, w.right_kind AS right_kind, if(w.above = '', w.right_id, n.right_id) AS right_id, if(w.above = '', w.right_name, w.above) AS right_name,
        multiIf(w.above = '', w.grant_path, w.grant_path = 'direct', concat('through ', w.right_name), concat('by default through ', w.right_name)) AS grant_path,
        w.granted_at AS granted_at, w.granted_by AS granted_by, w.granted_in AS granted_in, w.rests_on_gap AS rests_on_gap, w.held_from AS held_from
    FROM walked AS w LEFT ANY JOIN named AS n ON n.right_name = w.above
    WHERE w.above = '' OR w.led_there = 0
), merged AS (
    SELECT account, person FROM merged_accounts WHERE tenant = {tenant:String}
), unlisted AS (
    -- Deleted without a word: a complete read no longer lists them.
    SELECT person FROM missing_events WHERE tenant = {tenant:String} AND right_kind = 'existence' AND missing = 'removal' AND person != ''
        AND before <= fromUnixTimestamp64Milli({to:Int64}, 'UTC') GROUP BY person
), accounts AS (
    SELECT person, argMaxIf(details['enabled'], time, details['enabled'] != '') AS enabled,
        max(kind = 'user_deleted') OR person IN (SELECT person FROM unlisted) AS gone
    FROM (SELECT lower(hex(person)) AS person, toString(kind) AS kind, time, CAST(details, 'Map(String, String)') AS details FROM told
        WHERE person != toFixedString('', 16) AND (kind IN ('user_created', 'user_updated', 'user_registered', 'user_deleted', 'state_user')))
    GROUP BY person
), people AS (
    -- Of several accounts of one person: who may sign in by any of them may, and who is gone is gone by all.
    SELECT if(m.person = '', a.person, m.person) AS person, min(a.gone) AS gone,
        multiIf(countIf(a.enabled = 'true' AND a.gone = 0) > 0, 'true', countIf(a.enabled = 'false' AND a.gone = 0) > 0, 'false', '') AS enabled
    FROM accounts AS a LEFT ANY JOIN merged AS m ON m.account = a.person GROUP BY person
), seen AS (
    -- Everybody of whom anything is told, and their last login: the one look at all events.
    SELECT if(m.person = '', t.account, m.person) AS person, maxIf(t.login_at, t.logins > 0) AS login_at, sum(t.logins) AS logins
    FROM (SELECT lower(hex(person)) AS account, maxIf(time, kind = 'login' AND outcome = 'success') AS login_at, countIf(kind = 'login' AND outcome = 'success') AS logins
        FROM told WHERE person != toFixedString('', 16) GROUP BY account) AS t
    LEFT ANY JOIN merged AS m ON m.account = t.account GROUP BY person
), used AS (
    SELECT person, arrayJoin(arrayDistinct(arrayConcat(support.1, support.2, support.4))) AS right_id, max(decided_at) AS at FROM decisions
    WHERE tenant = {tenant:String} AND outcome = 'allow' AND decided_at <= fromUnixTimestamp64Milli({to:Int64}, 'UTC') GROUP BY person, right_id HAVING right_id != ''
), machines AS (
    SELECT person FROM aliases WHERE tenant = {tenant:String} AND kind = 'client'
), everybody AS (
    SELECT p.person AS person, p.username AS username, p.keycloak_user_id AS keycloak_user_id, p.references AS references, u.enabled AS enabled,
        if(s.logins = 0, NULL, s.login_at) AS last_login
    FROM (SELECT person, username, keycloak_user_id, references FROM persons
        WHERE tenant = {tenant:String} AND keycloak_user_id IS NOT NULL AND keycloak_user_id != '') AS p
    INNER JOIN seen AS s ON s.person = p.person
    LEFT ANY JOIN people AS u ON u.person = p.person
    WHERE u.gone = 0
)
SELECT
    e.person AS person, e.username AS username, e.keycloak_user_id AS keycloak_user_id, e.references AS references,
    if(e.person IN (SELECT person FROM machines), 'service account', 'none on record') AS account_type,
    multiIf(e.enabled = 'true', 1, e.enabled = 'false', 0, NULL) AS enabled,
    g.right_kind AS right_kind, g.right_id AS right_id, g.right_name AS right_name, g.grant_path AS grant_path,
    g.granted_at AS granted_time, g.granted_by AS granted_by, g.held_from AS effective_from,
    'none on record' AS approval, 'none on record' AS expires, 'none on record' AS mfa_enrolled,
    e.last_login AS last_login, if(s.person = '', NULL, s.at) AS last_use,
    multiIf(g.right_kind = '', '', g.rests_on_gap = 1, 'replay-with-gap', toUInt128(g.granted_in) = 0, 'snapshot', 'replay') AS basis,
    multiIf(g.right_kind = '', '', g.rests_on_gap = 1, 'inferred', 'proven') AS confidence,
    if(toUInt128(g.granted_in) = 0, '', toString(g.granted_in)) AS evidence
FROM everybody AS e
LEFT JOIN every_path AS g ON g.person = e.person
LEFT ANY JOIN used AS s ON s.person = e.person AND s.right_id = g.right_id
ORDER BY username, person, right_name, right_id, grant_path, granted_time, effective_from, evidence";

const TOTALS: &str = "WITH held AS (
    SELECT person, right_kind, right_id FROM grants
    WHERE tenant = {tenant:String} AND person != ''
      AND (held_from IS NULL OR held_from <= fromUnixTimestamp64Milli({to:Int64}, 'UTC'))
      AND (held_to IS NULL OR held_to > fromUnixTimestamp64Milli({to:Int64}, 'UTC'))
)
SELECT name, n FROM (
    SELECT 'direct grants' AS name, count() AS n FROM held
    UNION ALL SELECT 'persons with a direct grant', uniqExact(person) FROM held
    UNION ALL SELECT concat('direct grants/', toString(right_kind)), count() FROM held GROUP BY right_kind
    UNION ALL SELECT 'state', sum(cityHash64(person, right_id)) FROM held
) ORDER BY name";

/// A row for each path, or one: a list of names per person, and none of the joins that make the rows.
const COUNT: &str = "WITH named AS (
    SELECT mapFromArrays(groupArray(right_id), groupArray(right_name)) AS known FROM (
        SELECT x.right_id AS right_id, argMax(x.right_name, (x.time, x.right_name)) AS right_name FROM event_rows AS x FINAL
        WHERE x.tenant = {tenant:String} AND x.time <= fromUnixTimestamp64Milli({to:Int64}, 'UTC') AND x.right_id != '' AND x.right_name != '' GROUP BY x.right_id)
), paths AS (
    SELECT person, count() AS walked, groupArrayIf(name, right_kind = 'group') AS groups, groupArrayIf(name, right_kind = 'group' AND is_held) AS own
    FROM (SELECT e.person AS person, e.right_kind AS right_kind, empty(e.path) AS is_held, if(mapContains(n.known, e.right_id), n.known[e.right_id], e.right_id) AS name
        FROM effective_in(tenant = {tenant:String}, person = '', from = {to:Int64}, to = {to:Int64}) AS e CROSS JOIN named AS n WHERE e.right_kind != 'permission')
    GROUP BY person
), per_person AS (
    -- Of each group that is held itself, those above it by its name that no path leads to.
    SELECT person, walked + arraySum(name -> if(startsWith(name, '/'), arrayCount(n -> n > 1 AND n < length(splitByChar('/', name))
        AND NOT has(groups, arrayStringConcat(arraySlice(splitByChar('/', name), 1, n), '/')), arrayEnumerate(splitByChar('/', name))), 0), own) AS paths
    FROM paths
), told AS (
    SELECT lower(hex(person)) AS account, countIf(kind IN ('user_created', 'user_updated', 'user_registered', 'user_deleted', 'state_user')) AS as_user, countIf(kind = 'user_deleted') AS deleted
    FROM event_rows FINAL WHERE tenant = {tenant:String} AND time <= fromUnixTimestamp64Milli({to:Int64}, 'UTC') AND person != toFixedString('', 16) GROUP BY account
), standing AS (
    SELECT if(m.person = '', t.account, m.person) AS person, countIf(t.as_user > 0) AS accounts, countIf(t.as_user > 0 AND t.deleted = 0 AND t.account NOT IN (
        SELECT person FROM missing_events WHERE tenant = {tenant:String} AND right_kind = 'existence' AND missing = 'removal' AND before <= fromUnixTimestamp64Milli({to:Int64}, 'UTC'))) AS left_over
    FROM told AS t LEFT ANY JOIN (SELECT account, person FROM merged_accounts WHERE tenant = {tenant:String}) AS m ON m.account = t.account GROUP BY person
)
SELECT 'rows' AS name, sum(greatest(toUInt64(w.paths), toUInt64(1))) AS n
FROM (SELECT person FROM persons WHERE tenant = {tenant:String} AND keycloak_user_id IS NOT NULL AND keycloak_user_id != '') AS p
INNER JOIN standing AS s ON s.person = p.person LEFT JOIN per_person AS w ON w.person = p.person
WHERE s.accounts = 0 OR s.left_over > 0";

/// The report.
pub(crate) const REPORT: Report = Report {
    id: "R01",
    name: "access-listing",
    version: "1.2.4",
    question: "Who held which right at that instant, by which path, granted when and by whom, and when was it last used?",
    criteria: &["CC6.1", "CC6.2", "CC6.3"],
    span: Span::AsOf,
    needs: &[SourceKind::Keycloak],
    columns: COLUMNS,
    brief: &[
        "username",
        "enabled",
        "right_kind",
        "right_name",
        "grant_path",
        "granted_time",
        "last_login",
        "last_use",
        "basis",
    ],
    key: &["person", "right_id", "grant_path", "granted_time", "effective_from"],
    sql: SQL,
    totals: TOTALS,
    count: COUNT,
    charts: &[Chart::Bars { title: "Rights held, by name", by: "right_name", or: "", weight: "" }],
    evidence: "evidence",
    derived: &[
        ("granted_time", |event| crate::format::time(event.time)),
        ("granted_by", |event| event.actor_id.clone()),
    ],
    exclusions: &["persons deleted before the instant"],
    limits: &[
        "what Backstage roles permit is not spelled out per person: `tokentrail who-can PERMISSION` lists it",
        "without a snapshot of Keycloak the tree of groups is known from their paths, and Backstage groups of which its catalog alone tells are not listed",
        "a person without any right and without any event or read before the instant is not known",
        "names of rights and persons are the last that are known, not those of the instant",
    ],
    correlated: true,
};
