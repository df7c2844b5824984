//! What rules ask of answers that can change long after the event that they judge: what those who gave a role had of it themselves, and what
//! was done in impersonated sessions. Looked up when such an event is new, and again now and then; whatever is said otherwise then is
//! judged again, however old it is.

use super::facts::{Reader, acted, had};
use drift::{
    Facts,
    facts::{Act, Acted, Had},
    finding,
    rules::MOMENT,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use store::{StoreError, correlation::RoleWays};
use tokio::time::Instant;
use uuid::Uuid;

/// The detail that says whether a Backstage role was saved with all its members.
const MEMBERS: &str = "members";
/// Looked up again no sooner than this.
const AGAIN: Duration = Duration::from_secs(10);
/// A look is followed by a rest of this many times its length: it walks along everything from which roles follow.
const REST: u32 = 20;
/// The same, where something new waits for it.
const REST_FOR_NEWS: u32 = 2;

/// The events, what was last said of them, and of which that changed.
#[derive(Default)]
pub(super) struct Lookups {
    acts: BTreeMap<(i64, Uuid), Act>,
    /// Events came or went since the last look.
    fresh: bool,
    /// When the next look is due, and when it may be for something new.
    due: Option<(Instant, Instant)>,
    /// The last look failed.
    failing: bool,
    answers: Answers,
    /// Events of which something else is said and that were not judged again yet.
    changed: BTreeSet<(i64, Uuid)>,
}

/// What was found.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Answers {
    pub givers: BTreeMap<Uuid, String>,
    pub had: Vec<Had>,
    pub acted: BTreeMap<Uuid, Acted>,
}

impl Lookups {
    /// Notes the events of a time, [from, to), as they were read anew.
    pub(super) fn take(&mut self, (from, to): (i64, i64), acts: &[Act]) {
        if from >= to {
            return;
        }
        let mut old = self.acts.split_off(&(from, Uuid::nil()));
        let mut later = old.split_off(&(to, Uuid::nil()));
        let now = acts.iter().filter(|act| (gives(act) || is_impersonation(act)) && (from..to).contains(&act.at));
        let now: BTreeMap<(i64, Uuid), Act> = now.map(|act| ((act.at, act.event), slim(act))).collect();
        self.fresh |= now != old;
        self.acts.extend(now);
        self.acts.append(&mut later);
    }

    /// Looks up what is due, up to `facts.ripe`. Where that fails, the rules that ask for it are silent, and no others. Answers true where it
    /// succeeds again: then all is to be judged anew.
    pub(super) async fn renew(&mut self, reader: &Reader, facts: &mut Facts) -> bool {
        let now = Instant::now();
        let is_due = |(due, for_news)| now >= due || (self.fresh && now >= for_news);
        let mut again = false;
        if reader.correlated && self.due.is_none_or(is_due) {
            let looked = reader.looked_up(&self.acts, facts.ripe).await;
            let took = now.elapsed();
            self.due = Some((now + took + AGAIN.max(took * REST), now + took * (1 + REST_FOR_NEWS)));
            match looked {
                Ok(answers) => {
                    self.answered(answers);
                    self.fresh = false;
                    again = std::mem::take(&mut self.failing);
                }
                Err(error) => {
                    tracing::warn!(%error, "What single events led to cannot be looked up now; it is tried again.");
                    self.failing = true;
                }
            }
        }
        facts.unanswered = self.failing;
        let Answers { givers, had, acted } = self.answers.clone();
        (facts.givers, facts.had, facts.acted) = (givers, had, acted);
        again
    }

    /// Gaps of these times, [from, to], are others than they were: how sure something is, and what may be missing, is said anew.
    pub(super) fn gaps_changed(&mut self, spans: &[(i64, i64)]) {
        let concerns = |act: &Act| {
            let within = |(since, until): &(i64, i64)| match is_impersonation(act) {
                true => *until >= act.at,
                false => *since <= act.at,
            };
            spans.iter().any(within)
        };
        self.changed.extend(self.acts.iter().filter(|(_, act)| concerns(act)).map(|(at, _)| *at));
    }

    fn answered(&mut self, answers: Answers) {
        let said = |answers: &Answers, act: &Act| {
            let person = answers.givers.get(&act.event).unwrap_or(&act.actor).clone();
            let of_them = |had: &&Had| had.person == act.person;
            let of_actor = |had: &&Had| had.person == person && had.role.eq_ignore_ascii_case(&act.right);
            let of = |had: &&Had| if is_impersonation(act) { of_them(had) } else { of_actor(had) };
            let had: Vec<Had> = answers.had.iter().filter(of).cloned().collect();
            (person, had, answers.acted.get(&act.event).cloned())
        };
        let changed = self.acts.iter().filter(|(_, act)| said(&self.answers, act) != said(&answers, act));
        self.changed.extend(changed.map(|(at, _)| *at));
        self.answers = answers;
    }

    /// Events that are to be judged again, and the ids of what may have been found of them: of those that are ripe.
    pub(super) fn again(&mut self, (tenant, ripe): (&str, i64)) -> (Vec<Act>, BTreeSet<Uuid>) {
        let unripe = self.changed.split_off(&(ripe.saturating_add(1), Uuid::nil()));
        let ripe = std::mem::replace(&mut self.changed, unripe);
        let acts: Vec<Act> = ripe.iter().filter_map(|at| self.acts.get(at)).cloned().collect();
        let rule = |act: &Act| if is_impersonation(act) { "D16" } else { "D05" };
        let ids = acts.iter().map(|act| finding::id((tenant, rule(act)), &act.event.to_string())).collect();
        (acts, ids)
    }

    /// These were not judged after all.
    pub(super) fn put_back(&mut self, acts: impl Iterator<Item = (i64, Uuid)>) {
        self.changed.extend(acts);
    }
}

/// The event with the details that are asked for when it is judged again.
fn slim(act: &Act) -> Act {
    let mut slim = Act { details: BTreeMap::new(), ..act.clone() };
    slim.details.extend(act.details.get_key_value(MEMBERS).map(|(name, value)| (name.clone(), value.clone())));
    slim
}

/// True if it gives a role to whoever is in a group or has another role, or gives one in a Backstage.
fn gives(act: &Act) -> bool {
    let kind = match act.kind.as_str() {
        "composite_added" | "backstage_role_member_added" => true,
        "role_granted" => act.person.is_empty(),
        _ => false,
    };
    kind && act.outcome != "failure" && !act.actor.is_empty() && !act.right.is_empty()
}

fn is_impersonation(act: &Act) -> bool {
    act.kind == "impersonated" && act.outcome == "success"
}

impl Reader {
    /// Asks for all of some events at once.
    pub(super) async fn looked_up(&self, acts: &BTreeMap<(i64, Uuid), Act>, ripe: i64) -> Result<Answers, StoreError> {
        let (store, tenant) = (&self.store, self.tenant.as_str());
        let (impersonations, grants): (Vec<&Act>, Vec<&Act>) = acts.values().partition(|act| is_impersonation(act));
        let mut answers = Answers::default();
        let privileged: BTreeSet<String> = self.settings.privileged.iter().map(|right| right.to_lowercase()).collect();
        let walks = !grants.is_empty() || (!impersonations.is_empty() && !privileged.is_empty());
        let ways = if walks { store.role_ways(tenant).await? } else { RoleWays::default() };
        if let (Some(first), Some(last)) = (grants.first(), grants.last()) {
            let of_backstage = grants.iter().filter(|act| act.kind == "backstage_role_member_added");
            let ids: Vec<Uuid> = of_backstage.map(|act| act.event).collect();
            answers.givers = store.role_givers(tenant, &ids, (first.at, last.at)).await?.into_iter().collect();
            let who = grants.iter().map(|act| answers.givers.get(&act.event).unwrap_or(&act.actor));
            let who: BTreeSet<String> = who.cloned().collect();
            let roles: BTreeSet<String> = grants.iter().map(|act| act.right.to_lowercase()).collect();
            let asked = (&Vec::from_iter(who)[..], &roles, &ways);
            let rows = store.rights_among(tenant, asked, (first.at.saturating_sub(MOMENT + 1), last.at)).await?;
            answers.had = rows.into_iter().map(had).collect();
        }
        if let Some(first) = impersonations.first() {
            let persons: BTreeSet<String> = impersonations.iter().map(|act| act.person.clone()).collect();
            let persons: Vec<String> = persons.into_iter().filter(|person| !person.is_empty()).collect();
            let rows = store.acted_as(tenant, &persons, (first.at, ripe.saturating_add(1))).await?;
            answers.acted = rows.into_iter().map(acted).collect();
            let last = impersonations.last().map_or(first.at, |last| last.at);
            let rows = store.rights_among(tenant, (&persons, &privileged, &ways), (first.at, last)).await?;
            answers.had.extend(rows.into_iter().map(had));
        }
        Ok(answers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn act(at: i64, kind: &str) -> Act {
        let text = |text: &str| text.to_owned();
        let event = Uuid::from_u128(at as u128);
        let person = if kind == "impersonated" { text("p") } else { String::new() };
        Act {
            event,
            at,
            kind: text(kind),
            outcome: text("success"),
            person,
            actor: text("a"),
            right: text("R"),
            ..Act::default()
        }
    }

    fn times(lookups: &mut Lookups, ripe: i64) -> Vec<i64> {
        lookups.again(("t", ripe)).0.iter().map(|act| act.at).collect()
    }

    #[test]
    fn only_what_is_said_otherwise_is_judged_again_and_only_once_it_is_ripe() {
        let mut lookups = Lookups::default();
        lookups.take((i64::MIN, i64::MAX), &[act(10, "composite_added"), act(20, "impersonated"), act(30, "login")]);
        assert!(std::mem::take(&mut lookups.fresh));
        lookups.take((5, i64::MAX), &[act(10, "composite_added"), act(20, "impersonated")]);
        assert!(!lookups.fresh, "the same again is no news");
        assert_eq!(times(&mut lookups, 100), [0_i64; 0]);
        let had = Had { person: "a".into(), role: "r".into(), ..Had::default() };
        let said =
            Answers { had: vec![had], acted: [(Uuid::from_u128(20), Acted::default())].into(), ..Answers::default() };
        lookups.answered(said.clone());
        assert_eq!((times(&mut lookups, 15), times(&mut lookups, 20)), (vec![10], vec![20]));
        lookups.answered(said);
        assert_eq!(times(&mut lookups, 100), [0_i64; 0]);
        lookups.gaps_changed(&[(11, 12)]);
        assert_eq!(times(&mut lookups, 100), [0_i64; 0], "after the grant, and before the impersonation");
        lookups.gaps_changed(&[(1, 12)]);
        assert_eq!(times(&mut lookups, 100), [10]);
        lookups.gaps_changed(&[(15, i64::MAX)]);
        assert_eq!(times(&mut lookups, 100), [20]);
        // A replay takes the second away; of a time that was not read nothing is forgotten.
        lookups.take((15, 25), &[]);
        assert_eq!((lookups.acts.len(), lookups.fresh), (1, true));
    }
}
