-- What came in per source and hour, and heartbeats with those that came back: kept by the processor that leads, which compares and writes what
-- differs, of the last hours in each round of its judgement of completeness, of a month every few minutes, of all times every hour. Before 1970 nothing is kept.
CREATE TABLE IF NOT EXISTS {database}.continuity_hour_rows {on_cluster}
(
    tenant LowCardinality(String),
    source_id LowCardinality(String),
    -- since 1970
    hour UInt32 CODEC(Delta(4), ZSTD(1)),
    version UInt64 CODEC(Delta(8), ZSTD(1)),
    stored UInt64 CODEC(T64, ZSTD(1)),
    heartbeats UInt64 CODEC(T64, ZSTD(1)),
    heartbeats_seen UInt64 CODEC(T64, ZSTD(1))
)
ENGINE = {replicated}ReplacingMergeTree(version)
ORDER BY (tenant, source_id, hour)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- As `continuity_in`, but of counts what is kept, with the first and the last hour whole. Gaps are those of now: what is kept late never hides one.
CREATE OR REPLACE VIEW {database}.kept_continuity_in {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT c.tenant AS tenant, c.source_id AS source_id,
    multiIf(sum(c.gaps_open) > 0, 'gap_open', sum(c.gaps_lost) > 0, 'gap_not_repaired', sum(c.heartbeats_seen) = 0, 'not_proven', 'no_gap_known') AS continuity,
    sum(c.stored) AS stored, sum(c.heartbeats) AS heartbeats, sum(c.heartbeats_seen) AS heartbeats_seen,
    sum(c.gaps_open) AS gaps_open, sum(c.gaps_lost) AS gaps_lost, sum(c.gaps_repaired) AS gaps_repaired,
    sum(c.gap_seconds) AS gap_seconds, sum(c.missing) AS missing
FROM
(
    SELECT h.tenant AS tenant, h.source_id AS source_id, sum(h.stored) AS stored, sum(h.heartbeats) AS heartbeats, sum(h.heartbeats_seen) AS heartbeats_seen,
        toUInt64(0) AS gaps_open, toUInt64(0) AS gaps_lost, toUInt64(0) AS gaps_repaired, toFloat64(0) AS gap_seconds, toUInt64(0) AS missing
    FROM {database}.continuity_hour_rows AS h FINAL
    WHERE h.hour >= intDiv(greatest({from:Int64}, 0), 3600000) AND h.hour <= intDiv(greatest({to:Int64} - 1, 0), 3600000)
    GROUP BY h.tenant, h.source_id HAVING stored > 0 OR heartbeats > 0
    UNION ALL
    SELECT tenant, source_id, toUInt64(0), toUInt64(0), toUInt64(0),
        countIf(until IS NULL AND repaired_at IS NULL), countIf(until IS NOT NULL AND repaired_at IS NULL), countIf(repaired_at IS NOT NULL),
        -- of the gaps that were not repaired: what of them lies within the span
        sumIf((least(ifNull(toUnixTimestamp64Milli(until), {to:Int64}), {to:Int64}) - greatest(toUnixTimestamp64Milli(since), {from:Int64})) / 1000, repaired_at IS NULL),
        sumIf(ifNull(missing, 0), repaired_at IS NULL)
    FROM {database}.gap_rows FINAL
    WHERE since < fromUnixTimestamp64Milli({to:Int64}, 'UTC') AND (until IS NULL OR until >= fromUnixTimestamp64Milli({from:Int64}, 'UTC'))
    GROUP BY tenant, source_id
    UNION ALL
    SELECT DISTINCT tenant, source_id, toUInt64(0), toUInt64(0), toUInt64(0), toUInt64(0), toUInt64(0), toUInt64(0), toFloat64(0), toUInt64(0)
    FROM {database}.watermark_rows
) AS c
GROUP BY c.tenant, c.source_id;
