//! HTTP/2, by prior knowledge and by ALPN: the same answers and the same bounds of time and size as HTTP/1.1.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use axum::body::HttpBody;
use bytes::Bytes;
use collector::{
    config::Limits,
    server::{Server, tls::Certificate},
};
use hyper::body::Frame;
use reqwest::{Client, ClientBuilder, RequestBuilder, Version};
use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use support::{Memory, TOKEN, intake, sign};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const BODY: &str = r#"{"id":"1","uid":"2","type":"access.LOGIN","time":1}"#;

async fn start(limits: Limits, tls: Option<Arc<rustls::ServerConfig>>) -> (SocketAddr, Arc<Memory>) {
    let journal = Arc::new(Memory::default());
    let (routes, metrics) = intake(journal.clone(), limits.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server { listener, routes, tls, clients: None, limits, metrics: Some(metrics) };
    tokio::spawn(server.serve(std::future::pending(), Duration::from_secs(5)));
    (address, journal)
}

fn quick() -> Limits {
    Limits { header_seconds: 1, body_seconds: 1, keep_alive_seconds: 3, ..Limits::default() }
}

fn builder() -> ClientBuilder {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().timeout(Duration::from_secs(30))
}

fn signed(client: &Client, base: &str) -> RequestBuilder {
    client.post(format!("{base}/v1/keycloak/kc")).header("x-keycloak-signature", sign(BODY.as_bytes()))
}

#[tokio::test(flavor = "multi_thread")]
async fn prior_knowledge_takes_many_requests_at_once_and_keeps_the_bounds_of_bodies() {
    let limits = Limits { keycloak_bytes: 1_000, ..quick() };
    let (address, journal) = start(limits, None).await;
    let (client, base) = (builder().http2_prior_knowledge().build().unwrap(), format!("http://{address}"));
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..100 {
        all.spawn(signed(&client, &base).body(BODY).send());
    }
    while let Some(answer) = all.join_next().await {
        let answer = answer.unwrap().unwrap();
        assert_eq!((answer.version(), answer.status().as_u16()), (Version::HTTP_2, 200));
    }
    assert_eq!(journal.take().len(), 100);

    let large = signed(&client, &base).body("x".repeat(1_001)).send().await.unwrap();
    assert_eq!((large.version(), large.status().as_u16()), (Version::HTTP_2, 413));
    let announced_nowhere = reqwest::Body::wrap(Chunks(vec![Bytes::from_static(&[b'x'; 400]); 4], false));
    assert_eq!(signed(&client, &base).body(announced_nowhere).send().await.unwrap().status(), 413);

    let slow = reqwest::Body::wrap(Chunks(vec![Bytes::from_static(b"{")], true));
    let slow = signed(&client, &base).body(slow).send().await.unwrap();
    assert_eq!((slow.version(), slow.status().as_u16()), (Version::HTTP_2, 503));
    let unknown = client.post(format!("{base}/v1/keycloak/nobody")).body(BODY).send().await.unwrap();
    assert_eq!(unknown.status(), 401);
    let bomb = zstd::encode_all(vec![b'\n'; 80 << 20].as_slice(), 1).unwrap();
    let bomb = client.post(format!("{base}/v1/backstage/portal")).bearer_auth(TOKEN).body(bomb);
    assert_eq!(bomb.header("content-encoding", "zstd").send().await.unwrap().status(), 413);
    assert!(journal.take().is_empty());
}

/// Chunks of a body, and whether it then stays open for ever.
struct Chunks(Vec<Bytes>, bool);

impl HttpBody for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.0.pop() {
            Some(chunk) => Poll::Ready(Some(Ok(Frame::data(chunk)))),
            None if self.1 => Poll::Pending,
            None => Poll::Ready(None),
        }
    }
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame of stream 1 (or 0 for settings and pings).
fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let stream = u8::from(matches!(kind, 1 | 9));
    let mut frame = vec![0, 0, u8::try_from(payload.len()).unwrap(), kind, flags, 0, 0, 0, stream];
    frame.extend_from_slice(payload);
    frame
}

const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;

/// Sends `begin`, then `more` again and again, answers pings if it `can`, and tells how long the server bears it.
async fn borne(address: SocketAddr, begin: &[u8], more: &[u8], can: bool) -> Duration {
    let (mut read, write) = TcpStream::connect(address).await.unwrap().into_split();
    let write = Arc::new(tokio::sync::Mutex::new(write));
    let started = Instant::now();
    write.lock().await.write_all(begin).await.unwrap();
    let (more, writer) = (more.to_vec(), write.clone());
    let dribble = tokio::spawn(async move {
        while writer.lock().await.write_all(&more).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let ended = async {
        let mut head = [0; 9];
        while read.read_exact(&mut head).await.is_ok() {
            let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
            if read.read_exact(&mut payload).await.is_err() {
                return;
            }
            if can && (head[3], head[4]) == (PING, 0) {
                let _ = write.lock().await.write_all(&frame(PING, 1, &payload)).await;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(120), ended).await.expect("the server ends the connection");
    dribble.abort();
    started.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_never_end_and_connections_without_requests_are_ended() {
    const IDLE: Duration = Duration::from_secs(20);
    let limits = Limits { header_seconds: 1, keep_alive_seconds: IDLE.as_secs(), ..Limits::default() };
    let (address, _) = start(limits, None).await;
    let settings = [PREFACE, &frame(SETTINGS, 0, &[])].concat();
    // `:method: POST`, and then a frame of more headers, byte by byte.
    let more = &frame(CONTINUATION, 0, &[0; 255])[..9];
    let head = [settings.as_slice(), &frame(HEADERS, 0, &[0x83]), more].concat();
    let ping = frame(PING, 0, &[7; 8]);
    for (begin, more, can) in [(head.as_slice(), &[0][..], false), (&settings, &ping, true), (PREFACE, &[], false)] {
        let took = borne(address, begin, more, can).await;
        assert!(took > Duration::from_millis(800) && took < IDLE, "{took:?}: the time of a head, not of an idle one");
    }

    // After a request, a connection may be idle for longer, but not for ever, whatever it says to stay alive.
    let request = [0x83, 0x86, 0x84, 0x41, 1, b'x']; // POST http://x/
    let one = [settings, frame(HEADERS, 0x5, &request)].concat();
    let took = borne(address, &one, &ping, true).await;
    assert!(took > IDLE - Duration::from_millis(500), "{took:?}: an idle connection is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_offers_http2_and_those_who_do_not_speak_it_are_served_too() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate =
        Certificate::new(made.cert.pem().as_bytes(), made.signing_key.serialize_pem().as_bytes()).unwrap();
    let (address, journal) = start(quick(), Some(certificate.server_config().unwrap())).await;
    let trusted = reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
    let builder = || builder().resolve("localhost", address).tls_certs_only([trusted.clone()]);
    let base = format!("https://localhost:{}", address.port());
    for (client, version) in
        [(builder().build().unwrap(), Version::HTTP_2), (builder().http1_only().build().unwrap(), Version::HTTP_11)]
    {
        let answer = signed(&client, &base).body(BODY).send().await.unwrap();
        assert_eq!((answer.version(), answer.status().as_u16()), (version, 200));
        let large = signed(&client, &base).body("x".repeat(2 << 20)).send().await.unwrap();
        assert_eq!((large.version(), large.status().as_u16()), (version, 413));
    }
    assert_eq!(journal.take().len(), 2);
}
