-- Whose account an operator merged into whose person, by hand: acts are events (`person_merged`, `person_split`), and rows name the
-- person that they come to. `account`: person key of the account alone; empty where nobody merged it.
ALTER TABLE {database}.alias_rows {on_cluster} ADD COLUMN IF NOT EXISTS account String CODEC(ZSTD(1));
ALTER TABLE {database}.grant_rows {on_cluster} ADD COLUMN IF NOT EXISTS account String CODEC(ZSTD(1));
ALTER TABLE {database}.world_rows {on_cluster} ADD COLUMN IF NOT EXISTS account String CODEC(ZSTD(1));

CREATE OR REPLACE VIEW {database}.aliases {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, person, if(account = '', person, account) AS account, kind, name, user_id, borne_from, borne_to, because, version
FROM {database}.alias_rows FINAL;

-- Of several accounts of one person, the names of the one whose key the person has come first.
CREATE OR REPLACE VIEW {database}.persons {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT a.tenant AS tenant, a.person AS person,
    argMax(nullIf(a.user_id, ''), (a.account = '', a.user_id)) AS keycloak_user_id,
    argMaxIf(a.name, (a.account = '', a.at), a.kind = 'username') AS username,
    argMaxIf(a.name, (a.account = '', a.at), a.kind = 'email') AS email,
    arraySort(groupUniqArrayIf(a.name, a.kind = 'reference')) AS references,
    -- A plugin or a static token: nobody, but who calls.
    argMaxIf(a.name, (a.account = '', a.at), a.kind IN ('plugin', 'static')) AS caller,
    arraySort(groupUniqArray(if(a.account = '', a.person, a.account))) AS accounts
FROM {database}.alias_rows AS a FINAL
GROUP BY a.tenant, a.person;

CREATE OR REPLACE VIEW {database}.world {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, person, source_id, kind, holder, held, held_source_id, held_from, held_to, begun_in, rests_on_gap,
    if(account = '', person, account) AS account, because, version
FROM {database}.world_rows FINAL;

-- Accounts that count as another one's person, for who asks events: they carry the account's key for good.
CREATE OR REPLACE VIEW {database}.merged_accounts {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT DISTINCT a.tenant AS tenant, a.account AS account, a.person AS person
FROM {database}.alias_rows AS a FINAL
WHERE a.account != '';

-- What operators said of persons, in order: the account that was moved, and for a merge the one that it was moved to.
CREATE OR REPLACE VIEW {database}.person_acts {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT e.tenant AS tenant, e.event_id AS event_id, e.time AS done_at, if(e.kind = 'person_merged', 'merge', 'split') AS act,
    lower(hex(e.person)) AS account, e.details['account_source'] AS account_source, e.details['account_kind'] AS account_kind,
    if(e.person_id = '', e.person_name, e.person_id) AS account_name, e.details['into_person'] AS into,
    e.details['into_source'] AS into_source, toString(if(e.kind = 'person_merged', e.resource_kind, '')) AS into_kind, e.resource AS into_name,
    e.actor_name AS done_by, e.personal['reason'] AS reason
FROM (
    SELECT tenant, event_id, time, toString(kind) AS kind, person, person_id, person_name, toString(resource_kind) AS resource_kind, resource,
        if(bitTest(same, 3), person_name, actor_name) AS actor_name, CAST(details, 'Map(String, String)') AS details,
        CAST(personal, 'Map(String, String)') AS personal
    FROM {database}.event_rows FINAL
    WHERE source_id = '' AND kind IN ('person_merged', 'person_split') AND is_deleted = 0
) AS e
ORDER BY e.time, e.event_id;
