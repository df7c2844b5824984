//! Every operation of recovery itself fails twice, and the process or the power goes at every one of them. The start
//! after that must find what an undisturbed one finds: the same records, the same alarms, the same evidence.

use crate::ledger::{DIR, Ledger, frames_end, number, open, options, read_all};
use crate::sim::{Fault, Landed, Loss, Op, SimDisk};
use durable_log::{Damage, DamageKind, Journal, Options, Record};
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

const SEGMENT: u64 = 4096;

/// What recovery may meet.
struct Scene {
    name: String,
    disk: SimDisk,
    ledger: Ledger,
    /// On a disk that holds not a byte more.
    full: bool,
}

/// What a start found.
#[derive(Clone, Debug)]
struct Found {
    /// By offset, of the runs before.
    records: BTreeMap<u64, Record>,
    /// Offsets that are named as lost.
    lost: BTreeSet<u64>,
    copies: BTreeMap<PathBuf, Vec<u8>>,
    kinds: BTreeSet<&'static str>,
}

fn own() -> Options {
    Options { reserve_bytes: 16 * 1024, ..options(SEGMENT) }
}

impl Scene {
    fn new(name: impl Into<String>, (disk, ledger): (SimDisk, Ledger)) -> Self {
        Self { name: name.into(), disk, ledger, full: false }
    }

    fn disk(&self) -> SimDisk {
        let disk = self.disk.twin();
        if self.full {
            disk.set_budget(disk.used());
        }
        disk
    }

    /// Checks a journal opened after whatever happened to the first try.
    fn check(&self, disk: &SimDisk, expected: &Found, context: &str) {
        let context = format!("{}: {context}", self.name);
        let journal = open(disk, own()).unwrap_or_else(|error| panic!("{context}: {error:?}"));
        let found = look(disk, &journal);
        for (number, (entry, at)) in &self.ledger.acknowledged {
            let offset = at.first_offset;
            if expected.records.contains_key(&offset) {
                let record = found.records.get(&offset).unwrap_or_else(|| panic!("{context}: {number} is lost"));
                assert_eq!((record.stream, record.seq), (at.stream, at.first_seq), "{context}: {number} moved");
                assert_eq!((&record.header[..], &record.body[..]), (&entry.header[..], &entry.body[..]), "{context}");
            }
        }
        let sent = found.records.values().filter_map(number);
        assert!(sent.clone().all(|number| number < self.ledger.sent), "{context}: a record that nobody sent");
        assert_eq!(sent.clone().count(), sent.collect::<BTreeSet<_>>().len(), "{context}: a record twice");
        assert_eq!(found.lost, expected.lost, "{context}: the alarms differ");
        for (path, bytes) in &expected.copies {
            assert!(found.copies.get(path) == Some(bytes), "{context}: evidence {} is gone", path.display());
        }
        let (all, _) = read_all(&journal, journal.status().first);
        for pair in all.windows(2) {
            let (before, after) = (&pair[0], &pair[1]);
            if after.stream != before.stream && after.offset == before.offset + 1 && after.seq == 0 {
                let seal = [&before.stream[..], &before.seq.to_be_bytes(), &before.chain].concat();
                assert_eq!(after.body, seal, "{context}: the seal names another end than is there");
            }
        }
        let mut later = Ledger { sent: 1_000_000, ..Ledger::default() };
        if !self.full {
            later.append(&journal, 3, 100).unwrap();
        }
        let stream = journal.stream();
        let _ = journal.trim();
        let copy = disk.crash(Loss::All);
        let journal = open(&copy, own()).unwrap();
        let (records, _) = read_all(&journal, journal.status().first);
        later.check_records(&records, &context);
        assert!(records.iter().any(|record| record.stream == stream), "{context}: the opening is lost");
        let (first, now) = (journal.status().first, look(&copy, &journal).lost);
        let expected: BTreeSet<u64> = expected.lost.iter().copied().filter(|offset| *offset >= first).collect();
        assert_eq!(now, expected, "{context}: the alarms differ after one more power cut");
    }
}

fn look(disk: &SimDisk, journal: &Journal) -> Found {
    let (records, mut damage) = read_all(journal, journal.status().first);
    damage.extend(journal.status().damage);
    let lost = |damage: &Damage| if damage.kind.loses_records() { damage.offsets.clone() } else { 0..0 };
    damage.extend(journal.scrub().unwrap().damage);
    let copies = disk.files().into_iter().filter(|path| path.parent() == Some(&Path::new(DIR).join("quarantine")));
    Found {
        records: records
            .into_iter()
            .filter(|record| record.stream != journal.stream())
            .map(|record| (record.offset, record))
            .collect(),
        lost: damage.iter().flat_map(lost).collect(),
        copies: copies.map(|path| (path.clone(), disk.bytes(&path))).collect(),
        kinds: damage.iter().map(|damage| damage.kind.as_str()).collect(),
    }
}

/// A run with sealed segments, cursors, a trim, and an open segment; killed.
fn killed() -> (SimDisk, Ledger) {
    let disk = SimDisk::default();
    let mut ledger = Ledger::default();
    let running = script(&disk, &mut ledger);
    assert!(running.is_some());
    (disk.crash(Loss::Kill), ledger)
}

/// Up to where the process would stop; else the journal still open.
fn script(disk: &SimDisk, ledger: &mut Ledger) -> Option<Journal> {
    let journal = open(disk, own()).ok()?;
    for (round, count) in [1, 3, 2, 4, 1, 2, 5, 1, 3, 2, 6, 1, 4, 2].into_iter().enumerate() {
        ledger.append(&journal, count, 250).ok()?;
        if round % 3 == 2 {
            let _ = journal.commit("one", journal.durable_end());
            let _ = journal.commit("two", journal.durable_end().saturating_sub(8));
            let _ = journal.trim();
        }
    }
    Some(journal)
}

fn path(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

fn last_segment(disk: &SimDisk) -> PathBuf {
    disk.files().into_iter().rfind(|path| path.extension().is_some_and(|is| is == "seg")).unwrap()
}

fn content(disk: &SimDisk, path: &Path) -> usize {
    frames_end(&disk.bytes(path))
}

/// A run in which one operation, counted from the last of its kind, is not done; killed at the end or where it stops.
fn failed(what: &str, from_last: usize) -> (SimDisk, Ledger) {
    let whole = SimDisk::default();
    let running = script(&whole, &mut Ledger::default());
    let ops = whole.ops().into_iter().filter(|op| op.what == what);
    let op = Op { what: what.into(), nth: ops.count() - 1 - from_last };
    drop(running);
    let disk = SimDisk::with_fault(Fault { op, landed: Landed::No, error: ErrorKind::Other });
    let mut ledger = Ledger::default();
    let running = script(&disk, &mut ledger);
    assert_eq!(disk.fired(), 1, "{what}");
    let left = disk.crash(Loss::Kill);
    drop(running);
    (left, ledger)
}

fn scenes() -> Vec<Scene> {
    let changed = |name: &str, change: &dyn Fn(&SimDisk)| {
        let (disk, ledger) = killed();
        let disk = disk.copy();
        change(&disk);
        Scene::new(name, (disk.copy(), ledger))
    };
    let flip = |disk: &SimDisk, at: usize| disk.change(&last_segment(disk), |bytes| bytes[at] ^= 0xff);
    let torn = |disk: &SimDisk| {
        let (path, written) = (last_segment(disk), disk.bytes(&last_segment(disk))[128..500].to_vec());
        let end = content(disk, &path);
        disk.change(&path, |bytes| bytes[end..end + 372].copy_from_slice(&written));
    };
    let headless = |disk: &SimDisk| disk.change(&last_segment(disk), |bytes| bytes[..200].fill(0xff));
    let mut scenes = vec![
        Scene::new("an empty folder", (SimDisk::default(), Ledger::default())),
        Scene::new("killed", killed()),
        Scene::new("a footer without its cut", failed("truncate segment", 0)),
        Scene::new("a segment without a record", failed("write segment", 0)),
        Scene::new("an unsynced trim mark", failed("sync trimmed", 0)),
        Scene::new("an unsynced cursor", failed("sync cursor", 0)),
        Scene::new("an unsynced mark", failed("sync mark", 0)),
        changed("a torn tail", &torn),
        changed("a hole below the mark", &|disk| flip(disk, 300)),
        changed("a hole and a torn tail", &|disk| {
            torn(disk);
            flip(disk, 300);
        }),
        changed("a lost tail", &|disk| {
            let (path, end) = (last_segment(disk), content(disk, &last_segment(disk)));
            disk.change(&path, |bytes| bytes[end - 300..].fill(0));
        }),
        changed("a lost tail with remains", &|disk| {
            let end = content(disk, &last_segment(disk));
            flip(disk, end - 300);
        }),
        changed("a header gone", &|disk| flip(disk, 20)),
        changed("header and first frame gone", &headless),
        changed("a first group torn", &|disk| {
            headless(disk);
            disk.change(&path("mark"), |bytes| bytes.fill(0));
            disk.change(&path("cursors/one"), |bytes| bytes.fill(0));
        }),
        changed("a middle segment gone", &|disk| {
            let segments: Vec<_> = disk.files().into_iter().filter(|path| path.extension().is_some()).collect();
            durable_log::disk::Disk::remove(disk, &segments[1]).unwrap();
        }),
        changed("a footer gone", &|disk| {
            let segments: Vec<_> = disk.files().into_iter().filter(|path| path.extension().is_some()).collect();
            disk.change(&segments[0], |bytes| bytes.truncate(bytes.len() - 60));
        }),
    ];
    // A group that nobody was told of, or a footer, whole in the memory of the operating system.
    for from_last in 0..5 {
        scenes.push(Scene::new(format!("sync {from_last} from the last fails"), failed("sync segment", from_last)));
    }
    for file in ["mark", "trimmed", "cursors/one", "cursors/two"] {
        for slots in [0..128, 4096..4224, 0..4224] {
            let name = format!("{file} bytes {slots:?} gone");
            scenes.push(changed(&name, &|disk| disk.change(&path(file), |bytes| bytes[slots.clone()].fill(0xff))));
        }
    }
    scenes.push(Scene { full: true, ..changed("a torn tail on a full disk", &torn) });
    // The script killed at its operations, between any two steps.
    for operations in (0..).step_by(13) {
        let disk = SimDisk::default();
        disk.dies_after(operations);
        let mut ledger = Ledger::default();
        let running = script(&disk, &mut ledger);
        if disk.is_alive() {
            break;
        }
        drop(running);
        scenes.push(Scene::new(format!("killed after {operations} operations"), (disk.crash(Loss::Kill), ledger)));
    }
    scenes
}

fn takes_space(op: &Op) -> bool {
    ["create", "write", "allocate", "sync", "truncate", "rename"].iter().any(|what| op.what.starts_with(what))
}

fn losses(seed: usize) -> [Loss; 4] {
    [Loss::Kill, Loss::All, Loss::Some(seed as u64), Loss::Some(seed as u64 + 1_000_000)]
}

/// The operations of one undisturbed start, and what it finds.
fn undisturbed(scene: &Scene) -> (Vec<Op>, Found) {
    let disk = scene.disk();
    let journal = open(&disk, own()).unwrap();
    let ops = disk.ops();
    (ops, look(&disk, &journal))
}

fn each_scene(table: impl Fn(&Scene) + Sync) {
    let scenes = scenes();
    std::thread::scope(|scope| {
        let halves: Vec<_> = [0, 1]
            .map(|half| {
                scope.spawn({
                    let (scenes, table) = (&scenes, &table);
                    move || scenes.iter().skip(half).step_by(2).for_each(table)
                })
            })
            .into();
        halves.into_iter().for_each(|half| half.join().unwrap());
    });
}

#[test]
fn the_scenes_are_what_they_are_called() {
    let kinds: BTreeSet<&str> = scenes().iter().flat_map(|scene| undisturbed(scene).1.kinds).collect();
    for kind in [
        DamageKind::TornTail,
        DamageKind::Damaged,
        DamageKind::Missing,
        DamageKind::SegmentHeader,
        DamageKind::SegmentFooter,
        DamageKind::SideFile,
    ] {
        assert!(kinds.contains(kind.as_str()), "no scene shows {kind:?}: {kinds:?}");
    }
}

#[test]
fn every_operation_of_recovery_fails_twice() {
    each_scene(|scene| {
        let (ops, expected) = undisturbed(scene);
        for (nth, op) in ops.iter().enumerate() {
            for landed in [Landed::No, Landed::Yes] {
                for error in [ErrorKind::StorageFull, ErrorKind::Other] {
                    if error == ErrorKind::StorageFull && !takes_space(op) {
                        continue;
                    }
                    let fault = Fault { op: op.clone(), landed, error };
                    let context = format!("{fault:?}");
                    let disk = scene.disk();
                    disk.add_fault(fault);
                    let opened = open(&disk, own());
                    // Not even the reserve has room for a copy then: a torn tail goes without one, and that is told.
                    let copying = ["quarantine", "copies"].iter().any(|kind| op.what.ends_with(kind));
                    let refused = scene.full && error == ErrorKind::StorageFull && copying;
                    let copies = if refused { BTreeMap::new() } else { expected.copies.clone() };
                    let expected = Found { copies, ..expected.clone() };
                    for loss in [Loss::Kill, losses(nth)[1 + nth % 3]] {
                        scene.check(&disk.crash(loss), &expected, &format!("{context} {loss:?}"));
                    }
                    drop(opened);
                }
            }
        }
    });
}

#[test]
fn a_crash_at_every_operation_of_recovery_changes_nothing() {
    each_scene(|scene| {
        let (ops, expected) = undisturbed(scene);
        for operations in 0..ops.len() {
            for loss in [losses(operations)[operations % 2], losses(operations)[2 + operations % 2]] {
                let disk = scene.disk();
                disk.dies_after(operations);
                let opened = open(&disk, own());
                scene.check(&disk.crash(loss), &expected, &format!("died after {operations} operations, {loss:?}"));
                drop(opened);
            }
        }
    });
}
