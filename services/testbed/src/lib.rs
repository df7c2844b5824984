//! Real servers for tests and demos: fetched once, started on free ports, always stopped. Never shipped.
//!
//! Nothing here downloads by itself: Maven, npm and apt do, through their own settings, and every file is checked against
//! a pinned hash (Debian's packages: against the signed index that apt fetched). What was fetched stays in [`cache_dir`], outside the checkout.

#![forbid(unsafe_code)]

mod alertmanager;
pub mod authority;
pub mod backstage;
pub mod cache;
mod engine;
mod java;
pub mod kafka;
pub mod keycloak;
mod patience;
pub mod port;
pub mod process;
mod small_disk;
mod terminal;

pub use alertmanager::{Alertmanager, AlertmanagerOptions};
pub use cache::cache_dir;
pub use engine::engine;
pub use kafka::{Kafka, KafkaOptions};
pub use keycloak::{EventStore, Keycloak, KeycloakOptions, Webhook};
pub use patience::until;
pub use port::free_port;
pub use small_disk::SmallDisk;
pub use terminal::Terminal;
