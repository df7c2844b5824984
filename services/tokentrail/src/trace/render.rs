//! The trail for people.

use super::{Judged, Step, Trail};
use crate::{
    status::moment,
    table::{Align, Table},
};
use events::event::Event;

/// The part of a trail that leads to one event: the other system's last words before it, and those of its own, at most so many
/// lines together. Returns how many events between the two are left out.
pub fn around(mut trail: Trail, event: uuid::Uuid, lines: usize) -> (Trail, usize) {
    let steps = &trail.events;
    let Some(at) = steps.iter().rposition(|step| step.event.event_id == event) else { return (trail, 0) };
    let own = &steps[at].event.source_id;
    let other = steps[..at].iter().rposition(|step| step.event.source_id != *own);
    // From `end` back as far as half of the lines go.
    let begin = |end: usize, least: usize| {
        let fits = |start: &usize| runs(&steps[*start..=end]).len() <= lines / 2;
        (least..=end).rev().take_while(fits).last().unwrap_or(end)
    };
    let Some(other) = other else {
        trail.events = trail.events.drain(begin(at, 0)..=at).collect();
        return (trail, 0);
    };
    let (first, second) = (begin(other, 0), begin(at, other + 1));
    let mut index = 0;
    trail.events.retain(|_| {
        index += 1;
        (first..=other).contains(&(index - 1)) || (second..=at).contains(&(index - 1))
    });
    trail.more = false;
    (trail, second - other - 1)
}

/// The trail for people; at most `lines` rows, repeated neighbours in one.
pub fn render(trail: &Trail, lines: usize) -> String {
    use Align::Left;
    let mut out: String = trail.understood.iter().map(|line| format!("  {}\n", crate::table::visible(line))).collect();
    if trail.events.is_empty() {
        out.push_str("  nothing is known of it\n");
        return out;
    }
    out.push('\n');
    let mut table = Table::new(&[
        ("time (UTC)", Left),
        ("repeated", Left),
        ("source", Left),
        ("what", Left),
        ("outcome", Left),
        ("verdict, grade", Left),
        ("session", Left),
        ("dated by", Left),
        ("receipt", Left),
    ]);
    let runs = runs(&trail.events);
    let hidden = runs.len().saturating_sub(lines);
    for run in runs.iter().take(lines) {
        let event = &run.first.event;
        let repeats = || format!("×{} until {}", run.count, clock(run.last));
        table.row(vec![
            moment(event.time),
            if run.count > 1 { repeats() } else { String::new() },
            event.source_id.clone(),
            what(event),
            outcome(run.first),
            judged(run.first.judged.as_ref()),
            event.session_id.chars().take(8).collect(),
            event.time_basis.as_str().to_owned(),
            format!("{}/{}", event.receipt.stream.to_string().get(..8).unwrap_or_default(), event.receipt.seq),
        ]);
    }
    out.push_str(&table.render());
    if hidden > 0 || trail.more {
        out.push_str(&format!(
            "  ... {hidden} more lines{}\n",
            if trail.more { ", and more events than one trace lists" } else { "" }
        ));
    }
    out
}

/// Neighbours that say the same: one line with a count and the time of the last.
struct Run<'a> {
    first: &'a Step,
    count: usize,
    last: i64,
}

fn runs(steps: &[Step]) -> Vec<Run<'_>> {
    let mut runs: Vec<Run<'_>> = Vec::new();
    for step in steps {
        let same = |run: &&mut Run<'_>| {
            let (verdict, other) = (run.first.judged.as_ref(), step.judged.as_ref());
            what(&run.first.event) == what(&step.event)
                && outcome(run.first) == outcome(step)
                && verdict.map(|judged| (&judged.verdict, &judged.grade))
                    == other.map(|judged| (&judged.verdict, &judged.grade))
        };
        match runs.last_mut().filter(same) {
            Some(run) => (run.count, run.last) = (run.count + 1, step.event.time),
            None => runs.push(Run { first: step, count: 1, last: step.event.time }),
        }
    }
    runs
}

/// The time of day.
fn clock(ms: i64) -> String {
    moment(ms).split('T').nth(1).unwrap_or_default().to_owned()
}

fn outcome(step: &Step) -> String {
    let event = &step.event;
    let mut text = event.outcome.as_str().to_owned();
    if !event.error.is_empty() {
        text = format!("{text}: {}", event.error);
    }
    // Why a refresh token was refused: used before, or something else.
    if let Some(reason) = event.details.get("reason").filter(|_| event.kind == "token_refreshed") {
        text = format!("{text} ({reason})");
    }
    if !step.conflicts.is_empty() {
        text = format!("{text} CONFLICT in {}", step.conflicts.join(", "));
    }
    text
}

/// Verdict, seconds and grade; nothing where no permission was judged, and no group that the person had held was gone.
fn judged(judged: Option<&Judged>) -> String {
    let told = |judged: &&Judged| judged.verdict != "not_judged" || judged.delay_ms.is_some();
    let Some(judged) = judged.filter(told) else { return String::new() };
    let verdict = if judged.verdict == "not_judged" { "possibly stale" } else { &judged.verdict };
    let delay =
        judged.delay_ms.map(|ms| format!(" {}.{} s", ms / 1_000, ms.rem_euclid(1_000) / 100)).unwrap_or_default();
    format!("{}{delay}, {}", verdict.replace('_', " "), judged.grade)
}

/// What happened, in few words.
fn what(event: &Event) -> String {
    let mut parts = vec![event.kind.clone()];
    let object = [&event.permission, &event.right_name, &event.right_id, &event.resource, &event.client];
    parts.extend(object.into_iter().find(|text| !text.is_empty()).cloned());
    if event.kind == "user_updated"
        && let Some(enabled) = event.details.get("enabled")
    {
        parts.push(format!("enabled={enabled}"));
    }
    parts.join(" ")
}
