//! Asks as Grafana would: expanded by the rules of its data source, with the settings and the user of the provisioned one.

use crate::support::client;
use dashboards::{Source, expand::Choice};
use serde_json::Value;
use store::ConnectOptions;

/// Width of a bar on the screen, seconds.
const INTERVAL: u32 = 60;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Whose.
    pub what: String,
    /// Names and types.
    pub columns: Vec<(String, String)>,
    /// In order.
    pub rows: Vec<Vec<Value>>,
}

impl Answer {
    /// All values of a column.
    pub fn column(&self, name: &str) -> Vec<Value> {
        let at = self.columns.iter().position(|(known, _)| known == name);
        let at = at.unwrap_or_else(|| panic!("{}: no column {name} in {:?}", self.what, self.columns));
        self.rows.iter().map(|row| row[at].clone()).collect()
    }
}

pub struct Grafana<'a> {
    source: &'a Source,
    reader: ConnectOptions,
    http: reqwest::Client,
    settings: Vec<(String, String)>,
}

impl<'a> Grafana<'a> {
    pub fn new(source: &'a Source, reader: ConnectOptions) -> Self {
        let one = &source.plain["datasource"]["datasources"][0]["jsonData"];
        assert_eq!((&one["username"], &one["defaultDatabase"]), (&reader.user.as_str().into(), &"tokentrail".into()));
        let settings = one["customSettings"].as_array().unwrap().iter();
        let settings =
            settings.map(|s| (s["setting"].as_str().unwrap().to_owned(), s["value"].as_str().unwrap().to_owned()));
        let mut settings: Vec<_> = settings.collect();
        // The plugin sends it with every question, so the reader must be allowed to.
        settings.push(("max_execution_time".into(), one["queryTimeout"].as_str().unwrap().into()));
        Self { source, reader, http: client(), settings }
    }

    /// Nothing is chosen: "All", and empty texts.
    pub fn everything(&self, (from, to): (i64, i64)) -> Choice {
        let mut choice = Choice { from, to, interval: INTERVAL, ..Choice::default() }.with("tenant", "default");
        for (name, variable) in self.source.shared.variables.iter().filter(|(name, _)| *name != "tenant") {
            choice = choice.with(name, "");
            if variable.all {
                choice.all.push(name.clone());
            }
        }
        choice
    }

    /// The answers to a panel's questions.
    pub async fn panel(&self, dashboard: &str, id: u32, choice: &Choice) -> Vec<Answer> {
        let panel = self.source.dashboards[dashboard].panels.iter().find(|panel| panel.id == id).unwrap();
        let mut answers = Vec::new();
        for sql in panel.questions() {
            answers.push(self.ask(&format!("{dashboard}: {}", panel.title), sql, choice).await);
        }
        answers
    }

    pub async fn ask(&self, what: &str, sql: &str, choice: &Choice) -> Answer {
        let sql = choice.expand(sql).unwrap_or_else(|error| panic!("{what}: {error:#}"));
        let request = self
            .http
            .post(&self.reader.url)
            .query(&[("database", self.reader.database.as_str()), ("default_format", "JSONCompact")])
            .query(&[("output_format_json_quote_64bit_integers", "0")])
            .query(&self.settings)
            .header("x-clickhouse-user", &self.reader.user)
            .header("x-clickhouse-key", &self.reader.password)
            .body(sql.clone());
        let answer = request.send().await.unwrap();
        let good = answer.status().is_success();
        let text = answer.text().await.unwrap();
        assert!(good, "{what}: {text}\n{sql}");
        let answer: Value = serde_json::from_str(&text).unwrap();
        let word = |value: &Value| value.as_str().unwrap().to_owned();
        let columns = answer["meta"].as_array().unwrap().iter().map(|one| (word(&one["name"]), word(&one["type"])));
        let rows = answer["data"].as_array().unwrap().iter().map(|row| row.as_array().unwrap().clone());
        Answer { what: what.to_owned(), columns: columns.collect(), rows: rows.collect() }
    }
}
