//! What the register of findings says on the dashboards: the finding of the story (D02: finn was disabled and went on), and the seeded ones.

use crate::{
    asked::Grafana,
    said::{Story, told},
};
use dashboards::expand::Choice;
use serde_json::{Value, json};
use std::collections::BTreeMap;

impl Story<'_> {
    pub fn register(&mut self) {
        // One that the program opened and three seeded ones stand; a closed, a withdrawn and an ended one do not.
        self.says(("overview", 15), &["open"], json!([[4]]));
        let exceptions = [("D02", 1), ("D04", 1), ("D05", 1)].map(|(rule, open)| json!([rule, "EXCEPTION", open]));
        let unjudged = ["D07", "D08", "D12"].map(|rule| json!([rule, "NOT EVALUABLE", 0]));
        let fine = ["D01", "D03", "D11", "D13", "D19", "D20"].map(|rule| json!([rule, "OK", 0]));
        let all = [&exceptions[..], &unjudged, &[json!(["D16", "DISABLED", 0])], &fine].concat();
        self.says(("overview", 16), &["Rule", "State", "Open"], json!(all));
        let mut by_rule = all;
        by_rule.sort_by_key(|row| row[0].as_str().unwrap().to_owned());
        self.says(("drift", 16), &["Rule", "State", "Open"], json!(by_rule));
        let ages = json!([["critical", 0, 1, 0, 0], ["high", 0, 0, 0, 1], ["medium", 1, 0, 0, 0], ["low", 0, 0, 1, 0]]);
        let columns = ["Severity", "Under a day", "1 to 7 days", "7 to 30 days", "Over 30 days"];
        self.says(("overview", 17), &columns, ages);

        // The config names one group; cleo was in it for ten seconds.
        self.says(("overview", 18), &["accounts"], json!([[0]]));
        let at = |second: &str| format!("2026-11-23 21:25:{second}");
        let span = [at("07.067"), at("16.818")];
        let held =
            json!([["cleo", "/platform/ops", "group", "directly", span[0], span[1], "held", "given in this period"]]);
        self.says(("overview", 19), &["Person", "Right", "Kind", "Through", "From", "Until", "State", "Change"], held);

        let baseline = "area realm_roles, what not in the \"baseline\"";
        let finn = "active seconds 583.28, allowed 15, how disabled, token budget seconds 600, tokens issued 0";
        let findings = json!([
            ["critical", "D05", "ACKNOWLEDGED", "dora", "right group"],
            ["high", "D04", "OPEN", "", baseline],
            ["medium", "D02", "OPEN", "finn", finn],
            ["low", "D20", "SUPPRESSED", "", ""],
            ["high", "D01", "WITHDRAWN", "ben", ""],
            ["high", "D13", "CLOSED", "cleo", ""]
        ]);
        let until = self.answers[&("drift", 17)][0].column("Suppressed until");
        let of_the_fourth = (0..6).map(|row| if row == 3 { json!("2200-01-01 00:00:00.000") } else { Value::Null });
        assert_eq!(until, of_the_fourth.collect::<Vec<_>>());
        self.says(("drift", 17), &["Severity", "Rule", "State", "Person", "Says"], findings);
        self.says(("drift", 18), &["Severity", "State", "Difference"], json!([["high", "OPEN", baseline]]));
        let queue = json!([
            ["D05", "dora", "ana"],
            ["D04", "", ""],
            ["D02", "finn", ""],
            ["D20", "", "ana"],
            ["D01", "ben", ""],
            ["D13", "cleo", "ana"]
        ]);
        let ages = self.answers[&("investigation", 10)][0].column("Age");
        assert!(
            ages[..4].iter().all(|age| age.as_i64().is_some_and(|age| age >= 0))
                && ages[4..].iter().all(Value::is_null),
            "{ages:?}"
        );
        self.says(("investigation", 10), &["Rule", "Name", "Handled by"], queue);
        self.says(("investigation", 11), &["Event"], json!([]));
        self.says(("investigation", 12), &["Change"], json!([]));
        let columns = ["Rule", "State", "Person", "Source", "Owner", "Made by", "Reason", "Ended by", "Ended because"];
        let suppressed = json!([
            ["D13", "in force", "cleo", "", "ana", "ana", "known", "", ""],
            ["D12", "ended", "", "kc", "bo", "ana", "moving", "cy", "moved"]
        ]);
        self.says(("investigation", 14), &columns, suppressed);
    }
}

/// The finding of the story leads to its person, its last decision, that one's session, its evidence and what became of it.
pub async fn one_finding(grafana: &Grafana<'_>, choice: &Choice, names: &BTreeMap<String, String>) {
    let queue = &grafana.panel("investigation", 10, choice).await[0];
    let row = queue.column("Rule").iter().position(|rule| rule == "D02").unwrap();
    let of = |column: &str| queue.column(column)[row].as_str().unwrap().to_owned();
    assert_eq!(names[&of("Person")], "finn");
    let decision = &grafana.panel("investigation", 13, &choice.clone().with("decision", &of("Decision"))).await[0];
    assert_eq!(
        told(decision, &["Verdict", "Since the change", "Session"], names)[0],
        json!(["exposure", 583_280, of("Session")])
    );

    let chosen = choice.clone().with("finding", &of("Finding"));
    assert_eq!(grafana.panel("investigation", 10, &chosen).await[0].rows.len(), 1, "the chosen one alone");
    let evidence =
        told(&grafana.panel("investigation", 11, &chosen).await[0], &["What", "Source", "Of what", "Event"], names);
    let evidence = evidence.as_array().unwrap();
    assert_eq!(
        (evidence.len(), &evidence[0][0], &evidence[0][1]),
        (16, &json!("user updated"), &json!("kc")),
        "{evidence:?}"
    );
    let last = &evidence[15];
    assert_eq!(
        (&last[1], &last[2], &last[3]),
        (&json!("bs"), &json!("scaffolder.task.create"), &json!(of("Decision")))
    );
    let changes = told(&grafana.panel("investigation", 12, &chosen).await[0], &["Change", "By"], names);
    assert_eq!(changes, json!([["opened", "rules"]]));
}

/// The story's own finding is chosen, and its last decision.
pub async fn of_the_story(grafana: &Grafana<'_>, choice: Choice) -> Choice {
    let queue = &grafana.panel("investigation", 10, &choice).await[0];
    let row = queue.column("Rule").iter().position(|rule| rule == "D02").unwrap();
    let of = |column: &str| queue.column(column)[row].as_str().unwrap().to_owned();
    choice.with("finding", &of("Finding")).with("decision", &of("Decision"))
}

/// While cleo was in it, she was the one privileged account.
pub async fn privileged(grafana: &Grafana<'_>, choice: &Choice) {
    let then = Choice { to: 1_795_469_110_000, ..choice.clone() };
    assert_eq!(grafana.panel("overview", 18, &then).await[0].column("accounts"), [json!(1)]);
    assert_eq!(grafana.panel("overview", 19, &then).await[0].column("State"), [json!("holds")]);
}

/// The variable severity.
pub async fn severities(grafana: &Grafana<'_>, choice: &Choice) {
    let mut medium = choice.clone().with("severity", "medium");
    medium.all.retain(|variable| variable != "severity");
    for (dashboard, panel) in [("investigation", 10), ("drift", 17)] {
        assert_eq!(grafana.panel(dashboard, panel, &medium).await[0].column("Rule"), [json!("D02")], "{dashboard}");
    }
    assert!(grafana.panel("drift", 18, &medium).await[0].rows.is_empty());
}
