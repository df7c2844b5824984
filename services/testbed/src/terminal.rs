//! A terminal of its own for a program under test: what it shows there, as a person would have seen it come.

use anyhow::{Context, Result};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::{
    ffi::OsString,
    fs::File,
    io::Read,
    os::{fd::OwnedFd, unix::ffi::OsStringExt},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};

/// A pseudo-terminal, read all the time: it holds little that nobody reads.
#[derive(Debug)]
pub struct Terminal {
    shown: Arc<Mutex<Vec<u8>>>,
    reading: JoinHandle<()>,
}

impl Terminal {
    /// Opens one, and its end for a program. It ends when nobody has that end any more.
    pub fn open() -> Result<(Self, Stdio)> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let controller = openpt(flags).context("no pseudo-terminal")?;
        grantpt(&controller)?;
        unlockpt(&controller)?;
        let name = OsString::from_vec(ptsname(&controller, Vec::new())?.into_bytes());
        let open = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC;
        let end: OwnedFd = rustix::fs::open(&name, open, rustix::fs::Mode::empty()).context("no end of a terminal")?;
        let shown = Arc::default();
        let reading = std::thread::spawn({
            let shown = Arc::clone(&shown);
            move || read(controller.into(), &shown)
        });
        Ok((Self { shown, reading }, end.into()))
    }

    /// What has been shown so far.
    pub fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// All that was shown, once the program has ended.
    pub fn shown(self) -> String {
        let Self { shown, reading } = self;
        let _ = reading.join();
        String::from_utf8_lossy(&shown.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

/// Reads until the last one has closed the other end, which is an error of input here.
fn read(mut controller: File, shown: &Mutex<Vec<u8>>) {
    let mut piece = [0; 4096];
    while let Ok(read @ 1..) = controller.read(&mut piece) {
        shown.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&piece[..read]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn what_a_program_shows_comes_whole_and_it_sees_a_terminal() {
        let (terminal, end) = Terminal::open().unwrap();
        let script = "test -t 2 && echo yes >&2; test -t 1 || head -c 100000 /dev/zero | tr '\\0' x >&2";
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdout(Stdio::null()).stderr(end);
        assert!(command.status().unwrap().success());
        drop(command);
        let shown = terminal.shown();
        assert!(shown.starts_with("yes\r\n"), "{}", shown.len());
        assert_eq!(shown.matches('x').count(), 100_000);
    }
}
