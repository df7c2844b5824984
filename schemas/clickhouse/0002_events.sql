-- What receipts say: one row per event and input. Read the views `events` and `events_in`, never this table: rows of
-- replays and older normalisers stay until a merge. No personal value is in the sort key or an index on names.
CREATE TABLE IF NOT EXISTS {database}.event_rows {on_cluster}
(
    tenant LowCardinality(String),
    source_id LowCardinality(String),
    time DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    event_id UUID CODEC(NONE),
    input LowCardinality(String),
    -- normaliser * 2^48 + (2^48 - 1 - received_at): the newest normaliser wins, then the earliest receipt, whatever
    -- the order of arrival. The views read both values back from here.
    version UInt64 CODEC(Delta(8), ZSTD(1)),
    -- 1 = a later normaliser no longer yields this event
    is_deleted UInt8 CODEC(ZSTD(1)),
    source_kind LowCardinality(String),
    kind LowCardinality(String),
    native_type LowCardinality(String),
    native_id String CODEC(ZSTD(1)),
    data_class LowCardinality(String),
    -- time - time_min and time_max - time
    earlier_ms Int64 CODEC(ZSTD(1)),
    later_ms Int64 CODEC(ZSTD(1)),
    time_basis LowCardinality(String),
    outcome LowCardinality(String),
    realm LowCardinality(String),
    realm_id LowCardinality(String),
    -- person keys as bytes; zeros = none
    person FixedString(16) CODEC(ZSTD(1)),
    person_id String CODEC(ZSTD(1)),
    person_name String CODEC(ZSTD(1)),
    person_email String CODEC(ZSTD(1)),
    -- columns that repeat another one are left empty and named here:
    -- 1 code_id = session_id, 2 actor = person, 4 actor_id = person_id, 8 actor_name = person_name
    same UInt8 CODEC(ZSTD(1)),
    actor FixedString(16) CODEC(ZSTD(1)),
    actor_kind LowCardinality(String),
    actor_id String CODEC(ZSTD(1)),
    actor_name String CODEC(ZSTD(1)),
    client LowCardinality(String),
    session_id String CODEC(ZSTD(1)),
    code_id String CODEC(ZSTD(1)),
    token_id String CODEC(ZSTD(1)),
    refresh_token_id String CODEC(ZSTD(1)),
    new_refresh_token_id String CODEC(ZSTD(1)),
    ip String CODEC(ZSTD(1)),
    user_agent String CODEC(ZSTD(1)),
    right_kind LowCardinality(String),
    right_id String CODEC(ZSTD(1)),
    right_name String CODEC(ZSTD(1)),
    right_change LowCardinality(String),
    holder_kind LowCardinality(String),
    holder_id String CODEC(ZSTD(1)),
    resource_kind LowCardinality(String),
    resource String CODEC(ZSTD(1)),
    permission LowCardinality(String),
    action LowCardinality(String),
    owner_refs Array(String) CODEC(ZSTD(1)),
    error LowCardinality(String),
    details Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    personal Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    stream FixedString(16) CODEC(ZSTD(1)),
    seq UInt64 CODEC(Delta(8), ZSTD(1)),
    ordinal UInt32 CODEC(ZSTD(1)),
    INDEX by_event event_id TYPE bloom_filter(0.025) GRANULARITY 1,
    INDEX by_session session_id TYPE bloom_filter(0.025) GRANULARITY 1,
    INDEX by_code code_id TYPE bloom_filter(0.025) GRANULARITY 1,
    INDEX by_token token_id TYPE bloom_filter(0.025) GRANULARITY 1,
    INDEX by_refresh refresh_token_id TYPE bloom_filter(0.025) GRANULARITY 1,
    INDEX by_new_refresh new_refresh_token_id TYPE bloom_filter(0.025) GRANULARITY 1,
    INDEX by_person person TYPE bloom_filter(0.025) GRANULARITY 1,
    INDEX by_actor actor TYPE bloom_filter(0.025) GRANULARITY 1,
    -- a replay asks what stands by a page of one stream: in the order of time, neighbours in a stream lie close together
    INDEX by_seq seq TYPE minmax GRANULARITY 1
)
ENGINE = {replicated}ReplacingMergeTree(version, is_deleted)
PARTITION BY toYYYYMM(time)
ORDER BY (tenant, source_id, time, event_id, input)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
