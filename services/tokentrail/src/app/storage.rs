//! From the log to ClickHouse for as long as the program runs: starts the engine (or connects), migrates, runs the pipeline.
//! Tries again for as long as it takes: intake does not depend on it. Reads nothing of the log before ClickHouse answers.

use super::{
    alerting::Alerting,
    stopping::{Began, STORED_BY},
};
use crate::{
    config::Config,
    deployment::{self, Fit},
    gauges::Counts,
    running::{RunFile, RunStore},
    secrets,
    status::{Observer, Trouble},
    trusting,
};
use anyhow::Context;
use durable_log::{bulletin::Bulletin, carrier::Carrier};
use events::normalise::Context as NormaliseContext;
use pipeline::{
    correlation::{Correlating, CorrelationMetrics, Owner, Stage, Suspects},
    coverage::Keeper,
    duty::Duty,
    flow::Flow,
    metrics::Metrics,
    privileged::PrivilegedKeeper,
    rollup::Roller,
};
use prometheus::Registry;
use std::{ffi::OsString, path::PathBuf, time::Duration};
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
    /// For normalising.
    pub context: NormaliseContext,
    /// Counters.
    pub metrics: Metrics,
    /// Where further counters go.
    pub registry: Registry,
    /// As it stands while ClickHouse has not answered.
    pub run: RunFile,
    /// What a status is made from, but for the store.
    pub observing: Observer,
    /// Told once ClickHouse is ready to be asked.
    pub found: watch::Sender<Option<Observer>>,
    /// When a stop began.
    pub began: Began,
}

impl Storage {
    /// Runs until `stop` turns true; `open` leads to the log, and to the other processors where there may be some.
    pub async fn run<C: Carrier, B: Bulletin>(
        self,
        open: impl FnOnce(&watch::Receiver<bool>) -> anyhow::Result<Option<(C, Option<B>)>> + Send + 'static,
        stop: watch::Receiver<bool>,
    ) -> anyhow::Result<()> {
        let Some((engine, options)) = until_stopped((&stop, &self.observing.trouble), || self.reach()).await else {
            return Ok(());
        };
        let alone = engine.is_some();
        let outcome = self.store_all((options, alone), open, stop).await;
        if let Some(engine) = engine {
            let closed = engine.close().await;
            tracing::debug!(?closed, "The engine is closed.");
        }
        outcome
    }

    /// `alone`: the engine was started here, so nobody else writes to it.
    async fn store_all<C: Carrier, B: Bulletin>(
        self,
        (options, alone): (ConnectOptions, bool),
        open: impl FnOnce(&watch::Receiver<bool>) -> anyhow::Result<Option<(C, Option<B>)>> + Send + 'static,
        stop: watch::Receiver<bool>,
    ) -> anyhow::Result<()> {
        let store = Store::connect(options.clone())?;
        let prepare = || async {
            store.migrate().await?;
            let fit = deployment::bind_store(&store, &self.context.key).await?;
            if alone && fit == Fit::Same {
                store.close_marks_of_the_dead().await?;
            }
            Ok(fit)
        };
        let Some(fit) = until_stopped((&stop, &self.observing.trouble), prepare).await else { return Ok(()) };
        // Another key does not become right by trying again: the program ends and says why.
        fit.check()?;
        let (store_url, store_user, store_password) = (options.url, options.user, options.password);
        let run = RunFile { store: Some(RunStore { store_url, store_user, store_password }), ..self.run };
        run.write(&self.config)?;
        let stopped = stop.clone();
        let opened = tokio::task::spawn_blocking(move || open(&stopped)).await.context("the log's opening died")?;
        let Some((carrier, bulletin)) = opened? else { return Ok(()) };
        let correlation = self.observing.correlation.clone();
        // Rules are judged where decisions are correlated.
        let leads = bulletin.as_ref().map_or_else(|| carrier.leads(), Bulletin::reads);
        let alerting = Alerting {
            store: store.clone(),
            acknowledged: correlation.clone(),
            board: self.observing.alerts.clone(),
            leads,
            faults: self.observing.faults.clone(),
        };
        let alerting = tokio::spawn(alerting.start(&self.config, &self.registry, stop.clone())?);
        let faults = self.observing.faults.clone();
        let observer = Observer { store: Some(store.clone()), ..self.observing };
        let counting = tokio::spawn(Counts::new(&self.registry)?.run(observer.clone()));
        self.found.send_replace(Some(observer));
        let lateness = i64::from(self.config.lateness_seconds) * 1000;
        let expected = crate::beating::expected(&self.config);
        let tenant = self.config.tenant.clone();
        let keeper =
            Keeper::new((store.clone(), tenant.clone()), lateness, expected, (crate::app::now_ms, &self.registry))?
                .behind(carrier.settled_until());
        let names = self.config.privileged_names();
        let privileged = PrivilegedKeeper { store: store.clone(), tenant: tenant.clone(), names };
        let roller = Roller { store: store.clone() };
        let duty = Duty { keeper, roller, privileged, leads: carrier.leads(), faults: faults.clone() };
        let duty = tokio::spawn(duty.run(stop.clone()));
        let (correlation, mut correlating) = match correlation {
            None => (Correlating::Nowhere, None),
            Some(acknowledged) => {
                let metrics = CorrelationMetrics::register(&self.registry)?;
                let stage = Stage {
                    store: store.clone(),
                    config: self.config.correlation(self.context.key.clone()),
                    acknowledged: acknowledged.clone(),
                    name: self.config.kafka.client_id.clone(),
                    metrics: metrics.clone(),
                    checkpoints: self.config.correlation.checkpoints(),
                    memory: self.config.correlation.memory(),
                    faults,
                    suspects: Suspects::default(),
                };
                let (stop, bulletin) = (stop.clone(), bulletin.clone());
                match bulletin {
                    None => {
                        let running = async move {
                            stage.run(stop).await;
                            Ok(())
                        };
                        (Correlating::Here(acknowledged), Some(tokio::spawn(running)))
                    }
                    Some(bulletin) => {
                        let owner = Owner { stage, bulletin: bulletin.clone() };
                        (Correlating::By(bulletin, acknowledged, metrics), Some(tokio::spawn(owner.run(stop))))
                    }
                }
            }
        };
        let flow =
            Flow { carrier: carrier.clone(), tenant, store, context: self.context, metrics: self.metrics, correlation };
        let mut stopping = stop.clone();
        let flowed = {
            // A block that ClickHouse does not acknowledge in time is stored after the next start, to the same rows.
            let given_up = async {
                let _ = stopping.wait_for(|stop| *stop).await;
                self.began.by(STORED_BY, std::future::pending::<()>()).await
            };
            let died = async {
                let Some(correlating) = &mut correlating else { return std::future::pending().await };
                match correlating.await {
                    // Told to stop, like the flow.
                    Ok(Ok(())) => std::future::pending().await,
                    Ok(Err(error)) => anyhow::Error::new(error).context("the correlation cannot go on"),
                    Err(_) => anyhow::anyhow!("the correlation died"),
                }
            };
            tokio::select! {
                flowed = flow.run(stop) => flowed.map_err(anyhow::Error::new),
                // A fault of the correlation's own does not come here: it begins again (`Stage::run`). This is the end of the log.
                error = died => Err(error),
                _ = given_up => Ok(()),
            }
        };
        // Ends by itself, once it has kept what it knows: since the stop began, not since the flow has ended. What it has not taken in is
        // read after the next start.
        if let Some(mut correlating) = correlating.filter(|task| !task.is_finished())
            && self.began.by(STORED_BY, &mut correlating).await.is_none()
        {
            correlating.abort();
            let _ = correlating.await;
        }
        // Every handle of the store goes, and with it our connections: the engine waits for open ones when it closes, idle or
        // not, for five seconds.
        for task in [duty, counting, alerting] {
            task.abort();
            let _ = task.await;
        }
        self.found.send_replace(None);
        // Leaves its groups, if it is in any: that asks brokers.
        tokio::task::spawn_blocking(move || drop((carrier, bulletin))).await.context("the log did not close")?;
        flowed
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
    (stop, trouble): (&watch::Receiver<bool>, &Trouble),
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
                trouble.note(&error);
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
