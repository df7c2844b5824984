//! What is known and was said, as bytes, so that a start need not take every fact in again: [`Correlator::keep`] and
//! [`Correlator::restore`].
//!
//! A checkpoint is the state itself, not a summary of it: restored at any point and gone on from there, the answers are those of
//! a correlator that never stopped. It is of use to the program that wrote it (or one of the same rules) with the same
//! configuration: whoever keeps it says so beside it. Written and read in chunks, because a state can be larger than one
//! would hold twice. Nothing here reads or writes a file.

mod codec;
mod text;
mod values;

pub use codec::{Kept, Reader, Unreadable, Writer};
pub(crate) use codec::{kept_enum, kept_struct};
pub(crate) use text::hyphenated;

use crate::{
    config::Config,
    correlator::Correlator,
    facts::{EndKind, Grant, List, Mark},
    known::Known,
    settle::Rows,
};
use events::{event::Outcome, person::PersonKey, snapshot::Area};
use std::cell::Cell;

impl Correlator {
    /// Hands over all of the state.
    pub fn keep(&self, to: &mut Writer<'_>) {
        let Self { known, dirt, rows, sized: _ } = self;
        known.keep(to);
        dirt.put(to);
        rows.keep(to);
    }

    /// The state as it was kept, under the same configuration.
    pub fn restore(config: Config, from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let rows = Rows::new(&config);
        let known = Known::restore(config, from)?;
        Ok(Self { known, dirt: Kept::get(from)?, rows: rows.restore(from)?, sized: Cell::default() })
    }

    /// What takes the memory: bytes by part of the state, largest first. Costs a walk through all of it.
    pub fn rooms(&self) -> Vec<(String, usize)> {
        let mut rooms = self.known.rooms();
        rooms.extend(self.rows.rooms().into_iter().map(|(part, bytes)| (format!("rows.{part}"), bytes)));
        rooms.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        rooms
    }
}

kept_enum!(Outcome {
    0 Success {}, 1 Failure {}, 2 Allow {}, 3 Deny {}, 4 Conditional {}, 5 Unknown {},
});

kept_enum!(Area {
    0 Realm {}, 1 EventsConfig {}, 2 Clients {}, 3 ServiceAccounts {}, 4 Roles {}, 5 Groups {}, 6 DefaultGroups {}, 7 Users {},
    8 Members {}, 9 RoleUsers {}, 10 RoleGroups {}, 11 Composites {}, 12 Organizations {}, 13 OrganizationMembers {},
    14 Sessions {}, 15 OfflineSessions {}, 16 CatalogUsers {}, 17 CatalogGroups {}, 18 CatalogMembers {}, 19 RbacRoles {},
    20 RbacMembers {}, 21 RbacPolicies {}, 22 RbacConditions {}, 23 IdentityProviders {}, 24 Flows {}, 25 FlowExecutions {},
    26 RequiredActions {},
});

kept_enum!(Grant { 0 Code {}, 1 Refresh {}, 2 Password {}, 3 Client {}, 4 Exchange {}, 5 Other {} });

kept_enum!(EndKind { 0 Logout {}, 1 RevokeGrant {}, 2 Admin {}, 3 Expired {}, 4 UserDeleted {}, 5 AbsentFromRead {} });

kept_enum!(List {
    0 Members {}, 1 UserRoles {}, 2 GroupRoles {}, 3 Composites {}, 4 DefaultGroups {}, 5 Sessions {}, 6 CatalogMembers {},
    7 RoleMembers {}, 8 Policies {}, 9 Users {}, 10 Groups {}, 11 Roles {},
});

kept_struct!(Mark { entity, hash });

impl Kept for PersonKey {
    fn put(&self, to: &mut Writer<'_>) {
        self.0.put(to);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        Ok(Self(Kept::get(from)?))
    }

    fn room(&self) -> usize {
        self.0.capacity()
    }
}
