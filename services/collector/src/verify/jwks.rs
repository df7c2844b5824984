//! A realm's keys by URL: kept for a while, fetched once at a time, not at the beck of made-up key ids.
//!
//! When the realm cannot be reached, the old keys serve on for a bounded time, so that a withdrawn key dies at last.

use crate::journal::Later;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
    time::Duration,
};
use tokio::{sync::Mutex, time::Instant};
use trust::{Refused, Trust, TrustError};

/// How long fetched keys are taken as they are.
pub const KEYS_TTL: Duration = Duration::from_secs(600);

/// Least time between two fetches, whatever key ids come.
pub const KEYS_COOLDOWN: Duration = Duration::from_secs(30);

/// How long keys serve after their fetch when fetching fails.
pub const KEYS_STALE: Duration = Duration::from_secs(3600);

/// Largest JWK set, bytes.
const KEYS_BYTES: usize = 256 * 1024;

/// Time for one fetch.
const FETCH_TIME: Duration = Duration::from_secs(5);

/// Keys could not be fetched, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FetchFailed(pub &'static str);

/// Gets the bytes of a JWK set.
pub trait FetchKeys: Send + Sync + 'static {
    /// Fetches what stands at `url`.
    fn fetch<'a>(&'a self, url: &'a str) -> Later<'a, Result<Vec<u8>, FetchFailed>>;
}

/// Fetches by HTTP, from the addresses that it knows only.
pub struct HttpKeys(HashMap<String, reqwest::Client>);

impl HttpKeys {
    /// Each address with whom to trust there.
    pub fn new(addresses: impl IntoIterator<Item = (String, Trust)>) -> Result<Self, TrustError> {
        let client = |(url, trust): (String, Trust)| Ok((url, trust.http(|builder| builder)?));
        addresses.into_iter().map(client).collect::<Result<_, _>>().map(Self)
    }

    async fn get(&self, url: &str) -> Result<Vec<u8>, FetchFailed> {
        let http = self.0.get(url).ok_or(FetchFailed("its address is not known"))?;
        let answer = http.get(url).send().await.map_err(|error| why(&error))?;
        let mut answer = answer.error_for_status().map_err(|_| FetchFailed("it answers with an error"))?;
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| why(&error))? {
            if bytes.len() + chunk.len() > KEYS_BYTES {
                return Err(FetchFailed("its answer is too large"));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

impl FetchKeys for HttpKeys {
    fn fetch<'a>(&'a self, url: &'a str) -> Later<'a, Result<Vec<u8>, FetchFailed>> {
        let late = FetchFailed("no answer in time");
        Box::pin(async move { tokio::time::timeout(FETCH_TIME, self.get(url)).await.unwrap_or(Err(late)) })
    }
}

fn why(error: &reqwest::Error) -> FetchFailed {
    FetchFailed(Refused::find(error).map_or("no connection", Refused::as_str))
}

/// No fetching at all: for sources without a key URL.
pub struct NoKeys;

impl FetchKeys for NoKeys {
    fn fetch<'a>(&'a self, _url: &'a str) -> Later<'a, Result<Vec<u8>, FetchFailed>> {
        Box::pin(async { Err(FetchFailed("no address is known")) })
    }
}

/// The keys of one realm. Whoever needs a fetch waits for the one under way; known keys are found without waiting.
#[derive(Default)]
pub(super) struct Keys {
    state: RwLock<State>,
    flight: Mutex<()>,
}

#[derive(Default)]
struct State {
    set: Option<JwkSet>,
    fetched: Option<Instant>,
    tried: Option<Instant>,
}

impl Keys {
    pub async fn find(&self, kid: &str, url: &str, fetch: &dyn FetchKeys) -> Option<Jwk> {
        if let Some(key) = self.read(|state| state.within(KEYS_TTL, kid)) {
            return Some(key);
        }
        let _flight = self.flight.lock().await;
        if let Some(key) = self.read(|state| state.within(KEYS_TTL, kid)) {
            return Some(key);
        }
        if self.read(|state| state.tried.is_none_or(|at| at.elapsed() >= KEYS_COOLDOWN)) {
            self.write(|state| state.tried = Some(Instant::now()));
            let set = fetch.fetch(url).await.and_then(|bytes| {
                serde_json::from_slice::<JwkSet>(&bytes).map_err(|_| FetchFailed("its answer is no set of keys"))
            });
            match set {
                Ok(set) => self.write(|state| {
                    state.set = Some(set);
                    state.fetched = Some(Instant::now());
                }),
                Err(FetchFailed(why)) => tracing::warn!(
                    url,
                    why,
                    "The keys of a realm could not be fetched; those known serve on for a while."
                ),
            }
        }
        self.read(|state| state.within(KEYS_STALE, kid))
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner));
    }
}

impl State {
    /// The key, if the set was fetched within this time.
    fn within(&self, age: Duration, kid: &str) -> Option<Jwk> {
        let fresh = self.fetched.is_some_and(|at| at.elapsed() < age);
        if fresh { self.set.as_ref()?.find(kid).cloned() } else { None }
    }
}
