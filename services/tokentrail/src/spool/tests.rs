use super::*;
use axum::{Router, extract::State as Shared, http::HeaderMap, routing::post};
use std::future::pending;

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

/// A collector that keeps what comes, and answers only the first `answers` deliveries.
struct Collector {
    intake: Intake,
    got: tokio::sync::mpsc::UnboundedReceiver<(String, String)>,
}

#[derive(Clone)]
struct Keeping {
    answers: Arc<Mutex<usize>>,
    put: tokio::sync::mpsc::UnboundedSender<(String, String)>,
}

async fn keep(Shared(keeping): Shared<Keeping>, headers: HeaderMap, body: String) {
    let key = headers[collector::http::DELIVERY_HEADER].to_str().unwrap().to_owned();
    keeping.put.send((key, body)).unwrap();
    let left = keeping.answers.lock().unwrap().checked_sub(1);
    match left {
        Some(left) => *keeping.answers.lock().unwrap() = left,
        None => pending::<()>().await,
    }
}

async fn collector(answers: usize) -> Collector {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (put, got) = tokio::sync::mpsc::unbounded_channel();
    let keeping = Keeping { answers: Arc::new(Mutex::new(answers)), put };
    let routes = Router::new().route("/v1/backstage/portal", post(keep)).with_state(keeping);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Collector { intake: Intake::new(&base, ("portal", "token"), &trust::Trust::system()).unwrap(), got }
}

#[tokio::test]
async fn a_restart_repeats_the_batch_that_was_tried_under_its_key_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 1 << 20, "acknowledged\n");
    let mut first = collector(1).await;
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
    let mut second = collector(usize::MAX).await;
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
