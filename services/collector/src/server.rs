//! The accept loop: bounds connections in all and per address, ends those that keep it waiting, stops within a deadline.
//!
//! Takes a listener that is already bound (by the program or by systemd). Knows nothing of what the routes do.

pub mod client;
mod explained;
mod guard;
pub mod tls;

use crate::{
    config::Limits,
    http::{discard, problem},
    metrics::Metrics,
};
use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderValue, header},
};
use client::{ClientAuthority, Peer};
use explained::Explained;
use guard::{Active, Guard, Times};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
};
use rustls::ServerConfig;
use std::{
    collections::HashMap,
    future::Future,
    io,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

/// Largest head of a request, bytes.
const HEAD_BYTES: usize = 16 * 1024;

/// Streams of one HTTP/2 connection at once.
const HTTP2_STREAMS: u32 = 64;

/// Connections over the bounds that are answered at once; further ones are closed without an answer.
const REFUSALS: usize = 64;
/// How long such a connection has for its request and its answer, a TLS handshake included.
const REFUSAL_TIME: Duration = Duration::from_secs(5);

/// How long connections that were accepted before a stop have for their request to arrive.
const LAST_HEADS: Duration = Duration::from_millis(500);
/// Pause after an accept that failed for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Everything a server needs.
pub struct Server {
    /// Bound listener.
    pub listener: TcpListener,
    /// What answers.
    pub routes: Router,
    /// TLS, or plain HTTP.
    pub tls: Option<Arc<ServerConfig>>,
    /// The CAs of clients, if `tls` asks for their certificates.
    pub clients: Option<Arc<ClientAuthority>>,
    /// Bounds.
    pub limits: Limits,
    /// Counts connections; none for the admin listener.
    pub metrics: Option<Arc<Metrics>>,
}

/// A listener from the standard library (socket activation), made ready for the runtime.
pub fn adopt(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

impl Server {
    /// Serves until `stop` is done, then lets requests under way end for at most `deadline`.
    /// Returns whether all of them ended.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send, deadline: Duration) -> bool {
        let mut builder = Builder::new(TokioExecutor::new());
        let idle = Duration::from_secs(self.limits.keep_alive_seconds);
        // The guard ends slow heads and idle connections; hyper's own timer would cost every request another one.
        builder.http1().header_read_timeout(None).max_buf_size(HEAD_BYTES).half_close(false);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(HTTP2_STREAMS)
            .max_header_list_size(HEAD_BYTES as u32)
            .keep_alive_interval(idle)
            .keep_alive_timeout(Duration::from_secs(self.limits.header_seconds));
        let shared = Arc::new(Shared {
            builder,
            routes: self.routes,
            tls: self.tls.map(TlsAcceptor::from),
            clients: self.clients,
            times: Times { head: Duration::from_secs(self.limits.header_seconds), idle },
            handshake: Duration::from_secs(self.limits.handshake_seconds),
            all: Arc::new(Semaphore::new(self.limits.connections)),
            refusals: Arc::new(Semaphore::new(REFUSALS)),
            addresses: Addresses { most: self.limits.connections_per_ip, open: Mutex::default() },
            metrics: self.metrics,
        });
        let graceful = GracefulShutdown::new();
        tokio::pin!(stop);
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = &mut stop => break,
            };
            match accepted {
                Ok((stream, peer)) => shared.clone().admit(stream, peer.ip(), graceful.watcher()),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "Connections cannot be accepted for the moment.");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.listener);
        // A connection that was accepted and has not sent its head yet would be closed without an answer.
        tokio::time::sleep(LAST_HEADS).await;
        tokio::time::timeout(deadline, graceful.shutdown()).await.is_ok()
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

struct Shared {
    builder: Builder<TokioExecutor>,
    routes: Router,
    tls: Option<TlsAcceptor>,
    clients: Option<Arc<ClientAuthority>>,
    times: Times,
    handshake: Duration,
    all: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    addresses: Addresses,
    metrics: Option<Arc<Metrics>>,
}

/// A place among the open connections, given back when dropped.
struct Seat {
    _permit: OwnedSemaphorePermit,
    shared: Arc<Shared>,
    ip: IpAddr,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.shared.addresses.leave(self.ip);
        if let Some(metrics) = &self.shared.metrics {
            metrics.connections.dec();
        }
    }
}

impl Shared {
    /// Starts a connection, or refuses it when there are too many.
    fn admit(self: Arc<Self>, stream: TcpStream, ip: IpAddr, watcher: hyper_util::server::graceful::Watcher) {
        let Some(seat) = self.seat(ip) else {
            if let Some(metrics) = &self.metrics {
                metrics.connections_refused.inc();
            }
            if let Ok(permit) = self.refusals.clone().try_acquire_owned() {
                tokio::spawn(async move {
                    if tokio::time::timeout(REFUSAL_TIME, self.refuse(stream)).await.is_err() {
                        tracing::debug!("A connection over the bounds did not hear its answer in time.");
                    }
                    drop(permit);
                });
            }
            return;
        };
        // Small answers must not wait for the acknowledgement of earlier ones.
        let _ = stream.set_nodelay(true);
        tokio::spawn(async move {
            let seat = seat;
            match &self.tls {
                None => self.connection(stream, None, watcher).await,
                Some(acceptor) => match tokio::time::timeout(self.handshake, acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => {
                        let chain = stream.get_ref().1.peer_certificates();
                        let peer = self.clients.as_ref().and_then(|authority| authority.peer(chain));
                        self.connection(stream, peer, watcher).await;
                    }
                    Ok(Err(error)) => tracing::debug!(%error, "A TLS handshake failed."),
                    Err(_) => tracing::debug!("A TLS handshake was not done in time."),
                },
            }
            drop(seat);
        });
    }

    /// Answers the first request of a connection with 503 and ends it: a sender that hears so repeats, as Keycloak's plugin,
    /// which gives up on a connection that is closed.
    async fn refuse(&self, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        match &self.tls {
            None => self.refuse_on(stream).await,
            Some(acceptor) => match acceptor.accept(stream).await {
                Ok(stream) => self.refuse_on(stream).await,
                Err(error) => tracing::debug!(%error, "A TLS handshake failed."),
            },
        }
    }

    async fn refuse_on<S>(&self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let answered = Arc::new(Notify::new());
        let told = answered.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let told = told.clone();
            async move {
                discard(&mut Body::new(request.into_body())).await;
                let mut answer = problem::CONNECTIONS.response();
                answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                told.notify_one();
                Ok::<_, std::convert::Infallible>(answer)
            }
        });
        let connection = self.builder.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        tokio::select! {
            _ = connection.as_mut() => return,
            () = answered.notified() => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    }

    fn seat(self: &Arc<Self>, ip: IpAddr) -> Option<Seat> {
        let permit = self.all.clone().try_acquire_owned().ok()?;
        if !self.addresses.enter(ip) {
            return None;
        }
        if let Some(metrics) = &self.metrics {
            metrics.connections.inc();
        }
        Some(Seat { _permit: permit, shared: self.clone(), ip })
    }

    async fn connection<S>(&self, stream: S, peer: Option<Peer>, watcher: hyper_util::server::graceful::Watcher)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let active = Active::default();
        let guarded = Guard::new(stream, active.clone(), self.times);
        let io = TokioIo::new(Explained::new(guarded, self.metrics.clone()));
        let service = service_fn(move |mut request: Request<Incoming>| {
            let working = active.begin();
            if let Some(certificate) = peer.as_ref().and_then(Peer::certificate) {
                request.extensions_mut().insert(certificate);
            }
            let routes = self.routes.clone();
            async move {
                let answer = routes.oneshot(request.map(Body::new)).await;
                drop(working);
                answer
            }
        });
        let connection = self.builder.serve_connection(io, service);
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%error, "A connection ended early.");
        }
    }
}

/// Open connections per address.
struct Addresses {
    most: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

impl Addresses {
    fn enter(&self, ip: IpAddr) -> bool {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(ip).or_default();
        if *count >= self.most {
            return false;
        }
        *count += 1;
        true
    }

    fn leave(&self, ip: IpAddr) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                open.remove(&ip);
            }
        }
    }
}
