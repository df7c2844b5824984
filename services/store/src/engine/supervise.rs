//! Starts the child, waits until it answers, starts it again when it dies, closes it in order.

use super::{
    CHILD_CONFIG, CHILD_LIBRARY, Closed, EXIT_LOCKED, EngineError, EngineOptions, Limits, State,
    config::{Plan, SERVICE_USER},
};
use std::{
    fs::{File, TryLockError},
    net::TcpListener,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
    process::Stdio,
    time::Duration,
};
use tokio::{
    process::{Child, ChildStdin, Command},
    sync::{oneshot, watch},
    time::{Instant, sleep, timeout},
};

/// How long a child may take to close before it is killed.
const CLOSE_WAIT: Duration = Duration::from_secs(10);
/// Pause between two looks at something that is not ready yet.
const POLL: Duration = Duration::from_millis(25);
/// First pause before a dead child is started again; doubles up to `BACKOFF_MAX`.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// A child that ran this long starts the pauses over.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);
/// One question whether the child answers.
const PING_WAIT: Duration = Duration::from_secs(2);

pub(super) struct Supervisor {
    pub(super) options: EngineOptions,
    pub(super) limits: Limits,
    pub(super) plan: Plan,
}

/// A child that has answered. Dropping `_stdin` ends it.
pub(super) struct Serving {
    child: Child,
    stdin: Option<ChildStdin>,
    pid: u32,
    since: Instant,
}

impl Serving {
    pub(super) fn state(&self, restarts: u32) -> State {
        State::Running { pid: self.pid, restarts }
    }

    async fn close(mut self) -> Closed {
        drop(self.stdin.take());
        if timeout(CLOSE_WAIT, self.child.wait()).await.is_ok() {
            return Closed::Clean;
        }
        tracing::warn!("The engine did not close in time and is killed; its next start recovers.");
        if let Err(error) = self.child.kill().await {
            tracing::error!(%error, "The engine cannot be killed.");
        }
        Closed::Killed
    }
}

/// What the supervising task owns.
pub(super) struct Running {
    pub(super) child: Serving,
    pub(super) stopped: oneshot::Receiver<()>,
    pub(super) state: watch::Sender<State>,
    pub(super) lock: File,
}

/// Takes the directory for this process, waiting for another one to leave it.
pub(super) async fn lock_dir(dir: &Path, wait: Duration) -> Result<File, EngineError> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(dir.join("owner.lock"))?;
    let deadline = Instant::now() + wait;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(POLL).await,
            Err(TryLockError::WouldBlock) => return Err(EngineError::Locked(dir.to_owned())),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    }
}

impl Supervisor {
    /// Starts a child and waits until it answers. A directory held by an orphan is waited for.
    pub(super) async fn start(&self) -> Result<Serving, EngineError> {
        let deadline = Instant::now() + self.limits.lock_wait;
        loop {
            match self.start_once().await {
                Err(EngineError::Locked(_)) if Instant::now() < deadline => sleep(POLL * 4).await,
                other => return other,
            }
        }
    }

    async fn start_once(&self) -> Result<Serving, EngineError> {
        let mut serving = self.spawn()?;
        let deadline = Instant::now() + self.limits.start_wait;
        loop {
            if let Some(status) = serving.child.try_wait()? {
                if status.code() == Some(EXIT_LOCKED) {
                    return Err(EngineError::Locked(self.plan.dir.clone()));
                }
                return Err(self.not_started(status.to_string()));
            }
            if self.answers().await {
                return Ok(serving);
            }
            if Instant::now() >= deadline {
                serving.close().await;
                return Err(self.not_started("no answer in time".into()));
            }
            sleep(POLL).await;
        }
    }

    fn not_started(&self, status: String) -> EngineError {
        EngineError::NotStarted { status, output: self.plan.output_file() }
    }

    fn spawn(&self) -> Result<Serving, EngineError> {
        let output =
            File::options().create(true).write(true).truncate(true).mode(0o600).open(self.plan.output_file())?;
        let (program, arguments) =
            self.options.command.split_first().ok_or_else(|| self.not_started("no command".into()))?;
        let mut child = Command::new(program)
            .args(arguments)
            .env(CHILD_LIBRARY, &self.options.library)
            .env(CHILD_CONFIG, self.plan.config_file())
            .current_dir(&self.plan.dir)
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()?;
        let stdin = child.stdin.take();
        let pid = child.id().unwrap_or_default();
        Ok(Serving { child, stdin, pid, since: Instant::now() })
    }

    /// Asks as the service user, so that a stranger on the same port is not taken for the engine.
    async fn answers(&self) -> bool {
        let client = clickhouse::Client::default()
            .with_url(format!("http://127.0.0.1:{}", self.plan.port))
            .with_user(SERVICE_USER)
            .with_password(&self.plan.service_password);
        let question = client.query("SELECT 1").fetch_one::<u8>();
        matches!(timeout(PING_WAIT, question).await, Ok(Ok(1)))
    }

    pub(super) fn port_is_taken(&self) -> bool {
        TcpListener::bind(("127.0.0.1", self.plan.port)).is_err()
    }

    /// Keeps the child alive until told to stop or the [`super::Engine`] is gone.
    pub(super) async fn run(self, running: Running) -> Closed {
        let Running { mut child, mut stopped, state, lock } = running;
        let mut restarts = 0;
        let mut backoff = BACKOFF_MIN;
        let closed = loop {
            let status = tokio::select! {
                _ = &mut stopped => break child.close().await,
                status = child.child.wait() => status,
            };
            let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            tracing::warn!(status, "The engine died and is started again.");
            state.send_replace(State::Restarting { restarts });
            if child.since.elapsed() > HEALTHY_AFTER {
                backoff = BACKOFF_MIN;
            }
            let next = tokio::select! {
                _ = &mut stopped => None,
                next = self.start_again(&mut backoff) => Some(next),
            };
            let Some(next) = next else {
                break Closed::Killed;
            };
            child = next;
            restarts += 1;
            state.send_replace(child.state(restarts));
        };
        // Only now may another process take the directory.
        drop(lock);
        state.send_replace(State::Closed);
        closed
    }

    async fn start_again(&self, backoff: &mut Duration) -> Serving {
        loop {
            sleep(*backoff).await;
            *backoff = (*backoff * 2).min(BACKOFF_MAX);
            match self.start().await {
                Ok(child) => return child,
                Err(error) => {
                    tracing::error!(%error, pause = ?*backoff, "The engine does not start; storing waits.");
                }
            }
        }
    }
}
