//! The way of a webhook to the program, with a hole in it: deliveries that hold a text are swallowed on purpose and answered 200.
//!
//! Where nobody listens behind it, it hangs up: to Keycloak's plugin that is what a refused connection is. It keeps a ledger of its own
//! of what the program took.

use crate::support::client;
use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

/// More than any delivery holds.
const BODY_BYTES: usize = 1 << 20;

#[derive(Clone, Default)]
struct Hole {
    swallows: Arc<Mutex<Option<String>>>,
    swallowed: Arc<AtomicUsize>,
    ledger: Arc<Mutex<Ledger>>,
}

/// Ids of events that were on their way.
#[derive(Clone, Default)]
pub struct Ledger {
    /// The program answered 2xx.
    pub taken: BTreeSet<String>,
    /// It died over them: it may have them on disk or not.
    pub unclear: BTreeSet<String>,
}

pub struct Way {
    pub address: SocketAddr,
    hole: Hole,
}

impl Way {
    /// Leads to `intake` (host and port), whoever listens there.
    pub fn to(intake: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, hole, intake) = (listener.local_addr().unwrap(), Hole::default(), intake.to_owned());
        let shared = hole.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (intake, hole) = (intake.clone(), shared.clone());
                std::thread::spawn(move || pass(&connection, &intake, &hole));
            }
        });
        Self { address, hole }
    }

    /// Swallows deliveries with this text from now on; none: lets everything through.
    pub fn swallow(&self, text: Option<&str>) {
        *self.hole.swallows.lock().unwrap() = text.map(str::to_owned);
    }

    /// What became of what was on its way.
    pub fn ledger(&self) -> Ledger {
        self.hole.ledger.lock().unwrap().clone()
    }

    /// How many deliveries were swallowed.
    pub fn swallowed(&self) -> usize {
        self.hole.swallowed.load(Ordering::SeqCst)
    }
}

/// One request of one connection; none if it breaks off or nobody listens.
fn pass(mut connection: &TcpStream, intake: &str, hole: &Hole) -> Option<()> {
    let mut reader = BufReader::new(connection);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let (mut headers, mut length) = (Vec::new(), 0);
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok().filter(|bytes| *bytes <= BODY_BYTES)?,
            "host" | "connection" | "accept-encoding" => {}
            _ => headers.push((name.to_owned(), value.to_owned())),
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let swallows = hole.swallows.lock().unwrap().clone();
    let status = match swallows.filter(|text| String::from_utf8_lossy(&body).contains(text.as_str())) {
        Some(_) => {
            hole.swallowed.fetch_add(1, Ordering::SeqCst);
            200
        }
        None => {
            let event: serde_json::Value = serde_json::from_slice(&body).ok()?;
            let id = event["id"].as_str()?.to_owned();
            let mut request = client().post(format!("http://{intake}{path}")).body(body);
            for (name, value) in headers {
                request = request.header(name, value);
            }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let answer = runtime.block_on(async { request.send().await });
            let mut ledger = hole.ledger.lock().unwrap();
            match answer {
                Ok(answer) => {
                    if answer.status().is_success() {
                        ledger.unclear.remove(&id);
                        ledger.taken.insert(id);
                    }
                    answer.status().as_u16()
                }
                Err(error) => {
                    if !error.is_connect() {
                        ledger.unclear.insert(id);
                    }
                    return None;
                }
            }
        }
    };
    connection
        .write_all(format!("HTTP/1.1 {status} -\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").as_bytes())
        .ok()
}
