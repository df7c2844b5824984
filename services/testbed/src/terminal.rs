//! A terminal of its own for a program under test: what it shows there, as a person would have seen it come.

use anyhow::{Context, Result};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::{
    ffi::OsString,
    fs::File,
    io::Read,
    os::{fd::OwnedFd, unix::ffi::OsStringExt},
    process::Stdio,
    thread::JoinHandle,
};

/// A pseudo-terminal, read all the time: it holds little that nobody reads.
#[derive(Debug)]
pub struct Terminal {
    shown: JoinHandle<Vec<u8>>,
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
        Ok((Self { shown: std::thread::spawn(move || read(controller.into())) }, end.into()))
    }

    /// All that was shown, once the program has ended.
    pub fn shown(self) -> String {
        let bytes = self.shown.join().unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Reads until the last one has closed the other end, which is an error of input here.
fn read(mut controller: File) -> Vec<u8> {
    let (mut shown, mut piece) = (Vec::new(), [0; 4096]);
    while let Ok(read @ 1..) = controller.read(&mut piece) {
        shown.extend_from_slice(&piece[..read]);
    }
    shown
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
