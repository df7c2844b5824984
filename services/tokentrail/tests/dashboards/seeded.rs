//! What makes the dashboards of the recorded story interesting: heartbeats of which one was lost, a gap of each state, and findings of
//! every state. In tables, as the pipeline writes them, once the program has ended: its rules would judge them.

use store::ConnectOptions;

const HEARTBEATS: [&str; 2] = [
    "INSERT INTO heartbeat_rows VALUES ('default', 'kc', '2026-11-23 21:25:00.000', 'pair', 'h1', 'sent'), \
     ('default', 'kc', '2026-11-23 21:26:00.000', 'pair', 'h2', 'sent'), ('default', 'kc', '2026-11-23 21:27:00.000', 'pair', 'h3', 'sent')",
    "INSERT INTO heartbeat_seen_rows VALUES ('default', 'kc', '2026-11-23 21:25:00.010', 'h1', 'webhook', '2026-11-23 21:25:00.250'), \
     ('default', 'kc', '2026-11-23 21:26:00.010', 'h2', 'webhook', '2026-11-23 21:26:04.000')",
];
const GAPS: &str = "INSERT INTO gap_rows VALUES \
     ('default', 'kc', 'pair', 'webhook', '2026-11-23 21:27:00', 'silent', NULL, NULL, NULL, '', '2026-11-23 21:30:00'), \
     ('default', 'kc', 'pair', 'webhook', '2026-11-23 21:24:00', 'silent', '2026-11-23 21:24:30', NULL, '2026-11-23 21:30:00', 'pull', '2026-11-23 21:30:00'), \
     ('default', 'bs', 'b1', 'lines', '2026-11-23 21:30:00', 'sender_dropped', '2026-11-23 21:31:00', 12, NULL, '', '2026-11-23 21:32:00'), \
     ('default', 'bs', '', 'lines', '2026-11-22 10:00:00', 'silent', '2026-11-22 11:00:00', NULL, NULL, '', '2026-11-22 11:00:00')";

/// A finding beside those of the program.
struct Finding {
    /// Last digit of its id.
    id: u8,
    rule: &'static str,
    severity: &'static str,
    person: &'static str,
    began: &'static str,
    detail: &'static str,
    /// What became of it, and how many days ago that was.
    changes: &'static [(&'static str, &'static str, u32)],
}

const FINDINGS: [Finding; 6] = [
    Finding {
        id: 1,
        rule: "D04",
        severity: "high",
        person: "",
        began: "2026-11-23 21:25:30",
        detail: r#"{"area":"realm_roles","what":"not in the \"baseline\"","read_at_ms":1,"names":[]}"#,
        changes: &[("opened", "rules", 40)],
    },
    Finding {
        id: 2,
        rule: "D05",
        severity: "critical",
        person: "dora",
        began: "2026-11-23 21:25:20",
        detail: r#"{"right":"group"}"#,
        changes: &[("opened", "rules", 3), ("acknowledged", "ana", 2)],
    },
    Finding {
        id: 3,
        rule: "D13",
        severity: "high",
        person: "cleo",
        began: "2026-11-23 21:25:06",
        detail: "{}",
        changes: &[("opened", "rules", 9), ("closed", "ana", 8)],
    },
    Finding {
        id: 4,
        rule: "D01",
        severity: "high",
        person: "ben",
        began: "2026-11-23 21:26:00",
        detail: "{}",
        changes: &[("opened", "rules", 9), ("withdrawn", "rules", 8)],
    },
    Finding {
        id: 5,
        rule: "D20",
        severity: "low",
        person: "",
        began: "2026-11-23 21:26:00",
        detail: "{}",
        changes: &[("opened", "rules", 10), ("suppressed", "ana", 9)],
    },
    // Over before the period begins.
    Finding {
        id: 6,
        rule: "D12",
        severity: "medium",
        person: "",
        began: "2026-11-20 08:00:00",
        detail: "{}",
        changes: &[("opened", "rules", 8), ("ended", "rules", 7)],
    },
];
/// One in force, and one that was ended early.
const SUPPRESSIONS: &str = "INSERT INTO suppression_rows SELECT 'default', toUUID('00000000-0000-4000-a000-000000000001'), generateUUIDv4(), \
     toDateTime64('2026-11-23 21:20:00', 3, 'UTC'), 'made', 'D13', 'person', (SELECT max(person) FROM alias_rows WHERE kind = 'username' AND name = 'cleo'), \
     'ana', 'ana', 'known', toDateTime64('2200-01-01', 3, 'UTC') \
     UNION ALL SELECT 'default', toUUID('00000000-0000-4000-a000-000000000002'), generateUUIDv4(), \
     toDateTime64('2026-11-23 21:10:00', 3, 'UTC'), 'made', 'D12', 'source', 'kc', 'bo', 'ana', 'moving', toDateTime64('2200-01-01', 3, 'UTC') \
     UNION ALL SELECT 'default', toUUID('00000000-0000-4000-a000-000000000002'), generateUUIDv4(), \
     toDateTime64('2026-11-23 21:30:00', 3, 'UTC'), 'ended', 'D12', 'source', 'kc', 'bo', 'cy', 'moved', toDateTime64('2026-11-23 21:30:00', 3, 'UTC')";
const STATES: &str = "INSERT INTO rule_state_rows VALUES \
     ('default', 'D04', now64(3) + INTERVAL 1 MINUTE, 'EXCEPTION', 1, 1, ''), \
     ('default', 'D05', now64(3) + INTERVAL 1 MINUTE, 'EXCEPTION', 1, 1, ''), \
     ('default', 'D16', now64(3) + INTERVAL 1 MINUTE, 'DISABLED', 1, 0, 'switched off in config')";

impl Finding {
    fn id(&self) -> String {
        format!("00000000-0000-4000-8000-00000000000{}", self.id)
    }

    fn rows(&self) -> Vec<String> {
        let Self { rule, severity, person, began, detail, .. } = self;
        let key = format!("(SELECT max(person) FROM alias_rows WHERE kind = 'username' AND name = '{person}')");
        let evidence = format!(
            "(SELECT groupArray(event_id) FROM decision_rows FINAL WHERE person = {key} AND verdict = 'exposure')"
        );
        let (key, evidence) = if person.is_empty() { ("''".to_owned(), "[]".to_owned()) } else { (key, evidence) };
        let detail = detail.replace('\\', "\\\\");
        let mut rows = vec![format!(
            "INSERT INTO finding_rows SELECT 'default', '{}', 1, '{rule}', 1, {key}, '{severity}', 'proven', '{began}', '{began}', '{detail}', {evidence}, [], 0",
            self.id()
        )];
        for (at, (what, actor, days)) in self.changes.iter().enumerate() {
            let until = if *what == "suppressed" { "toDateTime64('2200-01-01', 3, 'UTC')" } else { "NULL" };
            rows.push(format!(
                "INSERT INTO finding_change_rows (tenant, finding_id, change_id, changed_at, what, actor, reason, until) SELECT 'default', '{}', toUUID('00000000-0000-4000-9000-0000000000{}{at}'), now64(3) - INTERVAL {days} DAY, '{what}', '{actor}', 'because', {until}",
                self.id(), self.id
            ));
        }
        rows
    }
}

/// Writes all of it.
pub async fn seed(options: ConnectOptions) {
    let findings = FINDINGS.iter().flat_map(Finding::rows);
    let fixed = HEARTBEATS.into_iter().chain([GAPS, STATES, SUPPRESSIONS]).map(str::to_owned);
    for sql in fixed.chain(findings) {
        let request = crate::support::client()
            .post(&options.url)
            .query(&[("database", &options.database)])
            .header("x-clickhouse-user", &options.user)
            .header("x-clickhouse-key", &options.password)
            .body(sql.clone());
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{}\n{sql}", answer.text().await.unwrap());
    }
}
