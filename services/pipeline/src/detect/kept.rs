//! What the rules need however old it is: what was done to recording, and to the accounts of those who were ever put out. Everybody
//! else's accounts change all the time, and are looked at only once they are put out. It is read in slices, and what says nothing new is
//! let go before the next one is read.

use super::{
    facts::Reader,
    thin::{READ, Thin},
};
use drift::facts::Act;
use std::collections::{BTreeMap, BTreeSet};
use store::{StoreError, drift_facts::DriftQuery};
use uuid::Uuid;

const RECORDING: &[&str] = &["audit_config_changed", "realm_updated", "realm_created", READ, "state_realm"];
const ACCOUNTS: &[&str] = &["user_created", "user_updated", "user_deleted", "user_locked_permanently", "state_user"];
/// Accounts that are asked for at once: less than one request can name.
const TOGETHER: usize = 900;

/// The events, by time.
#[derive(Default)]
pub(super) struct Kept {
    acts: BTreeMap<(i64, Uuid), Act>,
    out: BTreeSet<String>,
    /// Whether all that happened before the last time is here.
    whole: bool,
}

impl Kept {
    /// Reads anew what happened from `from` on and before `to`; all of it, as long as that never was read whole. Whose accounts have others done to them than was known: accounts and
    /// persons.
    pub(super) async fn renew(
        &mut self,
        reader: &Reader,
        (from, to): (i64, i64),
    ) -> Result<BTreeSet<String>, StoreError> {
        let from = if std::mem::take(&mut self.whole) { from } else { i64::MIN };
        let lately = DriftQuery::of(&reader.tenant, (from, to));
        let known: Vec<&String> = self.out.iter().collect();
        let (mut recording, mut accounts) = (self.behind(from, RECORDING), self.behind(from, ACCOUNTS));
        let (_, put_out, _) = tokio::try_join!(
            reader.in_slices((&lately, RECORDING), |act| recording.take(act)),
            reader.store.drift_put_out(&lately),
            accounts_of(reader, (&lately, &known), &mut accounts),
        )?;
        // What was done before to an account that is put out only now was not kept.
        let others: Vec<&String> = put_out.iter().filter(|account| !self.out.contains(*account)).collect();
        accounts_of(reader, (&DriftQuery { from: i64::MIN, ..lately }, &others), &mut accounts).await?;
        self.whole = true;
        Ok(self.put(from, [recording, accounts]))
    }

    /// What goes on at a time, of some kinds.
    fn behind(&self, from: i64, kinds: &[&str]) -> Thin {
        let before = self.acts.range(..(from, Uuid::nil())).map(|(_, act)| act);
        Thin::behind(before.filter(|act| kinds.contains(&act.kind.as_str())))
    }

    /// From a time on, this is what is kept.
    fn put(&mut self, from: i64, read: [Thin; 2]) -> BTreeSet<String> {
        let before = self.acts.split_off(&(from, Uuid::nil()));
        for thin in read {
            for key in thin.gone {
                self.acts.remove(&key);
            }
            self.acts.extend(thin.new);
        }
        self.out = self.acts.values().filter(|act| puts_out(act)).map(|act| act.account.clone()).collect();
        let out = &self.out;
        self.acts.retain(|_, act| !ACCOUNTS.contains(&act.kind.as_str()) || out.contains(&act.account));
        let now = || self.acts.range((from, Uuid::nil())..);
        let gone = before.iter().filter(|(at, act)| self.acts.get(*at) != Some(*act));
        let come = now().filter(|(at, act)| before.get(*at) != Some(*act));
        gone.chain(come)
            .flat_map(|(_, act)| [&act.account, &act.person])
            .filter(|key| !key.is_empty())
            .cloned()
            .collect()
    }

    pub(super) fn acts(&self) -> impl Iterator<Item = &Act> {
        self.acts.values()
    }

    /// When accounts were out: account, from, until (the end of time: still), UTC milliseconds.
    pub(super) fn times(&self) -> Vec<(String, i64, i64)> {
        let times = drift::rules::times_out(self.acts()).into_iter();
        times.map(|(account, from, until)| (account, from, until.unwrap_or(i64::MAX))).collect()
    }
}

/// What was done to accounts, which are named in order, some of them at a time.
async fn accounts_of(
    reader: &Reader,
    (query, accounts): (&DriftQuery<'_>, &[&String]),
    thin: &mut Thin,
) -> Result<(), StoreError> {
    for some in accounts.chunks(TOGETHER) {
        let some: Vec<String> = some.iter().map(|account| (*account).clone()).collect();
        let asked = DriftQuery { persons: Some(&some), ..*query };
        // Who is a person of several accounts is asked for with all of them, which come with their own names, if ever.
        let take = |act: Act| if some.binary_search(&act.account).is_ok() { thin.take(act) } else { Ok(()) };
        reader.in_slices((&asked, ACCOUNTS), take).await?;
    }
    Ok(())
}

fn puts_out(act: &Act) -> bool {
    let how = matches!(act.kind.as_str(), "user_deleted" | "user_locked_permanently")
        || act.details.get("enabled").is_some_and(|enabled| enabled == "false");
    how && !act.account.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Kept {
        /// As [`Kept::renew`] takes what it reads.
        fn take(&mut self, from: i64, read: impl Iterator<Item = Act>) -> BTreeSet<String> {
            let (mut recording, mut accounts) = (self.behind(from, RECORDING), self.behind(from, ACCOUNTS));
            for act in read {
                let of_accounts = ACCOUNTS.contains(&act.kind.as_str());
                let thin = if of_accounts { &mut accounts } else { &mut recording };
                thin.take(act).unwrap();
            }
            self.put(from, [recording, accounts])
        }
    }

    fn act(at: i64, kind: &str, (account, enabled): (&str, &str)) -> Act {
        let details = [("enabled".to_owned(), enabled.to_owned())].into();
        let (kind, account) = (kind.to_owned(), account.to_owned());
        Act { event: Uuid::from_u128(at as u128), at, kind, account, details, ..Act::default() }
    }

    #[test]
    fn only_those_who_were_put_out_are_kept() {
        let mut kept = Kept::default();
        let first = [
            act(1, "user_created", ("a", "true")),
            act(2, "realm_updated", ("", "")),
            act(3, "user_updated", ("b", "false")),
            act(4, "user_updated", ("b", "true")),
        ];
        kept.take(i64::MIN, first.into_iter());
        assert_eq!(Vec::from_iter(kept.out.clone()), ["b"]);
        assert_eq!(kept.acts().map(|act| act.at).collect::<Vec<_>>(), [2, 3, 4]);
        // A replay took back that b was put out, and a is: what was read of a from the beginning is kept as well.
        kept.take(3, [act(1, "user_created", ("a", "true")), act(5, "user_deleted", ("a", ""))].into_iter());
        assert_eq!(Vec::from_iter(kept.out.clone()), ["a"]);
        assert_eq!(kept.acts().map(|act| act.at).collect::<Vec<_>>(), [1, 2, 5]);
    }

    #[test]
    fn reads_that_say_the_same_are_kept_until_one_surely_tells_and_the_last_one() {
        let told = |minute: i64, kind: &str, hash: &str| {
            let details = [("hash".to_owned(), hash.to_owned())].into();
            let at = minute * 60_000;
            Act { realm: "acme".into(), began: at - 1, details, ..act(at, kind, ("", "")) }
        };
        let beside = Act { realm: "beta".into(), ..told(95, READ, "a") };
        let reads = [1, 2, 61, 62, 63, 70, 80, 81, 99].map(|at| told(at, READ, if at < 80 { "a" } else { "b" }));
        let minutes = |kept: &Kept| kept.acts().map(|act| act.at / 60_000).collect::<Vec<_>>();
        let mut kept = Kept::default();
        kept.take(i64::MIN, reads.iter().cloned().chain([beside.clone()]));
        assert_eq!(minutes(&kept), [1, 2, 61, 62, 70, 80, 81, 95, 99], "61 began within the hour, 63 is one of many");
        // Another one more: the first that tells stays as it is.
        kept.take(99 * 60_000, [reads[8].clone(), told(999, READ, "b"), told(1_999, READ, "b")].into_iter());
        assert_eq!(minutes(&kept), [1, 2, 61, 62, 70, 80, 81, 95, 99, 999, 1_999]);
        kept.take(1_999 * 60_000, [told(1_999, READ, "b"), told(2_999, READ, "b")].into_iter());
        assert_eq!(minutes(&kept), [1, 2, 61, 62, 70, 80, 81, 95, 99, 999, 2_999]);
        // An event that comes late ends a row of them; what was read behind it is asked for anew.
        let late = told(62, "audit_config_changed", "");
        let behind = [63, 70, 200, 300].map(|at| told(at, READ, "a"));
        kept.take(62 * 60_000, [late].into_iter().chain(behind));
        assert_eq!(minutes(&kept), [1, 2, 61, 62, 63, 70, 200, 300]);
    }

    #[test]
    fn who_was_put_out_or_let_in_again_is_told_once() {
        let mut kept = Kept::default();
        let persons = |told: BTreeSet<String>| told.into_iter().collect::<Vec<_>>();
        let out = |at, account: &str| Act { person: "p".into(), ..act(at, "user_updated", (account, "false")) };
        assert_eq!(persons(kept.take(i64::MIN, [out(5, "a")].into_iter())), ["a", "p"]);
        // The same again is no news, and what is done to recording is nobody's.
        let again = [out(5, "a"), act(7, "realm_updated", ("", ""))];
        assert_eq!(persons(kept.take(4, again.into_iter())), [""; 0]);
        // A late event lets them in; then a replay takes the end back.
        let late = [out(5, "a"), act(6, "user_updated", ("a", "true")), act(7, "realm_updated", ("", ""))];
        assert_eq!(persons(kept.take(4, late.into_iter())), ["a"]);
        assert_eq!(persons(kept.take(4, [act(7, "realm_updated", ("", ""))].into_iter())), ["a", "p"]);
        assert_eq!(Vec::from_iter(kept.out.clone()), [""; 0]);
    }
}
