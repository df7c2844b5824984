//! The two servers that the program is compared with, each in a process of its own: a bare axum handler, and the real
//! intake over a journal that forgets. This binary is started again to be one of them.

use crate::workload::SECRET;
use axum::{
    Router,
    http::header,
    routing::post,
    serve::{Listener, ListenerExt},
};
use bytes::Bytes;
use collector::{
    config::{KeycloakAuth, Limits, Secret, Source, SourceAuth},
    http::{Intake, router},
    journal::{Append, AppendError, Appended, Entry, Later},
    metrics::Metrics,
    receive::Receiver,
    server::Server,
    verify::{Verifier, jwks::NoKeys},
};
use events::{ids::StreamId, person::DeploymentKey};
use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::net::TcpListener;

/// Names the role of a process that was started again.
const ROLE: &str = "TOKENTRAIL_BENCH_ROLE";

/// What a process of this binary can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reads the body and answers 200: what any webhook receiver costs at least.
    Bare,
    /// The collector's whole way, without a disk.
    Intake,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Intake => "intake",
        }
    }

    /// The role that this process was started for.
    pub fn of_this_process() -> Option<Self> {
        let name = std::env::var(ROLE).ok()?;
        [Self::Bare, Self::Intake].into_iter().find(|role| role.name() == name)
    }

    /// Serves until standard input ends.
    pub fn serve(self) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.spawn(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            println!("{}", listener.local_addr().unwrap());
            match self {
                Self::Bare => bare(listener).await,
                Self::Intake => intake(listener).await,
            }
        });
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
    }
}

/// A started server; ends when dropped.
pub struct Started {
    child: Child,
    pub address: String,
}

impl Started {
    pub fn new(role: Role) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let mut child = command.env(ROLE, role.name()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Self { child, address: address.trim().to_owned() }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

async fn bare(listener: impl Listener<Io = tokio::net::TcpStream, Addr: std::fmt::Debug>) {
    let answer =
        async |body: Bytes| ([(header::CONTENT_TYPE, "application/json")], format!(r#"{{"length":{}}}"#, body.len()));
    let routes = Router::new().route("/v1/keycloak/{source}", post(answer));
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, routes).await.unwrap();
}

/// Takes everything and keeps nothing.
#[derive(Default)]
struct Forgetful(AtomicU64);

impl Append for Forgetful {
    fn append(&self, entries: Vec<Entry>) -> Later<'_, Result<Appended, AppendError>> {
        let count = entries.len() as u32;
        let first_seq = self.0.fetch_add(u64::from(count), Ordering::Relaxed);
        Box::pin(async move { Ok(Appended { stream: StreamId([1; 16]), first_seq, count }) })
    }

    fn can_append(&self) -> bool {
        true
    }
}

async fn intake(listener: TcpListener) {
    let auth = KeycloakAuth { hmac: vec![Secret::new(SECRET)], ..KeycloakAuth::default() };
    let sources = [Source { id: "keycloak".into(), kind: SourceAuth::Keycloak(auth), zone: "UTC".into() }];
    let verifier = Verifier::new(&sources, Arc::new(NoKeys)).unwrap();
    let metrics = Arc::new(Metrics::new(&prometheus::Registry::new(), verifier.sources()).unwrap());
    let limits = Limits::default();
    let routes = router(Intake {
        verifier,
        receiver: Receiver::new("default", DeploymentKey::new([7; 32]), [1; 8], limits.clone()),
        journal: Arc::new(Forgetful::default()),
        metrics: metrics.clone(),
        clock: || jiff::Timestamp::now().as_millisecond(),
    });
    let server = Server { listener, routes, tls: None, clients: None, limits, metrics: Some(metrics) };
    server.serve(std::future::pending(), Duration::ZERO).await;
}
