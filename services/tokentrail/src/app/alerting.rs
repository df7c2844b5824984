//! Rules and receivers, in the processor that leads: one detector, one loop for each receiver. Nothing waits for them.

use super::now_ms;
use crate::config::Config;
use alerts::{Board, Deliverer, Receiver, Timing, Words};
use pipeline::{
    correlation::Acknowledged,
    detect::{DetectMetrics, Detector},
    duty::while_leading,
    faults::{Faults, Part},
};
use prometheus::Registry;
use std::sync::Arc;
use store::Store;
use tokio::{sync::watch, task::JoinSet};

/// What they need.
pub struct Alerting {
    /// Facts in, findings and messages out.
    pub store: Store,
    /// Told by the correlation.
    pub acknowledged: Option<Acknowledged>,
    /// For status and metrics.
    pub board: Board,
    /// Whether this processor leads.
    pub leads: watch::Receiver<bool>,
    /// Told when rules die by a fault of their own; they begin again.
    pub faults: Faults,
}

impl Alerting {
    /// Reads the receivers' secrets; what is returned runs until `stop` turns true.
    pub fn start(
        self,
        config: &Config,
        registry: &Registry,
        stop: watch::Receiver<bool>,
    ) -> anyhow::Result<impl Future<Output = ()> + Send + use<>> {
        let receivers = config.receivers()?;
        let words = Words { tenant: config.tenant.clone(), link: config.alerts.link.clone(), ..Words::default() };
        let timing = config.alerts.timing();
        let (hint, _) = watch::channel(0);
        let detector = Arc::new(Detector {
            reader: config.reader(self.store.clone()),
            acknowledged: self.acknowledged.clone(),
            clock: now_ms,
            metrics: DetectMetrics::register(registry)?,
            hint,
        });
        let Self { store, board, leads, faults, .. } = self;
        let make = {
            let stop = stop.clone();
            move |receiver: Receiver, hint: watch::Receiver<u64>, timing: Timing| {
                let (store, words, board) = (store.clone(), words.clone(), board.clone());
                Deliverer { store, receiver, words, timing, clock: now_ms, board, hint }.run(stop.clone())
            }
        };
        Ok(async move {
            let work = || async {
                let mut delivering = JoinSet::new();
                for receiver in &receivers {
                    let (make, faults) = (make.clone(), faults.clone());
                    let (receiver, hint) = (receiver.clone(), detector.hint.subscribe());
                    let deliver = move || make(receiver.clone(), hint.clone(), timing);
                    delivering.spawn(async move { faults.kept(Part::Alerts, deliver).await });
                }
                detector.run().await;
            };
            while_leading(leads, stop.clone(), || faults.kept(Part::Alerts, &work)).await;
        })
    }
}
