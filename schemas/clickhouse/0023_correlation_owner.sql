-- Who took the correlation of a tenant over: the one of the greatest epoch is its owner. Written, then read back: of two that take
-- the same epoch at once, at least one sees the other and takes a later one.
CREATE TABLE IF NOT EXISTS {database}.correlation_owner_rows {on_cluster}
(
    tenant LowCardinality(String),
    epoch UInt64,
    -- of this take-over, by chance
    owner UUID,
    -- of the program, from its config
    name String,
    taken_at DateTime64(3, 'UTC')
)
ENGINE = {replicated}ReplacingMergeTree
ORDER BY (tenant, epoch, owner)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
