-- Events that the correlation dies of by a fault of its own, and therefore leaves out. One row for each, written again when its state
-- changes.
CREATE TABLE IF NOT EXISTS {database}.set_aside_rows {on_cluster}
(
    tenant LowCardinality(String),
    event_id UUID,
    source_id LowCardinality(String),
    time DateTime64(3, 'UTC'),
    kind LowCardinality(String),
    data_class LowCardinality(String),
    -- key of the account that it is about; empty: of nobody's
    person String,
    -- of the program that died of it: one with other rules tries again by itself
    rules LowCardinality(String),
    -- aside; again: somebody asked for another try; over: it is taken in
    state LowCardinality(String),
    recorded_at DateTime64(3, 'UTC')
)
ENGINE = {replicated}ReplacingMergeTree(recorded_at)
ORDER BY (tenant, event_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE OR REPLACE VIEW {database}.events_set_aside {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, event_id, source_id, time, kind, data_class, person, state, recorded_at
FROM {database}.set_aside_rows FINAL WHERE state != 'over';
