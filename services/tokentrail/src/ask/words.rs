//! What the words of the tables mean, said to a person. docs/data-model.md lists them all.

/// What a verdict says.
pub fn verdict(word: &str) -> &'static str {
    match word {
        "agrees" => "agrees with the rights held then",
        "granted_in_backstage" => "allowed by a role given in Backstage itself",
        "exposure" => "allowed although every supporting right was gone, within the time that this clock may take",
        "violation" => "allowed although every supporting right was gone, for longer than this clock may take",
        "pending_grant" => "denied although the right had been given: Backstage did not know yet",
        "conditional" => "left to conditions; nothing is wrong with the claims that were used",
        "name_collision" => "allowed because another Keycloak group of the same Backstage name has the role",
        "allowed_without_right" => "allowed, and nothing known supports it or ever did",
        "denied_with_right" => "denied although the right was held, and for longer than Backstage may take to know",
        "not_judged" => "not judged: no policy is known, or the call names no permission",
        _ => "a verdict that this program does not know",
    }
}

/// What a clock is.
pub fn clock(word: &str) -> &'static str {
    match word {
        "catalog" => "catalog: a role follows the catalog's last sync",
        "claims" => "claims: ownership follows the person's last Backstage token",
        "token" => "token: a disabled person keeps what they have until the token ends",
        "none" => "none: a role given in Backstage itself holds at once",
        _ => "a clock that this program does not know",
    }
}

/// Why a grade is no better.
pub(super) fn reason(word: &str) -> &'static str {
    match word {
        "no_person" => "the caller is a plugin, a static token, or names nobody",
        "not_tied" => "no annotation of the catalog ties the reference to a Keycloak user",
        "tie_seen_later" => "the tie to the Keycloak user was first seen later",
        "tied_by_name" => "tied by name alone, as the config allows",
        "several_users" => "several Keycloak users could bear the name",
        "entity_gone" => "the entity is gone from the catalog; the person is who it last was",
        "credential_of_another" => "the credential was issued when the reference stood for somebody else",
        "no_credential" => "no live credential is known",
        "no_issuing_line" => "no \"Issuing token\" line; only Keycloak's own tokens tell",
        "session_unsure" => "it is not certain which session the credential belongs to",
        "several_tokens" => "several tokens of the session were alive",
        "several_sessions" => "several sessions of the person were alive",
        "token_unseen" => {
            "Keycloak issued tokens of which no \"Issuing token\" line tells: another credential may be out"
        }
        "no_instance" => "the shipper does not name the instance",
        "straddles" => "a right changed within the time in which the decision can have been made",
        "rests_on_gap" => "an event is missing that this rests on",
        "policy_unknown" => "no policy is known that was in force",
        "possibly_stale" => "a group that the person had held was gone by then; whether it mattered is not known",
        "policy_unsure" => "policies were replaced without saying which",
        "rights_from_catalog" => "group memberships are known from the catalog alone",
        "disabled" => "the person was disabled or deleted in Keycloak",
        "shared_name" => "two Keycloak groups share the Backstage name",
        "claim_unexplained" => "a claim was used that no evidence explains",
        "claim_missing" => {
            "a group that is held for longer than claims may be old is not among the claims that were used"
        }
        "impersonated" => "an administrator acted as the person in a session that can stand behind it",
        "too_many_changes" => "too many changes to look back through",
        _ => "a reason that this program does not know",
    }
}

/// What a missing event was.
pub(super) fn missing(word: &str) -> &'static str {
    match word {
        "grant" => "was given, and no event says so",
        "removal" => "was taken away, and no event says so",
        _ => "changed, and no event says so",
    }
}

/// Milliseconds as seconds.
pub(super) fn seconds(ms: i64) -> String {
    format!("{}.{:03} s", ms / 1_000, ms.rem_euclid(1_000))
}
