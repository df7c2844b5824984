//! CSV: RFC 4180, UTF-8, times as ISO 8601 UTC, a header row. A text that a spreadsheet would compute gets an apostrophe in front, also
//! behind a semicolon: where a spreadsheet takes that for the separator, a cell begins there.

use super::{Rows, text, visible};
use crate::report::Report;
use serde_json::Value;
use std::io::{self, Write};

/// Rows as CSV.
pub(super) struct Csv<'a> {
    out: Box<dyn Write + Send + 'a>,
    line: String,
}

impl<'a> Csv<'a> {
    pub(super) fn begin(report: &Report, out: Box<dyn Write + Send + 'a>) -> io::Result<Self> {
        let mut csv = Self { out, line: String::new() };
        csv.cells(report.columns.iter().map(|column| column.name.to_owned()))?;
        Ok(csv)
    }

    fn cells(&mut self, cells: impl Iterator<Item = String>) -> io::Result<()> {
        self.line.clear();
        for (n, cell) in cells.enumerate() {
            if n > 0 {
                self.line.push(',');
            }
            if cell.contains(['"', ',', '\n', '\r']) || cell.starts_with(' ') || cell.ends_with(' ') {
                self.line.push('"');
                self.line.push_str(&cell.replace('"', "\"\""));
                self.line.push('"');
            } else {
                self.line.push_str(&cell);
            }
        }
        self.line.push_str("\r\n");
        self.out.write_all(self.line.as_bytes())
    }
}

impl Rows for Csv<'_> {
    fn row(&mut self, row: &[Value]) -> io::Result<()> {
        let cell = |value: &Value| match value {
            Value::Number(number) => number.to_string(),
            other => guarded(visible(&text(other))),
        };
        self.cells(row.iter().map(cell))
    }

    fn end(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A formula begins with one of these, also in its full-width forms.
const FORMULA: [char; 12] = ['=', '+', '-', '@', '\t', '\r', '|', '%', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];

/// Blanks and quotation marks before a formula do not keep a spreadsheet from computing it.
fn computes(text: &str) -> bool {
    text.trim_start_matches(|c: char| c.is_whitespace() || c == '"').starts_with(FORMULA)
}

/// The text with an apostrophe before each part between semicolons that would be computed.
fn guarded(text: String) -> String {
    if !text.split(';').any(computes) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 4);
    for (n, part) in text.split(';').enumerate() {
        if n > 0 {
            out.push(';');
        }
        if computes(part) {
            out.push('\'');
        }
        out.push_str(part);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Report;

    #[test]
    fn nothing_computes_and_nothing_breaks_out_of_its_cell() {
        for hostile in ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(1)", " =1", "\u{ff1d}1", "%0A"] {
            assert!(guarded(hostile.to_owned()).starts_with('\''), "{hostile}");
        }
        for (hostile, harmless) in [
            ("x;=1", "x;'=1"),
            ("x; \u{a0}=1;y", "x;' \u{a0}=1;y"),
            ("=1;x;\"@SUM(1)\"", "'=1;x;'\"@SUM(1)\""),
            ("x;y=1; z", "x;y=1; z"),
        ] {
            assert_eq!(guarded(hostile.to_owned()), harmless);
        }
        let report = Report::named("R11").unwrap();
        let mut bytes = Vec::new();
        let mut csv = Csv::begin(report, Box::new(&mut bytes)).unwrap();
        csv.row(&[Value::from("a,\"b\"\r\nc"), Value::from(-3), Value::Null, serde_json::json!(["x", "=y"])]).unwrap();
        drop(csv);
        let text = String::from_utf8(bytes).unwrap();
        let line = text.split_once("\r\n").unwrap().1;
        assert_eq!(line, "\"a,\"\"b\"\"\\u000D\\u000Ac\",-3,,x;' =y\r\n");
    }
}
