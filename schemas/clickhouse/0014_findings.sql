-- What the drift rules found, what became of it, and what was told to whom. Written by the processor that leads; changes also by people.

-- A finding as the rules say it now: one row per finding, the newest wins. Its id is made of tenant, rule and dedup key.
CREATE TABLE IF NOT EXISTS {database}.finding_rows {on_cluster}
(
    tenant LowCardinality(String),
    finding_id UUID CODEC(NONE),
    version UInt64 CODEC(Delta(8), ZSTD(1)),
    rule LowCardinality(String),
    rule_version UInt32,
    -- person key, 32 hex digits; empty = no person
    person String CODEC(ZSTD(1)),
    severity LowCardinality(String),
    confidence LowCardinality(String),
    -- when it began, and when it was last seen
    first_at DateTime64(3, 'UTC'),
    last_at DateTime64(3, 'UTC'),
    -- JSON object of numbers and words; no personal value
    detail String CODEC(ZSTD(1)),
    evidence Array(UUID) CODEC(ZSTD(1)),
    -- STREAM/SEQ of each event of the evidence that is stored
    receipts Array(String) CODEC(ZSTD(1)),
    content UInt64
)
ENGINE = {replicated}ReplacingMergeTree(version)
ORDER BY (tenant, finding_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Every change of a finding: who, when, why. Append only; a change that is written twice has one id.
CREATE TABLE IF NOT EXISTS {database}.finding_change_rows {on_cluster}
(
    tenant LowCardinality(String),
    finding_id UUID CODEC(NONE),
    change_id UUID CODEC(NONE),
    changed_at DateTime64(3, 'UTC'),
    -- opened, ended, withdrawn, reopened by the rules; acknowledged, closed, suppressed by people
    what LowCardinality(String),
    -- `rules`, or the name that the operator gave; personal
    actor String CODEC(ZSTD(1)),
    reason String CODEC(ZSTD(1)),
    -- end of a suppression
    until Nullable(DateTime64(3, 'UTC'))
)
ENGINE = {replicated}ReplacingMergeTree
ORDER BY (tenant, finding_id, change_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- How each rule stood, written when that changes.
CREATE TABLE IF NOT EXISTS {database}.rule_state_rows {on_cluster}
(
    tenant LowCardinality(String),
    rule LowCardinality(String),
    since DateTime64(3, 'UTC'),
    -- OK, EXCEPTION, NOT EVALUABLE, DISABLED
    state LowCardinality(String),
    rule_version UInt32,
    open UInt32,
    detail String CODEC(ZSTD(1))
)
ENGINE = {replicated}ReplacingMergeTree
ORDER BY (tenant, rule, since)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Messages to receivers: written before the first attempt, so that a restart sends the same one again under the same id.
CREATE TABLE IF NOT EXISTS {database}.alert_message_rows {on_cluster}
(
    tenant LowCardinality(String),
    receiver LowCardinality(String),
    message_id UUID CODEC(NONE),
    -- 1 = to be delivered, 2 = delivered
    version UInt8,
    created_at DateTime64(3, 'UTC'),
    delivered_at Nullable(DateTime64(3, 'UTC')),
    -- (finding, `firing` or `resolved`)
    items Array(Tuple(UUID, String)) CODEC(ZSTD(1)),
    body String CODEC(ZSTD(3))
)
ENGINE = {replicated}ReplacingMergeTree(version)
ORDER BY (tenant, receiver, message_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE OR REPLACE VIEW {database}.finding_changes {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, finding_id, change_id, changed_at, what, actor, reason, until
FROM {database}.finding_change_rows FINAL;

CREATE OR REPLACE VIEW {database}.rule_states {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT r.tenant AS tenant, r.rule AS rule, max(r.since) AS since_at, argMax(toString(r.state), r.since) AS state,
    argMax(r.rule_version, r.since) AS rule_version, argMax(r.open, r.since) AS open, argMax(r.detail, r.since) AS detail
FROM {database}.rule_state_rows AS r
GROUP BY r.tenant, r.rule;

CREATE OR REPLACE VIEW {database}.findings {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT f.tenant AS tenant, f.finding_id AS finding_id, toString(f.rule) AS rule, f.rule_version AS rule_version, f.person AS person,
    toString(f.severity) AS severity, toString(f.confidence) AS confidence, f.first_at AS first_at, f.last_at AS last_at,
    f.detail AS detail, f.evidence AS evidence, f.receipts AS receipts, f.content AS content,
    c.opened_at AS opened_at, c.standing AS standing, c.handling AS handling, c.changes AS changes, c.changed_at AS changed_at,
    c.owner AS owner, c.suppressed_until AS suppressed_until,
    multiIf(c.standing = 'withdrawn', 'WITHDRAWN', c.handling = 'closed', 'CLOSED',
        ifNull(c.suppressed_until > now64(3), 0), 'SUPPRESSED', c.standing = 'ended', 'ENDED',
        c.handling = 'acknowledged', 'ACKNOWLEDGED', 'OPEN') AS state
FROM (SELECT * FROM {database}.finding_rows FINAL) AS f
LEFT JOIN
(
    SELECT tenant, finding_id,
        minIf(changed_at, what = 'opened') AS opened_at,
        argMaxIf(multiIf(what IN ('opened', 'reopened'), 'open', toString(what)), changed_at, actor = 'rules') AS standing,
        -- what the rules find again after it was closed stands again
        if(maxIf(changed_at, what = 'reopened') > maxIf(changed_at, what IN ('acknowledged', 'closed')), '',
            argMaxIf(toString(what), changed_at, what IN ('acknowledged', 'closed'))) AS handling,
        argMaxIf(until, changed_at, what = 'suppressed') AS suppressed_until,
        argMaxIf(actor, changed_at, what IN ('acknowledged', 'closed', 'suppressed')) AS owner,
        countIf(actor = 'rules') AS changes,
        max(changed_at) AS changed_at
    FROM {database}.finding_change_rows FINAL
    GROUP BY tenant, finding_id
) AS c ON f.tenant = c.tenant AND f.finding_id = c.finding_id;
