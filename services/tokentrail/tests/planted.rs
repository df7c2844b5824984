//! 2,000 planted secrets, as signed webhooks and as lines of a Backstage, through the whole program: none of them stands in
//! any column of any table, in the journal, in any other file of the data folder, in the log or in the metrics.
#![allow(clippy::unwrap_used)] // a test may panic

#[path = "../../collector/tests/planting/mod.rs"]
mod planting;
mod support;

use planting::{To, planted};
use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};
use support::{Program, block_on, client, command, sign};

const SECRETS: usize = 2_000;
/// Webhooks under way at once.
const AT_ONCE: usize = 16;
/// The id that all events of the plantation bear, and the part of it that makes one of each.
const ID: &str = "b2c0fa55-7387-49da-b104-550ee7e635fc";

/// Files below `dir` that hold any of the words, one a line in `words`.
fn found(words: &Path, dir: &Path) -> Vec<String> {
    let output = Command::new("grep").args(["-rlaF", "-f"]).args([words, dir]).output().unwrap();
    assert!(output.status.code().is_some_and(|code| code < 2), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// Posts all, some at once; each is acknowledged.
fn post(program: &Program, bodies: Vec<String>) {
    let (url, secret) = (format!("{}/v1/keycloak/keycloak", program.intake()), program.secret("keycloak.webhook"));
    let client = client();
    block_on(async move {
        for some in bodies.chunks(AT_ONCE) {
            let mut under_way = tokio::task::JoinSet::new();
            for body in some {
                let request = client.post(&url).header("x-keycloak-signature", sign(&secret, body.as_bytes()));
                under_way.spawn(request.body(body.clone()).send());
            }
            while let Some(answer) = under_way.join_next().await {
                assert_eq!(answer.unwrap().unwrap().status(), 200);
            }
        }
    });
}

/// Every row of every table, as text, a file each; returns how many columns that are.
fn dump(program: &Program, dir: &Path) -> u64 {
    let tables = "SELECT name FROM system.tables WHERE database = 'tokentrail' AND engine LIKE '%MergeTree%'";
    for table in program.sql(tables) {
        let name = table["name"].as_str().unwrap();
        let mut file = std::fs::File::create(dir.join(name)).unwrap();
        let all = format!("SELECT * FROM `{name}` SETTINGS output_format_json_escape_forward_slashes = 0");
        for row in program.sql(&all) {
            writeln!(file, "{row}").unwrap();
        }
    }
    let columns = "SELECT count() AS n FROM system.columns WHERE database = 'tokentrail' AND type LIKE '%String%' \
                   AND table IN (SELECT name FROM system.tables WHERE database = 'tokentrail' AND engine LIKE '%MergeTree%')";
    program.sql(columns)[0]["n"].as_u64().unwrap()
}

#[test]
fn no_planted_secret_is_found_anywhere_behind_the_intake() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let program = Program::start(&path("data"), &[]);
    let (mut webhooks, mut lines, mut pieces) = (Vec::new(), String::new(), String::new());
    for (n, one) in planted(12).take(SECRETS).enumerate() {
        pieces += &(one.piece + "\n");
        match one.to {
            To::Keycloak => webhooks.push(one.body.replace(ID, &format!("{n:08x}{}", &ID[8..]))),
            To::Backstage => lines += &(one.body + "\n"),
        }
    }
    let kept = format!("{:08x}{}", SECRETS - 2, &ID[8..]);
    std::fs::write(path("pieces"), &pieces).unwrap();
    std::fs::write(path("kept"), format!("{kept}\n")).unwrap();
    assert_eq!(pieces.lines().count(), SECRETS);
    let (deliveries, shipped) = (webhooks.len(), lines.lines().count());
    post(&program, webhooks);
    let mut sender = command(&program.data);
    sender.args(["send", "--source", "backstage", "--instance", "b1", "-"]).stdin(Stdio::piped());
    let mut sender = sender.stderr(Stdio::null()).spawn().unwrap();
    sender.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(sender.wait().unwrap().success());
    let status = program.drained();

    std::fs::create_dir(path("tables")).unwrap();
    let columns = dump(&program, &path("tables"));
    std::fs::write(path("tables").join("metrics"), program.get_admin("/metrics").unwrap()).unwrap();
    assert!(columns > 100, "{columns} columns of text");
    let received: u64 = status["inputs"].as_array().unwrap().iter().map(|one| one["received"].as_u64().unwrap()).sum();
    assert!(received >= (deliveries + shipped) as u64 / 2, "{status}");
    let data = program.data.clone();
    assert_eq!(program.terminate(), Some(0));
    // What is searched can be found: an id that is kept stands in the journal, in the bodies and in the events.
    let journal = found(&path("kept"), &data.join("journal"));
    assert!(!journal.is_empty(), "the journal holds {kept}");
    let tables = found(&path("kept"), &path("tables"));
    assert!(tables.len() >= 2, "{tables:?}");
    for place in [path("tables"), data] {
        assert_eq!(found(&path("pieces"), &place), Vec::<String>::new(), "a planted secret stands in them");
    }
}
