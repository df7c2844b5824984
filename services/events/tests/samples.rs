//! Every recorded sample, line by line: what becomes of it. The snapshots are read against what Keycloak and Backstage mean.

mod support;

use support::{lines, pulled, report, webhook};

#[test]
fn keycloak_webhook() {
    insta::assert_snapshot!(report(&webhook("keycloak/webhook.ndjson")));
}

#[test]
fn keycloak_events() {
    insta::assert_snapshot!(report(&pulled("keycloak/events.json")));
}

#[test]
fn keycloak_admin_events() {
    insta::assert_snapshot!(report(&pulled("keycloak/admin-events.json")));
}

#[test]
fn pair_keycloak_webhook() {
    insta::assert_snapshot!(report(&webhook("pair/keycloak-webhook.ndjson")));
}

#[test]
fn pair_keycloak_events() {
    insta::assert_snapshot!(report(&pulled("pair/keycloak-events.json")));
}

#[test]
fn pair_keycloak_admin_events() {
    insta::assert_snapshot!(report(&pulled("pair/keycloak-admin-events.json")));
}

#[test]
fn pair_backstage_stdout() {
    insta::assert_snapshot!(report(&lines("pair/backstage-stdout.cri.log.gz")));
}

#[test]
fn backstage_audit_events() {
    insta::assert_snapshot!(report(&lines("backstage/audit-events.ndjson")));
}

#[test]
fn backstage_audit_events_otel() {
    insta::assert_snapshot!(report(&lines("backstage/audit-events-otel.ndjson")));
}

#[test]
fn backstage_custom_auditor() {
    insta::assert_snapshot!(report(&lines("backstage/audit-custom-auditor.ndjson")));
}

#[test]
fn backstage_decisions_wrapper() {
    insta::assert_snapshot!(report(&lines("backstage/audit-decisions-wrapper.ndjson")));
}

#[test]
fn backstage_stdout_core_mixed() {
    insta::assert_snapshot!(report(&lines("backstage/stdout-core-mixed.log")));
}

#[test]
fn development_format_is_no_json() {
    assert!(lines("backstage/audit-dev-text.log").is_empty(), "the splitter counts these lines, they are no receipts");
}
