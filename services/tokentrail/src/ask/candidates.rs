//! What else could have stood behind a decision, and why each of it does not: credentials of the person, and roles whose policies speak
//! of the permission. The reasons are closed lists.

use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use store::{
    Store,
    correlation::{CredentialRecord, DecisionRecord, EffectiveRecord},
};
use uuid::Uuid;

/// Credentials and roles that are looked at, at most.
const MOST: usize = 50;
/// Credentials are looked for as far back as this many times the life of a token.
const LIVES_BACK: i64 = 2;

/// Why a credential stands behind a decision, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialWhy {
    /// The latest that was alive.
    Taken,
    /// Alive too; a later one is taken, and which was used is in no line.
    LaterOneTaken,
    /// Issued longer ago than a token lives.
    Expired,
}

/// Why a role supports a decision, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RoleWhy {
    /// It is among the grounds.
    Taken,
    /// Its policy denies.
    Denies,
    /// The person had it before, and no more.
    TakenAway,
    /// The person had it, and may not sign in.
    Disabled,
    /// The person had it by then, and the decision does not rest on it.
    HeldToo,
    /// The person never had it, as far as is known.
    NeverHeld,
}

/// A credential.
#[derive(Serialize)]
pub struct Credential {
    event: Uuid,
    at: i64,
    session: String,
    why: CredentialWhy,
}

/// A role with a policy that speaks of the permission.
#[derive(Serialize)]
pub struct Role {
    role: String,
    policy: String,
    why: RoleWhy,
    /// Until when the person had it.
    until: Option<i64>,
}

/// Everything that was considered.
#[derive(Default, Serialize)]
pub struct Candidates {
    credentials: Vec<Credential>,
    roles: Vec<Role>,
}

/// Looks at everything that could have been a ground. `life`: of a token, milliseconds, where it is declared.
pub async fn find(
    store: &Store,
    tenant: &str,
    (decision, life): (&DecisionRecord, Option<i64>),
) -> anyhow::Result<Candidates> {
    if decision.person.is_empty() {
        return Ok(Candidates::default());
    }
    let persons = vec![decision.person.clone()];
    let issued = store.records_of::<CredentialRecord>(tenant, &persons, decision.at.saturating_add(1)).await?;
    let credentials = credentials(&issued, decision, life);
    let mut roles = Vec::new();
    if !decision.permission.is_empty() {
        let (mut named, mut actions) = (BTreeSet::from([decision.permission.clone()]), BTreeSet::new());
        for (kind, action) in store.asked_with(tenant, &decision.permission).await? {
            named.extend(Some(kind).filter(|kind| !kind.is_empty()));
            actions.extend(Some(action).filter(|action| !action.is_empty()));
        }
        let had = store.rights_of(tenant, &decision.person, (i64::MIN, decision.at)).await?;
        for policy in store.policies_at(tenant, decision.at).await? {
            let mut parts = policy.held.splitn(3, '|');
            let (permission, does) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let fits = actions.is_empty() || does.split(',').any(|action| actions.contains(action));
            if named.contains(permission) && fits {
                let (why, until) = role(&had, decision, (&policy.holder, &policy.held));
                roles.push(Role { role: policy.holder, policy: policy.held, why, until });
            }
        }
        roles.truncate(MOST);
    }
    Ok(Candidates { credentials, roles })
}

fn credentials(issued: &[CredentialRecord], decision: &DecisionRecord, life: Option<i64>) -> Vec<Credential> {
    let reach = life.map_or(i64::MIN, |life| decision.at.saturating_sub(life.saturating_mul(LIVES_BACK)));
    let own = issued.iter().filter(|one| one.reference == decision.reference && one.at >= reach);
    let why = |one: &CredentialRecord| match life {
        _ if one.event_id == decision.credential => CredentialWhy::Taken,
        Some(life) if one.at <= decision.at.saturating_sub(life) => CredentialWhy::Expired,
        _ => CredentialWhy::LaterOneTaken,
    };
    let told =
        own.map(|one| Credential { event: one.event_id, at: one.at, session: one.session_id.clone(), why: why(one) });
    let mut told: Vec<Credential> = told.collect();
    told.split_off(told.len().saturating_sub(MOST))
}

/// Of a role and its policy, by what the person had up to the decision.
fn role(had: &[EffectiveRecord], decision: &DecisionRecord, (role, policy): (&str, &str)) -> (RoleWhy, Option<i64>) {
    if decision.support.iter().any(|path| path.3 == role && path.4 == policy) {
        return (RoleWhy::Taken, None);
    }
    if policy.ends_with("|deny") {
        return (RoleWhy::Denies, None);
    }
    let of = |one: &&EffectiveRecord| {
        one.right_kind == "permission" && one.right_id == policy && one.path.last().is_some_and(|last| last == role)
    };
    let held: Vec<&EffectiveRecord> = had.iter().filter(of).collect();
    let now = |one: &&&EffectiveRecord| one.held_to.is_none_or(|end| end > decision.at);
    match held.iter().find(now) {
        Some(one) if one.is_disabled == 1 => (RoleWhy::Disabled, None),
        Some(_) => (RoleWhy::HeldToo, None),
        None if held.is_empty() => (RoleWhy::NeverHeld, None),
        None => (RoleWhy::TakenAway, held.iter().filter_map(|one| one.held_to).max()),
    }
}

impl Candidates {
    /// Lines for people: what each is, and why it is no ground. What is taken is said elsewhere.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        use crate::status::moment;
        let mut out = Vec::new();
        for one in self.credentials.iter().filter(|one| one.why != CredentialWhy::Taken) {
            let why = match one.why {
                CredentialWhy::Expired => "longer ago than a token lives",
                _ => "alive too; which was used is in no line, so the latest is taken",
            };
            out.push(("not", format!("credential issued {}: {why}", moment(one.at))));
        }
        let mut roles: BTreeMap<(&str, String), Vec<&str>> = BTreeMap::new();
        for one in self.roles.iter().filter(|one| one.why != RoleWhy::Taken) {
            let why = match (one.why, one.until) {
                (RoleWhy::Denies, _) => "its policy denies".to_owned(),
                (RoleWhy::TakenAway, Some(until)) => format!("had until {}", moment(until)),
                (RoleWhy::Disabled, _) => "had, but the account was disabled".to_owned(),
                (RoleWhy::HeldToo, _) => "had by then, and not what this rests on".to_owned(),
                _ => "never had, as far as is known".to_owned(),
            };
            roles.entry((&one.role, why)).or_default().push(&one.policy);
        }
        for ((role, why), policies) in roles {
            out.push(("not", format!("{role} ({}): {why}", policies.join("; ").replace('|', " "))));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision() -> DecisionRecord {
        let support =
            vec![(String::new(), String::new(), String::new(), "role:a".to_owned(), "p|use|allow".to_owned(), None)];
        DecisionRecord {
            at: 1_000_000,
            reference: "user:x".into(),
            credential: Uuid::from_u128(2),
            support,
            ..Default::default()
        }
    }

    #[test]
    fn a_credential_is_the_latest_alive_or_refused_with_its_reason() {
        let one = |number: u128, at| CredentialRecord {
            event_id: Uuid::from_u128(number),
            at,
            reference: "user:x".into(),
            ..Default::default()
        };
        let other = CredentialRecord { reference: "user:y".into(), ..one(9, 950_000) };
        let issued = [one(7, 100_000), one(3, 550_000), one(1, 700_000), other, one(2, 900_000)];
        let told = credentials(&issued, &decision(), Some(400_000));
        let told: Vec<(u128, CredentialWhy)> = told.iter().map(|one| (one.event.as_u128(), one.why)).collect();
        let expected = [(3, CredentialWhy::Expired), (1, CredentialWhy::LaterOneTaken), (2, CredentialWhy::Taken)];
        assert_eq!(told, expected, "and nothing that lies back further, or is another's");
    }

    #[test]
    fn a_role_is_among_the_grounds_or_refused_with_its_reason() {
        let had = |role: &str, held_to, is_disabled| EffectiveRecord {
            person: "p".into(),
            source_id: "bs".into(),
            right_kind: "permission".into(),
            right_id: "p|use|allow".into(),
            path: vec![role.to_owned()],
            held_from: None,
            held_to,
            granted_at: None,
            granted_by: String::new(),
            granted_in: Uuid::nil(),
            rests_on_gap: 0,
            by_default: 0,
            is_disabled,
        };
        let had = [had("role:gone", Some(800_000), 0), had("role:off", None, 1), had("role:too", None, 0)];
        let why = |role: &str, policy: &str| super::role(&had, &decision(), (role, policy));
        assert_eq!(why("role:a", "p|use|allow"), (RoleWhy::Taken, None));
        assert_eq!(why("role:a", "p|use|deny"), (RoleWhy::Denies, None));
        assert_eq!(why("role:gone", "p|use|allow"), (RoleWhy::TakenAway, Some(800_000)));
        assert_eq!(why("role:off", "p|use|allow"), (RoleWhy::Disabled, None));
        assert_eq!(why("role:too", "p|use|allow"), (RoleWhy::HeldToo, None));
        assert_eq!(why("role:b", "p|use|allow"), (RoleWhy::NeverHeld, None));
    }
}
