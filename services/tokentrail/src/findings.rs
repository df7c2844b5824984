//! `tokentrail findings list|show|ack|close|suppress` and `tokentrail alerts test`: the register for the analyst.

pub mod acting;
pub mod suppressing;

use crate::{
    Format,
    app::now_ms,
    config::Config,
    status::moment,
    table::{Align, Table, visible},
};
use acting::Desk;
use alerts::{What, Words, body, test_notice};
use anyhow::bail;
use clap::{Args, Subcommand};
use drift::{Rule, Severity};
use events::finding_act::Handled;
use serde::Serialize;
use serde_json::{Map, Value};
use store::{
    Store,
    findings::{Finding, FindingChange},
    suppressions::Suppression,
};
use uuid::Uuid;

/// `tokentrail findings`.
#[derive(Subcommand)]
pub enum FindingsCommand {
    /// What was found; by default what somebody is to look at.
    List(ListArgs),
    /// One finding with its values, its evidence and every change.
    Show {
        /// Id of the finding, or its first eight digits.
        finding: String,
        /// How it is printed.
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Say that somebody looks at it.
    Ack(ChangeArgs),
    /// Say that it is done with; it stands again if it goes on, gets worse or begins anew afterwards.
    Close(ChangeArgs),
    /// Be silent for a time about one finding, or about all of a rule that are of one person or one source.
    Suppress(suppressing::SuppressArgs),
    /// What is suppressed for a person or a source: by whom, why and until when.
    Suppressions(suppressing::SuppressionsArgs),
    /// End a suppression before its time, of a person or source (its id) or of one finding; what stands is told.
    Unsuppress(ChangeArgs),
}

/// `tokentrail alerts`.
#[derive(Subcommand)]
pub enum AlertsCommand {
    /// Send every receiver of the config a test message, once. Exit code 1: one did not take it.
    Test {
        /// Only this one.
        receiver: Option<String>,
        /// How it is printed.
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
}

/// `tokentrail findings list`.
#[derive(Args)]
pub struct ListArgs {
    /// Also what is over, withdrawn, closed or suppressed.
    #[arg(long)]
    pub all: bool,
    /// Only of this rule.
    #[arg(long)]
    pub rule: Option<String>,
    /// Only of this person key, or its first digits.
    #[arg(long)]
    pub person: Option<String>,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// A change by an operator.
#[derive(Args)]
pub struct ChangeArgs {
    /// Its id, or the first eight digits.
    pub finding: String,
    /// Who says so; default: the user of this shell.
    #[arg(long, env = "USER", hide_env_values = true)]
    pub by: String,
    /// Why.
    #[arg(long)]
    pub reason: String,
}

/// What fits, the latest first.
pub async fn list(store: &Store, tenant: &str, args: &ListArgs) -> anyhow::Result<Vec<Finding>> {
    let states = if args.all { None } else { Some(&["OPEN", "ACKNOWLEDGED"][..]) };
    listed(store, (tenant, states), args).await
}

async fn listed(
    store: &Store,
    (tenant, states): (&str, Option<&[&str]>),
    args: &ListArgs,
) -> anyhow::Result<Vec<Finding>> {
    let mut found = match states {
        Some(states) => store.findings_in_state(tenant, states).await?,
        None => store.findings(tenant).await?,
    };
    found.retain(|one| {
        args.rule.as_ref().is_none_or(|rule| one.rule.eq_ignore_ascii_case(rule))
            && args.person.as_ref().is_none_or(|person| one.person.starts_with(person.as_str()))
    });
    Ok(found)
}

/// How many are left out of a list of what stands because they are suppressed.
pub async fn unlisted(store: &Store, tenant: &str, args: &ListArgs) -> anyhow::Result<usize> {
    if args.all {
        return Ok(0);
    }
    Ok(listed(store, (tenant, Some(&["SUPPRESSED"])), args).await?.len())
}

/// For people; `unlisted`: how many more are suppressed.
pub fn render_list(found: &[Finding], unlisted: usize) -> String {
    let mut table = Table::new(&[
        ("finding", Align::Left),
        ("rule", Align::Left),
        ("severity", Align::Left),
        ("state", Align::Left),
        ("person", Align::Left),
        ("since", Align::Left),
        ("values", Align::Left),
    ]);
    for one in found {
        let name = Rule::of(&one.rule).map_or("", |rule| rule.name);
        table.row(vec![
            short(one),
            format!("{} {name}", one.rule),
            one.severity.clone(),
            state(one),
            one.person.chars().take(8).collect(),
            moment(one.first_at),
            values(&detail(one)),
        ]);
    }
    let more = match unlisted {
        0 => String::new(),
        more => {
            format!("  {more} more suppressed: `tokentrail findings list --all`, `tokentrail findings suppressions`\n")
        }
    };
    if found.is_empty() {
        let nothing = if unlisted == 0 { "nothing stands" } else { "nothing stands but what is suppressed" };
        return format!("  {nothing}; `tokentrail rules list` says which rules could be judged\n{more}");
    }
    table.render() + &more
}

/// The state, and of what is suppressed until when.
fn state(finding: &Finding) -> String {
    match finding.suppressed_until.filter(|_| finding.state == "SUPPRESSED") {
        Some(until) => format!("SUPPRESSED until {} by {}", moment(until), visible(&finding.owner)),
        None => finding.state.clone(),
    }
}

fn short(finding: &Finding) -> String {
    finding.finding_id.to_string().chars().take(8).collect()
}

fn detail(finding: &Finding) -> Map<String, Value> {
    serde_json::from_str(&finding.detail).unwrap_or_default()
}

/// Values in one line: times, which have columns of their own, and empty ones are left out.
pub fn values(values: &Map<String, Value>) -> String {
    let empty = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty) || value == "";
    let shown = values.iter().filter(|(name, value)| !name.ends_with("_ms") && !empty(value));
    let each = shown.map(|(name, value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        format!("{} {text}", name.replace('_', " "))
    });
    each.collect::<Vec<_>>().join(", ")
}

/// A finding with everything that is known of it.
#[derive(Serialize)]
pub struct Shown {
    #[serde(flatten)]
    finding: Finding,
    name: &'static str,
    asks: &'static str,
    check: &'static str,
    names: Vec<String>,
    history: Vec<FindingChange>,
    /// The suppression of a person or source by which it is suppressed.
    suppressed_by: Option<Suppression>,
}

/// The finding that an id, or its beginning, means.
async fn one(store: &Store, tenant: &str, id: &str) -> anyhow::Result<Finding> {
    let id = id.to_lowercase();
    let mut fit = store.findings_named(tenant, &id).await?;
    match (fit.pop(), fit.len()) {
        (Some(finding), 0) => Ok(finding),
        (None, _) => bail!("there is no finding {id}; `tokentrail findings list --all` shows them"),
        (Some(_), more) => bail!("{} findings begin with {id}: give more digits", more + 1),
    }
}

/// What is known of a finding.
pub async fn show(store: &Store, tenant: &str, id: &str) -> anyhow::Result<Shown> {
    let finding = one(store, tenant, id).await?;
    let history = store.finding_changes(tenant, finding.finding_id).await?;
    let persons = if finding.person.is_empty() { Vec::new() } else { vec![finding.person.clone()] };
    let bearers = store.names_of(tenant, &persons).await?;
    let mut names: Vec<String> = bearers.into_iter().flat_map(|one| one.names).map(|name| name.name).collect();
    names.dedup();
    let by = |one: &Suppression| one.suppression_id.to_string() == finding.suppression;
    let suppressed_by = store.suppressions(tenant).await?.into_iter().find(by);
    let rule = Rule::of(&finding.rule);
    let (name, asks, check) = rule.map_or(("", "", ""), |rule| (rule.name, rule.asks, rule.check));
    Ok(Shown { finding, name, asks, check, names, history, suppressed_by })
}

/// Who is silent about a group, and why.
fn by_whom(one: &Suppression) -> String {
    let (id, subject) = (one.suppression_id, &one.subject_kind);
    format!("for this {subject} until {} by {}: {} ({id})", moment(one.until), one.owner, one.reason)
}

/// For people.
pub fn render_shown(shown: &Shown) -> String {
    let finding = &shown.finding;
    let mut out = format!("  {} {} · {} · {}\n", finding.rule, shown.name, state(finding), finding.finding_id);
    let mut line = |name: &str, text: String| {
        if !text.is_empty() {
            out.push_str(&format!("  {name:<12}{}\n", visible(&text)));
        }
    };
    line("asks", shown.asks.into());
    line("severity", format!("{}, {}", finding.severity, finding.confidence));
    line("person", format!("{} {}", finding.person, shown.names.join(", ")).trim().into());
    line("from", format!("{} to {}", moment(finding.first_at), moment(finding.last_at)));
    line("values", values(&detail(finding)));
    line("what to do", shown.check.into());
    line("suppressed", shown.suppressed_by.as_ref().map(by_whom).unwrap_or_default());
    out.push_str("\n  What happened to it\n");
    for change in &shown.history {
        let until = change.until.map(|until| format!(" until {}", moment(until))).unwrap_or_default();
        let reason = if change.reason.is_empty() { String::new() } else { format!(": {}", change.reason) };
        let text = format!("{} {}{until} by {}{reason}", moment(change.changed_at), change.what, change.actor);
        out.push_str(&format!("    {}\n", visible(&text)));
    }
    out.push_str(&format!(
        "\n  Evidence ({} events; `tokentrail explain` or `trace` shows one)\n",
        finding.evidence.len()
    ));
    for event in &finding.evidence {
        out.push_str(&format!("    {event}\n"));
    }
    if !finding.receipts.is_empty() {
        out.push_str(&format!("  Receipts: {}\n", finding.receipts.join(" ")));
    }
    out
}

/// Somebody looks at it.
pub fn looking(finding: &Finding) -> Handled {
    Handled::Acknowledge { finding: finding.finding_id }
}

/// Somebody is done with it, as it is now.
pub fn closing(finding: &Finding) -> Handled {
    Handled::Close { finding: finding.finding_id, severity: Some(finding.severity.clone()) }
}

/// Has the register say what an operator did with a finding.
pub async fn change(
    desk: &Desk<'_>,
    args: &ChangeArgs,
    said: impl FnOnce(&Finding) -> Handled,
) -> anyhow::Result<bool> {
    let finding = one(desk.store, desk.tenant(), &args.finding).await?;
    let said = said(&finding);
    let what = said.what();
    let until = match &said {
        Handled::Suppress { until, .. } => format!(" until {}", moment(*until)),
        _ => String::new(),
    };
    let late = desk.act(said, (&args.by, &args.reason)).await?;
    eprintln!("{} {} is {what}{until}{late}", finding.rule, short(&finding));
    Ok(true)
}

/// How a receiver took a test.
#[derive(Serialize)]
pub struct Tried {
    receiver: String,
    kind: &'static str,
    /// Why it did not take it.
    pub trouble: Option<String>,
}

/// Sends a test to each receiver, once.
pub async fn try_receivers(config: &Config, only: Option<&str>) -> anyhow::Result<Vec<Tried>> {
    let mut receivers = config.receivers()?;
    let known: Vec<String> = receivers.iter().map(|one| one.name.clone()).collect();
    if known.is_empty() {
        bail!("the config has no receivers: add one below alerts.receivers (docs/alerts.md)");
    }
    receivers.retain(|one| only.is_none_or(|only| one.name == only));
    if receivers.is_empty() {
        bail!("there is no such receiver; there are {}", known.join(", "));
    }
    let words = Words { tenant: config.tenant.clone(), link: config.alerts.link.clone(), ..Words::default() };
    let mut tried = Vec::new();
    for receiver in receivers {
        let now = now_ms();
        let notice = test_notice(now);
        let text = body(&receiver, &words, &[(&notice, What::Firing(Severity::Low))], now);
        let taken = receiver.attempt((Uuid::new_v4(), now.div_euclid(1_000)), &text).await;
        let trouble = taken.err().map(|why| why.to_string());
        tried.push(Tried { receiver: receiver.name, kind: receiver.kind.as_str(), trouble });
    }
    Ok(tried)
}

/// For people.
pub fn render_tried(tried: &[Tried]) -> String {
    let line = |one: &Tried| match &one.trouble {
        None => format!("  {} ({}): took it\n", one.receiver, one.kind),
        Some(why) => format!("  {} ({}): DID NOT TAKE IT: {why}\n", one.receiver, one.kind),
    };
    tried.iter().map(line).collect()
}
