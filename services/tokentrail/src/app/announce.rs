//! What a person sees when the program starts, and the status route of the admin listener.

use super::App;
use crate::{
    config::{Config, Kind},
    secrets,
    status::Observer,
};
use axum::{Json, Router, http::StatusCode, response::IntoResponse, routing::get};
use std::{fmt::Write, io::IsTerminal};
use tokio::sync::watch;

/// Whether the data folder was made by this start.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Folder {
    /// Made just now.
    Fresh,
    /// Known from before.
    Known,
}

/// Prints what to paste into Keycloak and Backstage. Secrets are shown on a terminal only, and only for a fresh folder.
pub fn settings(config: &Config, app: &App, folder: Folder) -> anyhow::Result<()> {
    let scheme = if config.listen.tls_key.is_some() { "https" } else { "http" };
    let mut out = String::new();
    let Some(intake) = app.takes() else {
        writeln!(out, "Tokentrail brings receipts from Kafka into ClickHouse · Ctrl-C stops")?;
        return crate::commands::write_out(out.as_bytes());
    };
    let base = format!("{scheme}://{intake}");
    writeln!(out, "Tokentrail takes receipts on {base} (data in {})\n", config.data_dir.display())?;
    let show = folder == Folder::Fresh && std::io::stdout().is_terminal();
    for (id, source) in &config.sources {
        let secret = |file: &std::path::Path| -> anyhow::Result<String> {
            let value = secrets::read(&config.data_dir, file)?;
            Ok(if show { value } else { format!("(in {})", config.data_dir.join(file).display()) })
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
    crate::commands::write_out(out.as_bytes())
}

/// `GET /v1/status`: 200, or 503 with what is known without ClickHouse while that does not answer. `found` once it has answered,
/// `alone` from the start on.
pub fn status_route(found: watch::Receiver<Option<Observer>>, alone: watch::Receiver<Option<Observer>>) -> Router {
    Router::new().route(
        "/v1/status",
        get(move || async move {
            let found = found.borrow().clone();
            let why = match found {
                None => "it has not answered since the start".to_owned(),
                Some(found) => match found.report().await {
                    Ok(report) => return Json(report).into_response(),
                    Err(error) => format!("{error:#}"),
                },
            };
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
