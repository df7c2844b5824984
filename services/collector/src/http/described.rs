//! `schemas/openapi.json` says of the intake what the intake does: its paths are the router's, and each operation answers exactly the
//! statuses that are described, in the described form.

use super::*;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

fn document() -> Value {
    serde_json::from_str(include_str!("../../../../schemas/openapi.json")).unwrap()
}

/// Follows references within the document.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(path) => {
            let place = path.strip_prefix('#').unwrap();
            document.pointer(place).unwrap_or_else(|| panic!("{path} leads nowhere"))
        }
        None => value,
    }
}

/// A body whose end never comes.
fn endless() -> Body {
    struct Never;
    impl axum::body::HttpBody for Never {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Infallible>>> {
            std::task::Poll::Pending
        }
    }
    Body::new(Never)
}

/// Everything that a sender can do right or wrong at one path.
async fn provoked(path: &str) -> BTreeMap<u16, (HeaderMap, String)> {
    let source = if path.contains("backstage") { "portal" } else { "kc" };
    let at = path.replace("{source}", source);
    let good = if path.contains("/close/") {
        r#"{"input":"import","watermark":5}"#
    } else if path.contains("/snapshot/") {
        r#"{"read_at":1.5,"entities":[]}"#
    } else {
        r#"{"id":"1","time":1,"type":"LOGIN","realmId":"r"}"#
    };
    let request = || Request::post(&at).header("authorization", format!("Bearer {TOKEN}"));
    let with = |body: &str| request().body(Body::from(body.to_owned())).unwrap();
    let none = Limits { keycloak_requests: 0, backstage_requests: 0, ..Limits::default() };
    let hasty = Limits { body_seconds: 0, ..Limits::default() };
    let requests = [
        (Limits::default(), None, with(good)),
        (Limits::default(), None, with("{}")),
        (Limits::default(), Some(AppendError::Full), with(good)),
        (Limits::default(), Some(AppendError::Stopped), with(good)),
        (Limits::default(), Some(AppendError::TooLarge), with(good)),
        (Limits::default(), None, Request::post(&at).body(Body::from(good)).unwrap()),
        (Limits::default(), None, request().header("content-length", "99999999").body(Body::from(good)).unwrap()),
        (Limits::default(), None, request().header("content-encoding", "gzip").body(Body::from(good)).unwrap()),
        (Limits::default(), None, request().header("content-encoding", "br").body(Body::from(good)).unwrap()),
        (Limits::default(), None, request().header("content-type", "text/html").body(Body::from(good)).unwrap()),
        (none, None, with(good)),
        (hasty, None, request().body(endless()).unwrap()),
    ];
    let mut answers = BTreeMap::new();
    for (limits, refuse, request) in requests {
        let (app, journal) = app_with(limits);
        *journal.refuse.lock().unwrap() = refuse;
        let (status, headers, body) = send(&app, request).await;
        answers.insert(status.as_u16(), (headers, body));
    }
    answers
}

#[tokio::test]
async fn each_path_of_the_intake_answers_what_is_described() {
    let document = document();
    let of_intake = |(_, item): &(&String, &Value)| item["post"]["tags"][0] == "intake";
    let described: Vec<_> = document["paths"].as_object().unwrap().iter().filter(of_intake).collect();
    let names: BTreeSet<&str> = described.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(names, routes().map(|(path, _)| path).into_iter().collect(), "the router's paths");
    for (path, item) in described {
        let answers = provoked(path).await;
        let responses = item["post"]["responses"].as_object().unwrap();
        let statuses: BTreeSet<u16> = responses.keys().map(|status| status.parse().unwrap()).collect();
        assert_eq!(answers.keys().copied().collect::<BTreeSet<_>>(), statuses, "{path}");
        for (status, (headers, body)) in answers {
            let response = resolved(&document, &responses[&status.to_string()]);
            let kind = headers["content-type"].to_str().unwrap();
            let content = &response["content"][kind];
            assert!(content.is_object(), "{path} {status}: {kind} is not described");
            let schema = resolved(&document, &content["schema"]);
            let body: Value = serde_json::from_str(&body).unwrap();
            let keys: BTreeSet<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
            let required: BTreeSet<&str> =
                schema["required"].as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect();
            assert_eq!(keys, required, "{path} {status}");
            let retries = response["headers"]["Retry-After"].is_object();
            assert_eq!(headers.contains_key("retry-after"), retries, "{path} {status}");
        }
        let (app, _) = app();
        let at = path.replace("{source}", "kc");
        assert_eq!(send(&app, Request::get(&at).body(Body::empty()).unwrap()).await.0, 405, "{path}");
    }
}

#[test]
fn the_description_is_whole() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
        match value {
            Value::Object(fields) => {
                found.extend(Some(value).filter(|value| value["$ref"].is_string()));
                fields.values().for_each(|field| references(field, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 20);
    for reference in found {
        resolved(&document, reference);
    }
    let mut names = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let method = ["get", "post"].into_iter().find(|method| item[*method].is_object()).unwrap();
        let operation = &item[method];
        assert!(names.insert(operation["operationId"].as_str().unwrap()), "{path}: two operations of one name");
        assert!(operation["summary"].is_string() && operation["responses"].is_object(), "{path}");
        let parameters =
            [&item["parameters"], &operation["parameters"]].into_iter().filter_map(Value::as_array).flatten();
        let in_path: Vec<_> =
            parameters.map(|one| resolved(&document, one)).filter(|one| one["in"] == "path").collect();
        assert_eq!(in_path.len(), path.matches('{').count(), "{path}: its parameters are described");
        let schemes =
            operation["security"].as_array().into_iter().flatten().flat_map(|one| one.as_object().unwrap().keys());
        for scheme in schemes {
            assert!(document["components"]["securitySchemes"][scheme].is_object(), "{path}: {scheme}");
        }
    }
}
