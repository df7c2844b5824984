//! A receiver that does not take what one message says: it hears of everything else, and that is told; a long message is several.

use crate::{
    Story, judged, kept_as_told, receiver::Receiver, recorded::sample, support::Program, told, until, webhook,
};
use serde_json::Value;
use std::{collections::BTreeSet, path::Path};

const SWITCHES: [&str; 3] = ["eventsEnabled", "adminEventsEnabled", "adminEventsDetailsEnabled"];

/// A program that has found D16 and, of each switch, D11.
fn found(hook: &Receiver) -> (Story, Program) {
    let story = Story::new(&webhook(hook));
    let program = story.start();
    let import = |file: &Path| story.said(&program, &["import", "--source", "kc", file.to_str().unwrap()]);
    import(&sample("../keycloak/webhook.ndjson"));
    // Of D16 alone: in one message with the others it would be the last of them, with nothing else left to be told.
    let tried = || hook.messages().iter().any(|one| one.json().to_string().contains("IMPERSONATION"));
    until(&program, "D16 is not told", || tried().then_some(()));
    import(&story.recording_less(&SWITCHES));
    judged(&program);
    (story, program)
}

/// How the receiver stands once something is left out.
fn left_out(program: &Program) -> Value {
    until(program, "the status does not say what is left out", || {
        let state = program.status()["receivers"]["hook"].clone();
        (state["left_out"].as_u64() > Some(0)).then_some(state)
    })
}

fn hears_of_all_switches(hook: &Receiver) -> bool {
    let told: BTreeSet<String> = told(hook, "D11").iter().map(|(_, one)| one["finding"].to_string()).collect();
    told.len() == SWITCHES.len()
}

#[test]
fn what_a_receiver_refuses_keeps_it_from_nothing_else() {
    let hook = Receiver::start();
    // As one whose reader stumbles over one finding.
    hook.refuse(400, "IMPERSONATION");
    let (story, program) = found(&hook);
    until(&program, "D11 waits behind what is refused", || (told(&hook, "D11").len() == SWITCHES.len()).then_some(()));
    let state = left_out(&program);
    assert_eq!((&state["refusal"], &state["trouble"]), (&"it refuses what it is told (status 400)".into(), &"".into()));
    let text = story.text(&program, &["status"]);
    assert!(text.contains("LEFT OUT") && !text.contains("TAKES NONE"), "{text}");
    let metrics = program.get_admin("/metrics").unwrap();
    assert!(metrics.contains("tokentrail_alert_findings_left_out{receiver=\"hook\"}"), "{metrics}");
    assert!(told(&hook, "D16").is_empty());

    // Its reader is mended: what was left out is told, under an id of its own.
    kept_as_told(&program);
    program.kill();
    hook.refuse(400, "nothing that is ever said");
    let program = story.start();
    let notice = until(&program, "what was refused is lost", || told(&hook, "D16").pop());
    assert_eq!(notice.1["status"], "firing");
    until(&program, "the status still says so", || {
        (program.status()["receivers"]["hook"]["left_out"] == 0).then_some(())
    });
    assert_eq!(told(&hook, "D11").len(), SWITCHES.len(), "each is told once");
    assert_eq!(program.terminate(), Some(0));
}

#[test]
fn a_message_over_which_a_receiver_stumbles_holds_nothing_up() {
    let hook = Receiver::start();
    // As one that has a fault of its own in reading one finding.
    hook.refuse(500, "IMPERSONATION");
    let (story, program) = found(&hook);
    until(&program, "D11 waits behind what it stumbles over", || hears_of_all_switches(&hook).then_some(()));
    let state = left_out(&program);
    assert_eq!(state["trouble"], "", "{state}");
    assert!(state["refusal"].as_str().unwrap().starts_with("it answered 500"), "{state}");
    assert!(told(&hook, "D16").is_empty());
    program.kill();
    hook.refuse(500, "nothing that is ever said");
    let program = story.start();
    until(&program, "what it stumbled over is lost", || told(&hook, "D16").pop());
    assert_eq!(program.terminate(), Some(0));
}

#[test]
fn a_receiver_that_answers_everything_with_errors_is_away_and_is_told_everything() {
    let hook = Receiver::start();
    hook.answer(500);
    let (_story, program) = found(&hook);
    // The first one again and again, and something else between.
    let ids = || hook.messages().iter().map(|one| one.header("webhook-id").to_owned()).collect::<Vec<_>>();
    let first = until(&program, "nothing is tried", || ids().first().cloned());
    until(&program, "nothing else is tried", || ids().iter().any(|id| *id != first).then_some(()));
    let all = ids();
    assert!(all[..5].iter().all(|id| *id == first), "{all:?}");
    let state = program.status()["receivers"]["hook"].clone();
    assert_eq!((&state["trouble"], &state["left_out"]), (&"it answered 500".into(), &0.into()), "{state}");
    hook.answer(200);
    until(&program, "something is lost", || {
        (hears_of_all_switches(&hook) && !told(&hook, "D16").is_empty()).then_some(())
    });
    let taken = hook.messages().into_iter().filter(|message| message.answered == 200);
    assert!(taken.into_iter().any(|message| message.header("webhook-id") == first), "under the id that it had");
    assert_eq!(program.terminate(), Some(0));
}
