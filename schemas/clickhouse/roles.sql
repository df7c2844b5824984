-- Rights on a real ClickHouse server (>= 26.3), run once by an administrator; replace the passwords. The embedded engine
-- makes the same users by itself. `tokentrail` stands for the database name.
CREATE USER IF NOT EXISTS tokentrail IDENTIFIED WITH sha256_password BY 'replace me';
GRANT ALL ON tokentrail.* TO tokentrail;
GRANT TABLE ENGINE ON * TO tokentrail;

-- Dashboards and auditors: the views and nothing else. Run this part again after an upgrade that adds views.
CREATE ROLE IF NOT EXISTS tokentrail_read;
GRANT SELECT ON tokentrail.events TO tokentrail_read;
GRANT SELECT ON tokentrail.events_in TO tokentrail_read;
GRANT SELECT ON tokentrail.event_inputs TO tokentrail_read;
GRANT SELECT ON tokentrail.event_inputs_in TO tokentrail_read;
GRANT SELECT ON tokentrail.receipts TO tokentrail_read;
GRANT SELECT ON tokentrail.contested_receipts TO tokentrail_read;
GRANT SELECT ON tokentrail.fates TO tokentrail_read;
GRANT SELECT ON tokentrail.fates_recounted TO tokentrail_read;
GRANT SELECT ON tokentrail.cells TO tokentrail_read;
GRANT SELECT ON tokentrail.cells_recounted TO tokentrail_read;
GRANT SELECT ON tokentrail.cell_events TO tokentrail_read;
GRANT SELECT ON tokentrail.cell_receipts TO tokentrail_read;
GRANT SELECT ON tokentrail.open_cells TO tokentrail_read;
GRANT SELECT ON tokentrail.dead_letters TO tokentrail_read;
GRANT SELECT ON tokentrail.line_counts TO tokentrail_read;
GRANT SELECT ON tokentrail.streams TO tokentrail_read;
GRANT SELECT ON tokentrail.streams_recounted TO tokentrail_read;
GRANT SELECT ON tokentrail.stream_cells TO tokentrail_read;
GRANT SELECT ON tokentrail.stream_cells_recounted TO tokentrail_read;
GRANT SELECT ON tokentrail.watermarks TO tokentrail_read;
GRANT SELECT ON tokentrail.coverage TO tokentrail_read;
GRANT SELECT ON tokentrail.heartbeats TO tokentrail_read;
GRANT SELECT ON tokentrail.gaps TO tokentrail_read;
GRANT SELECT ON tokentrail.claims TO tokentrail_read;
GRANT SELECT ON tokentrail.persons TO tokentrail_read;
GRANT SELECT ON tokentrail.aliases TO tokentrail_read;
GRANT SELECT ON tokentrail.sessions TO tokentrail_read;
GRANT SELECT ON tokentrail.tokens TO tokentrail_read;
GRANT SELECT ON tokentrail.credentials TO tokentrail_read;
GRANT SELECT ON tokentrail.grants TO tokentrail_read;
GRANT SELECT ON tokentrail.decisions TO tokentrail_read;
GRANT SELECT ON tokentrail.missing_events TO tokentrail_read;
GRANT SELECT ON tokentrail.correlated TO tokentrail_read;
GRANT SELECT ON tokentrail.snapshot_events TO tokentrail_read;
GRANT SELECT ON tokentrail.snapshots TO tokentrail_read;
GRANT SELECT ON tokentrail.snapshot_areas TO tokentrail_read;
GRANT SELECT ON tokentrail.snapshot_entries TO tokentrail_read;
GRANT SELECT ON tokentrail.snapshot_states TO tokentrail_read;
GRANT SELECT ON tokentrail.snapshot_absences TO tokentrail_read;
GRANT SELECT ON tokentrail.deviations_in TO tokentrail_read;
GRANT SELECT ON tokentrail.judged_in TO tokentrail_read;
GRANT SELECT ON tokentrail.exposures_in TO tokentrail_read;
GRANT SELECT ON tokentrail.changes_in TO tokentrail_read;
GRANT SELECT ON tokentrail.logins_in TO tokentrail_read;
GRANT SELECT ON tokentrail.continuity_in TO tokentrail_read;
GRANT SELECT ON tokentrail.rights_of TO tokentrail_read;
GRANT SELECT ON tokentrail.history_of TO tokentrail_read;
GRANT SELECT ON tokentrail.snapshots_in TO tokentrail_read;

CREATE USER IF NOT EXISTS tokentrail_reader IDENTIFIED WITH sha256_password BY 'replace me' SETTINGS readonly = 2, max_execution_time = 60;
GRANT tokentrail_read TO tokentrail_reader;
