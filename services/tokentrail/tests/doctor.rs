//! `tokentrail doctor` on what a Backstage leaves out: recorded lines with one thing missing, one source each.
#![allow(clippy::unwrap_used)] // a test may panic

mod support;

use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Output,
};
use support::{Program, block_on, client, command};

fn recorded(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/samples").join(name);
    let file = std::fs::File::open(path).unwrap();
    let mut text = String::new();
    if name.ends_with(".gz") {
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(file), &mut text).unwrap();
    } else {
        text = std::io::read_to_string(file).unwrap();
    }
    // Recorded on one day; doctor looks at a day that is not long past.
    let yesterday = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second() - 86_400).unwrap().to_string();
    text.replace("2026-11-23T", &yesterday[..11])
}

fn without(text: &str, needle: &str) -> String {
    let kept: String = text.lines().filter(|line| !line.contains(needle)).map(|line| line.to_owned() + "\n").collect();
    assert!(kept.len() < text.len(), "{needle} is in the recording");
    kept
}

/// What a source sends, and the checks that must find something.
struct Case {
    lines: String,
    instance: &'static str,
    finds: Vec<&'static str>,
}

/// Each check finds something in one case and nothing in another.
fn cases() -> BTreeMap<&'static str, Case> {
    let whole = recorded("pair/backstage-stdout.cri.log.gz");
    let audited = recorded("backstage/audit-custom-auditor.ndjson");
    // As Backstage's own audit logger writes them: `YYYY-MM-DD HH:mm:ss`, in the zone of the machine.
    let zoneless = (jiff::Timestamp::now() - jiff::SignedDuration::from_hours(6)).to_string()[..19].replace('T', " ");
    let zoneless: String = audited
        .lines()
        .map(|line| {
            let (head, rest) = line.split_once("\"timestamp\":\"").unwrap();
            let (_, tail) = rest.split_once('"').unwrap();
            format!("{head}\"timestamp\":\"{zoneless}\"{tail}\n")
        })
        .collect();
    let legacy = r#"{"isAuditLog":true,"plugin":"permission","service":"backstage","level":"info","message":"x","status":"succeeded","stage":"completion","eventName":"CreateRole","actor":{"actorId":"user:default/ann"},"meta":{"roleEntityRef":"role:default/x","members":["user:default/ben"]}}"#;
    // What the recorded Backstage lacks: no overrides, and its own redaction finds nothing to redact.
    let lacks = ["audit_ids", "decision_resources", "redaction"];
    let plus = |more: &[&'static str]| lacks.iter().chain(more).copied().collect::<Vec<_>>();
    let case = |lines: String, finds: Vec<&'static str>| Case { lines, instance: "b1", finds };
    BTreeMap::from([
        ("whole", case(whole.clone(), plus(&[]))),
        ("no-audit", case(without(&whole, "isAuditEvent"), vec!["audit_lines", "decision_resources", "redaction"])),
        ("no-authorize", case(without(&whole, "/api/permission/authorize"), plus(&["authorize_lines"]))),
        ("no-issued", case(without(&whole, "Issuing token for"), plus(&["issued_tokens"]))),
        ("no-auth", case(without(&whole, "\"url\":\"/api/auth/"), plus(&["auth_lines"]))),
        ("no-instance", Case { lines: whole.clone(), instance: "", finds: plus(&["instance"]) }),
        ("redacts", case(whole.replace("Found 0 new", "Found 3 new"), vec!["audit_ids", "decision_resources"])),
        (
            "development",
            case(
                recorded("backstage/audit-dev-text.log"),
                vec!["json", "audit_lines", "decision_resources", "issued_tokens", "auth_lines"],
            ),
        ),
        ("auditor", case(audited, vec!["decision_resources", "issued_tokens", "auth_lines"])),
        ("zoneless", case(zoneless, vec!["zone", "decision_resources", "issued_tokens", "auth_lines"])),
        (
            "permissions",
            case(
                recorded("backstage/audit-decisions-wrapper.ndjson"),
                vec!["audit_ids", "issued_tokens", "auth_lines"],
            ),
        ),
        (
            "legacy",
            case(legacy.to_owned(), vec!["current_format", "decision_resources", "issued_tokens", "auth_lines"]),
        ),
    ])
}

fn config(dir: &Path, sources: impl Iterator<Item = &'static str>) -> PathBuf {
    let source = |name| format!("[sources.{name}]\nkind = \"backstage\"\ntoken_files = [\"secrets/{name}.token\"]\n");
    let path = dir.join("tokentrail.toml");
    std::fs::write(&path, sources.chain(["silent"]).map(source).collect::<String>()).unwrap();
    path
}

fn doctor(program: &Program, config: &Path, args: &[&str]) -> Output {
    command(&program.data).env("TOKENTRAIL_CONFIG", config).arg("doctor").args(args).output().unwrap()
}

#[test]
fn what_a_backstage_leaves_out_is_found_with_its_remedy_and_what_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let cases = cases();
    let config = config(dir.path(), cases.keys().copied());
    let program = Program::start(&dir.path().join("data"), &[("TOKENTRAIL_CONFIG", config.to_str().unwrap())]);
    for (source, case) in &cases {
        let token = program.secret(&format!("{source}.token"));
        let request = client().post(format!("{}/v1/backstage/{source}", program.intake())).bearer_auth(token);
        let request = request.header("x-tokentrail-instance", case.instance).body(case.lines.clone());
        block_on(async move { assert!(request.send().await.unwrap().status().is_success()) });
    }
    program.drained();

    let output = doctor(&program, &config, &["--format", "json"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "there is something to look at: {said}");
    let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(findings["good"], false);
    let checks = findings["checks"].as_array().unwrap();
    for (source, case) in &cases {
        let of_it = checks.iter().filter(|check| check["source"] == *source);
        let of_it: Vec<_> = of_it.filter(|check| check["id"].as_str().unwrap().starts_with("backstage_")).collect();
        assert_eq!(of_it.len(), 11, "{source}");
        let found = of_it.iter().filter(|check| !check["remedy"].is_null());
        let found: BTreeSet<_> = found.map(|check| &check["id"].as_str().unwrap()["backstage_".len()..]).collect();
        assert_eq!(found, case.finds.iter().copied().collect(), "{source}");
        for check in of_it {
            assert_eq!(
                check["remedy"].is_null(),
                check["lost"].is_null(),
                "a remedy says what is lost meanwhile: {check}"
            );
        }
    }
    let silent: Vec<_> = checks.iter().filter(|check| check["source"] == "silent").collect();
    assert_eq!(
        silent.len(),
        3,
        "of a source that sent nothing only that is told, and that it has no heartbeats: {silent:?}"
    );

    let table = doctor(&program, &config, &[]);
    assert_eq!(table.status.code(), Some(1));
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("  ok    source auditor: audit lines have an id and a time\n"), "{table}");
    assert!(
        table.contains("  look  source whole: audit lines have an id and a time: add the auditor override"),
        "{table}"
    );
    assert!(table.contains("        until then: times are those of the shipper"), "{table}");

    let data = program.data.clone();
    assert_eq!(program.terminate(), Some(0));
    let gone = command(&data).env("TOKENTRAIL_CONFIG", &config).arg("doctor").output().unwrap();
    assert_eq!(gone.status.code(), Some(2), "nothing runs: it cannot be told");
}
