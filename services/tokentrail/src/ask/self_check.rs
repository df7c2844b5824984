//! `tokentrail self-check`: answers everything again from all stored events in this process and compares with the rows that
//! stand, for a random sample of persons. Reads only, and takes no more memory than the correlation may.

use crate::{config::Config, secrets};
use anyhow::Context;
use events::person::DeploymentKey;
use pipeline::correlation::{Compared, compare};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use store::Store;

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
    let key = DeploymentKey::new(secrets::deployment_key(&config.data_dir, &config.deployment_key_file)?);
    let mut checked = once(store, config, (&key, sample)).await?;
    // What came in between the two reads makes rows differ that agree in the end.
    if !checked.differ.is_empty() {
        checked = once(store, config, (&key, sample)).await?;
    }
    Ok(checked)
}

async fn once(store: &Store, config: &Config, (key, sample): (&DeploymentKey, usize)) -> anyhow::Result<Checked> {
    let compared = compare(store, config.correlation(key.clone()), config.correlation.memory());
    let Compared { events, rows, mut differ } = compared.await.context("cannot read what is stored")?;
    let everybody: BTreeSet<&str> = rows.keys().chain(differ.keys()).map(String::as_str).collect();
    let persons = choose(everybody.into_iter().collect(), sample)?;
    let count = persons.len();
    let compared = persons.iter().filter_map(|person| rows.get(*person)).sum();
    let persons: BTreeSet<String> = persons.into_iter().map(str::to_owned).collect();
    differ.retain(|person, _| persons.contains(person));
    Ok(Checked { events, persons: count, rows: compared, differ })
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
