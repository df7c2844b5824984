//! Questions to the ClickHouse under test.

use serde_json::Value;
use std::time::Duration;

/// All receipts that ClickHouse holds; from the parts' metadata, so that asking costs next to nothing.
pub const STORED: &str = "SELECT count() FROM receipt_rows";
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(180);

/// A keep-alive connection to ClickHouse.
pub struct Queries {
    runtime: tokio::runtime::Runtime,
    http: reqwest::Client,
    run: Value,
}

impl Queries {
    /// To the one that a running program names.
    pub fn new(run: &Value, http: reqwest::Client) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { runtime, http, run: run.clone() }
    }

    pub fn text(&self, sql: &str) -> String {
        let field = |name: &str| self.run[name].as_str().unwrap();
        let request = self.http.post(field("store_url")).query(&[("database", "tokentrail")]);
        let request = request
            .header("x-clickhouse-user", field("store_user"))
            .header("x-clickhouse-key", field("store_password"));
        let request = request.timeout(PATIENCE).body(sql.to_owned());
        self.runtime.block_on(async move {
            let answer = request.send().await.expect("ClickHouse answers");
            let good = answer.status().is_success();
            let text = answer.text().await.unwrap();
            assert!(good, "{text}");
            text.trim().to_owned()
        })
    }

    pub fn number(&self, sql: &str) -> f64 {
        self.text(sql).parse().unwrap()
    }
}
