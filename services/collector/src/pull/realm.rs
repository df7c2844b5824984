//! One realm: its health, its two feeds.

use super::{
    Feed, PassError, PassReport, Source, State, Surroundings,
    client::{self, Pace, PageRequest, RealmClient},
    cursor::{Cursor, CursorFile, CursorName, KeepCursor, Loaded},
    pass::{FeedReader, Shared},
    state::{self, EventsConfig},
};
use reqwest::Url;
use std::{io, sync::Arc, time::Duration};

/// Why a realm cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The base URL is none.
    #[error("the base URL of source {0} is not an http(s) URL")]
    BaseUrl(String),
    /// The HTTP client.
    #[error("the HTTP client of a source cannot be made")]
    Http(#[source] trust::TrustError),
    /// A cursor cannot be read.
    #[error("a cursor cannot be read")]
    Cursor(#[source] io::Error),
}

/// One realm of a source.
pub struct RealmPull {
    name: String,
    client: RealmClient,
    shared: Shared,
    feeds: [FeedReader; 2],
    damaged: bool,
}

impl std::fmt::Debug for RealmPull {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RealmPull").field("name", &self.name).finish_non_exhaustive()
    }
}

impl RealmPull {
    /// All realms of a source, with their cursors read.
    pub fn open(source: &Source, around: &Surroundings) -> Result<Vec<Self>, Failed> {
        Self::open_with(source, around, &|name| Arc::new(CursorFile::new(&source.cursors, name)))
    }

    /// The same with cursors kept elsewhere.
    pub fn open_with(
        source: &Source,
        around: &Surroundings,
        keep: &dyn Fn(CursorName) -> Arc<dyn KeepCursor>,
    ) -> Result<Vec<Self>, Failed> {
        let base = Url::parse(&source.base_url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let base = base.ok_or_else(|| Failed::BaseUrl(source.source_id.clone()))?;
        let http = client::http(source).map_err(Failed::Http)?;
        let pace = Arc::new(Pace::new(&source.limits));
        let shared_source = Arc::new(source.clone());
        let mut realms = Vec::new();
        for realm in &source.realms {
            let mut damaged = false;
            let mut feed = |feed: Feed| -> Result<FeedReader, Failed> {
                let name =
                    CursorName { source_id: source.source_id.clone(), realm: realm.name.clone(), feed: feed.as_str() };
                let keep = keep(name);
                let cursor = match keep.load().map_err(Failed::Cursor)? {
                    Loaded::New => Cursor::default(),
                    Loaded::Found(cursor) => cursor,
                    Loaded::Damaged => {
                        damaged = true;
                        Cursor::default()
                    }
                };
                Ok(FeedReader { feed, cursor, keep })
            };
            let feeds = [feed(Feed::User)?, feed(Feed::Admin)?];
            let shared = (source.limits, Arc::clone(&pace));
            realms.push(Self {
                name: realm.name.clone(),
                client: RealmClient::new(http.clone(), base.clone(), realm.clone(), shared),
                shared: Shared { source: Arc::clone(&shared_source), around: around.clone() },
                feeds,
                damaged,
            });
        }
        Ok(realms)
    }

    /// Name of the realm.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Everything that is to be said of the realm now, worst first; `Reachable` if events can be read.
    pub async fn check(&self) -> Vec<State> {
        let mut states = self.look().await.unwrap_or_else(|state| vec![state]);
        if self.damaged {
            states.push(State::CursorDamaged);
        }
        states.sort_by_key(|state| std::cmp::Reverse(state.severity()));
        states
    }

    async fn look(&self) -> Result<Vec<State>, State> {
        let asked = (self.shared.around.now)();
        let answer = self.client.events_config().await?;
        let answered = (self.shared.around.now)();
        let config: EventsConfig = serde_json::from_slice(&answer.body).map_err(|_| State::NotSupported)?;
        let mut states = config.states(self.shared.source.listener);
        states.extend(state::clock(answer.date.map(|date| date + 500 - (asked + answered) / 2)));
        for feed in Feed::ALL {
            match self.client.page(PageRequest { feed, from: Some(asked), first: 0, max: 1 }).await {
                Ok(_) => {}
                // The configuration can be read and the events cannot: that is what KC-SERVICES0082 looks like.
                Err(State::ServerError { status: 500 }) => return Ok(vec![State::EventStoreMissing]),
                Err(other) => return Err(other),
            }
        }
        states.push(State::Reachable);
        Ok(states)
    }

    /// For how long Keycloak wants to be left alone (`Retry-After`); until then nothing is asked.
    pub async fn quiet(&self) -> Duration {
        self.client.quiet().await
    }

    /// Reads a feed to its end.
    pub async fn pass(&mut self, feed: Feed) -> Result<PassReport, PassError> {
        let [user, admin] = &mut self.feeds;
        let reader = match feed {
            Feed::User => user,
            Feed::Admin => admin,
        };
        reader.pass(&self.client, &self.shared).await
    }
}
