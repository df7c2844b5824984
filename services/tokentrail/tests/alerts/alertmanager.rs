//! A real Alertmanager as the receiver: what is posted stands there, is posted again while it stands, resolves when it is closed, and
//! a burst is one notification.

use crate::{Story, judged, receiver::Receiver, recorded::sample, until};
use serde_json::Value;
use std::time::Duration;
use testbed::{Alertmanager, AlertmanagerOptions};

const SWITCHES: [&str; 3] = ["eventsEnabled", "adminEventsEnabled", "adminEventsDetailsEnabled"];

/// Short enough to be waited for, and longer than any pause between two posts on a slow machine.
const RESOLVE: Duration = Duration::from_secs(60);

fn ends(alert: &Value) -> jiff::Timestamp {
    alert["endsAt"].as_str().unwrap().parse().unwrap()
}

#[test]
fn a_real_alertmanager_holds_what_stands_and_tells_a_burst_as_one() {
    // By hand only: Debian's build reads its templates from below /usr/share, where only an installed package puts them.
    if std::env::var_os("TOKENTRAIL_TEST_ALERTMANAGER").is_none() {
        return eprintln!(
            "NOT TESTED without TOKENTRAIL_TEST_ALERTMANAGER: a real Alertmanager, as Debian installs it"
        );
    }
    let pager = Receiver::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let options = AlertmanagerOptions { webhook: format!("http://{}/page", pager.address), resolve_timeout: RESOLVE };
    let manager = runtime.block_on(Alertmanager::start(&options)).unwrap();
    let held = || -> Vec<Value> {
        let alerts = runtime.block_on(manager.active()).unwrap();
        alerts.into_iter().filter(|alert| alert["labels"]["rule"] == "D11").collect()
    };
    let receivers =
        format!("[alerts.receivers.am]\nkind = \"alertmanager\"\nurl = \"{}\"\nleast = \"critical\"\n", manager.url());
    let story = Story::new(&receivers);
    let program = story.start();
    let off = story.recording_less(&SWITCHES);
    for file in [&sample("../keycloak/webhook.ndjson"), &off] {
        story.said(&program, &["import", "--source", "kc", file.to_str().unwrap()]);
        judged(&program);
    }
    let first = until(&program, "the alerts do not stand", || Some(held()).filter(|held| held.len() == SWITCHES.len()));
    for alert in &first {
        assert_eq!((&alert["labels"]["severity"], &alert["status"]["state"]), (&"critical".into(), &"active".into()));
        assert_eq!(
            (&alert["labels"]["alertname"], &alert["labels"]["tenant"]),
            (&"LOGGING_IMPAIRED".into(), &"default".into())
        );
        let id = alert["labels"]["finding"].as_str().unwrap();
        assert!(alert["generatorURL"].as_str().unwrap().ends_with(id), "{alert}");
    }
    // One notification has the whole burst, however many rounds of judging it came in.
    let whole = |message: &Value| {
        message["status"] == "firing" && message["alerts"].as_array().unwrap().len() == SWITCHES.len()
    };
    until(&program, "nobody is paged for all of it at once", || {
        pager.messages().iter().map(|message| message.json()).find(whole)
    });

    // Told again while it stands: the end that Alertmanager would set without news moves on.
    for alert in &first {
        let of = |one: &Value| one["fingerprint"] == alert["fingerprint"];
        until(&program, "it is not told again", || held().into_iter().find(|one| of(one) && ends(one) > ends(alert)));
    }

    let closed = first[0]["labels"]["finding"].as_str().unwrap();
    story.said(&program, &["findings", "close", closed, "--by", "ana", "--reason", "switched on again"]);
    until(&program, "it does not resolve", || (held().len() == SWITCHES.len() - 1).then_some(()));
    assert!(held().iter().all(|alert| alert["labels"]["finding"] != closed));
    until(&program, "the end is not told", || {
        let told =
            pager.messages().into_iter().flat_map(|message| message.json()["alerts"].as_array().unwrap().clone());
        told.into_iter().find(|one| one["labels"]["finding"] == closed && one["status"] == "resolved")
    });
    assert_eq!(program.terminate(), Some(0));
}
