//! One receiver: where, how, and one attempt to bring it a message.

use crate::sign::{Secret, signature};
use drift::Severity;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use std::time::Duration;
use trust::{Trust, TrustError};
use uuid::Uuid;

/// Longest wait for a connection, and for a whole attempt.
const CONNECT: Duration = Duration::from_secs(5);
const ATTEMPT: Duration = Duration::from_secs(15);
/// Most of an answer that is read.
const ANSWER_BYTES: usize = 64 << 10;

/// What a receiver speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Standard Webhooks, signed.
    Webhook,
    /// Alertmanager's API v2.
    Alertmanager,
    /// `{"text": ...}`, as Slack, Mattermost and others take it.
    Slack,
}

impl Kind {
    /// In a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Alertmanager => "alertmanager",
            Self::Slack => "slack",
        }
    }
}

/// Whether names are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// Person keys only.
    Pseudonyms,
    /// Names beside them.
    Names,
}

/// A receiver.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// Its name in the config.
    pub name: String,
    /// What it speaks.
    pub kind: Kind,
    /// Tells findings of at least this severity.
    pub least: Severity,
    /// Whether names are told.
    pub naming: Naming,
    url: reqwest::Url,
    secret: Option<Secret>,
    bearer: Option<HeaderValue>,
    http: reqwest::Client,
}

/// How a receiver proves us.
#[derive(Clone, Debug, Default)]
pub struct Proof {
    /// Standard Webhooks secret.
    pub secret: Option<Secret>,
    /// Bearer token.
    pub bearer: Option<String>,
}

/// Why a message was not taken. Never holds the address, which can be a secret (Slack's is).
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refused {
    /// No answer.
    #[error("it cannot be reached: {0}")]
    Unreachable(&'static str),
    /// It answered with something else than success.
    #[error("it answered {0}")]
    Status(u16),
    /// It does not take what this message says, however often it comes: too large, or not as it wants it.
    #[error("it refuses what it is told (status {0})")]
    Message(u16),
    /// It points elsewhere.
    #[error("it redirects (status {0}), and redirects are not followed: name the final address in config")]
    Redirects(u16),
}

/// Why a receiver cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UnusableReceiver {
    /// TLS.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// No address.
    #[error("its url is no http:// or https:// address of a host")]
    Address,
    /// A token that no header can carry.
    #[error("its bearer token holds characters that no header can carry")]
    Bearer,
}

impl Receiver {
    /// `(name, kind)`, address, and how it trusts us and we trust it.
    pub fn new(
        (name, kind): (&str, Kind),
        url: &str,
        (trust, proof): (&Trust, Proof),
        (least, naming): (Severity, Naming),
    ) -> Result<Self, UnusableReceiver> {
        let mut url: reqwest::Url = url.parse().map_err(|_| UnusableReceiver::Address)?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(UnusableReceiver::Address);
        }
        if kind == Kind::Alertmanager && !url.path().ends_with("/api/v2/alerts") {
            let path = format!("{}/api/v2/alerts", url.path().trim_end_matches('/'));
            url.set_path(&path);
        }
        let bearer = proof.bearer.map(|token| HeaderValue::try_from(format!("Bearer {token}"))).transpose();
        let mut bearer = bearer.map_err(|_| UnusableReceiver::Bearer)?;
        if let Some(bearer) = &mut bearer {
            bearer.set_sensitive(true);
        }
        let http = trust.http(|builder| builder.no_proxy().connect_timeout(CONNECT).timeout(ATTEMPT))?;
        Ok(Self { name: name.to_owned(), kind, least, naming, url, secret: proof.secret, bearer, http })
    }

    /// One attempt at `seconds` (Unix time). `id` is the same on every attempt of a message.
    pub async fn attempt(&self, (id, seconds): (Uuid, i64), body: &str) -> Result<(), Refused> {
        let id = format!("msg_{}", id.simple());
        let mut request = self.http.post(self.url.clone()).header(CONTENT_TYPE, "application/json");
        if self.kind == Kind::Webhook {
            request = request.header("webhook-id", &id).header("webhook-timestamp", seconds);
            if let Some(secret) = &self.secret {
                request = request.header("webhook-signature", signature(secret, (&id, seconds), body.as_bytes()));
            }
        }
        if let Some(bearer) = &self.bearer {
            request = request.header(AUTHORIZATION, bearer);
        }
        let mut answer = request.body(body.to_owned()).send().await.map_err(|error| unreachable(&error))?;
        let status = answer.status();
        // What it says is of no use; the connection can be used again if it says little.
        let mut read = 0;
        while read < ANSWER_BYTES
            && let Ok(Some(chunk)) = answer.chunk().await
        {
            read += chunk.len();
        }
        match status.as_u16() {
            200..=299 => Ok(()),
            status @ 300..=399 => Err(Refused::Redirects(status)),
            // Other words may be taken. What else begins with 4 is about the way: credentials, the address, too much at once.
            status @ (400 | 406 | 409 | 411..=417 | 422 | 424 | 431 | 451) => Err(Refused::Message(status)),
            status => Err(Refused::Status(status)),
        }
    }
}

/// In a few words, none of which is the address.
fn unreachable(error: &reqwest::Error) -> Refused {
    Refused::Unreachable(match () {
        () if error.is_timeout() => "no answer in time",
        () if error.is_connect() => "no connection (name, port or TLS)",
        () => "the connection broke",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    /// Far above what is read and what buffers between two sockets hold, far below what is said until an attempt is over.
    const HEARD: usize = 64 << 20;

    #[tokio::test]
    async fn a_receiver_that_never_stops_talking_has_taken_it_and_is_not_listened_to() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let talking = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n").await.unwrap();
            let mut said = 0;
            while stream.write_all(&[b'x'; ANSWER_BYTES]).await.is_ok() {
                said += ANSWER_BYTES;
            }
            said
        });
        let proven = (&Trust::system(), Proof::default());
        let receiver = Receiver::new(("r", Kind::Webhook), &url, proven, (Severity::Low, Naming::Pseudonyms)).unwrap();
        receiver.attempt((Uuid::nil(), 0), "{}").await.unwrap();
        let said = talking.await.unwrap();
        assert!(said < HEARD, "{said} bytes");
    }
}
