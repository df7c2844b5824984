//! Stands in for `kafka` in a build without it: there is no link, and the config refuses brokers.

use crate::{
    config::Config,
    status::{ObserveKafka, ObserveTopics},
};
use durable_log::{Journal, bulletin::Alone, carrier::JournalCarrier};
use events::person::DeploymentKey;
use pipeline::flow;
use prometheus::Registry;
use std::convert::Infallible;
use tokio::sync::watch;

/// Never made.
#[derive(Clone)]
pub struct Link(Infallible);

/// Never made.
pub struct Forward(Infallible);

/// Every name that the journal's consumer can have had, also by a build with Kafka, and that of one that reads again by order.
pub const CONSUMERS: [&str; 3] = [flow::CONSUMER, "kafka", "kafka-again"];

/// Nothing: the config refuses brokers.
pub fn check(_: &Config) -> anyhow::Result<()> {
    Ok(())
}

/// Name of the journal's consumer.
pub fn journal_consumer(_: &Config) -> &'static str {
    flow::CONSUMER
}

impl Link {
    /// None.
    pub fn of(_: &Config, _: &Registry) -> anyhow::Result<Option<Self>> {
        Ok(None)
    }

    /// Never called.
    pub fn forward(&self, _: &Journal) -> anyhow::Result<Forward> {
        match self.0 {}
    }

    /// Never called.
    pub fn join(&self, _: &watch::Receiver<bool>) -> anyhow::Result<Option<(JournalCarrier, Option<Alone>)>> {
        match self.0 {}
    }

    /// Never called.
    pub fn observe(&self) -> ObserveKafka {
        match self.0 {}
    }
}

/// No topic is a source here: the config refuses it.
pub struct TopicSources;

impl TopicSources {
    /// None.
    pub fn new(_: &Config, _: (Journal, DeploymentKey), _: &Registry) -> anyhow::Result<Self> {
        Ok(Self)
    }

    /// None.
    pub fn observe(&self) -> Option<ObserveTopics> {
        None
    }

    /// Waits.
    pub async fn run(self, mut stop: watch::Receiver<bool>) -> anyhow::Result<()> {
        let _ = stop.wait_for(|stop| *stop).await;
        Ok(())
    }
}

impl Forward {
    /// Never called.
    pub fn remote(&self) -> impl Fn(u64) -> Result<(), Infallible> + Send + Sync + 'static + use<> {
        |_| Ok(())
    }

    /// Never called.
    pub async fn ended(&self) {
        match self.0 {}
    }

    /// Never called.
    pub fn stop(self) -> anyhow::Result<()> {
        match self.0 {}
    }
}
