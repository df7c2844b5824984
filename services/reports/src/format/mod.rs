//! How rows are written. Every format takes one row at a time and holds none; only a table keeps its first rows, for widths.

mod csv;
pub(crate) mod html;
mod json;
mod table;

use crate::report::Report;
use serde_json::Value;
use std::io::{self, Write};

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For a terminal: some columns, aligned.
    Table,
    /// RFC 4180, UTF-8; cells that a spreadsheet would compute are guarded.
    Csv,
    /// One JSON document.
    Json,
    /// One JSON object a line.
    Ndjson,
    /// A page to read, print and sign.
    Html,
    /// As ClickHouse writes it.
    Parquet,
}

impl Format {
    /// Ending of its files.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Table => "txt",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Html => "html",
            Self::Parquet => "parquet",
        }
    }
}

/// Takes rows.
pub(crate) trait Rows: Send {
    /// One row, in the report's columns.
    fn row(&mut self, row: &[Value]) -> io::Result<()>;
    /// The end.
    fn end(&mut self) -> io::Result<()>;
}

/// What writes rows in a format; none for one that ClickHouse writes.
pub(crate) fn writer<'a>(
    format: Format,
    report: &'static Report,
    out: Box<dyn Write + Send + 'a>,
) -> io::Result<Box<dyn Rows + 'a>> {
    Ok(match format {
        Format::Csv => Box::new(csv::Csv::begin(report, out)?),
        Format::Json => Box::new(json::Json::begin(report, out)?),
        Format::Html => Box::new(html::TableRows::begin(report, out)),
        Format::Table => Box::new(table::Table::begin(report, out)),
        Format::Ndjson | Format::Parquet => Box::new(json::Ndjson::begin(report, out)),
    })
}

/// A value as text: the same in every format that knows only text. Nothing known is empty; lists are joined by `; `.
pub fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join("; "),
        other => other.to_string(),
    }
}

/// UTC milliseconds as the store prints them.
pub(crate) fn time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |time| format!("{time:.3}"))
}

/// Control and bidirectional characters as escapes: a name from outside must not steer a terminal, a spreadsheet or a page.
pub(crate) fn visible(text: &str) -> String {
    let hostile = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    if !text.chars().any(hostile) {
        return text.to_owned();
    }
    text.chars().map(|c| if hostile(c) { format!("\\u{:04X}", u32::from(c)) } else { c.to_string() }).collect()
}
