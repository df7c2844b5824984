//! The program: parses the command line, sets up logging, hands over to one file per subcommand.

mod aliases;
mod allocator;
mod app;
mod ask;
mod baseline;
mod beating;
mod commands;
mod config;
mod deadletters;
mod delivery_key;
mod demo;
mod deployment;
mod doctor;
mod findings;
#[cfg(feature = "kafka")]
mod forward;
mod gaps;
mod gauges;
mod handing_in;
mod health;
mod import;
mod intake;
mod journal;
#[cfg_attr(not(feature = "kafka"), path = "without_kafka.rs")]
mod kafka;
mod leaving;
mod lines;
mod other_lines;
mod persons;
mod pulling;
mod replay;
mod report;
mod rules;
mod running;
mod secrets;
mod send;
mod snapshot;
mod snapshotting;
mod sources;
mod spool;
mod status;
mod table;
#[cfg(feature = "kafka")]
mod topics;
mod trace;
mod trusting;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Who could do what, when, on the strength of which login and which group: evidence from Keycloak and Backstage.
#[derive(Parser)]
#[command(name = "tokentrail", version, about, arg_required_else_help = true)]
struct Cli {
    /// Config file (TOML); absent: ./tokentrail.toml if it exists, else defaults.
    #[arg(long, global = true, env = "TOKENTRAIL_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// What is logged to standard error, e.g. `info`, `debug`, `collector=debug`.
    #[arg(long, global = true, env = "TOKENTRAIL_LOG", default_value = "info", value_name = "FILTER")]
    log: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run everything in one process: intake, journal, pipeline, embedded or external ClickHouse.
    Up,
    /// Take receipts in and put them on Kafka: no ClickHouse. As many as there are places to collect at.
    Collect,
    /// Bring receipts from Kafka into ClickHouse: no intake. As many as the topic has partitions.
    Process,
    /// Show what came in, the fate of every receipt, lag and sources.
    Status {
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Show what is known of an event, session, token, user or receipt, in time order, with the receipt of each line.
    Trace {
        /// An event id, session id, token id, username, entity reference, Keycloak user id, or STREAM/SEQ; before it, if you like, what it
        /// is: person, session, token, event, decision (from the login to it) or receipt.
        #[arg(value_name = "KIND TERM", num_args = 1..=2, required = true)]
        words: Vec<String>,
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Say on what grounds a decision stands: person, session, token, rights, clock, how sure that is, and the receipts.
    Explain {
        /// Event id of the decision, or its first eight digits.
        decision: String,
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// List what a person can do and by which path, now, then, or over a time.
    Access(ask::AccessArgs),
    /// List who has a group, role or permission, and by which path.
    WhoCan(ask::WhoCanArgs),
    /// List decisions by verdict, person, permission and time.
    Decisions(ask::DecisionsArgs),
    /// List times for which a source may be incomplete, and events that are missing.
    Gaps(ask::GapsArgs),
    /// Find persons, show what is known of one, and say by hand which accounts are one.
    #[command(subcommand)]
    Person(ask::PersonCommand),
    /// The drift rules: what they ask, how they stand, what they would have found.
    #[command(subcommand)]
    Rules(rules::RulesCommand),
    /// The file of who is meant to be in which group, beside what is held.
    #[command(subcommand)]
    Baseline(baseline::BaselineCommand),
    /// The register of findings: what was found, and what became of it.
    #[command(subcommand)]
    Findings(findings::FindingsCommand),
    /// Who is told what is found.
    #[command(subcommand)]
    Alerts(findings::AlertsCommand),
    /// Answer everything again from all events and compare with the rows that stand. Exit code 1: they differ, and a gap says so.
    SelfCheck {
        /// How many persons, chosen by chance; 0 = all.
        #[arg(long, default_value_t = 100)]
        persons: usize,
        /// Have the running program answer everything anew where they differ.
        #[arg(long)]
        mend: bool,
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Ship a Backstage log file, growing file (--follow) or standard input (-), in order, until acknowledged.
    Send(SendArgs),
    /// Backfill from exports: arrays of /events or /admin-events, webhook recordings, Backstage logs, catalog histories.
    Import(ImportArgs),
    /// Judge stored receipts again, e.g. after a newer version mended a normaliser or to retry dead letters; changes nothing else.
    Replay(replay::ReplayArgs),
    /// Reports: named questions, answered with a sheet that says what the answer proves.
    #[command(subcommand)]
    Report(report::ReportCommand),
    /// Receipts that nobody understood: list them, look at one, judge them again after an upgrade.
    #[command(subcommand, name = "deadletters")]
    DeadLetters(deadletters::DeadLettersCommand),
    /// Snapshots of state: what a Keycloak or Backstage holds now, whatever its events said.
    #[command(subcommand)]
    Snapshot(snapshot::SnapshotCommand),
    /// Play a recorded story through the whole pipeline in a temporary folder and show what it finds.
    Demo {
        /// Folder of the recorded story.
        #[arg(long, default_value = "schemas/samples/pair")]
        samples: PathBuf,
        /// User of the story whose trail is shown.
        #[arg(long, default_value = "finn")]
        user: String,
        /// Folder for the report that the story ends with (access-trace, as a page, with its sheet); without it none is made.
        #[arg(long, value_name = "DIR")]
        report: Option<PathBuf>,
    },
    /// Check each source and the store, and say remedy by remedy what is missing.
    ///
    /// Exit code: 0 if all is well, 1 if something is to be looked at, 2 if it cannot be told (nothing runs, or it does
    /// not answer).
    Doctor {
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Ask the program that runs on this config whether it is ready; for health checks. Exit code: 0 ready, 1 not, 2 no answer.
    Health,
    /// Compare Kafka's topics with what is needed, or make them.
    ///
    /// Exit code: 0 if work may begin on them, 1 if not, 2 if it cannot be told.
    #[cfg(feature = "kafka")]
    #[command(subcommand)]
    Topics(TopicsCommand),
    /// Have the running collector send receipts to Kafka again that a broker lost.
    #[cfg(feature = "kafka")]
    Forward {
        /// First number to send again.
        #[arg(long, value_name = "SEQ")]
        from: u64,
        /// Stream of that number; default: the one of the running collector.
        #[arg(long, value_name = "ID")]
        stream: Option<String>,
    },
    /// Look at the config.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Look at the journal's files; needs no running program.
    #[command(subcommand)]
    Journal(JournalCommand),
    /// Print shell completions.
    Completions { shell: clap_complete::Shell },
    /// Print the man pages of the program and of each command (roff), or write each to a file of its own.
    Man {
        /// Folder for the files, e.g. /usr/local/share/man/man1.
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// The embedded ClickHouse itself; started by `up`, never by hand.
    #[command(name = "engine-child", hide = true)]
    EngineChild,
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Read the config and say whether it is good; starts nothing. Exit code: 0 if it is, 2 if not.
    Check {
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Print the effective config: file, environment and defaults together. Secrets stay in their files.
    Print,
    /// Print the JSON Schema of the config file.
    Schema,
}

#[cfg(feature = "kafka")]
#[derive(Subcommand)]
enum TopicsCommand {
    /// Say what is missing or wrong; changes nothing.
    Plan {
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Make what is missing. A topic that exists is judged and left as it is.
    Apply {
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
}

#[derive(Subcommand)]
enum JournalCommand {
    /// List segments, streams and consumers.
    Inspect {
        dir: Option<PathBuf>,
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Check every byte and recompute the whole chain; exit code 1 if anything is damaged.
    Verify {
        dir: Option<PathBuf>,
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
}

/// How something is printed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

#[derive(Args)]
struct SendArgs {
    /// Source id of the Backstage.
    #[arg(long)]
    source: String,
    /// Wait for more, and for the next file of this name after a rotation.
    #[arg(long)]
    follow: bool,
    /// Write standard input on to this file, `-` for standard output (only with `-` as FILE).
    #[arg(long, value_name = "FILE")]
    tee: Option<PathBuf>,
    /// Name of this Backstage instance; default: the host's name.
    #[arg(long)]
    instance: Option<String>,
    /// What happens to a line of standard input while the collector cannot be reached and the spool is full.
    #[arg(long, value_enum, default_value_t = spool::WhenFull::Drop)]
    when_full: spool::WhenFull,
    /// Most disk that standard input may take while the collector cannot be reached, MiB.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    spool_mib: u64,
    #[command(flatten)]
    collector: CollectorArgs,
    /// A file, or `-` for standard input.
    file: PathBuf,
}

#[derive(Args)]
struct ImportArgs {
    /// Source id.
    #[arg(long)]
    source: String,
    /// The files together hold everything that happened from here on: your word, that repairs the gaps of this time. Exports of
    /// /events and /admin-events must be unfiltered and of all pages; a Backstage's logs, of all its instances.
    #[arg(long, value_name = "TIME", value_parser = replay::moment, requires = "to")]
    from: Option<i64>,
    /// And before here. Times as `tokentrail status` shows them, such as 2026-11-24T08:00:00.123Z.
    #[arg(long, value_name = "TIME", value_parser = replay::moment, requires = "from")]
    to: Option<i64>,
    /// Realm of a Keycloak or instance of a Backstage that the files are of, where the source has several; may be repeated.
    #[arg(long, value_name = "NAME", requires = "from")]
    scope: Vec<String>,
    #[command(flatten)]
    collector: CollectorArgs,
    /// Files; the format is told by their content; gzip is inflated.
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

#[derive(Args)]
struct CollectorArgs {
    /// Address of the collector; default: the one of the config.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// File with the source's bearer token; default: the one of the config.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// PEM file of CAs that are trusted beside the system's, for an https address.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

fn main() -> ! {
    allocator::give_back_soon();
    let cli = Cli::parse();
    if matches!(cli.command, Command::EngineChild) {
        store::engine::run_if_asked();
        eprintln!("tokentrail: engine-child is started by `tokentrail up`, never by hand");
        leaving::leave(2);
    }
    let code = run(cli).unwrap_or_else(|error| {
        eprintln!("tokentrail: {error:#}");
        2
    });
    leaving::leave(code)
}

/// Runs one command and gives its exit code.
fn run(cli: Cli) -> anyhow::Result<u8> {
    log_to_stderr(&cli.log)?;
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("a crypto provider was installed already");
    }
    match cli.command {
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "tokentrail", &mut text);
            commands::write_out(&text)?;
            return Ok(0);
        }
        Command::Man { dir: Some(dir) } => {
            std::fs::create_dir_all(&dir)?;
            clap_mangen::generate_to(Cli::command(), dir)?;
            return Ok(0);
        }
        Command::Man { dir: None } => {
            let (mut command, mut text) = (Cli::command(), Vec::new());
            command.build();
            man_pages(&command, &mut text)?;
            commands::write_out(&text)?;
            return Ok(0);
        }
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let code = runtime.block_on(commands::dispatch(cli));
    // A blocked read of standard input must not hold up the end.
    runtime.shutdown_background();
    code
}

/// The page of a command and those of all below it.
fn man_pages(command: &clap::Command, text: &mut Vec<u8>) -> std::io::Result<()> {
    clap_mangen::Man::new(command.clone()).render(text)?;
    let below = command.get_subcommands().filter(|one| !one.is_hide_set() && one.get_name() != "help");
    for one in below {
        man_pages(one, text)?;
    }
    Ok(())
}

/// JSON lines to standard error; plain text when a person looks.
fn log_to_stderr(filter: &str) -> anyhow::Result<()> {
    use std::io::IsTerminal;
    let filter = tracing_subscriber::EnvFilter::try_new(filter)?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        subscriber.with_target(false).init();
    } else {
        subscriber.json().flatten_event(true).init();
    }
    Ok(())
}
