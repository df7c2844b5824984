//! The measured world: ids are random, users are picked unevenly, sessions go on.

use events::{
    event::{DataClass, Event, Outcome, RightChange},
    ids::{Position, StreamId, event_id},
    normalise::NORMALISER_VERSION,
    person::PersonKey,
    receipt::{HEADER_VERSION, Input, LinePlace, Payload, Receipt, ReceiptHeader, SourceKind, TimeBasis},
};
use std::collections::BTreeMap;
use store::{Block, Fate, StoredReceipt};
use uuid::Uuid;

const USERS: u64 = 50_000;
const OPEN_SESSIONS: usize = 4_000;
const START: i64 = 1_795_521_600_000;

/// SplitMix64: reproducible, and as hard to compress as real ids.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Low numbers far more often than high ones.
    fn uneven(&mut self, bound: u64) -> u64 {
        let unit = self.next() as f64 / u64::MAX as f64;
        ((bound as f64).powf(unit) as u64).clamp(1, bound) - 1
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.next() as u8)
    }

    fn uuid(&mut self) -> String {
        uuid::Builder::from_random_bytes(self.bytes()).into_uuid().to_string()
    }

    fn session(&mut self) -> String {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        (0..24).map(|_| char::from(LETTERS[self.below(64) as usize])).collect()
    }
}

#[derive(Clone)]
struct User {
    id: String,
    key: PersonKey,
    name: String,
    email: String,
    ip: String,
    agent: String,
}

pub struct World {
    random: Random,
    users: Vec<User>,
    groups: Vec<(String, String)>,
    sessions: Vec<(usize, String, String)>,
    stream: StreamId,
    time: i64,
}

impl World {
    pub fn new() -> Self {
        let mut random = Random(7);
        let users = (0..USERS)
            .map(|n| {
                let name = format!("{:x}.{:x}", random.below(1 << 20), n);
                User {
                    id: random.uuid(),
                    key: PersonKey(format!("{:016x}{:016x}", random.next(), random.next())),
                    email: format!("{name}@example.org"),
                    name,
                    ip: format!("10.{}.{}.{}", random.below(2), random.below(40), random.below(250)),
                    agent: format!("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/{}.0", random.below(400)),
                }
            })
            .collect();
        let groups = (0..400).map(|n| (random.uuid(), format!("/teams/team-{n}"))).collect();
        let stream = StreamId(random.bytes());
        Self { random, users, groups, sessions: Vec::new(), stream, time: START }
    }

    /// A session that goes on, or a new one.
    fn session(&mut self) -> (User, String, String) {
        if self.sessions.len() < OPEN_SESSIONS || self.random.below(12) == 0 {
            let user = self.random.uneven(USERS) as usize;
            let session = (user, self.random.session(), self.random.uuid());
            if self.sessions.len() < OPEN_SESSIONS {
                self.sessions.push(session);
            } else {
                let slot = self.random.below(OPEN_SESSIONS as u64) as usize;
                self.sessions[slot] = session;
            }
        }
        let slot = self.random.below(self.sessions.len() as u64) as usize;
        let (user, session, refresh) = &mut self.sessions[slot];
        let old = std::mem::replace(refresh, self.random.uuid());
        (self.users[*user].clone(), session.clone(), old)
    }

    fn one(&mut self, seq: u64) -> (StoredReceipt, Event) {
        self.time += self.random.below(60) as i64;
        let native_id = self.random.uuid();
        let (user, session, refresh) = self.session();
        let pick = self.random.below(100);
        let received_at = self.time + 20 + self.random.below(200) as i64;
        let position = Position { stream: self.stream, seq };
        let mut event = empty(position, received_at, self.time);
        event.person = Some(user.key.clone());
        event.actor = Some(user.key.clone());
        event.person_name = user.name.clone();
        event.actor_name = user.name.clone();
        let (body, payload, line) = if pick < 70 {
            self.access(&mut event, pick, (&user, session, refresh, &native_id))
        } else if pick < 80 {
            self.admin(&mut event, &user, &native_id)
        } else {
            self.decision(&mut event, &user)
        };
        let key = line.as_ref().map_or(native_id.clone(), |line| line.mark.clone());
        event.event_id = event_id(&event.tenant, &event.source_id, &key, 0);
        let header = ReceiptHeader {
            v: HEADER_VERSION,
            tenant: event.tenant.clone(),
            source_id: event.source_id.clone(),
            source_kind: event.source_kind,
            input: event.input,
            payload,
            received_at,
            native_id: event.native_id.clone(),
            delivery_id: if line.is_some() { format!("batch-{}", seq / 100) } else { self.random.uuid() },
            delivery_keyed: true,
            delivery_index: if line.is_some() { (seq % 100) as u32 } else { 0 },
            line,
        };
        let fate = Fate::event(&header, &event);
        let stored = StoredReceipt {
            receipt: Receipt { position, header, body: body.into_bytes() },
            fate,
            salt: self.random.bytes(),
            commitment: self.random.bytes(),
            chain: seq.is_multiple_of(4096).then(|| self.random.bytes()),
            enc: 0,
            normaliser: NORMALISER_VERSION,
        };
        (stored, event)
    }

    fn access(
        &mut self,
        event: &mut Event,
        pick: u64,
        of: (&User, String, String, &str),
    ) -> (String, Payload, Option<LinePlace>) {
        let (user, session, refresh, native_id) = of;
        let (kind, native) = match pick {
            0..25 => ("login", "LOGIN"),
            25..50 => ("code_to_token", "CODE_TO_TOKEN"),
            _ => ("refresh", "REFRESH_TOKEN"),
        };
        event.kind = kind.into();
        event.native_type = native.into();
        event.native_id = native_id.into();
        event.person_id = user.id.clone();
        event.actor_id = user.id.clone();
        event.session_id = session.clone();
        event.code_id = if pick < 50 { session.clone() } else { String::new() };
        event.ip = user.ip.clone();
        event.user_agent = user.agent.clone();
        event.client = format!("client-{}", self.random.uneven(300));
        let mut tokens = String::new();
        if pick >= 25 {
            event.token_id = format!("onrtac:{}", self.random.uuid());
            event.refresh_token_id = refresh;
            tokens = format!(r#""token_id":"{}","refresh_token_id":"{}","#, event.token_id, event.refresh_token_id);
        }
        if pick >= 50 {
            event.new_refresh_token_id = self.random.uuid();
            tokens += &format!(r#""updated_refresh_token_id":"{}","#, event.new_refresh_token_id);
        }
        event.details = [("grant_type", "authorization_code"), ("scope", "openid profile email")]
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .into();
        let body = format!(
            r#"{{"id":"{native_id}","time":{},"realmId":"f04c949e-6ae5-442e-ac7f-c3b89bcea333","realmName":"acme","uid":"{}","authDetails":{{"realmId":"acme","clientId":"{}","userId":"{}","ipAddress":"{}","username":"{}","sessionId":"{session}"}},"details":{{{tokens}"grant_type":"authorization_code","refresh_token_type":"Refresh","scope":"openid profile email","code_id":"{session}","client_auth_method":"client-secret","redirect_uri":"https://backstage.example.org/api/auth/oidc/handler/frame"}},"type":"access.{native}"}}"#,
            event.time,
            self.random.uuid(),
            event.client,
            user.id,
            user.ip,
            user.name
        );
        (body, Payload::KeycloakWebhook, None)
    }

    fn admin(&mut self, event: &mut Event, user: &User, native_id: &str) -> (String, Payload, Option<LinePlace>) {
        let group = self.groups[self.random.uneven(400) as usize].clone();
        let admin = self.users[self.random.uneven(40) as usize].clone();
        event.kind = "group_member_added".into();
        event.native_type = "GROUP_MEMBERSHIP-CREATE".into();
        event.native_id = native_id.into();
        event.data_class = DataClass::Administration;
        event.person_id = user.id.clone();
        event.person_email = user.email.clone();
        event.actor = Some(admin.key);
        event.actor_id = admin.id.clone();
        event.actor_name = admin.name;
        event.ip = admin.ip;
        event.right_kind = "group".into();
        event.right_id = group.0.clone();
        event.right_name = group.1.clone();
        event.right_change = RightChange::Granted;
        event.resource_kind = "GROUP_MEMBERSHIP".into();
        event.resource = format!("users/{}/groups/{}", user.id, group.0);
        let body = format!(
            r#"{{"id":"{native_id}","time":{},"realmId":"acme","realmName":"acme","uid":"{}","authDetails":{{"realmId":"acme","clientId":"b5dbb6a5-2ab8-4d38-bb6c-0e5e4d5b4a3d","userId":"{}","ipAddress":"{}"}},"resourceType":"GROUP_MEMBERSHIP","operationType":"CREATE","resourcePath":"{}","representation":"{{\"id\":\"{}\",\"name\":\"team\",\"path\":\"{}\",\"attributes\":{{}},\"realmRoles\":[],\"clientRoles\":{{}}}}","details":{{"username":"{}","email":"{}"}},"type":"admin.GROUP_MEMBERSHIP-CREATE"}}"#,
            event.time,
            self.random.uuid(),
            admin.id,
            event.ip,
            event.resource,
            group.0,
            group.1,
            user.name,
            user.email
        );
        (body, Payload::KeycloakWebhook, None)
    }

    fn decision(&mut self, event: &mut Event, user: &User) -> (String, Payload, Option<LinePlace>) {
        event.source_id = "backstage".into();
        event.source_kind = SourceKind::Backstage;
        event.input = Input::Lines;
        event.kind = "decision".into();
        event.native_type = "permission.permission-evaluation".into();
        event.data_class = DataClass::Decision;
        event.time_basis = TimeBasis::Shipper;
        event.outcome = if self.random.below(10) == 0 { Outcome::Deny } else { Outcome::Allow };
        event.person_name = format!("user:default/{}", user.name);
        event.actor_name = event.person_name.clone();
        event.permission = ["catalog.entity.read", "catalog.entity.delete", "scaffolder.task.create"]
            [self.random.below(3) as usize]
            .into();
        event.action = "read".into();
        event.resource_kind = "catalog-entity".into();
        let mark = format!("{:016x}{:016x}", self.random.next(), self.random.next());
        let line = LinePlace {
            instance: format!("backstage-{}", self.random.below(3)),
            number: self.random.below(100) as u32,
            time_ns: Some(event.time * 1_000_000 + self.random.below(1_000_000) as i64),
            basis: TimeBasis::Shipper,
            mark,
            backlog: false,
        };
        let body = format!(
            r#"{{"actor":{{"actorId":"plugin:permission"}},"eventId":"permission-evaluation","isAuditEvent":true,"level":"info","message":"permission.permission-evaluation","meta":{{"action":"read","permissionName":"{}","resourceType":"catalog-entity","result":"{}","userEntityRef":"{}"}},"plugin":"permission","service":"backstage","severityLevel":"medium","status":"succeeded"}}"#,
            event.permission,
            event.outcome.as_str().to_uppercase(),
            event.person_name
        );
        (body, Payload::BackstageLine, Some(line))
    }

    /// Receipts from `first` on.
    pub fn block(&mut self, first: u64, count: u64) -> Block {
        let (receipts, events) = (first..first + count).map(|seq| self.one(seq)).unzip();
        Block { receipts, events }
    }
}

fn empty(receipt: Position, received_at: i64, time: i64) -> Event {
    let none = String::new;
    Event {
        event_id: Uuid::nil(),
        tenant: "default".into(),
        source_id: "keycloak".into(),
        source_kind: SourceKind::Keycloak,
        input: Input::Webhook,
        kind: none(),
        native_type: none(),
        native_id: none(),
        data_class: DataClass::Authentication,
        time,
        time_min: time,
        time_max: time,
        time_basis: TimeBasis::Event,
        outcome: Outcome::Success,
        realm: "acme".into(),
        realm_id: "f04c949e-6ae5-442e-ac7f-c3b89bcea333".into(),
        person: None,
        person_id: none(),
        person_name: none(),
        person_email: none(),
        actor: None,
        actor_kind: "user".into(),
        actor_id: none(),
        actor_name: none(),
        client: none(),
        session_id: none(),
        code_id: none(),
        token_id: none(),
        refresh_token_id: none(),
        new_refresh_token_id: none(),
        ip: none(),
        user_agent: none(),
        right_kind: none(),
        right_id: none(),
        right_name: none(),
        right_change: RightChange::None,
        holder_kind: none(),
        holder_id: none(),
        resource_kind: none(),
        resource: none(),
        permission: none(),
        action: none(),
        owner_refs: Vec::new(),
        error: none(),
        details: BTreeMap::new(),
        personal: BTreeMap::new(),
        receipt,
        ordinal: 0,
        received_at,
        normaliser: NORMALISER_VERSION,
    }
}
