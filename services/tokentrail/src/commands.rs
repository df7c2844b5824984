//! From the parsed command line to the file that does the work.

use crate::{
    Cli, CollectorArgs, Command, ConfigCommand, Format, ImportArgs, JournalCommand, SendArgs,
    app::{self, Role},
    ask,
    baseline::{self, BaselineCommand},
    config::Config,
    deadletters::{self, DeadLettersCommand},
    demo, doctor,
    findings::{self, AlertsCommand, FindingsCommand, acting::Desk},
    health, import,
    intake::Intake,
    replay::{self, ReplayArgs},
    report::{self, ReportCommand},
    rules::{self, RulesCommand},
    running::{self, RunFile},
    secrets,
    send::{QUIET, Sender, Until},
    snapshot::{self, SnapshotCommand},
    spool::Spool,
    status, trace, trusting,
};
#[cfg(feature = "kafka")]
use crate::{
    TopicsCommand, forward,
    topics::{self, Doing},
};
use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    io::Write,
    path::{Path, PathBuf},
};

/// The config file that is read when none is named.
const DEFAULT_CONFIG: &str = "tokentrail.toml";

/// Runs one command; the exit code is 0 if all is well, 1 if what was checked is not, 2 if it could not be done.
pub async fn dispatch(cli: Cli) -> anyhow::Result<u8> {
    let load = || load_config(cli.config.as_deref());
    let good = match cli.command {
        Command::Up => return app::run(&load()?, Role::Up).await,
        Command::Collect => return app::run(&load()?, Role::Collect).await,
        Command::Process => return app::run(&load()?, Role::Process).await,
        Command::Demo { samples, user, report } => {
            demo::run(&samples, &user, report.as_deref()).await.map(|()| true)?
        }
        Command::Status { format } => {
            let report = status::fetch(&RunFile::read(&load()?)?).await?;
            print(format, &report, status::render)? && report.without_store.is_none()
        }
        Command::Trace { words, format } => {
            let config = load()?;
            let store = running::store(&config)?;
            let trail = trace::lookup(&store, &config, &words).await?;
            print(format, &trail, |trail| trace::render(trail, usize::MAX))?
        }
        Command::Explain { .. }
        | Command::Access(_)
        | Command::WhoCan(_)
        | Command::Decisions(_)
        | Command::Gaps(_)
        | Command::Person(_)
        | Command::SelfCheck { .. } => ask::answer(&load()?, cli.command).await?,
        Command::Rules(command) => drift_rules(&load()?, command).await?,
        Command::Baseline(command) => baselines(&load()?, command).await?,
        Command::Findings(command) => register(&load()?, command).await?,
        Command::Alerts(AlertsCommand::Test { receiver, format }) => {
            let tried = findings::try_receivers(&load()?, receiver.as_deref()).await?;
            print(format, &tried, |tried| findings::render_tried(tried))?
                && tried.iter().all(|one| one.trouble.is_none())
        }
        Command::Send(args) => send(&load()?, args).await?,
        Command::Import(args) => import_files(&load()?, args).await?,
        Command::Replay(args) => judge_again(&load()?, &args).await?,
        Command::Report(command) => reports(load, command).await?,
        Command::DeadLetters(command) => dead_letters(&load()?, command).await?,
        Command::Snapshot(command) => snapshots(&load()?, command).await?,
        Command::Doctor { format } => {
            let findings = doctor::run(&load()?).await?;
            print(format, &findings, doctor::render)? && findings.good
        }
        Command::Health => health::ask(&load()?).await?,
        #[cfg(feature = "kafka")]
        Command::Topics(command) => {
            let (doing, format) = match command {
                TopicsCommand::Plan { format } => (Doing::Plan, format),
                TopicsCommand::Apply { format } => (Doing::Apply, format),
            };
            let report = topics::run(&load()?, doing).await?;
            print(format, &report, topics::render)? && report.good
        }
        #[cfg(feature = "kafka")]
        Command::Forward { from, stream } => {
            print!("{}", forward::again(&load()?, (stream.as_deref(), from)).await?);
            true
        }
        Command::Config(command) => configure(command, load)?,
        Command::Journal(command) => journal(command, load)?,
        Command::Completions { .. } | Command::Man { .. } | Command::EngineChild => true, // handled before the runtime starts
    };
    Ok(u8::from(!good))
}

/// What the rules ask, how they stand, what they would have found.
async fn drift_rules(config: &Config, command: RulesCommand) -> anyhow::Result<bool> {
    match command {
        RulesCommand::List { format } => print(format, &rules::list(config).await?, |found| rules::render_list(found)),
        RulesCommand::Explain { rule, format } => {
            print(format, &rules::explain(config, &rule)?, rules::render_explained)
        }
        RulesCommand::Test(args) => print(args.format, &rules::test(config, &args).await?, rules::render_tested),
    }
}

/// Who is meant to be in which group.
async fn baselines(config: &Config, command: BaselineCommand) -> anyhow::Result<bool> {
    match command {
        BaselineCommand::Check(args) => {
            let checked = baseline::check(config, &args)?;
            Ok(print(args.format, &checked, |checked| baseline::render_checked(checked))?
                && checked.iter().all(|one| one.wrong.is_none()))
        }
        BaselineCommand::Diff(args) => {
            let differing = baseline::diff(config, &args).await?;
            Ok(print(args.format, &differing, |differing| baseline::render_diff(differing))? && differing.is_empty())
        }
        BaselineCommand::InitFromSnapshot(args) => baseline::init(config, &args).await.map(|()| true),
    }
}

/// The register of findings.
async fn register(config: &Config, command: FindingsCommand) -> anyhow::Result<bool> {
    let store = crate::running::store(config)?;
    let tenant = &config.tenant;
    let desk = Desk { config, store: &store };
    match command {
        FindingsCommand::List(args) => {
            let unlisted = findings::unlisted(&store, tenant, &args).await?;
            let found = findings::list(&store, tenant, &args).await?;
            print(args.format, &found, |found| findings::render_list(found, unlisted))
        }
        FindingsCommand::Show { finding, format } => {
            print(format, &findings::show(&store, tenant, &finding).await?, findings::render_shown)
        }
        FindingsCommand::Ack(args) => findings::change(&desk, &args, findings::looking).await,
        FindingsCommand::Close(args) => findings::change(&desk, &args, findings::closing).await,
        FindingsCommand::Suppress(args) => findings::suppressing::suppress(&desk, &args).await,
        FindingsCommand::Suppressions(args) => {
            let found = findings::suppressing::list(&store, tenant, &args).await?;
            print(args.format, &found, |found| findings::suppressing::render(found))
        }
        FindingsCommand::Unsuppress(args) => findings::suppressing::unsuppress(&desk, &args).await,
    }
}

fn load_config(named: Option<&Path>) -> anyhow::Result<Config> {
    let default = Path::new(DEFAULT_CONFIG);
    let file = named.or_else(|| default.exists().then_some(default));
    Config::load(file, std::env::vars())
}

pub fn print<T: serde::Serialize>(format: Format, value: &T, render: impl Fn(&T) -> String) -> anyhow::Result<bool> {
    let text = match format {
        Format::Table => render(value),
        Format::Json => serde_json::to_string_pretty(value)? + "\n",
    };
    write_out(text.as_bytes()).map(|()| true)
}

/// Writes to standard output; `tokentrail trace ann | head` is no error.
pub fn write_out(text: &[u8]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot write to standard output"),
    }
}

/// The intake that the arguments name, else the one of the config.
fn intake(config: &Config, source: &str, args: &CollectorArgs) -> anyhow::Result<Intake> {
    let token_file = match (&args.token_file, config.sources.get(source)) {
        (Some(file), _) => std::path::absolute(file)?,
        (None, Some(known)) => match known.token_files.first() {
            Some(file) => file.clone(),
            None => bail!("source {source} has no token_files: give --token-file, or add one to its config"),
        },
        (None, None) => {
            let known: Vec<_> = config.sources.keys().map(String::as_str).collect();
            bail!(
                "the config has no source {source} (it has {}); give --token-file to send elsewhere",
                known.join(", ")
            )
        }
    };
    let token = secrets::read(&config.data_dir, &token_file)?;
    let base = match &args.url {
        Some(url) => url.clone(),
        None => {
            let scheme = if config.listen.tls_key.is_some() { "https" } else { "http" };
            let running = RunFile::read(config).ok().and_then(|run| run.intake);
            format!("{scheme}://{}", running.unwrap_or(config.listen.intake))
        }
    };
    let ca_file = args.ca_file.as_ref().map(std::path::absolute).transpose()?;
    let trust = trusting::at(&config.data_dir, "--ca-file", ca_file.as_ref())?;
    Ok(Intake::new(&base, (source, &token), &trust)?.token_in(config.data_dir.join(token_file)))
}

async fn send(config: &Config, args: SendArgs) -> anyhow::Result<bool> {
    let intake = intake(config, &args.source, &args.collector)?;
    let instance = args.instance.clone().unwrap_or_else(host_name);
    let state_dir = config.path("send").join(&args.source);
    if args.file == Path::new("-") {
        return send_stdin(&args, (intake.patient(), instance), &state_dir).await;
    }
    let intake = if args.follow { intake.patient() } else { intake };
    if args.tee.is_some() {
        bail!("--tee belongs to standard input: give `-` as FILE");
    }
    let file = std::path::absolute(&args.file)?;
    let name = file.display().to_string().replace(['/', '\\'], "_");
    let sender = Sender { intake, instance, state: state_dir.join(format!("{name}.json")), quiet: QUIET };
    let bar = bar("bytes");
    let until = if args.follow { Until::Stopped } else { Until::End };
    let mut progress = |sent: u64, size: u64| {
        bar.set_length(size);
        bar.set_position(sent);
    };
    let lines = sender.file(&file, until, &mut progress).await?;
    bar.finish_and_clear();
    eprintln!("{lines} lines acknowledged");
    Ok(true)
}

async fn send_stdin(args: &SendArgs, (intake, instance): (Intake, String), state_dir: &Path) -> anyhow::Result<bool> {
    if args.follow {
        bail!("standard input is read until it ends: --follow belongs to a file");
    }
    let tee: Option<Box<dyn Write + Send>> = match &args.tee {
        None => None,
        Some(path) if path == Path::new("-") => Some(Box::new(std::io::stdout())),
        Some(path) => {
            let file = std::fs::File::options().create(true).append(true).open(path);
            Some(Box::new(file.with_context(|| format!("cannot open {}", path.display()))?))
        }
    };
    let spool = Spool::open(&state_dir.join("spool"), args.spool_mib << 20)?;
    let (filler, when_full) = (spool.clone(), args.when_full);
    let reading = std::thread::spawn(move || filler.fill(std::io::stdin().lock(), tee, when_full));
    let bytes = spool.ship(&intake, &instance).await?;
    match reading.join() {
        Ok(result) => result?,
        Err(_) => bail!("the reader of standard input died"),
    }
    let dropped = spool.dropped();
    eprintln!("{bytes} bytes acknowledged, {dropped} lines dropped; the collector knows when");
    Ok(dropped == 0)
}

async fn import_files(config: &Config, args: ImportArgs) -> anyhow::Result<bool> {
    let intake = intake(config, &args.source, &args.collector)?;
    import::run(config, &args, (&intake, &bar("entries"))).await
}

async fn judge_again(config: &Config, args: &ReplayArgs) -> anyhow::Result<bool> {
    let bar = bar("receipts");
    let mut tell = |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    };
    let summary = replay::run(config, args, &mut tell).await?;
    bar.finish_and_clear();
    Ok(print(args.format, &summary, replay::render)? && summary.receipts.tampered == 0)
}

async fn reports(load: impl Fn() -> anyhow::Result<Config>, command: ReportCommand) -> anyhow::Result<bool> {
    match command {
        ReportCommand::List { format } => print(format, &report::list(), |told| report::render_list(told)),
        ReportCommand::Show { name, format } => print(format, &report::show(&name)?, report::render_show),
        ReportCommand::Run(args) => report::run(&load()?, &args).await,
    }
}

async fn dead_letters(config: &Config, command: DeadLettersCommand) -> anyhow::Result<bool> {
    match command {
        DeadLettersCommand::List(args) => {
            print(args.format, &deadletters::list(config, &args).await?, deadletters::render_list)
        }
        DeadLettersCommand::Show { receipt, format } => {
            let shown = deadletters::show(config, receipt).await?;
            Ok(print(format, &shown, deadletters::render_show)? && shown.good())
        }
        DeadLettersCommand::Retry(args) => {
            let bar = bar("receipts");
            let mut tell = |done, total| {
                bar.set_length(total);
                bar.set_position(done);
            };
            let retried = deadletters::retry(config, &args, &mut tell).await?;
            bar.finish_and_clear();
            Ok(print(args.format, &retried, deadletters::render_retry)? && retried.good())
        }
    }
}

async fn snapshots(config: &Config, command: SnapshotCommand) -> anyhow::Result<bool> {
    match command {
        SnapshotCommand::Take(args) => {
            let told = snapshot::take(config, &args).await?;
            Ok(print(args.format(), &told, snapshot::render_taken)? && told.iter().all(|told| told.complete))
        }
        SnapshotCommand::List { format } => print(format, &snapshot::list(config).await?, snapshot::render_list),
        SnapshotCommand::Diff(args) => print(args.format, &snapshot::diff(config, &args).await?, snapshot::render_diff),
    }
}

fn configure(command: ConfigCommand, load: impl Fn() -> anyhow::Result<Config>) -> anyhow::Result<bool> {
    match command {
        ConfigCommand::Check { format } => {
            let config = load().and_then(|config| {
                trusting::check(&config)?;
                crate::kafka::check(&config)?;
                Ok(config)
            });
            if format == Format::Json {
                let (wrong, sources) = match &config {
                    Ok(config) => (None, config.sources.keys().collect()),
                    Err(error) => (Some(format!("{error:#}")), Vec::new()),
                };
                let told = serde_json::json!({ "good": wrong.is_none(), "wrong": wrong, "sources": sources });
                write_out((serde_json::to_string_pretty(&told)? + "\n").as_bytes())?;
            }
            let config = config?;
            eprintln!("the config is good: {} sources, data in {}", config.sources.len(), config.data_dir.display());
        }
        ConfigCommand::Print => write_out(toml::to_string_pretty(&load()?)?.as_bytes())?,
        ConfigCommand::Schema => {
            write_out((serde_json::to_string_pretty(&schemars::schema_for!(Config))? + "\n").as_bytes())?;
        }
    }
    Ok(true)
}

fn journal(command: JournalCommand, load: impl Fn() -> anyhow::Result<Config>) -> anyhow::Result<bool> {
    let folder = |dir: Option<PathBuf>| dir.map_or_else(|| Ok::<_, anyhow::Error>(load()?.path("journal")), Ok);
    match command {
        JournalCommand::Inspect { dir, format } => crate::journal::inspect(&folder(dir)?, format),
        JournalCommand::Verify { dir, format } => crate::journal::verify(&folder(dir)?, format),
    }
}

/// A progress bar on a terminal; nothing in a pipe.
pub fn bar(unit: &str) -> ProgressBar {
    let bar = ProgressBar::new(0);
    let template = format!("  {{wide_bar}} {{pos}}/{{len}} {unit} {{per_sec}}");
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    bar
}

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").map_or_else(|_| "host".into(), |name| name.trim().to_owned())
}
