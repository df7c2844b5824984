//! Heartbeats of every source that can have them, and what the keeper of completeness may therefore expect.

use crate::{
    app::now_ms,
    config::{Config, Heartbeat, Kind, SourceConfig},
    pulling::{self, ToJournal},
    trusting,
};
use collector::heartbeat::{Heart, Instance, Surroundings};
use durable_log::Journal;
use events::receipt::{Input, SourceKind};
use pipeline::coverage::Expected;
use prometheus::IntCounterVec;
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinSet};

/// How far behind a pull stands when all is well, beside its interval: its overlap and the pace of its watermarks, seconds.
const PULL_BEHIND: u64 = 120 + 30;

/// Sends heartbeats until `stop` turns true.
pub async fn run(
    config: Config,
    journal: Journal,
    (sent, stop): (IntCounterVec, watch::Receiver<bool>),
) -> anyhow::Result<()> {
    let mut beating = JoinSet::new();
    for (id, source) in &config.sources {
        let around = Surroundings {
            append: Arc::new(ToJournal(journal.clone())),
            now: Arc::new(now_ms),
            interval: Duration::from_secs(source.heartbeat_seconds()),
            sent: sent.clone(),
        };
        for heart in hearts(&config, id, source)? {
            beating.spawn(heart.run(around.clone(), stop.clone()));
        }
    }
    while let Some(ended) = beating.join_next().await {
        ended??;
    }
    let mut stop = stop;
    let _ = stop.wait_for(|stop| *stop).await;
    Ok(())
}

fn hearts(config: &Config, id: &str, source: &SourceConfig) -> anyhow::Result<Vec<Heart>> {
    if let Some(login) = source.login() {
        return Ok(Heart::keycloak(&pulling::source(config, id, &login)?)?);
    }
    let trust = trusting::at_heartbeat(config, id)?;
    let instances = source.heartbeat.iter().flat_map(Heartbeat::addresses);
    let heart = |(name, url)| Ok(Heart::backstage(&config.tenant, id, Instance { name, url, trust: &trust })?);
    instances.map(heart).collect()
}

/// Where the heartbeats of a source are sent: realms of a Keycloak, instances of a Backstage (one empty name if it counts
/// as one).
pub fn scopes(source: &SourceConfig) -> Vec<String> {
    match source.kind {
        Kind::Keycloak => {
            let own = source.login().filter(|login| login.login_realm.is_none());
            own.map(|login| login.realms).unwrap_or_default()
        }
        Kind::Backstage => {
            let instances = source.heartbeat.iter().flat_map(Heartbeat::addresses);
            instances.map(|(name, _)| name.to_owned()).collect()
        }
    }
}

/// The inputs by which a source pushes: a Keycloak may have a webhook and a topic, and each is to bring its heartbeats.
fn pushes(source: &SourceConfig) -> Vec<Input> {
    // A bearer token alone may be there for imports only.
    let http = !source.webhook_secret_files.is_empty() || source.jwt.is_some() || source.basic.is_some();
    match source.kind {
        Kind::Backstage => vec![Input::Lines],
        Kind::Keycloak => {
            let ways = [(http, Input::Webhook), (source.kafka.is_some(), Input::Kafka)];
            ways.into_iter().filter(|(is_there, _)| *is_there).map(|(_, input)| input).collect()
        }
    }
}

/// What must come back, by source and input.
pub fn expected(config: &Config) -> Vec<Expected> {
    let of_source = |(id, source): (&String, &SourceConfig)| {
        let interval = i64::try_from(source.heartbeat_seconds().saturating_mul(1000)).unwrap_or(i64::MAX);
        let kind = match source.kind {
            Kind::Keycloak => SourceKind::Keycloak,
            Kind::Backstage => SourceKind::Backstage,
        };
        let stale = source.pull.as_ref().map(|pull| {
            let late = u64::from(config.lateness_seconds) + PULL_BEHIND + 2 * pull.interval_seconds;
            i64::try_from(late.saturating_mul(1000)).unwrap_or(i64::MAX)
        });
        let scopes = scopes(source);
        let pushed = pushes(source).into_iter().filter(|_| !scopes.is_empty());
        let mut ways: Vec<_> = pushed.map(|input| Some((input, scopes.clone(), interval))).collect();
        if ways.is_empty() {
            ways.push(None);
        }
        // What is said of its pull is said once.
        let one = |(number, push)| {
            let pull = stale.filter(|_| number == 0);
            Expected { source_id: id.clone(), kind, push, pull }
        };
        ways.into_iter().enumerate().map(one).collect::<Vec<_>>()
    };
    config.sources.iter().flat_map(of_source).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heartbeats_are_waited_for_by_every_input_that_a_keycloak_pushes_by() {
        let told = |more: &str| {
            let text = format!(
                "kind = \"keycloak\"\n{more}\n[pull]\nurl = \"http://k\"\nrealms = [\"acme\"]\nclient_id = \"t\"\n\
                 client_secret_file = \"c\""
            );
            let mut config = Config::default();
            config.sources.clear();
            config.sources.insert("kc".into(), toml::from_str(&text).unwrap());
            let expected = expected(&config).into_iter();
            expected.map(|one| (one.push.map(|push| push.0), one.pull.is_some())).collect::<Vec<_>>()
        };
        let (webhook, topic) =
            ("webhook_secret_files = [\"s\"]", "[kafka]\nbrokers = [\"b:9092\"]\ntopics = [\"events\"]");
        assert_eq!(told(""), [(None, true)]);
        assert_eq!(told(webhook), [(Some(Input::Webhook), true)]);
        assert_eq!(told(topic), [(Some(Input::Kafka), true)]);
        let both = [(Some(Input::Webhook), true), (Some(Input::Kafka), false)];
        assert_eq!(told(&format!("{webhook}\n{topic}")), both);
    }
}
