//! Client certificates as a proof of a source: over real TLS, with CAs of the test's own.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use collector::{
    config::{BackstageAuth, KeycloakAuth, Limits, Secret, Source, SourceAuth},
    http::{Intake, router},
    metrics::Metrics,
    receive::Receiver,
    server::{
        Server,
        client::{ClientAuthority, ClientTrust},
        tls::Certificate,
    },
    verify::{Verifier, jwks::NoKeys},
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyIdMethod, KeyPair, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use rustls::{
    ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion,
    crypto::ring::sign::any_supported_type,
    pki_types::{CertificateDer, PrivateKeyDer},
    sign::{CertifiedKey, SingleCertAndKey},
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use support::{Memory, NOW, TOKEN, key, sign};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

struct Ca {
    pem: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    fn new() -> Self {
        Self::named("clients")
    }

    fn named(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem().into_bytes();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn sign(&self, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let chain = vec![params.signed_by(&key, &self.issuer).unwrap().der().clone()];
        Identity { chain, key: key.serialize_der() }
    }
}

/// CAs without lists.
fn only(ca_pem: &[u8]) -> ClientTrust<'_> {
    ClientTrust { ca_pem, revoked_pem: None }
}

/// Whether a list's time is now.
#[derive(Clone, Copy, PartialEq)]
enum Fresh {
    Now,
    Over,
}

impl Ca {
    /// Its list with these serial numbers, PEM.
    fn revokes(&self, serials: &[u64], fresh: Fresh) -> Vec<u8> {
        let (this_update, next_update) = match fresh {
            Fresh::Now => (date_time_ymd(2020, 1, 1), date_time_ymd(2999, 1, 1)),
            Fresh::Over => (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1)),
        };
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: this_update,
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update,
            next_update,
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap().into_bytes()
    }
}

#[derive(Clone)]
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
}

fn named(name: &str) -> CertificateParams {
    CertificateParams::new(vec![name.to_owned()]).unwrap()
}

fn uri(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(name.try_into().unwrap())];
    params
}

struct Running {
    address: SocketAddr,
    authority: Arc<ClientAuthority>,
    server: CertificateDer<'static>,
    journal: Arc<Memory>,
}

async fn start(ca: &Ca) -> Running {
    let certificates = || vec!["dns:shipper.example.org".to_owned(), "uri:spiffe://example.org/portal".to_owned()];
    let bearer = || vec![Secret::new(TOKEN)];
    let hmac = vec![Secret::new(support::SECRETS[0])];
    let keycloak = KeycloakAuth { hmac, certificates: certificates(), ..Default::default() };
    let backstage = BackstageAuth { bearer: bearer(), certificates: certificates(), ..Default::default() };
    let only_tokens = BackstageAuth { bearer: bearer(), ..Default::default() };
    let source = |id: &str, kind| Source { id: id.into(), kind, zone: "UTC".into() };
    let sources = [
        source("kc", SourceAuth::Keycloak(keycloak)),
        source("portal", SourceAuth::Backstage(backstage)),
        source("tokens", SourceAuth::Backstage(only_tokens)),
    ];
    let verifier = Verifier::new(&sources, Arc::new(NoKeys)).unwrap();
    let metrics = Arc::new(Metrics::new(&prometheus::Registry::new(), verifier.sources()).unwrap());
    let (journal, limits) = (Arc::new(Memory::default()), Limits::default());
    let receiver = Receiver::new("default", key(), [2; 8], limits.clone());
    let intake = Intake { verifier, receiver, journal: journal.clone(), metrics, clock: || NOW };

    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate = Certificate::new(own.cert.pem().as_bytes(), own.signing_key.serialize_pem().as_bytes()).unwrap();
    let authority = ClientAuthority::new(only(&ca.pem)).unwrap();
    let tls = certificate.server_config_with(Some(authority.clone())).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let clients = Some(authority.clone());
    let server = Server { listener, routes: router(intake), tls: Some(tls), clients, limits, metrics: None };
    tokio::spawn(server.serve(std::future::pending(), Duration::ZERO));
    Running { address, authority, server: own.cert.der().clone(), journal }
}

type Stream = TlsStream<TcpStream>;

impl Running {
    fn client(&self, identity: Option<&Identity>, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.server.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        let builder = builder.with_root_certificates(roots);
        Arc::new(match identity.cloned() {
            Some(Identity { chain, key }) => {
                // Unchecked: also with a key that is not the certificate's.
                let key = any_supported_type(&PrivateKeyDer::try_from(key).unwrap()).unwrap();
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, key))))
            }
            None => builder.with_no_client_auth(),
        })
    }

    async fn connect(&self, config: Arc<ClientConfig>) -> std::io::Result<Stream> {
        let stream = TcpStream::connect(self.address).await?;
        TlsConnector::from(config).connect("localhost".try_into().unwrap(), stream).await
    }

    /// Status of one request on a connection of its own; none if the server does not have it.
    async fn status(&self, identity: Option<&Identity>, path: &str, headers: &str) -> Option<u16> {
        let mut stream = self.connect(self.client(identity, rustls::ALL_VERSIONS)).await.ok()?;
        ask(&mut stream, path, headers).await
    }

    async fn lines(&self, identity: &Identity) -> Option<u16> {
        self.status(Some(identity), "/v1/backstage/portal", "").await
    }
}

async fn ask(stream: &mut Stream, path: &str, headers: &str) -> Option<u16> {
    let request = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n{headers}\r\n{LINE}", LINE.len());
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    while !complete(&answer) {
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(n) => answer.extend_from_slice(&chunk[..n]),
        }
    }
    String::from_utf8(answer).unwrap().split(' ').nth(1)?.parse().ok()
}

fn complete(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    body.len() >= length.unwrap()
}

const LINE: &str = r#"{"id":"1","uid":"2","type":"access.LOGIN","time":1}"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_right_name_of_the_right_ca_proves_a_source_and_nothing_else_does() {
    let (ca, other_ca) = (Ca::new(), Ca::new());
    let running = start(&ca).await;
    let shipper = ca.sign(&named("shipper.example.org"));
    assert_eq!(running.lines(&shipper).await, Some(200));
    assert_eq!(running.lines(&ca.sign(&uri("spiffe://example.org/portal"))).await, Some(200));
    assert_eq!(running.journal.take().len(), 2);

    // Certificates of the CA that say somebody else: a connection, and no proof.
    let mut common_name = named("other.example.org");
    common_name.distinguished_name.push(DnType::CommonName, "shipper.example.org");
    for params in [named("other.example.org"), named("*.example.org"), uri("spiffe://example.org/porta"), common_name] {
        assert_eq!(running.lines(&ca.sign(&params)).await, Some(401), "{:?}", params.subject_alt_names);
    }
    assert_eq!(running.status(Some(&shipper), "/v1/backstage/tokens", "").await, Some(401), "a source without names");
    assert_eq!(running.status(Some(&shipper), "/v1/backstage/nobody", "").await, Some(401));
    assert_eq!(running.status(None, "/v1/backstage/portal", "").await, Some(401));

    // Certificates that are not valid: no connection.
    let right = || named("shipper.example.org");
    let (mut expired, mut early, mut server_only) = (right(), right(), right());
    (expired.not_before, expired.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    early.not_before = date_time_ymd(2999, 1, 1);
    server_only.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let own = KeyPair::generate().unwrap();
    let self_signed =
        Identity { chain: vec![right().self_signed(&own).unwrap().der().clone()], key: own.serialize_der() };
    let stolen = Identity { chain: shipper.chain.clone(), key: other_ca.sign(&right()).key };
    let bad = [
        ("expired", ca.sign(&expired)),
        ("not yet valid", ca.sign(&early)),
        ("no client's", ca.sign(&server_only)),
        ("of another CA", other_ca.sign(&right())),
        ("self-signed", self_signed),
        ("of another key", stolen),
    ];
    for (what, identity) in bad {
        let bearer = format!("authorization: Bearer {TOKEN}\r\n");
        assert_eq!(running.lines(&identity).await, None, "{what}");
        assert_eq!(running.status(Some(&identity), "/v1/backstage/portal", &bearer).await, None, "{what}");
    }
    assert!(running.journal.take().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_mix_with_other_proofs_and_never_outweigh_a_wrong_one() {
    let ca = Ca::new();
    let running = start(&ca).await;
    let shipper = ca.sign(&named("shipper.example.org"));
    let other = ca.sign(&named("other.example.org"));
    let bearer = format!("authorization: Bearer {TOKEN}\r\n");
    let (wrong, nonsense) = ("authorization: Bearer wrong-token-here\r\n", "authorization: Digest x\r\n");
    let signed = format!("x-keycloak-signature: {}\r\n", sign(LINE.as_bytes()));
    let forged = format!("x-keycloak-signature: {}\r\n", sign(b"else"));
    let import = "x-tokentrail-input: import\r\n";
    let (lines, events) = ("/v1/backstage/portal", "/v1/keycloak/kc");
    for (identity, path, headers, status) in [
        (None, lines, bearer.clone(), 200),
        (Some(&other), lines, bearer.clone(), 200),
        (Some(&shipper), lines, bearer.clone(), 200),
        (Some(&shipper), lines, wrong.to_owned(), 401),
        (Some(&shipper), lines, nonsense.to_owned(), 401),
        (Some(&shipper), lines, import.to_owned(), 401),
        (Some(&shipper), lines, format!("{import}{bearer}"), 200),
        (Some(&shipper), events, String::new(), 200),
        (Some(&other), events, signed.clone(), 200),
        (Some(&other), events, String::new(), 401),
        (Some(&shipper), events, forged, 401),
        (Some(&shipper), "/v1/close/portal", String::new(), 401),
        (Some(&shipper), "/v1/snapshot/backstage-catalog/portal", String::new(), 401),
    ] {
        assert_eq!(running.status(identity, path, &headers).await, Some(status), "{path} {headers}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_ca_holds_for_open_connections_and_no_session_is_resumed() {
    let (ca, next_ca) = (Ca::new(), Ca::new());
    let running = start(&ca).await;
    let (shipper, next) = (ca.sign(&named("shipper.example.org")), next_ca.sign(&named("shipper.example.org")));
    for version in rustls::ALL_VERSIONS {
        let config = running.client(Some(&shipper), &[version]);
        for _ in 0..2 {
            let mut stream = running.connect(config.clone()).await.unwrap();
            assert_eq!(ask(&mut stream, "/v1/backstage/portal", "").await, Some(200));
            assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Full), "{version:?}");
        }
    }
    let mut open = running.connect(running.client(Some(&shipper), rustls::ALL_VERSIONS)).await.unwrap();
    assert_eq!(ask(&mut open, "/v1/backstage/portal", "").await, Some(200));
    assert!(running.authority.reload(only(b"nonsense")).is_err() && running.authority.reload(only(b"")).is_err());
    assert_eq!(ask(&mut open, "/v1/backstage/portal", "").await, Some(200), "a bad reload changes nothing");
    assert_eq!(running.lines(&next).await, None);

    running.authority.reload(only(&[ca.pem.as_slice(), &next_ca.pem].concat())).unwrap();
    assert_eq!(running.lines(&next).await, Some(200), "both, while the clients change");
    assert_eq!(ask(&mut open, "/v1/backstage/portal", "").await, Some(200));

    running.authority.reload(only(&next_ca.pem)).unwrap();
    assert_eq!(ask(&mut open, "/v1/backstage/portal", "").await, Some(401), "an open connection is held to the new CA");
    let bearer = format!("authorization: Bearer {TOKEN}\r\n");
    assert_eq!(ask(&mut open, "/v1/backstage/portal", &bearer).await, Some(200), "and may prove itself otherwise");
    assert_eq!(running.lines(&shipper).await, None);
    assert_eq!(running.lines(&next).await, Some(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_certificate_gets_no_connection_and_loses_the_one_it_has() {
    let (ca, other_ca) = (Ca::new(), Ca::named("clients two"));
    let both = [ca.pem.as_slice(), &other_ca.pem].concat();
    let running = start(&ca).await;
    let numbered = |ca: &Ca, serial: u64| {
        let mut params = named("shipper.example.org");
        params.serial_number = Some(SerialNumber::from(serial));
        ca.sign(&params)
    };
    let (good, lost, other) = (numbered(&ca, 7), numbered(&ca, 8), numbered(&other_ca, 7));
    let reload = |lists: &[u8]| running.authority.reload(ClientTrust { ca_pem: &both, revoked_pem: Some(lists) });
    let mut open = running.connect(running.client(Some(&lost), rustls::ALL_VERSIONS)).await.unwrap();
    assert_eq!(ask(&mut open, "/v1/backstage/portal", "").await, Some(200));

    reload(&[ca.revokes(&[], Fresh::Now), other_ca.revokes(&[], Fresh::Now)].concat()).unwrap();
    for identity in [&good, &lost, &other] {
        assert_eq!(running.lines(identity).await, Some(200), "no list names it");
    }
    assert_eq!(ask(&mut open, "/v1/backstage/portal", "").await, Some(200));

    reload(&[ca.revokes(&[8], Fresh::Now), other_ca.revokes(&[8], Fresh::Now)].concat()).unwrap();
    assert_eq!(running.lines(&good).await, Some(200));
    assert_eq!(running.lines(&other).await, Some(200), "the same number of another CA is another certificate");
    assert_eq!(running.lines(&lost).await, None);
    assert_eq!(ask(&mut open, "/v1/backstage/portal", "").await, Some(401), "an open connection is held to the list");

    assert!(reload(b"nonsense").is_err() && reload(&ca.pem).is_err() && reload(b"").is_err());
    assert_eq!(
        (running.lines(&good).await, running.lines(&lost).await),
        (Some(200), None),
        "a bad reload changes nothing"
    );

    // Where lists are, each CA needs one, of now and by its own key.
    reload(&ca.revokes(&[8], Fresh::Now)).unwrap();
    assert_eq!((running.lines(&good).await, running.lines(&other).await), (Some(200), None));
    reload(&ca.revokes(&[], Fresh::Over)).unwrap();
    assert_eq!(running.lines(&good).await, None);
    reload(&Ca::new().revokes(&[], Fresh::Now)).unwrap();
    assert_eq!(running.lines(&good).await, None);
}
