//! What a round looks at. Events of the time that was touched, and of persons all that rules over persons ask for: of those of whom something
//! was said, or is said no more, of those whose account was closed or opened, and of those whom a gap concerned that is another now.
//! Nobody else's findings can be others than they were.

use super::{BASELINE, Detector, Memory, facts, gaps, parts::Part};
use crate::correlation::Touched;
use drift::{
    Facts, RULES,
    facts::{Act, Decision, Source},
    rules::Reach,
};
use std::collections::{BTreeMap, BTreeSet};
use store::{
    StoreError,
    drift_facts::DriftQuery,
    register::{Digests, FoundOf},
};
use uuid::Uuid;

/// What one round judges.
pub(super) struct Looking {
    pub facts: Facts,
    /// Whose history the facts hold; none: everybody's.
    pub persons: Option<BTreeSet<String>>,
    /// Their decisions are known from here on.
    pub latest: i64,
    /// Of which time events were read that are findings by themselves: UTC milliseconds, [from, to).
    pub events: (i64, i64),
    /// Findings about single events that were looked up again, whenever those were.
    pub again: BTreeSet<Uuid>,
    /// Which findings of persons were in the register.
    pub digests: Digests,
}

/// What persons did, as far as it fits into one look.
#[derive(Default)]
struct Done {
    decisions: Vec<Decision>,
    tokens: Vec<Act>,
    /// Decisions are known from here on.
    latest: i64,
}

/// Of no time: nothing began in it, and nothing is taken back.
const NOTHING: (i64, i64) = (i64::MAX, i64::MAX);

impl Detector {
    /// Reads what a round judges. `since`: from when on events are read; or it is a part.
    pub(super) async fn look(
        &self,
        (touched, since, part): (&Touched, i64, Option<&Part>),
        memory: &mut Memory,
    ) -> Result<Looking, StoreError> {
        let (store, tenant) = (&self.reader.store, self.reader.tenant.as_str());
        // What an import brought may be older than what was known.
        let first = |source: &Source| source.first.filter(|first| *first <= since);
        let known = |source: &Source| Source { first: first(source), ..source.clone() };
        let known: Vec<Source> = memory.sources.iter().map(known).collect();
        let common = self.reader.common((self.clock)(), &known);
        let rules = personal();
        let (mut facts, merged, digests) =
            tokio::try_join!(common, store.merged_accounts(tenant), store.register_digests(tenant, &rules))?;
        self.reader.tell_sources(&mut facts, &mut memory.evidence).await;
        // From when on a source was heard decides of everybody what can be judged.
        let everybody = touched.everybody || memory.sources != facts.sources;
        let spans = gaps::changed(&memory.gaps, &facts.gaps, &facts.sources);
        memory.sources.clone_from(&facts.sources);
        memory.gaps.clone_from(&facts.gaps);
        let looked = memory.baseline.as_ref().filter(|(at, _)| !touched.everybody && at.elapsed() < BASELINE);
        let mut latest = i64::MIN;
        facts.baseline = match looked {
            Some((_, known)) => known.clone(),
            None => self.baseline(&facts.sources, memory).await?,
        };
        // Whose account is whose person is said by hand, and then so of all that was kept.
        let from = if memory.merged == merged { since } else { i64::MIN };
        let events = match part {
            Some(Part::Time(from_then, to)) if from == since => (*from_then, *to),
            _ => (from, i64::MAX),
        };
        memory.merged = merged;
        if touched.everybody {
            memory.parts.clear();
        }

        let lately = DriftQuery::of(tenant, (from, i64::MAX));
        let (renewed, read) =
            tokio::join!(memory.kept.renew(&self.reader, (from, i64::MAX)), self.reader.events(events));
        let mut persons = whole(renewed, &mut facts.cut)?;
        let events = match read {
            Err(StoreError::TooMany { .. }) => {
                let first = facts.sources.iter().filter_map(|source| source.first).min().unwrap_or(facts.now);
                facts.cut |= !memory.parts.time(events, (first, facts.now));
                NOTHING
            }
            read => {
                let (acts, guessed) = read?;
                (facts.acts, facts.guessed) = (acts, Some(guessed));
                events
            }
        };
        memory.lookups.take(events, &facts.acts);
        if memory.lookups.renew(&self.reader, &mut facts).await {
            memory.queue.everything(facts.now);
        }
        memory.lookups.gaps_changed(&spans);
        let (acts, again) = memory.lookups.again((tenant, facts.ripe));
        let judged_again: Vec<(i64, Uuid)> = acts.iter().map(|act| (act.at, act.event)).collect();
        facts.acts.extend(acts);
        let concerned = self.concerned(&spans, &facts, memory).await?;
        match part {
            _ if everybody => {}
            // Alone, or it would be too much again. Whoever came up meanwhile has the next turn.
            Some(Part::Persons(alone)) => {
                persons.extend(concerned);
                if !persons.is_empty() {
                    let since = Some(facts.now);
                    memory.queue.at(i64::MIN, Touched { since, until: since, persons, ..Touched::default() });
                }
                persons = alone.clone();
            }
            _ => {
                persons.extend(touched.persons.iter().cloned());
                persons.extend(concerned);
                persons.extend(self.found(touched, &digests, memory).await?);
                let tokens = store.drift_acts_while((&lately, facts::TOKENS), &memory.kept.times()).await;
                let tokens = whole(tokens, &mut facts.cut)?;
                persons.extend(tokens.into_iter().flat_map(|act| [act.account, act.person]));
            }
        }
        let of_whom = (!everybody).then_some(&persons);
        let looked = match self.done(of_whom, memory).await {
            Err(StoreError::TooMany { .. }) => {
                match of_whom {
                    // In parts: nobody is judged now.
                    Some(persons) if persons.len() > 1 => memory.parts.halves(persons),
                    Some(_) => facts.cut = true,
                    None => memory.parts.everybody(self.everybody(memory).await?),
                }
                persons.clear();
                Some(persons)
            }
            done => {
                let done = done?;
                (facts.decisions, latest) = (done.decisions, done.latest);
                facts.acts.extend(done.tokens);
                (!everybody).then_some(persons)
            }
        };
        facts.acts.extend(memory.kept.acts().cloned());
        facts::in_order(&mut facts.acts);
        facts.orphans = self.reader.orphans((&facts, from), &mut memory.orphans).await;
        facts.configured = self.reader.configured((facts.ripe, from), &mut memory.configured).await?;
        if facts.cut || facts.unanswered {
            memory.lookups.put_back(judged_again.into_iter());
        }
        memory.partly = facts.cut || (memory.partly && !touched.everybody);
        (facts.partly, facts.parts) = (memory.partly, memory.parts.len());
        Ok(Looking { facts, persons: looked, latest, events, again, digests })
    }

    /// Decisions of persons (none: of everybody) that a rule may ask about, and what they did while they were out.
    async fn done(&self, persons: Option<&BTreeSet<String>>, memory: &Memory) -> Result<Done, StoreError> {
        let (store, tenant) = (&self.reader.store, self.reader.tenant.as_str());
        let named: Option<Vec<String>> = persons.map(|persons| persons.iter().cloned().collect());
        if named.as_ref().is_some_and(Vec::is_empty) {
            return Ok(Done { latest: i64::MIN, ..Done::default() });
        }
        let query = DriftQuery { persons: named.as_deref(), ..DriftQuery::of(tenant, (i64::MIN, i64::MAX)) };
        let mut times = memory.kept.times();
        if let Some(persons) = persons {
            let of = facts::concerned(times.iter().map(|one| one.0.clone()).collect(), &memory.merged, persons);
            let of: BTreeSet<String> = of.into_iter().collect();
            times.retain(|one| of.contains(&one.0));
        }
        let anybody = DriftQuery { persons: None, ..query };
        let (decisions, tokens) =
            tokio::join!(store.drift_decisions(&query), store.drift_acts_while((&anybody, facts::TOKENS), &times));
        let tokens = tokens?.into_iter().map(facts::act).collect();
        let mut latest = i64::MIN;
        let decisions = match (decisions, named.as_deref()) {
            (Err(StoreError::TooMany { .. }), Some([person])) => {
                let some = store.drift_latest_decisions(tenant, person).await?;
                latest = some.first().map_or(i64::MIN, |first| first.at.saturating_add(1));
                some
            }
            (decisions, _) => decisions?,
        };
        Ok(Done { decisions: decisions.into_iter().map(facts::decision).collect(), tokens, latest })
    }

    /// All persons of whom a rule may find something, or have found something, with how many decisions they have.
    async fn everybody(&self, memory: &Memory) -> Result<BTreeMap<String, u64>, StoreError> {
        let (store, tenant) = (&self.reader.store, self.reader.tenant.as_str());
        let mut counts: BTreeMap<String, u64> = store.drift_deciders(tenant).await?.into_iter().collect();
        let found = store.persons_found((tenant, &personal()), FoundOf::Anybody).await?;
        let out = memory.kept.acts().flat_map(|act| [&act.account, &act.person]);
        for person in out.chain(&found).filter(|person| !person.is_empty()) {
            counts.entry(person.clone()).or_default();
        }
        Ok(counts)
    }

    /// Persons whose findings may be none, or others: a decision that they rest on is said otherwise, or somebody else wrote them. Where
    /// nobody tells what changed, all that rest on what a person did.
    async fn found(&self, touched: &Touched, digests: &Digests, memory: &Memory) -> Result<Vec<String>, StoreError> {
        let (store, rules) = (&self.reader.store, personal());
        let whose = (self.reader.tenant.as_str(), &rules[..]);
        if touched.anybody_retold || self.acknowledged.is_none() {
            return store.persons_found(whose, FoundOf::Anybody).await;
        }
        let mut found = Vec::new();
        if !touched.retold.is_empty() {
            let retold: Vec<String> = touched.retold.iter().cloned().collect();
            found.extend(store.persons_found(whose, FoundOf::Persons(&retold)).await?);
        }
        let others = digests.iter().filter(|(bucket, digest)| memory.known.get(bucket) != Some(digest));
        let others: Vec<u16> = others.map(|(bucket, _)| *bucket).collect();
        if !others.is_empty() {
            found.extend(store.persons_found(whose, FoundOf::Buckets(&others)).await?);
        }
        Ok(found)
    }

    /// Whom gaps concerned that are others now: those who were let in while a credential may have been lost in one. What of it is not ripe
    /// (a source that is heard again holds the others back) is judged again when it is.
    async fn concerned(
        &self,
        spans: &[(i64, i64)],
        facts: &Facts,
        memory: &mut Memory,
    ) -> Result<BTreeSet<String>, StoreError> {
        let (store, tenant) = (&self.reader.store, self.reader.tenant.as_str());
        // A credential counts for as long as it lives.
        let life = facts.sources.iter().map(|source| source.token_life).max().unwrap_or_default();
        let mut concerned = BTreeSet::new();
        let mut again = false;
        for (since, until) in spans {
            let to = until.saturating_add(life).saturating_add(1);
            concerned.extend(store.drift_without_credential(tenant, (*since, to)).await?);
            again |= to > facts.ripe;
        }
        if again && !concerned.is_empty() {
            let touched = Touched { since: Some(facts.now), persons: concerned.clone(), ..Touched::default() };
            memory.queue.at(facts.now, touched);
        }
        Ok(concerned)
    }
}

/// Rules whose findings rest on what a person did.
pub(super) fn personal() -> Vec<&'static str> {
    RULES.iter().filter(|rule| rule.reach == Reach::Persons).map(|rule| rule.id).collect()
}

/// What was read; nothing, and `cut`, if that would be a part of what is there.
fn whole<T: Default>(read: Result<T, StoreError>, cut: &mut bool) -> Result<T, StoreError> {
    match read {
        Err(error @ StoreError::TooMany { .. }) => {
            tracing::warn!(%error, "Some of what is stored is not judged.");
            *cut = true;
            Ok(T::default())
        }
        read => read,
    }
}
