//! A real Alertmanager: Debian's package, unpacked into the cache without root, started on a free port, always stopped.
//!
//! Which version is fetched is Debian's to say: apt checks the package against the signed index of the machine's own package sources,
//! so there is no hash here. One on the PATH is taken as it is.

use crate::{cache, port, process};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// The package, and the program in it.
const PACKAGE: &str = "prometheus-alertmanager";

/// Patience with a start, while other builds and servers use the machine.
const START: Duration = Duration::from_secs(60);

/// Starts tried when somebody else took the port in between.
const PORT_TRIES: u32 = 3;

/// Time for one request.
const REQUEST: Duration = Duration::from_secs(30);

/// What it is told.
#[derive(Clone, Debug)]
pub struct AlertmanagerOptions {
    /// Where its notifications go: one message for what comes together.
    pub webhook: String,
    /// An alert that is not told again resolves after this time.
    pub resolve_timeout: Duration,
}

/// A running Alertmanager. Ends when dropped, and when this process ends in whatever way.
#[derive(Debug)]
pub struct Alertmanager {
    // Declared before the folder: the server ends before its files go.
    group: process::Group,
    home: TempDir,
    program: PathBuf,
    port: u16,
    http: reqwest::Client,
}

impl Alertmanager {
    /// Starts one and waits until it is ready.
    pub async fn start(options: &AlertmanagerOptions) -> Result<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().timeout(REQUEST).build()?;
        let program = tokio::task::spawn_blocking(program).await??;
        let home = tempfile::Builder::new().prefix("tokentrail-alertmanager.").tempdir()?;
        fs::write(home.path().join("config.yml"), config(options))?;
        let port = port::free_port()?;
        let group = spawn(&program, home.path(), port)?;
        let mut alertmanager = Self { group, home, program, port, http };
        alertmanager.ready().await?;
        Ok(alertmanager)
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The alerts that it holds as firing, as its API v2 shows them.
    pub async fn active(&self) -> Result<Vec<Value>> {
        let url = format!("{}/api/v2/alerts?active=true&silenced=false&inhibited=false", self.url());
        let answer = self.http.get(url).send().await?.error_for_status()?;
        match answer.json().await? {
            Value::Array(alerts) => Ok(alerts),
            _ => bail!("the answer is no list"),
        }
    }

    async fn ready(&mut self) -> Result<()> {
        let end = Instant::now() + START;
        let mut tries = 1;
        loop {
            let answer = self.http.get(format!("{}/-/ready", self.url())).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            let log = || fs::read_to_string(self.home.path().join("log")).unwrap_or_default();
            if let Some(status) = self.group.ended()? {
                ensure!(tries < PORT_TRIES, "Alertmanager ended while starting, {status}: {}", log());
                tries += 1;
                self.port = port::free_port()?;
                self.group = spawn(&self.program, self.home.path(), self.port)?;
            }
            ensure!(Instant::now() < end, "Alertmanager was not ready in {START:?}: {}", log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn spawn(program: &Path, home: &Path, port: u16) -> Result<process::Group> {
    let mut command = Command::new(program);
    command.arg(format!("--config.file={}", home.join("config.yml").display()));
    command.arg(format!("--storage.path={}", home.join("data").display()));
    command.arg(format!("--web.listen-address=127.0.0.1:{port}")).arg("--cluster.listen-address=");
    process::Group::spawn(&command, &home.join("log"))
}

fn config(options: &AlertmanagerOptions) -> String {
    format!(
        "global: {{resolve_timeout: {}s}}\nroute: {{receiver: hook, group_by: [tenant], group_wait: 1s, group_interval: 1s, repeat_interval: 1h}}\n\
         receivers: [{{name: hook, webhook_configs: [{{url: \"{}\", send_resolved: true}}]}}]\n",
        options.resolve_timeout.as_secs(),
        options.webhook
    )
}

/// The program: on the PATH, in the cache, or put there.
fn program() -> Result<PathBuf> {
    let paths = env::var_os("PATH").unwrap_or_default();
    let mut installed = env::split_paths(&paths).map(|dir| dir.join(PACKAGE));
    if let Some(program) = installed.find(|path| path.is_file()) {
        return Ok(program);
    }
    let root = cache::cache_dir().join("alertmanager");
    let program = root.join("debian/usr/bin").join(PACKAGE);
    if !program.is_file() {
        let _lock = cache::lock(&root.join("lock"))?;
        if !program.is_file() {
            eprintln!("fetching Alertmanager (11 MB, once) ...");
            let work = tempfile::Builder::new().prefix("work.").tempdir_in(&root)?;
            unpack(work.path()).context(
                "a real Alertmanager is needed: on Debian or Ubuntu it is fetched by apt-get without root; elsewhere put \
                 prometheus-alertmanager on the PATH",
            )?;
            // Whoever sees the folder sees all of it.
            fs::rename(work.path().join("debian"), root.join("debian"))
                .context("cannot move Alertmanager into place")?;
        }
    }
    Ok(program)
}

/// Has apt fetch and check the package with an index of its own, as the machine's may be empty or old, and unpacks it.
fn unpack(work: &Path) -> Result<()> {
    for folder in ["lists/partial", "cache/archives/partial", "debian"] {
        fs::create_dir_all(work.join(folder))?;
    }
    apt(work, &["update"])?;
    apt(work, &["download", PACKAGE])?;
    let mut files = fs::read_dir(work)?.filter_map(|entry| Some(entry.ok()?.path()));
    let package = files.find(|path| path.extension().is_some_and(|kind| kind == "deb"));
    let package = package.context("apt-get brought no package")?;
    process::run(Command::new("dpkg-deb").arg("-x").arg(package).arg(work.join("debian"))).map(drop)
}

fn apt(work: &Path, order: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.arg("--quiet=2").args(["-o", "Acquire::Retries=3", "-o", "APT::Sandbox::User="]);
    command.arg("-o").arg(format!("Dir::State::Lists={}", work.join("lists").display()));
    command.arg("-o").arg(format!("Dir::Cache={}", work.join("cache").display()));
    process::run(command.args(order).current_dir(work)).map(drop)
}
