//! What `tokentrail report list` and `show` say: for programs, and for people.

use crate::table::{Align, Table};
use reports::{
    Report,
    report::{ALL, Span},
};
use serde::Serialize;

/// A report for programs.
#[derive(Serialize)]
pub struct Told {
    id: &'static str,
    name: &'static str,
    version: &'static str,
    question: &'static str,
    asked_for: &'static str,
    criteria: &'static [&'static str],
    columns: Vec<[&'static str; 3]>,
    row_order_key: &'static [&'static str],
    exclusions: &'static [&'static str],
    limits: &'static [&'static str],
    definition_sha256: String,
    sql: &'static str,
    totals_sql: String,
}

/// All reports.
pub fn list() -> Vec<Told> {
    ALL.iter().map(|report| told(report)).collect()
}

/// One report.
pub fn show(name: &str) -> anyhow::Result<Told> {
    Ok(told(Report::named(name)?))
}

fn told(report: &'static Report) -> Told {
    Told {
        id: report.id,
        name: report.name,
        version: report.version,
        question: report.question,
        asked_for: match report.span {
            Span::Period => "--from --to",
            Span::AsOf => "--as-of",
        },
        criteria: report.criteria,
        columns: report.columns.iter().map(|one| [one.name, one.means, one.source]).collect(),
        row_order_key: report.key,
        exclusions: report.exclusions,
        limits: report.limits,
        definition_sha256: report.definition_sha256(),
        sql: report.sql,
        totals_sql: report.all_totals(),
    }
}

/// The list for people.
pub fn render_list(told: &[Told]) -> String {
    let mut out = String::new();
    for one in told {
        out.push_str(&format!("  {} {:<22} {}\n", one.id, one.name, one.asked_for));
        lines(one.question, 92).iter().for_each(|line| out.push_str(&format!("      {line}\n")));
    }
    out.push_str("\n  tokentrail report show NAME says what each column means; tokentrail report run NAME runs it\n");
    out
}

/// Words in lines of at most `width` letters.
fn lines(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push_str(&format!(" {word}"))
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// One report for people.
pub fn render_show(one: &Told) -> String {
    let mut out = format!("  {} {} {}\n", one.id, one.name, one.version);
    lines(one.question, 92).iter().for_each(|line| out.push_str(&format!("  {line}\n")));
    out.push('\n');
    out.push_str(&format!("  asked for     {}\n", one.asked_for));
    out.push_str(&format!("  criteria      {}\n", one.criteria.join(", ")));
    out.push_str(&format!("  row order     {}\n", one.row_order_key.join(", ")));
    out.push_str(&format!("  definition    sha256 {}\n\n", one.definition_sha256));
    let mut table = Table::new(&[("column", Align::Left), ("what it says", Align::Left), ("source", Align::Left)]);
    for column in &one.columns {
        table.row(column.iter().map(|&text| text.to_owned()).collect());
    }
    out.push_str(&table.render());
    for (title, texts) in [("It leaves out", one.exclusions), ("It cannot see", one.limits)] {
        out.push_str(&format!("\n  {title}:\n"));
        texts.iter().for_each(|text| out.push_str(&format!("    - {text}\n")));
        if texts.is_empty() {
            out.push_str("    nothing on purpose\n");
        }
    }
    out.push_str(&format!("\n  Statement:\n\n{}\n", one.sql));
    out
}
