//! Starts the real program on a temporary folder and speaks to it as its users do: HTTP, SQL, command line.
#![allow(dead_code, clippy::unwrap_used)] // each test binary uses its own part; a test may panic

#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "kafka")]
pub mod load;
#[cfg(feature = "kafka")]
pub mod topic;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Longest wait for a start; a loaded machine and a recovering engine are slow.
const READY: Duration = Duration::from_secs(180);
/// Nobody listens there: a program that is to do without ClickHouse.
pub const NO_CLICKHOUSE: &str = "http://127.0.0.1:9";
/// For a program whose ClickHouse is of no use, so that its start is not waited for.
pub const ALONE: (&str, &str) = ("TOKENTRAIL_TEST_ALONE", "1");
/// Between two looks at a condition.
pub const LOOK: Duration = Duration::from_millis(25);

pub struct Program {
    pub child: Child,
    pub data: PathBuf,
    pub run: Value,
}

/// The program's command on a data folder, listening on free ports.
pub fn command(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tokentrail"));
    command
        .env("TOKENTRAIL__DATA_DIR", data)
        .env("TOKENTRAIL__LISTEN__INTAKE", "127.0.0.1:0")
        .env("TOKENTRAIL__LISTEN__ADMIN", "127.0.0.1:0")
        .env(
            "TOKENTRAIL_ENGINE",
            testbed::engine().expect("the ClickHouse engine is fetched by services/store/engine/fetch.sh"),
        )
        .stdin(Stdio::null());
    command
}

impl Program {
    /// Starts it and waits until it is ready; `settings` are further environment variables.
    pub fn start(data: &Path, settings: &[(&str, &str)]) -> Self {
        let mut command = command(data);
        command.envs(settings.iter().copied()).arg("up").stdout(Stdio::null());
        Self::ready(command, data)
    }

    /// Runs a command that becomes the program and waits until it is ready, and ClickHouse has answered it if it stores.
    pub fn ready(mut command: Command, data: &Path) -> Self {
        let is_alone = |(key, value): (&OsStr, Option<&OsStr>)| {
            key == ALONE.0 || value.is_some_and(|value| value == NO_CLICKHOUSE)
        };
        let alone = command.get_envs().any(is_alone);
        let _ = std::fs::remove_file(data.join("run.json"));
        std::fs::create_dir_all(data).unwrap();
        let log = std::fs::File::options().create(true).append(true).open(data.join("log.ndjson")).unwrap();
        let child = command.stderr(log).spawn().unwrap();
        let mut program = Self { child, data: data.to_owned(), run: Value::Null };
        let started = Instant::now();
        while started.elapsed() < READY {
            if let Some(status) = program.child.try_wait().unwrap() {
                panic!("the program ended at its start with {status}; log: {}", program.log());
            }
            if let Ok(text) = std::fs::read(data.join("run.json"))
                && !text.is_empty()
            {
                program.run = serde_json::from_slice(&text).unwrap();
                let waits = program.run["stores"] == true && program.run["store_url"].is_null() && !alone;
                if !waits && program.get_admin("/readyz").is_some() {
                    return program;
                }
            }
            std::thread::sleep(LOOK);
        }
        panic!("the program is not ready after {READY:?}; log: {}", program.log());
    }

    /// The last of its log.
    pub fn log(&self) -> String {
        let text = std::fs::read_to_string(self.data.join("log.ndjson")).unwrap_or_default();
        text.lines().rev().take(20).collect::<Vec<_>>().join("\n")
    }

    pub fn intake(&self) -> String {
        format!("http://{}", self.run["intake"].as_str().unwrap())
    }

    pub fn secret(&self, name: &str) -> String {
        std::fs::read_to_string(self.data.join("secrets").join(name)).unwrap().trim().to_owned()
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and its exit code.
    pub fn terminate(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }

    /// Body of a GET on the admin listener, if it answers 2xx.
    pub fn get_admin(&self, path: &str) -> Option<String> {
        self.ask_admin(path).filter(|(status, _)| (200..300).contains(status)).map(|(_, body)| body)
    }

    /// Status and body of a GET on the admin listener, if it answers.
    pub fn ask_admin(&self, path: &str) -> Option<(u16, String)> {
        let url = format!("http://{}{path}", self.run["admin"].as_str()?);
        block_on(async move {
            let answer = client().get(url).send().await.ok()?;
            Some((answer.status().as_u16(), answer.text().await.ok()?))
        })
    }

    /// The status, as soon as it can be told: a program is ready before ClickHouse has answered it.
    pub fn status(&self) -> Value {
        let started = Instant::now();
        loop {
            if let Some(status) = self.get_admin("/v1/status") {
                return serde_json::from_str(&status).unwrap();
            }
            assert!(started.elapsed() < READY, "no status after {READY:?}; log: {}", self.log());
            std::thread::sleep(LOOK);
        }
    }

    /// The run file with the address of ClickHouse: it is told once that has answered.
    pub fn store(&self) -> Value {
        let started = Instant::now();
        loop {
            let text = std::fs::read(self.data.join("run.json")).unwrap_or_default();
            if let Ok(run @ Value::Object(_)) = serde_json::from_slice(&text)
                && run["store_url"].is_string()
            {
                return run;
            }
            assert!(started.elapsed() < READY, "ClickHouse has not answered after {READY:?}; log: {}", self.log());
            std::thread::sleep(LOOK);
        }
    }

    /// Rows of a query, one JSON value each.
    pub fn sql(&self, query: &str) -> Vec<Value> {
        ask(&self.store(), query)
    }

    /// Waits until nothing is pending, and returns the status then.
    pub fn drained(&self) -> Value {
        let started = Instant::now();
        loop {
            let status = self.status();
            let pending: u64 =
                status["inputs"].as_array().unwrap().iter().map(|i| i["pending"].as_u64().unwrap()).sum();
            if pending == 0 && status["journal"]["lag"].as_u64() == Some(0) {
                return status;
            }
            assert!(started.elapsed() < READY, "still pending after {READY:?}: {status}");
            std::thread::sleep(LOOK);
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    // ClickHouse closes a connection that was idle for 30 s: one kept longer breaks under the next question.
    let idle = Duration::from_secs(5);
    let client = reqwest::Client::builder().no_proxy().pool_idle_timeout(idle);
    client.timeout(Duration::from_secs(120)).build().unwrap()
}

/// Rows of a query to the ClickHouse that a run file names, one JSON value each.
pub fn ask(run: &Value, query: &str) -> Vec<Value> {
    let url = run["store_url"].as_str().unwrap().to_owned();
    let (user, password) = (run["store_user"].as_str().unwrap(), run["store_password"].as_str().unwrap());
    let request = client()
        .post(url)
        .query(&[
            ("database", "tokentrail"),
            ("default_format", "JSONEachRow"),
            ("output_format_json_quote_64bit_integers", "0"),
        ])
        .header("x-clickhouse-user", user)
        .header("x-clickhouse-key", password)
        .body(query.to_owned());
    block_on(async move {
        // An engine that was killed by a test takes its time to listen again.
        let began = Instant::now();
        let answer = loop {
            match request.try_clone().unwrap().send().await {
                Ok(answer) => break answer,
                Err(error) if error.is_connect() && began.elapsed() < READY => tokio::time::sleep(LOOK).await,
                Err(error) => panic!("ClickHouse does not answer: {error}"),
            }
        };
        let good = answer.status().is_success();
        let text = answer.text().await.unwrap();
        assert!(good, "{text}");
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    })
}

pub fn block_on<F: Future<Output = T> + Send, T: Send>(future: F) -> T {
    std::thread::scope(|scope| {
        scope
            .spawn(|| tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future))
            .join()
            .unwrap()
    })
}

pub fn sign(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

/// A keycloak-events delivery as the plugin writes it, with the given native id.
pub fn login(id: &str, time: i64) -> String {
    format!(
        r#"{{"id":"{id}","time":{time},"realmId":"bd2a3817-883e-4be5-be28-2514d131622e","realmName":"pair","uid":"u-{id}","authDetails":{{"realmId":"pair","clientId":"backstage","userId":"1bc6ec44-547f-4b49-83b0-3ea39f26a233","ipAddress":"127.0.0.1","username":"ann","sessionId":"cx-5n1IvfJg3rx8ScohigMeF"}},"details":{{"auth_method":"openid-connect","auth_type":"code","redirect_uri":"http://127.0.0.1:7707/api/auth/oidc/handler/frame","code_id":"cx-5n1IvfJg3rx8ScohigMeF","username":"ann"}},"type":"access.LOGIN"}}"#
    )
}
