//! What doctor says of types that a Keycloak pushes and does not save.

use super::Check;
use crate::{
    config::SourceConfig,
    status::{NotSaved, PathReport},
};
use std::collections::{BTreeMap, BTreeSet};

/// Most types that are named of one realm.
const NAMED: usize = 12;

/// Whether everything that was pushed lately was saved at the source, realm by realm.
pub fn checks(source: &SourceConfig, path: &PathReport) -> Vec<Check> {
    let mut realms: BTreeMap<&str, Vec<&NotSaved>> = BTreeMap::new();
    for one in &path.not_saved_types {
        realms.entry(&one.realm).or_default().push(one);
    }
    let id = &path.source;
    if realms.is_empty() {
        return vec![Check::new("types_saved", format!("source {id} saves what it pushes")).of_source(id)];
    }
    let read: BTreeSet<&str> = source.pull.iter().flat_map(|pull| &pull.realms).map(String::as_str).collect();
    let check = |(realm, types): (&str, Vec<&NotSaved>)| {
        let check = Check::new("types_saved", format!("source {id}, realm {realm} saves what it pushes")).of_source(id);
        let check = if read.is_empty() || read.contains(realm) || !names(&read, realm) {
            check.look(remedy(&types))
        } else {
            check.look(format!("it is pushed and not pulled: add {realm} to sources.{id}.pull.realms"))
        };
        check.losing("what is lost of it on its way here nothing can bring again")
    };
    realms.into_iter().map(check).collect()
}

/// A realm that was told by its id alone cannot be looked for by its name.
fn names(read: &BTreeSet<&str>, realm: &str) -> bool {
    let is_id = realm.len() == 36 && realm.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    read.contains(realm) || !is_id
}

fn remedy(types: &[&NotSaved]) -> String {
    // Admin events are named by resource and operation.
    let (admin, user): (Vec<&NotSaved>, Vec<_>) = types.iter().copied().partition(|one| one.native_type.contains('-'));
    let list = |of: &[&NotSaved]| {
        let names: Vec<_> = of.iter().take(NAMED).map(|one| one.native_type.as_str()).collect();
        let more = of.len().saturating_sub(NAMED);
        names.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
    };
    let mut parts = Vec::new();
    if !user.is_empty() {
        parts.push(format!(
            "types not saved: {}: add them under Realm settings, Events, User events settings, Saved types",
            list(&user)
        ));
    }
    if !admin.is_empty() {
        parts.push(format!(
            "admin events not saved: {}: Realm settings, Events, Admin events settings, turn \"Save events\" on",
            list(&admin)
        ));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(types: &[(&str, &str)]) -> PathReport {
        let one = |(realm, native_type): &(&str, &str)| NotSaved {
            realm: (*realm).into(),
            native_type: (*native_type).into(),
            events: 3,
            last: 5,
        };
        PathReport {
            source: "kc".into(),
            both: 9,
            lost_by_webhook: 0,
            not_saved: 3,
            not_saved_types: types.iter().map(one).collect(),
        }
    }

    #[test]
    fn types_are_named_with_what_to_do_realm_by_realm() {
        let source: SourceConfig = toml::from_str(
            "kind = \"keycloak\"\n[pull]\nurl = \"http://k\"\nrealms = [\"acme\"]\nclient_id = \"t\"\nclient_secret_file = \"c\"",
        )
        .unwrap();
        let told = |types: &[(&str, &str)]| {
            let checks = checks(&source, &path(types));
            checks.into_iter().map(|check| (check.what, check.remedy.unwrap_or_default())).collect::<Vec<_>>()
        };
        assert_eq!(told(&[]), [("source kc saves what it pushes".to_owned(), String::new())]);
        let id = "bd2a3817-883e-4be5-be28-2514d131622e";
        let found = told(&[
            ("acme", "INTROSPECT_TOKEN"),
            ("acme", "USER-CREATE"),
            ("acme", "USER_INFO_REQUEST"),
            ("partners", "LOGIN"),
            (id, "LOGIN"),
        ]);
        let [acme, of_id, partners] = found.as_slice() else { panic!("{found:?}") };
        assert!(
            acme.1.contains("types not saved: INTROSPECT_TOKEN, USER_INFO_REQUEST: add them under Realm settings"),
            "{acme:?}"
        );
        assert!(acme.1.contains("admin events not saved: USER-CREATE: Realm settings"), "{acme:?}");
        assert_eq!(partners.1, "it is pushed and not pulled: add partners to sources.kc.pull.realms");
        assert!(of_id.0.contains(id) && of_id.1.starts_with("types not saved: LOGIN"), "{of_id:?}");
        let many: Vec<String> = (0..20).map(|n| format!("TYPE_{n:02}")).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|name| ("acme", name.as_str())).collect();
        assert!(told(&many)[0].1.contains("TYPE_11 and 8 more: add"), "{:?}", told(&many));
    }
}
