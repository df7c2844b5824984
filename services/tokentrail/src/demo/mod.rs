//! `tokentrail demo`: a recorded story of a real Keycloak and a real Backstage through the whole pipeline, in a
//! temporary folder, over HTTP and signed, as the real ones would send it. Leaves nothing running.

mod shift;
mod story;

use crate::{
    app::{App, Listeners, Role},
    config::Config,
    import::{self, Batches, Entries},
    intake::{Delivery, Intake},
    secrets,
    status::{self, Report},
    trace,
};
use anyhow::{Context, bail};
use events::{receipt::Input, record::InputClosed};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::{
    path::Path,
    time::{Duration, Instant},
};
use story::Story;
use trust::Trust;

/// Longest wait until everything that was sent can be queried.
const DRAIN: Duration = Duration::from_secs(60);
/// Between two looks at the status.
const LOOK: Duration = Duration::from_millis(50);
/// Lines of one request, as a shipper would cut them.
const LINES_PER_REQUEST: usize = 500;
/// Lines of the person's trail that are shown.
const TRAIL_LINES: usize = 40;

/// Plays the story of `samples` and shows what came of it.
pub async fn run(samples: &Path, user: &str) -> anyhow::Result<()> {
    let started = Instant::now();
    let dir = tempfile::tempdir().context("cannot make a temporary folder")?;
    let mut config = Config::load(None, std::iter::empty())?;
    config.data_dir = dir.path().join("data");
    config.listen.intake = ([127, 0, 0, 1], 0).into();
    config.listen.admin = ([127, 0, 0, 1], 0).into();
    let story = Story::read(samples, jiff::Timestamp::now().as_millisecond())?;

    say("starting Tokentrail with an embedded ClickHouse in a temporary folder");
    let app = App::start(&config, Listeners::bind(&config, Role::Up)?, Role::Up).await?;
    let outcome = play(&app, &config, &story, user).await;
    app.stop().await?;
    outcome?;
    println!("\nDone in {:.1} s; nothing is left running.\n", started.elapsed().as_secs_f64());
    println!("What to type next:");
    println!(
        "  make up                                  start it to stay; it prints what to paste into Keycloak and Backstage"
    );
    println!("  target/demo/tokentrail status            what came in, and the fate of every receipt");
    println!("  target/demo/tokentrail trace <user>      one person's events across both systems");
    println!("  target/demo/tokentrail doctor            what is missing in Keycloak or Backstage, remedy by remedy");
    Ok(())
}

async fn play(app: &App, config: &Config, story: &Story, user: &str) -> anyhow::Result<()> {
    send(app, config, story).await?;
    let report = drained(app).await?;
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
    println!(
        "\nOne person across both systems ({user}), joined by the recorded catalog annotation keycloak.org/id only:\n"
    );
    let trail = trace::lookup(&app.store().await?, config, user).await?;
    print!("{}", trace::render(&trail, TRAIL_LINES));
    Ok(())
}

/// Records ever taken in.
fn in_journal(report: &Report) -> u64 {
    report.journal.as_ref().map_or(0, |journal| journal.end)
}

/// Everything through the front door: signed webhooks, lines, recorded catalog states, exports; then closes the inputs.
async fn send(app: &App, config: &Config, story: &Story) -> anyhow::Result<()> {
    let base = format!("http://{}", app.takes().context("no intake")?);
    let intake = |source: &str| -> anyhow::Result<Intake> {
        let token = secrets::read(&config.data_dir, Path::new(&format!("secrets/{source}.token")))?;
        Intake::new(&base, (source, &token), &Trust::system())
    };
    let (keycloak, backstage) = (intake("keycloak")?, intake("backstage")?);

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
    let headers = || vec![("x-tokentrail-input", "import".to_owned())];
    let exported = Delivery {
        route: "keycloak",
        content_type: "application/x-ndjson",
        headers: headers(),
        body: story.exported.clone(),
    };
    keycloak.deliver(&exported).await?;
    say("the recorded catalog history and what Keycloak's own event store held are imported");

    let ended = |input| InputClosed { input, watermark: story.ends, claim: None };
    for input in [Input::Webhook, Input::Import] {
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
    loop {
        let report = app.report().await?;
        if report.pending() == 0 && report.received() == in_journal(&report) {
            say(&format!(
                "every receipt has its fate in ClickHouse {:.1} s after the last one was acknowledged",
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
