//! `tokentrail snapshot take|list|diff`: orders snapshots of state, lists them, and says in what two of them differ.

use crate::{
    Format, app,
    config::Config,
    deployment,
    running::{self, RunFile},
    snapshotting::{self, Told, remedy},
    status::moment,
    table::{Align, Table, visible},
};
use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use collector::snapshot::{Extent, Order};
use events::snapshot::Trigger;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use store::{ComparedArea, SnapshotSide, TakenSnapshot};

/// Most snapshots that a list shows.
const LISTED: u32 = 200;
/// Fields that are told by others.
const UNTOLD: &[&str] = &["holder_named_by", "resource"];

/// What to do with snapshots of state.
#[derive(Subcommand)]
pub enum SnapshotCommand {
    /// Take one now, through the running program or, where none runs, into the journal for its next start.
    ///
    /// Exit code: 0 if it is complete, 1 if an area could not be read, 2 if it did not end.
    Take(TakeArgs),
    /// List what was taken.
    List {
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Say in which entities and fields two snapshots of one source differ.
    Diff(DiffArgs),
}

/// Arguments of `snapshot take`.
#[derive(Args)]
pub struct TakeArgs {
    /// Source id; default: every source that has snapshots in the config.
    #[arg(long)]
    source: Option<String>,
    /// Write every entity, not only what is new or changed.
    #[arg(long)]
    full: bool,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// Arguments of `snapshot diff`.
#[derive(Args)]
pub struct DiffArgs {
    /// Id of the earlier snapshot, or its first digits.
    before: String,
    /// Id of the later one.
    after: String,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

impl TakeArgs {
    /// How it is printed.
    pub fn format(&self) -> Format {
        self.format
    }
}

/// Takes snapshots of the sources that the arguments name.
pub async fn take(config: &Config, args: &TakeArgs) -> anyhow::Result<Vec<Told>> {
    let known: Vec<&str> = snapshotting::configured(config).map(|(id, _)| id.as_str()).collect();
    let wanted: Vec<&str> = match &args.source {
        Some(source) if known.contains(&source.as_str()) => vec![source],
        Some(source) => bail!("source {source} has no [sources.{source}.snapshot] in the config (docs/snapshots.md)"),
        None if known.is_empty() => {
            bail!("no source has snapshots in the config: add [sources.NAME.snapshot] (docs/snapshots.md)")
        }
        None => known,
    };
    match RunFile::read(config) {
        Ok(run) => {
            let mut told = Vec::new();
            for source in wanted {
                told.push(order(&run, source, args.full).await?);
            }
            Ok(told)
        }
        Err(_) => alone(config, &wanted, args.full).await,
    }
}

/// Orders one of the running program; answers when it has ended.
async fn order(run: &RunFile, source: &str, full: bool) -> anyhow::Result<Told> {
    // No time limit: a large realm takes as long as it takes, and hanging up does not stop it.
    let http = reqwest::Client::builder().no_proxy().build()?;
    let answer = run.order(&http, &format!("/v1/snapshots/{source}?full={full}")).send().await;
    let answer =
        answer.context("the running program does not answer; if it was killed, remove run.json in its data folder")?;
    if !answer.status().is_success() {
        bail!("the snapshot of {source} did not end: {}", visible(answer.text().await?.trim()));
    }
    answer.json().await.context("the running program is of another version")
}

/// Takes them without a running program: what is read waits in the journal for the next start.
async fn alone(config: &Config, sources: &[&str], full: bool) -> anyhow::Result<Vec<Told>> {
    let key = deployment::key(config)?;
    deployment::bind_folder(config, &key)?;
    let journal = app::open_journal(config).await.context("no program runs, and its journal cannot be opened")?;
    let mut all = Vec::new();
    for (id, snapshot) in snapshotting::configured(config).filter(|(id, _)| sources.contains(&id.as_str())) {
        let taker = snapshotting::taker(config, (id, snapshot), (journal.clone(), key.clone()))?;
        let extent = if full { Extent::Full } else { Extent::Changes };
        let taken = taker.take(Order { trigger: Trigger::Demand, extent }).await;
        match taken {
            Ok(report) => {
                let told = snapshotting::told(id, &report);
                snapshotting::keep(&config.path("snapshots"), &told);
                all.push(told);
            }
            Err(error) => {
                bail!("the snapshot of {id} did not end, and goes on with the next: {}", snapshotting::why(&error))
            }
        }
    }
    tokio::task::spawn_blocking(move || journal.close()).await.context("the journal did not close")?;
    Ok(all)
}

/// For people.
pub fn render_taken(all: &Vec<Told>) -> String {
    let mut out = String::new();
    for told in all {
        let whole = if told.complete { "complete" } else { "NOT COMPLETE" };
        out.push_str(&format!(
            "  {}: snapshot {} {whole}, {} entities, {} new or changed, in {} s\n",
            told.source,
            told.snapshot,
            told.entities,
            told.changed,
            (told.ended - told.began) / 1000
        ));
        for area in &told.lacking {
            out.push_str(&format!("  look  {} {}\n", area.outcome.as_str(), visible(&remedy(area))));
        }
    }
    out
}

/// What was taken, as the store knows it.
pub async fn list(config: &Config) -> anyhow::Result<Vec<TakenSnapshot>> {
    let store = running::store(config)?;
    store.snapshots(&config.tenant, LISTED).await.context("the store does not say what was taken")
}

/// For people.
pub fn render_list(all: &Vec<TakenSnapshot>) -> String {
    use Align::{Left, Right};
    let mut table = Table::new(&[
        ("snapshot", Left),
        ("source", Left),
        ("began", Left),
        ("seconds", Right),
        ("by", Left),
        ("entities", Right),
        ("new or changed", Right),
        ("state", Left),
    ]);
    for one in all {
        let state = match (one.ended, one.complete) {
            (None, _) => "no end: incomplete".to_owned(),
            (_, true) => "complete".to_owned(),
            _ => visible(&one.lacking.join(", ")),
        };
        table.row(vec![
            one.snapshot.clone(),
            one.source_id.clone(),
            moment(one.began),
            one.ended.map_or_else(String::new, |ended| ((ended - one.began) / 1000).to_string()),
            one.trigger.clone(),
            one.entities.to_string(),
            one.changed.to_string(),
            state,
        ]);
    }
    table.render()
}

/// In what two snapshots differ.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diff {
    /// Earlier.
    pub before: String,
    /// Later.
    pub after: String,
    /// Areas of which nothing can be said, because one of the two did not read them whole.
    pub unknown: Vec<ComparedArea>,
    /// Entities that differ.
    pub entities: Vec<Difference>,
}

/// One entity that differs.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Area.
    pub area: String,
    /// Realm; empty for a Backstage.
    pub realm: String,
    /// `added`, `removed` or `changed`.
    pub change: Change,
    /// What it is called, from its own fields.
    pub what: String,
    /// Keyed id.
    pub entity: String,
    /// Fields that differ: before and after; of an added or removed one, all.
    pub fields: BTreeMap<String, (Option<String>, Option<String>)>,
}

/// What happened to an entity between two snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Only the later one has it.
    Added,
    /// Only the earlier one has it.
    Removed,
    /// Both have it, with different states.
    Changed,
}

/// Compares two snapshots.
pub async fn diff(config: &Config, args: &DiffArgs) -> anyhow::Result<Diff> {
    let store = running::store(config)?;
    let known = store.snapshots(&config.tenant, u32::MAX).await.context("the store does not say what was taken")?;
    let (before, after) = (named(&known, &args.before)?, named(&known, &args.after)?);
    if before.source_id != after.source_id {
        bail!(
            "{} is of source {}, {} of {}: snapshots of one source can be compared",
            args.before,
            before.source_id,
            args.after,
            after.source_id
        );
    }
    let pair = (before.snapshot.as_str(), after.snapshot.as_str());
    let areas = store.compared_areas(&config.tenant, pair).await.context("the store does not compare them")?;
    let sides = store.snapshot_sides(&config.tenant, pair).await.context("the store does not compare them")?;
    let whole = |outcome: &str| matches!(outcome, "complete" | "not_there");
    let unknown: Vec<_> = areas.into_iter().filter(|area| !(whole(&area.before) && whole(&area.after))).collect();
    let entities = differences(sides, &unknown);
    Ok(Diff { before: before.snapshot.clone(), after: after.snapshot.clone(), unknown, entities })
}

fn named<'a>(known: &'a [TakenSnapshot], id: &str) -> anyhow::Result<&'a TakenSnapshot> {
    let mut fits = known.iter().filter(|one| one.snapshot.starts_with(id));
    match (fits.next(), fits.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => bail!("no snapshot {id}: see `tokentrail snapshot list`"),
        _ => bail!("several snapshots begin with {id}: give more digits"),
    }
}

/// Joins the sides by entity; what lies in an area that was not read whole says nothing.
fn differences(sides: Vec<SnapshotSide>, unknown: &[ComparedArea]) -> Vec<Difference> {
    type Fields = BTreeMap<String, String>;
    type Sides = (Option<Fields>, Option<Fields>);
    let mut by_entity: BTreeMap<(String, String, String), Sides> = BTreeMap::new();
    for side in sides {
        if unknown.iter().any(|area| (&area.realm, &area.area) == (&side.realm, &side.area)) {
            continue;
        }
        let fields: Fields = side.fields.into_iter().filter(|(name, _)| !UNTOLD.contains(&name.as_str())).collect();
        let both = by_entity.entry((side.area, side.realm, side.entity)).or_default();
        *(if side.later { &mut both.1 } else { &mut both.0 }) = Some(fields);
    }
    let one = |((area, realm, entity), (before, after)): (_, Sides)| {
        let change = match (&before, &after) {
            (None, _) => Change::Added,
            (_, None) => Change::Removed,
            _ => Change::Changed,
        };
        let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
        let what = what(if after.is_empty() { &before } else { &after });
        let names = before.keys().chain(after.keys()).cloned();
        let fields = names.map(|name| {
            let sides = (before.get(&name).cloned(), after.get(&name).cloned());
            (name, sides)
        });
        let fields = fields.filter(|(_, (before, after))| before != after).collect();
        Difference { area, realm, change, what, entity, fields }
    };
    by_entity.into_iter().map(one).collect()
}

/// An entity in few words: who, and what they hold.
fn what(fields: &BTreeMap<String, String>) -> String {
    let first = |names: &[&str]| names.iter().find_map(|name| fields.get(*name)).cloned();
    let holder = first(&["person_name", "person_id", "holder_name", "holder_id"]);
    let held = first(&["right_name", "right_id", "session_id", "client"]);
    [holder, held].into_iter().flatten().collect::<Vec<_>>().join(" > ")
}

/// For people.
pub fn render_diff(diff: &Diff) -> String {
    let mut out = String::new();
    for area in &diff.unknown {
        let side = |outcome: &str| if outcome.is_empty() { "no end".to_owned() } else { outcome.to_owned() };
        out.push_str(&format!(
            "  unknown  {} {}: {} then {}; what changed there cannot be told\n",
            area.realm,
            area.area,
            side(&area.before),
            side(&area.after)
        ));
    }
    for one in &diff.entities {
        let sign = match one.change {
            Change::Added => '+',
            Change::Removed => '-',
            Change::Changed => '~',
        };
        out.push_str(&format!("  {sign} {} {} {}\n", one.area, one.realm, visible(&one.what)));
        if one.change == Change::Changed {
            for (name, (before, after)) in &one.fields {
                let side = |side: &Option<String>| visible(side.as_deref().unwrap_or("(nothing)"));
                out.push_str(&format!("      {name}: {} -> {}\n", side(before), side(after)));
            }
        }
    }
    if diff.entities.is_empty() && diff.unknown.is_empty() {
        out.push_str("  no difference\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(entity: &str, later: bool, fields: &[(&str, &str)]) -> SnapshotSide {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        SnapshotSide { realm: "acme".into(), area: "users".into(), entity: entity.into(), later, fields }
    }

    #[test]
    fn sides_are_joined_by_entity_and_field() {
        let sides = vec![
            side("a", false, &[("person_name", "ann"), ("enabled", "true")]),
            side("a", true, &[("person_name", "ann"), ("enabled", "false")]),
            side("b", false, &[("person_name", "ben"), ("right_name", "/ops")]),
        ];
        let told = differences(sides.clone(), &[]);
        assert_eq!(told.iter().map(|one| one.change).collect::<Vec<_>>(), [Change::Changed, Change::Removed]);
        assert_eq!(told[0].fields["enabled"], (Some("true".into()), Some("false".into())));
        assert_eq!((told[0].fields.len(), told[1].what.as_str()), (1, "ben > /ops"));
        let area = |name: &str| ComparedArea {
            realm: "acme".into(),
            area: name.into(),
            before: "complete".into(),
            after: "forbidden".into(),
        };
        assert_eq!(differences(sides, &[area("users")]), [], "nothing is said of what was not read");
    }
}
