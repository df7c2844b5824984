-- A person's sessions, tokens, rights, decisions and missing events on one time axis; as before, but rights and sessions are looked up once,
-- not once for their beginning and once for their end, and no view is asked.
CREATE OR REPLACE VIEW {database}.history_of {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT h.time AS time, h.lane AS lane, h.what AS what, h.detail AS detail, h.verdict AS verdict, h.grade AS grade, h.session_id AS session_id, h.event_id AS event_id
FROM
(
    SELECT assumeNotNull(told.1) AS time, 'session' AS lane, told.2 AS what, told.3 AS detail,
        '' AS verdict, '' AS grade, session_id, toUUID('00000000-0000-0000-0000-000000000000') AS event_id
    FROM
    (
        SELECT session_id, [(toNullable(at), if(started_at IS NULL, 'session first seen', 'login'), arrayStringConcat(clients, ', ')),
            (ended_at, 'session ended', replaceAll(toString(ended_by), '_', ' '))] AS both
        FROM {database}.session_rows FINAL WHERE tenant = {tenant:String} AND person = {person:String}
    )
    ARRAY JOIN both AS told WHERE told.1 IS NOT NULL
    UNION ALL
    SELECT at, 'token', if(reused = 1, 'Keycloak token, refresh token used again', 'Keycloak token'), concat(toString(issued_for), ' ', toString(client)), '', '', session_id, event_id
    FROM {database}.token_rows FINAL WHERE tenant = {tenant:String} AND person = {person:String}
    UNION ALL
    SELECT at, 'token', 'Backstage token', concat(replaceAll(toString(kind), '_', ' '), if(empty(claims), '', concat(': ', arrayStringConcat(claims, ', ')))), '',
        if(sure = 1, 'exact', 'inferred'), session_id, event_id
    FROM {database}.credential_rows FINAL WHERE tenant = {tenant:String} AND person = {person:String}
    UNION ALL
    -- with the names that `rights_of` gives them
    SELECT assumeNotNull(told.1), 'right', concat(g.right_kind, told.2), if(n.name = '', g.right_id, n.name), '', '', '', told.3
    FROM
    (
        SELECT right_kind, right_id, told FROM
        (
            SELECT toString(right_kind) AS right_kind, right_id, [(held_from, ' given', granted_in), (held_to, ' taken', removed_in)] AS both
            FROM {database}.grant_rows FINAL WHERE tenant = {tenant:String} AND person = {person:String}
        )
        ARRAY JOIN both AS told WHERE told.1 IS NOT NULL
    ) AS g
    LEFT ANY JOIN
    (
        SELECT right_id, argMax(right_name, time) AS name FROM {database}.event_rows
        WHERE tenant = {tenant:String} AND is_deleted = 0 AND right_name != ''
          AND time IN (
            SELECT assumeNotNull(arrayJoin(arrayFilter(t -> t IS NOT NULL, [held_from, held_to]))) FROM {database}.grant_rows FINAL
            WHERE tenant = {tenant:String} AND person = {person:String})
        GROUP BY right_id
    ) AS n ON n.right_id = g.right_id
    UNION ALL
    SELECT at, 'decision', toString(outcome), concat(if(permission = '', toString(action), toString(permission)), if(resource = '', '', concat(' ', resource))),
        toString(verdict), toString(grade), session_id, event_id
    FROM {database}.decision_rows FINAL WHERE tenant = {tenant:String} AND person = {person:String}
        AND at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
    UNION ALL
    SELECT before, 'missing', concat(toString(missing), ' of a ', toString(right_kind), ' is missing'), arrayStringConcat(causes, ', '), '', '', '', evidence_before
    FROM {database}.missing_event_rows FINAL WHERE tenant = {tenant:String} AND person = {person:String}
) AS h
WHERE h.time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND h.time < fromUnixTimestamp64Milli({to:Int64}, 'UTC');
