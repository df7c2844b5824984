//! Memory of a report does not grow with its rows.

use crate::story::Story;
use std::process::Stdio;

/// Rows; TOKENTRAIL_TEST_REPORT_ROWS takes more.
const ROWS: u64 = 60_000;
/// Written at once.
const AT_ONCE: usize = 1_000_000;
/// Bound of the whole process, kB.
const MOST_KB: u64 = 200 * 1024;

pub fn stay_small(story: &Story) {
    let rows: u64 = std::env::var("TOKENTRAIL_TEST_REPORT_ROWS").ok().and_then(|n| n.parse().ok()).unwrap_or(ROWS);
    for first in (0..rows).step_by(AT_ONCE) {
        let count = (rows - first).min(AT_ONCE as u64);
        story.program.sql(&format!(
            "INSERT INTO decision_rows (tenant, person, at, row_id, version, event_id, reference, permission, action, resource, outcome, verdict, clock, support, session_id, grade, reasons) \
             SELECT 'default', lower(hex(MD5(toString(number % 5000)))), toDateTime64('2025-06-01 00:00:00', 3, 'UTC') + toIntervalMillisecond(number), \
             toFixedString(unhex(leftPad(hex(number), 32, '0')), 16), 1, generateUUIDv4(), concat('user:default/u', toString(number % 5000)), 'catalog.entity.read', 'read', \
             concat('component:default/c', toString(number % 977)), 'allow', 'agrees', 'catalog', \
             [('g', '', 'group:default/ops', 'role:default/operators', 'catalog.entity.read|read|allow', NULL)], 's', 'session', ['several_tokens'] \
             FROM numbers({first}, {count})"
        ));
    }
    let path = story.path("large.ndjson");
    let args =
        ["report", "run", "R08", "--from", "2025-06-01", "--to", "2025-06-30", "--format", "ndjson", "--output", &path];
    let mut child = story.command(&args).stderr(Stdio::null()).spawn().unwrap();
    let mut peak = 0;
    let status = loop {
        // The peak that the kernel remembers; gone with the process, so it is read until then.
        let told = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = told.lines().find(|line| line.starts_with("VmHWM")).and_then(|line| line.split_whitespace().nth(1));
        peak = line.and_then(|kb| kb.parse().ok()).unwrap_or(0).max(peak);
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    assert_eq!(status.code(), Some(1), "nothing proves that time");
    let written = std::io::BufRead::lines(std::io::BufReader::new(std::fs::File::open(&path).unwrap())).count() as u64;
    assert_eq!(written, rows);
    assert!(peak > 0 && peak < MOST_KB, "{peak} kB");
    println!("{rows} rows, peak {peak} kB");
}
