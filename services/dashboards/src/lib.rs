//! Makes what Grafana provisions (`dashboards/provisioning`) from a readable source (`dashboards/source`), and expands a panel's SQL
//! as Grafana's ClickHouse data source does, so that tests can run it, and draws a preview of the answers. Never shipped, never asks a database.

#![forbid(unsafe_code)]

mod alerts;
mod dashboard;
pub mod expand;
mod panel;
pub mod preview;
pub mod source;
mod yaml;

use anyhow::Context;
use source::{Alerts, Dashboard, Shared};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Plugin id of the data source.
pub const DATA_SOURCE: &str = "grafana-clickhouse-datasource";
/// Our data source's uid, as `datasource.toml` gives it.
pub const DATA_SOURCE_UID: &str = "tokentrail";
/// Files of the source that are one dashboard each.
pub const DASHBOARDS: [&str; 4] = ["overview", "investigation", "pipeline", "drift"];

/// The folder `dashboards` of this checkout.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dashboards")
}

/// Everything that was written by people.
#[derive(Debug)]
pub struct Source {
    /// Links, colours, variables, annotations.
    pub shared: Shared,
    /// By file name.
    pub dashboards: BTreeMap<String, Dashboard>,
    /// Alert rules.
    pub alerts: Alerts,
    /// Grafana's own structure: the data source, and where dashboards are read from.
    pub plain: BTreeMap<String, serde_json::Value>,
}

impl Source {
    /// Reads `dashboards/source`; unknown keys are refused with file and line.
    pub fn read(dir: &Path) -> anyhow::Result<Self> {
        let text = |name: &str| {
            let path = dir.join(name).with_extension("toml");
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let mut dashboards = BTreeMap::new();
        for name in DASHBOARDS {
            let dashboard = toml::from_str(&text(name)?).with_context(|| format!("{name}.toml"))?;
            dashboards.insert(name.to_owned(), dashboard);
        }
        let mut plain = BTreeMap::new();
        for name in ["datasource", "folders"] {
            plain.insert(name.to_owned(), toml::from_str(&text(name)?).with_context(|| format!("{name}.toml"))?);
        }
        Ok(Self {
            shared: toml::from_str(&text("shared")?).context("shared.toml")?,
            dashboards,
            alerts: toml::from_str(&text("alerts")?).context("alerts.toml")?,
            plain,
        })
    }

    /// What Grafana reads: path below `dashboards/provisioning`, and content.
    pub fn files(&self) -> anyhow::Result<BTreeMap<PathBuf, String>> {
        let mut files = BTreeMap::new();
        for (name, dashboard) in &self.dashboards {
            let json = dashboard::json(&self.shared, dashboard).with_context(|| format!("{name}.toml"))?;
            let path = Path::new("json").join(&dashboard.folder).join(format!("{name}.json"));
            files.insert(path, serde_json::to_string_pretty(&json)? + "\n");
        }
        let rules = alerts::json(&self.alerts);
        for (path, from, value) in [
            ("datasources/tokentrail.yaml", "datasource", &self.plain["datasource"]),
            ("dashboards/tokentrail.yaml", "folders", &self.plain["folders"]),
            ("alerting/tokentrail.yaml", "alerts", &rules),
        ] {
            files.insert(
                path.into(),
                format!("# Made from dashboards/source/{from}.toml by `make dashboards`.\n{}", yaml::text(value)),
            );
        }
        Ok(files)
    }
}
