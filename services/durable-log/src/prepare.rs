//! Makes the next segment's file ahead of time, so that rolling costs no long write and a full disk is known before an
//! append is accepted. Also keeps the reserve, which lets a journal be opened on a full disk.
//!
//! `spare.new` is being filled with zeros; `spare` is complete and synced; the writer renames it to a segment.

use crate::disk::{Disk, DiskFile, is_full, remove_if_there};
use crate::options::Options;
use crate::segment::locked;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub(crate) const SPARE: &str = "spare";
const SPARE_NEW: &str = "spare.new";
pub(crate) const RESERVE: &str = "reserve";
const RESERVE_NEW: &str = "reserve.new";
/// A full disk is tried again at most this often.
const RETRY_AFTER: Duration = Duration::from_millis(250);

/// A file of zeros, ready to become a segment.
#[derive(Clone)]
pub(crate) struct Spare {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) len: u64,
}

pub(crate) struct Preparer {
    inner: Arc<Inner>,
    thread: Option<JoinHandle<()>>,
}

struct Inner {
    maker: Maker,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone)]
struct Maker {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    segment_bytes: u64,
    reserve_bytes: u64,
}

enum State {
    Idle,
    Wanted,
    Ready(Spare),
    Failed { at: Instant, full: bool },
    Closed,
}

/// Why there is no spare.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoSpare {
    /// The file system is full.
    Full,
    /// Anything else.
    Failed,
}

impl Preparer {
    /// Starts with the spare of the run before or a new one; on a full disk with a small one from the reserve.
    pub(crate) fn start(disk: Arc<dyn Disk>, options: &Options, need: u64) -> io::Result<Self> {
        let (segment_bytes, reserve_bytes) = (options.segment_bytes, options.reserve_bytes);
        let maker = Maker { disk, dir: options.dir.clone(), segment_bytes, reserve_bytes };
        let spare = match maker.existing(need)? {
            Some(spare) => spare,
            None => match maker.make(need) {
                Err(error) if is_full(&error) => {
                    tracing::warn!("The disk is full; the journal opens in its reserve and takes nothing in.");
                    release_reserve(&*maker.disk, &maker.dir)?;
                    maker.make_small(need)?
                }
                made => made?,
            },
        };
        let inner = Inner { maker, state: Mutex::new(State::Ready(spare)), changed: Condvar::new() };
        let inner = Arc::new(inner);
        let worker = inner.clone();
        let thread = std::thread::Builder::new().name("journal-spare".into()).spawn(move || worker.run())?;
        Ok(Self { inner, thread: Some(thread) })
    }

    /// Asks for the next spare.
    pub(crate) fn want(&self) {
        let mut state = locked(&self.inner.state);
        if matches!(*state, State::Idle) {
            *state = State::Wanted;
            self.inner.changed.notify_all();
        }
    }

    /// The spare, waiting for one that is being made.
    pub(crate) fn take(&self, need: u64) -> Result<Spare, NoSpare> {
        let mut state = locked(&self.inner.state);
        loop {
            match &*state {
                State::Ready(spare) => {
                    let mut spare = spare.clone();
                    if spare.len < need {
                        // A larger append than a segment holds: the file grows, its zeros stay zeros whatever fails.
                        let to = need.max(self.inner.maker.segment_bytes);
                        let grown = spare.file.allocate(spare.len, to).and_then(|()| spare.file.sync_data());
                        grown.map_err(|error| if is_full(&error) { NoSpare::Full } else { NoSpare::Failed })?;
                        spare.len = to;
                    }
                    *state = State::Idle;
                    return Ok(spare);
                }
                State::Failed { at, full } if at.elapsed() < RETRY_AFTER => {
                    return Err(if *full { NoSpare::Full } else { NoSpare::Failed });
                }
                State::Closed => return Err(NoSpare::Failed),
                State::Failed { .. } | State::Idle => {
                    *state = State::Wanted;
                    self.inner.changed.notify_all();
                }
                State::Wanted => {
                    state = self.inner.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// Space was freed: the next [`Preparer::take`] does not wait before it tries.
    pub(crate) fn retry_now(&self) {
        let mut state = locked(&self.inner.state);
        if matches!(*state, State::Failed { .. }) {
            *state = State::Idle;
        }
    }

    /// Gives a spare back that could not be used.
    pub(crate) fn put_back(&self, spare: Spare) {
        *locked(&self.inner.state) = State::Ready(spare);
    }
}

impl Drop for Preparer {
    fn drop(&mut self) {
        *locked(&self.inner.state) = State::Closed;
        self.inner.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Inner {
    fn run(&self) {
        let mut state = locked(&self.state);
        loop {
            match *state {
                State::Closed => return,
                State::Wanted => {
                    drop(state);
                    let made = self.maker.make(0);
                    state = locked(&self.state);
                    if matches!(*state, State::Closed) {
                        return;
                    }
                    *state = match made {
                        Ok(spare) => State::Ready(spare),
                        Err(error) => {
                            tracing::warn!(%error, "The next journal segment cannot be made; nothing is lost: it is \
                                tried again when the present one is full, and appends are refused where that fails.");
                            State::Failed { at: Instant::now(), full: is_full(&error) }
                        }
                    };
                    self.changed.notify_all();
                }
                _ => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

impl Maker {
    fn existing(&self, need: u64) -> io::Result<Option<Spare>> {
        let file = match self.disk.open(&self.dir.join(SPARE)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let len = file.size()?;
        Ok((len >= need && len >= self.segment_bytes).then_some(Spare { file, len }))
    }

    /// The reserve first: without it the space for a segment would be the last there is.
    fn make(&self, need: u64) -> io::Result<Spare> {
        let reserve = self.dir.join(RESERVE);
        match self.disk.open_read(&reserve) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.zeros(RESERVE_NEW, RESERVE, self.reserve_bytes)?;
            }
            Err(error) => return Err(error),
        }
        self.spare(need.max(self.segment_bytes))
    }

    fn make_small(&self, need: u64) -> io::Result<Spare> {
        // Half of the reserve: the other half is for the folder's own blocks and for what readers set aside.
        self.spare(need.max(self.segment_bytes.min(self.reserve_bytes / 2)))
    }

    fn spare(&self, len: u64) -> io::Result<Spare> {
        let file = self.zeros(SPARE_NEW, SPARE, len)?;
        Ok(Spare { file, len })
    }

    fn zeros(&self, new: &str, name: &str, len: u64) -> io::Result<Arc<dyn DiskFile>> {
        let path = self.dir.join(new);
        remove_if_there(&*self.disk, &path)?;
        let file = self.disk.create(&path)?;
        if let Err(error) = file.allocate(0, len).and_then(|()| file.sync_data()) {
            // What was taken in vain goes back to the others on this disk.
            let _ = self.disk.remove(&path);
            return Err(error);
        }
        self.disk.rename(&path, &self.dir.join(name))?;
        self.disk.sync_dir(&self.dir)?;
        Ok(file)
    }
}

/// Gives the reserve's space to what must be written now.
pub(crate) fn release_reserve(disk: &dyn Disk, dir: &std::path::Path) -> io::Result<()> {
    remove_if_there(disk, &dir.join(RESERVE))?;
    remove_if_there(disk, &dir.join(RESERVE_NEW))?;
    remove_if_there(disk, &dir.join(SPARE_NEW))?;
    disk.sync_dir(dir)
}
