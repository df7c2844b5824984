//! One migrator at a time, on any ClickHouse without Keeper.
//!
//! ClickHouse has no compare-and-set, but `CREATE TABLE` without `IF NOT EXISTS` succeeds for exactly one of several.
//! Lock number n is the table `schema_lock_n`; whoever creates the next number holds the lock. The table's comment holds
//! the owner and the end of the lease. A number is used once, so a lease that ran out is taken over by creating the next
//! number, and the old owner sees at its next renewal that it is no longer the last.
//!
//! Limits: leases are compared with the clocks of the machines that migrate (they may differ by less than the lease); on
//! several replicas behind one address the address must lead to one of them while migrating, or the database be
//! `Replicated`. Every statement of a migration is idempotent, so even two migrators at once leave a right schema.

use crate::{
    Store, StoreError,
    error::{code, within},
    settings::{self, MIGRATION_WAIT},
};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

/// How long an owner that no longer renews keeps the others out. Longer than one statement may take, and `RENEWED`.
const LEASE: Duration = Duration::from_secs(360);
/// How long a renewal is good: most statements take milliseconds, and so does a renewal.
const RENEWED: Duration = Duration::from_secs(30);
/// How long to wait for the lock.
const LOCK_WAIT: Duration = Duration::from_secs(420);
const POLL: Duration = Duration::from_millis(100);
const PREFIX: &str = "schema_lock_";
const FREE: &str = "free";
const TABLE_ALREADY_EXISTS: u32 = 57;
const UNKNOWN_TABLE: u32 = 60;

/// The held lock. [`Lock::release`] gives it back; a holder that dies keeps it until its lease ends.
pub(crate) struct Lock {
    store: Store,
    cluster: String,
    number: u64,
    owner: Uuid,
    /// When the lease began, UTC milliseconds.
    since: i64,
}

/// UTC milliseconds.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Lock {
    /// Waits for the lock and takes it. `cluster` is the `ON CLUSTER` clause or empty.
    pub(crate) async fn take(store: &Store, cluster: &str) -> Result<Self, StoreError> {
        let owner = Uuid::new_v4();
        let deadline = Instant::now() + LOCK_WAIT;
        loop {
            let last = last(store).await?;
            let number = match &last {
                Some((number, comment)) if is_free(comment) => number + 1,
                Some(_) if Instant::now() < deadline => {
                    sleep(POLL).await;
                    continue;
                }
                Some(_) => {
                    return Err(StoreError::Unavailable("another program is migrating".into()));
                }
                None => 1,
            };
            let lock = Self { store: store.clone(), cluster: cluster.into(), number, owner, since: now_ms() };
            if lock.create().await? {
                lock.drop_older().await?;
                return Ok(lock);
            }
        }
    }

    /// The statements of a lock, with the words of one that is free.
    pub(crate) fn statements(store: &Store, cluster: &str) -> [String; 3] {
        let table = table(store, 1, cluster);
        [create(&table, FREE), comment(&table, FREE), drop(&table)]
    }

    /// Extends the lease unless it is young; fails if somebody else took over.
    pub(crate) async fn renew(&mut self) -> Result<(), StoreError> {
        if (0..millis(RENEWED)).contains(&(now_ms() - self.since)) {
            return Ok(());
        }
        match last(&self.store).await? {
            Some((number, comment)) if number == self.number && comment.starts_with(&self.owner.to_string()) => {
                self.since = now_ms();
                self.comment(&self.lease()).await
            }
            _ => Err(StoreError::Unavailable("another program took over the migration".into())),
        }
    }

    pub(crate) async fn release(self) -> Result<(), StoreError> {
        self.comment(FREE).await
    }

    fn lease(&self) -> String {
        format!("{} {}", self.owner, self.since.saturating_add(millis(LEASE)))
    }

    fn table(&self, number: u64) -> String {
        table(&self.store, number, &self.cluster)
    }

    /// True if this owner made the table. An answer that was lost is settled by reading the comment.
    async fn create(&self) -> Result<bool, StoreError> {
        let sql = create(&self.table(self.number), &self.lease());
        let error = match within_raw(&self.store, &sql).await? {
            Ok(()) => return Ok(true),
            Err(error) => error,
        };
        let taken =
            matches!(&error, clickhouse::error::Error::BadResponse(text) if code(text) == Some(TABLE_ALREADY_EXISTS));
        let error = StoreError::from(error);
        if !taken && !error.is_unavailable() {
            return Err(error);
        }
        Ok(matches!(last(&self.store).await?, Some((number, comment))
            if number == self.number && comment.starts_with(&self.owner.to_string())))
    }

    async fn comment(&self, text: &str) -> Result<(), StoreError> {
        let sql = comment(&self.table(self.number), text);
        within_raw(&self.store, &sql).await??;
        Ok(())
    }

    /// Older numbers are of no use to anybody.
    async fn drop_older(&self) -> Result<(), StoreError> {
        for (number, _) in all(&self.store).await? {
            if number >= self.number {
                continue;
            }
            let sql = drop(&self.table(number));
            within_raw(&self.store, &sql).await??;
        }
        Ok(())
    }
}

fn table(store: &Store, number: u64, cluster: &str) -> String {
    format!("{}.{PREFIX}{number} {cluster}", store.database)
}

fn create(table: &str, text: &str) -> String {
    format!("CREATE TABLE {table} (unused UInt8) ENGINE = Null COMMENT '{text}'")
}

fn comment(table: &str, text: &str) -> String {
    format!("ALTER TABLE {table} MODIFY COMMENT '{text}'")
}

fn drop(table: &str) -> String {
    format!("DROP TABLE IF EXISTS {table} SYNC")
}

async fn within_raw(store: &Store, sql: &str) -> Result<Result<(), clickhouse::error::Error>, StoreError> {
    match within(MIGRATION_WAIT, async { Ok(store.define(sql).execute().await) }).await? {
        Err(clickhouse::error::Error::BadResponse(text)) if code(&text) == Some(UNKNOWN_TABLE) => {
            Err(StoreError::Unavailable("the migration lock changed hands".into()))
        }
        other => Ok(other),
    }
}

fn is_free(comment: &str) -> bool {
    if comment == FREE {
        return true;
    }
    let until = comment.split_once(' ').and_then(|(_, until)| until.parse::<i64>().ok());
    until.is_some_and(|until| until < now_ms())
}

async fn all(store: &Store) -> Result<Vec<(u64, String)>, StoreError> {
    let rows = settings::pin(store.client.clone(), settings::READ)
        .query("SELECT name, comment FROM system.tables WHERE database = {database:String} AND startsWith(name, {prefix:String})")
        .param("database", &store.database)
        .param("prefix", PREFIX)
        .fetch_all::<(String, String)>();
    let rows = within(MIGRATION_WAIT, rows).await?;
    let numbered = |(name, comment): (String, String)| {
        let number = name.strip_prefix(PREFIX)?.parse().ok()?;
        Some((number, comment))
    };
    Ok(rows.into_iter().filter_map(numbered).collect())
}

async fn last(store: &Store) -> Result<Option<(u64, String)>, StoreError> {
    Ok(all(store).await?.into_iter().max_by_key(|(number, _)| *number))
}
