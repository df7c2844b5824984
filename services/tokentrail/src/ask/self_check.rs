//! `tokentrail self-check`: answers everything again from all stored events in this process and compares with the rows that
//! stand, for a random sample of persons. Reads only.

use crate::{config::Config, secrets};
use anyhow::Context;
use events::person::DeploymentKey;
use pipeline::correlation::Fold;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use store::{Store, correlation::Place};

/// What a comparison came to.
#[derive(Serialize)]
pub struct Checked {
    /// Events that were read.
    pub events: u64,
    /// Persons that were compared.
    pub persons: usize,
    /// Rows that were compared.
    pub rows: usize,
    /// Person keys whose rows differ, with the number of rows that do. The empty key: rows of nobody.
    pub differ: BTreeMap<String, usize>,
}

/// Compares `sample` persons (0: all).
pub async fn run(store: &Store, config: &Config, sample: usize) -> anyhow::Result<Checked> {
    let key = DeploymentKey::new(secrets::deployment_key(&config.data_dir)?);
    let mut checked = once(store, config, (&key, sample)).await?;
    // What came in between the two reads makes rows differ that agree in the end.
    if !checked.differ.is_empty() {
        checked = once(store, config, (&key, sample)).await?;
    }
    Ok(checked)
}

async fn once(store: &Store, config: &Config, (key, sample): (&DeploymentKey, usize)) -> anyhow::Result<Checked> {
    let tenant = &config.tenant;
    let mut fold = Fold::new(config.correlation(key.clone()), 0, HashMap::new());
    let events = store.each_event(tenant, &mut |told| fold.take(&told)).await.context("cannot read the events")?;
    fold.settle();
    let expected = fold.places();
    let found = store.correlated_places(tenant).await?;
    let everybody: BTreeSet<&str> =
        expected.values().chain(found.values()).map(|place| place.person.as_str()).collect();
    let persons = choose(everybody.into_iter().collect(), sample)?;
    let of = |place: &Place| persons.contains(place.person.as_str());
    let mut differ: BTreeMap<String, usize> = BTreeMap::new();
    let mut rows = 0;
    for (id, place) in expected.iter().filter(|(_, place)| of(place)) {
        rows += 1;
        if found.get(id) != Some(place) {
            *differ.entry(place.person.clone()).or_default() += 1;
        }
    }
    for (_, place) in found.iter().filter(|(id, place)| of(place) && !expected.contains_key(*id)) {
        *differ.entry(place.person.clone()).or_default() += 1;
    }
    Ok(Checked { events, persons: persons.len(), rows, differ })
}

fn choose(mut persons: Vec<&str>, sample: usize) -> anyhow::Result<BTreeSet<&str>> {
    if sample == 0 || sample >= persons.len() {
        return Ok(persons.into_iter().collect());
    }
    let mut chosen = BTreeSet::new();
    while chosen.len() < sample {
        let mut random = [0; 8];
        getrandom::fill(&mut random).context("the system gives no random bytes")?;
        let index = u64::from_le_bytes(random) % persons.len() as u64;
        chosen.insert(persons.swap_remove(usize::try_from(index).unwrap_or_default()));
    }
    Ok(chosen)
}

/// For people.
pub fn render(checked: &Checked) -> String {
    let mut out = format!(
        "  {} events answered again; {} rows of {} persons compared with those that stand\n",
        checked.events, checked.rows, checked.persons
    );
    for (person, rows) in &checked.differ {
        let person = if person.is_empty() { "nobody" } else { person };
        out.push_str(&format!("  DIFFERENT  {rows} rows of {person}\n"));
    }
    if checked.differ.is_empty() {
        out.push_str("  they agree\n");
    }
    out
}
