//! `tokentrail demo`: a recorded story of a real Keycloak and a real Backstage through the whole pipeline, in a
//! temporary folder, over HTTP and signed, as the real ones would send it. Leaves nothing running.

mod receiver;
mod shift;
mod state;
mod story;
mod withheld;

use crate::{
    app::{App, Listeners, Role},
    ask::{self, DecisionsArgs},
    config::{Config, SignIn},
    deployment,
    import::{self, Batches, Entries},
    intake::{Delivery, Intake},
    pulling::ToJournal,
    report::{self, RunArgs},
    secrets,
    status::{self, CorrelationReport, Report},
    trace,
};
use anyhow::{Context, bail};
use collector::pull::Append;
use events::{receipt::Input, record::InputClosed};
use hmac::{Hmac, KeyInit, Mac};
use receiver::Receiver;
use sha2::Sha256;
use std::{
    path::Path,
    time::{Duration, Instant},
};
use store::Store;
use story::Story;
use trust::Trust;
use uuid::Uuid;

/// Longest wait until everything that was sent can be queried.
const DRAIN: Duration = Duration::from_secs(300);
/// Between two looks at the status.
const LOOK: Duration = Duration::from_millis(50);
/// Lines of one request, as a shipper would cut them.
const LINES_PER_REQUEST: usize = 500;
/// Backstage's tokens live this long in the story, and its catalog is synced within this time, seconds.
const TOKEN_LIFE: u32 = 600;
const CATALOG_BUDGET: u32 = 15;
/// Decisions that are asked for.
const DECISIONS: u32 = 1_000;
/// Lines of the trail that is shown.
const TRAIL_LINES: usize = 12;
/// What Grafana reads, in this repository.
const DASHBOARDS: &str = "dashboards/provisioning";
/// Milliseconds of a day: the story is shorter.
const DAY: i64 = 86_400_000;

/// Plays the story of `samples` and shows what came of it; `folder`: where its report goes.
pub async fn run(samples: &Path, user: &str, folder: Option<&Path>) -> anyhow::Result<()> {
    let started = Instant::now();
    let dir = tempfile::tempdir().context("cannot make a temporary folder")?;
    let mut config = Config::load(None, std::iter::empty())?;
    config.data_dir = dir.path().join("data");
    config.listen.intake = ([127, 0, 0, 1], 0).into();
    config.listen.admin = ([127, 0, 0, 1], 0).into();
    let keycloak =
        config.sources.keys().find(|id| *id == "keycloak").cloned().context("the default config has a Keycloak")?;
    if let Some(backstage) = config.sources.get_mut("backstage") {
        backstage.sign_in = Some(SignIn::of_story(keycloak, TOKEN_LIFE, CATALOG_BUDGET));
    }
    // Nothing late comes once the story is told: its rules need not wait for longer.
    config.lateness_seconds = 1;
    let receiver = Receiver::start(&mut config).await?;
    let story = Story::read(samples, jiff::Timestamp::now().as_millisecond())?;

    say("starting Tokentrail with an embedded ClickHouse in a temporary folder");
    let app = App::start(&config, Listeners::bind(&config, Role::Up)?, Role::Up).await?;
    let outcome = async {
        play(&app, &config, &story, user).await?;
        receiver.show().await?;
        match folder {
            Some(folder) => write_report(&config, &story, folder).await,
            None => Ok(()),
        }
    };
    let outcome = outcome.await;
    app.stop().await?;
    outcome?;
    println!("\nDone in {:.1} s; nothing is left running.\n", started.elapsed().as_secs_f64());
    println!("What to type next:");
    println!(
        "  make up                                  start it to stay; it prints what to paste into Keycloak and Backstage"
    );
    println!("  target/demo/tokentrail status            what came in, and the fate of every receipt");
    println!("  target/demo/tokentrail trace <user>      one person's events across both systems");
    println!("  target/demo/tokentrail decisions --verdict stale-allow    and explain, access, who-can, gaps, person");
    println!("  target/demo/tokentrail findings list     what the rules found; rules list, report list");
    println!("  target/demo/tokentrail doctor            what is missing in Keycloak or Backstage, remedy by remedy");
    println!(
        "\nThe same story on dashboards (docs/dashboards.md: how Grafana opens them; docs/pictures: how they look):"
    );
    println!("  {DASHBOARDS}");
    Ok(())
}

async fn play(app: &App, config: &Config, story: &Story, user: &str) -> anyhow::Result<()> {
    send(app, config, story).await?;
    snapshot(app, config, story).await?;
    drained(app).await?;
    withheld::found(&app.store().await?, config, &story.withheld).await?;
    println!();
    close(app, config, story).await?;
    let report = drained(app).await?;
    withheld::closed(&app.store().await?, config).await?;
    println!(
        "\nWhat came in, and the fate of every receipt (received = stored + duplicate + ignored + dead + pending):\n"
    );
    print!("{}", status::render_inputs(&report));
    let sum = report.received();
    println!(
        "\n  {sum} receipts acknowledged, {} in the journal, {} with a fate in ClickHouse.",
        in_journal(&report),
        sum - report.pending()
    );
    if in_journal(&report) != sum || report.pending() != 0 {
        bail!("the counts do not agree: this is a fault of Tokentrail");
    }
    told(app, config, user).await
}

/// What the correlation makes of it: decisions on a right that was gone, and the grounds of the worst.
async fn told(app: &App, config: &Config, user: &str) -> anyhow::Result<()> {
    let store = app.store().await?;
    let tenant = &config.tenant;
    let args = DecisionsArgs { verdict: vec!["stale-allow".into()], ..DecisionsArgs::latest(DECISIONS) };
    let stale = ask::decisions::find(&store, tenant, &args).await?;
    println!(
        "\nAllowed on a right that Keycloak had already taken away, by person and by the clock that the decision obeys:\n"
    );
    print!("{}", ask::decisions::longest(&stale));
    let args = DecisionsArgs { person: Some(user.to_owned()), ..args };
    let of_user = ask::decisions::find(&store, tenant, &args).await?;
    let Some(worst) = of_user.iter().max_by_key(|one| one.delay_ms) else {
        bail!("no decision of {user} on a right that was gone: this is not the story, or a fault of Tokentrail");
    };
    println!("\nOne of them, explained (tokentrail explain {}):", worst.event_id);
    print!("{}", ask::explain::render(&ask::explain::find(&store, config, &worst.event_id.to_string()).await?));
    trail(&store, config, (user, worst.event_id)).await
}

/// One person across both systems, about one of their decisions.
async fn trail(store: &Store, config: &Config, (user, decision): (&str, Uuid)) -> anyhow::Result<()> {
    let mut whole = trace::lookup(store, config, &[user.to_owned()]).await?;
    // What a snapshot holds is no act of anybody.
    whole.events.retain(|step| !step.event.kind.starts_with("state_"));
    let (part, between) = trace::around(whole, decision, TRAIL_LINES);
    let from = |source: &str| part.events.iter().any(|step| step.event.source_id == source);
    if !from("keycloak") || !from("backstage") {
        bail!("{user} is not known in both systems: this is not the story, or a fault of Tokentrail");
    }
    println!(
        "\nThe same person in both systems: what Keycloak said last before that decision, and what Backstage did, {between} events \
         between left out (tokentrail trace {user}):\n"
    );
    print!("{}", trace::render(&part, TRAIL_LINES));
    Ok(())
}

/// The access trace of the story, as a page for the auditor, with its sheet.
async fn write_report(config: &Config, story: &Story, folder: &Path) -> anyhow::Result<()> {
    let args = RunArgs::page("R08", (story.ends - DAY, story.ends), folder)?;
    let made = report::make(config, &args).await?;
    println!("\nThe same as a report, each decision with its grounds and the sheet that says what it proves:\n");
    for line in made.sheet.summary().lines() {
        println!("  {line}");
    }
    for file in &made.files {
        println!("  {}", file.display());
    }
    Ok(())
}

/// Records ever taken in.
fn in_journal(report: &Report) -> u64 {
    report.journal.as_ref().map_or(0, |journal| journal.end)
}

fn intake(app: &App, config: &Config, source: &str) -> anyhow::Result<Intake> {
    let base = format!("http://{}", app.takes().context("no intake")?);
    let token = secrets::read(&config.data_dir, Path::new(&format!("secrets/{source}.token")))?;
    Intake::new(&base, (source, &token), &Trust::system())
}

/// Through the front door: signed webhooks, lines, recorded catalog states.
async fn send(app: &App, config: &Config, story: &Story) -> anyhow::Result<()> {
    let (keycloak, backstage) = (intake(app, config, "keycloak")?, intake(app, config, "backstage")?);
    let secret = secrets::read(&config.data_dir, Path::new("secrets/keycloak.webhook"))?;
    for body in &story.webhooks {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())?;
        mac.update(body.as_bytes());
        let signature = hex::encode(mac.finalize().into_bytes());
        let headers = vec![("x-keycloak-signature", signature)];
        let body = body.clone().into_bytes();
        keycloak
            .deliver_signed(&Delivery { route: "keycloak", content_type: "application/json", headers, body })
            .await?;
    }
    say(&format!("{} signed Keycloak webhook deliveries acknowledged", story.webhooks.len()));

    let lines: Vec<&[u8]> = story.lines.split_inclusive(|b| *b == b'\n').collect();
    for chunk in lines.chunks(LINES_PER_REQUEST) {
        let headers = vec![("x-tokentrail-instance", "demo".to_owned())];
        let body = chunk.concat();
        backstage.deliver(&Delivery { route: "backstage", content_type: "text/plain", headers, body }).await?;
    }
    say(&format!("{} lines of Backstage's standard output acknowledged", lines.len()));

    let mut catalog = Batches::of(Entries::of(std::io::Cursor::new(story.catalog.clone()), "catalog history")?);
    while let Some(batch) = catalog.next()? {
        let (route, body) = (batch.route, batch.body);
        backstage.deliver(&Delivery { route, content_type: "application/x-ndjson", headers: Vec::new(), body }).await?;
    }
    say("the recorded catalog history is imported");
    Ok(())
}

/// What was recorded of Keycloak's state at the end, as the receipts of a snapshot.
async fn snapshot(app: &App, config: &Config, story: &Story) -> anyhow::Result<()> {
    let journal = app.journal().context("no journal")?;
    let key = deployment::key(config)?;
    let receipts = story.state.receipts(&key, (&config.tenant, "keycloak"), story.state_at)?;
    let count = receipts.len();
    let journal = ToJournal(journal.clone());
    if journal.append(receipts).await.is_err() {
        bail!("the journal does not take the snapshot");
    }
    say(&format!("a snapshot of Keycloak, made of its recorded state (users, groups, members): {count} receipts"));
    Ok(())
}

/// What Keycloak's own event store held; then closes the inputs.
async fn close(app: &App, config: &Config, story: &Story) -> anyhow::Result<()> {
    let (keycloak, backstage) = (intake(app, config, "keycloak")?, intake(app, config, "backstage")?);
    let headers = || vec![("x-tokentrail-input", "import".to_owned())];
    let exported = Delivery {
        route: "keycloak",
        content_type: "application/x-ndjson",
        headers: headers(),
        body: story.exported.clone(),
    };
    keycloak.deliver(&exported).await?;
    say("what Keycloak's own event store held is imported, the withheld event among it");

    let ended = |input| InputClosed { input, watermark: story.ends, claim: None };
    for input in [Input::Webhook, Input::Import, Input::Snapshot] {
        import::close(&keycloak, &ended(input)).await?;
    }
    for input in [Input::Lines, Input::Snapshot] {
        import::close(&backstage, &ended(input)).await?;
    }
    Ok(())
}

/// Waits until every receipt has its fate in ClickHouse.
async fn drained(app: &App) -> anyhow::Result<Report> {
    let started = Instant::now();
    let bar = crate::commands::bar("receipts");
    loop {
        let report = app.report().await?;
        bar.set_length(report.received());
        bar.set_position(report.received() - report.pending());
        let correlated = report.correlation.as_ref().is_some_and(CorrelationReport::has_caught_up);
        let settled = report.journal.as_ref().is_some_and(|journal| journal.lag == 0);
        if report.pending() == 0 && settled && report.received() == in_journal(&report) && correlated {
            bar.finish_and_clear();
            say(&format!(
                "every receipt has its fate and every decision its grounds in ClickHouse {:.1} s after the last one was acknowledged",
                started.elapsed().as_secs_f64()
            ));
            return Ok(report);
        }
        if started.elapsed() > DRAIN {
            bail!("{} receipts are still pending after {} s", report.pending(), DRAIN.as_secs());
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn say(text: &str) {
    println!("  - {text}");
}
