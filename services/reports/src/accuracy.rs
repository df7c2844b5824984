//! Rows recomputed: from a row to its event, to the receipt, to the body as it was committed to, through the normaliser, back to
//! the columns.

use crate::{ReportError, coverage::Accuracy, format::text, report::Report, run::Order};
use durable_log::chain::commitment;
use events::{
    event::Event,
    normalise::{Context, NORMALISER_VERSION, Normalised, normalise},
    receipt::Receipt,
};
use serde_json::Value;
use store::{Store, StoredEvent};
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
    for (_, row) in rows {
        done.tried += 1;
        let Some(id) = named(row) else {
            done.without_event += 1;
            continue;
        };
        let found = events.iter().find(|found| found.event.event_id == id);
        match derive(store, (order, context), found).await? {
            Derived::Event(event) => compare(report, (row, &event), &mut done),
            Derived::Tampered => done.tampered += 1,
            Derived::NoBody => done.no_body += 1,
            Derived::Nothing => {
                done.mismatch += 1;
                done.differences.push(format!("{id}: the receipt yields no such event"));
            }
        }
    }
    Ok(Some(done))
}

enum Derived {
    Event(Box<Event>),
    Tampered,
    NoBody,
    Nothing,
}

async fn derive(
    store: &Store,
    (order, context): (&Order, &Context),
    found: Option<&StoredEvent>,
) -> Result<Derived, ReportError> {
    let tenant = &order.params.tenant;
    let Some(found) = found else { return Ok(Derived::Nothing) };
    let mut outcome = Derived::Nothing;
    for header in store.receipts_at(tenant, found.event.receipt).await? {
        let Some(body) = store.body(tenant, &header).await?.filter(|body| body.enc == 0 && header.enc == 0) else {
            outcome = Derived::NoBody;
            continue;
        };
        if commitment(&body.salt, &body.body) != header.commitment {
            return Ok(Derived::Tampered);
        }
        let receipt = Receipt { position: header.position, header: header.header.clone(), body: body.body };
        let Normalised::Events(events) = normalise(&receipt, context) else { continue };
        if let Some(event) = events.into_iter().find(|event| event.event_id == found.event.event_id) {
            return Ok(Derived::Event(Box::new(event)));
        }
    }
    Ok(outcome)
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
