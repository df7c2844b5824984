//! What the measuring examples share: an engine in a temporary folder, for as long as they measure.

use std::{error::Error, path::Path};
use store::engine::{self, Engine, EngineOptions};

/// Runs the engine's child if this process is it.
pub fn begin() {
    engine::run_if_asked();
}

/// Starts the engine that `TOKENTRAIL_ENGINE` names, measures, and stops it.
pub async fn on_an_engine(
    measure: impl AsyncFnOnce(&Engine) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let library = std::env::var_os("TOKENTRAIL_ENGINE")
        .ok_or("set TOKENTRAIL_ENGINE to what services/store/engine/fetch.sh prints")?;
    let dir = tempfile::tempdir()?;
    let engine = Engine::start(EngineOptions {
        library: library.into(),
        dir: Path::new(dir.path()).join("engine"),
        command: vec![std::env::current_exe()?.into_os_string()],
    })
    .await?;
    let result = measure(&engine).await;
    engine.close().await;
    result
}

/// User and system seconds of a process.
#[allow(dead_code, reason = "each example uses its own part")]
pub fn cpu(pid: u32) -> f64 {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = after.split_whitespace().skip(11).take(2);
    ticks.filter_map(|text| text.parse::<f64>().ok()).sum::<f64>() / TICKS_PER_SECOND
}

/// The same in milliseconds.
#[allow(dead_code, reason = "each example uses its own part")]
pub fn cpu_ms(pid: u32) -> f64 {
    cpu(pid) * 1e3
}
