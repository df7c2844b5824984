//! What only snapshots show: changes without an event, and who holds what.

use crate::story::Story;
use serde_json::{Value, json};

/// An entity as a read found it: a letter for its mark, a digit for its hash, its resource, and what was read of it.
type Read<'a> = (char, char, &'a str, &'a str);

/// Writes a complete read of some areas, in a minute of an hour.
fn read(story: &Story, (minute, snapshot): (u32, &str), areas: &[(&str, &[Read<'_>])]) {
    let ids = std::cell::Cell::new(minute * 100);
    let row = |kind: &str, area: &str, resource: &str, details: &str| {
        let id = ids.replace(ids.get() + 1);
        story.program.sql(&format!(
            "INSERT INTO event_rows (tenant, source_id, time, event_id, input, version, source_kind, kind, data_class, time_basis, outcome, realm, resource_kind, resource, details) \
             VALUES ('default', 'kc', toDateTime64('2026-11-23 21:{minute}:00', 3, 'UTC'), toUUID('00000000-0000-5000-8000-{id:012}'), 'snapshot', 900000000000000000, \
             'keycloak', '{kind}', 'snapshot', 'event', 'unknown', 'pair', '{area}', '{resource}', map('snapshot', '{snapshot}', {details}))"
        ));
    };
    let mark = |entity: char, hash: char| (entity.to_string().repeat(32), hash.to_string().repeat(16));
    row("snapshot_begin", "", "", "'trigger', 'demand'");
    for (area, entities) in areas {
        let entries: String = entities.iter().map(|one| mark(one.0, one.1)).map(|(id, hash)| id + &hash).collect();
        row("snapshot_list", area, "", &format!("'entries', '{entries}'"));
        row("snapshot_area", area, "", &format!("'outcome', 'complete', 'entities', '{}'", entities.len()));
        for (entity, hash, resource, details) in *entities {
            let (entity, hash) = mark(*entity, *hash);
            row(
                &format!("state_{area}"),
                area,
                resource,
                &format!("'entity', '{entity}', 'hash', '{hash}', {details}"),
            );
        }
    }
    row("snapshot_end", "", "", "'complete', 'true'");
}

/// Somebody did something, as an admin event tells it.
fn told(story: &Story, n: u32, (kind, resource_kind, path): (&str, &str, &str)) {
    story.program.sql(&format!(
        "INSERT INTO event_rows (tenant, source_id, time, event_id, input, version, source_kind, kind, data_class, time_basis, realm, resource_kind, resource, action, outcome, actor_name) \
         VALUES ('default', 'kc', toDateTime64('2026-11-23 21:45:0{n}', 3, 'UTC'), toUUID('00000000-0000-5000-8000-00000000099{n}'), 'webhook', 900000000000000000, \
         'keycloak', '{kind}', 'administration', 'event', 'pair', '{resource_kind}', '{path}', 'update', 'success', 'root')"
    ));
}

/// Two complete reads of a realm: some changes have an event, others have none.
pub fn differences(story: &Story) {
    let provider = |to: &str| format!("'alias', 'corp', 'trustEmail', '{to}'");
    let (closed, open) = (provider("false"), provider("true"));
    let step = |requires: &str| format!("'flow', 'browser', 'displayName', 'OTP Form', 'requirement', '{requires}'");
    let (asked, not_asked) = (step("REQUIRED"), step("DISABLED"));
    // The first one was written by a release that did not read as many settings of a realm.
    let before: &[(&str, &[Read<'_>])] = &[
        (
            "clients",
            &[('a', '1', "client-a", "'publicClient', 'false'"), ('b', '1', "client-b", "'publicClient', 'false'")],
        ),
        ("realm", &[('c', '1', "realm-1", "'failureFactor', '30'")]),
        (
            "identity_providers",
            &[('d', '1', "idp-1", &closed), ('e', '1', "idp-2", "'alias', 'other', 'enabled', 'true'")],
        ),
        ("flow_executions", &[('f', '1', "step-1", &asked)]),
    ];
    let after: &[(&str, &[Read<'_>])] = &[
        (
            "clients",
            &[('a', '2', "client-a", "'publicClient', 'true'"), ('b', '2', "client-b", "'publicClient', 'true'")],
        ),
        ("realm", &[('c', '2', "realm-1", "'failureFactor', '30', 'passwordPolicy', ''")]),
        (
            "identity_providers",
            &[('d', '2', "idp-1", &open), ('e', '2', "idp-2", "'alias', 'other', 'enabled', 'false'")],
        ),
        ("flow_executions", &[('f', '2', "step-1", &not_asked)]),
    ];
    let last: &[(&str, &[Read<'_>])] =
        &[("realm", &[('c', '3', "realm-1", "'failureFactor', '30', 'passwordPolicy', 'length(8)'")])];
    for (minute, snapshot, areas) in [(40, "s1", before), (50, "s2", after), (51, "s3", last)] {
        read(story, (minute, snapshot), areas);
    }
    told(story, 1, ("client_updated", "CLIENT", "clients/client-a"));
    told(story, 2, ("identity_provider_updated", "IDENTITY_PROVIDER", "identity-provider/instances/other"));
    let rows = story.rows("R07", &["--from", "2026-11-23T21:39:00Z", "--to", "2026-11-23T22:00:00Z"]);
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    let mut found: Vec<_> =
        rows.iter().map(|row| (text(row, "resource"), text(row, "found_by"), row["changed"].to_string())).collect();
    found.sort();
    let nothing = r#"["no earlier event on record"]"#;
    let expected = [
        ("browser / OTP Form", "difference without event", r#"["requirement: REQUIRED -> DISABLED"]"#),
        ("client-a", "difference explained by an event", r#"["publicClient: false -> true"]"#),
        ("client-b", "difference without event", r#"["publicClient: false -> true"]"#),
        ("clients/client-a", "event", nothing),
        ("corp", "difference without event", r#"["trustEmail: false -> true"]"#),
        ("identity-provider/instances/other", "event", nothing),
        ("other", "difference explained by an event", r#"["enabled: true -> false"]"#),
        ("pair", "difference without event", r#"["passwordPolicy:  -> length(8)"]"#),
    ];
    assert_eq!(found, expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned())));
    let without = rows.iter().find(|row| row["resource"] == "client-b").unwrap();
    assert_eq!(
        (&without["actor"], &without["not_before"], &without["confidence"]),
        (&json!(""), &json!("2026-11-23T21:40:00.000Z"), &json!("inferred"))
    );
}

/// Who holds what is proven behind a complete snapshot, and nowhere else.
pub fn instants(story: &Story) {
    let (code, sheet) = story.sheet("R01", &["--as-of", "2026-11-23T21:55:00Z"]);
    assert_eq!(
        (code, &sheet["completeness"]["state"]),
        (0, &json!("COMPLETE")),
        "{}",
        sheet["completeness"]["reasons"]
    );
    // What a read says of an account counts as what an event says: disabled where no event is made.
    let enabled = |at: &str| {
        let rows = story.rows("R01", &["--as-of", at]);
        rows.iter().find(|row| row["username"] == "ann").unwrap()["enabled"].clone()
    };
    assert_eq!(enabled("2026-11-23T21:55:00Z"), json!(null));
    story.program.sql(
        "INSERT INTO event_rows (tenant, source_id, time, event_id, input, version, source_kind, kind, data_class, time_basis, outcome, realm, person, details) \
         SELECT 'default', 'kc', toDateTime64('2026-11-23 21:54:00', 3, 'UTC'), toUUID('00000000-0000-5000-8000-000000000777'), 'snapshot', 900000000000000000, \
         'keycloak', 'state_user', 'snapshot', 'event', 'unknown', 'pair', unhex(person), map('enabled', 'false') \
         FROM (SELECT person FROM persons WHERE username = 'ann' AND keycloak_user_id != '' LIMIT 1)",
    );
    assert_eq!(enabled("2026-11-23T21:55:00Z"), json!(0));
    let (code, sheet) = story.sheet("R01", &["--as-of", "2026-11-23T21:30:00Z"]);
    assert_eq!(code, 1);
    assert!(sheet["completeness"]["reasons"].to_string().contains("no complete snapshot of Keycloak"));
    // One that could not read who may sign in, and everything of which rights are made, is as good; one that lacks a part of these is not.
    let areas = |without: &str, deleted: u8| {
        let end = "SELECT 'snapshot_end' AS kind, '' AS area, map('snapshot', 'rights', 'complete', 'false') AS said";
        let begin =
            "SELECT 'snapshot_begin' AS kind, '' AS area, map('snapshot', 'rights', 'trigger', 'demand') AS said";
        story.program.sql(&format!(
            "INSERT INTO event_rows (tenant, source_id, time, event_id, input, version, is_deleted, source_kind, kind, data_class, time_basis, outcome, realm, resource_kind, details) \
             SELECT 'default', 'kc', toDateTime64('2026-11-23 21:25:00', 3, 'UTC'), reinterpret(sipHash128(kind, area), 'UUID'), 'snapshot', 900000000000000000 + 2 * {deleted} + 1, {deleted}, \
             'keycloak', kind, 'snapshot', 'event', 'unknown', 'pair', area, said FROM (SELECT 'snapshot_area' AS kind, \
             arrayJoin(['identity_providers', 'clients', 'service_accounts', 'roles', 'groups', 'default_groups', 'users', 'members', 'role_users', 'role_groups', 'composites']) AS area, \
             map('snapshot', 'rights', 'outcome', if(area IN ('identity_providers', '{without}'), 'forbidden', 'complete')) AS said UNION ALL {begin} UNION ALL {end})"
        ));
    };
    for (without, lacks) in [("", false), ("members", true)] {
        areas(without, 0);
        let (_, sheet) = story.sheet("R01", &["--as-of", "2026-11-23T21:30:00Z"]);
        let said = sheet["completeness"]["reasons"].to_string();
        assert_eq!(said.contains("no complete snapshot of Keycloak"), lacks, "{without}: {said}");
        areas(without, 1);
    }
}
