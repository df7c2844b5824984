//! Finds a Java that is new enough: machines often have several, with an older one as the default.

use anyhow::{Result, bail};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Class files of keycloak-events need this; Keycloak alone would start on 17.
const OLDEST: u32 = 21;

/// Folders in which packages and version managers put one folder per JDK.
const JDK_FOLDERS: &[&str] =
    &["/usr/lib/jvm", "/usr/java", "/opt/java", "/opt", "/usr/local/lib/jvm", "/Library/Java/JavaVirtualMachines"];

/// The same, below the home folder.
const HOME_JDK_FOLDERS: &[&str] = &[".sdkman/candidates/java", ".jdks", ".local/share/mise/installs/java"];

/// The home folder of the first Java >= 21: `JAVA_HOME`, then `java` on the path, then the usual folders.
pub fn find() -> Result<PathBuf> {
    let mut homes: Vec<PathBuf> = env::var_os("JAVA_HOME").map(PathBuf::from).into_iter().collect();
    let paths = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&paths).map(|dir| dir.join("java")).find(|java| java.is_file());
    homes.extend(on_path.and_then(|java| home_of(&java)));
    let home = PathBuf::from(env::var_os("HOME").unwrap_or_default());
    let folders = JDK_FOLDERS.iter().map(PathBuf::from).chain(HOME_JDK_FOLDERS.iter().map(|dir| home.join(dir)));
    for folder in folders {
        let mut inside: Vec<PathBuf> =
            fs::read_dir(folder).into_iter().flatten().flatten().map(|dir| dir.path()).collect();
        inside.sort();
        homes.extend(inside.iter().flat_map(|dir| [dir.clone(), dir.join("Contents/Home")]));
    }
    let mut seen = Vec::new();
    for home in homes {
        let Some(version) = version(&home.join("bin/java")) else { continue };
        if version >= OLDEST {
            return Ok(home);
        }
        seen.push(format!("{version} in {}", home.display()));
    }
    let seen = if seen.is_empty() { "none at all".to_owned() } else { seen.join(", ") };
    bail!(
        "Keycloak with keycloak-events needs Java {OLDEST} or newer; found {seen}; install one or set JAVA_HOME to it"
    )
}

/// `/usr/bin/java` is mostly a link: the home is two folders above where it leads.
fn home_of(java: &Path) -> Option<PathBuf> {
    Some(fs::canonicalize(java).ok()?.parent()?.parent()?.to_owned())
}

fn version(java: &Path) -> Option<u32> {
    if !java.is_file() {
        return None;
    }
    let output = Command::new(java).arg("-version").stdin(Stdio::null()).output().ok()?;
    parse(&String::from_utf8_lossy(&output.stderr))
}

/// Reads `openjdk version "25.0.1" 2025-10-21` and the old `java version "1.8.0_392"`.
fn parse(text: &str) -> Option<u32> {
    let quoted = text.split('"').nth(1)?;
    let mut parts = quoted.split(['.', '-', '+', '_']);
    match parts.next()?.parse().ok()? {
        1 => parts.next()?.parse().ok(),
        major => Some(major),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_old_and_new_are_read() {
        assert_eq!(parse("openjdk version \"25.0.1\" 2025-10-21 LTS"), Some(25));
        assert_eq!(parse("openjdk version \"21\" 2023-09-19"), Some(21));
        assert_eq!(parse("openjdk version \"26-ea\" 2026-03-17"), Some(26));
        assert_eq!(parse("java version \"1.8.0_392\""), Some(8));
        assert_eq!(parse("no java here"), None);
    }
}
