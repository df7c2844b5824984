-- The oracle, 7 of 7: every answer of which only one side knows. No row: both agree.
WITH ours AS (
    SELECT tenant, 'session' AS what, toString((person, source_id, session_id, toUnixTimestamp64Milli(started_at), toUnixTimestamp64Milli(last_seen_at),
        toUnixTimestamp64Milli(ended_at), toString(ended_by), clients, logins, refreshes, toBool(offline), toBool(active_after_end),
        arrayMap(one -> (toUnixTimestamp64Milli(one.1), toString(one.3), one.2), impersonators))) AS row FROM {database}.sessions
    UNION ALL
    SELECT tenant, 'grant', toString((person, toString(right_kind), right_id, toUnixTimestamp64Milli(held_from), toUnixTimestamp64Milli(held_to), granted_by, removed_by,
        granted_in, removed_in)) FROM (SELECT * REPLACE (toString(granted_in) AS granted_in, toString(removed_in) AS removed_in) FROM {database}.grants)
    UNION ALL
    -- What is judged by claims, by another group of the same name, without a known policy or not at all is not in question here.
    SELECT tenant, 'decision', toString((toString(event_id), person, toBool(verdict IN ('agrees', 'granted_in_backstage', 'pending_grant', 'denied_with_right') AND NOT (verdict = 'agrees' AND outcome = 'deny')),
        delay_ms, arraySort(arrayMap(s -> toString((s.1, s.2, s.3, s.4, s.5, toUnixTimestamp64Milli(s.6))), support)), toUnixTimestamp64Milli(credential_at), toString(credential)))
    FROM {database}.decisions WHERE verdict NOT IN ('not_judged', 'name_collision', 'conditional') AND outcome IN ('allow', 'deny') AND permission != ''
        AND NOT hasAny(reasons, ['shared_name', 'policy_unknown'])
    UNION ALL
    SELECT tenant, 'final outcome', toString((toString(event_id), toString(final_outcome))) FROM {database}.decisions WHERE outcome = 'conditional'
), theirs AS (
    SELECT tenant, 'session' AS what, toString((person, source_id, session_id, started_at, last_seen_at, ended_at, ended_by, clients, logins, refreshes, toBool(offline),
        toBool(active_after_end), impersonators)) AS row FROM {oracle}.sessions
    UNION ALL
    SELECT tenant, 'grant', toString((person, right_kind, right_id, held_from, held_to, granted_by, removed_by,
        if(granted_in = '', '00000000-0000-0000-0000-000000000000', granted_in), if(removed_in = '', '00000000-0000-0000-0000-000000000000', removed_in))) FROM {oracle}.grants
    UNION ALL
    SELECT tenant, 'decision', toString((event_id, person, toBool(supported), delay_ms, support, credential_at, if(credential = '', '00000000-0000-0000-0000-000000000000', credential)))
    FROM {oracle}.decisions
    WHERE (tenant, event_id) NOT IN (SELECT tenant, toString(event_id) FROM {database}.decisions WHERE has(reasons, 'shared_name'))
    UNION ALL
    SELECT tenant, 'final outcome', toString((event_id, final_outcome)) FROM {oracle}.finals
)
SELECT tenant, what, if(side > 0, 'correlation', 'oracle') AS said_by, row, abs(side) AS times
FROM (
    SELECT tenant, what, row, sum(side) AS side
    FROM (SELECT *, 1 AS side FROM ours UNION ALL SELECT *, -1 FROM theirs) GROUP BY tenant, what, row
)
WHERE side != 0
ORDER BY tenant, what, row;
