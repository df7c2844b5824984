//! Settings pinned on every statement, because defaults differ between servers and releases; and the bounds of waiting.

use clickhouse::{Client, query::Query};
use std::time::Duration;

pub(crate) const PING_WAIT: Duration = Duration::from_secs(5);
/// One chunk of rows on its way.
pub(crate) const SEND_WAIT: Duration = Duration::from_secs(30);
/// The acknowledgement of one insert.
pub(crate) const INSERT_WAIT: Duration = Duration::from_secs(120);
/// One statement of a migration.
pub(crate) const MIGRATION_WAIT: Duration = Duration::from_secs(300);
/// One query; the server stops a little earlier by itself.
pub(crate) const QUERY_WAIT: Duration = Duration::from_secs(70);

/// For every statement.
pub(crate) const ALWAYS: &[(&str, &str)] = &[("wait_end_of_query", "1")];

/// Nothing may be dropped or put off by the server: idempotence is in the rows.
pub(crate) const INSERT: &[(&str, &str)] = &[
    ("async_insert", "0"),
    ("insert_deduplicate", "0"),
    ("insert_null_as_default", "0"),
    ("input_format_defaults_for_omitted_fields", "0"),
    ("max_insert_block_size", "1048449"),
    ("min_insert_block_size_rows", "1048449"),
    ("min_insert_block_size_bytes", "268435456"),
    ("max_insert_threads", "1"),
    // The first merge makes them: eight fewer pairs of files to sync in a part of events.
    ("materialize_skip_indexes_on_insert", "0"),
    ("distributed_foreground_insert", "1"),
    // What is not done by then will not land later (marks.rs rests on a bound).
    ("max_execution_time", "150"),
];

/// Rows are read as they are, joined and converted in one way.
pub(crate) const READ: &[(&str, &str)] = &[
    ("max_execution_time", "60"),
    ("timeout_overflow_mode", "throw"),
    ("result_overflow_mode", "throw"),
    ("join_use_nulls", "0"),
    ("transform_null_in", "0"),
    ("session_timezone", "UTC"),
    // An answer is of now, and a sum, a group and an alias mean the same everywhere.
    ("use_query_cache", "0"),
    ("aggregate_functions_null_for_empty", "0"),
    ("group_by_use_nulls", "0"),
    ("prefer_column_name_to_alias", "0"),
    // What a cheaper condition has decided is not computed.
    ("short_circuit_function_evaluation", "force_enable"),
    // One minute of receipts is found by its index also where the newest version of each is wanted, and exactly.
    ("use_skip_indexes_if_final", "1"),
    ("use_skip_indexes_if_final_exact_mode", "1"),
];

/// A table is made as its file says, and there when the statement has ended.
pub(crate) const DEFINE: &[(&str, &str)] = &[
    ("data_type_default_nullable", "0"),
    ("flatten_nested", "1"),
    ("session_timezone", "UTC"),
    ("alter_sync", "1"),
    // What a file asks to be made anew of old rows is made beside the work.
    ("mutations_sync", "0"),
    ("distributed_ddl_output_mode", "throw"),
    ("distributed_ddl_task_timeout", "290"),
];

/// Of a file's statement that reads and writes rows, as long as a migration may take.
pub(crate) const LONG: &[(&str, &str)] = &[("max_execution_time", "290")];

pub(crate) fn pin(client: Client, settings: &[(&str, &str)]) -> Client {
    settings.iter().fold(client, |client, (name, value)| client.with_setting(*name, *value))
}

pub(crate) fn pin_query(query: Query, settings: &[(&str, &str)]) -> Query {
    settings.iter().fold(query, |query, (name, value)| query.with_setting(*name, *value))
}
