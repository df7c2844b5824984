//! What a person sees when the program starts, and the status route of the admin listener.

use super::App;
use crate::{
    config::{Config, Kind},
    secrets,
    status::Observer,
};
use axum::{Json, Router, http::StatusCode, response::IntoResponse, routing::get};
use std::{fmt::Write, io::IsTerminal, net::SocketAddr};
use tokio::sync::watch;

/// Types that a Keycloak does not save unless it is told to, and that token chains need.
const MORE_TYPES: [&str; 3] = ["REFRESH_TOKEN", "INTROSPECT_TOKEN", "USER_INFO_REQUEST"];

/// Whether the data folder was made by this start.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Folder {
    /// Made just now.
    Fresh,
    /// Known from before.
    Known,
}

/// Whether secrets are printed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Secrets {
    Shown,
    /// The file of each is named.
    InFiles,
}

/// Prints what to paste into Keycloak and Backstage. Secrets are shown on a terminal only, and only for a fresh folder.
pub fn settings(config: &Config, app: &App, folder: Folder) -> anyhow::Result<()> {
    let Some(intake) = app.takes() else {
        let text = "Tokentrail brings receipts from Kafka into ClickHouse · Ctrl-C stops\n";
        return crate::commands::write_out(text.as_bytes());
    };
    let fresh = folder == Folder::Fresh && std::io::stdout().is_terminal();
    let secrets = if fresh { Secrets::Shown } else { Secrets::InFiles };
    crate::commands::write_out(text(config, intake, secrets)?.as_bytes())
}

fn text(config: &Config, intake: SocketAddr, secrets: Secrets) -> anyhow::Result<String> {
    let scheme = if config.listen.tls_key.is_some() { "https" } else { "http" };
    let mut out = String::new();
    let base = format!("{scheme}://{intake}");
    writeln!(out, "Tokentrail takes receipts on {base} (data in {})\n", config.data_dir.display())?;
    for (id, source) in &config.sources {
        let secret = |file: &std::path::Path| -> anyhow::Result<String> {
            let value = secrets::read(&config.data_dir, file)?;
            Ok(if secrets == Secrets::Shown { value } else { format!("(in {})", config.data_dir.join(file).display()) })
        };
        match source.kind {
            Kind::Keycloak => {
                writeln!(
                    out,
                    "Keycloak, source {id}: add the event listener ext-event-webhook to the realm, then create the webhook:"
                )?;
                if let Some(file) = source.webhook_secret_files.first() {
                    writeln!(out, "  POST <keycloak>/realms/<realm>/webhooks")?;
                    writeln!(
                        out,
                        "  {{\"enabled\":\"true\",\"url\":\"{base}/v1/keycloak/{id}\",\"secret\":\"{}\",\"eventTypes\":[\"*\"]}}",
                        secret(file)?
                    )?;
                }
                writeln!(
                    out,
                    "  Realm settings, Events: switch on \"Save events\" of user and of admin events, the latter with"
                )?;
                writeln!(out, "  \"Include representation\"; add {} to the saved types", MORE_TYPES.join(", "))?;
                writeln!(out, "  start Keycloak with --spi-events-store--provider=jpa\n")?;
            }
            Kind::Backstage => {
                writeln!(out, "Backstage, source {id}: ship its standard output (NODE_ENV=production):")?;
                writeln!(out, "  node packages/backend 2>&1 | tokentrail send --source {id} --tee - -")?;
                if let Some(file) = source.token_files.first() {
                    writeln!(
                        out,
                        "  or any shipper: POST {base}/v1/backstage/{id} with Authorization: Bearer {}\n",
                        secret(file)?
                    )?;
                }
            }
        }
    }
    for join in config.joins() {
        writeln!(
            out,
            "People of {} sign in through {} ([sources.{}.sign_in] in the config says otherwise).",
            join.backstage, join.keycloak, join.backstage
        )?;
    }
    writeln!(out, "tokentrail status · tokentrail trace <user> · tokentrail doctor · Ctrl-C stops")?;
    Ok(out)
}

/// Longest that a status waits for ClickHouse.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

/// `GET /v1/status`: 200, or 503 with what is known without ClickHouse while that does not answer. `found` once it has answered,
/// `alone` from the start on.
pub fn status_route(found: watch::Receiver<Option<Observer>>, alone: watch::Receiver<Option<Observer>>) -> Router {
    Router::new().route(
        "/v1/status",
        get(move || async move {
            static READING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
            let reading = &READING;
            let found = found.borrow().clone();
            let why = match found {
                None => alone.borrow().as_ref().map(|alone| alone.trouble.told()).unwrap_or_default(),
                Some(found) => match tokio::time::timeout(PATIENCE, found.report()).await {
                    Ok(Ok(report)) => return Json(report).into_response(),
                    Ok(Err(error)) => format!("{error:#}"),
                    Err(_) => format!("it has not answered for {} s", PATIENCE.as_secs()),
                },
            };
            // It reads the journal, and one reader of that is enough.
            let _one = reading.lock().await;
            let alone = alone.borrow().clone();
            let told = match alone {
                Some(alone) => alone.without_store(why.clone()).await,
                None => Err(anyhow::anyhow!("the program is starting")),
            };
            match told {
                Ok(report) => (StatusCode::SERVICE_UNAVAILABLE, Json(report)).into_response(),
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), why, "The status cannot be told.");
                    (StatusCode::SERVICE_UNAVAILABLE, "the status cannot be told; see the log\n").into_response()
                }
            }
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_shown_where_told_so_and_else_their_files_are() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { data_dir: dir.path().to_owned(), ..Config::load(None, std::iter::empty()).unwrap() };
        let files = [
            config.sources["keycloak"].webhook_secret_files[0].clone(),
            config.sources["backstage"].token_files[0].clone(),
        ];
        let made = files.clone().map(|file| crate::secrets::read_or_make(dir.path(), &file).unwrap());
        let intake = ([127, 0, 0, 1], 8480).into();
        let shown = text(&config, intake, Secrets::Shown).unwrap();
        let hidden = text(&config, intake, Secrets::InFiles).unwrap();
        for secret in &made {
            assert!(shown.contains(secret.as_str()) && !hidden.contains(secret.as_str()));
        }
        assert!(files.iter().all(|file| hidden.contains(file.to_str().unwrap())), "{hidden}");
        for part in [
            "ext-event-webhook",
            "\"Save events\"",
            "\"Include representation\"",
            "REFRESH_TOKEN, INTROSPECT_TOKEN",
            "http://127.0.0.1:8480/v1/keycloak/keycloak",
            "--spi-events-store--provider=jpa",
            "send --source backstage",
        ] {
            assert!(shown.contains(part) && hidden.contains(part), "{part}: {hidden}");
        }
    }
}
