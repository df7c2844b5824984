//! A real Backstage with the overrides that users get, against a real Keycloak: what standard output says afterwards is
//! what the collector lives on.

use reqwest::Method;
use serde_json::{Value, json};
use std::{collections::BTreeMap, ffi::OsString, net::TcpStream};
use testbed::{
    Keycloak, KeycloakOptions,
    backstage::{Act, Backstage, BackstageOptions, Outcome, Overrides, Shipper, SignIn, backstage_story, realm},
};

#[tokio::test]
async fn standard_output_says_what_was_done() {
    let options = KeycloakOptions { realms: vec![realm()], ..KeycloakOptions::default() };
    let keycloak = Keycloak::start(options).await.unwrap();
    let teed = tempfile::tempdir().unwrap();
    let copy = teed.path().join("copy.log");
    let script = "cat >\"$COPY\"; echo the input ended >>\"$COPY\"";
    let mut options = BackstageOptions::with_keycloak(&keycloak.url());
    options.shipper = Some(Shipper {
        command: ["sh", "-c", script].map(OsString::from).to_vec(),
        env: vec![("COPY".into(), copy.clone().into())],
    });
    let backstage = Backstage::start(options).await.unwrap();
    let acts = backstage_story(&backstage).await.unwrap();
    keycloak.admin().call(Method::POST, "testbed/users", Some(&unverified())).await.unwrap();
    let refused = backstage.sign_in("tilda", "tilda-pw").await.unwrap();
    assert!(matches!(refused, SignIn::RefusedByBackstage), "an address that nobody verified was enough");

    let secret = backstage.secrets().reader.clone();
    backstage.calls(&secret).entity(&format!("component:default/{secret}")).await.unwrap();
    let address = backstage.url().replace("http://", "");
    let lines = backstage.stop().await.unwrap();
    assert!(TcpStream::connect(address).is_err(), "the server outlived its owner");

    audit_lines_have_a_time_and_an_id(&lines);
    decisions_name_person_resource_and_result(&lines, &acts);
    evaluations_name_the_person(&lines, &acts);
    callbacks_and_issued_tokens_follow_the_sign_ins(&lines, &acts);
    assert!(lines.iter().any(|line| line["request"]["url"].as_str().is_some_and(|url| url.contains("***"))));
    assert!(!lines.iter().any(|line| line.to_string().contains(&secret)), "a secret of the configuration was printed");

    let copied = std::fs::read_to_string(copy).unwrap();
    let copied_lines: Vec<Value> = copied.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert_eq!(copied_lines, lines, "the shipper did not get every line");
    assert!(copied.ends_with("the input ended\n"), "the shipper was ended before its input was");

    // Backstage as it comes, with nobody else reading: works, and says less.
    let mut options = BackstageOptions::with_keycloak(&keycloak.url());
    options.overrides = Overrides::None;
    let plain = Backstage::start(options).await.unwrap();
    let nora = plain.sign_in("nora", "nora-pw").await.unwrap().done().unwrap();
    assert!(plain.calls(&nora.token).refresh_entity("component:default/website").await.unwrap().status.is_success());
    let lines = plain.stop().await.unwrap();
    let audit: Vec<_> = lines.iter().filter(|line| line["isAuditEvent"] == true).collect();
    assert!(audit.iter().any(|line| line["eventId"] == "entity-mutate"));
    assert!(audit.iter().all(|line| line.get("timestamp").is_none() && line["eventId"] != "permission-decision"));
}

/// A person whom Keycloak lets in and Backstage does not: it takes verified addresses only.
fn unverified() -> Value {
    json!({
        "username": "tilda", "enabled": true, "email": "tilda@testbed.example", "emailVerified": false,
        "firstName": "Tilda", "lastName": "Thorne", "credentials": [{"type": "password", "value": "tilda-pw"}],
    })
}

fn audit_lines_have_a_time_and_an_id(lines: &[Value]) {
    let mut ends: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut open = 0_usize;
    for line in lines.iter().filter(|line| line["isAuditEvent"] == true) {
        let time = line["timestamp"].as_str().expect("an audit line without a timestamp");
        assert!(time.len() == 24 && time.ends_with('Z'), "no ISO 8601 time in UTC: {time}");
        let id = line["auditId"].as_str().expect("an audit line without an auditId");
        match line["status"].as_str().expect("an audit line without a status") {
            "initiated" => {
                open += 1;
                assert!(ends.insert(id, Vec::new()).is_none(), "two events with one auditId");
            }
            status => ends.get_mut(id).expect("an end without a beginning").push(status),
        }
    }
    assert!(open > 100, "only {open} audit events");
    // A missing entity is `succeeded` and then `failed` under one id; a listener may still be open at the end.
    let closed = ends.values().filter(|ends| !ends.is_empty()).count();
    assert!(closed * 100 >= open * 95, "{closed} of {open} audit events have an end with their auditId");
}

/// Each act that a plugin decided has a decision with the person and the final result.
fn decisions_name_person_resource_and_result(lines: &[Value], acts: &[Act]) {
    let decisions: Vec<&Value> = lines
        .iter()
        .filter(|line| line["eventId"] == "permission-decision" && line["status"] == "succeeded")
        .map(|line| &line["meta"])
        .collect();
    let mut checked = 0;
    for act in acts.iter().filter(|act| ["refresh-entity", "create-location", "delete-location"].contains(&act.op)) {
        let result = match act.outcome {
            Outcome::Allowed => "ALLOW",
            Outcome::Denied => "DENY",
            Outcome::Refused | Outcome::Unauthenticated => continue,
        };
        let fits = |meta: &&&Value| {
            let resource = act.op != "refresh-entity" || meta["resourceRef"].as_str() == act.resource.as_deref();
            meta["principal"] == act.who.as_str() && meta["permission"].as_str() == act.permission && resource
        };
        let found: Vec<_> = decisions.iter().filter(fits).map(|meta| &meta["result"]).collect();
        assert_eq!(found, [result], "decisions about {} of {}", act.op, act.who);
        checked += 1;
    }
    assert_eq!(checked, 5);
    let conditional = decisions.iter().any(|meta| meta["via"] == "authorizeConditional");
    assert!(conditional, "no conditional question was audited");
}

/// What a frontend asks is audited by RBAC only: as often as it was asked, and without the resource.
fn evaluations_name_the_person(lines: &[Value], acts: &[Act]) {
    for act in acts.iter().filter(|act| act.op == "authorize") {
        let result = match (act.permission, act.outcome) {
            (Some("catalog.entity.delete"), _) => "CONDITIONAL",
            (_, Outcome::Allowed) => "ALLOW",
            _ => "DENY",
        };
        let found = lines.iter().any(|line| {
            let meta = &line["meta"];
            line["eventId"] == "permission-evaluation"
                && line["status"] == "succeeded"
                && meta["userEntityRef"] == act.who.as_str()
                && meta["permissionName"].as_str() == act.permission
                && meta["result"] == result
        });
        assert!(found, "no evaluation {result} of {:?} for {}", act.permission, act.who);
    }
}

/// Per sign-in one callback with its Keycloak session, and just before it the token that was issued to that person.
fn callbacks_and_issued_tokens_follow_the_sign_ins(lines: &[Value], acts: &[Act]) {
    let mut issued = "";
    let mut bound = Vec::new();
    let mut issues = 0;
    for line in lines {
        let message = line["message"].as_str().unwrap_or_default();
        if let Some(rest) = message.strip_prefix("Issuing token for ") {
            issued = rest.split(',').next().unwrap_or_default();
            issues += 1;
        }
        let url = line["url"].as_str().unwrap_or_default();
        if line["type"] != "incomingRequest" || !url.starts_with("/api/auth/oidc/") {
            continue;
        }
        // Taken by whichever call it was issued in: a refresh leaves no token for a later callback.
        let person = std::mem::take(&mut issued);
        if url.starts_with("/api/auth/oidc/handler/frame") {
            let session = url.split("session_state=").nth(1).and_then(|rest| rest.split('&').next());
            let session = session.expect("a callback without session_state");
            bound.push((person.to_owned(), session.to_owned()));
        }
    }
    let signed_in = allowed(acts, "sign-in");
    let expected: Vec<_> =
        signed_in.iter().map(|act| (act.who.clone(), act.session.clone().unwrap_or_default())).collect();
    // The refused one came last: the same line, with a session, and no token before it.
    let (nobody, session) = bound.pop().expect("no callback at all");
    assert!(nobody.is_empty() && !session.is_empty());
    assert_eq!(bound, expected);
    assert_eq!(issues, expected.len() + allowed(acts, "refresh").len());
}

fn allowed<'a>(acts: &'a [Act], op: &str) -> Vec<&'a Act> {
    acts.iter().filter(|act| act.op == op && act.outcome == Outcome::Allowed).collect()
}
