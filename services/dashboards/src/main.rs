//! `make dashboards`: writes `dashboards/provisioning` anew from `dashboards/source`.

use anyhow::Context;
use dashboards::{Source, folder};

fn main() -> anyhow::Result<()> {
    let files = Source::read(&folder().join("source"))?.files()?;
    for (path, content) in &files {
        let path = folder().join("provisioning").join(path);
        let dir = path.parent().context("a file lies in a folder")?;
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        std::fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
    }
    eprintln!("{} files of dashboards/provisioning are made from dashboards/source", files.len());
    Ok(())
}
