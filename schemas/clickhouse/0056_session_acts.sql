-- Everybody who acts in a session as somebody else, from when on: (time, name (personal), event). `impersonator` is the first of them.
ALTER TABLE {database}.session_rows {on_cluster} ADD COLUMN IF NOT EXISTS impersonators Array(Tuple(DateTime64(3, 'UTC'), String, UUID)) CODEC(ZSTD(3));

-- A refresh token was refused because it had been used before: the first time and the last, with the events that say so.
ALTER TABLE {database}.session_rows {on_cluster} ADD COLUMN IF NOT EXISTS reuse_refused Array(Tuple(DateTime64(3, 'UTC'), UUID)) CODEC(ZSTD(1));

-- As before, with both.
CREATE OR REPLACE VIEW {database}.sessions {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
WITH (
    SELECT mapFromArrays(groupArray(concat(tenant, '|', source_id)), groupArray(until)) FROM (
        SELECT toString(tenant) AS tenant, toString(source_id) AS source_id,
            if(countIf(input IN ('webhook', 'kafka')) > 0, maxIf(watermark, input IN ('webhook', 'kafka')), max(watermark)) AS until
        FROM {database}.watermark_rows GROUP BY tenant, source_id
    )
) AS complete, (
    SELECT mapFromArrays(groupArray(source), groupArray(spans)) FROM (
        SELECT concat(toString(tenant), '|', toString(source_id)) AS source,
            groupArray((since, ifNull(until, toDateTime64('2299-12-31 23:59:59', 3, 'UTC')))) AS spans
        FROM {database}.gap_rows FINAL GROUP BY source
    )
) AS missing,
    ifNull(s.expires_by <= complete[concat(tenant, '|', source_id)], 0) AND NOT arrayExists(
        gap -> gap.1 < assumeNotNull(s.expires_by) AND gap.2 > ifNull(s.last_seen_at, s.at), missing[concat(tenant, '|', source_id)]
    ) AS expired
SELECT tenant, person, source_id, session_id, started_at, at AS first_seen_at, last_seen_at,
    ifNull(s.ended_at, if(expired, s.expires_by, NULL)) AS ended_at,
    if(isNull(s.ended_at) AND expired, 'expiry_computed', toString(s.ended_by)) AS ended_by,
    clients, logins, refreshes, offline, active_after_end, impersonator, sign_ins, because, version, expires_by, impersonators, reuse_refused
FROM {database}.session_rows AS s FINAL;
