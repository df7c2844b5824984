//! Migrations: the numbered files of `schemas/clickhouse`, forward only, each applied once under a lock.
//!
//! An empty database is spared the views that a later file replaces (needed.rs); it ends the same.
//! Every applied file is recorded with its SHA-256. A database that holds a file this program does not know, or another
//! text under a known number, is refused: this program would misread it. Statements are idempotent, so a crash between
//! a statement and its record only repeats it.

mod needed;

use crate::{Store, StoreError, error::within, lock::Lock, lock::now_ms, settings, settings::MIGRATION_WAIT};
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// One numbered file.
struct Migration {
    version: u32,
    name: &'static str,
    sql: &'static str,
}

macro_rules! migrations {
    ($($version:literal $name:literal),+ $(,)?) => {
        &[$(Migration {
            version: $version,
            name: $name,
            sql: include_str!(concat!("../../../schemas/clickhouse/", $name, ".sql")),
        }),+]
    };
}

const MIGRATIONS: &[Migration] = migrations![
    1 "0001_receipts",
    2 "0002_events",
    3 "0003_coverage",
    4 "0004_event_views",
    5 "0005_receipt_views",
    6 "0006_line_counts",
    7 "0007_rollups",
    8 "0008_coverage_views",
    10 "0010_claims",
    12 "0012_snapshots",
    13 "0013_correlation",
    14 "0014_findings",
    16 "0016_panels",
    17 "0017_gap_holders",
    18 "0018_decisions_by_time",
    19 "0019_topic_input",
    20 "0020_unreadable_records",
    21 "0021_findings_panels",
    22 "0022_decision_hours",
    23 "0023_correlation_owner",
    24 "0024_checkpoints",
    26 "0026_world",
    27 "0027_event_hours",
    28 "0028_right_names",
    30 "0030_privileged",
    32 "0032_unannounced",
    33 "0033_persons",
    35 "0035_role_lives",
    36 "0036_names",
    37 "0037_session_expiry",
    38 "0038_towards_rights",
    42 "0042_suppressions",
    43 "0043_flat_panels",
    44 "0044_history",
    46 "0046_body_source",
    47 "0047_set_aside",
    50 "0050_kept_panels",
    51 "0051_continuity_hours",
    52 "0052_person_events",
    55 "0055_copies",
    56 "0056_session_acts",
    57 "0057_persons_in_order",
    58 "0058_revived_findings",
    59 "0059_correlated_beyond",
    60 "0060_states_of_their_snapshot",
];

const DATABASE: &str = "CREATE DATABASE IF NOT EXISTS {database} {on_cluster}";

const RECORDS: &str = "CREATE TABLE IF NOT EXISTS {database}.schema_migrations {on_cluster}
(version UInt32, name String, checksum String, applied_at DateTime64(3, 'UTC'))
ENGINE = {replicated}ReplacingMergeTree ORDER BY (version, checksum)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1";

/// A migration as the database records it.
#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct AppliedMigration {
    /// Number of the file.
    pub version: u32,
    /// Name of the file.
    pub name: String,
    /// SHA-256 of its text, hex.
    pub checksum: String,
    /// When it was applied, UTC milliseconds.
    pub applied_at: i64,
}

/// The newest schema that this program knows.
pub fn latest_version() -> u32 {
    MIGRATIONS.last().map_or(0, |migration| migration.version)
}

impl Store {
    /// Brings the database to this program's schema. Safe to call from several programs at once.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        self.migrate_with(String::new()).await
    }

    /// The same on every server of a ClickHouse cluster, with replicated tables.
    pub async fn migrate_on_cluster(&self, cluster: &str) -> Result<(), StoreError> {
        self.migrate_with(on_cluster(cluster)?).await
    }

    /// Every kind of statement that [`Store::migrate_on_cluster`] sends, for who wants to read them before or run them by hand:
    /// database, records, all files, and the lock around them.
    pub fn statements_on_cluster(&self, cluster: &str) -> Result<Vec<String>, StoreError> {
        let cluster = on_cluster(cluster)?;
        let files = MIGRATIONS.iter().flat_map(|migration| statements(migration.sql));
        let all = [DATABASE, RECORDS].into_iter().chain(files).map(|sql| self.rendered(sql, &cluster));
        Ok(all.chain(Lock::statements(self, &cluster)).collect())
    }

    /// What was applied, in order.
    pub async fn applied_migrations(&self) -> Result<Vec<AppliedMigration>, StoreError> {
        let sql = "SELECT ?fields FROM schema_migrations FINAL ORDER BY version, checksum";
        within(settings::QUERY_WAIT, self.ask(sql).fetch_all()).await
    }

    async fn migrate_with(&self, cluster: String) -> Result<(), StoreError> {
        self.check_version().await?;
        self.statement(DATABASE, &cluster).await?;
        self.statement(RECORDS, &cluster).await?;
        if pending(&self.applied_migrations().await?)?.is_empty() {
            return Ok(());
        }
        let mut lock = Lock::take(self, &cluster).await?;
        let done = self.apply(&mut lock, &cluster).await;
        let released = lock.release().await;
        done.and(released)
    }

    async fn apply(&self, lock: &mut Lock, cluster: &str) -> Result<(), StoreError> {
        // Read again: whoever held the lock before may have done it.
        let pending = pending(&self.applied_migrations().await?)?;
        // Of a cluster another server may hold what this one does not.
        if cluster.is_empty() && self.is_empty().await? {
            let all: Vec<&str> = pending.iter().flat_map(|migration| statements(migration.sql)).collect();
            for sql in needed::on_an_empty_database(&all) {
                lock.renew().await?;
                self.statement(sql, cluster).await?;
            }
            self.record(&pending).await?;
            tracing::info!(version = latest_version(), "The schema is made.");
            return Ok(());
        }
        for migration in pending {
            for sql in statements(migration.sql) {
                lock.renew().await?;
                self.statement(sql, cluster).await?;
            }
            self.record(&[migration]).await?;
            tracing::info!(version = migration.version, name = migration.name, "The schema moved forward.");
        }
        Ok(())
    }

    /// Whether nothing is there but what every migration begins with. What died on its way is not empty, and goes file by file.
    async fn is_empty(&self) -> Result<bool, StoreError> {
        let sql =
            "SELECT count() FROM system.tables WHERE database = currentDatabase() AND NOT startsWith(name, 'schema_')";
        Ok(within(settings::QUERY_WAIT, self.ask(sql).fetch_one::<u64>()).await? == 0)
    }

    async fn record(&self, migrations: &[&Migration]) -> Result<(), StoreError> {
        let client = settings::pin(self.on_database(), settings::INSERT);
        let work = async {
            let mut insert = client.insert::<AppliedMigration>("schema_migrations").await?;
            for migration in migrations {
                insert
                    .write(&AppliedMigration {
                        version: migration.version,
                        name: migration.name.into(),
                        checksum: checksum(migration.sql),
                        applied_at: now_ms(),
                    })
                    .await?;
            }
            insert.end().await
        };
        within(MIGRATION_WAIT, work).await
    }

    fn rendered(&self, sql: &str, cluster: &str) -> String {
        let replicated = if cluster.is_empty() { "" } else { "Replicated" };
        sql.replace("{database}", &self.database).replace("{on_cluster}", cluster).replace("{replicated}", replicated)
    }

    async fn statement(&self, sql: &str, cluster: &str) -> Result<(), StoreError> {
        let sql = self.rendered(sql, cluster);
        let statement = if code(&sql).starts_with("INSERT") {
            let pinned = [settings::INSERT, settings::READ, settings::LONG];
            pinned.into_iter().fold(self.client.clone(), settings::pin).query_raw(&sql)
        } else {
            self.define(&sql)
        };
        within(MIGRATION_WAIT, statement.execute()).await
    }
}

fn on_cluster(name: &str) -> Result<String, StoreError> {
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
        return Err(StoreError::incompatible("a cluster name is made of letters, digits, - and _"));
    }
    Ok(format!("ON CLUSTER '{name}'"))
}

fn checksum(sql: &str) -> String {
    hex::encode(Sha256::digest(sql.as_bytes()))
}

/// What is left to do, if what was done is ours.
fn pending(applied: &[AppliedMigration]) -> Result<Vec<&'static Migration>, StoreError> {
    for record in applied {
        let Some(known) = MIGRATIONS.iter().find(|known| known.version == record.version) else {
            return Err(StoreError::incompatible(format!(
                "the database has schema {}, this program knows up to {}: run a newer program",
                record.version,
                latest_version()
            )));
        };
        if checksum(known.sql) != record.checksum {
            return Err(StoreError::incompatible(format!(
                "migration {} was applied with another text than this program's",
                known.name
            )));
        }
    }
    let done = |migration: &&Migration| applied.iter().any(|record| record.version == migration.version);
    Ok(MIGRATIONS.iter().filter(|migration| !done(migration)).collect())
}

/// A statement without empty lines and the comments on lines of their own.
fn code(sql: &str) -> String {
    let lines = sql.lines().filter(|line| !line.trim_start().starts_with("--") && !line.trim().is_empty());
    lines.collect::<Vec<_>>().join("\n")
}

/// A file's statements: each ends with a semicolon at the end of a line.
fn statements(sql: &str) -> impl Iterator<Item = &str> {
    sql.split(";\n").map(str::trim).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(version: u32, sql: &str) -> AppliedMigration {
        AppliedMigration { version, name: String::new(), checksum: checksum(sql), applied_at: 0 }
    }

    #[test]
    fn a_changed_or_newer_schema_is_refused() {
        assert_eq!(pending(&[]).unwrap().len(), MIGRATIONS.len());
        assert_eq!(pending(&[record(1, MIGRATIONS[0].sql)]).unwrap().len(), MIGRATIONS.len() - 1);
        let changed = pending(&[record(1, "SELECT 1")]).err().unwrap().to_string();
        assert!(changed.contains("another text"), "{changed}");
        let newer = pending(&[record(latest_version() + 1, "")]).err().unwrap().to_string();
        assert!(newer.contains("newer program"), "{newer}");
    }

    #[test]
    fn files_are_numbered_upwards_and_split_into_whole_statements() {
        assert!(MIGRATIONS.windows(2).all(|pair| pair[0].version < pair[1].version));
        for migration in MIGRATIONS {
            assert!(migration.name.starts_with(&format!("{:04}_", migration.version)));
            for sql in statements(migration.sql) {
                let code = code(sql);
                // Marks too many do no harm, and a hint that is written again is the same: a crash may repeat them.
                let repeatable = [
                    "CREATE ",
                    "ALTER TABLE ",
                    "INSERT INTO {database}.mark_rows",
                    "INSERT INTO {database}.person_event_rows",
                ];
                assert!(repeatable.iter().any(|start| code.starts_with(start)), "{}: {sql}", migration.name);
            }
        }
    }
}
