-- What arrived. One row per receipt, also the ignored, doubled and dead: the header's fields exactly, so that its
-- canonical bytes can be rebuilt; commitment; the chain where it is needed to start a recomputation; the fate.
-- Same position with another commitment is another row: kept and visible, never replaced.
CREATE TABLE IF NOT EXISTS {database}.receipt_rows {on_cluster}
(
    tenant LowCardinality(String),
    stream FixedString(16) CODEC(ZSTD(1)),
    seq UInt64 CODEC(Delta(8), ZSTD(1)),
    -- HMAC-SHA-256(salt, body)
    commitment FixedString(32) CODEC(NONE),
    -- SHA-256 chain after this receipt; zeros where it is recomputed from its neighbours
    chain FixedString(32) CODEC(ZSTD(1)),
    -- how the body is encrypted (key id); 0 = not
    enc UInt32 CODEC(ZSTD(1)),
    header_version UInt8 CODEC(ZSTD(1)),
    source_id LowCardinality(String),
    source_kind LowCardinality(String),
    input LowCardinality(String),
    payload LowCardinality(String),
    received_at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    native_id String CODEC(ZSTD(1)),
    delivery_id String CODEC(ZSTD(1)),
    delivery_keyed UInt8 CODEC(ZSTD(1)),
    delivery_index UInt32 CODEC(ZSTD(1)),
    -- 1 = the header has a line place, and the next five columns are its fields
    line UInt8 CODEC(ZSTD(1)),
    line_instance LowCardinality(String),
    line_number UInt32 CODEC(Delta(4), ZSTD(1)),
    line_time_ns Nullable(Int64) CODEC(Delta(8), ZSTD(1)),
    line_basis LowCardinality(String),
    line_mark String CODEC(ZSTD(1)),
    line_backlog UInt8 CODEC(ZSTD(1)),
    -- event | ignored | dead; stored or duplicate is a view over all receipts
    fate LowCardinality(String),
    reason LowCardinality(String),
    -- the event of ordinal 0; the zero id unless fate = event
    event_id UUID CODEC(ZSTD(1)),
    -- where it is counted (docs/store.md, Roll-ups): the minute of the event, else of the receipt, since the epoch
    minute UInt32 CODEC(Delta(4), ZSTD(1)),
    -- not 0: counted with its delivery instead, because only the sender's key tells a repeat and no time does
    delivery_cell UInt32 CODEC(ZSTD(1)),
    -- a later normaliser's verdict replaces an earlier one's
    normaliser UInt32 CODEC(ZSTD(1)),
    INDEX by_event event_id TYPE bloom_filter(0.025) GRANULARITY 4,
    INDEX by_fate fate TYPE set(4) GRANULARITY 1,
    -- the first of two cuts ranges, the second finds one cell where many are mixed
    INDEX by_time minute TYPE minmax GRANULARITY 1,
    INDEX by_minute minute TYPE bloom_filter(0.0005) GRANULARITY 1,
    INDEX by_deliveries delivery_cell TYPE minmax GRANULARITY 1,
    INDEX by_delivery delivery_cell TYPE bloom_filter(0.0005) GRANULARITY 1
)
ENGINE = {replicated}ReplacingMergeTree(normaliser)
PARTITION BY toYYYYMM(received_at)
ORDER BY (tenant, stream, seq, commitment)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Redacted bodies, for evidence and replay; no other query reads them. Body and salt are erased together.
CREATE TABLE IF NOT EXISTS {database}.raw_bodies {on_cluster}
(
    tenant LowCardinality(String),
    stream FixedString(16) CODEC(ZSTD(1)),
    seq UInt64 CODEC(Delta(8), ZSTD(1)),
    -- the first 8 bytes of the commitment, big endian: tells two bodies at one position apart
    commitment_head UInt64 CODEC(NONE),
    received_at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    salt FixedString(16) CODEC(NONE),
    enc UInt32 CODEC(ZSTD(1)),
    body String CODEC(ZSTD(1))
)
ENGINE = {replicated}ReplacingMergeTree
PARTITION BY toYYYYMM(received_at)
ORDER BY (tenant, stream, seq, commitment_head)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Which deployment key this database was written with: a keyed mark that tells one key from another and nothing else. Of
-- several, the first is the right one.
CREATE TABLE IF NOT EXISTS {database}.deployment_key_rows {on_cluster}
(
    check_value String,
    recorded_at DateTime64(6, 'UTC')
)
ENGINE = {replicated}MergeTree
ORDER BY (recorded_at, check_value)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
