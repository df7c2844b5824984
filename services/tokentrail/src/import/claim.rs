//! What an import is said to hold completely. A file shows what is in it and never what is not: that nothing is missing
//! between two times is its operator's word, and is told as one.

use super::Format;
use crate::{beating, config::Config, status::moment};
use anyhow::bail;
use events::record::{Claim, Held};
use serde::Deserialize;
use std::collections::BTreeSet;

/// What is said of an import without a claim.
pub const NOTHING_SAID: &str = "no file shows what is not in it: if these hold everything between two times, say so with \
    --from and --to, and the gaps of that time are repaired";

/// What one file can hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Of these kinds.
    Kinds(BTreeSet<Held>),
    /// An array without entries: of the kind that no other file is of.
    Nothing,
    /// No events at all.
    NoEvents,
}

impl Holds {
    /// Of a file of this format, other than an array.
    pub fn of(format: Format) -> Self {
        match format {
            Format::BackstageLog => Self::Kinds([Held::Lines].into()),
            Format::CatalogHistory => Self::NoEvents,
            // A webhook delivers both kinds.
            Format::WebhookRecording => Self::Kinds([Held::UserEvents, Held::AdminEvents].into()),
            Format::EventArray => Self::Nothing,
        }
    }

    /// Of an array of events, by its first entry.
    pub fn of_array(first: Option<&str>) -> Self {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Entry {
            uid: Option<serde::de::IgnoredAny>,
            operation_type: Option<serde::de::IgnoredAny>,
        }
        let Some(first) = first else { return Self::Nothing };
        match serde_json::from_str(first) {
            Ok(Entry { uid: Some(_), .. }) => Self::of(Format::WebhookRecording),
            Ok(Entry { operation_type: Some(_), .. }) => Self::Kinds([Held::AdminEvents].into()),
            _ => Self::Kinds([Held::UserEvents].into()),
        }
    }
}

/// Kinds that the files hold together.
pub fn together(files: &[Holds]) -> anyhow::Result<BTreeSet<Held>> {
    let mut kinds: BTreeSet<Held> = BTreeSet::new();
    let mut nothing = 0;
    for file in files {
        match file {
            Holds::Kinds(of_file) => kinds.extend(of_file),
            Holds::Nothing => nothing += 1,
            Holds::NoEvents => {}
        }
    }
    if nothing > 0 && !kinds.contains(&Held::Lines) {
        let both = [Held::UserEvents, Held::AdminEvents];
        if both.iter().filter(|kind| !kinds.contains(kind)).count() > nothing {
            bail!("an empty array does not say of what: give the exports of /events and of /admin-events together");
        }
        kinds.extend(both);
    }
    if kinds.is_empty() {
        bail!("these files hold no events, so they cannot be complete for any time: leave --from and --to out");
    }
    Ok(kinds)
}

/// The claim that the arguments make on a source.
pub fn claim(
    config: &Config,
    (source, scopes): (&str, &[String]),
    (from, to): (i64, i64),
    holds: BTreeSet<Held>,
) -> anyhow::Result<Claim> {
    if from >= to {
        bail!("--from is not before --to: no time lies between them");
    }
    if to > crate::app::now_ms() {
        bail!("--to is in the future: nobody can say what the files will miss");
    }
    let known = config.sources.get(source).map(beating::scopes).unwrap_or_default();
    if known.iter().any(String::is_empty) && !scopes.is_empty() {
        bail!("source {source} has one address for its heartbeats and counts as one instance: leave --scope out");
    }
    if let Some(wrong) = scopes.iter().find(|scope| !known.is_empty() && !known.contains(scope)) {
        bail!("source {source} has no {wrong}; it has {}", known.join(", "));
    }
    if scopes.is_empty() && known.len() > 1 {
        bail!("say by --scope of which the files are: {} (it may be repeated)", known.join(", "));
    }
    Ok(Claim { from, to, scopes: scopes.to_vec(), holds: holds.into_iter().collect() })
}

/// What was said, for people.
pub fn describe(claim: &Claim) -> String {
    let words = |held: &Held| held.as_str().replace('_', " ");
    let holds: Vec<String> = claim.holds.iter().map(words).collect();
    let scopes = if claim.scopes.is_empty() { String::new() } else { format!(" of {}", claim.scopes.join(", ")) };
    let mut text = format!(
        "said to hold all {}{scopes} from {} to {}; `tokentrail status` shows which gaps stay",
        holds.join(" and "),
        moment(claim.from),
        moment(claim.to)
    );
    for (kind, other, export) in
        [(Held::UserEvents, Held::AdminEvents, "/admin-events"), (Held::AdminEvents, Held::UserEvents, "/events")]
    {
        if claim.holds.contains(&kind) && !claim.holds.contains(&other) {
            text.push_str(&format!("\nno gap is repaired before the export of {export} of that time came too"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(kinds: &[Held]) -> Holds {
        Holds::Kinds(kinds.iter().copied().collect())
    }

    #[test]
    fn what_a_file_can_hold_is_told_by_its_content() {
        let of = |text: &'static str| super::super::Entries::of(text.as_bytes(), "x").unwrap().holds;
        assert_eq!(of(r#"[{"id":"1","type":"LOGIN"}]"#), kinds(&[Held::UserEvents]));
        assert_eq!(of(r#"[{"id":"1","operationType":"CREATE"}]"#), kinds(&[Held::AdminEvents]));
        assert_eq!(of(r#"[{"uid":"1","type":"access.LOGIN"}]"#), kinds(&[Held::UserEvents, Held::AdminEvents]));
        assert_eq!(of("[]"), Holds::Nothing);
        assert_eq!(of("{\"message\":\"x\"}\n"), kinds(&[Held::Lines]));
    }

    #[test]
    fn an_empty_array_is_the_export_that_is_lacking() {
        let (users, admin) = (kinds(&[Held::UserEvents]), kinds(&[Held::AdminEvents]));
        let both: BTreeSet<Held> = [Held::UserEvents, Held::AdminEvents].into();
        assert_eq!(together(&[users.clone(), Holds::Nothing]).unwrap(), both);
        assert_eq!(together(&[Holds::Nothing, Holds::Nothing]).unwrap(), both);
        assert_eq!(together(&[users.clone(), admin]).unwrap(), both);
        assert_eq!(together(&[users]).unwrap(), [Held::UserEvents].into());
        assert!(together(&[Holds::Nothing]).is_err());
        assert!(together(&[Holds::NoEvents]).is_err());
    }

    #[test]
    fn a_claim_names_its_realms_where_there_are_several() {
        let mut config = Config::default();
        let text = "kind = \"keycloak\"\n[pull]\nurl = \"http://k\"\nrealms = [\"acme\", \"partners\"]\n\
            client_id = \"t\"\nclient_secret_file = \"c\"";
        config.sources.insert("kc".into(), toml::from_str(text).unwrap());
        let make = |scopes: &[&str], times: (i64, i64)| {
            let scopes: Vec<String> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
            claim(&config, ("kc", &scopes), times, [Held::UserEvents].into()).map_err(|error| error.to_string())
        };
        assert_eq!(make(&["acme"], (1, 2)).unwrap().scopes, ["acme"]);
        assert!(make(&[], (1, 2)).unwrap_err().contains("acme, partners"));
        assert!(make(&["amce"], (1, 2)).unwrap_err().contains("has no amce"));
        assert!(make(&["acme"], (2, 2)).unwrap_err().contains("not before"));
        assert!(make(&["acme"], (2, i64::MAX)).unwrap_err().contains("future"));
        let said = describe(&make(&["acme"], (1, 2)).unwrap());
        assert!(said.contains("user events of acme") && said.contains("/admin-events"), "{said}");
    }
}
