//! A short working day in a realm, with a ledger of what each act must have caused.
//!
//! The ledger is the truth that tests compare against: it is written from what was done and answered, never from
//! what Keycloak recorded.

use super::{Admin, Keycloak, Login, OidcClient, client_credentials};
use anyhow::{Result, ensure};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Wrong passwords until the realm locks an account (`failureFactor`).
const LOCK_AFTER: usize = 3;

/// Longest wait until Keycloak has counted a failure.
const COUNTED: Duration = Duration::from_secs(60);
/// Between two looks at what it has counted.
const LOOK: Duration = Duration::from_millis(50);

/// One thing that was done.
#[derive(Clone, Debug)]
pub struct Act {
    /// What, in words.
    pub what: &'static str,
    /// Who did it, or whom it concerns.
    pub who: String,
    /// Keycloak's session, where the act had one.
    pub session: String,
    /// Events that it must have caused: user event types, or `RESOURCE-OPERATION` of admin events.
    pub events: Vec<&'static str>,
}

/// Everything that was done, in order.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// The acts.
    pub acts: Vec<Act>,
}

impl Ledger {
    /// How many events of each type there must be.
    pub fn expected(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for event in self.acts.iter().flat_map(|act| &act.events) {
            *counts.entry(*event).or_insert(0) += 1;
        }
        counts
    }

    fn note(&mut self, what: &'static str, who: &str, events: &[&'static str]) {
        self.note_session(what, who, "", events);
    }

    fn note_session(&mut self, what: &'static str, who: &str, session: &str, events: &[&'static str]) {
        self.acts.push(Act { what, who: who.to_owned(), session: session.to_owned(), events: events.to_vec() });
    }
}

/// Plays the day in `realm`, which must be [`super::realm`]. Can be played again: it leaves groups and roles as they were.
pub async fn play(keycloak: &Keycloak, realm: &str) -> Result<Ledger> {
    let mut ledger = Ledger::default();
    sessions(keycloak, realm, &mut ledger).await?;
    rights(keycloak, realm, &mut ledger).await?;
    lockout(keycloak, realm, &mut ledger).await?;
    leaver(keycloak, realm, &mut ledger).await?;
    Ok(ledger)
}

/// Alice signs in, refreshes, opens a second application without a password, and signs out. A machine signs in.
async fn sessions(keycloak: &Keycloak, realm: &str, ledger: &mut Ledger) -> Result<()> {
    let mut portal = keycloak.browser(realm, OidcClient::named("portal"));
    let mut held = portal.sign_in("alice", "alice-pw").await?;
    ledger.note_session("signs in at the portal", "alice", &held.session, &["LOGIN", "CODE_TO_TOKEN"]);
    for _ in 0..3 {
        held = portal.refresh(&held).await?;
        ledger.note_session("refreshes", "alice", &held.session, &["REFRESH_TOKEN"]);
    }
    let mut deploys = portal.visit(OidcClient::named("deploys"));
    let second = deploys.sign_in("alice", "not needed").await?;
    ensure!(second.session == held.session, "single sign-on made a second session");
    ledger.note_session("opens deploys by single sign-on", "alice", &second.session, &["LOGIN", "CODE_TO_TOKEN"]);
    ensure!(portal.introspect(&held).await?, "a fresh token is not active");
    ledger.note_session("the portal introspects", "alice", &held.session, &["INTROSPECT_TOKEN"]);
    portal.logout(&held).await?;
    ledger.note_session("signs out", "alice", &held.session, &["LOGOUT"]);
    portal.refresh_refused(&held).await?;
    ledger.note("refreshes after the end", "alice", &["REFRESH_TOKEN_ERROR"]);

    let mut wrong = keycloak.browser(realm, OidcClient::named("portal"));
    ensure!(wrong.login("bob", "wrong").await? == Login::Refused, "a wrong password was accepted");
    ledger.note("wrong password", "bob", &["LOGIN_ERROR"]);
    counted(&keycloak.admin(), (realm, "bob"), 1).await?;
    let held = wrong.sign_in("bob", "bob-pw").await?;
    ledger.note_session("signs in", "bob", &held.session, &["LOGIN", "CODE_TO_TOKEN"]);
    wrong.revoke(&held.refresh).await?;
    ledger.note_session("revokes the refresh token", "bob", &held.session, &["REVOKE_GRANT"]);

    let bot = OidcClient::named("ci-bot");
    client_credentials(keycloak.http(), &format!("{}/realms/{realm}", keycloak.url()), &bot).await?;
    ledger.note("signs in with client credentials", "ci-bot", &["CLIENT_LOGIN"]);
    Ok(())
}

/// Carol joins a group and leaves it, gets a role and loses it; so does a group.
async fn rights(keycloak: &Keycloak, realm: &str, ledger: &mut Ledger) -> Result<()> {
    let admin = keycloak.admin();
    let carol = admin.user_id(realm, "carol").await?;
    let ops = admin.group_id(realm, "/platform/ops").await?;
    admin.join_group(realm, &carol, &ops).await?;
    ledger.note("joins /platform/ops", "carol", &["GROUP_MEMBERSHIP-CREATE"]);
    let holder = format!("users/{carol}");
    admin.grant_role(realm, &holder, "deployer").await?;
    ledger.note("gets role deployer", "carol", &["REALM_ROLE_MAPPING-CREATE"]);
    admin.revoke_role(realm, &holder, "deployer").await?;
    ledger.note("loses role deployer", "carol", &["REALM_ROLE_MAPPING-DELETE"]);
    admin.leave_group(realm, &carol, &ops).await?;
    ledger.note("leaves /platform/ops", "carol", &["GROUP_MEMBERSHIP-DELETE"]);
    let payments = format!("groups/{}", admin.group_id(realm, "/payments").await?);
    admin.grant_role(realm, &payments, "prod-approver").await?;
    ledger.note("group gets role prod-approver", "/payments", &["REALM_ROLE_MAPPING-CREATE"]);
    admin.revoke_role(realm, &payments, "prod-approver").await?;
    ledger.note("group loses role prod-approver", "/payments", &["REALM_ROLE_MAPPING-DELETE"]);
    Ok(())
}

/// Keycloak counts failures on a thread of its own, and neither lets in nor counts who comes meanwhile.
async fn counted(admin: &Admin, (realm, name): (&str, &str), failures: u64) -> Result<()> {
    let user = admin.user_id(realm, name).await?;
    let path = format!("{realm}/attack-detection/brute-force/users/{user}");
    let end = Instant::now() + COUNTED;
    while admin.get(&path).await?["numFailures"].as_u64() < Some(failures) {
        ensure!(Instant::now() < end, "Keycloak counted no failure in {COUNTED:?}");
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// Dave is locked out by wrong passwords, and freed by the administrator.
async fn lockout(keycloak: &Keycloak, realm: &str, ledger: &mut Ledger) -> Result<()> {
    let mut browser = keycloak.browser(realm, OidcClient::named("portal"));
    for round in 1..=LOCK_AFTER {
        ensure!(browser.login("dave", "wrong").await? == Login::Refused, "a wrong password was accepted");
        ledger.note("wrong password", "dave", &["LOGIN_ERROR"]);
        counted(&keycloak.admin(), (realm, "dave"), round as u64).await?;
        if round == LOCK_AFTER {
            ledger.note("is locked out", "dave", &["USER_DISABLED_BY_TEMPORARY_LOCKOUT"]);
        }
    }
    ensure!(browser.login("dave", "dave-pw").await? == Login::Refused, "a locked account was let in");
    ledger.note("right password while locked out", "dave", &["LOGIN_ERROR"]);
    let admin = keycloak.admin();
    let dave = admin.user_id(realm, "dave").await?;
    let path = format!("{realm}/attack-detection/brute-force/users/{dave}");
    admin.call(reqwest::Method::DELETE, &path, None).await?;
    ledger.note("is freed", "dave", &["USER_LOGIN_FAILURE-DELETE"]);
    Ok(())
}

/// Finn comes, works, is disabled and deleted.
async fn leaver(keycloak: &Keycloak, realm: &str, ledger: &mut Ledger) -> Result<()> {
    let admin = keycloak.admin();
    let finn = admin.create_user(realm, "finn").await?;
    ledger.note("is created", "finn", &["USER-CREATE"]);
    let mut browser = keycloak.browser(realm, OidcClient::named("portal"));
    let held = browser.sign_in("finn", "finn-pw").await?;
    ledger.note_session("signs in", "finn", &held.session, &["LOGIN", "CODE_TO_TOKEN"]);
    admin.disable_user(realm, &finn).await?;
    ledger.note("is disabled", "finn", &["USER-UPDATE"]);
    browser.refresh_refused(&held).await?;
    ledger.note("refreshes while disabled", "finn", &["REFRESH_TOKEN_ERROR"]);
    admin.delete_user(realm, &finn).await?;
    ledger.note("is deleted", "finn", &["USER-DELETE"]);
    Ok(())
}
