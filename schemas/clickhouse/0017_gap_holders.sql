-- Whose right a missing event changed, where that is no person: id of a Keycloak group or role, reference of a Backstage group
-- or role. Empty for a person's.
ALTER TABLE {database}.missing_event_rows {on_cluster} ADD COLUMN IF NOT EXISTS holder String CODEC(ZSTD(3)) AFTER right_id;

CREATE OR REPLACE VIEW {database}.missing_events {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, person, holder, right_kind, right_id, missing, at AS after, before, evidence_after, evidence_before, causes, because,
    version
FROM {database}.missing_event_rows FINAL;
