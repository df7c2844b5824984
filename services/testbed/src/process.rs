//! A server as a process group that ends with us: on drop, on panic, and also when this process is killed outright.
//!
//! A small shell stands between. It leads the group, starts the server and reads a pipe whose other end only this
//! process holds. When the pipe closes, whatever the reason, the shell kills the whole group: no orphan stays behind.

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    fs::File,
    io::{PipeReader, Read, pipe},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How often the end of a process is looked for.
const POLL: Duration = Duration::from_millis(50);

/// `$1` is the log, `$2...` the server. Only the watcher keeps descriptor 3, the pipe; all keep 4, the sign of life.
/// `trap :` lets the shell outlive a SIGTERM to the group (it waits for the server's own ending), and unlike `trap ''`
/// is not inherited.
const WRAPPER: &str = r#"
trap : TERM
exec 3<&0 0</dev/null 4>&1 >>"$1" 2>&1
shift
( trap - TERM; read -r _ <&3; kill -KILL 0 ) &
watcher=$!
"$@" 3<&-
status=$?
kill -KILL "$watcher" 2>/dev/null
exit $status
"#;

/// A running process group.
#[derive(Debug)]
pub struct Group {
    leader: Child,
    alive: PipeReader,
}

/// How a group ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By itself, after a SIGTERM.
    Graceful,
    /// It had to be killed.
    Killed,
}

impl Group {
    /// Starts `server` (program, arguments, environment, folder are taken from it; its streams are not) in a group of
    /// its own, with standard output and error appended to `log`.
    pub fn spawn(server: &Command, log: &Path) -> Result<Self> {
        File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot open {}", log.display()))?;
        let (alive, held) = pipe().context("cannot make a pipe")?;
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(WRAPPER).arg("testbed").arg(log).arg(server.get_program()).args(server.get_args());
        for (name, value) in server.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        if let Some(dir) = server.get_current_dir() {
            shell.current_dir(dir);
        }
        shell.process_group(0).stdin(Stdio::piped());
        shell.stdout(held).stderr(Stdio::null());
        let leader = shell.spawn().with_context(|| format!("cannot start {:?}", server.get_program()))?;
        // The command goes with the end of this function, and with it our copy of the pipe's writing end.
        Ok(Self { leader, alive })
    }

    /// How the server ended, if it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.leader.try_wait().context("cannot look after the server")
    }

    /// Process id of the leader, which is also the id of the group.
    pub fn id(&self) -> u32 {
        self.leader.id()
    }

    /// Process id of the server itself, which the leader started last: the watcher is there before it.
    pub fn server(&self) -> Option<u32> {
        let leader = self.id();
        let of = |id: u32| {
            let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
            stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse::<u32>().ok()
        };
        let all = std::fs::read_dir("/proc").ok()?;
        let ids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        ids.filter(|id| of(*id) == Some(leader)).max()
    }

    /// Asks the group to end, and kills what is left after `patience`.
    pub fn stop(mut self, patience: Duration) -> Result<Ending> {
        self.signal(Signal::TERM);
        let end = Instant::now() + patience;
        while Instant::now() < end {
            if self.ended()?.is_some() {
                return Ok(Ending::Graceful);
            }
            thread::sleep(POLL);
        }
        Ok(Ending::Killed)
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = i32::try_from(self.leader.id()).ok().and_then(Pid::from_raw) {
            // An error means that nobody is left, which is what was wanted.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.leader.wait();
        // Ends with the last member; each was killed outright.
        let _ = self.alive.read_to_end(&mut Vec::new());
    }
}

/// Runs a helper program to its end and returns what it printed; its error output goes into the error.
pub fn run(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot run {}", program.display()))?;
    if !output.status.success() {
        let out = String::from_utf8_lossy(&output.stdout);
        let err = String::from_utf8_lossy(&output.stderr);
        bail!("{} failed, {}: {out}{err}", program.display(), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    /// A zombie is not alive, but still has its number.
    fn alive(id: &str) -> bool {
        let state = Command::new("ps").args(["-o", "stat=", "-p", id]).output().unwrap().stdout;
        !state.is_empty() && state[0] != b'Z'
    }

    fn wait_until(mut what: impl FnMut() -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        while !what() {
            assert!(Instant::now() < end, "waited in vain");
            thread::sleep(POLL);
        }
    }

    /// A server that has a child of its own, as kc.sh has; returns the child's number as well.
    fn family(dir: &Path) -> (Group, String) {
        let mut command = Command::new("sh");
        command.arg("-c").arg("sleep 1000 & echo child $!; wait");
        let log = dir.join("log");
        let group = Group::spawn(&command, &log).unwrap();
        let read = || std::fs::read_to_string(&log).unwrap();
        wait_until(|| read().ends_with('\n'));
        (group, read().trim().rsplit(' ').next().unwrap().to_owned())
    }

    #[test]
    fn dropping_ends_the_whole_group() {
        let dir = tempfile::tempdir().unwrap();
        let (group, child) = family(dir.path());
        assert!(alive(&child));
        drop(group);
        assert!(!alive(&child));
    }

    #[test]
    fn a_closed_pipe_ends_the_whole_group_as_when_we_are_killed() {
        let dir = tempfile::tempdir().unwrap();
        let (mut group, child) = family(dir.path());
        drop(group.leader.stdin.take());
        wait_until(|| group.leader.try_wait().unwrap().is_some());
        wait_until(|| !alive(&child));
    }

    #[test]
    fn its_own_ending_is_seen_and_a_stop_is_graceful() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.arg("-c").arg("exit 7");
        let mut group = Group::spawn(&command, &dir.path().join("log")).unwrap();
        // Not `wait`: it closes the pipe first, which is the order to kill.
        let end = Instant::now() + Duration::from_secs(60);
        let status = loop {
            assert!(Instant::now() < end, "its ending was not seen");
            if let Some(status) = group.ended().unwrap() {
                break status;
            }
            thread::sleep(POLL);
        };
        assert_eq!(status.code(), Some(7));
        assert_eq!(family(dir.path()).0.stop(Duration::from_secs(10)).unwrap(), Ending::Graceful);
    }
}
