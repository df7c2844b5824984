//! Snapshots of a real Keycloak: equal to what its Admin API tells by other paths, changes are exactly the receipts that
//! changed, what went is derivable, and a missing role is told by name.
#![allow(clippy::unwrap_used)] // a test may panic

#[path = "support/state.rs"]
mod state;

use collector::{
    pull::{Append, Appending, Limits, Realm, Received, Secret, Source},
    snapshot::{Extent, From, Order, Report, Settings, Surroundings, Taker},
};
use events::{
    person::DeploymentKey,
    snapshot::{Area, Outcome, Trigger},
};
use reqwest::Method;
use serde_json::{Value, json};
use state::{Derived, absent, derive};
use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use testbed::{
    Keycloak, KeycloakOptions,
    keycloak::{Admin, OidcClient, realm},
};
use trust::Trust;

#[derive(Default)]
struct Memory(Mutex<Vec<Received>>);

impl Append for Memory {
    fn append(&self, receipts: Vec<Received>) -> Appending<'_> {
        self.0.lock().unwrap().extend(receipts);
        Box::pin(async { Ok(()) })
    }
}

impl Memory {
    fn derive(&self, report: &Report) -> Derived {
        let log = self.0.lock().unwrap();
        derive(log.iter().map(|one| (one.header.payload, one.body.as_slice())), &report.begin.snapshot)
    }
}

fn taker(url: &str, dir: &Path, journal: &Arc<Memory>) -> Taker {
    let account = Realm {
        name: "acme".into(),
        login_realm: None,
        client_id: "tokentrail".into(),
        client_secret: Secret::new("tokentrail-secret"),
    };
    let source = Source {
        tenant: "default".into(),
        source_id: "keycloak".into(),
        base_url: url.into(),
        trust: Trust::system(),
        realms: vec![account],
        limits: Limits { requests_per_second: 1_000, ..Limits::default() },
        cursors: dir.to_owned(),
        listener: None,
    };
    // Small pages, so that there are several.
    let settings = Settings { page: 3, patience: vec![Duration::ZERO], ..Settings::new(dir.to_owned()) };
    let append: Arc<dyn Append> = Arc::<Memory>::clone(journal);
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let around = Surroundings { append, key: DeploymentKey::new([7; 32]), now: Arc::new(now) };
    Taker::open(&From::Keycloak(source), settings, around).unwrap()
}

const ORDER: Order = Order { trigger: Trigger::Demand, extent: Extent::Changes };

fn ids(list: &Value, field: &str) -> BTreeSet<String> {
    list.as_array().unwrap().iter().map(|one| one[field].as_str().unwrap().to_owned()).collect()
}

/// Compares with what the Admin API says per user: another path than the snapshot's.
async fn equals_the_admin_api(admin: &Admin, told: &Derived) {
    let users = admin.get("acme/users?max=1000").await.unwrap();
    assert_eq!(told.field(Area::Users, "id"), ids(&users, "id"));
    assert_eq!(told.field(Area::Users, "username"), ids(&users, "username"));
    let (mut members, mut roles) = (BTreeSet::new(), BTreeSet::new());
    let clients = admin.get("acme/clients?max=1000").await.unwrap();
    assert_eq!(told.field(Area::Clients, "clientId"), ids(&clients, "clientId"));
    let accounts = clients.as_array().unwrap().iter().filter(|client| client["serviceAccountsEnabled"] == true);
    let mut everybody: Vec<String> = ids(&users, "id").into_iter().collect();
    let mut owned = BTreeSet::new();
    for client in accounts {
        let id = client["id"].as_str().unwrap();
        let user = admin.get(&format!("acme/clients/{id}/service-account-user")).await.unwrap();
        owned.insert((id.to_owned(), user["id"].as_str().unwrap().to_owned()));
        everybody.push(user["id"].as_str().unwrap().to_owned());
    }
    assert_eq!(told.pairs(Area::ServiceAccounts, ("client", "user")), owned);
    for user in &everybody {
        for group in ids(&admin.get(&format!("acme/users/{user}/groups?max=1000")).await.unwrap(), "id") {
            members.insert((user.clone(), group));
        }
        roles.extend(mapped(admin, &format!("acme/users/{user}/role-mappings")).await.map(|role| (user.clone(), role)));
    }
    assert_eq!(told.pairs(Area::Members, ("user", "group")), members);
    assert_eq!(told.pairs(Area::RoleUsers, ("user", "role")), roles);
    let mut of_groups = BTreeSet::new();
    for group in told.field(Area::Groups, "id") {
        let held = mapped(admin, &format!("acme/groups/{group}/role-mappings")).await;
        of_groups.extend(held.map(|role| (group.clone(), role)));
    }
    assert_eq!(told.pairs(Area::RoleGroups, ("group", "role")), of_groups);
}

/// Ids of the roles that a holder has directly.
async fn mapped(admin: &Admin, path: &str) -> impl Iterator<Item = String> + use<> {
    let mappings = admin.get(path).await.unwrap();
    let realm = mappings["realmMappings"].as_array().cloned().unwrap_or_default();
    let clients = mappings["clientMappings"].as_object().cloned().unwrap_or_default();
    let of_clients = clients.into_iter().flat_map(|(_, client)| client["mappings"].as_array().cloned().unwrap());
    let roles: Vec<_> = realm.into_iter().chain(of_clients).collect();
    roles.into_iter().map(|role| role["id"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_snapshot_is_what_the_admin_api_says_and_the_next_one_only_what_changed() {
    let keycloak =
        Keycloak::start(KeycloakOptions { realms: vec![realm("acme")], ..Default::default() }).await.unwrap();
    let (admin, dir, journal) = (keycloak.admin(), tempfile::tempdir().unwrap(), Arc::new(Memory::default()));
    for n in 0..14 {
        let id = admin.create_user("acme", &format!("extra{n:02}")).await.unwrap();
        admin.join_group("acme", &id, &admin.group_id("acme", "/payments").await.unwrap()).await.unwrap();
    }
    // More children than the endpoint's own default of ten, and a third level.
    let platform = admin.group_id("acme", "/platform").await.unwrap();
    for n in 0..13 {
        let child = json!({"name": format!("team{n:02}")});
        admin.call(Method::POST, &format!("acme/groups/{platform}/children"), Some(&child)).await.unwrap();
    }
    let team = admin.group_id("acme", "/platform/team05").await.unwrap();
    admin.call(Method::POST, &format!("acme/groups/{team}/children"), Some(&json!({"name": "deep"}))).await.unwrap();
    admin.call(Method::PUT, &format!("acme/default-groups/{team}"), None).await.unwrap();
    let held = keycloak.browser("acme", OidcClient::named("portal")).sign_in("alice", "alice-pw").await.unwrap();
    let taker = taker(&keycloak.url(), dir.path(), &journal);

    let first = taker.take(ORDER).await.unwrap();
    let told = journal.derive(&first);
    assert!(first.end.complete && first.begin.full && !first.resumed, "{:?}", first.end);
    equals_the_admin_api(&admin, &told).await;
    let paths = told.field(Area::Groups, "path");
    assert_eq!(paths.len(), 5 + 13 + 1);
    assert!(paths.contains("/platform/team05/deep"));
    assert_eq!(told.field(Area::DefaultGroups, "id"), BTreeSet::from([team.clone()]));
    assert_eq!(told.field(Area::Sessions, "session"), BTreeSet::from([held.session.clone()]));
    let realm_state = told.states[&Area::Realm].values().next().unwrap();
    assert!(
        realm_state["accessTokenLifespan"].is_number() && realm_state["defaultRole"]["id"].is_string(),
        "{realm_state}"
    );
    ways_to_sign_in(&admin, &told).await;
    let composites = told.pairs(Area::Composites, ("outer", "role"));
    assert!(composites.len() > 2, "{composites:?}");
    assert_eq!(told.outcome("acme", Area::Organizations), Outcome::NotThere);
    assert!(told.lists.iter().all(|list| list.time_min > 0 && list.time_min <= list.time_max));
    let secret = b"tokentrail-secret";
    assert!(!journal.0.lock().unwrap().iter().any(|one| one.body.windows(secret.len()).any(|window| window == secret)));

    // Nothing changed: nothing is written but lists, and what is recorded, which an event may have said otherwise.
    let second = taker.take(ORDER).await.unwrap();
    assert_eq!(journal.derive(&second).written_areas(), [Area::EventsConfig]);
    assert_eq!(second.begin.previous, Some(first.begin.snapshot.clone()));

    changes(&admin, &taker, &journal, &second).await;
    ways_to_sign_in_change(&admin, (&taker, &journal)).await;
    organizations(&admin, &taker, &journal).await;
    missing_roles(&admin, &taker, &journal).await;
}

/// Flows with their steps in order, what is required of people, and no identity provider yet.
async fn ways_to_sign_in(admin: &Admin, told: &Derived) {
    let flows = admin.get("acme/authentication/flows").await.unwrap();
    assert_eq!(told.field(Area::Flows, "alias"), ids(&flows, "alias"));
    let mut steps = BTreeSet::new();
    for alias in ids(&flows, "alias") {
        let path = format!("acme/authentication/flows/{}/executions", alias.replace(' ', "%20"));
        let executions = admin.get(&path).await.unwrap();
        let requirement =
            |one: &Value| (one["id"].to_string(), one["requirement"].to_string(), one["index"].to_string());
        steps.extend(executions.as_array().unwrap().iter().map(requirement));
    }
    let read = told.states[&Area::FlowExecutions].values();
    let read: BTreeSet<_> =
        read.map(|one| (one["id"].to_string(), one["requirement"].to_string(), one["index"].to_string())).collect();
    assert!(read.len() > 20 && read == steps, "{read:?}");
    let actions = admin.get("acme/authentication/required-actions").await.unwrap();
    assert_eq!(told.field(Area::RequiredActions, "alias"), ids(&actions, "alias"));
    assert_eq!(told.outcome("acme", Area::IdentityProviders), Outcome::Complete);
    let realm = told.states[&Area::Realm].values().next().unwrap();
    assert_eq!((&realm["passwordPolicy"], &realm["browserFlow"]), (&json!(""), &json!("browser")), "{realm}");
}

/// What is changed of them without an event would be seen by these.
async fn ways_to_sign_in_change(admin: &Admin, (taker, journal): (&Taker, &Arc<Memory>)) {
    let provider = json!({"alias": "corp", "providerId": "oidc", "enabled": true, "trustEmail": true, "config": {
        "clientId": "keycloak", "clientSecret": "hunter2hunter2", "authorizationUrl": "https://corp.example/auth",
        "tokenUrl": "https://corp.example/token", "somethingNew": "of-a-later-release"}});
    admin.call(Method::POST, "acme/identity-provider/instances", Some(&provider)).await.unwrap();
    let browser = "acme/authentication/flows/browser/executions";
    let mut step = admin.get(browser).await.unwrap()[0].clone();
    step["requirement"] = json!("DISABLED");
    admin.call(Method::PUT, browser, Some(&step)).await.unwrap();
    let mut settings = admin.get("acme").await.unwrap();
    settings["passwordPolicy"] = json!("length(12)");
    admin.call(Method::PUT, "acme", Some(&settings)).await.unwrap();
    let after = taker.take(ORDER).await.unwrap();
    let told = journal.derive(&after);
    assert!(after.end.complete, "{:?}", after.end);
    assert_eq!(told.written_areas(), [Area::Realm, Area::EventsConfig, Area::IdentityProviders, Area::FlowExecutions]);
    let written = |area: Area| &told.written.iter().find(|entity| entity.area == area).unwrap().state;
    let corp = written(Area::IdentityProviders);
    assert_eq!((&corp["alias"], &corp["config"]["tokenUrl"]), (&json!("corp"), &json!("https://corp.example/token")));
    assert!(corp["config"]["somethingNew"].as_str().unwrap().starts_with("redacted:"), "{corp}");
    assert_eq!(
        (&written(Area::FlowExecutions)["id"], &written(Area::FlowExecutions)["requirement"]),
        (&step["id"], &json!("DISABLED"))
    );
    assert_eq!(written(Area::Realm)["passwordPolicy"], "length(12)");
    let secret = b"hunter2hunter2";
    assert!(!journal.0.lock().unwrap().iter().any(|one| one.body.windows(secret.len()).any(|window| window == secret)));
}

async fn changes(admin: &Admin, taker: &Taker, journal: &Arc<Memory>, before: &Report) {
    let user = |name: &'static str| admin.user_id("acme", name);
    let group = |path: &'static str| admin.group_id("acme", path);
    admin.join_group("acme", &user("dave").await.unwrap(), &group("/contractors").await.unwrap()).await.unwrap();
    admin.leave_group("acme", &user("bob").await.unwrap(), &group("/payments").await.unwrap()).await.unwrap();
    admin.disable_user("acme", &user("carol").await.unwrap()).await.unwrap();
    let gone = user("extra03").await.unwrap();
    admin.delete_user("acme", &gone).await.unwrap();
    admin.grant_role("acme", &format!("groups/{}", group("/contractors").await.unwrap()), "deployer").await.unwrap();
    // A renamed group is one change, however many belong to it.
    let payments = group("/payments").await.unwrap();
    admin.call(Method::PUT, &format!("acme/groups/{payments}"), Some(&json!({"name": "billing"}))).await.unwrap();

    let after = taker.take(ORDER).await.unwrap();
    let (before, now) = (journal.derive(before), journal.derive(&after));
    assert!(after.end.complete, "{:?}", after.end);
    assert_eq!(now.written_areas(), [Area::EventsConfig, Area::Groups, Area::Users, Area::Members, Area::RoleGroups]);
    equals_the_admin_api(admin, &now).await;
    let left: Vec<Value> = absent(&before, &now, Area::Members);
    let bob = user("bob").await.unwrap();
    assert!(left.contains(&json!({"user": bob, "group": payments})), "{left:?}");
    assert!(left.contains(&json!({"user": gone, "group": payments})) && left.len() == 2);
    let went = absent(&before, &now, Area::Users);
    assert_eq!((went.len(), went[0]["id"].as_str()), (1, Some(gone.as_str())));
    let carol = now.written.iter().find(|entity| entity.area == Area::Users).unwrap();
    assert_eq!(carol.state["enabled"], false);
}

async fn organizations(admin: &Admin, taker: &Taker, journal: &Arc<Memory>) {
    let mut settings = admin.get("acme").await.unwrap();
    settings["organizationsEnabled"] = json!(true);
    admin.call(Method::PUT, "acme", Some(&settings)).await.unwrap();
    let org = json!({"name": "partners", "alias": "partners", "domains": [{"name": "partners.example"}]});
    admin.call(Method::POST, "acme/organizations", Some(&org)).await.unwrap();
    let id = admin.get("acme/organizations").await.unwrap()[0]["id"].as_str().unwrap().to_owned();
    let erin = admin.user_id("acme", "erin").await.unwrap();
    admin.call(Method::POST, &format!("acme/organizations/{id}/members"), Some(&json!(erin))).await.unwrap();
    let lacking = taker.take(ORDER).await.unwrap();
    let told = lacking.end.areas.iter().find(|end| end.area == Area::Organizations).unwrap();
    assert_eq!(told.outcome, Outcome::Forbidden);
    admin.grant_service_account("acme", "tokentrail", ("realm-management", &told.needs)).await.unwrap();
    let report = taker.take(ORDER).await.unwrap();
    let told = journal.derive(&report);
    assert_eq!(told.outcome("acme", Area::OrganizationMembers), Outcome::Complete, "{:?}", report.end);
    assert_eq!(told.pairs(Area::OrganizationMembers, ("user", "organization")), BTreeSet::from([(erin, id)]));
}

async fn missing_roles(admin: &Admin, taker: &Taker, journal: &Arc<Memory>) {
    for (role, area, others) in [
        ("view-users", Area::Users, &[Area::Groups, Area::Members, Area::RoleUsers][..]),
        ("view-clients", Area::Clients, &[Area::ServiceAccounts, Area::Sessions]),
        ("view-realm", Area::Realm, &[Area::Roles, Area::RoleGroups, Area::FlowExecutions]),
        ("view-identity-providers", Area::IdentityProviders, &[]),
        ("view-events", Area::EventsConfig, &[]),
    ] {
        admin.revoke_service_account("acme", "tokentrail", ("realm-management", role)).await.unwrap();
        let fresh = taker.take(ORDER).await.unwrap();
        admin.grant_service_account("acme", "tokentrail", ("realm-management", role)).await.unwrap();
        let end = fresh.end.areas.iter().find(|end| end.area == area).unwrap();
        assert_eq!((end.outcome, end.needs.as_str()), (Outcome::Forbidden, role), "{area:?}");
        let told = journal.derive(&fresh);
        for other in others {
            assert!(!told.outcome("acme", *other).is_whole(), "{other:?} without {role}");
        }
        assert!(!fresh.end.complete);
    }
    let healed = taker.take(ORDER).await.unwrap();
    assert!(healed.end.complete, "{:?}", healed.end);
    // What could not be read kept its last state: only the account's own roles came and went.
    let written = journal.derive(&healed).written_areas();
    assert!(!written.contains(&Area::Users) && !written.contains(&Area::Members), "{written:?}");
}
