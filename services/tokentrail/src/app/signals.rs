//! What a signal to stop does: before the start is over it ends the process, then it begins a stop in order, and during that it
//! ends the process. All of it is safe: what was acknowledged is on disk, the engine ends with us, the next start recovers.

use crate::{config::Config, leaving::leave, running::RunFile};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

/// Exit code of a process that did not end its stop.
const CUT_SHORT: u8 = 130;

/// Where a process is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It may be waiting for files, and cannot be told anything.
    Starting,
    /// It works.
    Running,
    /// It was told to stop.
    Stopping,
}

/// SIGTERM and SIGINT, heard from the first on.
pub struct Signals(watch::Sender<Phase>);

impl Signals {
    /// Hears them from now on, on whatever thread is free: also while the start holds up its own.
    pub fn listen(config: &Config) -> anyhow::Result<Self> {
        let heard = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
        let phase = watch::Sender::new(Phase::Starting);
        tokio::spawn(hear(heard, phase.clone(), config.clone()));
        Ok(Self(phase))
    }

    /// The process goes on to a phase, unless it is further already.
    pub fn enter(&self, phase: Phase) {
        self.0.send_if_modified(|now| {
            let further = phase > *now;
            *now = phase.max(*now);
            further
        });
    }

    /// Returns once the process is to stop.
    pub async fn first(&self) {
        let _ = self.0.subscribe().wait_for(|phase| *phase == Phase::Stopping).await;
    }
}

async fn hear([mut terminate, mut interrupt]: [Signal; 2], phase: watch::Sender<Phase>, config: Config) {
    loop {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        let mut before = Phase::Stopping;
        phase.send_if_modified(|now| {
            before = *now;
            *now = Phase::Stopping;
            true
        });
        match before {
            Phase::Starting => {
                tracing::info!("Stopped before the start was over.");
                RunFile::remove(&config);
                leave(0);
            }
            Phase::Running => {}
            Phase::Stopping => leave(CUT_SHORT),
        }
    }
}
