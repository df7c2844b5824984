//! Gaps as found now against gaps as written before: which rows to write. Pure.

use std::collections::BTreeMap;
use store::{Gap, GapKey};

/// Rows that bring what is written in line with what was `found` at `now`, for one input of one source. `written` are its
/// gaps of the time that was looked at. `covered`: another input that is complete up to there, with its name.
///
/// A gap that is found no more was filled by late arrivals of its own input, or is a part of one that is found repaired.
/// One that is closed and lies below what another input has completely is repaired by that one. A repaired gap stays as
/// history.
pub fn reconcile(written: &[Gap], found: Vec<Gap>, now: i64, covered: Option<(i64, &str)>) -> Vec<Gap> {
    let mut before: BTreeMap<GapKey, &Gap> = written.iter().map(|gap| (gap.key(), gap)).collect();
    let mended: Vec<Gap> = found.iter().filter(|gap| gap.repaired_at.is_some()).cloned().collect();
    let mut rows = Vec::new();
    for mut gap in found {
        gap.recorded_at = now;
        let known = before.remove(&gap.key());
        let covered = covered.filter(|_| gap.repaired_at.is_none());
        if let Some((_, by)) = covered.filter(|(complete, _)| gap.until.is_some_and(|until| until <= *complete)) {
            (gap.repaired_at, gap.repaired_by) = (Some(now), by.to_owned());
        }
        let same = |known: &Gap| {
            let repaired = (known.repaired_at.is_some(), &known.repaired_by);
            (known.until, known.missing, repaired)
                == (gap.until, gap.missing, (gap.repaired_at.is_some(), &gap.repaired_by))
        };
        if !known.is_some_and(same) {
            rows.push(gap);
        }
    }
    for gone in before.into_values().filter(|gap| gap.repaired_at.is_none()) {
        let holds =
            |gap: &&Gap| gap.since <= gone.since && gone.until.is_some_and(|end| gap.until.is_some_and(|u| end <= u));
        let by = mended.iter().find(holds).map_or_else(|| gone.input.clone(), |gap| gap.repaired_by.clone());
        let until = gone.until.or(Some(now));
        rows.push(Gap { until, repaired_at: Some(now), repaired_by: by, recorded_at: now, ..gone.clone() });
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gap(since: i64, until: Option<i64>) -> Gap {
        Gap {
            tenant: "default".into(),
            source_id: "kc".into(),
            scope: "acme".into(),
            input: "webhook".into(),
            since,
            cause: "silent".into(),
            until,
            ..Gap::default()
        }
    }

    /// The rows as a ReplacingMergeTree keeps them.
    fn keep(mut written: Vec<Gap>, rows: Vec<Gap>) -> Vec<Gap> {
        for row in rows {
            written.retain(|gap| gap.key() != row.key());
            written.push(row);
        }
        written
    }

    #[test]
    fn a_gap_opens_closes_and_is_repaired_once_each() {
        let mut written = Vec::new();
        let steps = [
            (vec![gap(5, None)], None, 1),
            (vec![gap(5, None)], None, 0),
            (vec![gap(5, Some(90))], None, 1),
            (vec![gap(5, Some(90))], Some((80, "pull")), 0),
            (vec![gap(5, Some(90))], Some((90, "pull")), 1),
            (vec![gap(5, Some(90))], Some((95, "pull")), 0),
        ];
        for (at, (found, covered, expected)) in steps.into_iter().enumerate() {
            let rows = reconcile(&written, found, 100 + at as i64, covered);
            assert_eq!(rows.len(), expected, "step {at}: {rows:?}");
            written = keep(written, rows);
        }
        assert_eq!((written[0].repaired_at, written[0].repaired_by.as_str()), (Some(104), "pull"));
    }

    #[test]
    fn late_arrivals_of_the_same_input_repair_it() {
        let written = keep(Vec::new(), reconcile(&[], vec![gap(5, None)], 100, None));
        // Half of it is filled: the rest is another gap.
        let rows = reconcile(&written, vec![gap(50, Some(90))], 200, None);
        assert_eq!(rows.len(), 2);
        let written = keep(written, rows);
        let old = written.iter().find(|gap| gap.since == 5).unwrap();
        assert_eq!((old.repaired_at, old.repaired_by.as_str(), old.until), (Some(200), "webhook", Some(200)));
        assert!(reconcile(&written, vec![gap(50, Some(90))], 300, None).is_empty());
    }
}
