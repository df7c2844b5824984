//! A source that is taken out of the config takes nothing out of what is known of it.

use crate::story::{PERIOD, Story};
use serde_json::{Value, json};

/// The story's config without its Keycloak.
const WITHOUT: &str = "[sources.bs]\nkind = \"backstage\"\ntoken_files = [\"secrets/bs.token\"]\n";

/// While a gap of `kc` is listed: it is listed by a config too that names no `kc`.
pub fn keeps_its_gaps(story: &Story) {
    std::fs::write(story.path("without.toml"), WITHOUT).unwrap();
    for name in ["R11", "R07", "R05", "R08"] {
        let (code, sheet) = story.sheet_by("without.toml", name, &PERIOD);
        let said = &sheet["completeness"];
        assert_eq!((code, &said["state"]), (0, &json!("COMPLETE_WITH_LISTED_GAPS")), "{name}: {said}");
        assert_eq!(said["facts"]["gaps"][0]["source_id"], "kc", "{name}");
        assert_eq!(of(&sheet, "kc")["standing"], "left", "{name}");
    }
    let page = story.report_by("without.toml", "R11", &[&PERIOD[..], &["--format", "html"]].concat()).out;
    assert!(page.contains("kc (no longer in the config) (keycloak)"), "the sheet says whose gap it is");
}

/// Unproven time of one that left counts, as far as something of it is of the period.
pub fn is_to_be_proven(story: &Story) {
    let heard = "SELECT 'default', 'gone', toDateTime64('2026-11-23 21:10:00', 3, 'UTC'), '', 'gone-1', 'sent'";
    story.program.sql(&format!("INSERT INTO heartbeat_rows {heard}"));
    assert_eq!(standing(story, &PERIOD), ("NOT_PROVEN".to_owned(), json!("left")));
    story.program.sql("ALTER TABLE heartbeat_rows DELETE WHERE source_id = 'gone' SETTINGS mutations_sync = 1");
    assert_eq!(standing(story, &PERIOD), ("COMPLETE".to_owned(), json!(null)));
}

/// R11's verdict, and what it says of `gone`.
fn standing(story: &Story, span: &[&str]) -> (String, Value) {
    let (_, sheet) = story.sheet("R11", span);
    (sheet["completeness"]["state"].as_str().unwrap().to_owned(), of(&sheet, "gone")["standing"].clone())
}

fn of(sheet: &Value, source: &str) -> Value {
    let sources = sheet["completeness"]["facts"]["sources"].as_array().unwrap();
    sources.iter().find(|one| one["source_id"] == source).cloned().unwrap_or_default()
}
