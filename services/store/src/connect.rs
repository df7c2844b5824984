//! How to reach a ClickHouse: address, account, and whom to trust when it speaks TLS.

use crate::StoreError;
use clickhouse::{Client, Compression};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{
    client::legacy::{Client as Http, connect::HttpConnector},
    rt::TokioExecutor,
};
use std::{fmt, time::Duration};
use trust::Trust;

/// Keeps long statements alive through what forgets silent connections.
const TCP_KEEPALIVE: Duration = Duration::from_secs(60);
/// ClickHouse closes an idle connection after 3 s by default; we do before it.
const POOL_IDLE: Duration = Duration::from_secs(2);

/// How to reach a ClickHouse.
#[derive(Clone)]
pub struct ConnectOptions {
    /// `http://` or `https://` and `host:port`.
    pub url: String,
    /// Lowercase letters, digits and underscores; made by [`crate::Store::migrate`] if missing.
    pub database: String,
    /// User.
    pub user: String,
    /// Password.
    pub password: String,
    /// Whom to trust, with `https://`.
    pub trust: Trust,
}

impl fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("url", &self.url)
            .field("database", &self.database)
            .field("user", &self.user)
            .field("trust", &self.trust)
            .finish_non_exhaustive()
    }
}

/// A client; nothing is sent yet.
pub(crate) fn client(options: &ConnectOptions) -> Result<Client, StoreError> {
    let tls = options.trust.client_config().map_err(|error| StoreError::incompatible(error.to_string()))?;
    let mut connector = HttpConnector::new();
    connector.set_keepalive(Some(TCP_KEEPALIVE));
    connector.enforce_http(false);
    let connector =
        HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(connector);
    let http = Http::builder(TokioExecutor::new()).pool_idle_timeout(POOL_IDLE).build(connector);
    // Within one machine, compressing costs more than copying.
    let compression = if is_loopback(&options.url) { Compression::None } else { Compression::Lz4 };
    let client = Client::with_http_client(http).with_url(&options.url).with_compression(compression);
    Ok(client.with_user(&options.user).with_password(&options.password))
}

/// Whether the server is on this machine.
fn is_loopback(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    ["127.0.0.1", "[::1]", "localhost"]
        .iter()
        .any(|loopback| host.strip_prefix(loopback).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/'])))
}

/// An address as messages tell it: scheme, host and port. What else stands in it may be a secret.
pub(crate) fn shown(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_told_without_what_may_be_secret() {
        for (url, told) in [
            ("http://ch:8123", "http://ch:8123"),
            ("https://u:pass@ch.example:8443/?password=x", "https://ch.example:8443"),
            ("https://[::1]:8443/path", "https://[::1]:8443"),
        ] {
            assert_eq!(shown(url), told);
        }
    }
}
