-- The state of the correlation, so that a start reads only what came after it. Written in chunks, sealed last; what has no seal,
-- lacks a chunk or has another digest is not read. A partition is one checkpoint: an old one is dropped as a whole.

-- Holds everything that the correlation knows: names too. Personal. No view, no reader's right.
CREATE TABLE IF NOT EXISTS {database}.checkpoint_chunk_rows {on_cluster}
(
    tenant LowCardinality(String),
    -- version up to which the correlation's rows are those of this state
    number UInt64 CODEC(ZSTD(1)),
    -- one attempt to write it
    id UUID CODEC(ZSTD(1)),
    -- from 0, without holes
    chunk UInt32 CODEC(ZSTD(1)),
    bytes String CODEC(ZSTD(1))
)
ENGINE = {replicated}ReplacingMergeTree
PARTITION BY (tenant, number)
ORDER BY (tenant, number, id, chunk)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS {database}.checkpoint_seal_rows {on_cluster}
(
    tenant LowCardinality(String),
    number UInt64,
    id UUID,
    -- format, rules and configuration of the program that wrote it, as one mark
    made_by String,
    -- the last change of the past that is in it, milliseconds; least number: none
    past Int64,
    chunks UInt32,
    -- of all chunks before compression
    size UInt64,
    -- SHA-256 of id and chunks
    digest FixedString(32),
    recorded_at DateTime64(3, 'UTC')
)
ENGINE = {replicated}ReplacingMergeTree
PARTITION BY (tenant, number)
ORDER BY (tenant, number, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
