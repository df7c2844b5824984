//! The JSON Schemas in `schemas/events` are those of the code: the event, the receipt's header as journaled,
//! and the bodies of snapshots.

use schemars::Schema;
use std::path::PathBuf;

fn is_up_to_date(name: &str, schema: &Schema) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../schemas/events").join(name);
    let text = serde_json::to_string_pretty(schema).expect("serialises") + "\n";
    if std::env::var_os("TOKENTRAIL_UPDATE_SCHEMAS").is_some() {
        std::fs::write(&file, &text).expect("writes the schema");
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(found == text, "schemas/events/{name} is stale: run with TOKENTRAIL_UPDATE_SCHEMAS=1");
}

#[test]
fn the_schema_files_are_up_to_date() {
    is_up_to_date("event.schema.json", &schemars::schema_for!(events::event::Event));
    is_up_to_date("receipt-header.schema.json", &schemars::schema_for!(events::receipt::ReceiptHeader));
    is_up_to_date("snapshot-begin.schema.json", &schemars::schema_for!(events::snapshot::Begin));
    is_up_to_date("snapshot-entity.schema.json", &schemars::schema_for!(events::snapshot::Entity));
    is_up_to_date("snapshot-list.schema.json", &schemars::schema_for!(events::snapshot::List));
    is_up_to_date("snapshot-end.schema.json", &schemars::schema_for!(events::snapshot::End));
}
