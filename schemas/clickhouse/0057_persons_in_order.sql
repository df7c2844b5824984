-- As before; of names that one person bore from the same instant on, the last in order, so that a name is the same in every answer.
CREATE OR REPLACE VIEW {database}.persons {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT a.tenant AS tenant, a.person AS person,
    argMax(nullIf(a.user_id, ''), (a.account = '', a.user_id)) AS keycloak_user_id,
    argMaxIf(a.name, (a.account = '', a.at, a.name), a.kind = 'username') AS username,
    argMaxIf(a.name, (a.account = '', a.at, a.name), a.kind = 'email') AS email,
    arraySort(groupUniqArrayIf(a.name, a.kind = 'reference')) AS references,
    -- A plugin or a static token: nobody, but who calls.
    argMaxIf(a.name, (a.account = '', a.at, a.name), a.kind IN ('plugin', 'static')) AS caller,
    arraySort(groupUniqArray(if(a.account = '', a.person, a.account))) AS accounts
FROM {database}.alias_rows AS a FINAL
GROUP BY a.tenant, a.person;
