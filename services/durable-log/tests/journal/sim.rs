//! A disk in memory: it can fail any operation, lose what was not synced, and run full.

use durable_log::disk::{Disk, DiskFile};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Unit in which unsynced bytes reach the medium or do not.
const SECTOR: usize = 512;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Op {
    /// What is done to which kind of file, such as `write segment`.
    pub what: String,
    /// The how-manieth of these, from 0. Each kind is touched by one thread only, so this is the same in every run.
    pub nth: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Landed {
    No,
    Yes,
}

#[derive(Clone, Debug)]
pub struct Fault {
    pub op: Op,
    pub landed: Landed,
    pub error: io::ErrorKind,
}

#[derive(Clone, Copy, Debug)]
pub enum Loss {
    /// Nothing that was not synced survives.
    All,
    /// Everything survives, as after a kill of the process.
    None,
    /// Any part survives, by seed.
    Some(u64),
}

#[derive(Default)]
struct Inode {
    synced: Vec<u8>,
    current: Vec<u8>,
    dirty: BTreeSet<usize>,
    resized: bool,
}

#[derive(Clone)]
enum NameOp {
    Link(PathBuf, usize),
    Unlink(PathBuf),
}

#[derive(Default)]
struct World {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    synced_names: BTreeMap<PathBuf, usize>,
    pending: Vec<NameOp>,
    counts: BTreeMap<String, usize>,
    faults: Vec<Fault>,
    fired: usize,
    dead: bool,
    lives: Option<usize>,
    locked: bool,
    budget: Option<u64>,
}

#[derive(Clone, Default)]
pub struct SimDisk(Arc<Mutex<World>>);

impl SimDisk {
    pub fn with_fault(fault: Fault) -> Self {
        let disk = Self::default();
        disk.0.lock().unwrap().faults.push(fault);
        disk
    }

    pub fn set_budget(&self, bytes: u64) {
        self.0.lock().unwrap().budget = Some(bytes);
    }

    /// The power goes with the operation after so many; that one may still have landed.
    pub fn dies_after(&self, operations: usize) {
        self.0.lock().unwrap().lives = Some(operations);
    }

    pub fn used(&self) -> u64 {
        self.0.lock().unwrap().used()
    }

    /// Every operation so far.
    pub fn ops(&self) -> Vec<Op> {
        let world = self.0.lock().unwrap();
        let each = |(what, count): (&String, &usize)| (0..*count).map(|nth| Op { what: what.clone(), nth }).collect();
        world.counts.iter().flat_map(|each_of| -> Vec<Op> { each(each_of) }).collect()
    }

    pub fn fired(&self) -> usize {
        self.0.lock().unwrap().fired
    }

    /// Ends this disk: whoever still holds it can change nothing. What it leaves is the new disk; can be asked again
    /// with another loss.
    pub fn crash(&self, loss: Loss) -> Self {
        let mut world = self.0.lock().unwrap();
        world.dead = true;
        let mut random = StdRng::seed_from_u64(if let Loss::Some(seed) = loss { seed } else { 0 });
        let mut keep = |odds: f64| match loss {
            Loss::All => false,
            Loss::None => true,
            Loss::Some(_) => random.random_bool(odds),
        };
        let mut names = world.synced_names.clone();
        for op in &world.pending {
            // A journaled file system: names change in order.
            if !keep(0.8) {
                break;
            }
            apply(&mut names, op);
        }
        let mut left = World { names: names.clone(), synced_names: names, ..World::default() };
        for inode in &world.inodes {
            let mut bytes = inode.synced.clone();
            if inode.resized && keep(0.5) {
                bytes.resize(inode.current.len(), 0);
            }
            for sector in &inode.dirty {
                let (from, to) = (sector * SECTOR, ((sector + 1) * SECTOR).min(inode.current.len()));
                if from < to && keep(0.5) {
                    if bytes.len() < to {
                        bytes.resize(to, 0);
                    }
                    bytes[from..to].copy_from_slice(&inode.current[from..to]);
                }
            }
            left.inodes.push(Inode { synced: bytes.clone(), current: bytes, ..Inode::default() });
        }
        Self(Arc::new(Mutex::new(left)))
    }

    pub fn is_alive(&self) -> bool {
        !self.0.lock().unwrap().dead
    }

    /// A disk with the same files.
    pub fn copy(&self) -> Self {
        let world = self.0.lock().unwrap();
        let mut left = World { names: world.names.clone(), synced_names: world.names.clone(), ..World::default() };
        for inode in &world.inodes {
            let (synced, current) = (inode.current.clone(), inode.current.clone());
            left.inodes.push(Inode { synced, current, ..Inode::default() });
        }
        Self(Arc::new(Mutex::new(left)))
    }

    pub fn files(&self) -> Vec<PathBuf> {
        self.0.lock().unwrap().names.keys().cloned().collect()
    }

    pub fn bytes(&self, path: &Path) -> Vec<u8> {
        let world = self.0.lock().unwrap();
        world.inodes[world.names[path]].current.clone()
    }

    pub fn change(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut world = self.0.lock().unwrap();
        let inode = world.names[path];
        let inode = &mut world.inodes[inode];
        change(&mut inode.current);
        inode.synced = inode.current.clone();
    }

    /// Counts an operation and fails it if that is its fate. The work is done if it shall have landed.
    fn op<T>(&self, what: &str, path: &Path, work: impl FnOnce(&mut World) -> io::Result<T>) -> io::Result<T> {
        let mut world = self.0.lock().unwrap();
        if world.dead {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if let Some(lives) = &mut world.lives {
            if *lives == 0 {
                world.dead = true;
            } else {
                *lives -= 1;
            }
        }
        let what = format!("{what} {}", kind_of(path));
        let count = world.counts.entry(what.clone()).or_default();
        let op = Op { what, nth: *count };
        *count += 1;
        let Some(fault) = world.faults.iter().find(|fault| fault.op == op).cloned() else { return work(&mut world) };
        world.fired += 1;
        if fault.landed == Landed::Yes {
            work(&mut world)?;
        }
        Err(fault.error.into())
    }
}

fn kind_of(path: &Path) -> &'static str {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let parent = path.parent().and_then(Path::file_name).unwrap_or_default();
    match &*name {
        _ if parent == "cursors" => "cursor",
        _ if parent == "quarantine" => "quarantine",
        name if name.ends_with(".seg") => "segment",
        name if name.starts_with("spare") => "spare",
        name if name.starts_with("mark") => "mark",
        name if name.starts_with("trimmed") => "trimmed",
        name if name.starts_with("reserve") => "reserve",
        _ => "folder",
    }
}

fn apply(names: &mut BTreeMap<PathBuf, usize>, op: &NameOp) {
    match op {
        NameOp::Link(path, inode) => names.insert(path.clone(), *inode),
        NameOp::Unlink(path) => names.remove(path),
    };
}

impl World {
    fn name_op(&mut self, op: NameOp) {
        apply(&mut self.names, &op);
        self.pending.push(op);
    }

    fn used(&self) -> u64 {
        self.names.values().map(|inode| self.inodes[*inode].current.len() as u64).sum()
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Grows and writes, as far as the budget goes.
    fn write(&mut self, inode: usize, bytes: &[u8], pos: usize) -> io::Result<()> {
        let grows = (pos + bytes.len()).saturating_sub(self.inodes[inode].current.len()) as u64;
        let room = self.budget.map_or(u64::MAX, |budget| budget.saturating_sub(self.used()));
        let short = grows.saturating_sub(room) as usize;
        let bytes = &bytes[..bytes.len().saturating_sub(short)];
        let file = &mut self.inodes[inode];
        if pos + bytes.len() > file.current.len() {
            file.current.resize(pos + bytes.len(), 0);
            file.resized = true;
        }
        file.current[pos..pos + bytes.len()].copy_from_slice(bytes);
        file.dirty.extend(pos / SECTOR..(pos + bytes.len()).div_ceil(SECTOR));
        if short > 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

struct SimFile {
    disk: SimDisk,
    inode: usize,
    path: Mutex<PathBuf>,
}

impl SimFile {
    /// A fault names the file as it is called now.
    fn op<T>(&self, what: &str, work: impl FnOnce(&mut Inode) -> T) -> io::Result<T> {
        self.world_op(what, |world| Ok(work(&mut world.inodes[self.inode])))
    }

    fn world_op<T>(&self, what: &str, work: impl FnOnce(&mut World) -> io::Result<T>) -> io::Result<T> {
        let named =
            self.disk.0.lock().unwrap().names.iter().find(|(_, inode)| **inode == self.inode).map(|(p, _)| p.clone());
        let mut path = self.path.lock().unwrap();
        if let Some(named) = named {
            *path = named;
        }
        self.disk.op(what, &path, work)
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buf: &mut [u8], pos: u64) -> io::Result<usize> {
        self.op("read", |inode| {
            let rest = inode.current.get(pos as usize..).unwrap_or_default();
            let len = rest.len().min(buf.len());
            buf[..len].copy_from_slice(&rest[..len]);
            len
        })
    }

    fn write_at(&self, buf: &[u8], pos: u64) -> io::Result<()> {
        self.world_op("write", |world| world.write(self.inode, buf, pos as usize))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.op("sync", |inode| {
            inode.synced = inode.current.clone();
            inode.dirty.clear();
            inode.resized = false;
        })
    }

    fn allocate(&self, from: u64, to: u64) -> io::Result<()> {
        let zeros = vec![0; to.saturating_sub(from) as usize];
        self.world_op("allocate", |world| world.write(self.inode, &zeros, from as usize))
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.op("truncate", |inode| {
            inode.current.resize(len as usize, 0);
            inode.resized = true;
        })
    }

    fn size(&self) -> io::Result<u64> {
        self.op("size", |inode| inode.current.len() as u64)
    }
}

impl SimDisk {
    fn file(&self, path: &Path, inode: usize) -> Arc<dyn DiskFile> {
        Arc::new(SimFile { disk: self.clone(), inode, path: Mutex::new(path.into()) })
    }
}

impl Disk for SimDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.op("create_dir", dir, |_| Ok(()))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.op("list", dir, |world| {
            let names = world.names.keys().filter(|path| path.parent() == Some(dir));
            Ok(names.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect())
        })
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let inode = self.op("create", path, |world| {
            if world.names.contains_key(path) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            world.inodes.push(Inode::default());
            let inode = world.inodes.len() - 1;
            world.name_op(NameOp::Link(path.into(), inode));
            Ok(inode)
        })?;
        Ok(self.file(path, inode))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let inode = self.op("open", path, |world| world.find(path))?;
        Ok(self.file(path, inode))
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let inode = self.op("open_read", path, |world| world.find(path))?;
        Ok(self.file(path, inode))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.op("rename", from, |world| {
            let inode = world.find(from)?;
            world.name_op(NameOp::Link(to.into(), inode));
            world.name_op(NameOp::Unlink(from.into()));
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.op("remove", path, |world| {
            world.find(path)?;
            world.name_op(NameOp::Unlink(path.into()));
            Ok(())
        })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.op("sync_dir", dir, |world| {
            world.synced_names = world.names.clone();
            world.pending.clear();
            Ok(())
        })
    }

    fn lock(&self, _path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        let mut world = self.0.lock().unwrap();
        if world.locked {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        world.locked = true;
        Ok(Box::new(Unlock(self.clone())))
    }
}

struct Unlock(SimDisk);

impl Drop for Unlock {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().locked = false;
    }
}
