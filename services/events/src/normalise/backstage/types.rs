//! The tables of Backstage's audited events: plugin, event id, our kind, retention class.
//!
//! Event ids are unique only within a plugin. What is not here has the kind `other` and is kept.

use crate::{
    event::DataClass::{self, Administration as Adm, Decision as Dec},
    normalise::{catalogue::Entry, scope::OTHER},
    receipt::SourceKind,
};

/// Event id of a decision of the RBAC plugin.
pub(super) const EVALUATION: &str = "permission-evaluation";
/// Event id of a decision told by a wrapper around the permissions service, in any plugin.
pub(super) const DECISION: &str = "permission-decision";
/// Kind of a permission decision.
pub(super) const DECISION_KIND: &str = "decision";

/// Plugin, event id (a last `*` stands for any rest), kind, class.
type Row = (&'static str, &'static str, &'static str, DataClass);

const ROWS: &[Row] = &[
    ("permission", EVALUATION, DECISION_KIND, Dec),
    ("*", DECISION, DECISION_KIND, Dec),
    ("catalog", "entity-fetch", "catalog_entity_read", Dec),
    ("catalog", "entity-mutate", "catalog_entity_changed", Dec),
    ("catalog", "entity-validate", "catalog_entity_validated", Dec),
    ("catalog", "entity-facets", "catalog_entity_read", Dec),
    ("catalog", "location-fetch", "catalog_location_read", Dec),
    ("catalog", "location-mutate", "catalog_location_changed", Dec),
    ("catalog", "location-analyze", "catalog_location_analyzed", Dec),
    ("scaffolder", "template-parameter-schema", "template_read", Dec),
    ("scaffolder", "action-fetch", "scaffolder_actions_read", Dec),
    ("scaffolder", "task", "scaffolder_task", Dec),
    ("mcp-actions", "connection", "mcp_connection", Dec),
    ("mcp-actions", "tool-discovery", "mcp_tools_read", Dec),
    ("mcp-actions", "tool-execution", "mcp_tool_executed", Dec),
    ("kubernetes", "resource-fetch", "kubernetes_read", Dec),
    ("kubernetes", "cluster-fetch", "kubernetes_cluster_used", Dec),
    ("permission", "role-write", "backstage_role_changed", Adm),
    ("permission", "policy-write", "backstage_policy_changed", Adm),
    ("permission", "condition-write", "backstage_condition_changed", Adm),
    ("permission", "plugin-ids-write", "backstage_permission_plugins_changed", Adm),
    ("permission", "role-read", "backstage_rbac_read", Dec),
    ("permission", "policy-read", "backstage_rbac_read", Dec),
    ("permission", "condition-read", "backstage_rbac_read", Dec),
    ("permission", "plugin-policies-read", "backstage_rbac_read", Dec),
    ("permission", "condition-rules-read", "backstage_rbac_read", Dec),
    ("permission", "plugin-ids-read", "backstage_rbac_read", Dec),
    ("permission", "conditional-policies-file-not-found", "backstage_rbac_file_failed", Adm),
    ("permission", "conditional-policies-file-change", "backstage_rbac_file_failed", Adm),
    ("orchestrator", "execute-workflow", "workflow_executed", Dec),
    ("orchestrator", "abort-workflow", "workflow_aborted", Dec),
    ("orchestrator", "retrigger-instance", "workflow_retriggered", Dec),
    ("orchestrator", "get-*", "workflow_read", Dec),
    ("orchestrator", "ping-*", "workflow_read", Dec),
    ("bulk-import", "create-*", "bulk_import_changed", Dec),
    ("bulk-import", "delete-*", "bulk_import_changed", Dec),
    ("bulk-import", "find-*", "bulk_import_read", Dec),
    ("bulk-import", "get-*", "bulk_import_read", Dec),
    ("bulk-import", "*", "bulk_import_call", Dec),
];

/// Legacy event names (audit-log-node, RHDH until 1.5) and the plugin and event id that took their place.
/// A name ending in `Error` stands for the same act, failed.
const LEGACY: &[(&str, &str, &str, &str)] = &[
    ("PermissionEvaluationCompleted", "permission", EVALUATION, ""),
    ("ConditionEvaluationCompleted", "permission", EVALUATION, ""),
    ("PermissionEvaluationFailed", "permission", EVALUATION, ""),
    ("CreateRole", "permission", "role-write", "create"),
    ("UpdateRole", "permission", "role-write", "update"),
    ("DeleteRole", "permission", "role-write", "delete"),
    ("CreateOrUpdateRole", "permission", "role-write", "create_or_update"),
    ("DeleteOrUpdateRole", "permission", "role-write", "delete_or_update"),
    ("GetRole", "permission", "role-read", ""),
    ("CreatePolicy", "permission", "policy-write", "create"),
    ("UpdatePolicy", "permission", "policy-write", "update"),
    ("DeletePolicy", "permission", "policy-write", "delete"),
    ("CreateOrUpdatePolicy", "permission", "policy-write", "create_or_update"),
    ("GetPolicy", "permission", "policy-read", ""),
    ("CreateCondition", "permission", "condition-write", "create"),
    ("UpdateCondition", "permission", "condition-write", "update"),
    ("DeleteCondition", "permission", "condition-write", "delete"),
    ("GetCondition", "permission", "condition-read", ""),
    ("GetPluginsPolicies", "permission", "plugin-policies-read", ""),
    ("GetConditionRules", "permission", "condition-rules-read", ""),
];

/// Start of a decision in the legacy format; its completion follows.
pub(super) const LEGACY_STARTED: &str = "PermissionEvaluationStarted";

/// Kinds of lines that are no audit events.
pub(super) const LINES: &[(&str, &str, DataClass)] = &[
    ("auth.issuing-token", "backstage_token_issued", DataClass::TokenLifecycle),
    ("catalog.keycloak-sync", "catalog_synced", DataClass::Snapshot),
    ("http.start", "backstage_login_started", DataClass::Authentication),
    ("http.callback", "backstage_callback", DataClass::Authentication),
    ("http.refresh", "backstage_refresh", DataClass::TokenLifecycle),
    ("http.logout", "backstage_logout", DataClass::Authentication),
    ("http.denied", "http_denied", DataClass::Decision),
];

/// Kind and class of an audited event; `other` if it is not known.
pub(super) fn audited(plugin: &str, event_id: &str) -> (&'static str, DataClass) {
    let row = ROWS.iter().find(|row| (row.0 == "*" || row.0 == plugin) && fits(row.1, event_id));
    row.map_or((OTHER, DataClass::Decision), |row| (row.2, row.3))
}

/// Kind and class of a line that is no audit event.
pub(super) fn line(native: &str) -> (&'static str, DataClass) {
    LINES.iter().find(|row| row.0 == native).map_or((OTHER, DataClass::Operational), |row| (row.1, row.2))
}

/// Plugin, event id and action of a legacy event name without `Error`.
pub(super) fn legacy(name: &str) -> Option<(&'static str, &'static str, &'static str)> {
    LEGACY.iter().find(|row| row.0 == name).map(|row| (row.1, row.2, row.3))
}

/// The scaffolder wrote verbs in its legacy names (`ScaffolderTaskCreation`): all are calls of the task API but these.
pub(super) fn legacy_scaffolder(name: &str) -> Option<(&'static str, &'static str)> {
    let rest = name.strip_prefix("Scaffolder")?;
    Some(match rest {
        "ParameterSchemaFetch" => ("template-parameter-schema", ""),
        "InstalledActionsFetch" => ("action-fetch", ""),
        "TaskCreation" => ("task", "create"),
        "TaskExecution" => ("task", "execution"),
        "TaskCancellation" => ("task", "cancel"),
        "TaskListFetch" => ("task", "list"),
        "TaskFetch" | "TaskRead" => ("task", "get"),
        "TaskStream" => ("task", "stream"),
        "TaskEventFetch" => ("task", "events"),
        "TaskDryRun" => ("task", "dry-run"),
        "StaleTaskCancellation" => ("task", "stale-cancel"),
        _ => ("task", ""),
    })
}

fn fits(pattern: &str, text: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == text, |start| text.starts_with(start))
}

/// Every native type that is recognised.
pub(super) fn catalogue() -> impl Iterator<Item = Entry> {
    let entry = |native: String, kind: &str, data_class| Entry {
        source: SourceKind::Backstage,
        native,
        kind: kind.to_owned(),
        data_class,
    };
    let audited_rows = ROWS.iter().map(move |row| entry(format!("{}.{}", row.0, row.1), row.2, row.3));
    let lines = LINES.iter().map(move |row| entry(row.0.to_owned(), row.1, row.2));
    let legacy_rows = LEGACY.iter().map(move |row| {
        let (kind, data_class) = audited(row.1, row.2);
        entry(row.0.to_owned(), kind, data_class)
    });
    audited_rows.chain(lines).chain(legacy_rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_within_their_plugin_only() {
        assert_eq!(audited("catalog", "entity-fetch").0, "catalog_entity_read");
        assert_eq!(audited("search", "entity-fetch").0, OTHER);
        assert_eq!(audited("search", DECISION).0, DECISION_KIND);
        assert_eq!(audited("orchestrator", "get-workflow-overview").0, "workflow_read");
        assert_eq!(audited("bulk-import", "unknown-endpoint").0, "bulk_import_call");
        assert_eq!(legacy("UpdatePolicy"), Some(("permission", "policy-write", "update")));
    }
}
