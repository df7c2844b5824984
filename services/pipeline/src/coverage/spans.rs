//! Times as sets: which parts of a gap are proven to hold nothing unknown. Pure.

/// A set of times: ordered parts [from, to) that neither touch nor overlap, UTC milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spans(Vec<(i64, i64)>);

impl Spans {
    /// Of parts in any order.
    pub fn of(parts: impl IntoIterator<Item = (i64, i64)>) -> Self {
        let mut parts: Vec<_> = parts.into_iter().filter(|(from, to)| from < to).collect();
        parts.sort_unstable();
        let mut joined: Vec<(i64, i64)> = Vec::new();
        for (from, to) in parts {
            match joined.last_mut().filter(|last| last.1 >= from) {
                Some(last) => last.1 = last.1.max(to),
                None => joined.push((from, to)),
            }
        }
        Self(joined)
    }

    /// Its parts, in order.
    pub fn parts(&self) -> &[(i64, i64)] {
        &self.0
    }

    /// Whether any part of [from, to) is in it.
    pub fn touch(&self, (from, to): (i64, i64)) -> bool {
        self.0.iter().any(|part| part.0 < to && from < part.1)
    }

    /// What is in either.
    pub fn or(&self, other: &Self) -> Self {
        Self::of(self.0.iter().chain(&other.0).copied())
    }

    /// What is in both.
    pub fn and(&self, other: &Self) -> Self {
        let within = |part: &(i64, i64)| {
            let part = *part;
            other.0.iter().map(move |other| (part.0.max(other.0), part.1.min(other.1)))
        };
        Self::of(self.0.iter().flat_map(within))
    }

    /// What is in it and not in the other.
    pub fn without(&self, other: &Self) -> Self {
        let mut left = Vec::new();
        for (from, to) in &self.0 {
            let mut at = *from;
            for (start, end) in other.0.iter().filter(|other| other.0 < *to && *from < other.1) {
                left.push((at, *start));
                at = at.max(*end);
            }
            left.push((at, *to));
        }
        Self::of(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn some() -> impl Strategy<Value = Spans> {
        prop::collection::vec((0i64..60, 0i64..60), 0..6).prop_map(Spans::of)
    }

    fn has(spans: &Spans, at: i64) -> bool {
        spans.touch((at, at + 1))
    }

    proptest! {
        #[test]
        fn they_are_sets(a in some(), b in some()) {
            for at in -1..61 {
                let (in_a, in_b) = (has(&a, at), has(&b, at));
                prop_assert_eq!(has(&a.or(&b), at), in_a || in_b);
                prop_assert_eq!(has(&a.and(&b), at), in_a && in_b);
                prop_assert_eq!(has(&a.without(&b), at), in_a && !in_b);
            }
            for set in [a.or(&b), a.and(&b), a.without(&b)] {
                prop_assert!(set.parts().iter().all(|part| part.0 < part.1));
                prop_assert!(set.parts().windows(2).all(|pair| pair[0].1 < pair[1].0));
            }
        }
    }
}
