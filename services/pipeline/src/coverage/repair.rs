//! What an import repairs: never more than what heartbeats prove or, where none speaks against it, an operator has said.
//! Pure.

use super::{
    assess::{Assessment, Cause},
    spans::Spans,
};
use events::{
    receipt::{Input, SourceKind},
    record::Held,
};
use store::{ClaimedSpan, Gap};

/// End of a gap that is still open.
const OPEN: i64 = i64::MAX;

/// When a gap is, up to the end of time while it is open.
pub fn time_of(gap: &Gap) -> (i64, i64) {
    (gap.since, gap.until.unwrap_or(OPEN))
}

/// The times for which claims on a source say that everything of one scope is there: of each kind that the product has.
pub fn claimed(claims: &[ClaimedSpan], (kind, source, scope): (SourceKind, &str, &str)) -> Spans {
    let of = |held: &Held| {
        let own = claims.iter().filter(|claim| claim.source_id == source && claim.held == held.as_str());
        let here = own.filter(|claim| claim.scope.is_empty() || claim.scope == scope);
        Spans::of(here.map(|claim| (claim.since, claim.until)))
    };
    Held::all_of(kind).iter().map(of).reduce(|all, one| all.and(&one)).unwrap_or_default()
}

/// The times, within the gaps that a source's own input shows, for which nothing is missing by now. `everything`: the same
/// heartbeats as all inputs together saw them.
///
/// A heartbeat that the source took and no input brought speaks against a claim. For a Backstage one that came back
/// is proof by itself: an import takes the same lines. For a Keycloak it is not: it says nothing about admin events.
pub fn proven(gaps: &Spans, claims: &Spans, (kind, everything): (SourceKind, &Assessment)) -> Spans {
    let span = |cause: Option<Cause>| {
        let of = everything.gaps.iter().filter(move |span| cause.is_none_or(|cause| span.cause == cause));
        Spans::of(of.map(|span| (span.since, span.until.unwrap_or(OPEN))))
    };
    let believed = claims.without(&span(Some(Cause::Silent)));
    let shown = if kind == SourceKind::Backstage { gaps.without(&span(None)) } else { Spans::default() };
    gaps.and(&believed.or(&shown))
}

/// A gap in parts: those that are `proven` to be repaired by import, and the rest as it is.
pub fn parts(gap: &Gap, proven: &Spans, now: i64) -> Vec<Gap> {
    let whole = Spans::of([time_of(gap)]);
    let part = |(since, until): &(i64, i64)| Gap {
        since: *since,
        until: Some(*until).filter(|end| *end < OPEN),
        ..gap.clone()
    };
    let mended = whole.and(proven);
    let repaired = mended.parts().iter().map(|span| Gap {
        repaired_at: Some(now),
        repaired_by: Input::Import.as_str().to_owned(),
        ..part(span)
    });
    let rest = whole.without(proven);
    let mut parts: Vec<Gap> = repaired.chain(rest.parts().iter().map(part)).collect();
    parts.sort_by_key(|part| part.since);
    parts
}

#[cfg(test)]
mod tests {
    use super::{super::assess::Span, *};
    use proptest::prelude::*;

    fn claim(scope: &str, held: Held, (since, until): (i64, i64)) -> ClaimedSpan {
        let (tenant, source_id, held) = ("default".into(), "s".into(), held.as_str().into());
        ClaimedSpan { tenant, source_id, scope: scope.into(), held, since, until, recorded_at: 0 }
    }

    fn gap(since: i64, until: Option<i64>) -> Gap {
        Gap {
            tenant: "default".into(),
            source_id: "s".into(),
            scope: "acme".into(),
            input: "webhook".into(),
            since,
            cause: "silent".into(),
            until,
            ..Gap::default()
        }
    }

    fn seen(gaps: &[(i64, Option<i64>, Cause)]) -> Assessment {
        let gaps = gaps.iter().map(|(since, until, cause)| Span { since: *since, until: *until, cause: *cause });
        Assessment { watermark: None, gaps: gaps.collect() }
    }

    #[test]
    fn a_keycloak_is_complete_where_both_kinds_are_claimed_for_the_realm() {
        let of = |claims: &[ClaimedSpan]| claimed(claims, (SourceKind::Keycloak, "s", "acme"));
        let users = claim("acme", Held::UserEvents, (0, 50));
        assert_eq!(of(std::slice::from_ref(&users)), Spans::default());
        assert_eq!(of(&[users.clone(), claim("other", Held::AdminEvents, (0, 50))]), Spans::default());
        assert_eq!(of(&[users.clone(), claim("", Held::AdminEvents, (20, 90))]), Spans::of([(20, 50)]));
        let elsewhere = ClaimedSpan { source_id: "t".into(), ..claim("", Held::AdminEvents, (20, 90)) };
        assert_eq!(of(&[users, elsewhere]), Spans::default());
    }

    #[test]
    fn a_heartbeat_that_nobody_brought_speaks_against_a_claim() {
        let (gaps, claims) = (Spans::of([(10, 100)]), Spans::of([(0, 200)]));
        let lost = seen(&[(40, Some(60), Cause::Silent), (70, Some(80), Cause::NoHeartbeat)]);
        let keycloak = proven(&gaps, &claims, (SourceKind::Keycloak, &lost));
        assert_eq!(keycloak, Spans::of([(10, 40), (60, 100)]), "where none was sent, the operator's word counts");
        let nothing = Spans::default();
        assert_eq!(proven(&gaps, &nothing, (SourceKind::Keycloak, &lost)), nothing);
        // The lines with the heartbeats came: what they frame is there.
        let backstage = proven(&gaps, &nothing, (SourceKind::Backstage, &lost));
        assert_eq!(backstage, Spans::of([(10, 40), (60, 70), (80, 100)]));
    }

    #[test]
    fn an_open_gap_stays_open_behind_what_is_repaired() {
        let parts = parts(&gap(10, None), &Spans::of([(0, 40), (50, 60)]), 99);
        let told: Vec<_> = parts.iter().map(|gap| (gap.since, gap.until, gap.repaired_by.as_str())).collect();
        assert_eq!(told, [(10, Some(40), "import"), (40, Some(50), ""), (50, Some(60), "import"), (60, None, "")]);
    }

    proptest! {
        #[test]
        fn the_parts_are_the_gap_and_no_more_than_what_is_proven_is_repaired(
            (since, length) in (0i64..40, 1i64..40),
            proven in prop::collection::vec((0i64..90, 0i64..90), 0..5),
        ) {
            let (proven, whole) = (Spans::of(proven), gap(since, Some(since + length)));
            let parts = parts(&whole, &proven, 7);
            let mut at = since;
            for part in &parts {
                prop_assert_eq!(part.since, at);
                at = part.until.unwrap();
                let span = Spans::of([(part.since, at)]);
                let inside = span.and(&proven);
                prop_assert_eq!(inside, if part.repaired_at.is_some() { span } else { Spans::default() });
            }
            prop_assert_eq!(at, since + length);
        }
    }
}
