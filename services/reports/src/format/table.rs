//! A table for a terminal: the report's brief columns; widths are those of the first rows.

use super::{Rows, text, visible};
use crate::report::Report;
use serde_json::Value;
use std::io::{self, Write};

/// Rows that decide the widths.
const MEASURED: usize = 500;
/// Widest column; what is longer is cut, visibly.
const WIDEST: usize = 44;

/// Rows as aligned text.
pub(super) struct Table<'a> {
    out: Box<dyn Write + Send + 'a>,
    /// Name and place of each column.
    columns: Vec<(&'static str, usize)>,
    waiting: Vec<Vec<(String, bool)>>,
    widths: Vec<usize>,
}

impl<'a> Table<'a> {
    pub(super) fn begin(report: &'static Report, out: Box<dyn Write + Send + 'a>) -> Self {
        let columns = report.brief.iter().filter_map(|name| Some((*name, report.place(name)?))).collect();
        Self { out, columns, waiting: Vec::new(), widths: Vec::new() }
    }

    fn measured(&mut self) -> io::Result<()> {
        let width = |n: usize, name: &str| {
            let cells = self.waiting.iter().map(|row| row[n].0.chars().count());
            cells.chain([name.chars().count()]).max().unwrap_or_default()
        };
        self.widths = self.columns.iter().enumerate().map(|(n, one)| width(n, one.0)).collect();
        let head: Vec<(String, bool)> = self.columns.iter().map(|one| (one.0.replace('_', " "), false)).collect();
        self.line(&head)?;
        for row in std::mem::take(&mut self.waiting) {
            self.line(&row)?;
        }
        Ok(())
    }

    fn line(&mut self, cells: &[(String, bool)]) -> io::Result<()> {
        let mut line = String::from(" ");
        for ((cell, number), width) in cells.iter().zip(&self.widths) {
            line.push_str(&if *number { format!(" {cell:>width$} ") } else { format!(" {cell:<width$} ") });
        }
        writeln!(self.out, "{}", line.trim_end())
    }
}

impl Rows for Table<'_> {
    fn row(&mut self, row: &[Value]) -> io::Result<()> {
        let cell = |value: &Value| {
            let whole = visible(&text(value));
            let cut = whole.chars().count() > WIDEST;
            let shown = if cut { whole.chars().take(WIDEST - 1).chain(['…']).collect() } else { whole };
            (shown, value.is_number())
        };
        let cells: Vec<_> = self.columns.iter().map(|one| row.get(one.1).map(cell).unwrap_or_default()).collect();
        if !self.widths.is_empty() {
            return self.line(&cells);
        }
        self.waiting.push(cells);
        if self.waiting.len() == MEASURED { self.measured() } else { Ok(()) }
    }

    fn end(&mut self) -> io::Result<()> {
        if self.widths.is_empty() && !self.waiting.is_empty() {
            self.measured()?;
        }
        self.out.flush()
    }
}
