//! An Alertmanager is told again of what stands, whatever else it does not take.

use crate::{Story, judged, receiver::Receiver, recorded::sample, support::Program, until};
use serde_json::Value;

const SWITCHES: [&str; 3] = ["eventsEnabled", "adminEventsEnabled", "adminEventsDetailsEnabled"];

fn story(manager: &Receiver) -> Story {
    let receiver = "[alerts.receivers.am]\nkind = \"alertmanager\"\nleast = \"high\"\n";
    Story::new(&format!("{receiver}url = \"http://{}\"\n", manager.address))
}

/// An impersonation is found.
fn impersonated(story: &Story, program: &Program) {
    let recorded = sample("../keycloak/webhook.ndjson");
    story.said(program, &["import", "--source", "kc", recorded.to_str().unwrap()]);
    judged(program);
}

/// A realm records less.
fn recording_less(story: &Story, program: &Program) {
    let off = story.recording_less(&SWITCHES);
    story.said(program, &["import", "--source", "kc", off.to_str().unwrap()]);
    judged(program);
}

/// Ids of the findings of a rule that were taken, one for each time, the first `before` messages left out; with whether it was over.
fn taken(manager: &Receiver, rule: &str, before: usize) -> Vec<(String, bool)> {
    let messages = manager.messages().into_iter().skip(before).filter(|message| message.answered == 200);
    let alerts = messages.flat_map(|message| message.alerts());
    let of_rule = alerts.filter(|(alert, _)| alert["labels"]["rule"] == rule);
    of_rule.map(|(alert, over)| (alert["labels"]["finding"].as_str().unwrap().to_owned(), over)).collect()
}

#[test]
fn one_finding_over_which_it_stumbles_is_left_out_and_the_others_are_told_again() {
    let manager = Receiver::start();
    let story = story(&manager);
    let program = story.start();
    impersonated(&story, &program);
    recording_less(&story, &program);
    let first = until(&program, "not all are told", || {
        let mut ids: Vec<String> = taken(&manager, "D11", 0).into_iter().map(|(id, _)| id).collect();
        ids.sort();
        ids.dedup();
        (ids.len() == SWITCHES.len() && !taken(&manager, "D16", 0).is_empty()).then_some(ids)
    });
    manager.refuse(500, &first[0]);
    let before = manager.messages().len();
    let state = |program: &Program| -> Value { program.status()["receivers"]["am"].clone() };
    until(&program, "what it stumbles over is not left out", || (state(&program)["left_out"] == 1).then_some(()));
    until(&program, "the others are not told again", || {
        let again = taken(&manager, "D11", before);
        let times = |id: &String| again.iter().filter(|(of, over)| of == id && !over).count();
        let impersonated = taken(&manager, "D16", before).len();
        (times(&first[1]) >= 3 && times(&first[2]) >= 3 && impersonated >= 3).then_some(())
    });
    assert!(taken(&manager, "D11", before).iter().all(|(id, _)| *id != first[0]));
    assert_eq!(state(&program)["trouble"], "", "it takes all others");
    assert_eq!(program.terminate(), Some(0));
}

#[test]
fn what_stands_is_told_again_while_a_message_waits() {
    let manager = Receiver::start();
    let story = story(&manager);
    let program = story.start();
    impersonated(&story, &program);
    until(&program, "D16 is not told", || (!taken(&manager, "D16", 0).is_empty()).then_some(()));
    // Not now: nothing that is about the message.
    manager.refuse(429, "LOGGING_IMPAIRED");
    recording_less(&story, &program);
    let waits = |program: &Program| program.status()["receivers"]["am"]["trouble"] == "it answered 429";
    until(&program, "the message does not wait", || waits(&program).then_some(()));
    let before = manager.messages().len();
    until(&program, "what stands is not told again", || (taken(&manager, "D16", before).len() >= 5).then_some(()));
    assert!(waits(&program) && taken(&manager, "D16", before).iter().all(|(_, over)| !over));
    manager.refuse(429, "nothing that is ever said");
    until(&program, "what waited is lost", || (!taken(&manager, "D11", before).is_empty()).then_some(()));
    assert_eq!(program.terminate(), Some(0));
}
