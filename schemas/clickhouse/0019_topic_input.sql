-- The input `kafka`: records of a topic that a Keycloak's listener writes. It counts as a push, like a webhook, and its word comes
-- after the webhook's and before that of pull. Each view is the one of before but for the lists of inputs, and, in cells, for
-- the row of a push: that of the webhook if it was among them, else that of the topic.

-- The word of each input on each event: the newest normaliser's, one row.
CREATE OR REPLACE VIEW {database}.event_inputs {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT
    r.tenant AS tenant, r.source_id AS source_id, r.event_id AS event_id, r.input AS input,
    -- whose word counts first, field by field; an input not named here comes last
    if(indexOf(['webhook', 'kafka', 'pull', 'lines', 'import', 'snapshot', 'operator', 'collector', 'heartbeat'], toString(r.input)) = 0, 99, indexOf(['webhook', 'kafka', 'pull', 'lines', 'import', 'snapshot', 'operator', 'collector', 'heartbeat'], toString(r.input))) AS rank,
    argMax(r.time, r.version) AS time,
    argMax(r.earlier_ms, r.version) AS earlier_ms,
    argMax(r.later_ms, r.version) AS later_ms,
    argMax(toString(r.kind), r.version) AS kind,
    argMax(toString(r.native_type), r.version) AS native_type,
    argMax(toString(r.native_id), r.version) AS native_id,
    argMax(toString(r.data_class), r.version) AS data_class,
    argMax(toString(r.outcome), r.version) AS outcome,
    argMax(toString(r.realm), r.version) AS realm,
    argMax(toString(r.realm_id), r.version) AS realm_id,
    argMax(toString(r.person_id), r.version) AS person_id,
    argMax(toString(r.person_name), r.version) AS person_name,
    argMax(toString(r.person_email), r.version) AS person_email,
    argMax(toString(r.actor_kind), r.version) AS actor_kind,
    argMax(toString(r.client), r.version) AS client,
    argMax(toString(r.session_id), r.version) AS session_id,
    argMax(toString(r.token_id), r.version) AS token_id,
    argMax(toString(r.refresh_token_id), r.version) AS refresh_token_id,
    argMax(toString(r.new_refresh_token_id), r.version) AS new_refresh_token_id,
    argMax(toString(r.ip), r.version) AS ip,
    argMax(toString(r.user_agent), r.version) AS user_agent,
    argMax(toString(r.right_kind), r.version) AS right_kind,
    argMax(toString(r.right_id), r.version) AS right_id,
    argMax(toString(r.right_name), r.version) AS right_name,
    argMax(toString(r.right_change), r.version) AS right_change,
    argMax(toString(r.holder_kind), r.version) AS holder_kind,
    argMax(toString(r.holder_id), r.version) AS holder_id,
    argMax(toString(r.resource_kind), r.version) AS resource_kind,
    argMax(toString(r.resource), r.version) AS resource,
    argMax(toString(r.permission), r.version) AS permission,
    argMax(toString(r.action), r.version) AS action,
    argMax(toString(r.error), r.version) AS error,
    argMax(toString(r.source_kind), r.version) AS source_kind,
    argMax(toString(r.time_basis), r.version) AS time_basis,
    argMax(if(bitTest(r.same, 0), r.session_id, r.code_id), r.version) AS code_id,
    argMax(r.person, r.version) AS person_bytes,
    argMax(if(bitTest(r.same, 1), r.person, r.actor), r.version) AS actor_bytes,
    argMax(if(bitTest(r.same, 2), r.person_id, r.actor_id), r.version) AS actor_id,
    argMax(if(bitTest(r.same, 3), r.person_name, r.actor_name), r.version) AS actor_name,
    argMax(r.owner_refs, r.version) AS owner_refs,
    argMax(CAST(r.details, 'Map(String, String)'), r.version) AS details,
    argMax(CAST(r.personal, 'Map(String, String)'), r.version) AS personal,
    argMax(tuple(r.stream, r.seq, r.ordinal), r.version) AS receipt,
    max(r.version) AS version
FROM {database}.event_rows AS r
GROUP BY r.tenant, r.source_id, r.event_id, r.input
HAVING argMax(r.is_deleted, r.version) = 0;

-- `event_inputs` within a day of a span (UTC milliseconds).
CREATE OR REPLACE VIEW {database}.event_inputs_in {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT
    r.tenant AS tenant, r.source_id AS source_id, r.event_id AS event_id, r.input AS input,
    -- whose word counts first, field by field; an input not named here comes last
    if(indexOf(['webhook', 'kafka', 'pull', 'lines', 'import', 'snapshot', 'operator', 'collector', 'heartbeat'], toString(r.input)) = 0, 99, indexOf(['webhook', 'kafka', 'pull', 'lines', 'import', 'snapshot', 'operator', 'collector', 'heartbeat'], toString(r.input))) AS rank,
    argMax(r.time, r.version) AS time,
    argMax(r.earlier_ms, r.version) AS earlier_ms,
    argMax(r.later_ms, r.version) AS later_ms,
    argMax(toString(r.kind), r.version) AS kind,
    argMax(toString(r.native_type), r.version) AS native_type,
    argMax(toString(r.native_id), r.version) AS native_id,
    argMax(toString(r.data_class), r.version) AS data_class,
    argMax(toString(r.outcome), r.version) AS outcome,
    argMax(toString(r.realm), r.version) AS realm,
    argMax(toString(r.realm_id), r.version) AS realm_id,
    argMax(toString(r.person_id), r.version) AS person_id,
    argMax(toString(r.person_name), r.version) AS person_name,
    argMax(toString(r.person_email), r.version) AS person_email,
    argMax(toString(r.actor_kind), r.version) AS actor_kind,
    argMax(toString(r.client), r.version) AS client,
    argMax(toString(r.session_id), r.version) AS session_id,
    argMax(toString(r.token_id), r.version) AS token_id,
    argMax(toString(r.refresh_token_id), r.version) AS refresh_token_id,
    argMax(toString(r.new_refresh_token_id), r.version) AS new_refresh_token_id,
    argMax(toString(r.ip), r.version) AS ip,
    argMax(toString(r.user_agent), r.version) AS user_agent,
    argMax(toString(r.right_kind), r.version) AS right_kind,
    argMax(toString(r.right_id), r.version) AS right_id,
    argMax(toString(r.right_name), r.version) AS right_name,
    argMax(toString(r.right_change), r.version) AS right_change,
    argMax(toString(r.holder_kind), r.version) AS holder_kind,
    argMax(toString(r.holder_id), r.version) AS holder_id,
    argMax(toString(r.resource_kind), r.version) AS resource_kind,
    argMax(toString(r.resource), r.version) AS resource,
    argMax(toString(r.permission), r.version) AS permission,
    argMax(toString(r.action), r.version) AS action,
    argMax(toString(r.error), r.version) AS error,
    argMax(toString(r.source_kind), r.version) AS source_kind,
    argMax(toString(r.time_basis), r.version) AS time_basis,
    argMax(if(bitTest(r.same, 0), r.session_id, r.code_id), r.version) AS code_id,
    argMax(r.person, r.version) AS person_bytes,
    argMax(if(bitTest(r.same, 1), r.person, r.actor), r.version) AS actor_bytes,
    argMax(if(bitTest(r.same, 2), r.person_id, r.actor_id), r.version) AS actor_id,
    argMax(if(bitTest(r.same, 3), r.person_name, r.actor_name), r.version) AS actor_name,
    argMax(r.owner_refs, r.version) AS owner_refs,
    argMax(CAST(r.details, 'Map(String, String)'), r.version) AS details,
    argMax(CAST(r.personal, 'Map(String, String)'), r.version) AS personal,
    argMax(tuple(r.stream, r.seq, r.ordinal), r.version) AS receipt,
    max(r.version) AS version
FROM {database}.event_rows AS r
WHERE r.time >= fromUnixTimestamp64Milli({from:Int64} - 86400000, 'UTC')
  AND r.time < fromUnixTimestamp64Milli({to:Int64} + 86400000, 'UTC')
GROUP BY r.tenant, r.source_id, r.event_id, r.input
HAVING argMax(r.is_deleted, r.version) = 0;

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
            argMin(toString(input), (received_at, indexOf(['webhook', 'kafka', 'pull', 'lines', 'import', 'snapshot', 'operator', 'collector', 'heartbeat'], toString(input)))) AS first_input,
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

-- Events per cell: the first receipt as one number, milliseconds * 16 + the input's place in the list, and the ways that
-- brought it, added up: 1 webhook, 2 pull, 4 topic. Only with a condition on `cell`: without one it reads everything.
CREATE OR REPLACE VIEW {database}.cell_events {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, source_id, minute AS cell, event_id,
    min(toUnixTimestamp64Milli(received_at) * 16 + indexOf(['webhook', 'kafka', 'pull', 'lines', 'import', 'snapshot', 'operator', 'collector', 'heartbeat'], toString(input))) AS first,
    groupBitOr(transform(toString(input), ['webhook', 'kafka', 'pull'], [1, 4, 2], 0)) AS ways
FROM {database}.receipt_rows FINAL WHERE delivery_cell = 0 AND fate = 'event'
GROUP BY tenant, source_id, minute, event_id
UNION ALL
SELECT tenant, source_id, delivery_cell AS cell, event_id,
    min(toUnixTimestamp64Milli(received_at) * 16 + indexOf(['webhook', 'kafka', 'pull', 'lines', 'import', 'snapshot', 'operator', 'collector', 'heartbeat'], toString(input))) AS first,
    groupBitOr(transform(toString(input), ['webhook', 'kafka', 'pull'], [1, 4, 2], 0)) AS ways
FROM {database}.receipt_rows FINAL WHERE delivery_cell >= 2147483648 AND fate = 'event'
GROUP BY tenant, source_id, delivery_cell, event_id;

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
        [(['webhook', 'kafka', 'pull', 'lines', 'import', 'snapshot', 'operator', 'collector', 'heartbeat'][place], n, toUInt64(0), toUInt64(0))],
        if(ways = 0, [], [(multiIf(bitTest(ways, 0), 'webhook', bitTest(ways, 2), 'kafka', 'pull'), toUInt64(0),
            if(ways IN (3, 6, 7), 0, n), if(ways IN (3, 6, 7), n, 0))])) AS share
) AS c
GROUP BY c.tenant, c.source_id, c.cell, c.input;

-- Changes of rights, people, policies and configuration that sources told of, one row per event.
CREATE OR REPLACE VIEW {database}.changes_in {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT e.tenant AS tenant, e.source_id AS source_id, e.time AS time, e.event_id AS event_id, toString(e.kind) AS kind, toString(e.realm) AS realm,
    if(e.person = toFixedString('', 16), '', lower(hex(e.person))) AS person,
    if(if(bitTest(e.same, 1), e.person, e.actor) = toFixedString('', 16), '', lower(hex(if(bitTest(e.same, 1), e.person, e.actor)))) AS actor,
    toString(e.outcome) AS outcome, toString(e.right_kind) AS right_kind, e.right_id AS right_id, e.right_name AS right_name,
    toString(e.right_change) AS right_change, toString(e.resource_kind) AS resource_kind, e.resource AS resource
FROM {database}.event_rows AS e FINAL
WHERE e.time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND e.time < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
  AND e.data_class = 'administration'
ORDER BY indexOf(['webhook', 'kafka', 'pull', 'lines', 'import', 'snapshot', 'operator', 'collector', 'heartbeat'], toString(e.input))
LIMIT 1 BY e.tenant, e.source_id, e.event_id;

-- Logins of people as Keycloak told of them, one row per event. A name that belongs to nobody is not in here.
CREATE OR REPLACE VIEW {database}.logins_in {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT e.tenant AS tenant, e.source_id AS source_id, e.time AS time, e.event_id AS event_id, toString(e.realm) AS realm,
    if(e.person = toFixedString('', 16), '', lower(hex(e.person))) AS person, toString(e.outcome) AS outcome, toString(e.error) AS error,
    toString(e.client) AS client, e.session_id AS session_id, e.ip AS ip
FROM {database}.event_rows AS e FINAL
WHERE e.time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND e.time < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
  AND e.kind = 'login'
ORDER BY indexOf(['webhook', 'kafka', 'pull', 'lines', 'import', 'snapshot', 'operator', 'collector', 'heartbeat'], toString(e.input))
LIMIT 1 BY e.tenant, e.source_id, e.event_id;
