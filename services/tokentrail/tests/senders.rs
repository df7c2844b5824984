//! Who may send to the real program: a webhook whose secret is being exchanged, and one that proves itself by a JWT of its realm.
//! What is refused leaves nothing behind.
#![allow(clippy::unwrap_used)] // a test may panic

mod support;

use axum::{Router, routing::get};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use sha2::{Digest, Sha256};
use std::{collections::BTreeSet, net::SocketAddr, path::Path};
use support::{Program, block_on, client, login, sign};

/// A realm's key of the tests' own.
const REALM: &[u8] = include_bytes!("../../collector/tests/keys/realm.pem");
/// Its name there.
const KEY_ID: &str = "realm-key";

/// Serves the realm's keys as Keycloak does.
struct Realm {
    address: SocketAddr,
    _runtime: tokio::runtime::Runtime,
}

impl Realm {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut key = Jwk::from_encoding_key(&key(), Algorithm::RS256).unwrap();
        key.common.key_id = Some(KEY_ID.into());
        let keys = serde_json::json!({"keys": [key]}).to_string();
        let routes = Router::new().route("/realms/acme/protocol/openid-connect/certs", get(|| async move { keys }));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move { axum::serve(listener, routes).await });
        Self { address, _runtime: runtime }
    }

    fn issuer(&self) -> String {
        format!("http://{}/realms/acme", self.address)
    }

    /// A token for a body, as the plugin makes it.
    fn token(&self, audience: &str, body: &str) -> String {
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(KEY_ID.into());
        let now = jiff::Timestamp::now().as_second();
        let claims = serde_json::json!({
            "iss": self.issuer(), "aud": audience, "iat": now, "exp": now + 300, "jti": "j",
            "request_body_sha256": hex::encode(Sha256::digest(body)),
        });
        format!("Bearer {}", jsonwebtoken::encode(&header, &claims, &key()).unwrap())
    }
}

fn key() -> EncodingKey {
    EncodingKey::from_rsa_pem(REALM).unwrap()
}

/// Status of a delivery with one header.
fn post(program: &Program, (source, header, value): (&str, &str, &str), body: &str) -> u16 {
    let url = format!("{}/v1/keycloak/{source}", program.intake());
    let request = client().post(url).header("content-type", "application/json").header(header, value);
    let request = request.body(body.to_owned());
    block_on(async move { request.send().await.unwrap().status().as_u16() })
}

/// A body with the given number, and its native id.
fn numbered(number: u32) -> (String, String) {
    let id = format!("66666666-0000-4000-8000-{number:012}");
    (login(&id, 1_795_469_103_342), id)
}

fn start(data: &Path, config: &Path) -> Program {
    Program::start(data, &[("TOKENTRAIL_CONFIG", config.to_str().unwrap())])
}

#[test]
fn secrets_are_exchanged_and_a_realms_jwt_is_checked() {
    let dir = tempfile::tempdir().unwrap();
    let (data, config) = (dir.path().join("data"), dir.path().join("tokentrail.toml"));
    std::fs::create_dir_all(data.join("secrets")).unwrap();
    let (old, new) = ("the-secret-of-last-year", "the-secret-of-this-year");
    std::fs::write(data.join("secrets/old"), old).unwrap();
    std::fs::write(data.join("secrets/new"), new).unwrap();
    let realm = Realm::start();
    let sources = |secrets: &str| {
        format!(
            "[sources.signed]\nkind = \"keycloak\"\nwebhook_secret_files = [{secrets}]\n\
             [sources.bearing]\nkind = \"keycloak\"\n[sources.bearing.jwt]\nissuer = \"{}\"\naudience = \"tokentrail\"\n",
            realm.issuer()
        )
    };
    std::fs::write(&config, sources("\"secrets/old\", \"secrets/new\"")).unwrap();
    let program = start(&data, &config);
    let mut taken = BTreeSet::new();
    let mut expect = |program: &Program, how: (&str, &str, &str), (body, id): (String, String), status: u16| {
        assert_eq!(post(program, how, &body), status, "{} {}", how.0, how.1);
        if (200..300).contains(&status) {
            taken.insert(id);
        }
    };

    // Both secrets while they are exchanged, and no other.
    for (number, secret) in [(1, old), (2, new)] {
        let (body, id) = numbered(number);
        expect(&program, ("signed", "x-keycloak-signature", &sign(secret, body.as_bytes())), (body, id), 200);
    }
    let (body, id) = numbered(3);
    expect(&program, ("signed", "x-keycloak-signature", &sign("no-secret-of-ours", body.as_bytes())), (body, id), 401);

    // The realm's word for this very body and for us.
    let (body, id) = numbered(4);
    expect(&program, ("bearing", "authorization", &realm.token("tokentrail", &body)), (body, id), 200);
    let (other, _) = numbered(5);
    let (body, id) = numbered(6);
    expect(&program, ("bearing", "authorization", &realm.token("tokentrail", &other)), (body, id), 401);
    let (body, id) = numbered(7);
    expect(&program, ("bearing", "authorization", &realm.token("somebody-else", &body)), (body, id), 401);
    // One source's proof is none of another's.
    let (body, id) = numbered(8);
    expect(&program, ("bearing", "x-keycloak-signature", &sign(new, body.as_bytes())), (body, id), 401);
    let (body, id) = numbered(9);
    expect(&program, ("signed", "authorization", &realm.token("tokentrail", &body)), (body, id), 401);
    assert_eq!(program.terminate(), Some(0));

    // The exchange is over.
    std::fs::write(&config, sources("\"secrets/new\"")).unwrap();
    let program = start(&data, &config);
    let (body, id) = numbered(10);
    expect(&program, ("signed", "x-keycloak-signature", &sign(old, body.as_bytes())), (body, id), 401);
    let (body, id) = numbered(11);
    expect(&program, ("signed", "x-keycloak-signature", &sign(new, body.as_bytes())), (body, id), 200);
    program.drained();
    let stored = program.sql("SELECT DISTINCT native_id FROM events WHERE source_id IN ('signed', 'bearing')");
    let stored: BTreeSet<_> = stored.iter().map(|row| row["native_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(stored, taken);
    let receipts = program.sql("SELECT count() AS n FROM receipts WHERE source_id IN ('signed', 'bearing')");
    assert_eq!(receipts[0]["n"], taken.len() as u64, "what was refused is no receipt");
    assert_eq!(program.terminate(), Some(0));
}
