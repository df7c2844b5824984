//! From the journal to ClickHouse for as long as the program runs: starts the engine (or connects), migrates, runs the
//! pipeline. Tries again for as long as it takes: intake does not depend on it.

use crate::{config::Config, gauges::Counts, running::RunFile, secrets, status::Observer, trusting};
use anyhow::Context;
use durable_log::Journal;
use events::normalise::Context as NormaliseContext;
use pipeline::{coverage::Keeper, flow::Flow, metrics::Metrics, rollup::Roller};
use prometheus::Registry;
use std::{ffi::OsString, net::SocketAddr, path::PathBuf, time::Duration};
use store::{
    ConnectOptions, Store,
    engine::{Engine, EngineOptions},
};
use tokio::sync::watch;

/// First and longest wait between two tries.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// What the way to ClickHouse needs.
pub struct Storage {
    /// Config.
    pub config: Config,
    /// Log in.
    pub journal: Journal,
    /// For normalising.
    pub context: NormaliseContext,
    /// Counters.
    pub metrics: Metrics,
    /// Where further counters go.
    pub registry: Registry,
    /// Intake and admin, for the run file.
    pub addresses: (SocketAddr, SocketAddr),
    /// What the last scrub of the journal found.
    pub scrubbed: super::scrub::Last,
    /// State of snapshots by source.
    pub snapshots: watch::Receiver<crate::snapshotting::States>,
    /// Told once ClickHouse is ready to be asked.
    pub found: watch::Sender<Option<Observer>>,
}

impl Storage {
    /// Runs until `stop` turns true.
    pub async fn run(self, stop: watch::Receiver<bool>) -> anyhow::Result<()> {
        let Some((engine, options)) = until_stopped(&stop, || self.reach()).await else { return Ok(()) };
        let alone = engine.is_some();
        let outcome = self.store_all((options, alone), stop).await;
        if let Some(engine) = engine {
            let closed = engine.close().await;
            tracing::debug!(?closed, "The engine is closed.");
        }
        outcome
    }

    /// `alone`: the engine was started here, so nobody else writes to it.
    async fn store_all(
        self,
        (options, alone): (ConnectOptions, bool),
        stop: watch::Receiver<bool>,
    ) -> anyhow::Result<()> {
        let store = Store::connect(options.clone())?;
        let prepare = || async {
            store.migrate().await?;
            if alone {
                store.close_marks_of_the_dead().await?;
            }
            Ok(())
        };
        if until_stopped(&stop, prepare).await.is_none() {
            return Ok(());
        }
        let run = RunFile {
            pid: std::process::id(),
            intake: self.addresses.0,
            admin: self.addresses.1,
            store_url: options.url,
            store_user: options.user,
            store_password: options.password,
        };
        run.write(&self.config)?;
        let observer = Observer {
            tenant: self.config.tenant.clone(),
            journal: self.journal.clone(),
            store: store.clone(),
            lateness_ms: i64::from(self.config.lateness_seconds) * 1000,
            metrics: self.metrics.clone(),
            scrubbed: self.scrubbed.clone(),
            snapshots: self.snapshots.clone(),
        };
        let counting = tokio::spawn(Counts::new(&self.registry)?.run(observer.clone()));
        self.found.send_replace(Some(observer));
        let lateness = i64::from(self.config.lateness_seconds) * 1000;
        let expected = crate::beating::expected(&self.config);
        let place = (store.clone(), self.config.tenant.clone());
        let keeper = Keeper::new(place, lateness, expected, (crate::app::now_ms, &self.registry))?;
        let keeping = tokio::spawn(keeper.run(stop.clone()));
        let rolling = tokio::spawn(Roller { store: store.clone() }.run(stop.clone()));
        let flow = Flow { journal: self.journal, store, context: self.context, metrics: self.metrics };
        let flowed = flow.run(stop).await;
        // Every handle of the store goes, and with it our connections: the engine waits for open ones when it closes, idle or
        // not, for five seconds.
        for task in [keeping, rolling, counting] {
            task.abort();
            let _ = task.await;
        }
        self.found.send_replace(None);
        Ok(flowed?)
    }

    /// An embedded engine that answers, or the address of an external one.
    async fn reach(&self) -> anyhow::Result<(Option<Engine>, ConnectOptions)> {
        let config = &self.config.store;
        if let Some(url) = &config.url {
            let password = match &config.password_file {
                Some(file) => secrets::read(&self.config.data_dir, file)?,
                None => String::new(),
            };
            let (database, user) = (config.database.clone(), config.user.clone());
            let trust = trusting::at_store(&self.config)?;
            return Ok((None, ConnectOptions { url: url.clone(), database, user, password, trust }));
        }
        let library = config.engine.clone().or_else(|| std::env::var_os("TOKENTRAIL_ENGINE").map(PathBuf::from));
        let library = library.context(
            "no ClickHouse: set store.url, or store.engine (or TOKENTRAIL_ENGINE) to the path that services/store/engine/fetch.sh prints",
        )?;
        let command: Vec<OsString> = vec![std::env::current_exe()?.into(), "engine-child".into()];
        let engine = Engine::start(EngineOptions { library, dir: self.config.path("clickhouse"), command }).await?;
        let options = engine.connect_options(&config.database);
        Ok((Some(engine), options))
    }
}

/// Tries until it works; none when told to stop before that.
async fn until_stopped<T, F: Future<Output = anyhow::Result<T>>>(
    stop: &watch::Receiver<bool>,
    work: impl Fn() -> F,
) -> Option<T> {
    let mut stop = stop.clone();
    let mut wait = RETRY.0;
    loop {
        let tried = tokio::select! {
            tried = work() => tried,
            _ = stop.wait_for(|stop| *stop) => return None,
        };
        match tried {
            Ok(done) => return Some(done),
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(error, "ClickHouse cannot be used; intake goes on, and this is tried again.");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => wait = (wait * 2).min(RETRY.1),
            _ = stop.wait_for(|stop| *stop) => return None,
        }
    }
}
