//! Forged, truncated and mutated requests of every way of proof (HMAC, bearer, Basic, JWT; certificates are in
//! certificates.rs), imports too: none is accepted, nothing crashes. `TOKENTRAIL_FORGED` sets how many.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use axum::{
    Router,
    body::Body,
    http::{HeaderValue, Request},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use collector::config::{Basic, BodyBinding, Jwt, JwtKeys, Limits, Secret, SourceAuth};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use rand::{Rng, SeedableRng, rngs::StdRng};
use sha2::Digest;
use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use support::{Memory, TOKEN, app, recorded, send, sign};

fn how_many() -> usize {
    std::env::var("TOKENTRAIL_FORGED").ok().and_then(|n| n.parse().ok()).unwrap_or(100_000)
}

/// Changes, cuts or extends bytes so that they certainly differ.
fn mutate(random: &mut StdRng, bytes: &mut Vec<u8>) {
    match random.random_range(0..4) {
        0 if !bytes.is_empty() => {
            let at = random.random_range(0..bytes.len());
            bytes[at] ^= 1 << random.random_range(0..8);
        }
        1 if !bytes.is_empty() => bytes.truncate(random.random_range(0..bytes.len())),
        2 => bytes.insert(random.random_range(0..=bytes.len()), random.random()),
        _ => bytes.push(random.random()),
    }
}

const BASIC: &str = "hook:a-password-of-these-tests";

/// The realm's key, which signs what the plugin's newer versions send.
fn realm_key() -> EncodingKey {
    EncodingKey::from_rsa_pem(include_bytes!("keys/realm.pem")).unwrap()
}

/// An intake that takes every proof there is but certificates.
fn app_of_every_proof() -> (Router, Arc<Memory>) {
    let mut key = Jwk::from_encoding_key(&realm_key(), Algorithm::RS256).unwrap();
    key.common.key_id = Some("realm-key".into());
    let keys = JwtKeys::Inline(serde_json::json!({ "keys": [key] }).to_string());
    let jwt = Jwt { issuer: "https://kc".into(), audience: "tokentrail".into(), keys, body: BodyBinding::Required };
    let (user, password) = BASIC.split_once(':').unwrap();
    let basic = || vec![Basic { user: user.into(), password: Secret::new(password) }];
    let mut sources = support::sources();
    for source in &mut sources {
        match &mut source.kind {
            SourceAuth::Keycloak(auth) => (auth.basic, auth.jwt) = (basic(), Some(jwt.clone())),
            SourceAuth::Backstage(auth) => auth.basic = basic(),
        }
    }
    let journal = Arc::new(Memory::default());
    (support::intake_of(&sources, journal.clone(), Limits::default()).0, journal)
}

/// A token of the realm that is good for this body.
fn realm_token(body: &[u8]) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut header = Header::new(Algorithm::RS256);
    header.kid = Some("realm-key".into());
    let claims = serde_json::json!({
        "iss": "https://kc", "aud": "tokentrail", "iat": now, "exp": now + 3600, "jti": "j",
        "request_body_sha256": hex::encode(sha2::Sha256::digest(body)),
    });
    jsonwebtoken::encode(&header, &claims, &realm_key()).unwrap()
}

/// A delivery that is right in every part: path, header that proves it, body.
#[derive(Clone)]
struct Good {
    path: &'static str,
    header: &'static str,
    proof: String,
    body: Vec<u8>,
    /// Headers that its proof does not reach to.
    too_far: Option<(&'static str, &'static str)>,
}

impl Good {
    fn request(&self) -> Option<Request<Body>> {
        let value = HeaderValue::from_bytes(self.proof.as_bytes()).ok()?;
        let mut request = Request::post(self.path).header(self.header, value);
        if let Some((name, value)) = self.too_far {
            request = request.header(name, value);
        }
        Some(request.body(Body::from(self.body.clone())).unwrap())
    }

    /// Whether the body is a part of what the proof proves.
    fn is_bound(&self) -> bool {
        self.header == "x-keycloak-signature" || self.proof.starts_with("Bearer ey")
    }

    /// Another request, that nobody may take for one of the source.
    fn forged(&self, random: &mut StdRng) -> Self {
        let mut forged = self.clone();
        match random.random_range(0..4) {
            0 if self.is_bound() => mutate(random, &mut forged.body),
            1 => {
                let elsewhere =
                    ["/v1/keycloak/nobody", "/v1/backstage/nobody", "/v1/close/nobody", "/v1/keycloak/portal"];
                forged.path = elsewhere[random.random_range(0..elsewhere.len())];
            }
            // An import needs a token of the source; so does a snapshot.
            2 if !self.proof.starts_with(&format!("Bearer {TOKEN}")) => {
                forged.too_far =
                    Some(("x-tokentrail-input", ["import", "webhook", "snapshot"][random.random_range(0..3)]));
            }
            _ => {
                // Spaces around credentials are no part of them, nor is the case of a scheme's name.
                let scheme = self.proof.find(' ').map_or(0, |space| space + 1);
                let mut words = self.proof.as_bytes()[scheme..].to_vec();
                mutate(random, &mut words);
                let words = String::from_utf8_lossy(&words).into_owned();
                let same = words.trim() == &self.proof[scheme..];
                forged.proof = self.proof[..scheme].to_owned() + if same { "other-words" } else { &words };
            }
        }
        forged
    }
}

/// Each way of proof, with each recorded delivery that it can carry.
fn every_proof() -> Vec<Good> {
    let basic = format!("Basic {}", STANDARD.encode(BASIC));
    let (kc, portal) = ("/v1/keycloak/kc", "/v1/backstage/portal");
    let good = |path, header, proof: &str, body: &str| Good {
        path,
        header,
        proof: proof.to_owned(),
        body: body.into(),
        too_far: None,
    };
    let mut all = Vec::new();
    for (signature, body) in recorded("keycloak/webhook.ndjson") {
        all.push(good(kc, "x-keycloak-signature", &signature, &body));
        all.push(good(kc, "authorization", &format!("Bearer {TOKEN}"), &body));
        all.push(good(kc, "authorization", &basic, &body));
        all.push(good(kc, "authorization", &format!("Bearer {}", realm_token(body.as_bytes())), &body));
    }
    for line in support::sample("backstage/audit-events.ndjson").lines() {
        all.push(good(portal, "authorization", &format!("Bearer {TOKEN}"), line));
        all.push(good(portal, "authorization", &basic, line));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn no_forged_request_is_accepted() {
    let (app, journal) = app_of_every_proof();
    let deliveries = every_proof();
    for good in &deliveries {
        let (status, answer) = send(&app, good.request().unwrap()).await;
        assert_eq!(status, 200, "{} {}: {answer}", good.path, good.header);
        assert!(!journal.take().is_empty(), "what is forged below is good as it stands");
    }
    let mut random = StdRng::seed_from_u64(7);
    let mut sent = 0;
    while sent < how_many() {
        let forged = deliveries[random.random_range(0..deliveries.len())].forged(&mut random);
        let Some(request) = forged.request() else { continue };
        let (status, answer) = send(&app, request).await;
        assert_eq!(status, 401, "{} {} {:?}: {answer}", forged.path, forged.proof, forged.too_far);
        sent += 1;
    }
    assert!(journal.take().is_empty());
}

/// The same mutations with a right signature: whatever it is, it is kept as something, and answered 2xx.
#[tokio::test(flavor = "multi_thread")]
async fn authentic_rubbish_never_crashes_and_is_always_kept() {
    let (app, journal) = app();
    let deliveries = recorded("keycloak/webhook.ndjson");
    let lines = support::sample("backstage/audit-events.ndjson");
    let lines: Vec<&str> = lines.lines().collect();
    let mut random = StdRng::seed_from_u64(8);
    for n in 0..how_many() / 4 {
        let mut body = if n % 2 == 0 {
            deliveries[random.random_range(0..deliveries.len())].1.clone().into_bytes()
        } else {
            lines[random.random_range(0..lines.len())].as_bytes().to_vec()
        };
        for _ in 0..random.random_range(1..6) {
            mutate(&mut random, &mut body);
        }
        let (request, least) = if n % 2 == 0 {
            (support::webhook(&sign(&body), body), 1)
        } else {
            let blank = String::from_utf8(body.clone()).is_ok_and(|text| text.trim().is_empty());
            (support::lines(body), usize::from(!blank))
        };
        let (status, answer) = send(&app, request).await;
        assert_eq!(status, 200, "{answer}");
        assert!(journal.take().len() >= least);
    }
}
