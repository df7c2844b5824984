//! The first sheet of a page: the verdict and why, what was asked, who ran it, what proves that it is whole, and an empty sign-off.

use super::{capital, escape, list, pairs};
use crate::{
    report::Report,
    sheet::Sheet,
    verdict::{State, moment},
};
use std::io::{self, Write};

/// The first sheet.
pub(super) fn sheet(sheet: &Sheet, out: &mut dyn Write) -> io::Result<()> {
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
        list(out, "Why the verdict is not COMPLETE", &sheet.verdict.reasons)?;
    }
    let mut facts: Vec<(String, String)> = sheet.parameters.clone();
    let population = if sheet.rows == sheet.population {
        sheet.rows.to_string()
    } else {
        format!("{} of {}", sheet.rows, sheet.population)
    };
    facts.push(("rows".into(), population));
    let complete = sheet.facts.watermark().map_or("not known: completeness is unproven".into(), moment);
    facts.push(("all inputs read up to".into(), complete));
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
        ("signature".to_owned(), "none: signatures and checkpoints are not made yet".to_owned()),
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
    let mut missing = String::from("Events that must have happened and never arrived");
    if facts.missing_count > facts.missing_events.len() as u64 {
        missing.push_str(&format!(" ({}, of which {} are told)", facts.missing_count, facts.missing_events.len()));
    }
    list(out, &missing, &facts.missing_events)?;
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
        .filter(|one| !one.0.starts_with("state"))
        .map(|(name, count)| (name.clone(), count.to_string()))
        .collect();
    totals.push(("not understood, may be of the period".into(), facts.dead.to_string()));
    totals.push(("entries of the log in two versions".into(), facts.contested.to_string()));
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
                "rows are counts of many receipts: no row has an original message of its own to be recomputed from"
                    .to_owned(),
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
        (
            "rows recomputed from the original messages",
            format!("{}, a random sample with seed {}", checked.tried, checked.seed),
        ),
        ("result", result),
        ("columns", checked.columns.join(", ")),
        ("version of the mapping", checked.mapping_version.to_string()),
        ("differences", if checked.differences.is_empty() { "none".into() } else { checked.differences.join("; ") }),
    ];
    pairs(out, "Accuracy", &said.map(|(name, value)| (name.to_owned(), value)))
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| capital(text)).collect()
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
