//! What a round looks at. Events of the time that was touched, and of persons all that rules over persons ask for: of those of whom something
//! was said, or is said no more, of those whose account was closed or opened, and of those whom a gap concerned that is another now.
//! Nobody else's findings can be others than they were.

use super::{BASELINE, Detector, Memory, facts, gaps};
use crate::correlation::Touched;
use drift::{Facts, Rule, facts::Source, rules::Reach};
use std::collections::BTreeSet;
use store::{StoreError, drift_facts::DriftQuery, findings::Entry};

/// What one round judges.
pub(super) struct Looking {
    pub facts: Facts,
    /// Whose history the facts hold; none: everybody's.
    pub persons: Option<BTreeSet<String>>,
    /// The register.
    pub findings: Vec<Entry>,
}

impl Detector {
    /// Reads what a round judges. `since`: from when on events are read.
    pub(super) async fn look(
        &self,
        (touched, since): (&Touched, i64),
        memory: &mut Memory,
    ) -> Result<Looking, StoreError> {
        let (store, tenant) = (&self.reader.store, self.reader.tenant.as_str());
        // What an import brought may be older than what was known.
        let first = |source: &Source| source.first.filter(|first| *first <= since);
        let known = |source: &Source| Source { first: first(source), ..source.clone() };
        let known: Vec<Source> = memory.sources.iter().map(known).collect();
        let common = self.reader.common((self.clock)(), &known);
        let (mut facts, merged, findings) =
            tokio::try_join!(common, store.merged_accounts(tenant), store.register(tenant))?;
        // From when on a source was heard decides of everybody what can be judged.
        let everybody = touched.everybody || memory.sources != facts.sources;
        let spans = gaps::changed(&memory.gaps, &facts.gaps, &facts.sources);
        memory.sources.clone_from(&facts.sources);
        memory.gaps.clone_from(&facts.gaps);
        let looked = memory.baseline.as_ref().filter(|(at, _)| !touched.everybody && at.elapsed() < BASELINE);
        facts.baseline = match looked {
            Some((_, known)) => known.clone(),
            None => self.baseline(&facts.sources, memory).await?,
        };
        // Whose account is whose person is said by hand, and then so of all that was kept.
        let from = if memory.merged == merged { since } else { i64::MIN };
        memory.merged = merged;

        let all = DriftQuery { tenant, persons: None, from: i64::MIN, to: i64::MAX };
        let lately = DriftQuery { from, ..all };
        let time = (from, i64::MAX);
        let (renewed, of_time, guessed) =
            tokio::join!(memory.kept.renew(&self.reader, time), self.reader.of_time(time), self.reader.guessed(time));
        let mut persons = whole(renewed, &mut facts.cut)?;
        facts.acts.extend(whole(of_time, &mut facts.cut)?);
        facts.acts.extend(whole(guessed, &mut facts.cut)?);
        let out_list = memory.kept.out();
        let concerned = self.concerned(&spans, &facts, memory).await?;
        if !everybody {
            persons.extend(touched.persons.iter().cloned());
            persons.extend(concerned);
            persons.extend(self.found(touched, &findings, memory));
            if !out_list.is_empty() {
                let active = DriftQuery { persons: Some(&out_list), ..lately };
                let tokens = whole(store.drift_acts(&active, facts::TOKENS).await, &mut facts.cut)?;
                persons.extend(tokens.into_iter().flat_map(|act| [act.account, act.person]));
            }
        }
        let leavers = if everybody { out_list } else { facts::concerned(out_list, &memory.merged, &persons) };
        let of_whom: Vec<String> = persons.iter().cloned().collect();
        let decisions = async {
            let query = DriftQuery { persons: (!everybody).then_some(of_whom.as_slice()), ..all };
            if asks_nobody(&query) { Ok(Vec::new()) } else { store.drift_decisions(&query).await }
        };
        let tokens = async {
            let query = DriftQuery { persons: Some(&leavers), ..all };
            if asks_nobody(&query) { Ok(Vec::new()) } else { store.drift_acts(&query, facts::TOKENS).await }
        };
        let (decisions, tokens) = tokio::join!(decisions, tokens);
        facts.decisions = whole(decisions, &mut facts.cut)?.into_iter().map(facts::decision).collect();
        facts.acts.extend(whole(tokens, &mut facts.cut)?.into_iter().map(facts::act));
        facts.acts.extend(memory.kept.acts().cloned());
        facts::in_order(&mut facts.acts);
        if touched.everybody {
            memory.partly = facts.cut;
        }
        facts.partly = memory.partly;
        Ok(Looking { facts, persons: (!everybody).then_some(persons), findings })
    }

    /// Persons whose findings may be none, or others: a decision that they rest on is said otherwise, or somebody else wrote them. Where
    /// nobody tells what changed, all that rest on what a person did.
    fn found(&self, touched: &Touched, findings: &[Entry], memory: &Memory) -> BTreeSet<String> {
        let anybody = touched.anybody_retold || self.acknowledged.is_none();
        let of_a_person = |one: &&Entry| {
            !one.person.is_empty() && Rule::of(&one.rule).is_some_and(|rule| rule.reach == Reach::Persons)
        };
        let meant =
            |one: &&Entry| anybody || touched.retold.contains(&one.person) || !memory.known.contains(&one.finding_id);
        findings.iter().filter(of_a_person).filter(meant).map(|one| one.person.clone()).collect()
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

/// True if it names persons, and none.
fn asks_nobody(query: &DriftQuery<'_>) -> bool {
    query.persons.is_some_and(<[String]>::is_empty)
}

/// What was read; nothing, and `cut`, if that would be a part of what is there.
fn whole<T: Default>(read: Result<T, StoreError>, cut: &mut bool) -> Result<T, StoreError> {
    match read {
        Err(error @ StoreError::TooMany { .. }) => {
            tracing::warn!(%error, "The rules are judged over what comes from now on.");
            *cut = true;
            Ok(T::default())
        }
        read => read,
    }
}
