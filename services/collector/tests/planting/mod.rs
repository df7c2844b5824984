//! Secrets, and deliveries of Keycloak and Backstage in which each of them hides: for the test of the collector and for that
//! of the whole program.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::{Rng, SeedableRng, distr::Alphanumeric, rngs::StdRng};
use serde_json::{Value, json};

/// Where a delivery goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    Keycloak,
    Backstage,
}

/// One delivery with a secret in it.
pub struct Planted {
    pub to: To,
    pub body: String,
    /// The piece of the secret that must be nowhere.
    pub piece: String,
}

/// Secrets without end, the same ones for the same seed: half of them known by their looks, half by their place.
pub fn planted(seed: u64) -> impl Iterator<Item = Planted> {
    let mut random = StdRng::seed_from_u64(seed);
    (0..).map(move |n: usize| {
        let ((secret, piece), by_looks) =
            if n % 4 < 2 { (looks_like_one(&mut random), true) } else { (password(&mut random), false) };
        let place = random.random_range(0..10_000);
        let to = if n.is_multiple_of(2) { To::Keycloak } else { To::Backstage };
        let body = match (to, by_looks) {
            (To::Keycloak, true) => keycloak_by_looks(place, &secret),
            (To::Keycloak, false) => keycloak_by_place(place, &secret),
            (To::Backstage, true) => backstage_by_looks(place, &secret),
            (To::Backstage, false) => backstage_by_place(place, &secret),
        };
        let body = body.to_string();
        assert!(body.contains(&piece) || body.contains(&piece.replace('/', "\\/")), "planted: {body}");
        Planted { to, body, piece }
    })
}

fn text(random: &mut StdRng, length: usize) -> String {
    (0..length).map(|_| char::from(random.sample(Alphanumeric))).collect()
}

/// A secret that is known by its looks, and the piece of it that must be nowhere.
fn looks_like_one(random: &mut StdRng) -> (String, String) {
    let body = text(random, 40);
    match random.random_range(0..5) {
        0 => {
            let claims = URL_SAFE_NO_PAD.encode(json!({ "sub": body }).to_string());
            (format!("{}.{claims}.{body}", URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","typ":"JWT"}"#)), claims)
        }
        1 => (format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"), body),
        2 => {
            let id: String =
                (0..16).map(|_| char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[random.random_range(0..32)])).collect();
            (format!("AKIA{id}"), id)
        }
        3 => {
            let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
            let key: String = (0..40).map(|_| char::from(alphabet[random.random_range(0..64)])).collect();
            (key.clone(), key)
        }
        _ => (format!("ghp_{}", &body[..36]), body[..36].to_owned()),
    }
}

/// A password: known by its place only.
fn password(random: &mut StdRng) -> (String, String) {
    let word = format!("Pw!{}", text(random, 9));
    (word.clone(), word)
}

fn event(kind: &str, mut extra: Value) -> Value {
    let mut event = json!({ "id": "b2c0fa55-7387-49da-b104-550ee7e635fc", "uid": "a705f966-0d12-4698-96ef-9859b8c225e4",
        "time": 1, "realmId": "acme", "type": kind, "authDetails": { "userId": "u1" } });
    event.as_object_mut().unwrap().append(extra.as_object_mut().unwrap());
    event
}

fn representation(kind: &str, value: Value) -> Value {
    let resource = kind.rsplit_once('-').unwrap().0;
    event(&format!("admin.{kind}"), json!({ "resourceType": resource, "representation": value.to_string() }))
}

/// Keycloak deliveries with a secret known by its looks.
fn keycloak_by_looks(n: usize, secret: &str) -> Value {
    match n % 9 {
        0 => event("access.LOGIN", json!({ "details": { "custom": secret } })),
        1 => event("access.LOGIN", json!({ "details": { "token_id": secret } })),
        2 => event("access.LOGIN_ERROR", json!({ "error": format!("bad thing {secret} seen") })),
        3 => event("access.LOGIN", json!({ "details": { "reason": format!("because ({secret})") } })),
        4 => event("access.LOGIN", json!({ "newField": secret })),
        5 => representation("USER-UPDATE", json!({ "username": "ann", "attributes": { "note": [secret] } })),
        6 => representation(
            "CLIENT-UPDATE",
            json!({ "clientId": "web", "attributes": { "x": secret }, "description": secret }),
        ),
        7 => representation("WHATEVER-UPDATE", json!({ "name": "x", "other": secret })),
        _ => event("access.LOGIN", json!({ "details": { secret: "x" } })),
    }
}

/// Keycloak deliveries with a password in a denied place.
fn keycloak_by_place(n: usize, secret: &str) -> Value {
    match n % 16 {
        0 => event("access.LOGIN", json!({ "details": { "password": secret } })),
        1 => event("access.LOGIN", json!({ "details": { "nested": { "deep": [secret] } } })),
        2 => event("access.LOGIN", json!({ "unknown": { "x": secret } })),
        3 => event("access.LOGIN", json!({ "details": { "redirect_uri": format!("https://a/cb?code={secret}&x=1") } })),
        4 => {
            json!({ "id": "1", "time": 1, "realmId": "r", "type": "LOGIN_ERROR", "error": "user_not_found", "details": { "username": secret } })
        }
        5 => representation(
            "USER-CREATE",
            json!({ "username": "ann", "credentials": [{ "type": "password", "value": secret }] }),
        ),
        6 => representation("CLIENT-UPDATE", json!({ "secret": secret })),
        7 => representation("CLIENT-ACTION", json!({ "type": "secret", "value": secret })),
        8 => representation("REALM-UPDATE", json!({ "smtpServer": { "user": "x", "pass": secret } })),
        9 => representation(
            "IDENTITY_PROVIDER-UPDATE",
            json!({ "alias": "g", "config": { "clientSecret": secret, "odd": secret } }),
        ),
        10 => representation(
            "COMPONENT-UPDATE",
            json!({ "name": "ldap", "config": { "bindCredential": [secret], "odd": [secret] } }),
        ),
        11 => representation("AUTHENTICATOR_CONFIG-UPDATE", json!({ "alias": "x", "config": { "odd": secret } })),
        12 => representation("PROTOCOL_MAPPER-UPDATE", json!({ "name": "x", "config": { "odd": secret } })),
        13 => event(
            "admin.USER-UPDATE",
            json!({ "resourceType": "USER", "representation": format!("{{\"broken\": \"{secret}\"") }),
        ),
        14 => event("admin.USER-UPDATE", json!({ "resourceType": "USER", "representation": { "attributes": secret } })),
        _ => representation(
            "CLIENT-UPDATE",
            json!({ "rootUrl": format!("https://user:{secret}@host/"), "registrationAccessToken": secret }),
        ),
    }
}

fn line(mut extra: Value) -> Value {
    let mut line = json!({ "actor": { "actorId": "user:default/ann" }, "eventId": "e", "isAuditEvent": true, "level": "info",
        "message": "m", "plugin": "p", "status": "succeeded" });
    let object = line.as_object_mut().unwrap();
    for (name, value) in extra.as_object_mut().unwrap() {
        object.insert(name.clone(), value.take());
    }
    line
}

fn backstage_by_looks(n: usize, secret: &str) -> Value {
    match n % 7 {
        0 => line(json!({ "meta": { "note": secret } })),
        1 => line(json!({ "message": format!("failed with {secret}") })),
        2 => line(json!({ "stack": format!("Error: {secret}\n    at x") })),
        3 => line(json!({ "errors": [{ "message": secret }] })),
        4 => line(json!({ "meta": { "query": { "filter": [secret] } } })),
        5 => line(json!({ "extra": secret })),
        _ => line(json!({ "actor": { "userAgent": format!("curl {secret}") } })),
    }
}

fn backstage_by_place(n: usize, secret: &str) -> Value {
    match n % 8 {
        0 => line(json!({ "meta": { "taskParameters": { "name": secret } } })),
        1 => line(json!({ "request": { "body": { "x": secret } } })),
        2 => line(json!({ "response": { "body": secret } })),
        3 => line(json!({ "request": { "url": format!("/api/x?token={secret}"), "query": { "apiKey": secret } } })),
        4 => line(json!({ "meta": { "output": { "x": secret } } })),
        5 => line(json!({ "meta": { "dbPassword": secret } })),
        6 => line(json!({ "message": format!("password={secret} rejected") })),
        _ => {
            let url = format!(
                "/api/auth/oidc/handler/frame?state={secret}&session_state=6zchQ9tsE3mTyIhqbJ58YeRB&code={secret}"
            );
            let message = format!("[2026-11-23T21:25:02.842Z] \"GET {url} HTTP/1.1\" 302 0 \"-\" \"x\"");
            json!({ "type": "incomingRequest", "level": "info", "status": 302, "url": url, "message": message })
        }
    }
}
