-- Names of rights as events wrote them last, for who reads views only.
CREATE OR REPLACE VIEW {database}.right_names {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT e.tenant AS tenant, toString(e.right_kind) AS right_kind, e.right_id AS right_id, argMax(e.right_name, (e.time, e.right_name)) AS name
FROM {database}.event_rows AS e
WHERE e.right_id != '' AND e.right_name != '' AND e.is_deleted = 0
GROUP BY e.tenant, e.right_kind, e.right_id;
