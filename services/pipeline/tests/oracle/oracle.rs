//! A database in which one side is the correlation's rows and the other what the oracle's SQL says.

use crate::support::Database;
use clickhouse::Row;
use correlate::{Config, Correlator, Effective, Join};
use events::{event::Event, person::DeploymentKey};
use pipeline::correlation::Fold;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
};
use store::{
    Block,
    correlation::{Correlated, EffectiveRecord, RightQuery, Told},
};

/// Most differences that are shown.
const SHOWN: usize = 12;
/// Instants at which everybody's rights are asked, per tenant.
const INSTANTS: usize = 6;
/// Tenants of which the view of rights by every path is read.
const VIEWED: usize = 40;
/// Tenants of which some rights of each kind are asked for their holders.
const ASKED_FROM_RIGHTS: usize = 2;
const FILES: [&str; 6] = ["01_inputs", "02_marks", "03_fold", "04_answers", "05_paths", "06_decisions"];
/// Rights by every path that only one side knows.
const RIGHTS: &str = "SELECT concat(tenant, ' ', if(side > 0, 'correlation', 'oracle'), ': right ', user, ' ', toString(at), ' ', answer) FROM (
    SELECT tenant, user, at, answer, sum(side) AS side FROM (
        SELECT tenant, user, at, answer, 1 AS side FROM {oracle}.asked WHERE answer != ''
        UNION ALL
        SELECT DISTINCT a.tenant, a.user, a.at, toString((e.kind, e.right, e.way, e.begun)), -1 FROM (SELECT DISTINCT tenant, user, at FROM {oracle}.asked) AS a
        INNER JOIN {oracle}.effective AS e ON e.tenant = a.tenant AND e.source = 'kc' AND e.user = a.user WHERE e.since <= a.at AND a.at < e.until
    ) GROUP BY tenant, user, at, answer
) WHERE side != 0 ORDER BY tenant, user, at, answer";
/// The same of what the view says of its tenants.
const VIEWS: &str = "WITH shown AS (SELECT DISTINCT tenant FROM {oracle}.viewed), asked AS (
    SELECT DISTINCT a.tenant AS tenant, p.person AS person, a.user AS user, a.at AS at FROM {oracle}.asked AS a
    INNER JOIN {oracle}.people AS p ON p.tenant = a.tenant AND p.source = 'kc' AND p.user = a.user WHERE a.tenant IN shown
)
SELECT concat(tenant, ' ', if(side > 0, 'view', 'oracle'), ': right ', person, ' ', toString(at), ' ', answer) FROM (
    SELECT tenant, person, at, answer, sum(side) AS side FROM (
        SELECT DISTINCT a.tenant AS tenant, a.person AS person, a.at AS at, toString((v.right_kind, v.right_id, v.path, v.begun)) AS answer, 1 AS side FROM asked AS a
        INNER JOIN {oracle}.viewed AS v ON v.tenant = a.tenant AND v.person = a.person WHERE v.since <= a.at AND a.at < v.until AND v.right_kind != 'permission'
        UNION ALL
        SELECT DISTINCT a.tenant, a.person, a.at, toString((e.kind, e.right, e.way, e.begun)), -1 FROM asked AS a
        INNER JOIN {oracle}.effective AS e ON e.tenant = a.tenant AND e.source = 'kc' AND e.user = a.user WHERE e.since <= a.at AND a.at < e.until
    ) GROUP BY tenant, person, at, answer
) WHERE side != 0 ORDER BY tenant, person, at, answer";

/// Who had a right at an instant: as walked from the people, and as walked from the right.
const PRIVILEGED: &str = "WITH asked AS (SELECT DISTINCT tenant, at FROM {oracle}.asked WHERE tenant IN (SELECT DISTINCT tenant FROM {oracle}.viewed))
SELECT concat(tenant, ' ', if(side > 0, 'from people', 'from rights'), ': right ', person, ' ', toString(at), ' ', right_id) FROM (
    SELECT tenant, person, at, right_id, sum(side) AS side FROM (
        SELECT DISTINCT a.tenant AS tenant, v.person AS person, a.at AS at, v.right_id AS right_id, 1 AS side FROM asked AS a
        INNER JOIN {oracle}.viewed AS v ON v.tenant = a.tenant WHERE v.since <= a.at AND a.at < v.until AND v.right_kind IN ('group', 'role')
        UNION ALL
        SELECT DISTINCT a.tenant, p.person, a.at, p.right_id, -1 FROM asked AS a
        INNER JOIN {database}.privileged_in(from = -8000000000000000, to = 8000000000000000) AS p ON p.tenant = a.tenant
        WHERE ifNull(toUnixTimestamp64Milli(p.held_from), -9000000000000000) <= a.at AND a.at < ifNull(toUnixTimestamp64Milli(p.held_to), 9000000000000000)
    ) GROUP BY tenant, person, at, right_id
) WHERE side != 0 ORDER BY tenant, person, at, right_id";

pub struct Oracle {
    database: Database,
    /// Where the oracle's own tables are.
    own: String,
    key: DeploymentKey,
    join: Join,
    events: Vec<Event>,
    rows: Correlated,
    rights: Vec<Asked>,
}

/// Somebody's rights at an instant as the correlation says them, one row each; an empty answer: the question alone.
#[derive(Row, Serialize, Deserialize)]
struct Asked {
    tenant: String,
    user: String,
    at: i64,
    answer: String,
}

impl Oracle {
    pub async fn new(key: DeploymentKey, join: Join) -> Self {
        let database = Database::new().await;
        let own = format!("{}_oracle", database.name);
        Self { database, own, key, join, events: Vec::new(), rows: Correlated::default(), rights: Vec::new() }
    }

    /// Gives the events of one tenant to both. They are of the tenant "default", by whose name person keys are made.
    pub async fn tell(&mut self, tenant: &str, events: &[Event]) {
        let (key, joins) = (self.key.clone(), vec![self.join.clone()]);
        let config = Config { tenant: "default".to_owned(), key, joins, skew: 1_000 };
        let mut correlator = Correlator::new(config.clone());
        let mut fold = Fold::new(config, 1, HashMap::new());
        for event in events {
            fold.take(&Told { event: event.clone(), copies: Vec::new() });
            correlator.take_event(event);
        }
        self.ask_for_rights(tenant, events, &correlator);
        let changes = fold.settle();
        let mut rows = fold.records(&changes);
        macro_rules! gather {
            ($($table:ident),+) => { $(
                rows.$table.iter_mut().for_each(|row| row.tenant = tenant.to_owned());
                self.rows.$table.append(&mut rows.$table);
            )+ };
        }
        gather!(sessions, tokens, credentials, grants, decisions, missing_events, aliases, world);
        self.events.extend(events.iter().cloned().map(|event| Event { tenant: tenant.to_owned(), ..event }));
    }

    /// What everybody may do at some of the instants at which something happened.
    fn ask_for_rights(&mut self, tenant: &str, events: &[Event], correlator: &Correlator) {
        let of_keycloak = events.iter().filter(|event| event.source_id == "kc" && !event.person_id.is_empty());
        let users: BTreeSet<&str> = of_keycloak.map(|event| event.person_id.as_str()).collect();
        let times: BTreeSet<i64> = events.iter().map(|event| event.time).collect();
        for at in times.iter().step_by((times.len() / INSTANTS).max(1)).copied() {
            for user in &users {
                let row = |answer| Asked { tenant: tenant.to_owned(), user: (*user).to_owned(), at, answer };
                let told: BTreeSet<String> = correlator.rights_at("kc", user, at).iter().map(answer).collect();
                self.rights.push(row(String::new()));
                self.rights.extend(told.into_iter().map(row));
            }
        }
    }

    /// Writes both sides and runs the oracle's files.
    pub async fn ask(&mut self) {
        let store = &self.database.store;
        store.insert(&Block { receipts: Vec::new(), events: std::mem::take(&mut self.events) }).await.unwrap();
        store.write_correlated(&self.rows).await.unwrap();
        self.run(&format!("CREATE DATABASE {}", self.own)).await;
        let asked = "(tenant String, user String, at Int64, answer String) ENGINE = Memory";
        self.run(&format!("CREATE TABLE {}.asked {asked}", self.own)).await;
        let client = self.database.sql().with_database(&self.own);
        let mut insert = client.insert::<Asked>("asked").await.unwrap();
        for asked in &self.rights {
            insert.write(asked).await.unwrap();
        }
        insert.end().await.unwrap();
        for file in FILES {
            let text = self.text(file);
            for (number, statement) in text.split(";\n").filter(|statement| !statement.trim().is_empty()).enumerate() {
                self.run(statement).await;
                if file == "01_inputs" && number == 0 {
                    let Join { backstage, keycloak, clients, token_life, .. } = &self.join;
                    let declared =
                        format!("('{backstage}', '{keycloak}', {clients:?}, {token_life}, 1000)").replace('"', "'");
                    self.run(&format!("INSERT INTO {}.joins VALUES {declared}", self.own)).await;
                }
            }
        }
    }

    /// Fails with what only one side says; how many sessions, grants, decisions and rights at an instant both say.
    pub async fn agreed(&self) -> [u64; 4] {
        let text = self.text("07_compare");
        let rows = text.trim().trim_end_matches(';');
        let rows = format!("SELECT concat(tenant, ' ', said_by, ': ', what, ' ', row) FROM ({rows})");
        let rights = RIGHTS.replace("{oracle}", &self.own);
        let views = self.views().await;
        for statement in [rows, rights, views] {
            let found: Vec<String> = self.database.sql().query(&escaped(&statement)).fetch_all().await.unwrap();
            let shown: Vec<&str> = found.iter().take(SHOWN).map(String::as_str).collect();
            assert!(found.is_empty(), "{} differences:\n{}", found.len(), shown.join("\n"));
        }
        self.asked_from_rights().await;
        self.asked_of_persons().await;
        let mut counts = [0; 4];
        for (table, count) in
            ["sessions", "grants", "decisions", "asked WHERE answer != ''"].into_iter().zip(&mut counts)
        {
            let sql = format!("SELECT count() FROM {}.{table}", self.own);
            *count = self.database.sql().query(&sql).fetch_one().await.unwrap();
        }
        counts
    }

    /// What the view of rights by every path says of some tenants, at all times, against the oracle.
    async fn views(&self) -> String {
        let (own, from) = (&self.own, &self.database.name);
        let columns = "tenant, person, right_kind, right_id, path, toUnixTimestamp64Milli(granted_at) AS begun, \
            ifNull(toUnixTimestamp64Milli(held_from), -9000000000000000) AS since, ifNull(toUnixTimestamp64Milli(held_to), 9000000000000000) AS until";
        let view = |tenant: &str| {
            let asked = "tenant = {tenant:String}, person = '', from = {from:Int64}, to = {to:Int64}";
            let asked = asked.replace("{tenant:String}", &format!("'{tenant}'"));
            let asked = asked.replace("{from:Int64}", "-8000000000000000").replace("{to:Int64}", "8000000000000000");
            format!("SELECT {columns} FROM {from}.effective_in({asked})")
        };
        let tenants: BTreeSet<&str> = self.rights.iter().map(|asked| asked.tenant.as_str()).collect();
        self.run(&format!("CREATE TABLE {own}.viewed ENGINE = Memory AS {} LIMIT 0", view(""))).await;
        for tenant in tenants.iter().take(VIEWED) {
            self.run(&format!("INSERT INTO {own}.viewed {}", view(tenant))).await;
        }
        VIEWS.replace("{oracle}", own)
    }

    /// Who has a right is the same asked from the right as from everybody.
    async fn asked_from_rights(&self) {
        let (own, from) = (&self.own, &self.database.name);
        let named = format!(
            "INSERT INTO {from}.privileged_right_rows SELECT DISTINCT tenant, right_id, 1, 0, right_kind, '' FROM {own}.viewed WHERE right_kind IN ('group', 'role')"
        );
        self.run(&named).await;
        let statement = PRIVILEGED.replace("{oracle}", own).replace("{database}", from);
        let found: Vec<String> = self.database.sql().query(&escaped(&statement)).fetch_all().await.unwrap();
        let shown: Vec<&str> = found.iter().take(SHOWN).map(String::as_str).collect();
        assert!(found.is_empty(), "{} differences:\n{}", found.len(), shown.join("\n"));

        let tenants: BTreeSet<&str> = self.rights.iter().map(|asked| asked.tenant.as_str()).collect();
        let mut holders = 0;
        for tenant in tenants.into_iter().take(ASKED_FROM_RIGHTS) {
            let times = self.rights.iter().filter(|asked| asked.tenant == tenant).map(|asked| asked.at);
            let at = times.max().unwrap_or_default();
            let all = format!("effective_in(tenant = '{tenant}', person = '', from = {at}, to = {at})");
            let rights = format!(
                "SELECT DISTINCT toString(right_kind) AS kind, right_id FROM {from}.{all} ORDER BY kind, right_id DESC LIMIT 2 BY kind"
            );
            for (kind, right) in self.database.sql().query(&rights).fetch_all::<(String, String)>().await.unwrap() {
                let query = match kind.as_str() {
                    "backstage_role" => RightQuery { role: right.clone(), ..RightQuery::default() },
                    "permission" => {
                        let permission = right.split('|').next().unwrap_or_default().to_owned();
                        RightQuery { permissions: vec![permission], ..RightQuery::default() }
                    }
                    _ => RightQuery { ids: vec![right.clone()], ..RightQuery::default() },
                };
                let mut found = self.database.store.who_had(tenant, &query, at).await.unwrap();
                found.retain(|one| one.right_id == right);
                let sql =
                    format!("SELECT ?fields FROM {from}.{all} WHERE right_kind = '{kind}' AND right_id = '{right}'");
                let expected: Vec<EffectiveRecord> = self.database.sql().query(&sql).fetch_all().await.unwrap();
                assert!(found.is_sorted_by_key(|row| (&row.person, &row.path)), "{found:?}");
                assert_eq!(sorted(found), sorted(expected.clone()), "{tenant}: {kind} {right} at {at}");
                holders += expected.len();
            }
        }
        assert!(holders > 0, "somebody holds something");
    }

    /// What one person has is the same by the walk in memory as by the view, as of an instant and over all times.
    async fn asked_of_persons(&self) {
        let (own, from) = (&self.own, &self.database.name);
        let tenants: BTreeSet<&str> = self.rights.iter().map(|asked| asked.tenant.as_str()).collect();
        let mut rows = 0;
        for tenant in tenants.into_iter().take(ASKED_FROM_RIGHTS) {
            let times = self.rights.iter().filter(|asked| asked.tenant == tenant).map(|asked| asked.at);
            let at = times.max().unwrap_or_default();
            let persons = format!("SELECT DISTINCT person FROM {own}.viewed WHERE tenant = '{tenant}' ORDER BY person");
            for person in self.database.sql().query(&persons).fetch_all::<String>().await.unwrap() {
                for (since, until) in [(at, at), (-8_000_000_000_000_000, 8_000_000_000_000_000)] {
                    let found = self.database.store.rights_of(tenant, &person, (since, until)).await.unwrap();
                    let sql = format!(
                        "SELECT ?fields FROM {from}.effective_in(tenant = '{tenant}', person = '{person}', from = {since}, to = {until})"
                    );
                    let expected: Vec<EffectiveRecord> = self.database.sql().query(&sql).fetch_all().await.unwrap();
                    rows += expected.len();
                    assert_eq!(sorted(found), sorted(expected), "{tenant}: {person} from {since} to {until}");
                }
            }
        }
        assert!(rows > 0, "somebody has something");
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

/// In an order of all that they say: the view has one of what leads to a right alone.
fn sorted(mut rows: Vec<EffectiveRecord>) -> Vec<EffectiveRecord> {
    rows.sort_by_cached_key(|row| format!("{row:?}"));
    rows
}

/// A question mark is a place for a value to the client.
fn escaped(statement: &str) -> String {
    statement.replace('?', "??")
}

/// As `toString` writes the tuple of the oracle.
fn answer(right: &Effective) -> String {
    use correlate::rows::RightKind;
    let kind = match right.kind {
        RightKind::Group => "group",
        RightKind::Role => "role",
        _ => "backstage_role",
    };
    let path: Vec<String> = right.path.iter().map(|step| format!("'{step}'")).collect();
    let since = right.since.map_or_else(|| "NULL".to_owned(), |since| since.to_string());
    format!("('{kind}','{}',[{}],{since})", right.right, path.join(","))
}
