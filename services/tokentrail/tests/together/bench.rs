//! A real Keycloak, a real Backstage that signs in through it, and the real program behind both: webhook, pull, lines, snapshots.

use crate::support::{LOOK, Program, command};
use serde_json::Value;
use std::{
    path::PathBuf,
    process::Output,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use testbed::{
    Keycloak, KeycloakOptions, Webhook,
    backstage::{self, Backstage, BackstageOptions, Shipper},
};

/// The realm, and the source that it is of.
pub const REALM: &str = "testbed";
/// How long a removal may stay without effect: less than the catalog takes, so that some of what it lets in is exposure, and the
/// rest is a violation.
pub const BUDGET: Duration = Duration::from_secs(2);
/// How long a token of Backstage lives: the least that it allows.
pub const TOKEN_LIFE: Duration = Duration::from_secs(600);
/// Longest wait for anything on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// The program. Declared so that it ends first, then the servers, then the files.
pub struct Bench {
    pub program: Program,
    pub backstage: Backstage,
    config: PathBuf,
    _dir: TempDir,
}

/// Starts all three, and has everything read once.
pub async fn start() -> (Bench, Keycloak) {
    let dir = tempfile::tempdir().unwrap();
    let (data, config) = (dir.path().join("data"), dir.path().join("tokentrail.toml"));
    std::fs::create_dir_all(data.join("secrets")).unwrap();
    let keycloak = Keycloak::start(KeycloakOptions { realms: vec![backstage::realm()], ..KeycloakOptions::default() });
    let keycloak = keycloak.await.unwrap();
    let intake = format!("127.0.0.1:{}", testbed::free_port().unwrap());
    let mut options = BackstageOptions::with_keycloak(&keycloak.url());
    let send = format!("exec '{}' send --source backstage --instance b1 -", env!("CARGO_BIN_EXE_tokentrail"));
    options.shipper = Some(Shipper {
        command: vec!["sh".into(), "-c".into(), send.into()],
        env: vec![
            ("TOKENTRAIL__DATA_DIR".into(), data.clone().into()),
            ("TOKENTRAIL__LISTEN__INTAKE".into(), intake.clone().into()),
        ],
    });
    let secrets = [
        ("backstage.token", "backstage-token-of-this-test"),
        ("keycloak.client", "tokentrail-secret"),
        ("portal.reader", &options.secrets.reader),
    ];
    for (name, secret) in secrets {
        std::fs::write(data.join("secrets").join(name), secret).unwrap();
    }
    let backstage = Backstage::start(options).await.unwrap();
    let text = format!(
        "lateness_seconds = 3\n[alerts.rules]\nleaver_grace_seconds = 1\n\
         [sources.keycloak]\nkind = \"keycloak\"\nwebhook_secret_files = [\"secrets/keycloak.webhook\"]\n\
         [sources.keycloak.pull]\nurl = \"{}\"\nrealms = [\"{REALM}\"]\nclient_id = \"tokentrail\"\n\
         client_secret_file = \"secrets/keycloak.client\"\ninterval_seconds = 1\n\
         [sources.keycloak.snapshot]\ninterval_hours = 0\n\
         [sources.backstage]\nkind = \"backstage\"\ntoken_files = [\"secrets/backstage.token\"]\n\
         [sources.backstage.snapshot]\nurl = \"{}\"\ntoken_file = \"secrets/portal.reader\"\ninterval_hours = 0\n\
         [sources.backstage.sign_in]\nkeycloak = \"keycloak\"\nclients = [\"backstage\"]\ntoken_life_seconds = {}\n\
         [sources.backstage.sign_in.budgets]\ncatalog_seconds = {}\n",
        keycloak.url(),
        backstage.url(),
        TOKEN_LIFE.as_secs(),
        BUDGET.as_secs()
    );
    std::fs::write(&config, text).unwrap();
    let settings = [("TOKENTRAIL_CONFIG", config.to_str().unwrap()), ("TOKENTRAIL__LISTEN__INTAKE", &intake)];
    let program = Program::start(&data, &settings);
    let webhook = Webhook {
        url: format!("{}/v1/keycloak/keycloak", program.intake()),
        secret: program.secret("keycloak.webhook"),
    };
    keycloak.admin().add_webhook(REALM, &webhook).await.unwrap();
    let bench = Bench { program, backstage, config, _dir: dir };
    bench.snapshot("keycloak");
    bench.snapshot("backstage");
    (bench, keycloak)
}

impl Bench {
    pub fn run(&self, args: &[&str]) -> Output {
        command(&self.program.data).env("TOKENTRAIL_CONFIG", &self.config).args(args).output().unwrap()
    }

    /// Answer of a command, as JSON.
    pub fn json(&self, args: &[&str]) -> Value {
        let output = self.run(&[args, &["--format", "json"]].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{args:?}: {said}"))
    }

    /// Answer of a command for people.
    pub fn text(&self, args: &[&str]) -> String {
        String::from_utf8(self.run(args).stdout).unwrap()
    }

    /// Looks until something is there.
    pub fn until<T>(&self, what: &str, look: impl Fn() -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            if let Some(found) = look() {
                return found;
            }
            let log = self.program.log();
            assert!(started.elapsed() < PATIENCE, "{what}; shipper: {}; log: {log}", self.backstage.shipper_log());
            std::thread::sleep(LOOK);
        }
    }

    /// A whole snapshot, stored and answered. A page that is slow makes one that is not whole.
    pub fn snapshot(&self, source: &str) {
        self.until("no whole snapshot", || {
            let taken = self.json(&["snapshot", "take", "--source", source]);
            (taken[0]["complete"] == true).then_some(())
        });
        self.answered();
    }

    /// Waits until all that the journal holds now is stored and correlated. Pull goes on, so it never stands still.
    pub fn answered(&self) {
        let end = self.program.status()["journal"]["end"].as_u64().unwrap();
        self.until("not correlated", || {
            let status = self.program.status();
            let (journal, correlation) = (&status["journal"], &status["correlation"]);
            let stored = journal["end"].as_u64()? - journal["lag"].as_u64()?;
            (stored >= end && correlation["phase"] == "following" && correlation["lag"] == 0).then_some(())
        });
    }
}
