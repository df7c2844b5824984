//! Facts of Keycloak's user events: sessions, tokens, and the names a person had then.

use super::{EndKind, Ended, Fact, Grant, Issued, Refusal, What, detail, fact, federated};
use crate::moment::Rank;
use events::event::{Event, Outcome};

pub(super) fn facts<'a>(event: &'a Event, take: &mut dyn FnMut(Fact<'a>)) {
    let user = event.person_id.as_str();
    let session = session(event);
    if event.outcome == Outcome::Failure {
        if event.kind == "token_refreshed" && !event.refresh_token_id.is_empty() {
            let presented = &event.refresh_token_id;
            take(fact(event, Rank::Issue, What::Refused { user, session, presented, why: refusal(event) }));
        }
        return;
    }
    if user.is_empty() {
        return;
    }
    if !event.person_name.is_empty() || !event.person_email.is_empty() {
        let (username, email) = (&event.person_name, &event.person_email);
        take(fact(event, Rank::Login, What::Named { user, username, email }));
    }
    federated::facts(event, take);
    match event.kind.as_str() {
        "login" | "impersonated" => {
            if !session.is_empty() {
                let impersonator = if event.actor_kind == "impersonator" { &event.actor_name } else { "" };
                take(fact(event, Rank::Login, What::Login { user, session, client: &event.client, impersonator }));
            }
            // The password grant logs in and issues in one event.
            if !event.token_id.is_empty() {
                take(fact(event, Rank::Issue, What::Issued(issued(event, Grant::Password))));
            }
        }
        "token_issued" | "permission_token_issued" => {
            let grant = if event.native_type == "CODE_TO_TOKEN" { Grant::Code } else { Grant::Other };
            take(fact(event, Rank::Issue, What::Issued(issued(event, grant))));
        }
        "token_refreshed" => take(fact(event, Rank::Issue, What::Issued(issued(event, Grant::Refresh)))),
        "token_exchanged" => take(fact(event, Rank::Issue, What::Issued(issued(event, Grant::Exchange)))),
        "client_login" => {
            // Keycloak's own word: these credentials are the client's, whatever the user is called.
            if !event.client.is_empty() {
                take(fact(event, Rank::Login, What::ServiceAccount { user, client: &event.client }));
            }
            take(fact(event, Rank::Issue, What::Issued(issued(event, Grant::Client))));
        }
        "logout" => ended(event, EndKind::Logout, take),
        "grant_revoked" => ended(event, EndKind::RevokeGrant, take),
        "session_expired" => ended(event, EndKind::Expired, take),
        "user_registered" => take(fact(event, Rank::Change, What::UserCreated { user })),
        "user_deleted" => take(fact(event, Rank::Change, What::UserDeleted { user })),
        "user_locked_permanently" => take(fact(event, Rank::Change, What::Enabled { user, enabled: false })),
        _ => {}
    }
}

fn ended<'a>(event: &'a Event, how: EndKind, take: &mut dyn FnMut(Fact<'a>)) {
    let (user, session) = (event.person_id.as_str(), session(event));
    if !session.is_empty() {
        take(fact(event, Rank::End, What::Ended { which: Ended::One { session, user }, how }));
    }
}

/// By Keycloak's own words: `TokenManager.validateTokenReuse`, and `validateToken`, which has the second one too.
fn refusal(event: &Event) -> Refusal {
    match detail(event, "reason") {
        "Maximum allowed refresh token reuse exceeded" => Refusal::Reuse,
        "Stale token" => Refusal::Stale,
        _ => Refusal::Other,
    }
}

/// `code_id` is the session id wherever both are said.
fn session(event: &Event) -> &str {
    if event.session_id.is_empty() { &event.code_id } else { &event.session_id }
}

fn issued(event: &Event, grant: Grant) -> Issued<'_> {
    let (presented, refresh) = match grant {
        Grant::Refresh => (event.refresh_token_id.as_str(), event.new_refresh_token_id.as_str()),
        _ => ("", event.refresh_token_id.as_str()),
    };
    Issued {
        user: &event.person_id,
        session: session(event),
        client: &event.client,
        grant,
        access: &event.token_id,
        presented,
        refresh,
        offline: detail(event, "refresh_token_type") == "Offline",
    }
}
