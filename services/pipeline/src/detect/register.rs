//! What the register holds of what a round looked at: what was found again, and what becomes of what was not. Never holds more of the
//! register than was found, however large it is.

use super::Detector;
use drift::{
    Judged, RULES, Rule,
    register::{Held, Looked, Standing, Step, switched_off, taken_back},
    rules::Reach,
};
use std::collections::{BTreeMap, HashSet};
use store::{
    StoreError,
    register::{Entry, RegisterScope},
};
use uuid::Uuid;

/// Most findings that are taken back in one write.
const TOGETHER: usize = 10_000;

/// What the register says to what was found.
#[derive(Default)]
pub(super) struct Registered {
    /// What was found and is in the register.
    pub held: Vec<Held>,
    /// Steps of what was not found, and of what nobody looks for any more, by rule.
    pub back: BTreeMap<&'static str, Vec<Step>>,
    /// There are more of these: written, and asked for again.
    pub more: bool,
}

impl Detector {
    /// Holds what was found against the register.
    pub(super) async fn registered(
        &self,
        judged: &[(&Rule, Judged)],
        looked: Looked<'_>,
    ) -> Result<Registered, StoreError> {
        let (store, tenant) = (&self.reader.store, self.reader.tenant.as_str());
        let found = judged.iter().flat_map(|(_, judged)| &judged.found);
        let found: HashSet<Uuid> = found.map(|candidate| candidate.id(tenant)).collect();
        let mut missing = found.clone();
        let (mut registered, mut entries, mut steps) = (Registered::default(), Vec::new(), 0);
        let off = &self.reader.settings.disabled;
        let mut each = |entry: Entry| {
            let Some(rule) = Rule::of(&entry.rule) else { return };
            if found.contains(&entry.finding_id) {
                missing.remove(&entry.finding_id);
                return entries.push(entry);
            }
            let held = held(&entry);
            let step = if off.contains(rule.id) { switched_off(&held) } else { taken_back(rule, &held, looked) };
            match step {
                Some(_) if steps == TOGETHER => registered.more = true,
                Some(step) => {
                    steps += 1;
                    registered.back.entry(rule.id).or_default().push(step);
                }
                None => {}
            }
        };
        store.register(tenant, &self.scope(judged, looked), &mut each).await?;
        let speaks = |entry: &Entry| judged.iter().any(|(rule, _)| rule.id == entry.rule);
        let again: Vec<Uuid> = looked.again.into_iter().flatten().filter(|id| !found.contains(*id)).copied().collect();
        if !again.is_empty() {
            let entries = store.register_of(tenant, &again).await?;
            // What began in the time that was read came with that.
            let elsewhere = |entry: &Entry| !(looked.since..looked.until).contains(&entry.first_at);
            entries.into_iter().filter(|entry| speaks(entry) && elsewhere(entry)).for_each(&mut each);
        }
        // What is left is new, or was withdrawn, or is of a time or person that was looked at in part.
        if !missing.is_empty() {
            entries.extend(store.register_of(tenant, &Vec::from_iter(missing)).await?);
        }
        registered.held = entries.iter().map(held).collect();
        Ok(registered)
    }

    /// What may be taken back: of the rules that were judged what they looked at, of those that are switched off what stands.
    fn scope(&self, judged: &[(&Rule, Judged)], looked: Looked<'_>) -> RegisterScope {
        let of = |fits: fn(Reach) -> bool| {
            let rules = judged.iter().map(|(rule, _)| rule).filter(|rule| fits(rule.reach));
            rules.map(|rule| rule.id.to_owned()).collect()
        };
        let off = RULES.iter().filter(|rule| self.reader.settings.disabled.contains(rule.id));
        RegisterScope {
            whole: of(|reach| matches!(reach, Reach::All | Reach::Now)),
            timed: of(|reach| matches!(reach, Reach::Since { .. })),
            time: (looked.since, looked.until),
            personal: of(|reach| reach == Reach::Persons),
            persons: looked.persons.map(|persons| persons.iter().cloned().collect()),
            standing: off.map(|rule| rule.id.to_owned()).collect(),
        }
    }
}

fn held(entry: &Entry) -> Held {
    Held {
        id: entry.finding_id,
        rule: entry.rule.clone(),
        person: entry.person.clone(),
        first: entry.first_at,
        standing: match entry.standing.as_str() {
            "open" => Some(Standing::Open),
            "ended" => Some(Standing::Ended),
            "withdrawn" => Some(Standing::Withdrawn),
            _ => None,
        },
        changes: entry.changes,
        content: entry.content,
    }
}
