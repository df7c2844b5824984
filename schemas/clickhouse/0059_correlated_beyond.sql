-- A number that is missing in a stream holds up what is said of those before it, and nothing of those behind it: each number that is taken in is told,
-- and none that is not.

-- Ranges [first, end) behind `next` that are in the rows too; the largest where there are many.
ALTER TABLE {database}.correlated_rows {on_cluster} ADD COLUMN IF NOT EXISTS beyond Array(Tuple(UInt64, UInt64)) DEFAULT [] CODEC(ZSTD(1));
-- How many numbers are in the rows, those that `beyond` has no room for as well.
ALTER TABLE {database}.correlated_rows {on_cluster} ADD COLUMN IF NOT EXISTS taken UInt64 DEFAULT next;

-- As before, with both.
CREATE OR REPLACE VIEW {database}.correlated {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, stream, told.1 AS next, epoch, recorded_at, told.2 AS beyond, told.3 AS taken
FROM
(
    SELECT c.tenant AS tenant, lower(hex(c.stream)) AS stream, argMax((c.next, c.beyond, c.taken), (c.epoch, c.recorded_at)) AS told,
        max(c.epoch) AS epoch, max(c.recorded_at) AS recorded_at
    FROM {database}.correlated_rows AS c
    GROUP BY c.tenant, c.stream
);
