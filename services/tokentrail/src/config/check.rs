//! What the types of the config cannot say: settings that contradict each other or lead nowhere.

use super::{Config, Heartbeat, Kind, SourceConfig};
use anyhow::{Context, bail};
use std::{fmt::Display, path::PathBuf};

/// Most of a size in the config, MiB: a pebibyte.
const MOST_MIB: u64 = 1 << 30;
/// Largest segment of the journal, MiB: it is preallocated.
const MOST_SEGMENT_MIB: u64 = 16 << 10;
/// Least memory of the correlation, MiB: with less it would forget all the time.
const LEAST_MEMORY_MIB: u64 = 16;
/// Most connections at once; a process has fewer file descriptors than that.
const MOST_CONNECTIONS: usize = 1_000_000;
/// A day, a week, a year, in seconds.
pub(super) const DAY: u32 = 86_400;
const WEEK: u32 = 7 * DAY;
pub(super) const YEAR: u32 = 365 * DAY;
/// A year and ten, in hours.
pub(super) const YEAR_HOURS: u64 = 365 * 24;
/// Longest that the log holds bodies, hours: who must be forgotten is forgotten there by then.
pub(super) const LOG_HOURS: u64 = 30 * 24;
/// Most that two clocks may differ and still be compared, milliseconds.
const MOST_SKEW_MS: u32 = 3_600_000;

/// Refuses a number that no installation can mean: zero where nothing would happen or all at once, and what no clock, disk or
/// counter holds. `key` is how the config spells it.
pub(super) fn within<T: PartialOrd + Display>(key: &str, value: T, (least, most): (T, T)) -> anyhow::Result<()> {
    if value < least || value > most {
        bail!("{key} must be {least} to {most}, not {value}");
    }
    Ok(())
}

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
        self.check_numbers()?;
        address("store", self.store.url.as_deref(), self.store.ca_file.as_ref())?;
        self.kafka.check().context("kafka")?;
        self.alerts.check()?;
        for (id, source) in &self.sources {
            self.check_source(id, source)?;
        }
        super::topic::check_apart(&self.sources, &self.kafka)
    }

    /// Bounds of sizes, times and counts.
    fn check_numbers(&self) -> anyhow::Result<()> {
        let (listen, journal, correlation, alerts) = (&self.listen, &self.journal, &self.correlation, &self.alerts);
        within("lateness_seconds", self.lateness_seconds, (1, WEEK))?;
        within("listen.connections", listen.connections, (1, MOST_CONNECTIONS))?;
        within("listen.connections_per_address", listen.connections_per_address, (1, MOST_CONNECTIONS))?;
        within("journal.segment_mib", journal.segment_mib, (1, MOST_SEGMENT_MIB))?;
        within("journal.max_mib", journal.max_mib, (1, MOST_MIB))?;
        if journal.max_mib < 4 * journal.segment_mib {
            bail!("journal.max_mib must be at least four segments of journal.segment_mib");
        }
        within("journal.keep_hours", journal.keep_hours, (0, LOG_HOURS))?;
        within("journal.quarantine_mib", journal.quarantine_mib, (0, MOST_MIB))?;
        within("journal.scrub_hours", journal.scrub_hours, (0, YEAR_HOURS))?;
        within("correlation.memory_mib", correlation.memory_mib, (LEAST_MEMORY_MIB, MOST_MIB))?;
        within("correlation.skew_ms", correlation.skew_ms, (0, MOST_SKEW_MS))?;
        within("correlation.checkpoint_seconds", correlation.checkpoint_seconds, (0, WEEK))?;
        within("alerts.group_seconds", alerts.group_seconds, (0, u64::from(DAY)))?;
        within("alerts.repeat_seconds", alerts.repeat_seconds, (1, u64::from(YEAR)))
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
            within(&format!("sources.{id}.pull.interval_seconds"), pull.interval_seconds, (1, u64::from(DAY)))?;
            if pull.realms.is_empty() {
                bail!("sources.{id}.pull.realms names no realm: nothing would be read");
            }
            address(&format!("sources.{id}.pull"), Some(&pull.url), pull.ca_file.as_ref())?;
        }
        if let Some(topics) = &source.kafka {
            topics.check((id, source), &self.kafka).with_context(|| format!("sources.{id}.kafka"))?;
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
pub(super) fn address(key: &str, url: Option<&str>, ca_file: Option<&PathBuf>) -> anyhow::Result<()> {
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
