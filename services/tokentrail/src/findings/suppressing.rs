//! `tokentrail findings suppress|suppressions|unsuppress`: silence about one finding, or about all of a rule that are of one person or
//! of one source, for a time. Nothing else can be chosen, and nothing is silent for ever.

use super::{ChangeArgs, acting::Desk, change, short};
use crate::{
    Format,
    app::now_ms,
    ask::{When, one_person},
    config::Config,
    status::moment,
    table::{Align, Table, visible},
};
use anyhow::bail;
use clap::Args;
use drift::{RULES, Rule, Subject};
use events::finding_act::{Group, Handled};
use store::{Store, suppressions::Suppression};
use uuid::Uuid;

/// The longest time to be silent: whoever wants more says so again.
pub const LONGEST_DAYS: i64 = 366;
const DAY: i64 = 86_400_000;

/// `tokentrail findings suppress`.
#[derive(Args)]
pub struct SuppressArgs {
    /// Id of one finding, or its first eight digits.
    #[arg(required_unless_present = "rule", conflicts_with_all = ["rule", "person", "source", "owner"])]
    pub finding: Option<String>,
    /// Instead of one finding: of this rule all that are, and will be, of one person or one source.
    #[arg(long, requires = "subject")]
    pub rule: Option<String>,
    /// Of this person: username, e-mail, entity reference, Keycloak user id or person key.
    #[arg(long, requires = "rule", group = "subject")]
    pub person: Option<String>,
    /// Of this source.
    #[arg(long, requires = "rule", group = "subject")]
    pub source: Option<String>,
    /// Until when (RFC 3339), at most 366 days ahead; a suppression without an end does not exist.
    #[arg(long, value_name = "TIME", value_parser = crate::ask::when::parse)]
    pub until: When,
    /// Who answers for it; default: who says so.
    #[arg(long)]
    pub owner: Option<String>,
    /// Who says so; default: the user of this shell.
    #[arg(long, env = "USER", hide_env_values = true)]
    pub by: String,
    /// Why.
    #[arg(long)]
    pub reason: String,
}

/// `tokentrail findings suppressions`.
#[derive(Args)]
pub struct SuppressionsArgs {
    /// Also those that are over.
    #[arg(long)]
    pub all: bool,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// Suppresses one finding or a group.
pub async fn suppress(desk: &Desk<'_>, args: &SuppressArgs) -> anyhow::Result<bool> {
    let (now, until) = (now_ms(), args.until.0);
    if until <= now || until > now + LONGEST_DAYS * DAY {
        bail!("--until must lie ahead, and no more than {LONGEST_DAYS} days, such as {}", moment(now + 30 * DAY));
    }
    if let Some(finding) = &args.finding {
        let args = ChangeArgs { finding: finding.clone(), by: args.by.clone(), reason: args.reason.clone() };
        return change(desk, &args, |one| Handled::Suppress { finding: one.finding_id, until }).await;
    }
    let (rule, subject, id) = selected(desk.store, desk.config, args).await?;
    let owner = args.owner.as_ref().unwrap_or(&args.by).trim();
    if owner.is_empty() {
        bail!("--owner names who answers for it");
    }
    let suppression = Uuid::new_v4();
    let group = Group {
        suppression,
        rule: rule.id.into(),
        subject_kind: subject.to_string(),
        subject: id.clone(),
        owner: owner.to_owned(),
    };
    let late = desk.act(Handled::SuppressGroup { group, until }, (&args.by, &args.reason)).await?;
    let found = desk.store.findings_in_state(desk.tenant(), &["SUPPRESSED"]).await?;
    let now_silent = found.iter().filter(|one| one.suppression == suppression.to_string()).count();
    eprintln!(
        "findings of {} for {subject} {} are suppressed until {} ({}): {now_silent} stand now{late}",
        rule.id,
        visible(&id),
        moment(until),
        digits(suppression)
    );
    Ok(true)
}

/// The rule, and whom or what the suppression is for.
async fn selected(
    store: &Store,
    config: &Config,
    args: &SuppressArgs,
) -> anyhow::Result<(&'static Rule, Subject, String)> {
    let named = args.rule.as_deref().unwrap_or_default();
    let Some(rule) = Rule::of(named) else {
        let known: Vec<&str> = RULES.iter().map(|rule| rule.id).collect();
        bail!("there is no rule {named}; there are {}", known.join(", "));
    };
    let subject = if args.person.is_some() { Subject::Person } else { Subject::Source };
    if !rule.subjects().contains(&subject) {
        let other: Vec<String> = rule.subjects().iter().map(|one| format!("--{one}")).collect();
        bail!("findings of {} {} name no {subject}; they are told by {}", rule.id, rule.name, other.join(" or "));
    }
    let id = match (&args.person, &args.source) {
        (Some(person), _) => one_person(store, &config.tenant, person).await?.person,
        (None, Some(source)) if config.sources.contains_key(source) => source.clone(),
        (None, source) => {
            let known: Vec<&str> = config.sources.keys().map(String::as_str).collect();
            bail!(
                "the config has no source {}; it has {}",
                source.as_deref().unwrap_or("without a name"),
                known.join(", ")
            )
        }
    };
    Ok((rule, subject, id))
}

/// Ends a suppression before its time: of a group, or of one finding.
pub async fn unsuppress(desk: &Desk<'_>, args: &ChangeArgs) -> anyhow::Result<bool> {
    let (store, tenant) = (desk.store, desk.tenant());
    let id = args.finding.to_lowercase();
    let mut fit = store.suppressions(tenant).await?;
    fit.retain(|one| one.suppression_id.to_string().starts_with(&id));
    let one = match (fit.pop(), fit.len()) {
        (None, _) => {
            let finding = super::one(store, tenant, &id).await?;
            if finding.state != "SUPPRESSED" {
                bail!("{} {} is not suppressed", finding.rule, short(&finding));
            }
            if !finding.suppression.is_empty() {
                bail!("it is suppressed with others: end {} (`tokentrail findings suppressions`)", finding.suppression);
            }
            return change(desk, args, |one| Handled::Unsuppress { finding: one.finding_id }).await;
        }
        (Some(one), 0) => one,
        (Some(_), more) => bail!("{} suppressions begin with {id}: give more digits", more + 1),
    };
    if one.in_force == 0 {
        bail!("it has been over since {}", moment(one.over_at));
    }
    let group = Group {
        suppression: one.suppression_id,
        rule: one.rule.clone(),
        subject_kind: one.subject_kind,
        subject: one.subject,
        owner: one.owner,
    };
    let late = desk.act(Handled::UnsuppressGroup { group }, (&args.by, &args.reason)).await?;
    eprintln!("the suppression of {} is over: receivers are told of what stands{late}", one.rule);
    Ok(true)
}

/// Suppressions of groups: those that count now, or all.
pub async fn list(store: &Store, tenant: &str, args: &SuppressionsArgs) -> anyhow::Result<Vec<Suppression>> {
    let mut found = store.suppressions(tenant).await?;
    found.retain(|one| args.all || one.in_force == 1);
    Ok(found)
}

fn digits(id: Uuid) -> String {
    id.to_string().chars().take(8).collect()
}

/// For people.
pub fn render(found: &[Suppression]) -> String {
    let titles = ["suppression", "rule", "for", "until", "owner", "made", "state"].map(|name| (name, Align::Left));
    let mut table = Table::new(&titles);
    for one in found {
        let name = Rule::of(&one.rule).map_or("", |rule| rule.name);
        let subject = match one.subject_kind.as_str() {
            "person" => one.subject.chars().take(8).collect(),
            _ => one.subject.clone(),
        };
        let state = match (one.in_force, one.ended_by.as_str()) {
            (1, _) => format!("in force: {}", one.reason),
            (_, "") => "over".into(),
            (_, by) => format!("ended {} by {by}: {}", moment(one.over_at), one.ended_because),
        };
        table.row(vec![
            digits(one.suppression_id),
            format!("{} {name}", one.rule),
            format!("{} {subject}", one.subject_kind),
            moment(one.until),
            one.owner.clone(),
            format!("{} by {}", moment(one.made_at), one.made_by),
            state,
        ]);
    }
    if found.is_empty() {
        return "  nothing is suppressed for a person or a source (`--all` also shows what is over)\n".into();
    }
    table.render()
}
