//! What proves that a source is complete, and for which time. Pure.

use super::{ScopeFact, SourceFact, Span};
use crate::verdict::{moment, without};

/// What is proven: what heartbeats prove up to the watermark; what pull has read whole, of a source that pushes nothing; and what an
/// operator says that an import holds.
pub(super) fn proven(source: &mut SourceFact, (claims, pulled): (&[store::ClaimedSpan], Option<i64>)) {
    let carries = |mark: &&(String, i64)| matches!(mark.0.as_str(), "webhook" | "kafka" | "pull" | "lines");
    let mark = source.watermarks.iter().filter(carries).map(|mark| mark.1).max();
    for span in mark.map(|mark| by_heartbeats(&source.scopes, mark)).unwrap_or_default() {
        source.proven.push(span);
        source.proven_by.push(format!("heartbeats from {} to {}", moment(span.from), moment(span.to)));
    }
    let read = source.watermarks.iter().find(|mark| mark.0 == "pull").map(|mark| mark.1);
    if let (Some(from), Some(to), true) = (pulled, read, source.proven.is_empty())
        && from < to
    {
        source.proven.push(Span { from, to });
        source.proven_by.push(format!(
            "pull, which has read what the source keeps from {} to {}",
            moment(from),
            moment(to)
        ));
    }
    let of = |held: &str| -> Vec<Span> {
        let own = |claim: &&store::ClaimedSpan| {
            claim.source_id == source.source_id && claim.scope.is_empty() && claim.held == held
        };
        claims.iter().filter(own).map(|claim| Span { from: claim.since, to: claim.until }).collect()
    };
    let mut said: Vec<Span> = Vec::new();
    if source.kind == "keycloak" {
        for user in of("user_events") {
            let both = of("admin_events")
                .into_iter()
                .map(|admin| Span { from: user.from.max(admin.from), to: user.to.min(admin.to) });
            said.extend(both.filter(|both| both.from < both.to));
        }
    } else {
        said = of("lines");
    }
    for one in said {
        source.proven_by.push(format!(
            "the word of an operator on an import, from {} to {}",
            moment(one.from),
            moment(one.to)
        ));
        source.proven.push(one);
    }
}

/// From the first heartbeat that came back to the watermark, but for the time in which those of a scope were sent and none had come back.
/// A scope that was added later is not expected before its first heartbeat was sent; of one that has none yet, nobody knows since when.
fn by_heartbeats(scopes: &[ScopeFact], mark: i64) -> Vec<Span> {
    let first = scopes.iter().filter_map(|one| one.first_back).min();
    let Some(from) = first.filter(|first| *first < mark && scopes.iter().all(|one| one.first_sent.is_some())) else {
        return Vec::new();
    };
    let waiting = |one: &ScopeFact| one.first_sent.map(|from| Span { from, to: one.first_back.unwrap_or(i64::MAX) });
    let waiting: Vec<Span> = scopes.iter().filter_map(waiting).filter(|span| span.from < span.to).collect();
    without(&[Span { from, to: mark }], &waiting)
}

/// Spans in order, those that overlap or adjoin as one.
pub(super) fn joined(spans: &[Span]) -> Vec<Span> {
    let mut spans = spans.to_vec();
    spans.sort_unstable_by_key(|span| span.from);
    let mut all: Vec<Span> = Vec::new();
    for span in spans {
        match all.last_mut() {
            Some(last) if span.from <= last.to => last.to = last.to.max(span.to),
            _ => all.push(span),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coverage::Facts;

    #[test]
    fn an_hour_that_two_proofs_share_is_proven() {
        let span = |from, to| Span { from, to };
        let proven = vec![span(50, 90), span(0, 30), span(30, 40), span(5, 10)];
        let source = SourceFact { source_id: "kc".into(), proven, ..SourceFact::default() };
        let facts = Facts { sources: vec![source], ..Facts::default() };
        assert_eq!(facts.proven(), [("kc".to_owned(), 0, 40), ("kc".to_owned(), 50, 90)]);
    }

    fn scope(first_sent: Option<i64>, first_back: Option<i64>) -> ScopeFact {
        ScopeFact { scope: "acme".into(), first_sent, first_back }
    }

    #[test]
    fn each_scope_is_proven_from_its_own_beginning() {
        let span = |from, to| Span { from, to };
        let of = |scopes: &[ScopeFact]| by_heartbeats(scopes, 1_000);
        assert_eq!(of(&[scope(Some(10), Some(10))]), [span(10, 1_000)]);
        assert_eq!(of(&[scope(Some(10), Some(30))]), [span(30, 1_000)]);
        // One that came later leaves what was before as it was.
        assert_eq!(of(&[scope(Some(10), Some(10)), scope(Some(500), Some(500))]), [span(10, 1_000)]);
        assert_eq!(of(&[scope(Some(10), Some(10)), scope(Some(500), Some(600))]), [span(10, 500), span(600, 1_000)]);
        assert_eq!(of(&[scope(Some(10), Some(10)), scope(Some(500), None)]), [span(10, 500)]);
        assert_eq!(of(&[scope(Some(10), Some(10)), scope(None, None)]), []);
        assert_eq!(of(&[scope(Some(10), None)]), []);
        assert_eq!(of(&[scope(Some(1_000), Some(1_000))]), []);
        assert_eq!(of(&[]), []);
    }
}
