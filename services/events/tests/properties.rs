//! Whatever arrives: no panic, one fate, dense ordinals, the same answer twice.

mod support;

use events::{
    normalise::{Normalised, normalise},
    receipt::{Input, LinePlace, Payload, Receipt, TimeBasis},
};
use proptest::{
    prelude::*,
    sample::{Index, select},
};
use serde_json::Value;
use std::sync::LazyLock;
use support::{context, lines, pulled, receipt, webhook};

/// One sample of each sort, so that mutations reach every reader.
static SAMPLES: LazyLock<Vec<Receipt>> = LazyLock::new(|| {
    let mut all = webhook("keycloak/webhook.ndjson");
    all.extend(pulled("keycloak/admin-events.json"));
    all.extend(lines("backstage/audit-events.ndjson"));
    all.extend(lines("backstage/audit-decisions-wrapper.ndjson"));
    all.extend(lines("backstage/stdout-core-mixed.log"));
    all
});

/// Values that take the place of one in a sample.
fn odd() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(Value::from("é".repeat(3_000))),
        "\\PC{0,40}".prop_map(Value::from),
        "[a-z/:?=&%.]{0,40}".prop_map(Value::from),
        Just(serde_json::json!([])),
        Just(serde_json::json!([[], ["a"], {"id": {}}, null])),
        Just(serde_json::json!({"claims": ["x", 1], "a": {"claims": {}}})),
    ]
}

/// Puts `odd` in place of the value at `at`, counted over the whole tree; strings that hold JSON are opened.
fn replace(value: &mut Value, at: &mut usize, odd: &Value) {
    if *at == 0 {
        *value = odd.clone();
        *at = usize::MAX;
        return;
    }
    *at -= 1;
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| descend(item, at, odd)),
        Value::Object(fields) => fields.values_mut().for_each(|item| descend(item, at, odd)),
        Value::String(text) if text.starts_with(['{', '[']) => {
            if let Ok(mut inner) = serde_json::from_str(text) {
                replace(&mut inner, at, odd);
                *text = inner.to_string();
            }
        }
        _ => {}
    }
}

fn descend(value: &mut Value, at: &mut usize, odd: &Value) {
    if *at != usize::MAX {
        replace(value, at, odd);
    }
}

fn holds(receipt: &Receipt) -> Result<(), TestCaseError> {
    let once = normalise(receipt, &context());
    prop_assert_eq!(&once, &normalise(receipt, &context()));
    if let Normalised::Events(events) = once {
        prop_assert!(!events.is_empty());
        for (event, ordinal) in events.iter().zip(0..) {
            prop_assert_eq!(event.ordinal, ordinal);
            prop_assert_eq!(event.receipt, receipt.position);
            prop_assert!(!event.event_id.is_nil() && !event.kind.is_empty());
            prop_assert!(event.time_min <= event.time && event.time <= event.time_max);
        }
        let mut ids: Vec<_> = events.iter().map(|event| event.event_id).collect();
        ids.sort_unstable();
        ids.dedup();
        prop_assert_eq!(ids.len(), events.len());
    }
    Ok(())
}

fn cases() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(600);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300), payload in select(Payload::ALL)) {
        let mut receipt = receipt(payload, Input::Import, "");
        receipt.body = bytes;
        holds(&receipt)?;
    }

    #[test]
    fn altered_samples(which in any::<Index>(), changes in proptest::collection::vec((0usize..60, odd()), 1..4)) {
        let mut receipt = which.get(&SAMPLES).clone();
        let mut body: Value = serde_json::from_slice(&receipt.body).expect("a sample");
        for (mut at, odd) in changes {
            replace(&mut body, &mut at, &odd);
        }
        receipt.body = body.to_string().into_bytes();
        holds(&receipt)?;
    }

    #[test]
    fn cut_and_flipped_samples(which in any::<Index>(), cut in any::<Index>(), flip in any::<(Index, u8)>()) {
        let mut receipt = which.get(&SAMPLES).clone();
        let at = flip.0.index(receipt.body.len());
        receipt.body[at] = flip.1;
        holds(&receipt)?;
        receipt.body.truncate(cut.index(receipt.body.len()));
        holds(&receipt)?;
    }

    #[test]
    fn any_place_of_a_line(which in any::<Index>(), time_ns in any::<Option<i64>>(), received_at in any::<i64>(),
        basis in select(TimeBasis::ALL), backlog in any::<bool>()) {
        let mut receipt = which.get(&SAMPLES).clone();
        receipt.header.received_at = received_at;
        receipt.header.line = Some(LinePlace { instance: "i".into(), number: 0, time_ns, basis, mark: "m".into(), backlog });
        holds(&receipt)?;
    }
}
