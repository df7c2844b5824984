//! R07 configuration and policy change: what was changed, by whom, before and after; and what changed without an event.

use crate::report::{Chart, Column, Report, Span, column, no_source};

const COLUMNS: &[Column] = &[
    column("time", "when, UTC; of a difference: by when it was so", "events.time, snapshot_states.time_max"),
    column("not_before", "of a difference: when it was last read as before", "snapshot_states.time_min"),
    column("source_id", "source", "events.source_id"),
    column("realm", "realm", "events.realm"),
    column("actor", "who did it, as the source names them; empty: a difference without an event", "events.actor_name"),
    column("actor_kind", "admin, user, plugin, static", "events.actor_kind"),
    column("ip", "from where", "events.ip"),
    column("kind", "what was done, or the area in which state differs", "events.kind, snapshot_states.area"),
    column("resource_kind", "Keycloak's resource type, or the kind of right", "events.resource_kind"),
    column("resource", "path, id or name of what was changed", "events.resource"),
    column("operation", "create, update, delete, action", "events.action"),
    column("outcome", "success or failure", "events.outcome"),
    column(
        "changed",
        "field: before -> after; secrets are never kept. Of an event: against the event before it on the same object",
        "events.details, snapshot_states.details",
    ),
    column("fields_sent", "of an event: names of the fields that were sent, changed or not", "events.details"),
    column("found_by", "event; difference explained by an event; difference without event", "events, snapshots"),
    no_source("change_ref", "ticket or pull request"),
    no_source("approver", "who approved it"),
    no_source("change_window", "whether it lay in a window"),
    column("basis", "event or snapshot", "events, snapshots"),
    column("confidence", "proven: told or read; inferred: between two reads", "events, snapshots"),
    column("evidence", "event of the change, or of the later state", "events.event_id"),
];

/// Changes of the period told by events, and the differences between complete reads that end in it.
macro_rules! changes {
    () => {
        "WITH told AS (
    SELECT event_id, time, source_id, realm, actor_name, actor_kind, ip, kind, resource_kind, resource, action, outcome, details,
        right_kind, right_id, right_name, holder_id
    FROM events_in(from = {from:Int64} - 2678400000, to = {to:Int64})
    WHERE tenant = {tenant:String} AND data_class = 'administration'
      AND resource_kind NOT IN ('USER', 'USER_SESSION', 'USER_LOGIN_FAILURE', 'GROUP_MEMBERSHIP', 'REALM_ROLE_MAPPING', 'CLIENT_ROLE_MAPPING', 'ORGANIZATION_MEMBERSHIP', 'ORGANIZATION_GROUP_MEMBERSHIP')
      AND NOT startsWith(kind, 'user_') AND kind NOT IN ('client_read', 'backstage_role_member_added', 'backstage_role_member_removed')
), events_changed AS (
    SELECT *, lagInFrame(details, 1, map()) OVER w AS details_before, lagInFrame(toString(event_id), 1, '') OVER w AS event_before
    FROM told
    WINDOW w AS (PARTITION BY source_id, realm, kind, resource, right_id, holder_id ORDER BY time, event_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
), reads AS (
    SELECT source_id, realm, area, snapshot, time_min, time_max,
        lagInFrame(snapshot, 1, '') OVER r AS before, lagInFrame(time_min, 1, toDateTime64(0, 3, 'UTC')) OVER r AS before_min
    FROM snapshot_areas WHERE tenant = {tenant:String} AND outcome = 'complete'
      AND area IN ('realm', 'events_config', 'clients', 'roles', 'composites', 'groups', 'default_groups', 'role_groups',
        'identity_providers', 'flows', 'flow_executions', 'required_actions', 'rbac_roles', 'rbac_policies', 'rbac_conditions')
    WINDOW r AS (PARTITION BY source_id, realm, area ORDER BY time_max, snapshot ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
), compared AS (
    SELECT * FROM reads WHERE before != ''
      AND time_max >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND time_max < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
), states AS (
    SELECT t.source_id AS source_id, t.realm AS realm, t.area AS area, t.snapshot AS snapshot, t.entity AS entity, any(t.hash) AS hash,
        any(t.event_id) AS event_id, any(t.resource) AS resource, any(multiIf(t.right_name != '', t.right_name, t.client != '', t.client, t.area IN ('realm', 'events_config'), t.realm,
            t.details['flow'] != '', concat(t.details['flow'], ' / ', t.details['displayName']), t.details['alias'] != '', t.details['alias'], t.resource)) AS name,
        any(t.right_id) AS right_id, any(t.right_kind) AS right_kind, any(t.details) AS details
    FROM snapshot_states AS t WHERE t.tenant = {tenant:String} AND t.snapshot IN (SELECT arrayJoin([snapshot, before]) FROM compared)
    GROUP BY t.source_id, t.realm, t.area, t.snapshot, t.entity
), sides AS (
    SELECT c.source_id AS source_id, c.realm AS realm, c.area AS area, c.before_min AS before_min, c.time_max AS time_max, s.entity AS entity,
        anyIf(s.hash, s.snapshot = c.before) AS hash_before, anyIf(s.hash, s.snapshot = c.snapshot) AS hash_after,
        anyIf(s.details, s.snapshot = c.before) AS details_before, anyIf(s.details, s.snapshot = c.snapshot) AS details_after,
        argMax(s.name, s.snapshot = c.snapshot) AS name, argMax(s.resource, s.snapshot = c.snapshot) AS resource,
        argMax(s.right_id, s.snapshot = c.snapshot) AS right_id, argMax(s.right_kind, s.snapshot = c.snapshot) AS right_kind,
        argMax(s.event_id, s.snapshot = c.snapshot) AS event_id
    FROM compared AS c INNER JOIN states AS s ON s.source_id = c.source_id AND s.realm = c.realm AND s.area = c.area
    WHERE s.snapshot IN (c.before, c.snapshot)
    GROUP BY source_id, realm, area, before_min, time_max, entity
    HAVING hash_before != hash_after
), differences AS (
    SELECT d.*, (SELECT groupArray((source_id, time, resource_kind, resource, right_id)) FROM told) AS all_told,
        arrayExists(t -> t.1 = d.source_id AND t.2 >= d.before_min AND t.2 <= d.time_max
            AND ((d.area IN ('realm', 'events_config') AND t.3 = 'REALM')
                OR (d.area IN ('flows', 'flow_executions') AND t.3 IN ('AUTH_FLOW', 'AUTH_EXECUTION_FLOW', 'AUTH_EXECUTION', 'AUTHENTICATOR_CONFIG'))
                OR (d.area = 'required_actions' AND t.3 = 'REQUIRED_ACTION')
                OR (d.area = 'identity_providers' AND (t.4 IN (concat('identity-provider/instances/', d.details_before['alias']), concat('identity-provider/instances/', d.details_after['alias']))
                    OR (t.3 = 'ORGANIZATION' AND d.details_before['organizationId'] != d.details_after['organizationId'])))
                OR (d.right_id != '' AND t.5 = d.right_id) OR (d.resource != '' AND position(t.4, d.resource) > 0)), all_told) AS explained
    FROM sides AS d
    -- A setting of a realm that was not read before is one that an older release did not read, and no change.
    WHERE d.area != 'realm' OR d.hash_before = '' OR d.hash_after = ''
        OR arrayExists(k -> mapContains(d.details_after, k) AND d.details_after[k] != d.details_before[k], mapKeys(d.details_before))
)
"
    };
}

const SQL: &str = concat!(
    changes!(),
    "SELECT * FROM (
SELECT
    time AS time, NULL::Nullable(DateTime64(3, 'UTC')) AS not_before, source_id, realm,
    actor_name AS actor, actor_kind, ip, kind, if(resource_kind != '', resource_kind, right_kind) AS resource_kind,
    multiIf(right_kind = 'policy' AND right_id != '', concat(holder_id, ' ', right_id), resource != '', resource, right_id != '', concat(right_name, if(right_name = right_id, '', concat(' ', right_id))), '') AS resource, action AS operation, outcome,
    if(event_before = '' OR (resource = '' AND right_id = ''), ['no earlier event on record'],
        arraySort(arrayMap(k -> concat(k, ': ', details_before[k], ' -> ', details[k]),
            arrayFilter(k -> k NOT IN ('fields', 'api_version', 'method', 'status', 'source') AND details[k] != details_before[k],
                arrayDistinct(arrayConcat(mapKeys(details), mapKeys(details_before))))))) AS changed,
    arraySort(arrayFilter(x -> x != '', splitByChar(',', details['fields']))) AS fields_sent,
    'event' AS found_by, 'none on record' AS change_ref, 'none on record' AS approver, 'none on record' AS change_window,
    'event' AS basis, 'proven' AS confidence, toString(event_id) AS evidence
FROM events_changed WHERE time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')
UNION ALL
SELECT
    time_max, before_min, source_id, realm, '', '', '', area, right_kind, name, multiIf(hash_before = '', 'create', hash_after = '', 'delete', 'update'), '',
    arraySort(arrayMap(k -> concat(k, ': ', details_before[k], ' -> ', details_after[k]),
        arrayFilter(k -> details_after[k] != details_before[k] AND (area != 'realm' OR hash_before = '' OR hash_after = '' OR (mapContains(details_before, k) AND mapContains(details_after, k))),
            arrayDistinct(arrayConcat(mapKeys(details_after), mapKeys(details_before)))))),
    [], if(explained, 'difference explained by an event', 'difference without event'), 'none on record', 'none on record', 'none on record',
    'snapshot', 'inferred', if(toUInt128(event_id) = 0, '', toString(event_id))
FROM differences
) ORDER BY time, evidence, kind, resource"
);

const TOTALS: &str = concat!(
    changes!(),
    "SELECT said.1 AS name, said.2 AS n FROM (
    SELECT arrayJoin([('rows', t.changes + d.told + d.silent), ('differences without event', d.silent),
        ('differences explained by an event', d.told), ('reads compared', c.reads), ('state', t.state)]) AS said
    FROM (SELECT countIf(time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')) AS changes, sum(cityHash64(event_id, time)) AS state FROM told) AS t
    CROSS JOIN (SELECT countIf(NOT explained) AS silent, countIf(explained) AS told FROM differences) AS d
    CROSS JOIN (SELECT count() AS reads FROM compared) AS c
) ORDER BY name"
);

/// The report.
pub(crate) const REPORT: Report = Report {
    id: "R07",
    name: "configuration-change",
    version: "1.1.0",
    question: "Which settings, clients, ways to sign in, roles, groups and policies were changed, by whom, from what to what, and what changed without an event?",
    criteria: &["CC6.8", "CC7.1", "CC8.1"],
    span: Span::Period,
    needs: &[],
    columns: COLUMNS,
    brief: &["time", "source_id", "actor", "kind", "resource", "operation", "outcome", "changed", "found_by"],
    key: &["time", "evidence", "kind", "resource"],
    sql: SQL,
    totals: TOTALS,
    count: "",
    charts: &[
        Chart::Bars { title: "Changes, by how they were found", by: "found_by", or: "", weight: "" },
        Chart::Bars { title: "Changes by kind", by: "kind", or: "", weight: "" },
    ],
    evidence: "evidence",
    derived: &[
        ("source_id", |event| event.source_id.clone()),
        ("realm", |event| event.realm.clone()),
        ("operation", |event| event.action.clone()),
        ("ip", |event| event.ip.clone()),
    ],
    exclusions: &[
        "memberships and role mappings of persons, and acts on users: R01 lists what follows from them",
        "values of secrets: they are removed before anything is stored",
    ],
    limits: &[
        "an event of Keycloak names the fields that were sent, not their values, apart from those that decide what is recorded: before and after come from the event before it (31 days back) or from snapshots",
        "of state, only listed fields are read (docs/snapshots.md); of mappers, client scopes, components (LDAP, keys), user profiles and what an execution of a flow is configured with, events alone tell, and nothing shows a change of them without an event",
        "any event about flows in between explains what changed in a flow: Keycloak's events do not name the step in a way that can be held against it",
        "a setting that was changed and changed back between two reads without an event is not seen",
    ],
    correlated: false,
};
