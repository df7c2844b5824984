//! The embedded journal: the handle that the rest of the program holds.

use crate::cursors;
use crate::disk::{Disk, RealDisk};
use crate::format::{FOOTER_LEN, SEGMENT_HEADER_LEN};
use crate::log::{AppendError, Appended, Batch, Closed, CommitError, Entry, Log, ReadError, ReadLimits, Sealed};
use crate::options::{MIN_SEGMENT_BYTES, Options};
use crate::prepare::Preparer;
use crate::quarantine;
use crate::queue::Pending;
use crate::reader;
use crate::recover::{failed, recover};
use crate::scrub::{ScrubError, ScrubReport, scrub_open};
use crate::segment::locked;
use crate::shared::{Parts, Shared};
use crate::status::{Activity, Status};
use crate::trim::{Reason, TrimError, Trimmed, trim};
use crate::writer::{Fault, Writer};
use std::any::Any;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

const LOCK: &str = "lock";

/// Why a journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another journal of this one, has it open.
    #[error("journal {} is in use by another process", dir.display())]
    Locked {
        /// The folder.
        dir: PathBuf,
    },
    /// Options that cannot work.
    #[error("{0}")]
    Options(&'static str),
    /// Written by a later version of this program.
    #[error("{file} has a newer format than this program reads")]
    Newer {
        /// The segment.
        file: String,
    },
    /// The opening entry was refused.
    #[error("the opening entry was not kept")]
    Opening(#[source] AppendError),
    /// The file system refused.
    #[error("cannot {action} {file}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        file: String,
        /// Cause.
        #[source]
        source: io::Error,
    },
}

/// A journal in one folder; clones share it. When the last handle goes, the journal closes as [`Journal::close`] does.
#[derive(Clone)]
pub struct Journal {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Journal {
    /// Opens or makes a journal: takes the lock, recovers, starts a stream with a random id, and keeps the entry that
    /// `opening` makes of that id and of the stream before as its first record, durable on return.
    pub fn open(
        options: Options,
        opening: impl FnOnce(&[u8; 16], Option<&Sealed>) -> Entry,
    ) -> Result<Self, OpenError> {
        Self::open_on(Arc::new(RealDisk), options, opening)
    }

    /// As [`Journal::open`], on another disk than the operating system's.
    pub fn open_on(
        disk: Arc<dyn Disk>,
        options: Options,
        opening: impl FnOnce(&[u8; 16], Option<&Sealed>) -> Entry,
    ) -> Result<Self, OpenError> {
        if options.segment_bytes < MIN_SEGMENT_BYTES {
            return Err(OpenError::Options("segments are too small"));
        }
        if options.max_bytes < options.segment_bytes.saturating_mul(2) {
            return Err(OpenError::Options("the journal must have room for two segments"));
        }
        let lock = prepare_dir(&*disk, &options)?;
        let found = recover(&disk, &options)?;
        let mut stream = [0; 16];
        getrandom::fill(&mut stream).map_err(|_| OpenError::Options("no randomness"))?;
        let entry = opening(&stream, found.sealed.as_ref());
        let (pending, mut answer) = Pending::prepare(vec![entry]).map_err(OpenError::Opening)?;
        let need = pending.bytes + SEGMENT_HEADER_LEN + FOOTER_LEN;
        let preparer = Preparer::start(disk.clone(), &options, need).map_err(failed("allocate", "a segment"))?;
        let shared = Arc::new(Shared::new(Parts {
            disk,
            options,
            stream,
            cursors: found.cursors,
            trimmed: found.trimmed,
            quarantine: found.quarantine,
            segments: found.segments,
            marked: found.marked,
            end: found.next_offset,
        }));
        for damage in found.damage.into_iter().flat_map(|damage| shared.locate(damage)) {
            locked(&shared.damage).note(damage);
        }
        let mut writer = Writer::new(shared.clone(), preparer, found.mark);
        shared.queue.push(pending).map_err(OpenError::Opening)?;
        if let Some(group) = shared.queue.take(u64::MAX, None)
            && let Err(Fault::Dead(action, source)) = writer.commit(group)
        {
            return Err(OpenError::Io { action: "begin", file: action.into(), source });
        }
        answer.try_recv().unwrap_or(Err(AppendError::Stopped)).map_err(OpenError::Opening)?;
        let guard = StopOnPanic(shared.clone());
        let run = move || {
            writer.run();
            // Only now may another process open the folder.
            drop((guard, lock));
        };
        let thread = std::thread::Builder::new().name("journal".into()).spawn(run);
        let writer = Mutex::new(Some(thread.map_err(failed("start", "the writer"))?));
        Ok(Self { inner: Arc::new(Inner { shared, writer }) })
    }

    /// See [`Log::append`].
    pub async fn append(&self, entries: Vec<Entry>) -> Result<Appended, AppendError> {
        let (pending, answer) = Pending::prepare(entries)?;
        self.inner.shared.queue.push(pending)?;
        answer.await.unwrap_or(Err(AppendError::Stopped))
    }

    /// See [`Log::read`]. Blocks on the disk.
    pub fn read(&self, from: u64, limits: ReadLimits) -> Result<Batch, ReadError> {
        reader::read(&self.inner.shared, from, limits)
    }

    /// See [`Log::wait_past`].
    pub async fn wait_past(&self, offset: u64) -> Result<(), Closed> {
        let mut progress = self.inner.shared.progress.subscribe();
        let seen = progress.wait_for(|progress| progress.closed || progress.end > offset).await;
        if seen.is_ok_and(|progress| progress.end > offset) { Ok(()) } else { Err(Closed) }
    }

    /// See [`Log::durable_end`].
    pub fn durable_end(&self) -> u64 {
        self.inner.shared.end()
    }

    /// See [`Log::commit`]. Blocks on the disk.
    pub fn commit(&self, consumer: &str, offset: u64) -> Result<(), CommitError> {
        let end = self.durable_end();
        if offset > end {
            return Err(CommitError::Beyond { end });
        }
        locked(&self.inner.shared.cursors).commit(consumer, offset)
    }

    /// Like [`Journal::commit`], and a lower offset counts, too: for a consumer that is to read again. Blocks on the disk.
    pub fn set_back(&self, consumer: &str, offset: u64) -> Result<(), CommitError> {
        let end = self.durable_end();
        if offset > end {
            return Err(CommitError::Beyond { end });
        }
        locked(&self.inner.shared.cursors).set(consumer, offset)
    }

    /// See [`Log::committed`].
    pub fn committed(&self, consumer: &str) -> u64 {
        let cursor = locked(&self.inner.shared.cursors).get(consumer);
        cursor.unwrap_or_else(|| self.inner.shared.first())
    }

    /// Removes a consumer for good: nothing is kept for it any more.
    pub fn forget(&self, consumer: &str) -> io::Result<()> {
        locked(&self.inner.shared.cursors).forget(consumer)
    }

    /// Frees sealed segments that every consumer has committed and whose keep time has passed, and such within their
    /// keep time while the journal is over its size. Frees nothing as long as there is no consumer.
    pub fn trim(&self) -> Result<Trimmed, TrimError> {
        trim(&self.inner.shared, Reason::Age)
    }

    /// Reads everything that is kept and checks it down to chain and commitments. What it finds is noted as what a read
    /// finds: in the status, and copied to quarantine. Blocks on the disk.
    pub fn scrub(&self) -> Result<ScrubReport, ScrubError> {
        self.scrub_paced(|_| ControlFlow::Continue(()))
    }

    /// As [`Journal::scrub`]; `pace` is told of every record how many bytes of the disk it took, and may wait or stop.
    pub fn scrub_paced(&self, mut pace: impl FnMut(u64) -> ControlFlow<()>) -> Result<ScrubReport, ScrubError> {
        scrub_open(&self.inner.shared, &mut pace)
    }

    /// Offset of a record of a stream, as far as segments of that stream are kept; the first kept one if it was freed.
    pub fn offset_of(&self, stream: [u8; 16], seq: u64) -> Option<u64> {
        let segments = self.inner.shared.segments();
        let own = segments.iter().filter_map(|segment| segment.identity.as_ref()).filter(|own| own.stream == stream);
        let (mut first, mut found) = (None, None);
        for own in own {
            first = first.or(Some(own.first_offset));
            if own.first_seq <= seq {
                found = Some(own.first_offset + (seq - own.first_seq));
            }
        }
        found.or(first)
    }

    /// Id of this run's stream.
    pub fn stream(&self) -> [u8; 16] {
        self.inner.shared.stream
    }

    /// The journal at this moment.
    pub fn status(&self) -> Status {
        let shared = &self.inner.shared;
        let (damage, damage_total) = locked(&shared.damage).snapshot();
        let activity = locked(&shared.activity).clone();
        let queued_bytes = shared.queue.bytes();
        Status {
            stream: shared.stream,
            first: shared.first(),
            end: shared.end(),
            committed: locked(&shared.cursors).all(),
            bytes: shared.bytes(),
            segments: shared.segments().len(),
            queued_bytes,
            damage,
            damage_total,
            quarantine: locked(&shared.quarantine).status(),
            can_append: activity == Activity::Running && queued_bytes < shared.options.queue_bytes,
            activity,
            syncs: shared.syncs.snapshot(),
        }
    }

    /// Writes what was accepted, seals the segment and gives the lock back. Other handles then answer `Stopped`.
    pub fn close(self) {
        self.inner.close();
    }
}

impl Inner {
    fn close(&self) {
        self.shared.queue.close();
        let writer = locked(&self.writer).take();
        if let Some(writer) = writer
            && writer.join().is_err()
        {
            tracing::error!("The journal's writer panicked; the next start recovers what it left.");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

/// Nobody may wait for a writer that is gone.
struct StopOnPanic(Arc<Shared>);

impl Drop for StopOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop("the writer panicked".into());
        }
    }
}

impl Log for Journal {
    async fn append(&self, entries: Vec<Entry>) -> Result<Appended, AppendError> {
        Self::append(self, entries).await
    }

    fn read(&self, from: u64, limits: ReadLimits) -> Result<Batch, ReadError> {
        Self::read(self, from, limits)
    }

    async fn wait_past(&self, offset: u64) -> Result<(), Closed> {
        Self::wait_past(self, offset).await
    }

    fn durable_end(&self) -> u64 {
        Self::durable_end(self)
    }

    fn commit(&self, consumer: &str, offset: u64) -> Result<(), CommitError> {
        Self::commit(self, consumer, offset)
    }

    fn committed(&self, consumer: &str) -> u64 {
        Self::committed(self, consumer)
    }
}

fn prepare_dir(disk: &dyn Disk, options: &Options) -> Result<Box<dyn Any + Send + Sync>, OpenError> {
    let dir = &options.dir;
    make_dir(disk, dir).map_err(failed("make", "the folder"))?;
    let lock = disk.lock(&dir.join(LOCK)).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => OpenError::Locked { dir: dir.clone() },
        _ => OpenError::Io { action: "lock", file: LOCK.into(), source },
    })?;
    for sub in [cursors::DIR, quarantine::DIR] {
        make_dir(disk, &dir.join(sub)).map_err(failed("make", sub))?;
    }
    disk.sync_dir(dir).map_err(failed("sync", "the folder"))?;
    Ok(lock)
}

/// Makes a folder and those above it, each durable in the one above: without that a power cut takes the folder with all
/// that was synced in it.
fn make_dir(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    let above = match dir.parent() {
        Some(above) if above.as_os_str().is_empty() => Path::new("."),
        Some(above) => above,
        None => return Ok(()),
    };
    let mut made = disk.create_dir(dir);
    if matches!(&made, Err(error) if error.kind() == io::ErrorKind::NotFound) {
        make_dir(disk, above)?;
        made = disk.create_dir(dir);
    }
    match made {
        Ok(()) => disk.sync_dir(above),
        // Perhaps made by a run that ended before its sync. A folder above that we may not read was made by others.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match disk.sync_dir(above) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            synced => synced,
        },
        Err(error) => Err(error),
    }
}
