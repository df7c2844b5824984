//! Real handshakes: whom we trust, and in which words the others are refused.
#![allow(clippy::unwrap_used)] // a test may panic

use std::net::SocketAddr;
use testbed::authority::{Authority, Issued, Validity};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use trust::{Refused, Trust, TrustError};

/// A server that answers everything with 200.
async fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        }
    });
    address
}

async fn ask(trust: &Trust, certificate: &Issued) -> Result<(), Option<Refused>> {
    let address = certificate.in_front_of(server().await).await.unwrap();
    get(trust, &format!("https://localhost:{}", address.port())).await
}

async fn get(trust: &Trust, url: &str) -> Result<(), Option<Refused>> {
    let http = trust.http(reqwest::ClientBuilder::no_proxy).unwrap();
    http.get(url).send().await.map(drop).map_err(|error| Refused::find(&error))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_trusted_by_its_ca_name_and_time_and_refused_in_plain_words() {
    let (own, other) = (Authority::new().unwrap(), Authority::new().unwrap());
    let good = own.issue("localhost", Validity::Now).unwrap();
    let trust = Trust::with_own(own.pem.as_bytes()).unwrap();
    assert_eq!(ask(&trust, &good).await, Ok(()));
    let both = Trust::with_own(format!("{}{}", other.pem, own.pem).as_bytes()).unwrap();
    assert_eq!(ask(&both, &good).await, Ok(()), "each of a bundle");

    assert_eq!(ask(&Trust::system(), &good).await, Err(Some(Refused::Issuer)));
    let wrong = Trust::with_own(other.pem.as_bytes()).unwrap();
    assert_eq!(ask(&wrong, &good).await, Err(Some(Refused::Issuer)));
    let expired = own.issue("localhost", Validity::Over).unwrap();
    assert_eq!(ask(&trust, &expired).await, Err(Some(Refused::Expired)));
    let elsewhere = own.issue("clickhouse.example.org", Validity::Now).unwrap();
    assert_eq!(ask(&trust, &elsewhere).await, Err(Some(Refused::Name)));
    let plain = server().await;
    assert_eq!(get(&trust, &format!("https://localhost:{}", plain.port())).await, Err(Some(Refused::NoTls)));
    let nobody = testbed::free_port().unwrap();
    assert_eq!(get(&trust, &format!("https://localhost:{nobody}")).await, Err(None), "no matter of certificates");
}

#[test]
fn what_is_no_certificate_is_said_so() {
    assert!(matches!(Trust::with_own(b""), Err(TrustError::Empty)));
    assert!(matches!(Trust::with_own(b"nonsense"), Err(TrustError::Empty)));
    let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(Trust::with_own(broken), Err(TrustError::Unusable(_))));
    assert!(matches!(Trust::with_own(b"-----BEGIN CERTIFICATE-----\nx"), Err(TrustError::Pem(_))));
}
