//! What the handles, the writer and the readers of one journal share.

use crate::cursors::Cursors;
use crate::damage::{Damage, Register, Run, locate};
use crate::disk::{Disk, DiskFile};
use crate::log::AppendError;
use crate::options::Options;
use crate::quarantine::{Kept, Quarantine};
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
    pub(crate) quarantine: Mutex<Quarantine>,
    /// Held by a scrub.
    pub(crate) scrubbing: Mutex<()>,
    pub(crate) activity: Mutex<Activity>,
    pub(crate) syncs: SyncMeter,
    segments: RwLock<Vec<Arc<Segment>>>,
    /// The last stream of the run before, as the durable mark knew it at the start.
    marked: Option<Run>,
}

/// What it takes to make a [`Shared`].
pub(crate) struct Parts {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) options: Options,
    pub(crate) stream: [u8; 16],
    pub(crate) cursors: Cursors,
    pub(crate) trimmed: SlotFile,
    pub(crate) quarantine: Quarantine,
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) marked: Option<Run>,
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
            quarantine: Mutex::new(parts.quarantine),
            scrubbing: Mutex::default(),
            activity: Mutex::new(Activity::Running),
            syncs: SyncMeter::default(),
            segments: RwLock::new(parts.segments),
            marked: parts.marked,
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

    /// Which streams the offsets of a damage belong to: one damage for each.
    pub(crate) fn locate(&self, damage: Damage) -> Vec<Damage> {
        locate(&runs(&self.segments(), self.marked.as_ref()), damage)
    }

    /// Notes a damage, with a copy of its bytes if there is a file to copy them from; returns it as it was first found,
    /// by streams.
    pub(crate) fn found(&self, damage: Damage, file: Option<&dyn DiskFile>) -> Vec<Damage> {
        let mut parts = self.locate(damage);
        for damage in &mut parts {
            let known = locked(&self.damage).known(damage).map(|known| (known.found_ms, known.quarantine.clone()));
            if let Some(known) = known {
                (damage.found_ms, damage.quarantine) = known;
                continue;
            }
            if let Some(file) = file {
                let kept = locked(&self.quarantine).keep((&damage.file, file), damage.bytes.clone());
                match kept {
                    Ok(Kept::Refused) => tracing::error!(file = damage.file, bytes = ?damage.bytes,
                        "No space to copy damaged bytes to quarantine; they stay in the segment until it is trimmed."),
                    Ok(kept) => damage.quarantine = kept.name(),
                    Err(error) => tracing::error!(%error, file = damage.file,
                        "Damaged bytes cannot be copied to quarantine; they stay in the segment until it is trimmed."),
                }
            }
            locked(&self.damage).note(damage.clone());
        }
        parts
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

/// Where streams lie, as far as segments and the durable mark tell.
pub(crate) fn runs(segments: &[Arc<Segment>], marked: Option<&Run>) -> Vec<Run> {
    let own = |segment: &Arc<Segment>| {
        let identity = segment.identity.as_ref()?;
        Run::new(identity.stream, (identity.first_offset, identity.first_seq), segment.extent().next_offset)
    };
    segments.iter().filter_map(own).chain(marked.cloned()).collect()
}

/// The clock of the edge: times of segments come from it, and how long the records of a topic wait.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
