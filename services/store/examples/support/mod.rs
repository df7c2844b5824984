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
