//! The child process: loads libchdb, starts ClickHouse's HTTP listener and serves until its standard input ends.
//!
//! One of two files of the program with unsafe code (the other gives librdkafka a token): two calls into a C library of a pinned version. Nothing else runs
//! in this process. It never reads a secret: passwords are in the users file as hashes.
#![allow(unsafe_code)]

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    os::unix::ffi::OsStrExt,
    path::Path,
};

/// Exit code of a child whose data directory another engine holds (ClickHouse's own error code for it).
pub const EXIT_LOCKED: i32 = 76;
/// Exit code of a child that failed for any other reason.
pub const EXIT_FAILED: i32 = 70;

/// ClickHouse's queries run on threads of its own; this one only parses and waits.
const STACK_BYTES: usize = 16 << 20;

/// The last statement blocks on standard input without using the processor: when the parent closes the pipe or dies
/// for any reason, it ends, and with it the engine.
const SERVE: &str =
    "SYSTEM START LISTEN HTTP; INSERT INTO FUNCTION null('l String') FROM INFILE '/dev/stdin' FORMAT LineAsString";

/// Why the child ended early. The text goes to the child's own log file.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// The library cannot be loaded.
    #[error("cannot load the engine library {0} (services/store/engine/fetch.sh fetches it)")]
    Library(String, #[source] libloading::Error),
    /// Another engine holds the data directory.
    #[error("another engine holds the data directory")]
    Locked,
    /// ClickHouse gave up.
    #[error("the engine failed: {0}")]
    Failed(String),
}

impl ChildError {
    /// The process exit code that tells the parent.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Locked => EXIT_LOCKED,
            Self::Library(..) | Self::Failed(_) => EXIT_FAILED,
        }
    }
}

type QueryCmdline = unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut c_void;
type ResultError = unsafe extern "C" fn(*mut c_void) -> *const c_char;

/// Serves until standard input ends. Everything the engine creates is readable by this user alone.
pub fn run_child(library: &Path, config: &Path) -> Result<(), ChildError> {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let (library, config) = (library.to_owned(), config.to_owned());
    std::thread::Builder::new()
        .name("engine".into())
        .stack_size(STACK_BYTES)
        .spawn(move || serve(&library, &config))
        .map_err(|error| ChildError::Failed(error.to_string()))?
        .join()
        .map_err(|_| ChildError::Failed("its thread died".into()))?
}

fn serve(library: &Path, config: &Path) -> Result<(), ChildError> {
    let named = |error| ChildError::Library(library.display().to_string(), error);
    let mut config_flag = b"--config-file=".to_vec();
    config_flag.extend_from_slice(config.as_os_str().as_bytes());
    let mut arguments = Vec::new();
    for bytes in [b"chdb".to_vec(), config_flag, format!("--query={SERVE}").into_bytes()] {
        let text = CString::new(bytes).map_err(|_| ChildError::Failed("a path holds a zero byte".into()))?;
        arguments.push(text);
    }
    let mut pointers: Vec<*mut c_char> = arguments.iter().map(|text| text.as_ptr().cast_mut()).collect();
    let count = c_int::try_from(pointers.len()).map_err(|_| ChildError::Failed("too many arguments".into()))?;

    // SAFETY: the library is the pinned libchdb, whose initialisers are made to be run by dlopen; the two symbols
    // have exactly these C signatures (chdb.h of the pinned version). The arguments outlive the call, which does not
    // write to them; `result` is read once, as a C string owned by the library, and is not freed because the process
    // ends right after.
    let message = unsafe {
        let chdb = libloading::Library::new(library).map_err(named)?;
        let query = chdb.get::<QueryCmdline>(b"chdb_query_cmdline\0").map_err(named)?;
        let result_error = chdb.get::<ResultError>(b"chdb_result_error\0").map_err(named)?;
        let result = query(count, pointers.as_mut_ptr());
        let message = if result.is_null() {
            None
        } else {
            let text = result_error(result);
            (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned())
        };
        // Unloading would run its destructors beside threads that may still be ending.
        std::mem::forget(chdb);
        message
    };
    match message.filter(|text| !text.is_empty()) {
        None => Ok(()),
        Some(text) if text.contains("Cannot lock file") => Err(ChildError::Locked),
        Some(text) => Err(ChildError::Failed(text)),
    }
}
