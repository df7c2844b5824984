//! The HTTP intake: proof, bounds, inflating, splitting, append, answer. A 2xx is sent only after the append is durable.

pub(crate) mod problem;

use crate::{
    inflate::{Coding, InflateError, inflate},
    journal::{Append, AppendError, Appended, Entry},
    metrics::Metrics,
    receive::{Delivery, Labels, Received, Receiver},
    redact::is_id,
    verify::{Admitted, Presented, Proof, Unverified, Verified, Verifier},
};
use axum::{
    Router,
    body::Body,
    extract::{FromRequestParts, Path, Request, State},
    http::{HeaderMap, HeaderValue, Response, header, request::Parts},
    routing::{MethodRouter, post},
};
use bytes::Bytes;
use events::{
    receipt::{Input, SourceKind},
    record::{Claim, InputClosed},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use problem::Problem;
use std::{convert::Infallible, sync::Arc, time::Instant};
use tokio::sync::Semaphore;

/// Header that makes a delivery a backfill; needs a bearer token of the source.
pub const INPUT_HEADER: &str = "x-tokentrail-input";
/// Header that names the instance of all lines.
pub const INSTANCE_HEADER: &str = "x-tokentrail-instance";
/// Header that says that a backlog is read: shippers' times are no times of events.
pub const BACKLOG_HEADER: &str = "x-tokentrail-backlog";
/// Header with the sender's own key of the delivery, equal on a retry.
pub const DELIVERY_HEADER: &str = "idempotency-key";

/// Largest body that is split on the thread of its connection; larger ones go to a blocking thread.
const INLINE_BYTES: usize = 64 * 1024;

/// Most bytes of a refused body that are read to its end, so that the sender hears why.
const DISCARD_BYTES: usize = 32 << 20;

/// Largest body of a closing record.
const CLOSE_BYTES: usize = 4 * 1024;

/// Most entries in one append to the journal.
const APPEND_ENTRIES: usize = 50_000;

/// Most bytes in one append to the journal.
const APPEND_BYTES: usize = 24 << 20;

/// What the intake works with.
pub struct Intake {
    /// Knows the sources.
    pub verifier: Verifier,
    /// Makes entries.
    pub receiver: Receiver,
    /// Keeps entries.
    pub journal: Arc<dyn Append>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// UTC milliseconds.
    pub clock: fn() -> i64,
}

struct Shared {
    intake: Intake,
    keycloak: Semaphore,
    backstage: Semaphore,
}

/// The routes of the intake.
pub fn router(intake: Intake) -> Router {
    let limits = intake.receiver.limits();
    let keycloak = Semaphore::new(limits.keycloak_requests);
    let backstage = Semaphore::new(limits.backstage_requests);
    let shared = Arc::new(Shared { intake, keycloak, backstage });
    let routes = routes().into_iter().fold(Router::new(), |router, (path, answers)| router.route(path, answers));
    routes
        .fallback(async |State(shared): State<Arc<Shared>>| shared.refuse(problem::NOT_FOUND))
        .method_not_allowed_fallback(async |State(shared): State<Arc<Shared>>| shared.refuse(problem::METHOD))
        .with_state(shared)
}

/// Every path, with what answers there; `schemas/openapi.json` describes them.
fn routes() -> [(&'static str, MethodRouter<Arc<Shared>>); 4] {
    [
        ("/v1/keycloak/{source}", post(keycloak_events)),
        ("/v1/backstage/{source}", post(backstage_lines)),
        ("/v1/snapshot/backstage-catalog/{source}", post(catalog_snapshot)),
        ("/v1/close/{source}", post(close_input)),
    ]
}

/// The source that the path names; what is no text names none, and gets the answer of an unknown one.
struct NamedSource(String);

impl<S: Send + Sync> FromRequestParts<S> for NamedSource {
    type Rejection = Infallible;

    async fn from_request_parts(head: &mut Parts, state: &S) -> Result<Self, Infallible> {
        Ok(Self(Path::from_request_parts(head, state).await.map_or_else(|_| String::new(), |Path(source)| source)))
    }
}

async fn keycloak_events(
    State(shared): State<Arc<Shared>>,
    NamedSource(source): NamedSource,
    request: Request,
) -> Response<Body> {
    let answer = shared.keycloak(&source, request).await;
    answer.unwrap_or_else(|problem| shared.refuse(problem))
}

async fn backstage_lines(
    State(shared): State<Arc<Shared>>,
    NamedSource(source): NamedSource,
    request: Request,
) -> Response<Body> {
    let answer = shared.backstage(&source, request, Input::Lines).await;
    answer.unwrap_or_else(|problem| shared.refuse(problem))
}

async fn catalog_snapshot(
    State(shared): State<Arc<Shared>>,
    NamedSource(source): NamedSource,
    request: Request,
) -> Response<Body> {
    let answer = shared.backstage(&source, request, Input::Snapshot).await;
    answer.unwrap_or_else(|problem| shared.refuse(problem))
}

async fn close_input(
    State(shared): State<Arc<Shared>>,
    NamedSource(source): NamedSource,
    request: Request,
) -> Response<Body> {
    let answer = shared.close(&source, request).await;
    answer.unwrap_or_else(|problem| shared.refuse(problem))
}

/// Reads on, and keeps nothing: a sender that is still writing when the connection closes never sees the answer.
pub(crate) async fn discard(body: &mut Body) {
    let mut left = DISCARD_BYTES;
    while left > 0
        && let Some(Ok(frame)) = body.frame().await
    {
        left = left.saturating_sub(frame.data_ref().map_or(1, Bytes::len).max(1));
    }
}

impl Shared {
    fn refuse(&self, problem: Problem) -> Response<Body> {
        self.intake.metrics.rejected(problem.reason);
        problem.response()
    }

    async fn keycloak(&self, source: &str, request: Request) -> Result<Response<Body>, Problem> {
        let limits = self.intake.receiver.limits();
        let (head, body) = request.into_parts();
        let Ok(_permit) = self.keycloak.try_acquire() else { return Err(self.unread(body, problem::BUSY).await) };
        let body = self.read(&head.headers, body, limits.keycloak_bytes).await?;
        let place = (SourceKind::Keycloak, source);
        let verified = self.intake.verifier.verify(place, Presented::of(&head), Unverified::new(body)).await;
        let verified = verified.map_err(|_| problem::REFUSED)?;
        let input = input(&head.headers, Input::Webhook, verified.proof)?;
        self.take(&head.headers, verified, input).await
    }

    async fn backstage(&self, source: &str, request: Request, usual: Input) -> Result<Response<Body>, Problem> {
        let (head, body) = request.into_parts();
        let (admitted, input) = match self.admit((source, usual), &head) {
            Ok(admitted) => admitted,
            Err(problem) => return Err(self.unread(body, problem).await),
        };
        let Ok(_permit) = self.backstage.try_acquire() else { return Err(self.unread(body, problem::BUSY).await) };
        let limit = self.intake.receiver.limits().backstage_bytes;
        let body = self.read(&head.headers, body, limit).await?;
        self.take(&head.headers, admitted.with_body(Unverified::new(body)), input).await
    }

    /// Who sends lines or a state, and as what, by the head of the request alone.
    fn admit(&self, (source, usual): (&str, Input), head: &Parts) -> Result<(Admitted, Input), Problem> {
        let admitted = self.intake.verifier.verify_head((SourceKind::Backstage, source), Presented::of(head));
        let admitted = admitted.map_err(|_| problem::REFUSED)?;
        let input = match usual {
            Input::Snapshot if admitted.proof != Proof::Bearer => return Err(problem::REFUSED),
            Input::Snapshot => Input::Snapshot,
            usual => input(&head.headers, usual, admitted.proof)?,
        };
        check_type(&head.headers)?;
        Ok((admitted, input))
    }

    /// Refused by its head, or as one too many: nothing is kept, but its body is read, within its time, so that its sender hears.
    async fn unread(&self, mut body: Body, problem: Problem) -> Problem {
        let _ = tokio::time::timeout(self.intake.receiver.limits().body_time(), discard(&mut body)).await;
        problem
    }

    async fn close(&self, source: &str, request: Request) -> Result<Response<Body>, Problem> {
        let (head, body) = request.into_parts();
        let admitted: Admitted =
            self.intake.verifier.verify_operator(source, &head.headers).map_err(|_| problem::REFUSED)?;
        let body = self.read(&head.headers, body, CLOSE_BYTES).await?;
        let closed: InputClosed = serde_json::from_slice(&body).map_err(|_| problem::UNPROCESSABLE)?;
        // How far pull and topics were read is known to who reads them, here, and nothing is complete that has not happened yet.
        let now = (self.intake.clock)();
        let by_sender = matches!(closed.input, Input::Webhook | Input::Lines | Input::Import | Input::Snapshot);
        if !by_sender || closed.watermark > now {
            return Err(problem::UNPROCESSABLE);
        }
        // Only what an operator brings can be complete by an operator's word.
        let claims = |claim: &Claim| closed.input == Input::Import && claim.is_of(admitted.source.kind);
        if !closed.claim.as_ref().is_none_or(claims) {
            return Err(problem::CLAIM);
        }
        let entry = self.intake.receiver.close(&admitted.source, &closed, now);
        self.append(vec![entry], 0).await
    }

    /// Reads a body within its bounds of size and time.
    async fn read(&self, headers: &HeaderMap, body: Body, most: usize) -> Result<Bytes, Problem> {
        let announced =
            headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        let mut body = body;
        let reading = async {
            if announced.is_some_and(|length| length > most as u64) {
                discard(&mut body).await;
                return Err(problem::TOO_LARGE);
            }
            match Limited::new(&mut body, most).collect().await {
                Ok(read) => Ok(read.to_bytes()),
                Err(error) if error.is::<LengthLimitError>() => {
                    discard(&mut body).await;
                    Err(problem::TOO_LARGE)
                }
                Err(_) => Err(problem::BROKEN_CODING),
            }
        };
        let read = tokio::time::timeout(self.intake.receiver.limits().body_time(), reading).await;
        read.map_err(|_| problem::TIMEOUT)?
    }

    /// Takes a proven delivery.
    async fn take(&self, headers: &HeaderMap, verified: Verified, input: Input) -> Result<Response<Body>, Problem> {
        check_type(headers)?;
        let coding = match headers.get(header::CONTENT_ENCODING) {
            None => Coding::Identity,
            Some(coding) => coding.to_str().ok().and_then(Coding::parse).ok_or(problem::CODING)?,
        };
        let labels = labels(headers);
        let work = Work { verified, input, labels, coding, received_at: (self.intake.clock)() };
        let (source, length) = (work.verified.source.clone(), work.verified.body.len() as u64);
        let received = if work.coding == Coding::Identity && work.verified.body.len() <= INLINE_BYTES {
            work.run(&self.intake.receiver)?
        } else {
            // In place, not on another thread: the intake's parts are borrowed, and the runtime moves its tasks away.
            block_in_place(|| work.run(&self.intake.receiver))?
        };
        let (dead, count) = (received.dead, received.entries.len() as u64);
        let answer = self.append(received.entries, dead).await?;
        self.intake.metrics.taken(&source, input, (count - dead, dead, length));
        self.intake.metrics.other_lines(&source, &received.counts);
        Ok(answer)
    }

    async fn append(&self, mut entries: Vec<Entry>, dead: u64) -> Result<Response<Body>, Problem> {
        let start = Instant::now();
        let count = entries.len();
        let mut first: Option<Appended> = None;
        while !entries.is_empty() {
            // One append for all but the very largest deliveries; a part that fails makes the sender repeat them all,
            // and the repeated lines are known by their marks.
            let rest = entries.split_off(fitting(&entries));
            let appended = self.intake.journal.append(entries).await.map_err(|error| match error {
                AppendError::Full if first.is_some() => problem::FULL_BEFORE_THE_END,
                AppendError::Full => problem::FULL,
                AppendError::TooLarge => problem::TOO_LARGE,
                AppendError::Stopped => problem::STOPPED,
            })?;
            first.get_or_insert(appended);
            entries = rest;
        }
        self.intake.metrics.appended(start.elapsed());
        // From here on the entries are on disk: a crash before the answer makes the sender repeat them, nothing is lost.
        let (stream, first_seq) = first.map_or((String::new(), 0), |first| (first.stream.to_string(), first.first_seq));
        let body = format!(r#"{{"stream":"{stream}","first_seq":{first_seq},"count":{count},"dead":{dead}}}"#);
        let mut response = Response::new(Body::from(body));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(response)
    }
}

/// How many of the first entries go into one append; at least one.
fn fitting(entries: &[Entry]) -> usize {
    let mut bytes = 0;
    let within = entries.iter().take(APPEND_ENTRIES).take_while(|entry| {
        bytes += entry.header.len() + entry.body.len();
        bytes <= APPEND_BYTES
    });
    within.count().max(1)
}

struct Work {
    verified: Verified,
    input: Input,
    labels: Labels,
    coding: Coding,
    received_at: i64,
}

impl Work {
    fn run(self, receiver: &Receiver) -> Result<Received, Problem> {
        let limits = receiver.limits();
        let most = match self.verified.source.kind {
            SourceKind::Keycloak => limits.keycloak_inflated_bytes,
            _ => limits.backstage_inflated_bytes,
        };
        let inflated;
        let body = if self.coding == Coding::Identity {
            &self.verified.body[..]
        } else {
            inflated = inflate(&self.verified.body, self.coding, most).map_err(|error| match error {
                InflateError::TooLarge => problem::TOO_LARGE,
                InflateError::Broken => problem::BROKEN_CODING,
            })?;
            &inflated
        };
        let delivery = Delivery {
            source: &self.verified.source,
            input: self.input,
            labels: self.labels,
            received_at: self.received_at,
            body,
        };
        receiver.receive(&delivery).map_err(|_| problem::TOO_MANY)
    }
}

/// Runs long work without holding up other connections; a runtime of one thread has no others to move them to.
fn block_in_place<T>(work: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// The way in: as the path says, or a backfill, which needs a token of the source.
fn input(headers: &HeaderMap, usual: Input, proof: Proof) -> Result<Input, Problem> {
    match headers.get(INPUT_HEADER) {
        None => Ok(usual),
        Some(input) if input == "import" && proof == Proof::Bearer => Ok(Input::Import),
        Some(_) => Err(problem::REFUSED),
    }
}

fn labels(headers: &HeaderMap) -> Labels {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    Labels {
        instance: text(INSTANCE_HEADER).unwrap_or_default(),
        backlog: headers.get(BACKLOG_HEADER).is_some_and(|value| value == "true"),
        delivery_key: text(DELIVERY_HEADER).filter(|key| !key.is_empty() && is_id(key)),
    }
}

/// Refuses bodies that are certainly none of ours: forms and protobuf.
fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let kind = kind.to_str().map_err(|_| problem::MEDIA_TYPE)?;
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let text = kind.starts_with("text/") && kind != "text/html";
    let json = kind.ends_with("json") || kind.ends_with("jsonl") || kind.ends_with("json-lines");
    if text || json || kind.is_empty() || kind == "application/octet-stream" {
        Ok(())
    } else {
        Err(problem::MEDIA_TYPE)
    }
}

#[cfg(test)]
#[path = "http/tests.rs"]
mod tests;
