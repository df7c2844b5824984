-- Heartbeats with the ways by which they came back: input, time at the source, arrival.
CREATE OR REPLACE VIEW {database}.heartbeats {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT s.tenant AS tenant, s.source_id AS source_id, s.sent_at AS sent_at, s.scope AS scope, s.id AS id, any(toString(s.state)) AS state,
    groupUniqArrayIf((toString(b.input), b.time, b.received_at), b.input != '') AS seen
FROM {database}.heartbeat_rows AS s
LEFT JOIN (SELECT tenant, source_id, time, id, input, min(received_at) AS received_at FROM {database}.heartbeat_seen_rows GROUP BY tenant, source_id, time, id, input) AS b
    ON s.tenant = b.tenant AND s.source_id = b.source_id AND s.id = b.id AND s.id != ''
GROUP BY s.tenant, s.source_id, s.sent_at, s.scope, s.id;

-- Per source and minute: heartbeats sent and come back by any input, the longest way of one (ms), events at the source as
-- far as pull read them, events stored. Events that only their delivery tells from a repeat have no minute and are left out.
CREATE OR REPLACE VIEW {database}.coverage {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT c.tenant AS tenant, c.source_id AS source_id, c.minute AS minute,
    sum(c.heartbeats) AS heartbeats, sum(c.heartbeats_seen) AS heartbeats_seen, max(c.lag_ms) AS lag_ms,
    max(c.at_source) AS at_source, sum(c.stored) AS stored
FROM
(
    SELECT tenant, source_id, toDateTime(toInt64(cell) * 60, 'UTC') AS minute, toUInt64(0) AS heartbeats, toUInt64(0) AS heartbeats_seen,
        NULL::Nullable(Int64) AS lag_ms,
        if(countIf(input = 'pull' AND events > 0) > 0, sumIf(alone, input = 'pull') + sum(both), NULL) AS at_source, sum(stored) AS stored
    FROM {database}.cells WHERE cell < 2147483648 GROUP BY tenant, source_id, cell
    UNION ALL
    SELECT tenant, source_id, toStartOfMinute(toDateTime(sent_at, 'UTC')), count(), countIf(notEmpty(seen)),
        max(if(notEmpty(seen), toUnixTimestamp64Milli(arrayMin(x -> x.3, seen)) - toUnixTimestamp64Milli(sent_at), NULL)),
        NULL::Nullable(UInt64), toUInt64(0)
    FROM {database}.heartbeats GROUP BY tenant, source_id, toStartOfMinute(toDateTime(sent_at, 'UTC'))
) AS c
GROUP BY c.tenant, c.source_id, c.minute HAVING stored > 0 OR heartbeats > 0;
