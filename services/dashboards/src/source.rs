//! The words of the source files. Unknown keys are refused.

use serde::Deserialize;
use std::collections::BTreeMap;

/// `shared.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shared {
    /// Data links by name.
    pub links: BTreeMap<String, Link>,
    /// Sets of words with their colours.
    pub colours: BTreeMap<String, BTreeMap<String, String>>,
    /// Sets of words with what is shown for them.
    pub words: BTreeMap<String, BTreeMap<String, String>>,
    /// Variables by name.
    pub variables: BTreeMap<String, Variable>,
    /// Annotations by name.
    pub annotations: BTreeMap<String, Annotation>,
}

/// A data link.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// What the reader sees.
    pub title: String,
    /// Below the root of Grafana, with Grafana's variables.
    pub url: String,
}

/// A variable: of a query, of fixed values, or free text.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    /// What the reader sees.
    pub label: String,
    /// One column, or `value` and `text`.
    pub sql: Option<String>,
    /// Fixed values.
    #[serde(default)]
    pub values: Vec<String>,
    /// Several may be chosen, and all.
    #[serde(default)]
    pub all: bool,
}

/// Marks on every time axis.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Annotation {
    /// What the reader sees.
    pub title: String,
    /// Colour.
    pub colour: String,
    /// Columns time, timeEnd, text, tags.
    pub sql: String,
}

/// One dashboard.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dashboard {
    /// For ever: links and bookmarks rest on it.
    pub uid: String,
    /// Title.
    pub title: String,
    /// Folder of Grafana; rights are given by folder.
    pub folder: String,
    /// For whom, and what it answers.
    pub description: String,
    /// Beginning of the period at first sight.
    pub from: String,
    /// Names of shared variables, in order.
    pub variables: Vec<String>,
    /// Names of shared annotations.
    pub annotations: Vec<String>,
    /// Panels.
    #[serde(rename = "panel")]
    pub panels: Vec<Panel>,
}

/// How a panel is drawn.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// One value.
    Stat,
    /// A table.
    Table,
    /// Stacked bars over time.
    Bars,
    /// Lines over time.
    Line,
    /// States over time, one lane per query.
    Timeline,
    /// Horizontal bars, a word and a number each.
    Ranking,
}

/// One panel.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Panel {
    /// Unique in its dashboard, for ever.
    pub id: u32,
    /// Title.
    pub title: String,
    /// How it is drawn.
    pub kind: Kind,
    /// Left, top, width, height; 24 columns.
    pub at: [u32; 4],
    /// A unit of Grafana.
    pub unit: String,
    /// Digits after the point.
    pub decimals: Option<u32>,
    /// The least width of a bar.
    pub interval: Option<String>,
    /// What it says and what it does not.
    pub description: String,
    /// What stands there when there is nothing.
    pub empty: String,
    /// Column whose word names each series.
    pub series: Option<String>,
    /// Sets of words of `shared.toml`.
    #[serde(default)]
    pub colours: Sets,
    /// Thresholds: a colour, then `value colour`.
    #[serde(default)]
    pub steps: Vec<String>,
    /// Its question.
    pub sql: Option<String>,
    /// Its questions, if it has several.
    #[serde(default)]
    pub query: Vec<Query>,
    /// Columns of a table that differ.
    #[serde(default)]
    pub columns: BTreeMap<String, Column>,
}

/// No, one or several sets of colours.
#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
pub enum Sets {
    /// None.
    #[default]
    None,
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// One question of several.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// SQL.
    pub sql: String,
}

/// A column of a table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Data link.
    pub link: Option<String>,
    /// Set of colours.
    pub colours: Option<String>,
    /// Set of words that are shown as others; not beside colours.
    pub words: Option<String>,
    /// Unit.
    pub unit: Option<String>,
    /// Digits after the point.
    pub decimals: Option<u32>,
    /// Pixels.
    pub width: Option<u32>,
    /// Thresholds.
    #[serde(default)]
    pub steps: Vec<String>,
}

impl Panel {
    /// All its questions.
    pub fn questions(&self) -> impl Iterator<Item = &str> {
        self.sql.iter().map(String::as_str).chain(self.query.iter().map(|query| query.sql.as_str())).map(str::trim)
    }
}

impl Sets {
    /// Their names.
    pub fn names(&self) -> &[String] {
        match self {
            Self::None => &[],
            Self::One(name) => std::slice::from_ref(name),
            Self::Many(names) => names,
        }
    }
}

/// `alerts.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alerts {
    /// Folder of Grafana.
    pub folder: String,
    /// Name of the group.
    pub group: String,
    /// Between two evaluations.
    pub interval: String,
    /// Uid of the dashboard that explains them.
    pub dashboard: String,
    /// Rules.
    #[serde(rename = "rule")]
    pub rules: Vec<Rule>,
}

/// One alert rule.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// For ever.
    pub uid: String,
    /// Title.
    pub title: String,
    /// Panel that shows it.
    pub panel: u32,
    /// How long it must hold.
    #[serde(rename = "for")]
    pub lasts: String,
    /// Label.
    pub severity: String,
    /// State when the query answers nothing.
    pub no_data: String,
    /// It fires above this value.
    pub above: i64,
    /// With labels of the row.
    pub summary: String,
    /// What to do.
    pub remedy: String,
    /// Text columns are labels, one number is the value.
    pub sql: String,
}
