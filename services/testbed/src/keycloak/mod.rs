//! A real Keycloak 26.7.4 with keycloak-events 0.59: started with realms of the test's choice, always stopped.
//!
//! [`Keycloak`] is the server, [`Admin`] its Admin REST API, [`Browser`] a person at a login page, and
//! [`story::play`] a short working day that says afterwards which events it must have caused.

mod admin;
mod browser;
mod database;
mod distribution;
pub mod story;

pub use admin::Admin;
pub use browser::{Browser, Login, OidcClient, Tokens, client_credentials};
pub use database::Database;

use crate::{port, process};
use anyhow::{Context, Result, bail, ensure};
use distribution::Distribution;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Username and password of the temporary administrator of the master realm.
pub(crate) const ADMIN: (&str, &str) = ("admin", "admin");

/// The project's own realm: see [`realm`].
const REALM: &str = include_str!("../../keycloak/realm.json");

/// Patience with a start, while other builds and servers use the machine.
const START: Duration = Duration::from_secs(180);

/// Starts tried when somebody else took the port in between.
const PORT_TRIES: u32 = 3;

/// Patience with a graceful stop.
const STOP: Duration = Duration::from_secs(20);

/// Time for one request to the server; its first answers compile templates.
const REQUEST: Duration = Duration::from_secs(60);

/// Which event store the server is built with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EventStore {
    /// `--spi-events-store--provider=jpa`, as it must be.
    #[default]
    Jpa,
    /// Not said: with keycloak-events there are two providers, Keycloak takes none (KC-SERVICES0082) and the Admin API
    /// answers 500 for events.
    Ambiguous,
}

impl EventStore {
    fn name(self) -> &'static str {
        match self {
            Self::Jpa => "jpa",
            Self::Ambiguous => "ambiguous",
        }
    }
}

/// Where keycloak-events delivers to.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// URL of the receiver.
    pub url: String,
    /// Secret of the signature.
    pub secret: String,
}

/// What to start.
#[derive(Clone, Debug)]
pub struct KeycloakOptions {
    /// Realms to import.
    pub realms: Vec<Value>,
    /// Registered in each of these realms, if given.
    pub webhook: Option<Webhook>,
    /// Event store.
    pub event_store: EventStore,
}

impl Default for KeycloakOptions {
    fn default() -> Self {
        Self { realms: vec![realm("acme")], webhook: None, event_store: EventStore::Jpa }
    }
}

/// The project's own realm under a name of the test's choice: groups, roles, people with password `<name>-pw`, clients
/// `portal` and `deploys` (code flow), `ci-bot` and `tokentrail` (service accounts) with secret `<client>-secret`.
pub fn realm(name: &str) -> Value {
    let mut realm: Value = serde_json::from_str(REALM).unwrap_or_default();
    realm["realm"] = json!(name);
    realm
}

/// A running server. Ends when dropped, and when this process ends in whatever way.
#[derive(Debug)]
pub struct Keycloak {
    // Declared before the folder: the server ends before its files go.
    group: process::Group,
    home: TempDir,
    distribution: Distribution,
    port: u16,
    http: Client,
    realms: Vec<String>,
}

impl Keycloak {
    /// Starts a server on a free port with fresh data, and waits until each realm answers.
    pub async fn start(options: KeycloakOptions) -> Result<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let redirects = reqwest::redirect::Policy::none();
        let http = Client::builder().redirect(redirects).no_proxy().timeout(REQUEST).build()?;
        let store = options.event_store;
        let distribution = tokio::task::spawn_blocking(move || Distribution::get(store)).await??;
        let home = tempfile::Builder::new().prefix("tokentrail-keycloak.").tempdir()?;
        distribution.lay_out(home.path())?;
        let mut realms = Vec::new();
        for realm in &options.realms {
            let name = realm["realm"].as_str().context("a realm has a name")?;
            fs::write(home.path().join(format!("data/import/{name}-realm.json")), serde_json::to_vec(realm)?)?;
            realms.push(name.to_owned());
        }
        let port = port::free_port()?;
        let group = process::Group::spawn(&distribution.command(home.path(), port), &log_path(home.path()))?;
        let mut keycloak = Self { group, home, distribution, port, http, realms };
        keycloak.ready().await?;
        if let Some(webhook) = &options.webhook {
            let admin = keycloak.admin();
            for realm in &keycloak.realms {
                admin.add_webhook(realm, webhook).await?;
            }
        }
        Ok(keycloak)
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The Admin REST API, as the administrator of the master realm.
    pub fn admin(&self) -> Admin {
        Admin::new(self.http.clone(), self.url())
    }

    /// A person with an empty cookie jar at the login page of `client` in `realm`.
    pub fn browser(&self, realm: &str, client: OidcClient) -> Browser {
        Browser::new(self.http.clone(), format!("{}/realms/{realm}", self.url()), client)
    }

    /// Client for requests of the test's own: no redirects, no proxy, a time limit.
    pub fn http(&self) -> &Client {
        &self.http
    }

    /// The server's own log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(log_path(self.home.path())).unwrap_or_default()
    }

    /// Its database, to be changed while it is down.
    pub fn database(&self) -> Result<Database> {
        Database::of(self.home.path(), self.distribution.java_home())
    }

    /// Ends the server and starts it again on the same port with the same data, `while_down` in between.
    pub async fn restart(self, while_down: impl AsyncFnOnce()) -> Result<Self> {
        let Self { group, home, distribution, port, http, realms } = self;
        tokio::task::spawn_blocking(move || group.stop(STOP)).await??;
        while_down().await;
        let group = process::Group::spawn(&distribution.command(home.path(), port), &log_path(home.path()))?;
        let mut keycloak = Self { group, home, distribution, port, http, realms };
        keycloak.ready().await?;
        Ok(keycloak)
    }

    async fn ready(&mut self) -> Result<()> {
        let end = Instant::now() + START;
        let mut tries = 1;
        let mut waiting = self.realms.clone();
        while let Some(realm) = waiting.last() {
            if self.answers(realm).await {
                waiting.pop();
                continue;
            }
            if let Some(status) = self.group.ended()? {
                let log = self.log();
                let taken =
                    log.contains("already in use") || log.contains("already bound") || log.contains("BindException");
                if !taken || tries == PORT_TRIES {
                    bail!("Keycloak ended while starting, {status}: {}", tail(&log));
                }
                tries += 1;
                self.port = port::free_port()?;
                let command = self.distribution.command(self.home.path(), self.port);
                fs::write(log_path(self.home.path()), b"")?;
                self.group = process::Group::spawn(&command, &log_path(self.home.path()))?;
            }
            ensure!(Instant::now() < end, "Keycloak was not ready in {START:?}: {}", tail(&self.log()));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    async fn answers(&self, realm: &str) -> bool {
        let answer = self.http.get(format!("{}/realms/{realm}", self.url())).send().await;
        answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
    }
}

fn log_path(home: &Path) -> PathBuf {
    home.join("keycloak.log")
}

/// The end of a log, where the reason stands.
fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().rev().take(40).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
