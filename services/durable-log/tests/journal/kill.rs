//! kill -9 of a process that appends: what it said was acknowledged is there, once.

use crate::ledger::{entry, number, opening, options, read_all};
use durable_log::{Journal, Options};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

const CYCLES: usize = 10;
const CHILD: &str = "TOKENTRAIL_KILL_CHILD";
const FIRST: &str = "TOKENTRAIL_KILL_FIRST";

fn own(dir: &Path) -> Options {
    Options { dir: dir.into(), ..options(128 * 1024) }
}

/// Not a test of its own: the process that gets killed, when the variable names a folder.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let next = AtomicU64::new(std::env::var(FIRST).unwrap().parse().unwrap());
    let journal = Journal::open(own(Path::new(&dir)), opening).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                crate::ledger::block_on(async {
                    for count in (1..=5).cycle() {
                        let first = next.fetch_add(count, Ordering::Relaxed);
                        let entries = (first..first + count).map(|number| entry(number, 300)).collect();
                        let appended = journal.append(entries).await.unwrap();
                        let line = format!("acked {first} {count} {}\n", appended.first_offset);
                        std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                    }
                });
            });
        }
    });
}

#[test]
fn nothing_acknowledged_is_lost_by_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let cycles = std::env::var("TOKENTRAIL_KILL_CYCLES").ok().map_or(CYCLES, |cycles| cycles.parse().unwrap());
    let mut acknowledged = BTreeMap::new();
    for cycle in 0..cycles {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::child", "--nocapture", "--test-threads=1"])
            .env(CHILD, dir.path())
            .env(FIRST, (cycle as u64 * 10_000_000).to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let enough = 20 + cycle * 37 % 300;
        let mut seen = 0;
        for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
            let Some(fields) = line.split("acked ").nth(1) else { continue };
            let fields: Vec<u64> = fields.split(' ').map(|field| field.parse().unwrap()).collect();
            let [first, count, offset] = fields[..] else { panic!("{line}") };
            (0..count).for_each(|at| assert!(acknowledged.insert(first + at, offset + at).is_none()));
            seen += 1;
            if seen == enough {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(seen >= enough, "the child ended by itself after {seen}");

        let journal = Journal::open(own(dir.path()), opening).unwrap();
        let (records, damage) = read_all(&journal, 0);
        assert!(damage.is_empty(), "cycle {cycle}: {damage:?}");
        let mut found = BTreeMap::new();
        for record in &records {
            let Some(number) = number(record) else { continue };
            assert!(found.insert(number, record).is_none(), "cycle {cycle}: {number} is there twice");
        }
        for (number, offset) in &acknowledged {
            let Some(record) = found.get(number) else { panic!("cycle {cycle}: acknowledged {number} is lost") };
            assert_eq!((record.offset, &record.body[..]), (*offset, &entry(*number, 300).body[..]), "cycle {cycle}");
        }
        assert!(journal.scrub().unwrap().is_intact(), "cycle {cycle}");
        journal.close();
    }
    println!("{cycles} kills, {} acknowledged, 0 lost, 0 twice", acknowledged.len());
}
