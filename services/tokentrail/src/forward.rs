//! `tokentrail forward --from SEQ`: has the running collector send again what a broker lost.

use crate::{config::Config, running::RunFile};
use anyhow::{Context, bail};

/// Asks the collector that runs on this config's data folder; returns its answer.
pub async fn again(config: &Config, (stream, from): (Option<&str>, u64)) -> anyhow::Result<String> {
    let run = RunFile::read(config)?;
    let http = trust::Trust::system().http(|builder| builder.no_proxy().timeout(std::time::Duration::from_secs(10)))?;
    let mut query = vec![("from", from.to_string())];
    query.extend(stream.map(|stream| ("stream", stream.to_owned())));
    let asked = run.order(&http, "/v1/forward").query(&query).send().await;
    let answer = asked.context("the running program does not answer")?;
    let status = answer.status();
    let text = answer.text().await.unwrap_or_default();
    if status == reqwest::StatusCode::NOT_FOUND && text.is_empty() {
        bail!("the program that runs here forwards nothing to Kafka");
    }
    if !status.is_success() {
        bail!("{}", text.trim());
    }
    Ok(text)
}
