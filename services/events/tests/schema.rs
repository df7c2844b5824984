//! The JSON Schema of an event in `schemas/events` is the one of the code.

use std::path::PathBuf;

#[test]
fn the_schema_file_is_up_to_date() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../schemas/events/event.schema.json");
    let schema = schemars::schema_for!(events::event::Event);
    let text = serde_json::to_string_pretty(&schema).expect("serialises") + "\n";
    if std::env::var_os("TOKENTRAIL_UPDATE_SCHEMAS").is_some() {
        std::fs::write(&file, &text).expect("writes the schema");
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(found == text, "schemas/events/event.schema.json is stale: run with TOKENTRAIL_UPDATE_SCHEMAS=1");
}
