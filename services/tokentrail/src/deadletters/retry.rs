//! `deadletters retry`: dead letters are judged again, and events that the correlation left out are tried again.

use super::{Which, count, left_out, position};
use crate::{Format, config::Config, replay, running};
use anyhow::{Context, bail};
use clap::Args;
use events::{ids::Position, normalise::NORMALISER_VERSION};
use pipeline::replay::{Mode, Summary};
use serde::Serialize;

/// What is judged again.
#[derive(Args)]
pub struct RetryArgs {
    /// Only this one: STREAM/SEQ.
    #[arg(value_parser = position)]
    receipt: Option<Position>,
    #[command(flatten)]
    which: Which,
    /// Write nothing; count what would change.
    #[arg(long)]
    dry_run: bool,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// What `retry` tells.
#[derive(Debug, Serialize)]
pub struct Retried {
    #[serde(flatten)]
    summary: Summary,
    still_dead: u64,
    /// Events that the correlation left out and now tries again.
    left_out: u64,
}

impl Retried {
    /// True if none of them is dead any more.
    pub fn good(&self) -> bool {
        self.still_dead == 0
    }
}

/// `retry`.
pub async fn retry(
    config: &Config,
    args: &RetryArgs,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> anyhow::Result<Retried> {
    let selection = args.which.selection(args.receipt)?;
    let store = running::store(config)?;
    let mut left_out = left_out::find(&store, &config.tenant, &args.which).await?;
    left_out.retain(|(_, receipt)| args.receipt.is_none_or(|at| *receipt == at.to_string()));
    let dead = count(&store, &config.tenant, &selection).await?;
    if let Some(at) = args.receipt.filter(|_| dead == 0 && left_out.is_empty()) {
        bail!("the store holds no dead letter {at}");
    }
    let mode = if args.dry_run { Mode::DryRun } else { Mode::Write };
    let summary = if dead == 0 {
        Summary { normaliser: NORMALISER_VERSION, dry_run: args.dry_run, ..Summary::default() }
    } else {
        replay::judge(config, (&selection, mode), progress).await?
    };
    let mended: u64 = summary.fates.iter().filter(|fate| fate.to != "dead").map(|fate| fate.receipts).sum();
    let still_dead = match mode {
        Mode::DryRun => summary.receipts.selected.saturating_sub(mended),
        Mode::Write => {
            count(&store, &config.tenant, &selection).await.context("the store does not say what is left")?
        }
    };
    let left_out: Vec<_> = left_out.into_iter().map(|(one, _)| one).collect();
    if mode == Mode::Write && !left_out.is_empty() {
        store.try_set_aside_again(&config.tenant, &left_out).await?;
    }
    Ok(Retried { summary, still_dead, left_out: left_out.len() as u64 })
}

/// The outcome for people.
pub fn render_retry(retried: &Retried) -> String {
    let mut out = match retried.summary.receipts.selected {
        0 if retried.left_out == 0 => return "  no dead letters\n".to_owned(),
        0 => String::new(),
        _ => replay::render(&retried.summary),
    };
    if retried.left_out > 0 {
        out.push_str(&format!(
            "\n  {} events that the correlation had left out are tried again: `list` shows those of which it dies again\n",
            retried.left_out
        ));
    }
    if retried.still_dead > 0 {
        let current = retried.summary.receipts.current;
        out.push_str(&format!("\n  {} are still dead", retried.still_dead));
        if current > 0 {
            out.push_str(&format!("; {current} of them this program had judged before: only a newer one can help"));
        }
        out.push('\n');
    }
    out
}
