//! The plan of a realm: which lists are read, in which order, and what their elements say.
//!
//! Memberships are read per group and holders per role, never per user. What hangs at another list (members at groups) is
//! as complete as that list. Service accounts are no part of `users`, as in Keycloak's own list.

mod said;

use super::{
    ask::{Ask, Missed, patiently},
    receipts::needs,
    run::{Run, Stop},
    unit::{Found, Gone, Paging, Request, Take, Taken, Unit},
};
use events::snapshot::{Area, Outcome};
use said::{EVENTS, each, one, pair, read_json, realm_settings, with_sessions};
use serde_json::Value;

/// Every area of a realm.
pub(super) const AREAS: &[Area] = &[
    Area::Realm,
    Area::EventsConfig,
    Area::Clients,
    Area::ServiceAccounts,
    Area::Roles,
    Area::Groups,
    Area::DefaultGroups,
    Area::Users,
    Area::Members,
    Area::RoleUsers,
    Area::RoleGroups,
    Area::Composites,
    Area::IdentityProviders,
    Area::Flows,
    Area::FlowExecutions,
    Area::RequiredActions,
    Area::Organizations,
    Area::OrganizationMembers,
    Area::Sessions,
    Area::OfflineSessions,
];

/// Reads one realm. What cannot be read is told by area; only what stops everything is an error.
pub(super) async fn read(run: &mut Run<'_>, realm: &str, source: &dyn Ask) -> Result<(), Stop> {
    let mut plan = Plan { run, realm, source };
    let Some(organizations) = plan.settings().await? else { return Ok(()) };
    let clients = plan.clients().await?;
    let roles = plan.roles(clients.as_deref()).await?;
    plan.people(roles.as_deref()).await?;
    plan.sign_in().await?;
    plan.organizations(organizations).await?;
    plan.sessions(clients.as_deref()).await
}

struct Plan<'a, 'r> {
    run: &'a mut Run<'r>,
    realm: &'a str,
    source: &'a dyn Ask,
}

impl Plan<'_, '_> {
    async fn unit(&mut self, unit: Unit<'_>) -> Result<Option<Vec<Found>>, Stop> {
        self.run.unit(self.source, unit).await
    }

    /// Realm and event settings; whether organizations are on, or nothing if the realm cannot be read at all.
    async fn settings(&mut self) -> Result<Option<bool>, Stop> {
        let realm = self.realm;
        let found = self.unit(whole(realm, Area::Realm, Request::new(&[]), realm_settings())).await?;
        let outcome = self.run.outcome(realm, Area::Realm);
        match (&found, outcome) {
            // Without view-realm Keycloak answers with hardly more than the name.
            (Some(found), _) if found.is_empty() => {
                self.run.lack(realm, &[Area::Realm], (Outcome::Forbidden, needs(Area::Realm)));
            }
            (None, Outcome::Unauthorized | Outcome::RealmMissing) => {
                self.run.lack(realm, AREAS, (outcome, ""));
                return Ok(None);
            }
            (None, Outcome::NotSupported) => {
                // The realm's own resource is missing: there is no such realm.
                self.run.areas.remove(&(realm.to_owned(), Area::Realm));
                self.run.lack(realm, AREAS, (Outcome::RealmMissing, ""));
                return Ok(None);
            }
            _ => {}
        }
        let events = Request::new(&["events", "config"]);
        self.unit(whole(realm, Area::EventsConfig, events, one(Area::EventsConfig, EVENTS))).await?;
        let on = found.iter().flatten().next().is_none_or(|found| found.marked);
        Ok(Some(on))
    }

    async fn clients(&mut self) -> Result<Option<Vec<Found>>, Stop> {
        let clients =
            self.unit(list((self.realm, &[Area::Clients]), Request::new(&["clients"]), each(said::client))).await?;
        // Every realm has clients of its own: an empty list is one of which nothing may be seen.
        if clients.as_ref().is_some_and(Vec::is_empty) {
            self.run.lack(self.realm, &[Area::Clients], (Outcome::Forbidden, needs(Area::Clients)));
        }
        let Some(clients) = self.hangs_at(clients, Area::Clients, &[Area::ServiceAccounts]) else { return Ok(None) };
        for found in clients.iter().filter(|client| client.marked) {
            let request = Request::new(&["clients", &found.id, "service-account-user"]);
            let take = move |bytes: &[u8]| {
                let user: Value = read_json(bytes)?;
                Ok(Taken { elements: vec![said::service_account(found, &user)?], cursor: None })
            };
            let unit = Unit { within: &found.id, ..whole(self.realm, Area::ServiceAccounts, request, Box::new(take)) };
            self.unit(Unit { gone: Gone::Empty, ..unit }).await?;
        }
        Ok(Some(clients))
    }

    async fn roles(&mut self, clients: Option<&[Found]>) -> Result<Option<Vec<Found>>, Stop> {
        let request = |path: &[&str]| Request::new(path).with("briefRepresentation", "false");
        let areas: &'static [Area] = &[Area::Roles];
        let take = each(|value| said::role(value, ""));
        let Some(mut roles) = self.unit(list((self.realm, areas), request(&["roles"]), take)).await? else {
            return Ok(None);
        };
        let Some(clients) = clients else {
            self.run.lack(self.realm, areas, (self.run.outcome(self.realm, Area::Clients), needs(Area::Clients)));
            return Ok(None);
        };
        for client in clients {
            let take = each(move |value| said::role(value, &client.id));
            let unit = list((self.realm, areas), request(&["clients", &client.id, "roles"]), take);
            let unit = Unit { within: &client.id, gone: Gone::Empty, ..unit };
            let Some(own) = self.unit(unit).await? else { return Ok(None) };
            roles.extend(own);
        }
        Ok(Some(roles))
    }

    /// Groups, users, memberships and holders.
    async fn people(&mut self, roles: Option<&[Found]>) -> Result<(), Stop> {
        const HELD: &[Area] =
            &[Area::Users, Area::Groups, Area::Members, Area::DefaultGroups, Area::RoleUsers, Area::RoleGroups];
        if let Some(outcome) = self.may_not_view_users().await? {
            self.run.lack(self.realm, HELD, (outcome, needs(Area::Users)));
        }
        let request = Request::new(&["groups"]).with("briefRepresentation", "false");
        let unit = Unit { paging: Paging::Tree, ..list((self.realm, &[Area::Groups]), request, each(said::group)) };
        let groups = self.unit(unit).await?;
        let request = Request::new(&["users"]).with("briefRepresentation", "true");
        self.unit(list((self.realm, &[Area::Users]), request, each(said::user))).await?;
        let request = Request::new(&["default-groups"]);
        self.unit(whole(self.realm, Area::DefaultGroups, request, each(said::default_group))).await?;
        if let Some(groups) = self.hangs_at(groups, Area::Groups, &[Area::Members]) {
            for found in &groups {
                let request = Request::new(&["groups", &found.id, "members"]).with("briefRepresentation", "true");
                let take = each(move |value| pair((Area::Members, "group"), found, value));
                let unit = list((self.realm, &[Area::Members]), request, take);
                self.unit(Unit { within: &found.id, gone: Gone::Empty, ..unit }).await?;
            }
        }
        let held = [Area::RoleUsers, Area::RoleGroups, Area::Composites];
        let Some(roles) = self.hangs_at(roles.map(<[Found]>::to_vec), Area::Roles, &held) else { return Ok(()) };
        for role in &roles {
            self.holders(role).await?;
        }
        Ok(())
    }

    async fn holders(&mut self, found: &Found) -> Result<(), Stop> {
        let path = |last| match found.client.as_str() {
            "" => Request::new(&["roles", &found.name, last]),
            client => Request::new(&["clients", client, "roles", &found.name, last]),
        };
        let users = path("users").with("briefRepresentation", "true");
        let unit = list(
            (self.realm, &[Area::RoleUsers]),
            users,
            each(move |value| pair((Area::RoleUsers, "role"), found, value)),
        );
        self.unit(Unit { within: &found.id, gone: Gone::Empty, ..unit }).await?;
        let groups = path("groups").with("briefRepresentation", "true");
        let unit = list((self.realm, &[Area::RoleGroups]), groups, each(move |value| said::role_group(found, value)));
        self.unit(Unit { within: &found.id, gone: Gone::Empty, ..unit }).await?;
        if found.marked {
            let take = each(move |value| said::composite(found, value));
            let unit = whole(self.realm, Area::Composites, path("composites"), take);
            self.unit(Unit { within: &found.id, gone: Gone::Empty, ..unit }).await?;
        }
        Ok(())
    }

    /// Through whom people sign in, and what is asked of them then.
    async fn sign_in(&mut self) -> Result<(), Stop> {
        let realm = self.realm;
        let providers = Request::new(&["identity-provider", "instances"]);
        self.unit(list((realm, &[Area::IdentityProviders]), providers, each(said::identity_provider))).await?;
        let actions = Request::new(&["authentication", "required-actions"]);
        self.unit(whole(realm, Area::RequiredActions, actions, each(said::required_action))).await?;
        let flows = Request::new(&["authentication", "flows"]);
        let flows = self.unit(whole(realm, Area::Flows, flows, each(said::flow))).await?;
        let Some(flows) = self.hangs_at(flows, Area::Flows, &[Area::FlowExecutions]) else { return Ok(()) };
        for found in &flows {
            let request = Request::new(&["authentication", "flows", &found.name, "executions"]);
            let take = each(move |value| said::execution(found, value));
            let unit = whole(realm, Area::FlowExecutions, request, take);
            self.unit(Unit { within: &found.id, gone: Gone::Empty, ..unit }).await?;
        }
        Ok(())
    }

    async fn organizations(&mut self, on: bool) -> Result<(), Stop> {
        const AREAS: &[Area] = &[Area::Organizations, Area::OrganizationMembers];
        if !on {
            self.run.lack(self.realm, AREAS, (Outcome::NotThere, ""));
            return Ok(());
        }
        let request = Request::new(&["organizations"]).with("briefRepresentation", "true");
        let unit = list((self.realm, &[Area::Organizations]), request, each(said::organization));
        let organizations = self.unit(Unit { gone: Gone::NotThere, ..unit }).await?;
        let members = &[Area::OrganizationMembers];
        let Some(organizations) = self.hangs_at(organizations, Area::Organizations, members) else { return Ok(()) };
        for found in &organizations {
            let take = each(move |value| pair((Area::OrganizationMembers, "organization"), found, value));
            let unit = list((self.realm, members), Request::new(&["organizations", &found.id, "members"]), take);
            self.unit(Unit { within: &found.id, gone: Gone::Empty, ..unit }).await?;
        }
        Ok(())
    }

    /// Sessions of the clients that have any.
    async fn sessions(&mut self, clients: Option<&[Found]>) -> Result<(), Stop> {
        const AREAS: [(Area, &[Area], &str, &str); 2] = [
            (Area::Sessions, &[Area::Sessions], "active", "user-sessions"),
            (Area::OfflineSessions, &[Area::OfflineSessions], "offline", "offline-sessions"),
        ];
        let Some(clients) = clients else {
            let outcome = self.run.outcome(self.realm, Area::Clients);
            self.run.lack(self.realm, &[Area::Sessions, Area::OfflineSessions], (outcome, needs(Area::Sessions)));
            return Ok(());
        };
        for (area, areas, counted, path) in AREAS {
            self.run.expect(self.realm, areas);
            let request = Request::new(&["client-session-stats"]);
            let stats = patiently(self.source, &request, &self.run.settings.patience).await;
            // Without the counts every client is asked.
            let having = stats.ok().and_then(|bytes| with_sessions(&bytes, counted));
            for found in clients.iter().filter(|client| having.as_ref().is_none_or(|ids| ids.contains(&client.id))) {
                let take = each(move |value| said::session(area, found, value));
                let unit = list((self.realm, areas), Request::new(&["clients", &found.id, path]), take);
                self.unit(Unit { within: &found.id, gone: Gone::Empty, ..unit }).await?;
            }
        }
        Ok(())
    }

    /// What hangs at a list that was not read is as unread as the list.
    fn hangs_at(&mut self, list: Option<Vec<Found>>, at: Area, areas: &[Area]) -> Option<Vec<Found>> {
        let outcome = self.run.outcome(self.realm, at);
        self.run.expect(self.realm, areas);
        if outcome != Outcome::Complete {
            self.run.lack(self.realm, areas, (outcome, if outcome == Outcome::Forbidden { needs(at) } else { "" }));
        }
        list.filter(|_| outcome == Outcome::Complete)
    }

    /// With a role that allows queries only, Keycloak leaves out of users and groups what may not be seen and says nothing:
    /// so it is asked first whether users may be seen at all.
    async fn may_not_view_users(&mut self) -> Result<Option<Outcome>, Stop> {
        let account = match self.source.account().await {
            Ok(Some(account)) => account,
            Ok(None) | Err(_) => return Ok(None),
        };
        if let Some(roles) = &account.roles {
            let may = roles.iter().any(|role| matches!(role.as_str(), "view-users" | "manage-users"));
            return Ok((!may).then_some(Outcome::Forbidden));
        }
        if account.user_id.is_empty() {
            return Ok(None);
        }
        let own = Request::new(&["users", &account.user_id]);
        let asked = patiently(self.source, &own, &self.run.settings.patience).await;
        Ok(matches!(asked, Err(Missed::Because(Outcome::Forbidden))).then_some(Outcome::Forbidden))
    }
}

fn whole<'a>(realm: &'a str, area: Area, request: Request, take: Take<'a>) -> Unit<'a> {
    let areas = AREAS.iter().position(|known| *known == area).map_or(&AREAS[..0], |at| &AREAS[at..=at]);
    Unit { areas, realm, within: "", request, paging: Paging::Whole, gone: Gone::Missing, take }
}

fn list<'a>((realm, areas): (&'a str, &'static [Area]), request: Request, take: Take<'a>) -> Unit<'a> {
    Unit { areas, realm, within: "", request, paging: Paging::Offset, gone: Gone::Missing, take }
}
