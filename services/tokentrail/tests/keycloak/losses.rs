//! Losses and acts at a real Keycloak, one after the other on one server.

use crate::{
    receiver::Receiver,
    told::{Cli, now, told},
    way::Way,
};
use reqwest::Method;
use serde_json::{Value, json};
use testbed::{
    Keycloak,
    keycloak::{OidcClient, client_credentials},
};

/// Tries until a swallowed delivery does not lie in a gap by chance: on a busy machine a heartbeat can be late.
const TRIES: usize = 10;

/// Deliveries are dropped on purpose, no heartbeat among them, and pull brings the events: D12 fires, R11 has them as lost and
/// repaired, and the verdict stays COMPLETE.
pub async fn dropped_on_purpose(keycloak: &Keycloak, cli: &Cli<'_>, (way, hook): (&Way, &Receiver)) {
    let since = cli.program.sql("SELECT toString(min(sent_at)) AS at FROM heartbeats WHERE notEmpty(seen)");
    let since = format!("{}Z", since[0]["at"].as_str().unwrap().replace(' ', "T"));
    let erin = keycloak.admin().user_id("acme", "erin").await.unwrap();
    // Its row is there a moment before its steps; a round between the two deliveries counts the first alone.
    let lost = |one: &Value| {
        let both = one["values"]["missing"].as_u64() >= Some(2);
        one["values"]["cause"] == "deliveries_lost" && one["state"] == "ENDED" && both
    };
    let mut tries = 0;
    let finding = loop {
        tries += 1;
        assert!(tries <= TRIES, "nothing dropped was told: {:?}", cli.findings("D12"));
        let before = way.swallowed();
        way.swallow(Some(&erin));
        keycloak.browser("acme", OidcClient::named("portal")).sign_in("erin", "erin-pw").await.unwrap();
        cli.until("both deliveries of the login", || (way.swallowed() >= before + 2).then_some(()));
        way.swallow(None);
        let at = cli.program.sql("SELECT toUnixTimestamp64Milli(now64(3)) AS at")[0]["at"].as_i64().unwrap();
        // Told as lost; or a heartbeat is so far behind it that it would be, and a gap around it tells it.
        let behind = "SELECT toUnixTimestamp64Milli(max(watermark)) AS at FROM watermarks WHERE input = 'webhook'";
        let told = cli.until("neither told nor in a gap", || match cli.findings("D12").into_iter().find(lost) {
            Some(found) => Some(Some(found)),
            None => (cli.program.sql(behind)[0]["at"].as_i64() > Some(at + 30_000)).then_some(None),
        });
        if let Some(found) = told {
            break found;
        }
    };
    println!("told of what was dropped at try {tries}");
    let values = &finding["values"];
    assert_eq!(values["what"], "lost by webhook, repaired by pull");
    assert_eq!(finding["severity"], "low");
    // It was over before anybody could be told: told all the same, once.
    cli.until("nobody was told", || (!told(hook, &finding).is_empty()).then_some(()));
    assert_eq!(told(hook, &finding)[0]["status"], "passed");

    let to = now();
    let period = ["--from", since.as_str(), "--to", to.as_str()];
    let sheet = cli.state("R11", &period, "COMPLETE");
    assert!(sheet["completeness"]["facts"]["gaps"].to_string().contains("deliveries_lost"), "{sheet}");
    let rows = cli.rows("R11", &period);
    let sum = |column: &str| rows.iter().map(|row| row[column].as_u64().unwrap_or_default()).sum::<u64>();
    assert!(sum("lost_by_webhook") >= 2 && sum("lost_by_webhook") == sum("healed_by_pull"), "{rows:?}");
    let gaps = rows.iter().map(|row| row["gaps"].to_string()).collect::<String>();
    assert!(gaps.contains("deliveries_lost") && gaps.contains("repaired by pull"), "{gaps}");
    assert_eq!(told(hook, &finding).len(), 1);
}

/// Before anything is lost: snapshots, with what events tell between them, and who holds what is proven behind them.
pub async fn proven_so_far(keycloak: &Keycloak, cli: &Cli<'_>) {
    cli.snapshot();
    let admin = keycloak.admin();
    trusts(keycloak, "partner").await;
    let action = "acme/authentication/required-actions/CONFIGURE_TOTP";
    let mut totp = admin.get(action).await.unwrap();
    totp["name"] = json!("One-time password");
    admin.call(Method::PUT, action, Some(&totp)).await.unwrap();
    cli.snapshot();
    let at = now();
    cli.state("R01", &["--as-of", &at], "COMPLETE");
}

/// The realm trusts one more identity provider.
async fn trusts(keycloak: &Keycloak, alias: &str) {
    let provider = json!({"alias": alias, "providerId": "oidc", "enabled": true, "trustEmail": true, "config": {
        "clientId": "keycloak", "clientSecret": "not-ours", "authorizationUrl": "https://idp.example/auth",
        "tokenUrl": "https://idp.example/token"}});
    keycloak.admin().call(Method::POST, "acme/identity-provider/instances", Some(&provider)).await.unwrap();
}

/// A provider that nobody expects, somebody who forgot their password and need not set a new one, and passwords as short as one likes.
async fn ways_to_sign_in(keycloak: &Keycloak) {
    let admin = keycloak.admin();
    trusts(keycloak, "elsewhere").await;
    let steps = "acme/authentication/flows/reset%20credentials/executions";
    let all = admin.get(steps).await.unwrap();
    let mut all = all.as_array().unwrap().iter();
    let mut step = all.find(|one| one["providerId"] == "reset-password").unwrap().clone();
    step["requirement"] = json!("DISABLED");
    admin.call(Method::PUT, steps, Some(&step)).await.unwrap();
    let mut realm = admin.get("acme").await.unwrap();
    realm["passwordPolicy"] = json!("length(1)");
    admin.call(Method::PUT, "acme", Some(&realm)).await.unwrap();
}

/// While nobody listens: erin leaves her group, a client may send people elsewhere, one signs in otherwise, and Keycloak's store forgets both before pull could
/// read them.
pub async fn lost_on_both_ways(keycloak: &Keycloak) {
    let admin = keycloak.admin();
    let erin = admin.user_id("acme", "erin").await.unwrap();
    admin.leave_group("acme", &erin, &admin.group_id("acme", "/platform").await.unwrap()).await.unwrap();
    let portal = format!("acme/clients/{}", admin.client_uuid("acme", "portal").await.unwrap());
    let mut client = admin.get(&portal).await.unwrap();
    client["redirectUris"].as_array_mut().unwrap().push(json!("https://elsewhere.example/*"));
    admin.call(Method::PUT, &portal, Some(&client)).await.unwrap();
    ways_to_sign_in(keycloak).await;
    admin.call(Method::DELETE, "acme/admin-events", None).await.unwrap();
}

/// Only the next snapshot shows it: a finding, and no report is COMPLETE any more.
pub async fn shown_by_the_snapshot_alone(keycloak: &Keycloak, cli: &Cli<'_>) {
    cli.snapshot();
    let platform = keycloak.admin().group_id("acme", "/platform").await.unwrap();
    let found = cli.finding("D03", |one| one["values"]["right"] == platform.as_str());
    assert_eq!((&found["values"]["what"], &found["state"]), (&json!("removal"), &json!("OPEN")), "{found}");
    // Everything else is explained by events, once they are correlated.
    cli.until("more is missing", || {
        let standing = cli.findings("D03").into_iter().filter(|one| one["state"] == "OPEN");
        (standing.count() == 5).then_some(())
    });
    for (kind, name, what, fields) in [
        ("identity_provider", "elsewhere", "created", json!([])),
        ("flow_execution", "reset credentials / Reset Password", "changed", json!(["requirement"])),
        ("realm", "acme", "changed", json!(["passwordPolicy"])),
    ] {
        let said =
            |one: &Value| (one["values"][kind] == name && one["values"]["fields"] == fields, one["state"] == "OPEN");
        let found = cli.finding("D03", |one| said(one) == (true, true));
        assert_eq!((&found["values"]["what"], &found["severity"]), (&json!(what), &json!("medium")), "{found}");
    }
    differences(cli);
    let found = cli.finding("D03", |one| one["values"]["client"] == "portal");
    let said = (&found["values"]["what"], &found["values"]["fields"], &found["severity"]);
    // The event may be lost: nobody listened.
    assert_eq!(said, (&json!("changed"), &json!(["redirectUris"]), &json!("medium")), "{found}");
    assert!(!found["evidence"].as_array().unwrap().is_empty(), "{found}");
    let at = now();
    let sheet = cli.state("R01", &["--as-of", &at], "COMPLETE_WITH_LISTED_GAPS");
    let listed = sheet["completeness"]["facts"]["missing_events"].as_array().unwrap();
    assert!(listed.iter().any(|one| one.as_str().unwrap().contains(&platform)), "{listed:?}");
    let reasons = sheet["completeness"]["reasons"].to_string();
    assert!(reasons.contains("A lost login or decision leaves no such trace and cannot be seen"), "{reasons}");
}

/// R07 tells what is explained by an event of Keycloak's from what is not.
fn differences(cli: &Cli<'_>) {
    let rows = cli.rows("R07", &["--from", "1d", "--to", &now()]);
    let found = |area: &str, name: &str| -> String {
        let mut rows = rows.iter().filter(|row| row["kind"] == area && row["resource"] == name);
        rows.next().map_or_else(String::new, |row| format!("{}: {}", row["found_by"].as_str().unwrap(), row["changed"]))
    };
    let told = "difference explained by an event: ";
    let untold = "difference without event: ";
    assert!(found("identity_providers", "partner").starts_with(told), "{rows:#?}");
    let totp = found("required_actions", "CONFIGURE_TOTP");
    assert!(totp.starts_with(told) && totp.ends_with(r#" -> One-time password"]"#), "{totp}");
    let elsewhere = found("identity_providers", "elsewhere");
    assert!(
        elsewhere.starts_with(untold) && elsewhere.contains("tokenUrl:  -> https://idp.example/token"),
        "{elsewhere}"
    );
    assert!(!elsewhere.contains("not-ours"), "{elsewhere}");
    let step = found("flow_executions", "reset credentials / Reset Password");
    assert_eq!(step, format!(r#"{untold}["requirement: REQUIRED -> DISABLED"]"#));
    assert_eq!(found("realm", "acme"), format!(r#"{untold}["passwordPolicy:  -> length(1)"]"#));
}

/// Wrong passwords until the account is locked and freed (the story's), then a good one; a machine that joins a group by itself.
pub async fn suspicious_acts(keycloak: &Keycloak, cli: &Cli<'_>) {
    let admin = keycloak.admin();
    keycloak.browser("acme", OidcClient::named("portal")).sign_in("dave", "dave-pw").await.unwrap();
    admin.grant_service_account("acme", "tokentrail", ("realm-management", "manage-users")).await.unwrap();
    let client = admin.client_uuid("acme", "tokentrail").await.unwrap();
    let account = admin.get(&format!("acme/clients/{client}/service-account-user")).await.unwrap();
    let (account, group) = (account["id"].as_str().unwrap(), admin.group_id("acme", "/contractors").await.unwrap());
    let realm = format!("{}/realms/acme", keycloak.url());
    let token = client_credentials(keycloak.http(), &realm, &OidcClient::named("tokentrail")).await.unwrap();
    let url = format!("{}/admin/realms/acme/users/{account}/groups/{group}", keycloak.url());
    let answer = keycloak.http().put(url).bearer_auth(token.access).send().await.unwrap();
    assert!(answer.status().is_success(), "{answer:?}");

    let brute = cli.finding("D13", |_| true);
    assert_eq!((&brute["values"]["mode"], &brute["severity"]), (&json!("lockout"), &json!("high")), "{brute}");
    assert!(brute["evidence"].as_array().unwrap().len() > 3, "{brute}");
    let own = cli.finding("D05", |_| true);
    assert_eq!(own["values"]["right"], group.as_str(), "{own}");
    assert_eq!((cli.findings("D13").len(), cli.findings("D05").len()), (1, 1));
}

/// Admin events are switched off while the listener is there: the event tells. On again: it ends.
pub async fn logging_switched_off(keycloak: &Keycloak, cli: &Cli<'_>) {
    let admin = keycloak.admin();
    admin.change_events_config("acme", json!({"adminEventsEnabled": false})).await.unwrap();
    let off = cli.finding("D11", |one| one["values"]["off"] == "admin_events_enabled");
    assert_eq!((&off["values"]["seen_in"], &off["severity"]), (&json!("admin event"), &json!("critical")), "{off}");
    assert_eq!((&off["state"], off["evidence"].as_array().unwrap().len()), (&json!("OPEN"), 1), "{off}");
    admin.change_events_config("acme", json!({"adminEventsEnabled": true})).await.unwrap();
    cli.until("it does not end", || {
        cli.findings("D11").into_iter().find(|one| one["finding_id"] == off["finding_id"] && one["state"] == "ENDED")
    });
}

/// A type is pushed and saved no more: `status` and `doctor` name it, with its realm.
pub async fn a_type_is_saved_no_more(keycloak: &Keycloak, cli: &Cli<'_>) {
    const TYPE: &str = "INTROSPECT_TOKEN";
    let admin = keycloak.admin();
    let named = |status: &Value| {
        let types = status["paths"][0]["not_saved_types"].as_array().cloned().unwrap_or_default();
        types.into_iter().find(|one| one["native_type"] == TYPE)
    };
    assert_eq!(named(&cli.stored()), None, "it is saved, and nothing else is said of it");
    let config = admin.get("acme/events/config").await.unwrap();
    let mut saved = config["enabledEventTypes"].as_array().unwrap().clone();
    saved.retain(|one| one != TYPE);
    admin.change_events_config("acme", json!({"enabledEventTypes": saved})).await.unwrap();
    let mut portal = keycloak.browser("acme", OidcClient::named("portal"));
    let held = portal.sign_in("alice", "alice-pw").await.unwrap();
    assert!(portal.introspect(&held).await.unwrap());
    portal.logout(&held).await.unwrap();
    let told = cli.until("the type is not named", || named(&cli.stored()));
    assert_eq!((&told["realm"], &told["events"]), (&json!("acme"), &json!(1)), "{told}");
    let people = String::from_utf8(cli.run(&["status"]).stdout).unwrap();
    assert!(
        people.contains("types not saved in Keycloak: ") && people.contains("INTROSPECT_TOKEN in acme (1, last "),
        "{people}"
    );
    let doctor = cli.json(&["doctor"]);
    let check = doctor["checks"].as_array().unwrap().iter().find(|one| one["id"] == "types_saved").unwrap();
    assert!(check["remedy"].as_str().unwrap().contains(TYPE), "{check}");
    // The pull's own look at the realm says it too, from the configuration, and what else it found is no trouble.
    let of_pull = |one: &&Value| one["id"] == "pull" && one["what"].as_str().unwrap().contains("types_not_saved");
    let check = doctor["checks"].as_array().unwrap().iter().find(of_pull).unwrap_or_else(|| panic!("{doctor}"));
    assert!(check["what"].as_str().unwrap().contains("realm acme"), "{check}");
    assert!(check["remedy"].as_str().unwrap().contains(TYPE), "{check}");
    let state = r#"tokentrail_pull_state{realm="acme",source="keycloak",state="types_not_saved"} 1"#;
    assert!(cli.program.get_admin("/metrics").unwrap().contains(state));
    let realm = status_of_realm(&cli.stored());
    assert!(realm["complete_until"].is_i64() && realm["last_pass"].is_i64(), "{realm}");
    admin.change_events_config("acme", json!({"enabledEventTypes": config["enabledEventTypes"]})).await.unwrap();
}

/// What `status` says of the pull of the realm.
fn status_of_realm(status: &Value) -> Value {
    let pulls = status["pulls"].as_array().unwrap();
    pulls.iter().find(|one| one["realm"] == "acme").cloned().unwrap_or_else(|| panic!("{status}"))
}

/// While nobody listens: the listener goes first, then admin events; the store forgets both.
pub async fn logging_taken_away(keycloak: &Keycloak) {
    let admin = keycloak.admin();
    admin.change_events_config("acme", json!({"eventsListeners": ["jboss-logging"]})).await.unwrap();
    admin.change_events_config("acme", json!({"adminEventsEnabled": false})).await.unwrap();
    admin.call(Method::DELETE, "acme/admin-events", None).await.unwrap();
}

/// No event tells: the next read of the configuration does.
pub fn logging_gone_shown_by_the_snapshot_alone(cli: &Cli<'_>) {
    cli.snapshot();
    for what in ["listeners ext-event-webhook", "admin_events_enabled"] {
        let off = cli.finding("D11", |one| one["values"]["off"] == what && one["state"] == "OPEN");
        assert_eq!(off["values"]["seen_in"], "read of the configuration", "{off}");
    }
}
