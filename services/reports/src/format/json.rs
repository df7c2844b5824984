//! JSON: one document, or one object a line. The columns' order is that of the report.

use super::Rows;
use crate::report::Report;
use serde_json::Value;
use std::io::{self, Write};

/// One object a line.
pub(crate) struct Ndjson<'a> {
    report: &'static Report,
    out: Box<dyn Write + Send + 'a>,
    line: Vec<u8>,
}

impl<'a> Ndjson<'a> {
    pub(crate) fn begin(report: &'static Report, out: Box<dyn Write + Send + 'a>) -> Self {
        Self { report, out, line: Vec::new() }
    }
}

/// Appends a row as an object.
fn object(line: &mut Vec<u8>, report: &Report, row: &[Value]) -> io::Result<()> {
    line.push(b'{');
    for (n, (column, value)) in report.columns.iter().zip(row).enumerate() {
        if n > 0 {
            line.push(b',');
        }
        serde_json::to_writer(&mut *line, column.name)?;
        line.push(b':');
        serde_json::to_writer(&mut *line, value)?;
    }
    line.push(b'}');
    Ok(())
}

impl Rows for Ndjson<'_> {
    fn row(&mut self, row: &[Value]) -> io::Result<()> {
        self.line.clear();
        object(&mut self.line, self.report, row)?;
        self.line.push(b'\n');
        self.out.write_all(&self.line)
    }

    fn end(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// One document: what the report is, its columns and its rows; nothing of the run, so that two runs give the same bytes.
pub(super) struct Json<'a> {
    rows: Ndjson<'a>,
    any: bool,
}

impl<'a> Json<'a> {
    pub(super) fn begin(report: &'static Report, mut out: Box<dyn Write + Send + 'a>) -> io::Result<Self> {
        let columns: Vec<Value> = report
            .columns
            .iter()
            .map(|one| serde_json::json!({"name": one.name, "means": one.means, "source": one.source}))
            .collect();
        let head = serde_json::json!({
            "report": report.id, "name": report.name, "version": report.version, "question": report.question, "columns": columns
        });
        let head = head.to_string();
        out.write_all(head[..head.len() - 1].as_bytes())?;
        out.write_all(b",\"rows\":[")?;
        Ok(Self { rows: Ndjson::begin(report, out), any: false })
    }
}

impl Rows for Json<'_> {
    fn row(&mut self, row: &[Value]) -> io::Result<()> {
        self.rows.line.clear();
        if self.any {
            self.rows.line.push(b',');
        }
        self.any = true;
        self.rows.line.push(b'\n');
        object(&mut self.rows.line, self.rows.report, row)?;
        self.rows.out.write_all(&self.rows.line)
    }

    fn end(&mut self) -> io::Result<()> {
        self.rows.out.write_all(b"\n]}\n")?;
        self.rows.out.flush()
    }
}
