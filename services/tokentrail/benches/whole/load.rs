//! The load generator: blocking keep-alive connections, a thread each, as fast as they are answered or on a schedule.
//!
//! On a schedule, latency runs from the moment a request was due, not from when it could be sent: a stall of the server
//! is in the figures of all that it held up. An answer that is not 200 ends the bench.

use crate::{
    measure::{Times, cpu_seconds},
    workload::{Address, Prepared, Sender, World},
};
use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
    time::{Duration, Instant},
};

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time for the connections to be opened before the first request is due.
const START_IN: Duration = Duration::from_millis(50);

/// One event a request, or a hundred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Single,
    Batch,
}

/// When requests are sent.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// Each connection sends as soon as it is answered, for so long.
    Closed(Duration),
    /// So many requests a second in all, for so long, whatever comes back.
    Open { per_second: f64, time: Duration },
}

/// What to send.
#[derive(Clone)]
pub struct Load {
    pub world: Arc<World>,
    pub address: Address,
    pub connections: u32,
    pub shape: Shape,
    pub pace: Pace,
}

/// What was acknowledged: the client's ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    pub events: u64,
    pub lines: u64,
    /// XOR over the ids of all events.
    pub ids: u64,
}

impl Ledger {
    pub fn add(&mut self, other: Self) {
        self.events += other.events;
        self.lines += other.lines;
        self.ids ^= other.ids;
    }

    pub fn receipts(&self) -> u64 {
        self.events + self.lines
    }
}

/// One acknowledgement.
#[derive(Clone, Copy, Debug)]
pub struct Acknowledged {
    /// When the answer was read.
    pub at: Instant,
    /// From when the request was due (or sent, when nothing is scheduled).
    pub latency: Duration,
    /// Seq behind its last receipt; 0 from a server that gives none.
    pub end_seq: u64,
}

/// What became of a load.
#[derive(Default)]
pub struct Outcome {
    pub ledger: Ledger,
    pub answers: Vec<Acknowledged>,
    /// Bytes sent, heads included.
    pub bytes: u64,
    pub wall: Duration,
    /// Processor time of this process: the generator's own cost, seconds.
    pub generator_cpu: f64,
}

impl Outcome {
    pub fn latency(&self) -> Times {
        Times::new(self.answers.iter().map(|answer| answer.latency).collect())
    }

    pub fn requests(&self) -> f64 {
        self.answers.len() as f64
    }
}

impl Load {
    /// Sends it all; panics on an answer that is no acknowledgement.
    pub fn run(&self) -> Outcome {
        let cpu = cpu_seconds(std::process::id());
        let started = Instant::now() + START_IN;
        let threads: Vec<_> = (0..self.connections)
            .map(|number| {
                let load = self.clone();
                std::thread::spawn(move || load.connection(number, started))
            })
            .collect();
        let mut outcome = Outcome::default();
        for thread in threads {
            let part = thread.join().expect("a connection of the generator failed");
            outcome.ledger.add(part.ledger);
            outcome.answers.extend(part.answers);
            outcome.bytes += part.bytes;
        }
        outcome.wall = started.elapsed();
        outcome.generator_cpu = cpu_seconds(std::process::id()) - cpu;
        outcome
    }

    fn connection(&self, number: u32, started: Instant) -> Outcome {
        let mut sender = Sender::new(self.world.clone(), self.address.clone());
        let mut connection = Connection::open(&self.address.host);
        let mut outcome = Outcome::default();
        let mut request = Prepared::default();
        for place in (number..).step_by(self.connections as usize) {
            match self.shape {
                Shape::Single => sender.webhook(&mut request),
                Shape::Batch => sender.batch(&mut request),
            }
            let Some(due) = self.due(place, started) else { break };
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let first_seq = connection.post(&request.bytes);
            let at = Instant::now();
            let end_seq = first_seq.map_or(0, |first| first + request.receipts);
            outcome.answers.push(Acknowledged { at, latency: at - due, end_seq });
            outcome.bytes += request.bytes.len() as u64;
            let (events, lines) = if request.lines { (0, request.receipts) } else { (request.receipts, 0) };
            outcome.ledger.add(Ledger { events, lines, ids: request.ids });
        }
        outcome
    }

    /// When the request at this place of the whole load is to be sent; none once its time is over.
    fn due(&self, place: u32, started: Instant) -> Option<Instant> {
        let (due, time) = match self.pace {
            Pace::Closed(time) => (Instant::now().max(started), time),
            Pace::Open { per_second, time } => (started + Duration::from_secs_f64(f64::from(place) / per_second), time),
        };
        (due < started + time).then_some(due)
    }
}

/// A keep-alive connection.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub fn open(host: &str) -> Self {
        let stream = TcpStream::connect(host).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, buffer: vec![0; 16 * 1024] }
    }

    /// Sends a request and reads its answer: the first seq it names.
    pub fn post(&mut self, request: &[u8]) -> Option<u64> {
        self.stream.write_all(request).unwrap();
        let mut read = 0;
        loop {
            let more = self.stream.read(&mut self.buffer[read..]).unwrap();
            assert!(more > 0, "the server closed a connection");
            read += more;
            if let Some(seq) = answer(&self.buffer[..read]) {
                return seq;
            }
        }
    }
}

/// None while the answer is not complete.
fn answer(bytes: &[u8]) -> Option<Option<u64>> {
    let text = std::str::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n")?;
    assert!(head.starts_with("HTTP/1.1 200"), "not acknowledged: {text}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    if body.len() < length.expect("answers have a length").parse().unwrap() {
        return None;
    }
    let seq = body.split_once(r#""first_seq":"#).and_then(|(_, rest)| rest.split(',').next());
    Some(seq.map(|seq| seq.parse().unwrap()))
}
