//! Keys and secrets in files of mode 0600 below the data folder. Never prints one; the caller decides, on a terminal only.

use anyhow::{Context, bail};
use std::{
    fs::{DirBuilder, OpenOptions},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// Random bytes of a made secret.
const SECRET_BYTES: usize = 32;

/// Reads the secret in `path` (relative: below `data_dir`); makes it if it is missing and lies below `data_dir`.
pub fn read_or_make(data_dir: &Path, path: &Path) -> anyhow::Result<String> {
    let full = resolve(data_dir, path);
    if full.exists() {
        return read(data_dir, path);
    }
    if path.is_absolute() {
        bail!("secret file {} is missing", full.display());
    }
    let secret = random()?;
    write_private(&full, secret.as_bytes())?;
    Ok(secret)
}

/// A new secret, hex digits.
pub fn random() -> anyhow::Result<String> {
    let mut random = [0; SECRET_BYTES];
    getrandom::fill(&mut random).context("the system gives no random bytes")?;
    Ok(hex::encode(random))
}

/// Reads a secret; surrounding white space is no part of it.
pub fn read(data_dir: &Path, path: &Path) -> anyhow::Result<String> {
    let full = resolve(data_dir, path);
    let text = std::fs::read_to_string(&full).with_context(|| format!("cannot read secret file {}", full.display()))?;
    let secret = text.trim().to_owned();
    if secret.is_empty() {
        bail!("secret file {} is empty", full.display());
    }
    Ok(secret)
}

/// The deployment key: 32 bytes, as hex in its file. All processes of a deployment share it; lose it, and
/// new events of a person no longer meet the old ones.
pub fn deployment_key(data_dir: &Path, path: &Path) -> anyhow::Result<[u8; 32]> {
    let text = read_or_make(data_dir, path)?;
    let mut key = [0; 32];
    hex::decode_to_slice(&text, &mut key)
        .with_context(|| format!("{} must hold 64 hex digits", resolve(data_dir, path).display()))?;
    Ok(key)
}

/// The deployment key of several processes: it must be there, because one that is made here no other process has.
pub fn shared_deployment_key(data_dir: &Path, file: &Path) -> anyhow::Result<[u8; 32]> {
    let path = resolve(data_dir, file);
    if !path.exists() {
        bail!(
            "{} is missing: all processes of a deployment share one key; copy it from another one, or make the first by \
             `openssl rand -hex 32`",
            path.display()
        );
    }
    deployment_key(data_dir, file)
}

/// Writes a file of mode 0600 in a folder of mode 0700, whole or not at all.
pub fn write_private(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let dir = path.parent().context("a file needs a folder")?;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("cannot create {}", dir.display()))?;
    let part = path.with_extension("part");
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&part, path)?;
        std::fs::File::open(dir)?.sync_all()
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

fn resolve(data_dir: &Path, path: &Path) -> PathBuf {
    data_dir.join(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn secrets_are_made_once_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let first = read_or_make(dir.path(), Path::new("secrets/kc.webhook")).unwrap();
        assert_eq!(first.len(), 64);
        assert_eq!(read_or_make(dir.path(), Path::new("secrets/kc.webhook")).unwrap(), first);
        let mode = std::fs::metadata(dir.path().join("secrets/kc.webhook")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_ne!(hex::encode(deployment_key(dir.path(), Path::new("keys/deployment.key")).unwrap()), first);
    }

    #[test]
    fn a_missing_file_elsewhere_is_no_invitation_to_make_one() {
        let dir = tempfile::tempdir().unwrap();
        let absolute = dir.path().join("elsewhere");
        let error = read_or_make(&dir.path().join("data"), &absolute).unwrap_err();
        assert!(format!("{error}").contains("is missing"));
        std::fs::write(dir.path().join("empty"), " \n").unwrap();
        assert!(read(dir.path(), Path::new("empty")).is_err());
    }
}
