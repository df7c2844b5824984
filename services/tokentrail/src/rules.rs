//! `tokentrail rules list|explain|test`: what the drift rules ask, how they stand, and what they would have found.

use crate::{
    Format,
    app::now_ms,
    ask::When,
    config::Config,
    running,
    status::moment,
    table::{Align, Table},
};
use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use drift::{Candidate, RULES, Rule, rules::NOT_BUILT};
use serde::Serialize;
use serde_json::{Map, Value};
use store::findings::RuleState;

/// Milliseconds of a week.
const WEEK: f64 = 604_800_000.0;

/// `tokentrail rules`.
#[derive(Subcommand)]
pub enum RulesCommand {
    /// Every rule with its state; what cannot be evaluated says why.
    List {
        /// How it is printed.
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// What a rule asks, how bad, what it guards against, what it cannot judge, and what to do.
    Explain {
        /// Id or name of the rule, such as D02.
        rule: String,
        /// How it is printed.
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// What a rule would have found in a past period; writes nothing and tells nobody.
    Test(TestArgs),
}

/// `tokentrail rules test`.
#[derive(Args)]
pub struct TestArgs {
    /// Id or name of the rule; absent: every rule.
    pub rule: Option<String>,
    /// From this time on; default: 7 days ago.
    #[arg(long, value_name = "TIME", value_parser = crate::ask::when::parse)]
    pub from: Option<When>,
    /// Before this time; default: now.
    #[arg(long, value_name = "TIME", value_parser = crate::ask::when::parse)]
    pub to: Option<When>,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// A rule in the list.
#[derive(Serialize)]
pub struct Listed {
    rule: String,
    name: String,
    state: String,
    open: u32,
    since: Option<i64>,
    detail: String,
}

/// Rules as they stand.
pub async fn list(config: &Config) -> anyhow::Result<Vec<Listed>> {
    let states = running::store(config)?.rule_states(&config.tenant).await?;
    let known = |id: &str| states.iter().find(|state| state.rule == id);
    let listed = |rule: &Rule, state: Option<&RuleState>| Listed {
        rule: rule.id.into(),
        name: rule.name.into(),
        state: state.map_or_else(|| "NOT EVALUABLE".into(), |state| state.state.clone()),
        open: state.map_or(0, |state| state.open),
        since: state.map(|state| state.since),
        detail: state.map_or_else(|| "not judged yet".into(), |state| state.detail.clone()),
    };
    let mut out: Vec<Listed> = RULES.iter().map(|rule| listed(rule, known(rule.id))).collect();
    out.extend(NOT_BUILT.iter().map(|(rule, name, why)| Listed {
        rule: (*rule).into(),
        name: (*name).into(),
        state: "NOT EVALUABLE".into(),
        open: 0,
        since: None,
        detail: (*why).into(),
    }));
    out.sort_by(|one, other| one.rule.cmp(&other.rule));
    Ok(out)
}

/// For people.
pub fn render_list(rules: &[Listed]) -> String {
    let mut table = Table::new(&[
        ("rule", Align::Left),
        ("name", Align::Left),
        ("state", Align::Left),
        ("open", Align::Right),
        ("detail", Align::Left),
    ]);
    for rule in rules {
        table.row(vec![
            rule.rule.clone(),
            rule.name.clone(),
            rule.state.clone(),
            rule.open.to_string(),
            rule.detail.clone(),
        ]);
    }
    table.render()
}

/// A rule in words.
#[derive(Serialize)]
pub struct Explained {
    rule: &'static str,
    name: &'static str,
    version: u32,
    asks: &'static str,
    severity: &'static str,
    guards: &'static [&'static str],
    not_evaluable: &'static [&'static str],
    controls: &'static [&'static str],
    check: &'static str,
    enabled: bool,
}

/// What a rule is about.
pub fn explain(config: &Config, id: &str) -> anyhow::Result<Explained> {
    if let Some((rule, name, why)) =
        NOT_BUILT.iter().find(|(rule, name, _)| rule.eq_ignore_ascii_case(id) || name.eq_ignore_ascii_case(id))
    {
        bail!("{rule} {name} is NOT EVALUABLE: {why}");
    }
    let rule = rule(id)?;
    let enabled = !config.rules().disabled.contains(rule.id);
    let &Rule { id, name, version, asks, severity, guards, not_evaluable, controls, check, .. } = rule;
    Ok(Explained { rule: id, name, version, asks, severity, guards, not_evaluable, controls, check, enabled })
}

fn rule(id: &str) -> anyhow::Result<&'static Rule> {
    let all = || RULES.iter().map(|rule| rule.id).collect::<Vec<_>>().join(", ");
    Rule::of(id).with_context(|| format!("there is no rule {id}; there are {}", all()))
}

/// For people.
pub fn render_explained(rule: &Explained) -> String {
    let mut out = format!("  {} {} (version {})\n\n  {}\n", rule.rule, rule.name, rule.version, rule.asks);
    let mut part = |title: &str, lines: &[&str]| {
        if !lines.is_empty() {
            out.push_str(&format!("\n  {title}\n"));
            lines.iter().for_each(|line| out.push_str(&format!("    {line}\n")));
        }
    };
    part("How bad", &[rule.severity]);
    part("Before it speaks", rule.guards);
    part("NOT EVALUABLE here", rule.not_evaluable);
    part("What to do", &[rule.check]);
    part("Supports", &[&rule.controls.join(", ")]);
    if !rule.enabled {
        out.push_str("\n  DISABLED in config (alerts.rules.disabled)\n");
    }
    out
}

/// What a rule would have found.
#[derive(Serialize)]
pub struct RuleTested {
    rule: &'static str,
    name: &'static str,
    not_evaluable: Option<&'static str>,
    /// What of it was not judged in this period.
    not_judged: Vec<String>,
    found: Vec<Candidate>,
    values: Map<String, Value>,
    per_1000_users_and_week: Option<f64>,
}

/// What rules would have found in a period.
#[derive(Serialize)]
pub struct Tested {
    from: i64,
    to: i64,
    active_persons: u64,
    rules: Vec<RuleTested>,
}

/// Judges a past period without writing.
pub async fn test(config: &Config, args: &TestArgs) -> anyhow::Result<Tested> {
    let now = now_ms();
    let to = args.to.map_or(now, |to| to.0);
    let from = args.from.map_or(to - WEEK as i64, |from| from.0);
    if from >= to {
        bail!("--from must be before --to");
    }
    let chosen: Vec<&Rule> = match &args.rule {
        Some(id) => vec![rule(id)?],
        None => RULES.iter().collect(),
    };
    let mut reader = config.reader(running::store(config)?);
    // What is switched off can be tried all the same.
    reader.settings.disabled.clear();
    let facts = reader.period((from, to), now).await?;
    let active = reader.store.active_persons(&config.tenant, (from, to)).await?;
    let share = active as f64 / 1_000.0 * (to - from) as f64 / WEEK;
    let within = |one: &Candidate| one.last >= from && one.first < to;
    let tested = |rule: &'static Rule| {
        let not_evaluable = rule.lacks(&facts);
        let judged = rule.judge(&facts, &reader.settings);
        let found: Vec<Candidate> = judged.found.into_iter().filter(within).collect();
        let rate = (share > 0.0 && not_evaluable.is_none()).then(|| found.len() as f64 / share);
        RuleTested {
            rule: rule.id,
            name: rule.name,
            not_evaluable,
            not_judged: rule.not_judged(&facts),
            found,
            values: judged.values,
            per_1000_users_and_week: rate,
        }
    };
    let rules = chosen.into_iter().map(|rule| tested(Rule::of(rule.id).unwrap_or(&RULES[0]))).collect();
    Ok(Tested { from, to, active_persons: active, rules })
}

/// For people.
pub fn render_tested(tested: &Tested) -> String {
    let mut out = format!(
        "  {} to {}, {} active persons; nothing is written, nobody is told\n\n",
        moment(tested.from),
        moment(tested.to),
        tested.active_persons
    );
    for rule in &tested.rules {
        out.push_str(&format!("  {} {}: ", rule.rule, rule.name));
        match (rule.not_evaluable, rule.per_1000_users_and_week) {
            (Some(why), _) => out.push_str(&format!("NOT EVALUABLE: {why}\n")),
            (None, rate) => {
                let rate = rate.map_or_else(String::new, |rate| format!(", {rate:.1} per 1,000 users and week"));
                out.push_str(&format!("{} findings{rate}\n", rule.found.len()));
            }
        }
        for part in rule.not_judged.iter().filter(|_| rule.not_evaluable.is_none()) {
            out.push_str(&format!("      not judged: {part}\n"));
        }
        for (name, value) in &rule.values {
            out.push_str(&format!("      {}: {value}\n", name.replace('_', " ")));
        }
        for one in &rule.found {
            let whom = if one.person.is_empty() { "no person" } else { one.person.get(..8).unwrap_or(&one.person) };
            out.push_str(&format!(
                "      {} {} {whom} since {}: {}\n",
                one.severity,
                one.confidence,
                moment(one.first),
                crate::findings::values(&one.values)
            ));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use drift::{Confidence, Severity};
    use serde_json::json;

    fn tested(rule: &'static str, name: &'static str) -> RuleTested {
        RuleTested {
            rule,
            name,
            not_evaluable: None,
            not_judged: Vec::new(),
            found: Vec::new(),
            values: Map::new(),
            per_1000_users_and_week: None,
        }
    }

    #[test]
    fn what_rules_would_have_found_is_printed_with_what_they_could_not_judge() {
        let found = Candidate {
            rule: "D02",
            dedup: "x".into(),
            person: "0123456789abcdef0123456789abcdef".into(),
            severity: Severity::Medium,
            confidence: Confidence::Proven,
            first: 1_000,
            last: 2_000,
            stands: true,
            values: drift::finding::values([
                ("active_seconds", json!(583.28)),
                ("at_ms", json!(1)),
                ("how", json!("disabled")),
            ]),
            evidence: Vec::new(),
        };
        let of_nobody = Candidate { rule: "D12", person: String::new(), severity: Severity::High, ..found.clone() };
        let tested = Tested {
            from: 0,
            to: 60_000,
            active_persons: 3,
            rules: vec![
                RuleTested {
                    not_judged: vec!["what is missing in 2 gaps of its sources (`tokentrail gaps`)".into()],
                    found: vec![found],
                    values: drift::finding::values([("longest_seconds", json!(583.28))]),
                    per_1000_users_and_week: Some(1.25),
                    ..tested("D02", "LEAVER_ACTIVE")
                },
                RuleTested {
                    not_evaluable: Some("no Backstage has sent anything yet"),
                    not_judged: vec!["nothing of it".into()],
                    ..tested("D19", "DECISION_WITHOUT_LOGIN")
                },
                RuleTested { found: vec![of_nobody], ..tested("D12", "SOURCE_SILENT_OR_GAP") },
            ],
        };
        let printed = render_tested(&tested);
        assert_eq!(
            printed.lines().collect::<Vec<_>>(),
            [
                "  1970-01-01T00:00:00.000Z to 1970-01-01T00:01:00.000Z, 3 active persons; nothing is written, nobody is told",
                "",
                "  D02 LEAVER_ACTIVE: 1 findings, 1.2 per 1,000 users and week",
                "      not judged: what is missing in 2 gaps of its sources (`tokentrail gaps`)",
                "      longest seconds: 583.28",
                "      medium proven 01234567 since 1970-01-01T00:00:01.000Z: active seconds 583.28, how disabled",
                "  D19 DECISION_WITHOUT_LOGIN: NOT EVALUABLE: no Backstage has sent anything yet",
                "  D12 SOURCE_SILENT_OR_GAP: 1 findings",
                "      high proven no person since 1970-01-01T00:00:01.000Z: active seconds 583.28, how disabled",
            ]
        );
    }

    #[test]
    fn a_rule_is_explained_in_full_and_says_that_it_is_off() {
        let rule = Rule::of("D19").unwrap();
        let &Rule { id, name, version, asks, severity, guards, not_evaluable, controls, check, .. } = rule;
        let explained = |enabled| Explained {
            rule: id,
            name,
            version,
            asks,
            severity,
            guards,
            not_evaluable,
            controls,
            check,
            enabled,
        };
        let printed = render_explained(&explained(true));
        for text in [asks, severity, check, "NOT EVALUABLE here", "CC6.1, A.8.5, IA-2"]
            .iter()
            .chain(guards)
            .chain(not_evaluable)
        {
            assert!(printed.contains(text), "{text} is not in {printed}");
        }
        assert!(
            printed.starts_with("  D19 DECISION_WITHOUT_LOGIN (version 1)") && !printed.contains("DISABLED"),
            "{printed}"
        );
        assert!(render_explained(&explained(false)).contains("DISABLED in config (alerts.rules.disabled)"));
    }
}
