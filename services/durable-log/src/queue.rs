//! The queue between callers and the writer: bounded in bytes, emptied in groups.

use crate::chain;
use crate::format::FRAME_OVERHEAD;
use crate::log::{AppendError, Appended, Entry, MAX_APPEND_BYTES, MAX_APPEND_ENTRIES, MAX_RECORD_BYTES};
use crate::segment::locked;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// An entry with what the caller's own thread can compute for it.
pub(crate) struct Prepared {
    pub(crate) entry: Entry,
    pub(crate) salt: [u8; 16],
    pub(crate) commitment: [u8; 32],
}

/// An append that waits for its answer.
pub(crate) struct Pending {
    pub(crate) entries: Vec<Prepared>,
    /// Bytes of its frames.
    pub(crate) bytes: u64,
    reply: oneshot::Sender<Result<Appended, AppendError>>,
}

/// Where the answer comes.
pub(crate) type Reply = oneshot::Receiver<Result<Appended, AppendError>>;

impl Pending {
    /// Checks sizes, draws salts and commits to the bodies.
    pub(crate) fn prepare(entries: Vec<Entry>) -> Result<(Self, Reply), AppendError> {
        let sizes = || entries.iter().map(|entry| entry.header.len() + entry.body.len());
        if entries.len() > MAX_APPEND_ENTRIES
            || sizes().any(|size| size > MAX_RECORD_BYTES)
            || sizes().sum::<usize>() > MAX_APPEND_BYTES
        {
            return Err(AppendError::TooLarge);
        }
        let bytes = sizes().map(|size| (size + FRAME_OVERHEAD) as u64).sum();
        let mut salts = vec![0; entries.len() * 16];
        // Without random salts a commitment would reveal guessable bodies: rather keep nothing.
        getrandom::fill(&mut salts).map_err(|_| AppendError::Stopped)?;
        let prepared = entries.into_iter().zip(salts.as_chunks::<16>().0).map(|(entry, salt)| {
            let commitment = chain::commitment(salt, &entry.body);
            Prepared { entry, salt: *salt, commitment }
        });
        let (reply, answer) = oneshot::channel();
        Ok((Self { entries: prepared.collect(), bytes, reply }, answer))
    }

    /// Answers the caller; one who has gone away is no error.
    pub(crate) fn answer(self, answer: Result<Appended, AppendError>) {
        let _ = self.reply.send(answer);
    }
}

/// See the file's head.
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    filled: Condvar,
    limit: u64,
}

struct Inner {
    waiting: VecDeque<Pending>,
    /// Of all that is not yet answered.
    bytes: u64,
    closed: bool,
}

impl Queue {
    pub(crate) fn new(limit: u64) -> Self {
        let inner = Inner { waiting: VecDeque::new(), bytes: 0, closed: false };
        Self { inner: Mutex::new(inner), filled: Condvar::new(), limit }
    }

    /// Takes an append in, or refuses it.
    pub(crate) fn push(&self, pending: Pending) -> Result<(), AppendError> {
        let mut inner = locked(&self.inner);
        if inner.closed {
            return Err(AppendError::Stopped);
        }
        // An empty queue takes any append, however large against the limit.
        if inner.bytes > 0 && inner.bytes + pending.bytes > self.limit {
            return Err(AppendError::Full);
        }
        inner.bytes += pending.bytes;
        let first = inner.waiting.is_empty();
        inner.waiting.push_back(pending);
        drop(inner);
        // The one writer sleeps on an empty queue only; while it writes, waking nobody would still be a system call.
        if first {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// All that waits, up to about `most` bytes and at least one; `None` once closed and empty. Nothing at all if
    /// nothing came within `patience`.
    pub(crate) fn take(&self, most: u64, patience: Option<Duration>) -> Option<VecDeque<Pending>> {
        let mut inner = locked(&self.inner);
        while inner.waiting.is_empty() {
            if inner.closed {
                return None;
            }
            let Some(patience) = patience else {
                inner = self.filled.wait(inner).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let waited = self.filled.wait_timeout(inner, patience).unwrap_or_else(PoisonError::into_inner);
            if waited.1.timed_out() {
                return Some(VecDeque::new());
            }
            inner = waited.0;
        }
        let mut group = VecDeque::new();
        let mut bytes = 0;
        while let Some(next) = inner.waiting.front() {
            if !group.is_empty() && bytes + next.bytes > most {
                break;
            }
            bytes += next.bytes;
            group.extend(inner.waiting.pop_front());
        }
        Some(group)
    }

    /// Gives back the room of an answered append.
    pub(crate) fn release(&self, bytes: u64) {
        locked(&self.inner).bytes -= bytes;
    }

    /// Takes no more appends in; what waits is still handed out.
    pub(crate) fn close(&self) {
        locked(&self.inner).closed = true;
        self.filled.notify_all();
    }

    /// Bytes not yet answered.
    pub(crate) fn bytes(&self) -> u64 {
        locked(&self.inner).bytes
    }
}
