//! `tokentrail person merge|split`: an operator's word that two accounts are one human or machine, or are not, after all.
//!
//! The act is a receipt: it goes into the journal of the program that takes receipts in here, and comes to the correlation like
//! everything else. Nothing is written to ClickHouse here.

use crate::{
    app::acts::PERSONS,
    ask::{acts::Acts, one_person},
    config::{Config, Kind},
    deployment,
    handing_in::{FOLLOWING, LOOK, hand_in},
    status::moment,
    table::visible,
};
use anyhow::bail;
use clap::Args;
use events::{
    act::{Account, AccountKind, PersonAct, Said, TEXT_BYTES},
    person::DeploymentKey,
};
use serde::Serialize;
use std::{collections::BTreeSet, time::Instant};
use store::{
    Store,
    correlation::{AliasRecord, Bearer, PersonActRecord},
};
use uuid::Uuid;

/// `tokentrail person merge`.
#[derive(Args)]
pub struct MergeArgs {
    /// The person whose key stays: username, e-mail, entity reference, Keycloak user id or person key.
    pub person: String,
    /// Who is the same human or machine, and counts as that person from now on and for all that was.
    pub other: String,
    #[command(flatten)]
    pub word: Word,
    /// Merge two users of one realm, too.
    #[arg(long)]
    pub force: bool,
}

/// `tokentrail person split`.
#[derive(Args)]
pub struct SplitArgs {
    /// The account that is a person of its own again: Keycloak user id, key of the account, or a name that only it has.
    pub account: String,
    #[command(flatten)]
    pub word: Word,
}

/// Who says so, and why.
#[derive(Args)]
pub struct Word {
    /// Why. It is kept with the act.
    #[arg(long)]
    pub reason: String,
    /// Who says so; default: the user of this shell.
    #[arg(long, env = "USER", hide_env_values = true)]
    pub by: String,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t = crate::Format::Table)]
    pub format: crate::Format,
}

impl Word {
    fn check(&self) -> anyhow::Result<()> {
        let good = |text: &str| !text.trim().is_empty() && text.len() <= TEXT_BYTES;
        if good(&self.by) && good(&self.reason) {
            return Ok(());
        }
        bail!("--by names who says so and --reason says why; neither may be empty or longer than {TEXT_BYTES} bytes")
    }
}

/// What was done.
#[derive(Serialize)]
pub struct Done {
    act: &'static str,
    /// The act's own id.
    id: Uuid,
    /// Its receipt, STREAM/SEQ.
    receipt: String,
    /// Key of the account that was moved.
    account: String,
    /// Key of the person that it belongs to by this.
    person: String,
    /// True if the answers say so by now.
    follows: bool,
}

/// Merges two persons.
pub async fn merge(config: &Config, args: &MergeArgs) -> anyhow::Result<Done> {
    args.word.check()?;
    let store = crate::running::store(config)?;
    let desk = Desk { config, store: &store, key: deployment::key(config)? };
    let (kept, other) = (
        one_person(&store, &config.tenant, &args.person).await?,
        one_person(&store, &config.tenant, &args.other).await?,
    );
    let acts = store.person_acts(&config.tenant).await?;
    let folded = Acts::of(&acts);
    // By what was said, not by what is answered by now: an act may still be on its way to the correlation.
    let (into, account) = (folded.root(&kept.person), folded.root(&other.person));
    if into == account {
        bail!("{}", one_already(&args.person, &args.other, (&kept, &other), &folded));
    }
    let into = desk.account(into, &kept.names)?;
    let account = desk.account(account, &other.names)?;
    if !args.force {
        desk.same_realm((&args.person, &kept), (&args.other, &other)).await?;
    }
    let person = into.key(&config.tenant, &desk.key).0;
    desk.act(Said::Merge { account, into }, &args.word, &person).await
}

fn one_already(one: &str, other: &str, (kept, same): (&Bearer, &Bearer), acts: &Acts<'_>) -> String {
    let merged = accounts(kept).into_iter().chain(accounts(same)).find_map(|account| acts.merge_of(&account).cloned());
    match merged {
        None => format!("{one} and {other} are the same account: there is nothing to merge"),
        Some(act) => format!(
            "{one} and {other} are one person already (merged {} by {}: {}); `tokentrail person show` tells how",
            moment(act.done_at),
            visible(&act.done_by),
            visible(&act.reason)
        ),
    }
}

/// Splits an account off the person that it was merged into.
pub async fn split(config: &Config, args: &SplitArgs) -> anyhow::Result<Done> {
    args.word.check()?;
    let store = crate::running::store(config)?;
    let desk = Desk { config, store: &store, key: deployment::key(config)? };
    let bearer = one_person(&store, &config.tenant, &args.account).await?;
    let acts = store.person_acts(&config.tenant).await?;
    let folded = Acts::of(&acts);
    let meant = meant(&bearer, args.account.trim());
    let [meant] = meant.iter().map(String::as_str).collect::<Vec<_>>()[..] else {
        bail!(
            "{} fits several accounts of one person; give one of them:\n{}",
            args.account,
            listed(&bearer, meant.iter())
        );
    };
    let below = folded.below(meant);
    // What was merged is the other one: to take that off comes to the same two persons.
    let account = match (folded.merge_of(meant), &below[..]) {
        (Some(_), _) => meant,
        (None, [only]) => only,
        (None, []) => bail!(
            "{} was merged into nothing, and nothing into it: there is nothing to split (`tokentrail person show` lists acts)",
            args.account
        ),
        (None, several) => bail!(
            "{} is the account that others were merged into; give the one that is to be split off:\n{}",
            args.account,
            listed(&bearer, several.iter())
        ),
    };
    // As it was named when it was merged.
    let Some(merge) = folded.merge_of(account) else { bail!("the acts changed while they were read: try again") };
    let said = Said::Split { account: named(merge)? };
    desk.act(said, &args.word, account).await
}

fn named(merge: &PersonActRecord) -> anyhow::Result<Account> {
    let kind = merge.account_kind.parse();
    let kind: AccountKind = kind.map_err(|()| anyhow::anyhow!("the merge was written by a newer program"))?;
    Ok(Account { source: merge.account_source.clone(), kind, name: merge.account_name.clone() })
}

/// Keys of the accounts of a person.
fn accounts(bearer: &Bearer) -> BTreeSet<String> {
    bearer.names.iter().map(|name| account_of(name).to_owned()).chain([bearer.person.clone()]).collect()
}

fn account_of(name: &AliasRecord) -> &str {
    if name.account.is_empty() { &name.person } else { &name.account }
}

/// Which accounts of a person a text means: one by id or key, else all that bear the name.
fn meant(bearer: &Bearer, text: &str) -> BTreeSet<String> {
    let by = |fits: &dyn Fn(&AliasRecord) -> bool| -> BTreeSet<String> {
        bearer.names.iter().filter(|name| fits(name)).map(|name| account_of(name).to_owned()).collect()
    };
    let exact = by(&|name| name.user_id == text || account_of(name) == text);
    if !exact.is_empty() {
        return exact;
    }
    let lower = text.to_lowercase();
    by(&|name| {
        let known = name.name.to_lowercase();
        known == lower || (name.kind == "reference" && known.rsplit('/').next() == Some(&lower))
    })
}

/// Accounts with their names, a line each.
fn listed<'a, S: AsRef<str> + 'a>(bearer: &Bearer, keys: impl Iterator<Item = &'a S>) -> String {
    let line = |key: &'a S| {
        let names = bearer.names.iter().filter(|name| account_of(name) == key.as_ref());
        let names: BTreeSet<&str> = names.map(|name| name.name.as_str()).collect();
        format!("  {}  {}", key.as_ref(), visible(&names.into_iter().collect::<Vec<_>>().join(", ")))
    };
    keys.map(line).collect::<Vec<_>>().join("\n")
}

/// Where acts are made.
struct Desk<'a> {
    config: &'a Config,
    store: &'a Store,
    key: DeploymentKey,
}

impl Desk<'_> {
    /// How its source names an account: a key says nothing to who reads the act.
    fn account(&self, key: &str, names: &[AliasRecord]) -> anyhow::Result<Account> {
        let tenant = &self.config.tenant;
        for name in names.iter().filter(|name| account_of(name) == key) {
            for (source, config) in &self.config.sources {
                let (kind, called) = match (config.kind, name.kind.as_str()) {
                    (Kind::Keycloak, _) => (AccountKind::KeycloakUser, &name.user_id),
                    (Kind::Backstage, "static") => (AccountKind::Static, &name.name),
                    (Kind::Backstage, "plugin") => (AccountKind::Plugin, &name.name),
                    (Kind::Backstage, _) => (AccountKind::User, &name.name),
                };
                let account = Account { source: source.clone(), kind, name: called.clone() };
                if account.key(tenant, &self.key).0 == key {
                    return Ok(account);
                }
            }
        }
        bail!(
            "no source of this config has an account of key {key}: ask with the config (and the deployment key) of the \
             program that stores"
        )
    }

    /// Refuses two users of one realm: there, two accounts are as a rule two humans, and what both may do would be one's.
    async fn same_realm(&self, one: (&str, &Bearer), other: (&str, &Bearer)) -> anyhow::Result<()> {
        let realms = |bearer: &Bearer| {
            let accounts: Vec<String> = accounts(bearer).into_iter().collect();
            async move { self.store.realms_of(&self.config.tenant, &accounts).await }
        };
        let (first, second) = (realms(one.1).await?, realms(other.1).await?);
        let same = first.iter().find(|(_, source, realm)| second.iter().any(|(_, s, r)| s == source && r == realm));
        if let Some((_, source, realm)) = same {
            bail!(
                "{} and {} are two users of realm {realm} of {source}: a realm seldom has one human twice, and from then on \
                 what either does is told of one person. If they are one, say so with --force",
                one.0,
                other.0
            );
        }
        Ok(())
    }

    /// Makes the act and waits until the answers follow.
    async fn act(&self, said: Said, word: &Word, person: &str) -> anyhow::Result<Done> {
        let (act, account) = match &said {
            Said::Merge { .. } => ("merge", said.account().clone()),
            Said::Split { .. } => ("split", said.account().clone()),
        };
        let said = PersonAct { said, by: word.by.trim().to_owned(), reason: word.reason.trim().to_owned() };
        let id = Uuid::new_v4();
        let receipt = hand_in(self.config, (PERSONS, id), &said).await?;
        let account = account.key(&self.config.tenant, &self.key).0;
        let follows = self.follows(&account, person).await?;
        Ok(Done { act, id, receipt, account, person: person.to_owned(), follows })
    }

    /// Whether the account's names are told of the person by now, within some time.
    async fn follows(&self, account: &str, person: &str) -> anyhow::Result<bool> {
        let began = Instant::now();
        loop {
            let names = self.store.names_of(&self.config.tenant, &[person.to_owned()]).await?;
            if names.iter().flat_map(|bearer| &bearer.names).any(|name| account_of(name) == account) {
                return Ok(true);
            }
            if began.elapsed() > FOLLOWING {
                return Ok(false);
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// For people.
pub fn render(done: &Done) -> String {
    let what = match done.act {
        "merge" => format!("account {} counts as person {}", done.account, done.person),
        _ => format!("account {} is a person of its own again", done.account),
    };
    let follows = if done.follows {
        "all answers say so by now"
    } else {
        "answers follow as soon as the receipt is correlated (`tokentrail status`)"
    };
    format!("  {what}\n  act {}, receipt {}; {follows}\n", done.id, done.receipt)
}
