//! Facts of a snapshot of state, live or recorded: its entities, its lists of marks, and what became of each area.
//!
//! A list names its entities by mark (keyed id and hash), and the receipt that says what a mark stands for can have come with an
//! earlier snapshot. Nothing is concluded here: [`crate::snapshots`] puts the pieces together.

use super::{Fact, Lifespans, Said, Snapshot, State, What, detail, fact};
use crate::moment::{Moment, Rank, Span};
use events::{
    event::Event,
    receipt::SourceKind,
    snapshot::{Area, ENTRY_DIGITS, HASH_BYTES, ID_BYTES, Outcome},
};

/// An entity and its state, as a list names them: equal marks are equal states of one entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark {
    /// Keyed id of the entity.
    pub entity: u128,
    /// Keyed hash of its state.
    pub hash: u64,
}

impl Mark {
    /// Reads both in hex; nothing if they are none.
    pub fn read(entity: &str, hash: &str) -> Option<Self> {
        let whole = entity.len() == 2 * ID_BYTES && hash.len() == 2 * HASH_BYTES;
        let read = || Some(Self { entity: u128::from_str_radix(entity, 16).ok()?, hash: hex(hash)? });
        if whole { read() } else { None }
    }

    /// The entries of a list; nothing if one of them is none.
    pub(crate) fn entries(text: &str) -> Option<Vec<Self>> {
        let entry = |at: usize| {
            let entry = text.get(at..at + ENTRY_DIGITS)?;
            Self::read(entry.get(..2 * ID_BYTES)?, entry.get(2 * ID_BYTES..)?)
        };
        (0..text.len()).step_by(ENTRY_DIGITS).map(entry).collect()
    }
}

fn hex(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok()
}

pub(super) fn facts<'a>(event: &'a Event, take: &mut dyn FnMut(Fact<'a>)) {
    let id = detail(event, "snapshot");
    let of_keycloak = event.source_kind == SourceKind::Keycloak;
    let (user, client) = (event.person_id.as_str(), event.client.as_str());
    if event.kind == "state_service_account" && !user.is_empty() && !client.is_empty() {
        // For good, so that no list of them need be whole.
        take(fact(event, Rank::Read, What::ServiceAccount { user, client }));
    }
    if let Some(said) = Lifespans::of(event).filter(|_| event.kind == "state_realm") {
        take(fact(event, Rank::Read, What::Lifespans(said)));
    }
    let Some(said) = said(event).filter(|_| !id.is_empty()) else { return };
    take(Fact {
        moment: Moment { at: event.time, rank: Rank::Read, event: event.event_id },
        span: Span { min: event.time_min, max: event.time_max },
        source: &event.source_id,
        // Of a Backstage, the realm of an annotation is no realm of the source.
        realm: if of_keycloak { &event.realm } else { "" },
        by: "",
        what: What::Snapshot(Snapshot { id, said }),
    });
}

fn said(event: &Event) -> Option<Said<'_>> {
    let number = |name: &str| detail(event, name).parse().ok();
    if event.kind == "snapshot_list" {
        let (area, within) = (area(event)?, event.resource.as_str());
        let entries = detail(event, "entries");
        return Some(Said::List { area, within, page: number("page")?, pages: number("pages")?, entries });
    }
    if event.kind == "snapshot_area" {
        let whole = detail(event, "outcome") == Outcome::Complete.as_str();
        let counted = (number("lists")?, number("pages")?, number("entities")?);
        return Some(Said::Area { area: area(event)?, whole, counted });
    }
    if !event.kind.starts_with("state_") {
        return None;
    }
    let mark = Mark::read(detail(event, "entity"), detail(event, "hash"))?;
    Some(Said::Entity { mark, state: state(event, area(event)?)? })
}

fn area(event: &Event) -> Option<Area> {
    event.resource_kind.parse().ok()
}

/// What the correlation takes from an entity; nothing of areas that it does not use.
fn state(event: &Event, area: Area) -> Option<State<'_>> {
    let (person, right, holder) = (event.person_id.as_str(), event.right_id.as_str(), event.holder_id.as_str());
    let name = event.person_name.as_str();
    Some(match area {
        Area::Realm => State::Realm { id: &event.realm_id, default_role: detail(event, "default_role_id") },
        Area::Roles => State::Role { role: right, name: &event.right_name, client: detail(event, "role_client_uuid") },
        Area::Groups => State::Group { group: right, path: &event.right_name, parent: detail(event, "parent_id") },
        Area::DefaultGroups => State::DefaultGroup { group: right },
        Area::Users => {
            let enabled = detail(event, "enabled") != "false";
            State::User { user: person, username: name, email: &event.person_email, enabled }
        }
        Area::Members | Area::RoleUsers => State::Pair { holder: person, held: right },
        Area::RoleGroups | Area::Composites => State::Pair { holder, held: right },
        Area::Sessions | Area::OfflineSessions => State::Pair { holder: person, held: &event.session_id },
        Area::CatalogUsers => State::CatalogUser { reference: name, keycloak: person },
        Area::CatalogGroups => {
            let (keycloak, parent) = (detail(event, "keycloak_id"), detail(event, "parent"));
            State::CatalogGroup { reference: right, keycloak, parent }
        }
        Area::CatalogMembers => State::Pair { holder: name, held: right },
        Area::RbacMembers if holder.is_empty() => State::Pair { holder: name, held: right },
        Area::RbacMembers => State::Pair { holder, held: right },
        Area::RbacPolicies | Area::RbacConditions => State::Policy {
            role: holder,
            permission: &event.right_name,
            action: detail(event, "policy_action"),
            effect: detail(event, "effect"),
        },
        Area::EventsConfig
        | Area::Clients
        | Area::ServiceAccounts
        | Area::IdentityProviders
        | Area::Flows
        | Area::FlowExecutions
        | Area::RequiredActions
        | Area::Organizations
        | Area::OrganizationMembers
        | Area::RbacRoles => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_entry_by_entry_or_not_at_all() {
        let (one, other) = ("0123456789abcdef0123456789abcdef", "00000000000000ff");
        let mark = Mark::read(one, other).unwrap();
        assert_eq!(mark, Mark { entity: 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef, hash: 255 });
        let text = format!("{one}{other}");
        assert_eq!(Mark::entries(""), Some(vec![]));
        assert_eq!(Mark::entries(&text.repeat(3)), Some(vec![mark; 3]));
        assert_eq!(Mark::entries(&text[1..]), None);
        assert_eq!(Mark::entries(&text.replace('f', "x")), None);
        assert_eq!(Mark::read(other, one), None);
    }
}
