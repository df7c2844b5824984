//! Migrations, views and the errors of a database that does not fit.

use super::*;
use crate::support::Database;
use ::events::person::PersonKey;
use store::{StoreError, latest_version};

#[tokio::test]
async fn migrating_twice_and_from_two_programs_at_once_is_migrating_once() {
    let database = Database::empty().await;
    let others = [database.another(), database.another(), database.another()];
    let (a, b, c, d) =
        tokio::join!(database.store.migrate(), others[0].migrate(), others[1].migrate(), others[2].migrate());
    for result in [a, b, c, d] {
        result.unwrap();
    }
    database.store.migrate().await.unwrap();
    let applied = database.store.applied_migrations().await.unwrap();
    let versions: Vec<u32> = applied.iter().map(|one| one.version).collect();
    assert!(versions.first() == Some(&1) && versions.last() == Some(&latest_version()), "{versions:?}");
    assert!(versions.windows(2).all(|pair| pair[0] < pair[1]), "{versions:?}");
    let records: u64 = database.sql().query("SELECT count() FROM schema_migrations").fetch_one().await.unwrap();
    assert_eq!(records, versions.len() as u64, "each was applied by one program");
}

/// Makes the database, with one table in it before any migration.
async fn holding(database: &Database, table: &str) {
    let name = &database.name;
    for sql in [format!("CREATE DATABASE {name}"), format!("CREATE TABLE {name}.{table}")] {
        database.sql().with_database("system").query(&sql).execute().await.unwrap();
    }
}

/// What each table and view was made by, by its name; the database's own is cut out.
async fn definitions(database: &Database) -> Vec<(String, String)> {
    let sql = "SELECT name, replaceAll(create_table_query, currentDatabase(), '') FROM system.tables
        WHERE database = currentDatabase() AND NOT startsWith(name, 'schema_lock_') AND name != 'somebodys' ORDER BY name";
    database.sql().query(sql).fetch_all().await.unwrap()
}

#[tokio::test]
async fn an_empty_database_ends_as_one_that_went_through_every_file() {
    let at_once = Database::new().await;
    let file_by_file = Database::empty().await;
    holding(&file_by_file, "somebodys (unused UInt8) ENGINE = Null").await;
    file_by_file.store.migrate().await.unwrap();
    let expected = definitions(&file_by_file).await;
    assert!(expected.len() > store::VIEWS.len(), "{}", expected.len());
    assert_eq!(definitions(&at_once).await, expected);
    let applied = at_once.store.applied_migrations().await.unwrap().into_iter().map(|one| (one.version, one.checksum));
    let one_by_one = file_by_file.store.applied_migrations().await.unwrap();
    assert!(applied.eq(one_by_one.into_iter().map(|one| (one.version, one.checksum))));
    // Who made everything and died before it was recorded begins again, on what is there.
    at_once.sql().query("TRUNCATE TABLE schema_migrations").execute().await.unwrap();
    at_once.store.migrate().await.unwrap();
    assert_eq!(definitions(&at_once).await, expected);
}

#[tokio::test]
async fn a_changed_or_unknown_migration_is_refused() {
    let database = Database::new().await;
    let newer = latest_version() + 1;
    let add = |version: u32, checksum: &str| {
        let sql = format!("INSERT INTO schema_migrations VALUES ({version}, 'x', '{checksum}', 0)");
        database.sql().query(&sql).execute()
    };
    add(newer, "00").await.unwrap();
    let error = database.store.migrate().await.unwrap_err();
    assert!(matches!(&error, StoreError::Incompatible(text) if text.contains("newer program")), "{error}");

    let database = Database::new().await;
    database.sql().query("INSERT INTO schema_migrations VALUES (1, 'x', 'ff', 0)").execute().await.unwrap();
    let error = database.store.migrate().await.unwrap_err();
    assert!(matches!(&error, StoreError::Incompatible(text) if text.contains("another text")), "{error}");
}

#[tokio::test]
async fn a_lease_that_ran_out_is_taken_over() {
    let database = Database::empty().await;
    holding(&database, "schema_lock_7 (unused UInt8) ENGINE = Null COMMENT 'somebody 1000'").await;
    database.store.migrate().await.unwrap();
    let locks: Vec<String> = database
        .sql()
        .query("SELECT concat(name, ' ', comment) FROM system.tables WHERE database = currentDatabase() AND startsWith(name, 'schema_lock')")
        .fetch_all()
        .await
        .unwrap();
    assert_eq!(locks, ["schema_lock_8 free"]);
}

#[tokio::test]
async fn the_list_of_views_is_the_schemas_and_the_roles_files() {
    let database = Database::new().await;
    let views: Vec<String> = database
        .sql()
        .query("SELECT name FROM system.tables WHERE database = currentDatabase() AND engine = 'View' ORDER BY name")
        .fetch_all()
        .await
        .unwrap();
    assert_eq!(views, store::VIEWS);
    let roles = include_str!("../../../../schemas/clickhouse/roles.sql");
    for view in store::VIEWS {
        assert!(roles.contains(&format!("GRANT SELECT ON tokentrail.{view} TO tokentrail_read;")), "{view}");
    }
}

#[tokio::test]
async fn errors_say_what_to_do_next() {
    let database = Database::empty().await;
    let missing = database.store.insert(&block(&[(1, 0, Input::Pull, "a")])).await.unwrap_err();
    assert!(matches!(missing, StoreError::Incompatible(_)), "{missing}");
    database.store.migrate().await.unwrap();
    let mut bad = block(&[(1, 0, Input::Pull, "a")]);
    bad.events[0].person = Some(PersonKey("alice".into()));
    let error = database.store.insert(&bad).await.unwrap_err();
    assert!(matches!(error, StoreError::Rejected(_)) && !error.to_string().contains("alice"), "{error}");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = store::Store::connect(store::ConnectOptions {
        url: format!("http://{nobody}"),
        database: "x".into(),
        user: "x".into(),
        password: "x".into(),
        trust: trust::Trust::system(),
    });
    assert!(gone.unwrap().ping().await.unwrap_err().is_unavailable());
}

/// The embedded engine can hold no cluster: it has no Keeper and refuses distributed DDL. That it parses what a cluster would be
/// sent is what can be shown here.
#[tokio::test]
async fn what_a_cluster_would_be_sent_is_understood_by_the_engine() {
    let database = Database::empty().await;
    assert!(database.store.statements_on_cluster("a'b").is_err());
    let sql = database.sql().with_database("system");
    let statements = database.store.statements_on_cluster("prod-1").unwrap();
    assert!(statements.len() > 30, "{}", statements.len());
    for statement in statements {
        // Rows reach the other servers by replication.
        let inserts = statement.contains("INSERT INTO");
        assert!(inserts || statement.contains("ON CLUSTER 'prod-1'"), "{statement}");
        let merge_tree = statement.matches("MergeTree").count();
        assert_eq!(statement.matches("ENGINE = Replicated").count(), merge_tree, "{statement}");
        let ast: String = sql
            .query_raw(&format!("EXPLAIN AST {statement} FORMAT TSVRaw"))
            .fetch_bytes("TSVRaw")
            .unwrap()
            .collect()
            .await
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_else(|error| panic!("{error}: {statement}"));
        assert!(
            ["CreateQuery", "AlterQuery", "DropQuery", "InsertQuery"].iter().any(|kind| ast.starts_with(kind)),
            "{ast}: {statement}"
        );
    }
    let error = database.store.migrate_on_cluster("prod-1").await.unwrap_err();
    assert!(matches!(error, StoreError::Incompatible(_)), "{error}");
}

#[tokio::test]
async fn a_database_takes_the_key_that_came_first_and_no_other() {
    let database = Database::new().await;
    assert!(database.store.fits_key("one").await.unwrap());
    assert!(database.store.fits_key("one").await.unwrap());
    assert!(!database.another().fits_key("other").await.unwrap());
    assert!(database.another().fits_key("one").await.unwrap());
}

/// What rows are told apart and found by: keys (of persons, too), ids, marks, names of products and words of ours. A column that is added to a sort key, a
/// partition or an index and is not here must be judged: nothing personal may be among them, so that it can be erased.
const NOT_PERSONAL: &[&str] = &[
    "actor",
    "alias_rows.account",
    "at",
    "cause",
    "cell",
    "change_id",
    "check_value",
    "checksum",
    "chunk",
    "clock",
    "code_id",
    "commitment",
    "commitment_head",
    "correlation_owner_rows.owner",
    "delivery",
    "delivery_cell",
    "epoch",
    "error",
    "event_id",
    "fate",
    "finding_id",
    "grade",
    "held",
    "hour",
    "id",
    "input",
    "kind",
    "message_id",
    "minute",
    "new_refresh_token_id",
    "number",
    "outcome",
    "person",
    "realm",
    "received_at",
    "receiver",
    "recorded_at",
    "refresh_token_id",
    "right_id",
    "row_id",
    "rule",
    "scope",
    "sent_at",
    "seq",
    "session_id",
    "since",
    "source_id",
    "stream",
    "suppression_id",
    "tenant",
    "time",
    "token_id",
    "until",
    "verdict",
    "version",
    "writer",
];

#[tokio::test]
async fn nothing_personal_is_in_a_sort_key_a_partition_or_an_index() {
    let database = Database::new().await;
    let sql = "SELECT concat(name, '|', sorting_key, ',', partition_key) FROM system.tables WHERE database = currentDatabase() \
        AND sorting_key != '' UNION ALL SELECT concat(table, '|', expr) FROM system.data_skipping_indices \
        WHERE database = currentDatabase() UNION ALL SELECT concat(table, '|', arrayStringConcat(sorting_key, ',')) \
        FROM system.projections WHERE database = currentDatabase()";
    let found: Vec<String> = database.sql().query(sql).fetch_all().await.unwrap();
    assert!(found.len() > 30, "{found:?}");
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut unknown = std::collections::BTreeSet::new();
    for one in &found {
        let (table, expression) = one.split_once('|').unwrap();
        // Functions are no columns.
        let mut rest = expression;
        while let Some(at) = rest.find(is_word) {
            let word: &str = &rest[at..];
            let end = word.find(|c| !is_word(c)).unwrap_or(word.len());
            let called = word[end..].starts_with('(');
            let name = &word[..end];
            let of_table = format!("{table}.{name}");
            let known = NOT_PERSONAL.contains(&name) || NOT_PERSONAL.contains(&of_table.as_str());
            if !called && !name.starts_with(|c: char| c.is_ascii_digit()) && !known {
                unknown.insert(of_table);
            }
            rest = &word[end..];
        }
    }
    assert!(unknown.is_empty(), "{unknown:?}");
}
