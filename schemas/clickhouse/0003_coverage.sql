-- How far each input of a source is known to be complete. Only moves forward: the greatest one wins.
CREATE TABLE IF NOT EXISTS {database}.watermark_rows {on_cluster}
(
    tenant LowCardinality(String),
    source_id LowCardinality(String),
    input LowCardinality(String),
    watermark DateTime64(3, 'UTC'),
    recorded_at DateTime64(3, 'UTC')
)
ENGINE = {replicated}ReplacingMergeTree(watermark)
ORDER BY (tenant, source_id, input)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Per source and minute: what the source says it has, what is stored.
CREATE TABLE IF NOT EXISTS {database}.coverage_rows {on_cluster}
(
    tenant LowCardinality(String),
    source_id LowCardinality(String),
    minute DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    recorded_at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    heartbeat UInt8 CODEC(ZSTD(1)),
    lag_ms Nullable(Int64) CODEC(ZSTD(1)),
    at_source Nullable(UInt64) CODEC(ZSTD(1)),
    stored UInt64 CODEC(ZSTD(1))
)
ENGINE = {replicated}ReplacingMergeTree(recorded_at)
PARTITION BY toYYYYMM(minute)
ORDER BY (tenant, source_id, minute)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Times for which a source's events are not known to be complete, with the cause. `until` empty = still open.
CREATE TABLE IF NOT EXISTS {database}.gap_rows {on_cluster}
(
    tenant LowCardinality(String),
    source_id LowCardinality(String),
    since DateTime64(3, 'UTC'),
    cause LowCardinality(String),
    until Nullable(DateTime64(3, 'UTC')),
    recorded_at DateTime64(3, 'UTC')
)
ENGINE = {replicated}ReplacingMergeTree(recorded_at)
ORDER BY (tenant, source_id, since, cause)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
