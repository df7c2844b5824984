//! HTML: one page without scripts or references. Its first sheet says what the rows prove; charts, columns and rows follow.

use super::{Rows, text, visible};
use crate::{
    chart::Drawing,
    report::Report,
    sheet::Sheet,
    verdict::{State, moment, nothing_found},
};
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
    first_sheet(sheet, out)?;
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

fn first_sheet(sheet: &Sheet, out: &mut dyn Write) -> io::Result<()> {
    let report = sheet.report;
    let state = sheet.verdict.state;
    let class = match state {
        State::Complete => "good",
        State::CompleteWithListedGaps => "gaps",
        State::NotProven => "bad",
    };
    write!(
        out,
        "<section id=\"sheet\"><p class=\"id\">Tokentrail report {} · version {}</p><h1>{}</h1><p class=\"question\">{}</p>\
         <div class=\"verdict {class}\"><strong>{}</strong><span>{}</span></div>",
        report.id,
        report.version,
        escape(&name(report)),
        escape(report.question),
        state.as_str().replace('_', " "),
        meaning(state)
    )?;
    if !sheet.verdict.reasons.is_empty() {
        list(out, "Why no better", &sheet.verdict.reasons)?;
    }
    let mut facts: Vec<(String, String)> = sheet.parameters.clone();
    let population = if sheet.rows == sheet.population {
        sheet.rows.to_string()
    } else {
        format!("{} of {}", sheet.rows, sheet.population)
    };
    facts.push(("rows".into(), population));
    facts.push(("watermark".into(), sheet.facts.watermark().map_or("none: completeness is unproven".into(), moment)));
    facts.push(("criteria that it supports".into(), report.criteria.join(", ")));
    pairs(out, "What and when", &facts)?;
    let who = &sheet.who;
    let run = [
        ("run", who.run_id.clone()),
        ("by", who.by.clone()),
        ("purpose", if who.case.is_empty() { who.purpose.clone() } else { format!("{}, {}", who.purpose, who.case) }),
        ("began, ended", format!("{}, {}", moment(who.started), moment(sheet.ended))),
        ("tool", format!("tokentrail {}, commit {}, binary {}", who.version, who.commit, brief(&who.binary_sha256))),
        ("store", format!("ClickHouse {}", sheet.clickhouse)),
    ];
    pairs(out, "Who ran it", &run.map(|(name, value)| (name.to_owned(), value)))?;
    completeness(sheet, out)?;
    accuracy(sheet, out)?;
    let mut integrity = vec![
        ("SHA-256 of the rows as NDJSON".to_owned(), sheet.rows_sha256.clone()),
        ("SHA-256 of the definition".to_owned(), report.definition_sha256()),
        ("trust level".to_owned(), "L0: hashes; signatures and checkpoints are not made yet".to_owned()),
    ];
    integrity.push(("journal".to_owned(), sheet.journal_told()));
    integrity.push(("to check".to_owned(), "run the report again with the same parameters as ndjson: sha256sum gives the first hash while nothing of the period changed; the sheet beside this page (its name and .ipe.json) has the hash of this file".to_owned()));
    pairs(out, "Integrity", &integrity)?;
    list(out, "What it leaves out", &owned(report.exclusions))?;
    list(out, "What it cannot see", &owned(report.limits))?;
    writeln!(
        out,
        "<h2>Sign-off</h2><table class=\"sign\"><thead><tr><th scope=\"col\"></th><th scope=\"col\">name</th><th scope=\"col\">date</th><th scope=\"col\">conclusion</th></tr></thead>\
         <tbody><tr><th scope=\"row\">prepared by</th><td></td><td></td><td></td></tr><tr><th scope=\"row\">reviewed by</th><td></td><td></td><td></td></tr></tbody></table></section>"
    )
}

fn completeness(sheet: &Sheet, out: &mut dyn Write) -> io::Result<()> {
    let facts = &sheet.facts;
    write!(
        out,
        "<h2>Completeness</h2><div class=\"wide\"><table><caption>By source: what proves it, and counts of the period</caption><thead><tr>\
         <th scope=\"col\">source</th><th scope=\"col\">proven by</th><th scope=\"col\" class=\"n\">heartbeats sent, back</th><th scope=\"col\" class=\"n\">at the source</th>\
         <th scope=\"col\" class=\"n\">stored</th><th scope=\"col\" class=\"n\">further copies</th></tr></thead><tbody>"
    )?;
    for source in &facts.sources {
        let by = if source.proven_by.is_empty() {
            format!("nothing: {}", source.why())
        } else {
            source.proven_by.join("; ")
        };
        write!(
            out,
            "<tr><th scope=\"row\">{} ({})</th><td>{}</td><td class=\"n\">{}, {}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            escape(&source.told()),
            escape(if source.kind.is_empty() { "kind not known" } else { &source.kind }),
            escape(&by),
            source.heartbeats_sent,
            source.heartbeats_received,
            source.at_source.map_or_else(|| "not pulled".to_owned(), |n| n.to_string()),
            source.stored,
            source.duplicate
        )?;
    }
    write!(out, "</tbody></table></div>")?;
    let gaps: Vec<String> = facts
        .gaps
        .iter()
        .map(|gap| {
            let end = gap.until.map_or_else(|| "now, still open".to_owned(), moment);
            let repaired =
                gap.repaired_by.as_ref().map_or_else(|| "not repaired".to_owned(), |by| format!("repaired by {by}"));
            let own = gap.source_id == store::OWN_RECORDS;
            let whose = if own { "records of Tokentrail itself (acts by hand, snapshots)" } else { &gap.source_id };
            let of = [whose, gap.scope.as_str(), gap.input.as_str()];
            let of: Vec<&str> = of.into_iter().filter(|one| !one.is_empty()).collect();
            let missing = gap.missing.map(|n| format!(", {n} missing")).unwrap_or_default();
            format!(
                "{}: {} from {} to {end}{missing}; {repaired}",
                of.join(" "),
                gap.cause.replace('_', " "),
                moment(gap.since)
            )
        })
        .collect();
    list(out, "Gaps that touch the period", &gaps)?;
    list(out, "Events that must have happened and never arrived", &facts.missing_events)?;
    let snapshots: Vec<String> = facts
        .snapshots
        .iter()
        .map(|one| {
            let whole = if one.complete { "complete" } else { "not complete" };
            format!("{} {} began {}: {whole}, {} entities", one.source_id, one.snapshot, one.began, one.entities)
        })
        .collect();
    list(out, "Snapshots up to the end of the period, latest first", &snapshots)?;
    let mut totals: Vec<(String, String)> = sheet
        .totals
        .iter()
        .filter(|one| one.0 != "state")
        .map(|(name, count)| (name.clone(), count.to_string()))
        .collect();
    totals.push(("not understood, may be of the period".into(), facts.dead.to_string()));
    totals.push(("positions of the log written twice".into(), facts.contested.to_string()));
    if let Some(behind) = facts.uncorrelated {
        totals.push(("stored and not correlated yet".into(), behind.to_string()));
    }
    pairs(out, "Control totals", &totals)
}

fn accuracy(sheet: &Sheet, out: &mut dyn Write) -> io::Result<()> {
    let Some(checked) = &sheet.facts.accuracy else {
        return pairs(
            out,
            "Accuracy",
            &[(
                "".to_owned(),
                "rows are counts of many receipts: no row has a receipt of its own to be derived from".to_owned(),
            )],
        );
    };
    if let Some(why) = &checked.not_done {
        return pairs(out, "Accuracy", &[("not done".to_owned(), why.clone())]);
    }
    let result = format!(
        "{} agree, {} differ, {} bodies not as committed, {} bodies no longer kept, {} rows without an event of their own",
        checked.agree, checked.mismatch, checked.tampered, checked.no_body, checked.without_event
    );
    let said = [
        ("rows derived anew from raw receipts", format!("{}, seed {}", checked.tried, checked.seed)),
        ("result", result),
        ("columns", checked.columns.join(", ")),
        ("version of the mapping", checked.mapping_version.to_string()),
        ("differences", if checked.differences.is_empty() { "none".into() } else { checked.differences.join("; ") }),
    ];
    pairs(out, "Accuracy", &said.map(|(name, value)| (name.to_owned(), value)))
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
        escape_lines(sheet.report.totals)
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

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| capital(text)).collect()
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

fn name(report: &Report) -> String {
    capital(&report.name.replace('-', " "))
}

fn brief(hash: &str) -> &str {
    hash.get(..16).unwrap_or(hash)
}

fn meaning(state: State) -> &'static str {
    match state {
        State::Complete => {
            "Everything that the sources tell of the period is in it, and nothing is known to be missing."
        }
        State::CompleteWithListedGaps => "What is missing is listed here; the rest is proven to be whole.",
        State::NotProven => {
            "It is not shown that everything of the period arrived: what is not in it may still have happened."
        }
    }
}
