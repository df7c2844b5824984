//! Lets go of what says nothing new while it is read in order of time. It carries what it must know of all that came before: where one
//! answer ends and the next one begins makes no difference. Pure.

use drift::{
    facts::Act,
    rules::{Accounts, makes_realm},
};
use std::collections::{BTreeMap, btree_map::Entry};
use store::StoreError;
use uuid::Uuid;

/// What a snapshot says of a realm's recording, each time.
pub(super) const READ: &str = "state_events_config";
/// By how much a clock may be said to be off at most (`correlation.skew_ms`), milliseconds.
const SKEW_MOST: i64 = 3_600_000;
/// Most events that are kept of recording, and as many of accounts.
const KEPT_MOST: u32 = 200_000;

/// When an event was, and which one it is.
pub(super) type Key = (i64, Uuid);

/// What is kept of what is read.
#[derive(Default)]
pub(super) struct Thin {
    /// Of realms: source and name.
    runs: BTreeMap<(String, String), Run>,
    accounts: Accounts,
    pub new: BTreeMap<Key, Act>,
    /// What was kept before and is not needed any more.
    pub gone: Vec<Key>,
    /// How many are kept, with those from before.
    count: usize,
}

/// Reads of a realm's recording that say the same, and nothing between them.
struct Run {
    since: i64,
    hash: String,
    /// Whether one was there that began behind all that is older than they are.
    is_told: bool,
    /// The last one behind that.
    last: Option<Key>,
}

impl Thin {
    /// Goes on behind what was kept of an earlier time, in order.
    pub fn behind<'a>(kept: impl Iterator<Item = &'a Act>) -> Self {
        let mut thin = Self::default();
        for act in kept {
            thin.says_anew(act);
            thin.count += 1;
        }
        thin
    }

    /// Takes the next one. Those of one account, and those of one realm, come in order of time.
    pub fn take(&mut self, act: Act) -> Result<(), StoreError> {
        if self.says_anew(&act) {
            self.new.insert((act.at, act.event), act);
            self.count += 1;
        }
        if self.count > KEPT_MOST as usize {
            return Err(StoreError::TooMany { what: "events to be kept", most: KEPT_MOST });
        }
        Ok(())
    }

    fn says_anew(&mut self, act: &Act) -> bool {
        let place = |realm: &str| (act.source.clone(), realm.to_owned());
        match act.kind.as_str() {
            READ => {
                let hash = act.details.get("hash").map(String::as_str).unwrap_or_default();
                self.read(act, (place(&act.realm), hash));
                true
            }
            // It stands in the realm of whoever made the new one.
            "realm_created" => {
                makes_realm(act).map(|made| self.runs.remove(&place(made)));
                true
            }
            "audit_config_changed" | "realm_updated" | "state_realm" => {
                self.runs.remove(&place(&act.realm));
                true
            }
            _ => self.accounts.says_anew(act),
        }
    }

    /// Reads that say the same on and on stay up to the first one that surely began behind what was told before, and the last one, from
    /// which on it may be otherwise.
    fn read(&mut self, act: &Act, (place, hash): ((String, String), &str)) {
        let new = Run { since: act.at, hash: hash.to_owned(), is_told: false, last: None };
        let run = match self.runs.entry(place) {
            Entry::Vacant(vacant) => {
                vacant.insert(new);
                return;
            }
            Entry::Occupied(occupied) => occupied.into_mut(),
        };
        if run.hash != hash || hash.is_empty() {
            *run = new;
            return;
        }
        // One that began earlier may not be believed: it stands for no other.
        if act.began <= run.since.saturating_add(SKEW_MOST) {
            return;
        }
        let before = if run.is_told { run.last.replace((act.at, act.event)) } else { None };
        run.is_told = true;
        if let Some(key) = before {
            if self.new.remove(&key).is_none() {
                self.gone.push(key);
            }
            self.count = self.count.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drift::{
        Facts, Rule, Settings,
        facts::{Decision, Product, Source},
    };
    use proptest::prelude::*;

    const MINUTE: i64 = 60_000;

    fn act(n: usize, (minute, kind): (i64, &str), (name, value): (&str, &str)) -> Act {
        let details = [(name.to_owned(), value.to_owned())].into();
        let (at, event) = (minute * MINUTE, Uuid::from_u128(n as u128));
        let outcome = match n % 11 {
            _ if kind.starts_with("state_") => "unknown",
            10 => "failure",
            _ => "success",
        };
        let (kind, outcome, source) = (kind.to_owned(), outcome.to_owned(), "kc".to_owned());
        Act { event, at, began: at - 1, kind, outcome, source, details, ..Act::default() }
    }

    /// What is done to two realms' recording: mostly reads that say the same, many of them of one instant, and some that began long before.
    fn recording() -> impl Strategy<Value = Vec<Act>> {
        let others = prop::sample::select(vec!["audit_config_changed", "state_realm", "realm_created"]);
        let kind = prop_oneof![12 => Just(READ), 1 => others];
        let says = prop_oneof![12 => Just(0_usize), 1 => 1..3_usize];
        let early = prop_oneof![4 => Just(0_i64), 1 => 0..90_i64];
        prop::collection::vec((0..900_i64, kind, 0..2_usize, says, early), 0..80).prop_map(|mut all| {
            all.sort_unstable();
            let each = all.into_iter().enumerate().map(|(n, (minute, kind, realm, says, early))| {
                let (name, value) = match kind {
                    READ => ("hash", ["a", "b", ""][says]),
                    "realm_created" => ("changed_realm", ["acme", "beta", ""][says]),
                    _ => ("events_enabled", ["true", "false", ""][says]),
                };
                let mut act = act(n, (minute, kind), (name, value));
                act.realm = if kind == "realm_created" { "master" } else { ["acme", "beta"][realm] }.to_owned();
                if kind == READ {
                    let on = if value == "a" { "true" } else { "false" };
                    act.details.insert("eventsEnabled".into(), on.into());
                }
                act.began -= early * MINUTE;
                act
            });
            each.collect()
        })
    }

    /// What is done to two accounts.
    fn accounts() -> impl Strategy<Value = Vec<Act>> {
        let kinds =
            ["state_user", "state_user", "user_updated", "user_created", "user_deleted", "user_locked_permanently"];
        let one = (0..60_i64, prop::sample::select(kinds.to_vec()), 0..2_usize, 0..3_usize);
        prop::collection::vec(one, 0..40).prop_map(|mut all| {
            all.sort_unstable();
            let each = all.into_iter().enumerate().map(|(n, (minute, kind, account, enabled))| {
                let act = act(n, (minute, kind), ("enabled", ["true", "false", ""][enabled]));
                let account = ["a", "b"][account].to_owned();
                Act { person: account.clone(), account, ..act }
            });
            each.collect()
        })
    }

    /// Thinned as a whole, as the words above say it: of reads in a row that say the same, with nothing else of their realm between them,
    /// those are let go that tell and are neither the first nor the last of these.
    fn as_a_whole(acts: &[Act]) -> Vec<Uuid> {
        let hash = |act: &Act| act.details.get("hash").cloned().unwrap_or_default();
        let touches = |act: &Act, realm: &str| match act.kind.as_str() {
            "realm_created" => makes_realm(act) == Some(realm),
            _ => act.realm == realm,
        };
        let is_like = |one: &Act, other: &Act| one.kind == READ && !hash(one).is_empty() && hash(one) == hash(other);
        let is_kept = |(place, act): &(usize, &Act)| {
            let of_realm = |other: &&Act| touches(other, &act.realm);
            let like = |other: &&Act| is_like(other, act);
            let earlier = || acts[..*place].iter().rev().filter(of_realm).take_while(like);
            let mut later = acts[place + 1..].iter().filter(of_realm).take_while(like);
            let since = earlier().last().map_or(act.at, |first| first.at);
            let tells = |one: &Act| one.began > since + SKEW_MOST;
            act.kind != READ || !tells(act) || !earlier().any(tells) || !later.any(tells)
        };
        acts.iter().enumerate().filter(is_kept).map(|(_, act)| act.event).collect()
    }

    fn kept(thin: &Thin) -> Vec<Uuid> {
        thin.new.values().map(|act| act.event).collect()
    }

    fn thinned(acts: &[Act]) -> Thin {
        let mut thin = Thin::default();
        acts.iter().cloned().for_each(|act| thin.take(act).unwrap());
        thin
    }

    /// As looks read it one after another, each from what the one before kept.
    fn in_looks(acts: &[Act], mut cuts: Vec<usize>) -> Vec<Uuid> {
        cuts.sort_unstable();
        let mut all: BTreeMap<Key, Act> = BTreeMap::new();
        let mut from = 0;
        for to in cuts.into_iter().map(|cut| cut.min(acts.len())).chain([acts.len()]) {
            let mut thin = Thin::behind(all.values());
            acts[from..to].iter().cloned().for_each(|act| thin.take(act).unwrap());
            thin.gone.iter().for_each(|key| drop(all.remove(key).unwrap()));
            all.extend(thin.new);
            assert_eq!(thin.count, all.len(), "counted as they are kept");
            from = to;
        }
        all.values().map(|act| act.event).collect()
    }

    /// What a rule says of some events, in the order of time.
    fn judged(rule: &str, acts: &[Act], decisions: Vec<Decision>) -> String {
        // Without one no rule speaks.
        let keycloak =
            Source { id: "kc".into(), product: Product::Keycloak, proven: true, first: Some(0), token_life: 0 };
        let (now, sources) = (i64::MAX, vec![keycloak]);
        let facts = Facts { now, ripe: now, sources, acts: acts.to_vec(), decisions, ..Facts::default() };
        format!("{:?}", Rule::of(rule).unwrap().judge(&facts, &Settings::default()).found)
    }

    proptest! {
        #[test]
        fn wherever_recording_is_cut_the_same_is_kept(acts in recording(), cuts in prop::collection::vec(0..80_usize, 0..8)) {
            prop_assert_eq!(kept(&thinned(&acts)), as_a_whole(&acts));
            prop_assert_eq!(in_looks(&acts, cuts), as_a_whole(&acts));
        }

        #[test]
        fn wherever_accounts_are_cut_the_same_is_kept(acts in accounts(), cuts in prop::collection::vec(0..40_usize, 0..8)) {
            prop_assert_eq!(in_looks(&acts, cuts), kept(&thinned(&acts)));
        }

        #[test]
        fn no_rule_misses_what_is_let_go(recording in recording(), accounts in accounts()) {
            let left: Vec<Act> = thinned(&recording).new.into_values().collect();
            for rule in ["D03", "D11"] {
                prop_assert_eq!(judged(rule, &left, Vec::new()), judged(rule, &recording, Vec::new()));
            }
            // Somebody is let in each minute.
            let decided = |account: &str, minute: i64| Decision {
                event: Uuid::from_u128(1_000 + minute as u128),
                at: minute * MINUTE + 1,
                person: account.into(),
                outcome: "allow".into(),
                reasons: vec!["disabled".into()],
                ..Decision::default()
            };
            let decisions: Vec<Decision> = (0..70).flat_map(|minute| ["a", "b"].map(|account| decided(account, minute))).collect();
            let left: Vec<Act> = thinned(&accounts).new.into_values().collect();
            prop_assert_eq!(judged("D02", &left, decisions.clone()), judged("D02", &accounts, decisions));
            let times = |acts: &[Act]| drift::rules::times_out(acts.iter());
            prop_assert_eq!(times(&left), times(&accounts));
        }
    }

    #[test]
    fn more_than_is_kept_is_refused_and_what_is_let_go_does_not_count() {
        let told = |n: usize, hash: &str| act(11 * n, (i64::try_from(n).unwrap(), READ), ("hash", hash));
        let mut thin = Thin::default();
        let most = KEPT_MOST as usize;
        (0..most + 500).for_each(|n| thin.take(told(n, "a")).unwrap());
        assert!(thin.new.len() < 100, "{}", thin.new.len());
        let refused =
            (0..=most).find_map(|n| thin.take(told(most + 500 + n, if n % 2 == 0 { "a" } else { "b" })).err());
        assert!(matches!(refused, Some(StoreError::TooMany { most: KEPT_MOST, .. })), "{refused:?}");
        assert_eq!(thin.new.len(), most + 1);
    }
}
