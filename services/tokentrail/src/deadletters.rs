//! `tokentrail deadletters list|show|retry`: receipts that nobody understood. Reads and judges what the log carried, as the store
//! keeps it, so it is the same over the journal and over Kafka. Prints no body but with `show`, and that one redacted, as at intake.

mod left_out;
mod retry;

pub use retry::{RetryArgs, render_retry, retry};

use crate::{
    Format,
    config::Config,
    replay::{self, input},
    running,
    status::moment,
    table::{Align, Table, visible},
};
use anyhow::bail;
use clap::{
    Args, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};
use durable_log::chain;
use events::{
    ids::Position,
    normalise::{Dead, NORMALISER_VERSION},
    receipt::{Input, ReceiptHeader},
};
use left_out::LeftOut;
use serde::Serialize;
use store::{DeadLetters, Gap, Selection, Store, StoredHeader};

/// Most bytes of a body that a table shows.
const SHOWN_BYTES: usize = 64 * 1024;
/// Cause of a gap that a record leaves which is no receipt.
const UNREADABLE: &str = "record_unreadable";

/// What is asked about dead letters.
#[derive(Subcommand)]
pub enum DeadLettersCommand {
    /// List them, the newest first: where, when, which source, why. No content.
    List(ListArgs),
    /// Show one with its body, redacted as it was at intake. Exit code 1: its body is not the one that was taken in, or is gone.
    Show {
        /// STREAM/SEQ, as `list` shows it.
        #[arg(value_parser = position)]
        receipt: Position,
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Judge them again with the normalisers of this program, e.g. after an upgrade. Exit code 1: some are still dead.
    Retry(RetryArgs),
}

/// Which dead letters.
#[derive(Args, Clone)]
pub struct Which {
    /// Only this source id.
    #[arg(long)]
    source: Option<String>,
    /// Only this way in.
    #[arg(long, value_parser = input())]
    input: Option<Input>,
    /// Only this reason.
    #[arg(long, value_parser = reason())]
    reason: Option<String>,
    /// Only what was received at or after this time, e.g. 2026-11-24T08:00:00Z or 2026-11-24 (UTC).
    #[arg(long, value_name = "TIME", value_parser = replay::moment)]
    since: Option<i64>,
    /// Only what was received before this time.
    #[arg(long, value_name = "TIME", value_parser = replay::moment)]
    until: Option<i64>,
}

/// What is listed.
#[derive(Args)]
pub struct ListArgs {
    #[command(flatten)]
    which: Which,
    /// Most rows.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    limit: u32,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

fn position(text: &str) -> Result<Position, String> {
    let read = || {
        let (stream, seq) = text.split_once('/')?;
        Some(Position { stream: stream.parse().ok()?, seq: seq.parse().ok()? })
    };
    read().ok_or_else(|| "give STREAM/SEQ: 32 hex digits, a slash, a number".to_owned())
}

fn reason() -> impl TypedValueParser<Value = String> {
    PossibleValuesParser::new(Dead::ALL.iter().map(|reason| reason.as_str()).chain([left_out::REASON]))
}

impl Which {
    fn selection(&self, receipt: Option<Position>) -> anyhow::Result<Selection> {
        if let (Some(since), Some(until)) = (self.since, self.until)
            && since >= until
        {
            bail!("--since is not before --until: no receipt lies between them");
        }
        Ok(Selection {
            stream: receipt.map(|at| at.stream),
            first: receipt.map(|at| at.seq),
            last: receipt.map(|at| at.seq),
            since: self.since,
            until: self.until,
            source_id: self.source.clone(),
            input: self.input,
            dead: self.reason.clone().map_or(DeadLetters::Only, DeadLetters::Because),
        })
    }
}

/// One dead letter without its content.
#[derive(Debug, Serialize)]
pub struct Letter {
    receipt: String,
    received_at: String,
    source: String,
    input: &'static str,
    payload: &'static str,
    reason: String,
    normaliser: u32,
}

impl From<&StoredHeader> for Letter {
    fn from(one: &StoredHeader) -> Self {
        Self {
            receipt: one.position.to_string(),
            received_at: moment(one.header.received_at),
            source: one.header.source_id.clone(),
            input: one.header.input.as_str(),
            payload: one.header.payload.as_str(),
            reason: one.reason.clone(),
            normaliser: one.normaliser,
        }
    }
}

/// A record on Kafka that is no receipt.
#[derive(Debug, Serialize)]
pub struct Stranger {
    place: String,
    found_at: String,
}

/// What `list` tells.
#[derive(Debug, Serialize)]
pub struct List {
    total: u64,
    older_normaliser: u64,
    letters: Vec<Letter>,
    unreadable_records: Vec<Stranger>,
    left_out: Vec<LeftOut>,
}

async fn count(store: &Store, tenant: &str, selection: &Selection) -> anyhow::Result<u64> {
    Ok(store.selected_streams(tenant, selection).await?.iter().map(|span| span.receipts).sum())
}

/// `list`.
pub async fn list(config: &Config, args: &ListArgs) -> anyhow::Result<List> {
    let store = running::store(config)?;
    let (tenant, selection) = (config.tenant.as_str(), args.which.selection(None)?);
    let letters = store.newest_receipts(tenant, &selection, args.limit).await?;
    let asked_for_one = args.which.source.is_some() || args.which.input.is_some() || args.which.reason.is_some();
    let strangers = if asked_for_one { Vec::new() } else { store.gaps(tenant, i64::MAX).await? };
    let (since, until) = (args.which.since.unwrap_or(i64::MIN), args.which.until.unwrap_or(i64::MAX));
    let found = |gap: &Gap| gap.until.unwrap_or(gap.since);
    let meant = |gap: &&Gap| gap.cause == UNREADABLE && (since..until).contains(&found(gap));
    let stranger = |gap: &Gap| Stranger { place: gap.scope.clone(), found_at: moment(found(gap)) };
    Ok(List {
        total: count(&store, tenant, &selection).await?,
        older_normaliser: letters.iter().filter(|one| one.normaliser < NORMALISER_VERSION).count() as u64,
        letters: letters.iter().map(Letter::from).collect(),
        unreadable_records: strangers.iter().filter(meant).map(stranger).collect(),
        left_out: left_out::find(&store, tenant, &args.which).await?.into_iter().map(LeftOut::from).collect(),
    })
}

/// The list for people.
pub fn render_list(list: &List) -> String {
    let mut out = match list.total {
        0 => "  no dead letters\n".to_owned(),
        1 => "  1 dead letter\n\n".to_owned(),
        total if total > list.letters.len() as u64 => {
            format!("  {total} dead letters, the newest {} (--limit)\n\n", list.letters.len())
        }
        total => format!("  {total} dead letters, the newest first\n\n"),
    };
    if !list.letters.is_empty() {
        let columns = ["receipt", "received", "source", "input", "payload", "reason"].map(|name| (name, Align::Left));
        let mut table = Table::new(&columns);
        for one in &list.letters {
            let (input, payload) = (one.input.to_owned(), one.payload.to_owned());
            let (receipt, received) = (one.receipt.clone(), one.received_at.clone());
            table.row(vec![receipt, received, one.source.clone(), input, payload, one.reason.clone()]);
        }
        out.push_str(&table.render());
    }
    if list.older_normaliser > 0 {
        out.push_str(&format!(
            "\n  {} of these were judged by an older normaliser: try `tokentrail deadletters retry`\n",
            list.older_normaliser
        ));
    }
    if !list.unreadable_records.is_empty() {
        out.push_str("\n  records on Kafka that are no receipts, which no retry can mend:\n");
    }
    for one in &list.unreadable_records {
        out.push_str(&format!("    {} (passed at {})\n", visible(&one.place), one.found_at));
    }
    out + &left_out::render(&list.left_out)
}

/// How the body of a dead letter was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BodyState {
    /// It agrees with its commitment.
    Whole,
    /// It does not, and is not shown.
    Tampered,
    /// Erased, or its time is over.
    Gone,
    /// It is encrypted.
    Encrypted,
}

/// One dead letter with its content.
#[derive(Debug, Serialize)]
pub struct Shown {
    #[serde(flatten)]
    letter: Letter,
    header: ReceiptHeader,
    commitment: String,
    body_state: BodyState,
    body: Option<String>,
}

/// What `show` tells: of a position with two histories, both.
#[derive(Debug, Serialize)]
pub struct Shows {
    letters: Vec<Shown>,
}

impl Shows {
    /// True if every body was shown.
    pub fn good(&self) -> bool {
        self.letters.iter().all(|one| one.body_state == BodyState::Whole)
    }
}

/// `show`.
pub async fn show(config: &Config, at: Position) -> anyhow::Result<Shows> {
    let store = running::store(config)?;
    let found = store.receipts_at(&config.tenant, &[at]).await?;
    let Some(first) = found.first() else { bail!("the store holds no receipt {at}") };
    if found.iter().all(|one| one.fate != "dead") {
        bail!("receipt {at} is no dead letter: its fate is {}; `tokentrail trace {at}` shows it", first.fate);
    }
    let mut letters = Vec::new();
    let dead: Vec<_> = found.iter().filter(|one| one.fate == "dead").collect();
    for (one, body) in dead.iter().zip(store.bodies(&config.tenant, &dead).await?) {
        let (body_state, body) = match body {
            None => (BodyState::Gone, None),
            Some(body) if body.enc != 0 => (BodyState::Encrypted, None),
            Some(body) if chain::commitment(&body.salt, &body.body) != one.commitment => (BodyState::Tampered, None),
            Some(body) => (BodyState::Whole, Some(String::from_utf8_lossy(&body.body).into_owned())),
        };
        let (letter, commitment) = (Letter::from(*one), hex::encode(one.commitment));
        letters.push(Shown { letter, header: one.header.clone(), commitment, body_state, body });
    }
    Ok(Shows { letters })
}

/// A dead letter for people. Control characters are made visible: it is text from outside.
pub fn render_show(shows: &Shows) -> String {
    let mut out = String::new();
    for one in &shows.letters {
        let (letter, header) = (&one.letter, &one.header);
        let mut line = |name: &str, value: &str| {
            if !value.is_empty() {
                out.push_str(&format!("  {name:<12} {}\n", visible(value)));
            }
        };
        line("receipt", &letter.receipt);
        line("received", &letter.received_at);
        line("source", &letter.source);
        line("input", letter.input);
        line("payload", letter.payload);
        line("reason", &format!("{} (normaliser {})", letter.reason, letter.normaliser));
        line("delivery", &header.delivery_id);
        line("commitment", &one.commitment);
        let said = match (one.body_state, &one.body) {
            (BodyState::Whole, Some(body)) => pretty(body),
            (BodyState::Tampered, _) => {
                "    THE BODY IS NOT THE ONE THAT WAS COMMITTED TO; it is not shown\n".to_owned()
            }
            (BodyState::Encrypted, _) => "    the body is encrypted\n".to_owned(),
            _ => "    the body was erased, or its time is over\n".to_owned(),
        };
        out.push_str(&format!("\n  redacted body, as it was taken in:\n{said}\n"));
    }
    out
}

fn pretty(body: &str) -> String {
    let value: Option<serde_json::Value> = serde_json::from_str(body).ok();
    let text = value.and_then(|value| serde_json::to_string_pretty(&value).ok()).unwrap_or_else(|| body.to_owned());
    let end = (0..=text.len().min(SHOWN_BYTES)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    let mut out: String = text[..end].lines().map(|line| format!("    {}\n", visible(line))).collect();
    if end < text.len() {
        out.push_str(&format!("    ... {} bytes more: --format json shows them\n", text.len() - end));
    }
    out
}
