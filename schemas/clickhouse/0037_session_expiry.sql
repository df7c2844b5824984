-- Of a session whose end nothing tells: by when it has ended at the latest unless somebody uses it again, by the lifespans of its
-- realm. NULL: they are not known, or the end is told.
ALTER TABLE {database}.session_rows {on_cluster} ADD COLUMN IF NOT EXISTS expires_by Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1));

-- It has ended where its source is complete beyond that instant: what pushes its events tells of every use, pull of those that are saved.
CREATE OR REPLACE VIEW {database}.sessions {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
WITH (
    SELECT mapFromArrays(groupArray(concat(tenant, '|', source_id)), groupArray(until)) FROM (
        SELECT toString(tenant) AS tenant, toString(source_id) AS source_id,
            if(countIf(input IN ('webhook', 'kafka')) > 0, maxIf(watermark, input IN ('webhook', 'kafka')), max(watermark)) AS until
        FROM {database}.watermark_rows GROUP BY tenant, source_id
    )
) AS complete
SELECT tenant, person, source_id, session_id, started_at, at AS first_seen_at, last_seen_at,
    ifNull(s.ended_at, if(s.expires_by <= complete[concat(tenant, '|', source_id)], s.expires_by, NULL)) AS ended_at,
    if(isNull(s.ended_at) AND ifNull(s.expires_by <= complete[concat(tenant, '|', source_id)], 0), 'expiry_computed', toString(s.ended_by)) AS ended_by,
    clients, logins, refreshes, offline, active_after_end, impersonator, sign_ins, because, version, expires_by
FROM {database}.session_rows AS s FINAL;
