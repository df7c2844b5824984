//! What proves that a source is complete, and for which time. Pure.

use super::{SourceFact, Span};
use crate::verdict::moment;

/// What is proven: from the first heartbeat that came back to the watermark; what pull has read whole, of a source that pushes
/// nothing; and what an operator says that an import holds.
pub(super) fn proven(source: &mut SourceFact, (claims, pulled): (&[store::ClaimedSpan], Option<i64>)) {
    let carries = |mark: &&(String, i64)| matches!(mark.0.as_str(), "webhook" | "kafka" | "pull" | "lines");
    let mark = source.watermarks.iter().filter(carries).map(|mark| mark.1).max();
    if let (Some(from), Some(to)) = (source.first_heartbeat, mark)
        && from < to
    {
        source.proven.push(Span { from, to });
        source.proven_by.push(format!("heartbeats from {} to {}", moment(from), moment(to)));
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
