//! A pure function per source: a receipt becomes events, or is ignored or dead with a reason. One fate per receipt.

mod act;
mod backstage;
mod canonical;
mod catalogue;
mod json;
mod keycloak;
mod scope;
mod snapshot;

pub use canonical::{canonical_fields, conflicts};
pub use catalogue::{Entry, catalogue};
pub use scope::told_by_delivery_alone;

use crate::{
    event::Event,
    person::DeploymentKey,
    receipt::{HEADER_VERSION, Payload, Receipt, names},
};
use scope::Scope;
use serde::Serialize;

/// Raised whenever a normaliser yields anything else for the same receipt; newer rows replace older ones.
pub const NORMALISER_VERSION: u32 = 7;

/// What normalising needs beside the receipt.
#[derive(Clone, Debug)]
pub struct Context {
    /// Makes person keys and marks.
    pub key: DeploymentKey,
}

/// Why a receipt yields no event although it was understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ignored {
    /// The first of two lines of one call; the terminal one counts.
    Initiated,
    /// An access line that only dates a decision.
    DatesDecision,
    /// A record of the collector about itself.
    Bookkeeping,
    /// A heartbeat.
    Heartbeat,
    /// State that was read, as programs before normaliser 3 judged it.
    State,
    /// A log or access line that says nothing about access.
    PlainLine,
}
names!(Ignored: Initiated = "initiated", DatesDecision = "dates_decision", Bookkeeping = "bookkeeping", Heartbeat = "heartbeat", State = "state", PlainLine = "plain_line");

/// Why a receipt could not be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Dead {
    /// The body was no JSON; length and mark are kept.
    NotJson,
    /// JSON, but of no class that we know.
    UnknownShape,
    /// A field that every event of this class has is missing or of another type.
    MissingField,
    /// The header cannot be read.
    BadHeader,
    /// The normaliser died of it: a fault of this program.
    NormaliserFailed,
}
names!(Dead: NotJson = "not_json", UnknownShape = "unknown_shape", MissingField = "missing_field", BadHeader = "bad_header", NormaliserFailed = "normaliser_failed");

/// The one fate of a receipt, as normalising sees it (`duplicate` is decided by the store, over all receipts).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalised {
    /// At least one event.
    Events(Vec<Event>),
    /// Understood, and no event.
    Ignored(Ignored),
    /// Not understood.
    Dead(Dead),
}

/// Turns a receipt into its events. Total and deterministic: any bytes get exactly one fate.
pub fn normalise(receipt: &Receipt, context: &Context) -> Normalised {
    let scope = Scope::new(receipt, context);
    if receipt.header.v != HEADER_VERSION {
        return Normalised::Dead(Dead::BadHeader);
    }
    match receipt.header.payload {
        Payload::KeycloakWebhook | Payload::KeycloakEvent | Payload::KeycloakAdminEvent => {
            keycloak::normalise(scope, &receipt.body)
        }
        Payload::BackstageLine => backstage::normalise(scope, &receipt.body),
        Payload::BackstageCatalogSnapshot => snapshot::recorded(scope, &receipt.body),
        Payload::SnapshotBegin => snapshot::begin(scope, &receipt.body),
        Payload::SnapshotEntity => snapshot::entity(scope, &receipt.body),
        Payload::SnapshotList => snapshot::list(scope, &receipt.body),
        Payload::SnapshotEnd => snapshot::end(scope, &receipt.body),
        Payload::PersonAct => act::person(scope, &receipt.body),
        Payload::FindingAct => act::finding(receipt),
        Payload::Heartbeat => Normalised::Ignored(Ignored::Heartbeat),
        Payload::StreamOpening | Payload::InputClosed | Payload::LineCounts | Payload::SenderGap => {
            Normalised::Ignored(Ignored::Bookkeeping)
        }
        Payload::Unknown => Normalised::Dead(Dead::UnknownShape),
        Payload::Unparsable => Normalised::Dead(Dead::NotJson),
    }
}
