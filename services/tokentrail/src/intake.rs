//! Client of our own intake: what `send`, `import` and `demo` speak. Tries again until acknowledged; never drops.

use anyhow::bail;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use std::time::Duration;
use trust::Trust;

/// First and longest wait between two tries.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(15));
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
    token: String,
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
            token: token.to_owned(),
        })
    }

    /// For who ships without end: a certificate that is refused today may be renewed tomorrow.
    pub fn patient(self) -> Self {
        Self { refused: Refusal::Waits, ..self }
    }

    /// Sends with the source's bearer token until acknowledged. Fails only on an answer that no repetition can change.
    pub async fn deliver(&self, delivery: &Delivery<'_>) -> anyhow::Result<()> {
        self.until_acknowledged(|| self.request(delivery).bearer_auth(&self.token)).await
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
                Ok(answer) if answer.status().is_success() => return Ok(()),
                Ok(answer) if again(answer.status()) => {
                    tracing::debug!(status = answer.status().as_u16(), "the collector asks to come again");
                }
                Ok(answer) => {
                    let status = answer.status();
                    let text = answer.text().await.unwrap_or_default();
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

fn again(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT
}

/// The readable part of an RFC 9457 answer.
fn problem(text: &str) -> String {
    let text = text.get(..ANSWER_BYTES.min(text.len())).unwrap_or_default();
    let Ok(problem) = serde_json::from_str::<serde_json::Value>(text) else { return "no explanation".into() };
    let part = |name: &str| problem.get(name).and_then(|v| v.as_str()).unwrap_or_default().to_owned();
    format!("{}: {}", part("title"), part("detail"))
}
