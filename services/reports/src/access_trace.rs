//! R08 access trace: every permission decision of a period with the login, session and group that stand behind it.

use crate::report::{Chart, Column, Report, Span, column, no_source};
use events::{
    event::{Event, Outcome},
    receipt::SourceKind,
};

const COLUMNS: &[Column] = &[
    column("decision_time", "when it was decided, UTC", "decisions.decided_at"),
    column("person", "person key; empty: nobody is known (a plugin, a static token)", "decisions.person"),
    column("username", "the person's last username", "persons.username"),
    column("reference", "entity reference or caller as the decision names it", "decisions.reference"),
    column("permission", "permission; empty: an audited call", "decisions.permission"),
    column("action", "create, read, update, delete, use", "decisions.action"),
    column("resource", "what it was about, if the line says", "decisions.resource"),
    column("result", "allow, deny, conditional", "decisions.outcome"),
    column(
        "final_result",
        "what became of a conditional one, where a line of the same trace tells it",
        "decisions.final_outcome",
    ),
    column("verdict", "what the decision is, held against the rights of that instant", "decisions.verdict"),
    column(
        "staleness_seconds",
        "of an exposure or violation: from the removal of the last supporting right to the decision",
        "decisions.delay_ms",
    ),
    column(
        "pending_seconds",
        "of a pending grant: from the grant to the decision that still denied",
        "decisions.delay_ms",
    ),
    column(
        "within_budget",
        "1: no longer than its clock may take; 0: longer; empty: no right was gone, or a gap or two clocks leave it open",
        "decisions.verdict, decisions.reasons",
    ),
    column("clock", "what the decision obeys: catalog, claims, token", "decisions.clock"),
    column("granting_group", "Keycloak groups on whose strength it stood", "decisions.support, events.right_name"),
    column("granting_role", "Backstage roles on whose strength it stood", "decisions.support"),
    column("policy", "policies that fitted: permission, action, effect", "decisions.support"),
    column("member_since", "since when the earliest of these rights was held; empty: not known", "decisions.support"),
    column("stale_claims", "owner claims that were used and no longer held", "decisions.stale_claims"),
    column("session_id", "Keycloak session behind it", "decisions.session_id"),
    column("login_time", "first login of that session; empty: not seen", "sessions.started_at"),
    column("session_end", "how that session ended; empty: it did not, as far as is known", "sessions.ended_by"),
    column(
        "credential_time",
        "issue of the latest Backstage token that can stand behind it",
        "decisions.credential_at",
    ),
    column("candidates", "how many tokens can stand behind it", "decisions.candidates"),
    no_source("auth_factor", "factor of the login"),
    no_source("ip_prefix", "network of the caller: decision lines carry none"),
    column(
        "drift_rule",
        "drift rules with a finding that rests on it, standing or over; empty: none (docs/alerts.md)",
        "findings.rule",
    ),
    column("basis", "what the answer rests on", "always the replay of events and reads"),
    column("confidence", "exact, session, inferred, none", "decisions.grade"),
    column("reasons", "why no better", "decisions.reasons"),
    column(
        "incomplete",
        "sources of which something may be missing in the minute of the decision, as far as is known now; empty: none",
        "gaps",
    ),
    column("evidence", "event of the decision", "decisions.event_id"),
    column("evidence_credential", "event of the Backstage token; empty: none known", "decisions.credential"),
];

const SQL: &str = "WITH decided AS (
    SELECT * FROM decisions
    WHERE tenant = {tenant:String}
      AND decided_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND decided_at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
), named AS (
    SELECT right_id, name AS last_name FROM right_names WHERE tenant = {tenant:String} AND right_kind = 'group'
), groups AS (SELECT CAST((groupArray(right_id), groupArray(last_name)), 'Map(String, String)') AS of FROM named
), fired AS (
    SELECT person, groupArray((rule, evidence, first_at, last_at, JSONExtractString(detail, 'permission'), JSONExtractString(detail, 'clock'),
        JSONExtractInt(detail, 'removed_at_ms'))) AS found
    FROM findings WHERE tenant = {tenant:String} AND rule IN ('D01', 'D02', 'D19', 'D20') AND standing IN ('open', 'ended') GROUP BY person
), holes AS (
    -- by minute, not by decision: a list of all gaps beside each row would be as large as both together
    SELECT m.minute AS minute, arraySort(groupUniqArray(g.source)) AS sources
    FROM (SELECT DISTINCT toStartOfMinute(decided_at) AS minute FROM decided) AS m
    CROSS JOIN (
        SELECT DISTINCT if(source_id = '', 'any source', toString(source_id)) AS source, since, until FROM gaps
        WHERE tenant = {tenant:String} AND repaired_at IS NULL AND cause != 'clock_off'
          AND since < fromUnixTimestamp64Milli({to:Int64}, 'UTC') AND (until IS NULL OR until >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') - toIntervalMinute(1))
    ) AS g
    WHERE g.since < m.minute + toIntervalMinute(1) AND ifNull(g.until >= m.minute, 1) GROUP BY minute
)
SELECT
    d.decided_at AS decision_time,
    d.person AS person,
    p.username AS username,
    d.reference AS reference,
    toString(d.permission) AS permission,
    toString(d.action) AS action,
    d.resource AS resource,
    toString(d.outcome) AS result,
    toString(d.final_outcome) AS final_result,
    toString(d.verdict) AS verdict,
    if(d.verdict IN ('exposure', 'violation'), round(d.delay_ms / 1000, 3), NULL) AS staleness_seconds,
    if(d.verdict IN ('pending_grant', 'denied_with_right'), round(d.delay_ms / 1000, 3), NULL) AS pending_seconds,
    multiIf(d.verdict = 'violation', 0, d.verdict != 'exposure' OR hasAny(d.reasons, ['straddles', 'rests_on_gap']), NULL, 1) AS within_budget,
    toString(d.clock) AS clock,
    arraySort(arrayDistinct(arrayMap(id -> if((SELECT of FROM groups)[id] = '', id, (SELECT of FROM groups)[id]), arrayFilter(id -> id != '', d.support.1)))) AS granting_group,
    arraySort(arrayDistinct(arrayFilter(x -> x != '', d.support.4))) AS granting_role,
    arraySort(arrayDistinct(arrayFilter(x -> x != '', d.support.5))) AS policy,
    arrayReduce('min', d.support.6) AS member_since,
    d.stale_claims AS stale_claims,
    d.session_id AS session_id,
    s.started_at AS login_time,
    toString(s.ended_by) AS session_end,
    d.credential_at AS credential_time,
    d.candidates AS candidates,
    'none on record' AS auth_factor,
    'none on record' AS ip_prefix,
    -- a finding keeps 50 of its events: of a longer one, what lies within it and fits its rule
    arraySort(arrayDistinct(arrayMap(f -> f.1, arrayFilter(f -> has(f.2, d.event_id) OR (length(f.2) >= 50
        AND d.decided_at >= f.3 AND d.decided_at <= f.4 AND d.outcome IN ('allow', 'conditional')
        AND multiIf(f.1 = 'D01', d.verdict = 'violation' AND d.permission = f.5 AND d.clock = f.6
                AND toUnixTimestamp64Milli(d.decided_at) - ifNull(d.delay_ms, 0) = f.7,
            f.1 = 'D02', has(d.reasons, 'disabled'),
            f.1 = 'D19', d.candidates = 0,
            d.permission = f.5 AND (d.verdict = 'name_collision' OR has(d.reasons, 'credential_of_another')))), r.found)))) AS drift_rule,
    'replay' AS basis,
    toString(d.grade) AS confidence,
    d.reasons AS reasons,
    h.sources AS incomplete,
    toString(d.event_id) AS evidence,
    if(toUInt128(d.credential) = 0, '', toString(d.credential)) AS evidence_credential
FROM decided AS d
LEFT ANY JOIN (SELECT person, username FROM persons WHERE tenant = {tenant:String} AND person != '') AS p ON p.person = d.person
LEFT ANY JOIN (
    -- Two Keycloaks may give one id: a decision does not say whose, and the same one is taken each time.
    SELECT person, session_id, started_at, ended_by FROM sessions WHERE tenant = {tenant:String} AND session_id != ''
    ORDER BY source_id, started_at LIMIT 1 BY person, session_id
) AS s
    ON s.person = d.person AND s.session_id = d.session_id
LEFT ANY JOIN fired AS r ON r.person = d.person
LEFT ANY JOIN holes AS h ON h.minute = toStartOfMinute(d.decided_at)
ORDER BY decision_time, evidence";

const TOTALS: &str = "WITH decided AS (
    SELECT event_id, person, toString(outcome) AS outcome, version FROM decisions
    WHERE tenant = {tenant:String}
      AND decided_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND decided_at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
)
SELECT name, n FROM (
    SELECT 'rows' AS name, count() AS n FROM decided
    UNION ALL SELECT 'distinct persons', uniqExact(person) FROM decided
    UNION ALL SELECT 'state', sum(cityHash64(event_id, version)) FROM decided
    UNION ALL SELECT 'state of findings', sum(cityHash64(finding_id, content, standing)) FROM findings
        WHERE tenant = {tenant:String} AND rule IN ('D01', 'D02', 'D19', 'D20')
          AND first_at < fromUnixTimestamp64Milli({to:Int64}, 'UTC') AND last_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')
    UNION ALL SELECT 'state of gaps', sum(cityHash64(source_id, since, until)) FROM gaps
        WHERE tenant = {tenant:String} AND repaired_at IS NULL AND cause != 'clock_off'
          AND since < fromUnixTimestamp64Milli({to:Int64}, 'UTC') AND (until IS NULL OR until >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') - toIntervalMinute(1))
    UNION ALL SELECT concat('result/', outcome), count() FROM decided GROUP BY outcome
) ORDER BY name";

/// The report.
pub(crate) const REPORT: Report = Report {
    id: "R08",
    name: "access-trace",
    version: "1.3.0",
    question: "Which permission decisions were made, for whom, on the strength of which login, session and group, and was the right still held?",
    criteria: &["CC6.1", "CC6.3"],
    span: Span::Period,
    needs: &[SourceKind::Keycloak, SourceKind::Backstage],
    columns: COLUMNS,
    brief: &[
        "decision_time",
        "reference",
        "permission",
        "action",
        "result",
        "verdict",
        "staleness_seconds",
        "clock",
        "granting_role",
        "confidence",
    ],
    key: &["decision_time", "evidence"],
    sql: SQL,
    totals: TOTALS,
    count: "",
    charts: &[
        Chart::OverTime { title: "Decisions over time, by verdict", time: "decision_time", by: "verdict", weight: "" },
        Chart::Longest {
            title: "Longest time on a right that was gone, seconds, by person",
            by: "reference",
            of: "staleness_seconds",
        },
    ],
    evidence: "evidence",
    derived: &[
        ("decision_time", |event| crate::format::time(event.time)),
        ("permission", |event| event.permission.clone()),
        ("action", |event| event.action.clone()),
        ("result", result),
        ("resource", |event| event.resource.clone()),
    ],
    exclusions: &["heartbeats: this program's own acts"],
    limits: &[
        "a decision line carries no token: its binding to a login is derived, and the column confidence says how surely",
        "calls that Backstage refused with 401 leave no decision",
        "what became of a conditional decision is known only where a line of the same trace tells it",
        "network and factor of the caller are in no decision line",
        "the column drift_rule is the word of the register: a rule that was switched off, or could not be judged, names nothing",
        "the column incomplete tells of the minute of the decision alone: what was lost before it, a login or a change of rights, is listed with the gaps of the sheet, and `tokentrail explain` says which of them a decision rests on",
    ],
    correlated: true,
};

/// Result of a decision line; a call that was done was allowed, and one that failed says so only where it was denied.
fn result(event: &Event) -> String {
    let said = match event.outcome {
        Outcome::Success => Outcome::Allow,
        Outcome::Failure if event.details.get("denied").is_some_and(|denied| denied == "true") => Outcome::Deny,
        Outcome::Failure => Outcome::Unknown,
        other => other,
    };
    said.as_str().to_owned()
}
