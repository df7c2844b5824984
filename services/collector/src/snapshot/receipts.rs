//! The receipts of a snapshot, and the role without which an area cannot be read.

use super::{
    pass::Entry,
    progress::Packed,
    run::Run,
    unit::{Item, Unit},
};
use crate::{pull::Received, redact::state};
use events::{
    receipt::{HEADER_VERSION, Input, Payload, ReceiptHeader},
    snapshot::{Area, ENTRY_DIGITS, Entity, LIST_ENTRIES, List, Trigger, canonical},
};
use serde_json::Value;
use std::collections::BTreeMap;

/// How often what a realm records is told, where it did not change, milliseconds.
const TOLD_EVERY: i64 = 12 * 3_600_000;

impl Run<'_> {
    /// True if this one tells what a realm records of events, changed or not. An event may have said otherwise since the last one: that it is as
    /// that one found it is then news, and nothing here knows of the event. Hourly snapshots do not fill the store with it.
    pub(super) fn tells_again(&self) -> bool {
        let begin = &self.progress.begin;
        begin.trigger == Trigger::Demand || begin.time.saturating_sub(self.previous.told_at) >= TOLD_EVERY
    }

    /// One entity, read within `times`.
    pub(super) fn entity(
        &self,
        (realm, times): (&str, (i64, i64)),
        (entry, item, state): (Entry, &Item, Value),
    ) -> Received {
        let told = Entity {
            snapshot: self.progress.begin.snapshot.clone(),
            area: entry.area,
            realm: realm.to_owned(),
            entity: hex::encode(entry.id),
            hash: hex::encode(entry.hash),
            time_min: times.0,
            time_max: times.1,
            state,
            names: canonical(&state::redact(&self.around.key, entry.area, &item.names).unwrap_or_default()),
        };
        let native = format!("{}:{}", told.entity, told.hash);
        self.receipt(Payload::SnapshotEntity, (native, serde_json::to_vec(&told).unwrap_or_default()))
    }

    /// The lists of a unit, and how many of each area.
    pub(super) fn lists(
        &self,
        unit: &Unit<'_>,
        packed: &Packed,
        times: (i64, i64),
    ) -> (BTreeMap<Area, u64>, Vec<Received>) {
        let (mut pages, mut receipts) = (BTreeMap::new(), Vec::new());
        for area in unit.areas {
            let digits = packed.get(area).map_or("", String::as_str);
            let chunk = LIST_ENTRIES * ENTRY_DIGITS;
            let count = digits.len().div_ceil(chunk).max(1);
            pages.insert(*area, count as u64);
            for page in 0..count {
                let told = List {
                    snapshot: self.progress.begin.snapshot.clone(),
                    area: *area,
                    realm: unit.realm.to_owned(),
                    within: unit.within.to_owned(),
                    page: u32::try_from(page).unwrap_or(u32::MAX),
                    pages: u32::try_from(count).unwrap_or(u32::MAX),
                    time_min: times.0,
                    time_max: times.1,
                    entries: digits[page * chunk..digits.len().min((page + 1) * chunk)].to_owned(),
                };
                let native = format!("list:{}:{}:{}:{page}", unit.realm, area.as_str(), unit.within);
                let body = serde_json::to_vec(&told).unwrap_or_default();
                receipts.push(self.receipt(Payload::SnapshotList, (native, body)));
            }
        }
        (pages, receipts)
    }

    /// A receipt of this snapshot; `native` tells it from its others.
    pub(super) fn receipt(&self, payload: Payload, (native, body): (String, Vec<u8>)) -> Received {
        let snapshot = &self.progress.begin.snapshot;
        let header = ReceiptHeader {
            v: HEADER_VERSION,
            tenant: self.whose.tenant.to_owned(),
            source_id: self.whose.source_id.to_owned(),
            source_kind: self.whose.kind,
            input: Input::Snapshot,
            payload,
            received_at: (self.around.now)(),
            native_id: format!("snapshot:{snapshot}:{native}"),
            delivery_id: snapshot.clone(),
            delivery_keyed: false,
            delivery_index: 0,
            line: None,
        };
        Received { header, body }
    }
}

/// The role or permission without which an area cannot be read.
pub(super) fn needs(area: Area) -> &'static str {
    match area {
        Area::Realm
        | Area::Roles
        | Area::Composites
        | Area::DefaultGroups
        | Area::Flows
        | Area::FlowExecutions
        | Area::RequiredActions => "view-realm",
        Area::IdentityProviders => "view-identity-providers",
        Area::EventsConfig => "view-events",
        Area::Clients | Area::ServiceAccounts | Area::Sessions | Area::OfflineSessions => "view-clients",
        Area::Groups | Area::Users | Area::Members | Area::RoleUsers | Area::RoleGroups => "view-users",
        Area::Organizations | Area::OrganizationMembers => "view-organizations",
        Area::CatalogUsers | Area::CatalogGroups | Area::CatalogMembers => "catalog.entity.read",
        Area::RbacRoles | Area::RbacMembers | Area::RbacPolicies | Area::RbacConditions => "policy.entity.read",
    }
}
