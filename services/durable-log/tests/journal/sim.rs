//! A disk in memory: it can fail any operation, lose what was not synced, and run full.

use crate::world::{Inode, NameOp, World};
use durable_log::disk::{Disk, DiskFile};
use std::any::Any;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Op {
    /// What is done to which kind of file, such as `write segment`.
    pub what: String,
    /// The how-manieth of these, from 0. Nearly every kind is touched by one thread only, so this is the same in every run.
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
    /// The process is killed: everything is still there, and what was not synced can still be lost later.
    Kill,
    /// The power goes, and nothing that was not synced survives.
    All,
    /// The power goes, and any part survives, by seed.
    Some(u64),
}

#[derive(Clone, Default)]
pub struct SimDisk(Arc<Mutex<World>>);

impl SimDisk {
    pub fn with_fault(fault: Fault) -> Self {
        let disk = Self::default();
        disk.add_fault(fault);
        disk
    }

    pub fn add_fault(&self, fault: Fault) {
        self.world().faults.push(fault);
    }

    pub fn set_budget(&self, bytes: u64) {
        self.world().budget = Some(bytes);
    }

    /// The power goes with the operation after so many; that one may still have landed.
    pub fn dies_after(&self, operations: usize) {
        self.world().lives = Some(operations);
    }

    pub fn used(&self) -> u64 {
        self.world().used()
    }

    /// Every operation so far.
    pub fn ops(&self) -> Vec<Op> {
        let world = self.world();
        let each = |(what, count): (&String, &usize)| (0..*count).map(|nth| Op { what: what.clone(), nth }).collect();
        world.counts.iter().flat_map(|each_of| -> Vec<Op> { each(each_of) }).collect()
    }

    pub fn fired(&self) -> usize {
        self.world().fired
    }

    /// Ends this disk: whoever still holds it can change nothing. What it leaves is the new disk; can be asked again
    /// with another loss.
    pub fn crash(&self, loss: Loss) -> Self {
        let mut world = self.world();
        world.dead = true;
        Self(Arc::new(Mutex::new(world.after(loss))))
    }

    pub fn is_alive(&self) -> bool {
        !self.world().dead
    }

    /// A disk with the same files, all durable.
    pub fn copy(&self) -> Self {
        Self(Arc::new(Mutex::new(self.world().settled())))
    }

    /// A disk in the same state, what is not synced included.
    pub fn twin(&self) -> Self {
        Self(Arc::new(Mutex::new(self.world().after(Loss::Kill))))
    }

    pub fn files(&self) -> Vec<PathBuf> {
        self.world().names.files.keys().cloned().collect()
    }

    pub fn bytes(&self, path: &Path) -> Vec<u8> {
        let world = self.world();
        world.inodes[world.names.files[path]].current.clone()
    }

    pub fn change(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut world = self.world();
        let inode = world.names.files[path];
        let inode = &mut world.inodes[inode];
        change(&mut inode.current);
        inode.sync();
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// Counts an operation and fails it if that is its fate. The work is done if it shall have landed.
    fn op<T>(&self, what: &str, path: &Path, work: impl FnOnce(&mut World) -> io::Result<T>) -> io::Result<T> {
        let mut world = self.world();
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

    fn file(&self, path: &Path, inode: usize) -> Arc<dyn DiskFile> {
        Arc::new(SimFile { disk: self.clone(), inode, path: Mutex::new(path.into()) })
    }
}

fn kind_of(path: &Path) -> &'static str {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let parent = path.parent().and_then(Path::file_name).unwrap_or_default();
    match &*name {
        "cursors" => "cursors",
        "quarantine" => "copies",
        _ if parent == "cursors" => "cursor",
        _ if parent == "quarantine" => "quarantine",
        name if name.ends_with(".seg") => "segment",
        name if name.starts_with("spare") => "spare",
        name if name.starts_with("mark") => "mark",
        name if name.starts_with("trimmed") => "trimmed",
        name if name.starts_with("reserve") => "reserve",
        "" => "root",
        _ => "folder",
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
            self.disk.world().names.files.iter().find(|(_, inode)| **inode == self.inode).map(|(p, _)| p.clone());
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
        self.op("sync", Inode::sync)
    }

    fn allocate(&self, from: u64, to: u64) -> io::Result<()> {
        let zeros = vec![0; to.saturating_sub(from) as usize];
        self.world_op("allocate", |world| world.write(self.inode, &zeros, from as usize))
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.op("truncate", |inode| inode.resize(len as usize))
    }

    fn size(&self) -> io::Result<u64> {
        self.op("size", |inode| inode.current.len() as u64)
    }
}

impl Disk for SimDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.op("create_dir", dir, |world| {
            if world.names.has_folder(dir) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            if !dir.parent().is_some_and(|above| world.names.has_folder(above)) {
                return Err(io::ErrorKind::NotFound.into());
            }
            world.change_name(NameOp::Folder(dir.into()));
            Ok(())
        })
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.op("list", dir, |world| {
            let names = world.names.files.keys().filter(|path| path.parent() == Some(dir));
            Ok(names.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect())
        })
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let inode = self.op("create", path, |world| {
            if world.names.files.contains_key(path) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            world.inodes.push(Inode::default());
            let inode = world.inodes.len() - 1;
            world.change_name(NameOp::Link(path.into(), inode));
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
            world.change_name(NameOp::Rename(from.into(), to.into(), inode));
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.op("remove", path, |world| {
            world.find(path)?;
            world.change_name(NameOp::Unlink(path.into()));
            Ok(())
        })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.op("sync_dir", dir, |world| {
            world.sync_folder(dir);
            Ok(())
        })
    }

    fn free(&self, dir: &Path) -> io::Result<u64> {
        self.op("free", dir, |world| Ok(world.room()))
    }

    fn lock(&self, _path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        let mut world = self.world();
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
        self.0.world().locked = false;
    }
}
