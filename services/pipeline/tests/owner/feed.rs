//! A log that the test feeds, one receipt a load.

use super::delivered;
use durable_log::{
    Enc, Record,
    carrier::{Carrier, CarryError, Load},
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use tokio::sync::{Mutex, mpsc, watch};

#[derive(Clone)]
pub struct Feed {
    put: mpsc::UnboundedSender<Record>,
    loads: Arc<Mutex<mpsc::UnboundedReceiver<Record>>>,
    settled: Arc<AtomicU64>,
    leads: Arc<watch::Sender<bool>>,
}

impl Feed {
    pub fn new() -> Self {
        let (put, loads) = mpsc::unbounded_channel();
        let loads = Arc::new(Mutex::new(loads));
        Self { put, loads, settled: Arc::default(), leads: Arc::new(watch::Sender::new(true)) }
    }

    /// A login is taken in.
    pub fn put(&self, number: u64) {
        let (header, body) = delivered(number);
        let record = Record {
            offset: number,
            stream: [7; 16],
            seq: number,
            header: header.into(),
            body: body.into(),
            salt: [3; 16],
            commitment: [5; 32],
            chain: [0; 32],
            enc: Enc::NONE,
        };
        self.put.send(record).unwrap();
    }

    /// Loads that are settled.
    pub fn settled(&self) -> u64 {
        self.settled.load(Ordering::SeqCst)
    }
}

impl Carrier for Feed {
    type Mark = ();

    async fn next(&self) -> Result<Load<()>, CarryError> {
        let record = self.loads.lock().await.recv().await.ok_or(CarryError::Closed)?;
        Ok(Load { records: vec![record], mark: (), losses: Vec::new() })
    }

    fn settle(&self, (): ()) -> Result<(), CarryError> {
        self.settled.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn backlog(&self) -> u64 {
        0
    }

    fn leads(&self) -> watch::Receiver<bool> {
        self.leads.subscribe()
    }
}
