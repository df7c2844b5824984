//! Runs the drift rules when the correlation has answered and the watermark has passed, and keeps the register of findings.
//!
//! One processor does it, the one that leads. Each round asks about what changed, by person and by time, judges with pure rules,
//! compares with what stands and writes the difference. Every row has a deterministic key and every step one id, so that a crash, a
//! replay or a second processor for a moment end in the same register.

pub mod baseline;
mod configured;
mod facts;
mod gaps;
mod kept;
mod looking;
mod lookups;
mod metrics;
mod missed;
mod orphans;
mod parts;
mod queue;
mod register;
mod reviving;
mod slices;
mod thin;
mod writing;

pub use facts::Reader;
pub use metrics::DetectMetrics;
pub use orphans::SignIn;
pub use writing::BY_RULES;

use crate::correlation::{Acknowledged, Phase, Touched};
use drift::{
    Facts, Judged, RULES, Rule, State,
    facts::{BaselineFacts, Gap, Source},
    register::{Changes, Looked, compare},
    rules::NOT_BUILT,
};
use kept::Kept;
use looking::Looking;
use lookups::Lookups;
use missed::Evidence;
use parts::{Part, Parts};
use queue::Queue;
use std::{collections::BTreeMap, time::Duration};
use store::{StoreError, findings::RuleState, register::Digests};
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
const REST: u32 = 2;

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
    /// What is looked at in parts.
    parts: Parts,
    /// Events about accounts and recording.
    kept: Kept,
    /// What is asked of answers about single events.
    lookups: Lookups,
    /// Which findings of persons were in the register after the last round.
    known: Digests,
    /// Accounts that count as another one's person, as the kept events were read.
    merged: Vec<(String, String)>,
    states: BTreeMap<String, RuleState>,
    /// Sources and gaps as the last round saw them.
    sources: Vec<Source>,
    gaps: Vec<Gap>,
    /// Of which source evidence of missing events is.
    evidence: Evidence,
    /// The baseline as it was looked at last, and when.
    baseline: Option<(Instant, Option<BaselineFacts>)>,
    /// What was wrong with a baseline file.
    wrong: String,
    /// Whom one system alone knows.
    orphans: orphans::Known,
    /// Clients as they were read.
    configured: configured::Known,
    /// Something was too much to look at, also in parts.
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
            self.failing(&error).await;
            sleep(wait).await;
            wait = (wait * 2).min(RETRY.1);
        }
    }

    /// How the rules stood before says nothing of now. What passes by itself is told by the gauges alone: who asks the store hears of it.
    async fn failing(&self, error: &StoreError) {
        self.metrics.reset();
        RULES.iter().for_each(|rule| self.metrics.rule(rule.id, State::NotEvaluable));
        if error.is_unavailable() {
            return;
        }
        let why = (State::NotEvaluable, format!("rules cannot be judged now: {error}"));
        let now = (self.clock)();
        let states: Vec<RuleState> = RULES.iter().map(|rule| self.rule_state((rule.id, now), 0, why.clone())).collect();
        if let Err(error) = self.reader.store.put_rule_states(&states).await {
            tracing::warn!(%error, "How the rules stand cannot be written.");
        }
    }

    fn rule_state(&self, (rule, since): (&str, i64), open: usize, (state, detail): (State, String)) -> RuleState {
        RuleState {
            tenant: self.reader.tenant.clone(),
            rule: rule.to_owned(),
            since,
            state: state.as_str().to_owned(),
            rule_version: Rule::of(rule).map_or(0, |rule| rule.version),
            open: u32::try_from(open).unwrap_or(u32::MAX),
            detail,
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
            let ripe = match memory.queue.is_empty() {
                true => None,
                false => Some(self.reader.ripe((now, &memory.sources), &memory.gaps).await?),
            };
            let part = memory.parts.next();
            let lately = || Touched { since: Some(now), until: Some(now), ..Touched::default() };
            let touched = part.as_ref().map(|_| lately()).or_else(|| memory.queue.take(ripe?)).or_else(|| {
                let due = last.elapsed() >= ROUND;
                due.then(|| Touched { since: Some(self.untold(now, &mut untold)), ..lately() })
            });
            let mut rest = LOOK;
            if let Some(touched) = touched {
                let began = Instant::now();
                self.round((&touched, part.as_ref()), &mut memory).await?;
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

    /// Judges what changed, or a part of what was too much, and writes what is different.
    async fn round(&self, (touched, part): (&Touched, Option<&Part>), memory: &mut Memory) -> Result<(), StoreError> {
        let (store, tenant) = (&self.reader.store, &self.reader.tenant);
        let now = (self.clock)();
        let since = if touched.everybody { i64::MIN } else { touched.since.unwrap_or(now) };
        let Looking { facts, persons, latest, events, again, digests } =
            self.look((touched, since, part), memory).await?;
        let (since, until) = events;
        let looked = Looked {
            persons: persons.as_ref(),
            latest,
            since,
            until,
            again: Some(&again),
            nobody: facts.orphans.whole,
        };
        let judged: Vec<(&Rule, Judged)> = RULES
            .iter()
            .filter(|rule| self.speaks(rule, &facts))
            .map(|rule| (rule, rule.judge(&facts, &self.reader.settings)))
            .collect();
        let mut registered = self.registered(&judged, looked).await?;
        let mut changes: Vec<(&Rule, Changes<'_>)> = judged
            .iter()
            .map(|(rule, judged)| (*rule, compare((rule, tenant), &registered.held, &judged.found, looked)))
            .collect();
        let mut wrote = false;
        loop {
            let back = std::mem::take(&mut registered.back).into_iter();
            let steps = |(rule, steps)| Some((Rule::of(rule)?, Changes { steps, ..Changes::default() }));
            changes.extend(back.filter_map(steps));
            if self.write(now, &changes).await? {
                wrote = true;
                // Before anything else: somebody waits for it.
                self.hint.send_modify(|count| *count += 1);
            }
            if !registered.more {
                break;
            }
            changes.clear();
            registered = self.registered(&judged, looked).await?;
        }
        if self.revive(now).await? {
            self.hint.send_modify(|count| *count += 1);
        }
        let known =
            async { if wrote { store.register_digests(tenant, &looking::personal()).await } else { Ok(digests) } };
        let (known, ()) = tokio::try_join!(known, self.tell(&facts, memory))?;
        memory.known = known;
        Ok(())
    }

    fn speaks(&self, rule: &Rule, facts: &Facts) -> bool {
        !self.reader.settings.disabled.contains(rule.id) && rule.lacks(facts).is_none()
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
    async fn tell(&self, facts: &Facts, memory: &mut Memory) -> Result<(), StoreError> {
        let counts = self.reader.store.register_counts(&self.reader.tenant).await?;
        let state = |rule: &str, open, says| self.rule_state((rule, facts.now), open, says);
        // Rules that have no input at all stand there too, so that nobody takes them for green.
        let not_built = NOT_BUILT.iter().map(|(rule, _, why)| state(rule, 0, (State::NotEvaluable, (*why).to_owned())));
        let mut now: Vec<RuleState> = not_built.collect();
        self.metrics.reset();
        for rule in RULES {
            let open = counts.iter().filter(|(of, ..)| of == rule.id);
            let count = open.clone().map(|(.., count)| *count).sum::<u64>();
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            let (standing, detail) = rule.state(facts, &self.reader.settings, count);
            self.metrics.rule(rule.id, standing);
            open.for_each(|(rule, severity, count)| self.metrics.findings((rule, severity), *count));
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
