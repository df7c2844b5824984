//! Asks a source, with patience, and tells what a missing answer means. Knows no areas.

use super::{Backstage, unit::Request};
use crate::pull::{
    State,
    client::{self, Account, Pace, RealmClient},
};
use events::snapshot::Outcome;
use reqwest::Url;
use std::{future::Future, pin::Pin, sync::Arc, time::Duration};
use trust::TrustError;

/// Why there is no answer that helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missed {
    /// There is no such thing.
    NotFound,
    /// As the outcome says.
    Because(Outcome),
}

impl Missed {
    /// True if the same question may be answered a moment later.
    pub(super) fn may_pass(self) -> bool {
        matches!(self, Self::Because(Outcome::Unreachable | Outcome::ServerError | Outcome::Throttled))
    }
}

impl From<State> for Missed {
    fn from(state: State) -> Self {
        Self::Because(match state {
            State::RealmMissing => return Self::NotFound,
            State::Forbidden { .. } => Outcome::Forbidden,
            State::Unauthorized => Outcome::Unauthorized,
            State::Unreachable { .. } => Outcome::Unreachable,
            State::ServerError { .. } => Outcome::ServerError,
            State::Throttled => Outcome::Throttled,
            State::AnswerTooLarge => Outcome::TooLarge,
            _ => Outcome::NotSupported,
        })
    }
}

/// What asking returns.
pub(super) type Asking<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One realm, or one Backstage.
pub(super) trait Ask: Send + Sync {
    /// Asks once.
    fn ask<'a>(&'a self, request: &'a Request) -> Asking<'a, Result<Vec<u8>, Missed>>;

    /// For how long the source wants to be left alone.
    fn quiet(&self) -> Asking<'_, Duration> {
        Box::pin(async { Duration::ZERO })
    }

    /// Who we are to it, where it says so.
    fn account(&self) -> Asking<'_, Result<Option<Account>, Missed>> {
        Box::pin(async { Ok(None) })
    }
}

impl Ask for RealmClient {
    fn ask<'a>(&'a self, request: &'a Request) -> Asking<'a, Result<Vec<u8>, Missed>> {
        Box::pin(async { self.resource(&request.path, &request.query).await.map_err(Missed::from) })
    }

    fn quiet(&self) -> Asking<'_, Duration> {
        Box::pin(RealmClient::quiet(self))
    }

    fn account(&self) -> Asking<'_, Result<Option<Account>, Missed>> {
        Box::pin(async { RealmClient::account(self).await.map(Some).map_err(Missed::from) })
    }
}

/// Speaks to one Backstage.
pub(super) struct BackstageClient {
    http: reqwest::Client,
    base: Url,
    source: Backstage,
    pace: Arc<Pace>,
}

impl BackstageClient {
    pub(super) fn new(source: &Backstage, base: Url) -> Result<Self, TrustError> {
        let http = client::http_with(&source.limits, &source.trust)?;
        Ok(Self { http, base, source: source.clone(), pace: Arc::new(Pace::new(&source.limits)) })
    }

    async fn get(&self, request: &Request) -> Result<Vec<u8>, State> {
        let mut url = self.base.clone();
        url.path_segments_mut().map_err(|()| State::NotSupported)?.pop_if_empty().extend(&request.path);
        if !request.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&request.query);
        }
        self.pace.turn().await?;
        let asked = self.http.get(url).bearer_auth(self.source.token.reveal());
        let answer = asked.send().await.map_err(|error| client::unreachable(&error))?;
        self.pace.hear(&answer).await;
        Ok(client::read(answer, self.source.limits.answer_bytes).await?.body)
    }
}

impl Ask for BackstageClient {
    fn ask<'a>(&'a self, request: &'a Request) -> Asking<'a, Result<Vec<u8>, Missed>> {
        Box::pin(async { self.get(request).await.map_err(Missed::from) })
    }

    fn quiet(&self) -> Asking<'_, Duration> {
        Box::pin(self.pace.quiet())
    }
}

/// Asks again after what may pass, as long as `patience` lasts; a source that wants to be left alone is left alone.
pub(super) async fn patiently(source: &dyn Ask, request: &Request, patience: &[Duration]) -> Result<Vec<u8>, Missed> {
    let mut waits = patience.iter();
    loop {
        let missed = match source.ask(request).await {
            Ok(bytes) => return Ok(bytes),
            Err(missed) => missed,
        };
        let Some(wait) = waits.next().filter(|_| missed.may_pass()) else { return Err(missed) };
        tokio::time::sleep((*wait).max(source.quiet().await)).await;
    }
}
