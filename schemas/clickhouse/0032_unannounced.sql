-- Says that receipts were stored of which a processor could not tell whoever correlates, so that it looks for them here. Written
-- again, as answered, when it has.
CREATE TABLE IF NOT EXISTS {database}.unannounced_rows {on_cluster}
(
    tenant LowCardinality(String),
    recorded_at DateTime64(3, 'UTC'),
    id UUID,
    answered UInt8
)
ENGINE = {replicated}ReplacingMergeTree(answered)
ORDER BY (tenant, recorded_at, id)
TTL toDateTime(recorded_at) + INTERVAL 30 DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
