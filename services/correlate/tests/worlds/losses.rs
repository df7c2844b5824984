//! Changes that can be lost, and what a snapshot must then make of it.

use crate::{check::Report, deliver::Rows, lines, sim::World};
use correlate::rows::{GapRow, Grade, Reason, RightKind, Row, Verdict};
use std::collections::BTreeSet;

/// A change of something that a snapshot reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    kind: RightKind,
    /// Whose: a user's or a group's id, or the reference of a person.
    whose: String,
    right: String,
    at: i64,
    line: usize,
}

impl Change {
    /// The change that a line tells, if it tells one.
    pub fn told(world: &World, line: usize) -> Option<Self> {
        let event = world.lines[line].events.last()?;
        let person = || event.person_id.clone();
        let group = || event.right_id.clone();
        let role = |path: &str| role_at(world, path);
        let (kind, whose, right) = match event.kind.as_str() {
            "group_member_added" | "group_member_removed" => (RightKind::Group, person(), group()),
            "user_updated" => (RightKind::Enabled, person(), String::new()),
            "user_deleted" => (RightKind::Existence, person(), String::new()),
            "group_deleted" => (RightKind::Existence, group(), group()),
            "group_updated" => (RightKind::Name, group(), group()),
            "group_moved" => (RightKind::Place, group(), group()),
            "role_granted" | "role_revoked" if event.holder_kind == "group" => {
                (RightKind::Role, event.holder_id.clone(), group())
            }
            "role_granted" | "role_revoked" => (RightKind::Role, person(), group()),
            "composite_added" | "composite_removed" => (RightKind::Composite, role(&event.resource), group()),
            "role_deleted" => (RightKind::Existence, role(&event.resource), role(&event.resource)),
            "default_group_added" | "default_group_removed" => {
                (RightKind::DefaultGroup, lines::REALM.to_owned(), group())
            }
            // What is told at the start comes before any read.
            "backstage_role_member_added" | "backstage_role_member_removed" if line > 2 => {
                (RightKind::BackstageRole, event.person_name.clone(), group())
            }
            _ => return None,
        };
        Some(Self { kind, whose, right, at: world.lines[line].at, line })
    }

    fn is_about(&self, other: &Self) -> bool {
        // A move says the name, too.
        let told_by = |kind| kind == self.kind || (self.kind == RightKind::Name && kind == RightKind::Place);
        told_by(other.kind) && (&self.whose, &self.right) == (&other.whose, &other.right)
    }

    fn is(&self, world: &World, gap: &GapRow) -> bool {
        let user = world.users.iter().find(|user| user.id == self.whose || reference(&user.name) == self.whose);
        let person = user.map(|user| crate::check::person(&user.id));
        let whose = gap.holder == self.whose || (gap.person.is_some() && gap.person == person);
        whose && gap.kind == self.kind && gap.right == self.right && gap.after < self.at && self.at <= gap.before
    }

    /// Whether it left nothing to see: what it is about is gone, or another event says the same before the next read.
    fn is_unseen(&self, world: &World, lost: &[Self]) -> bool {
        // Of two losses between two pieces of evidence nothing is left to see.
        let twice = || lost.iter().any(|other| other.line != self.line && self.is_about(other));
        // Nor where a group was given to a new user by a default that was lost, and taken again.
        let by_default = || {
            let of_default = |other: &Self| other.kind == RightKind::DefaultGroup && other.right == self.right;
            self.kind == RightKind::Group && lost.iter().any(of_default)
        };
        let dead = |id: &str| {
            let user = world.users.iter().any(|user| user.id == id && !user.lives);
            let role = world.rights.roles.iter().any(|role| role.id == id && !role.lives);
            user || role || world.groups.iter().any(|group| group.id == id && !group.lives)
        };
        let gone = match self.kind {
            RightKind::Existence => world
                .groups
                .iter()
                .any(|group| group.id == self.whose && group.parent.is_some_and(|above| !world.groups[above].lives)),
            _ => dead(&self.whose) || dead(&self.right),
        };
        let source = if self.kind == RightKind::BackstageRole { "bs" } else { "kc" };
        let kind = |line: usize| {
            let event = &world.lines[line].events[0];
            if event.source_id == source { event.kind.as_str() } else { "" }
        };
        let ends = |from: usize| (from..world.lines.len()).find(|line| kind(*line) == "snapshot_end");
        // While a snapshot is taken, the list in question may have been read already: the next one counts.
        let said = (0..self.line).rev().map(kind).find(|kind| kind.starts_with("snapshot_"));
        let within = said.is_some_and(|kind| kind != "snapshot_end");
        let read = ends(self.line + 1).and_then(|end| if within { ends(end + 1) } else { Some(end) });
        let until = read.unwrap_or(world.lines.len());
        let again =
            (self.line + 1..until).filter_map(|line| Self::told(world, line)).any(|later| self.is_about(&later));
        gone || twice() || by_default() || (self.kind != RightKind::Group && again)
    }
}

/// The role that an event's path names.
fn role_at(world: &World, path: &str) -> String {
    let named = |role: &&crate::rights::Role| {
        let at = |by_id| format!("{}/", lines::role_path(role, by_id));
        let path = format!("{path}/");
        path.starts_with(&at(true)) || path.starts_with(&at(false))
    };
    world.rights.roles.iter().find(named).map(|role| role.id.clone()).unwrap_or_default()
}

fn reference(name: &str) -> String {
    format!("user:default/{name}")
}

/// What was lost is named, unless nothing was left to see; and a decision is only wrong where something of it was lost.
pub fn check(world: &World, lost: &[usize], rows: &Rows, report: &mut Report) {
    let lost: Vec<Change> = lost.iter().filter_map(|line| Change::told(world, *line)).collect();
    let gaps: Vec<&GapRow> =
        rows.0.values().filter_map(|row| if let Row::Gap(row) = row { Some(row) } else { None }).collect();
    report.gaps += gaps.len() as u64;
    for gap in &gaps {
        *report.kinds.entry(gap.kind).or_default() += 1;
        // A group that was moved unseen goes with what is above it, and nothing tells why.
        let moved = |lost: &Change| lost.kind == RightKind::Place && gap.kind == RightKind::Existence;
        // What new users get at once was not known, or was taken for gone with what it had been moved away from.
        let given = |lost: &Change| {
            let about_default = matches!(lost.kind, RightKind::DefaultGroup | RightKind::Place);
            about_default && gap.kind == RightKind::Group && gap.right == lost.right
        };
        // A role that ended unseen while it was read: the list of roles has it, and those of its holders do not.
        let ended = |lost: &Change| {
            let about = gap.right == lost.whose || gap.holder == lost.whose;
            lost.kind == RightKind::Existence && about && gap.after < lost.at && lost.at <= gap.before
        };
        let explains =
            |lost: &Change| lost.is(world, gap) || (moved(lost) && gap.person.is_none()) || given(lost) || ended(lost);
        if !lost.iter().any(explains) {
            report.wrong(format!("a gap that no loss explains: {gap:#?}\n{lost:#?}"));
        }
    }
    let world_wide = |kind| matches!(kind, RightKind::Existence | RightKind::Name | RightKind::Place);
    let mut touched: BTreeSet<&str> = BTreeSet::new();
    let mut everybody = false;
    for change in &lost {
        touched.insert(&change.whose);
        everybody |= world_wide(change.kind);
        if !gaps.iter().any(|gap| change.is(world, gap)) {
            report.unseen += 1;
            if !change.is_unseen(world, &lost) {
                report.wrong(format!("a loss that is not named: {change:?}, gaps {gaps:#?}"));
            }
        }
    }
    for decided in &world.decided {
        let row = crate::check::row(rows, decided);
        report.judged += 1;
        let user = world.users.iter().find(|user| user.id == decided.user).expect("a user");
        let theirs =
            everybody || touched.contains(user.id.as_str()) || touched.contains(reference(&user.name).as_str());
        if !theirs && !crate::check::judged_right(decided, row) {
            report.wrong(format!("nothing of theirs was lost: {decided:#?}\n{row:#?}"));
        }
        let rests = row.reasons.contains(&Reason::RestsOnGap);
        // Where a loss of theirs is named, what is said otherwise than it was says that it rests on that.
        let account = |gap: &&&GapRow| matches!(gap.kind, RightKind::Enabled | RightKind::Existence | RightKind::Group);
        let person = Some(crate::check::person(&decided.user));
        let within = |gap: &&GapRow| gap.after < decided.at && decided.at < gap.before && gap.person == person;
        let named = gaps.iter().filter(account).any(within);
        if named && lost.len() == 1 && !rests && !crate::check::judged_right(decided, row) {
            report.wrong(format!("not marked, though a gap is named: {decided:#?}\n{row:#?}\n{gaps:#?}"));
        }
        report.rested += u64::from(rests);
        if rests && (row.grade > Grade::Inferred || row.verdict == Verdict::Violation) {
            report.wrong(format!("too sure for what rests on a gap: {row:#?}"));
        }
        if rests && lost.is_empty() {
            report.wrong(format!("nothing was lost: {row:#?}"));
        }
    }
}
