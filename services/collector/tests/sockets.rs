//! Real sockets: slow heads and bodies, too many connections, chunked and compressed bodies, TLS reload, graceful stop.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use collector::{
    config::Limits,
    server::{Server, tls::Certificate},
};
use std::{
    io::Write,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use support::{Memory, TOKEN, intake, sign};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

struct Running {
    address: SocketAddr,
    journal: Arc<Memory>,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<bool>,
}

async fn start(limits: Limits, tls: Option<Arc<rustls::ServerConfig>>) -> Running {
    let journal = Arc::new(Memory::default());
    let (routes, metrics) = intake(journal.clone(), limits.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = Server { listener, routes, tls, clients: None, limits, metrics: Some(metrics) };
    let served = tokio::spawn(server.serve(
        async {
            let _ = stopped.await;
        },
        Duration::from_secs(5),
    ));
    Running { address, journal, stop: Some(stop), served }
}

const BODY: &str = r#"{"id":"1","uid":"2","type":"access.LOGIN","time":1}"#;

fn request(extra: &str, body: &str) -> String {
    let signature = sign(BODY.as_bytes());
    format!("POST /v1/keycloak/kc HTTP/1.1\r\nhost: x\r\nx-keycloak-signature: {signature}\r\n{extra}\r\n{body}")
}

fn whole() -> String {
    request(&format!("content-length: {}\r\n", BODY.len()), BODY)
}

/// Reads one answer with its body; empty when the connection ends.
async fn answer(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
            if body.len() >= length.unwrap_or(0) {
                return text;
            }
        }
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return text,
            Ok(n) => bytes.extend_from_slice(&chunk[..n]),
        }
    }
}

async fn ask(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), request: &[u8]) -> String {
    stream.write_all(request).await.unwrap();
    answer(stream).await
}

/// Each limit on a server of its own, where only that one can run out: on a busy machine a second is soon gone.
#[tokio::test(flavor = "multi_thread")]
async fn slow_heads_and_idle_connections_are_ended_and_slow_bodies_are_answered() {
    let second = Duration::from_secs(1);
    let running = start(Limits { header_seconds: 1, ..Limits::default() }, None).await;
    for head in ["", "POST /v1/keyc", "POST /v1/keycloak/kc HTTP/1.1\r\nhost: x\r\n"] {
        let started = Instant::now();
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        assert_eq!(ask(&mut stream, head.as_bytes()).await, "", "{head:?}");
        assert!(started.elapsed() >= second, "{head:?}");
    }

    let running = start(Limits { body_seconds: 1, ..Limits::default() }, None).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let half = request("content-length: 1000\r\n", "{");
    assert!(ask(&mut stream, half.as_bytes()).await.starts_with("HTTP/1.1 503"));

    let running = start(Limits { keep_alive_seconds: 1, ..Limits::default() }, None).await;
    let started = Instant::now();
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    assert!(ask(&mut stream, whole().as_bytes()).await.starts_with("HTTP/1.1 200"));
    assert_eq!(answer(&mut stream).await, "");
    assert!(started.elapsed() >= second, "an idle connection is kept for its time");
    assert_eq!(running.journal.take().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_over_the_bounds_are_told_to_come_again_and_places_come_back() {
    for limits in
        [Limits { connections: 2, ..Limits::default() }, Limits { connections_per_ip: 2, ..Limits::default() }]
    {
        let running = start(limits, None).await;
        let mut kept = Vec::new();
        for _ in 0..2 {
            let mut stream = TcpStream::connect(running.address).await.unwrap();
            assert!(ask(&mut stream, whole().as_bytes()).await.starts_with("HTTP/1.1 200"));
            kept.push(stream);
        }
        let mut third = TcpStream::connect(running.address).await.unwrap();
        let text = ask(&mut third, whole().as_bytes()).await;
        assert!(text.starts_with("HTTP/1.1 503"), "{text:?}");
        for part in ["retry-after: 5", "connection: close", "application/problem+json", "too many connections"] {
            assert!(text.contains(part), "{part}: {text:?}");
        }
        assert_eq!(answer(&mut third).await, "", "and it is closed");
        let mut large = TcpStream::connect(running.address).await.unwrap();
        let body = vec![b'x'; 900 << 10];
        let head = request(&format!("content-length: {}\r\n", body.len()), "");
        let text = ask(&mut large, &[head.as_bytes(), &body].concat()).await;
        assert!(text.starts_with("HTTP/1.1 503"), "a sender that is still writing hears it too: {text:?}");
        assert_eq!(running.journal.take().len(), 2, "nothing of them is kept");
        kept.clear();
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let mut stream = TcpStream::connect(running.address).await.unwrap();
            let _ = stream.write_all(whole().as_bytes()).await;
            if answer(&mut stream).await.starts_with("HTTP/1.1 200") {
                break;
            }
            assert!(Instant::now() < deadline, "a closed connection's place comes back");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn chunked_compressed_and_broken_bodies() {
    let running = start(Limits::default(), None).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let (a, b) = BODY.split_at(20);
    let chunks = format!("{:x}\r\n{a}\r\n{:x}\r\n{b}\r\n0\r\n\r\n", a.len(), b.len());
    assert!(
        ask(&mut stream, request("transfer-encoding: chunked\r\n", &chunks).as_bytes())
            .await
            .starts_with("HTTP/1.1 200")
    );
    assert_eq!(running.journal.take()[0].1, BODY.as_bytes());

    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let broken = request("transfer-encoding: chunked\r\n", "zz\r\n");
    assert!(ask(&mut stream, broken.as_bytes()).await.starts_with("HTTP/1.1 400"));

    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..80 {
        encoder.write_all(&[b'\n'; 1 << 20]).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    let head = format!(
        "POST /v1/backstage/portal HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
        bomb.len()
    );
    assert!(ask(&mut stream, &[head.as_bytes(), &bomb].concat()).await.starts_with("HTTP/1.1 413"));
    assert!(running.journal.take().is_empty());
}

/// What the HTTP library refuses by itself says what is wrong like every other refusal.
#[tokio::test(flavor = "multi_thread")]
async fn broken_heads_are_told_what_is_wrong() {
    let running = start(Limits::default(), None).await;
    let long = |what: &str| what.replace("LONG", &"x".repeat(20_000));
    let broken = [
        ("no http at all\r\n\r\n".to_owned(), 400, "broken request"),
        ("POST /v1/keycloak/kc HTTP/1.1\r\nhost: x\r\nno colon\r\n\r\n".to_owned(), 400, "broken request"),
        (long("POST /v1/keycloak/LONG HTTP/1.1\r\nhost: x\r\n\r\n"), 431, "head too large"),
        (long("POST /v1/keycloak/kc HTTP/1.1\r\nhost: x\r\na: LONG\r\n\r\n"), 431, "head too large"),
    ];
    for (sent, status, title) in broken {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        let text = ask(&mut stream, sent.as_bytes()).await;
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{title}: {text:?}");
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("application/problem+json") && head.contains("connection: close"), "{text:?}");
        let told: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!((&told["status"], &told["title"]), (&status.into(), &title.into()), "{text:?}");
        assert!(!body.contains("xxxx") && !body.contains("colon"), "nothing that was sent is echoed: {text:?}");
        assert_eq!(answer(&mut stream).await, "", "and the connection ends");
    }
    assert!(running.journal.take().is_empty());
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    assert!(ask(&mut stream, whole().as_bytes()).await.starts_with("HTTP/1.1 200 "));
}

/// A sender that is still writing when it is refused must hear why, or it takes the refusal for a fault of the network.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_heard_by_a_sender_of_a_large_body() {
    let running = start(Limits { backstage_requests: 0, keycloak_requests: 0, ..Limits::default() }, None).await;
    let (lines, ours) = ("/v1/backstage/portal", format!("authorization: Bearer {TOKEN}"));
    let page = format!("{ours}\r\ncontent-type: text/html");
    for (path, length, extra, told) in [
        (lines, 12 << 20, ours.as_str(), ["HTTP/1.1 429", "retry-after: 5"]),
        ("/v1/keycloak/kc", 900 << 10, &ours, ["HTTP/1.1 429", "retry-after: 5"]),
        (lines, 12 << 20, "authorization: Bearer an-old-one", ["HTTP/1.1 401", "not authorized"]),
        (lines, 12 << 20, &page, ["HTTP/1.1 415", "media type not supported"]),
    ] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\n{extra}\r\ncontent-length: {length}\r\n\r\n");
        let text = ask(&mut stream, &[head.as_bytes(), &vec![b'x'; length]].concat()).await;
        assert!(text.starts_with(told[0]) && text.contains(told[1]), "{path}: {text:?}");
    }
    assert!(running.journal.take().is_empty());
}

fn certificate() -> (Vec<u8>, Vec<u8>, rustls::pki_types::CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    (made.cert.pem().into_bytes(), made.signing_key.serialize_pem().into_bytes(), made.cert.der().clone())
}

async fn ask_tls(address: SocketAddr, trusted: &rustls::pki_types::CertificateDer<'static>) -> std::io::Result<String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = builder.with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(address).await?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect("localhost".try_into().unwrap(), stream).await?;
    stream.write_all(whole().as_bytes()).await?;
    Ok(answer(&mut stream).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_used_without_a_restart() {
    let (first, second) = (certificate(), certificate());
    let certificate = Certificate::new(&first.0, &first.1).unwrap();
    let running = start(Limits::default(), Some(certificate.server_config().unwrap())).await;
    assert!(ask_tls(running.address, &first.2).await.unwrap().starts_with("HTTP/1.1 200"));
    assert!(ask_tls(running.address, &second.2).await.is_err());

    assert!(certificate.reload(b"nonsense", &second.1).is_err());
    assert!(certificate.reload(&second.0, b"nonsense").is_err());
    assert!(ask_tls(running.address, &first.2).await.is_ok(), "a bad reload changes nothing");

    certificate.reload(&second.0, &second.1).unwrap();
    assert!(ask_tls(running.address, &second.2).await.unwrap().starts_with("HTTP/1.1 200"));
    assert!(ask_tls(running.address, &first.2).await.is_err());

    let none = Limits { connections: 0, ..Limits::default() };
    let full = start(none, Some(certificate.server_config().unwrap())).await;
    let text = ask_tls(full.address, &second.2).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 503") && text.contains("retry-after: 5"), "{text:?}");

    // A client that never starts its handshake loses its place; the others are served meanwhile.
    let mut silent = TcpStream::connect(running.address).await.unwrap();
    assert!(ask_tls(running.address, &second.2).await.is_ok());
    assert_eq!(answer(&mut silent).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_requests_end_and_takes_no_new_ones() {
    let mut running = start(Limits { body_seconds: 5, ..Limits::default() }, None).await;
    let mut under_way = TcpStream::connect(running.address).await.unwrap();
    let mut idle = TcpStream::connect(running.address).await.unwrap();
    assert!(ask(&mut idle, whole().as_bytes()).await.starts_with("HTTP/1.1 200"));
    let text = whole();
    let (start, rest) = text.as_bytes().split_at(text.len() - 10);
    under_way.write_all(start).await.unwrap();
    // A second request on its own connection shows that the server has had time to read the first.
    let mut other = TcpStream::connect(running.address).await.unwrap();
    assert!(ask(&mut other, whole().as_bytes()).await.starts_with("HTTP/1.1 200"));
    running.stop.take().unwrap().send(()).unwrap();
    assert_eq!(answer(&mut idle).await, "", "idle connections are closed");
    under_way.write_all(rest).await.unwrap();
    assert!(answer(&mut under_way).await.starts_with("HTTP/1.1 200"));
    assert!(running.served.await.unwrap(), "all requests ended in time");
    assert!(TcpStream::connect(running.address).await.is_err());
    assert_eq!(running.journal.take().len(), 3);
}
