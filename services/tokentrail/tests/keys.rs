//! Another deployment key than the one that data was written with is refused at the start, by the folder and by the
//! database, each alone. Secrets are shown once, to a person at a terminal.
#![allow(clippy::unwrap_used)] // a test may panic

mod support;

use std::{fs::File, path::Path, process::Stdio};
use support::{Program, command};
use testbed::{Terminal, until};

/// Starts the program, which ends by itself with an error; returns what it said.
fn refused(data: &Path, arguments: &[&str]) -> String {
    let output = command(data).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{said}");
    said
}

#[test]
fn data_takes_the_key_that_it_was_written_with_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let (key_file, check) = (dir.path().join("keys/deployment.key"), dir.path().join("journal/deployment-key.check"));
    assert_eq!(Program::start(dir.path(), &[]).terminate(), Some(0));
    let key = std::fs::read_to_string(&key_file).unwrap();
    let kept = std::fs::read_to_string(&check).unwrap();
    assert!(!key.contains(kept.trim()) && !kept.contains(key.trim()));

    // The folder: another key, and a lost one, which is not made anew.
    std::fs::write(&key_file, "07".repeat(32)).unwrap();
    for arguments in [&["up"][..], &["replay"]] {
        let said = refused(dir.path(), arguments);
        assert!(said.contains("is not the key that") && !said.contains("0707"), "{said}");
    }
    std::fs::remove_file(&key_file).unwrap();
    let said = refused(dir.path(), &["up"]);
    assert!(said.contains("deployment.key is missing"), "{said}");
    assert!(!key_file.exists(), "and makes none");

    // The database alone: as another folder that is pointed to it would meet it.
    std::fs::write(&key_file, "07".repeat(32)).unwrap();
    std::fs::remove_file(&check).unwrap();
    let said = refused(dir.path(), &["up"]);
    assert!(said.contains("the database was written with another deployment key"), "{said}");

    std::fs::write(&key_file, &key).unwrap();
    std::fs::remove_file(&check).unwrap();
    assert_eq!(Program::start(dir.path(), &[]).terminate(), Some(0), "the right one is taken again");
}

/// Starts the program, without ClickHouse, with a place for what it prints, and stops it when it has printed its last words.
fn greeted(data: &Path, stdout: Stdio, printed: impl Fn() -> String) {
    let mut up = command(data);
    up.env("TOKENTRAIL__STORE__URL", support::NO_CLICKHOUSE).arg("up").stdout(stdout);
    let program = Program::ready(up, data);
    // It answers as ready just before, and one that is stopped so early says nothing.
    until("the settings", || printed().contains("Ctrl-C stops").then_some(()));
    assert_eq!(program.terminate(), Some(0));
}

#[test]
fn secrets_are_shown_once_and_to_a_terminal_only() {
    let dir = tempfile::tempdir().unwrap();
    let secrets = |data: &Path| {
        let read = |name: &str| std::fs::read_to_string(data.join("secrets").join(name)).unwrap().trim().to_owned();
        ["keycloak.webhook", "backstage.token"].map(read)
    };
    // Nobody knows who reads a pipe or a file.
    let (piped, seen) = (dir.path().join("piped"), dir.path().join("printed"));
    let printed = || std::fs::read_to_string(&seen).unwrap();
    greeted(&piped, File::create(&seen).unwrap().into(), printed);
    let text = printed();
    assert!(text.contains("/v1/keycloak/keycloak") && text.contains("keycloak.webhook"), "{text}");
    assert!(!secrets(&piped).iter().any(|secret| text.contains(secret)), "a secret in a pipe");

    let data = dir.path().join("data");
    let (terminal, end) = Terminal::open().unwrap();
    greeted(&data, end, || terminal.so_far());
    let shown = terminal.shown();
    assert!(secrets(&data).iter().all(|secret| shown.contains(secret)), "what is to be pasted is not shown");
    let (terminal, end) = Terminal::open().unwrap();
    greeted(&data, end, || terminal.so_far());
    let again = terminal.shown();
    assert!(again.contains("keycloak.webhook"), "the file is named: {again}");
    assert!(!secrets(&data).iter().any(|secret| again.contains(secret)), "a secret is shown a second time");
    for folder in [&piped, &data] {
        let log = std::fs::read_to_string(folder.join("log.ndjson")).unwrap();
        assert!(!secrets(folder).iter().any(|secret| log.contains(secret)), "a secret in a log");
    }
}
