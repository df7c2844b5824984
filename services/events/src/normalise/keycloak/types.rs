//! The tables of Keycloak's user event types: native type, our kind, retention class (Keycloak 26.7, `EventType`).
//!
//! The set grows with every minor release; a type that is not here has the kind `other` and is kept.

use crate::event::DataClass::{self, Administration as Adm, Authentication as Auth, TokenLifecycle as Token};

/// Suffix of the types that say that it failed.
pub(super) const ERROR_SUFFIX: &str = "_ERROR";

/// Deprecated types that Keycloak still sends beside their successor (26.0): one act, two events.
pub(super) const DEPRECATED_TWINS: &[&str] = &["UPDATE_PASSWORD", "UPDATE_TOTP", "REMOVE_TOTP"];

/// (native type, kind, retention class), sorted by native type. Each also exists with [`ERROR_SUFFIX`].
pub(super) const USER_TYPES: &[(&str, &str, DataClass)] = &[
    ("AUTHREQID_TO_TOKEN", "token_issued", Token),
    ("CLIENT_DELETE", "client_deleted", Adm),
    ("CLIENT_INFO", "client_read", Adm),
    ("CLIENT_INITIATED_ACCOUNT_LINKING", "identity_link_started", Auth),
    ("CLIENT_LOGIN", "client_login", Auth),
    ("CLIENT_REGISTER", "client_created", Adm),
    ("CLIENT_UPDATE", "client_updated", Adm),
    ("CODE_TO_TOKEN", "token_issued", Token),
    ("CUSTOM_REQUIRED_ACTION", "required_action_done", Auth),
    ("DELETE_ACCOUNT", "user_deleted", Adm),
    ("EXECUTE_ACTIONS", "required_actions_started", Auth),
    ("EXECUTE_ACTION_TOKEN", "action_token_used", Auth),
    ("FEDERATED_IDENTITY_LINK", "identity_linked", Auth),
    ("FEDERATED_IDENTITY_OVERRIDE_LINK", "identity_relinked", Auth),
    ("GRANT_CONSENT", "consent_granted", Auth),
    ("IDENTITY_PROVIDER_FIRST_LOGIN", "broker_first_login", Auth),
    ("IDENTITY_PROVIDER_LINK_ACCOUNT", "identity_linked", Auth),
    ("IDENTITY_PROVIDER_LOGIN", "broker_login", Auth),
    ("IDENTITY_PROVIDER_POST_LOGIN", "broker_post_login", Auth),
    ("IDENTITY_PROVIDER_RESPONSE", "broker_response", Auth),
    ("IDENTITY_PROVIDER_RETRIEVE_TOKEN", "broker_token_read", Token),
    ("IMPERSONATE", "impersonated", Auth),
    ("INTROSPECT_TOKEN", "token_introspected", Token),
    ("INVALID_SIGNATURE", "signature_refused", Token),
    ("INVITE_ORG", "organization_invited", Adm),
    ("JWT_AUTHORIZATION_GRANT", "token_issued", Token),
    ("LOGIN", "login", Auth),
    ("LOGOUT", "logout", Auth),
    ("OAUTH2_DEVICE_AUTH", "device_login_started", Auth),
    ("OAUTH2_DEVICE_CODE_TO_TOKEN", "token_issued", Token),
    ("OAUTH2_DEVICE_VERIFY_USER_CODE", "device_code_verified", Auth),
    ("OAUTH2_EXTENSION_GRANT", "token_issued", Token),
    ("PERMISSION_TOKEN", "permission_token_issued", Token),
    ("PUSHED_AUTHORIZATION_REQUEST", "authorization_request_pushed", Token),
    ("REFRESH_TOKEN", "token_refreshed", Token),
    ("REGISTER", "user_registered", Adm),
    ("REGISTER_NODE", "node_registered", Adm),
    ("REMOVE_CREDENTIAL", "credential_removed", Auth),
    ("REMOVE_FEDERATED_IDENTITY", "identity_unlinked", Auth),
    ("REMOVE_TOTP", "credential_removed", Auth),
    ("RESET_PASSWORD", "password_reset", Auth),
    ("RESTART_AUTHENTICATION", "login_restarted", Auth),
    ("REVOKE_GRANT", "grant_revoked", Token),
    ("SEND_IDENTITY_PROVIDER_LINK", "link_mail_sent", Auth),
    ("SEND_RESET_PASSWORD", "reset_mail_sent", Auth),
    ("SEND_VERIFY_EMAIL", "verification_mail_sent", Auth),
    ("TOKEN_EXCHANGE", "token_exchanged", Token),
    ("UNREGISTER_NODE", "node_unregistered", Adm),
    ("UPDATE_CONSENT", "consent_updated", Auth),
    ("UPDATE_CREDENTIAL", "credential_updated", Auth),
    ("UPDATE_EMAIL", "email_updated", Auth),
    ("UPDATE_PASSWORD", "credential_updated", Auth),
    ("UPDATE_PROFILE", "profile_updated", Auth),
    ("UPDATE_TOTP", "credential_updated", Auth),
    ("USER_DISABLED_BY_PERMANENT_LOCKOUT", "user_locked_permanently", Auth),
    ("USER_DISABLED_BY_TEMPORARY_LOCKOUT", "user_locked_temporarily", Auth),
    ("USER_INFO_REQUEST", "user_info_read", Token),
    ("USER_SESSION_DELETED", "session_expired", Auth),
    ("VALIDATE_ACCESS_TOKEN", "token_validated", Token),
    ("VERIFIABLE_CREDENTIAL_CREATE_OFFER", "verifiable_credential_offer_created", Token),
    ("VERIFIABLE_CREDENTIAL_NONCE_REQUEST", "verifiable_credential_nonce_read", Token),
    ("VERIFIABLE_CREDENTIAL_OFFER_REQUEST", "verifiable_credential_offer_read", Token),
    ("VERIFIABLE_CREDENTIAL_PRE_AUTHORIZED_GRANT", "token_issued", Token),
    ("VERIFIABLE_CREDENTIAL_REQUEST", "verifiable_credential_issued", Token),
    ("VERIFY_EMAIL", "email_verified", Auth),
    ("VERIFY_PROFILE", "profile_verified", Auth),
];

/// Kind and class of a native type without [`ERROR_SUFFIX`].
pub(super) fn user_type(native: &str) -> Option<(&'static str, DataClass)> {
    let at = USER_TYPES.binary_search_by_key(&native, |row| row.0).ok()?;
    Some((USER_TYPES[at].1, USER_TYPES[at].2))
}

/// Details of user events that say nothing about a person; every other key is taken for personal.
pub(super) const PLAIN_DETAILS: &[&str] = &[
    "access_token_expiration_time",
    "action",
    "age_of_refresh_token",
    "apiVersion",
    "audience",
    "auth_method",
    "auth_type",
    "authentication_error_detail",
    "client_auth_method",
    "consent",
    "context",
    "credential_type",
    "custom_required_action",
    "grant_type",
    "granted_client",
    "identity_provider",
    "impersonator_realm",
    "kid",
    "logout_triggered_by_required_action",
    "node_host",
    "not_before",
    "num_failures",
    "org_id",
    "permission",
    "reason",
    "refresh_token_type",
    "register_method",
    "remember_me",
    "requested_issuer",
    "requested_token_type",
    "response_mode",
    "response_type",
    "revoked_client",
    "scope",
    "selected_credential_id",
    "signature_algorithm",
    "signature_required",
    "subject_issuer",
    "subject_token_client_id",
    "token_issued_for",
    "token_type",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_has_no_doubles() {
        assert!(USER_TYPES.windows(2).all(|pair| pair[0].0 < pair[1].0), "binary search needs order");
        assert!(USER_TYPES.iter().all(|row| user_type(row.0) == Some((row.1, row.2))));
        assert_eq!(user_type("BREW_COFFEE"), None);
    }
}
