//! A database in which one side is the correlation's rows and the other what the oracle's SQL says.

use crate::support::Database;
use correlate::{Config, Join};
use events::{event::Event, person::DeploymentKey};
use pipeline::correlation::Fold;
use std::{collections::HashMap, path::Path};
use store::{
    Block,
    correlation::{Correlated, Told},
};

/// Most differences that are shown.
const SHOWN: usize = 12;

pub struct Oracle {
    database: Database,
    /// Where the oracle's own tables are.
    own: String,
    key: DeploymentKey,
    join: Join,
    events: Vec<Event>,
    rows: Correlated,
}

impl Oracle {
    pub async fn new(key: DeploymentKey, join: Join) -> Self {
        let database = Database::new().await;
        let own = format!("{}_oracle", database.name);
        Self { database, own, key, join, events: Vec::new(), rows: Correlated::default() }
    }

    /// Gives the events of one tenant to both. They are of the tenant "default", by whose name person keys are made.
    pub async fn tell(&mut self, tenant: &str, events: &[Event]) {
        let (key, joins) = (self.key.clone(), vec![self.join.clone()]);
        let config = Config { tenant: "default".to_owned(), key, joins, skew: 1_000 };
        let mut fold = Fold::new(config, 1, HashMap::new());
        for event in events {
            fold.take(&Told { event: event.clone(), copies: Vec::new() });
        }
        let changes = fold.settle();
        let mut rows = fold.records(&changes);
        macro_rules! gather {
            ($($table:ident),+) => { $(
                rows.$table.iter_mut().for_each(|row| row.tenant = tenant.to_owned());
                self.rows.$table.append(&mut rows.$table);
            )+ };
        }
        gather!(sessions, tokens, credentials, grants, decisions, missing_events, aliases);
        self.events.extend(events.iter().cloned().map(|event| Event { tenant: tenant.to_owned(), ..event }));
    }

    /// Writes both sides and runs the oracle's files.
    pub async fn ask(&mut self) {
        let store = &self.database.store;
        store.insert(&Block { receipts: Vec::new(), events: std::mem::take(&mut self.events) }).await.unwrap();
        store.write_correlated(&self.rows).await.unwrap();
        self.run(&format!("CREATE DATABASE {}", self.own)).await;
        for file in ["01_inputs", "02_marks", "03_fold", "04_answers"] {
            let text = self.text(file);
            for (number, statement) in text.split(";\n").filter(|statement| !statement.trim().is_empty()).enumerate() {
                self.run(statement).await;
                if file == "01_inputs" && number == 0 {
                    let Join { backstage, keycloak, clients, token_life, .. } = &self.join;
                    let declared = format!("('{backstage}', '{keycloak}', {clients:?}, {token_life}, 1000)").replace('"', "'");
                    self.run(&format!("INSERT INTO {}.joins VALUES {declared}", self.own)).await;
                }
            }
        }
    }

    pub async fn assert_agrees(&self) {
        let text = self.text("07_compare");
        let statement = text.trim().trim_end_matches(';');
        let statement = format!("SELECT concat(tenant, ' ', said_by, ': ', what, ' ', row) FROM ({statement})");
        let found: Vec<String> = self.database.sql().query(&escaped(&statement)).fetch_all().await.unwrap();
        let shown: Vec<&str> = found.iter().take(SHOWN).map(String::as_str).collect();
        assert!(found.is_empty(), "{} differences:\n{}", found.len(), shown.join("\n"));
    }

    fn text(&self, file: &str) -> String {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/clickhouse/oracle");
        let text = std::fs::read_to_string(dir.join(format!("{file}.sql"))).unwrap();
        text.replace("{database}", &self.database.name).replace("{oracle}", &self.own)
    }

    async fn run(&self, statement: &str) {
        let asked = self.database.sql().query(&escaped(statement)).execute().await;
        asked.unwrap_or_else(|error| panic!("{error}\n{statement}"));
    }
}

/// A question mark is a place for a value to the client.
fn escaped(statement: &str) -> String {
    statement.replace('?', "??")
}
