//! HTML: one page without scripts or references. Its first sheet says what the rows prove; charts, columns and rows follow.

mod first;

use super::{Rows, text, visible};
use crate::{chart::Drawing, report::Report, sheet::Sheet, verdict::nothing_found};
use serde_json::Value;
use std::io::{self, Write};

/// Rows that a page holds; the count of all stands above them.
pub(crate) const PAGE_ROWS: u64 = 5_000;
/// Most lines of a list on the sheet; the rest is counted, and whole in the sheet for programs.
const LISTED: usize = 40;
const STYLE: &str = include_str!("page.css");

/// Text in a page.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in visible(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Rows of the page's table, written before the page around them is known.
pub(super) struct TableRows<'a> {
    report: &'static Report,
    out: Box<dyn Write + Send + 'a>,
    rows: u64,
}

impl<'a> TableRows<'a> {
    pub(super) fn begin(report: &'static Report, out: Box<dyn Write + Send + 'a>) -> Self {
        Self { report, out, rows: 0 }
    }
}

impl Rows for TableRows<'_> {
    fn row(&mut self, row: &[Value]) -> io::Result<()> {
        self.rows += 1;
        if self.rows > PAGE_ROWS {
            return Ok(());
        }
        let mut line = String::from("<tr class=\"main\">");
        let mut rest = Vec::new();
        for (value, column) in row.iter().zip(self.report.columns).filter(|one| shown(one.1.source)) {
            let cell = escape(&text(value));
            if self.report.brief.contains(&column.name) {
                let class = if value.is_number() { " class=\"n\"" } else { instant(value) };
                let cell = if cell.is_empty() { "<span class=\"none\">–</span>" } else { cell.as_str() };
                line.push_str(&format!("<td{class}>{cell}</td>"));
            } else if !cell.is_empty() {
                rest.push(format!("<span><b>{}</b> {cell}</span>", escape(&column.name.replace('_', " "))));
            }
        }
        line.push_str(&format!(
            "</tr>\n<tr class=\"more\"><td colspan=\"{}\">{}</td></tr>\n",
            self.report.brief.len(),
            rest.join(" ")
        ));
        self.out.write_all(line.as_bytes())
    }

    fn end(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A time is never broken.
fn instant(value: &Value) -> &'static str {
    let time = |text: &str| text.len() == 24 && text.ends_with('Z') && text.as_bytes()[10] == b'T';
    if value.as_str().is_some_and(time) { " class=\"t\"" } else { "" }
}

/// Columns that nothing fills are named once, not in every row.
fn shown(source: &str) -> bool {
    source != crate::report::NONE_ON_RECORD
}

/// The whole page around rows that are written already.
pub(crate) fn page(
    sheet: &Sheet,
    (drawing, rows): (&Drawing, &mut dyn io::Read),
    out: &mut dyn Write,
) -> io::Result<()> {
    let report = sheet.report;
    let title = format!("{} {}", report.id, report.name);
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{}</title><style>{STYLE}</style></head><body>\n\
         <nav aria-label=\"Parts\"><a href=\"#sheet\">Sheet</a> <a href=\"#charts\">Charts</a> <a href=\"#columns\">Columns</a> <a href=\"#rows\">Rows</a> <a href=\"#how\">Statement</a></nav>\n\
         <main>\n",
        escape(&title)
    )?;
    first::sheet(sheet, out)?;
    let charts = drawing.svg(escape);
    write!(out, "<section id=\"charts\" aria-labelledby=\"charts-h\"><h2 id=\"charts-h\">Charts</h2>")?;
    if charts.is_empty() {
        write!(out, "<p>Nothing to draw.</p>")?;
    }
    for chart in charts {
        out.write_all(chart.as_bytes())?;
    }
    writeln!(out, "</section>")?;
    columns(report, out)?;
    rows_section(sheet, rows, out)?;
    how(sheet, out)?;
    writeln!(out, "</main></body></html>")
}

fn columns(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    write!(
        out,
        "<section id=\"columns\"><h2>Columns</h2><div class=\"wide\"><table class=\"cols\"><thead><tr><th scope=\"col\">column</th><th scope=\"col\">what it says</th><th scope=\"col\">source</th></tr></thead><tbody>"
    )?;
    for one in report.columns {
        write!(
            out,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td></tr>",
            escape(one.name),
            escape(one.means),
            escape(one.source)
        )?;
    }
    writeln!(out, "</tbody></table></div></section>")
}

fn rows_section(sheet: &Sheet, rows: &mut dyn io::Read, out: &mut dyn Write) -> io::Result<()> {
    let report = sheet.report;
    write!(out, "<section id=\"rows\"><h2>Rows</h2>")?;
    if sheet.population == 0 {
        return writeln!(out, "<p class=\"nothing\">{}.</p></section>", capital(nothing_found(sheet.verdict.state)));
    }
    if sheet.rows > PAGE_ROWS {
        write!(
            out,
            "<p class=\"nothing\">This page shows the first {PAGE_ROWS} of {} rows. All of them are in the other formats (ndjson, csv, parquet).</p>",
            sheet.rows
        )?;
    }
    let none: Vec<&str> = report.columns.iter().filter(|one| !shown(one.source)).map(|one| one.name).collect();
    if !none.is_empty() {
        write!(out, "<p>None on record, and therefore not repeated in each row: {}.</p>", escape(&none.join(", ")))?;
    }
    write!(
        out,
        "<div class=\"wide\"><table class=\"rows\"><caption>{} rows, in order of {}; below each row its further columns, as far as they say anything</caption><thead><tr>",
        sheet.rows,
        escape(&report.key.join(", "))
    )?;
    for one in report.columns.iter().filter(|one| report.brief.contains(&one.name)) {
        write!(out, "<th scope=\"col\">{}</th>", escape(&one.name.replace('_', " ")))?;
    }
    writeln!(out, "</tr></thead><tbody>")?;
    io::copy(rows, &mut &mut *out)?;
    writeln!(out, "</tbody></table></div></section>")
}

fn how(sheet: &Sheet, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "<section id=\"how\"><h2>Statement</h2><p>ClickHouse SQL over the views of docs/data-model.md; parameters tenant, from and to (UTC milliseconds), sources, intervals.</p><pre tabindex=\"0\">{}</pre>\
         <h2>Statement of the control totals</h2><pre tabindex=\"0\">{}</pre></section>",
        escape_lines(sheet.report.sql),
        escape_lines(&sheet.report.all_totals())
    )
}

fn escape_lines(text: &str) -> String {
    text.lines().map(escape).collect::<Vec<_>>().join("\n")
}

fn pairs(out: &mut dyn Write, title: &str, pairs: &[(String, String)]) -> io::Result<()> {
    write!(out, "<h2>{}</h2><table class=\"pairs\"><tbody>", escape(title))?;
    for (name, value) in pairs {
        write!(out, "<tr><th scope=\"row\">{}</th><td>{}</td></tr>", escape(name), escape(value))?;
    }
    write!(out, "</tbody></table>")
}

fn list(out: &mut dyn Write, title: &str, items: &[String]) -> io::Result<()> {
    write!(out, "<h2>{}</h2>", escape(title))?;
    if items.is_empty() {
        return write!(out, "<p>None.</p>");
    }
    write!(out, "<ul>")?;
    for item in items.iter().take(LISTED) {
        write!(out, "<li>{}</li>", escape(item))?;
    }
    if items.len() > LISTED {
        write!(out, "<li>and {} more, all of them in the sheet for programs (.ipe.json)</li>", items.len() - LISTED)?;
    }
    write!(out, "</ul>")
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
