//! What the correlation says of a session beside its events: who else acts in it, and that a token of it was used again and refused.

use crate::status::moment;
use store::{Store, correlation::SessionRecord};

/// One line each; the events that say so are among those of the session.
pub(super) async fn acts(store: &Store, tenant: &str, session: &str) -> anyhow::Result<Vec<String>> {
    let sessions = store.sessions_named(tenant, session).await?;
    Ok(sessions.iter().flat_map(lines).collect())
}

fn lines(session: &SessionRecord) -> Vec<String> {
    let acting = session.impersonators.iter().map(|(since, name, event)| {
        format!("{name} acts in it as the person since {} (event {})", moment(*since), event.0)
    });
    let refused = match session.reuse_refused.as_slice() {
        [] => None,
        [(at, event)] => Some(format!("at {} (event {})", moment(*at), event.0)),
        [(first, one), .., (last, other)] => {
            let (first, last) = (moment(*first), moment(*last));
            Some(format!("from {first} to {last} (events {} and {})", one.0, other.0))
        }
    };
    let refused =
        refused.map(|when| format!("a refresh token that had been used before was presented and refused {when}"));
    acting.chain(refused).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::correlation::Id;
    use uuid::Uuid;

    #[test]
    fn everybody_is_named_and_the_first_and_the_last_reuse() {
        let event = |n| Id(Uuid::from_u128(n));
        let mut session = SessionRecord {
            impersonators: vec![(1_000, "zoe".to_owned(), event(1)), (2_000, "adam".to_owned(), event(2))],
            reuse_refused: vec![(3_000, event(3))],
            ..SessionRecord::default()
        };
        let said = lines(&session);
        assert!(said[0].starts_with("zoe acts in it as the person since 1970-01-01T00:00:01"), "{said:?}");
        assert!(said[1].starts_with("adam ") && said[2].contains("refused at 1970-01-01T00:00:03"), "{said:?}");
        session.reuse_refused.push((4_000, event(4)));
        let said = lines(&session);
        assert!(said[2].contains("from 1970-01-01T00:00:03") && said[2].ends_with("000000000004)"), "{said:?}");
        assert!(lines(&SessionRecord::default()).is_empty());
    }
}
