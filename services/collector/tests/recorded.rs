//! Recorded input through the whole intake: signatures check, bytes stay, lines are told apart and dated.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use events::{
    ids::{Position, StreamId},
    lines::{LineCounts, SenderGap},
    normalise::{Context, Ignored, Normalised, normalise},
    receipt::{Input, Payload, Receipt, TimeBasis},
};
use support::{app, lines, recorded, sample, send, webhook};

/// Recorded webhooks that carry something to redact: made-up names of failed logins.
const REDACTED: usize = 1;

/// What the recorded standard output holds, counted by another program.
const AUDIT_LINES: usize = 1136;
const ISSUING_LINES: usize = 16;
const KEPT_ACCESS_LINES: usize = 154 + 74 + 14;
const ACCESS_LINES: usize = 432;
const COMMITTED_LINES: usize = 62;
const JSON_LINES: usize = 220;
const REDACTION_LINES: usize = 1;
const TEXT_LINES: usize = 1;

#[tokio::test]
async fn every_recorded_webhook_verifies_and_keeps_its_bytes() {
    let (app, journal) = app();
    let mut changed = Vec::new();
    for name in ["keycloak/webhook.ndjson", "pair/keycloak-webhook.ndjson"] {
        for (signature, body) in recorded(name) {
            let (status, answer) = send(&app, webhook(&signature, body.clone())).await;
            assert_eq!(status, 200, "{answer}");
            let kept = journal.take();
            let [(header, bytes)] = kept.as_slice() else { panic!("one receipt per delivery") };
            let event: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!(header.payload, Payload::KeycloakWebhook);
            assert_eq!(header.native_id, event["id"].as_str().unwrap());
            assert!(!header.delivery_keyed, "told by its own id");
            if bytes != body.as_bytes() {
                changed.push((event, String::from_utf8(bytes.clone()).unwrap()));
            }
        }
    }
    assert_eq!(changed.len(), REDACTED, "{changed:#?}");
    for (event, kept) in changed {
        assert_eq!(event["error"], "user_not_found");
        let kept: serde_json::Value = serde_json::from_str(&kept).unwrap();
        assert!(kept["details"]["username"].as_str().unwrap().starts_with("redacted:"));
        assert_eq!(kept["id"], event["id"]);
    }
}

#[tokio::test]
async fn rest_exports_are_events_of_their_class_and_keep_their_bytes() {
    let (app, journal) = app();
    for (name, payload) in [
        ("pair/keycloak-events.json", Payload::KeycloakEvent),
        ("pair/keycloak-admin-events.json", Payload::KeycloakAdminEvent),
        ("keycloak/events.json", Payload::KeycloakEvent),
        ("keycloak/admin-events.json", Payload::KeycloakAdminEvent),
    ] {
        let text = sample(name);
        let events: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        let (status, answer) = send(&app, webhook(&support::sign(text.as_bytes()), text.clone())).await;
        assert_eq!(status, 200, "{answer}");
        let kept = journal.take();
        assert_eq!(kept.len(), events.len(), "{name}");
        for ((header, body), event) in kept.iter().zip(&events) {
            assert_eq!((header.payload, header.native_id.as_str()), (payload, event["id"].as_str().unwrap()), "{name}");
            if event["error"] != "user_not_found" {
                assert!(text.contains(std::str::from_utf8(body).unwrap()), "{name}");
            }
        }
    }
}

#[tokio::test]
async fn a_whole_standard_output_is_told_apart() {
    let (app, journal) = app();
    let framed = sample("pair/backstage-stdout.cri.log.gz");
    assert_eq!(send(&app, lines(framed.clone())).await.0, 200);
    let kept = journal.take();
    let (counts, receipts) = kept.split_last().unwrap();
    assert_eq!((counts.0.payload, counts.0.input), (Payload::LineCounts, Input::Collector));
    let of = |needle: &str| receipts.iter().filter(|(_, body)| String::from_utf8_lossy(body).contains(needle)).count();
    let counts: serde_json::Value = serde_json::from_slice(&counts.1).unwrap();
    let total: u64 = counts.as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
    assert_eq!(total as usize + receipts.len(), framed.lines().count());
    assert_eq!(
        counts,
        serde_json::json!({ "json": JSON_LINES, "text": TEXT_LINES, "access": ACCESS_LINES, "redaction_off": REDACTION_LINES })
    );
    assert_eq!(of("\"isAuditEvent\":true"), AUDIT_LINES);
    assert_eq!(of("\"Issuing token for"), ISSUING_LINES);
    assert_eq!(of("\"Committed "), COMMITTED_LINES);
    assert_eq!(receipts.len(), AUDIT_LINES + ISSUING_LINES + COMMITTED_LINES + KEPT_ACCESS_LINES);
    for (header, body) in receipts {
        let place = header.line.as_ref().unwrap();
        assert!(place.time_ns.is_some() && matches!(place.basis, TimeBasis::Shipper | TimeBasis::Line));
        let text = String::from_utf8_lossy(body);
        assert!(!text.contains("code=") || text.contains("code=redacted:"), "{text}");
    }
    assert_eq!(of("session_state="), of("session_state=redacted") + of("/api/auth/oidc/handler/frame"));
    assert_eq!(of("session_state=redacted"), 0);
}

/// The clock that Backstage roles follow: from the recorded standard output to events, byte for byte and dated.
#[tokio::test]
async fn syncs_of_the_catalog_are_kept_and_become_events() {
    let (app, journal) = app();
    let framed = sample("pair/backstage-stdout.cri.log.gz");
    assert_eq!(send(&app, lines(framed.clone())).await.0, 200);
    let committed: Vec<&str> = framed.lines().filter(|line| line.contains("\"message\":\"Committed ")).collect();
    let context = Context { key: support::key() };
    let mut synced = Vec::new();
    for (header, body) in journal.take() {
        let position = Position { stream: StreamId([1; 16]), seq: synced.len() as u64 };
        let text = String::from_utf8(body.clone()).unwrap();
        let Normalised::Events(events) = normalise(&Receipt { position, header, body }, &context) else { continue };
        synced.extend(
            events.into_iter().filter(|event| event.kind == "catalog_synced").map(|event| (event, text.clone())),
        );
    }
    assert_eq!((synced.len(), committed.len()), (COMMITTED_LINES, COMMITTED_LINES));
    for ((event, kept), line) in synced.iter().zip(committed) {
        let (time, recorded) = line.split_once(" stdout F ").unwrap();
        assert_eq!(kept, recorded);
        assert_eq!(event.time, time.parse::<jiff::Timestamp>().unwrap().as_millisecond());
        assert!(recorded.contains(&format!(
            "Committed {} Keycloak users and {} ",
            event.details["users"], event.details["groups"]
        )));
    }

    // The same words of anybody else are no sync.
    let other = r#"{"class":"Other","level":"info","message":"Committed 6 Keycloak users and 6 Keycloak groups in 0.0 seconds."}"#;
    assert_eq!(send(&app, lines(other)).await.0, 200);
    assert_eq!(journal.take()[0].0.payload, Payload::LineCounts);
}

#[tokio::test]
async fn the_same_lines_in_every_form_are_the_same_receipts() {
    let (app, journal) = app();
    let framed = sample("pair/backstage-stdout.cri.log.gz");
    let plain: Vec<(&str, &str)> =
        framed.lines().map(|line| (line.split(' ').next().unwrap(), line.splitn(4, ' ').nth(3).unwrap())).collect();
    let nanoseconds = |time: &str| time.parse::<jiff::Timestamp>().unwrap().as_nanosecond().to_string();
    let json = |value: serde_json::Value| value.to_string();
    let vector = |(time, line): &(&str, &str)| {
        json(
            serde_json::json!({ "message": line, "timestamp": time, "host": "h", "kubernetes": { "pod_name": "p-1" } }),
        )
    };
    let fluent = |(time, line): &(&str, &str)| json(serde_json::json!({ "date": time, "log": format!("{line}\n") }));
    let docker = |(time, line): &(&str, &str)| {
        json(serde_json::json!({ "log": format!("{line}\n"), "stream": "stdout", "time": time }))
    };
    let loki: Vec<_> = plain.iter().map(|(time, line)| [nanoseconds(time), (*line).to_owned()]).collect();
    let forms = [
        framed.clone(),
        plain.iter().map(vector).collect::<Vec<_>>().join("\n"),
        format!("[{}]", plain.iter().map(vector).collect::<Vec<_>>().join(",")),
        plain.iter().map(fluent).collect::<Vec<_>>().join("\n"),
        plain.iter().map(docker).collect::<Vec<_>>().join("\r\n"),
        json(serde_json::json!({ "streams": [{ "stream": { "pod": "p-1" }, "values": loki }] })),
    ];
    let mut first = None;
    for (n, form) in forms.into_iter().enumerate() {
        assert_eq!(send(&app, lines(form)).await.0, 200);
        let kept: Vec<_> = journal
            .take()
            .into_iter()
            .map(|(header, body)| {
                // The mark of what is counted holds the instance, which not every form names.
                let line = header.line.filter(|_| header.payload == Payload::BackstageLine);
                (line.map(|line| (line.number, line.time_ns, line.mark)), header.payload, body)
            })
            .collect();
        match &first {
            None => first = Some(kept),
            Some(first) => assert!(*first == kept, "form {n}"),
        }
    }
}

/// A repeat of a delivery is told by its counted lines and the times at which they were read; without times, it is not.
#[tokio::test]
async fn counts_of_a_repeated_delivery_are_known_again() {
    let (app, journal) = app();
    let framed = sample("pair/backstage-stdout.cri.log.gz");
    let plain: String = framed.lines().map(|line| line.splitn(4, ' ').nth(3).unwrap().to_owned() + "\n").collect();
    let one_later = framed.replacen("24:51.255972", "24:51.255973", 1);
    assert_ne!(one_later, framed);
    let mut told = Vec::new();
    for text in [&framed, &framed, &one_later, &plain, &plain] {
        assert_eq!(send(&app, lines(text.clone())).await.0, 200);
        let (header, body) = journal.take().pop().unwrap();
        assert_eq!(header.payload, Payload::LineCounts);
        told.push((LineCounts::delivery(&header), LineCounts::from_bytes(&body).unwrap()));
    }
    assert_eq!(told[0], told[1]);
    assert_eq!(told[0].1, told[2].1);
    assert_ne!(told[0].0, told[2].0, "the same counts at another time are another delivery");
    assert_ne!(told[3].0, told[4].0);
}

/// What `tokentrail send` could not keep is a receipt of its own; nothing that an application writes can pass for it.
#[tokio::test]
async fn dropped_lines_of_the_sender_are_a_gap_and_cannot_be_forged_in_a_line() {
    let (app, journal) = app();
    let told = r#"2026-11-23T21:24:51.251713Z tokentrail-send F {"since":1795469091000,"until":1795469092000,"dropped_lines":7}"#;
    let request = axum::http::Request::post("/v1/backstage/portal")
        .header("authorization", format!("Bearer {}", support::TOKEN))
        .header("idempotency-key", "send-00112233445566778899aabbccddeeff")
        .header("x-tokentrail-instance", "b1");
    assert_eq!(send(&app, request.body(told.into()).unwrap()).await.0, 200);
    let kept = journal.take();
    let [(header, body)] = kept.as_slice() else { panic!("{kept:?}") };
    assert_eq!((header.payload, header.input), (Payload::SenderGap, Input::Collector));
    let gap: SenderGap = serde_json::from_slice(body).unwrap();
    let expected = SenderGap {
        source: "portal".into(),
        instance: "b1".into(),
        since: 1_795_469_091_000,
        until: 1_795_469_092_000,
        dropped_lines: Some(7),
    };
    assert_eq!(gap, expected);
    let receipt = Receipt {
        position: Position { stream: StreamId([1; 16]), seq: 0 },
        header: header.clone(),
        body: body.clone(),
    };
    assert_eq!(normalise(&receipt, &Context { key: support::key() }), Normalised::Ignored(Ignored::Bookkeeping));

    let inside = format!("2026-11-23T21:24:51.251713Z stdout F {told}");
    let enveloped = serde_json::json!({ "message": told, "timestamp": "2026-11-23T21:24:51Z" }).to_string();
    let odd = told.replace("since", "from");
    // Of a shipper that posts lines without a frame, any application's line stands where the sender's own would.
    for forged in [inside, enveloped, odd, told.to_owned()] {
        assert_eq!(send(&app, lines(forged.clone())).await.0, 200);
        let kept = journal.take();
        assert!(kept.iter().all(|(header, _)| header.payload == Payload::LineCounts), "{forged}: {kept:?}");
    }
}

#[tokio::test]
async fn decisions_without_shipper_time_take_that_of_their_access_line() {
    let (app, journal) = app();
    let framed = sample("pair/backstage-stdout.cri.log.gz");
    let plain: Vec<&str> = framed.lines().map(|line| line.splitn(4, ' ').nth(3).unwrap()).collect();
    assert_eq!(send(&app, lines(plain.join("\n"))).await.0, 200);
    let (mut dated, mut all) = (0, 0);
    for (header, body) in journal.take() {
        let text = String::from_utf8_lossy(&body);
        if !text.contains("permission-evaluation") || text.contains("\"status\":\"initiated\"") {
            continue;
        }
        all += 1;
        let place = header.line.unwrap();
        if place.basis != TimeBasis::NeighbourLine {
            assert_eq!((place.basis, place.time_ns), (TimeBasis::Receipt, None));
            continue;
        }
        dated += 1;
        let read: jiff::Timestamp =
            framed.lines().nth(place.number as usize).unwrap().split(' ').next().unwrap().parse().unwrap();
        let off = (read.as_nanosecond() - i128::from(place.time_ns.unwrap())).abs();
        assert!(off < 2_000_000_000, "line {} is {off} ns off", place.number);
    }
    assert!(dated * 10 > all * 8, "{dated} of {all}");
}

#[tokio::test]
async fn equal_decisions_of_one_millisecond_are_not_taken_for_one() {
    let (app, journal) = app();
    let line = r#"{"timestamp":"2026-11-23T21:24:51.255Z","isAuditEvent":true,"eventId":"permission-evaluation","plugin":"permission","status":"succeeded","actor":{"actorId":"plugin:permission"},"meta":{"result":"ALLOW","permissionName":"p","action":"read","userEntityRef":"user:default/ann"}}"#;
    let mut marks = Vec::new();
    for _ in 0..2 {
        assert_eq!(send(&app, lines(format!("{line}\n{line}\n"))).await.0, 200);
        marks.push(journal.take().into_iter().map(|(header, _)| header.line.unwrap().mark).collect::<Vec<_>>());
    }
    assert_ne!(marks[0][0], marks[0][1], "two decisions");
    assert_eq!(marks[0], marks[1], "and the same two when the delivery is repeated");
}

#[tokio::test]
async fn development_text_is_counted_and_other_samples_are_read() {
    let (app, journal) = app();
    assert_eq!(send(&app, lines(sample("backstage/audit-dev-text.log"))).await.0, 200);
    let kept = journal.take();
    assert_eq!(kept.len(), 1);
    assert!(String::from_utf8_lossy(&kept[0].1).contains("dev_text"));
    for (name, basis) in [
        ("backstage/audit-custom-auditor.ndjson", TimeBasis::Line),
        ("backstage/audit-decisions-wrapper.ndjson", TimeBasis::Line),
        ("backstage/audit-events.ndjson", TimeBasis::Receipt),
    ] {
        let text = sample(name);
        assert_eq!(send(&app, lines(text.clone())).await.0, 200);
        let kept = journal.take();
        assert_eq!(kept.len(), text.lines().count(), "{name}");
        assert!(kept.iter().all(|(header, _)| header.line.as_ref().unwrap().basis == basis), "{name}");
    }
}

/// A line that is no UTF-8 is lost alone, and those around it keep their places.
#[tokio::test]
async fn a_delivery_in_which_a_line_is_no_text() {
    let (app, journal) = app();
    let text = sample("backstage/audit-events.ndjson");
    let at = text.find('\n').unwrap() + 1;
    let at = at + text[at..].find("\"plugin\":\"").unwrap() + "\"plugin\":\"".len();
    let mut body = text.clone().into_bytes();
    body[at] = 0xff;
    let (status, answer) = send(&app, lines(body)).await;
    assert!(status == 200 && answer.contains("\"dead\":1"), "{answer}");
    let kept = journal.take();
    assert_eq!(kept.len(), text.lines().count());
    for (number, (header, body)) in kept.iter().enumerate() {
        if number == 1 {
            assert_eq!(header.payload, Payload::Unparsable);
            assert!(!String::from_utf8_lossy(body).contains("isAuditEvent"), "length and mark alone");
        } else {
            assert_eq!(header.payload, Payload::BackstageLine, "{number}");
            assert_eq!(header.line.as_ref().unwrap().number as usize, number);
        }
    }
}

#[tokio::test]
async fn a_heartbeats_line_keeps_its_path_and_is_known_by_its_nonce() {
    let (app, journal) = app();
    let line = |url: &str| {
        serde_json::json!({"date": "2026-11-23T18:15:55.665Z", "level": "info", "method": "GET", "service": "rootHttpRouter", "status": 404,
            "type": "incomingRequest", "url": url, "message": format!("\"GET {url} HTTP/1.1\" 404")})
        .to_string()
    };
    let nonce = "01234567-89ab-4def-8123-456789abcdef";
    let url = format!("{}{nonce}", events::record::HEARTBEAT_PATH);
    let body = [line(&url), line("/api/tokentrail/heartbeat/another-page")].join("\n");
    let (status, answer) = send(&app, lines(body)).await;
    assert_eq!(status, 200, "{answer}");
    let kept = journal.take();
    let [(header, bytes), (counts, _)] = kept.as_slice() else { panic!("{kept:?}") };
    assert_eq!((header.native_id.as_str(), counts.payload), (nonce, Payload::LineCounts));
    let kept: serde_json::Value = serde_json::from_slice(bytes).unwrap();
    assert_eq!(kept["url"], url.as_str());
}
