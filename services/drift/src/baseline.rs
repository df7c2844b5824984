//! The access baseline: who is meant to be in which group of a realm, as a file that people review and merge. Names stay in here: what the
//! rule sees of it are keys.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Version of the format.
pub const FORMAT: u32 = 1;

/// A baseline file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// Version of the format: 1.
    pub version: u32,
    /// Source id of the Keycloak in the config.
    pub source: String,
    /// Realm.
    pub realm: String,
    /// What differs for less than this is a change on its way, minutes: a merge and its deployment are never at one instant.
    #[serde(default = "grace")]
    pub grace_minutes: u32,
    /// What makes a difference high.
    #[serde(default, skip_serializing_if = "Privileged::is_empty")]
    pub privileged: Privileged,
    /// Groups by path. A group that is not listed is not judged.
    #[serde(default)]
    pub groups: BTreeMap<String, Group>,
    /// Who may be in a group for a time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exceptions: Vec<Exception>,
}

/// Groups that matter more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Privileged {
    /// By path.
    pub groups: BTreeSet<String>,
}

impl Privileged {
    fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }
}

/// A group as it is meant to be: direct members only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Group {
    /// Who answers for it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub owner: String,
    /// Most members that it may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_members: Option<u32>,
    /// Usernames.
    pub members: Vec<String>,
    /// How often it is reviewed, in words; for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub review: String,
}

/// A membership for a time.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// Path of the group.
    pub group: String,
    /// Username.
    pub member: String,
    /// Why, such as a case.
    pub reason: String,
    /// Who permitted it.
    pub approved_by: String,
    /// The last day on which it holds, UTC: 2026-03-31.
    pub expires: String,
}

fn grace() -> u32 {
    60
}

/// How a username stands in the baseline of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// A member.
    Yes,
    /// Until this instant (UTC milliseconds).
    Until(i64),
    /// No.
    No,
}

impl Baseline {
    /// Reads a file's text. What is wrong with it is said in words.
    pub fn read(text: &str) -> Result<Self, String> {
        let baseline: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        match baseline.wrong() {
            None => Ok(baseline),
            Some(wrong) => Err(wrong),
        }
    }

    /// The file's text.
    pub fn to_text(&self) -> Result<String, String> {
        toml::to_string_pretty(self).map_err(|error| error.to_string())
    }

    fn wrong(&self) -> Option<String> {
        if self.version != FORMAT {
            return Some(format!("version {} is not known, this program reads version {FORMAT}", self.version));
        }
        for (path, group) in &self.groups {
            if !path.starts_with('/') || path.ends_with('/') {
                return Some(format!("{path}: a group is named by its whole path, such as /platform/admins"));
            }
            let names: BTreeSet<String> = group.members.iter().map(|name| name.to_lowercase()).collect();
            if names.len() < group.members.len() {
                return Some(format!("{path}: a member is listed twice"));
            }
            if group.max_members.is_some_and(|most| group.members.len() > most as usize) {
                return Some(format!("{path}: it lists more members than max_members allows"));
            }
        }
        if let Some(path) = self.privileged.groups.iter().find(|path| !self.groups.contains_key(*path)) {
            return Some(format!("privileged.groups: {path} is none of the groups"));
        }
        for exception in &self.exceptions {
            let Exception { group, member, expires, .. } = exception;
            let Some(listed) = self.groups.get(group) else {
                return Some(format!("an exception is for {group}, which is none of the groups"));
            };
            if listed.members.iter().any(|one| one.eq_ignore_ascii_case(member)) {
                return Some(format!("{group}: somebody is a member and an exception"));
            }
            if end_of_day(expires).is_none() {
                return Some(format!(
                    "{group}: an exception expires on {expires:?}, which is no day such as 2026-03-31"
                ));
            }
        }
        None
    }

    /// How a username stands in a group.
    pub fn listed(&self, group: &str, username: &str) -> Listed {
        let same = |name: &String| name.to_lowercase() == username.to_lowercase();
        if self.groups.get(group).is_some_and(|group| group.members.iter().any(same)) {
            return Listed::Yes;
        }
        let of = self.exceptions.iter().filter(|one| one.group == group && same(&one.member));
        of.filter_map(|one| end_of_day(&one.expires)).max().map_or(Listed::No, Listed::Until)
    }

    /// Exceptions that are over at `now` (UTC milliseconds): group and reason.
    pub fn expired(&self, now: i64) -> impl Iterator<Item = &Exception> {
        self.exceptions.iter().filter(move |one| end_of_day(&one.expires).is_some_and(|end| end <= now))
    }

    /// The grace, milliseconds.
    pub fn grace(&self) -> i64 {
        i64::from(self.grace_minutes) * 60_000
    }
}

/// The end of a day (2026-03-31), UTC milliseconds.
fn end_of_day(day: &str) -> Option<i64> {
    let mut parts = day.splitn(3, '-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if (year.len(), month.len(), day.len()) != (4, 2, 2) {
        return None;
    }
    let (year, month, day): (i64, i64, i64) = (year.parse().ok()?, month.parse().ok()?, day.parse().ok()?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=longest).contains(&day) {
        return None;
    }
    // Days since 1970 after Howard Hinnant's `days_from_civil`: years begin in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * month + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some((days + 1) * 86_400_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
version = 1
source = "keycloak"
realm = "corp"

[privileged]
groups = ["/platform/admins"]

[groups."/platform/admins"]
owner = "cto@example.org"
max_members = 2
members = ["alice", "Bob"]

[[exceptions]]
group = "/platform/admins"
member = "carol"
reason = "INC-812"
approved_by = "cto@example.org"
expires = "2026-02-28"
"#;

    #[test]
    fn a_file_says_who_is_listed_and_until_when() {
        let baseline = Baseline::read(FILE).unwrap();
        let listed = |name| baseline.listed("/platform/admins", name);
        let first_of_march = 1_772_323_200_000;
        assert_eq!((listed("bob"), listed("dave")), (Listed::Yes, Listed::No));
        assert_eq!(listed("Carol"), Listed::Until(first_of_march));
        assert_eq!(baseline.listed("/other", "bob"), Listed::No);
        assert_eq!((baseline.expired(first_of_march).count(), baseline.expired(first_of_march - 1).count()), (1, 0));
        assert_eq!(baseline.grace(), 3_600_000);
        assert_eq!(Baseline::read(&baseline.to_text().unwrap()).unwrap(), baseline);
    }

    #[test]
    fn a_day_is_a_day_of_the_calendar() {
        assert_eq!(end_of_day("1969-12-31"), Some(0));
        assert_eq!(end_of_day("2024-02-29"), Some(1_709_251_200_000));
        for wrong in ["2023-02-29", "2026-13-01", "2026-04-31", "2026-4-1", "soon", "2026-03-31T00:00", ""] {
            assert_eq!(end_of_day(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (change, said) in [
            (("version = 1", "version = 2"), "version 2"),
            (("[\"alice\", \"Bob\"]", "[\"alice\", \"ALICE\"]"), "twice"),
            (("max_members = 2", "max_members = 1"), "more members"),
            (("[groups.\"/platform/admins\"]", "[groups.\"platform\"]"), "whole path"),
            (("member = \"carol\"", "member = \"bob\""), "an exception"),
            (("2026-02-28", "2026-02-30"), "no day"),
            (("groups = [\"/platform/admins\"]", "groups = [\"/platform\"]"), "none of the groups"),
            (("owner =", "owned_by ="), "owned_by"),
        ] {
            let text = FILE.replace(change.0, change.1);
            assert_ne!(text, FILE);
            let wrong = Baseline::read(&text).unwrap_err();
            assert!(wrong.contains(said), "{wrong}");
        }
    }
}
