//! D04 BASELINE_DRIFT: who is in a group differs from the baseline file: too many, too few, or longer than an exception allows.

use super::{Judged, Need, Reach, Rule};
use crate::{
    Settings,
    baseline::Listed,
    facts::{BaselineGroup, Facts, Member},
    finding::{Candidate, Confidence, Severity, values},
};
use serde_json::{Value, json};

pub(super) const RULE: Rule = Rule {
    id: "D04",
    name: "BASELINE_DRIFT",
    version: 1,
    asks: "Is somebody in a group who is not in the baseline, or not in it who should be?",
    severity: "medium; high for a member too many of a privileged group",
    guards: &[
        "what differs for less than the file's grace_minutes (60) is a change on its way, also after the file changed",
        "groups that the file does not name are not judged",
        "nothing is said of a group that no event and no read has named",
    ],
    not_evaluable: &["members through groups below, roles and clients: the baseline lists direct members of groups"],
    controls: &["CC6.1", "CC6.3", "A.5.18", "AC-2", "AC-6(7)"],
    check: "`tokentrail baseline diff` names them. Mend what is held, or have the change of the file reviewed.",
    need: Need::Baseline,
    reach: Reach::Now,
    judge,
};

fn judge(facts: &Facts, settings: &Settings) -> Judged {
    let Some(baseline) = &facts.baseline else { return Judged::default() };
    let mut found = Vec::new();
    let mut unknown: u64 = 0;
    for group in &baseline.groups {
        if group.id.is_empty() {
            unknown += 1;
            continue;
        }
        let ripe = |since: i64| facts.ripe - since.max(group.changed) >= group.grace;
        let high = group.privileged || settings.privileged.contains(&group.id);
        let too_many = if high { Severity::High } else { Severity::Medium };
        for member in &group.held {
            let since = member.since.unwrap_or(group.known_since);
            match member.listed {
                Listed::No if ripe(since) => {
                    found.push(finding((group, "extra"), member, (since, too_many)));
                }
                Listed::Until(end) if end <= facts.ripe && ripe(end.max(since)) => {
                    found.push(finding((group, "expired exception"), member, (end.max(since), too_many)));
                }
                _ => {}
            }
        }
        for member in &group.lacking {
            let since = member.since.unwrap_or(group.known_since);
            if ripe(since) {
                found.push(finding((group, "missing"), member, (since, Severity::Medium)));
            }
        }
        let held = group.held.len();
        if let Some(most) = group.most.filter(|most| held > *most as usize)
            && let Some(since) = group.held.iter().map(|member| member.since.unwrap_or(group.known_since)).max()
            && ripe(since)
        {
            let nobody = Member::default();
            let mut one = finding((group, "more than max_members"), &nobody, (since, too_many));
            one.values.insert("members".into(), json!(held));
            one.values.insert("max_members".into(), json!(most));
            found.push(one);
        }
    }
    let groups = baseline.groups.len();
    Judged { found, values: values([("groups", json!(groups)), ("groups_never_seen", json!(unknown))]) }
}

fn finding((group, what): (&BaselineGroup, &str), member: &Member, (since, severity): (i64, Severity)) -> Candidate {
    // Somebody who was never seen has no key: told by the place in the file.
    let who = if member.person.is_empty() { format!("entry {}", member.entry) } else { member.person.clone() };
    Candidate {
        rule: RULE.id,
        dedup: format!("{}:{}:{what}:{who}", group.source, group.id),
        person: member.person.clone(),
        severity,
        confidence: if member.inferred { Confidence::Inferred } else { Confidence::Proven },
        first: since,
        last: since,
        stands: true,
        values: values([
            ("what", json!(what)),
            ("source", json!(group.source)),
            ("realm", json!(group.realm)),
            ("group", json!(group.path)),
            ("right", json!(group.id)),
            ("privileged", json!(group.privileged)),
            ("entry", if member.entry > 0 { json!(member.entry) } else { Value::Null }),
            ("baseline_sha256", json!(group.file)),
        ]),
        evidence: member.granted_in.into_iter().collect(),
    }
}
