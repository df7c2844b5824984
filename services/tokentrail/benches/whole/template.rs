//! A recorded event with its values taken out: filled in again, it has the recorded shape and another world's values.
//!
//! Which value stands where is told by the field's name, so that a recording of any type can be used as it is.

use serde_json::{Map, Value};

/// What a hole is filled with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hole {
    /// A random id, used once.
    Fresh,
    /// Now, milliseconds.
    Time,
    User,
    UserName,
    /// Who changes others: somebody who changes only themselves would be a finding each time.
    Admin,
    AdminName,
    /// The machine that a client is when it signs in for itself.
    Machine,
    MachineName,
    Email,
    Address,
    Client,
    Session,
    /// The refresh token that the session holds.
    Refresh,
    /// The one that replaces it.
    NextRefresh,
    Group,
    GroupPath,
    EntityRef,
}

/// Marks a hole in JSON text; stands in no recording and needs no escape.
const OPEN: char = '⟦';
const CLOSE: char = '⟧';

const HOLES: [Hole; 17] = [
    Hole::Fresh,
    Hole::Time,
    Hole::User,
    Hole::UserName,
    Hole::Admin,
    Hole::AdminName,
    Hole::Machine,
    Hole::MachineName,
    Hole::Email,
    Hole::Address,
    Hole::Client,
    Hole::Session,
    Hole::Refresh,
    Hole::NextRefresh,
    Hole::Group,
    Hole::GroupPath,
    Hole::EntityRef,
];

/// Text around holes.
#[derive(Clone, Debug)]
pub struct Template {
    /// Each text is followed by its hole; the last by none.
    parts: Vec<(String, Option<Hole>)>,
}

impl Template {
    /// Makes a template of one recorded event or line.
    pub fn new(recorded: &str) -> Self {
        let mut value: Value = serde_json::from_str(recorded).unwrap();
        empty_value("", &mut value);
        let machine = value["type"] == "access.CLIENT_LOGIN";
        let time = format!("\"{}\"", hole(Hole::Time));
        let mut text = value.to_string().replace(&time, &hole(Hole::Time));
        if machine {
            text = text
                .replace(&hole(Hole::User), &hole(Hole::Machine))
                .replace(&hole(Hole::UserName), &hole(Hole::MachineName));
        }
        let mut parts = Vec::new();
        for piece in text.split(CLOSE) {
            match piece.split_once(OPEN) {
                Some((before, number)) => {
                    parts.push((before.to_owned(), Some(HOLES[number.parse::<usize>().unwrap()])))
                }
                None => parts.push((piece.to_owned(), None)),
            }
        }
        Self { parts }
    }

    /// Writes the text with every hole filled.
    pub fn fill(&self, out: &mut Vec<u8>, mut value: impl FnMut(Hole, &mut Vec<u8>)) {
        for (text, hole) in &self.parts {
            out.extend_from_slice(text.as_bytes());
            if let Some(hole) = hole {
                value(*hole, out);
            }
        }
    }
}

fn hole(hole: Hole) -> String {
    let place = HOLES.iter().position(|known| *known == hole).unwrap();
    format!("{OPEN}{place}{CLOSE}")
}

fn empty_value(name: &str, value: &mut Value) {
    match value {
        Value::Object(fields) => empty_fields(fields),
        Value::Array(items) => items.iter_mut().for_each(|item| empty_value("", item)),
        Value::String(text) => *text = emptied(name, text),
        Value::Number(_) if name == "time" => *value = Value::String(hole(Hole::Time)),
        _ => {}
    }
}

fn empty_fields(fields: &mut Map<String, Value>) {
    let group = fields.contains_key("path") && fields.contains_key("subGroups");
    // A realm has as many roles as were recorded: one with another id each time would be another role.
    let role = fields.contains_key("containerId") && fields.contains_key("clientRole");
    if role {
        return;
    }
    for (name, value) in fields.iter_mut() {
        if let ("authDetails", Value::Object(actor)) = (name.as_str(), &mut *value) {
            empty_fields(actor);
            for (field, admin) in [("userId", Hole::Admin), ("username", Hole::AdminName)] {
                if let Some(value) = actor.get_mut(field) {
                    *value = Value::String(hole(admin));
                }
            }
            continue;
        }
        match (group, name.as_str()) {
            (true, "id") => *value = Value::String(hole(Hole::Group)),
            (true, "path") => *value = Value::String(hole(Hole::GroupPath)),
            _ => empty_value(name, value),
        }
    }
}

/// The text of a field with its values taken out. Addresses and scopes of the recording's laboratory become as long as
/// they are in production.
fn emptied(name: &str, text: &str) -> String {
    let whole = |what| hole(what);
    match name {
        "id" | "uid" => whole(Hole::Fresh),
        "userId" | "refresh_token_sub" => whole(Hole::User),
        "username" => whole(Hole::UserName),
        "email" => whole(Hole::Email),
        "ipAddress" | "ip" => whole(Hole::Address),
        "clientId" => whole(Hole::Client),
        "sessionId" | "code_id" => whole(Hole::Session),
        "refresh_token_id" => whole(Hole::Refresh),
        "updated_refresh_token_id" => whole(Hole::NextRefresh),
        "token_id" => {
            let kind = text.split_once(':').map_or(String::new(), |(kind, _)| format!("{kind}:"));
            kind + &hole(Hole::Fresh)
        }
        "userEntityRef" => whole(Hole::EntityRef),
        "redirect_uri" => "https://backstage.platform.example.org/api/auth/oidc/handler/frame".into(),
        "scope" => "openid profile email groups offline_access".into(),
        "resourcePath" => path(text),
        "resourceId" if is_uuid(text) => whole(Hole::Group),
        "representation" => {
            let mut inner: Value = serde_json::from_str(text).unwrap();
            empty_value("", &mut inner);
            inner.to_string()
        }
        _ => text.to_owned(),
    }
}

/// `users/<id>/groups/<id>` with other ids.
fn path(text: &str) -> String {
    let mut before = "";
    let parts = text.split('/').map(|part| {
        let emptied = match (is_uuid(part), before) {
            (true, "users") => hole(Hole::User),
            (true, _) => hole(Hole::Group),
            (false, _) => part.to_owned(),
        };
        before = part;
        emptied
    });
    parts.collect::<Vec<_>>().join("/")
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36 && uuid::Uuid::try_parse(text).is_ok()
}
