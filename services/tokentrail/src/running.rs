//! The run file: how the other subcommands find the running program and its store. Mode 0600, gone after a clean stop.

use crate::{
    app::ORDER_HEADER,
    config::Config,
    secrets::{self, write_private},
    trusting,
};
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::{net::SocketAddr, path::PathBuf};

/// Where the running program listens and how to reach its store.
#[derive(Serialize, Deserialize)]
pub struct RunFile {
    /// Process id, for people.
    pub pid: u32,
    /// Intake; none in a process that takes nothing in.
    #[serde(default)]
    pub intake: Option<SocketAddr>,
    /// Admin listener.
    pub admin: SocketAddr,
    /// What proves to the admin listener that an order is of somebody who may read this file.
    #[serde(default)]
    pub order: String,
    /// Whether it stores what comes in.
    #[serde(default)]
    pub stores: bool,
    /// ClickHouse; none in a process that stores nothing, and as long as ClickHouse has not answered.
    #[serde(flatten)]
    pub store: Option<RunStore>,
}

/// How to reach the store of a running program.
#[derive(Serialize, Deserialize)]
pub struct RunStore {
    /// Address of ClickHouse.
    pub store_url: String,
    /// User of ClickHouse.
    pub store_user: String,
    /// Password of that user: random for each start of the embedded engine.
    pub store_password: String,
}

/// The store of the running program; where none runs and ClickHouse is reached by URL, that one.
pub fn store(config: &Config) -> anyhow::Result<store::Store> {
    let running = RunFile::read(config);
    let stores = running.as_ref().is_ok_and(|running| running.store.is_some());
    let Some(url) = config.store.url.as_ref().filter(|_| !stores) else { return running?.store(config) };
    let password = match &config.store.password_file {
        Some(file) => secrets::read(&config.data_dir, file)?,
        None => String::new(),
    };
    let (database, user) = (config.store.database.clone(), config.store.user.clone());
    let trust = trusting::at_store(config)?;
    Ok(store::Store::connect(store::ConnectOptions { url: url.clone(), database, user, password, trust })?)
}

fn path(config: &Config) -> PathBuf {
    config.path("run.json")
}

impl RunFile {
    /// Writes it, replacing an older one.
    pub fn write(&self, config: &Config) -> anyhow::Result<()> {
        write_private(&path(config), &serde_json::to_vec_pretty(self)?)
    }

    /// Reads the one of the program that runs on this config's data folder.
    pub fn read(config: &Config) -> anyhow::Result<Self> {
        let path = path(config);
        let text = std::fs::read(&path).with_context(|| {
            format!("no Tokentrail runs on {} (start it with `tokentrail up`)", config.data_dir.display())
        })?;
        serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))
    }

    /// An order to a path of the admin listener.
    pub fn order(&self, http: &reqwest::Client, path: &str) -> reqwest::RequestBuilder {
        http.post(format!("http://{}{path}", self.admin)).header(ORDER_HEADER, &self.order)
    }

    /// The store of the running program.
    pub fn store(&self, config: &Config) -> anyhow::Result<store::Store> {
        let lacks = if self.stores {
            "ClickHouse has not answered the program that runs here yet (`tokentrail status` says why)"
        } else {
            "the program that runs here stores nothing: ask where `process` runs"
        };
        let run = self.store.as_ref().context(lacks)?;
        let options = store::ConnectOptions {
            url: run.store_url.clone(),
            database: config.store.database.clone(),
            user: run.store_user.clone(),
            password: run.store_password.clone(),
            trust: trusting::at_store(config)?,
        };
        Ok(store::Store::connect(options)?)
    }

    /// Removes it after a clean stop.
    pub fn remove(config: &Config) {
        if let Err(error) = std::fs::remove_file(path(config)) {
            tracing::debug!(%error, "no run file to remove");
        }
    }
}
