//! What follows from answers that come after the event: a role that somebody gave to a group that they are in, in Keycloak and in
//! Backstage; and what was done in an impersonated session.

use crate::{Bench, MINUTE, TENANT, support::NOON};
use store::impersonated::ActedRow;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// An instant so many minutes after noon, as ClickHouse has it.
pub(crate) fn at(minute: i64) -> String {
    format!("fromUnixTimestamp64Milli({}, 'UTC')", NOON + minute * MINUTE)
}

pub(crate) fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

/// Ids as findings name them.
pub(crate) fn ids<const N: usize>(events: [u128; N]) -> Vec<String> {
    events.map(|n| id(n).to_string()).to_vec()
}

pub(crate) fn key(person: char) -> String {
    person.to_string().repeat(32)
}

impl Bench {
    pub(crate) async fn put(&self, table: &str, columns: &str, values: &str) {
        let sql = format!("INSERT INTO {table} (tenant, {columns}) VALUES ('{TENANT}', {values})");
        self.database.sql().query(&sql).execute().await.unwrap();
    }

    /// An event of a minute, with further columns.
    pub(crate) async fn event(&self, (n, minute, kind): (u128, i64, &str), (columns, values): (&str, &str)) {
        let columns = format!("event_id, time, kind, outcome, {columns}");
        let values = format!("'{}', {}, '{kind}', 'success', {values}", id(n), at(minute));
        self.put("event_rows", &columns, &values).await;
    }

    /// A row of the world since a minute: holder and held with their sources.
    async fn world(&self, kind: &str, (source, holder): (&str, &str), (held_source, held): (&str, &str), minute: i64) {
        let row = format!("left('{kind}{holder}{held}----------------', 16)");
        let columns = "at, row_id, version, source_id, kind, holder, held_source_id, held, held_from";
        let time = at(minute);
        let values = format!("{time}, {row}, 1, '{source}', '{kind}', '{holder}', '{held_source}', '{held}', {time}");
        self.put("world_rows", columns, &values).await;
    }

    /// Somebody is in a group since a minute, until another.
    pub(crate) async fn member(&self, (person, group): (char, &str), (since, until): (i64, Option<i64>), version: u32) {
        let until = until.map_or("NULL".to_owned(), at);
        let columns = "person, at, row_id, version, source_id, right_kind, right_id, held_from, held_to, granted_in";
        let (person, since) = (key(person), at(since));
        let values = format!(
            "'{person}', {since}, left('{group}----------------', 16), {version}, 'kc', 'group', '{group}', {since}, {until}, '{}'",
            id(2)
        );
        self.put("grant_rows", columns, &values).await;
    }

    /// Judges; after the first look only of what happened within the last half minute, so that what is older is not read again.
    pub(crate) fn judging_lately(&self) -> JoinHandle<()> {
        self.judging_with([])
    }

    /// The same, with rights that are privileged.
    fn judging_with<const N: usize>(&self, privileged: [&str; N]) -> JoinHandle<()> {
        let mut detector = self.detector();
        detector.reader.settings.privileged = privileged.map(str::to_owned).into();
        detector.reader.lateness = 0;
        tokio::spawn(async move { detector.run().await })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_for_a_group_of_theirs_is_found_by_answers_that_come_later_and_withdrawn_by_them() {
    let bench = Bench::new().await;
    let actor = |person: char| format!("unhex('{}')", key(person));
    let grant = "source_id, actor, actor_kind, right_kind, right_id, holder_kind, holder_id";
    let given = |who: char| format!("'kc', {}, 'admin', 'realm_role', 'r', 'group', 'g'", actor(who));
    bench.event((1, 20, "role_granted"), (grant, &given('a'))).await;
    bench.event((3, 21, "role_granted"), (grant, &given('d'))).await;
    bench.world("group_role", ("kc", "g"), ("kc", "r"), 20).await;
    // In Backstage: by whom is told by reference, and who that was at that time by a tie.
    let role = "source_id, actor, actor_kind, actor_name, right_kind, right_id, holder_kind, holder_id";
    let given = format!(
        "'bs', {}, 'user', 'user:default/Bo', 'backstage_role', 'role:default/ops', 'group', 'group:default/ops'",
        actor('e')
    );
    bench.event((4, 30, "backstage_role_member_added"), (role, &given)).await;
    bench.world("name", ("kc", "h"), ("bs", "group:default/ops"), 1).await;
    bench.world("role_member", ("bs", "group:default/ops"), ("bs", "role:default/ops"), 30).await;
    let tie = format!(
        "'{}', {}, left('tie-------------', 16), 1, 'bs', 'tie', 'user:default/bo', 'kc', 'u', {}",
        key('b'),
        at(1),
        at(1)
    );
    bench
        .put(
            "world_rows",
            "person, at, row_id, version, source_id, kind, holder, held_source_id, held, held_from",
            &tie,
        )
        .await;
    bench.member(('b', "h"), (10, None), 1).await;
    let running = bench.judging_lately();
    let found = bench.until(("D05", "b"), |one| one.state == "OPEN").await;
    assert_eq!((found.first_at, found.evidence.clone()), (NOON + 30 * MINUTE, ids([2, 4])), "{found:?}");
    assert!(
        bench.of("D05", "a").await.is_none() && bench.of("D05", "d").await.is_none(),
        "in no group that anybody knows of"
    );

    // A gap between the membership and the grant comes to light, and is repaired.
    bench.gap("kc", (12, Some(14)), (None, 1)).await;
    bench.until(("D05", "b"), |one| one.confidence == "inferred").await;
    bench.gap("kc", (12, Some(14)), (Some(50), 2)).await;
    bench.until(("D05", "b"), |one| one.confidence == "proven").await;

    bench.member(('a', "g"), (5, None), 1).await;
    // Who came into the group after they gave it the role gave themselves nothing.
    bench.member(('d', "g"), (25, None), 1).await;
    let found = bench.until(("D05", "a"), |one| one.state == "OPEN").await;
    assert_eq!((found.first_at, found.evidence.clone()), (NOON + 20 * MINUTE, ids([2, 1])), "{found:?}");
    assert_eq!(bench.of("D05", "d").await, None);
    // They had left before.
    bench.member(('a', "g"), (5, Some(19)), 2).await;
    bench.until(("D05", "a"), |one| one.state == "WITHDRAWN").await;
    assert_eq!(bench.of("D05", "b").await.unwrap().state, "OPEN");
    running.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_in_an_impersonated_session_is_told_with_it_and_nothing_else_is() {
    let bench = Bench::new().await;
    let account = format!("unhex('{}')", key('c'));
    bench.event((1, 20, "impersonated"), ("source_id, person", &format!("'kc', {account}"))).await;
    let columns = "person, at, row_id, version, source_id, session_id, started_at, impersonators";
    let (person, began) = (key('c'), at(20));
    let session =
        format!("'{person}', {began}, 'session---------', 1, 'kc', 's', {began}, [({began}, 'root', '{}')]", id(1));
    bench.put("session_rows", columns, &session).await;
    let decided = async |n: u128, minute: i64, (session, grade, action): (&str, &str, &str)| {
        let columns = "person, at, row_id, version, event_id, permission, action, outcome, verdict, candidates, grade, reasons, session_id";
        let values = format!(
            "'{person}', {}, left('{n}---------------', 16), 1, '{}', 'catalog.entity', '{action}', 'allow', 'agrees', 1, '{grade}', \
             ['impersonated'], '{session}'",
            at(minute),
            id(n)
        );
        bench.put("decision_rows", columns, &values).await;
    };
    decided(10, 21, ("s", "exact", "read")).await;
    decided(11, 22, ("s", "inferred", "delete")).await;
    decided(12, 23, ("other", "exact", "delete")).await;
    decided(13, 19, ("s", "exact", "delete")).await;
    let acted = async |to: i64| {
        let span = (NOON, NOON + to * MINUTE);
        bench.database.store.acted_as(TENANT, std::slice::from_ref(&person), span).await.unwrap()
    };
    let told = |rows: &[ActedRow]| {
        let [row] = rows else { panic!("{rows:?}") };
        let evidence: Vec<Uuid> = row.evidence.iter().map(|(_, id)| id.0).collect();
        (row.event_id, [row.let_in, row.sure, row.writes, row.credentials], (row.last - NOON) / MINUTE, evidence)
    };
    let rows = acted(60).await;
    assert_eq!(told(&rows), (id(1), [2, 1, 0, 0], 22, vec![id(10), id(11)]));
    let rows = acted(21).await;
    assert_eq!((rows[0].let_in, rows[0].evidence.len()), (0, 0), "nothing was done by then: {rows:?}");

    // A group through which they have a role that is named as privileged.
    bench.member(('c', "g"), (5, None), 1).await;
    bench.world("group_role", ("kc", "g"), ("kc", "Admin"), 1).await;
    let privileged = bench.judging_with(["Admin"]);
    let found = bench.until(("D16", "c"), |one| one.detail.contains("\"person_privileged\":true")).await;
    assert_eq!(found.severity, "critical");
    privileged.abort();

    let running = bench.judging_lately();
    let found = bench.until(("D16", "c"), |one| one.severity == "high").await;
    assert!(found.evidence == ids([1, 10, 11]) && found.detail.contains("\"let_in\":2"), "{found:?}");
    // The answer to what was done comes later, and so does a change of a password in this session; one in another session is none.
    for (n, minute, session) in [(20, 24, "s"), (21, 25, "other")] {
        let columns = "source_id, person, session_id";
        let values = format!("'kc', {account}, '{session}'");
        bench.event((n, minute, "credential_updated"), (columns, &values)).await;
        let hint = format!("{account}, {}, 'kc', 'credential_updated'", at(minute));
        bench.put("person_event_rows", "person, time, source_id, kind", &hint).await;
    }
    let found = bench.until(("D16", "c"), |one| one.severity == "critical").await;
    assert_eq!(found.evidence, ids([1, 10, 11, 20]), "{found:?}");
    decided(14, 26, ("s", "session", "create")).await;
    let found = bench.until(("D16", "c"), |one| one.detail.contains("\"allowed_to_write\":1")).await;
    assert!(found.last_at == NOON + 26 * MINUTE && found.evidence.contains(&id(14).to_string()), "{found:?}");
    running.abort();
}
