//! Keycloak's own database, while Keycloak stands still: changes that no API makes and no event tells.

use crate::process;
use anyhow::{Context, Result};
use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Libraries of the server.
const LIBRARIES: &str = "lib/lib/main";
/// How the one that reads the database's file begins.
const DRIVER: &str = "com.h2database.h2-";

/// Where the database of one run is, and what opens it. The file is the server's alone while that runs.
#[derive(Clone, Debug)]
pub struct Database {
    java: PathBuf,
    driver: PathBuf,
    file: PathBuf,
}

impl Database {
    pub(super) fn of(home: &Path, java_home: &Path) -> Result<Self> {
        let libraries = fs::read_dir(home.join(LIBRARIES)).context("the server has no libraries")?;
        let mut libraries = libraries.flatten().map(|file| file.path());
        let is_driver =
            |path: &PathBuf| path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with(DRIVER));
        let driver = libraries.find(is_driver).context("the server has no driver of its database")?;
        Ok(Self { java: java_home.join("bin/java"), driver, file: home.join("data/h2/keycloakdb") })
    }

    /// Runs statements, separated by semicolons.
    pub fn execute(&self, statements: &str) -> Result<()> {
        let url = format!("jdbc:h2:file:{};NON_KEYWORDS=VALUE;IFEXISTS=TRUE", self.file.display());
        let mut shell = Command::new(&self.java);
        shell.arg("-cp").arg(&self.driver).args(["org.h2.tools.Shell", "-url", &url]);
        shell.args(["-user", "", "-password", "", "-sql", statements]);
        process::run(&mut shell).context("the database refuses").map(drop)
    }
}
