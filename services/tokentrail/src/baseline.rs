//! `tokentrail baseline check|diff|init-from-snapshot`: the file of who is meant to be in which group, beside what is held. Changes nothing.

use crate::{
    Format,
    app::now_ms,
    commands::write_out,
    config::Config,
    running,
    table::{Align, Table, visible},
};
use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use drift::{
    Baseline,
    baseline::{FORMAT, Group, Listed},
};
use pipeline::detect::baseline::{BaselineFile, GroupNow, compare};
use serde::Serialize;
use std::{collections::BTreeMap, path::PathBuf};

/// `tokentrail baseline`.
#[derive(Subcommand)]
pub enum BaselineCommand {
    /// Say whether files are well formed, and which exceptions are over. Asks no program and no store. Exit code 1: one is not.
    Check(FilesArgs),
    /// Who is in a group and not in the file, and the other way round, now and without any grace. Exit code 1: something differs.
    Diff(FilesArgs),
    /// Write a file of what the last complete snapshot of a realm has, to begin with. Review it before it is believed.
    InitFromSnapshot(InitArgs),
}

/// Which files.
#[derive(Args)]
pub struct FilesArgs {
    /// Files; default: alerts.baselines of the config.
    files: Vec<PathBuf>,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// `tokentrail baseline init-from-snapshot`.
#[derive(Args)]
pub struct InitArgs {
    /// Source id of the Keycloak.
    #[arg(long)]
    source: String,
    /// Realm.
    #[arg(long)]
    realm: String,
    /// Only this group, by path; may be given several times.
    #[arg(long = "group", value_name = "PATH")]
    groups: Vec<String>,
}

impl FilesArgs {
    fn files(&self, config: &Config) -> anyhow::Result<Vec<PathBuf>> {
        let files = if self.files.is_empty() { config.baselines() } else { self.files.clone() };
        if files.is_empty() {
            bail!("no file was named, and the config has no alerts.baselines (docs/alerts.md)");
        }
        Ok(files)
    }
}

/// A file that was looked at.
#[derive(Serialize)]
pub struct Checked {
    file: PathBuf,
    /// What is wrong with it.
    pub wrong: Option<String>,
    groups: usize,
    members: usize,
    exceptions: usize,
    /// Exceptions that are over: group and reason.
    over: Vec<(String, String)>,
}

/// Looks at files.
pub fn check(config: &Config, args: &FilesArgs) -> anyhow::Result<Vec<Checked>> {
    let one = |file: PathBuf| match BaselineFile::read(&file) {
        Ok(BaselineFile { baseline, .. }) => Checked {
            file,
            wrong: None,
            groups: baseline.groups.len(),
            members: baseline.groups.values().map(|group| group.members.len()).sum(),
            exceptions: baseline.exceptions.len(),
            over: baseline.expired(now_ms()).map(|one| (one.group.clone(), one.reason.clone())).collect(),
        },
        Err(why) => {
            Checked { file, wrong: Some(why.to_string()), groups: 0, members: 0, exceptions: 0, over: Vec::new() }
        }
    };
    Ok(args.files(config)?.into_iter().map(one).collect())
}

/// For people.
pub fn render_checked(checked: &[Checked]) -> String {
    let mut out = String::new();
    for one in checked {
        match &one.wrong {
            Some(wrong) => out.push_str(&format!("  WRONG  {}\n", visible(wrong))),
            None => out.push_str(&format!(
                "  good   {}: {} groups, {} members, {} exceptions\n",
                one.file.display(),
                one.groups,
                one.members,
                one.exceptions
            )),
        }
        for (group, reason) in &one.over {
            out.push_str(&format!("  over   an exception for {}: {}\n", visible(group), visible(reason)));
        }
    }
    out
}

/// Something that differs.
#[derive(Serialize)]
pub struct Differing {
    group: String,
    /// `extra`, `missing`, `expired exception`, `more than max_members`, `never seen`.
    what: &'static str,
    username: String,
    person: String,
}

/// Holds files against what is held now.
pub async fn diff(config: &Config, args: &FilesArgs) -> anyhow::Result<Vec<Differing>> {
    let store = running::store(config)?;
    let mut differing = Vec::new();
    for path in args.files(config)? {
        let file = BaselineFile::read(&path)?;
        let now =
            compare(&store, &config.tenant, &file.baseline).await.context("the store does not say what is held")?;
        for group in now {
            differs(&group, &file.baseline, &mut differing);
        }
    }
    Ok(differing)
}

fn differs(group: &GroupNow, baseline: &Baseline, out: &mut Vec<Differing>) {
    let mut put = |what, username: &str, person: &str| {
        let (group, username, person) = (group.path.clone(), username.to_owned(), person.to_owned());
        out.push(Differing { group, what, username, person });
    };
    if group.id.is_empty() {
        return put("never seen", "", "");
    }
    for (member, listed) in &group.held {
        match listed {
            Listed::No => put("extra", &member.username, &member.person),
            Listed::Until(end) if *end <= now_ms() => put("expired exception", &member.username, &member.person),
            _ => {}
        }
    }
    for (_, username, person, _) in &group.lacking {
        put("missing", username, person);
    }
    let most = baseline.groups.get(&group.path).and_then(|group| group.max_members);
    if most.is_some_and(|most| group.held.len() > most as usize) {
        put("more than max_members", "", "");
    }
}

/// For people.
pub fn render_diff(differing: &[Differing]) -> String {
    if differing.is_empty() {
        return "  what is held is what the baseline says\n".into();
    }
    let mut table = Table::new(&[
        ("group", Align::Left),
        ("what", Align::Left),
        ("username", Align::Left),
        ("person", Align::Left),
    ]);
    for one in differing {
        let person = one.person.chars().take(8).collect();
        table.row(vec![visible(&one.group), one.what.into(), visible(&one.username), person]);
    }
    table.render()
}

/// Writes a file of what the last complete snapshot has.
pub async fn init(config: &Config, args: &InitArgs) -> anyhow::Result<()> {
    let store = running::store(config)?;
    let read = store.members_read(&config.tenant, (&args.source, &args.realm)).await;
    let Some((snapshot, members)) = read.context("the store does not say what was read")? else {
        bail!(
            "no complete snapshot of realm {} of source {}: `tokentrail snapshot take --source {}`",
            args.realm,
            args.source,
            args.source
        );
    };
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for (path, username) in members {
        if !args.groups.is_empty() && !args.groups.contains(&path) {
            continue;
        }
        let group = groups.entry(path).or_default();
        if !username.is_empty() {
            group.members.push(username);
        }
    }
    if let Some(unknown) = args.groups.iter().find(|path| !groups.contains_key(*path)) {
        bail!("the snapshot has no group {unknown}");
    }
    let baseline = Baseline {
        version: FORMAT,
        source: args.source.clone(),
        realm: args.realm.clone(),
        grace_minutes: 60,
        privileged: Default::default(),
        groups,
        exceptions: Vec::new(),
    };
    let text = baseline.to_text().map_err(anyhow::Error::msg)?;
    let head = format!(
        "# As snapshot {snapshot} read it. Review it, name owners and privileged groups, and keep it in git.\n"
    );
    write_out((head + &text).as_bytes())
}
