-- What people, dashboards and reports read. Every view is right over rows that were written twice, in any order, or
-- by several normalisers. Readers have rights on these views only; the views read with the rights of their maker.

-- Current receipts.
CREATE OR REPLACE VIEW {database}.receipts {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT * FROM {database}.receipt_rows FINAL;

-- Positions that hold more than one commitment: somebody wrote history twice.
CREATE OR REPLACE VIEW {database}.contested_receipts {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, stream, seq, count() AS commitments
FROM {database}.receipts GROUP BY tenant, stream, seq HAVING commitments > 1;

-- The definition of the one fate of every receipt, counted over all of them: received = stored + duplicate + ignored +
-- dead. Of several receipts of one event the first received is `stored` (at the same millisecond: the first of the inputs
-- in the order of `events`), the rest are `duplicate`. An event is told by its id and its minute (or its delivery): a
-- receipt that dates an event into another minute contradicts it, is kept beside it and counted as `stored` beside it.
-- possible_duplicate is not a fate: it counts receipts that nothing can tell from a repeat: without the source's own id,
-- without the sender's key and, for lines, without a time of their own. People read `fates`, which says the same at once.
CREATE OR REPLACE VIEW {database}.fates_recounted {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT
    f.tenant AS tenant, f.source_id AS source_id, f.input AS input,
    sum(f.received) AS received, sum(f.stored) AS stored, sum(f.duplicate) AS duplicate,
    sum(f.ignored) AS ignored, sum(f.dead) AS dead,
    sum(f.possible_duplicate) AS possible_duplicate,
    sumMap(f.reasons) AS reasons,
    max(f.last_received_at) AS last_received_at
FROM
(
    SELECT tenant, source_id, tupleElement(part, 1) AS input,
        sum(tupleElement(part, 2)) AS received,
        countIf(tupleElement(part, 1) = first_input) AS stored,
        toUInt64(received - stored) AS duplicate,
        toUInt64(0) AS ignored, toUInt64(0) AS dead, toUInt64(0) AS possible_duplicate,
        CAST(map(), 'Map(String, UInt64)') AS reasons,
        max(tupleElement(part, 3)) AS last_received_at
    FROM
    (
        SELECT tenant, source_id, event_id,
            argMin(toString(input), (received_at, indexOf(['webhook', 'pull', 'lines', 'import', 'snapshot', 'operator', 'collector', 'heartbeat'], toString(input)))) AS first_input,
            groupArray((toString(input), received_at)) AS each,
            arrayMap(x -> (x, countEqual(each.1, x), arrayMax(arrayMap(y -> if(y.1 = x, y.2, fromUnixTimestamp64Milli(toInt64(0), 'UTC')), each))),
                arrayDistinct(each.1)) AS parts
        FROM {database}.receipts
        WHERE fate = 'event'
        GROUP BY tenant, source_id, event_id, if(delivery_cell = 0, minute, delivery_cell)
    )
    ARRAY JOIN parts AS part
    GROUP BY tenant, source_id, input
    UNION ALL
    SELECT tenant, source_id, toString(input),
        count() AS received, toUInt64(0), toUInt64(0),
        countIf(fate = 'ignored'), countIf(fate = 'dead'), toUInt64(0),
        sumMap(map(toString(reason), toUInt64(1))),
        max(received_at)
    FROM {database}.receipts
    WHERE fate != 'event'
    GROUP BY tenant, source_id, input
    UNION ALL
    SELECT tenant, source_id, toString(input),
        toUInt64(0), toUInt64(0), toUInt64(0), toUInt64(0), toUInt64(0),
        count(),
        CAST(map(), 'Map(String, UInt64)'),
        max(received_at)
    FROM {database}.receipts
    WHERE fate = 'event' AND native_id = '' AND delivery_keyed = 0 AND (line = 0 OR line_time_ns IS NULL OR line_backlog = 1)
    GROUP BY tenant, source_id, input
) AS f
GROUP BY f.tenant, f.source_id, f.input;

-- Receipts that could not be understood. A later normaliser that understands one takes it off this list.
CREATE OR REPLACE VIEW {database}.dead_letters {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, lower(hex(stream)) AS stream, seq, lower(hex(commitment)) AS commitment, source_id, source_kind, input, payload, reason, received_at, native_id, normaliser
FROM {database}.receipts WHERE fate = 'dead';

-- The definition of each stream's completeness: seqs are dense from 0, so seqs = last_seq + 1 when nothing is missing.
-- People read `streams`, which says the same at once.
CREATE OR REPLACE VIEW {database}.streams_recounted {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, lower(hex(stream)) AS stream, min(seq) AS first_seq, max(seq) AS last_seq, uniqExact(seq) AS seqs, toUInt64(count() - seqs) AS contested,
    min(received_at) AS first_received_at, max(received_at) AS last_received_at
FROM {database}.receipts GROUP BY tenant, receipts.stream;

CREATE OR REPLACE VIEW {database}.watermarks {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT * FROM {database}.watermark_rows FINAL;

CREATE OR REPLACE VIEW {database}.gaps {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT * FROM {database}.gap_rows FINAL;
