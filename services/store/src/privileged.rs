//! Which rights are privileged: an operator names them, Keycloak knows them by ids. Looked up among all events, seldom, so that
//! nobody who asks who holds one has to; and who holds them, so that no panel has to walk.

use crate::{Store, StoreError, query};

/// Rights as an operator names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrivilegedNames {
    /// Names of realm roles and client roles, of any realm and client.
    pub roles: Vec<String>,
    /// Paths of groups.
    pub groups: Vec<String>,
    /// Keycloak ids of either.
    pub ids: Vec<String>,
}

impl Store {
    /// Keeps the ids of these rights, as far as events told of them, and forgets all others. Writes what is different, and nothing if
    /// nothing is.
    pub async fn keep_privileged(&self, tenant: &str, names: &PrivilegedNames) -> Result<(), StoreError> {
        let sql = "INSERT INTO privileged_right_rows \
            SELECT {tenant:String}, right_id, greatest(toUInt64(toUnixTimestamp64Micro(now64(6))), max(version) + 1), min(gone) AS is_gone, \
              tupleElement(argMin((kind, name), (gone, name = '')) AS said, 1), tupleElement(said, 2) \
            FROM (\
              SELECT right_id, if(right_kind = 'group', 'group', 'role') AS kind, name, toUInt64(0) AS version, toUInt8(0) AS gone, toUInt8(0) AS was_gone \
              FROM right_names WHERE tenant = {tenant:String} AND right_kind IN ('group', 'realm_role', 'client_role', 'composite') \
                AND ((right_kind = 'group' AND name IN {groups:Array(String)}) OR (right_kind != 'group' AND name IN {roles:Array(String)}) \
                  OR right_id IN {ids:Array(String)}) \
              UNION ALL SELECT arrayJoin({ids:Array(String)}), '', '', 0, 0, 0 \
              UNION ALL SELECT right_id, toString(kind), name, version, 1, is_deleted FROM privileged_right_rows WHERE tenant = {tenant:String}\
            ) GROUP BY right_id \
            HAVING max(version) = 0 OR is_gone != argMax(was_gone, version) OR (is_gone = 0 AND said != argMax((kind, name), version))";
        let statement = self.run(sql).param("tenant", tenant).param("roles", &names.roles);
        query::done(statement.param("groups", &names.groups).param("ids", &names.ids)).await
    }

    /// Keeps who holds or held one of them, as `privileged_in` says of all times: a walk that no panel should have to make. Writes what
    /// is different, and nothing if nothing is.
    pub async fn keep_privileged_holders(&self, tenant: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO privileged_holding_rows (tenant, row_id, version, is_deleted, person, kind, right_id, name, through, \
              held_from, held_to, granted_in, rests_on_gap) \
            WITH any(says) AS said \
            SELECT {tenant:String}, row_id, greatest(toUInt64(toUnixTimestamp64Micro(now64(6))), max(version) + 1), min(gone) AS is_gone, \
              said.1, said.2, said.3, said.4, said.5, said.6, said.7, said.8, said.9 \
            FROM (\
              SELECT tuple(person, toString(kind), right_id, name, through, held_from, held_to, granted_in, toUInt8(rests_on_gap)) AS says, \
                sipHash128(toString(says)) AS row_id, toUInt64(0) AS version, toUInt8(0) AS gone, toUInt8(0) AS was_gone \
              FROM privileged_in(from = -8000000000000000, to = 8000000000000000) WHERE tenant = {tenant:String} \
              UNION ALL \
              SELECT tuple(person, toString(kind), right_id, name, through, held_from, held_to, granted_in, rests_on_gap), \
                row_id, version, 1, is_deleted FROM privileged_holding_rows WHERE tenant = {tenant:String}\
            ) GROUP BY row_id \
            HAVING max(version) = 0 OR is_gone != argMax(was_gone, version)";
        query::done(self.run(sql).param("tenant", tenant)).await
    }
}
