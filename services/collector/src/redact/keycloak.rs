//! The fields of Keycloak events, all known writers in one class: keycloak-events, REST, plain Jackson, vymalo.
//!
//! A representation is looked at last, when its resource type is known; so is a typed name of a failed login.

use super::{Class, Others, Rule, Seen, Slot, Walk, representation};
use events::person::DeploymentKey;

/// One Keycloak event.
pub static EVENT: Rule = Rule::One(&EVENT_CLASS);

static EVENT_CLASS: Class = Class {
    fields: &[
        ("id", Rule::Note(Slot::Id, &Rule::Id)),
        ("time", Rule::Note(Slot::Time, &Rule::Name)),
        ("realmId", Rule::Note(Slot::RealmId, &Rule::Name)),
        ("realmName", Rule::Name),
        ("uid", Rule::Note(Slot::Uid, &Rule::Id)),
        ("authDetails", Rule::Note(Slot::AuthDetails, &Rule::One(&AUTH_DETAILS))),
        ("details", Rule::Note(Slot::Details, &Rule::One(&DETAILS))),
        ("type", Rule::Note(Slot::Type, &Rule::Name)),
        ("resourceType", Rule::Note(Slot::ResourceType, &Rule::Name)),
        ("resourceTypeAsString", Rule::Note(Slot::ResourceTypeText, &Rule::Name)),
        ("operationType", Rule::Note(Slot::OperationType, &Rule::Name)),
        ("resourcePath", Rule::Note(Slot::ResourcePath, &Rule::Name)),
        ("resourceId", Rule::Name),
        ("representation", Rule::Note(Slot::Representation, &Rule::Later)),
        ("error", Rule::Note(Slot::Error, &Rule::Text)),
        ("clientId", Rule::Name),
        ("userId", Rule::Note(Slot::UserId, &Rule::Name)),
        ("sessionId", Rule::Id),
        ("ipAddress", Rule::Name),
        ("@class", Rule::Name),
    ],
    others: Others::Search,
};

static AUTH_DETAILS: Class = Class {
    fields: &[
        ("realmId", Rule::Name),
        ("clientId", Rule::Name),
        ("userId", Rule::Note(Slot::UserId, &Rule::Name)),
        ("ipAddress", Rule::Name),
        ("username", Rule::Note(Slot::ActorName, &Rule::Name)),
        ("sessionId", Rule::Id),
        ("realmName", Rule::Name),
    ],
    others: Others::Search,
};

/// server-spi-private `Details`, as of 26.7.
static DETAILS: Class = Class {
    fields: &[
        ("auth_method", Rule::Name),
        ("auth_type", Rule::Name),
        ("response_type", Rule::Name),
        ("redirect_uri", Rule::Url),
        ("consent", Rule::Name),
        ("token_id", Rule::TokenId),
        ("grant_type", Rule::Name),
        ("refresh_token_type", Rule::Name),
        ("access_token_expiration_time", Rule::Name),
        ("updated_refresh_token_id", Rule::TokenId),
        ("scope", Rule::Name),
        ("age_of_refresh_token", Rule::Name),
        ("refresh_token_id", Rule::TokenId),
        ("refresh_token_sub", Rule::Name),
        ("code_id", Rule::Id),
        ("username", Rule::Note(Slot::Username, &Rule::Name)),
        ("response_mode", Rule::Name),
        ("client_auth_method", Rule::Name),
        ("email", Rule::Name),
        ("userId", Rule::Name),
        ("reason", Rule::Text),
        ("action", Rule::Name),
        ("audience", Rule::Name),
        ("signature_required", Rule::Name),
        ("signature_algorithm", Rule::Name),
        ("requested_token_type", Rule::Name),
        ("subject_token_client_id", Rule::Name),
        ("token_issued_for", Rule::Name),
        ("token_type", Rule::Name),
        ("requested_issuer", Rule::Name),
        ("requested_subject", Rule::Name),
        ("subject_issuer", Rule::Name),
        ("impersonator", Rule::Name),
        ("impersonator_realm", Rule::Name),
        ("revoked_client", Rule::Name),
        ("granted_client", Rule::Name),
        ("identity_provider", Rule::Name),
        ("identity_provider_identity", Rule::Name),
        ("identity_provider_broker_session_id", Rule::Id),
        ("remember_me", Rule::Name),
        ("num_failures", Rule::Name),
        ("not_before", Rule::Name),
        ("credential_type", Rule::Name),
        ("credential_id", Rule::TokenId),
        ("credential_user_label", Rule::Text),
        ("selected_credential_id", Rule::TokenId),
        ("custom_required_action", Rule::Name),
        ("register_method", Rule::Name),
        ("node_host", Rule::Name),
        ("previous_user", Rule::Name),
        ("previous_email", Rule::Name),
        ("updated_email", Rule::Name),
        ("context", Rule::Name),
        ("permission", Rule::Name),
        ("kid", Rule::Name),
        ("apiVersion", Rule::Name),
    ],
    others: Others::Search,
};

/// Does what needs the whole event: the representation and typed names. Call after the walk of an event.
pub(crate) fn finish(walk: &mut Walk<'_>, key: &DeploymentKey) {
    let text = walk.text();
    representation::finish(walk, key);
    if is_typed_name(&walk.seen, text) {
        walk.deny(Slot::Username);
        walk.deny(Slot::ActorName);
    }
}

/// A failed login that found nobody: what stands as its username is whatever was typed, sometimes a password.
fn is_typed_name(seen: &Seen, text: &str) -> bool {
    let failed = seen.text(Slot::Type, text).is_some_and(|kind| kind.ends_with("_ERROR"))
        || seen.raw(Slot::Error, text).is_some();
    let admin = seen.raw(Slot::OperationType, text).is_some();
    let nobody = seen.text(Slot::UserId, text).is_none_or(|id| id.is_empty());
    let not_found = seen.text(Slot::Error, text).is_some_and(|error| error == "user_not_found");
    failed && !admin && (nobody || not_found)
}

#[cfg(test)]
mod tests {
    use super::super::MAX_NODES;
    use super::*;

    fn run(text: &str) -> String {
        let key = DeploymentKey::new([7; 32]);
        let mut walk = Walk::new(text, &key, MAX_NODES);
        let span = walk.only(&EVENT).unwrap();
        finish(&mut walk, &key);
        String::from_utf8(walk.body(span)).unwrap()
    }

    #[test]
    fn a_typed_name_is_marked_and_a_known_one_is_kept() {
        let typed = r#"{"type":"access.LOGIN_ERROR","error":"user_not_found","authDetails":{"username":"hunter2!"},"details":{"username":"hunter2!"}}"#;
        let out = run(typed);
        assert!(!out.contains("hunter2"), "{out}");
        assert_eq!(out.matches(":8\"").count(), 2, "{out}");
        let known =
            r#"{"type":"LOGIN_ERROR","userId":"u1","error":"invalid_user_credentials","details":{"username":"ann"}}"#;
        assert_eq!(run(known), known);
        let nulls = r#"{"type":"LOGIN_ERROR","userId":null,"details":{"username":"Sommer2026"}}"#;
        assert!(!run(nulls).contains("Sommer2026"));
    }

    #[test]
    fn representations_are_redacted_by_their_type_wherever_it_stands() {
        let rep = r#"{\"clientId\":\"web\",\"secret\":\"hunter2\",\"attributes\":{\"a\":\"b\"}}"#;
        for text in [
            format!(r#"{{"representation":"{rep}","resourceType":"CLIENT","operationType":"UPDATE"}}"#),
            format!(r#"{{"type":"admin.CLIENT-UPDATE","representation":"{rep}"}}"#),
            format!(r#"{{"type":"CLIENT-UPDATE","representation":"{rep}"}}"#),
        ] {
            let out = run(&text);
            assert!(!out.contains("hunter2"), "{out}");
            let event: serde_json::Value = serde_json::from_str(&out).unwrap();
            let inner: serde_json::Value = serde_json::from_str(event["representation"].as_str().unwrap()).unwrap();
            assert_eq!(inner["clientId"], "web");
            assert_eq!(inner["attributes"]["a"], "b");
        }
        let broken = run(r#"{"resourceType":"CLIENT","representation":"{\"secret\":\"hunter2"}"#);
        assert!(broken.contains(r#""representation":"redacted:"#) && !broken.contains("hunter2"), "{broken}");
        let surrogate = run(r#"{"resourceType":"CLIENT","representation":"\ud800hunter2"}"#);
        assert!(serde_json::from_str::<serde_json::Value>(&surrogate).is_ok() && !surrogate.contains("hunter2"));
        let object = run(r#"{"resourceType":"CLIENT","representation":{"secret":"hunter2"}}"#);
        assert!(object.contains(r#""redacted":true"#) && !object.contains("hunter2"), "{object}");
    }
}
