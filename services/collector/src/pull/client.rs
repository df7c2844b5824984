//! Keycloak's HTTP side: client credentials, tokens, and bounded, paced requests to the Admin REST API of one realm.
//!
//! No answer's text ever gets into an error or a log line: only statuses and our own words.

use super::{Feed, Limits, Realm, Source, state::State};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::{
    Client, RequestBuilder, Response, StatusCode, Url,
    header::{DATE, HeaderMap, RETRY_AFTER},
};
use serde::Deserialize;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{sync::Mutex, time::Instant};
use trust::{Refused, Trust, TrustError};

/// Largest answer of the token endpoint and of `events/config`, in bytes.
const SMALL_ANSWER_BYTES: usize = 256 * 1024;

/// A token is no longer used when it has less than this to live.
const TOKEN_RESERVE: Duration = Duration::from_secs(10);

/// Time to connect.
const CONNECT: Duration = Duration::from_secs(5);

/// Longest time for which a `Retry-After` is believed: a wrong one must not stop a source for days.
pub const MAX_QUIET: Duration = Duration::from_secs(15 * 60);

/// The HTTP client of a source.
pub(crate) fn http(source: &Source) -> Result<Client, TrustError> {
    http_with(&source.limits, &source.trust)
}

/// The same for any source.
pub(crate) fn http_with(limits: &Limits, trust: &Trust) -> Result<Client, TrustError> {
    trust.http(|builder| builder.timeout(limits.timeout).connect_timeout(CONNECT))
}

/// Spaces requests evenly, and keeps quiet for as long as Keycloak asks for; shared by all realms of a source.
#[derive(Debug)]
pub(crate) struct Pace {
    next: Mutex<Instant>,
    gap: Duration,
    /// Until when nothing may be asked, and what was answered.
    quiet: Mutex<Option<(Instant, State)>>,
}

impl Pace {
    pub(crate) fn new(limits: &Limits) -> Self {
        let gap = Duration::from_secs(1) / limits.requests_per_second.max(1);
        Self { next: Mutex::new(Instant::now()), gap, quiet: Mutex::new(None) }
    }

    /// Waits for a turn; while Keycloak wants to be left alone there is none.
    pub(crate) async fn turn(&self) -> Result<(), State> {
        if let Some((until, state)) = &*self.quiet.lock().await
            && *until > Instant::now()
        {
            return Err(state.clone());
        }
        let mut next = self.next.lock().await;
        let at = (*next).max(Instant::now());
        *next = at + self.gap;
        drop(next);
        tokio::time::sleep_until(at).await;
        Ok(())
    }

    /// Hears an answer's `Retry-After` (RFC 9110, 10.2.3).
    pub(crate) async fn hear(&self, answer: &Response) {
        let state = match answer.status() {
            StatusCode::TOO_MANY_REQUESTS => State::Throttled,
            StatusCode::SERVICE_UNAVAILABLE => State::ServerError { status: 503 },
            _ => return,
        };
        if let Some(wait) = retry_after(answer.headers()) {
            *self.quiet.lock().await = Some((Instant::now() + wait.min(MAX_QUIET), state));
        }
    }

    /// For how long nothing may be asked.
    pub(crate) async fn quiet(&self) -> Duration {
        let quiet = self.quiet.lock().await;
        quiet.as_ref().map_or(Duration::ZERO, |(until, _)| until.saturating_duration_since(Instant::now()))
    }
}

/// Seconds, or a date that is compared with the answer's own.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let wait = date_ms(text)? - date_of(headers)?;
    Some(Duration::from_millis(u64::try_from(wait).unwrap_or(0)))
}

fn date_of(headers: &HeaderMap) -> Option<i64> {
    headers.get(DATE)?.to_str().ok().and_then(date_ms)
}

/// An answer in time and size.
#[derive(Debug)]
pub(crate) struct Answer {
    pub body: Vec<u8>,
    /// Keycloak's time, UTC milliseconds: the `Date` header that a proxy adds, else the token's time of issue and what
    /// passed since, because Keycloak itself sends no `Date`. Resolution one second, rounded down.
    pub date: Option<i64>,
}

/// What a page is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct PageRequest {
    pub feed: Feed,
    /// Inclusive, UTC milliseconds.
    pub from: Option<i64>,
    pub first: usize,
    pub max: usize,
}

/// Speaks to one realm.
#[derive(Debug)]
pub(crate) struct RealmClient {
    http: Client,
    base: Url,
    realm: Realm,
    limits: Limits,
    pace: Arc<Pace>,
    token: Mutex<Option<Token>>,
}

#[derive(Clone, Debug)]
struct Token {
    value: Arc<str>,
    until: Instant,
    /// `iat` in UTC milliseconds, and when it was that time.
    issued: Option<(i64, Instant)>,
}

impl Token {
    /// Keycloak's time now, told by the token.
    fn clock(&self) -> Option<i64> {
        let (issued, since) = self.issued?;
        issued.checked_add(i64::try_from(since.elapsed().as_millis()).ok()?)
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    #[serde(default)]
    expires_in: u64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Claims {
    jti: String,
    iat: Option<i64>,
    sub: String,
    resource_access: BTreeMap<String, Access>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Access {
    roles: Vec<String>,
}

/// A service account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    /// Id of its user in the realm in which it lives; empty if the token does not say.
    pub user_id: String,
    /// Its roles of the client that administers the realm, if the token says any.
    pub roles: Option<Vec<String>>,
}

impl RealmClient {
    pub(crate) fn new(http: Client, base: Url, realm: Realm, shared: (Limits, Arc<Pace>)) -> Self {
        Self { http, base, realm, limits: shared.0, pace: shared.1, token: Mutex::new(None) }
    }

    /// Reads a page of events.
    pub(super) async fn page(&self, request: PageRequest) -> Result<Answer, State> {
        let mut url = self.url(&["admin", "realms", &self.realm.name, request.feed.as_str()])?;
        url.query_pairs_mut()
            .append_pair("direction", "asc")
            .append_pair("first", &request.first.to_string())
            .append_pair("max", &request.max.to_string());
        if let Some(from) = request.from {
            url.query_pairs_mut().append_pair("dateFrom", &from.to_string());
        }
        self.get(url, self.limits.answer_bytes).await
    }

    /// Reads the realm's event configuration.
    pub(super) async fn events_config(&self) -> Result<Answer, State> {
        let url = self.url(&["admin", "realms", &self.realm.name, "events", "config"])?;
        self.get(url, SMALL_ANSWER_BYTES).await
    }

    /// Reads any resource of the realm below `/admin/realms/<realm>`. A 404 is told as `RealmMissing`, whatever is missing.
    pub(crate) async fn resource(&self, path: &[String], query: &[(&'static str, String)]) -> Result<Vec<u8>, State> {
        let segments = ["admin", "realms", &self.realm.name].into_iter().chain(path.iter().map(String::as_str));
        let mut url = self.url(&segments.collect::<Vec<_>>())?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(self.get(url, self.limits.answer_bytes).await?.body)
    }

    /// Who this client is to Keycloak, as a new token says: one held for a while names roles that may be gone.
    pub(crate) async fn account(&self) -> Result<Account, State> {
        let mut held = self.token.lock().await;
        let token = self.login().await?;
        let claims = claims(&token.value).unwrap_or_default();
        *held = Some(token);
        drop(held);
        let own = if self.realm.login_realm.as_ref().is_some_and(|realm| *realm != self.realm.name) {
            format!("{}-realm", self.realm.name)
        } else {
            "realm-management".to_owned()
        };
        let roles = claims.resource_access.get(&own).map(|access| access.roles.clone());
        Ok(Account { user_id: claims.sub, roles })
    }

    /// Logs in anew, whatever token is held; the new token's id, which Keycloak's event names as `details.token_id`.
    pub(crate) async fn heartbeat(&self) -> Result<String, State> {
        let mut held = self.token.lock().await;
        let token = self.login().await?;
        let claims = claims(&token.value).filter(|claims| !claims.jti.is_empty()).ok_or(State::NotSupported)?;
        *held = Some(token);
        Ok(claims.jti)
    }

    /// For how long Keycloak wants to be left alone.
    pub(crate) async fn quiet(&self) -> Duration {
        self.pace.quiet().await
    }

    async fn get(&self, url: Url, most: usize) -> Result<Answer, State> {
        let token = self.token().await?;
        let answer = self.send(self.http.get(url.clone()).bearer_auth(&token.value)).await?;
        let (token, answer) = if answer.status() != StatusCode::UNAUTHORIZED {
            (token, answer)
        } else {
            self.log_in_again(&token, url).await?
        };
        let mut answer = read(answer, most).await?;
        answer.date = answer.date.or_else(|| token.clock());
        Ok(answer)
    }

    /// Revoked or expired before its time, for instance by a restart of Keycloak: one new login, no more.
    async fn log_in_again(&self, refused: &Token, url: Url) -> Result<(Token, Response), State> {
        self.drop_token(refused).await;
        let token = self.token().await?;
        let answer = self.send(self.http.get(url).bearer_auth(&token.value)).await?;
        Ok((token, answer))
    }

    async fn token(&self) -> Result<Token, State> {
        let mut held = self.token.lock().await;
        if let Some(token) = held.as_ref().filter(|token| token.until > Instant::now()) {
            return Ok(token.clone());
        }
        let token = self.login().await?;
        *held = Some(token.clone());
        Ok(token)
    }

    async fn drop_token(&self, refused: &Token) {
        let mut held = self.token.lock().await;
        // Another request may have taken a new one meanwhile.
        if held.as_ref().is_some_and(|token| token.value == refused.value) {
            *held = None;
        }
    }

    async fn login(&self) -> Result<Token, State> {
        let realm = self.realm.login_realm.as_ref().unwrap_or(&self.realm.name);
        let url = self.url(&["realms", realm, "protocol", "openid-connect", "token"])?;
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &self.realm.client_id),
            ("client_secret", self.realm.client_secret.reveal()),
        ];
        let answer = self.send(self.http.post(url).form(&form)).await?;
        if matches!(answer.status(), StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return Err(State::Unauthorized);
        }
        let answer = read(answer, SMALL_ANSWER_BYTES).await?;
        let token: TokenAnswer = serde_json::from_slice(&answer.body).map_err(|_| State::NotSupported)?;
        let lives = Duration::from_secs(token.expires_in).saturating_sub(TOKEN_RESERVE);
        let now = Instant::now();
        let until = now.checked_add(lives).unwrap_or(now);
        let issued = claims(&token.access_token).and_then(|claims| claims.iat).and_then(|iat| iat.checked_mul(1_000));
        let value = token.access_token.into();
        Ok(Token { value, until, issued: issued.map(|at| (at, now)) })
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, State> {
        self.pace.turn().await?;
        let answer = request.send().await.map_err(|error| unreachable(&error))?;
        self.pace.hear(&answer).await;
        Ok(answer)
    }

    fn url(&self, segments: &[&str]) -> Result<Url, State> {
        let mut url = self.base.clone();
        url.path_segments_mut().map_err(|()| State::NotSupported)?.pop_if_empty().extend(segments);
        Ok(url)
    }
}

/// Reads an answer's body up to `most` bytes, and tells what its status means.
pub(crate) async fn read(mut answer: Response, most: usize) -> Result<Answer, State> {
    let status = answer.status();
    match status {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED => return Err(State::Unauthorized),
        StatusCode::FORBIDDEN => return Err(State::Forbidden { role: "view-events" }),
        StatusCode::NOT_FOUND => return Err(State::RealmMissing),
        StatusCode::TOO_MANY_REQUESTS => return Err(State::Throttled),
        status if status.is_server_error() => return Err(State::ServerError { status: status.as_u16() }),
        _ => return Err(State::NotSupported),
    }
    let date = date_of(answer.headers());
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| unreachable(&error))? {
        if body.len() + chunk.len() > most {
            return Err(State::AnswerTooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { body, date })
}

fn date_ms(text: &str) -> Option<i64> {
    jiff::fmt::rfc2822::parse(text).ok().map(|date| date.timestamp().as_millisecond())
}

fn claims(token: &str) -> Option<Claims> {
    let payload = token.split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

pub(crate) fn unreachable(error: &reqwest::Error) -> State {
    let why = if let Some(refused) = Refused::find(error) {
        refused.as_str()
    } else if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the connection ended early"
    };
    State::Unreachable { why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_http_are_read() {
        assert_eq!(date_ms("Tue, 24 Nov 2026 00:00:01 GMT"), Some(1_795_478_401_000));
        assert_eq!(date_ms("yesterday"), None);
    }

    #[test]
    fn claims_of_a_token_are_read_and_rubbish_is_none() {
        let token = format!("x.{}.y", URL_SAFE_NO_PAD.encode(br#"{"jti":"trrtcc:1","iat":5}"#));
        let claims = claims(&token).unwrap();
        assert_eq!((claims.jti.as_str(), claims.iat), ("trrtcc:1", Some(5)));
        assert!(super::claims("no token").is_none());
    }
}
