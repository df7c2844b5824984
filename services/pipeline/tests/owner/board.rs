//! A bulletin in memory, whose reader the test chooses, and a log of one load.

use durable_log::{
    Enc, Record,
    bulletin::{Bulletin, Messages, NotPut},
    carrier::{Carrier, CarryError, Load},
};
use std::sync::{Arc, Mutex};
use tokio::sync::{Notify, watch};

/// What all processors see.
#[derive(Default)]
pub struct Board {
    pub messages: Mutex<Vec<Vec<u8>>>,
    pub settled: Mutex<usize>,
    /// While true, nothing can be put.
    pub refuses: Mutex<bool>,
    /// What happened, in order.
    pub story: Mutex<Vec<&'static str>>,
    bell: Notify,
}

/// One processor's end.
#[derive(Clone)]
pub struct End {
    pub board: Arc<Board>,
    pub reads: Arc<watch::Sender<bool>>,
    next: Arc<Mutex<usize>>,
}

impl End {
    pub fn of(board: &Arc<Board>) -> Self {
        Self { board: board.clone(), reads: Arc::new(watch::Sender::new(false)), next: Arc::default() }
    }

    /// From now on this processor believes that it reads: behind what is settled.
    pub fn choose(&self) {
        *self.next.lock().unwrap() = *self.board.settled.lock().unwrap();
        self.reads.send_replace(true);
        self.board.bell.notify_waiters();
    }
}

impl Bulletin for End {
    type Mark = usize;

    async fn put(&self, body: Vec<u8>) -> Result<(), NotPut> {
        if *self.board.refuses.lock().unwrap() {
            self.board.story.lock().unwrap().push("refused");
            return Err(NotPut("the test says so".into()));
        }
        self.board.story.lock().unwrap().push("put");
        self.board.messages.lock().unwrap().push(body);
        self.board.bell.notify_waiters();
        Ok(())
    }

    async fn next(&self) -> Result<Messages<usize>, CarryError> {
        loop {
            let bell = self.board.bell.notified();
            if *self.reads.borrow() {
                let messages = self.board.messages.lock().unwrap();
                let mut next = self.next.lock().unwrap();
                if *next < messages.len() {
                    let bodies = messages[*next..].iter().cloned().map(Into::into).collect();
                    *next = messages.len();
                    return Ok(Messages { bodies, mark: messages.len(), losses: Vec::new() });
                }
            }
            bell.await;
        }
    }

    fn settle(&self, mark: usize) -> Result<(), CarryError> {
        *self.board.settled.lock().unwrap() = mark;
        Ok(())
    }

    fn reads(&self) -> watch::Receiver<bool> {
        self.reads.subscribe()
    }
}

/// A log that holds one load until it is settled; each clone made by [`OneLoad::again`] is another life of its consumer.
#[derive(Clone)]
pub struct OneLoad {
    board: Arc<Board>,
    load: Vec<Record>,
    given: Arc<Mutex<bool>>,
    leads: Arc<watch::Sender<bool>>,
    /// Its position cannot be kept.
    pub broken: bool,
}

impl OneLoad {
    pub fn new(board: &Arc<Board>, header: Vec<u8>, body: Vec<u8>) -> Self {
        let record = Record {
            offset: 0,
            stream: [7; 16],
            seq: 0,
            header: header.into(),
            body: body.into(),
            salt: [3; 16],
            commitment: [5; 32],
            chain: [0; 32],
            enc: Enc::NONE,
        };
        Self {
            board: board.clone(),
            load: vec![record],
            given: Arc::default(),
            leads: Arc::new(watch::Sender::new(true)),
            broken: false,
        }
    }

    /// How many hold it.
    pub fn holders(&self) -> usize {
        Arc::strong_count(&self.given)
    }

    /// After a kill: what was not settled comes again.
    pub fn again(&self) -> Self {
        let settled = self.board.story.lock().unwrap().contains(&"settled");
        Self { given: Arc::new(Mutex::new(settled)), ..self.clone() }
    }
}

impl Carrier for OneLoad {
    type Mark = ();

    async fn next(&self) -> Result<Load<()>, CarryError> {
        if std::mem::replace(&mut *self.given.lock().unwrap(), true) {
            std::future::pending::<()>().await;
        }
        Ok(Load { records: self.load.clone(), mark: (), losses: Vec::new() })
    }

    fn settle(&self, (): ()) -> Result<(), CarryError> {
        if self.broken {
            return Err(CarryError::Failed("the disk is full".into()));
        }
        self.board.story.lock().unwrap().push("settled");
        Ok(())
    }

    fn backlog(&self) -> u64 {
        0
    }

    fn leads(&self) -> watch::Receiver<bool> {
        self.leads.subscribe()
    }
}
