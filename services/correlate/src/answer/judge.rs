//! How a decision stands to what the person held in Keycloak at its instant: agrees, stale since when, pending since when.

use super::{
    decision::{Grading, Judged},
    support::{Naming, Question, Via, View},
};
use crate::{
    known::{Known, Told},
    moment::{Millis, Moment},
    names::Id,
    rows::{Clock, Grade, Reason, Verdict},
};
use events::event::Outcome;
use std::collections::BTreeSet;

impl Known {
    pub(super) fn judge(&self, question: &Question, when: (Moment, &Told), grading: &mut Grading) -> Judged {
        let mut judged = self.judge_all(question, when, grading);
        self.measured_from_the_earliest(question, when, (&judged, grading));
        // What a gap or two clocks leave open is never called a violation.
        let open = [Reason::Straddles, Reason::RestsOnGap].iter().any(|reason| grading.reasons.contains(reason));
        if open && judged.verdict == Verdict::Violation {
            judged.verdict = Verdict::Exposure;
        }
        judged
    }

    fn judge_all(&self, question: &Question, when: (Moment, &Told), grading: &mut Grading) -> Judged {
        let (moment, told) = when;
        let t = moment.at;
        if !self.names.name(question.reference).starts_with("user:") {
            return Judged::of(Verdict::NotJudged, View::default());
        }
        let closed = question.user.and_then(|user| self.keycloak.closed(user, t));
        if closed.is_some() {
            grading.reasons.insert(Reason::Disabled);
        }
        let source = Id { source: question.reference.source, name: question.reference.source };
        let named = !self.names.text(told.permission).is_empty();
        if named && self.rbac.known.value(source, t).is_none() {
            grading.cap(Grade::Inferred, Reason::PolicyUnknown);
        } else if named {
            return self.judge_right(question, when, grading);
        }
        // What supported it is not known; whatever it was went with the account.
        let let_in = matches!(told.outcome, Outcome::Allow | Outcome::Conditional);
        let lost = || if named && let_in && closed.is_none() { self.lost_some(question, t) } else { None };
        let mut judged = closed.filter(|_| let_in).flatten().map_or_else(
            || Judged::of(Verdict::NotJudged, View::default()),
            |since| self.closed(question, (t, since), View::default()),
        );
        if let Some(since) = lost() {
            grading.cap(Grade::Inferred, Reason::PossiblyStale);
            judged.delay = Some(t.saturating_sub(since));
        }
        self.rests_on_account(question, when, (&mut judged, grading));
        judged
    }

    /// Of a permission that is named, with policies that are known.
    fn judge_right(&self, question: &Question, when: (Moment, &Told), grading: &mut Grading) -> Judged {
        let (Moment { at: t, .. }, told) = when;
        let view = self.view(question, t);
        self.straddles(question, when, grading);
        let mut judged = match told.outcome {
            Outcome::Allow => self.allowed(question, (t, view), grading),
            Outcome::Deny => self.denied(question, (t, view), grading),
            Outcome::Conditional => self.conditional(question, (t, view, told), grading),
            _ => Judged::of(Verdict::NotJudged, View::default()),
        };
        let paths = &judged.view.paths;
        let entitled = matches!(judged.verdict, Verdict::Agrees) && told.outcome == Outcome::Allow;
        if paths.iter().any(|path| path.gap) || (!entitled && self.may_support(question, t)) {
            grading.cap(Grade::Inferred, Reason::RestsOnGap);
        }
        if paths.iter().any(|path| path.unsure) {
            grading.cap(Grade::Inferred, Reason::PolicyUnsure);
        }
        if !paths.is_empty() && paths.iter().all(|path| path.via == Via::Catalog) {
            grading.cap(Grade::Inferred, Reason::RightsFromCatalog);
        }
        if told.outcome == Outcome::Conditional || judged.clock == Clock::Token {
            self.rests_on_account(question, when, (&mut judged, grading));
        }
        judged
    }

    /// Whoever is let in although their account was closed at `since`.
    fn closed(&self, question: &Question, (t, since): (Millis, Millis), view: View) -> Judged {
        Judged { view, ..self.stale(question, (t, since), Clock::Token) }
    }

    /// Let in although what supported it went at `since`.
    fn stale(&self, question: &Question, (t, since): (Millis, Millis), clock: Clock) -> Judged {
        let delay = t.saturating_sub(since);
        let beyond = delay > self.budget(question.reference, clock);
        let verdict = if beyond { Verdict::Violation } else { Verdict::Exposure };
        Judged { delay: Some(delay), clock, ..Judged::of(verdict, View::default()) }
    }

    /// A decision can have been made earlier than its time: before what it rested on went, or while that (or what was given) was within
    /// its budget.
    fn measured_from_the_earliest(&self, question: &Question, when: (Moment, &Told), judged: (&Judged, &mut Grading)) {
        let (moment, told) = when;
        let (judged, grading) = judged;
        let beyond = match judged.verdict {
            Verdict::Exposure => false,
            Verdict::Violation | Verdict::DeniedWithRight => true,
            _ => return,
        };
        let Some(delay) = judged.delay else { return };
        let least = delay.saturating_sub(moment.at.saturating_sub(told.span.min));
        let within_its_time = beyond && least <= self.budget(question.reference, judged.clock);
        if least < 0 || within_its_time {
            grading.cap(Grade::Inferred, Reason::Straddles);
        }
    }

    /// What is said of a closed account, or of one that may have been closed, where an event of it is missing.
    fn rests_on_account(&self, question: &Question, when: (Moment, &Told), judged: (&mut Judged, &mut Grading)) {
        let (Moment { at: t, .. }, told) = when;
        let (judged, grading) = judged;
        let open = |t: Millis| question.user.is_some_and(|user| self.keycloak.may_be_otherwise(user, t));
        // As it was just before it was closed: by a read that shows it, it is known by when at the latest.
        let before = judged.delay.filter(|_| judged.clock == Clock::Token);
        let closing = before.is_some_and(|delay| open(t.saturating_sub(delay).saturating_sub(1)));
        if told.outcome != Outcome::Deny && (open(t) || closing) {
            grading.cap(Grade::Inferred, Reason::RestsOnGap);
            if judged.verdict == Verdict::Violation {
                judged.verdict = Verdict::Exposure;
            }
        }
    }

    fn allowed(&self, question: &Question, (t, view): (Millis, View), grading: &mut Grading) -> Judged {
        if view.supports() {
            return match view.by_group() {
                true => Judged::of(Verdict::Agrees, view),
                false => Judged { clock: Clock::None, ..Judged::of(Verdict::GrantedInBackstage, view) },
            };
        }
        let (changes, more) = self.changes(question, t);
        if more {
            grading.cap(Grade::Inferred, Reason::TooManyChanges);
        }
        // The last instant before which it was supported is when it was taken away.
        for change in changes {
            let before = self.view(question, change.saturating_sub(1));
            if !before.supports() {
                continue;
            }
            // Of whoever was closed only later, the catalog had not followed.
            let went_with_account = question.user.is_some_and(|user| !self.keycloak.active(user, change));
            let clock = if went_with_account { Clock::Token } else { Clock::Catalog };
            return Judged { view: before, ..self.stale(question, (t, change), clock) };
        }
        let closed = question.user.and_then(|user| self.keycloak.closed(user, t));
        let seen_at = closed.map_or(Some(t), |since| since.map(|since| since.saturating_sub(1)));
        let seen = seen_at.map(|at| self.view_by_name(question, at)).filter(View::supports);
        let Some(seen) = seen else { return Judged::of(Verdict::AllowedWithoutRight, view) };
        grading.cap(Grade::Inferred, Reason::SharedName);
        match closed.flatten() {
            Some(since) => self.closed(question, (t, since), seen),
            None => Judged::of(Verdict::NameCollision, seen),
        }
    }

    fn denied(&self, question: &Question, told: (Millis, View), grading: &mut Grading) -> Judged {
        let (t, view) = told;
        let verdict =
            |verdict, delay, view| Judged { verdict, delay, clock: Clock::Catalog, view, stale_claims: Vec::new() };
        if !view.supports() {
            return verdict(Verdict::Agrees, None, view);
        }
        let (changes, more) = self.changes(question, t);
        if more {
            grading.cap(Grade::Inferred, Reason::TooManyChanges);
        }
        let given = changes.into_iter().find(|change| !self.view(question, change.saturating_sub(1)).supports());
        let delay = given.map(|given| t.saturating_sub(given));
        // Beyond the budget the catalog has read it: something else denied it.
        let pending = delay.is_some_and(|delay| delay <= self.budget(question.reference, Clock::Catalog));
        verdict(if pending { Verdict::PendingGrant } else { Verdict::DeniedWithRight }, delay, view)
    }

    /// A conditional decision names the owner claims that it used: each group among them is held now, or was, or never.
    fn conditional(&self, question: &Question, told: (Millis, View, &Told), grading: &mut Grading) -> Judged {
        let (t, view, decision) = told;
        let mut judged = Judged { clock: Clock::Claims, ..Judged::of(Verdict::Conditional, view) };
        let Some(user) = question.user else { return judged };
        let closed = self.keycloak.closed(user, t);
        let active = closed.is_none();
        let groups = self.keycloak.groups_of(user, t);
        let mut stale_since: Option<Millis> = None;
        for claim in &decision.owner_refs {
            let reference = Id { source: question.reference.source, name: *claim };
            if !self.names.text(*claim).starts_with("group:") {
                continue;
            }
            let Some((group, unnamed)) = self.group_of(reference, t) else { continue };
            let member = groups.iter().any(|member| member.group == group);
            let held = member || self.held_by_catalog(question, (user, group), t);
            if held && active && unnamed.is_none() {
                continue;
            }
            // A group that is called otherwise now is held, and not by that name.
            let renamed = || {
                let called = |at: Millis| self.keycloak.called.value(group, at);
                let changes = self.keycloak.called.get(group).into_iter().flat_map(|ledger| ledger.changes(t));
                // That it is named for the first time, or once more, is no rename.
                let before = |at: Millis| called(at.saturating_sub(1));
                let renames = changes.filter(|at| before(*at).is_some_and(|before| called(*at) != Some(before)));
                unnamed.map(|unnamed| renames.last().unwrap_or(unnamed).min(unnamed))
            };
            match if member && active { renamed() } else { self.lost(user, group, t) } {
                Some(lost) => {
                    judged.stale_claims.push(self.owned(*claim));
                    stale_since = stale_since.max(Some(lost));
                }
                None => grading.cap(Grade::Inferred, Reason::ClaimUnexplained),
            }
        }
        judged.stale_claims.sort();
        // A claim that was lost while the account was open had time until the next issue; all else goes with the account.
        let by_account = closed.flatten().filter(|closed| stale_since.is_none_or(|since| since >= *closed));
        let since = by_account.map(|closed| (closed, Clock::Token)).or(stale_since.map(|since| (since, Clock::Claims)));
        if let Some((since, clock)) = since {
            let Judged { stale_claims, view, .. } = judged;
            return Judged { stale_claims, view, ..self.stale(question, (t, since), clock) };
        }
        if !active || decision.owner_refs.is_empty() {
            return judged;
        }
        // A group that is held and is not among the claims: they are older than the grant.
        let unclaimed = groups.iter().filter(|member| {
            let references = self.references_of_group(member.group, question.reference.source, t);
            let there = references.into_iter().filter(|reference| self.is_group_there(question, *reference, t));
            let references: Vec<Id> = there.collect();
            !references.is_empty() && references.iter().all(|reference| !decision.owner_refs.contains(&reference.name))
        });
        // The catalog reads it, and then claims are issued anew: those that still lack it lack it for another reason.
        let budget = [Clock::Catalog, Clock::Claims].map(|clock| self.budget(question.reference, clock));
        let budget = budget.into_iter().fold(0, Millis::saturating_add);
        let delays = unclaimed.filter_map(|member| member.segment.since).map(|since| t.saturating_sub(since.at));
        let (pending, missing): (Vec<Millis>, Vec<Millis>) = delays.partition(|delay| *delay <= budget);
        if !missing.is_empty() {
            grading.cap(Grade::Inferred, Reason::ClaimMissing);
        }
        if let Some(delay) = pending.into_iter().min() {
            (judged.verdict, judged.delay) = (Verdict::PendingGrant, Some(delay));
        }
        judged
    }

    /// Whether the catalog or a role speaks of a Backstage group at `t`. What claims of other decisions name is forgotten with them, and does
    /// not say of this one that its claims lack something.
    fn is_group_there(&self, question: &Question, reference: Id, t: Millis) -> bool {
        self.catalog.groups.value(reference, t).is_some()
            || self.rbac.members.of(reference, t).next().is_some()
            || self.catalog.members.of(question.reference, t).any(|(group, _)| group == reference)
    }

    fn held_by_catalog(&self, question: &Question, pair: (Id, Id), t: Millis) -> bool {
        let (user, group) = pair;
        // A read of all members speaks of everybody, also of whom it does not list.
        self.keycloak.members.get(user, group).is_none()
            && !self.members_were_read(user)
            && self
                .catalog
                .members
                .of(question.reference, t)
                .any(|(reference, _)| self.catalog.groups.value(reference, t) == Some(group))
    }

    /// When the user last lost the group, or everything.
    fn lost(&self, user: Id, group: Id, t: Millis) -> Option<Millis> {
        let question = |at: Millis| {
            self.keycloak.active(user, at) && self.keycloak.groups_of(user, at).iter().any(|m| m.group == group)
        };
        let mut changes: Vec<Millis> = Vec::new();
        changes.extend(self.keycloak.members.get(user, group).into_iter().flat_map(|ledger| ledger.changes(t)));
        changes.extend(self.keycloak.enabled.get(user).into_iter().flat_map(|ledger| ledger.changes(t)));
        changes.extend(self.keycloak.users.get(user).into_iter().flat_map(|ledger| ledger.changes(t)));
        for group in self.keycloak.chain(group, t) {
            changes.extend(self.keycloak.groups.get(group).into_iter().flat_map(|ledger| ledger.changes(t)));
        }
        changes.sort_unstable();
        changes.into_iter().rev().find(|change| question(change.saturating_sub(1)))
    }

    /// Since when the person lacks a group, or one above it, that they had held and that the Backstage can have known; nothing if they lack none.
    fn lost_some(&self, question: &Question, t: Millis) -> Option<Millis> {
        let (user, backstage) = (question.user?, question.reference.source);
        let held = |at: Millis| -> BTreeSet<Id> {
            let groups = self.keycloak.groups_of(user, at).into_iter();
            groups.flat_map(|member| self.keycloak.chain(member.group, at)).collect()
        };
        let unread = self.catalog_read(backstage, t).is_none();
        let can_be_known = |group: Id, at: Millis| match self.names_of_group(group, backstage, at) {
            Naming::Annotated(found) => unread || !found.is_empty(),
            Naming::Named(_) => true,
        };
        let now = held(t);
        let (changes, _) = self.changes(question, t);
        changes.into_iter().find(|change| {
            let before = change.saturating_sub(1);
            held(before).into_iter().any(|group| !now.contains(&group) && can_be_known(group, before))
        })
    }

    /// A decision can have been made at any instant of its span: if the answer changed within it, the order is not known.
    fn straddles(&self, question: &Question, when: (Moment, &Told), grading: &mut Grading) {
        let (moment, told) = when;
        let span = told.span;
        if span.min == span.max || !self.changed_within(question, (span.min, span.max)) {
            return;
        }
        let now = self.view(question, moment.at).supports();
        let (changes, _) = self.changes(question, span.max);
        let within = changes.into_iter().take_while(|change| *change > span.min);
        let mut within: Vec<Millis> = within.chain([span.min, span.max]).collect();
        within.retain(|at| *at != moment.at);
        let other = within.iter().any(|at| self.view(question, *at).supports() != now);
        // Of conditions it is what their claims were worth.
        let claims = |at: Millis| {
            let judged = self.conditional(question, (at, View::default(), told), &mut Grading::default());
            (judged.stale_claims, judged.verdict == Verdict::PendingGrant)
        };
        let claims_differ = || {
            let now = claims(moment.at);
            within.iter().any(|at| claims(*at) != now)
        };
        if other || (told.outcome == Outcome::Conditional && claims_differ()) {
            grading.cap(Grade::Inferred, Reason::Straddles);
        }
    }

    /// Cheap: whether anything at all that could matter changed after `from` and by `to`.
    fn changed_within(&self, question: &Question, span: (Millis, Millis)) -> bool {
        let (from, to) = span;
        let world = |source| self.latest.get(&source).is_some_and(|latest| *latest > from);
        if world(question.reference.source) {
            return true;
        }
        let Some(user) = question.user else { return false };
        let within = |at: Millis| from < at && at <= to;
        world(user.source)
            || self.keycloak.members.ever(user).any(|(_, ledger)| ledger.changes(to).any(within))
            || self.keycloak.enabled.get(user).is_some_and(|ledger| ledger.changes(to).any(within))
            || self.keycloak.users.get(user).is_some_and(|ledger| ledger.changes(to).any(within))
    }

    /// A Keycloak group of the Backstage group's name that the user is in, or ever was, and that is not the annotated one.
    pub(super) fn namesake(&self, pair: (Id, Id), annotated: Id, t: Millis) -> Option<Id> {
        let (user, reference) = pair;
        let reference = self.names.name(reference);
        let named = reference.rsplit('/').next().unwrap_or("");
        let groups = self.keycloak.members.ever(user).map(|(group, _)| group).filter(|group| {
            let name = self.keycloak.name_known_at(*group, t, &self.names);
            *group != annotated && name.as_deref().map(super::person::entity_name).as_deref() == Some(named)
        });
        // Of several that which they are in then, and of those one that everybody would choose.
        let is_in = |group: &Id| {
            self.keycloak.members.get(user, *group).is_some_and(|l| l.at(t).is_some_and(|s| s.says.is_some()))
        };
        groups.min_by_key(|group| (!is_in(group), self.names.name(*group).to_owned()))
    }

    fn budget(&self, reference: Id, clock: Clock) -> Millis {
        let Some(join) = self.join(reference.source) else { return Millis::MAX };
        match clock {
            Clock::Catalog => join.budgets.catalog,
            Clock::Claims => join.budgets.claims,
            Clock::Token => join.budgets.token,
            Clock::None => 0,
        }
    }
}
