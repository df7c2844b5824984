//! What heartbeats prove: pure, so that any order of arrival ends in the same gaps.

use super::clocks::BELIEVED;

/// A heartbeat as one input sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beat {
    /// When it was sent, UTC milliseconds of our clock.
    pub sent_at: i64,
    /// Whether the source took it.
    pub taken: bool,
    /// When it happened by the source's clock, if it came back by this input, UTC milliseconds.
    pub seen: Option<i64>,
}

/// Why an input is not known to be complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The source took heartbeats and they did not come back.
    Silent,
    /// The source did not take heartbeats.
    SourceUnreachable,
    /// No heartbeats were sent: the collector did not run.
    NoHeartbeat,
}

impl Cause {
    /// The name in tables and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::SourceUnreachable => "source_unreachable",
            Self::NoHeartbeat => "no_heartbeat",
        }
    }
}

/// A time between two heartbeats that came back in which others are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The last heartbeat that came back before it (or the first that was sent), UTC milliseconds.
    pub since: i64,
    /// The first after it; none while there is none.
    pub until: Option<i64>,
    /// Why.
    pub cause: Cause,
}

/// How often heartbeats are sent and how late they may come.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Milliseconds between two heartbeats.
    pub interval: i64,
    /// Milliseconds that one may take.
    pub lateness: i64,
}

/// What is known of one input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assessment {
    /// The newest heartbeat that came back, by the source's clock, UTC milliseconds.
    pub watermark: Option<i64>,
    /// Gaps, oldest first.
    pub gaps: Vec<Span>,
}

/// Judges the heartbeats of one input, oldest first, at `now` (UTC milliseconds). A gap needs two missing in a row, so one
/// lost heartbeat is none; and it is none before the first missing one is overdue.
pub fn assess(beats: &[Beat], now: i64, pace: Pace) -> Assessment {
    let Some(first) = beats.first() else { return Assessment::default() };
    let mut assessment = Assessment::default();
    // Before anything came back, the first one sent stands for the beginning.
    let (mut from, mut since) = (first.sent_at, first.sent_at);
    let mut between = Between::default();
    for beat in beats {
        match beat.seen {
            Some(time) => {
                // A clock that is off can have been set meanwhile: a gap is as long as either clock has it, and nothing is proven
                // of a time that has not come.
                let off = (time - beat.sent_at).abs() > BELIEVED;
                let (begun, ended) = if off { (time.min(beat.sent_at), time.max(beat.sent_at)) } else { (time, time) };
                assessment.gaps.extend(span(&between, (from, since), Some((beat.sent_at, ended)), (now, pace)));
                (from, since, between) = (beat.sent_at, begun, Between::default());
                assessment.watermark = assessment.watermark.max(Some(begun));
            }
            None => between.add(beat),
        }
    }
    assessment.gaps.extend(span(&between, (from, since), None, (now, pace)));
    assessment
}

/// What lies between two heartbeats that came back.
#[derive(Default)]
struct Between {
    taken: u32,
    refused: u32,
}

impl Between {
    fn add(&mut self, beat: &Beat) {
        if beat.taken {
            self.taken += 1;
        } else {
            self.refused += 1;
        }
    }
}

fn span(between: &Between, from: (i64, i64), to: Option<(i64, i64)>, at: (i64, Pace)) -> Option<Span> {
    let ((from, since), (now, pace)) = (from, at);
    let length = to.map_or(now, |(sent_at, _)| sent_at) - from;
    let two_missing = 2 * length > 5 * pace.interval;
    let overdue = now - from - pace.interval > pace.lateness;
    let cause = match between {
        Between { taken: 1.., .. } => Cause::Silent,
        Between { refused: 1.., .. } => Cause::SourceUnreachable,
        Between { .. } => Cause::NoHeartbeat,
    };
    (two_missing && overdue).then(|| Span { since, until: to.map(|(_, time)| time), cause })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PACE: Pace = Pace { interval: 60, lateness: 120 };

    fn beats(marks: &str) -> Vec<Beat> {
        let beat = |(n, mark): (usize, char)| {
            let sent_at = n as i64 * PACE.interval;
            // The source's clock is one ahead.
            (mark != ' ').then_some(Beat { sent_at, taken: mark != 'x', seen: (mark == 's').then_some(sent_at + 1) })
        };
        marks.chars().enumerate().filter_map(beat).collect()
    }

    fn gaps(marks: &str, now: i64) -> Vec<(i64, Option<i64>, &'static str)> {
        let found = assess(&beats(marks), now, PACE).gaps;
        found.into_iter().map(|span| (span.since, span.until, span.cause.as_str())).collect()
    }

    #[test]
    fn one_lost_heartbeat_is_no_gap_and_two_are() {
        assert_eq!(gaps("ssss", 200), []);
        assert_eq!(gaps("ss-s", 10_000).len(), 1, "the end is open by now");
        assert_eq!(gaps("ss-ss", 300), []);
        assert_eq!(gaps("s--ss", 300), [(1, Some(181), "silent")]);
        assert_eq!(gaps("sxxss", 300), [(1, Some(181), "source_unreachable")]);
        assert_eq!(gaps("sx-ss", 300), [(1, Some(181), "silent")]);
        assert_eq!(gaps("s   ss", 300), [(1, Some(241), "no_heartbeat")]);
        assert_eq!(gaps("", 300), []);
    }

    #[test]
    fn what_may_still_come_is_no_gap_yet() {
        assert_eq!(gaps("s---", 180), []);
        assert_eq!(gaps("s---", 181), [(1, None, "silent")]);
        // It closes under the same start.
        assert_eq!(gaps("s---s", 241), [(1, Some(241), "silent")]);
        // Nothing ever came back: the way was never there.
        assert_eq!(gaps("---", 181), [(0, None, "silent")]);
        assert_eq!(assess(&beats("s--s-"), 260, PACE).watermark, Some(181));
    }

    #[test]
    fn a_clock_that_is_set_during_an_outage_shortens_no_gap() {
        const MINUTE: i64 = 60_000;
        const HOUR: i64 = 60 * MINUTE;
        let pace = Pace { interval: MINUTE, lateness: 2 * MINUTE };
        for (before, after) in [(0, -HOUR), (HOUR, 0), (-HOUR, 0), (0, HOUR)] {
            let beat = |sent_at, off| Beat { sent_at, taken: true, seen: Some(sent_at + off) };
            let beats = [beat(0, before), beat(20 * MINUTE, after), beat(21 * MINUTE, after)];
            let found = assess(&beats, 22 * MINUTE, pace);
            let [gap] = found.gaps[..] else { panic!("one gap: {found:?}") };
            assert!(gap.since <= 0 && gap.until.is_some_and(|until| until >= 20 * MINUTE), "{before} {after}: {gap:?}");
            assert!(found.watermark.is_some_and(|mark| mark <= 21 * MINUTE), "{before} {after}: {found:?}");
        }
    }

    proptest! {
        #[test]
        fn a_heartbeat_that_comes_late_only_makes_gaps_smaller(
            marks in prop::collection::vec(prop::sample::select(vec!['s', '-', 'x', ' ']), 1..40),
            late in 0usize..40,
            after in 0i64..1_000,
        ) {
            let now = marks.len() as i64 * PACE.interval + after;
            let before: String = marks.iter().collect();
            let mut marks = marks;
            if let Some(mark) = marks.get_mut(late).filter(|mark| **mark == '-') {
                *mark = 's';
            }
            let after: String = marks.iter().collect();
            let length = |gaps: &[(i64, Option<i64>, &str)]| gaps.iter().map(|gap| gap.1.unwrap_or(now) - gap.0).sum::<i64>();
            prop_assert!(length(&gaps(&after, now)) <= length(&gaps(&before, now)) + 1);
            // Gaps never overlap, and none holds a heartbeat that came back.
            let found = assess(&beats(&after), now, PACE).gaps;
            for pair in found.windows(2) {
                prop_assert!(pair[0].until.is_some_and(|until| until <= pair[1].since));
            }
            for beat in beats(&after).iter().filter_map(|beat| beat.seen) {
                prop_assert!(found.iter().all(|gap| beat <= gap.since || gap.until.is_some_and(|until| beat >= until)));
            }
        }
    }
}
