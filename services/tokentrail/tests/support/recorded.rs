//! The recorded story of a Keycloak and a Backstage, as files, and the config that takes it in.

use std::path::{Path, PathBuf};

/// Sources `kc` and `bs`, joined as they were when the story was recorded.
pub const CONFIG: &str = r#"
[sources.kc]
kind = "keycloak"
webhook_secret_files = ["secrets/kc.webhook"]
token_files = ["secrets/kc.token"]
[sources.bs]
kind = "backstage"
token_files = ["secrets/bs.token"]
[sources.bs.sign_in]
keycloak = "kc"
clients = ["backstage"]
token_life_seconds = 600
[sources.bs.sign_in.budgets]
catalog_seconds = 15
"#;

/// A file of the recording.
pub fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/samples/pair").join(name)
}

/// Backstage's output, unpacked into `dir`.
pub fn backstage_log(dir: &Path) -> PathBuf {
    let path = dir.join("backstage.log");
    let packed = std::fs::File::open(sample("backstage-stdout.cri.log.gz")).unwrap();
    let mut log = std::fs::File::create(&path).unwrap();
    std::io::copy(&mut flate2::read::GzDecoder::new(packed), &mut log).unwrap();
    path
}
