//! Marks the rules by which this program answers: a hash of every source file that has a say in what the correlation's rows
//! are. A checkpoint that was written by other rules is not gone on from.

use std::{
    collections::hash_map::DefaultHasher,
    fs,
    hash::{Hash, Hasher},
    io,
    path::{Path, PathBuf},
    process::Command,
};

/// From this crate's folder.
const RULES: &[&str] =
    &["src/correlation", "../correlate/src", "../events/src", "../store/src/correlation", "../../Cargo.lock"];

fn main() -> io::Result<()> {
    let mut files = Vec::new();
    for place in RULES {
        println!("cargo::rerun-if-changed={place}");
        gather(Path::new(place), &mut files)?;
    }
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in files {
        file.hash(&mut hasher);
        fs::read(file)?.hash(&mut hasher);
    }
    // The standard library's hashes are part of the state, and may differ between compilers.
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    Command::new(compiler).arg("-vV").output()?.stdout.hash(&mut hasher);
    println!("cargo::rustc-env=TOKENTRAIL_RULES={:016x}", hasher.finish());
    Ok(())
}

fn gather(place: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if place.is_file() {
        files.push(place.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(place)? {
        gather(&entry?.path(), files)?;
    }
    Ok(())
}
