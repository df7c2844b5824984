//! Who owns the correlation of a tenant: whoever took it over last.
//!
//! ClickHouse has no compare-and-set. A take-over is a row with the next epoch, read back: whoever finds that it is not alone at its
//! epoch, or that there is a later one, takes a later one again. So no two keep one epoch, and a later row always wins. On several
//! replicas behind one address that holds where the address leads to one of them.

use super::{Ranges, cursor};
use crate::{Store, StoreError, lock::now_ms, query::rows};
use clickhouse::Row;
use events::ids::StreamId;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use uuid::Uuid;

/// Tries until nobody takes over at the same moment.
const TRIES: u32 = 20;

/// The owner of a tenant's correlation.
#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct Ownership {
    /// Tenant.
    pub tenant: String,
    /// Later owners have greater ones.
    pub epoch: u64,
    /// Of this take-over, by chance.
    #[serde(with = "clickhouse::serde::uuid")]
    pub owner: Uuid,
    /// The program's name for people.
    pub name: String,
    /// When it took over by its own clock, UTC milliseconds.
    pub taken_at: i64,
}

impl Store {
    /// Takes the correlation of a tenant over, under a name for people: the epoch of the new owner, above every one before and
    /// nobody else's.
    pub async fn take_over_correlation(&self, tenant: &str, name: &str) -> Result<u64, StoreError> {
        for _ in 0..TRIES {
            let owner = Uuid::new_v4();
            let sql = "SELECT max(epoch) FROM (\
                SELECT epoch FROM correlated_rows WHERE tenant = {tenant:String} UNION ALL \
                SELECT epoch FROM correlation_owner_rows WHERE tenant = {tenant:String})";
            let before = rows::<u64>(self.ask(sql).param("tenant", tenant)).await?.pop().unwrap_or_default();
            let epoch = before + 1;
            let taken =
                Ownership { tenant: tenant.to_owned(), epoch, owner, name: name.to_owned(), taken_at: now_ms() };
            self.write_typed::<Ownership>("correlation_owner_rows", &[taken]).await?;
            let sql = "SELECT count(), toString(any(owner)) FROM correlation_owner_rows FINAL \
                WHERE tenant = {tenant:String} AND epoch >= {epoch:UInt64}";
            let found = self.ask(sql).param("tenant", tenant).param("epoch", epoch);
            if rows::<(u64, String)>(found).await?.pop() == Some((1, owner.to_string())) {
                self.write_typed::<super::CursorRow>(
                    "correlated_rows",
                    &[cursor(tenant, (StreamId([0; 16]), &Ranges::default()), epoch)],
                )
                .await?;
                return Ok(epoch);
            }
            // Two that go on in step would never be alone.
            tokio::time::sleep(Duration::from_millis(u64::from(owner.as_bytes()[0]))).await;
        }
        Err(StoreError::Unavailable("another program takes the correlation over again and again".into()))
    }

    /// Who owns the correlation of a tenant; none if nobody ever did.
    pub async fn correlation_owner(&self, tenant: &str) -> Result<Option<Ownership>, StoreError> {
        let sql = "SELECT ?fields FROM correlation_owner_rows WHERE tenant = {tenant:String} ORDER BY epoch DESC, owner LIMIT 1";
        Ok(rows::<Ownership>(self.ask(sql).param("tenant", tenant)).await?.pop())
    }
}
