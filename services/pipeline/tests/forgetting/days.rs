//! Weeks of a small organisation: who signs in, what they may do, and what changes. The same every time.

use super::support::{NOON, TENANT, event, position, receipt};
use events::{
    event::{DataClass, Event, Outcome},
    ids::event_id,
    receipt::{Input, SourceKind},
};
use store::Block;

pub const HOUR: i64 = 3_600_000;
pub const DAY: i64 = 24 * HOUR;
/// How many days there are; the last ends before [`NOON`].
pub const DAYS: i64 = 28;
const USERS: [&str; 6] = ["ann", "bob", "cid", "dora", "eve", "fay"];
const DECISIONS: i64 = 12;

/// Midnight of a day.
pub fn midnight(day: i64) -> i64 {
    (NOON - DAYS * DAY) / DAY * DAY + day * DAY
}

/// What happens, told one after another: each is one receipt of one event.
pub struct Teller {
    stream: u8,
    next: u64,
    block: Block,
    /// By which input, and what the native ids begin with.
    how: (Input, &'static str),
}

impl Teller {
    pub fn new(stream: u8) -> Self {
        Self::by(stream, (Input::Webhook, ""))
    }

    /// What an import brings.
    pub fn imported(stream: u8) -> Self {
        Self::by(stream, (Input::Import, ""))
    }

    pub fn by(stream: u8, how: (Input, &'static str)) -> Self {
        Self { stream, next: 0, block: Block { receipts: Vec::new(), events: Vec::new() }, how }
    }

    /// What was told since the last time.
    pub fn block(&mut self) -> Block {
        std::mem::replace(&mut self.block, Block { receipts: Vec::new(), events: Vec::new() })
    }

    fn tell(&mut self, at: i64, kind: &str) -> &mut Event {
        let native = format!("{}{}-{}", self.how.1, self.stream, self.next);
        let stored = receipt(position(self.stream, self.next), self.how.0, &native);
        self.next += 1;
        let mut event = event(&stored);
        event.kind = kind.into();
        (event.time, event.time_min, event.time_max) = (at, at, at);
        self.block.receipts.push(stored);
        self.block.events.push(event);
        self.block.events.last_mut().unwrap()
    }

    fn user(&mut self, at: i64, kind: &str, name: &str) -> &mut Event {
        let event = self.tell(at, kind);
        (event.person_id, event.person_name) = (format!("id-{name}"), name.into());
        event
    }

    fn line(&mut self, at: i64, kind: &str, name: &str) -> &mut Event {
        let event = self.tell(at, kind);
        event.source_id = "bs".into();
        event.source_kind = SourceKind::Backstage;
        event.event_id = event_id(TENANT, "bs", &event.native_id, 0);
        event.client.clear();
        if !name.is_empty() {
            event.person_name = format!("user:default/{name}");
        }
        event
    }

    /// Groups, people and what a role allows.
    pub fn begin(&mut self) {
        let at = midnight(0) + HOUR;
        let group = self.tell(at, "group_created");
        (group.action, group.right_id, group.right_name) = ("CREATE".into(), "g-ops".into(), "/ops".into());
        for (number, name) in (1..).zip(USERS) {
            self.user(at + number, "user_created", name).action = "CREATE".into();
            self.member(at + 100 + number, (name, true));
        }
        let role = "role:default/ops";
        let member = self.line(at + 200, "backstage_role_member_added", "");
        (member.right_id, member.holder_id) = (role.into(), "group:default/ops".into());
        let policy = self.line(at + 201, "backstage_policy_added", "");
        (policy.holder_id, policy.permission) = (role.into(), "deploy".into());
        policy.details.extend([("policy_action".into(), "use".into()), ("effect".into(), "allow".into())]);
    }

    pub fn member(&mut self, at: i64, (name, held): (&str, bool)) {
        let event = self.user(at, if held { "group_member_added" } else { "group_member_removed" }, name);
        (event.action, event.right_id, event.right_name) = ("CREATE".into(), "g-ops".into(), "/ops".into());
    }

    /// A day: everybody signs in, refreshes, decides and (mostly) signs out; now and then a membership changes.
    pub fn day(&mut self, day: i64) {
        for (number, name) in (0..).zip(USERS) {
            let begin = midnight(day) + 8 * HOUR + number * 60_000;
            if (day + number) % 9 == 4 {
                self.member(begin - HOUR, (name, false));
            }
            self.sign_in(begin, (name, &format!("s-{day}-{name}")));
            for decision in 0..DECISIONS {
                self.decide(begin + 10_000 + decision * 40 * 60_000, name);
            }
            if (day + number) % 9 == 4 {
                self.member(begin + 3 * HOUR, (name, true));
            }
            if (day + number) % 4 != 0 {
                self.user(begin + 9 * HOUR, "logout", name).session_id = format!("s-{day}-{name}");
            }
        }
    }

    pub fn sign_in(&mut self, at: i64, (name, session): (&str, &str)) {
        self.user(at, "login", name).session_id = session.into();
        let issued = self.user(at + 100, "token_issued", name);
        issued.native_type = "CODE_TO_TOKEN".into();
        (issued.session_id, issued.token_id) = (session.into(), format!("{session}-a0"));
        issued.refresh_token_id = format!("{session}-r0");
        let line = self.line(at + 200, "backstage_token_issued", name);
        line.details.insert("entities".into(), "group:default/ops".into());
        self.line(at + 210, "backstage_callback", "").session_id = session.into();
        for number in 1..4 {
            self.refresh(at + number * 50 * 60_000, (name, session), number);
        }
    }

    pub fn refresh(&mut self, at: i64, (name, session): (&str, &str), number: i64) {
        let refreshed = self.user(at, "token_refreshed", name);
        (refreshed.session_id, refreshed.token_id) = (session.into(), format!("{session}-a{number}"));
        refreshed.refresh_token_id = format!("{session}-r{}", number - 1);
        refreshed.new_refresh_token_id = format!("{session}-r{number}");
    }

    pub fn decide(&mut self, at: i64, name: &str) {
        let line = self.line(at, "decision", name);
        (line.permission, line.action, line.outcome) = ("deploy".into(), "use".into(), Outcome::Allow);
        line.data_class = DataClass::Decision;
    }
}
