//! What the simulated disk holds: every file and name twice, as programs see it and as a power cut would leave it.

use crate::sim::{Fault, Loss};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

/// Unit in which unsynced bytes reach the medium or do not.
const SECTOR: usize = 512;

#[derive(Clone, Default)]
pub struct Inode {
    synced: Vec<u8>,
    pub current: Vec<u8>,
    dirty: BTreeSet<usize>,
    resized: bool,
}

/// A change of one folder.
#[derive(Clone)]
pub enum NameOp {
    Link(PathBuf, usize),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf, usize),
    Folder(PathBuf),
}

/// Names of files, and folders.
#[derive(Clone, Default)]
pub struct Names {
    pub files: BTreeMap<PathBuf, usize>,
    pub folders: BTreeSet<PathBuf>,
}

#[derive(Default)]
pub struct World {
    pub inodes: Vec<Inode>,
    pub names: Names,
    synced_names: Names,
    /// Changes that no sync of their folder has made durable yet.
    pending: Vec<NameOp>,
    pub counts: BTreeMap<String, usize>,
    pub faults: Vec<Fault>,
    pub fired: usize,
    pub dead: bool,
    pub lives: Option<usize>,
    pub locked: bool,
    pub budget: Option<u64>,
}

impl Inode {
    /// The file on the medium after the power went, where each unsynced part survives if `keep` says so.
    fn after_power_cut(&self, keep: &mut impl FnMut(f64) -> bool) -> Self {
        let mut bytes = self.synced.clone();
        if self.resized && keep(0.5) {
            bytes.resize(self.current.len(), 0);
        }
        for sector in &self.dirty {
            let (from, to) = (sector * SECTOR, ((sector + 1) * SECTOR).min(self.current.len()));
            if from < to && keep(0.5) {
                if bytes.len() < to {
                    bytes.resize(to, 0);
                }
                bytes[from..to].copy_from_slice(&self.current[from..to]);
            }
        }
        Self { synced: bytes.clone(), current: bytes, ..Self::default() }
    }

    pub fn sync(&mut self) {
        self.synced = self.current.clone();
        self.dirty.clear();
        self.resized = false;
    }

    pub fn resize(&mut self, len: usize) {
        self.current.resize(len, 0);
        self.resized = true;
    }
}

impl NameOp {
    fn folder(&self) -> Option<&Path> {
        let (Self::Link(path, _) | Self::Unlink(path) | Self::Rename(path, ..) | Self::Folder(path)) = self;
        path.parent()
    }
}

impl Names {
    fn apply(&mut self, op: &NameOp) {
        match op {
            NameOp::Link(path, inode) => {
                self.files.insert(path.clone(), *inode);
            }
            NameOp::Unlink(path) => {
                self.files.remove(path);
            }
            NameOp::Rename(from, to, inode) => {
                self.files.remove(from);
                self.files.insert(to.clone(), *inode);
            }
            NameOp::Folder(path) => {
                self.folders.insert(path.clone());
            }
        }
    }

    pub fn has_folder(&self, path: &Path) -> bool {
        path.parent().is_none() || self.folders.contains(path)
    }

    /// Without what lies in folders that are not there.
    fn reachable(mut self) -> Self {
        let all = self.folders.clone();
        let is_there = |path: &Path| path.ancestors().all(|above| above.parent().is_none() || all.contains(above));
        self.folders.retain(|path| is_there(path));
        let folders = &self.folders;
        self.files.retain(|path, _| path.parent().is_some_and(|folder| folders.contains(folder)));
        self
    }
}

impl World {
    pub fn change_name(&mut self, op: NameOp) {
        self.names.apply(&op);
        self.pending.push(op);
    }

    /// Makes what changed in one folder durable, and nothing of any other.
    pub fn sync_folder(&mut self, folder: &Path) {
        let (own, others) = std::mem::take(&mut self.pending).into_iter().partition(|op| op.folder() == Some(folder));
        self.pending = others;
        let own: Vec<NameOp> = own;
        own.iter().for_each(|op| self.synced_names.apply(op));
    }

    /// What is left.
    pub fn after(&self, loss: Loss) -> Self {
        let seed = match loss {
            // The operating system lives on: what was not synced is still only in its memory.
            Loss::Kill => {
                let (inodes, names) = (self.inodes.clone(), self.names.clone());
                let (synced_names, pending) = (self.synced_names.clone(), self.pending.clone());
                return Self { inodes, names, synced_names, pending, ..Self::default() };
            }
            Loss::All => None,
            Loss::Some(seed) => Some(seed),
        };
        let mut random = StdRng::seed_from_u64(seed.unwrap_or(0));
        // A journaled file system changes names in order; others promise nothing.
        let in_order = random.random_bool(0.5);
        let mut keep = |odds: f64| seed.is_some() && random.random_bool(odds);
        let mut names = self.synced_names.clone();
        for op in &self.pending {
            if keep(0.7) {
                names.apply(op);
            } else if in_order {
                break;
            }
        }
        let names = names.reachable();
        let inodes = self.inodes.iter().map(|inode| inode.after_power_cut(&mut keep)).collect();
        Self { inodes, names: names.clone(), synced_names: names, ..Self::default() }
    }

    /// The same files, all durable.
    pub fn settled(&self) -> Self {
        let mut inodes = self.inodes.clone();
        inodes.iter_mut().for_each(Inode::sync);
        Self { inodes, names: self.names.clone(), synced_names: self.names.clone(), ..Self::default() }
    }

    pub fn used(&self) -> u64 {
        self.names.files.values().map(|inode| self.inodes[*inode].current.len() as u64).sum()
    }

    /// Bytes that can still be taken.
    pub fn room(&self) -> u64 {
        self.budget.map_or(u64::MAX, |budget| budget.saturating_sub(self.used()))
    }

    pub fn find(&self, path: &Path) -> io::Result<usize> {
        self.names.files.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Grows and writes, as far as the budget goes.
    pub fn write(&mut self, inode: usize, bytes: &[u8], pos: usize) -> io::Result<()> {
        let grows = (pos + bytes.len()).saturating_sub(self.inodes[inode].current.len()) as u64;
        let short = grows.saturating_sub(self.room()) as usize;
        let bytes = &bytes[..bytes.len().saturating_sub(short)];
        let file = &mut self.inodes[inode];
        if pos + bytes.len() > file.current.len() {
            file.resize(pos + bytes.len());
        }
        file.current[pos..pos + bytes.len()].copy_from_slice(bytes);
        file.dirty.extend(pos / SECTOR..(pos + bytes.len()).div_ceil(SECTOR));
        if short > 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}
