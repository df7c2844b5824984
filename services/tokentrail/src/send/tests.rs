use super::*;
use crate::intake::fake::{Answer, Collector, collector};
use std::io::Write;

fn batch_of(content: &[u8], place: &Place, until: Until) -> Option<Batch> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    read_batch(&mut file, place, 1_000_000_000, until).unwrap()
}

#[test]
fn lines_are_stamped_in_order_and_framed_ones_kept() {
    let batch =
        batch_of(b"a\n\nb\n2026-11-23T21:24:51.255972001Z stdout F c\n", &Place::default(), Until::End).unwrap();
    let text = String::from_utf8(batch.body).unwrap();
    assert_eq!(
        text,
        "1970-01-01T00:00:01.000000000Z stdout F a\n1970-01-01T00:00:01.000000001Z stdout F b\n2026-11-23T21:24:51.255972001Z stdout F c\n"
    );
    assert_eq!(batch.lines, 3);
}

#[test]
fn half_a_line_waits_when_following_and_counts_at_the_end() {
    assert_eq!(batch_of(b"a\nhal", &Place::default(), Until::Stopped).unwrap().end, 2);
    assert_eq!(batch_of(b"a\nhal", &Place::default(), Until::End).unwrap().end, 5);
    assert!(batch_of(b"hal", &Place::default(), Until::Stopped).is_none());
}

#[test]
fn a_batch_never_ends_inside_a_line_that_its_runtime_has_cut() {
    let cri = |tag: &str, text: &str| format!("2026-11-23T21:24:51.255972001Z stdout {tag} {text}\n");
    let (begin, end) = (cri("P", "{\"a\":"), cri("F", "1}"));
    let text = format!("{begin}{end}{begin}");
    let whole = (begin.len() + end.len()) as u64;
    assert_eq!(batch_of(text.as_bytes(), &Place::default(), Until::Stopped).unwrap().end, whole);
    let behind = Place { offset: whole, ..Place::default() };
    assert!(batch_of(text.as_bytes(), &behind, Until::Stopped).is_none(), "the rest of the line will come");
    let last = batch_of(text.as_bytes(), &behind, Until::End).unwrap();
    assert_eq!((last.end, last.lines), (text.len() as u64, 1), "nothing more will come");

    let full = "x\n".repeat(BATCH_LINES - 1) + &text;
    let batch = batch_of(full.as_bytes(), &Place::default(), Until::End).unwrap();
    assert_eq!(batch.lines, BATCH_LINES + 1, "one more than fits, so that the line is whole");
    let endless = begin.repeat((BATCH_BYTES + PARTS_BYTES) / begin.len() + 9);
    let batch = batch_of(endless.as_bytes(), &Place::default(), Until::Stopped).unwrap();
    assert!(batch.body.len() < BATCH_BYTES + PARTS_BYTES + begin.len(), "a line without end holds up nobody");
}

#[test]
fn a_tried_batch_is_repeated_byte_for_byte() {
    let pending = Some(Pending { end: 2, stamp_ns: 5_000_000_000, key: None });
    let place = Place { pending, ..Place::default() };
    let batch = batch_of(b"a\nb\n", &place, Until::Stopped).unwrap();
    assert_eq!(batch.body, b"1970-01-01T00:00:05.000000000Z stdout F a\n");
    assert_eq!(batch.end, 2);
}

#[test]
fn a_file_that_changed_below_is_an_error_and_no_silent_jump() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("b.log");
    std::fs::write(&log, "abc\nd\n").unwrap();
    let mut file = File::open(&log).unwrap();
    let intake = Intake::new("http://127.0.0.1:1", ("portal", "token"), &trust::Trust::system()).unwrap();
    let sender = Sender { intake, instance: "b1".into(), state: dir.path().join("state"), quiet: QUIET };
    let pending = |key| Some(Pending { end: 4, stamp_ns: 5, key: Some(key) });
    let mut place = Place::default();
    let tried = read_batch(&mut file, &place, 5, Until::End).unwrap().unwrap();
    place.pending = pending(sender.key(&place, &tried.body).1);
    let changed = sender.next(&mut file, &place, Until::Stopped).map(|_| ()).unwrap_err();
    assert!(changed.is::<Changed>(), "{changed:#}: all of the file was tried, and now only four bytes");
    let first =
        Batch { body: b"1970-01-01T00:00:00.000000005Z stdout F abc\n".to_vec(), lines: 1, end: 4, stamp_ns: 5 };
    place.pending = pending(sender.key(&place, &first.body).1);
    assert_eq!(sender.next(&mut file, &place, Until::Stopped).unwrap().unwrap().body, first.body);
    place.pending = Some(Pending { end: 99, stamp_ns: 5, key: None });
    assert!(sender.next(&mut file, &place, Until::Stopped).is_err_and(|error| error.is::<Changed>()));
}

/// Longest wait for something to happen on a loaded machine.
const HAPPENS: Duration = Duration::from_secs(120);

/// A log that is followed, and what its collector got.
struct Followed {
    dir: tempfile::TempDir,
    collector: Collector,
    got: String,
    quiet: Duration,
    running: Option<tokio::task::JoinHandle<anyhow::Result<u64>>>,
}

impl Followed {
    async fn new(first: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("b.log"), first).unwrap();
        let quiet = Duration::from_millis(100);
        Self { dir, collector: collector(|_| Answer::Take).await, got: String::new(), quiet, running: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn add(&self, name: &str, text: &str) {
        let mut file = File::options().create(true).append(true).open(self.path(name)).unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        std::fs::rename(self.path(from), self.path(to)).unwrap();
    }

    fn start(&mut self) {
        let (log, state) = (self.path("b.log"), self.path("state.json"));
        let intake = self.collector.intake.clone();
        let sender = Sender { intake, instance: "b1".into(), state, quiet: self.quiet };
        let run = async move { sender.file(&log, Until::Stopped, &mut |_, _| {}).await };
        self.running = Some(tokio::spawn(run));
    }

    /// The sender dies, as by kill -9; what it knows is on its disk.
    async fn kill(&mut self) {
        let running = self.running.take().unwrap();
        running.abort();
        let _ = running.await;
    }

    /// Waits until this was sent.
    async fn comes(&mut self, text: &str) {
        let wait = async {
            while !self.got.contains(text) {
                let running = self.running.as_mut().unwrap();
                tokio::select! {
                    ended = running => panic!("it ended without {text}: {ended:?}"),
                    one = self.collector.got.recv() => self.got += &one.unwrap().1,
                }
            }
        };
        if tokio::time::timeout(HAPPENS, wait).await.is_err() {
            panic!("{text} does not come");
        }
    }

    /// Waits until the place on disk says that all of this file is acknowledged.
    async fn acknowledged(&self, name: &str) {
        use std::os::unix::fs::MetadataExt;
        let metadata = std::fs::metadata(self.path(name)).unwrap();
        let done = |place: Place| (place.inode, place.offset) == (metadata.ino(), metadata.len());
        let wait = async {
            while !Place::kept_in(&self.path("state.json")).unwrap().is_some_and(done) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(HAPPENS, wait).await.expect("what came is noted");
    }

    /// Last words of all lines, in order; a gap is `GAP`.
    fn words(&self) -> Vec<&str> {
        self.got
            .lines()
            .map(|line| match line.contains(" tokentrail-send F {") {
                true => "GAP",
                false => line.rsplit(' ').next().unwrap(),
            })
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_while_it_runs_loses_nothing_also_what_its_writer_adds_later() {
    let mut log = Followed::new("a\n").await;
    log.quiet = Duration::from_secs(3);
    log.start();
    log.comes(" a\n").await;
    log.rename("b.log", "b.log.1");
    log.add("b.log", "c\n");
    for late in ["b1", "b2", "b3"] {
        log.add("b.log.1", &format!("{late}\n"));
        log.comes(late).await;
    }
    log.add("b.log.1", "half a line");
    log.comes(" c\n").await;
    assert_eq!(log.words(), ["a", "b1", "b2", "b3", "line", "c"]);
    assert!(log.got.contains(" half a line\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn several_rotations_while_the_sender_is_busy_are_read_in_turn() {
    let mut log = Followed::new("a\n").await;
    log.start();
    log.comes(" a\n").await;
    log.acknowledged("b.log").await;
    log.kill().await;
    for text in ["b\n", "c\n", "d\n"] {
        log.rename("b.log", "fresh");
        for number in (1..4).rev() {
            if log.path(&format!("b.log.{number}")).exists() {
                log.rename(&format!("b.log.{number}"), &format!("b.log.{}", number + 1));
            }
        }
        log.rename("fresh", "b.log.1");
        log.add("b.log", text);
    }
    log.add("b.log.3", "tail");
    log.start();
    log.comes(" d\n").await;
    assert_eq!(log.words(), ["a", "tail", "b", "c", "d"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_file_that_is_gone_is_a_gap_once() {
    let mut log = Followed::new("a\n").await;
    log.start();
    log.comes(" a\n").await;
    log.acknowledged("b.log").await;
    log.kill().await;
    let before = now_ms();
    log.add("b.log", "unsent\n");
    std::fs::remove_file(log.path("b.log")).unwrap();
    log.add("b.log", "c\n");
    log.start();
    log.comes(" c\n").await;
    log.acknowledged("b.log").await;
    log.kill().await;
    log.start();
    log.add("b.log", "d\n");
    log.comes(" d\n").await;
    assert_eq!(log.words(), ["a", "GAP", "c", "d"]);
    let record = log.got.lines().find_map(|line| line.split_once(" tokentrail-send F ")).unwrap().1;
    let told: serde_json::Value = serde_json::from_str(record).unwrap();
    assert!(told["dropped_lines"].is_null(), "nobody knows how many");
    let (since, until) = (told["since"].as_i64().unwrap(), told["until"].as_i64().unwrap());
    assert!(since <= before && before <= until, "{since} {before} {until}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_compressed_is_refused_before_a_byte_of_it_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let Collector { intake, tries, .. } = collector(|_| Answer::Take).await;
    let sender = Sender { intake, instance: "b1".into(), state: dir.path().join("state"), quiet: QUIET };
    for (magic, inflate) in [(&b"\x1f\x8b\x08\x00"[..], "zcat"), (b"\x28\xb5\x2f\xfd", "zstdcat")] {
        let log = dir.path().join("b.log");
        std::fs::write(&log, [magic, b"\nx\n"].concat()).unwrap();
        for until in [Until::End, Until::Stopped] {
            let refused = sender.file(&log, until, &mut |_, _| ()).await.unwrap_err().to_string();
            assert!(refused.contains(inflate), "{refused}");
        }
    }
    assert_eq!((tries.load(std::sync::atomic::Ordering::Relaxed), sender.state.exists()), (0, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_file_that_was_compressed_is_a_gap_before_the_next() {
    let mut log = Followed::new("a\n").await;
    log.start();
    log.comes(" a\n").await;
    log.acknowledged("b.log").await;
    log.kill().await;
    log.rename("b.log", "b.log.2");
    log.add("b.log.2", "b\n");
    log.add("b.log.1.gz", "not to be read");
    log.add("b.log", "d\n");
    log.start();
    log.comes(" d\n").await;
    assert_eq!(log.words(), ["a", "b", "GAP", "d"]);
}

/// `copytruncate`: a copy keeps the rest, and the file begins anew; also when it has grown beyond where it was read.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_file_that_was_cut_back_is_read_to_its_end_first() {
    for regrown in ["c\n", "a line that is longer than all that stood there\nc\n"] {
        for down in [true, false] {
            let mut log = Followed::new("first\na\n").await;
            log.start();
            log.comes(" a\n").await;
            log.acknowledged("b.log").await;
            if down {
                log.kill().await;
                log.add("b.log", "unsent\n");
            }
            std::fs::copy(log.path("b.log"), log.path("b.log.1")).unwrap();
            std::fs::write(log.path("b.log"), regrown).unwrap();
            if down {
                log.start();
            }
            log.comes(" c\n").await;
            let words = log.words();
            assert_eq!(words.iter().filter(|word| **word == "unsent").count(), usize::from(down), "{words:?}");
            assert!(!words.contains(&"GAP") && words.first() == Some(&"first"), "{words:?}");
            assert_eq!(words.iter().filter(|word| **word == "a").count(), 1, "{words:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_cut_back_without_a_copy_is_a_gap() {
    for regrown in ["c\n", "a line that is longer than all that stood there\nc\n"] {
        let mut log = Followed::new("first\na\n").await;
        log.start();
        log.comes(" a\n").await;
        log.acknowledged("b.log").await;
        std::fs::write(log.path("b.log"), regrown).unwrap();
        log.comes(" c\n").await;
        assert_eq!(log.words()[..3], ["first", "a", "GAP"], "{regrown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_at_the_start_ends_and_later_is_overcome() {
    let mut log = Followed::new("a\n").await;
    log.collector = collector(|_| Answer::Refuse).await;
    log.start();
    let ended = tokio::time::timeout(HAPPENS, log.running.take().unwrap()).await.expect("it ends").unwrap();
    assert!(format!("{:#}", ended.unwrap_err()).contains("401"));
    log.collector = collector(|n| if n == 1 { Answer::Refuse } else { Answer::Take }).await;
    log.start();
    log.comes(" a\n").await;
    log.add("b.log", "b\n");
    log.comes(" b\n").await;
}

/// A power cut takes what was written last and not synced, or leaves zeros where it stood.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_lost_its_end_is_sent_from_the_last_good_place_and_a_gap_is_told() {
    for zeros in [false, true] {
        let mut log = Followed::new("line 00\n").await;
        log.start();
        log.comes(" 00\n").await;
        for number in 1..16 {
            log.acknowledged("b.log").await;
            log.add("b.log", &format!("line {number:02}\n"));
            log.comes(&format!(" {number:02}\n")).await;
        }
        log.acknowledged("b.log").await;
        log.kill().await;
        let file = File::options().write(true).open(log.path("b.log")).unwrap();
        let left = 8 * 12;
        file.set_len(left).unwrap();
        if zeros {
            file.set_len(8 * 16).unwrap();
        }
        log.add("b.log", "\nline after\n");
        log.start();
        log.comes(" after\n").await;
        log.acknowledged("b.log").await;
        let words = log.words();
        let times = |word: &str| words.iter().filter(|one| **one == word).count();
        assert_eq!((times("GAP"), times("after")), (1, 1), "{words:?}");
        // Four lines were lost: no more than four come again.
        let again: usize = (0..16).map(|number| times(&format!("{number:02}")) - 1).sum();
        assert!(again <= 4 && (0..8).all(|number| times(&format!("{number:02}")) == 1), "{words:?}");
        log.kill().await;
        log.start();
        log.add("b.log", "line end\n");
        log.comes(" end\n").await;
        assert_eq!(log.words().last(), Some(&"end"), "and goes on behind it");
    }
}
