//! What `ca_file` names, wherever config has one: CAs that are trusted beside the system's. Not those of `kafka.tls`, which librdkafka
//! reads and trusts instead of the system's.

use crate::config::{Config, KafkaSasl};
use anyhow::Context;
use std::path::{Path, PathBuf};
use trust::Trust;

/// Whom to trust at the server of which `key` is the `ca_file`; relative paths are below `data_dir`.
pub fn at(data_dir: &Path, key: &str, file: Option<&PathBuf>) -> anyhow::Result<Trust> {
    let Some(file) = file else { return Ok(Trust::system()) };
    let path = data_dir.join(file);
    Trust::with_file(&path).with_context(|| format!("{key} {} cannot be used", path.display()))
}

/// Whom to trust at ClickHouse.
pub fn at_store(config: &Config) -> anyhow::Result<Trust> {
    at(&config.data_dir, "store.ca_file", config.store.ca_file.as_ref())
}

/// Every address of a realm's keys with whom to trust there.
pub fn at_keys(config: &Config) -> anyhow::Result<Vec<(String, Trust)>> {
    let jwts = config.sources.iter().filter_map(|(id, source)| Some((id, source.jwt.as_ref()?)));
    jwts.map(|(id, jwt)| {
        let key = format!("sources.{id}.jwt.ca_file");
        Ok((jwt.keys_url(), at(&config.data_dir, &key, jwt.ca_file.as_ref())?))
    })
    .collect()
}

/// Whom to trust where heartbeats of a Backstage go.
pub fn at_heartbeat(config: &Config, id: &str) -> anyhow::Result<Trust> {
    let heartbeat = config.sources.get(id).and_then(|source| source.heartbeat.as_ref());
    at(&config.data_dir, &format!("sources.{id}.heartbeat.ca_file"), heartbeat.and_then(|one| one.ca_file.as_ref()))
}

/// Whom to trust at the token endpoint of `sasl`, which stands in the table `table`.
pub fn at_tokens(config: &Config, table: &str, sasl: Option<&KafkaSasl>) -> anyhow::Result<Trust> {
    at(&config.data_dir, &format!("{table}.sasl.ca_file"), sasl.and_then(|sasl| sasl.ca_file.as_ref()))
}

/// Reads every file once, for `config check`.
pub fn check(config: &Config) -> anyhow::Result<()> {
    at_store(config)?;
    at_keys(config)?;
    config.receivers()?;
    at_tokens(config, "kafka", config.kafka.sasl.as_ref())?;
    for (id, source) in &config.sources {
        at_heartbeat(config, id)?;
        let topics = source.kafka.as_ref().and_then(|topics| topics.sasl.as_ref());
        at_tokens(config, &format!("sources.{id}.kafka"), topics)?;
        let pull = source.pull.as_ref().and_then(|pull| pull.ca_file.as_ref());
        at(&config.data_dir, &format!("sources.{id}.pull.ca_file"), pull)?;
        let snapshot = source.snapshot.as_ref().and_then(|snapshot| snapshot.ca_file.as_ref());
        at(&config.data_dir, &format!("sources.{id}.snapshot.ca_file"), snapshot)?;
    }
    Ok(())
}
