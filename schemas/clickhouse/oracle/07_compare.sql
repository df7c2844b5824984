-- The oracle, 7 of 7: every answer of which only one side knows. No row: both agree.
WITH ours AS (
    SELECT tenant, 'session' AS what, toString((person, source_id, session_id, toUnixTimestamp64Milli(started_at), toUnixTimestamp64Milli(last_seen_at),
        toUnixTimestamp64Milli(ended_at), toString(ended_by), clients, logins, refreshes, toBool(offline), toBool(active_after_end), impersonator)) AS row FROM {database}.sessions
    UNION ALL
    SELECT tenant, 'grant', toString((person, toString(right_kind), right_id, toUnixTimestamp64Milli(held_from), toUnixTimestamp64Milli(held_to), granted_by, removed_by,
        granted_in, removed_in)) FROM (SELECT * REPLACE (toString(granted_in) AS granted_in, toString(removed_in) AS removed_in) FROM {database}.grants)
), theirs AS (
    SELECT tenant, 'session' AS what, toString((person, source_id, session_id, started_at, last_seen_at, ended_at, ended_by, clients, logins, refreshes, toBool(offline),
        toBool(active_after_end), impersonator)) AS row FROM {oracle}.sessions
    UNION ALL
    SELECT tenant, 'grant', toString((person, right_kind, right_id, held_from, held_to, granted_by, removed_by,
        if(granted_in = '', '00000000-0000-0000-0000-000000000000', granted_in), if(removed_in = '', '00000000-0000-0000-0000-000000000000', removed_in))) FROM {oracle}.grants
)
SELECT tenant, what, if(side > 0, 'correlation', 'oracle') AS said_by, row, abs(side) AS times
FROM (
    SELECT tenant, what, row, sum(side) AS side
    FROM (SELECT *, 1 AS side FROM ours UNION ALL SELECT *, -1 FROM theirs) GROUP BY tenant, what, row
)
WHERE side != 0
ORDER BY tenant, what, row;
