//! Breaks rules of the correlation one by one, in a copy of the tree, and shows that a test turns red for each: `make mutants`.
//!
//! A rule is broken by one replacement, whose text must stand exactly once in its file; a test that does not compile counts as
//! nothing. Ends with 1 if a broken rule is not noticed. Works below `target/mutants`; the tree itself is only read.

#![allow(clippy::print_stdout, reason = "a tool for a terminal")]

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Output},
};

struct Mutant {
    rule: &'static str,
    /// Below `services/correlate/src`.
    file: &'static str,
    find: &'static str,
    replace: &'static str,
    /// The target, and the test in it, that must turn red.
    test: (&'static str, &'static str),
}

const MUTANTS: &[Mutant] = &[
    Mutant {
        rule: "neighbours that contradict each other are a gap",
        file: "state/history.rs",
        find: "Some(implied) => says != implied,",
        replace: "Some(implied) => false && says != implied,",
        test: ("rules", "snapshots::what_a_snapshot_lacks_is_a_gap_up_to_its_end_and_marks_what_rests_on_it"),
    },
    Mutant {
        rule: "a change within a read is left open",
        file: "state/history.rs",
        find: "m.moment.at <= to.saturating_add(rules.skew)",
        replace: "m.moment.at < from.saturating_sub(rules.skew)",
        test: ("rules", "snapshots::what_changes_while_it_is_read_is_left_open"),
    },
    Mutant {
        rule: "a fact is put where it belongs in time",
        file: "state/history.rs",
        find: "self.marks.insert(place, mark);",
        replace: "self.marks.push(mark);",
        test: ("worlds", "no_order_of_arrival_changes_a_row"),
    },
    Mutant {
        rule: "a group ends with the group above it",
        file: "state/keycloak.rs",
        find: "self.chain(group, t).iter().all(|group| exists(",
        replace: "self.chain(group, t).iter().take(1).all(|group| exists(",
        test: ("rules", "rights::a_nested_group_deleted_from_above_ends_the_right_by_reference"),
    },
    Mutant {
        rule: "a role that ended gives nothing",
        file: "state/keycloak.rs",
        find: "exists(&self.roles, role, t)\n",
        replace: "exists(&self.roles, role, t) || t != Millis::MIN\n",
        test: ("rules", "roles::a_role_that_ended_gives_nothing_whoever_had_it"),
    },
    Mutant {
        rule: "a name means the role that bears it then",
        file: "state/keycloak.rs",
        find: "**since <= t && !ended(**role)",
        replace: "**since <= t && (!ended(**role) || t.at > Millis::MIN)",
        test: ("rules", "roles::a_composite_that_is_told_by_name_is_of_the_role_that_bore_it"),
    },
    Mutant {
        rule: "composites that changed unseen are named",
        file: "answer/gaps.rs",
        find: "held(&keycloak.composites, RightKind::Composite, rows);",
        replace: "",
        test: ("worlds", "what_is_lost_is_a_named_gap_or_changes_nothing"),
    },
    Mutant {
        rule: "a deny wins over every allow",
        file: "answer/support.rs",
        find: "!self.denied && !self.paths.is_empty()",
        replace: "!self.paths.is_empty()",
        test: ("rules", "rights::deny_wins_and_unknown_policy_is_said"),
    },
    Mutant {
        rule: "whoever is disabled has no right left",
        file: "answer/support.rs",
        find: "if question.user.is_some_and(|user| !self.keycloak.active(user, t)) {",
        replace: "if question.user.is_some_and(|user| !self.keycloak.exists(user, t)) {",
        test: ("rules", "rights::disabling_is_on_the_clock_of_the_token_and_enabling_gives_back"),
    },
    Mutant {
        rule: "a renamed group loses the roles of its old name",
        file: "answer/support.rs",
        find: "(Some(now), Some(then)) if now != then)",
        replace: "(Some(now), Some(then)) if now != then && now == then)",
        test: ("rules", "rights::a_renamed_group_keeps_its_keycloak_right_and_loses_the_backstage_role"),
    },
    Mutant {
        rule: "what rests on a gap is never called a violation",
        file: "answer/judge.rs",
        find: "if open && judged.verdict",
        replace: "if !open && judged.verdict",
        test: ("rules", "snapshots::what_a_snapshot_lacks_is_a_gap_up_to_its_end_and_marks_what_rests_on_it"),
    },
    Mutant {
        rule: "a removal is exposure up to the budget, and a violation after",
        file: "answer/judge.rs",
        find: "let beyond = delay > self.budget(question.reference, clock);",
        replace: "let beyond = delay >= self.budget(question.reference, clock);",
        test: ("rules", "rights::a_removal_is_exposure_up_to_the_budget_and_a_violation_after"),
    },
    Mutant {
        rule: "a revoked grant ends a session only if no other client used it",
        file: "answer/session.rs",
        find: "**how != EndKind::RevokeGrant || clients.len() <= 1",
        replace: "**how != EndKind::RevokeGrant || !clients.is_empty()",
        test: ("rules", "sessions::one_session_with_two_clients_goes_on_when_one_grant_is_revoked"),
    },
    Mutant {
        rule: "an entity that is gone stands for its person only while tokens live",
        file: "answer/person.rs",
        find: "*since >= t.saturating_sub(join.token_life)",
        replace: "*since <= t.saturating_add(join.token_life)",
        test: ("rules", "identity::an_entity_that_is_gone_stands_for_its_last_person_while_tokens_live"),
    },
    Mutant {
        rule: "what became of a decision on conditions is told by the first call of its trace",
        file: "answer/decision.rs",
        find: "calls.range(soon).next()",
        replace: "calls.range(soon).last()",
        test: ("worlds", "what_is_said_is_the_truth"),
    },
    Mutant {
        rule: "a token is known for as long as a decision can rest on it",
        file: "forget/decisions.rs",
        find: "first.min(over).saturating_sub(life).saturating_sub(self.reach())",
        replace: "first.min(over).saturating_add(0 * life.saturating_sub(self.reach()))",
        test: ("worlds", "forgetting::what_is_forgotten_is_as_if_it_were_known"),
    },
    Mutant {
        rule: "what is gone is never said again",
        file: "settle.rs",
        find: "paid.range(first..).filter(|(_, paid)| !paid.over)",
        replace: "paid.range(first..)",
        test: ("worlds", "forgetting::what_is_forgotten_is_as_if_it_were_known"),
    },
];

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let copy = Copy::of(&root)?;
    let tests: Vec<&str> = MUTANTS.iter().map(|mutant| mutant.test.1).collect();
    let whole = copy.run(&["rules", "worlds"], &tests)?;
    if !whole.status.success() {
        println!("the tests fail without any change:\n{}", String::from_utf8_lossy(&whole.stdout));
        return Ok(ExitCode::FAILURE);
    }
    let mut unnoticed = 0;
    for mutant in MUTANTS {
        let (target, test) = mutant.test;
        let told = copy.broken(mutant)?;
        let red = String::from_utf8_lossy(&told.stdout).contains(&format!("test {test} ... FAILED"));
        unnoticed += usize::from(!red);
        println!("{:8} {}\n         {target}: {test}", if red { "red" } else { "UNNOTICED" }, mutant.rule);
    }
    println!("{} rules broken, {unnoticed} unnoticed", MUTANTS.len());
    Ok(if unnoticed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A copy of the tree that may be broken.
struct Copy {
    at: PathBuf,
    target: PathBuf,
}

impl Copy {
    fn of(root: &Path) -> Result<Self, Box<dyn Error>> {
        let below = root.join("target/mutants");
        let copy = Self { at: below.join("tree"), target: below.join("target") };
        if copy.at.exists() {
            fs::remove_dir_all(&copy.at)?;
        }
        let listed = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root)
            .output()?;
        for name in String::from_utf8(listed.stdout)?.split('\0').filter(|name| !name.is_empty()) {
            let (from, to) = (root.join(name), copy.at.join(name));
            if let (true, Some(dir)) = (from.is_file(), to.parent()) {
                fs::create_dir_all(dir)?;
                fs::copy(&from, &to)?;
            }
        }
        Ok(copy)
    }

    /// What a mutant's test says; the file is as it was afterwards.
    fn broken(&self, mutant: &Mutant) -> Result<Output, Box<dyn Error>> {
        let file = self.at.join("services/correlate/src").join(mutant.file);
        let text = fs::read_to_string(&file)?;
        if text.matches(mutant.find).count() != 1 {
            return Err(format!("{}: not exactly once: {}", mutant.file, mutant.find).into());
        }
        fs::write(&file, text.replace(mutant.find, mutant.replace))?;
        let told = self.run(&[mutant.test.0], &[mutant.test.1]);
        fs::write(&file, text)?;
        told
    }

    fn run(&self, targets: &[&str], tests: &[&str]) -> Result<Output, Box<dyn Error>> {
        let mut cargo = Command::new("cargo");
        cargo.args(["test", "--locked", "--quiet", "-p", "correlate", "--no-fail-fast"]);
        cargo.args(targets.iter().flat_map(|target| ["--test", target]));
        cargo.args(["--", "--exact", "--format", "pretty"]).args(tests);
        // A broken rule shows in few worlds.
        cargo.env("TOKENTRAIL_WORLDS", "400").env("CARGO_TARGET_DIR", &self.target).current_dir(&self.at);
        Ok(cargo.output()?)
    }
}
