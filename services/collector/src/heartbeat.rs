//! Heartbeats: acts of our own at a source whose traces must come back by the way that everything else takes.
//!
//! At a Keycloak realm it is a login by client credentials, which Keycloak reports as an event of type `CLIENT_LOGIN` with
//! the id of the token that we got. At a Backstage it is a request for a page that no plugin has, with a nonce in its path,
//! which comes back as an access line. Each heartbeat, also one that the source did not take, is a receipt: so what was sent
//! is as durable as what came back, and a heartbeat is known by its id alone, never by the name of a client.

use crate::pull::{
    Append, Failed, NotAppended, Received, Source, Stopped,
    client::{self, Pace, RealmClient},
};
use events::{
    receipt::{HEADER_VERSION, Input, Payload, ReceiptHeader, SourceKind},
    record::{self, HEARTBEAT_PATH, SENT},
};
use prometheus::{IntCounterVec, Opts, Registry};
use reqwest::Url;
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;
use trust::{Refused, Trust};

/// For one request to a Backstage.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why a heartbeat was not sent, beside what [`crate::pull::State`] names.
const UNREACHABLE: &str = "unreachable";
const REFUSED: &str = "certificate_refused";

/// Sends the heartbeats of one realm or one Backstage.
pub struct Heart {
    tenant: String,
    source_id: String,
    scope: String,
    to: To,
}

enum To {
    Realm(Box<RealmClient>),
    Backstage { http: reqwest::Client, base: Url },
}

/// A Backstage, or one of its instances.
#[derive(Clone, Copy, Debug)]
pub struct Instance<'a> {
    /// Name, the scope of its heartbeats; empty if the installation counts as one.
    pub name: &'a str,
    /// Base address as we reach it, past every balancer.
    pub url: &'a str,
    /// Whom to trust.
    pub trust: &'a Trust,
}

/// One heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beat {
    /// By what it is known again: the token's id or the nonce; empty if it was not sent.
    pub id: String,
    /// `sent`, or in a word why not.
    pub state: &'static str,
}

/// What sending needs.
#[derive(Clone)]
pub struct Surroundings {
    /// The journal.
    pub append: Arc<dyn Append>,
    /// The time now, UTC milliseconds.
    pub now: Arc<dyn Fn() -> i64 + Send + Sync>,
    /// Between two heartbeats.
    pub interval: Duration,
    /// Heartbeats by source and state.
    pub sent: IntCounterVec,
}

/// The counter of heartbeats, by source and state.
pub fn counter(registry: &Registry) -> Result<IntCounterVec, prometheus::Error> {
    let options = Opts::new("tokentrail_heartbeats_total", "Heartbeats by source and by how sending them ended");
    let counter = IntCounterVec::new(options, &["source", "state"])?;
    registry.register(Box::new(counter.clone()))?;
    Ok(counter)
}

impl Heart {
    /// One for each realm of a source that has a service account of its own there. A login in another realm would be an
    /// event of that other realm, and prove nothing.
    pub fn keycloak(source: &Source) -> Result<Vec<Self>, Failed> {
        let base = base(&source.base_url, &source.source_id)?;
        let http = client::http(source).map_err(Failed::Http)?;
        let pace = Arc::new(Pace::new(&source.limits));
        let own = source.realms.iter().filter(|realm| realm.login_realm.as_ref().is_none_or(|r| *r == realm.name));
        let heart = |realm: &crate::pull::Realm| {
            let shared = (source.limits, Arc::clone(&pace));
            Self {
                tenant: source.tenant.clone(),
                source_id: source.source_id.clone(),
                scope: realm.name.clone(),
                to: To::Realm(Box::new(RealmClient::new(http.clone(), base.clone(), realm.clone(), shared))),
            }
        };
        Ok(own.map(heart).collect())
    }

    /// The one of a Backstage, or of one instance of it.
    pub fn backstage(tenant: &str, source_id: &str, instance: Instance<'_>) -> Result<Self, Failed> {
        let base = base(instance.url, source_id)?;
        let http = instance.trust.http(|builder| builder.timeout(TIMEOUT)).map_err(Failed::Http)?;
        let (tenant, source_id) = (tenant.to_owned(), source_id.to_owned());
        Ok(Self { tenant, source_id, scope: instance.name.to_owned(), to: To::Backstage { http, base } })
    }

    /// The realm of a Keycloak; the instance of a Backstage, empty if it counts as one.
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// Sends one.
    pub async fn beat(&self) -> Beat {
        match &self.to {
            To::Realm(client) => match client.heartbeat().await {
                Ok(id) => Beat { id, state: SENT },
                Err(state) => Beat { id: String::new(), state: state.as_str() },
            },
            To::Backstage { http, base } => {
                let mut nonce = [0; 16];
                let mut url = base.clone();
                if getrandom::fill(&mut nonce).is_err() {
                    return Beat { id: String::new(), state: "no_random_bytes" };
                }
                let id = uuid::Builder::from_random_bytes(nonce).into_uuid().to_string();
                url.set_path(&format!("{}{HEARTBEAT_PATH}{id}", base.path().trim_end_matches('/')));
                // Whatever it answers, it has logged the request; usually that there is no such page.
                match http.get(url).send().await {
                    Ok(_) => Beat { id, state: SENT },
                    Err(error) => {
                        let refused = Refused::find(&error);
                        if let Some(why) = refused {
                            tracing::debug!(source = self.source_id, scope = self.scope, %why, "A Backstage is refused.");
                        }
                        Beat { id: String::new(), state: if refused.is_some() { REFUSED } else { UNREACHABLE } }
                    }
                }
            }
        }
    }

    /// Sends one in every interval until `stop` turns true. What cannot be appended counts as not sent.
    pub async fn run(self, around: Surroundings, mut stop: watch::Receiver<bool>) -> Result<(), Stopped> {
        let mut pace = tokio::time::interval(around.interval);
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut last = SENT;
        loop {
            tokio::select! {
                _ = pace.tick() => {}
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
            }
            let sent_at = (around.now)();
            let beat = self.beat().await;
            around.sent.with_label_values(&[self.source_id.as_str(), beat.state]).inc();
            if beat.state != last {
                tracing::warn!(
                    source = self.source_id,
                    realm = self.scope,
                    state = beat.state,
                    "The heartbeat's state changed; while it is not `sent`, completeness cannot be proven."
                );
                last = beat.state;
            }
            match around.append.append(vec![self.receipt(beat, sent_at)]).await {
                Ok(()) | Err(NotAppended::Later) => {}
                Err(NotAppended::Stopped) => return Err(Stopped),
            }
        }
    }

    fn receipt(&self, beat: Beat, sent_at: i64) -> Received {
        let kind = match self.to {
            To::Realm(_) => SourceKind::Keycloak,
            To::Backstage { .. } => SourceKind::Backstage,
        };
        let header = ReceiptHeader {
            v: HEADER_VERSION,
            tenant: self.tenant.clone(),
            source_id: self.source_id.clone(),
            source_kind: kind,
            input: Input::Heartbeat,
            payload: Payload::Heartbeat,
            received_at: sent_at,
            native_id: beat.id,
            delivery_id: String::new(),
            delivery_keyed: false,
            delivery_index: 0,
            line: None,
        };
        let body = record::Heartbeat { scope: self.scope.clone(), state: beat.state.to_owned() };
        Received { header, body: serde_json::to_vec(&body).unwrap_or_default() }
    }
}

fn base(url: &str, source_id: &str) -> Result<Url, Failed> {
    let url = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    url.ok_or_else(|| Failed::BaseUrl(source_id.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pull::Appending;
    use axum::{Router, extract::Path, http::StatusCode, routing::get};
    use std::sync::Mutex;

    #[derive(Default)]
    struct Kept(Mutex<Vec<Received>>);

    impl Append for Kept {
        fn append(&self, receipts: Vec<Received>) -> Appending<'_> {
            self.0.lock().unwrap().extend(receipts);
            Box::pin(async { Ok(()) })
        }
    }

    fn at<'a>(url: &'a str, trust: &'a Trust) -> Instance<'a> {
        Instance { name: "", url, trust }
    }

    /// A backend that logs what it is asked for, as a root router does, and knows no page.
    async fn backend() -> (String, Arc<Mutex<Vec<String>>>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let route = get(async move |Path(path): Path<String>| {
            log.lock().unwrap().push(format!("/{path}"));
            StatusCode::NOT_FOUND
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/{*path}", route)).await });
        (url, asked)
    }

    #[tokio::test]
    async fn what_a_backstage_is_asked_for_is_known_again_by_its_receipt() {
        let (url, asked) = backend().await;
        let kept = Arc::new(Kept::default());
        let registry = Registry::new();
        let around = Surroundings {
            append: Arc::clone(&kept) as Arc<dyn Append>,
            now: Arc::new(|| 5),
            interval: Duration::from_millis(1),
            sent: counter(&registry).unwrap(),
        };
        let (stop, stopped) = watch::channel(false);
        let heart = Heart::backstage("default", "portal", at(&url, &Trust::system())).unwrap();
        let running = tokio::spawn(heart.run(around, stopped));
        while kept.0.lock().unwrap().len() < 3 {
            tokio::task::yield_now().await;
        }
        stop.send(true).unwrap();
        running.await.unwrap().unwrap();
        let kept = kept.0.lock().unwrap();
        let ids: Vec<&str> = kept.iter().map(|one| one.header.native_id.as_str()).collect();
        let asked: Vec<String> = asked.lock().unwrap().clone();
        let seen: Vec<&str> = asked.iter().filter_map(|path| record::heartbeat_id(path)).collect();
        assert_eq!(seen[..ids.len()], ids);
        assert_eq!(kept[0].header.input, Input::Heartbeat);
        assert_eq!(String::from_utf8_lossy(&kept[0].body), r#"{"state":"sent"}"#);
    }

    #[tokio::test]
    async fn a_backstage_that_is_not_there_is_said_so() {
        let (port, system) = (testbed::free_port().unwrap(), Trust::system());
        let heart = Heart::backstage("default", "portal", at(&format!("http://127.0.0.1:{port}"), &system)).unwrap();
        assert_eq!(heart.beat().await, Beat { id: String::new(), state: "unreachable" });
        assert!(Heart::backstage("default", "portal", at("not an address", &system)).is_err());
    }
}
