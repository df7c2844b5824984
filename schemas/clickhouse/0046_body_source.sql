-- Whose a body is: so that the bodies of one source can be kept for a time of their own, or erased, without a look at the receipts. Not in
-- the sort key, which cannot change. Empty in rows that are older than this column: their receipts have it.
ALTER TABLE {database}.raw_bodies {on_cluster} ADD COLUMN IF NOT EXISTS source_id LowCardinality(String);
