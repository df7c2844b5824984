//! Baseline files against what is held now. Names are compared here and go no further: rules see keys.

use super::Reader;
use drift::{
    Baseline,
    baseline::Listed,
    facts::{BaselineFacts, BaselineGroup, Member, Source},
};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};
use store::{Store, StoreError, baseline::MemberNow};
use uuid::Uuid;

/// A baseline file as it was read.
#[derive(Clone, Debug)]
pub struct BaselineFile {
    /// What it says.
    pub baseline: Baseline,
    /// SHA-256 of the file, hex.
    pub sha256: String,
    /// When the file changed last, UTC milliseconds.
    pub changed: i64,
}

/// Why a file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum UnusableBaseline {
    /// It cannot be read.
    #[error("{0} cannot be read: {1}", path.display(), why)]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
    /// It says something wrong.
    #[error("{0}: {1}", path.display(), why)]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What.
        why: String,
    },
}

impl BaselineFile {
    /// Reads one.
    pub fn read(path: &Path) -> Result<Self, UnusableBaseline> {
        let unreadable = |why| UnusableBaseline::Unreadable { path: path.to_owned(), why };
        let bytes = std::fs::read(path).map_err(unreadable)?;
        let changed = std::fs::metadata(path).and_then(|about| about.modified()).map_err(unreadable)?;
        let changed = changed.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let wrong = |why: String| UnusableBaseline::Wrong { path: path.to_owned(), why };
        let text = std::str::from_utf8(&bytes).map_err(|_| wrong("it is not UTF-8".into()))?;
        Ok(Self {
            baseline: Baseline::read(text).map_err(wrong)?,
            sha256: hex::encode(Sha256::digest(&bytes)),
            changed: i64::try_from(changed).unwrap_or_default(),
        })
    }
}

/// One group of a file against what is held. Holds names.
#[derive(Clone, Debug)]
pub struct GroupNow {
    /// Path.
    pub path: String,
    /// Keycloak id; empty: nothing has named such a group.
    pub id: String,
    /// Who is in it, and how the file lists them.
    pub held: Vec<(MemberNow, Listed)>,
    /// Who should be in it: place in the list from 1, username, person key (empty: never seen), when they left.
    pub lacking: Vec<(u32, String, String, Option<i64>)>,
}

/// Holds a file against what is held now, group by group.
pub async fn compare(store: &Store, tenant: &str, baseline: &Baseline) -> Result<Vec<GroupNow>, StoreError> {
    let paths: Vec<String> = baseline.groups.keys().cloned().collect();
    let named = store.groups_named(tenant, (&baseline.source, &baseline.realm), &paths).await?;
    let ids: Vec<String> = named.iter().map(|(_, id)| id.clone()).collect();
    let (mut held, mut left) = (store.members_now(tenant, &ids).await?, store.members_before(tenant, &ids).await?);
    let persons: BTreeSet<String> = held.iter().map(|member| member.person.clone()).collect();
    let persons: Vec<String> = persons.into_iter().collect();
    let deleted: BTreeMap<String, i64> = store.deleted_persons(tenant, &persons).await?.into_iter().collect();
    held.retain(|member| match deleted.get(&member.person) {
        None => true,
        Some(at) => {
            left.push((member.group.clone(), member.person.clone(), *at));
            false
        }
    });
    let names: Vec<String> = baseline.groups.values().flat_map(|group| group.members.iter().cloned()).collect();
    let mut known: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, person) in store.persons_named(tenant, &names).await? {
        known.entry(name).or_default().push(person);
    }
    let group = |(path, group): (&String, &drift::baseline::Group)| {
        // A group that was deleted and made anew has several ids; the latest is last.
        let ids: Vec<&String> = named.iter().filter(|(name, _)| name == path).map(|(_, id)| id).collect();
        let held: Vec<(MemberNow, Listed)> = held
            .iter()
            .filter(|member| ids.contains(&&member.group))
            .map(|member| (member.clone(), baseline.listed(path, &member.username)))
            .collect();
        let lacking = group.members.iter().zip(1..).filter_map(|(name, entry)| {
            let small = name.to_lowercase();
            if held.iter().any(|(member, _)| member.username.to_lowercase() == small) {
                return None;
            }
            // Of several with this name (deleted and made anew, or in another realm) nobody is meant for sure.
            let person = known.get(&small).filter(|persons| persons.len() == 1).map(|persons| persons[0].clone());
            let person = person.unwrap_or_default();
            let since = left.iter().filter(|(group, who, _)| ids.contains(&group) && *who == person);
            Some((entry, name.clone(), person.clone(), since.map(|(_, _, at)| *at).max()))
        });
        let lacking = lacking.collect();
        GroupNow { path: path.clone(), id: ids.last().map(|id| (*id).clone()).unwrap_or_default(), held, lacking }
    };
    Ok(baseline.groups.iter().map(group).collect())
}

impl Reader {
    /// All files against what is held; none: there is no file, or one is of no use, with why.
    pub(super) async fn baseline(
        &self,
        sources: &[Source],
    ) -> Result<Result<Option<BaselineFacts>, UnusableBaseline>, StoreError> {
        if self.baselines.is_empty() || !self.correlated {
            return Ok(Ok(None));
        }
        let mut facts = BaselineFacts::default();
        for path in &self.baselines {
            let file = match BaselineFile::read(path) {
                Ok(file) => file,
                Err(why) => return Ok(Err(why)),
            };
            let first = sources.iter().find(|source| source.id == file.baseline.source).and_then(|one| one.first);
            let now = compare(&self.store, &self.tenant, &file.baseline).await?;
            facts.groups.extend(now.into_iter().map(|group| facts_of(group, &file, first.unwrap_or_default())));
        }
        Ok(Ok(Some(facts)))
    }
}

fn facts_of(group: GroupNow, file: &BaselineFile, known_since: i64) -> BaselineGroup {
    let baseline = &file.baseline;
    let held = group.held.into_iter().map(|(member, listed)| Member {
        person: member.person,
        since: member.since,
        listed,
        granted_in: Some(member.granted_in).filter(|id: &Uuid| !id.is_nil()),
        inferred: member.rests_on_gap != 0,
        ..Member::default()
    });
    let lacking =
        group.lacking.into_iter().map(|(entry, _, person, since)| Member { person, entry, since, ..Member::default() });
    BaselineGroup {
        source: baseline.source.clone(),
        realm: baseline.realm.clone(),
        most: baseline.groups.get(&group.path).and_then(|group| group.max_members),
        privileged: baseline.privileged.groups.contains(&group.path),
        path: group.path,
        id: group.id,
        grace: baseline.grace(),
        changed: file.changed,
        file: file.sha256.chars().take(12).collect(),
        known_since,
        held: held.collect(),
        lacking: lacking.collect(),
    }
}
