//! Which deployment key a database was written with: with another one every person would get a second person key, and no mark
//! would be found again. Never sees the key, only a value that tells it from others.

use crate::{Store, StoreError, query};

impl Store {
    /// True if the key with this check value is the one of this database. The first to ask of an empty one says which.
    pub async fn fits_key(&self, check_value: &str) -> Result<bool, StoreError> {
        if let Some(known) = self.known_key().await? {
            return Ok(known == check_value);
        }
        let sql = "INSERT INTO deployment_key_rows SELECT {check:String}, now64(6, 'UTC')";
        query::done(self.run(sql).param("check", check_value)).await?;
        // Two that ask at once write a row each; from here on both read the same one first.
        Ok(self.known_key().await?.is_some_and(|known| known == check_value))
    }

    async fn known_key(&self) -> Result<Option<String>, StoreError> {
        let sql = "SELECT check_value FROM deployment_key_rows ORDER BY recorded_at, check_value LIMIT 1";
        Ok(query::rows::<String>(self.ask(sql)).await?.pop())
    }
}
