-- What the correlation says: who, in which session, by which token, held which right, and on what grounds each decision stood.
-- Rows are derived: any of them can be made anew from events. One row per row_id; the greatest version wins.
-- Sorted by person key (keyed hashes, never names) and time, so that one person's answers lie together.

-- Keycloak user sessions.
CREATE TABLE IF NOT EXISTS {database}.session_rows {on_cluster}
(
    tenant LowCardinality(String),
    -- person key, 32 hex digits; empty = nobody is known
    person String CODEC(ZSTD(1)),
    -- first sign of life
    at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    -- keyed hash of what identifies the row
    row_id FixedString(16) CODEC(NONE),
    -- owner's epoch * 2^40 + count within it: a frozen owner's late rows lose
    version UInt64 CODEC(Delta(8), ZSTD(1)),
    is_deleted UInt8 CODEC(ZSTD(1)),
    -- hash of the columns below: a row that says the same is not written again
    content UInt64 CODEC(ZSTD(1)),
    -- the event that changed an earlier answer; the zero id = first answer
    because UUID CODEC(ZSTD(1)),
    source_id LowCardinality(String),
    session_id String CODEC(ZSTD(3)),
    started_at Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    last_seen_at Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    ended_at Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    ended_by LowCardinality(String),
    clients Array(LowCardinality(String)) CODEC(ZSTD(1)),
    logins UInt32 CODEC(ZSTD(1)),
    refreshes UInt32 CODEC(ZSTD(1)),
    offline UInt8 CODEC(ZSTD(1)),
    active_after_end UInt8 CODEC(ZSTD(1)),
    -- personal
    impersonator String CODEC(ZSTD(3)),
    -- (time, access line of the callback, Backstage token's event; the zero id = refused)
    sign_ins Array(Tuple(DateTime64(3, 'UTC'), UUID, UUID)) CODEC(ZSTD(1)),
    INDEX by_session session_id TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = {replicated}ReplacingMergeTree(version, is_deleted)
ORDER BY (tenant, person, at, row_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Tokens that Keycloak issued: ids only.
CREATE TABLE IF NOT EXISTS {database}.token_rows {on_cluster}
(
    tenant LowCardinality(String),
    person String CODEC(ZSTD(1)),
    at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    row_id FixedString(16) CODEC(NONE),
    version UInt64 CODEC(Delta(8), ZSTD(1)),
    is_deleted UInt8 CODEC(ZSTD(1)),
    content UInt64 CODEC(ZSTD(1)),
    because UUID CODEC(ZSTD(1)),
    event_id UUID CODEC(NONE),
    session_id String CODEC(ZSTD(3)),
    client LowCardinality(String),
    issued_for LowCardinality(String),
    access_token_id String CODEC(ZSTD(3)),
    refresh_token_id String CODEC(ZSTD(3)),
    -- the event that issued the refresh token that was presented
    parent UUID CODEC(ZSTD(1)),
    reused UInt8 CODEC(ZSTD(1)),
    INDEX by_event event_id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX by_session session_id TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = {replicated}ReplacingMergeTree(version, is_deleted)
ORDER BY (tenant, person, at, row_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Tokens that Backstage issued.
CREATE TABLE IF NOT EXISTS {database}.credential_rows {on_cluster}
(
    tenant LowCardinality(String),
    person String CODEC(ZSTD(1)),
    at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    row_id FixedString(16) CODEC(NONE),
    version UInt64 CODEC(Delta(8), ZSTD(1)),
    is_deleted UInt8 CODEC(ZSTD(1)),
    content UInt64 CODEC(ZSTD(1)),
    because UUID CODEC(ZSTD(1)),
    event_id UUID CODEC(NONE),
    -- personal
    reference String CODEC(ZSTD(3)),
    -- the groups that were stored with it as owner claims; the first names the person
    claims Array(String) CODEC(ZSTD(3)),
    kind LowCardinality(String),
    session_id String CODEC(ZSTD(3)),
    cause UUID CODEC(ZSTD(1)),
    callback UUID CODEC(ZSTD(1)),
    sure UInt8 CODEC(ZSTD(1)),
    INDEX by_event event_id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX by_session session_id TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = {replicated}ReplacingMergeTree(version, is_deleted)
ORDER BY (tenant, person, at, row_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Person holds right over [held_from, held_to), directly.
CREATE TABLE IF NOT EXISTS {database}.grant_rows {on_cluster}
(
    tenant LowCardinality(String),
    person String CODEC(ZSTD(1)),
    at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    row_id FixedString(16) CODEC(NONE),
    version UInt64 CODEC(Delta(8), ZSTD(1)),
    is_deleted UInt8 CODEC(ZSTD(1)),
    content UInt64 CODEC(ZSTD(1)),
    because UUID CODEC(ZSTD(1)),
    right_kind LowCardinality(String),
    right_id String CODEC(ZSTD(3)),
    held_from Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    held_to Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    -- personal
    granted_by String CODEC(ZSTD(3)),
    -- personal
    removed_by String CODEC(ZSTD(3)),
    granted_in UUID CODEC(ZSTD(1)),
    removed_in UUID CODEC(ZSTD(1)),
    rests_on_gap UInt8 CODEC(ZSTD(1)),
    INDEX by_right right_id TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = {replicated}ReplacingMergeTree(version, is_deleted)
ORDER BY (tenant, person, at, row_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Permission decisions and audited calls, with their grounds.
CREATE TABLE IF NOT EXISTS {database}.decision_rows {on_cluster}
(
    tenant LowCardinality(String),
    person String CODEC(ZSTD(1)),
    at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    row_id FixedString(16) CODEC(NONE),
    version UInt64 CODEC(Delta(8), ZSTD(1)),
    is_deleted UInt8 CODEC(ZSTD(1)),
    content UInt64 CODEC(ZSTD(1)),
    because UUID CODEC(ZSTD(1)),
    event_id UUID CODEC(NONE),
    -- personal
    reference String CODEC(ZSTD(3)),
    permission LowCardinality(String),
    action LowCardinality(String),
    resource String CODEC(ZSTD(3)),
    outcome LowCardinality(String),
    final_outcome LowCardinality(String),
    verdict LowCardinality(String),
    -- between the change of the right and the decision
    delay_ms Nullable(Int64) CODEC(ZSTD(1)),
    clock LowCardinality(String),
    -- (Keycloak group, group above it that counts, Backstage group, Backstage role, policy, since when)
    support Array(Tuple(String, String, String, String, String, Nullable(DateTime64(3, 'UTC')))) CODEC(ZSTD(3)),
    stale_claims Array(String) CODEC(ZSTD(3)),
    session_id String CODEC(ZSTD(3)),
    credential_at Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    credential UUID CODEC(ZSTD(1)),
    candidates UInt32 CODEC(ZSTD(1)),
    grade LowCardinality(String),
    reasons Array(LowCardinality(String)) CODEC(ZSTD(1)),
    INDEX by_event event_id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX by_session session_id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX by_verdict verdict TYPE set(16) GRANULARITY 1
)
ENGINE = {replicated}ReplacingMergeTree(version, is_deleted)
ORDER BY (tenant, person, at, row_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Events that must have happened and are not there. Not to be confused with gap_rows, which are times of a source.
CREATE TABLE IF NOT EXISTS {database}.missing_event_rows {on_cluster}
(
    tenant LowCardinality(String),
    person String CODEC(ZSTD(1)),
    at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    row_id FixedString(16) CODEC(NONE),
    version UInt64 CODEC(Delta(8), ZSTD(1)),
    is_deleted UInt8 CODEC(ZSTD(1)),
    content UInt64 CODEC(ZSTD(1)),
    because UUID CODEC(ZSTD(1)),
    right_kind LowCardinality(String),
    right_id String CODEC(ZSTD(3)),
    missing LowCardinality(String),
    before DateTime64(3, 'UTC') CODEC(ZSTD(1)),
    evidence_after UUID CODEC(ZSTD(1)),
    evidence_before UUID CODEC(ZSTD(1)),
    causes Array(LowCardinality(String)) CODEC(ZSTD(1))
)
ENGINE = {replicated}ReplacingMergeTree(version, is_deleted)
ORDER BY (tenant, person, at, row_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Names of persons, as they were borne.
CREATE TABLE IF NOT EXISTS {database}.alias_rows {on_cluster}
(
    tenant LowCardinality(String),
    person String CODEC(ZSTD(1)),
    at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    row_id FixedString(16) CODEC(NONE),
    version UInt64 CODEC(Delta(8), ZSTD(1)),
    is_deleted UInt8 CODEC(ZSTD(1)),
    content UInt64 CODEC(ZSTD(1)),
    because UUID CODEC(ZSTD(1)),
    kind LowCardinality(String),
    -- personal
    name String CODEC(ZSTD(3)),
    -- Keycloak user id of usernames and e-mails; personal
    user_id String CODEC(ZSTD(3)),
    borne_from Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    borne_to Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1))
)
ENGINE = {replicated}ReplacingMergeTree(version, is_deleted)
ORDER BY (tenant, person, at, row_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Up to where the rows above follow the receipts: the owner's cursor, one row per stream; written after the rows.
CREATE TABLE IF NOT EXISTS {database}.correlated_rows {on_cluster}
(
    tenant LowCardinality(String),
    -- zeros: the owner's take-over
    stream FixedString(16),
    -- the first position that is not correlated
    next UInt64,
    epoch UInt64,
    recorded_at DateTime64(3, 'UTC')
)
ENGINE = {replicated}ReplacingMergeTree(recorded_at)
ORDER BY (tenant, stream, epoch)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Says that events of the past were changed or deleted (by a replay), so that the correlation reads them again.
CREATE TABLE IF NOT EXISTS {database}.past_change_rows {on_cluster}
(
    tenant LowCardinality(String),
    recorded_at DateTime64(3, 'UTC'),
    id UUID
)
ENGINE = {replicated}ReplacingMergeTree
ORDER BY (tenant, recorded_at, id)
TTL toDateTime(recorded_at) + INTERVAL 30 DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE OR REPLACE VIEW {database}.sessions {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, person, source_id, session_id, started_at, at AS first_seen_at, last_seen_at, ended_at, ended_by, clients, logins,
    refreshes, offline, active_after_end, impersonator, sign_ins, because, version
FROM {database}.session_rows FINAL;

CREATE OR REPLACE VIEW {database}.tokens {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, person, at AS issued_at, event_id, session_id, client, issued_for, access_token_id, refresh_token_id, parent, reused,
    because, version
FROM {database}.token_rows FINAL;

CREATE OR REPLACE VIEW {database}.credentials {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, person, at AS issued_at, event_id, reference, claims, kind, session_id, cause, callback, sure, because, version
FROM {database}.credential_rows FINAL;

CREATE OR REPLACE VIEW {database}.grants {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, person, right_kind, right_id, held_from, held_to, granted_by, removed_by, granted_in, removed_in, rests_on_gap,
    because, version
FROM {database}.grant_rows FINAL;

CREATE OR REPLACE VIEW {database}.decisions {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, person, at AS decided_at, event_id, reference, permission, action, resource, outcome, final_outcome, verdict, delay_ms,
    clock, support, stale_claims, session_id, credential_at, credential, candidates, grade, reasons, because, version
FROM {database}.decision_rows FINAL;

CREATE OR REPLACE VIEW {database}.missing_events {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, person, right_kind, right_id, missing, at AS after, before, evidence_after, evidence_before, causes, because, version
FROM {database}.missing_event_rows FINAL;

CREATE OR REPLACE VIEW {database}.aliases {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, person, kind, name, user_id, borne_from, borne_to, because, version
FROM {database}.alias_rows FINAL;

CREATE OR REPLACE VIEW {database}.persons {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT a.tenant AS tenant, a.person AS person,
    any(nullIf(a.user_id, '')) AS keycloak_user_id,
    argMaxIf(a.name, a.at, a.kind = 'username') AS username,
    argMaxIf(a.name, a.at, a.kind = 'email') AS email,
    arraySort(groupUniqArrayIf(a.name, a.kind = 'reference')) AS references
FROM {database}.alias_rows AS a FINAL
GROUP BY a.tenant, a.person;

CREATE OR REPLACE VIEW {database}.correlated {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT c.tenant AS tenant, lower(hex(c.stream)) AS stream, argMax(c.next, (c.epoch, c.recorded_at)) AS next,
    max(c.epoch) AS epoch, max(c.recorded_at) AS recorded_at
FROM {database}.correlated_rows AS c
GROUP BY c.tenant, c.stream;
