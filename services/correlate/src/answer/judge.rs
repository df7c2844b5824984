//! How a decision stands to what the person held in Keycloak at its instant: agrees, stale since when, pending since when.

use super::{
    decision::{Grading, Judged},
    support::{Question, Via, View},
};
use crate::{
    known::{Known, Told},
    moment::{Millis, Moment},
    names::Id,
    rows::{Clock, Grade, Reason, Verdict},
};
use events::event::Outcome;

impl Known {
    pub(super) fn judge(&self, question: &Question, when: (Moment, &Told), grading: &mut Grading) -> Judged {
        let (moment, told) = when;
        let t = moment.at;
        let judged = |verdict| Judged {
            verdict,
            delay: None,
            clock: Clock::Catalog,
            view: View::default(),
            stale_claims: Vec::new(),
        };
        if self.names.text(told.permission).is_empty() || !self.names.name(question.reference).starts_with("user:") {
            return judged(Verdict::NotJudged);
        }
        let source = Id { source: question.reference.source, name: question.reference.source };
        if self.rbac.known.value(source, t).is_none() {
            grading.cap(Grade::Inferred, Reason::PolicyUnknown);
            return judged(Verdict::NotJudged);
        }
        let active = question.user.is_none_or(|user| self.keycloak.active(user, t));
        if !active {
            grading.reasons.insert(Reason::Disabled);
        }
        let view = self.view(question, t);
        self.straddles(question, (moment, told), grading);
        let mut judged = match told.outcome {
            Outcome::Allow => self.allowed(question, (t, view, active), grading),
            Outcome::Deny => self.denied(question, (t, view), grading),
            Outcome::Conditional => self.conditional(question, (t, view, told), grading),
            _ => judged(Verdict::NotJudged),
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
        // What a gap or two clocks leave open is never called a violation.
        let open = [Reason::Straddles, Reason::RestsOnGap].iter().any(|reason| grading.reasons.contains(reason));
        if open && judged.verdict == Verdict::Violation {
            judged.verdict = Verdict::Exposure;
        }
        judged
    }

    fn allowed(&self, question: &Question, told: (Millis, View, bool), grading: &mut Grading) -> Judged {
        let (t, view, active) = told;
        let verdict = |verdict, clock, view| Judged { verdict, delay: None, clock, view, stale_claims: Vec::new() };
        if view.supports() {
            return match view.by_group() {
                true => verdict(Verdict::Agrees, Clock::Catalog, view),
                false => verdict(Verdict::GrantedInBackstage, Clock::None, view),
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
            let clock = if active { Clock::Catalog } else { Clock::Token };
            let delay = t.saturating_sub(change);
            let verdict =
                if delay > self.budget(question.reference, clock) { Verdict::Violation } else { Verdict::Exposure };
            return Judged { verdict, delay: Some(delay), clock, view: before, stale_claims: Vec::new() };
        }
        let seen = self.catalog_view(question, t);
        if seen.supports() && self.shares_a_name(question, t) {
            grading.cap(Grade::Inferred, Reason::SharedName);
            return verdict(Verdict::NameCollision, Clock::Catalog, seen);
        }
        verdict(Verdict::AllowedWithoutRight, Clock::Catalog, view)
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
        match given {
            Some(given) => verdict(Verdict::PendingGrant, Some(t.saturating_sub(given)), view),
            None => verdict(Verdict::DeniedWithRight, None, view),
        }
    }

    /// A conditional decision names the owner claims that it used: each group among them is held now, or was, or never.
    fn conditional(&self, question: &Question, told: (Millis, View, &Told), grading: &mut Grading) -> Judged {
        let (t, view, decision) = told;
        let mut judged =
            Judged { verdict: Verdict::Conditional, delay: None, clock: Clock::Claims, view, stale_claims: Vec::new() };
        let Some(user) = question.user else { return judged };
        if decision.owner_refs.is_empty() {
            return judged;
        }
        let active = self.keycloak.active(user, t);
        let groups = self.keycloak.groups_of(user, t);
        let mut stale_since: Option<Millis> = None;
        for claim in &decision.owner_refs {
            let reference = Id { source: question.reference.source, name: *claim };
            if !self.names.text(*claim).starts_with("group:") {
                continue;
            }
            let Some(group) = self.catalog.groups.value(reference, t) else { continue };
            let held =
                groups.iter().any(|member| member.group == group) || self.held_by_catalog(question, (user, group), t);
            if held && active {
                continue;
            }
            match self.lost(user, group, t) {
                Some(lost) => {
                    judged.stale_claims.push(self.owned(*claim));
                    stale_since = stale_since.max(Some(lost));
                }
                None => grading.cap(Grade::Inferred, Reason::ClaimUnexplained),
            }
        }
        judged.stale_claims.sort();
        if let Some(since) = stale_since {
            let clock = if active { Clock::Claims } else { Clock::Token };
            let delay = t.saturating_sub(since);
            let beyond = delay > self.budget(question.reference, clock);
            judged.verdict = if beyond { Verdict::Violation } else { Verdict::Exposure };
            (judged.delay, judged.clock) = (Some(delay), clock);
            return judged;
        }
        // A group that is held and is not among the claims: they are older than the grant.
        let unclaimed = groups.iter().filter(|member| {
            let references = self.references_of_group(member.group, question.reference.source, t);
            let there = references.into_iter().filter(|reference| self.is_group_there(question, *reference, t));
            let references: Vec<Id> = there.collect();
            !references.is_empty() && references.iter().all(|reference| !decision.owner_refs.contains(&reference.name))
        });
        if let Some(since) = unclaimed.filter_map(|member| member.segment.since).max() {
            judged.verdict = Verdict::PendingGrant;
            judged.delay = Some(t.saturating_sub(since.at));
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
        let other = within.chain([span.min, span.max]).any(|at| self.view(question, at).supports() != now);
        if other {
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

    /// Whether one of the Backstage groups that the catalog puts the person into is the name of a Keycloak group that they are
    /// in and of another that the annotation names.
    fn shares_a_name(&self, question: &Question, t: Millis) -> bool {
        let Some(user) = question.user else { return false };
        self.catalog.members.of(question.reference, t).any(|(reference, _)| {
            let annotated = self.catalog.groups.value(reference, t);
            annotated.is_some_and(|annotated| self.is_namesake((user, reference), annotated, t))
        })
    }

    /// Whether the user is, or ever was, in a Keycloak group of the Backstage group's name that is not the annotated one.
    pub(super) fn is_namesake(&self, pair: (Id, Id), annotated: Id, t: Millis) -> bool {
        let (user, reference) = pair;
        let reference = self.names.name(reference);
        let named = reference.rsplit('/').next().unwrap_or("");
        self.keycloak.members.ever(user).any(|(group, _)| {
            let name = self.keycloak.name_known_at(group, t, &self.names);
            group != annotated && name.as_deref().map(super::person::entity_name).as_deref() == Some(named)
        })
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
