-- The events that began and ended a name; the zero id: none is known. Logins at identity providers are names too, of the kinds
-- `federated_id` and `federated_name`.
ALTER TABLE {database}.alias_rows {on_cluster} ADD COLUMN IF NOT EXISTS begun_in UUID CODEC(ZSTD(1));
ALTER TABLE {database}.alias_rows {on_cluster} ADD COLUMN IF NOT EXISTS ended_in UUID CODEC(ZSTD(1));

CREATE OR REPLACE VIEW {database}.aliases {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, person, if(account = '', person, account) AS account, kind, name, user_id, borne_from, borne_to, begun_in, ended_in, because,
    version
FROM {database}.alias_rows FINAL;

-- As in 0019, and a person whom an operator made of several accounts is one: `person` and `actor` name the person, `account` and
-- `actor_account` the account.
CREATE OR REPLACE VIEW {database}.changes_in {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
WITH (
    SELECT mapFromArrays(groupArray(concat(tenant, '|', account)), groupArray(person)) FROM (
        SELECT DISTINCT toString(tenant) AS tenant, account, person FROM {database}.alias_rows FINAL WHERE account != ''
    )
) AS merged
SELECT c.tenant AS tenant, c.source_id AS source_id, c.time AS time, c.event_id AS event_id, c.kind AS kind, c.realm AS realm,
    if(mapContains(merged, concat(c.tenant, '|', c.account)), merged[concat(c.tenant, '|', c.account)], c.account) AS person,
    if(mapContains(merged, concat(c.tenant, '|', c.actor_account)), merged[concat(c.tenant, '|', c.actor_account)], c.actor_account) AS actor,
    c.outcome AS outcome, c.right_kind AS right_kind, c.right_id AS right_id, c.right_name AS right_name, c.right_change AS right_change,
    c.resource_kind AS resource_kind, c.resource AS resource, c.account AS account, c.actor_account AS actor_account
FROM (
    SELECT e.tenant AS tenant, e.source_id AS source_id, e.time AS time, e.event_id AS event_id, toString(e.kind) AS kind, toString(e.realm) AS realm,
        if(e.person = toFixedString('', 16), '', lower(hex(e.person))) AS account,
        if(if(bitTest(e.same, 1), e.person, e.actor) = toFixedString('', 16), '', lower(hex(if(bitTest(e.same, 1), e.person, e.actor)))) AS actor_account,
        toString(e.outcome) AS outcome, toString(e.right_kind) AS right_kind, e.right_id AS right_id, e.right_name AS right_name,
        toString(e.right_change) AS right_change, toString(e.resource_kind) AS resource_kind, e.resource AS resource
    FROM {database}.event_rows AS e FINAL
    WHERE e.time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND e.time < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
      AND e.data_class = 'administration'
    ORDER BY indexOf(['webhook', 'kafka', 'pull', 'lines', 'import', 'snapshot', 'operator', 'collector', 'heartbeat'], toString(e.input))
    LIMIT 1 BY e.tenant, e.source_id, e.event_id
) AS c;

CREATE OR REPLACE VIEW {database}.logins_in {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
WITH (
    SELECT mapFromArrays(groupArray(concat(tenant, '|', account)), groupArray(person)) FROM (
        SELECT DISTINCT toString(tenant) AS tenant, account, person FROM {database}.alias_rows FINAL WHERE account != ''
    )
) AS merged
SELECT l.tenant AS tenant, l.source_id AS source_id, l.time AS time, l.event_id AS event_id, l.realm AS realm,
    if(mapContains(merged, concat(l.tenant, '|', l.account)), merged[concat(l.tenant, '|', l.account)], l.account) AS person,
    l.outcome AS outcome, l.error AS error, l.client AS client, l.session_id AS session_id, l.ip AS ip, l.account AS account
FROM (
    SELECT e.tenant AS tenant, e.source_id AS source_id, e.time AS time, e.event_id AS event_id, toString(e.realm) AS realm,
        if(e.person = toFixedString('', 16), '', lower(hex(e.person))) AS account, toString(e.outcome) AS outcome, toString(e.error) AS error,
        toString(e.client) AS client, e.session_id AS session_id, e.ip AS ip
    FROM {database}.event_rows AS e FINAL
    WHERE e.time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND e.time < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
      AND e.kind = 'login'
    ORDER BY indexOf(['webhook', 'kafka', 'pull', 'lines', 'import', 'snapshot', 'operator', 'collector', 'heartbeat'], toString(e.input))
    LIMIT 1 BY e.tenant, e.source_id, e.event_id
) AS l;
