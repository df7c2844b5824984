//! Servers behind a CA of the operator's own: the keys of a realm, and where heartbeats go.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use axum::{Router, routing::get};
use collector::{
    heartbeat::{Heart, Instance},
    verify::jwks::{FetchFailed, FetchKeys, HttpKeys},
};
use testbed::authority::{Authority, Validity};
use trust::{Refused, Trust};

/// A server by https that answers every path with an empty set of keys, and its address.
async fn server(authority: &Authority) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain = listener.local_addr().unwrap();
    let routes = Router::new().route("/{*path}", get(async || r#"{"keys":[]}"#));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let certificate = authority.issue("localhost", Validity::Now).unwrap();
    format!("https://localhost:{}", certificate.in_front_of(plain).await.unwrap().port())
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_heartbeats_reach_a_server_of_the_named_ca_and_no_other() {
    let (own, other) = (Authority::new().unwrap(), Authority::new().unwrap());
    let base = server(&own).await;
    let url = format!("{base}/realms/acme/protocol/openid-connect/certs");
    let trust = |authority: &Authority| Trust::with_own(authority.pem.as_bytes()).unwrap();
    for (trust, trusted) in [(trust(&own), true), (trust(&other), false), (Trust::system(), false)] {
        let keys = HttpKeys::new([(url.clone(), trust.clone())]).unwrap();
        let refused = Err(FetchFailed(Refused::Issuer.as_str()));
        let expected = if trusted { Ok(br#"{"keys":[]}"#.to_vec()) } else { refused };
        assert_eq!(keys.fetch(&url).await, expected, "{trust:?}");
        assert!(keys.fetch("https://localhost/elsewhere").await.is_err(), "only addresses of the config");

        let heart = Heart::backstage("default", "portal", Instance { name: "b1", url: &base, trust: &trust }).unwrap();
        let beat = heart.beat().await;
        assert_eq!(beat.state, if trusted { "sent" } else { "certificate_refused" });
        assert_eq!((beat.id.is_empty(), heart.scope()), (!trusted, "b1"));
    }
}
