//! Changes that can be lost, and what a snapshot must then make of it.

use crate::{check::Report, deliver::Rows, sim::World};
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
        let (kind, whose, right) = match event.kind.as_str() {
            "group_member_added" | "group_member_removed" => (RightKind::Group, person(), group()),
            "user_updated" => (RightKind::Enabled, person(), String::new()),
            "user_deleted" => (RightKind::Existence, person(), String::new()),
            "group_deleted" => (RightKind::Existence, group(), group()),
            "group_updated" => (RightKind::Name, group(), group()),
            "group_moved" => (RightKind::Place, group(), group()),
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
        let dead = |id: &str| {
            let user = world.users.iter().any(|user| user.id == id && !user.lives);
            user || world.groups.iter().any(|group| group.id == id && !group.lives)
        };
        let gone = match self.kind {
            RightKind::Existence => world
                .groups
                .iter()
                .any(|group| group.id == self.whose && group.parent.is_some_and(|above| !world.groups[above].lives)),
            _ => dead(&self.whose) || dead(&self.right),
        };
        let read = (self.line + 1..world.lines.len()).find(|line| world.lines[*line].events[0].kind == "snapshot_end");
        let until = read.unwrap_or(world.lines.len());
        let again =
            (self.line + 1..until).filter_map(|line| Self::told(world, line)).any(|later| self.is_about(&later));
        gone || twice() || (self.kind != RightKind::Group && again)
    }
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
        if !lost.iter().any(|lost| lost.is(world, gap) || (moved(lost) && gap.person.is_none())) {
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
        report.rested += u64::from(rests);
        if rests && (row.grade > Grade::Inferred || row.verdict == Verdict::Violation) {
            report.wrong(format!("too sure for what rests on a gap: {row:#?}"));
        }
        if rests && lost.is_empty() {
            report.wrong(format!("nothing was lost: {row:#?}"));
        }
    }
}
