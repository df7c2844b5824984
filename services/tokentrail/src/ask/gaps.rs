//! `tokentrail gaps`: what may be missing (times for which a source is not known to be complete) and what is missing (events
//! that must have happened, because state that was read contradicts the events). Two kinds, told apart.

use super::{GapsArgs, at, person, words};
use crate::gaps::GapReport;
use serde::Serialize;
use std::collections::BTreeMap;
use store::{
    Store,
    correlation::{AliasRecord, MissingEventRecord},
};

/// Both kinds.
#[derive(Serialize)]
pub struct Gaps {
    coverage: Vec<GapReport>,
    missing_events: Vec<MissingEventRecord>,
    names: BTreeMap<String, Vec<AliasRecord>>,
    right_names: BTreeMap<String, String>,
}

impl Gaps {
    /// Each missing event in a line.
    pub fn missing(&self) -> impl Iterator<Item = String> {
        self.missing_events.iter().map(|gap| crate::table::visible(&line(self, gap)).to_string())
    }
}

/// Gaps that meet the time that is asked for.
pub async fn find(store: &Store, tenant: &str, args: &GapsArgs) -> anyhow::Result<Gaps> {
    let (from, to) = (args.from.map_or(0, |from| from.0), at(args.to).saturating_add(1));
    let meets = |gap: &GapReport| gap.since < to && gap.until.is_none_or(|until| until >= from);
    let coverage = store.gaps(tenant, i64::MAX).await?.into_iter().map(GapReport::from).filter(meets).collect();
    let missing_events = store.missing_events(tenant, (from, to)).await?;
    let persons: Vec<String> = missing_events.iter().map(|gap| gap.person.clone()).collect();
    let names = store.names_of(tenant, &persons).await?.into_iter().map(|one| (one.person, one.names)).collect();
    let mut rights: Vec<String> = missing_events.iter().map(|gap| gap.right_id.clone()).collect();
    rights.extend(missing_events.iter().map(|gap| gap.holder.clone()));
    let right_names = store.right_names(tenant, &rights).await?;
    Ok(Gaps { coverage, missing_events, names, right_names })
}

/// For people.
pub fn render(gaps: &Gaps) -> String {
    let mut out = String::from("  Times for which a source is not known to be complete:\n");
    if gaps.coverage.is_empty() {
        out.push_str("    none\n");
    }
    for gap in &gaps.coverage {
        out.push_str(&format!("    {}\n", crate::table::visible(&gap.line())));
    }
    out.push_str(
        "\n  Events that must have happened and never arrived (state that was read contradicts the events):\n",
    );
    if gaps.missing_events.is_empty() {
        out.push_str("    none, as far as states were read\n");
    }
    for line in gaps.missing() {
        out.push_str(&format!("    {line}\n"));
    }
    out
}

/// Who, which right, what the missing event did, between when and when, and what most likely became of it.
fn line(gaps: &Gaps, gap: &MissingEventRecord) -> String {
    let named = |id: &String| gaps.right_names.get(id).cloned().unwrap_or_else(|| id.clone());
    let who = match gap.holder.as_str() {
        "" => gaps.names.get(&gap.person).map_or_else(|| gap.person.clone(), |names| person::names(names)),
        _ => named(&gap.holder),
    };
    // What is said of the holder itself needs no second name.
    let right = if gap.right_id == gap.holder { String::new() } else { named(&gap.right_id) };
    let causes: Vec<String> = gap.causes.iter().map(|cause| cause.replace('_', " ")).collect();
    format!(
        "{who}: {} {}, between {} and {}; likely: {}",
        format!("{} {right}", gap.right_kind.replace('_', " ")).trim_end(),
        words::missing(&gap.missing),
        crate::status::moment(gap.at),
        crate::status::moment(gap.before),
        causes.join(", ")
    )
}
