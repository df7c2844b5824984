//! Another deployment key than the one that data was written with is refused at the start, by the folder and by the
//! database, each alone.
#![allow(clippy::unwrap_used)] // a test may panic

mod support;

use std::path::Path;
use support::{Program, command};

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
