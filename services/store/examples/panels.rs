//! Measures what dashboards cost, on the real engine with the real schema: `make bench-panels`, or
//!
//! `TOKENTRAIL_ENGINE="$(services/store/engine/fetch.sh)" cargo run -p store --example panels [DECISIONS]`
//! lays that many decisions (default 200,000) of 20,000 people evenly over 90 days, as many events (one in ten a login, of which one in
//! thirty fails; one in a thousand a change), with sessions, tokens, grants and names beside them, two privileged groups, 2,000 findings and a heartbeat and a counted
//! minute every minute, keeps their counts as the processor does, and asks every question of the overview and of one person as the
//! reader that Grafana has, over the last 7 days. Rows are made by the engine itself, past the store's inserts.

mod support;

use clickhouse::Client;
use dashboards::{
    Source,
    expand::{ALL, Choice},
};
use std::{error::Error, time::Instant};
use store::{
    DEFAULT_DATABASE, Rolling, Store,
    engine::{Engine, State},
};

const DEFAULT_DECISIONS: u64 = 200_000;
/// 2026-09-01.
const START: i64 = 1_788_220_800_000;
const DAYS: i64 = 90;
const DAY_MS: i64 = 86_400_000;
const PERSON: &str = "lower(hex(sipHash128(number % 20000)))";
/// Asked so often; the best counts, and of processor time the mean.
const TRIES: usize = 5;
/// Hours of one round of the roller.
const CELLS: usize = 96;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    support::begin();
    let decisions = std::env::args().skip(1).find_map(|text| text.parse().ok()).unwrap_or(DEFAULT_DECISIONS);
    support::on_an_engine(async |engine| measure(engine, decisions).await).await
}

/// Rows of a table, each of `columns` an expression over `number` and `at`.
fn fill(table: &str, count: u64, columns: &[(&str, &str)]) -> String {
    let (names, values): (Vec<&str>, Vec<&str>) = columns.iter().copied().unzip();
    let step = DAYS * DAY_MS / i64::try_from(count).unwrap_or(1).max(1);
    format!(
        "INSERT INTO {table} (tenant, person, at, row_id, version, is_deleted, content, because, {}) \
         WITH fromUnixTimestamp64Milli({START} + toInt64(number) * {step}, 'UTC') AS moment \
         SELECT 'default', {PERSON}, moment, reinterpretAsFixedString(reinterpretAsUInt128(sipHash128(number, 1))), 1, 0, 1, toUUID('00000000-0000-0000-0000-000000000000'), {} \
         FROM numbers({count}) SETTINGS max_insert_block_size = 500000",
        names.join(", "),
        values.join(", ")
    )
}

fn rows(decisions: u64) -> [String; 6] {
    let few = (decisions / 20).max(20_000);
    [
        fill(
            "decision_rows",
            decisions,
            &[
                ("event_id", "generateUUIDv4(number)"),
                ("reference", "concat('user:default/u', toString(number % 20000))"),
                (
                    "permission",
                    "['catalog.entity.read', 'catalog.entity.delete', 'scaffolder.task.create', 'policy.entity.read'][1 + number % 4]",
                ),
                ("action", "'read'"),
                ("outcome", "if(number % 13 = 0, 'deny', 'allow')"),
                // One in a hundred did not go as the rights were.
                (
                    "verdict",
                    "multiIf(number % 1000 < 5, 'exposure', number % 10000 = 7, 'violation', number % 1000 < 10, 'pending_grant', number % 50 = 11, 'not_judged', 'agrees')",
                ),
                // A removal is used by ten decisions of one person.
                ("delay_ms", "if(number % 1000 < 10, toNullable(toInt64(number % 60000)), NULL)"),
                ("clock", "['catalog', 'claims', 'token'][1 + number % 3]"),
                (
                    "support",
                    "[('0b4e1c5c-9b0f-4f5f-8b0a-000000000001', '', 'group:default/ops', 'role:default/ops', 'catalog.entity.read|read|allow', NULL)]",
                ),
                ("session_id", "concat('session-', toString(number % 100000))"),
                ("candidates", "1"),
                ("grade", "['exact', 'session', 'inferred'][1 + number % 3]"),
                ("reasons", "if(number % 3 = 2, ['several_tokens'], [])"),
            ],
        ),
        fill(
            "session_rows",
            few,
            &[
                ("source_id", "'kc'"),
                ("session_id", "concat('session-', toString(number))"),
                ("started_at", "moment"),
                ("logins", "1"),
            ],
        ),
        fill(
            "token_rows",
            few * 3,
            &[
                ("event_id", "generateUUIDv4(number)"),
                ("session_id", "concat('session-', toString(number % 100000))"),
                ("client", "'backstage'"),
                ("issued_for", "'refresh'"),
            ],
        ),
        fill(
            "credential_rows",
            few * 3,
            &[
                ("event_id", "generateUUIDv4(number)"),
                ("kind", "'refresh'"),
                ("session_id", "concat('session-', toString(number % 100000))"),
                ("sure", "1"),
            ],
        ),
        fill(
            "grant_rows",
            60_000,
            &[("right_kind", "'group'"), ("right_id", "toString(number % 400)"), ("held_from", "moment")],
        ),
        fill(
            "alias_rows",
            20_000,
            &[("kind", "'username'"), ("name", "concat('u', toString(number))"), ("user_id", "toString(number)")],
        ),
    ]
}

/// One in ten a login, one in a thousand a change.
fn events(count: u64) -> String {
    let step = DAYS * DAY_MS / i64::try_from(count).unwrap_or(1).max(1);
    format!(
        "INSERT INTO event_rows (tenant, source_id, time, event_id, input, version, is_deleted, source_kind, kind, data_class, outcome, error, realm, person, actor, client, session_id, ip, resource) \
         SELECT 'default', 'kc', fromUnixTimestamp64Milli({START} + toInt64(number) * {step}, 'UTC'), generateUUIDv4(number), 'webhook', 281474976710656, 0, 'keycloak', \
           multiIf(number % 1000 = 5, 'group_member_added', number % 10 = 0, 'login', 'refresh'), if(number % 1000 = 5, 'administration', 'authentication'), \
           if(number % 300 = 0, 'failure', 'success'), if(number % 300 = 0, 'invalid_user_credentials', ''), 'acme', \
           if(number % 3000 = 0, toFixedString('', 16), sipHash128(number % 20000)), if(number % 1000 = 5, sipHash128(number % 7), toFixedString('', 16)), \
           'backstage', concat('session-', toString(number % 100000)), concat('10.0.', toString(number % 200), '.', toString(number % 100)), '' \
         FROM numbers({count}) SETTINGS max_insert_block_size = 500000"
    )
}

/// What does not grow with decisions: privileged rights, findings, and completeness, by the minute.
fn beside() -> [String; 6] {
    let minutes = DAYS * 1_440;
    let at = format!("fromUnixTimestamp64Milli({START} + toInt64(number) * 60000, 'UTC')");
    let id = "toUUID('00000000-0000-4000-8000-000000000000')";
    [
        "INSERT INTO privileged_right_rows VALUES ('default', '7', 1, 0, 'group', '/ops'), ('default', '8', 1, 0, 'group', '/admins')".into(),
        format!("INSERT INTO finding_rows SELECT 'default', reinterpret(sipHash128(number), 'UUID'), 1, 'D05', 1, {PERSON}, ['low', 'medium', 'high'][1 + number % 3], 'proven', now64(3), now64(3), '{{}}', [{id}], [], 0 FROM numbers(2000)"),
        "INSERT INTO finding_change_rows (tenant, finding_id, change_id, changed_at, what, actor, reason, until) SELECT 'default', reinterpret(sipHash128(number), 'UUID'), generateUUIDv4(), now64(3) - toIntervalHour(number), 'opened', 'rules', '', NULL FROM numbers(2000)".into(),
        format!("INSERT INTO heartbeat_rows SELECT 'default', 'kc', {at}, 'acme', toString(number), 'sent' FROM numbers({minutes})"),
        format!("INSERT INTO heartbeat_seen_rows SELECT 'default', 'kc', {at}, toString(number), 'webhook', {at} FROM numbers({minutes})"),
        format!("INSERT INTO rollup_rows (tenant, source_id, cell, input, version, events, stored, last_received_at) SELECT 'default', 'kc', toUInt32(toUnixTimestamp64Milli({at}) / 60000), 'webhook', 1, 15, 15, {at} FROM numbers({minutes})"),
    ]
}

/// Every hour of theirs is to be counted, and whose they are is kept beside them.
const HINTS_AND_MARKS: [&str; 3] = [
    "INSERT INTO person_event_rows SELECT tenant, arrayJoin(arrayFilter(k -> k != toFixedString('', 16), [person, actor])), time, source_id, kind FROM event_rows",
    "INSERT INTO mark_rows SELECT DISTINCT tenant, toFixedString('decisions by hr.', 16), '', \
     toUInt32(intDiv(toUnixTimestamp64Milli(at), 3600000)), 0, 1, 2, now() FROM decision_rows",
    "INSERT INTO mark_rows SELECT DISTINCT tenant, toFixedString('events by hour..', 16), '', \
     toUInt32(intDiv(toUnixTimestamp64Milli(time), 3600000)), 0, 1, 2, now() FROM event_rows",
];

async fn measure(engine: &Engine, decisions: u64) -> Result<(), Box<dyn Error>> {
    let State::Running { pid, .. } = *engine.state().borrow() else {
        return Err("the engine is not running".into());
    };
    let options = engine.connect_options(DEFAULT_DATABASE);
    let client = as_user(&options);
    let store = Store::connect(options)?;
    store.migrate().await?;
    let began = Instant::now();
    for sql in
        rows(decisions).into_iter().chain([events(decisions)]).chain(beside()).chain(HINTS_AND_MARKS.map(str::to_owned))
    {
        client.query_raw(&sql).execute().await?;
    }
    println!(
        "{decisions} decisions and as many events of 20,000 people over {DAYS} days, made in {:.0} s",
        began.elapsed().as_secs_f64()
    );
    let (began, mut longest) = (Instant::now(), 0.0_f64);
    loop {
        let round = Instant::now();
        let rolled = store.roll(&Rolling { quiet: std::time::Duration::ZERO, cells: CELLS }).await?;
        longest = longest.max(round.elapsed().as_secs_f64());
        if rolled.left == 0 {
            break;
        }
    }
    let took = began.elapsed().as_secs_f64();
    println!(
        "kept counts: {took:.1} s, {:.1} us a decision and event, the longest round of {CELLS} hours {longest:.1} s",
        took * 1e6 / decisions as f64
    );
    let began = Instant::now();
    store.keep_privileged_holders("default").await?;
    println!("who holds privileged rights: {:.2} s", began.elapsed().as_secs_f64());
    let began = Instant::now();
    store.keep_continuity("default", (0, START + DAYS * DAY_MS)).await?;
    println!("completeness of all hours: {:.2} s", began.elapsed().as_secs_f64());

    let hints: (u64, u64) = client
        .query("SELECT sum(rows), sum(bytes_on_disk) FROM system.parts WHERE active AND database = currentDatabase() AND table = 'person_event_rows'")
        .fetch_one()
        .await?;
    println!("where somebody's events stand: {} rows of {:.1} bytes", hints.0, hints.1 as f64 / hints.0.max(1) as f64);

    let source = Source::read(&dashboards::folder().join("source"))?;
    let reader = as_grafana(&source, as_user(&engine.reader_options()));
    let to = START + DAYS * DAY_MS;
    let person: String = client.query("SELECT lower(hex(sipHash128(toUInt16(7))))").fetch_one().await?;
    let choice = everything(&source, (to - 7 * DAY_MS, to)).with("person", &person).with("search", &person);
    for (dashboard, whole) in [("overview", "the whole overview"), ("investigation", "all of one person")] {
        println!("\n{:<66}{:>8}{:>8}", format!("{dashboard}, milliseconds, the best of {TRIES}"), "wall", "engine");
        let mut all = Vec::new();
        for panel in &source.dashboards[dashboard].panels {
            let (mut best, before) = (0.0, support::cpu_ms(pid));
            for sql in panel.questions() {
                let sql = format!("{} FORMAT Null", choice.expand(sql)?);
                best += fastest(&reader, std::slice::from_ref(&sql)).await?;
                all.push(sql);
            }
            println!("  {:<64}{best:>8.0}{:>8.0}", panel.title, (support::cpu_ms(pid) - before) / TRIES as f64);
        }
        let before = support::cpu_ms(pid);
        let best = fastest(&reader, &all).await?;
        let title = format!("{whole}, its {} questions at once", all.len());
        println!("  {title:<64}{best:>8.0}{:>8.0}", (support::cpu_ms(pid) - before) / TRIES as f64);
    }
    Ok(())
}

fn as_user(options: &store::ConnectOptions) -> Client {
    Client::default()
        .with_url(&options.url)
        .with_user(&options.user)
        .with_password(&options.password)
        .with_database(&options.database)
}

/// With the settings of the provisioned data source.
fn as_grafana(source: &Source, client: Client) -> Client {
    let settings = source.plain["datasource"]["datasources"][0]["jsonData"]["customSettings"].as_array();
    settings.into_iter().flatten().fold(client, |client, one| {
        client.with_setting(one["setting"].as_str().unwrap_or_default(), one["value"].as_str().unwrap_or_default())
    })
}

fn everything(source: &Source, (from, to): (i64, i64)) -> Choice {
    let mut choice = Choice { from, to, interval: 3_600, ..Choice::default() }.with("tenant", "default");
    for (name, variable) in source.shared.variables.iter().filter(|(name, _)| *name != "tenant") {
        choice = choice.with(name, if variable.all { ALL } else { "" });
        if variable.all {
            choice.all.push(name.clone());
        }
    }
    choice
}

/// Milliseconds of asking all of them at once, the best of some tries.
async fn fastest(client: &Client, questions: &[String]) -> Result<f64, Box<dyn Error>> {
    let mut best = f64::INFINITY;
    for _ in 0..TRIES {
        let began = Instant::now();
        let asked: Vec<_> = questions
            .iter()
            .map(|sql| {
                let (client, sql) = (client.clone(), sql.clone());
                tokio::spawn(async move { client.query_raw(&sql).execute().await })
            })
            .collect();
        for one in asked {
            one.await??;
        }
        best = best.min(began.elapsed().as_secs_f64() * 1e3);
    }
    Ok(best)
}
