//! The one delivery that the demo withholds on purpose: a person leaves a group, and the webhook that says so is never sent. A
//! snapshot of what was recorded of Keycloak's state then shows that an event is missing; Keycloak's own event store has it.

use crate::{
    ask::{self, DecisionsArgs, GapsArgs},
    config::Config,
};
use anyhow::{Context, bail};
use serde::Deserialize;
use std::collections::BTreeMap;
use store::Store;

/// Whose removal is withheld.
const WHO: &str = "ben";

/// A removal that was not told.
pub struct Withheld {
    /// Who left.
    pub who: String,
    /// Which group.
    pub group: String,
    /// When, UTC milliseconds.
    pub at: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    #[serde(rename = "type")]
    kind: String,
    time: i64,
    #[serde(default)]
    details: BTreeMap<String, String>,
    #[serde(default)]
    representation: String,
}

#[derive(Deserialize)]
struct Group {
    path: String,
}

/// Takes the delivery out of all.
pub fn withhold(webhooks: &mut Vec<String>) -> anyhow::Result<Withheld> {
    for (index, body) in webhooks.iter().enumerate() {
        let Ok(told) = serde_json::from_str::<Told>(body) else { continue };
        if told.kind != "admin.GROUP_MEMBERSHIP-DELETE" || told.details.get("username").is_none_or(|who| who != WHO) {
            continue;
        }
        let group: Group = serde_json::from_str(&told.representation).context("a removal that names no group")?;
        webhooks.remove(index);
        return Ok(Withheld { who: WHO.to_owned(), group: group.path, at: told.time });
    }
    bail!("the recorded story holds no removal of {WHO} from a group")
}

/// Says what the snapshot found.
pub async fn found(store: &Store, config: &Config, withheld: &Withheld) -> anyhow::Result<()> {
    let tenant = &config.tenant;
    let args = GapsArgs { from: None, to: None, format: crate::Format::Table };
    let gaps = ask::gaps::find(store, tenant, &args).await?;
    let Withheld { who, group, at } = withheld;
    println!(
        "\nOne delivery was withheld on purpose: that {who} left {group} at {}. What the snapshot finds (tokentrail gaps):\n",
        crate::status::moment(*at)
    );
    let lines: Vec<String> = gaps.missing().collect();
    let [line] = lines.as_slice() else {
        bail!("{} missing events instead of one: this is a fault of Tokentrail", lines.len());
    };
    println!("    {line}");
    let args = DecisionsArgs { person: Some(who.clone()), ..DecisionsArgs::latest(super::DECISIONS) };
    let decisions = ask::decisions::find(store, tenant, &args).await?;
    let rest = decisions.iter().filter(|one| one.reasons.iter().any(|reason| reason == "rests_on_gap")).count();
    println!("\n  {rest} decisions about {who} rest on it; each says so, and none of them is called a violation.");
    Ok(())
}

/// Says that nothing is missing any more.
pub async fn closed(store: &Store, config: &Config) -> anyhow::Result<()> {
    let args = GapsArgs { from: None, to: None, format: crate::Format::Table };
    let left = ask::gaps::find(store, &config.tenant, &args).await?.missing().count();
    if left > 0 {
        bail!("{left} events are still missing: this is a fault of Tokentrail");
    }
    println!(
        "  - it came late and is put where it belongs: no event is missing any more, and the answers below are whole"
    );
    Ok(())
}
