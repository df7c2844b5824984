//! Lines that a container's runtime has cut into parts, where a spool or its disk runs full.

use super::*;

/// A part of a line as a container's runtime cuts it; `tag`: P, or F for the last one.
fn part(stream: &str, tag: &str, text: &str) -> String {
    format!("2026-11-23T21:24:51Z {stream} {tag} {text}\n")
}

/// Inside a line that its runtime has cut, the disk is full to its last block: the line is given up, what is in the spool is sent, and
/// its room is used again.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_inside_a_line_that_was_cut_holds_nothing_up() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = testbed::SmallDisk::mount(dir.path(), 1).unwrap() else { return };
    let spool = Spool::open(&disk.dir().join("spool"), 64 << 20).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let filler = spool.clone();
    let reading = std::thread::spawn(move || filler.fill(Fed(told, Vec::new()), None, WhenFull::Drop));
    let long = "x".repeat(4_000);
    tell.send("whole\n".repeat(10) + &part("stdout", "P", &long).repeat(400)).unwrap();
    let kept = || lines_of(&spool).iter().filter(|line| !line.contains(" tokentrail-send ")).count() as u64;
    let all_read = async {
        while kept() + spool.dropped() < 410 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(HAPPENS, all_read).await.expect("all is read");
    assert!(spool.dropped() > 0 && kept() > 100, "{} dropped", spool.dropped());
    disk.fill().unwrap();

    let mut collector = collector(|_| Answer::Take).await;
    let (shipper, intake) = (spool.clone(), collector.intake.clone());
    let shipping = tokio::spawn(async move { shipper.ship(&intake, "b1").await });
    let empty = async {
        while spool.lock().files.iter().any(|(_, size)| *size > 0) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(HAPPENS, empty).await.expect("a full disk holds nothing up");
    // There is room now. What was given up ends at its end, and what comes then is taken.
    let dropped = spool.dropped();
    tell.send(part("stdout", "P", "a rest") + &part("stderr", "F", "other") + &part("stdout", "F", "the last rest"))
        .unwrap();
    tell.send(part("stdout", "P", "first half, ") + &part("stdout", "F", "second half")).unwrap();
    drop(tell);
    reading.join().unwrap().unwrap();
    tokio::time::timeout(HAPPENS, shipping).await.unwrap().unwrap().unwrap();
    let came = collector.bodies();
    assert_eq!(spool.dropped() - dropped, 2, "the rest of what was given up");
    assert!(!came.contains("rest\n") && came.contains(" other\n"), "a rest is no line");
    assert!(came.contains("P first half, \n") && came.ends_with("F second half\n"), "as before");
    assert_eq!(came.lines().filter(|line| line.ends_with(" whole")).count(), 10);
    let others = came.lines().filter(|line| !line.contains(" tokentrail-send ")).count() as u64;
    assert_eq!(others + spool.dropped(), 410 + 5, "each came or is counted");
    assert!(came.contains("tokentrail-send F {"), "what was dropped is told");
}

/// Files of a spool that nobody empties, each as the tags of its lines: W is one that was never cut.
fn tags_of(spool: &Spool) -> Vec<String> {
    let numbers: Vec<_> = spool.lock().files.iter().map(|(number, _)| *number).collect();
    let tag = |line: &str| match line.split(' ').nth(1) {
        Some("tokentrail-send") => None,
        _ if line.ends_with(" whole") => Some('W'),
        _ => line.split(' ').nth(2).and_then(|tag| tag.chars().next()),
    };
    let tags = |number: u64| std::fs::read_to_string(spool.path(number)).unwrap().lines().filter_map(tag).collect();
    numbers.into_iter().map(tags).collect()
}

#[test]
fn a_spool_is_full_between_lines_and_not_inside_one_that_was_cut() {
    let (dir, long) = (tempfile::tempdir().unwrap(), "x".repeat(4_000));
    let line = ["P", "P", "F"].map(|tag| part("stdout", tag, &long)).concat();
    // Sixteen parts fit: the sixth line begins in time, and the seventh does not.
    let spool = filled(dir.path(), 64 << 10, &line.repeat(8));
    assert_eq!(tags_of(&spool).concat(), "PPF".repeat(6), "what has begun is kept to its end");
    assert_eq!(spool.dropped(), 6);
    assert!(tags_of(&spool).iter().all(|file| file.is_empty() || file.ends_with('F')), "{:?}", tags_of(&spool));

    // One that is longer than a spool of this size keeps together is cut short, and nothing of its rest comes later.
    let other = dir.path().join("other");
    let endless = part("stdout", "P", &long).repeat(20) + &part("stdout", "F", "the end");
    let spool = filled(&other, 64 << 10, &endless);
    let kept = tags_of(&spool).concat();
    assert_eq!((kept.trim_end_matches('P'), kept.len() as u64 + spool.dropped()), ("", 21), "{kept}");
    let bytes: u64 = spool.lock().files.iter().map(|(_, size)| size).sum();
    assert!(bytes < (64 << 10) + (16 << 10) + 1_000, "{bytes} bytes, however long the line is");
}

#[test]
fn a_spool_whose_folder_is_gone_ends_nothing_either() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(&dir.path().join("spool"), 1 << 20).unwrap();
    std::fs::remove_dir_all(dir.path().join("spool")).unwrap();
    let tee = dir.path().join("tee");
    spool.fill(numbered(5).as_bytes(), Some(Box::new(File::create(&tee).unwrap())), WhenFull::Drop).unwrap();
    assert_eq!(std::fs::read_to_string(&tee).unwrap(), numbered(5), "who writes is not disturbed");
    // The mark of the gap brings the folder back.
    let (told, kept) = told(&spool);
    assert_eq!((spool.dropped(), kept, told.len(), told[0].dropped_lines), (1, 4, 1, Some(1)));
}
