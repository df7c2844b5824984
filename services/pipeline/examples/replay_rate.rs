//! Measures a replay: receipts per second, processor time of client and engine, and the client's peak memory.
//!
//! `TOKENTRAIL_ENGINE="$(services/store/engine/fetch.sh)" cargo run -p pipeline --example replay_rate [RECEIPTS]`
//! writes that many Keycloak deliveries (default 200,000) as an older normaliser would have, of which every tenth has a
//! changed kind and every twentieth an event too many, replays all of them, and replays again with nothing to do.

use durable_log::chain::commitment;
use events::{
    event::Event,
    ids::{Position, StreamId, event_id},
    normalise::{Context, Normalised, normalise},
    person::DeploymentKey,
    receipt::{HEADER_VERSION, Input, Payload, Receipt, ReceiptHeader, SourceKind},
};
use pipeline::replay::{Mode, Normaliser, Replay};
use std::{error::Error, path::Path, time::Instant};
use store::{
    Block, DEFAULT_DATABASE, Fate, Selection, Store, StoredReceipt,
    engine::{self, Engine, EngineOptions, State},
};

const DEFAULT_RECEIPTS: u64 = 200_000;
const BLOCK: u64 = 20_000;
const START: i64 = 1_795_521_600_000;
const TICKS_PER_SECOND: f64 = 100.0;
const TENANT: &str = "default";

fn receipt(seq: u64) -> Receipt {
    let time = START + seq as i64 * 20;
    let id = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, &seq.to_be_bytes());
    let session = format!("cx-{:021}", seq / 12);
    let body = format!(
        r#"{{"id":"{id}","time":{time},"realmId":"bd2a3817-883e-4be5-be28-2514d131622e","realmName":"pair","uid":"u-{id}","authDetails":{{"realmId":"pair","clientId":"backstage","userId":"1bc6ec44-547f-4b49-83b0-{:012}","ipAddress":"10.0.0.1","username":"user{}","sessionId":"{session}"}},"details":{{"auth_method":"openid-connect","auth_type":"code","redirect_uri":"http://127.0.0.1:7707/api/auth/oidc/handler/frame","code_id":"{session}","username":"user{}"}},"type":"access.LOGIN"}}"#,
        seq % 5_000,
        seq % 5_000,
        seq % 5_000,
    );
    let header = ReceiptHeader {
        v: HEADER_VERSION,
        tenant: TENANT.into(),
        source_id: "keycloak".into(),
        source_kind: SourceKind::Keycloak,
        input: Input::Webhook,
        payload: Payload::KeycloakWebhook,
        received_at: time + 30,
        native_id: id.to_string(),
        delivery_id: String::new(),
        delivery_keyed: false,
        delivery_index: 0,
        line: None,
    };
    Receipt { position: Position { stream: StreamId([7; 16]), seq }, header, body: body.into_bytes() }
}

/// What an older normaliser would have made of it.
fn older(receipt: &Receipt, context: &Context) -> Vec<Event> {
    let Normalised::Events(mut events) = normalise(receipt, context) else { return Vec::new() };
    let seq = receipt.position.seq;
    if seq.is_multiple_of(10) {
        events[0].kind = "other".into();
    }
    if seq.is_multiple_of(20) {
        let id = event_id(TENANT, "keycloak", &receipt.header.native_id, 1);
        events.push(Event { event_id: id, ordinal: 1, ..events[0].clone() });
    }
    events.iter_mut().for_each(|event| event.normaliser = 0);
    events
}

fn block(seqs: std::ops::Range<u64>, context: &Context) -> Block {
    let mut block = Block::default();
    for seq in seqs {
        let receipt = receipt(seq);
        let events = older(&receipt, context);
        let salt = [seq as u8; 16];
        let fate = Fate::event(&receipt.header, &events[0]);
        let commitment = commitment(&salt, &receipt.body);
        block.receipts.push(StoredReceipt { receipt, fate, salt, commitment, chain: None, enc: 0, normaliser: 0 });
        block.events.extend(events);
    }
    block
}

/// User and system seconds of a process.
fn cpu(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = after.split_whitespace().skip(11).take(2);
    ticks.filter_map(|text| text.parse::<f64>().ok()).sum::<f64>() / TICKS_PER_SECOND
}

/// Peak resident memory of this process since the last call, MiB.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    let kib: f64 = line.split_whitespace().next().and_then(|text| text.parse().ok()).unwrap_or_default();
    // "5" starts the peak anew (proc_pid_clear_refs(5)).
    if std::fs::write("/proc/self/clear_refs", "5").is_err() {
        eprintln!("the peak is that of the whole run");
    }
    kib / 1024.0
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    engine::run_if_asked();
    let receipts = std::env::args().nth(1).map_or(Ok(DEFAULT_RECEIPTS), |text| text.parse())?;
    let library = std::env::var_os("TOKENTRAIL_ENGINE")
        .ok_or("set TOKENTRAIL_ENGINE to what services/store/engine/fetch.sh prints")?;
    let dir = tempfile::tempdir()?;
    let engine = Engine::start(EngineOptions {
        library: library.into(),
        dir: Path::new(dir.path()).join("engine"),
        command: vec![std::env::current_exe()?.into_os_string()],
    })
    .await?;
    let result = measure(&engine, receipts).await;
    engine.close().await;
    result
}

async fn measure(engine: &Engine, receipts: u64) -> Result<(), Box<dyn Error>> {
    let State::Running { pid, .. } = *engine.state().borrow() else {
        return Err("the engine is not running".into());
    };
    let store = Store::connect(engine.connect_options(DEFAULT_DATABASE))?;
    store.migrate().await?;
    let context = Context { key: DeploymentKey::new([7; 32]) };
    for first in (0..receipts).step_by(BLOCK as usize) {
        store.insert(&block(first..receipts.min(first + BLOCK), &context)).await?;
    }
    let replay = Replay { store, tenant: TENANT.into(), normaliser: Normaliser::current(context) };
    for (name, mode) in [("dry run", Mode::DryRun), ("replay", Mode::Write), ("again", Mode::Write)] {
        peak();
        let before = (cpu(pid), cpu(std::process::id()), Instant::now());
        let summary = replay.run(&Selection::default(), mode, &mut |_| ()).await?;
        let per = |seconds: f64| seconds / receipts as f64 * 1e6;
        println!(
            "{name:<8} {:>8.0} receipts/s; per receipt engine {:>5.1} us, client {:>5.1} us; client peak {:.0} MiB; {:?}",
            receipts as f64 / before.2.elapsed().as_secs_f64(),
            per(cpu(pid) - before.0),
            per(cpu(std::process::id()) - before.1),
            peak(),
            summary.events,
        );
    }
    Ok(())
}
