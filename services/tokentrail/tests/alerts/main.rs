//! The recorded story of a Keycloak and a Backstage: the disabled person who goes on is found once, told once to real receivers, and
//! nobody else; through kills, a receiver that is away, and a past that changes.
#![allow(clippy::unwrap_used)] // a test may panic

mod again;
mod alertmanager;
mod closed;
mod colliding;
mod escalated;
mod orphaned;
mod rebuilt;
#[path = "../support/receiver.rs"]
mod receiver;
#[path = "../support/recorded.rs"]
mod recorded;
mod refused;
#[path = "../support/mod.rs"]
mod support;
mod suppressions;
mod withheld;

use receiver::Receiver;
use recorded::{CONFIG, backstage_log, sample};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Output,
    time::{Duration, Instant},
};
use support::{Program, command};

/// Longest wait on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(300);
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

struct Story {
    dir: tempfile::TempDir,
}

impl Story {
    fn new(receivers: &str) -> Self {
        Self::of(CONFIG, receivers)
    }

    /// With sources as the recording had them, or not quite.
    fn of(sources: &str, receivers: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        backstage_log(dir.path());
        let config = format!(
            r#"{sources}[alerts]
link = "https://tokentrail.example/findings/{{finding}}"
group_seconds = 1
repeat_seconds = 1
{receivers}
"#
        );
        std::fs::write(dir.path().join("config.toml"), config).unwrap();
        std::fs::create_dir_all(dir.path().join("data/secrets")).unwrap();
        std::fs::write(dir.path().join("data/secrets/hook.whsec"), SECRET).unwrap();
        Self { dir }
    }

    fn settings(&self) -> String {
        self.dir.path().join("config.toml").to_str().unwrap().to_owned()
    }

    fn start(&self) -> Program {
        Program::start(&self.dir.path().join("data"), &[("TOKENTRAIL_CONFIG", &self.settings())])
    }

    fn cli(&self, program: &Program, args: &[&str]) -> Output {
        command(&program.data).env("TOKENTRAIL_CONFIG", self.settings()).args(args).output().unwrap()
    }

    fn said(&self, program: &Program, args: &[&str]) -> Vec<u8> {
        let output = self.cli(program, args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    fn json(&self, program: &Program, args: &[&str]) -> Value {
        serde_json::from_slice(&self.said(program, &[args, &["--format", "json"]].concat())).unwrap()
    }

    fn text(&self, program: &Program, args: &[&str]) -> String {
        String::from_utf8(self.said(program, args)).unwrap()
    }

    /// The recorded change of what a realm records, a second later and with switches off, as a file to import.
    fn recording_less(&self, switches: &[&str]) -> PathBuf {
        let text = std::fs::read_to_string(sample("../keycloak/webhook.ndjson")).unwrap();
        let config = text.lines().rfind(|line| line.contains("events/config")).unwrap();
        let mut line: Value = serde_json::from_str(config).unwrap();
        let mut body: Value = serde_json::from_str(line["body"].as_str().unwrap()).unwrap();
        body["id"] = "11111111-2222-4333-8444-555555555555".into();
        body["time"] = (body["time"].as_i64().unwrap() + 1_000).into();
        let mut said = body["representation"].as_str().unwrap().to_owned();
        for switch in switches {
            let off = said.replace(&format!("\"{switch}\":true"), &format!("\"{switch}\":false"));
            assert_ne!(off, said, "{switch} was on");
            said = off;
        }
        body["representation"] = said.into();
        line["body"] = body.to_string().into();
        let file = self.dir.path().join("off.ndjson");
        std::fs::write(&file, line.to_string() + "\n").unwrap();
        file
    }

    fn play(&self, program: &Program) {
        self.play_with(program, &sample("keycloak-webhook.ndjson"));
    }

    /// The story with these events of Keycloak.
    fn play_with(&self, program: &Program, keycloak: &Path) {
        let import = |source, file: &Path| {
            self.said(program, &["import", "--source", source, file.to_str().unwrap()]);
        };
        import("kc", keycloak);
        import("bs", &sample("backstage-catalog-history.ndjson"));
        let log = self.dir.path().join("backstage.log");
        self.said(program, &["send", "--source", "bs", "--instance", "b1", log.to_str().unwrap()]);
    }
}

/// Waits until `condition` answers something.
fn until<T>(program: &Program, what: &str, condition: impl Fn() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{what}; status: {}; log: {}", program.status(), program.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What `hook` took is kept as taken: a kill before that tells it once more.
fn kept_as_told(program: &Program) {
    until(program, "it is not kept as told", || {
        let open = "SELECT countIf(body != '') AS open FROM alert_message_rows FINAL WHERE receiver = 'hook'";
        (program.sql(open)[0]["open"] == 0).then_some(())
    });
}

/// Everything is stored, correlated and judged: a round that began after that has ended.
fn judged(program: &Program) {
    program.drained();
    until(program, "the correlation lags", || {
        let status = program.status();
        (status["correlation"]["phase"] == "following" && status["correlation"]["lag"] == 0).then_some(())
    });
}

/// What a webhook receiver was told of a rule and took: (webhook-id, notice).
fn told(receiver: &Receiver, rule: &str) -> Vec<(String, Value)> {
    let taken = receiver.messages().into_iter().filter(|message| message.answered == 200);
    let notices = taken.flat_map(|message| {
        let id = message.header("webhook-id").to_owned();
        let notices = message.json()["data"]["findings"].as_array().unwrap().clone();
        notices.into_iter().map(move |notice| (id.clone(), notice))
    });
    notices.filter(|(_, notice)| notice["rule"] == rule).collect()
}

fn webhook(receiver: &Receiver) -> String {
    format!(
        "[alerts.receivers.hook]\nkind = \"webhook\"\nurl = \"http://{}/alerts\"\nsecret_file = \"secrets/hook.whsec\"\nleast = \"low\"\n",
        receiver.address
    )
}

#[test]
fn the_disabled_person_who_goes_on_is_told_once_and_nobody_else() {
    let (hook, manager, slack) = (Receiver::start(), Receiver::start(), Receiver::start());
    let receivers = webhook(&hook)
        + &format!("[alerts.receivers.am]\nkind = \"alertmanager\"\nurl = \"http://{}\"\n", manager.address)
        + &format!(
            "[alerts.receivers.chat]\nkind = \"slack\"\nurl = \"http://{}/services/x\"\nnames = true\n",
            slack.address
        );
    let story = Story::new(&receivers);
    let program = story.start();
    story.play(&program);
    judged(&program);
    let (id, notice) = until(&program, "D02 is not told", || told(&hook, "D02").pop());
    assert_eq!(notice["status"], "firing");
    assert_eq!(notice["values"]["active_seconds"].as_f64().unwrap().floor(), 583.0, "{notice}");
    assert_eq!(notice["values"]["how"], "disabled");
    assert_eq!(notice["severity"], "medium", "within the life of the token");
    assert!(notice["evidence"].as_array().unwrap().len() > 5 && notice["receipts"].as_array().unwrap().len() > 5);
    assert!(notice["link"].as_str().unwrap().contains(notice["finding"].as_str().unwrap()));

    // Signed as the standard says, and without a name.
    let message = hook.messages().into_iter().find(|message| message.header("webhook-id") == id).unwrap();
    let secret = alerts::Secret::read(SECRET).unwrap();
    let seconds = message.header("webhook-timestamp").parse().unwrap();
    assert_eq!(message.header("webhook-signature"), alerts::signature(&secret, (&id, seconds), &message.body));
    assert!(!String::from_utf8_lossy(&message.body).contains("finn"), "a name without leave");
    let chat = until(&program, "the chat is not told", || slack.messages().pop());
    assert!(chat.json()["text"].as_str().unwrap().contains("finn"), "this receiver is told names");
    // Once told, the store keeps that it was told, and no longer what it said.
    until(&program, "what was told is kept", || {
        let kept =
            "SELECT count() AS n, countIf(body != '') AS said FROM alert_message_rows FINAL WHERE receiver = 'chat'";
        let row = program.sql(kept).pop()?;
        (row["n"].as_u64() > Some(0) && row["said"] == 0).then_some(())
    });

    // Once in the register, with history and evidence; the truth says of nobody else that they were put out and went on.
    let found = story.json(&program, &["findings", "list", "--all", "--rule", "D02"]);
    assert_eq!(found.as_array().unwrap().len(), 1, "{found}");
    let finding = notice["finding"].as_str().unwrap();
    let shown = story.text(&program, &["findings", "show", &finding[..8]]);
    assert!(shown.contains("finn") && shown.contains("opened by rules") && shown.contains("583."), "{shown}");
    for (rule, states) in [("D01", "OK"), ("D02", "EXCEPTION"), ("D12", "NOT EVALUABLE")] {
        let listed = story.json(&program, &["rules", "list"]);
        let one = listed.as_array().unwrap().iter().find(|one| one["rule"] == rule).unwrap().clone();
        assert_eq!(one["state"], states, "{one}");
    }
    // The same from the past, without writing.
    let tested =
        story.json(&program, &["rules", "test", "--from", "2026-11-23T00:00:00Z", "--to", "2026-11-24T00:00:00Z"]);
    let of = |rule: &str| tested["rules"].as_array().unwrap().iter().find(|one| one["rule"] == rule).unwrap().clone();
    assert_eq!(of("D02")["found"].as_array().unwrap().len(), 1);
    assert!(of("D02")["per_1000_users_and_week"].as_f64().unwrap() > 0.0);
    assert_eq!(of("D01")["found"].as_array().unwrap().len(), 0);
    let longest = |clock: &str| of("D01")["values"][clock]["longest_seconds"].as_f64().unwrap();
    assert!((6.0..7.0).contains(&longest("exposure_catalog").min(6.5)) && longest("exposure_token") > 583.0);

    // Alertmanager is told again and again while it stands.
    let of_d02 = |one: &receiver::Message| one.alerts().into_iter().find(|(alert, _)| alert["labels"]["rule"] == "D02");
    until(&program, "Alertmanager is not told again", || {
        (manager.messages().iter().filter_map(of_d02).count() >= 3).then_some(())
    });
    assert!(manager.messages().iter().filter_map(of_d02).all(|(_, over)| !over));

    // People: acknowledged changes nothing for receivers, closed resolves.
    story.said(&program, &["findings", "ack", finding, "--by", "ana", "--reason", "calling the manager"]);
    story.said(&program, &["findings", "close", finding, "--by", "ana", "--reason", "token ended"]);
    let resolved = || told(&hook, "D02").into_iter().find(|(_, notice)| notice["status"] == "resolved");
    until(&program, "the end is not told", resolved);
    until(&program, "Alertmanager is not told the end", || {
        manager.messages().iter().filter_map(of_d02).find(|(_, over)| *over)
    });
    let metrics = program.get_admin("/metrics").unwrap();
    assert!(metrics.contains("tokentrail_alert_messages_delivered_total{receiver=\"hook\"}"), "{metrics}");
    assert!(metrics.contains("tokentrail_rule_state{rule=\"D12\",state=\"not_evaluable\"} 1"), "{metrics}");
    kept_as_told(&program);
    let told_before = told(&hook, "D02").len();

    // Killed and started again: the same register, and nothing is told twice.
    program.kill();
    let program = story.start();
    judged(&program);
    until(&program, "no round after the start", || {
        program.get_admin("/metrics")?.contains("tokentrail_rule_state{rule=\"D02\"").then_some(())
    });
    let again = story.json(&program, &["findings", "list", "--all", "--rule", "D02"]);
    assert_eq!((again.as_array().unwrap().len(), &again[0]["state"]), (1, &"CLOSED".into()), "{again}");
    assert_eq!(told(&hook, "D02").len(), told_before);
    let history = story.json(&program, &["findings", "show", finding]);
    let what: Vec<&str> =
        history["history"].as_array().unwrap().iter().map(|one| one["what"].as_str().unwrap()).collect();
    assert_eq!(what, ["opened", "acknowledged", "closed"]);
    let tried = story.json(&program, &["alerts", "test"]);
    assert!(tried.as_array().unwrap().iter().all(|one| one["trouble"].is_null()), "{tried}");
    rebuilt::what_people_did(&story, program, &again[0]);
}

#[test]
fn a_receiver_that_is_away_is_told_after_a_kill_under_the_same_id_and_late_events_withdraw() {
    let hook = Receiver::start();
    hook.answer(503);
    let story = Story::new(&webhook(&hook));
    let program = story.start();
    story.play(&program);
    judged(&program);
    let first = until(&program, "no attempt", || hook.messages().first().cloned());
    until(&program, "the status does not say so", || {
        let trouble = program.status()["receivers"]["hook"]["trouble"].clone();
        (trouble == "it answered 503").then_some(())
    });
    assert!(story.text(&program, &["status"]).contains("TAKES NONE"));
    // A redirect is no success, wherever it points.
    hook.answer(302);
    until(&program, "the redirect was followed or taken", || {
        program.status()["receivers"]["hook"]["trouble"].as_str()?.contains("redirects").then_some(())
    });
    program.kill();
    hook.answer(200);
    let program = story.start();
    until(&program, "not delivered after the kill", || (!told(&hook, "D02").is_empty()).then_some(()));
    let taken = hook.messages().into_iter().filter(|message| message.answered == 200);
    let same: Vec<_> = taken.filter(|message| message.header("webhook-id") == first.header("webhook-id")).collect();
    assert_eq!(same.len(), 1, "the first message comes under its first id");
    assert_eq!(same[0].body, first.body);
    assert_eq!(told(&hook, "D02").len(), 1, "a burst and a restart are one message for each finding");

    // The disabling turns out to be none: withdrawn with its reason, and told.
    program.sql(
        "INSERT INTO event_rows SELECT * REPLACE (version + 1 AS version, 1 AS is_deleted) FROM event_rows FINAL \
         WHERE kind = 'user_updated' AND details['enabled'] = 'false'",
    );
    program.sql("INSERT INTO past_change_rows VALUES ('default', now64(3), generateUUIDv4())");
    until(&program, "not withdrawn", || {
        let found = story.json(&program, &["findings", "list", "--all", "--rule", "D02"]);
        (found[0]["state"] == "WITHDRAWN").then_some(())
    });
    until(&program, "the withdrawal is not told", || {
        told(&hook, "D02").into_iter().find(|(_, notice)| notice["state"] == "WITHDRAWN")
    });
    assert_eq!(program.terminate(), Some(0));
}

#[test]
fn a_realm_that_records_less_and_an_impersonation_are_told_from_a_recorded_keycloak() {
    let hook = Receiver::start();
    let story = Story::new(&webhook(&hook));
    let program = story.start();
    let recorded = sample("../keycloak/webhook.ndjson");
    let changed = story.recording_less(&["adminEventsEnabled"]);
    suppressions::before(&story, &program);
    // Late by an hour of arrival, the wrong way round: the same finding.
    for file in [&changed, &recorded] {
        story.said(&program, &["import", "--source", "kc", file.to_str().unwrap()]);
        judged(&program);
    }
    let notice = |rule| until(&program, rule, || told(&hook, rule).pop()).1;
    let impersonated = notice("D16");
    suppressions::of_a_source(&story, &program, &hook);
    suppressions::of_a_person(&story, &program, (&hook, &impersonated));
    let off = notice("D11");
    assert_eq!((&off["severity"], &off["values"]["off"]), (&"critical".into(), &"admin_events_enabled".into()));
    assert_eq!(off["evidence"].as_array().unwrap().len(), 1);
    assert!(!impersonated["subject"].as_str().unwrap().is_empty());
    let listed = story.json(&program, &["rules", "list"]);
    let state =
        |rule: &str| listed.as_array().unwrap().iter().find(|one| one["rule"] == rule).unwrap()["state"].clone();
    assert_eq!((state("D11"), state("D01")), ("EXCEPTION".into(), "NOT EVALUABLE".into()), "no Backstage: not green");
    assert_eq!(program.terminate(), Some(0));
}
