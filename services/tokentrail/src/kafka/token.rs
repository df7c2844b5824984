//! Bearer tokens for the brokers, by client credentials. Never prints one.

use crate::{app::now_ms, config::KafkaSasl};
use anyhow::Context;
use durable_log::kafka::{Token, TokenSource};
use serde::Deserialize;
use std::{sync::Arc, time::Duration};
use tokio::runtime::Handle;
use trust::Trust;

/// One fetch.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Of a token that names no end, seconds: the least that RFC 6749 lets one expect.
const LIFETIME: i64 = 60;

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    #[serde(default)]
    expires_in: Option<i64>,
}

/// A source of tokens from the token endpoint of the config.
pub(super) fn source(sasl: &KafkaSasl, secret: &str, trust: &Trust) -> anyhow::Result<TokenSource> {
    let url = sasl.token_url.clone().context("sasl.token_url is missing")?;
    let http = trust.http(|builder| builder.redirect(reqwest::redirect::Policy::none()).timeout(TIMEOUT))?;
    let mut form = vec![
        ("grant_type", "client_credentials".to_owned()),
        ("client_id", sasl.user.clone()),
        ("client_secret", secret.to_owned()),
    ];
    form.extend(sasl.scope.iter().map(|scope| ("scope", scope.clone())));
    let (runtime, principal) = (Handle::current(), sasl.user.clone());
    Ok(Arc::new(move || {
        let asked = async {
            let answer = http.post(&url).form(&form).send().await.map_err(|_| "the token endpoint does not answer")?;
            if !answer.status().is_success() {
                return Err("the token endpoint refuses the client");
            }
            answer.json::<Answer>().await.map_err(|_| "the token endpoint answers with no token")
        };
        // librdkafka wants a token in whatever thread serves its client, also in one of the runtime's own that lets a client go; that
        // one must not wait, so another does. When the runtime is ending, asking panics, and nobody needs the token.
        let asking = std::thread::scope(|scope| scope.spawn(|| runtime.block_on(asked)).join());
        let answer = asking.map_err(|_| "the program is ending".to_owned())?.map_err(str::to_owned)?;
        let expires_at = now_ms() + answer.expires_in.unwrap_or(LIFETIME) * 1000;
        Ok(Token { token: answer.access_token, principal: principal.clone(), expires_at })
    }))
}
