//! The table of admin operations: resource type, operation and path decide the kind and which object or right is meant.
//!
//! First row that fits wins; what no row names falls back to `<stem>_<operation>` of the resource type, and an unknown resource
//! type to `other`. Paths matter: Keycloak types several different acts alike (`USER-DELETE` also unlinks an identity,
//! `REALM_ROLE-DELETE` also removes a composite). `*` stands for one segment, a last `**` for any rest.

use crate::{
    event::DataClass,
    normalise::{catalogue::Entry, scope::OTHER},
    receipt::SourceKind,
};
use std::borrow::Cow;

/// How the path and the representation of a row are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Only the object.
    Object,
    /// A user: id in the path, names in the representation.
    User,
    /// A user with the paths of their first groups in the representation.
    UserWithGroups,
    /// `users/{id}/groups/{id}` and a group.
    Membership,
    /// Member of an organization or of one of its groups.
    OrganizationMember,
    /// An array of roles, given to or taken from a user or a group.
    RoleMapping,
    /// Roles taken from a user or a group, not said which.
    UnnamedRoles,
    /// An array of roles inside another role.
    Composite,
    /// Roles taken out of another role, not said which.
    UnnamedComposite,
    /// An array of roles in the scope of a client or client scope.
    ScopeMapping,
    /// Roles taken out of the scope of a client or client scope, not said which.
    UnnamedScope,
    /// A role itself.
    Role,
    /// A group itself, its id in the path.
    Group,
    /// A group below the group in the path.
    ChildGroup,
    /// A group that becomes a top group.
    TopGroup,
    /// A session, its id in the path.
    Session,
    /// Realm settings, perhaps with the audit configuration among them.
    Realm,
    /// The audit configuration.
    AuditConfig,
}
use Reading as R;

/// (resource type, operation, path, kind, reading).
type Row = (&'static str, &'static str, &'static str, &'static str, Reading);

const ROWS: &[Row] = &[
    ("GROUP_MEMBERSHIP", "CREATE", "users/*/groups/*", "group_member_added", R::Membership),
    ("GROUP_MEMBERSHIP", "DELETE", "users/*/groups/*", "group_member_removed", R::Membership),
    ("REALM_ROLE_MAPPING", "DELETE", "ui-ext/role-mapping-delete/*/*", "role_revoked", R::UnnamedRoles),
    ("CLIENT_ROLE_MAPPING", "DELETE", "ui-ext/role-mapping-delete/*/*", "role_revoked", R::UnnamedRoles),
    ("REALM_ROLE_MAPPING", "CREATE", "*/*/role-mappings/**", "role_granted", R::RoleMapping),
    ("REALM_ROLE_MAPPING", "DELETE", "*/*/role-mappings/**", "role_revoked", R::RoleMapping),
    ("CLIENT_ROLE_MAPPING", "CREATE", "*/*/role-mappings/**", "role_granted", R::RoleMapping),
    ("CLIENT_ROLE_MAPPING", "DELETE", "*/*/role-mappings/**", "role_revoked", R::RoleMapping),
    ("REALM_ROLE", "DELETE", "ui-ext/role-mapping-delete/roles/*", "composite_removed", R::UnnamedComposite),
    ("CLIENT_ROLE", "DELETE", "ui-ext/role-mapping-delete/roles/*", "composite_removed", R::UnnamedComposite),
    ("REALM_ROLE", "CREATE", "*/*/composites", "composite_added", R::Composite),
    ("REALM_ROLE", "DELETE", "*/*/composites", "composite_removed", R::Composite),
    ("CLIENT_ROLE", "CREATE", "*/*/composites", "composite_added", R::Composite),
    ("CLIENT_ROLE", "DELETE", "*/*/composites", "composite_removed", R::Composite),
    ("CLIENT_ROLE", "CREATE", "clients/*/roles/*/composites", "composite_added", R::Composite),
    ("CLIENT_ROLE", "DELETE", "clients/*/roles/*/composites", "composite_removed", R::Composite),
    ("REALM_ROLE", "CREATE", "**", "role_created", R::Role),
    ("REALM_ROLE", "UPDATE", "**", "role_updated", R::Role),
    ("REALM_ROLE", "DELETE", "**", "role_deleted", R::Role),
    ("CLIENT_ROLE", "CREATE", "**", "role_created", R::Role),
    ("CLIENT_ROLE", "UPDATE", "**", "role_updated", R::Role),
    ("CLIENT_ROLE", "DELETE", "**", "role_deleted", R::Role),
    ("CLIENT_SCOPE_MAPPING", "DELETE", "ui-ext/role-mapping-delete/*/*", "scope_mapping_removed", R::UnnamedScope),
    ("REALM_SCOPE_MAPPING", "DELETE", "ui-ext/role-mapping-delete/*/*", "scope_mapping_removed", R::UnnamedScope),
    ("REALM_SCOPE_MAPPING", "CREATE", "**", "scope_mapping_added", R::ScopeMapping),
    ("REALM_SCOPE_MAPPING", "DELETE", "**", "scope_mapping_removed", R::ScopeMapping),
    ("CLIENT_SCOPE_MAPPING", "CREATE", "**", "scope_mapping_added", R::ScopeMapping),
    ("CLIENT_SCOPE_MAPPING", "DELETE", "**", "scope_mapping_removed", R::ScopeMapping),
    ("CLIENT_SCOPE_CLIENT_MAPPING", "CREATE", "**", "client_scope_assigned", R::Object),
    ("CLIENT_SCOPE_CLIENT_MAPPING", "UPDATE", "**", "client_scope_assigned", R::Object),
    ("CLIENT_SCOPE_CLIENT_MAPPING", "DELETE", "**", "client_scope_unassigned", R::Object),
    ("GROUP", "CREATE", "default-groups/*", "default_group_added", R::Group),
    ("GROUP", "DELETE", "default-groups/*", "default_group_removed", R::Group),
    ("GROUP", "CREATE", "groups/*/children", "group_created", R::ChildGroup),
    ("GROUP", "UPDATE", "groups/*/children", "group_moved", R::ChildGroup),
    ("GROUP", "UPDATE", "groups", "group_moved", R::TopGroup),
    ("GROUP", "CREATE", "**", "group_created", R::Group),
    ("GROUP", "UPDATE", "**", "group_updated", R::Group),
    ("GROUP", "DELETE", "**", "group_deleted", R::Group),
    ("USER", "CREATE", "users/*", "user_created", R::UserWithGroups),
    ("USER", "UPDATE", "users/*", "user_updated", R::User),
    ("USER", "DELETE", "users/*", "user_deleted", R::User),
    ("USER", "CREATE", "users/*/federated-identity/*", "identity_linked", R::User),
    ("USER", "DELETE", "users/*/federated-identity/*", "identity_unlinked", R::User),
    ("USER", "ACTION", "users/*/reset-password", "password_set_by_admin", R::User),
    ("USER", "ACTION", "users/*/reset-password-email", "reset_mail_sent", R::User),
    ("USER", "ACTION", "users/*/execute-actions-email", "actions_mail_sent", R::User),
    ("USER", "ACTION", "users/*/send-verify-email", "verification_mail_sent", R::User),
    ("USER", "ACTION", "users/*/logout", "sessions_ended_by_admin", R::User),
    ("USER", "ACTION", "users/*/credentials/*", "credential_removed", R::User),
    ("USER", "DELETE", "users/*/credentials/*", "credential_removed", R::User),
    ("USER", "ACTION", "users/*/disable-credential-types", "credential_removed", R::User),
    ("USER", "ACTION", "users/*/consents/*", "consent_revoked", R::User),
    ("USER", "DELETE", "users/*/consents/*", "consent_revoked", R::User),
    ("USER", "ACTION", "users/**", "user_action", R::User),
    ("USER", "CREATE", "users/**", "user_part_created", R::User),
    ("USER", "UPDATE", "users/**", "user_part_updated", R::User),
    ("USER", "DELETE", "users/**", "user_part_deleted", R::User),
    ("USER_LOGIN_FAILURE", "DELETE", "attack-detection/brute-force/users/*", "lockout_cleared", R::User),
    ("USER_LOGIN_FAILURE", "DELETE", "attack-detection/brute-force/users", "lockouts_cleared", R::Object),
    ("USER_SESSION", "DELETE", "sessions/*", "session_deleted", R::Session),
    ("REALM", "UPDATE", "events/config", "audit_config_changed", R::AuditConfig),
    ("REALM", "ACTION", "logout-all", "all_sessions_ended", R::Object),
    ("REALM", "ACTION", "push-revocation", "revocation_pushed", R::Object),
    ("REALM", "CREATE", "**", "realm_created", R::Realm),
    ("REALM", "UPDATE", "", "realm_updated", R::Realm),
    ("REALM", "DELETE", "**", "realm_deleted", R::Realm),
    ("CLIENT", "ACTION", "clients/*/client-secret", "client_secret_regenerated", R::Object),
    ("CLIENT", "DELETE", "clients/*/client-secret/rotated", "rotated_client_secret_deleted", R::Object),
    ("CLIENT", "ACTION", "clients/*/registration-access-token", "registration_token_regenerated", R::Object),
    ("CLIENT", "ACTION", "clients/*/certificates/**", "client_certificate_changed", R::Object),
    ("CLIENT", "ACTION", "clients/*/push-revocation", "revocation_pushed", R::Object),
    ("ORGANIZATION_MEMBERSHIP", "CREATE", "**", "organization_member_added", R::OrganizationMember),
    ("ORGANIZATION_MEMBERSHIP", "DELETE", "**", "organization_member_removed", R::OrganizationMember),
    ("ORGANIZATION_MEMBERSHIP", "ACTION", "**", "organization_invited", R::OrganizationMember),
    ("ORGANIZATION_GROUP_MEMBERSHIP", "CREATE", "**", "group_member_added", R::OrganizationMember),
    ("ORGANIZATION_GROUP_MEMBERSHIP", "DELETE", "**", "group_member_removed", R::OrganizationMember),
];

/// Every resource type of Keycloak 26.7 with the stem of its plain kinds.
const STEMS: &[(&str, &str)] = &[
    ("REALM", "realm"),
    ("REALM_ROLE", "role"),
    ("REALM_ROLE_MAPPING", "role_mapping"),
    ("REALM_SCOPE_MAPPING", "scope_mapping"),
    ("AUTH_FLOW", "auth_flow"),
    ("AUTH_EXECUTION_FLOW", "auth_execution_flow"),
    ("AUTH_EXECUTION", "auth_execution"),
    ("AUTHENTICATOR_CONFIG", "authenticator_config"),
    ("REQUIRED_ACTION_CONFIG", "required_action_config"),
    ("REQUIRED_ACTION", "required_action"),
    ("IDENTITY_PROVIDER", "identity_provider"),
    ("IDENTITY_PROVIDER_MAPPER", "identity_provider_mapper"),
    ("PROTOCOL_MAPPER", "protocol_mapper"),
    ("USER", "user"),
    ("USER_LOGIN_FAILURE", "login_failure"),
    ("USER_SESSION", "session"),
    ("USER_FEDERATION_PROVIDER", "user_federation_provider"),
    ("USER_FEDERATION_MAPPER", "user_federation_mapper"),
    ("GROUP", "group"),
    ("GROUP_MEMBERSHIP", "group_membership"),
    ("CLIENT", "client"),
    ("CLIENT_INITIAL_ACCESS_MODEL", "client_initial_access"),
    ("CLIENT_ROLE", "role"),
    ("CLIENT_ROLE_MAPPING", "role_mapping"),
    ("CLIENT_SCOPE", "client_scope"),
    ("CLIENT_SCOPE_MAPPING", "scope_mapping"),
    ("CLIENT_SCOPE_CLIENT_MAPPING", "client_scope_assignment"),
    ("CLUSTER_NODE", "cluster_node"),
    ("COMPONENT", "component"),
    ("AUTHORIZATION_RESOURCE_SERVER", "authorization_server"),
    ("AUTHORIZATION_RESOURCE", "authorization_resource"),
    ("AUTHORIZATION_SCOPE", "authorization_scope"),
    ("AUTHORIZATION_POLICY", "authorization_policy"),
    ("CUSTOM", "custom"),
    ("USER_PROFILE", "user_profile"),
    ("ORGANIZATION", "organization"),
    ("ORGANIZATION_MEMBERSHIP", "organization_membership"),
    ("ORGANIZATION_GROUP", "organization_group"),
    ("ORGANIZATION_GROUP_MEMBERSHIP", "organization_group_membership"),
];

/// Past tense of an operation, as kinds end.
const TENSES: &[(&str, &str)] =
    &[("CREATE", "created"), ("UPDATE", "updated"), ("DELETE", "deleted"), ("ACTION", "action")];

/// Kind and reading of one admin operation.
pub(super) fn operation(resource_type: &str, operation: &str, segments: &[&str]) -> (Cow<'static, str>, Reading) {
    let row = ROWS.iter().find(|row| row.0 == resource_type && row.1 == operation && fits(row.2, segments));
    if let Some(row) = row {
        return (Cow::Borrowed(row.3), row.4);
    }
    let stem = STEMS.iter().find(|(native, _)| *native == resource_type);
    let tense = TENSES.iter().find(|(native, _)| *native == operation);
    match (stem, tense) {
        (Some((_, stem)), Some((_, tense))) => (Cow::Owned(format!("{stem}_{tense}")), R::Object),
        _ => (Cow::Borrowed(OTHER), R::Object),
    }
}

fn fits(pattern: &str, segments: &[&str]) -> bool {
    let mut rest = segments.iter();
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        if part == "**" {
            return true;
        }
        let Some(segment) = rest.next() else { return false };
        if part != "*" && part != *segment {
            return false;
        }
    }
    rest.next().is_none()
}

/// Every admin operation that is recognised; a row with a path names it after a space.
pub(super) fn catalogue() -> impl Iterator<Item = Entry> {
    let rows = ROWS.iter().map(|(resource, operation, path, kind, _)| {
        let path = if *path == "**" { String::new() } else { format!(" {path}") };
        (format!("{resource}-{operation}{path}"), (*kind).to_owned())
    });
    let plain = STEMS.iter().flat_map(|(resource, stem)| {
        TENSES.iter().map(move |(operation, tense)| (format!("{resource}-{operation}"), format!("{stem}_{tense}")))
    });
    let taken: Vec<String> =
        ROWS.iter().filter(|row| row.2 == "**").map(|row| format!("{}-{}", row.0, row.1)).collect();
    rows.chain(plain.filter(move |(native, _)| !taken.contains(native))).map(|(native, kind)| Entry {
        source: SourceKind::Keycloak,
        native,
        kind,
        data_class: DataClass::Administration,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(resource: &str, native: &str, path: &str) -> String {
        let segments: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
        operation(resource, native, &segments).0.into_owned()
    }

    #[test]
    fn one_type_means_different_acts_by_path() {
        assert_eq!(kind("USER", "DELETE", "users/u1"), "user_deleted");
        assert_eq!(kind("USER", "DELETE", "users/u1/federated-identity/github"), "identity_unlinked");
        assert_eq!(kind("USER", "DELETE", "users/u1/something"), "user_part_deleted");
        assert_eq!(kind("REALM_ROLE", "DELETE", "roles/admin"), "role_deleted");
        assert_eq!(kind("REALM_ROLE", "DELETE", "roles-by-id/r1/composites"), "composite_removed");
        assert_eq!(kind("REALM_ROLE", "DELETE", "ui-ext/role-mapping-delete/roles/r1"), "composite_removed");
        assert_eq!(kind("GROUP", "UPDATE", "groups"), "group_moved");
        assert_eq!(kind("GROUP", "UPDATE", "groups/g1"), "group_updated");
        assert_eq!(kind("REALM", "UPDATE", ""), "realm_updated");
        assert_eq!(kind("IDENTITY_PROVIDER", "UPDATE", "identity-provider/instances/x"), "identity_provider_updated");
        assert_eq!(kind("TEAPOT", "CREATE", "teapots/1"), "other");
    }
}
