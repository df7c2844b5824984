//! Kafka between collectors and processors: a forwarder puts a journal's records on a topic, a carrier brings them to a
//! processor; a foreign topic is a source. What a record looks like there is specified in docs/kafka.md, which changes together with `wire.rs`.
//!
//! Knows no event types: key and labels of a record come from the caller.

mod again;
mod apart;
mod aside;
mod behind;
mod bulletin;
mod carrier;
mod client;
mod clock;
mod files;
mod foreign;
mod forwarder;
mod judging;
mod lag;
mod member;
mod missed;
mod owned;
mod reached;
mod rebalance;
mod reports;
mod sending;
mod settings;
mod shared;
mod subscription;
mod token;
mod topics;
mod trial;
mod window;
mod wire;
mod words;

pub use bulletin::{Gate, KafkaBulletin};
pub use carrier::{KafkaCarrier, KafkaMark};
pub use foreign::{ForeignLoad, ForeignRecord, ForeignTopic};
pub use forwarder::{AGAIN, CONSUMER, ForwardError, ForwardStatus, Forwarder, Forwarding};
pub use lag::{Lag, LagError, LagMeter, PartitionLag};
pub use settings::{Connection, Mechanism, Sasl, SettingError, Tls, Token, TokenSource};
pub use shared::MemberStatus;
pub use subscription::{Reading, Subscription};
pub use topics::{Finding, Risk, TopicPlan, Topics, TopicsError};
pub use wire::{FORMAT, Label, Labeller, Unreadable};
