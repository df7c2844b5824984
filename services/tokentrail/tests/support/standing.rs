//! The correlation's rows that stand, and whether two programs' are the same.

use crate::support::Program;
use serde_json::Value;
use std::collections::HashMap;

/// Rows that stand, without what may differ: versions, the event that came late, and when things were recorded.
const TABLES: [(&str, &str); 7] = [
    ("sessions", "started_at, session_id"),
    ("tokens", "issued_at, event_id"),
    ("credentials", "issued_at, event_id"),
    ("grants", "person, right_id, held_from"),
    ("decisions", "decided_at, event_id"),
    ("missing_events", "person, right_id, after"),
    ("aliases", "person, kind, name, borne_from"),
];

pub fn rows(program: &Program) -> HashMap<&'static str, Vec<Value>> {
    let read = |(view, order): (&'static str, &str)| {
        (view, program.sql(&format!("SELECT * EXCEPT (version, because) FROM {view} ORDER BY {order}")))
    };
    TABLES.into_iter().map(read).collect()
}

pub fn assert_same(program: &Program, expected: &HashMap<&'static str, Vec<Value>>, how: &str) {
    let found = rows(program);
    for (view, expected) in expected {
        for (found, expected) in found[view].iter().zip(expected) {
            assert_eq!(found, expected, "{how}: {view}");
        }
        assert_eq!(found[view].len(), expected.len(), "{how}: {view}");
    }
}
