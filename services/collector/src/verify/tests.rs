//! Proofs, with keys of these tests' own.

use super::*;
use crate::{
    config::{BodyBinding, Jwt, JwtKeys},
    journal::Later,
};
use axum::http::HeaderValue;
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, SystemTime},
};

const RSA: &[u8] = include_bytes!("../../tests/keys/realm.pem");
const RSA_PUBLIC: &[u8] = include_bytes!("../../tests/keys/realm.pub.pem");
const BODY: &[u8] = br#"{"type":"access.LOGIN"}"#;

fn keycloak(auth: KeycloakAuth) -> Source {
    Source { id: "kc".into(), kind: SourceAuth::Keycloak(auth), zone: "UTC".into() }
}

fn verifier(auth: KeycloakAuth) -> Verifier {
    Verifier::new(&[keycloak(auth)], Arc::new(jwks::NoKeys)).unwrap()
}

fn headers(name: &'static str, value: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(name, HeaderValue::from_str(value).unwrap());
    headers
}

async fn proof(verifier: &Verifier, headers: &HeaderMap, body: &'static [u8]) -> Result<Proof, Refused> {
    let body = Unverified::new(Bytes::from_static(body));
    verifier.verify((SourceKind::Keycloak, "kc"), headers, body).await.map(|verified| verified.proof)
}

fn sign(secret: &str, body: &[u8]) -> String {
    let mut mac = mac(secret.as_bytes());
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

#[tokio::test]
async fn hmac_with_two_secrets() {
    let secrets = vec![Secret::new("the-old-secret"), Secret::new("the-new-secret")];
    let verifier = verifier(KeycloakAuth { hmac: secrets, ..Default::default() });
    for secret in ["the-old-secret", "the-new-secret"] {
        let good = headers(SIGNATURE_HEADER, &sign(secret, BODY));
        assert_eq!(proof(&verifier, &good, BODY).await, Ok(Proof::Hmac));
        assert_eq!(proof(&verifier, &good, b"other").await, Err(Refused));
    }
    let zeros = "0".repeat(64);
    let upper = sign("the-old-secret", BODY).to_uppercase();
    for bad in [sign("no-such-secret", BODY).as_str(), "", "zz", &zeros, &upper, &sign("the-old-secret", BODY)[..62]] {
        assert_eq!(proof(&verifier, &headers(SIGNATURE_HEADER, bad), BODY).await, Err(Refused), "{bad}");
    }
    assert_eq!(proof(&verifier, &HeaderMap::new(), BODY).await, Err(Refused));
}

#[tokio::test]
async fn bearer_and_basic() {
    let auth = KeycloakAuth {
        bearer: vec![Secret::new("a-long-bearer-token")],
        basic: vec![Basic { user: "hook".into(), password: Secret::new("a-long-password") }],
        ..Default::default()
    };
    let verifier = verifier(auth);
    let basic = format!("Basic {}", STANDARD.encode("hook:a-long-password"));
    assert_eq!(
        proof(&verifier, &headers("authorization", "Bearer a-long-bearer-token"), BODY).await,
        Ok(Proof::Bearer)
    );
    assert_eq!(proof(&verifier, &headers("authorization", &basic), BODY).await, Ok(Proof::Basic));
    for bad in ["Bearer a-long-bearer-toke", "Bearer ", "Basic a-long-bearer-token", "Bearer a-long-password", "bearer"]
    {
        assert_eq!(proof(&verifier, &headers("authorization", bad), BODY).await, Err(Refused), "{bad}");
    }
    let mut twice = headers("authorization", "Bearer a-long-bearer-token");
    twice.append("authorization", HeaderValue::from_static("Bearer a-long-bearer-token"));
    assert_eq!(proof(&verifier, &twice, BODY).await, Err(Refused));
}

#[test]
fn config_without_proof_or_with_weak_secrets_is_refused() {
    let check = |auth| Verifier::new(&[keycloak(auth)], Arc::new(jwks::NoKeys)).map(|_| ()).unwrap_err();
    assert_eq!(check(KeycloakAuth::default()), BadSource::NoProof("kc".into()));
    let weak = KeycloakAuth { hmac: vec![Secret::new("short")], ..Default::default() };
    assert_eq!(check(weak), BadSource::WeakSecret("kc".into()));
    let three = KeycloakAuth { hmac: vec![Secret::new("long-enough-secret"); 3], ..Default::default() };
    assert_eq!(check(three), BadSource::TooManyHmac("kc".into()));
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

fn claims() -> serde_json::Value {
    serde_json::json!({
        "iss": "https://kc/realms/acme", "aud": "tokentrail", "iat": now(), "exp": now() + 300, "jti": "j",
        "request_body_sha256": hex::encode(Sha256::digest(BODY)),
    })
}

fn rsa() -> EncodingKey {
    EncodingKey::from_rsa_pem(RSA).unwrap()
}

fn token(header: &Header, claims: &serde_json::Value, key: &EncodingKey) -> String {
    jsonwebtoken::encode(header, claims, key).unwrap()
}

fn header(algorithm: Algorithm, kid: &str) -> Header {
    let mut header = Header::new(algorithm);
    header.kid = Some(kid.into());
    header
}

fn key_set() -> String {
    let mut key = Jwk::from_encoding_key(&rsa(), Algorithm::RS256).unwrap();
    key.common.key_id = Some("realm-key".into());
    serde_json::json!({ "keys": [key] }).to_string()
}

fn jwt(keys: JwtKeys) -> KeycloakAuth {
    let issuer = "https://kc/realms/acme".into();
    let jwt = Jwt { issuer, audience: "tokentrail".into(), keys, body: BodyBinding::Required };
    KeycloakAuth { jwt: Some(jwt), ..Default::default() }
}

async fn check_token(verifier: &Verifier, token: &str) -> Result<Proof, Refused> {
    proof(verifier, &headers("authorization", &format!("Bearer {token}")), BODY).await
}

#[tokio::test]
async fn jwt_of_the_realm_and_nothing_like_it() {
    let verifier = verifier(jwt(JwtKeys::Inline(key_set())));
    let good = header(Algorithm::RS256, "realm-key");
    assert_eq!(check_token(&verifier, &token(&good, &claims(), &rsa())).await, Ok(Proof::Jwt));

    for (claim, value) in [
        ("exp", serde_json::json!(now() - 300)),
        ("exp", serde_json::json!("tomorrow")),
        ("exp", serde_json::Value::Null),
        ("nbf", serde_json::json!(now() + 300)),
        ("iss", "https://kc/realms/other".into()),
        ("iss", serde_json::Value::Null),
        ("aud", "account".into()),
        ("aud", serde_json::Value::Null),
        ("request_body_sha256", hex::encode(Sha256::digest(b"other body")).into()),
        ("request_body_sha256", serde_json::Value::Null),
    ] {
        let mut changed = claims();
        if value.is_null() {
            changed.as_object_mut().unwrap().remove(claim);
        } else {
            changed[claim] = value;
        }
        assert_eq!(check_token(&verifier, &token(&good, &changed, &rsa())).await, Err(Refused), "{claim}");
    }

    let wrong_algorithm = token(&header(Algorithm::RS512, "realm-key"), &claims(), &rsa());
    let unknown_key = token(&header(Algorithm::RS256, "other"), &claims(), &rsa());
    let no_key = token(&Header::new(Algorithm::RS256), &claims(), &rsa());
    let public_as_secret =
        token(&header(Algorithm::HS256, "realm-key"), &claims(), &EncodingKey::from_secret(RSA_PUBLIC));
    let mut brings = header(Algorithm::RS256, "realm-key");
    brings.jku = Some("https://evil/keys".into());
    let brings = token(&brings, &claims(), &rsa());
    let signed = token(&good, &claims(), &rsa());
    let (head, rest) = signed.split_once('.').unwrap();
    let payload = rest.split_once('.').unwrap().0;
    let url = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let none = url.encode(r#"{"alg":"none","typ":"JWT","kid":"realm-key"}"#);
    for bad in [
        wrong_algorithm,
        unknown_key,
        no_key,
        public_as_secret,
        brings,
        format!("{none}.{payload}."),
        format!("{none}.{rest}"),
        format!("{head}.{payload}."),
        format!("{head}.{payload}.AAAA"),
        "a.b.c".into(),
        String::new(),
    ] {
        assert_eq!(check_token(&verifier, &bad).await, Err(Refused), "{bad}");
    }
}

#[derive(Default)]
struct CountingKeys {
    fetches: AtomicU32,
    fails: std::sync::atomic::AtomicBool,
}

impl jwks::FetchKeys for CountingKeys {
    fn fetch<'a>(&'a self, url: &'a str) -> Later<'a, Result<Vec<u8>, jwks::FetchFailed>> {
        Box::pin(async move {
            assert_eq!(url, "https://kc/certs");
            self.fetches.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            if self.fails.load(Ordering::SeqCst) { Err(jwks::FetchFailed("down")) } else { Ok(key_set().into_bytes()) }
        })
    }
}

fn fetching() -> (Arc<Verifier>, Arc<CountingKeys>) {
    let keys = Arc::new(CountingKeys::default());
    let auth = jwt(JwtKeys::Url("https://kc/certs".into()));
    (Arc::new(Verifier::new(&[keycloak(auth)], keys.clone()).unwrap()), keys)
}

#[tokio::test(start_paused = true)]
async fn a_thousand_made_up_key_ids_are_one_fetch() {
    let (verifier, keys) = fetching();
    let mut tasks = tokio::task::JoinSet::new();
    let signed = token(&header(Algorithm::RS256, "realm-key"), &claims(), &rsa());
    let rest = signed.split_once('.').unwrap().1.to_owned();
    for n in 0..1000 {
        let head = serde_json::json!({ "alg": "RS256", "kid": format!("bogus-{n}") }).to_string();
        let head = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(head);
        let (verifier, bad) = (verifier.clone(), format!("{head}.{rest}"));
        tasks.spawn(async move { check_token(&verifier, &bad).await });
    }
    while let Some(done) = tasks.join_next().await {
        assert_eq!(done.unwrap(), Err(Refused));
    }
    assert_eq!(keys.fetches.load(Ordering::SeqCst), 1);
    assert_eq!(check_token(&verifier, &signed).await, Ok(Proof::Jwt));
    assert_eq!(keys.fetches.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn keys_are_refreshed_and_serve_on_for_a_bounded_time() {
    let (verifier, keys) = fetching();
    let good = || token(&header(Algorithm::RS256, "realm-key"), &claims(), &rsa());
    assert_eq!(check_token(&verifier, &good()).await, Ok(Proof::Jwt));
    tokio::time::advance(jwks::KEYS_TTL + Duration::from_secs(1)).await;
    keys.fails.store(true, Ordering::SeqCst);
    assert_eq!(check_token(&verifier, &good()).await, Ok(Proof::Jwt), "stale keys serve on");
    assert_eq!(keys.fetches.load(Ordering::SeqCst), 2);
    tokio::time::advance(jwks::KEYS_STALE).await;
    assert_eq!(check_token(&verifier, &good()).await, Err(Refused), "not for ever");
    keys.fails.store(false, Ordering::SeqCst);
    tokio::time::advance(jwks::KEYS_COOLDOWN).await;
    assert_eq!(check_token(&verifier, &good()).await, Ok(Proof::Jwt));
}

/// Macs and hashes that one request took.
async fn work_of(verifier: &Verifier, (kind, id): (SourceKind, &str), headers: &HeaderMap) -> [(u32, u32); 3] {
    let done = || {
        let done = (work::MACS.with(std::cell::Cell::get), work::DIGESTS.with(std::cell::Cell::get));
        work::MACS.with(|done| done.set(0));
        work::DIGESTS.with(|done| done.set(0));
        done
    };
    done();
    let body = Unverified::new(Bytes::from_static(BODY));
    assert_eq!(verifier.verify((kind, id), headers, body).await.map(|_| ()), Err(Refused));
    let whole = done();
    assert_eq!(verifier.verify_head((kind, id), headers).map(|_| ()), Err(Refused));
    let head = done();
    assert_eq!(verifier.verify_operator(id, headers).map(|_| ()), Err(Refused));
    [whole, head, done()]
}

/// Counted, not timed: whether a source exists, which proofs it has and how many secrets costs a refused request nothing.
#[tokio::test]
async fn a_refusal_is_the_same_work_whoever_is_named() {
    let hmac = |secrets: &[&str]| secrets.iter().map(|secret| Secret::new(*secret)).collect::<Vec<_>>();
    let bearer = || vec![Secret::new("a-long-bearer-token")];
    let basic = || vec![Basic { user: "hook".into(), password: Secret::new("a-long-password") }];
    let source = |id: &str, auth| Source { id: id.into(), kind: SourceAuth::Keycloak(auth), zone: "UTC".into() };
    let auth = KeycloakAuth::default;
    let portal = BackstageAuth { bearer: bearer(), ..Default::default() };
    let sources = [
        source("one", KeycloakAuth { hmac: hmac(&["the-only-secret"]), ..auth() }),
        source("two", KeycloakAuth { hmac: hmac(&["the-old-secret", "the-new-secret"]), bearer: bearer(), ..auth() }),
        source("none", KeycloakAuth { basic: basic(), ..auth() }),
        Source { id: "portal".into(), kind: SourceAuth::Backstage(portal), zone: "UTC".into() },
    ];
    let verifier = Verifier::new(&sources, Arc::new(jwks::NoKeys)).unwrap();
    let wrong = [
        (headers(SIGNATURE_HEADER, &sign("no-such-secret", BODY)), (2, 0)),
        (headers(SIGNATURE_HEADER, "zz"), (2, 0)),
        (headers("authorization", "Bearer another-long-token"), (0, 1)),
        (headers("authorization", &format!("Basic {}", STANDARD.encode("hook:another-password"))), (0, 1)),
        (HeaderMap::new(), (0, 0)),
    ];
    for (headers, whole) in &wrong {
        let expected = work_of(&verifier, (SourceKind::Keycloak, "nobody"), headers).await;
        assert_eq!(expected[0], *whole, "{headers:?}");
        for id in ["one", "two", "none", "portal", ""] {
            for kind in [SourceKind::Keycloak, SourceKind::Backstage] {
                assert_eq!(work_of(&verifier, (kind, id), headers).await, expected, "{id}: {headers:?}");
            }
        }
    }
}
