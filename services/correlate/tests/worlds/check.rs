//! Holds rows against the truth that the simulator kept.

use crate::{
    deliver::{Delivery, Rows},
    lines,
    model::{Decided, Held, SignedIn},
    rights::Right,
    sim::{CATALOG_BUDGET, World},
};
use correlate::{
    Correlator,
    rows::{CredentialKind, DecisionRow, Grade, Key, Reason, RightKind, Row, Verdict},
};
use events::{event::Outcome, person::PersonKey};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// A line is stamped so long after it was written at most, ms.
const STAMPED_WITHIN: i64 = 1_000;

#[derive(Default)]
pub struct Report {
    pub judged: u64,
    pub gaps: u64,
    pub unseen: u64,
    pub grades: BTreeMap<Grade, u64>,
    pub verdicts: BTreeMap<Verdict, u64>,
    /// Gaps by kind, and decisions that rest on one.
    pub kinds: BTreeMap<RightKind, u64>,
    pub rested: u64,
    /// Rights at an instant by kind and length of the path; how many of them were unsure.
    pub paths: BTreeMap<(&'static str, usize), u64>,
    pub unsure: u64,
    /// Decisions on conditions by what became of them.
    pub finals: BTreeMap<Option<bool>, u64>,
    /// Rows that were let go, by kind.
    pub gone: BTreeMap<&'static str, u64>,
    wrong: Vec<String>,
}

impl Report {
    pub fn forgot<'a>(&mut self, keys: impl Iterator<Item = &'a Key>) {
        for key in keys {
            let kind = match key {
                Key::Session(..) => "session",
                Key::Token(_) => "token",
                Key::Credential(_) => "credential",
                Key::Decision(_) => "decision",
                _ => "another",
            };
            *self.gone.entry(kind).or_default() += 1;
        }
    }

    pub fn add(&mut self, other: Self) {
        self.judged += other.judged;
        self.gaps += other.gaps;
        self.unseen += other.unseen;
        self.rested += other.rested;
        self.unsure += other.unsure;
        other.gone.into_iter().for_each(|(kind, count)| *self.gone.entry(kind).or_default() += count);
        other.finals.into_iter().for_each(|(end, count)| *self.finals.entry(end).or_default() += count);
        other.paths.into_iter().for_each(|(path, count)| *self.paths.entry(path).or_default() += count);
        other.kinds.into_iter().for_each(|(kind, count)| *self.kinds.entry(kind).or_default() += count);
        other.grades.into_iter().for_each(|(grade, count)| *self.grades.entry(grade).or_default() += count);
        other.verdicts.into_iter().for_each(|(verdict, count)| *self.verdicts.entry(verdict).or_default() += count);
    }

    pub fn assert_right(&self, seed: u64) {
        assert!(self.wrong.is_empty(), "seed {seed}: {} wrong, first: {}", self.wrong.len(), self.wrong[0]);
    }

    pub fn assert_every_kind_was_seen(&self) {
        use Verdict::{Agrees, Exposure, GrantedInBackstage, PendingGrant, Violation};
        for verdict in [Agrees, Exposure, GrantedInBackstage, PendingGrant, Violation] {
            assert!(self.verdicts.contains_key(&verdict), "no {verdict:?}: {self}");
        }
        for grade in [Grade::Exact, Grade::Session, Grade::Inferred] {
            assert!(self.grades.contains_key(&grade), "no {grade:?}: {self}");
        }
        for path in [
            ("group", 1),
            ("role", 0),
            ("role", 1),
            ("role", 2),
            ("role", 3),
            ("backstage_role", 0),
            ("backstage_role", 3),
        ] {
            assert!(self.paths.contains_key(&path), "no {path:?}: {self}");
        }
        assert_eq!(self.finals.len(), 3, "allowed, denied and untold: {self}");
        assert_eq!(self.unsure, 0, "nothing was lost");
    }

    pub fn wrong(&mut self, what: String) {
        self.wrong.push(what);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} decisions, grades {:?}, verdicts {:?}, ", self.judged, self.grades, self.verdicts)?;
        write!(f, "{} gaps named {:?}, {} losses that nothing can tell, ", self.gaps, self.kinds, self.unseen)?;
        write!(f, "{} decisions that rest on a gap, rights at an instant {:?}", self.rested, self.paths)
    }
}

pub fn person(user: &str) -> PersonKey {
    lines::key().keycloak_user("default", "kc", user)
}

pub fn row<'a>(rows: &'a Rows, decided: &Decided) -> &'a DecisionRow {
    match rows.0.get(&Key::Decision(decided.event)) {
        Some(Row::Decision(row)) => row,
        _ => panic!("no row for {decided:?}"),
    }
}

/// Verdict and delay as the simulator has them.
fn truth(decided: &Decided) -> (Verdict, Option<i64>) {
    let delay = decided.since.map(|since| decided.at - since);
    match (decided.allowed, decided.entitled) {
        (true, true) if decided.by_backstage => (Verdict::GrantedInBackstage, None),
        (true, true) | (false, false) => (Verdict::Agrees, None),
        // A role that Backstage gave to somebody who was disabled by then.
        (true, false) if delay.is_none() => (Verdict::AllowedWithoutRight, None),
        (true, false) => {
            let budget = if decided.active { CATALOG_BUDGET } else { crate::sim::TOKEN_LIFE };
            let beyond = delay > Some(budget);
            (if beyond { Verdict::Violation } else { Verdict::Exposure }, delay)
        }
        (false, true) if delay > Some(CATALOG_BUDGET) => (Verdict::DeniedWithRight, delay),
        (false, true) => (Verdict::PendingGrant, delay),
    }
}

pub fn judged_right(decided: &Decided, row: &DecisionRow) -> bool {
    let (verdict, delay) = truth(decided);
    // Two clocks near each other: a violation is then only called exposure.
    let straddles = row.reasons.contains(&Reason::Straddles) && verdict == Verdict::Violation;
    (row.verdict == verdict || (straddles && row.verdict == Verdict::Exposure)) && row.delay == delay
}

pub fn decisions(world: &World, rows: &Rows, report: &mut Report) {
    for decided in &world.decided {
        let row = row(rows, decided);
        report.judged += 1;
        *report.grades.entry(row.grade).or_default() += 1;
        *report.verdicts.entry(row.verdict).or_default() += 1;
        if row.person != Some(person(&decided.user)) {
            report.wrong(format!("person: {decided:#?}\n{row:#?}"));
        }
        if !judged_right(decided, row) {
            report.wrong(format!("verdict {:?}: {decided:#?}\n{row:#?}", truth(decided)));
        }
        if !credential_right(decided, row) {
            report.wrong(format!("credential: {decided:#?}\n{row:#?}"));
        }
    }
}

fn credential_right(decided: &Decided, row: &DecisionRow) -> bool {
    let (latest, session) = decided.alive.last().expect("a token");
    let sessions: BTreeSet<&str> = decided.alive.iter().map(|(_, session)| session.as_str()).collect();
    if row.credential.map(|(at, _)| at) != Some(*latest) || row.candidates as usize != decided.alive.len() {
        return false;
    }
    match row.grade {
        Grade::Exact => decided.alive.len() == 1 && row.session.as_ref() == Some(&decided.session),
        Grade::Session => sessions.len() == 1 && row.session.as_ref() == Some(&decided.session),
        Grade::Inferred => row.session.is_none() || row.session.as_ref() == Some(session),
        Grade::None => false,
    }
}

/// With lines lost, less is known; what is said of the session is still right, unless no line at all is left of the token that was used.
pub fn ties(world: &World, (rows, delivery): (&Rows, &Delivery), report: &mut Report) {
    let left: BTreeSet<i64> = tokens_left(world, delivery);
    for decided in &world.decided {
        let row = row(rows, decided);
        report.judged += 1;
        *report.grades.entry(row.grade).or_default() += 1;
        if !judged_right(decided, row) || row.person != Some(person(&decided.user)) {
            report.wrong(format!("rights need no tokens: {decided:#?}\n{row:#?}"));
        }
        let known: BTreeSet<&str> = decided.alive.iter().map(|(_, session)| session.as_str()).collect();
        let right = match row.grade {
            Grade::Exact | Grade::Session if left.contains(&decided.used) => {
                row.session.as_ref() == Some(&decided.session)
            }
            // A token of which both servers' lines are lost leaves nothing: only the others can be told.
            Grade::Exact | Grade::Session => row.session.as_deref().is_some_and(|session| known.contains(session)),
            Grade::Inferred | Grade::None => true,
        };
        if !right {
            report.wrong(format!("session: {decided:#?}\n{row:#?}"));
        }
    }
    for row in rows.0.values() {
        if let Row::Credential(row) = row
            && row.sure
            && let Some(session) = &row.session
        {
            let token = world.users.iter().flat_map(|user| &user.tokens).find(|token| token.at == row.at);
            if token.is_none_or(|token| token.session != *session) {
                report.wrong(format!("sure of another session: {token:?} {row:#?}"));
            }
        }
    }
}

/// When those tokens were issued of which a line of either server is left.
fn tokens_left(world: &World, delivery: &Delivery) -> BTreeSet<i64> {
    let lines = || delivery.order.iter().map(|line| &world.lines[*line]);
    let issuing = lines().filter(|line| line.events[0].kind == "backstage_token_issued").map(|line| line.at);
    let refresh: BTreeSet<&str> = lines()
        .flat_map(|line| &line.events)
        .map(|event| match event.kind.as_str() {
            "token_refreshed" => event.new_refresh_token_id.as_str(),
            _ => event.refresh_token_id.as_str(),
        })
        .collect();
    let tokens = world.users.iter().flat_map(|user| &user.tokens);
    let paid = tokens.filter(|token| refresh.contains(token.refresh.as_str())).map(|token| token.at);
    issuing.chain(paid).collect()
}

pub fn sessions(world: &World, rows: &Rows, report: &mut Report) {
    let told: usize = rows.0.keys().filter(|key| matches!(key, Key::Session(..))).count();
    if told != world.signed_in.len() {
        report.wrong(format!("{told} sessions instead of {}", world.signed_in.len()));
    }
    for truth in &world.signed_in {
        let Some(Row::Session(row)) = rows.0.get(&Key::Session("kc".to_owned(), truth.session.clone())) else {
            report.wrong(format!("no session {truth:?}"));
            continue;
        };
        let brought: Vec<bool> = row.sign_ins.iter().map(|sign_in| sign_in.credential.is_some()).collect();
        let right = row.person == Some(person(&truth.user))
            && row.started.is_some_and(|started| started <= truth.at)
            && row.refreshes == truth.refreshes
            && row.ended.map(|(at, _)| at) == truth.ended
            && brought == [!truth.refused];
        if !right {
            report.wrong(format!("session {truth:#?}\n{row:#?}"));
        }
    }
    for token in world.users.iter().flat_map(|user| &user.tokens) {
        let credential = rows.0.values().find_map(|row| match row {
            Row::Credential(row) if row.at == token.at => Some(row),
            _ => None,
        });
        let kind = if token.sign_in { CredentialKind::SignIn } else { CredentialKind::Refresh };
        // A line just behind a refused sign-in could be that one's.
        let refused = |one: &SignedIn| one.refused && one.at <= token.at && token.at - one.at <= STAMPED_WITHIN;
        let open = world.signed_in.iter().any(refused);
        let right = credential.is_some_and(|row| {
            let sure = row.sure || open;
            row.kind == kind && row.session.as_ref() == Some(&token.session) && sure && row.cause.is_some()
        });
        if !right {
            report.wrong(format!("token at {} of {}: {credential:#?}", token.at, token.session));
        }
    }
}

pub fn rights(world: &World, rows: &Rows, report: &mut Report) {
    let mut truth: Vec<(PersonKey, String, Option<i64>, Option<i64>)> =
        world.held.iter().map(|Held { user, group, from, to }| (person(user), group.clone(), *from, *to)).collect();
    truth.sort();
    let mut told: Vec<(PersonKey, String, Option<i64>, Option<i64>)> = Vec::new();
    for row in rows.0.values() {
        if let Row::Grant(row) = row
            && row.kind == RightKind::Group
        {
            told.push((row.person.clone(), row.right.clone(), row.from, row.to));
        }
    }
    told.sort();
    if truth != told {
        report.wrong(format!("rights\n{truth:#?}\n{told:#?}"));
    }
}

/// What became of decisions on conditions, where a line tells it.
pub fn conditional(world: &World, rows: &Rows, report: &mut Report) {
    for (event, truth) in &world.conditional {
        let Some(Row::Decision(row)) = rows.0.get(&Key::Decision(*event)) else {
            report.wrong(format!("no row of {event}"));
            continue;
        };
        *report.finals.entry(*truth).or_default() += 1;
        let truth = truth.map(|allowed| if allowed { Outcome::Allow } else { Outcome::Deny });
        if row.outcome != Outcome::Conditional || row.final_outcome != truth {
            report.wrong(format!("became {truth:?}: {row:#?}"));
        }
    }
}

/// Everything that somebody could do at an instant, by every path.
pub fn could(world: &World, correlator: &Correlator, report: &mut Report) {
    for could in &world.could {
        let told = correlator.rights_at("kc", &could.user, could.at).into_iter().map(|right| {
            let kind = match right.kind {
                RightKind::Group => "group",
                RightKind::Role => "role",
                _ => "backstage_role",
            };
            report.unsure += u64::from(right.unsure);
            *report.paths.entry((kind, right.path.len())).or_default() += 1;
            (kind, right.right, right.path)
        });
        let mut told: BTreeSet<Right> = told.collect();
        let mut truth = could.rights.clone();
        // Before the catalog names somebody, it is not known for whom the reference stands.
        if world.synced.get(&could.user).is_none_or(|synced| could.at < *synced) {
            let told_by_keycloak = |right: &Right| right.0 != "backstage_role" || !right.2.is_empty();
            told.retain(told_by_keycloak);
            truth.retain(told_by_keycloak);
        }
        if told != truth {
            let lacks: Vec<&Right> = truth.difference(&told).collect();
            let more: Vec<&Right> = told.difference(&truth).collect();
            report.wrong(format!("{} at {}: not told {lacks:?}, not so {more:?}", could.user, could.at));
        }
    }
}

pub fn no_gaps(rows: &Rows, report: &mut Report) {
    for row in rows.0.values() {
        if let Row::Gap(row) = row {
            report.wrong(format!("a gap where nothing was lost: {row:#?}"));
        }
    }
}
