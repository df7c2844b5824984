//! What the types of the config cannot say: settings that contradict each other or lead nowhere.

use super::{Config, Heartbeat, Kind, SourceConfig};
use anyhow::{Context, bail};
use std::path::PathBuf;

/// Most of a size in the config, MiB: a pebibyte.
const MOST_MIB: u64 = 1 << 30;
/// Least memory of the correlation, MiB: with less it would forget all the time.
const LEAST_MEMORY_MIB: u64 = 16;

impl Config {
    /// Refuses settings that fit no program.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if self.tenant.is_empty() || self.tenant.len() > 64 {
            bail!("tenant must have 1 to 64 characters");
        }
        if self.listen.tls_certificate.is_some() != self.listen.tls_key.is_some() {
            bail!("listen.tls_certificate and listen.tls_key belong together: set both or none");
        }
        if self.listen.tls_client_ca.is_some() && self.listen.tls_key.is_none() {
            bail!("listen.tls_client_ca needs TLS: set listen.tls_certificate and listen.tls_key");
        }
        if self.listen.tls_client_crl.is_some() && self.listen.tls_client_ca.is_none() {
            bail!("listen.tls_client_crl says what the CAs of listen.tls_client_ca took back: set that too");
        }
        if self.listen.connections == 0 || self.listen.connections_per_address == 0 {
            bail!("listen.connections and listen.connections_per_address are at least 1");
        }
        address("store", self.store.url.as_deref(), self.store.ca_file.as_ref())?;
        if self.journal.max_mib > MOST_MIB || self.journal.segment_mib > MOST_MIB {
            bail!("journal.max_mib and journal.segment_mib are at most {MOST_MIB}");
        }
        if self.journal.segment_mib == 0 || self.journal.max_mib < 4 * self.journal.segment_mib {
            bail!("journal.max_mib must be at least four segments of journal.segment_mib");
        }
        if !(LEAST_MEMORY_MIB..=MOST_MIB).contains(&self.correlation.memory_mib) {
            bail!("correlation.memory_mib must be {LEAST_MEMORY_MIB} to {MOST_MIB}");
        }
        self.kafka.check().context("kafka")?;
        self.alerts.check()?;
        for (id, source) in &self.sources {
            self.check_source(id, source)?;
        }
        Ok(())
    }

    fn check_source(&self, id: &str, source: &SourceConfig) -> anyhow::Result<()> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
        if id.is_empty() || id.len() > 64 || !id.bytes().all(plain) {
            bail!(
                "sources.{id}: a source id has 1 to 64 of a-z, 0-9, '-', '_' and '.'; it is a part of the webhook's address"
            );
        }
        if jiff::tz::TimeZone::get(&source.zone).is_err() {
            bail!("sources.{id}.zone: {} is no IANA time zone, such as Europe/Berlin", source.zone);
        }
        if source.webhook_secret_files.len() > 2 {
            bail!("sources.{id}.webhook_secret_files: at most two secrets at once (the old and the new one)");
        }
        let silent = source.webhook_secret_files.is_empty()
            && source.token_files.is_empty()
            && source.basic.is_none()
            && source.client_certificates.is_empty();
        if silent
            && source.jwt.is_none()
            && source.pull.is_none()
            && source.snapshot.is_none()
            && source.kafka.is_none()
        {
            bail!(
                "sources.{id}: nothing can reach it: give webhook_secret_files, token_files, basic, client_certificates, jwt, pull, kafka or snapshot"
            );
        }
        if !source.client_certificates.is_empty() && self.listen.tls_client_ca.is_none() {
            bail!("sources.{id}.client_certificates: set listen.tls_client_ca to the CAs that sign them");
        }
        if let Some(pull) = &source.pull {
            address(&format!("sources.{id}.pull"), Some(&pull.url), pull.ca_file.as_ref())?;
        }
        if let Some(topics) = &source.kafka {
            topics.check(source, &self.kafka).with_context(|| format!("sources.{id}.kafka"))?;
        }
        if let Some(jwt) = &source.jwt {
            address(&format!("sources.{id}.jwt"), Some(&jwt.keys_url()), jwt.ca_file.as_ref())?;
        }
        for (_, url) in source.heartbeat.iter().flat_map(Heartbeat::addresses) {
            let ca = source.heartbeat.as_ref().and_then(|heartbeat| heartbeat.ca_file.as_ref());
            address(&format!("sources.{id}.heartbeat"), Some(url), ca)?;
        }
        if let Some(heartbeat) = &source.heartbeat {
            heartbeat.check(source).with_context(|| format!("sources.{id}.heartbeat"))?;
        }
        if let Some(sign_in) = &source.sign_in {
            sign_in.check(self, source).with_context(|| format!("sources.{id}.sign_in"))?;
        }
        if let Some(snapshot) = &source.snapshot {
            address(&format!("sources.{id}.snapshot"), snapshot.url.as_deref(), snapshot.ca_file.as_ref())?;
            snapshot.check(source).with_context(|| format!("sources.{id}.snapshot"))?;
        }
        if source.kind == Kind::Backstage && source.pull.is_some() {
            bail!("sources.{id}.pull: only a Keycloak can be pulled");
        }
        Ok(())
    }
}

/// Refuses what is no address, and a CA that nobody would ask for. `key` is the table that holds both.
fn address(key: &str, url: Option<&str>, ca_file: Option<&PathBuf>) -> anyhow::Result<()> {
    let url = match url.map(reqwest::Url::parse) {
        None if ca_file.is_some() => bail!("{key}.ca_file belongs to an https:// address: set {key}.url"),
        None => return Ok(()),
        Some(url) => url.with_context(|| format!("{key}: its address is no url"))?,
    };
    match url.scheme() {
        "https" => Ok(()),
        "http" if ca_file.is_none() => Ok(()),
        "http" => bail!("{key}.ca_file belongs to an https:// address, and its address is http://"),
        _ => bail!("{key}: its address must begin with http:// or https://"),
    }
}
