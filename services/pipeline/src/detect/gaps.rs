//! For which times the sources were thought incomplete, or are now, and that changed since the last round: what was not said over a gap
//! may have to be said once it is repaired, and what was said may be none once a gap comes to light. Pure.

use drift::facts::{Gap, Source};
use std::collections::BTreeSet;

/// Times [from, to] that are or were in a gap of which that was not, or is no more, so. A gap without an end reaches to the end of time,
/// also once it has one: what happened behind its end was judged while it was open.
pub(super) fn changed(before: &[Gap], now: &[Gap], sources: &[Source]) -> Vec<(i64, i64)> {
    let (before, now) = (unrepaired(before, sources), unrepaired(now, sources));
    let mut spans: Vec<(i64, i64)> =
        before.symmetric_difference(&now).map(|(_, since, until)| (*since, *until)).collect();
    spans.sort_unstable();
    let mut merged: Vec<(i64, i64)> = Vec::new();
    for (since, until) in spans {
        match merged.last_mut().filter(|last| since <= last.1) {
            Some(last) => last.1 = last.1.max(until),
            None => merged.push((since, until)),
        }
    }
    merged
}

/// Source and time of those that count against what rests on them.
fn unrepaired<'a>(gaps: &'a [Gap], sources: &[Source]) -> BTreeSet<(&'a str, i64, i64)> {
    let counts = |gap: &&Gap| {
        gap.repaired.is_none() && (gap.source.is_empty() || sources.iter().any(|source| source.id == gap.source))
    };
    let time = |gap: &'a Gap| (gap.source.as_str(), gap.since, gap.until.unwrap_or(i64::MAX));
    gaps.iter().filter(counts).map(time).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use drift::facts::Product;

    fn gap(source: &str, since: i64, until: Option<i64>, repaired: Option<i64>) -> Gap {
        Gap { source: source.into(), since, until, repaired, ..Gap::default() }
    }

    #[test]
    fn what_was_repaired_closed_shrunk_or_found_is_told_with_all_the_time_that_it_concerned() {
        let source = Source { id: "kc".into(), product: Product::Keycloak, proven: true, first: None, token_life: 0 };
        let told = |before: &[Gap], now: &[Gap]| changed(before, now, std::slice::from_ref(&source));
        let open = gap("kc", 10, None, None);
        assert_eq!(told(&[], std::slice::from_ref(&open)), [(10, i64::MAX)], "found");
        assert_eq!(told(std::slice::from_ref(&open), std::slice::from_ref(&open)), []);
        assert_eq!(told(std::slice::from_ref(&open), &[gap("kc", 10, Some(50), None)]), [(10, i64::MAX)], "closed");
        let closed = [gap("kc", 10, Some(50), None)];
        assert_eq!(told(&closed, &[gap("kc", 10, Some(50), Some(70))]), [(10, 50)], "repaired");
        let part = [gap("kc", 10, Some(30), Some(70)), gap("kc", 30, Some(50), None)];
        assert_eq!(told(&closed, &part), [(10, 50)], "shrunk");
        let two = [gap("kc", 10, Some(20), None), gap("kc", 30, Some(50), None)];
        assert_eq!(told(&two, &[]), [(10, 20), (30, 50)]);
        // Of a source that nothing rests on nothing follows; of one that is any, all does.
        assert_eq!(told(&[gap("other", 10, None, None)], &[]), []);
        assert_eq!(told(&[gap("", 10, Some(20), None)], &[]), [(10, 20)]);
        // Losses that were repaired when they were told never counted.
        assert_eq!(told(&[], &[gap("kc", 10, Some(20), Some(20))]), []);
    }
}
