//! Rules and receivers in the status: what stands, what cannot be judged, who takes no messages.

use super::{Report, moment};

/// A line for each rule that is not OK, and one for each receiver.
pub fn render(report: &Report) -> String {
    let mut out = String::new();
    if !report.rules.is_empty() {
        let ok = report.rules.iter().filter(|rule| rule.state == "OK").count();
        out.push_str(&format!("  Rules: {ok} of {} OK\n", report.rules.len()));
    }
    for rule in report.rules.iter().filter(|rule| rule.state != "OK") {
        let (state, open) = (&rule.state, rule.open);
        let what = if state == "EXCEPTION" { format!("{open} findings stand") } else { rule.detail.clone() };
        out.push_str(&format!("    {} {state}: {what}\n", rule.rule));
    }
    for (name, state) in &report.receivers {
        let last = state
            .last_delivered
            .map_or_else(|| "none delivered since the start".into(), |at| format!("last delivered {}", moment(at)));
        let trouble = match state.failing_since {
            Some(since) => format!("; TAKES NONE since {}: {}", moment(since), state.trouble),
            None => String::new(),
        };
        let left_out = match state.left_out {
            0 => String::new(),
            more => format!("; LEFT OUT: {more} findings: {}", state.refusal),
        };
        out.push_str(&format!(
            "  Alerts to {name} ({}): {} waiting, {last}{trouble}{left_out}\n",
            state.kind, state.pending
        ));
    }
    out
}
