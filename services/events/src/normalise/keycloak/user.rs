//! User events: logins, logouts, tokens, consents, lockouts, self-service.
//!
//! The actor is empty unless somebody else acted (impersonation). What was typed into a login form for an unknown user can be a
//! password, so it never becomes a person's name.

use super::{
    Said,
    types::{DEPRECATED_TWINS, ERROR_SUFFIX, PLAIN_DETAILS, user_type},
};
use crate::{
    event::{Event, Outcome},
    normalise::{
        json,
        scope::{Scope, note, note_personal},
    },
};

/// Error of a login that found nobody.
const NOT_FOUND: &str = "user_not_found";

/// Fills `event` from a user event: (native type without prefix, what it says).
pub(super) fn event(scope: Scope<'_>, mut event: Event, told: (&str, &Said<'_>)) -> Event {
    let (native, said) = told;
    let bare = native.strip_suffix(ERROR_SUFFIX);
    if let Some((kind, data_class)) = user_type(bare.unwrap_or(native)) {
        kind.clone_into(&mut event.kind);
        event.data_class = data_class;
    }
    event.native_type = json::cut(native);
    event.outcome = if bare.is_some() || !event.error.is_empty() { Outcome::Failure } else { Outcome::Success };
    event.client = json::cut(&said.client);
    event.session_id = json::cut(&said.session_id);
    event.person_id = json::cut(&said.user_id);
    if DEPRECATED_TWINS.contains(&bare.unwrap_or(native)) {
        note(&mut event, "deprecated_twin", "true");
    }
    details(&mut event, said);
    if native.starts_with("CLIENT_LOGIN") && event.refresh_token_id.is_empty() && !event.session_id.is_empty() {
        // A session that lives for one request: the store leaves it out, so it must not be a canonical field.
        let transient = std::mem::take(&mut event.session_id);
        note(&mut event, "transient_session_id", &transient);
    }
    subject(&mut event, said);
    event.person = scope.keycloak_user(&event.person_id);
    if !event.actor_name.is_empty() {
        let realm = event.details.get("impersonator_realm").map_or("", String::as_str);
        event.actor = scope.named("user", &format!("{realm}/{}", event.actor_name));
        "impersonator".clone_into(&mut event.actor_kind);
    }
    event
}

/// Sorts the details into columns, plain details and personal ones; a key that nobody knows is taken for personal.
fn details(event: &mut Event, said: &Said<'_>) {
    for (key, value) in said.details.iter().take(json::MAX_ENTRIES) {
        let key = key.0.as_ref();
        let value = value.any();
        let value = value.as_ref();
        match key {
            "code_id" => event.code_id = json::cut(value),
            "token_id" => event.token_id = json::cut(value),
            "refresh_token_id" => event.refresh_token_id = json::cut(value),
            "updated_refresh_token_id" => event.new_refresh_token_id = json::cut(value),
            "username" => event.person_name = json::cut(value),
            "email" => event.person_email = json::cut(value),
            "impersonator" => event.actor_name = json::cut(value),
            "redirect_uri" => note(event, key, &json::host_and_path(value)),
            // On a failed refresh the user id is missing and this is the only name of the person.
            "refresh_token_sub" if event.person_id.is_empty() => event.person_id = json::cut(value),
            "refresh_token_sub" if event.person_id == value => {}
            _ if PLAIN_DETAILS.binary_search(&key).is_ok() => note(event, key, value),
            _ => note_personal(event, &json::cut(key), value),
        }
    }
}

/// Decides what the names say of the person.
fn subject(event: &mut Event, said: &Said<'_>) {
    if event.outcome == Outcome::Failure && (event.person_id.is_empty() || event.error == NOT_FOUND) {
        let typed = std::mem::take(&mut event.person_name);
        note_personal(event, "typed_username", &typed);
        return;
    }
    if event.person_name.is_empty() {
        event.person_name = json::cut(&said.username);
    } else if !said.username.is_empty() && said.username != event.person_name.as_str() {
        note_personal(event, "account_username", &said.username);
    }
}

#[cfg(test)]
mod tests {
    use super::PLAIN_DETAILS;

    #[test]
    fn plain_details_are_sorted() {
        assert!(PLAIN_DETAILS.windows(2).all(|pair| pair[0] < pair[1]), "binary search needs order");
    }
}
