//! The status for people.

use super::{NotSaved, PathReport, Report, alerts, moment};
use crate::{
    other_lines,
    snapshotting::State,
    table::{Align, Table, visible},
};

/// Most types that are named in a line.
const LISTED_TYPES: usize = 12;

/// The table of inputs.
pub fn render_inputs(report: &Report) -> String {
    use Align::{Left, Right};
    let mut table = Table::new(&[
        ("source", Left),
        ("input", Left),
        ("received", Right),
        ("stored", Right),
        ("duplicate", Right),
        ("ignored", Right),
        ("dead", Right),
        ("pending", Right),
        ("complete up to", Left),
        ("why not stored", Left),
    ]);
    for input in &report.inputs {
        let source = if input.source.is_empty() { "(tokentrail)" } else { &input.source };
        let reasons: Vec<String> = input.reasons.iter().map(|(reason, n)| format!("{reason} {n}")).collect();
        table.row(vec![
            source.to_owned(),
            input.input.clone(),
            input.received.to_string(),
            input.stored.to_string(),
            input.duplicate.to_string(),
            input.ignored.to_string(),
            input.dead.to_string(),
            input.pending.to_string(),
            input.watermark.map_or_else(|| "unproven".into(), moment),
            reasons.join(", "),
        ]);
    }
    let mut out = table.render();
    for input in report.inputs.iter().filter(|input| input.possible_duplicate > 0) {
        out.push_str(&format!(
            "  {}, {}: {} of those stored may repeat others: no id, no key and no time of theirs could tell\n",
            input.source, input.input, input.possible_duplicate
        ));
    }
    out
}

/// The whole status for people.
pub fn render(report: &Report) -> String {
    let mut out = format!("Tokentrail {} · tenant {}\n\n", report.version, report.tenant);
    if let Some(why) = &report.without_store {
        out.push_str(&format!(
            "  ClickHouse cannot be asked: {}\n  Intake goes on. Below is what waits for it; fates, gaps and rules are told when it answers.\n\n",
            visible(why)
        ));
    }
    if report.stores() {
        out.push_str(&render_inputs(report));
    } else if report.taken.is_empty() {
        out.push_str("  nothing was delivered since the start\n");
    }
    report.taken.iter().for_each(|taken| out.push_str(&taken.render()));
    out.push('\n');
    if let Some(journal) = &report.journal {
        out.push_str(&journal.render());
    }
    if let Some(kafka) = &report.kafka {
        out.push_str(&kafka.render());
    }
    report.topics.iter().for_each(|topic| out.push_str(&topic.render()));
    report.pulls.iter().for_each(|pull| out.push_str(&pull.render()));
    for path in &report.paths {
        out.push_str(&format!(
            "  {}: {} events pushed and pulled, {} lost on their way here and repaired by pull, {} pushed only\n",
            path.source, path.both, path.lost_by_webhook, path.not_saved
        ));
        out.push_str(&types_not_saved(path));
    }
    for (source, state) in &report.snapshots {
        out.push_str(&format!("  {source}: {}\n", snapshots(state)));
    }
    out.push_str(&other_lines::render(&report.other_lines));
    for gap in &report.gaps {
        out.push_str(&format!("  GAP  {}\n", gap.line()));
    }
    report.faults.iter().for_each(|fault| out.push_str(&fault.render()));
    match &report.correlation {
        Some(correlation) => out.push_str(&correlation.render()),
        None if report.store_up.is_some() && report.without_store.is_none() => {
            out.push_str("  Correlation: does not run (off by `correlation.enabled`, or `kafka.events` is empty)\n")
        }
        None => {}
    }
    out.push_str(&alerts::render(report));
    if let Some(up) = report.store_up.filter(|_| report.without_store.is_none()) {
        let store = if up { "acknowledges" } else { "has not acknowledged the last block" };
        out.push_str(&format!("  ClickHouse: {store}\n"));
    }
    out
}

/// Which types were pushed and not saved, where there are any.
fn types_not_saved(path: &PathReport) -> String {
    let one =
        |one: &NotSaved| format!("{} in {} ({}, last {})", one.native_type, one.realm, one.events, moment(one.last));
    let named: Vec<_> = path.not_saved_types.iter().take(LISTED_TYPES).map(one).collect();
    let more = path.not_saved_types.len().saturating_sub(LISTED_TYPES);
    match (path.not_saved, named.is_empty()) {
        (0, _) => String::new(),
        (_, true) => "    types not saved in Keycloak: none of the last day\n".to_owned(),
        (_, false) => {
            let rest = if more > 0 { format!(" and {more} more types") } else { String::new() };
            format!("    types not saved in Keycloak: {}{rest}\n", visible(&named.join(", ")))
        }
    }
}

/// The snapshots of one source in one line.
fn snapshots(state: &State) -> String {
    let mut text = match &state.last {
        None => "no snapshot yet".to_owned(),
        Some(last) => {
            let whole =
                if last.complete { "complete".into() } else { format!("{} areas not read", last.lacking.len()) };
            let (ended, seconds) = (moment(last.ended), (last.ended - last.began) / 1000);
            format!("last snapshot ended {ended}, {whole}, {} entities, took {seconds} s", last.entities)
        }
    };
    if let Some(since) = state.running {
        text.push_str(&format!("; one is running since {}", moment(since)));
    }
    if let Some(trouble) = &state.trouble {
        text.push_str(&format!("; the last try did not end: {trouble}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::InputReport;

    #[test]
    fn what_may_be_a_repeat_is_told() {
        let input = |possible_duplicate| InputReport {
            source: "portal".into(),
            input: "lines".into(),
            stored: 9,
            possible_duplicate,
            ..InputReport::default()
        };
        let told = |possible| render_inputs(&Report { inputs: vec![input(possible)], ..Report::default() });
        assert!(told(3).contains("portal, lines: 3 of those stored may repeat others"), "{}", told(3));
        assert!(!told(0).contains("repeat"));
    }

    #[test]
    fn types_that_were_pushed_only_are_named() {
        let types = |n: u64| {
            (0..n).map(|n| NotSaved { realm: "acme".into(), native_type: format!("T{n}"), events: n, last: 0 })
        };
        let told = |not_saved, n| {
            types_not_saved(&PathReport {
                source: "kc".into(),
                both: 0,
                lost_by_webhook: 0,
                not_saved,
                not_saved_types: types(n).collect(),
            })
        };
        assert_eq!(told(0, 0), "");
        assert_eq!(told(4, 0), "    types not saved in Keycloak: none of the last day\n");
        let two = "    types not saved in Keycloak: T0 in acme (0, last 1970-01-01T00:00:00.000Z), T1 in acme (1, last 1970-01-01T00:00:00.000Z)\n";
        assert_eq!(told(4, 2), two);
        assert!(told(40, 15).ends_with(" and 3 more types\n"));
    }
}
