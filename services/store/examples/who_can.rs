//! Measures who has a right, asked from the right, on the real engine with the real schema:
//!
//! `TOKENTRAIL_ENGINE="$(services/store/engine/fetch.sh)" cargo run --release -p store --example who_can [PEOPLE]`
//! lays out that many people (default 100,000), each tied to a Backstage and in four of 2,000 groups below 100 others, which have roles
//! with roles in them and Backstage roles with policies; and asks who has one of four rights, from the right and from everybody. Rows
//! are made by the engine itself, past the store's inserts.

mod support;

use clickhouse::Client;
use std::{error::Error, time::Instant};
use store::{
    DEFAULT_DATABASE, Store,
    correlation::RightQuery,
    engine::{Engine, State},
};

const DEFAULT_PEOPLE: u64 = 100_000;
/// 2026-11-01.
const NOW: i64 = 1_793_491_200_000;
/// Asked so often; the best counts, and of processor time the mean.
const TRIES: usize = 5;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    support::begin();
    let people = std::env::args().skip(1).find_map(|text| text.parse().ok()).unwrap_or(DEFAULT_PEOPLE);
    support::on_an_engine(async |engine| measure(engine, people).await).await
}

/// Rows of `grant_rows` or `world_rows`: a person (or none) and values, all over `number`.
fn fill(table: &str, (count, person): (u64, &str), columns: &[(&str, &str)]) -> String {
    let (names, values): (Vec<&str>, Vec<&str>) = columns.iter().copied().unzip();
    let values = values.join(", ");
    format!(
        "INSERT INTO {table} (tenant, person, at, row_id, version, is_deleted, content, because, source_id, {}) \
         WITH fromUnixTimestamp64Milli({NOW} - 86400000 - toInt64(number), 'UTC') AS moment \
         SELECT 'default', {person}, moment, reinterpretAsFixedString(reinterpretAsUInt128(sipHash128(number, '{}'))), 1, 0, 1, \
           toUUID('00000000-0000-0000-0000-000000000000'), 'kc', {values} FROM numbers({count})",
        names.join(", "),
        values.replace('\'', "")
    )
}

fn edges(kind: &str, count: u64, (holder, held): (&str, &str)) -> String {
    let columns = [("kind", &*format!("'{kind}'")), ("holder", holder), ("held", held), ("held_source_id", "'kc'")]
        .map(|(name, value)| (name, value.to_owned()));
    let columns: Vec<(&str, &str)> = columns.iter().map(|(name, value)| (*name, &**value)).collect();
    fill("world_rows", (count, "''"), &columns)
}

async fn measure(engine: &Engine, people: u64) -> Result<(), Box<dyn Error>> {
    let State::Running { pid, .. } = *engine.state().borrow() else {
        return Err("the engine is not running".into());
    };
    let options = engine.connect_options(DEFAULT_DATABASE);
    let client = Client::default()
        .with_url(&options.url)
        .with_user(&options.user)
        .with_password(&options.password)
        .with_database(&options.database);
    let store = Store::connect(options)?;
    store.migrate().await?;
    let person = |n: &str| format!("lower(hex(sipHash128({n})))");
    let id = |name: &str, n: &str| format!("concat('{name}', leftPad(toString({n}), 32, '0'))");
    let all = [
        fill(
            "grant_rows",
            (people * 4, &person("intDiv(number, 4)")),
            &[("right_kind", "'group'"), ("right_id", &id("g", "sipHash64(number) % 2000")), ("held_from", "moment")],
        ),
        fill(
            "world_rows",
            (people, &person("number")),
            &[
                ("kind", "'tie'"),
                ("holder", "concat('user:default/u', toString(number))"),
                ("held", "toString(number)"),
            ],
        ),
        edges("parent", 2_000, (&id("g", "number"), &id("p", "number % 100"))),
        edges("group_role", 100, (&id("p", "number"), &id("r", "number"))),
        edges("composite", 100, (&id("r", "number"), &id("c", "number % 50"))),
        edges("name", 100, (&id("p", "number"), "concat('group:default/p', toString(number))")),
        edges(
            "role_member",
            100,
            ("concat('group:default/p', toString(number))", "concat('role:default/b', toString(number))"),
        ),
        edges(
            "policy",
            100,
            ("concat('role:default/b', toString(number))", "concat('deploy', toString(number), '|use|allow')"),
        ),
    ];
    for statement in all {
        client.query(&statement).execute().await?;
    }
    let one = |name: &str, n: u64| format!("{name}{n:032}");
    let asked = [
        ("a group", RightQuery { ids: vec![one("g", 7)], ..RightQuery::default() }),
        ("a group above others", RightQuery { ids: vec![one("p", 7)], ..RightQuery::default() }),
        ("a role in a role", RightQuery { ids: vec![one("c", 7)], ..RightQuery::default() }),
        ("a permission", RightQuery { permissions: vec!["deploy7".into()], ..RightQuery::default() }),
    ];
    for (name, query) in asked {
        let mut best = f64::MAX;
        let (mut found, before) = (0, support::cpu_ms(pid));
        for _ in 0..TRIES {
            let began = Instant::now();
            found = store.who_had("default", &query, NOW).await?.len();
            best = best.min(began.elapsed().as_secs_f64());
        }
        let own = (support::cpu_ms(pid) - before) / TRIES as f64;
        let from_all = format!(
            "SELECT count() FROM effective_in(tenant = 'default', person = '', from = {NOW}, to = {NOW}) WHERE right_id = '{}'",
            query.ids.first().cloned().unwrap_or_else(|| "deploy7|use|allow".into())
        );
        let (began, before) = (Instant::now(), support::cpu_ms(pid));
        let count: u64 = client.query(&from_all).fetch_one().await?;
        println!(
            "{name}: {found} rows in {:.0} ms, {own:.0} ms of the engine's processor; from everybody {count} in {:.0} ms, {:.0} ms",
            best * 1e3,
            began.elapsed().as_secs_f64() * 1e3,
            support::cpu_ms(pid) - before
        );
    }
    let began = Instant::now();
    let held: u64 = client
        .query(&format!("SELECT count() FROM privileged_in(from = {}, to = {NOW})", NOW - 604_800_000))
        .fetch_one()
        .await?;
    println!("privileged, none named: {held} rows in {:.0} ms", began.elapsed().as_secs_f64() * 1e3);
    Ok(())
}
