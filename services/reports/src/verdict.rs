//! What a report proves: pure, from the facts of completeness.
//!
//! `COMPLETE`: for all of the period and every source that the report rests on, something proves that everything arrived, and
//! nothing is known to be missing. `COMPLETE_WITH_LISTED_GAPS`: the rest is proven, and what is missing is listed.
//! `NOT_PROVEN`: anything else; silence there says nothing.

use crate::coverage::{Facts, Span, Standing};
use serde::Serialize;

/// What the data prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// Everything that happened is in it, as far as the sources tell.
    Complete,
    /// The same, but for what is listed.
    CompleteWithListedGaps,
    /// Nothing shows that it is whole.
    NotProven,
}

impl State {
    /// As it is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "COMPLETE",
            Self::CompleteWithListedGaps => "COMPLETE_WITH_LISTED_GAPS",
            Self::NotProven => "NOT_PROVEN",
        }
    }
}

/// The state and why it is no better.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// State.
    pub state: State,
    /// One sentence each, the gravest first.
    pub reasons: Vec<String>,
}

/// Judges the facts.
pub fn verdict(facts: &Facts) -> Verdict {
    let mut against: Vec<(State, String)> = Vec::new();
    let mut say = |state: State, reason: String| against.push((state, reason));
    if facts.period.to > facts.read_at {
        say(State::NotProven, format!("the period ends at {}, which has not come yet", moment(facts.period.to)));
    }
    if facts.sources.iter().all(|one| one.standing == Standing::LeftBefore) {
        say(State::NotProven, "no source that this report rests on is known".into());
    }
    for kind in &facts.lacking_kinds {
        say(State::NotProven, format!("no {kind} that is heard in the period is known, and this report rests on one"));
    }
    // One that left before the period is not expected in it; its gap without an end is listed below.
    for source in facts.sources.iter().filter(|one| one.standing != Standing::LeftBefore) {
        let (id, listed) = (source.told(), facts.gaps_of(&source.source_id));
        let open = without(&[facts.period], &source.proven);
        let unexplained: Vec<Span> = without(&open, &listed);
        if without(&[facts.period], &listed).is_empty() && facts.period.from < facts.period.to {
            say(State::NotProven, format!("{id}: the whole period lies in a gap"));
        } else if source.proven.is_empty() {
            say(
                State::NotProven,
                format!("{id}: nothing proves that anything of the period arrived: {}", source.why()),
            );
        } else {
            for span in unexplained {
                let text = format!(
                    "{id}: nothing proves that it is complete from {} to {} ({})",
                    moment(span.from),
                    moment(span.to),
                    source.why()
                );
                say(State::NotProven, text);
            }
        }
    }
    if let Some(behind) = facts.uncorrelated.filter(|behind| *behind > 0) {
        say(State::NotProven, format!("{behind} events of the period are stored and not correlated yet"));
    }
    if facts.untold > 0 {
        let text =
            format!("{} records of the log are not there, and whether they are lost was not judged yet", facts.untold);
        say(State::NotProven, text);
    }
    if facts.contested > 0 {
        let text = format!("the log was altered or restored: {} entries exist in two versions", facts.contested);
        say(State::NotProven, text);
    }
    if facts.snapshot_lacking {
        say(
            State::NotProven,
            "no complete snapshot of Keycloak was read before the instant: who held a right and was never spoken of is not known".into(),
        );
    }
    if let Some(accuracy) = &facts.accuracy {
        if accuracy.mismatch > 0 || accuracy.tampered > 0 {
            let text = format!(
                "{} of {} rows that were recomputed from the original messages differ from them, and {} messages are not those that were taken in",
                accuracy.mismatch, accuracy.tried, accuracy.tampered
            );
            say(State::NotProven, text);
        }
        if accuracy.not_shown() {
            say(State::CompleteWithListedGaps, "accuracy not shown: bodies no longer kept".into());
        }
        if let Some(why) = &accuracy.not_done {
            say(State::NotProven, format!("no row could be recomputed from its original message: {why}"));
        }
    }
    if facts.journal_losses > 0 {
        let text = format!(
            "the journal is damaged: {} losses in what it keeps of all that was taken in (`tokentrail journal verify`)",
            facts.journal_losses
        );
        say(State::NotProven, text);
    }
    if facts.totals_disagree {
        say(State::NotProven, "the rows are not as many as the control totals say".into());
    }
    let open = facts.gaps.iter().filter(|gap| gap.repaired_by.is_none()).count();
    if open > 0 {
        say(State::CompleteWithListedGaps, format!("{open} gaps touch the period and are not repaired"));
    }
    if facts.missing_count > 0 {
        let text = format!(
            "{} events must have happened and never arrived: snapshots show what they changed. A lost login or decision leaves no such trace and cannot be seen",
            facts.missing_count
        );
        say(State::CompleteWithListedGaps, text);
    }
    if facts.dead > 0 {
        say(
            State::CompleteWithListedGaps,
            format!("{} receipts that may be of the period were not understood", facts.dead),
        );
    }
    against.sort_by_key(|one| std::cmp::Reverse(one.0));
    let state = against.first().map_or(State::Complete, |one| one.0);
    Verdict { state, reasons: against.into_iter().map(|one| one.1).collect() }
}

/// The sentence for a report without rows: never "none" over a gap.
pub fn nothing_found(state: State) -> &'static str {
    match state {
        State::Complete => "no rows: nothing of this kind happened in the period, and the sources were complete",
        State::CompleteWithListedGaps => {
            "no rows: nothing of this kind is known outside the listed gaps; what happened within them is not known"
        }
        State::NotProven => "no rows, which proves nothing: it is not shown that everything of the period arrived",
    }
}

/// What of `spans` is in none of `others`.
pub(crate) fn without(spans: &[Span], others: &[Span]) -> Vec<Span> {
    let mut others = others.to_vec();
    others.sort_unstable_by_key(|span| span.from);
    let mut left = Vec::new();
    for span in spans {
        let mut at = span.from;
        for other in others.iter().filter(|other| other.from < span.to && other.to > span.from) {
            if other.from > at {
                left.push(Span { from: at, to: other.from });
            }
            at = at.max(other.to);
        }
        if at < span.to {
            left.push(Span { from: at, to: span.to });
        }
    }
    left
}

/// UTC milliseconds as people read them.
pub(crate) fn moment(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |time| format!("{time:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coverage::{Accuracy, GapFact, SourceFact};

    fn facts() -> Facts {
        let source = |id: &str| SourceFact {
            source_id: id.into(),
            kind: "keycloak".into(),
            proven: vec![Span { from: 0, to: 2_000 }],
            ..SourceFact::default()
        };
        Facts {
            period: Span { from: 100, to: 1_000 },
            read_at: 5_000,
            sources: vec![source("kc"), source("bs")],
            ..Facts::default()
        }
    }

    fn gap(from: i64, to: i64) -> GapFact {
        GapFact { source_id: "kc".into(), since: from, until: Some(to), cause: "silent".into(), ..GapFact::default() }
    }

    fn state(change: impl Fn(&mut Facts)) -> State {
        let mut facts = facts();
        change(&mut facts);
        verdict(&facts).state
    }

    #[test]
    fn each_fact_against_completeness_turns_the_verdict() {
        assert_eq!(state(|_| ()), State::Complete);
        assert_eq!(state(|facts| facts.gaps.push(gap(200, 300))), State::CompleteWithListedGaps);
        assert_eq!(
            state(|facts| facts.gaps.push(GapFact { repaired_by: Some("pull".into()), ..gap(200, 300) })),
            State::Complete
        );
        assert_eq!(state(|facts| facts.gaps.push(gap(0, 5_000))), State::NotProven);
        assert_eq!(state(|facts| facts.dead = 1), State::CompleteWithListedGaps);
        assert_eq!(state(|facts| facts.missing_count = 1), State::CompleteWithListedGaps);
        assert_eq!(state(|facts| facts.sources[1].proven.clear()), State::NotProven);
        assert_eq!(state(|facts| facts.sources[1].proven[0].to = 999), State::NotProven);
        assert_eq!(state(|facts| facts.sources[1].proven[0].from = 101), State::NotProven);
        assert_eq!(state(|facts| facts.uncorrelated = Some(1)), State::NotProven);
        assert_eq!(state(|facts| facts.untold = 1), State::NotProven);
        assert_eq!(state(|facts| facts.contested = 1), State::NotProven);
        assert_eq!(state(|facts| facts.read_at = 999), State::NotProven);
        assert_eq!(state(|facts| facts.sources.clear()), State::NotProven);
        assert_eq!(state(|facts| facts.lacking_kinds.push("backstage".into())), State::NotProven);
        assert_eq!(state(|facts| facts.snapshot_lacking = true), State::NotProven);
        assert_eq!(state(|facts| facts.totals_disagree = true), State::NotProven);
        assert_eq!(state(|facts| facts.journal_losses = 1), State::NotProven);
        // Of 25 rows, 5 rest on no event of their own.
        let checked =
            |agree: u64, no_body: u64| Accuracy { tried: 25, without_event: 5, agree, no_body, ..Accuracy::default() };
        assert_eq!(state(|facts| facts.accuracy = Some(checked(0, 20))), State::CompleteWithListedGaps);
        assert_eq!(state(|facts| facts.accuracy = Some(checked(1, 19))), State::Complete);
        assert_eq!(state(|facts| facts.accuracy = Some(Accuracy { tried: 5, ..checked(0, 0) })), State::Complete);
        // Unproven time that a listed gap explains is a listed gap.
        let explained = state(|facts| {
            facts.sources[0].proven = vec![Span { from: 0, to: 400 }];
            facts.gaps.push(gap(400, 1_000));
        });
        assert_eq!(explained, State::CompleteWithListedGaps);
        // Another source's gap explains nothing.
        let other = state(|facts| {
            facts.sources[1].proven = vec![Span { from: 0, to: 400 }];
            facts.gaps.push(gap(400, 1_000));
        });
        assert_eq!(other, State::NotProven);
    }

    #[test]
    fn an_altered_log_is_told_in_words_for_everybody() {
        let reasons = verdict(&Facts { contested: 2, ..facts() }).reasons;
        assert_eq!(reasons, ["the log was altered or restored: 2 entries exist in two versions"]);
    }

    #[test]
    fn a_source_that_left_the_config_counts_as_long_as_something_of_it_is_known() {
        let left = |standing: Standing, proven: bool| {
            let mut facts = facts();
            facts.sources[0].standing = standing;
            facts.sources[0].proven.retain(|_| proven);
            facts.gaps.push(gap(200, 300));
            verdict(&facts)
        };
        assert_eq!(left(Standing::Left, true).state, State::CompleteWithListedGaps);
        let unproven = left(Standing::Left, false);
        assert_eq!(unproven.state, State::NotProven);
        assert!(unproven.reasons[0].starts_with("kc (no longer in the config): "), "{:?}", unproven.reasons);
        // Nothing was expected of it in the period: its gap is listed, and no time of it is to be proven.
        assert_eq!(left(Standing::LeftBefore, false).state, State::CompleteWithListedGaps);
        let mut alone = facts();
        alone.sources.iter_mut().for_each(|one| one.standing = Standing::LeftBefore);
        assert_eq!(verdict(&alone).state, State::NotProven, "the report would rest on nothing");
    }

    #[test]
    fn none_is_never_said_over_a_gap() {
        assert!(nothing_found(State::Complete).contains("were complete"));
        for state in [State::CompleteWithListedGaps, State::NotProven] {
            assert!(!nothing_found(state).contains("nothing of this kind happened"));
        }
    }

    #[test]
    fn spans_are_subtracted() {
        let span = |from, to| Span { from, to };
        assert_eq!(without(&[span(0, 10)], &[span(2, 3), span(3, 5), span(9, 20)]), [span(0, 2), span(5, 9)]);
        assert_eq!(without(&[span(0, 10)], &[span(-5, 20)]), []);
        assert_eq!(without(&[span(0, 10)], &[]), [span(0, 10)]);
    }
}
