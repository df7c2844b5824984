//! A real Backstage backend that signs people in through a running Keycloak: started on a free port, always stopped.
//!
//! [`Backstage`] is the server, [`Session`] a person who signed in with a browser, [`Calls`] what can be asked with a
//! token, and [`backstage_story`] a short working day that says afterwards who was allowed what. The app is in
//! `services/testbed/backstage`; it runs with the overrides that users get, from `docs/sources/backstage`.

mod browser;
mod calls;
mod install;
mod story;

pub use browser::{Refresh, Session, SignIn};
pub use calls::{Answer, Calls, Decision, Permission};
pub use story::{Act, Outcome, backstage_story};

use crate::{port, process};
use anyhow::{Context, Result, bail, ensure};
use reqwest::{Client, StatusCode};
use serde_json::Value;
use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// The realm that the app signs in with: see [`realm`].
const REALM: &str = include_str!("../backstage/keycloak-realm.json");

/// Username of everybody in [`realm`]; the password is `<name>-pw`.
pub const PEOPLE: [&str; 6] = ["nora", "omar", "pia", "quinn", "rosa", "sven"];

/// Patience with a start, and with the first catalog sync, while other builds and servers use the machine.
const START: Duration = Duration::from_secs(300);

/// Starts tried when somebody else took the port in between.
const PORT_TRIES: u32 = 3;

/// Time for one request to the server.
const REQUEST: Duration = Duration::from_secs(120);

/// How often readiness is asked for. Each question leaves a line on standard output.
const POLL: Duration = Duration::from_millis(250);

/// How the line begins that the catalog writes when it has taken in people and groups.
const COMMITTED: &str = "Committed ";

/// Lines of a log that go into an error.
const TAIL_LINES: usize = 40;

/// Runs the server, keeps its standard output, and hands a copy to a program. The two readers ignore SIGTERM: they end
/// when the server has closed its output, so that its last lines are not lost.
const PIPELINE: &str = r#"
trap : TERM
node index.js --config app-config.yaml |
  (trap '' TERM; exec tee -a stdout.log) |
  (trap '' TERM; exec "$@") >>shipper.log 2>&1
"#;

/// The same with nobody else reading.
const ALONE: &str = "exec node index.js --config app-config.yaml >>stdout.log";

/// Which of the overrides in `docs/sources/backstage` are in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overrides {
    /// Both: audit lines have a time and an id, and each permission decision is audited.
    #[default]
    All,
    /// The auditor only.
    Auditor,
    /// None: Backstage as it comes.
    None,
}

impl Overrides {
    fn files(self) -> &'static str {
        match self {
            Self::All => "overrides/auditor.js,overrides/permissions.js",
            Self::Auditor => "overrides/auditor.js",
            Self::None => "",
        }
    }
}

/// Secrets and tokens of the app. The defaults fit [`realm`].
#[derive(Clone, Debug)]
pub struct Secrets {
    /// Of the client `backstage`, for sign-in.
    pub sign_in: String,
    /// Of the client `backstage-catalog`, which reads people and groups.
    pub catalog: String,
    /// Signs Backstage's session cookie.
    pub session: String,
    /// Static token of the service `ci-deployer`.
    pub deployer: String,
    /// Static token of the service `catalog-reader`.
    pub reader: String,
}

impl Default for Secrets {
    fn default() -> Self {
        Self {
            sign_in: "backstage-signin-example".to_owned(),
            catalog: "backstage-catalog-example".to_owned(),
            session: "backstage-session-example".to_owned(),
            deployer: "ci-deployer-example-0123456789".to_owned(),
            reader: "catalog-reader-example-0123456789".to_owned(),
        }
    }
}

/// A program that gets a copy of the server's standard output as its standard input, such as `tokentrail send -`.
#[derive(Clone, Debug)]
pub struct Shipper {
    /// Program and arguments.
    pub command: Vec<OsString>,
    /// Environment to add; the server sees it too.
    pub env: Vec<(OsString, OsString)>,
}

/// What to start.
#[derive(Clone, Debug)]
pub struct BackstageOptions {
    /// URL of a running Keycloak, without a path.
    pub keycloak_url: String,
    /// Name of the realm, which must look like [`realm`].
    pub realm: String,
    /// Secrets that the realm knows, and the app's own.
    pub secrets: Secrets,
    /// Overrides of Backstage's services.
    pub overrides: Overrides,
    /// Who else reads standard output.
    pub shipper: Option<Shipper>,
}

impl BackstageOptions {
    /// The usual start, against the Keycloak at `keycloak_url` with [`realm`] in it.
    pub fn with_keycloak(keycloak_url: &str) -> Self {
        Self {
            keycloak_url: keycloak_url.to_owned(),
            realm: "testbed".to_owned(),
            secrets: Secrets::default(),
            overrides: Overrides::default(),
            shipper: None,
        }
    }
}

/// The realm `testbed`, for Keycloak to import: groups engineering (sre, oncall), billing, release, partners;
/// [`PEOPLE`]; clients `backstage`, `backstage-catalog`, and `tokentrail` (service account that may read events).
/// Any port of 127.0.0.1 may be redirected to: Keycloak ignores the port of loopback addresses (RFC 8252).
pub fn realm() -> Value {
    serde_json::from_str(REALM).unwrap_or_default()
}

/// A running backend. Ends when dropped, and when this process ends in whatever way.
#[derive(Debug)]
pub struct Backstage {
    // Declared before the folder: the server ends before its files go.
    group: process::Group,
    home: TempDir,
    options: BackstageOptions,
    port: u16,
    http: Client,
}

impl Backstage {
    /// Starts the backend on a free port with an empty database, waits until it answers and until it knows everybody
    /// in [`PEOPLE`] (nobody can sign in before). The first start on a machine installs it, which takes minutes.
    pub async fn start(options: BackstageOptions) -> Result<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let redirects = reqwest::redirect::Policy::none();
        let http = Client::builder().redirect(redirects).no_proxy().timeout(REQUEST).build()?;
        let installed = tokio::task::spawn_blocking(install::install).await??;
        let home = tempfile::Builder::new().prefix("tokentrail-backstage.").tempdir()?;
        install::lay_out(&installed, home.path())?;
        let port = port::free_port()?;
        let group = spawn(&options, home.path(), port)?;
        let mut backstage = Self { group, home, options, port, http };
        backstage.ready().await?;
        backstage.wait_for_people(&PEOPLE).await?;
        Ok(backstage)
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Secrets and static tokens in use.
    pub fn secrets(&self) -> &Secrets {
        &self.options.secrets
    }

    /// Calls with a token: of a [`Session`], a static one, or a wrong one.
    pub fn calls(&self, token: &str) -> Calls {
        Calls::new(self.http.clone(), self.url(), token.to_owned())
    }

    /// Signs a person in with a fresh browser, through Keycloak's form.
    pub async fn sign_in(&self, username: &str, password: &str) -> Result<SignIn> {
        browser::sign_in(self.http.clone(), self.url(), (username, password)).await
    }

    /// The file that keeps standard output, all of it, as it was written.
    pub fn stdout(&self) -> PathBuf {
        self.home.path().join("stdout.log")
    }

    /// The JSON lines of standard output so far.
    pub fn lines(&self) -> Result<Vec<Value>> {
        let text = fs::read_to_string(self.stdout()).context("cannot read the captured standard output")?;
        Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    /// What the shipper printed so far.
    pub fn shipper_log(&self) -> String {
        fs::read_to_string(self.home.path().join("shipper.log")).unwrap_or_default()
    }

    /// Waits until the catalog knows these people and the groups that they are members of.
    pub async fn wait_for_people(&self, usernames: &[&str]) -> Result<()> {
        let reader = self.calls(&self.options.secrets.reader);
        let end = Instant::now() + START;
        loop {
            let known = reader.entities("kind=user").await?.body["items"].take();
            let ready = |name: &&str| known.as_array().is_some_and(|all| all.iter().any(|user| is_member(user, name)));
            if usernames.iter().all(ready) {
                return Ok(());
            }
            ensure!(Instant::now() < end, "the catalog did not learn of everybody in {START:?}: {}", self.tail());
            tokio::time::sleep(POLL).await;
        }
    }

    /// How often the catalog has taken in Keycloak's people and groups.
    pub fn syncs(&self) -> Result<usize> {
        let is_commit = |line: &Value| line["message"].as_str().is_some_and(|text| text.starts_with(COMMITTED));
        Ok(self.lines()?.iter().filter(|line| is_commit(line)).count())
    }

    /// Waits until it has done so once more. What Keycloak is told from here on it hears of at the sync after this one, some
    /// seconds on.
    pub async fn synced(&self) -> Result<()> {
        let before = self.syncs()?;
        let end = Instant::now() + START;
        while self.syncs()? == before {
            ensure!(Instant::now() < end, "the catalog did not sync in {START:?}: {}", self.tail());
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Asks the server to end, waits until the last lines are written, and returns all JSON lines.
    pub async fn stop(self) -> Result<Vec<Value>> {
        let Self { group, home, .. } = self;
        let stopped = tokio::task::spawn_blocking(move || group.stop(REQUEST)).await??;
        ensure!(stopped == process::Ending::Graceful, "Backstage had to be killed");
        let text = fs::read_to_string(home.path().join("stdout.log"))?;
        Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    async fn ready(&mut self) -> Result<()> {
        let end = Instant::now() + START;
        let mut tries = 1;
        while !self.answers().await {
            if let Some(status) = self.group.ended()? {
                if tries == PORT_TRIES || !self.tail().contains("EADDRINUSE") {
                    bail!("Backstage ended while starting, {status}: {}", self.tail());
                }
                tries += 1;
                self.port = port::free_port()?;
                fs::write(self.stdout(), b"")?;
                self.group = spawn(&self.options, self.home.path(), self.port)?;
            }
            ensure!(Instant::now() < end, "Backstage was not ready in {START:?}: {}", self.tail());
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    async fn answers(&self) -> bool {
        let answer = self.http.get(format!("{}/.backstage/health/v1/readiness", self.url())).send().await;
        answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
    }

    /// The ends of both streams, where the reason stands.
    fn tail(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.home.path().join(name)).unwrap_or_default();
        format!("{}\n{}", tail(&read("stdout.log")), tail(&read("stderr.log")))
    }
}

fn is_member(user: &Value, name: &str) -> bool {
    let relations = user["relations"].as_array();
    user["metadata"]["name"] == name && relations.is_some_and(|all| all.iter().any(|one| one["type"] == "memberOf"))
}

fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().rev().take(TAIL_LINES).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

fn spawn(options: &BackstageOptions, home: &Path, port: u16) -> Result<process::Group> {
    let mut command = Command::new("sh");
    command.arg("-c");
    match &options.shipper {
        Some(shipper) => {
            command.arg(PIPELINE).arg("backstage").args(&shipper.command);
            command.envs(shipper.env.iter().map(|(name, value)| (name, value)));
        }
        None => {
            command.arg(ALONE);
        }
    }
    let secrets = &options.secrets;
    command.current_dir(home).env_remove("LOG_LEVEL").envs([
        ("NODE_ENV", "production"),
        ("BACKSTAGE_OVERRIDES", options.overrides.files()),
        ("BACKSTAGE_LISTEN", &format!("127.0.0.1:{port}")),
        ("BACKSTAGE_URL", &format!("http://127.0.0.1:{port}")),
        ("BACKSTAGE_STATIC_TOKEN", &secrets.deployer),
        ("BACKSTAGE_READER_TOKEN", &secrets.reader),
        ("BACKSTAGE_SESSION_SECRET", &secrets.session),
        ("KEYCLOAK_URL", &options.keycloak_url),
        ("KEYCLOAK_REALM", &options.realm),
        ("KEYCLOAK_SIGNIN_SECRET", &secrets.sign_in),
        ("KEYCLOAK_CATALOG_SECRET", &secrets.catalog),
    ]);
    process::Group::spawn(&command, &home.join("stderr.log"))
}
