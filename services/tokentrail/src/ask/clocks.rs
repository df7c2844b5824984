//! On which clock `access` answers: as Keycloak has it, or as a Backstage knows it, which hears of changes later.
//!
//! The clocks are those of decisions (docs/correlation.md): roles follow the catalog's last sync, ownership the claims of the last token, and who
//! was closed keeps what they have until their token ends.

use crate::{config::Config, status::moment};
use correlate::Join;
use serde::Serialize;
use store::{
    Store,
    correlation::{CredentialRecord, EffectiveRecord, Heard, OfAccounts},
};

/// The latest tokens of a person among which that of one Backstage is looked for.
const TOKENS_MOST: usize = 64;

/// By whose knowledge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// At once: what somebody was entitled to.
    Keycloak,
    /// What each Backstage allowed by roles: as Keycloak was when its catalog was read last.
    Catalog,
    /// What it left to conditions: as the catalog was when the person's last token was issued.
    Claims,
    /// What a token that lives still opens, whether the account was closed or not.
    Token,
}

/// What one Backstage goes by.
#[derive(Serialize)]
pub struct Known {
    /// Source id.
    pub backstage: String,
    /// When it read Keycloak, as far as that counts; none: nothing tells, or no token lives.
    pub heard_at: Option<i64>,
    /// The person's last token, if it lives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<LiveToken>,
}

/// A Backstage token that can be alive.
#[derive(Serialize)]
pub struct LiveToken {
    /// When it was issued.
    pub issued_at: i64,
    /// By when it has ended.
    pub ends_by: i64,
    /// The owner claims that it was issued with.
    pub claims: Vec<String>,
}

/// What a person has at an instant in every Backstage by a clock that is not Keycloak's own.
pub(super) async fn rights(
    store: &Store,
    config: &Config,
    (person, at): (&str, i64),
    clock: Clock,
) -> anyhow::Result<(Vec<Known>, Vec<EffectiveRecord>)> {
    let (mut known, mut rights) = (Vec::new(), Vec::new());
    for join in config.joins() {
        let token = match clock {
            Clock::Claims | Clock::Token => live_token(store, config, (person, at), &join).await?,
            Clock::Keycloak | Clock::Catalog => None,
        };
        let tenant = &config.tenant;
        let synced = |at| store.catalog_synced(tenant, &join.backstage, at);
        let heard_at = match (clock, &token) {
            (Clock::Catalog, _) => synced(at).await?,
            (Clock::Claims, Some(token)) => synced(token.issued_at).await?,
            (Clock::Token, Some(_)) => Some(at),
            _ => None,
        };
        if let Some(heard) = heard_at {
            let of_accounts = if clock == Clock::Token { OfAccounts::Unheard } else { OfAccounts::Heard };
            let heard = Heard { backstage: join.backstage.clone(), at: heard, of_accounts };
            let mut found = store.rights_as_heard(tenant, (person, at), &heard).await?;
            found.retain(|right| clock != Clock::Claims || right.right_id.ends_with("|conditional"));
            rights.extend(found);
        }
        known.push(Known { backstage: join.backstage, heard_at, token });
    }
    Ok((known, rights))
}

/// The last token that a Backstage issued to a person, if it can be alive.
async fn live_token(
    store: &Store,
    config: &Config,
    (person, at): (&str, i64),
    join: &Join,
) -> anyhow::Result<Option<LiveToken>> {
    let issued =
        store.records_of::<CredentialRecord>(&config.tenant, &[person.to_owned()], at.saturating_add(1)).await?;
    let alive = issued.iter().rev().filter(|token| token.at.saturating_add(join.token_life) > at).take(TOKENS_MOST);
    let alive: Vec<&CredentialRecord> = alive.collect();
    let ids: Vec<_> = alive.iter().map(|token| token.event_id).collect();
    let events = store.events_named(&config.tenant, &ids).await?;
    let is_own = |token: &&&CredentialRecord| {
        events.iter().any(|one| one.event.event_id == token.event_id && one.event.source_id == join.backstage)
    };
    Ok(alive.iter().find(is_own).map(|token| LiveToken {
        issued_at: token.at,
        ends_by: token.at.saturating_add(join.token_life),
        claims: token.claims.clone(),
    }))
}

/// What is gone by, for people.
pub(super) fn lines(clock: Clock, known: &[Known]) -> String {
    let line = |known: &Known| {
        let (backstage, heard) = (&known.backstage, known.heard_at.map(moment));
        let what = match (clock, &known.token, heard) {
            (Clock::Keycloak, ..) => return String::new(),
            (Clock::Catalog, _, Some(heard)) => format!("its catalog read Keycloak at {heard}"),
            (Clock::Catalog, _, None) => "nothing tells that its catalog read Keycloak in the month before".to_owned(),
            (_, None, _) => "no token of theirs can be alive then".to_owned(),
            (Clock::Token, Some(token), _) => {
                format!("a token of {} can be alive until {}", moment(token.issued_at), moment(token.ends_by))
            }
            (Clock::Claims, Some(token), heard) => {
                let claims = if token.claims.is_empty() { "none".to_owned() } else { token.claims.join(", ") };
                let issued = moment(token.issued_at);
                let read = heard.map_or_else(
                    || "nothing tells when its catalog had read Keycloak".to_owned(),
                    |heard| format!("its catalog had read Keycloak at {heard}"),
                );
                format!("a token of {issued} names the claims {claims}; {read}")
            }
        };
        format!("  {backstage}: {what}\n")
    };
    known.iter().map(line).collect()
}
