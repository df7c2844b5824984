//! Whom only Keycloak or only a catalog knows: who is gone from Keycloak and stands in a catalog that was read completely long enough after
//! that, and who signs in to a Backstage that had time to have an entity of them and has none.

use super::Reader;
use drift::{
    Facts,
    orphan::{Orphan, Orphans, Side},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use store::{
    StoreError,
    orphans::{Catalog, CatalogRead},
};
use tokio::time::Instant;
use uuid::Uuid;

/// Who signed in longer ago is no user of that Backstage any more, milliseconds.
const ACTIVE: i64 = 30 * DAY;
const DAY: i64 = 86_400_000;
/// Whether a catalog was read anew, or somebody went, is looked at this often; all is asked for anew this often whatever was.
const AGAIN: Duration = Duration::from_secs(10);
const ANYWAY: Duration = Duration::from_secs(900);
/// How long after its end a read may be stored, milliseconds.
const STORED: i64 = DAY;

/// A Backstage, and the Keycloak that its people sign in through.
#[derive(Clone, Debug)]
pub struct SignIn {
    /// Source id of the Backstage.
    pub backstage: String,
    /// Source id of the Keycloak.
    pub keycloak: String,
    /// OAuth clients by which it signs people in; empty: any.
    pub clients: Vec<String>,
    /// How long the catalog may be behind Keycloak, milliseconds.
    pub budget: i64,
}

/// What was said last, when, and on what.
#[derive(Default)]
pub(super) struct Known {
    /// When to look again.
    next: Option<Instant>,
    asked: Option<Instant>,
    said: Orphans,
    /// The last complete read of each Backstage's catalog, and up to when it was looked for.
    reads: BTreeMap<String, CatalogRead>,
    until: Option<i64>,
    /// These reads, and how many are gone.
    by: (BTreeMap<String, CatalogRead>, usize),
}

/// An account that is gone: whose it is, of which source, since when, by which event, and whether that tells it or only shows it.
#[derive(Clone, Copy)]
struct Gone<'a> {
    person: &'a str,
    source: &'a str,
    at: i64,
    event: Uuid,
    told: bool,
}

/// What is held against what: a read of a catalog, who is gone, and by when the catalog could know it.
struct Asked<'a> {
    sign_in: &'a SignIn,
    read: &'a CatalogRead,
    gone: &'a BTreeMap<&'a str, Gone<'a>>,
    by: i64,
}

impl Asked<'_> {
    fn orphan(&self, (side, person): (Side, String), since: i64, evidence: Vec<(i64, Uuid)>) -> Orphan {
        let (backstage, keycloak) = (self.sign_in.backstage.clone(), self.sign_in.keycloak.clone());
        Orphan { side, backstage, keycloak, person, since, groups: Vec::new(), proven: false, evidence }
    }
}

impl Reader {
    /// What is known, of facts that hold all that was done to accounts; `from`: the earliest time of what was stored since the last time.
    /// What cannot be asked is said so, and ends nothing.
    pub(super) async fn orphans(&self, (facts, from): (&Facts, i64), known: &mut Known) -> Orphans {
        // An import brings reads of long ago.
        known.until = known.until.map(|until| until.min(from));
        let is_on = self.correlated && !self.settings.disabled.contains("D20");
        if is_on && known.next.is_none_or(|next| next <= Instant::now()) {
            let wait = match self.look_for_orphans(facts, known).await {
                Ok(()) => AGAIN,
                Err(error) => {
                    tracing::warn!(%error, "Whom Keycloak or Backstage alone knows cannot be asked; it is tried again.");
                    known.asked = None;
                    known.said.whole = false;
                    known.said.unjudged = vec![format!("whom Keycloak or Backstage alone knows ({error})")];
                    ANYWAY
                }
            };
            known.next = Some(Instant::now() + wait);
        }
        known.said.clone()
    }

    async fn look_for_orphans(&self, facts: &Facts, known: &mut Known) -> Result<(), StoreError> {
        let since = known.until.map_or(i64::MIN, |until| until.saturating_sub(STORED));
        for sign_in in &self.sign_ins {
            // What is not ripe may not be answered yet.
            let read = self.store.catalog_read((&self.tenant, &sign_in.backstage), (since, facts.ripe)).await?;
            known.reads.extend(read.map(|read| (sign_in.backstage.clone(), read)));
        }
        known.until = Some(facts.ripe);
        let merged = self.store.merged_accounts(&self.tenant).await?;
        let gone = gone(facts, &merged);
        let by = (known.reads.clone(), gone.len());
        if known.by == by && known.asked.is_some_and(|asked| asked.elapsed() < ANYWAY) {
            return Ok(());
        }
        let mut orphans = Orphans { whole: true, ..Orphans::default() };
        for sign_in in &self.sign_ins {
            let Some(read) = known.reads.get(&sign_in.backstage) else {
                orphans.whole = false;
                let SignIn { backstage, keycloak, .. } = sign_in;
                let why = format!("whom {backstage} or {keycloak} alone knows (no complete snapshot of its catalog)");
                orphans.unjudged.push(why);
                continue;
            };
            let asked = Asked { sign_in, read, gone: &gone, by: read.began.saturating_sub(sign_in.budget) };
            orphans.found.extend(self.entities(&asked).await?);
            if sign_in.clients.is_empty() {
                let why = format!("users without an entity in {} (its sign_in names no clients)", sign_in.backstage);
                orphans.unjudged.push(why);
                continue;
            }
            orphans.found.extend(self.strangers(&asked).await?);
        }
        self.tell_groups(&mut orphans.found).await?;
        (known.said, known.by, known.asked) = (orphans, by, Some(Instant::now()));
        Ok(())
    }

    fn catalog<'a>(&'a self, asked: &Asked<'a>) -> Catalog<'a> {
        Catalog { tenant: &self.tenant, backstage: &asked.sign_in.backstage, read: asked.read }
    }

    /// Whom a read lists though they were gone when the catalog could know it.
    async fn entities(&self, asked: &Asked<'_>) -> Result<Vec<Orphan>, StoreError> {
        let keycloak = &asked.sign_in.keycloak;
        let of = |gone: &&Gone<'_>| gone.at < asked.by && (gone.source.is_empty() || gone.source == keycloak);
        let persons: BTreeSet<&str> = asked.gone.values().filter(of).map(|gone| gone.person).collect();
        let persons: Vec<String> = persons.into_iter().map(str::to_owned).collect();
        let entities = self.store.standing_entities(self.catalog(asked), &persons).await?;
        let found = entities.into_iter().filter_map(|one| {
            let gone = asked.gone.get(one.account.as_str()).filter(of)?;
            let mut evidence = vec![(one.since, one.told_in), (gone.at, gone.event)];
            evidence.retain(|(_, event)| !event.is_nil());
            evidence.sort_unstable();
            let since = one.since.max(gone.at);
            Some(Orphan { proven: gone.told, ..asked.orphan((Side::Entity, one.account), since, evidence) })
        });
        Ok(found.collect())
    }

    /// Who signed in when the catalog could know it, is not gone, and has no entity.
    async fn strangers(&self, asked: &Asked<'_>) -> Result<Vec<Orphan>, StoreError> {
        let through = (asked.sign_in.keycloak.as_str(), &asked.sign_in.clients[..]);
        let time = (asked.by - ACTIVE, asked.by);
        let strangers = self.store.strangers(self.catalog(asked), through, time).await?.into_iter();
        let here = strangers.filter(|one| !asked.gone.contains_key(one.person.as_str()) && one.since < asked.by);
        Ok(here.map(|one| asked.orphan((Side::User, one.person), one.since, vec![(one.since, one.event_id)])).collect())
    }

    /// In which privileged groups they are; who is gone, was last.
    async fn tell_groups(&self, orphans: &mut [Orphan]) -> Result<(), StoreError> {
        if orphans.is_empty() || self.settings.privileged.is_empty() {
            return Ok(());
        }
        let groups: Vec<String> = self.settings.privileged.iter().cloned().collect();
        let mut of: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for member in self.store.members_now(&self.tenant, &groups).await? {
            of.entry(member.person).or_default().insert(member.group);
        }
        for orphan in orphans {
            orphan.groups = of.get(&orphan.person).into_iter().flatten().cloned().collect();
        }
        Ok(())
    }
}

/// Accounts that an event deleted, or that a complete read did not find any more, and of which nothing was heard since. Of a person who was
/// made of several accounts (account, person) a read does not say which one is gone.
fn gone<'a>(facts: &'a Facts, merged: &[(String, String)]) -> BTreeMap<&'a str, Gone<'a>> {
    let mut gone: BTreeMap<&str, Gone<'_>> = BTreeMap::new();
    let existence = || facts.missing.iter().filter(|one| one.right_kind == "existence" && !one.person.is_empty());
    let alone = |person: &str| !merged.iter().any(|(_, into)| into == person);
    for one in existence().filter(|one| one.what == "removal" && alone(&one.person)) {
        let event = one.evidence.last().copied().unwrap_or_default();
        let (person, source) = (one.person.as_str(), one.source.as_str());
        gone.insert(person, Gone { person, source, at: one.before, event, told: false });
    }
    for act in facts.acts.iter().filter(|act| act.kind == "user_deleted" && act.outcome != "failure") {
        if !act.account.is_empty() {
            let (person, source) = (act.person.as_str(), act.source.as_str());
            gone.insert(&act.account, Gone { person, source, at: act.at, event: act.event, told: true });
        }
    }
    // Listed again, or made anew under the same id (a realm that was put back).
    for one in existence().filter(|one| one.what != "removal") {
        if gone.get(one.person.as_str()).is_some_and(|gone| gone.at < one.before) {
            gone.remove(one.person.as_str());
        }
    }
    for act in
        facts.acts.iter().filter(|act| matches!(act.kind.as_str(), "user_created" | "user_updated" | "state_user"))
    {
        if act.outcome != "failure" && gone.get(act.account.as_str()).is_some_and(|gone| gone.at < act.began) {
            gone.remove(act.account.as_str());
        }
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;
    use drift::facts::{Act, Missing};

    fn act(at: i64, kind: &str, account: &str) -> Act {
        let (account, kind) = (account.to_owned(), kind.to_owned());
        Act { at, began: at, kind, person: account.clone(), account, outcome: "success".into(), ..Act::default() }
    }

    fn missing(before: i64, what: &str, person: &str) -> Missing {
        let (person, what) = (person.to_owned(), what.to_owned());
        Missing { person, what, before, right_kind: "existence".into(), ..Missing::default() }
    }

    #[test]
    fn who_comes_back_is_not_gone_and_of_several_accounts_a_read_names_none() {
        let acts = vec![
            act(10, "user_deleted", "a"),
            act(10, "user_deleted", "b"),
            act(20, "user_created", "b"),
            Act { outcome: "failure".into(), ..act(10, "user_deleted", "c") },
            Act { began: 5, ..act(15, "state_user", "a") },
        ];
        let missing = vec![
            missing(10, "removal", "d"),
            missing(10, "removal", "e"),
            missing(20, "grant", "e"),
            missing(10, "removal", "f"),
        ];
        let facts = Facts { acts, missing, ..Facts::default() };
        let merged = [("x".to_owned(), "f".to_owned())];
        assert_eq!(gone(&facts, &merged).into_keys().collect::<Vec<_>>(), ["a", "d"]);
    }
}
