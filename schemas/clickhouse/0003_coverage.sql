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

-- Heartbeats as the collector sent them; `state` says why one was not taken by the source.
CREATE TABLE IF NOT EXISTS {database}.heartbeat_rows {on_cluster}
(
    tenant LowCardinality(String),
    source_id LowCardinality(String),
    sent_at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    -- realm of a Keycloak, empty for a Backstage
    scope LowCardinality(String),
    -- id of the token, or nonce; empty if it was not sent
    id String CODEC(ZSTD(1)),
    state LowCardinality(String)
)
ENGINE = {replicated}ReplacingMergeTree
PARTITION BY toYYYYMM(sent_at)
ORDER BY (tenant, source_id, sent_at, scope, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Heartbeats as they came back, once per input; the first arrival counts. An id that was never sent is of no use here.
CREATE TABLE IF NOT EXISTS {database}.heartbeat_seen_rows {on_cluster}
(
    tenant LowCardinality(String),
    source_id LowCardinality(String),
    -- by the source's clock
    time DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    id String CODEC(ZSTD(1)),
    input LowCardinality(String),
    received_at SimpleAggregateFunction(min, DateTime64(3, 'UTC')) CODEC(Delta(8), ZSTD(1))
)
ENGINE = {replicated}AggregatingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (tenant, source_id, time, id, input)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Times for which an input of a source is not known to be complete, with the cause. `until` empty = still open,
-- `repaired_by` names the input that brought everything after all.
CREATE TABLE IF NOT EXISTS {database}.gap_rows {on_cluster}
(
    tenant LowCardinality(String),
    source_id LowCardinality(String),
    -- realm, instance or stream; empty = all of the source
    scope LowCardinality(String),
    input LowCardinality(String),
    since DateTime64(3, 'UTC'),
    cause LowCardinality(String),
    until Nullable(DateTime64(3, 'UTC')),
    -- how much is known to be missing: lines or records; empty = not known
    missing Nullable(UInt64),
    repaired_at Nullable(DateTime64(3, 'UTC')),
    repaired_by LowCardinality(String),
    recorded_at DateTime64(3, 'UTC')
)
ENGINE = {replicated}ReplacingMergeTree(recorded_at)
ORDER BY (tenant, source_id, since, scope, input, cause)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
