-- Times for which an operator says that an import holds everything of a kind that happened at the source. A word, not a
-- proof: a gap is repaired by it only where no heartbeat speaks against it.
CREATE TABLE IF NOT EXISTS {database}.claim_rows {on_cluster}
(
    tenant LowCardinality(String),
    source_id LowCardinality(String),
    -- realm or instance; empty = all of the source
    scope LowCardinality(String),
    -- user_events, admin_events or lines
    held LowCardinality(String),
    since DateTime64(3, 'UTC'),
    until DateTime64(3, 'UTC'),
    recorded_at DateTime64(3, 'UTC')
)
ENGINE = {replicated}ReplacingMergeTree(recorded_at)
ORDER BY (tenant, source_id, since, until, scope, held)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Each claim once, with when it was said first.
CREATE OR REPLACE VIEW {database}.claims {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT c.tenant AS tenant, c.source_id AS source_id, c.scope AS scope, c.held AS held, c.since AS since, c.until AS until,
    min(c.recorded_at) AS recorded_at
FROM {database}.claim_rows AS c
GROUP BY c.tenant, c.source_id, c.scope, c.held, c.since, c.until;
