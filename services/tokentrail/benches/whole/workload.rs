//! Requests as Keycloaks and Backstages send them: recorded shapes, values of a made-up world, signed.
//!
//! What repeats in life repeats here (50,000 users picked unevenly, sessions of about a dozen events, 400 groups, 300
//! clients), nothing more: every id of an event, token or session is random.

use crate::{
    members::Members,
    template::{Hole, Template},
};
use hmac::{Hmac, KeyInit, Mac};
use rand::{Rng, RngCore, SeedableRng, rngs::StdRng};
use sha2::Sha256;
use std::{
    io::{Read, Write},
    path::Path,
    sync::Arc,
};

/// Secret of the servers that this binary plays.
pub const SECRET: &str = "secret-of-the-bench-0001";

const USERS: usize = 50_000;
/// Of the users.
const ADMINS: usize = 20;
const GROUPS: usize = 400;
const CLIENTS: usize = 300;
/// Sessions that one sender has open at once.
const OPEN_SESSIONS: usize = 500;
/// One event in so many opens a session.
const EVENTS_OF_A_SESSION: u32 = 12;
/// Receipts of one batch.
pub const BATCH: usize = 100;
/// Of ten batches this many are Backstage lines, the rest Keycloak events.
const LINE_BATCHES: u32 = 2;

/// Types of Keycloak events and how often they come, in a hundred.
const MIX: [(&str, u32); 14] = [
    ("access.LOGIN", 20),
    ("access.CODE_TO_TOKEN", 20),
    ("access.REFRESH_TOKEN", 28),
    ("access.LOGIN_ERROR", 3),
    ("access.LOGOUT", 5),
    ("access.CLIENT_LOGIN", 5),
    ("access.USER_INFO_REQUEST", 4),
    ("access.INTROSPECT_TOKEN_ERROR", 1),
    ("access.REVOKE_GRANT", 2),
    ("admin.GROUP_MEMBERSHIP-CREATE", 4),
    ("admin.GROUP_MEMBERSHIP-DELETE", 3),
    ("admin.REALM_ROLE_MAPPING-CREATE", 2),
    ("admin.USER-UPDATE", 2),
    ("admin.USER-CREATE", 1),
];

/// What an event does to who is there and in a group.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    None,
    Joins,
    Leaves,
    /// Somebody who was not there before.
    Creates,
}

struct User {
    id: String,
    name: String,
    address: String,
}

impl User {
    fn random(random: &mut StdRng) -> Self {
        let id = uuid(random);
        let name = format!("{:05x}.{}@example.org", random.random_range(0..1 << 20), &id[..8]);
        let address = (random.random_range(0..2), random.random_range(0..40), random.random_range(1..250));
        Self { id, name, address: format!("10.{}.{}.{}", address.0, address.1, address.2) }
    }
}

/// What all senders share.
pub struct World {
    users: Vec<User>,
    groups: Vec<(String, String)>,
    /// Names, and ids of their service accounts.
    clients: Vec<(String, String)>,
    /// One entry per hundredth of the mix.
    events: Vec<(Change, Arc<Template>)>,
    decisions: Vec<Template>,
    members: Members,
}

impl World {
    /// Reads the recorded shapes from `samples`.
    pub fn new(samples: &Path) -> Self {
        let mut random = StdRng::from_os_rng();
        let users = (0..USERS).map(|_| User::random(&mut random)).collect();
        let groups = (0..GROUPS).map(|n| (uuid(&mut random), format!("/platform/team-{n}"))).collect();
        let clients = (0..CLIENTS).map(|n| (format!("application-{n}"), uuid(&mut random))).collect();
        let mut events = Vec::new();
        for (kind, share) in MIX {
            let template = Arc::new(recorded(samples, kind));
            let change = match kind {
                "admin.GROUP_MEMBERSHIP-CREATE" => Change::Joins,
                "admin.GROUP_MEMBERSHIP-DELETE" => Change::Leaves,
                "admin.USER-CREATE" => Change::Creates,
                _ => Change::None,
            };
            events.extend((0..share).map(|_| (change, template.clone())));
        }
        Self { users, groups, clients, events, decisions: decisions(samples), members: Members::default() }
    }
}

/// The first recorded delivery of a type.
fn recorded(samples: &Path, kind: &str) -> Template {
    let text = std::fs::read_to_string(samples.join("keycloak/webhook.ndjson")).unwrap();
    let bodies = text.lines().map(|line| {
        let delivery: serde_json::Value = serde_json::from_str(line).unwrap();
        delivery["body"].as_str().unwrap().to_owned()
    });
    let mut of_kind = bodies.filter(|body| body.contains(&format!(r#""type":"{kind}""#)));
    Template::new(&of_kind.next().unwrap_or_else(|| panic!("no recorded {kind}")))
}

/// The recorded permission decisions, terminal lines only.
fn decisions(samples: &Path) -> Vec<Template> {
    let file = std::fs::File::open(samples.join("pair/backstage-stdout.cri.log.gz")).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    let lines = text.lines().filter_map(|line| line.split_once(" stdout F ").map(|(_, line)| line));
    let terminal = |line: &&str| line.contains("\"permission-evaluation\"") && line.contains("\"succeeded\"");
    let templates: Vec<_> = lines.filter(terminal).map(Template::new).collect();
    assert!(!templates.is_empty(), "no recorded decision");
    templates
}

fn uuid(random: &mut StdRng) -> String {
    let mut bytes = [0; 16];
    random.fill_bytes(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}

struct Session {
    user: usize,
    id: String,
    refresh: String,
    client: usize,
}

/// Whom an event is about, and who did it: places in the world.
#[derive(Clone, Copy)]
struct Whose {
    /// None: somebody new.
    user: Option<usize>,
    group: usize,
    admin: usize,
}

/// How a target wants its requests.
#[derive(Clone, Debug)]
pub struct Address {
    pub host: String,
    /// HMAC secret of the source `keycloak`.
    pub secret: String,
    /// Bearer token of the source `backstage`; only for batches.
    pub token: String,
}

/// A request ready to be written, and what it carries.
#[derive(Default)]
pub struct Prepared {
    pub bytes: Vec<u8>,
    /// Receipts in it.
    pub receipts: u64,
    /// XOR of the first eight bytes of the Keycloak event ids in it: tells which events arrived, not only how many.
    pub ids: u64,
    /// Whether they are lines of a Backstage.
    pub lines: bool,
}

/// Makes the requests of one sender.
pub struct Sender {
    world: Arc<World>,
    random: StdRng,
    sessions: Vec<Session>,
    address: Address,
    mac: Hmac<Sha256>,
    body: Vec<u8>,
}

impl Sender {
    pub fn new(world: Arc<World>, address: Address) -> Self {
        let mac = Hmac::new_from_slice(address.secret.as_bytes()).unwrap();
        Self { world, random: StdRng::from_os_rng(), sessions: Vec::new(), address, mac, body: Vec::new() }
    }

    /// One signed webhook.
    pub fn webhook(&mut self, request: &mut Prepared) {
        self.body.clear();
        let ids = self.event();
        self.signed(request);
        (request.receipts, request.ids, request.lines) = (1, ids, false);
    }

    /// A hundred Keycloak events in one signed array, or a hundred Backstage lines.
    pub fn batch(&mut self, request: &mut Prepared) {
        self.body.clear();
        request.ids = 0;
        request.receipts = BATCH as u64;
        request.lines = self.random.random_range(0..10) < LINE_BATCHES;
        if request.lines {
            (0..BATCH).for_each(|_| self.decision());
            let authorization = format!("authorization: Bearer {}", self.address.token);
            return self.request(request, ("backstage/backstage", "text/plain", &authorization));
        }
        for place in 0..BATCH {
            self.body.push(if place == 0 { b'[' } else { b',' });
            request.ids ^= self.event();
        }
        self.body.push(b']');
        self.signed(request);
    }

    fn signed(&mut self, request: &mut Prepared) {
        let mut mac = self.mac.clone();
        mac.update(&self.body);
        let signature = format!("x-keycloak-signature: {}", hex::encode(mac.finalize().into_bytes()));
        self.request(request, ("keycloak/keycloak", "application/json", &signature));
    }

    fn request(&self, request: &mut Prepared, (route, kind, proof): (&str, &str, &str)) {
        request.bytes.clear();
        write!(
            request.bytes,
            "POST /v1/{route} HTTP/1.1\r\ncontent-type: {kind}\r\n{proof}\r\ncontent-length: {}\r\nhost: {}\r\n\
             connection: Keep-Alive\r\nuser-agent: Apache-HttpClient/4.5.14 (Java/25.0.3)\r\n\
             accept-encoding: gzip,deflate\r\n\r\n",
            self.body.len(),
            self.address.host,
        )
        .unwrap();
        request.bytes.extend_from_slice(&self.body);
    }

    /// One signed webhook of somebody who gives themselves a group: a finding of D05. The `n`th one is another person's than all before.
    pub fn escalation(&mut self, n: usize, request: &mut Prepared) {
        self.body.clear();
        let world = self.world.clone();
        let (_, template) = world.events.iter().find(|(change, _)| *change == Change::Joins).unwrap();
        let place = self.session();
        // Those of low numbers do most of what is done, those of the highest administer.
        let person = USERS - 1 - ADMINS - n % (USERS / 2);
        let mut group = uneven(&mut self.random, GROUPS);
        while !world.members.joins((person, group)) {
            group = uneven(&mut self.random, GROUPS);
        }
        let ids = self.fill(template, place, Whose { user: Some(person), group, admin: person });
        self.signed(request);
        (request.receipts, request.ids, request.lines) = (1, ids, false);
    }

    /// Appends one event to the body; returns the first eight bytes of its id.
    fn event(&mut self) -> u64 {
        let world = self.world.clone();
        loop {
            let (change, template) = &world.events[self.random.random_range(0..world.events.len())];
            let place = self.session();
            let Some((user, group)) = self.whose(*change, place) else { continue };
            let admin = USERS - 1 - self.random.random_range(0..ADMINS);
            return self.fill(template, place, Whose { user, group, admin });
        }
    }

    fn fill(&mut self, template: &Template, place: usize, whose: Whose) -> u64 {
        let world = self.world.clone();
        let new = whose.user.is_none().then(|| User::random(&mut self.random));
        let user = whose.user.map(|user| &world.users[user]).or(new.as_ref()).unwrap();
        let (group, admin) = (&world.groups[whose.group], &world.users[whose.admin]);
        let next = uuid(&mut self.random);
        let mut first = None;
        let now = jiff::Timestamp::now().as_millisecond();
        let Self { random, sessions, body, .. } = self;
        let session = &mut sessions[place];
        template.fill(body, |hole, out| {
            let text = match hole {
                Hole::Fresh => {
                    let id = uuid(random);
                    first.get_or_insert_with(|| uuid::Uuid::parse_str(&id).unwrap().as_u64_pair().0);
                    out.extend_from_slice(id.as_bytes());
                    return;
                }
                Hole::Time => return write!(out, "{now}").unwrap(),
                Hole::EntityRef => return write!(out, "user:default/{}", user.name).unwrap(),
                Hole::User => &user.id,
                Hole::UserName | Hole::Email => &user.name,
                Hole::Admin => &admin.id,
                Hole::AdminName => &admin.name,
                Hole::Address => &user.address,
                Hole::Client => &world.clients[session.client].0,
                Hole::Machine => &world.clients[session.client].1,
                Hole::MachineName => {
                    return write!(out, "service-account-{}", world.clients[session.client].0).unwrap();
                }
                Hole::Session => &session.id,
                Hole::Refresh => &session.refresh,
                Hole::NextRefresh => &next,
                Hole::Group => &group.0,
                Hole::GroupPath => &group.1,
            };
            out.extend_from_slice(text.as_bytes());
        });
        session.refresh = next;
        first.unwrap()
    }

    /// User (none: somebody new) and group of an event; none if nobody is there of whom it can be said.
    fn whose(&mut self, change: Change, place: usize) -> Option<(Option<usize>, usize)> {
        let (user, group) = (self.sessions[place].user, uneven(&mut self.random, GROUPS));
        match change {
            Change::Leaves => self.world.members.leaves().map(|(user, group)| (Some(user), group)),
            Change::Joins => self.world.members.joins((user, group)).then_some((Some(user), group)),
            Change::Creates => Some((None, group)),
            Change::None => Some((Some(user), group)),
        }
    }

    /// Appends one line as a container runtime writes it.
    fn decision(&mut self) {
        let world = self.world.clone();
        let template = &world.decisions[self.random.random_range(0..world.decisions.len())];
        let user = &world.users[uneven(&mut self.random, USERS)];
        let now = jiff::Timestamp::now() + jiff::SignedDuration::from_nanos(self.random.random_range(0..1_000_000));
        write!(self.body, "{now:.9} stdout F ").unwrap();
        template.fill(&mut self.body, |hole, out| match hole {
            Hole::EntityRef => write!(out, "user:default/{}", user.name).unwrap(),
            other => panic!("a decision has no {other:?}"),
        });
        self.body.push(b'\n');
    }

    /// A session that goes on, or a new one.
    fn session(&mut self) -> usize {
        if self.sessions.len() == OPEN_SESSIONS && !self.random.random_ratio(1, EVENTS_OF_A_SESSION) {
            return self.random.random_range(0..OPEN_SESSIONS);
        }
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let id = (0..24).map(|_| char::from(LETTERS[self.random.random_range(0..64)])).collect();
        let (user, client) = (uneven(&mut self.random, USERS), uneven(&mut self.random, CLIENTS));
        let session = Session { user, id, refresh: uuid(&mut self.random), client };
        if self.sessions.len() < OPEN_SESSIONS {
            self.sessions.push(session);
            return self.sessions.len() - 1;
        }
        let place = self.random.random_range(0..OPEN_SESSIONS);
        self.sessions[place] = session;
        place
    }
}

/// Low numbers far more often than high ones.
fn uneven(random: &mut StdRng, bound: usize) -> usize {
    let unit: f64 = random.random();
    ((bound as f64).powf(unit) as usize).clamp(1, bound) - 1
}
