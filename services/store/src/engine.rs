//! The embedded ClickHouse: a supervised child process (this program, run again) that speaks ClickHouse's own HTTP on
//! loopback. Everything above it sees a URL, a user and a password, as with any other server.
//!
//! The parent holds the write end of the child's standard input. Closing it, or dying in any way, ends the child, so no
//! engine outlives its owner. The child has its own process group: Ctrl-C reaches the parent alone, which closes in order.
//!
//! Whoever starts an engine must be able to be the child: `command` runs this same program so that it calls
//! [`run_if_asked`] (a hidden subcommand, or the first line of `main`). Test binaries hold a test that calls it and pass
//! [`test_command`]: see `services/store/tests/support/mod.rs`.

mod child;
mod config;
mod supervise;

pub use child::{ChildError, EXIT_FAILED, EXIT_LOCKED, run_child};

use crate::ConnectOptions;
use config::{Plan, READER_USER, SERVICE_USER, random_password};
use std::{ffi::OsString, fmt, net::TcpListener, path::PathBuf, time::Duration};
use supervise::Supervisor;
use tokio::{sync::oneshot, sync::watch, task::JoinHandle};
use trust::Trust;

const CHILD_LIBRARY: &str = "TOKENTRAIL_ENGINE_CHILD_LIBRARY";
const CHILD_CONFIG: &str = "TOKENTRAIL_ENGINE_CHILD_CONFIG";
/// How often a start tries another port when the chosen one was taken in between.
const PORT_TRIES: u32 = 3;

/// What an engine needs.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Path of libchdb.so.
    pub library: PathBuf,
    /// Directory of this engine alone: data, logs, generated configuration. Made if missing.
    pub dir: PathBuf,
    /// Program and arguments that end in [`run_if_asked`].
    pub command: Vec<OsString>,
}

/// Bounds of an engine.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long to wait for another engine on the same directory (an orphan that is still closing).
    pub lock_wait: Duration,
    /// How long a child may take until it answers.
    pub start_wait: Duration,
    /// Ceiling of the engine's memory.
    pub memory_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { lock_wait: Duration::from_secs(20), start_wait: Duration::from_secs(60), memory_bytes: 2 << 30 }
    }
}

/// Why an engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The library is not there.
    #[error("no engine library at {} (services/store/engine/fetch.sh fetches it and prints its path)", .0.display())]
    NoLibrary(PathBuf),
    /// Another engine, or a process that supervises one, holds the directory.
    #[error("another engine holds {}", .0.display())]
    Locked(PathBuf),
    /// The child ended or did not answer in time; its output file says why.
    #[error("the engine did not start ({status}), see {}", .output.display())]
    NotStarted {
        /// How it ended.
        status: String,
        /// The child's output.
        output: PathBuf,
    },
    /// A file or process operation failed.
    #[error("the engine's directory or process cannot be used")]
    Io(#[from] std::io::Error),
}

/// What the supervisor knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The child answers.
    Running {
        /// Process id.
        pid: u32,
        /// How often it was started again.
        restarts: u32,
    },
    /// The child died and is being started again.
    Restarting {
        /// How often it was started again before.
        restarts: u32,
    },
    /// Closed for good.
    Closed,
}

/// How an engine closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// By itself, all written.
    Clean,
    /// It had to be killed; the next start recovers as after a crash.
    Killed,
}

/// A running engine. Dropping it closes it too, without waiting.
pub struct Engine {
    /// Where it listens, `http://127.0.0.1:port`.
    pub url: String,
    /// The user of this program.
    pub user: String,
    /// That user's password, random for each start.
    pub password: String,
    /// Password of the dashboards' user.
    reader_password: String,
    state: watch::Receiver<State>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Closed>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("url", &self.url).field("state", &*self.state.borrow()).finish_non_exhaustive()
    }
}

impl Engine {
    /// Starts an engine with the default limits and waits until it answers.
    pub async fn start(options: EngineOptions) -> Result<Self, EngineError> {
        Self::start_within(options, Limits::default()).await
    }

    /// Starts an engine and waits until it answers.
    pub async fn start_within(options: EngineOptions, limits: Limits) -> Result<Self, EngineError> {
        if !options.library.is_file() {
            return Err(EngineError::NoLibrary(options.library));
        }
        let dir = std::path::absolute(&options.dir)?;
        let lock = supervise::lock_dir(&dir, limits.lock_wait).await?;
        let mut tries = 0;
        loop {
            tries += 1;
            let plan = Plan {
                dir: dir.clone(),
                port: free_port()?,
                service_password: random_password(),
                reader_password: random_password(),
                memory_bytes: limits.memory_bytes,
            };
            plan.write()?;
            let (url, password, reader_password) = (
                format!("http://127.0.0.1:{}", plan.port),
                plan.service_password.clone(),
                plan.reader_password.clone(),
            );
            let supervisor = Supervisor { options: options.clone(), limits, plan };
            let child = match supervisor.start().await {
                Ok(child) => child,
                Err(EngineError::NotStarted { .. }) if tries < PORT_TRIES && supervisor.port_is_taken() => {
                    continue;
                }
                Err(error) => return Err(error),
            };
            let (stop, stopped) = oneshot::channel();
            let (sender, state) = watch::channel(child.state(0));
            let task = tokio::spawn(supervisor.run(supervise::Running { child, stopped, state: sender, lock }));
            return Ok(Self { url, user: SERVICE_USER.into(), password, reader_password, state, stop, task });
        }
    }

    /// How this program connects.
    pub fn connect_options(&self, database: &str) -> ConnectOptions {
        ConnectOptions {
            url: self.url.clone(),
            database: database.into(),
            user: self.user.clone(),
            password: self.password.clone(),
            trust: Trust::system(),
        }
    }

    /// How dashboards connect: views of the default database only, no writing.
    pub fn reader_options(&self) -> ConnectOptions {
        ConnectOptions {
            url: self.url.clone(),
            database: crate::DEFAULT_DATABASE.into(),
            user: READER_USER.into(),
            password: self.reader_password.clone(),
            trust: Trust::system(),
        }
    }

    /// What the supervisor knows now, and every change of it.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Closes the engine; kills it if it takes longer than ten seconds.
    pub async fn close(self) -> Closed {
        let Self { stop, task, .. } = self;
        drop(stop);
        task.await.unwrap_or(Closed::Killed)
    }
}

/// Asks the system for a port that is free now.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Serves as the engine's child and exits, if this process was started for that; returns otherwise.
pub fn run_if_asked() {
    let (Some(library), Some(config)) = (std::env::var_os(CHILD_LIBRARY), std::env::var_os(CHILD_CONFIG)) else {
        return;
    };
    let code = match run_child(library.as_ref(), config.as_ref()) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error}");
            error.exit_code()
        }
    };
    std::process::exit(code)
}

/// The command of a test binary whose test `name` (as `cargo test` prints it) calls [`run_if_asked`].
pub fn test_command(name: &str) -> std::io::Result<Vec<OsString>> {
    let mut command = vec![std::env::current_exe()?.into_os_string()];
    command.extend([name, "--exact", "--nocapture", "--test-threads=1"].map(OsString::from));
    Ok(command)
}
