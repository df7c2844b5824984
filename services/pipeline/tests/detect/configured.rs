//! What a Keycloak is configured with and a read found otherwise than the one before: a finding where no event tells why, taken back where
//! one comes.

use super::{
    Bench, MINUTE,
    orphans::{hex, id},
    support::NOON,
};
use store::findings::Finding;

/// A client as it is read: client id, and a digit for what is read of it.
type Client<'a> = (&'a str, char);

/// An area, and what one of it is called.
type Kind = (&'static str, &'static str);

const CLIENTS: Kind = ("clients", "client");

impl Bench {
    /// A state that a read wrote.
    async fn state(&self, (area, one): Kind, (snapshot, minute): (&str, i64), (name, said): Client<'_>) {
        let named = if area == "clients" { "" } else { "alias" };
        let details = format!(
            "mapFilter((k, v) -> k != '', map('snapshot', '{snapshot}', 'entity', {}, 'hash', repeat('{said}', 16), 'redirectUris', '{said}', 'enabled', 'true', '{named}', '{name}'))",
            hex(name)
        );
        let about = [
            ("event_id", id(&format!("{one} {name} {said} in {snapshot}"))),
            ("realm", "'master'".into()),
            ("client", format!("'{}'", if area == "clients" { name } else { "" })),
            ("resource", format!("'id-{name}'")),
            ("details", details),
        ];
        self.said_by(("kc", &format!("state_{one}"), minute), &about).await;
    }

    /// A complete read of these clients, of which it wrote some.
    async fn clients(&self, read: (&str, i64), listed: &[Client<'_>], wrote: &[&str]) {
        self.read_of(CLIENTS, (read, "complete"), listed, wrote).await;
    }

    async fn read_of(&self, kind: Kind, (read, outcome): ((&str, i64), &str), listed: &[Client<'_>], wrote: &[&str]) {
        for client in listed.iter().filter(|client| wrote.contains(&client.0)) {
            self.state(kind, read, *client).await;
        }
        let ((area, _), (snapshot, minute)) = (kind, read);
        let about = [("realm", "'master'".to_owned()), ("resource_kind", format!("'{area}'"))];
        let entry = |(client, said): &Client<'_>| format!("{}, repeat('{said}', 16)", hex(client));
        let entries: Vec<String> = listed.iter().map(entry).collect();
        let entries = format!(
            "map('snapshot', '{snapshot}', 'entries', concat('', '', {}))",
            [&entries[..], &["''".to_owned()]].concat().join(", ")
        );
        let list = [("event_id", id(&format!("{area} of {snapshot}"))), ("details", entries)];
        self.said_by(("kc", "snapshot_list", minute), &[&about[..], &list[..]].concat()).await;
        let (count, changed) = (listed.len(), wrote.len());
        let said = format!(
            "map('snapshot', '{snapshot}', 'outcome', '{outcome}', 'entities', '{count}', 'changed', '{changed}')"
        );
        let end = [("event_id", id(&format!("{snapshot} {area}"))), ("details", said)];
        self.said_by(("kc", "snapshot_area", minute), &[&about[..], &end[..]].concat()).await;
    }

    /// Somebody changed a client or a realm, and an event tells it: its realm as that is named, kind, path, and Keycloak's id of a client.
    async fn told(&self, (realm, kind, path, client): (&str, &str, &str, &str), minute: i64) {
        let about = [
            ("event_id", id(&format!("{kind} of {path} {client} in {realm}"))),
            ("realm", format!("'{realm}'")),
            ("resource", format!("'{path}'")),
            ("details", format!("map('client_uuid', '{client}')")),
        ];
        self.said_by(("kc", kind, minute), &about).await;
    }

    /// Waits until exactly these stand of clients, in order: client, what, fields.
    async fn stand(&self, wanted: &[(&str, &str, &str)]) {
        let wanted: Vec<_> = wanted.iter().map(|(a, b, c)| (a.to_string(), b.to_string(), c.to_string())).collect();
        let standing = |one: &&Finding| one.rule == "D03" && one.standing == "open";
        let stand = |all: &[Finding]| {
            let mut found: Vec<_> = all.iter().filter(standing).map(said).collect();
            found.sort();
            (found == wanted).then_some(())
        };
        self.look(&format!("{wanted:?}"), stand).await;
    }
}

fn said(finding: &Finding) -> (String, String, String) {
    let values: serde_json::Value = serde_json::from_str(&finding.detail).unwrap();
    let text = |name: &str| values[name].as_str().unwrap().to_owned();
    let of =
        KINDS.iter().map(|(_, one)| *one).chain(["client"]).find(|one| *one != "realm" && values[*one].is_string());
    (text(of.unwrap_or("realm")), text("what"), values["fields"].to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_read_otherwise_and_no_event_says_why_is_a_finding() {
    let bench = Bench::new().await;
    bench.complete("kc", 61).await;
    bench.complete("bs", 61).await;
    // Nothing was there before the first one; what it wrote of the last is lost, and so which field of it is another.
    let all = ["web", "api", "cli", "acme-realm", "other-realm", "lost"];
    bench.clients(("one", -30), &all.map(|client| (client, 'a')), &all[..5]).await;
    // The second found all but cli otherwise. An event tells it of web, one that was pulled; of other-realm that its realm was changed;
    // of api none does, nor of acme-realm; and cli was never gone from the realm that an event names.
    bench.told(("", "client_updated", "clients/id-web", "id-web"), 7).await;
    bench.told(("other", "realm_updated", "", ""), 7).await;
    let changed = ["web", "api", "acme-realm", "other-realm", "lost"];
    let second = [("web", 'b'), ("api", 'b'), ("cli", 'a'), ("acme-realm", 'b'), ("other-realm", 'b'), ("lost", 'b')];
    // It changed again while it was taken: what the list says counts.
    bench.state(CLIENTS, ("two", 9), ("api", 'x')).await;
    bench.clients(("two", 10), &second, &changed).await;
    // One that was not complete found web otherwise, and it was put back; nobody says so.
    bench.read_of(CLIENTS, (("given up", 15), "failed"), &[("web", 'c')], &["web"]).await;
    // Written whole and not changed; two gone, two new. One that is new was imported, and another client of that id is gone.
    bench.told(("", "realm_created", "clients/id-imported", ""), 17).await;
    bench.told(("", "client_deleted", "clients/id-lost", "id-lost"), 17).await;
    let third =
        [("web", 'b'), ("api", 'b'), ("acme-realm", 'b'), ("other-realm", 'b'), ("new", 'a'), ("imported", 'a')];
    bench.clients(("three", 20), &third, &third.map(|client| client.0)).await;
    // What one that was not complete found, the next one need not write.
    bench.read_of(CLIENTS, (("not whole", 25), "failed"), &[("new", 'e')], &["new"]).await;
    let again: Vec<Client<'_>> = third.iter().map(|one| if one.0 == "new" { ("new", 'e') } else { *one }).collect();
    bench.clients(("after", 27), &again, &[]).await;
    // Not all that this one wrote is stored yet.
    let fourth = [&again[..], &[("late", 'a')]].concat();
    bench.clients(("four", 30), &fourth, &[]).await;
    let mut detector = bench.detector();
    // Rounds ask from here on, and not for everything.
    detector.reader.lateness = 61 * MINUTE;
    let running = tokio::spawn(async move { detector.run().await });
    let (fields, gone) = ("[\"redirectUris\"]", ("cli", "deleted", "[]"));
    let (newer, new) = (("new", "changed", fields), ("new", "created", "[]"));
    let lost = ("lost", "changed", "[]");
    let of_realm = ("acme-realm", "changed", fields);
    bench.stand(&[of_realm, ("api", "changed", fields), gone, lost, newer, new]).await;
    let found = bench.look("the finding", |all| all.iter().find(|one| said(one).0 == "api").cloned()).await;
    assert_eq!((found.severity.as_str(), found.confidence.as_str()), ("high", "proven"));
    assert_eq!((found.first_at, found.last_at), (NOON - 30 * MINUTE, NOON + 10 * MINUTE));
    assert_eq!(found.evidence.len(), 2, "{found:?}");

    // What comes late takes back what it tells, and brings what was not stored.
    bench.told(("master", "client_updated", "clients/id-api", "id-api"), 8).await;
    bench.state(CLIENTS, ("four", 30), ("late", 'a')).await;
    bench.stand(&[of_realm, gone, ("late", "created", "[]"), lost, newer, new]).await;

    // Another realm of that name, or another way of reading: nothing is as before.
    let fifth: Vec<Client<'_>> = fourth.iter().map(|(client, _)| (*client, 'd')).collect();
    bench.clients(("five", 40), &fifth, &fourth.iter().map(|client| client.0).collect::<Vec<_>>()).await;
    bench.clients(("six", 50), &fifth[..6], &[]).await;
    bench.stand(&[of_realm, gone, ("late", "created", "[]"), ("late", "deleted", "[]"), lost, newer, new]).await;
    // It was made anew.
    bench.told(("master", "realm_deleted", "master", ""), 53).await;
    bench.clients(("seven", 55), &fifth[1..5], &[]).await;
    bench.clients(("eight", 58), &fifth[2..5], &[]).await;
    let eighth = [
        of_realm,
        ("api", "deleted", "[]"),
        gone,
        ("late", "created", "[]"),
        ("late", "deleted", "[]"),
        lost,
        newer,
        new,
    ];
    bench.stand(&eighth).await;
    running.abort();
}

const KINDS: [Kind; 4] = [
    ("identity_providers", "identity_provider"),
    ("flow_executions", "flow_execution"),
    ("required_actions", "required_action"),
    ("realm", "realm"),
];

#[tokio::test(flavor = "multi_thread")]
async fn ways_to_sign_in_that_change_without_an_event_are_findings() {
    let bench = Bench::new().await;
    bench.complete("kc", 61).await;
    bench.complete("bs", 61).await;
    let [providers, steps, actions, realm] = KINDS;
    let complete = |snapshot: &'static str, minute| ((snapshot, minute), "complete");
    for (snapshot, minute, said) in [("one", -30, 'a'), ("two", 10, 'b')] {
        let read = complete(snapshot, minute);
        // The first provider of a realm has none before it.
        let corp: &[Client<'_>] = if said == 'a' { &[] } else { &[("corp", 'a')] };
        bench.read_of(providers, read, corp, &["corp"]).await;
        bench.read_of(steps, read, &[("otp", said), ("form", 'a')], &["otp", "form"]).await;
        // One was switched off, and an event says that something was done to one of them.
        bench.read_of(actions, read, &[("totp", said), ("terms", 'a')], &["totp", "terms"]).await;
        bench.read_of(realm, read, &[("master", said)], &["master"]).await;
    }
    bench.told(("", "required_action_updated", "authentication/required-actions/terms", ""), 5).await;
    bench.told(("", "identity_provider_created", "identity-provider/instances/other", ""), 5).await;
    let mut detector = bench.detector();
    detector.reader.lateness = 61 * MINUTE;
    let running = tokio::spawn(async move { detector.run().await });
    let fields = "[\"redirectUris\"]";
    let (corp, otp, master) = (("corp", "created", "[]"), ("otp", "changed", fields), ("master", "changed", fields));
    bench.stand(&[corp, master, otp]).await;
    let found = bench.look("the finding", |all| all.iter().find(|one| said(one).0 == "corp").cloned()).await;
    assert_eq!((found.severity.as_str(), found.confidence.as_str()), ("critical", "proven"));

    // What comes late takes back what it tells: an event about flows, and one about the provider.
    bench.told(("master", "auth_execution_updated", "authentication/flows/browser/executions", ""), 7).await;
    bench.stand(&[corp, master]).await;
    bench.told(("", "identity_provider_created", "identity-provider/instances/corp", ""), 8).await;
    bench.stand(&[master]).await;
    // The only one is gone, and nobody says so.
    bench.read_of(providers, complete("three", 30), &[], &[]).await;
    bench.stand(&[("corp", "deleted", "[]"), master]).await;
    bench.told(("master", "realm_updated", "", ""), 9).await;
    bench.stand(&[("corp", "deleted", "[]")]).await;
    running.abort();
}
