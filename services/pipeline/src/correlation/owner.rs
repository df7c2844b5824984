//! One owner among several processors: the one that reads the bulletin runs the stage, the others stand by.
//!
//! An owner that hung may still write: `pen.rs`.

use super::{Acknowledged, Announcement, Stage, pen::Pen};
use durable_log::{
    bulletin::{Bulletin, Messages},
    carrier::CarryError,
};
use std::collections::VecDeque;
use tokio::sync::watch;

/// The stage of a processor that may become the owner.
pub struct Owner<B> {
    /// What it does then.
    pub stage: Stage,
    /// Decides whether it is, and tells what others stored.
    pub bulletin: B,
}

impl<B: Bulletin> Owner<B> {
    /// Runs until `stop` turns true.
    pub async fn run(self, stop: watch::Receiver<bool>) -> Result<(), CarryError> {
        let listening = listen(&self.bulletin, &self.stage.acknowledged);
        tokio::select! {
            heard = listening => heard,
            () = self.own(stop) => Ok(()),
        }
    }

    async fn own(&self, mut stop: watch::Receiver<bool>) {
        let mut reads = self.bulletin.reads();
        loop {
            self.stage.acknowledged.stand_by();
            self.stage.metrics.owner.set(0);
            self.stage.metrics.lag.set(0);
            tokio::select! {
                _ = reads.wait_for(|reads| *reads) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            self.stage.metrics.owner.set(1);
            tracing::info!("This processor is to correlate: it takes over.");
            let (end, ended) = watch::channel(false);
            let pen = Pen::default();
            let over = async {
                tokio::select! {
                    _ = reads.wait_for(|reads| !*reads) => {
                        tracing::info!("Another processor is to correlate; this one stands by.");
                    }
                    _ = stop.wait_for(|stop| *stop) => {}
                }
                end.send_replace(true);
            };
            // A write under way is not given up: what became of it must be known.
            tokio::join!(self.stage.run_with(&pen, ended), over);
            if !*stop.borrow() {
                // A beginning that was broken off may have left rows on their way.
                self.stage.own_up(&pen, &mut stop).await;
            }
            if *stop.borrow() {
                return;
            }
        }
    }
}

/// Takes in what is announced, and settles it once it is answered. Returns only an error.
async fn listen<B: Bulletin>(bulletin: &B, acknowledged: &Acknowledged) -> Result<(), CarryError> {
    let mut finished = acknowledged.finished();
    let mut open = VecDeque::<(u64, B::Mark)>::new();
    loop {
        tokio::select! {
            heard = bulletin.next() => {
                let Messages { bodies, mark, losses } = heard?;
                for loss in &losses {
                    tracing::error!(cause = loss.cause.as_str(), place = loss.place, "Announcements are lost: everything is read again.");
                }
                let mut unread = !losses.is_empty();
                for body in &bodies {
                    match Announcement::from_bytes(body) {
                        Some(announcement) => acknowledged.note(&announcement),
                        None => {
                            tracing::error!("An announcement cannot be read: everything is read again.");
                            unread = true;
                        }
                    }
                }
                if unread {
                    acknowledged.miss();
                }
                open.push_back((acknowledged.noted(), mark));
            }
            _ = finished.changed() => {}
        }
        let done = *finished.borrow_and_update();
        while open.front().is_some_and(|(ticket, _)| *ticket <= done) {
            if let Some((_, mark)) = open.pop_front() {
                // Commit point: the rows of all that was announced up to here are acknowledged.
                bulletin.settle(mark)?;
            }
        }
    }
}
