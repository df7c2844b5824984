use super::*;
use crate::intake::fake::{Answer, collector};
use std::sync::atomic::{AtomicBool, Ordering};

mod cut;

fn lines_of(spool: &Spool) -> Vec<String> {
    let numbers: Vec<_> = spool.lock().files.iter().copied().collect();
    let texts = numbers.iter().map(|(n, _)| std::fs::read_to_string(spool.path(*n)).unwrap());
    texts.flat_map(|t| t.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

fn filled(dir: &Path, max_bytes: u64, input: &str) -> Spool {
    let spool = Spool::open(dir, max_bytes).unwrap();
    spool.fill(input.as_bytes(), None, WhenFull::Drop).unwrap();
    spool
}

fn last_word(line: &str) -> &str {
    line.rsplit(' ').next().unwrap()
}

#[test]
fn lines_are_framed_teed_and_kept_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), 1 << 20).unwrap();
    let tee_path = dir.path().join("tee");
    spool.fill(&b"a\n\nb\nhalf"[..], Some(Box::new(File::create(&tee_path).unwrap())), WhenFull::Drop).unwrap();
    let lines = lines_of(&spool);
    let texts: Vec<_> = lines.iter().map(|line| last_word(line)).collect();
    assert_eq!(texts, ["a", "b", "half"]);
    assert!(lines.windows(2).all(|w| w[0][..30] < w[1][..30]), "stamps rise: {lines:?}");
    assert_eq!(std::fs::read(tee_path).unwrap(), b"a\n\nb\nhalf");
    assert!(spool.lock().ended);
}

#[derive(Debug, PartialEq, serde::Deserialize)]
struct Told {
    since: i64,
    until: i64,
    dropped_lines: Option<u64>,
}

/// The records of dropped lines and how many other lines are in a spool.
fn told(spool: &Spool) -> (Vec<Told>, u64) {
    let lines = lines_of(spool);
    let records = lines.iter().filter_map(|line| line.split_once(" tokentrail-send F "));
    let told: Vec<_> = records.map(|(_, record)| serde_json::from_str(record).unwrap()).collect();
    let others = (lines.len() - told.len()) as u64;
    (told, others)
}

#[test]
fn a_full_spool_drops_counts_and_tells_when() {
    let dir = tempfile::tempdir().unwrap();
    let before = crate::app::now_ms();
    let spool = filled(dir.path(), 120, "first line of the input\nsecond line of the input\nthird\nfourth\n");
    let (told, kept) = told(&spool);
    let [Told { since, until, dropped_lines: Some(dropped) }] = told.as_slice() else { panic!("{told:?}") };
    assert!((1..4).contains(&kept));
    assert_eq!((kept + dropped, spool.dropped()), (4, *dropped));
    assert!(before <= *since && since <= until && *until <= crate::app::now_ms());
}

#[test]
fn a_sender_that_died_while_it_dropped_tells_so_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let begun = Dropping::begin(dir.path(), 5_000_000_000);
    drop(begun); // the process dies here
    let spool = filled(dir.path(), 1 << 20, "a\n");
    let (told, kept) = told(&spool);
    assert_eq!((told.len(), told[0].since, told[0].dropped_lines, kept), (1, 5_000, None, 1));
    assert!(told[0].until > 5_000);
    let again = filled(dir.path(), 1 << 20, "b\n");
    assert_eq!(self::told(&again).0.len(), 1, "once");
}

#[test]
fn what_an_earlier_run_left_comes_first() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 1 << 20, "old\n");
    let spool = filled(dir.path(), 1 << 20, "new\n");
    let lines = lines_of(&spool);
    assert_eq!(lines.iter().map(|line| last_word(line)).collect::<Vec<_>>(), ["old", "new"]);
}

#[tokio::test]
async fn a_restart_repeats_the_batch_that_was_tried_under_its_key_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 1 << 20, "acknowledged\n");
    let mut first = collector(|n| if n < 1 { Answer::Take } else { Answer::Never }).await;
    let spool = filled(dir.path(), 1 << 20, "tried\n");
    let batch = {
        let shipping = spool.ship(&first.intake, "b1");
        tokio::pin!(shipping);
        let mut got = Vec::new();
        while got.len() < 2 {
            tokio::select! {
                ended = &mut shipping => panic!("nobody answers the second batch: {ended:?}"),
                one = first.got.recv() => got.push(one.unwrap()),
            }
        }
        got.pop().unwrap()
    };
    assert!(batch.1.contains("tried"));

    // More had been read meanwhile.
    let (number, _) = spool.lock().files[0]; // the one before is acknowledged and gone
    let mut file = File::options().append(true).open(spool.path(number)).unwrap();
    file.write_all(b"2026-11-23T21:24:51Z stdout F grown\n").unwrap();

    // The process died here: the collector has the batch, the sender does not know.
    let mut second = collector(|_| Answer::Take).await;
    let spool = filled(dir.path(), 1 << 20, "later\n");
    spool.ship(&second.intake, "b1").await.unwrap();
    let mut got = Vec::new();
    while let Ok(one) = second.got.try_recv() {
        got.push(one);
    }
    assert_eq!(got[0], batch, "byte for byte, under the same key");
    for word in ["grown", "later"] {
        assert_eq!(got.iter().filter(|(_, body)| body.contains(word)).count(), 1, "{word}: {got:?}");
    }
    assert!(got.iter().all(|(_, body)| !body.contains("acknowledged")));
    let left = std::fs::read_dir(dir.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "lines"));
    assert_eq!(left.count(), 0, "what is acknowledged is gone");

    // A spool that was emptied begins with a new file, which nothing that is kept of an old one speaks of.
    let spool = filled(dir.path(), 1 << 20, "fresh\n");
    spool.ship(&second.intake, "b1").await.unwrap();
    assert!(second.got.try_recv().unwrap().1.contains("fresh"));
}

#[test]
fn a_batch_holds_whole_lines_also_of_those_that_came_in_parts() {
    let dir = tempfile::tempdir().unwrap();
    let (begin, end) = ("2026-11-23T21:24:51Z stdout P {\"a\":\n", "2026-11-23T21:24:51Z stdout F 1}\n");
    let spool = filled(dir.path(), 1 << 20, &format!("a\n{begin}"));
    let (number, size) = spool.lock().files[0];
    let place = Place::default().in_file(number, size);
    let open = spool.batch(&place, size, false).unwrap().unwrap();
    assert!(String::from_utf8(open.clone()).unwrap().ends_with(" a\n"), "the beginning of a line waits for its end");
    let behind = Place { offset: open.len() as u64, ..place };
    assert!(spool.batch(&behind, size, false).unwrap().is_none());
    assert_eq!(spool.batch(&behind, size, true).unwrap().unwrap(), begin.as_bytes(), "unless it never comes");
    let tried = Place { pending: Some(size), ..behind };
    assert_eq!(spool.batch(&tried, size, false).unwrap().unwrap(), begin.as_bytes(), "what was tried is tried again");
    let spool = filled(&dir.path().join("other"), 1 << 20, &format!("{begin}{end}"));
    let (number, size) = spool.lock().files[0];
    let whole = spool.batch(&Place::default().in_file(number, size), size, false).unwrap().unwrap();
    assert_eq!(whole, format!("{begin}{end}").as_bytes());
}

/// Longest wait for something to happen on a loaded machine.
const HAPPENS: Duration = Duration::from_secs(120);

/// Numbered lines of 100 bytes.
fn numbered(lines: usize) -> String {
    (0..lines).map(|n| format!("line {n:>94}\n")).collect()
}

/// Reads `input` in a thread and ships it; gives the spool back, and what each of the two said.
async fn through(
    spool: &Spool,
    (input, when_full): (String, WhenFull),
    intake: &Intake,
) -> (anyhow::Result<()>, anyhow::Result<u64>) {
    let filler = spool.clone();
    let reading = std::thread::spawn(move || filler.fill(input.as_bytes(), None, when_full));
    let shipped = tokio::time::timeout(HAPPENS, spool.ship(intake, "b1")).await.expect("it ends");
    (reading.join().unwrap(), shipped)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_spool_takes_any_number_of_lines_while_the_collector_answers() {
    const LINES: usize = 8_000;
    for when_full in [WhenFull::Block, WhenFull::Drop] {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path(), 256 << 10).unwrap();
        let mut collector = collector(|_| Answer::Take).await;
        let (read, shipped) = through(&spool, (numbered(LINES), when_full), &collector.intake).await;
        read.unwrap();
        shipped.unwrap();
        let bodies = collector.bodies();
        let came = bodies.lines().filter(|line| line.contains("stdout F line ")).count();
        assert_eq!(came as u64 + spool.dropped(), LINES as u64, "{when_full:?}");
        match when_full {
            WhenFull::Block => {
                assert_eq!(spool.dropped(), 0);
                let numbers = bodies.lines().map(|line| last_word(line).parse::<usize>().unwrap());
                assert!(numbers.eq(0..LINES), "each line once, in order");
            }
            WhenFull::Drop => assert!(came * 100 * 4 > 256 << 10, "at least what fits comes: {came}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_larger_than_the_spool_is_no_reason_to_wait_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), 64 << 10).unwrap();
    let mut collector = collector(|_| Answer::Take).await;
    let large = "x".repeat(LINE_BYTES + 5);
    let (read, shipped) = through(&spool, (format!("a\n{large}\nb\n"), WhenFull::Block), &collector.intake).await;
    read.unwrap();
    shipped.unwrap();
    let bodies = collector.bodies();
    let lengths: Vec<_> = bodies.lines().map(|line| last_word(line).len()).collect();
    assert_eq!(lengths, [1, LINE_BYTES, 1], "cut to what a line may be");
}

/// Standard input that goes on until it is told to end.
struct Endless {
    ends: Arc<AtomicBool>,
    next: usize,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.ends.load(Ordering::Relaxed) {
            return Ok(0);
        }
        std::thread::sleep(Duration::from_millis(1)); // it writes as slowly as a backend
        let line = format!("line {:>20}\n", self.next);
        self.next += 1;
        buffer[..line.len()].copy_from_slice(line.as_bytes());
        Ok(line.len())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_ends_nothing_while_somebody_writes_and_is_overcome() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), 8 << 20).unwrap();
    let mut collector = collector(|n| if (1..4).contains(&n) { Answer::Refuse } else { Answer::Take }).await;
    let ends = Arc::new(AtomicBool::new(false));
    let (filler, input) = (spool.clone(), Endless { ends: ends.clone(), next: 0 });
    let tee_path = dir.path().join("tee");
    let tee = Box::new(File::create(&tee_path).unwrap());
    let reading = std::thread::spawn(move || filler.fill(input, Some(tee), WhenFull::Drop));
    let (shipper, intake) = (spool.clone(), collector.intake.clone());
    let shipping = tokio::spawn(async move { shipper.ship(&intake, "b1").await });
    let tries = collector.tries.clone();
    let overcome = async {
        while tries.load(Ordering::Relaxed) < 6 {
            assert!(!shipping.is_finished(), "a refusal must not end the process");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(HAPPENS, overcome).await.expect("it is tried again");
    ends.store(true, Ordering::Relaxed);
    reading.join().unwrap().unwrap();
    tokio::time::timeout(HAPPENS, shipping).await.unwrap().unwrap().unwrap();
    let came = collector.bodies().lines().count();
    assert_eq!(came, std::fs::read_to_string(tee_path).unwrap().lines().count(), "all that was teed came");
    assert_eq!(spool.dropped(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_after_the_end_of_the_input_is_said_and_leaves_the_lines_for_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let spool = filled(dir.path(), 1 << 20, "kept\n");
    // One that refuses, and a page in its place that says 200 to everything.
    for (answer, why) in [(Answer::Refuse, "401"), (Answer::Page, "is no collector")] {
        let refusing = collector(move |_| answer).await;
        let shipped = tokio::time::timeout(HAPPENS, spool.ship(&refusing.intake, "b1")).await.expect("it ends");
        let error = format!("{:#}", shipped.unwrap_err());
        assert!(error.contains(why), "{error}");
    }
    let mut taking = collector(|_| Answer::Take).await;
    filled(dir.path(), 1 << 20, "").ship(&taking.intake, "b1").await.unwrap();
    assert!(taking.bodies().ends_with(" kept\n"));
}

#[test]
fn a_disk_that_is_full_drops_lines_and_ends_nothing() {
    const LINES: usize = 30_000;
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = testbed::SmallDisk::mount(dir.path(), 1).unwrap() else { return };
    let tee_dir = tempfile::tempdir().unwrap();
    let tee = tee_dir.path().join("tee");
    let spool = Spool::open(&disk.dir().join("spool"), 64 << 20).unwrap();
    spool.fill(numbered(LINES).as_bytes(), Some(Box::new(File::create(&tee).unwrap())), WhenFull::Drop).unwrap();
    assert_eq!(std::fs::read_to_string(&tee).unwrap(), numbered(LINES), "who writes is not disturbed");
    let lines = lines_of(&spool);
    let whole = lines.iter().filter(|line| last_word(line).parse::<usize>().is_ok()).count() as u64;
    assert!(whole > 1_000, "{whole}");
    assert_eq!(whole + spool.dropped(), LINES as u64);
    assert_eq!(told(&spool).1, whole, "no half line stays");
}

/// Standard input that comes when the test says so.
struct Fed(std::sync::mpsc::Receiver<String>, Vec<u8>);

impl Read for Fed {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.1.is_empty() {
            match self.0.recv() {
                Ok(more) => self.1 = more.into_bytes(),
                Err(_) => return Ok(0),
            }
        }
        let taken = buffer.len().min(self.1.len());
        buffer[..taken].copy_from_slice(&self.1[..taken]);
        self.1.drain(..taken);
        Ok(taken)
    }
}

/// The disk is full to its last block: what is in the spool is sent all the same, and the room that it leaves is used again.
#[tokio::test(flavor = "multi_thread")]
async fn a_spool_on_a_full_disk_drains_itself_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = testbed::SmallDisk::mount(dir.path(), 1).unwrap() else { return };
    let spool = Spool::open(&disk.dir().join("spool"), 64 << 20).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let filler = spool.clone();
    let reading = std::thread::spawn(move || filler.fill(Fed(told, Vec::new()), None, WhenFull::Drop));
    let lines =
        |numbers: std::ops::Range<u64>| numbers.map(|n| format!("{n:04}{}\n", "x".repeat(4_000))).collect::<String>();
    tell.send(lines(0..400)).unwrap();
    let kept = || lines_of(&spool).iter().filter(|line| line.contains(" stdout F ")).count() as u64;
    let all_read = async {
        while spool.dropped() == 0 || kept() + spool.dropped() < 400 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(HAPPENS, all_read).await.expect("all is read");
    let in_spool = kept();
    disk.fill().unwrap();

    let mut collector = collector(|_| Answer::Take).await;
    let (shipper, intake) = (spool.clone(), collector.intake.clone());
    let shipping = tokio::spawn(async move { shipper.ship(&intake, "b1").await });
    let mut came = String::new();
    let numbers = |came: &str| came.lines().filter(|line| line.contains(" stdout F ")).count() as u64;
    let drained = async {
        while numbers(&came) < in_spool {
            came += &collector.got.recv().await.unwrap().1;
        }
    };
    tokio::time::timeout(HAPPENS, drained).await.expect("a full disk holds nothing up");
    // The room of what is shipped comes back: sooner or later a line is taken again.
    let mut next = 400;
    let again = async {
        while numbers(&came) == in_spool {
            tell.send(lines(next..next + 1)).unwrap();
            next += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
            came += &collector.bodies();
        }
    };
    tokio::time::timeout(HAPPENS, again).await.expect("there is room again");
    drop(tell);
    reading.join().unwrap().unwrap();
    tokio::time::timeout(HAPPENS, shipping).await.unwrap().unwrap().unwrap();
    came += &collector.bodies();
    assert_eq!(numbers(&came) + spool.dropped(), next, "each line came or is counted");
    assert!(came.contains("tokentrail-send F {"), "what was dropped is told");
}
