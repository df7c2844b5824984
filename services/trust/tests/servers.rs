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

/// As an operator exchanges them: written beside, then renamed.
fn exchange(path: &std::path::Path, pem: &str) {
    let beside = path.with_extension("new");
    std::fs::write(&beside, pem).unwrap();
    std::fs::rename(beside, path).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn cas_that_are_exchanged_in_their_file_count_without_a_restart_and_those_before_while_it_is_broken() {
    let (one, two) = (Authority::new().unwrap(), Authority::new().unwrap());
    let url = |address: SocketAddr| format!("https://localhost:{}", address.port());
    let of = async |authority: &Authority| {
        let certificate = authority.issue("localhost", Validity::Now).unwrap();
        url(certificate.in_front_of(server().await).await.unwrap())
    };
    let (first, second) = (of(&one).await, of(&two).await);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.pem");
    exchange(&path, &one.pem);
    // One client all along, as the program keeps it.
    let http = Trust::with_file(&path).unwrap().http(reqwest::ClientBuilder::no_proxy).unwrap();
    let ask = async |url: &str| http.get(url).send().await.map(drop).map_err(|error| Refused::find(&error));
    assert_eq!((ask(&first).await, ask(&second).await), (Ok(()), Err(Some(Refused::Issuer))));
    exchange(&path, &format!("{}{}", one.pem, two.pem));
    assert_eq!((ask(&first).await, ask(&second).await), (Ok(()), Ok(())), "both, while they are exchanged");
    exchange(&path, &two.pem);
    assert_eq!((ask(&first).await, ask(&second).await), (Err(Some(Refused::Issuer)), Ok(())));
    exchange(&path, "nothing of use");
    assert_eq!((ask(&first).await, ask(&second).await), (Err(Some(Refused::Issuer)), Ok(())), "those before");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(ask(&second).await, Ok(()));
    exchange(&path, &one.pem);
    assert_eq!((ask(&first).await, ask(&second).await), (Ok(()), Err(Some(Refused::Issuer))));
    assert!(matches!(Trust::with_file(&dir.path().join("none.pem")), Err(TrustError::Unreadable(_))));
}

#[test]
fn what_is_no_certificate_is_said_so() {
    assert!(matches!(Trust::with_own(b""), Err(TrustError::Empty)));
    assert!(matches!(Trust::with_own(b"nonsense"), Err(TrustError::Empty)));
    let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(Trust::with_own(broken), Err(TrustError::Unusable(_))));
    assert!(matches!(Trust::with_own(b"-----BEGIN CERTIFICATE-----\nx"), Err(TrustError::Pem(_))));
}
