//! Client of our own intake: what `send`, `import` and `demo` speak. Tries again until acknowledged; never drops.

use crate::secrets;
use anyhow::bail;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use trust::Trust;

/// First and longest wait between two tries.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(15));
/// How often a refusal that lasts is said again.
const SAID_AGAIN: Duration = Duration::from_secs(600);
/// One request, body included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// An answer longer than this is not ours.
const ANSWER_BYTES: usize = 64 << 10;

/// The intake of a running collector, for one source.
#[derive(Clone)]
pub struct Intake {
    http: Client,
    refused: Refusal,
    base: String,
    source: String,
    token: Token,
}

/// A token, read again from its file with each try: one that was exchanged there counts without a restart.
#[derive(Clone)]
struct Token {
    text: String,
    file: Option<PathBuf>,
}

impl Token {
    fn now(&self) -> String {
        let read = self.file.as_deref().map(|file| secrets::read(Path::new(""), file));
        read.and_then(Result::ok).unwrap_or_else(|| self.text.clone())
    }
}

/// What a refused certificate of the collector means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// The end: whoever asked is there to mend it.
    Ends,
    /// One more thing to wait for.
    Waits,
}

/// One request to be acknowledged.
pub struct Delivery<'a> {
    /// Path after `/v1/`, before the source: `keycloak`, `backstage`, `snapshot/backstage-catalog`, `close`.
    pub route: &'a str,
    /// Media type of the body.
    pub content_type: &'a str,
    /// More headers.
    pub headers: Vec<(&'static str, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Intake {
    /// `base` is the collector's address, `token` a bearer token of the source.
    pub fn new(base: &str, (source, token): (&str, &str), trust: &Trust) -> anyhow::Result<Self> {
        let http = trust.http(|builder| builder.timeout(REQUEST_TIMEOUT).no_proxy())?;
        Ok(Self {
            http,
            refused: Refusal::Ends,
            base: base.trim_end_matches('/').to_owned(),
            source: source.to_owned(),
            token: Token { text: token.to_owned(), file: None },
        })
    }

    /// Reads the token again from this file before each try.
    pub fn token_in(self, file: PathBuf) -> Self {
        Self { token: Token { file: Some(file), ..self.token }, ..self }
    }

    /// For who ships without end: a certificate that is refused today may be renewed tomorrow.
    pub fn patient(self) -> Self {
        Self { refused: Refusal::Waits, ..self }
    }

    /// Sends with the source's bearer token until acknowledged. Fails only on an answer that no repetition can change.
    pub async fn deliver(&self, delivery: &Delivery<'_>) -> anyhow::Result<()> {
        self.until_acknowledged(|| self.request(delivery).bearer_auth(self.token.now())).await
    }

    /// The same, for who must not end: what refuses today (a token that was exchanged, a proxy) may be mended tomorrow.
    /// Says so on standard error, at once and then now and then. Fails like [`Intake::deliver`] where `ends` says so.
    pub async fn deliver_at_last(&self, delivery: &Delivery<'_>, ends: impl Fn() -> bool) -> anyhow::Result<()> {
        let (mut said, mut wait) = (Said::default(), RETRY.0);
        loop {
            let Err(error) = self.deliver(delivery).await else {
                if said.ever() {
                    tracing::info!("the collector takes lines again");
                }
                return Ok(());
            };
            if ends() {
                return Err(error);
            }
            if said.is_due(Instant::now()) {
                tracing::error!(
                    error = format!("{error:#}"),
                    "the collector refuses lines; they are kept and sent when it takes them"
                );
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(RETRY.1);
        }
    }

    /// Sends with the given headers only (a signed webhook), until acknowledged.
    pub async fn deliver_signed(&self, delivery: &Delivery<'_>) -> anyhow::Result<()> {
        self.until_acknowledged(|| self.request(delivery)).await
    }

    fn request(&self, delivery: &Delivery<'_>) -> RequestBuilder {
        let url = format!("{}/v1/{}/{}", self.base, delivery.route, self.source);
        let mut request = self.http.request(Method::POST, url).header("content-type", delivery.content_type);
        for (name, value) in &delivery.headers {
            request = request.header(*name, value);
        }
        request.body(delivery.body.clone())
    }

    async fn until_acknowledged(&self, request: impl Fn() -> RequestBuilder) -> anyhow::Result<()> {
        let mut wait = RETRY.0;
        loop {
            match request().send().await {
                Ok(answer) if answer.status().is_success() => {
                    let status = answer.status();
                    // Commit point: only a collector that says what it kept has kept it.
                    match said(answer).await {
                        Ok(said) if serde_json::from_slice::<Kept>(&said).is_ok() => return Ok(()),
                        Ok(_) => bail!(
                            "what answers at {} is no collector: it says {status} and not what it kept",
                            self.base
                        ),
                        Err(_) => tracing::debug!("an answer broke off; what it was is asked again"),
                    }
                }
                Ok(answer) if again(answer.status()) => {
                    tracing::debug!(status = answer.status().as_u16(), "the collector asks to come again");
                }
                Ok(answer) => {
                    let status = answer.status();
                    let text = said(answer).await.unwrap_or_default();
                    bail!("the collector answers {status}: {}", problem(&text));
                }
                Err(error) if error.is_builder() => bail!("{} is no address of a collector", self.base),
                Err(error) => {
                    let refused = trust::Refused::find(&error);
                    if let (Some(why), Refusal::Ends) = (refused, self.refused) {
                        bail!("the collector at {} is refused: {why}", self.base);
                    }
                    if wait == RETRY.0 {
                        tracing::warn!(
                            refused = refused.map(trust::Refused::as_str),
                            connect = error.is_connect(),
                            timeout = error.is_timeout(),
                            "the collector cannot be reached; trying until it answers"
                        );
                    }
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(RETRY.1);
        }
    }
}

/// What a collector says of a delivery that is on its disk. A proxy or a page in its place says 200 to everything.
#[derive(serde::Deserialize)]
struct Kept {
    #[serde(rename = "stream")]
    _stream: String,
    #[serde(rename = "first_seq")]
    _first_seq: u64,
    #[serde(rename = "count")]
    _count: u64,
}

/// When something that lasts was said.
#[derive(Default)]
struct Said(Option<Instant>);

impl Said {
    fn ever(&self) -> bool {
        self.0.is_some()
    }

    fn is_due(&mut self, now: Instant) -> bool {
        let due = self.0.is_none_or(|last| now.duration_since(last) >= SAID_AGAIN);
        if due {
            self.0 = Some(now);
        }
        due
    }
}

fn again(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT
}

/// The body of an answer, as far as it can be ours.
async fn said(mut answer: Response) -> reqwest::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while bytes.len() <= ANSWER_BYTES
        && let Some(chunk) = answer.chunk().await?
    {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// The readable part of an RFC 9457 answer.
fn problem(text: &[u8]) -> String {
    let Ok(problem) = serde_json::from_slice::<serde_json::Value>(text) else { return "no explanation".into() };
    let part = |name: &str| problem.get(name).and_then(|v| v.as_str()).unwrap_or_default().to_owned();
    format!("{}: {}", part("title"), part("detail"))
}

#[cfg(test)]
pub mod fake;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_is_said_at_once_and_now_and_then() {
        let (mut said, start) = (Said::default(), Instant::now());
        assert!(!said.ever());
        let due: Vec<bool> =
            [0, 1, 599, 600, 601, 1_199, 1_200].map(|seconds| said.is_due(start + Duration::from_secs(seconds))).into();
        assert_eq!(due, [true, false, false, true, false, false, true]);
        assert!(said.ever());
    }

    #[test]
    fn a_token_that_was_exchanged_in_its_file_counts_and_one_that_is_gone_leaves_the_last() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        let token = Token { text: "first".into(), file: Some(file.clone()) };
        assert_eq!(token.now(), "first");
        std::fs::write(&file, "second\n").unwrap();
        assert_eq!(token.now(), "second");
    }
}
