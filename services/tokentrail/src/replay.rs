//! `tokentrail replay`: judges stored receipts again with this program's normaliser and says what changed, or would.

use crate::{
    Format,
    config::Config,
    deployment, running,
    table::{Align, Table},
};
use anyhow::{Context, bail};
use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};
use events::{
    ids::StreamId,
    normalise::{Context as NormaliseContext, Dead},
    receipt::Input,
};
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use pipeline::replay::{Mode, Normaliser, Replay, Summary, Unreadable};
use store::{DeadLetters, Selection};

/// Which receipts, and how. Without any of them: all receipts.
#[derive(Args)]
pub struct ReplayArgs {
    /// Only this stream: 32 hex digits, the part before the slash of a receipt's position.
    #[arg(long, value_name = "ID")]
    stream: Option<StreamId>,
    /// Only from this number of the stream on.
    #[arg(long, value_name = "SEQ", requires = "stream")]
    from: Option<u64>,
    /// Only up to and including this number of the stream.
    #[arg(long, value_name = "SEQ", requires = "stream")]
    to: Option<u64>,
    /// Only what was received at or after this time, e.g. 2026-11-24T08:00:00Z or 2026-11-24 (UTC).
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<i64>,
    /// Only what was received before this time.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<i64>,
    /// Only this source id.
    #[arg(long)]
    source: Option<String>,
    /// Only this way in.
    #[arg(long, value_parser = input())]
    input: Option<Input>,
    /// Only dead letters.
    #[arg(long)]
    dead: bool,
    /// Only dead letters with this reason.
    #[arg(long, requires = "dead", value_parser = PossibleValuesParser::new(Dead::ALL.iter().map(|reason| reason.as_str())))]
    reason: Option<String>,
    /// Write nothing; count what would change.
    #[arg(long)]
    dry_run: bool,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// A time or a day, as UTC milliseconds.
pub fn moment(text: &str) -> Result<i64, String> {
    let day = || text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok().map(|start| start.timestamp());
    let time = text.parse::<Timestamp>().ok().or_else(day);
    let time =
        time.ok_or("give a time with its zone, such as 2026-11-24T08:00:00Z, or a day, such as 2026-11-24 (UTC)")?;
    Ok(time.as_millisecond())
}

/// Reads the name of a way in.
pub fn input() -> impl TypedValueParser<Value = Input> {
    PossibleValuesParser::new(Input::ALL.iter().map(|input| input.as_str()))
        .try_map(|text| text.parse().map_err(|()| format!("{text} is no input")))
}

impl ReplayArgs {
    fn selection(&self) -> anyhow::Result<Selection> {
        if let (Some(from), Some(to)) = (self.from, self.to)
            && from > to
        {
            bail!("--from {from} is behind --to {to}: no receipt lies between them");
        }
        if let (Some(since), Some(until)) = (self.since, self.until)
            && since >= until
        {
            bail!("--since is not before --until: no receipt lies between them");
        }
        let dead = match (&self.reason, self.dead) {
            (Some(reason), _) => DeadLetters::Because(reason.clone()),
            (None, true) => DeadLetters::Only,
            (None, false) => DeadLetters::AndOthers,
        };
        Ok(Selection {
            stream: self.stream,
            first: self.from,
            last: self.to,
            since: self.since,
            until: self.until,
            source_id: self.source.clone(),
            input: self.input,
            dead,
        })
    }
}

/// Replays; `progress` hears how many receipts are done, and of how many.
pub async fn run(
    config: &Config,
    args: &ReplayArgs,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> anyhow::Result<Summary> {
    let mode = if args.dry_run { Mode::DryRun } else { Mode::Write };
    judge(config, (&args.selection()?, mode), progress).await
}

/// Judges selected receipts.
pub async fn judge(
    config: &Config,
    (selection, mode): (&Selection, Mode),
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> anyhow::Result<Summary> {
    // Another key would give every person another person key.
    let key_file = config.path("keys/deployment.key");
    if !key_file.exists() {
        bail!("{} is missing: a replay needs the key that the receipts were normalised with", key_file.display());
    }
    let key = deployment::key(config)?;
    let store = running::store(config)?;
    deployment::bind_store(&store, &key).await?.check()?;
    let replay =
        Replay { store, tenant: config.tenant.clone(), normaliser: Normaliser::current(NormaliseContext { key }) };
    let mut tell = |at: pipeline::replay::Progress| progress(at.done, at.total);
    let summary = replay.run(selection, mode, &mut tell).await;
    summary.context("the replay is not complete; run the same again, it goes on with what is left")
}

/// The summary for people.
pub fn render(summary: &Summary) -> String {
    use Align::{Left, Right};
    let mut out = match (summary.receipts.selected, summary.dry_run) {
        (0, _) => return "  no receipt is in this range\n".to_owned(),
        (_, true) => format!("  normaliser {}; nothing was written, this is what would change\n\n", summary.normaliser),
        (_, false) => format!("  normaliser {}\n\n", summary.normaliser),
    };
    let receipts = &summary.receipts;
    let mut table = Table::new(&[("receipts", Left), ("", Right)]);
    let mut line = |name: &str, count: u64, always: bool| {
        if count > 0 || always {
            table.row(vec![name.to_owned(), count.to_string()]);
        }
    };
    line("in this range", receipts.selected, true);
    line("judged by this normaliser before: left as they are", receipts.current, false);
    line("judged by a newer normaliser: left as they are", receipts.newer, false);
    line("body erased or its time over: left as they are", receipts.no_body, false);
    line("body encrypted: left as they are", receipts.encrypted, false);
    line("BODY DOES NOT AGREE WITH ITS COMMITMENT: left as they are", receipts.tampered, false);
    for change in &summary.fates {
        let name = match (change.from.as_str(), change.to.as_str()) {
            ("dead", "dead") => "judged again: still dead".to_owned(),
            (from, to) if from == to => format!("judged again: {to} as before"),
            (from, to) => format!("judged again: {from} before, {to} now"),
        };
        line(&name, change.receipts, true);
    }
    out.push_str(&table.render());
    let events = &summary.events;
    let mut table = Table::new(&[("events", Left), ("", Right)]);
    for (name, count) in [
        ("unchanged", events.unchanged),
        ("changed", events.changed),
        ("new", events.new),
        ("repeats of an event that stands by another receipt", events.repeated),
        ("deleted", events.deleted),
    ] {
        table.row(vec![name.to_owned(), count.to_string()]);
    }
    out.push('\n');
    out.push_str(&table.render());
    for one in summary.unreadable.iter().filter(|one| one.why == Unreadable::Tampered) {
        out.push_str(&format!("  the body of {} is not the one that was committed to\n", one.receipt));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: ReplayArgs,
    }

    fn selection(args: &[&str]) -> Result<Selection, String> {
        let line = Line::try_parse_from([&["replay"], args].concat()).map_err(|error| error.to_string())?;
        line.args.selection().map_err(|error| error.to_string())
    }

    #[test]
    fn ranges_are_read_and_empty_ones_refused() {
        let stream = "07".repeat(16);
        let all = selection(&[]).unwrap();
        assert_eq!(all, Selection::default());
        let one = selection(&["--stream", &stream, "--from", "3", "--to", "3", "--input", "pull", "--dead"]).unwrap();
        assert_eq!((one.stream, one.first, one.last), (Some(StreamId([7; 16])), Some(3), Some(3)));
        assert_eq!((one.input, one.dead), (Some(Input::Pull), DeadLetters::Only));
        let day = selection(&["--since", "2026-11-24", "--until", "2026-11-24T00:00:00.001Z"]).unwrap();
        assert_eq!((day.since, day.until), (Some(1_795_478_400_000), Some(1_795_478_400_001)));
        for (args, hint) in [
            (vec!["--from", "3"], "--stream"),
            (vec!["--stream", "07"], "32 hex digits"),
            (vec!["--stream", &stream, "--from", "4", "--to", "3"], "behind"),
            (vec!["--since", "yesterday"], "2026-11-24T08:00:00Z"),
            (vec!["--since", "2026-11-24", "--until", "2026-11-24"], "not before"),
            (vec!["--input", "carrier-pigeon"], "webhook"),
            (vec!["--reason", "not_json"], "--dead"),
            (vec!["--dead", "--reason", "boredom"], "not_json"),
        ] {
            let error = selection(&args).unwrap_err();
            assert!(error.contains(hint), "{args:?}: {error}");
        }
    }
}
