//! Rows recomputed: from a row to its event, to the receipt, to the body as it was committed to, through the normaliser, back to
//! the columns.

use crate::{ReportError, coverage::Accuracy, format::text, report::Report, run::Order};
use durable_log::chain::commitment;
use events::{
    event::Event,
    ids::Position,
    normalise::{Context, NORMALISER_VERSION, Normalised, normalise},
    receipt::Receipt,
};
use serde_json::Value;
use std::collections::BTreeSet;
use store::{Store, StoredBody, StoredEvent, StoredHeader};
use uuid::Uuid;

/// Recomputes some rows and compares.
pub(crate) async fn check(
    store: &Store,
    order: &Order,
    (report, rows): (&Report, &[(u64, Vec<Value>)]),
) -> Result<Option<Accuracy>, ReportError> {
    let Some(evidence) = report.place(report.evidence).filter(|_| !report.derived.is_empty()) else { return Ok(None) };
    let columns = report.derived.iter().map(|one| one.0).collect();
    let mut done =
        Accuracy { seed: order.seed.clone(), mapping_version: NORMALISER_VERSION, columns, ..Accuracy::default() };
    let Some(context) = &order.normaliser else {
        done.not_done = Some("the deployment key is not on this machine".into());
        return Ok(Some(done));
    };
    let named = |row: &[Value]| row.get(evidence).and_then(|id| Uuid::parse_str(&text(id)).ok());
    let ids: Vec<Uuid> = rows.iter().filter_map(|(_, row)| named(row)).collect();
    let events = store.events_named(&order.params.tenant, &ids).await?;
    for some in rows.chunks(BODIES) {
        let ids: Vec<Option<Uuid>> = some.iter().map(|(_, row)| named(row)).collect();
        let of = |id: &Uuid| events.iter().find(|found| found.event.event_id == *id);
        let receipts = receipts(store, order, ids.iter().flatten().filter_map(of)).await?;
        for ((_, row), id) in some.iter().zip(ids) {
            done.tried += 1;
            let Some(id) = id else {
                done.without_event += 1;
                continue;
            };
            match of(&id).map_or(Derived::Nothing, |found| derive(&receipts, context, found)) {
                Derived::Event(event) => compare(report, (row, &event), &mut done),
                Derived::Tampered => done.tampered += 1,
                Derived::NoBody => done.no_body += 1,
                Derived::Nothing => {
                    done.mismatch += 1;
                    done.differences.push(format!("{id}: the receipt yields no such event"));
                }
            }
        }
    }
    Ok(Some(done))
}

/// Rows of which the bodies are held at once.
const BODIES: usize = 5;

/// A receipt, and its body unless that is gone.
type Held = (StoredHeader, Option<StoredBody>);

/// The receipts that events came from.
async fn receipts(
    store: &Store,
    order: &Order,
    events: impl Iterator<Item = &StoredEvent>,
) -> Result<Vec<Held>, ReportError> {
    let tenant = &order.params.tenant;
    let positions: BTreeSet<Position> = events.map(|found| found.event.receipt).collect();
    let headers = store.receipts_at(tenant, &Vec::from_iter(positions)).await?;
    let bodies = store.bodies(tenant, &Vec::from_iter(&headers)).await?;
    Ok(headers.into_iter().zip(bodies).collect())
}

enum Derived {
    Event(Box<Event>),
    Tampered,
    NoBody,
    Nothing,
}

fn derive(receipts: &[Held], context: &Context, found: &StoredEvent) -> Derived {
    let mut outcome = Derived::Nothing;
    for (header, body) in receipts.iter().filter(|(header, _)| header.position == found.event.receipt) {
        let Some(body) = body.as_ref().filter(|body| body.enc == 0 && header.enc == 0) else {
            outcome = Derived::NoBody;
            continue;
        };
        if commitment(&body.salt, &body.body) != header.commitment {
            return Derived::Tampered;
        }
        let receipt = Receipt { position: header.position, header: header.header.clone(), body: body.body.clone() };
        let Normalised::Events(events) = normalise(&receipt, context) else { continue };
        if let Some(event) = events.into_iter().find(|event| event.event_id == found.event.event_id) {
            return Derived::Event(Box::new(event));
        }
    }
    outcome
}

fn compare(report: &Report, (row, event): (&[Value], &Event), done: &mut Accuracy) {
    let mut same = true;
    for (column, derived) in report.derived {
        let said = report.place(column).and_then(|at| row.get(at)).map(text).unwrap_or_default();
        let anew = derived(event);
        // What the receipt leaves open, another input may have said.
        if said != anew && !anew.is_empty() {
            same = false;
            done.differences.push(format!("{}: {column}", event.event_id));
        }
    }
    if same {
        done.agree += 1;
    } else {
        done.mismatch += 1;
    }
}
