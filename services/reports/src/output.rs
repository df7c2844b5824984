//! Files under a passing name until they are whole, in the folder where they will stand; hashed as they are written.

use crate::{Format, Report, ReportError};
use sha2::{Digest, Sha256};
use std::{
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};
use tempfile::NamedTempFile;

/// Where a report goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// To a caller's stream, by way of a passing file.
    Stream,
    /// Into this file, its sheet beside it.
    File(PathBuf),
    /// Into this folder, under the report's name, its sheet beside it.
    Folder(PathBuf),
}

impl Target {
    /// A folder if it is one or ends with a slash, else a file.
    pub fn of(path: &Path) -> Self {
        if path.is_dir() || path.as_os_str().to_string_lossy().ends_with('/') {
            Self::Folder(path.to_owned())
        } else {
            Self::File(path.to_owned())
        }
    }

    /// Data file and sheet; none for a stream. The sheet has the name of its data, so that several reports, or formats of one, stand in
    /// one folder and none takes the place of another's sheet.
    pub(crate) fn paths(&self, report: &Report, format: Format) -> Option<(PathBuf, PathBuf)> {
        let data = match self {
            Self::Stream => return None,
            Self::File(file) => file.clone(),
            Self::Folder(folder) => folder.join(format!("{}.{}", report.file_stem(), format.ending())),
        };
        let mut sheet = data.clone().into_os_string();
        sheet.push(".ipe.json");
        Some((data, sheet.into()))
    }
}

/// A file on its way. Dropped before its end, it is gone.
pub(crate) struct Passing {
    file: NamedTempFile,
    /// Where it will stand; none: nowhere.
    to: Option<PathBuf>,
}

impl Passing {
    /// In the folder of `to`, which is made if it is missing; without one, in the system's folder for such files.
    pub(crate) fn new(to: Option<&Path>) -> Result<Self, ReportError> {
        let make = || match to {
            None => NamedTempFile::new(),
            Some(to) => {
                let folder = match to.parent() {
                    Some(parent) if !parent.as_os_str().is_empty() => parent,
                    _ => Path::new("."),
                };
                std::fs::create_dir_all(folder)?;
                tempfile::Builder::new().prefix(".tokentrail-report-").suffix(".part").tempfile_in(folder)
            }
        };
        let file = make().map_err(|source| failed(to, source))?;
        Ok(Self { file, to: to.map(Path::to_owned) })
    }

    /// Where it will stand.
    pub(crate) fn to(&self) -> Option<&Path> {
        self.to.as_deref()
    }

    /// A writer; what it writes is hashed.
    pub(crate) fn writer(&self) -> Result<Hashing<BufWriter<std::fs::File>>, ReportError> {
        let file = self.file.reopen().map_err(|source| failed(self.to(), source))?;
        Ok(Hashing { out: BufWriter::with_capacity(1 << 16, file), hash: Sha256::new() })
    }

    /// Opens it from its start.
    pub(crate) fn reader(&self) -> Result<std::fs::File, ReportError> {
        self.file.reopen().map_err(|source| failed(self.to(), source))
    }

    /// SHA-256 of what is in it, in hex.
    pub(crate) fn sha256(&self) -> Result<String, ReportError> {
        let mut hash = Sha256::new();
        let mut from = self.reader()?;
        let mut piece = vec![0; 1 << 16];
        loop {
            match io::Read::read(&mut from, &mut piece).map_err(|source| failed(self.to(), source))? {
                0 => return Ok(hex::encode(hash.finalize())),
                n => hash.update(&piece[..n]),
            }
        }
    }

    /// Gives it its name. From here on it stands whole; a crash before leaves the older file, or none.
    pub(crate) fn stand(self) -> Result<(), ReportError> {
        let Some(to) = self.to else { return Ok(()) };
        self.file.as_file().sync_all().map_err(|source| failed(Some(&to), source))?;
        self.file.persist(&to).map_err(|error| failed(Some(&to), error.error))?;
        Ok(())
    }

    /// Its bytes to a stream. A stream that is closed early is no error.
    pub(crate) fn copy_to(&self, out: &mut dyn Write) -> Result<(), ReportError> {
        match io::copy(&mut self.reader()?, out).and_then(|_| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(|source| ReportError::Write { what: "to standard output".into(), source }),
        }
    }
}

pub(crate) fn failed(to: Option<&Path>, source: io::Error) -> ReportError {
    let what = to.map_or_else(|| "a passing file".to_owned(), |to| to.display().to_string());
    ReportError::Write { what, source }
}

/// Hashes what goes through.
pub(crate) struct Hashing<W> {
    out: W,
    hash: Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Only hashes.
#[derive(Clone, Default)]
pub(crate) struct Digesting(std::sync::Arc<std::sync::Mutex<Sha256>>);

impl Digesting {
    /// What went in, as SHA-256 in hex.
    pub(crate) fn hex(&self) -> String {
        let hash = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        hex::encode(hash.clone().finalize())
    }
}

impl Write for Digesting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
