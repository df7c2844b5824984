//! Questions to the correlation: one file per question. Answers come from the tables alone, so they are the same whether the
//! program runs or not, and as old as `tokentrail status` says.

pub mod access;
pub mod acts;
mod candidates;
mod clocks;
pub mod decisions;
pub mod explain;
pub mod gaps;
mod incomplete;
pub mod person;
mod rights;
pub mod self_check;
pub mod when;
pub mod who_can;
mod words;

use crate::{Command, commands::print, config::Config, persons};
use anyhow::bail;
use clap::{Args, Subcommand};
use store::{
    Store,
    correlation::{Bearer, Matching},
};

/// Most persons that one name may fit and be answered for.
const MOST_PERSONS: usize = 20;

/// A time: RFC 3339 (`2026-11-24T12:00:00Z`), `now`, or relative (`2h ago`, `30m`, `3 days ago`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct When(pub i64);

/// `tokentrail access`.
#[derive(Args)]
pub struct AccessArgs {
    /// Username, e-mail, entity reference, Keycloak user id or person key.
    pub person: String,
    /// Rights at this instant; default: now.
    #[arg(long, value_name = "TIME", value_parser = when::parse, conflicts_with_all = ["from", "to"])]
    pub at: Option<When>,
    /// Rights held at any time from here on.
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    pub from: Option<When>,
    /// ... and before this.
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    pub to: Option<When>,
    /// By whose knowledge: Keycloak's, or a Backstage's, which hears of it later.
    #[arg(long, value_enum, default_value_t = clocks::Clock::Keycloak, conflicts_with_all = ["from", "to"])]
    pub clock: clocks::Clock,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t = crate::Format::Table)]
    pub format: crate::Format,
}

/// `tokentrail who-can`.
#[derive(Args)]
pub struct WhoCanArgs {
    /// Keycloak id, path or name of a group or role; a Backstage role (`role:default/ops`); or a permission (`catalog.entity.read`).
    pub right: String,
    /// At this instant; default: now.
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    pub at: Option<When>,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t = crate::Format::Table)]
    pub format: crate::Format,
}

/// `tokentrail decisions`.
#[derive(Args)]
pub struct DecisionsArgs {
    /// `stale-allow` (exposure and violation), or a verdict of docs/data-model.md; repeat for several.
    #[arg(long)]
    pub verdict: Vec<String>,
    /// Of this person.
    #[arg(long)]
    pub person: Option<String>,
    /// Of this permission.
    #[arg(long, default_value = "")]
    pub permission: String,
    /// From here on; default: a day ago.
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    pub from: Option<When>,
    /// Before this; default: now.
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    pub to: Option<When>,
    /// Most decisions: the latest.
    #[arg(long, default_value_t = 100)]
    pub limit: u32,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t = crate::Format::Table)]
    pub format: crate::Format,
}

impl DecisionsArgs {
    /// The latest decisions of the last day, whatever they are.
    pub fn latest(limit: u32) -> Self {
        let permission = String::new();
        Self {
            verdict: Vec::new(),
            person: None,
            permission,
            from: None,
            to: None,
            limit,
            format: crate::Format::Table,
        }
    }
}

/// `tokentrail gaps`.
#[derive(Args)]
pub struct GapsArgs {
    /// From here on; default: everything.
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    pub from: Option<When>,
    /// Before this; default: now.
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    pub to: Option<When>,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t = crate::Format::Table)]
    pub format: crate::Format,
}

/// `tokentrail person`.
#[derive(Subcommand)]
pub enum PersonCommand {
    /// Everything that is known of one person: names, sessions, latest decisions.
    Show {
        /// Username, e-mail, entity reference, Keycloak user id or person key.
        person: String,
        #[arg(long, value_enum, default_value_t = crate::Format::Table)]
        format: crate::Format,
    },
    /// Persons who bear a name that contains a text.
    Search {
        /// A part of a name.
        text: String,
        #[arg(long, value_enum, default_value_t = crate::Format::Table)]
        format: crate::Format,
    },
    /// Say that two are one human or machine: from now on everything is told of the first one, also what was.
    Merge(crate::persons::MergeArgs),
    /// Take a merge back: the account is a person of its own again, as if nothing had been said.
    Split(crate::persons::SplitArgs),
}

/// The person that a name means. Of several, none is guessed: they are listed.
pub async fn one_person(store: &Store, tenant: &str, name: &str) -> anyhow::Result<Bearer> {
    let mut found = store.bearers(tenant, name.trim(), Matching::Whole).await?;
    if found.len() > 1 {
        let listed: Vec<String> = found
            .iter()
            .take(MOST_PERSONS)
            .map(|bearer| format!("  {}  {}", bearer.person, person::names(&bearer.names)))
            .collect();
        bail!("{name} fits {} persons; give a person key or a name that fits one:\n{}", found.len(), listed.join("\n"));
    }
    match found.pop() {
        Some(bearer) => Ok(bearer),
        None => {
            let nearest = store.nearest_names(tenant, name.trim()).await?;
            let nearest = if nearest.is_empty() {
                "nobody is known yet".to_owned()
            } else {
                format!("most like it: {}", crate::table::visible(&nearest.join(", ")))
            };
            bail!("nobody of that name is known; {nearest} (tokentrail person search TEXT finds parts of names)")
        }
    }
}

/// A time as people type it, UTC milliseconds.
pub fn moment(text: &str) -> Result<i64, String> {
    when::parse(text).map(|when| when.0)
}

/// Now, or what was said.
fn at(when: Option<When>) -> i64 {
    when.map_or_else(crate::app::now_ms, |when| when.0)
}

/// An id for people: the first eight digits.
fn short(id: uuid::Uuid) -> String {
    id.to_string().chars().take(8).collect()
}

/// Answers a question; false if the answer is not good.
pub async fn answer(config: &Config, command: Command) -> anyhow::Result<bool> {
    let store = crate::running::store(config)?;
    let tenant = &config.tenant;
    match command {
        Command::Explain { decision, format } => {
            print(format, &explain::find(&store, config, &decision).await?, explain::render)
        }
        Command::Access(args) => {
            print(args.format, &access::of_person(&store, config, &args).await?, access::render_person)
        }
        Command::WhoCan(args) => {
            print(args.format, &who_can::of_right(&store, tenant, &args).await?, who_can::render_right)
        }
        Command::Decisions(args) => {
            print(args.format, &decisions::find(&store, tenant, &args).await?, |found| decisions::render(found))
        }
        Command::Gaps(args) => print(args.format, &gaps::find(&store, tenant, &args).await?, gaps::render),
        Command::Person(PersonCommand::Show { person, format }) => {
            print(format, &person::show(&store, tenant, &person).await?, person::render_show)
        }
        Command::Person(PersonCommand::Merge(args)) => {
            print(args.word.format, &persons::merge(config, &args).await?, persons::render)
        }
        Command::Person(PersonCommand::Split(args)) => {
            print(args.word.format, &persons::split(config, &args).await?, persons::render)
        }
        Command::Person(PersonCommand::Search { text, format }) => {
            print(format, &person::search(&store, tenant, &text).await?, |found| person::render_search(found))
        }
        Command::SelfCheck { persons, mend, format } => {
            let mend = if mend { self_check::Mend::Yes } else { self_check::Mend::No };
            let checked = self_check::run(&store, config, (persons, mend)).await?;
            Ok(print(format, &checked, self_check::render)? && checked.differ.is_empty())
        }
        _ => bail!("no question"),
    }
}
