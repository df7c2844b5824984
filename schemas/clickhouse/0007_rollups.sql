-- Counts that are kept, so that nobody adds up all receipts at each question. A cell is what is counted together: the
-- receipts of a source that fall into one minute (or share a delivery's key), or 65,536 positions of a stream. A cell
-- with an open mark is counted from its receipts at each question; any other is read from the row that was rolled up
-- after its last mark. So the answer is of now, whenever it is asked and wherever a crash left the rest.

-- Marks are written before receipts that change a cell, and settled after the cell was rolled up.
CREATE TABLE IF NOT EXISTS {database}.mark_rows {on_cluster}
(
    tenant LowCardinality(String),
    -- zeros for a cell of a source
    stream FixedString(16) CODEC(ZSTD(1)),
    -- empty for a cell of a stream
    source_id LowCardinality(String),
    cell UInt32 CODEC(Delta(4), ZSTD(1)),
    -- one run of a program; its marks are its own
    writer UInt64 CODEC(ZSTD(1)),
    -- microseconds; grows with each row of a writer, and a settled row is one above the row that it settles
    version UInt64 CODEC(Delta(8), ZSTD(1)),
    -- 0 settled, 1 open, 2 closed: the writer has its acknowledgements and will not come back unmarked
    state UInt8 CODEC(ZSTD(1)),
    marked_at DateTime('UTC') CODEC(Delta(4), ZSTD(1))
)
ENGINE = {replicated}ReplacingMergeTree(version)
ORDER BY (tenant, stream, source_id, cell, writer)
-- a settled mark is only in the way; should an open one show again because of it, it is settled again
TTL marked_at + INTERVAL 5 MINUTE DELETE WHERE state = 0
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, merge_with_ttl_timeout = 60;

-- One row per cell and input. `events` are the receipts with fate `event`; `alone` the events of the cell that this
-- input alone brought, of webhook and pull; `both`, in the row of the webhook, those that both brought.
CREATE TABLE IF NOT EXISTS {database}.rollup_rows {on_cluster}
(
    tenant LowCardinality(String),
    source_id LowCardinality(String),
    cell UInt32 CODEC(Delta(4), ZSTD(1)),
    input LowCardinality(String),
    version UInt64 CODEC(Delta(8), ZSTD(1)),
    events UInt64 CODEC(T64, ZSTD(1)),
    stored UInt64 CODEC(T64, ZSTD(1)),
    ignored UInt64 CODEC(T64, ZSTD(1)),
    dead UInt64 CODEC(T64, ZSTD(1)),
    possible_duplicate UInt64 CODEC(T64, ZSTD(1)),
    alone UInt64 CODEC(T64, ZSTD(1)),
    both UInt64 CODEC(T64, ZSTD(1)),
    reasons Map(LowCardinality(String), UInt64) CODEC(ZSTD(1)),
    last_received_at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1))
)
ENGINE = {replicated}ReplacingMergeTree(version)
ORDER BY (tenant, source_id, cell, input)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- One row per 65,536 positions of a stream.
CREATE TABLE IF NOT EXISTS {database}.stream_rollup_rows {on_cluster}
(
    tenant LowCardinality(String),
    stream FixedString(16) CODEC(ZSTD(1)),
    cell UInt32 CODEC(Delta(4), ZSTD(1)),
    version UInt64 CODEC(Delta(8), ZSTD(1)),
    first_seq UInt64 CODEC(Delta(8), ZSTD(1)),
    last_seq UInt64 CODEC(Delta(8), ZSTD(1)),
    seqs UInt64 CODEC(T64, ZSTD(1)),
    contested UInt64 CODEC(T64, ZSTD(1)),
    first_received_at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    last_received_at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1))
)
ENGINE = {replicated}ReplacingMergeTree(version)
ORDER BY (tenant, stream, cell)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Cells whose rolled up row may be old.
CREATE OR REPLACE VIEW {database}.open_cells {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT DISTINCT tenant, stream, source_id, cell FROM {database}.mark_rows FINAL WHERE state != 0;

-- Events per cell: the first receipt as one number, milliseconds * 16 + the input's place in the list, and the ways that
-- brought it: 1 webhook, 2 pull, 3 both. Only with a condition on `cell`: without one it reads everything.
CREATE OR REPLACE VIEW {database}.cell_events {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, source_id, minute AS cell, event_id,
    min(toUnixTimestamp64Milli(received_at) * 16 + indexOf(['webhook', 'pull', 'lines', 'import', 'snapshot', 'operator', 'collector', 'heartbeat'], toString(input))) AS first,
    groupBitOr(transform(toString(input), ['webhook', 'pull'], [1, 2], 0)) AS ways
FROM {database}.receipt_rows FINAL WHERE delivery_cell = 0 AND fate = 'event'
GROUP BY tenant, source_id, minute, event_id
UNION ALL
SELECT tenant, source_id, delivery_cell AS cell, event_id,
    min(toUnixTimestamp64Milli(received_at) * 16 + indexOf(['webhook', 'pull', 'lines', 'import', 'snapshot', 'operator', 'collector', 'heartbeat'], toString(input))) AS first,
    groupBitOr(transform(toString(input), ['webhook', 'pull'], [1, 2], 0)) AS ways
FROM {database}.receipt_rows FINAL WHERE delivery_cell >= 2147483648 AND fate = 'event'
GROUP BY tenant, source_id, delivery_cell, event_id;

-- Receipts per cell, input and fate. Only with a condition on `cell`.
CREATE OR REPLACE VIEW {database}.cell_receipts {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, source_id, minute AS cell, toString(input) AS input, toString(fate) AS fate, toString(reason) AS reason,
    count() AS n, max(received_at) AS last_received_at,
    countIf(fate = 'event' AND native_id = '' AND delivery_keyed = 0 AND (line = 0 OR line_time_ns IS NULL OR line_backlog = 1)) AS unclear
FROM {database}.receipt_rows FINAL WHERE delivery_cell = 0
GROUP BY tenant, source_id, minute, input, fate, reason
UNION ALL
SELECT tenant, source_id, delivery_cell AS cell, toString(input) AS input, toString(fate) AS fate, toString(reason) AS reason,
    count() AS n, max(received_at) AS last_received_at, toUInt64(0) AS unclear
FROM {database}.receipt_rows FINAL WHERE delivery_cell >= 2147483648
GROUP BY tenant, source_id, delivery_cell, input, fate, reason;

-- Cells of sources, counted from their receipts. Only with a condition on `cell`.
CREATE OR REPLACE VIEW {database}.cells_recounted {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT c.tenant AS tenant, c.source_id AS source_id, c.cell AS cell, c.input AS input,
    sum(c.events) AS events, sum(c.stored) AS stored, sum(c.ignored) AS ignored, sum(c.dead) AS dead,
    sum(c.possible_duplicate) AS possible_duplicate, sum(c.alone) AS alone, sum(c.both) AS both,
    sumMap(c.reasons) AS reasons, max(c.last_received_at) AS last_received_at
FROM
(
    SELECT tenant, source_id, cell, input,
        if(fate = 'event', n, 0) AS events, toUInt64(0) AS stored,
        if(fate = 'ignored', n, 0) AS ignored, if(fate = 'dead', n, 0) AS dead,
        unclear AS possible_duplicate, toUInt64(0) AS alone, toUInt64(0) AS both,
        if(fate = 'event', CAST(map(), 'Map(String, UInt64)'), map(reason, n)) AS reasons,
        last_received_at
    FROM {database}.cell_receipts
    UNION ALL
    SELECT tenant, source_id, cell, tupleElement(share, 1),
        toUInt64(0), tupleElement(share, 2), toUInt64(0), toUInt64(0), toUInt64(0), tupleElement(share, 3), tupleElement(share, 4),
        CAST(map(), 'Map(String, UInt64)'), fromUnixTimestamp64Milli(toInt64(0), 'UTC')
    FROM
    (
        SELECT tenant, source_id, cell, positiveModulo(first, 16) AS place, ways, count() AS n
        FROM {database}.cell_events GROUP BY tenant, source_id, cell, place, ways
    )
    ARRAY JOIN arrayConcat(
        [(['webhook', 'pull', 'lines', 'import', 'snapshot', 'operator', 'collector', 'heartbeat'][place], n, toUInt64(0), toUInt64(0))],
        if(ways = 0, [], [(if(ways = 2, 'pull', 'webhook'), toUInt64(0), if(ways = 3, 0, n), if(ways = 3, n, 0))])) AS share
) AS c
GROUP BY c.tenant, c.source_id, c.cell, c.input;

-- Cells of sources as they are now.
CREATE OR REPLACE VIEW {database}.cells {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, source_id, cell, toString(input) AS input, events, stored, ignored, dead, possible_duplicate, alone, both,
    CAST(reasons, 'Map(String, UInt64)') AS reasons, last_received_at
FROM {database}.rollup_rows FINAL
-- the first says yes to nearly all and is cheaper
WHERE cell NOT IN (SELECT cell FROM {database}.open_cells WHERE stream = toFixedString('', 16))
   OR (tenant, source_id, cell) NOT IN (SELECT tenant, source_id, cell FROM {database}.open_cells WHERE stream = toFixedString('', 16))
UNION ALL
SELECT tenant, source_id, cell, input, events, stored, ignored, dead, possible_duplicate, alone, both, reasons, last_received_at
FROM {database}.cells_recounted
WHERE (tenant, source_id, cell) IN (SELECT tenant, source_id, cell FROM {database}.open_cells WHERE stream = toFixedString('', 16));

-- The one fate of every receipt, counted: received = stored + duplicate + ignored + dead, as `fates_recounted` defines it.
CREATE OR REPLACE VIEW {database}.fates {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, source_id, input,
    sum(c.events) + sum(c.ignored) + sum(c.dead) AS received, sum(c.stored) AS stored, toUInt64(sum(c.events) - sum(c.stored)) AS duplicate,
    sum(c.ignored) AS ignored, sum(c.dead) AS dead, sum(c.possible_duplicate) AS possible_duplicate,
    sumMapIf(c.reasons, notEmpty(c.reasons)) AS reasons, max(c.last_received_at) AS last_received_at
FROM {database}.cells AS c
GROUP BY tenant, source_id, input HAVING received > 0;

-- Cells of streams, counted from their receipts.
CREATE OR REPLACE VIEW {database}.stream_cells_recounted {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, stream, intDiv(seq, 65536) AS cell, min(seq) AS first_seq, max(seq) AS last_seq,
    uniqExact(seq) AS seqs, toUInt64(count() - uniqExact(seq)) AS contested,
    min(received_at) AS first_received_at, max(received_at) AS last_received_at
FROM {database}.receipt_rows FINAL
GROUP BY tenant, stream, cell;

-- Cells of streams as they are now.
CREATE OR REPLACE VIEW {database}.stream_cells {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, stream, toUInt64(cell) AS cell, first_seq, last_seq, seqs, contested, first_received_at, last_received_at
FROM {database}.stream_rollup_rows FINAL
WHERE (tenant, stream, cell) NOT IN (SELECT tenant, stream, cell FROM {database}.open_cells WHERE stream != toFixedString('', 16))
UNION ALL
SELECT tenant, stream, cell, first_seq, last_seq, seqs, contested, first_received_at, last_received_at
FROM {database}.stream_cells_recounted
WHERE (tenant, stream, cell) IN (SELECT tenant, stream, toUInt64(cell) FROM {database}.open_cells WHERE stream != toFixedString('', 16));

-- Completeness of each stream, as `streams_recounted` defines it.
CREATE OR REPLACE VIEW {database}.streams {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, lower(hex(s.stream)) AS stream, min(s.first_seq) AS first_seq, max(s.last_seq) AS last_seq,
    sum(s.seqs) AS seqs, sum(s.contested) AS contested,
    min(s.first_received_at) AS first_received_at, max(s.last_received_at) AS last_received_at
FROM {database}.stream_cells AS s
GROUP BY tenant, s.stream;
