//! Whether a source's clock goes right, as heartbeats tell: each was sent by our clock, happened by the source's, and arrived by ours.
//! Pure.

use store::{Gap, HeartbeatStatus};

/// Cause of the gap: nothing need be missing, but what is said of that time is said of another.
pub(super) const CAUSE: &str = "clock_off";
/// What is believed of two clocks that somebody keeps, milliseconds.
pub(super) const BELIEVED: i64 = 10_000;
/// So many heartbeats in a row tell it; one may have met a clock that was being set.
const IN_A_ROW: usize = 2;

/// A time of our clock; without end: still.
type Off = (i64, Option<i64>);

/// How far the source's clock is ahead of ours at the least, negative: behind; 0: no more than is believed. The heartbeat happened after
/// it was sent and before it arrived.
pub(super) fn offset(sent_at: i64, (time, received_at): (i64, i64)) -> i64 {
    let (least, most) = (time - received_at, time - sent_at);
    match (least, most) {
        _ if least > BELIEVED => least,
        _ if most < -BELIEVED => most,
        _ => 0,
    }
}

/// What the newest heartbeat of a scope tells of the clock, if any came back by this input.
pub(super) fn newest(beats: &[HeartbeatStatus], of: (&str, &str)) -> Option<i64> {
    seen(beats, of).last().map(|(sent_at, came)| offset(sent_at, came))
}

/// Times of our clock in which that of a scope was off, oldest first, and from when on heartbeats tell. `own`: what was written of it.
pub(super) fn off(beats: &[HeartbeatStatus], of: (&str, &str), own: &[Gap]) -> Option<(i64, Vec<Off>)> {
    let (first, _) = seen(beats, of).next()?;
    // What began before the time that is looked at.
    let begun = own.iter().find(|gap| gap.since < first && gap.until.is_none_or(|until| until > first));
    let mut run = begun.map(|gap| (gap.since, IN_A_ROW));
    let mut found = Vec::new();
    let told = |run: Option<(i64, usize)>| run.filter(|(_, beats)| *beats >= IN_A_ROW).map(|(since, _)| since);
    for (sent_at, came) in seen(beats, of) {
        if offset(sent_at, came) == 0 {
            found.extend(told(run.take()).map(|since| (since, Some(sent_at))));
        } else {
            let (since, beats) = run.unwrap_or((sent_at, 0));
            run = Some((since, beats + 1));
        }
    }
    found.extend(told(run).map(|since| (since, None)));
    Some((first, found))
}

/// Heartbeats of a scope that came back by an input, oldest first: when sent, and when each happened and arrived.
fn seen<'a>(
    beats: &'a [HeartbeatStatus],
    (scope, input): (&'a str, &'a str),
) -> impl Iterator<Item = (i64, (i64, i64))> {
    let of_scope = beats.iter().filter(move |beat| beat.scope == scope);
    of_scope.filter_map(move |beat| {
        let by_input = beat.seen.iter().filter(|(by, ..)| by == input);
        by_input.map(|(_, time, received_at)| (beat.sent_at, (*time, *received_at))).min()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    /// One in each minute; how far the source's clock is ahead, and how long each needs to arrive.
    fn beats(marks: &[(i64, i64)]) -> Vec<HeartbeatStatus> {
        let beat = |(n, (ahead, way)): (usize, &(i64, i64))| {
            let sent_at = 60_000 * n as i64;
            let seen = vec![("webhook".to_owned(), sent_at + ahead + 5, sent_at + way)];
            HeartbeatStatus { scope: "acme".into(), sent_at, state: "sent".into(), seen }
        };
        marks.iter().enumerate().map(beat).collect()
    }

    fn spans(marks: &[(i64, i64)], own: &[Gap]) -> Vec<Off> {
        off(&beats(marks), ("acme", "webhook"), own).unwrap().1
    }

    #[test]
    fn a_clock_is_off_where_no_way_however_long_explains_it() {
        assert_eq!(offset(1_000, (1_005, 1_200)), 0);
        assert_eq!(offset(0, (HOUR, 300)), HOUR - 300, "ahead by at least that");
        assert_eq!(offset(HOUR, (0, HOUR + 300)), -HOUR);
        // It came an hour late, and its time is right.
        assert_eq!(offset(0, (5, HOUR)), 0);
        // It can have happened as late as it came: ahead, or on its way.
        assert_eq!(offset(0, (HOUR, HOUR)), 0);
    }

    #[test]
    fn it_begins_with_the_first_of_two_and_ends_with_the_first_that_is_right() {
        let (right, ahead) = ((0, 50), (HOUR, 50));
        assert_eq!(spans(&[right, ahead, right, right], &[]), [], "one may have met a clock that was being set");
        assert_eq!(spans(&[right, ahead, ahead, ahead], &[]), [(60_000, None)]);
        assert_eq!(spans(&[ahead, (-HOUR, 50), right, ahead], &[]), [(0, Some(120_000))]);
        assert_eq!(off(&[], ("acme", "webhook"), &[]), None, "nothing came back: nothing is known");
        assert_eq!(newest(&beats(&[right, ahead]), ("acme", "webhook")), Some(HOUR - 45));
        assert_eq!(newest(&beats(&[ahead, right]), ("acme", "webhook")), Some(0));
        assert_eq!(newest(&beats(&[ahead]), ("acme", "kafka")), None);
    }

    #[test]
    fn what_began_before_the_time_that_is_looked_at_goes_on_or_ends() {
        let written = |until| Gap {
            tenant: "default".into(),
            source_id: "kc".into(),
            scope: "acme".into(),
            input: "webhook".into(),
            since: -500_000,
            cause: CAUSE.into(),
            until,
            missing: None,
            repaired_at: None,
            repaired_by: String::new(),
            recorded_at: 0,
        };
        let (right, ahead) = ((0, 50), (HOUR, 50));
        assert_eq!(spans(&[ahead, right], &[written(None)]), [(-500_000, Some(60_000))]);
        assert_eq!(spans(&[ahead], &[written(None)]), [(-500_000, None)]);
        assert_eq!(spans(&[right], &[written(None)]), [(-500_000, Some(0))]);
        assert_eq!(spans(&[right], &[written(Some(-400_000))]), []);
    }
}
