//! The `representation` of admin events: JSON in a string, with an allow-list per resource type.
//!
//! Keycloak strips secrets from the classes it knows only (upstream issues 52730, 51240, 50853): here the unknown is denied.

mod allowed;

use super::{Class, MAX_NODES, Others, Rule, Seen, Slot, Walk, mark_text, scalar};
use allowed::{
    AUTHENTICATOR_CONFIG, CLIENT, GROUP, MAPPER, ORGANIZATION, OTHER, POLICY, PROVIDER, REALM, ROLE, SESSION, USER,
};
use events::person::DeploymentKey;
use std::borrow::Cow;

fn rule(resource_type: &str) -> &'static Rule {
    static RULES: [(&[&str], Rule); 12] = [
        (&["USER", "ORGANIZATION_MEMBERSHIP"], Rule::One(&USER)),
        (&["GROUP", "GROUP_MEMBERSHIP", "ORGANIZATION_GROUP", "ORGANIZATION_GROUP_MEMBERSHIP"], Rule::One(&GROUP)),
        (
            &[
                "REALM_ROLE",
                "REALM_ROLE_MAPPING",
                "REALM_SCOPE_MAPPING",
                "CLIENT_ROLE",
                "CLIENT_ROLE_MAPPING",
                "CLIENT_SCOPE_MAPPING",
            ],
            Rule::One(&ROLE),
        ),
        (&["CLIENT", "CLIENT_INITIAL_ACCESS_MODEL", "CLUSTER_NODE"], Rule::One(&CLIENT)),
        (
            &["PROTOCOL_MAPPER", "IDENTITY_PROVIDER_MAPPER", "CLIENT_SCOPE", "CLIENT_SCOPE_CLIENT_MAPPING"],
            Rule::One(&MAPPER),
        ),
        (&["REALM"], Rule::One(&REALM)),
        (&["USER_SESSION"], Rule::One(&SESSION)),
        (&["ORGANIZATION"], Rule::One(&ORGANIZATION)),
        (&["AUTHORIZATION_POLICY", "AUTHORIZATION_RESOURCE", "AUTHORIZATION_SCOPE"], Rule::One(&POLICY)),
        (
            &["IDENTITY_PROVIDER", "COMPONENT", "USER_FEDERATION_PROVIDER", "USER_FEDERATION_MAPPER"],
            Rule::One(&PROVIDER),
        ),
        (&["AUTHENTICATOR_CONFIG", "REQUIRED_ACTION_CONFIG"], Rule::One(&AUTHENTICATOR_CONFIG)),
        (&[], Rule::One(&OTHER)),
    ];
    let last = &RULES[RULES.len() - 1];
    &RULES.iter().find(|(names, _)| names.contains(&resource_type)).unwrap_or(last).1
}

/// `admin.CLIENT-UPDATE` and `CLIENT-UPDATE` name the type where no field of its own does.
fn resource_type<'a>(seen: &Seen, text: &'a str) -> Cow<'a, str> {
    let named = seen.text(Slot::ResourceType, text).or_else(|| seen.text(Slot::ResourceTypeText, text));
    if let Some(named) = named {
        return named;
    }
    let kind = seen.text(Slot::Type, text).unwrap_or_default();
    let kind = kind.strip_prefix("admin.").unwrap_or(&kind);
    Cow::Owned(kind.rsplit_once('-').map_or(kind, |(name, _)| name).to_owned())
}

/// Redacts the noted representation; what is no JSON leaves a mark only.
pub(super) fn finish(walk: &mut Walk<'_>, key: &DeploymentKey) {
    let text = walk.text();
    let Some(span) = walk.seen.span(Slot::Representation) else { return };
    let raw = &text[span.start..span.end];
    if !raw.starts_with('"') {
        return;
    }
    let Some(inner) = walk.seen.text(Slot::Representation, text) else {
        walk.replace(span, format!("\"{}\"", mark_text(key, raw)));
        return;
    };
    if scalar::is_harmless(&inner) {
        return;
    }
    let resource = resource_type(&walk.seen, text);
    let mut inner_walk = Walk::new(&inner, key, MAX_NODES);
    let kept = match inner_walk.only(rule(&resource)) {
        Ok(_) if inner_walk.is_clean() => return,
        Ok(inner_span) => String::from_utf8(inner_walk.body(inner_span)).ok(),
        Err(_) => None,
    };
    let kept = kept.unwrap_or_else(|| mark_text(key, &inner));
    // A string always serialises; an empty one could not carry a secret either.
    walk.replace(span, serde_json::to_string(&kept).unwrap_or_else(|_| "\"\"".into()));
}
