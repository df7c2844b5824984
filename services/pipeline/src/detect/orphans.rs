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
use store::StoreError;
use tokio::time::Instant;
use uuid::Uuid;

/// Who signed in longer ago is no user of that Backstage any more, milliseconds.
const ACTIVE: i64 = 30 * DAY;
const DAY: i64 = 86_400_000;
/// Whether a catalog was read anew, or somebody went, is looked at this often; all is asked for anew this often whatever was.
const AGAIN: Duration = Duration::from_secs(30);
const ANYWAY: Duration = Duration::from_secs(900);

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
    looked: Option<Instant>,
    asked: Option<Instant>,
    said: Orphans,
    /// The last complete read of each Backstage's catalog: when it began and ended.
    reads: BTreeMap<String, (i64, i64)>,
    /// These reads, and how many are gone.
    by: (BTreeMap<String, (i64, i64)>, usize),
}

/// An account that is gone: whose it is, since when, by which event, and whether that tells it or only shows it.
#[derive(Clone, Copy)]
struct Gone<'a> {
    person: &'a str,
    at: i64,
    event: Uuid,
    told: bool,
}

impl Reader {
    /// What is known, of facts that hold all that was done to accounts. What cannot be asked is said so, and ends nothing.
    pub(super) async fn orphans(&self, facts: &Facts, known: &mut Known) -> Orphans {
        let is_on = self.correlated && !self.settings.disabled.contains("D20");
        if is_on && known.looked.is_none_or(|looked| looked.elapsed() >= AGAIN) {
            if let Err(error) = self.look_for_orphans(facts, known).await {
                tracing::warn!(%error, "Whom Keycloak or Backstage alone knows cannot be asked; it is tried again.");
                known.asked = None;
                known.said.whole = false;
                known.said.unjudged = vec![format!("whom Keycloak or Backstage alone knows ({error})")];
            }
            known.looked = Some(Instant::now());
        }
        known.said.clone()
    }

    async fn look_for_orphans(&self, facts: &Facts, known: &mut Known) -> Result<(), StoreError> {
        for sign_in in &self.sign_ins {
            let last = known.reads.get(&sign_in.backstage).map(|read| read.1);
            let since = last.unwrap_or(i64::MIN);
            // What is not ripe may not be answered yet.
            let read = self.store.catalog_read((&self.tenant, &sign_in.backstage), (since, facts.ripe)).await?;
            known.reads.extend(read.map(|read| (sign_in.backstage.clone(), read)));
        }
        let gone = gone(facts);
        let by = (known.reads.clone(), gone.len());
        if known.by == by && known.asked.is_some_and(|asked| asked.elapsed() < ANYWAY) {
            return Ok(());
        }
        let mut orphans = Orphans { whole: true, ..Orphans::default() };
        for sign_in in &self.sign_ins {
            let Some((began, _)) = known.reads.get(&sign_in.backstage) else {
                orphans.whole = false;
                let why = format!(
                    "whom {} or {} alone knows (no complete snapshot of its catalog)",
                    sign_in.backstage, sign_in.keycloak
                );
                orphans.unjudged.push(why);
                continue;
            };
            // By then the catalog could know it.
            let by = began.saturating_sub(sign_in.budget);
            orphans.found.extend(self.entities(sign_in, &gone, by).await?);
            if sign_in.clients.is_empty() {
                let why = "users without an entity in {} (its sign_in names no clients)";
                orphans.unjudged.push(why.replace("{}", &sign_in.backstage));
                continue;
            }
            orphans.found.extend(self.strangers(sign_in, &gone, by).await?);
        }
        self.tell_groups(&mut orphans.found).await?;
        (known.said, known.by, known.asked) = (orphans, by, Some(Instant::now()));
        Ok(())
    }

    /// Who was gone by a time and stands in the catalog of a later read.
    async fn entities(
        &self,
        sign_in: &SignIn,
        gone: &BTreeMap<&str, Gone<'_>>,
        by: i64,
    ) -> Result<Vec<Orphan>, StoreError> {
        let persons: BTreeSet<&str> = gone.values().filter(|gone| gone.at < by).map(|gone| gone.person).collect();
        let persons: Vec<String> = persons.into_iter().map(str::to_owned).collect();
        let entities = self.store.standing_entities((&self.tenant, &sign_in.backstage), &persons).await?;
        let found = entities.into_iter().filter_map(|one| {
            let gone = gone.get(one.account.as_str()).filter(|gone| gone.at < by)?;
            let mut evidence = vec![(one.since, one.told_in), (gone.at, gone.event)];
            evidence.retain(|(_, event)| !event.is_nil());
            evidence.sort_unstable();
            Some(Orphan {
                side: Side::Entity,
                backstage: sign_in.backstage.clone(),
                keycloak: sign_in.keycloak.clone(),
                person: one.account,
                since: one.since.max(gone.at),
                groups: Vec::new(),
                proven: gone.told,
                evidence,
            })
        });
        Ok(found.collect())
    }

    /// Who signed in before a time, is not gone, and has no entity.
    async fn strangers(
        &self,
        sign_in: &SignIn,
        gone: &BTreeMap<&str, Gone<'_>>,
        by: i64,
    ) -> Result<Vec<Orphan>, StoreError> {
        let sources = (self.tenant.as_str(), sign_in.backstage.as_str(), sign_in.keycloak.as_str());
        let strangers = self.store.strangers(sources, &sign_in.clients, (by - ACTIVE, by)).await?;
        let here = strangers.into_iter().filter(|one| !gone.contains_key(one.person.as_str()) && one.since < by);
        let orphan = |one: store::orphans::Stranger| Orphan {
            side: Side::User,
            backstage: sign_in.backstage.clone(),
            keycloak: sign_in.keycloak.clone(),
            person: one.person,
            since: one.since,
            groups: Vec::new(),
            proven: false,
            evidence: vec![(one.since, one.event_id)],
        };
        Ok(here.map(orphan).collect())
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

/// Accounts that an event deleted, or that a complete read did not find any more.
fn gone(facts: &Facts) -> BTreeMap<&str, Gone<'_>> {
    let mut gone: BTreeMap<&str, Gone<'_>> = BTreeMap::new();
    let missing = facts.missing.iter().filter(|one| one.right_kind == "existence" && one.what == "removal");
    for one in missing.filter(|one| !one.person.is_empty()) {
        let event = one.evidence.last().copied().unwrap_or_default();
        gone.insert(&one.person, Gone { person: &one.person, at: one.before, event, told: false });
    }
    for act in facts.acts.iter().filter(|act| act.kind == "user_deleted" && act.outcome != "failure") {
        if !act.account.is_empty() {
            gone.insert(&act.account, Gone { person: &act.person, at: act.at, event: act.event, told: true });
        }
    }
    gone
}
