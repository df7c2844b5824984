//! From the store's rows to what the rules judge, and the questions that get them.

use super::{
    configured,
    kept::Kept,
    lookups::Lookups,
    missed::Evidence,
    orphans::{Known, SignIn},
};
use drift::{
    Facts,
    facts::{Act, Acted, Decision, Gap, Had, Missing, Source},
    rules::CHANGE_WITHIN,
};
use events::receipt::Input;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};
use store::{
    Store, StoreError,
    correlation::{DecisionRecord, EffectiveRecord, MissingEventRecord},
    drift_facts::{ActRow, DriftQuery},
    impersonated::ActedRow,
};
use uuid::Uuid;

/// Events by which somebody who was put out goes on.
pub(super) const TOKENS: &[&str] = &["login", "token_issued", "token_refreshed", "token_exchanged"];
/// What is looked at of an account that was guessed at.
const LOGINS: &[&str] = &["login", "user_locked_temporarily", "user_locked_permanently"];
/// Inputs that tell of what happens now. An import or a snapshot is complete up to a time of its own, whatever is still on its way.
const LIVE: [Input; 4] = [Input::Webhook, Input::Kafka, Input::Pull, Input::Lines];
/// What makes it worse.
const CREDENTIALS: &[&str] = &["credential_updated", "password_reset", "credential_removed"];

/// What does not change from round to round.
pub struct Reader {
    /// Where facts are.
    pub store: Store,
    /// Tenant.
    pub tenant: String,
    /// Sources of the config, without their first event.
    pub sources: Vec<Source>,
    /// Thresholds.
    pub settings: drift::Settings,
    /// How late an event may come, milliseconds.
    pub lateness: i64,
    /// Whether decisions are correlated in this process.
    pub correlated: bool,
    /// Baseline files.
    pub baselines: Vec<PathBuf>,
    /// Through which Keycloak the people of each Backstage sign in.
    pub sign_ins: Vec<SignIn>,
}

impl Reader {
    /// Facts of a period [from, to) and everybody, for an evaluation that writes nothing. Who was put out before it counts.
    pub async fn period(&self, (from, to): (i64, i64), now: i64) -> Result<Facts, StoreError> {
        let query = DriftQuery::of(&self.tenant, (from, to));
        let mut facts = self.common(now, &[]).await?;
        self.tell_sources(&mut facts, &mut Evidence::default()).await;
        facts.decisions = self.store.drift_decisions(&query).await?.into_iter().map(decision).collect();
        let mut kept = Kept::default();
        kept.renew(self, (i64::MIN, to)).await?;
        facts.acts = kept.acts().cloned().collect();
        let tokens = self.store.drift_acts_while((&query, TOKENS), &kept.times()).await?;
        facts.acts.extend(tokens.into_iter().map(act));
        let (acts, guessed) = self.events((from, to)).await?;
        let mut lookups = Lookups::default();
        lookups.take((from, to), &acts);
        lookups.renew(self, &mut facts).await;
        facts.acts.extend(acts);
        facts.guessed = Some(guessed);
        facts.callers = self.store.drift_callers(&query).await?;
        in_order(&mut facts.acts);
        facts.ripe = facts.ripe.min(to);
        facts.orphans = self.orphans((&facts, from), &mut Known::default()).await;
        facts.configured = self.configured((facts.ripe, from), &mut configured::Known::default()).await?;
        facts.configured.changes.retain(|change| change.after < to && change.before >= from);
        facts.gaps.retain(|gap| gap.since < to && gap.until.is_none_or(|until| until >= from));
        facts.missing.retain(|missing| missing.after < to && missing.before >= from);
        facts.baseline = self.baseline(&facts.sources).await?.unwrap_or_default();
        Ok(facts)
    }

    /// What every evaluation sees: completeness, sources, missing events. Only sources of `known` that have no first event are asked for
    /// one: of a busy source that reads much.
    pub(super) async fn common(&self, now: i64, known: &[Source]) -> Result<Facts, StoreError> {
        let (store, tenant) = (&self.store, &self.tenant);
        let mut sources = if known.is_empty() { self.sources.clone() } else { known.to_vec() };
        let silent = sources.iter().filter(|source| source.first.is_none());
        let silent: Vec<String> = silent.map(|source| source.id.clone()).collect();
        if !silent.is_empty() {
            let first: BTreeMap<String, i64> = store.first_events(tenant, &silent).await?.into_iter().collect();
            for source in sources.iter_mut().filter(|source| source.first.is_none()) {
                source.first = first.get(&source.id).copied();
            }
        }
        let ever = (store::correlation::storable(i64::MIN), now);
        let (gaps, missing) = tokio::try_join!(store.gaps(tenant, 0), store.missing_events(tenant, ever))?;
        let gaps: Vec<Gap> = gaps.into_iter().map(gap).collect();
        let ripe = self.ripe((now, &sources), &gaps).await?;
        Ok(Facts {
            now,
            ripe,
            correlated: self.correlated,
            gaps,
            missing: missing.into_iter().map(missed).collect(),
            sources,
            ..Facts::default()
        })
    }

    /// Up to here nothing comes any more that a rule would wait for: all sources are proven complete, or the allowance is over. A
    /// source that is silent holds nothing back: D12 speaks of it.
    pub(super) async fn ripe(&self, (now, sources): (i64, &[Source]), gaps: &[Gap]) -> Result<i64, StoreError> {
        let allowance = now - self.lateness;
        if !sources.iter().any(|source| source.proven) {
            return Ok(allowance);
        }
        let marks = self.store.watermarks(&self.tenant).await?;
        let silent =
            |id: &str| gaps.iter().any(|gap| gap.source == id && gap.until.is_none() && gap.repaired.is_none());
        let mut least = now;
        for source in sources.iter().filter(|source| source.first.is_some() && !silent(&source.id)) {
            let live = marks.iter().filter(|mark| mark.source_id == source.id && LIVE.contains(&mark.input));
            match live.map(|mark| mark.watermark).max().filter(|_| source.proven) {
                Some(mark) => least = least.min(mark),
                None => return Ok(allowance),
            }
        }
        Ok(least.max(allowance))
    }

    /// Events of a time that are findings by themselves, and logins of accounts that may have been guessed in it; these accounts.
    pub(super) async fn events(&self, time: (i64, i64)) -> Result<(Vec<Act>, BTreeSet<String>), StoreError> {
        // Each look reads what came within the allowance for late events at least: a smaller answer would be a rate at which rules never
        // get to what waits.
        let query = DriftQuery::of(&self.tenant, time);
        let (acts, guessed) = tokio::try_join!(self.store.drift_watched(&query), self.guessed(time))?;
        let (logins, accounts) = guessed;
        Ok((acts.into_iter().chain(logins).map(act).collect(), accounts))
    }

    /// Logins of accounts into which somebody came in a time after many failures, or whose credentials were changed in it soon after
    /// they may have; these accounts.
    async fn guessed(&self, (from, to): (i64, i64)) -> Result<(Vec<ActRow>, BTreeSet<String>), StoreError> {
        let back = self.settings.success_within;
        // An hour before and behind it, however short it is: in parts there would be hardly fewer.
        let query = DriftQuery::of(&self.tenant, (from, to));
        // A login before the time is worse for a change in it.
        let soon = DriftQuery { to: to.min(from.saturating_add(CHANGE_WITHIN).saturating_add(1)), ..query };
        let (guessed, changed) = tokio::try_join!(
            self.store.drift_guessed(&query, (self.settings.failures, back)),
            self.store.drift_accounts(&soon, CREDENTIALS)
        )?;
        let accounts: BTreeSet<String> = guessed.into_iter().chain(changed).collect();
        if accounts.is_empty() {
            return Ok((Vec::new(), accounts));
        }
        let named: Vec<String> = accounts.iter().cloned().collect();
        let of_them = DriftQuery {
            persons: Some(&named),
            from: from.saturating_sub(back).saturating_sub(CHANGE_WITHIN),
            to: to.saturating_add(CHANGE_WITHIN).saturating_add(1),
            ..query
        };
        Ok((self.store.drift_acts(&of_them, &[LOGINS, CREDENTIALS].concat()).await?, accounts))
    }
}

/// Accounts that are of some persons: by themselves, or merged by hand.
pub(super) fn concerned(accounts: Vec<String>, merged: &[(String, String)], persons: &BTreeSet<String>) -> Vec<String> {
    let person = |account: &String| merged.iter().any(|(of, person)| of == account && persons.contains(person));
    accounts.into_iter().filter(|account| persons.contains(account) || person(account)).collect()
}

/// In order of time, each once.
pub(super) fn in_order(acts: &mut Vec<Act>) {
    acts.sort_by_key(|act| (act.at, act.event));
    acts.dedup_by_key(|act| act.event);
}

pub(super) fn decision(row: DecisionRecord) -> Decision {
    Decision {
        event: row.event_id,
        at: row.at,
        person: row.person,
        permission: row.permission,
        outcome: row.outcome,
        verdict: row.verdict,
        delay: row.delay_ms,
        clock: row.clock,
        grade: row.grade,
        groups: row.support.into_iter().map(|path| path.0).filter(|group| !group.is_empty()).collect(),
        reasons: row.reasons,
        candidates: row.candidates,
    }
}

pub(super) fn act(row: ActRow) -> Act {
    Act {
        event: row.event_id,
        at: row.time,
        began: row.began,
        source: row.source_id,
        realm: row.realm,
        realm_id: row.realm_id,
        kind: row.kind,
        outcome: row.outcome,
        account: row.account,
        person: row.person,
        actor: row.actor,
        right_kind: row.right_kind,
        right: row.right_id,
        holder: row.holder_id,
        details: row.details.into_iter().collect(),
    }
}

pub(super) fn had(row: EffectiveRecord) -> Had {
    Had {
        person: row.person,
        source: row.source_id,
        role: row.right_id,
        through: row.path.first().cloned().unwrap_or_default(),
        path: row.path,
        joined: row.granted_at.filter(|_| !row.granted_in.is_nil()).map(|at| (at, row.granted_in)),
        from: row.held_from,
        to: row.held_to,
        rests_on_gap: row.rests_on_gap == 1,
    }
}

pub(super) fn acted(row: ActedRow) -> (Uuid, Acted) {
    let done = Acted {
        ended: row.ended_at,
        let_in: row.let_in,
        sure: row.sure,
        writes: row.writes,
        credentials: row.credentials,
        last: (row.let_in + row.credentials > 0).then_some(row.last),
        evidence: row.evidence.into_iter().map(|(_, id)| id.0).collect(),
    };
    (row.event_id, done)
}

fn gap(gap: store::Gap) -> Gap {
    Gap {
        source: gap.source_id,
        scope: gap.scope,
        input: gap.input,
        cause: gap.cause,
        since: gap.since,
        until: gap.until,
        missing: gap.missing,
        repaired: gap.repaired_at,
        repaired_by: gap.repaired_by,
    }
}

fn missed(row: MissingEventRecord) -> Missing {
    Missing {
        // Its evidence tells it: missed.rs.
        source: String::new(),
        person: row.person,
        right_kind: row.right_kind,
        right: row.right_id,
        what: row.missing,
        after: row.at,
        before: row.before,
        evidence: [row.evidence_after, row.evidence_before].into_iter().filter(|id: &Uuid| !id.is_nil()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_that_was_merged_is_looked_at_with_its_person() {
        let text = |text: &str| text.to_owned();
        let merged = [(text("account"), text("person"))];
        let persons: BTreeSet<String> = [text("person"), text("other")].into();
        let accounts = vec![text("account"), text("other"), text("somebody")];
        // The finding names the person; without the account's tokens it would be withdrawn.
        assert_eq!(concerned(accounts, &merged, &persons), ["account", "other"]);
    }
}
