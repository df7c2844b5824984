//! The rows that are asked: everything about number `n` follows from it, here and in the engine.

use serde_json::Value;

pub const DAY_MS: i64 = 86_400_000;
const DAYS: i64 = 90;
/// People, and groups of 50 of them each.
const PEOPLE: u64 = 20_000;
const GROUPS: u64 = 400;
/// One event in so many is a decision; in so many a login, which begins a session.
const DECISIONS: u64 = 5;
const LOGINS: u64 = 40;

/// So many events, evenly from an instant on.
pub struct Laid {
    pub events: u64,
    pub from: i64,
}

/// The id of something of a kind, as the engine makes it from an expression.
fn id(kind: u8, of: &str) -> String {
    format!("concat('0000000{kind}-0000-4000-8000-', leftPad(toString({of}), 12, '0'))")
}

fn own_id(kind: u8, n: u64) -> String {
    format!("0000000{kind}-0000-4000-8000-{n:012}")
}

const EVENT: u8 = 1;
const SESSION: u8 = 2;
const TOKEN: u8 = 3;
const GROUP: u8 = 4;
/// Neighbours in time are others: one after another, all people.
const PERSON: &str = "number % 20000";

impl Laid {
    pub fn name(&self, n: u64) -> String {
        format!("u{}", n % PEOPLE)
    }

    /// Sessions begin with each login.
    pub fn session(&self, n: u64) -> String {
        own_id(SESSION, n % (self.events / LOGINS))
    }

    pub fn token(&self, n: u64) -> String {
        own_id(TOKEN, n * 3 % self.events / DECISIONS * DECISIONS + 1)
    }

    pub fn event(&self, n: u64) -> String {
        own_id(EVENT, n * 7 % self.events)
    }

    pub fn decision(&self, n: u64) -> String {
        own_id(EVENT, n * 11 % (self.events / DECISIONS) * DECISIONS)
    }

    pub fn group(&self, n: u64) -> String {
        own_id(GROUP, n % GROUPS)
    }

    /// What lays them.
    pub fn statements(&self) -> Vec<String> {
        let few = self.events / LOGINS;
        vec![
            self.event_rows(),
            "INSERT INTO person_event_rows SELECT tenant, person, time, source_id, kind FROM event_rows".into(),
            self.derived(
                ("decision_rows", self.events / DECISIONS),
                &[
                    ("event_id", &format!("toUUID({})", id(EVENT, &format!("number * {DECISIONS}")))),
                    ("reference", "concat('user:default/u', toString(number % 20000))"),
                    ("permission", "['catalog.entity.read', 'catalog.entity.delete', 'scaffolder.task.create'][1 + number % 3]"),
                    ("action", "'read'"),
                    ("outcome", "if(number % 13 = 0, 'deny', 'allow')"),
                    ("verdict", "if(number % 1000 < 5, 'exposure', 'agrees')"),
                    ("clock", "'claims'"),
                    (
                        "support",
                        &format!(
                            "[({}, '', 'group:default/ops', 'role:default/ops', 'catalog.entity.read|read|allow', NULL)]",
                            id(GROUP, "number % 400")
                        ),
                    ),
                    ("session_id", &id(SESSION, &format!("number % {few}"))),
                    ("candidates", "1"),
                    ("grade", "'session'"),
                ],
            ),
            self.derived(
                ("session_rows", few),
                &[
                    ("source_id", "'keycloak'"),
                    ("session_id", &id(SESSION, "number")),
                    ("started_at", "moment"),
                    ("last_seen_at", "moment"),
                    ("logins", "1"),
                ],
            ),
            self.derived(
                ("token_rows", self.events / 4),
                &[
                    ("event_id", &format!("toUUID({})", id(EVENT, &format!("intDiv(number * 4, {DECISIONS}) * {DECISIONS} + 1")))),
                    ("session_id", &id(SESSION, &format!("number % {few}"))),
                    ("client", "'backstage'"),
                    ("issued_for", "'refresh'"),
                    ("access_token_id", &id(TOKEN, &format!("intDiv(number * 4, {DECISIONS}) * {DECISIONS} + 1"))),
                ],
            ),
            self.derived(
                ("credential_rows", self.events / 8),
                &[
                    ("event_id", "generateUUIDv4(number)"),
                    ("kind", "'refresh'"),
                    ("session_id", &id(SESSION, &format!("number % {few}"))),
                    ("sure", "1"),
                ],
            ),
            self.derived(
                ("grant_rows", PEOPLE * 3),
                &[
                    ("right_kind", "'group'"),
                    ("right_id", &id(GROUP, "sipHash64(number) % 400")),
                    ("held_from", "moment"),
                ],
            ),
            self.derived(
                ("alias_rows", PEOPLE),
                &[("kind", "'username'"), ("name", "concat('u', toString(number))"), ("user_id", "toString(number)")],
            ),
            self.derived(
                ("alias_rows", PEOPLE),
                &[("kind", "'entity_ref'"), ("name", "concat('user:default/u', toString(number))")],
            ),
        ]
    }

    /// Rows of the correlation.
    fn derived(&self, (table, count): (&str, u64), columns: &[(&str, &str)]) -> String {
        let (names, values): (Vec<&str>, Vec<&str>) = columns.iter().copied().unzip();
        let step = DAYS * DAY_MS / i64::try_from(count).unwrap().max(1);
        let kind = Value::from(format!("{table} {}", values[0].replace('\'', ""))).to_string().replace('"', "'");
        format!(
            "INSERT INTO {table} (tenant, person, at, row_id, version, is_deleted, content, because, {}) \
             WITH fromUnixTimestamp64Milli({} + toInt64(number) * {step}, 'UTC') AS moment \
             SELECT 'default', lower(hex(sipHash128({PERSON}))), moment, \
               reinterpretAsFixedString(reinterpretAsUInt128(sipHash128(number, {kind}))), 1, 0, 1, \
               toUUID('00000000-0000-0000-0000-000000000000'), {} FROM numbers({count})",
            names.join(", "),
            self.from,
            values.join(", ")
        )
    }

    /// One in five a decision of Backstage, one in forty a login, the rest refreshes.
    fn event_rows(&self) -> String {
        let step = DAYS * DAY_MS / i64::try_from(self.events).unwrap().max(1);
        let few = self.events / LOGINS;
        format!(
            "INSERT INTO event_rows (tenant, source_id, time, event_id, input, version, is_deleted, source_kind, kind, native_type, native_id, \
               time_basis, data_class, outcome, realm, person, person_id, person_name, actor, client, session_id, token_id, ip, permission, \
               stream, seq) \
             WITH number % {DECISIONS} = 0 AS decides, number % {LOGINS} = 7 AS signs_in \
             SELECT 'default', if(decides, 'backstage', 'keycloak'), fromUnixTimestamp64Milli({} + toInt64(number) * {step}, 'UTC'), \
               toUUID({}), if(decides, 'lines', 'webhook'), 281474976710656, 0, if(decides, 'backstage', 'keycloak'), \
               multiIf(decides, 'decision', signs_in, 'login', 'refresh'), multiIf(decides, 'permission-evaluation', signs_in, 'LOGIN', 'REFRESH_TOKEN'), \
               toString(generateUUIDv4(number)), if(decides, 'shipper', 'event'), if(decides, 'decision', 'authentication'), if(decides, 'allow', 'success'), 'acme', \
               sipHash128(if(decides, intDiv(number, {DECISIONS}), number) % 20000), lower(hex(sipHash128(number, 'p'))), concat('u', toString(number % 20000)), \
               sipHash128(if(decides, intDiv(number, {DECISIONS}), number) % 20000), 'backstage', \
               if(decides, '', {}), if(decides OR signs_in, '', {}), '10.0.0.1', if(decides, 'catalog.entity.read', ''), \
               toFixedString('bench', 16), number FROM numbers({})",
            self.from,
            id(EVENT, "number"),
            id(SESSION, &format!("number % {few}")),
            id(TOKEN, "number"),
            self.events,
        )
    }
}
