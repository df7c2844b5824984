//! `schemas/openapi.json` says of the admin listener what it does: asked of the running program.

use super::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// There only where receipts go over Kafka.
const ELSEWHERE: [&str; 1] = ["/v1/forward"];

/// A request to a path: method, query and path after the described one's, whether it is an order, and a JSON body.
type Asked<'a> = (&'a str, &'a str, &'a str, bool, Option<Value>);

#[tokio::test(flavor = "multi_thread")]
async fn each_path_of_the_admin_listener_answers_what_is_described() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::load(None, std::iter::empty()).unwrap();
    config.data_dir = dir.path().join("data");
    (config.listen.intake, config.listen.admin) = (([127, 0, 0, 1], 0).into(), ([127, 0, 0, 1], 0).into());
    config.store.url = Some("http://127.0.0.1:9".into());
    let listeners = Listeners::bind(&config, Role::Up).unwrap();
    let app = App::start(&config, listeners, Role::Up).await.unwrap();
    let document: Value = serde_json::from_str(include_str!("../../../../schemas/openapi.json")).unwrap();
    let act = json!({"v": 1, "says": "merge"});
    let finding =
        json!({"act": "close", "finding": "00000000-0000-4000-8000-000000000002", "by": "ana", "reason": "done"});
    let for_ever = json!({"act": "suppress", "finding": "00000000-0000-4000-8000-000000000002", "until": 7_258_118_400_000_i64,
        "by": "ana", "reason": "known"});
    let requests: [Asked<'_>; 16] = [
        ("/healthz", "GET", "/healthz", false, None),
        ("/readyz", "GET", "/readyz", false, None),
        ("/metrics", "GET", "/metrics", false, None),
        ("/v1/status", "GET", "/v1/status", false, None),
        ("/v1/snapshots/{source}", "POST", "/v1/snapshots/kc", false, None),
        ("/v1/snapshots/{source}", "POST", "/v1/snapshots/kc", true, None),
        ("/v1/snapshots/{source}", "POST", "/v1/snapshots/kc?ful=true", true, None),
        ("/v1/persons/acts", "POST", "/v1/persons/acts", true, Some(act.clone())),
        ("/v1/persons/acts", "POST", "/v1/persons/acts?id=00000000-0000-4000-8000-000000000001", true, None),
        ("/v1/persons/acts", "POST", "/v1/persons/acts?id=00000000-0000-4000-8000-000000000001", true, Some(act)),
        (
            "/v1/findings/acts",
            "POST",
            "/v1/findings/acts?id=00000000-0000-4000-8000-000000000001",
            false,
            Some(finding.clone()),
        ),
        ("/v1/findings/acts", "POST", "/v1/findings/acts", true, Some(finding.clone())),
        (
            "/v1/findings/acts",
            "POST",
            "/v1/findings/acts?id=00000000-0000-4000-8000-000000000001",
            true,
            Some(for_ever),
        ),
        ("/v1/findings/acts", "POST", "/v1/findings/acts?id=00000000-0000-4000-8000-000000000001", true, Some(finding)),
        ("/healthz", "POST", "/healthz", false, None),
        ("/nothing", "GET", "/v1/nothing", false, None),
    ];
    let http = trust::Trust::system().http(|builder| builder.no_proxy()).unwrap();
    let order = RunFile::read(&config).unwrap().order;
    let mut seen = BTreeSet::new();
    for (path, method, at, is_order, body) in requests {
        let url = format!("http://{}{at}", app.addresses.admin);
        let mut request = http.request(method.parse().unwrap(), url);
        if is_order {
            request = request.header(ORDER_HEADER, &order);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16().to_string();
        let operation = &document["paths"][path][method.to_lowercase()];
        if !operation.is_object() {
            assert!(matches!(status.as_str(), "404" | "405"), "{method} {at} is not described and answers {status}");
            continue;
        }
        let described = &operation["responses"][&status]["content"];
        assert!(described.is_object(), "{method} {at} answers {status}, which is not described");
        let kind = answer.headers()["content-type"].to_str().unwrap().split(';').next().unwrap();
        assert!(described[kind].is_object(), "{method} {at} answers {status} as {kind}, which is not described");
        seen.insert((path, status));
    }
    for (path, item) in document["paths"].as_object().unwrap() {
        let is_admin = item["get"]["tags"][0] == "admin" || item["post"]["tags"][0] == "admin";
        let asked = seen.iter().any(|(seen, _)| seen == path) || ELSEWHERE.contains(&path.as_str());
        assert!(!is_admin || asked, "{path} is described and was not asked");
    }
    for (path, status) in [
        ("/v1/status", "503"),
        ("/v1/snapshots/{source}", "403"),
        ("/v1/findings/acts", "201"),
        ("/v1/findings/acts", "403"),
        ("/v1/findings/acts", "422"),
    ] {
        assert!(seen.contains(&(path, status.into())), "{path} never answered {status}");
    }
    app.stop().await.unwrap();
}
