//! Hands an operator's act to the program that takes receipts in here: it becomes a receipt of the journal, under its own id.

use crate::{config::Config, running::RunFile, table::visible};
use anyhow::{Context, bail};
use serde::Serialize;
use std::time::Duration;
use uuid::Uuid;

/// How long answers may take to follow an act before a command says that they will.
pub const FOLLOWING: Duration = Duration::from_secs(20);
/// Between two looks.
pub const LOOK: Duration = Duration::from_millis(100);
/// One request.
const REQUEST: Duration = Duration::from_secs(30);

/// To this path of the admin listener, under this id; the receipt.
pub async fn hand_in(config: &Config, (path, id): (&str, Uuid), act: &impl Serialize) -> anyhow::Result<String> {
    let run = RunFile::read(config)?;
    let http = reqwest::Client::builder().no_proxy().timeout(REQUEST).build()?;
    let order = || run.order(&http, &format!("{path}?id={id}")).json(act).send();
    let answer = match order().await {
        // It may be on disk: under its id it may be said again.
        Err(error) if !error.is_connect() => {
            order().await.context("the running program does not answer: the act may have been taken")?
        }
        Err(error) => Err(error)
            .context("the running program does not answer; if it was killed, remove run.json in its data folder")?,
        Ok(answer) => answer,
    };
    let (status, text) = (answer.status(), answer.text().await.unwrap_or_default());
    if status == reqwest::StatusCode::NOT_FOUND {
        bail!("the program that runs here takes no receipts in: act where `collect` (or `up`) runs");
    }
    if !status.is_success() {
        bail!("the act was not taken: {}", visible(text.trim()));
    }
    Ok(text.trim().to_owned())
}
