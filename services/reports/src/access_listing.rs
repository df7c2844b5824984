//! R01 access listing: who held what at an instant, by which path, granted when and by whom, last login and last use.

use crate::report::{Chart, Column, Report, Span, column, no_source};
use events::receipt::SourceKind;

const COLUMNS: &[Column] = &[
    column("person", "person key", "grants.person"),
    column("username", "the person's last username", "persons.username"),
    column("keycloak_user_id", "Keycloak's user id", "persons.keycloak_user_id"),
    column("references", "Backstage entity references that stood for the person", "persons.references"),
    no_source("account_type", "human, service, break-glass: nothing here declares it"),
    column(
        "enabled",
        "1 or 0 as last told or read before the instant; empty: not known",
        "events of the user, snapshots",
    ),
    column("right_kind", "group, role; nothing: the person holds nothing", "grants.right_kind"),
    column("right_id", "Keycloak's id", "grants.right_id"),
    column("right_name", "group path or role name as last written", "events.right_name"),
    column("grant_path", "direct, or through the group below it in which the person is", "grants, group paths"),
    column("granted_time", "since when; empty: before everything that is known", "grants.held_from"),
    column("granted_by", "who granted it, as Keycloak says", "grants.granted_by"),
    no_source("approval", "approval of the grant: no ticket feed"),
    no_source("expires", "end of the grant: Keycloak has none"),
    no_source("mfa_enrolled", "second factor: no credential inventory is read"),
    column("last_login", "last login before the instant; empty: none seen", "sessions.started_at, events"),
    column(
        "last_use",
        "last decision that was allowed on the strength of this group; empty: none seen",
        "decisions.support",
    ),
    column(
        "basis",
        "snapshot: first seen as state; replay: granted by an event; replay-with-gap: an event is missing",
        "grants",
    ),
    column("confidence", "proven; inferred where an event is missing", "grants.rests_on_gap"),
    column("evidence", "event that granted it; empty: seen as state", "grants.granted_in"),
];

const SQL: &str = "WITH held AS (
    SELECT person, toString(right_kind) AS right_kind, right_id, held_from, granted_by, granted_in, rests_on_gap FROM grants
    WHERE tenant = {tenant:String} AND person != ''
      AND (held_from IS NULL OR held_from <= fromUnixTimestamp64Milli({to:Int64}, 'UTC'))
      AND (held_to IS NULL OR held_to > fromUnixTimestamp64Milli({to:Int64}, 'UTC'))
), told AS (
    SELECT * FROM event_rows FINAL WHERE tenant = {tenant:String} AND time <= fromUnixTimestamp64Milli({to:Int64}, 'UTC')
), named AS (
    SELECT t.right_id AS right_id, argMax(t.right_name, (t.time, t.right_name)) AS right_name FROM told AS t WHERE t.right_id != '' AND t.right_name != '' GROUP BY t.right_id
), below AS (
    SELECT h.person AS person, h.right_kind AS right_kind, h.right_id AS right_id, n.right_name AS right_name, 'direct' AS grant_path,
        h.held_from AS held_from, h.granted_by AS granted_by, h.granted_in AS granted_in, h.rests_on_gap AS rests_on_gap
    FROM held AS h LEFT ANY JOIN named AS n ON n.right_id = h.right_id
), every_path AS (
    SELECT * FROM below
    UNION ALL
    SELECT b.person, b.right_kind, n.right_id, b.above, concat('through ', b.right_name), b.held_from, b.granted_by, b.granted_in, b.rests_on_gap
    FROM (SELECT *, arrayJoin(arrayMap(n -> arrayStringConcat(arraySlice(splitByChar('/', right_name), 1, n), '/'),
        range(2, length(splitByChar('/', right_name))))) AS above FROM below WHERE right_kind = 'group' AND startsWith(right_name, '/')) AS b
    LEFT ANY JOIN named AS n ON n.right_name = b.above
), people AS (
    SELECT person, argMaxIf(details['enabled'], time, details['enabled'] != '') AS enabled,
        max(kind = 'user_deleted') AS gone
    FROM (SELECT lower(hex(person)) AS person, toString(kind) AS kind, time, CAST(details, 'Map(String, String)') AS details FROM told
        WHERE person != toFixedString('', 16) AND (kind IN ('user_created', 'user_updated', 'user_registered', 'user_deleted', 'state_users')))
    GROUP BY person
), logins AS (
    SELECT lower(hex(person)) AS person, max(time) AS at FROM told WHERE kind = 'login' AND outcome = 'success' GROUP BY person
), used AS (
    SELECT person, arrayJoin(arrayDistinct(arrayConcat(support.1, support.2))) AS right_id, max(decided_at) AS at FROM decisions
    WHERE tenant = {tenant:String} AND outcome = 'allow' AND decided_at <= fromUnixTimestamp64Milli({to:Int64}, 'UTC') GROUP BY person, right_id HAVING right_id != ''
), everybody AS (
    SELECT person FROM persons WHERE tenant = {tenant:String} AND keycloak_user_id IS NOT NULL AND keycloak_user_id != ''
        AND person NOT IN (SELECT person FROM people WHERE gone = 1)
        AND person IN (SELECT lower(hex(person)) FROM told)
)
SELECT
    e.person AS person, p.username AS username, p.keycloak_user_id AS keycloak_user_id, p.references AS references,
    'none on record' AS account_type,
    multiIf(u.enabled = 'true', 1, u.enabled = 'false', 0, NULL) AS enabled,
    g.right_kind AS right_kind, g.right_id AS right_id, g.right_name AS right_name, g.grant_path AS grant_path,
    g.held_from AS granted_time, g.granted_by AS granted_by,
    'none on record' AS approval, 'none on record' AS expires, 'none on record' AS mfa_enrolled,
    if(l.person = '', NULL, l.at) AS last_login, if(s.person = '', NULL, s.at) AS last_use,
    multiIf(g.right_kind = '', '', g.rests_on_gap = 1, 'replay-with-gap', toUInt128(g.granted_in) = 0, 'snapshot', 'replay') AS basis,
    multiIf(g.right_kind = '', '', g.rests_on_gap = 1, 'inferred', 'proven') AS confidence,
    if(toUInt128(g.granted_in) = 0, '', toString(g.granted_in)) AS evidence
FROM everybody AS e
LEFT ANY JOIN (SELECT person, username, keycloak_user_id, references FROM persons WHERE tenant = {tenant:String}) AS p ON p.person = e.person
LEFT JOIN every_path AS g ON g.person = e.person
LEFT ANY JOIN people AS u ON u.person = e.person
LEFT ANY JOIN logins AS l ON l.person = e.person
LEFT ANY JOIN used AS s ON s.person = e.person AND s.right_id = g.right_id
ORDER BY username, person, right_name, right_id, grant_path, granted_time";

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

/// The report.
pub(crate) const REPORT: Report = Report {
    id: "R01",
    name: "access-listing",
    version: "1.0.0",
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
    key: &["person", "right_id", "grant_path", "granted_time"],
    sql: SQL,
    totals: TOTALS,
    charts: &[Chart::Bars { title: "Rights held, by name", by: "right_name", weight: "" }],
    evidence: "evidence",
    derived: &[
        ("granted_time", |event| crate::format::time(event.time)),
        ("granted_by", |event| event.actor_id.clone()),
    ],
    exclusions: &["persons deleted before the instant"],
    limits: &[
        "composite roles and roles that a group carries are not spelled out per person; Backstage roles neither (R08 names the role of each decision)",
        "a person without any right and without any event or read before the instant is not known",
        "names of rights and persons are the last that are known, not those of the instant",
    ],
    correlated: true,
};
