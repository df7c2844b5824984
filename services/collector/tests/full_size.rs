//! The limits of a request at their full size, through the real server: the last byte, and the last line, is taken; one more is 413.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use collector::{config::Limits, server::Server};
use events::{lines::LineCounts, receipt::Payload};
use flate2::{Compression, write::GzEncoder};
use std::{io::Write, net::SocketAddr, sync::Arc, time::Duration};
use support::{Memory, TOKEN, intake};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const MIB: usize = 1 << 20;
/// What docs/sources promise of `/v1/backstage`.
const COMPRESSED: usize = 16 * MIB;
const INFLATED: usize = 64 * MIB;
const LINES: usize = 100_000;

/// One line that becomes a receipt; the others are counted.
const AUDIT: &str = "{\"isAuditEvent\":true,\"plugin\":\"catalog\",\"eventId\":\"entity-fetch\",\"status\":\"succeeded\",\"actor\":{\"actorId\":\"user:default/ann\"}}\n";

/// Lines of `length` bytes until the whole has exactly `bytes`; the first one is [`AUDIT`]. How many there are.
fn lines_of(length: usize, bytes: usize) -> (Vec<u8>, usize) {
    let mut text = AUDIT.as_bytes().to_vec();
    let line = [vec![b'x'; length - 1], vec![b'\n']].concat();
    let mut lines = 1;
    while text.len() < bytes {
        let rest = &line[line.len().saturating_sub(bytes - text.len())..];
        text.extend_from_slice(rest);
        lines += 1;
    }
    (text, lines)
}

/// A gzip body of exactly `bytes`: stored as it is, so that its length is known.
fn gzip_of(bytes: usize) -> (Vec<u8>, usize) {
    let mut inflated = bytes;
    for _ in 0..10 {
        let (text, lines) = lines_of(64 * 1024, inflated);
        let mut encoder = GzEncoder::new(Vec::with_capacity(bytes + 1024), Compression::none());
        encoder.write_all(&text).unwrap();
        let packed = encoder.finish().unwrap();
        if packed.len() == bytes {
            return (packed, lines);
        }
        inflated = inflated + bytes - packed.len();
    }
    panic!("no stored body has exactly {bytes} bytes");
}

async fn start() -> (SocketAddr, Arc<Memory>) {
    let journal = Arc::new(Memory::default());
    let (routes, metrics) = intake(journal.clone(), Limits::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server =
        Server { listener, routes, tls: None, clients: None, limits: Limits::default(), metrics: Some(metrics) };
    tokio::spawn(server.serve(std::future::pending(), Duration::ZERO));
    (address, journal)
}

/// Posts a body; the status and the body of the answer.
async fn post(address: SocketAddr, coding: &str, body: &[u8]) -> (u16, String) {
    post_to(address, "/v1/backstage/portal", (coding, body)).await
}

async fn post_to(address: SocketAddr, path: &str, (coding, body): (&str, &[u8])) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\ncontent-encoding: {coding}\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_byte_and_the_last_line_are_taken_and_one_more_is_413() {
    let (address, journal) = start().await;
    let zstd = |text: &[u8]| zstd::encode_all(text, 1).unwrap();
    let (plain, plain_lines) = lines_of(64 * 1024, COMPRESSED);
    let (packed, packed_lines) = gzip_of(COMPRESSED);
    let (inflated, inflated_lines) = lines_of(64 * 1024, INFLATED);
    let many = AUDIT.to_owned() + &"x\n".repeat(LINES - 1);
    let more = |bytes: &[u8], one: &[u8]| [bytes, one].concat();
    let cases = [
        ("bytes as they come", "identity", more(&plain, b"x"), plain, plain_lines, "body too large"),
        ("bytes compressed", "gzip", gzip_of(COMPRESSED + 1).0, packed, packed_lines, "body too large"),
        ("bytes inflated", "zstd", zstd(&more(&inflated, b"x")), zstd(&inflated), inflated_lines, "body too large"),
        (
            "lines",
            "zstd",
            zstd(&more(many.as_bytes(), b"x\n")),
            zstd(many.as_bytes()),
            LINES,
            "too many events or lines",
        ),
    ];
    for (what, coding, beyond, most, lines, title) in cases {
        let (status, answer) = post(address, coding, &most).await;
        assert_eq!(status, 200, "{what}: {answer}");
        let kept = journal.take();
        let [(audit, _), (counted, counts)] = kept.as_slice() else { panic!("{what}: {} entries", kept.len()) };
        assert_eq!((audit.payload, counted.payload), (Payload::BackstageLine, Payload::LineCounts), "{what}");
        let counted: u64 = LineCounts::from_bytes(counts).unwrap().0.values().sum();
        assert_eq!(counted as usize, lines - 1, "{what}: every line is accounted for");
        let (status, answer) = post(address, coding, &beyond).await;
        assert!(status == 413 && answer.contains(title), "{what}: {status} {answer}");
        assert!(journal.take().is_empty(), "{what}: nothing of it is kept");
    }
}

/// The same of `/v1/keycloak`: what docs/sources promise.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_byte_and_the_last_event_of_a_keycloak_are_taken_and_one_more_is_413() {
    const EVENT: &str = r#"{"type":"access.LOGIN"}"#;
    let (address, journal) = start().await;
    let padded = |bytes: usize| [EVENT.as_bytes(), &vec![b' '; bytes - EVENT.len()]].concat();
    let zstd = |text: &[u8]| zstd::encode_all(text, 1).unwrap();
    let list = |events: usize| format!("[{}]", vec![EVENT; events].join(",")).into_bytes();
    let cases = [
        ("bytes as they come", "identity", padded(MIB + 1), padded(MIB), 1, "body too large"),
        ("bytes inflated", "zstd", zstd(&padded(4 * MIB + 1)), zstd(&padded(4 * MIB)), 1, "body too large"),
        ("events", "identity", list(501), list(500), 500, "too many events or lines"),
    ];
    for (what, coding, beyond, most, events, title) in cases {
        let (status, answer) = post_to(address, "/v1/keycloak/kc", (coding, &most)).await;
        assert_eq!(status, 200, "{what}: {answer}");
        let kept = journal.take();
        assert!(kept.iter().all(|(header, _)| header.payload == Payload::KeycloakWebhook), "{what}");
        assert_eq!(kept.len(), events, "{what}: every event is kept");
        let (status, answer) = post_to(address, "/v1/keycloak/kc", (coding, &beyond)).await;
        assert!(status == 413 && answer.contains(title), "{what}: {status} {answer}");
        assert!(journal.take().is_empty(), "{what}: nothing of it is kept");
    }
}
