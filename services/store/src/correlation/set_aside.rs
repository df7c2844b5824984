//! Events that the correlation leaves out because it dies of them, each with the gap that says so.

use crate::{Gap, Store, StoreError, lock::now_ms, query::rows};
use clickhouse::Row;
use events::event::Event;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Cause of the gap that such an event leaves.
pub const EVENT_SET_ASIDE: &str = "event_set_aside";
/// How that gap is repaired.
const TAKEN_IN: &str = "correlation";
const ASIDE: &str = "aside";
const AGAIN: &str = "again";
const OVER: &str = "over";
const HOUR: i64 = 3_600_000;
/// Classes of what holds until something else ends it: what is missing of it is missing from then on.
const LASTING: [&str; 3] = ["administration", "snapshot", "operational"];

/// An event that is left out.
#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct SetAside {
    /// Tenant.
    pub tenant: String,
    /// The event.
    #[serde(with = "clickhouse::serde::uuid")]
    pub event_id: Uuid,
    /// Its source.
    pub source_id: String,
    /// Its time, UTC milliseconds.
    pub time: i64,
    /// Its kind.
    pub kind: String,
    /// Its class, a name of `events::event::DataClass`.
    pub data_class: String,
    /// Key of the account that it is about; empty: of nobody's.
    pub person: String,
    /// Of the program that died of it.
    pub rules: String,
    state: String,
    /// When it was set aside, or its state changed, UTC milliseconds.
    pub recorded_at: i64,
}

impl SetAside {
    /// One of which a program of these rules just died; `person`: key of the account that it is about.
    pub fn of(event: &Event, person: String, rules: String) -> Self {
        Self {
            tenant: event.tenant.clone(),
            event_id: event.event_id,
            source_id: event.source_id.clone(),
            time: event.time,
            kind: event.kind.clone(),
            data_class: event.data_class.as_str().to_owned(),
            person,
            rules,
            state: ASIDE.to_owned(),
            recorded_at: now_ms(),
        }
    }

    /// True if a program of these rules is to leave it out.
    pub fn stays_out(&self, rules: &str) -> bool {
        self.state == ASIDE && self.rules == rules
    }

    fn turned(&self, state: &str) -> Self {
        // Later than what it replaces, whatever the clock says.
        Self { state: state.to_owned(), recorded_at: now_ms().max(self.recorded_at + 1), ..self.clone() }
    }

    /// What the answers do not know: the hour of something that happened; of a change, all from then on.
    fn gap(&self) -> Gap {
        let lasts = LASTING.contains(&self.data_class.as_str());
        let since = if lasts { self.time } else { self.time.div_euclid(HOUR) * HOUR };
        Gap {
            tenant: self.tenant.clone(),
            source_id: self.source_id.clone(),
            scope: format!("event {}", self.event_id),
            input: String::new(),
            since,
            cause: EVENT_SET_ASIDE.to_owned(),
            until: (!lasts).then_some(since + HOUR),
            missing: Some(1),
            repaired_at: None,
            repaired_by: String::new(),
            recorded_at: self.recorded_at,
        }
    }
}

impl Store {
    /// Events that are left out, or were until somebody asked for another try, the oldest first.
    pub async fn set_aside(&self, tenant: &str) -> Result<Vec<SetAside>, StoreError> {
        let sql = "SELECT ?fields FROM set_aside_rows FINAL WHERE tenant = {tenant:String} AND state != 'over' \
            ORDER BY time, event_id";
        rows(self.ask(sql).param("tenant", tenant)).await
    }

    /// Notes that events are left out. The gaps come first: nothing is left out in silence.
    pub async fn set_events_aside(&self, events: &[SetAside]) -> Result<(), StoreError> {
        let gaps: Vec<Gap> = events.iter().map(SetAside::gap).collect();
        self.put_gaps(&gaps).await?;
        self.write_typed::<SetAside>("set_aside_rows", events).await
    }

    /// Whoever correlates is to try these again: it reads everything anew. The gaps stay until it has.
    pub async fn try_set_aside_again(&self, tenant: &str, events: &[SetAside]) -> Result<(), StoreError> {
        let again: Vec<SetAside> = events.iter().map(|event| event.turned(AGAIN)).collect();
        self.write_typed::<SetAside>("set_aside_rows", &again).await?;
        self.note_past_change(tenant).await
    }

    /// These are taken in after all.
    pub async fn set_aside_is_over(&self, events: &[SetAside]) -> Result<(), StoreError> {
        let over: Vec<SetAside> = events.iter().map(|event| event.turned(OVER)).collect();
        let repaired = |event: &SetAside| Gap {
            repaired_at: Some(event.recorded_at),
            repaired_by: TAKEN_IN.to_owned(),
            ..event.gap()
        };
        let gaps: Vec<Gap> = over.iter().map(repaired).collect();
        self.put_gaps(&gaps).await?;
        self.write_typed::<SetAside>("set_aside_rows", &over).await
    }
}
