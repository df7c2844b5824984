//! R05 authentication: who logged in and who failed to, by cause; lockouts; success after failures.
//!
//! What was typed as a username and belongs to nobody is counted and never listed: it may be a password.

use crate::report::{Chart, Column, Report, Span, column, no_source};
use events::receipt::SourceKind;

const COLUMNS: &[Column] = &[
    column("source_id", "Keycloak", "events.source_id"),
    column("realm", "realm", "events.realm"),
    column(
        "kind",
        "login, broker_login, client_login, impersonated; token_issued and token_refreshed where refused; lockouts and their end",
        "events.kind",
    ),
    column("person", "person key; empty: nobody of the realm, or a client's own login", "events.person"),
    column(
        "username",
        "the person's last username; `(unknown user)`: a name that belongs to nobody",
        "persons.username",
    ),
    column("client", "client that asked", "events.client"),
    column("outcome", "success or failure", "events.outcome"),
    column("cause", "Keycloak's error", "events.error"),
    column("attempts", "how often", "count of events"),
    column("distinct_ips", "from how many addresses", "events.ip"),
    column("first_time", "first of them, UTC", "events.time"),
    column("last_time", "last of them, UTC", "events.time"),
    column(
        "success_after_failures",
        "logins directly behind a failed one of the same person and realm",
        "events, in order of time",
    ),
    column("most_failures_before", "most failures in a row before such a login", "events, in order of time"),
    no_source("distinct_networks", "autonomous systems and countries: no such data here"),
    column("basis", "what the row rests on", "always events"),
    column("confidence", "proven: both the attempt and its outcome were told", "always proven"),
    column("evidence", "event of the last of them", "events.event_id"),
];

/// Attempts from a time on. Heartbeats are this program's own logins and left out; totals say how many.
macro_rules! attempts {
    ($from:literal) => {
        concat!("WITH beats AS (
    SELECT id, sent_at FROM heartbeats WHERE tenant = {tenant:String} AND id != ''
), tried AS (
    SELECT e.event_id AS event_id, e.time AS time, e.source_id AS source_id, e.realm AS realm, e.kind AS kind,
        if(m.person = '', e.person, m.person) AS person, e.client AS client, e.outcome AS outcome, e.error AS error, e.ip AS ip
    FROM events_in(from = ", $from, ", to = {to:Int64}) AS e
    LEFT ANY JOIN (SELECT account, person FROM merged_accounts WHERE tenant = {tenant:String}) AS m ON m.account = e.person
    WHERE e.tenant = {tenant:String} AND source_kind = 'keycloak' AND token_id NOT IN (SELECT id FROM beats)
      AND (kind IN ('login', 'broker_login', 'client_login', 'impersonated', 'user_locked_temporarily', 'user_locked_permanently', 'lockout_cleared', 'lockouts_cleared')
        OR (kind IN ('token_issued', 'token_refreshed') AND outcome = 'failure'))
)
")
    };
}

// A row of failures may begin three hours before the period: whoever comes in after them counts in it.
const SQL: &str = concat!(
    attempts!("{from:Int64} - 10800000"),
    ", ordered AS (
    SELECT *, row_number() OVER w AS n,
        lagInFrame(outcome, 1, '') OVER w AS before,
        countIf(outcome = 'failure') OVER w AS failed
    FROM tried
    WINDOW w AS (PARTITION BY source_id, realm, person, kind ORDER BY time, event_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
), counted AS (
    SELECT *, failed - max(if(outcome = 'success', failed, 0)) OVER (PARTITION BY source_id, realm, person, kind ORDER BY n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS in_a_row
    FROM ordered
)
SELECT
    t.source_id AS source_id,
    t.realm AS realm,
    t.kind AS kind,
    t.person AS person,
    multiIf(t.person != '', any(p.username), t.kind = 'client_login', '', '(unknown user)') AS username,
    t.client AS client,
    t.outcome AS outcome,
    t.error AS cause,
    count() AS attempts,
    uniqExact(t.ip) AS distinct_ips,
    min(t.time) AS first_time,
    max(t.time) AS last_time,
    countIf(t.person != '' AND t.kind = 'login' AND t.outcome = 'success' AND t.before = 'failure') AS success_after_failures,
    maxIf(t.in_a_row, t.person != '' AND t.kind = 'login' AND t.outcome = 'success') AS most_failures_before,
    'none on record' AS distinct_networks,
    'events' AS basis,
    'proven' AS confidence,
    toString(argMax(t.event_id, (t.time, t.event_id))) AS evidence
FROM counted AS t
LEFT ANY JOIN (SELECT person, username FROM persons WHERE tenant = {tenant:String} AND person != '') AS p ON p.person = t.person
WHERE t.time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')
GROUP BY t.source_id, t.realm, t.kind, t.person, t.client, t.outcome, t.error
ORDER BY source_id, realm, kind, username, person, client, outcome, cause"
);

const TOTALS: &str = concat!(
    attempts!("{from:Int64}"),
    "SELECT said.1 AS name, said.2 AS n FROM (
    SELECT arrayJoin(arrayConcat([
        ('rows', uniqExact((source_id, realm, kind, person, client, outcome, error))), ('attempts', count()),
        ('distinct persons', uniqExactIf(person, person != '')), ('state', sum(cityHash64(event_id, time, outcome)))
    ], CAST(sumMap(map(concat(kind, '/', outcome), toUInt64(1))), 'Array(Tuple(String, UInt64))'))) AS said FROM tried
    UNION ALL SELECT ('left out: heartbeats', count()) FROM beats
        WHERE sent_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND sent_at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
) ORDER BY name"
);

/// The report.
pub(crate) const REPORT: Report = Report {
    id: "R05",
    name: "authentication",
    version: "1.1.2",
    question: "Who logged in and who failed to, for what cause, from how many addresses; who was locked out; and who got in after failures?",
    criteria: &["CC6.1", "CC6.6"],
    span: Span::Period,
    needs: &[SourceKind::Keycloak],
    columns: COLUMNS,
    brief: &[
        "realm",
        "kind",
        "username",
        "client",
        "outcome",
        "cause",
        "attempts",
        "distinct_ips",
        "last_time",
        "success_after_failures",
    ],
    key: &["source_id", "realm", "kind", "person", "client", "outcome", "cause"],
    sql: SQL,
    totals: TOTALS,
    count: "",
    charts: &[Chart::Bars { title: "Attempts by outcome and cause", by: "cause", or: "outcome", weight: "attempts" }],
    evidence: "evidence",
    derived: &[
        ("last_time", |event| crate::format::time(event.time)),
        ("kind", |event| event.kind.clone()),
        ("outcome", |event| event.outcome.as_str().to_owned()),
        ("cause", |event| event.error.clone()),
        ("client", |event| event.client.clone()),
    ],
    exclusions: &[
        "heartbeats: this program's own client logins; control totals count them",
        "usernames that belong to nobody: counted, never listed, as one may be a password",
    ],
    limits: &[
        "with Keycloak's brute-force protection off there are no lockout events: failures alone tell",
        "logins at an identity provider behind Keycloak are seen only as Keycloak tells them",
    ],
    correlated: false,
};
