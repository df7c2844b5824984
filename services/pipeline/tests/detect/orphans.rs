//! Whom one of two systems alone knows: who is gone from Keycloak and still in a catalog that had time to follow, and who signs in to a
//! Backstage that had time to have an entity of them.

use super::{Bench, MINUTE, TENANT, support::NOON};
use pipeline::detect::SignIn;
use store::findings::Finding;

/// A time so many minutes after noon.
pub(super) fn at(minute: i64) -> String {
    format!("fromUnixTimestamp64Milli({}, 'UTC')", NOON + minute * MINUTE)
}

/// The person key of a name, as bytes.
fn key(name: &str) -> String {
    format!("sipHash128('{name}')")
}

pub(super) fn hex(name: &str) -> String {
    format!("lower(hex({}))", key(name))
}

/// An event's id by its name.
pub(super) fn id(name: &str) -> String {
    format!("toUUID('{}')", uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, name.as_bytes()))
}

/// What every answer of the correlation has: whom it is about, when, and which one it is.
fn answered(name: &str, minute: i64) -> [(&'static str, String); 4] {
    let row = format!("toFixedString(left({}, 16), 16)", hex(&format!("{name} {minute}")));
    [("person", hex(name)), ("at", at(minute)), ("row_id", row), ("version", "1".into())]
}

impl Bench {
    async fn row(&self, table: &str, columns: &[(&str, String)]) {
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        let values: Vec<&str> = columns.iter().map(|(_, value)| value.as_str()).collect();
        let sql =
            format!("INSERT INTO {table} (tenant, {}) SELECT '{TENANT}', {}", names.join(", "), values.join(", "));
        self.database.sql().query(&sql).execute().await.unwrap();
    }

    pub(super) async fn said_by(&self, (source, kind, minute): (&str, &str, i64), more: &[(&str, String)]) {
        let about = [
            ("source_id", format!("'{source}'")),
            ("kind", format!("'{kind}'")),
            ("time", at(minute)),
            ("input", "'webhook'".to_owned()),
            ("version", "1".to_owned()),
            ("outcome", "'success'".to_owned()),
        ];
        self.row("event_rows", &[&about[..], more].concat()).await;
    }

    async fn deleted(&self, name: &str, minute: i64) {
        let about =
            [("event_id", id(&format!("deletion of {name}"))), ("person", key(name)), ("realm", "'acme'".into())];
        self.said_by(("kc", "user_deleted", minute), &about).await;
    }

    /// What the correlation says of a name: version, kind, name, from, to.
    async fn name(&self, of: &str, version: u8, (kind, name): (&str, &str), (from, to): (i64, Option<i64>)) {
        let alias = [
            ("person", hex(of)),
            ("at", at(from)),
            ("row_id", format!("toFixedString(left({}, 16), 16)", hex(&format!("{of} {kind}")))),
            ("version", version.to_string()),
            ("kind", format!("'{kind}'")),
            ("name", format!("'{name}'")),
            ("user_id", format!("'id-{of}'")),
            ("borne_from", if from > 0 { at(from) } else { "NULL".into() }),
            ("borne_to", to.map_or("NULL".into(), at)),
        ];
        self.row("alias_rows", &alias).await;
    }

    /// An entity of the catalog that was first read so; annotated, unless it is nobody's.
    async fn entity(&self, name: &str, minute: i64, is_annotated: bool) {
        let annotation = if is_annotated { format!("'id-{name}'") } else { "''".into() };
        let about = [
            ("event_id", id(&format!("entity of {name}"))),
            ("realm", "'acme'".into()),
            ("person_id", annotation),
            ("person_name", format!("'user:default/{name}'")),
            ("details", format!("map('entity', {})", hex(&format!("mark of {name}")))),
        ];
        self.said_by(("bs", "state_catalog_user", minute), &about).await;
    }

    /// The correlation ties it, since before anything is known.
    async fn tied(&self, name: &str) {
        self.name(name, 1, ("reference", &format!("user:default/{name}")), (0, None)).await;
    }

    /// A read of the catalog that says how many it listed, and its list as it is stored.
    async fn catalog_read(&self, (snapshot, minute): (&str, i64), (outcome, count): (&str, usize), listed: &[&str]) {
        let about = [("resource_kind", "'catalog_users'".to_owned())];
        let entry = |name: &&str| format!("{}, repeat('0', 16)", hex(&format!("mark of {name}")));
        let entries: Vec<String> = listed.iter().map(entry).collect();
        let entries = format!("map('snapshot', '{snapshot}', 'entries', concat('', {}))", entries.join(", "));
        let list = [("event_id", id(&format!("list of {snapshot}"))), ("details", entries)];
        self.said_by(("bs", "snapshot_list", minute), &[&about[..], &list[..]].concat()).await;
        let said = format!("map('snapshot', '{snapshot}', 'outcome', '{outcome}', 'entities', '{count}')");
        let end = [("event_id", id(snapshot)), ("details", said)];
        self.said_by(("bs", "snapshot_area", minute), &[&about[..], &end[..]].concat()).await;
    }

    async fn signs_in(&self, name: &str, minute: i64, (realm, client): (&str, &str)) {
        let told = id(&format!("{name} at {minute}"));
        let common = answered(name, minute);
        let session = [("source_id", "'kc'".into()), ("clients", format!("['{client}']"))];
        self.row("session_rows", &[&common[..], &session[..]].concat()).await;
        let token = [("event_id", told.clone()), ("client", format!("'{client}'"))];
        self.row("token_rows", &[&common[..], &token[..]].concat()).await;
        let event = [
            ("event_id", told),
            ("person", key(name)),
            ("person_id", format!("'id-{name}'")),
            ("realm", format!("'{realm}'")),
        ];
        self.said_by(("kc", "token_issued", minute), &event).await;
    }

    /// A detector that begins anew; it runs until D20's findings fit.
    async fn orphans(&self, fits: impl Fn(&[Finding]) -> bool) -> Vec<Finding> {
        let mut detector = self.detector();
        detector.reader.settings.privileged = ["g-ops".to_owned()].into();
        let clients = vec!["backstage".to_owned()];
        let (backstage, keycloak) = ("bs".to_owned(), "kc".to_owned());
        detector.reader.sign_ins = vec![SignIn { backstage, keycloak, clients, budget: 10 * MINUTE }];
        let running = tokio::spawn(async move { detector.run().await });
        let of_rule = |all: &[Finding]| all.iter().filter(|one| one.rule == "D20").cloned().collect::<Vec<_>>();
        let found = self.look("D20", |all| Some(of_rule(all)).filter(|found| fits(found))).await;
        running.abort();
        found
    }
}

/// What findings say, in order.
fn said(found: &[Finding]) -> Vec<String> {
    let one = |one: &Finding| {
        let values: serde_json::Value = serde_json::from_str(&one.detail).unwrap();
        let (minute, receipts) =
            ((one.first_at - NOON) / MINUTE, one.receipts.iter().filter(|place| !place.is_empty()).count());
        let orphan = values["orphan"].as_str().unwrap();
        format!("{orphan}, {minute}: {} {} {receipts} {}", one.severity, one.confidence, one.standing)
    };
    let mut all: Vec<String> = found.iter().map(one).collect();
    all.sort();
    all
}

/// `ann` is in both. `gone` was deleted, is still an entity, and was in a privileged group; `unsaid` is gone without an event; `left` is
/// gone from both; `late` was deleted too short a time before the catalog was read. `bob` signs in and has no entity; `plain` has one of
/// that name, `cleo` signs in to something else, `dan` came too short a time before, `eve` was deleted, `far` is of a realm without entities.
async fn told() -> Bench {
    let bench = Bench::new().await;
    for source in ["kc", "bs"] {
        bench.complete(source, 61).await;
    }
    for name in ["ann", "gone", "unsaid", "late"] {
        bench.entity(name, 5, true).await;
        bench.tied(name).await;
    }
    bench.entity("plain", 5, false).await;
    bench.name("left", 1, ("reference", "user:default/left"), (5, Some(30))).await;
    for (name, minute) in [("gone", 8), ("left", 8), ("late", 35), ("eve", 11)] {
        bench.deleted(name, minute).await;
    }
    let missing = [("right_kind", "'existence'".into()), ("missing", "'removal'".into()), ("before", at(20))];
    bench.row("missing_event_rows", &[&answered("unsaid", 10)[..], &missing].concat()).await;
    let grant = [("right_kind", "'group'".into()), ("right_id", "'g-ops'".into())];
    bench.row("grant_rows", &[&answered("gone", 6)[..], &grant].concat()).await;
    let (here, elsewhere) = (("acme", "backstage"), ("other", "backstage"));
    for (name, minute, to) in [
        ("ann", 10, here),
        ("bob", 12, here),
        ("bob", 11, here),
        ("plain", 10, here),
        ("cleo", 10, ("acme", "grafana")),
        ("dan", 33, here),
        ("eve", 10, here),
        ("far", 10, elsewhere),
        ("nameless", 10, here),
    ] {
        bench.signs_in(name, minute, to).await;
        if name != "nameless" {
            bench.name(name, 1, ("username", name), (1, None)).await;
        }
    }
    bench.catalog_read(("b1", 40), ("complete", 5), &["ann", "gone", "unsaid", "late", "plain"]).await;
    // One that failed, and one of which a list is not stored yet.
    bench.catalog_read(("b2", 50), ("failed", 1), &["ann"]).await;
    bench.catalog_read(("b3", 51), ("complete", 5), &["ann"]).await;
    bench
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_one_system_alone_knows_is_found_and_over_when_the_catalog_follows() {
    let bench = told().await;
    let are = |found: &[Finding], standing: &str| found.iter().filter(|one| one.standing == standing).count();
    let found = bench.orphans(|found| are(found, "open") >= 3).await;
    let expected = [
        "entity without a user, 20: medium inferred 1 open",
        "entity without a user, 8: high proven 2 open",
        "user without an entity, 11: medium inferred 1 open",
    ];
    assert_eq!(said(&found), expected);
    assert!(found.iter().all(|one| one.person.is_empty()), "{found:?}");

    // The next read lists `gone` no more and has an entity of bob, whatever the correlation has said of both by then; and by that one the
    // catalog had time to know of the others.
    bench.entity("bob", 55, true).await;
    bench.catalog_read(("b4", 55), ("complete", 5), &["ann", "unsaid", "late", "plain", "bob"]).await;
    let then = bench.orphans(|found| (are(found, "open"), are(found, "ended")) == (3, 2)).await;
    let expected = [
        "entity without a user, 20: medium inferred 1 open",
        "entity without a user, 35: medium proven 2 open",
        "entity without a user, 8: high proven 2 ended",
        "user without an entity, 11: medium inferred 1 ended",
        "user without an entity, 33: medium inferred 1 open",
    ];
    assert_eq!(said(&then), expected);
}
