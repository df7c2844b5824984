//! What the engine spends its time on, by kind of statement and by table merged: printed where `TOKENTRAIL_BENCH_SPENT` is set.
//! Its logs cost something themselves: figures of such a run are no figures.

use crate::queries::Queries;
use std::{fs, path::Path, time::Duration};

/// Merged by the engine into its configuration.
const LOGS: &str = "<clickhouse>
  <query_log><database>system</database><table>query_log</table><flush_interval_milliseconds>500</flush_interval_milliseconds></query_log>
  <part_log><database>system</database><table>part_log</table><flush_interval_milliseconds>500</flush_interval_milliseconds></part_log>
</clickhouse>
";
/// Until the logs are written.
const FLUSH: Duration = Duration::from_secs(3);
const STATEMENTS: &str = "SELECT count() AS times, round(sum(ProfileEvents['OSCPUVirtualTimeMicroseconds']) / 1e6, 2) AS cpu_seconds, \
    round(avg(query_duration_ms), 1) AS mean_ms, sum(read_rows) AS rows_read, sum(written_rows) AS rows_written, \
    substring(replaceRegexpAll(any(query), '\\s+', ' '), 1, 110) AS statement FROM system.query_log \
    WHERE type = 'QueryFinish' GROUP BY normalized_query_hash ORDER BY cpu_seconds DESC LIMIT 25 FORMAT PrettyCompactMonoBlock";
const MERGES: &str = "SELECT event_type, table, count() AS times, round(sum(ProfileEvents['OSCPUVirtualTimeMicroseconds']) / 1e6, 2) \
    AS cpu_seconds, sum(rows) AS rows, round(avg(duration_ms), 1) AS mean_ms FROM system.part_log \
    GROUP BY event_type, table ORDER BY cpu_seconds DESC LIMIT 25 FORMAT PrettyCompactMonoBlock";

fn wanted() -> bool {
    std::env::var_os("TOKENTRAIL_BENCH_SPENT").is_some()
}

/// Before a program starts on this folder.
pub fn prepare(data: &Path) {
    if wanted() {
        let dir = data.join("clickhouse/config.d");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("logs.xml"), LOGS).unwrap();
    }
}

/// Before it stops.
pub fn print(queries: &Queries) {
    if !wanted() {
        return;
    }
    std::thread::sleep(FLUSH);
    // A program that did nothing has no logs.
    if queries.number("EXISTS TABLE system.query_log") == 1.0 && queries.number("EXISTS TABLE system.part_log") == 1.0 {
        eprintln!("{}\n{}", queries.text(STATEMENTS), queries.text(MERGES));
    }
}
