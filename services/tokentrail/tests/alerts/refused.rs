//! A receiver that does not take what one message says: it hears of everything else, and that is told; a long message is several.

use crate::{Story, judged, receiver::Receiver, recorded::sample, told, until, webhook};

const SWITCHES: [&str; 3] = ["eventsEnabled", "adminEventsEnabled", "adminEventsDetailsEnabled"];

#[test]
fn what_a_receiver_refuses_keeps_it_from_nothing_else() {
    let hook = Receiver::start();
    // As one whose reader stumbles over one finding.
    hook.refuse(400, "IMPERSONATION");
    let story = Story::new(&webhook(&hook));
    let program = story.start();
    let off = story.recording_less(&SWITCHES);
    for file in [&sample("../keycloak/webhook.ndjson"), &off] {
        story.said(&program, &["import", "--source", "kc", file.to_str().unwrap()]);
        judged(&program);
    }
    until(&program, "D11 waits behind what is refused", || (told(&hook, "D11").len() == SWITCHES.len()).then_some(()));
    let state = until(&program, "the status does not say what is left out", || {
        let state = program.status()["receivers"]["hook"].clone();
        (state["left_out"].as_u64() > Some(0)).then_some(state)
    });
    assert_eq!((&state["refusal"], &state["trouble"]), (&"it refuses what it is told (status 400)".into(), &"".into()));
    let text = story.text(&program, &["status"]);
    assert!(text.contains("LEFT OUT") && !text.contains("TAKES NONE"), "{text}");
    let metrics = program.get_admin("/metrics").unwrap();
    assert!(metrics.contains("tokentrail_alert_findings_left_out{receiver=\"hook\"}"), "{metrics}");
    assert!(told(&hook, "D16").is_empty());

    // Its reader is mended: what was left out is told, under an id of its own.
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
