-- Lines that are no receipts, one row per delivery and kind. A repeat of a delivery that can be told as one has the same
-- key, so it is counted once; `received_at` is that of the repeat taken in last.
CREATE TABLE IF NOT EXISTS {database}.line_count_rows {on_cluster}
(
    tenant LowCardinality(String),
    source_id LowCardinality(String),
    kind LowCardinality(String),
    delivery String CODEC(ZSTD(1)),
    lines UInt64 CODEC(ZSTD(1)),
    received_at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1))
)
ENGINE = {replicated}ReplacingMergeTree(received_at)
ORDER BY (tenant, source_id, kind, delivery)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- How many lines of each kind a source sent that are no receipts.
CREATE OR REPLACE VIEW {database}.line_counts {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, source_id, kind, sum(lines) AS lines, count() AS deliveries, max(received_at) AS last_received_at
FROM {database}.line_count_rows FINAL GROUP BY tenant, source_id, kind;
