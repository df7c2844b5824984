//! What the handles, the writer and the readers of one journal share.

use crate::cursors::Cursors;
use crate::damage::{Damage, Register};
use crate::disk::{Disk, DiskFile};
use crate::log::AppendError;
use crate::options::Options;
use crate::quarantine;
use crate::queue::Queue;
use crate::segment::{Segment, locked};
use crate::slot::SlotFile;
use crate::status::{Activity, SyncMeter};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// How far records are durable, and whether more can come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    pub(crate) end: u64,
    pub(crate) closed: bool,
}

pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) options: Options,
    pub(crate) stream: [u8; 16],
    pub(crate) queue: Queue,
    pub(crate) progress: watch::Sender<Progress>,
    pub(crate) cursors: Mutex<Cursors>,
    /// Every offset below was freed. Held by a trim from its first to its last step.
    pub(crate) trimmed: Mutex<SlotFile>,
    pub(crate) damage: Mutex<Register>,
    pub(crate) activity: Mutex<Activity>,
    pub(crate) syncs: SyncMeter,
    segments: RwLock<Vec<Arc<Segment>>>,
}

/// What it takes to make a [`Shared`].
pub(crate) struct Parts {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) options: Options,
    pub(crate) stream: [u8; 16],
    pub(crate) cursors: Cursors,
    pub(crate) trimmed: SlotFile,
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) end: u64,
}

/// Where an offset is.
pub(crate) enum Place {
    In(Arc<Segment>),
    /// In no segment, though it should be: nothing is there up to this offset.
    Nowhere(u64),
    Trimmed(u64),
}

impl Shared {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            queue: Queue::new(parts.options.queue_bytes),
            disk: parts.disk,
            options: parts.options,
            stream: parts.stream,
            progress: watch::Sender::new(Progress { end: parts.end, closed: false }),
            cursors: Mutex::new(parts.cursors),
            trimmed: Mutex::new(parts.trimmed),
            damage: Mutex::default(),
            activity: Mutex::new(Activity::Running),
            syncs: SyncMeter::default(),
            segments: RwLock::new(parts.segments),
        }
    }

    pub(crate) fn end(&self) -> u64 {
        self.progress.borrow().end
    }

    pub(crate) fn segments(&self) -> Vec<Arc<Segment>> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn edit_segments<T>(&self, edit: impl FnOnce(&mut Vec<Arc<Segment>>) -> T) -> T {
        edit(&mut self.segments.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// First offset kept.
    pub(crate) fn first(&self) -> u64 {
        let trimmed = locked(&self.trimmed).value().offset;
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        // A first segment above what was trimmed means that one in between is gone: its range is damage, not freed.
        segments.first().map_or(trimmed, |segment| segment.first_offset.min(trimmed))
    }

    pub(crate) fn find(&self, offset: u64) -> Place {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let after = segments.partition_point(|segment| segment.first_offset <= offset);
        if let Some(at) = after.checked_sub(1) {
            let segment = &segments[at];
            if offset < segment.extent().next_offset {
                return Place::In(segment.clone());
            }
        }
        let next = segments.get(after).map(|segment| segment.first_offset);
        drop(segments);
        let next = next.unwrap_or_else(|| self.end());
        let trimmed = locked(&self.trimmed).value().offset;
        if after == 0 && offset < trimmed { Place::Trimmed(trimmed.min(next)) } else { Place::Nowhere(next) }
    }

    /// Keeps a copy of damaged bytes and names them; returns the damage with the copy's name.
    pub(crate) fn found(&self, mut damage: Damage, file: &dyn DiskFile) -> Damage {
        let known = !locked(&self.damage).is_new(&damage);
        if known {
            damage.quarantine = locked(&self.damage).quarantine_of(&damage);
            return damage;
        }
        match quarantine::keep(&*self.disk, &self.options.dir, (&damage.file, file), damage.bytes.clone()) {
            Ok(copy) => damage.quarantine = copy,
            Err(error) => tracing::error!(%error, file = damage.file,
                "Damaged bytes cannot be copied to quarantine; they stay in the segment until it is trimmed."),
        }
        locked(&self.damage).note(damage.clone());
        damage
    }

    pub(crate) fn set_activity(&self, activity: Activity) {
        *locked(&self.activity) = activity;
    }

    /// Answers all that waits and tells everybody that no record will come any more.
    pub(crate) fn stop(&self, why: String) {
        self.set_activity(Activity::Stopped { why });
        self.queue.close();
        while let Some(group) = self.queue.take(u64::MAX, None) {
            for pending in group {
                self.queue.release(pending.bytes);
                pending.answer(Err(AppendError::Stopped));
            }
        }
        self.progress.send_modify(|progress| progress.closed = true);
    }

    /// Bytes of all segments.
    pub(crate) fn bytes(&self) -> u64 {
        self.segments().iter().map(|segment| segment.extent().file_len).sum()
    }
}

/// The clock of the edge: only segment times come from it.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
