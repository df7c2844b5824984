//! Paging, overlap, crashes and states against a Keycloak that fails on demand.

mod looping;
mod reach;
mod states;

use super::{
    Feed, Limits, NotAppended, PassError, PassReport, Puller, RealmPull, RealmStatus, Source, State, Stopped,
    cursor::{Cursor, CursorFile, CursorName, KeepCursor, Loaded},
    fake::{Fake, Fate, Fault, Memory, around, event},
    pass::{MAX_EVENT_BYTES, MAX_PAGE},
};
use crate::heartbeat::{Beat, Heart};
use events::receipt::{Input, Payload};
use serde_json::json;
use std::{
    collections::{BTreeSet, VecDeque},
    io,
    sync::{Arc, Mutex},
    time::Duration,
};
use tempfile::TempDir;
use tokio::sync::watch;

/// The fake's `Date`.
const NOW: i64 = 10_000_000;

struct Bench {
    fake: Fake,
    journal: Arc<Memory>,
    dir: TempDir,
}

impl Bench {
    async fn new() -> Self {
        Self { fake: Fake::start().await, journal: Arc::default(), dir: tempfile::tempdir().unwrap() }
    }

    fn source(&self) -> Source {
        self.fake.source(self.dir.path())
    }

    fn realm_of(&self, source: &Source) -> RealmPull {
        RealmPull::open(source, &around(&self.journal, NOW)).unwrap().remove(0)
    }

    /// A realm as after a start of the process.
    fn realm(&self) -> RealmPull {
        self.realm_of(&self.source())
    }

    fn realm_with(&self, limits: impl FnOnce(&mut Limits)) -> RealmPull {
        let mut source = self.source();
        limits(&mut source.limits);
        self.realm_of(&source)
    }

    fn store(&self, events: impl IntoIterator<Item = (i64, String)>) {
        self.fake.world().user.extend(events);
    }

    fn stored(&self) -> Vec<String> {
        let mut stored = self.fake.world().user.clone();
        stored.sort_by_key(|(time, _)| *time);
        stored.into_iter().map(|(_, body)| body).collect()
    }

    #[track_caller]
    fn assert_each_once(&self) {
        let kept = self.journal.bodies();
        let set: BTreeSet<_> = kept.iter().cloned().collect();
        assert_eq!(set.len(), kept.len(), "an event was appended twice");
        assert_eq!(set, self.stored().into_iter().collect());
    }
}

async fn user(realm: &mut RealmPull) -> PassReport {
    realm.pass(Feed::User).await.unwrap()
}

#[tokio::test]
async fn a_backlog_is_read_once_in_order_and_as_the_bytes_that_came() {
    let bench = Bench::new().await;
    bench.store((0..1_003).map(|n| event(n, 1_000 + n as i64 * 7)));
    let report = user(&mut bench.realm()).await;
    assert_eq!(bench.journal.bodies(), bench.stored());
    assert_eq!((report.appended, report.too_large), (1_003, 0));
    let kept = bench.journal.kept.lock().unwrap();
    let header = &kept[0].header;
    assert_eq!((header.input, header.payload), (Input::Pull, Payload::KeycloakEvent));
    assert_eq!((header.native_id.as_str(), header.received_at), ("id-0", NOW));
    // Memory is bounded by pages: no request asked for more than one.
    assert!(bench.fake.world().pages.iter().all(|page| page["max"] == "10"));
}

#[tokio::test]
async fn many_events_of_one_millisecond_are_all_read() {
    let bench = Bench::new().await;
    bench.store((0..25).map(|n| event(n, 1_000)));
    bench.store((25..400).map(|n| event(n, 1_001)));
    bench.store((400..405).map(|n| event(n, 1_002)));
    user(&mut bench.realm()).await;
    bench.assert_each_once();
    let bench = Bench::new().await;
    bench.store((0..MAX_PAGE * 2 + 77).map(|n| event(n, 1_000)));
    bench.store([event(1_000_000, 1_001)]);
    user(&mut bench.realm()).await;
    bench.assert_each_once();
}

#[tokio::test]
async fn what_becomes_visible_late_is_read_and_the_rest_is_not_repeated() {
    let bench = Bench::new().await;
    bench.store((0..30).map(|n| event(n, 50_000 + n as i64 * 100)));
    let mut realm = bench.realm();
    user(&mut realm).await;
    bench.store([event(100, 51_950), event(101, 52_901)]);
    let report = user(&mut realm).await;
    assert_eq!((report.appended, bench.journal.ids().split_off(30)), (2, vec!["id-100".into(), "id-101".into()]));
    // Further back than the overlap, nobody looks: that is what the overlap is for.
    bench.store([event(102, 51_000)]);
    assert_eq!(user(&mut realm).await.appended, 0);
}

#[tokio::test]
async fn a_restart_appends_nothing_twice() {
    let bench = Bench::new().await;
    bench.store((0..57).map(|n| event(n, 50_000 + n as i64 * 40)));
    user(&mut bench.realm()).await;
    for _ in 0..3 {
        let report = user(&mut bench.realm()).await;
        assert!(report.known > 10 && report.appended == 0, "{report:?}");
    }
    bench.store([event(57, 52_300)]);
    assert_eq!(user(&mut bench.realm()).await.appended, 1);
    bench.assert_each_once();
}

#[tokio::test]
async fn rows_that_expire_while_pages_are_read_make_nothing_skipped() {
    let bench = Bench::new().await;
    bench.store((0..50).map(|n| event(n, 1_000 + n as i64)));
    let all = bench.stored();
    let expire = |world: &mut super::fake::World| drop(world.user.drain(..8));
    bench.fake.world().faults.push_back(Fault::Then(Box::new(expire)));
    user(&mut bench.realm()).await;
    assert_eq!(bench.journal.bodies(), all);
}

#[tokio::test]
async fn an_append_that_fails_loses_nothing_and_doubles_one_page_at_most() {
    for (fate, doubled) in [(Fate::NotLanded, 0), (Fate::LandsButReportedLost, 10)] {
        for page in 0..5 {
            let bench = Bench::new().await;
            bench.store((0..45).map(|n| event(n, 1_000 + n as i64)));
            let mut fates = vec![Fate::Lands; page];
            fates.push(fate);
            *bench.journal.fates.lock().unwrap() = fates.into();
            let failed = bench.realm().pass(Feed::User).await;
            assert_eq!(failed, Err(PassError::Append(NotAppended::Later)), "{fate:?} at page {page}");
            user(&mut bench.realm()).await;
            let kept = bench.journal.bodies();
            assert_eq!(kept.iter().cloned().collect::<BTreeSet<_>>(), bench.stored().into_iter().collect());
            assert!(kept.len() <= 45 + doubled, "{} kept, {fate:?} at page {page}", kept.len());
        }
    }
}

/// A cursor file whose saves fail on demand: before, or after having landed.
struct Faulty {
    file: CursorFile,
    saves: Mutex<VecDeque<Option<Fate>>>,
}

impl KeepCursor for Faulty {
    fn load(&self) -> io::Result<Loaded> {
        self.file.load()
    }

    fn save(&self, cursor: &Cursor) -> io::Result<()> {
        let fate = self.saves.lock().unwrap().pop_front().flatten();
        if fate != Some(Fate::NotLanded) {
            self.file.save(cursor)?;
        }
        fate.map_or(Ok(()), |_| Err(io::Error::other("told to fail")))
    }
}

#[tokio::test]
async fn a_cursor_that_is_not_saved_loses_nothing_and_doubles_one_page_at_most() {
    // A page begins with the last event of the page before: that one is known already.
    for (fate, doubled) in [(Fate::NotLanded, [10, 9, 9, 9, 8]), (Fate::LandsButReportedLost, [0; 5])] {
        for (page, doubled) in doubled.into_iter().enumerate() {
            let bench = Bench::new().await;
            bench.store((0..45).map(|n| event(n, 1_000 + n as i64)));
            let (source, around) = (bench.source(), around(&bench.journal, NOW));
            let mut saves: VecDeque<_> = vec![None; page].into();
            saves.push_back(Some(fate));
            let keep = move |name: CursorName| -> Arc<dyn KeepCursor> {
                let file = CursorFile::new(&source.cursors, name);
                Arc::new(Faulty { file, saves: Mutex::new(saves.clone()) })
            };
            let mut realm = RealmPull::open_with(&bench.source(), &around, &keep).unwrap().remove(0);
            assert_eq!(realm.pass(Feed::User).await, Err(PassError::Cursor), "{fate:?} at page {page}");
            drop(realm);
            user(&mut bench.realm()).await;
            let kept = bench.journal.bodies();
            assert_eq!(kept.iter().cloned().collect::<BTreeSet<_>>(), bench.stored().into_iter().collect());
            assert_eq!(kept.len(), 45 + doubled, "{fate:?} at page {page}");
        }
    }
}

#[tokio::test]
async fn a_pass_dropped_anywhere_goes_on_where_it_was() {
    let bench = Bench::new().await;
    bench.store((0..45).map(|n| event(n, 1_000 + n as i64)));
    for page in 0..4 {
        let hang = (0..page).map(|_| Fault::Then(Box::new(|_| {}))).chain([Fault::Hangs]);
        bench.fake.world().faults = hang.collect();
        let mut realm = bench.realm_with(|limits| limits.timeout = Duration::from_millis(300));
        let dropped = realm.pass(Feed::User).await;
        assert_eq!(dropped, Err(PassError::Source(State::Unreachable { why: "no answer in time" })));
    }
    user(&mut bench.realm()).await;
    bench.assert_each_once();
}

#[tokio::test]
async fn a_damaged_cursor_is_told_and_everything_is_read_again() {
    let bench = Bench::new().await;
    bench.store((0..12).map(|n| event(n, 1_000 + n as i64)));
    user(&mut bench.realm()).await;
    let cursor = std::fs::read_dir(bench.dir.path()).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&cursor).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&cursor, bytes).unwrap();
    let mut realm = bench.realm();
    assert_eq!(realm.check().await, [State::CursorDamaged, State::Reachable]);
    assert_eq!(user(&mut realm).await.appended, 12);
    assert_eq!(bench.realm().check().await, [State::Reachable]);
}

#[tokio::test]
async fn a_token_that_ended_early_is_replaced_once() {
    let bench = Bench::new().await;
    bench.store((0..25).map(|n| event(n, 1_000 + n as i64)));
    bench.fake.world().faults = [Fault::Then(Box::new(|_| {})), Fault::TokenGone].into();
    user(&mut bench.realm()).await;
    bench.assert_each_once();
    assert_eq!(bench.fake.world().logins, 2);
    bench.fake.world().faults = [Fault::Status(401), Fault::Status(401)].into();
    assert_eq!(bench.realm().pass(Feed::User).await, Err(PassError::Source(State::Unauthorized)));
}

#[tokio::test]
async fn a_page_that_is_too_large_is_asked_for_in_parts() {
    let bench = Bench::new().await;
    bench.store((0..40).map(|n| event(n, 1_000 + n as i64 / 4)));
    user(&mut bench.realm_with(|limits| limits.answer_bytes = 400)).await;
    bench.assert_each_once();
    let bench = Bench::new().await;
    bench.store([event(0, 1_000)]);
    let failed = bench.realm_with(|limits| limits.answer_bytes = 20).pass(Feed::User).await;
    assert_eq!(failed, Err(PassError::Source(State::AnswerTooLarge)));
}

#[tokio::test]
async fn an_event_beyond_the_journals_size_leaves_its_length() {
    let bench = Bench::new().await;
    bench.store([(1_000, format!("{{\"id\":\"big\",\"time\":1000,\"x\":\"{}\"}}", "y".repeat(MAX_EVENT_BYTES)))]);
    assert_eq!(user(&mut bench.realm()).await.too_large, 1);
    let kept = bench.journal.bodies().pop().unwrap();
    let kept: serde_json::Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(kept["reason"], "record_too_large");
    assert!(
        kept["length"].as_u64().unwrap() > MAX_EVENT_BYTES as u64 && kept["mark"].as_str().unwrap().len() > 8,
        "{kept}"
    );
    let kept = bench.journal.kept.lock().unwrap();
    assert_eq!((kept[0].header.payload, kept[0].header.native_id.as_str()), (Payload::Unparsable, "big"));
    assert!(kept[0].body.len() < 100);
}

#[tokio::test]
async fn what_redaction_returns_is_what_is_kept() {
    let bench = Bench::new().await;
    bench.fake.world().admin.push(event(1, 1_000));
    let mut around = around(&bench.journal, NOW);
    around.redact = Arc::new(|payload, _| {
        assert_eq!(payload, Payload::KeycloakAdminEvent);
        (Payload::Unknown, b"{}".to_vec())
    });
    RealmPull::open(&bench.source(), &around).unwrap().remove(0).pass(Feed::Admin).await.unwrap();
    let kept = bench.journal.kept.lock().unwrap();
    assert_eq!((kept[0].header.payload, kept[0].body.as_slice()), (Payload::Unknown, &b"{}"[..]));
}

#[tokio::test]
async fn a_heartbeat_is_a_new_login_with_the_id_of_its_event() {
    let bench = Bench::new().await;
    let mut source = bench.source();
    let heart = Heart::keycloak(&source).unwrap().remove(0);
    let (first, second) = (heart.beat().await, heart.beat().await);
    assert_eq!((first.id.as_str(), second.id.as_str()), ("trrtcc:1", "trrtcc:2"));
    bench.fake.world().login_status = 401;
    assert_eq!(heart.beat().await, Beat { id: String::new(), state: "unauthorized" });
    source.realms[0].login_realm = Some("another".into());
    assert!(Heart::keycloak(&source).unwrap().is_empty(), "a login elsewhere is no event of this realm");
}

#[tokio::test]
async fn the_watermark_is_the_start_of_a_complete_pass_less_the_overlap() {
    let bench = Bench::new().await;
    bench.fake.world().date = "Thu, 01 Jan 1970 02:46:39 GMT";
    let report = user(&mut bench.realm()).await;
    assert_eq!(report.clock_offset_ms, Some(-500));
    assert_eq!(report.watermark, 9_999_000 - 1_000);
}

async fn until(status: &mut watch::Receiver<RealmStatus>, what: impl FnMut(&RealmStatus) -> bool) {
    tokio::time::timeout(Duration::from_secs(20), status.wait_for(what)).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_rate_is_kept() {
    let bench = Bench::new().await;
    bench.store((0..45).map(|n| event(n, 1_000 + n as i64)));
    let began = std::time::Instant::now();
    user(&mut bench.realm_with(|limits| limits.requests_per_second = 20)).await;
    let world = bench.fake.world();
    let requests = world.pages.len() as u32 + world.logins;
    assert!(began.elapsed() >= Duration::from_millis(50) * (requests - 1));
}
