//! Runs the Admin REST pull of every Keycloak source that has one, and tells doctor what the realms say.

use crate::{
    app::now_ms,
    config::{Config, Pull},
    deployment,
    doctor::Check,
    gauges, secrets,
    status::Realms,
    trusting,
};
use collector::{
    pull::{
        Append, Appending, Limits, NotAppended, Puller, Realm, RealmPull, Received, Secret, Severity, Source,
        Surroundings,
    },
    redact::{Broken, unparsable},
    split::keycloak::split,
};
use durable_log::{AppendError, Entry, Journal};
use events::{
    person::DeploymentKey,
    receipt::{HEADER_VERSION, Input, Payload, ReceiptHeader, SourceKind},
};
use prometheus::Registry;
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

/// The event listener that sends webhooks: keycloak-events'.
const LISTENER: &str = "ext-event-webhook";
/// How often a watermark that moved is written into the log.
const WATERMARK: Duration = Duration::from_secs(30);

/// Appends what is pulled, and heartbeats.
pub(crate) struct ToJournal(pub(crate) Journal);

impl Append for ToJournal {
    fn append(&self, receipts: Vec<Received>) -> Appending<'_> {
        let entries = receipts.into_iter().map(|r| Entry { header: r.header.to_bytes(), body: r.body }).collect();
        Box::pin(async move {
            match self.0.append(entries).await {
                Ok(_) => Ok(()),
                Err(AppendError::Full | AppendError::TooLarge) => Err(NotAppended::Later),
                Err(AppendError::Stopped) => Err(NotAppended::Stopped),
            }
        })
    }
}

fn surroundings(append: Arc<dyn Append>, key: DeploymentKey) -> Surroundings {
    let marks = key.clone();
    let too_large = move |bytes: &[u8]| unparsable(&marks, bytes, Broken::RecordTooLarge);
    let redact = move |payload: Payload, bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        match split(&text, &key, usize::MAX).ok().and_then(|pieces| pieces.into_iter().next()) {
            Some(piece) => (piece.payload, piece.body),
            None => (payload, Vec::new()),
        }
    };
    Surroundings { append, redact: Arc::new(redact), too_large: Arc::new(too_large), now: Arc::new(now_ms) }
}

pub(crate) fn source(config: &Config, id: &str, pull: &Pull) -> anyhow::Result<Source> {
    let secret = secrets::read(&config.data_dir, &pull.client_secret_file)?;
    let trust = trusting::at(&config.data_dir, &format!("sources.{id}.pull.ca_file"), pull.ca_file.as_ref())?;
    let realm = |name: &String| Realm {
        name: name.clone(),
        login_realm: pull.login_realm.clone(),
        client_id: pull.client_id.clone(),
        client_secret: Secret::new(secret.clone()),
    };
    Ok(Source {
        tenant: config.tenant.clone(),
        source_id: id.to_owned(),
        base_url: pull.url.clone(),
        trust,
        realms: pull.realms.iter().map(realm).collect(),
        limits: Limits { poll: Duration::from_secs(pull.interval_seconds), ..Limits::default() },
        cursors: config.path("pull"),
        listener: config.sources.get(id).filter(|source| source.expects_webhook()).map(|_| LISTENER),
    })
}

/// The pulls of all sources.
pub struct Pulling {
    pullers: Vec<Puller>,
    realms: Realms,
}

impl Pulling {
    /// Opens the cursors of every source that is pulled; watermarks are written into the log from here on, until `stop` turns true.
    pub fn open(
        config: &Config,
        (journal, key): (&Journal, &DeploymentKey),
        (registry, stop): (&Registry, &watch::Receiver<bool>),
    ) -> anyhow::Result<Self> {
        let (mut pullers, mut realms) = (Vec::new(), Realms::new());
        for (id, pull) in config.sources.iter().filter_map(|(id, source)| Some((id, source.pull.as_ref()?))) {
            let around = surroundings(Arc::new(ToJournal(journal.clone())), key.clone());
            let puller = Puller::open(&source(config, id, pull)?, &around)?;
            let mark = Watermark { tenant: config.tenant.clone(), source_id: id.clone(), journal: journal.clone() };
            realms.extend(puller.status().into_iter().map(|realm| (id.clone(), realm)));
            tokio::spawn(mark.keep(puller.status(), stop.clone()));
            pullers.push(puller);
        }
        gauges::realms(registry, realms.clone())?;
        Ok(Self { pullers, realms })
    }

    /// Every realm, with its source.
    pub fn realms(&self) -> Realms {
        self.realms.clone()
    }

    /// Pulls until `stop` turns true.
    pub async fn run(self, mut stop: watch::Receiver<bool>) -> anyhow::Result<()> {
        let mut pullers: tokio::task::JoinSet<_> =
            self.pullers.into_iter().map(|puller| puller.run(stop.clone())).collect();
        while let Some(ended) = pullers.join_next().await {
            ended??;
        }
        let _ = stop.wait_for(|stop| *stop).await;
        Ok(())
    }
}

/// Writes a pull's watermark into the log behind the receipts that it covers, so that it is stored after them.
struct Watermark {
    tenant: String,
    source_id: String,
    journal: Journal,
}

impl Watermark {
    async fn keep(self, realms: Vec<watch::Receiver<collector::pull::RealmStatus>>, mut stop: watch::Receiver<bool>) {
        let mut told = i64::MIN;
        loop {
            tokio::select! {
                () = tokio::time::sleep(WATERMARK) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            // The input is complete only up to where its slowest realm is.
            let complete = realms.iter().map(|realm| realm.borrow().watermark()).collect::<Option<Vec<_>>>();
            let Some(mark) = complete.and_then(|marks| marks.into_iter().min()).filter(|mark| *mark > told) else {
                continue;
            };
            match self.journal.append(vec![self.entry(mark)]).await {
                Ok(_) => told = mark,
                Err(error) => tracing::warn!(%error, "A watermark could not be kept; it is tried again."),
            }
        }
    }

    fn entry(&self, watermark: i64) -> Entry {
        let header = ReceiptHeader {
            v: HEADER_VERSION,
            tenant: self.tenant.clone(),
            source_id: self.source_id.clone(),
            source_kind: SourceKind::Keycloak,
            input: Input::Collector,
            payload: Payload::InputClosed,
            received_at: now_ms(),
            native_id: String::new(),
            delivery_id: String::new(),
            delivery_keyed: false,
            delivery_index: 0,
            line: None,
        };
        let body = serde_json::json!({ "input": Input::Pull.as_str(), "watermark": watermark });
        Entry { header: header.to_bytes(), body: body.to_string().into_bytes() }
    }
}

/// Takes nothing: doctor only looks.
struct Nowhere;

impl Append for Nowhere {
    fn append(&self, _: Vec<Received>) -> Appending<'_> {
        Box::pin(async { Err(NotAppended::Later) })
    }
}

/// Asks each realm how it is.
pub async fn check(config: &Config) -> Vec<Check> {
    let mut checks = Vec::new();
    for (id, pull) in config.sources.iter().filter_map(|(id, source)| Some((id, source.pull.as_ref()?))) {
        let can = Check::new("pull", format!("source {id} can be pulled")).of_source(id);
        let opened = source(config, id, pull).and_then(|source| {
            let key = deployment::key(config)?;
            Ok(RealmPull::open(&source, &surroundings(Arc::new(Nowhere), key))?)
        });
        let mut realms = match opened {
            Ok(realms) => realms,
            Err(error) => {
                checks.push(can.look(format!("{error:#}")));
                continue;
            }
        };
        for realm in &mut realms {
            for state in realm.check().await {
                let what = format!("source {id}, realm {}: {}", realm.name(), state.as_str());
                let remedy = (state.severity() != Severity::Fine).then(|| state.remedy());
                checks.push(Check { remedy, ..Check::new("pull", what).of_source(id) });
            }
        }
    }
    checks
}
