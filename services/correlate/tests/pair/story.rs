//! The recorded inputs of the story, each as the collector and the normaliser would hand it on.

use crate::{samples, truth::Told};
use correlate::{
    Budgets, Config, Correlator, Join, Moment, Rank, Span,
    facts::{Entity, Fact, List, Piece, Read, What},
    rows::{Change, Key, Row},
};
use events::{
    event::Event,
    normalise::{Normalised, normalise},
    person::PersonKey,
    receipt::{self, Payload, Receipt},
};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

/// Something that arrives.
#[derive(Clone)]
pub enum Input {
    /// Number, whether it is an audit line or none of Backstage at all, and the event.
    Event(usize, bool, Box<Event>),
    KeycloakState(usize),
    RbacState(usize),
}

impl Input {
    pub fn number(&self) -> usize {
        match self {
            Self::Event(number, ..) | Self::KeycloakState(number) | Self::RbacState(number) => *number,
        }
    }

    /// Neither an access line nor an "Issuing" line.
    pub fn is_no_plain_line(&self) -> bool {
        !matches!(self, Self::Event(_, false, _))
    }
}

pub struct Story {
    pub truth: Value,
    pub inputs: Vec<Input>,
    /// Event of the n-th audit line.
    pub audit: HashMap<u64, Uuid>,
    state: Value,
    rbac: Value,
}

impl Story {
    pub fn recorded() -> Self {
        let json = |path: &str| serde_json::from_str(&samples::sample(path)).expect("JSON");
        let mut story = Self {
            truth: json("pair/truth.json"),
            inputs: Vec::new(),
            audit: HashMap::new(),
            state: json("pair/keycloak-state.json"),
            rbac: json("pair/backstage-rbac.json"),
        };
        let keycloak = [
            samples::webhook("pair/keycloak-webhook.ndjson"),
            samples::pulled("pair/keycloak-events.json"),
            samples::pulled("pair/keycloak-admin-events.json"),
        ];
        for receipt in keycloak.iter().flatten() {
            story.push(receipt, true);
        }
        let mut number = 0;
        for receipt in &samples::lines("pair/backstage-stdout.cri.log.gz") {
            let audit = String::from_utf8_lossy(&receipt.body).contains("\"isAuditEvent\":true");
            if audit {
                number += 1;
            }
            let event = story.push(receipt, audit);
            if let (true, Some(event)) = (audit, event) {
                story.audit.insert(number, event);
            }
        }
        for line in samples::sample("pair/backstage-catalog-history.ndjson").lines() {
            let receipt = samples::receipt(Payload::BackstageCatalogSnapshot, receipt::Input::Snapshot, line);
            story.push(&receipt, true);
        }
        story.inputs.push(Input::KeycloakState(story.inputs.len()));
        story.inputs.push(Input::RbacState(story.inputs.len()));
        story
    }

    fn push(&mut self, receipt: &Receipt, plain: bool) -> Option<Uuid> {
        let Normalised::Events(events) = normalise(receipt, &samples::context()) else { return None };
        let first = events.first().map(|event| event.event_id);
        for event in events {
            self.inputs.push(Input::Event(self.inputs.len(), plain, Box::new(event)));
        }
        first
    }

    /// Every other line of Backstage comes from a second instance.
    pub fn on_two_instances(mut self) -> Self {
        self.instances(|number| if number % 2 == 0 { Some("pod-1") } else { Some("pod-2") });
        self
    }

    pub fn without_instance(mut self) -> Self {
        self.instances(|_| None);
        self
    }

    fn instances(&mut self, name: impl Fn(usize) -> Option<&'static str>) {
        for input in &mut self.inputs {
            if let Input::Event(number, _, event) = input
                && event.details.contains_key("instance")
            {
                match name(*number) {
                    Some(name) => event.details.insert("instance".to_owned(), name.to_owned()),
                    None => event.details.remove("instance"),
                };
            }
        }
    }

    pub fn operations(&self, op: &str) -> Vec<&Value> {
        self.truth["operations"].as_array().unwrap().iter().filter(|operation| operation["op"] == op).collect()
    }

    /// Key of the person of an operation.
    pub fn key(&self, operation: &Value) -> PersonKey {
        samples::context().key.keycloak_user("default", "kc", operation["sub"].as_str().unwrap())
    }

    /// What the correlation says of these inputs, settled every now and then.
    pub fn told(&self, inputs: &[Input]) -> Told {
        let mut join = Join::new("bs", "kc");
        join.clients = vec!["backstage".to_owned()];
        join.token_life = 600_000;
        join.budgets = Budgets { catalog: 15_000, claims: 605_000, token: 600_000 };
        let key = samples::context().key;
        let mut correlator =
            Correlator::new(Config { tenant: "default".to_owned(), key, joins: vec![join], skew: 1_000 });
        let mut rows: BTreeMap<Key, Row> = BTreeMap::new();
        let mut note = |changes: Vec<Change>| {
            for change in changes {
                match change.row {
                    Some(row) => rows.insert(change.key, row),
                    None => rows.remove(&change.key),
                };
            }
        };
        for (count, input) in inputs.iter().enumerate() {
            match input {
                Input::Event(_, _, event) => correlator.take_event(event),
                Input::KeycloakState(number) => self.keycloak_state(*number, &mut correlator),
                Input::RbacState(number) => self.rbac_state(*number, &mut correlator),
            }
            if count % 97 == 0 {
                note(correlator.settle());
            }
        }
        note(correlator.settle());
        assert!(rows == correlator.rows(), "the changes come to the rows");
        Told { rows }
    }

    fn keycloak_state(&self, number: usize, correlator: &mut Correlator) {
        let state = &self.state;
        let text = |value: &'static str| move |item: &Value| item[value].as_str().unwrap_or("").to_owned();
        let items = |name: &str| state[name].as_array().unwrap().clone();
        let (users, groups) = (items("users"), items("groups"));
        let pairs = |name: &str| -> Vec<(String, String)> {
            let pair = |pair: &Value| (pair[0].as_str().unwrap().to_owned(), pair[1].as_str().unwrap().to_owned());
            state[name].as_array().unwrap().iter().map(pair).collect()
        };
        let lists = [
            (List::Members, pairs("members")),
            (List::GroupRoles, pairs("group_roles")),
            (List::Sessions, pairs("sessions")),
        ];
        let at = (state["read_at"].as_f64().unwrap() * 1_000.0) as i64;
        let realm = state["realm"].as_str().unwrap();
        let mut put = |piece: Piece<'_>| read(("kc", realm, number), at, piece, correlator);
        put(Piece::Begin { at });
        for user in &users {
            let (id, username, email) = (text("id")(user), text("username")(user), text("email")(user));
            let enabled = user["enabled"].as_bool().unwrap();
            put(Piece::Entity(Entity::User { user: &id, username: &username, email: &email, enabled }));
        }
        for group in &groups {
            let (id, path, parent) = (text("id")(group), text("path")(group), text("parent")(group));
            put(Piece::Entity(Entity::Group { group: &id, path: &path, parent: &parent }));
        }
        let mut counted = 0;
        for (list, pairs) in &lists {
            counted += pairs.len();
            put(Piece::List { list: *list, pairs: pairs.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect() });
        }
        let whole = vec![List::Users, List::Groups, List::Members, List::GroupRoles, List::Sessions];
        put(Piece::End { at, whole, entities: users.len() + groups.len(), pairs: counted });
    }

    /// Roles and policies as the RBAC plugin's REST API gave them at the end.
    fn rbac_state(&self, number: usize, correlator: &mut Correlator) {
        let at = (self.truth["ended"].as_f64().unwrap() * 1_000.0) as i64;
        let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
        let mut members: Vec<(String, String)> = Vec::new();
        for role in self.rbac["roles"].as_array().unwrap() {
            for member in role["memberReferences"].as_array().unwrap() {
                members.push((text(member), text(&role["name"])));
            }
        }
        let mut policies: Vec<(String, String)> = Vec::new();
        for policy in self.rbac["policies"].as_array().unwrap() {
            let said = [&policy["permission"], &policy["policy"], &policy["effect"]].map(text).join("|");
            policies.push((text(&policy["entityReference"]), said));
        }
        for condition in self.rbac["conditions"].as_array().unwrap() {
            let actions: Vec<String> = condition["permissionMapping"].as_array().unwrap().iter().map(text).collect();
            let said = format!("{}|{}|conditional", text(&condition["resourceType"]), actions.join(","));
            policies.push((text(&condition["roleEntityRef"]), said));
        }
        let mut put = |piece: Piece<'_>| read(("bs", "", number), at, piece, correlator);
        put(Piece::Begin { at });
        let counted = members.len() + policies.len();
        for (list, pairs) in [(List::RoleMembers, &members), (List::Policies, &policies)] {
            put(Piece::List { list, pairs: pairs.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect() });
        }
        put(Piece::End { at, whole: vec![List::RoleMembers, List::Policies], entities: 0, pairs: counted });
    }
}

fn read(of: (&str, &str, usize), at: i64, piece: Piece<'_>, correlator: &mut Correlator) {
    let (source, realm, number) = of;
    let id = format!("read {number}");
    let moment = Moment { at, rank: Rank::Read, event: Uuid::from_u128(number as u128) };
    let what = What::Read(Read { id: &id, piece });
    correlator.take(&Fact { moment, span: Span::exact(at), source, realm, by: "", what });
}
