//! Acts of operators. About persons: one event each, about the account that is moved. On findings: no event, as nothing happened at a
//! source; the register takes them from the receipt.

use super::{
    Dead, Ignored, Normalised, json,
    scope::{NativeKey, Scope, note, note_personal},
};
use crate::{
    act::{AccountKind, PersonAct, Said},
    event::{Event, Outcome},
    finding_act::FindingAct,
    receipt::Receipt,
};
use serde::de::IgnoredAny;

/// A `finding_act` receipt.
pub(super) fn finding(receipt: &Receipt) -> Normalised {
    if FindingAct::of(receipt).is_some() {
        return Normalised::Ignored(Ignored::Bookkeeping);
    }
    Normalised::Dead(json::body::<IgnoredAny>(&receipt.body).err().unwrap_or(Dead::MissingField))
}

/// A `person_act` receipt.
pub(super) fn person(scope: Scope<'_>, bytes: &[u8]) -> Normalised {
    let native = &scope.header().native_id;
    let key = if native.is_empty() { scope.fallback_key() } else { NativeKey::from(native.clone()) };
    match json::body::<PersonAct>(bytes) {
        Ok(act) if act.is_whole() => scope.seal(vec![event(scope, &act)], &key),
        Ok(_) => Normalised::Dead(Dead::MissingField),
        Err(dead) => Normalised::Dead(dead),
    }
}

fn event(scope: Scope<'_>, act: &PersonAct) -> Event {
    let mut event = scope.blank();
    let (kind, native) = match &act.said {
        Said::Merge { .. } => ("person_merged", "person.merge"),
        Said::Split { .. } => ("person_split", "person.split"),
    };
    kind.clone_into(&mut event.kind);
    native.clone_into(&mut event.native_type);
    event.native_id = json::cut(&scope.header().native_id);
    event.outcome = Outcome::Success;
    let tenant = &scope.header().tenant;
    let account = act.said.account();
    event.person = Some(account.key(tenant, scope.key()));
    match account.kind {
        AccountKind::KeycloakUser => event.person_id.clone_from(&account.name),
        _ => event.person_name.clone_from(&account.name),
    }
    note(&mut event, "account_source", &account.source);
    note(&mut event, "account_kind", account.kind.as_str());
    "operator".clone_into(&mut event.actor_kind);
    event.actor_name = act.by.trim().to_owned();
    if let Said::Merge { into, .. } = &act.said {
        // Into whom, in columns that the correlation reads; names are bounded, so nothing is cut.
        into.kind.as_str().clone_into(&mut event.resource_kind);
        event.resource.clone_from(&into.name);
        note(&mut event, "into_source", &into.source);
        note(&mut event, "into_person", &into.key(tenant, scope.key()).0);
    }
    note_personal(&mut event, "reason", act.reason.trim());
    event
}

#[cfg(test)]
mod tests {
    use super::super::{Context, normalise};
    use super::*;
    use crate::{
        ids::{Position, StreamId},
        person::DeploymentKey,
        receipt::{Input, Payload, Receipt, ReceiptHeader},
    };

    fn receipt(body: &str) -> Receipt {
        let header = ReceiptHeader {
            native_id: "act-1".into(),
            ..ReceiptHeader::own("t", (Input::Operator, Payload::PersonAct), 7)
        };
        Receipt { position: Position { stream: StreamId([0; 16]), seq: 3 }, header, body: body.into() }
    }

    #[test]
    fn an_act_is_one_event_about_the_account_that_is_moved() {
        let context = Context { key: DeploymentKey::new([1; 32]) };
        let body = r#"{"act":"merge","account":{"source":"bs","kind":"user","name":"user:default/guest"},
            "into":{"source":"kc","kind":"keycloak_user","name":"u1"},"by":"ann","reason":"asked them"}"#;
        let Normalised::Events(events) = normalise(&receipt(body), &context) else { panic!("no event") };
        let [event] = &events[..] else { panic!("{events:?}") };
        assert_eq!((event.kind.as_str(), event.time, event.native_id.as_str()), ("person_merged", 7, "act-1"));
        assert_eq!(event.person, Some(context.key.named("t", "bs", "user", "user:default/guest")));
        assert_eq!((event.person_id.as_str(), event.person_name.as_str()), ("", "user:default/guest"));
        assert_eq!((event.resource_kind.as_str(), event.resource.as_str()), ("keycloak_user", "u1"));
        assert_eq!(event.details["into_person"], context.key.keycloak_user("t", "kc", "u1").0);
        assert_eq!((event.actor_name.as_str(), event.personal["reason"].as_str()), ("ann", "asked them"));

        let body =
            r#"{"act":"split","account":{"source":"kc","kind":"keycloak_user","name":"u2"},"by":"a","reason":"b"}"#;
        let Normalised::Events(events) = normalise(&receipt(body), &context) else { panic!("no event") };
        assert_eq!((events[0].kind.as_str(), events[0].person_id.as_str()), ("person_split", "u2"));
    }

    #[test]
    fn an_act_without_a_reason_is_dead() {
        let context = Context { key: DeploymentKey::new([1; 32]) };
        let body =
            r#"{"act":"split","account":{"source":"kc","kind":"keycloak_user","name":"u2"},"by":"a","reason":" "}"#;
        assert_eq!(normalise(&receipt(body), &context), Normalised::Dead(Dead::MissingField));
        assert_eq!(normalise(&receipt("{"), &context), Normalised::Dead(Dead::NotJson));
    }
}
