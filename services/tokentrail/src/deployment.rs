//! The deployment key, held to what was written with it: with another key every person would get a second person key and no
//! mark would be found again, and nobody would see it. A value that tells the key from others lies beside the journal and
//! in the database; it says nothing else of the key.

use crate::{config::Config, secrets};
use anyhow::{Context, bail};
use events::person::DeploymentKey;
use store::Store;

/// Below the data folder: in the folder of the records that were redacted under the key.
const CHECK_FILE: &str = "journal/deployment-key.check";

/// The key of the data folder; made if there is neither a key nor anything that was written with one.
pub fn key(config: &Config) -> anyhow::Result<DeploymentKey> {
    let check = config.path(CHECK_FILE);
    let key_file = config.key_file();
    if check.exists() && !key_file.exists() {
        bail!(
            "{} is missing: put back the key that {} belongs to",
            key_file.display(),
            config.path("journal").display()
        );
    }
    let key = DeploymentKey::new(secrets::deployment_key(&config.data_dir, &config.deployment_key_file)?);
    if check.exists() {
        let known = std::fs::read_to_string(&check).with_context(|| format!("cannot read {}", check.display()))?;
        if known.trim() != key.check_value() {
            bail!(
                "{} is not the key that {} was written with: put that one back ({} tells them apart)",
                key_file.display(),
                config.path("journal").display(),
                check.display()
            );
        }
    }
    Ok(key)
}

/// From here on the data folder takes no other key. Called before the first record is written.
pub fn bind_folder(config: &Config, key: &DeploymentKey) -> anyhow::Result<()> {
    let check = config.path(CHECK_FILE);
    if check.exists() { Ok(()) } else { secrets::write_private(&check, key.check_value().as_bytes()) }
}

/// Refuses a database that was written with another key; an empty one takes no other from here on.
pub async fn bind_store(store: &Store, key: &DeploymentKey) -> anyhow::Result<Fit> {
    Ok(if store.fits_key(&key.check_value()).await? { Fit::Same } else { Fit::Other })
}

/// Whether a database was written with this key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It was, or is from now on.
    Same,
    /// It was written with another one.
    Other,
}

impl Fit {
    /// An error for a person to act on, unless it fits.
    pub fn check(self) -> anyhow::Result<()> {
        match self {
            Self::Same => Ok(()),
            Self::Other => bail!(
                "the database was written with another deployment key: give this program the key (deployment_key_file) of \
                 the deployment that the database belongs to, or another database"
            ),
        }
    }
}
