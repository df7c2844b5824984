//! Runs the drift rules when the correlation has answered and the watermark has passed, and keeps the register of findings.
//!
//! One processor does it, the one that leads. Each round asks about what changed, by person and by time, judges with pure rules,
//! compares with what stands and writes the difference. Every row has a deterministic key and every step one id, so that a crash, a
//! replay or a second processor for a moment end in the same register.

pub mod baseline;
mod facts;
mod kept;
mod metrics;
mod queue;
mod writing;

pub use facts::Reader;
pub use metrics::DetectMetrics;
pub use writing::BY_RULES;

use crate::correlation::{Acknowledged, Phase, Touched};
use drift::{
    Facts, Judged, RULES, Rule, State,
    facts::{Act, BaselineFacts, Gap, Source},
    register::{Held, Looked, Standing, compare},
    rules::NOT_BUILT,
};
use kept::Kept;
use queue::Queue;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use store::{
    StoreError,
    drift_facts::DriftQuery,
    findings::{Entry, RuleState},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

/// Between two looks whether something changed.
const LOOK: Duration = Duration::from_millis(250);
/// Rules that are about time, not about events, are judged at least this often.
const ROUND: Duration = Duration::from_secs(5);
/// Events of which nobody tells are read this often.
const UNTOLD: Duration = Duration::from_secs(20);
/// First and longest wait between two tries.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// Baseline files are held against what is held this often.
const BASELINE: Duration = Duration::from_secs(10);
/// A round is followed by a rest of so many times its length: ClickHouse has other work.
const REST: u32 = 3;

/// The stage.
pub struct Detector {
    /// Asks for facts.
    pub reader: Reader,
    /// Told by the correlation; none where none runs.
    pub acknowledged: Option<Acknowledged>,
    /// UTC milliseconds.
    pub clock: fn() -> i64,
    /// Gauges.
    pub metrics: DetectMetrics,
    /// Counts rounds that wrote something.
    pub hint: watch::Sender<u64>,
}

/// What the gauges say holds only while somebody judges here: another processor may have taken over.
struct Told<'a>(&'a DetectMetrics);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.0.reset();
    }
}

/// What a detector remembers while it leads.
#[derive(Default)]
struct Memory {
    queue: Queue,
    /// Events about accounts and recording.
    kept: Kept,
    /// Accounts that count as another one's person, as the kept events were read.
    merged: Vec<(String, String)>,
    states: BTreeMap<String, RuleState>,
    /// Sources and gaps as the last round saw them.
    sources: Vec<Source>,
    gaps: Vec<Gap>,
    /// The baseline as it was looked at last, and when.
    baseline: Option<(Instant, Option<BaselineFacts>)>,
    /// What was wrong with a baseline file.
    wrong: String,
    /// There was too much to look at everything.
    partly: bool,
}

impl Detector {
    /// Runs until it is dropped. What fails is tried again; nothing waits for it.
    pub async fn run(&self) {
        let _told = Told(&self.metrics);
        let mut wait = RETRY.0;
        loop {
            let Err(error) = self.follow(&mut wait).await;
            tracing::warn!(%error, "Rules cannot be judged now; they are tried again, everything anew.");
            sleep(wait).await;
            wait = (wait * 2).min(RETRY.1);
        }
    }

    async fn follow(&self, wait: &mut Duration) -> Result<std::convert::Infallible, StoreError> {
        let mut memory = Memory::default();
        let states = self.reader.store.rule_states(&self.reader.tenant).await?;
        memory.states = states.into_iter().map(|state| (state.rule.clone(), state)).collect();
        memory.queue.everything((self.clock)());
        let first = self.reader.common((self.clock)(), &[]).await?;
        (memory.sources, memory.gaps) = (first.sources, first.gaps);
        let (mut last, mut untold) = (Instant::now(), None);
        loop {
            let loading = self.acknowledged.as_ref().is_some_and(|told| told.standing().phase != Phase::Following);
            if loading {
                sleep(LOOK).await;
                continue;
            }
            let now = (self.clock)();
            if let Some(acknowledged) = &self.acknowledged {
                memory.queue.push(acknowledged.take_touched(), now);
            }
            let ripe = self.reader.ripe((now, &memory.sources), &memory.gaps).await?;
            let touched = memory.queue.take(ripe).or_else(|| {
                (last.elapsed() >= ROUND).then(|| Touched {
                    since: Some(self.untold(now, &mut untold)),
                    until: Some(now),
                    ..Touched::default()
                })
            });
            let mut rest = LOOK;
            if let Some(touched) = touched {
                let began = Instant::now();
                self.round(&touched, &mut memory).await?;
                last = Instant::now();
                *wait = RETRY.0;
                rest = LOOK.max((last - began) * REST).min(ROUND);
            }
            sleep(rest).await;
        }
    }

    /// From when on events are read of which nobody told: where the correlation tells of all, from now on. Else all that may be late,
    /// but not in every round, because that is much.
    fn untold(&self, now: i64, read: &mut Option<Instant>) -> i64 {
        if self.acknowledged.is_some() || read.is_some_and(|read| read.elapsed() < UNTOLD) {
            return now;
        }
        *read = Some(Instant::now());
        now - self.reader.lateness - i64::try_from((UNTOLD + ROUND).as_millis()).unwrap_or_default()
    }

    /// Judges what changed, and writes what is different.
    async fn round(&self, touched: &Touched, memory: &mut Memory) -> Result<(), StoreError> {
        let (store, tenant) = (&self.reader.store, &self.reader.tenant);
        let now = (self.clock)();
        let findings = store.register(tenant).await?;
        let since = if touched.everybody { i64::MIN } else { touched.since.unwrap_or(now) };
        let (facts, persons) = self.facts((touched, since), &findings, memory).await?;
        let held: Vec<Held> = findings.iter().map(held).collect();
        let looked = Looked { persons: persons.as_ref(), since };
        let mut wrote = false;
        for rule in RULES.iter().filter(|rule| self.speaks(rule, &facts)) {
            let judged: Judged = rule.judge(&facts, &self.reader.settings);
            let changes = compare((rule, tenant), &held, &judged.found, looked);
            wrote |= self.write((rule, now), &changes).await?;
        }
        let findings = if wrote { store.register(tenant).await? } else { findings };
        self.tell(&facts, &findings, memory).await?;
        if wrote {
            self.hint.send_modify(|count| *count += 1);
        }
        Ok(())
    }

    fn speaks(&self, rule: &Rule, facts: &Facts) -> bool {
        !self.reader.settings.disabled.contains(rule.id) && rule.lacks(facts).is_none()
    }

    /// The facts of a round and the persons whose history they hold; none: everybody's.
    async fn facts(
        &self,
        (touched, since): (&Touched, i64),
        findings: &[Entry],
        memory: &mut Memory,
    ) -> Result<(Facts, Option<BTreeSet<String>>), StoreError> {
        let (store, tenant) = (&self.reader.store, self.reader.tenant.as_str());
        // What an import brought may be older than what was known.
        let known = if touched.everybody { &[] } else { memory.sources.as_slice() };
        let mut facts = self.reader.common((self.clock)(), known).await?;
        memory.sources.clone_from(&facts.sources);
        let looked = memory.baseline.as_ref().filter(|(at, _)| !touched.everybody && at.elapsed() < BASELINE);
        facts.baseline = match looked {
            Some((_, known)) => known.clone(),
            None => self.baseline(&facts.sources, memory).await?,
        };
        memory.gaps.clone_from(&facts.gaps);
        let all = DriftQuery { tenant, persons: None, from: i64::MIN, to: i64::MAX };
        // Whose account is whose person is said by hand, and then so of all that was kept.
        let merged = store.merged_accounts(tenant).await?;
        let since = if memory.merged == merged { since } else { i64::MIN };
        memory.merged = merged;
        let lately = DriftQuery { from: since, ..all };
        let renewed = memory.kept.renew(&self.reader, (since, i64::MAX)).await.map(|()| Vec::<Act>::new());
        whole(renewed, &mut facts.cut)?;
        let out_list = memory.kept.out();
        let mut persons: BTreeSet<String> = touched.persons.clone();
        if !touched.everybody {
            // Also those of what stands no more: a gap that is repaired touches nobody, and may have been all that spoke against it.
            persons.extend(findings.iter().map(|finding| finding.person.clone()).filter(|person| !person.is_empty()));
            if !out_list.is_empty() {
                let active = DriftQuery { persons: Some(&out_list), ..lately };
                let tokens = whole(store.drift_acts(&active, facts::TOKENS).await, &mut facts.cut)?;
                persons.extend(tokens.into_iter().flat_map(|act| [act.account, act.person]));
            }
        }
        let of_whom: Vec<String> = persons.iter().cloned().collect();
        let asked = (!touched.everybody).then_some(of_whom.as_slice());
        if asked.is_none_or(|persons| !persons.is_empty()) {
            let query = DriftQuery { persons: asked, ..all };
            let decisions = whole(store.drift_decisions(&query).await, &mut facts.cut)?;
            facts.decisions = decisions.into_iter().map(facts::decision).collect();
        }
        let leavers = if touched.everybody { out_list } else { facts::concerned(out_list, &memory.merged, &persons) };
        if !leavers.is_empty() {
            let query = DriftQuery { persons: Some(&leavers), ..all };
            let tokens = whole(store.drift_acts(&query, facts::TOKENS).await, &mut facts.cut)?;
            facts.acts.extend(tokens.into_iter().map(facts::act));
        }
        facts.acts.extend(memory.kept.acts().cloned());
        facts.acts.extend(whole(self.reader.of_time((since, i64::MAX)).await, &mut facts.cut)?);
        facts.acts.extend(whole(self.reader.guessed((since, i64::MAX)).await, &mut facts.cut)?);
        facts::in_order(&mut facts.acts);
        if touched.everybody {
            memory.partly = facts.cut;
        }
        facts.partly = memory.partly;
        Ok((facts, (!touched.everybody).then_some(persons)))
    }

    /// The baseline files against what is held; what is wrong with one is told once.
    async fn baseline(&self, sources: &[Source], memory: &mut Memory) -> Result<Option<BaselineFacts>, StoreError> {
        let known = match self.reader.baseline(sources).await? {
            Ok(known) => {
                memory.wrong.clear();
                known
            }
            Err(why) => {
                let why = why.to_string();
                if memory.wrong != why {
                    tracing::warn!(why, "A baseline cannot be judged; its rule is not evaluable until it can.");
                    memory.wrong = why;
                }
                None
            }
        };
        memory.baseline = Some((Instant::now(), known.clone()));
        Ok(known)
    }

    /// How each rule stands, written when that changes, and the gauges.
    async fn tell(&self, facts: &Facts, findings: &[Entry], memory: &mut Memory) -> Result<(), StoreError> {
        let state = |rule: &str, open: usize, (state, detail): (State, String)| RuleState {
            tenant: self.reader.tenant.clone(),
            rule: rule.to_owned(),
            since: facts.now,
            state: state.as_str().to_owned(),
            rule_version: Rule::of(rule).map_or(0, |rule| rule.version),
            open: u32::try_from(open).unwrap_or(u32::MAX),
            detail,
        };
        // Rules that have no input at all stand there too, so that nobody takes them for green.
        let not_built = NOT_BUILT.iter().map(|(rule, _, why)| state(rule, 0, (State::NotEvaluable, (*why).to_owned())));
        let mut now: Vec<RuleState> = not_built.collect();
        self.metrics.reset();
        for rule in RULES {
            let open = findings.iter().filter(|one| one.rule == rule.id && stands(one));
            let count = open.clone().count();
            let (standing, detail) = rule.state(facts, &self.reader.settings, count);
            self.metrics.rule(rule.id, standing);
            open.for_each(|one| self.metrics.finding(rule.id, &one.severity));
            now.push(state(rule.id, count, (standing, detail)));
        }
        let mut changed = Vec::new();
        for row in now {
            let same = |known: &RuleState| RuleState { since: row.since, ..known.clone() } == row;
            if !memory.states.get(&row.rule).is_some_and(same) {
                memory.states.insert(row.rule.clone(), row.clone());
                changed.push(row);
            }
        }
        if changed.is_empty() { Ok(()) } else { self.reader.store.put_rule_states(&changed).await }
    }
}

/// What was read; nothing, and `cut`, if that would be a part of what is there.
fn whole<T>(read: Result<Vec<T>, StoreError>, cut: &mut bool) -> Result<Vec<T>, StoreError> {
    match read {
        Err(error @ StoreError::TooMany { .. }) => {
            tracing::warn!(%error, "The rules are judged over what comes from now on.");
            *cut = true;
            Ok(Vec::new())
        }
        read => read,
    }
}

/// True if somebody is to do something about it.
fn stands(finding: &Entry) -> bool {
    finding.standing == "open" && matches!(finding.state.as_str(), "OPEN" | "ACKNOWLEDGED" | "SUPPRESSED")
}

fn held(finding: &Entry) -> Held {
    Held {
        id: finding.finding_id,
        rule: finding.rule.clone(),
        person: finding.person.clone(),
        first: finding.first_at,
        standing: match finding.standing.as_str() {
            "open" => Some(Standing::Open),
            "ended" => Some(Standing::Ended),
            "withdrawn" => Some(Standing::Withdrawn),
            _ => None,
        },
        changes: finding.changes,
        content: finding.content,
    }
}

impl From<State> for metrics::StateLabel {
    fn from(state: State) -> Self {
        Self(match state {
            State::Ok => "ok",
            State::Exception => "exception",
            State::NotEvaluable => "not_evaluable",
            State::Disabled => "disabled",
        })
    }
}
