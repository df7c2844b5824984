//! Facts of a Backstage's lines: roles, policies, tokens, sign-ins, decisions.

use super::{Decided, Fact, Policy, What, detail, fact};
use crate::moment::Rank;
use events::event::{DataClass, Event, Outcome};

pub(super) fn facts<'a>(event: &'a Event, take: &mut dyn FnMut(Fact<'a>)) {
    let reference = event.person_name.as_str();
    match event.kind.as_str() {
        "decision" => take(fact(event, Rank::Decision, What::Decided(decided(event, event.outcome)))),
        "backstage_token_issued" => {
            let (claims, instance) = (detail(event, "entities"), detail(event, "instance"));
            take(fact(event, Rank::BackstageIssue, What::BackstageIssued { reference, claims, instance }));
        }
        "backstage_callback" if !event.session_id.is_empty() && event.outcome != Outcome::Failure => {
            take(fact(event, Rank::Callback, What::Callback { session: &event.session_id }));
        }
        "catalog_synced" => take(fact(event, Rank::Change, What::CatalogSynced)),
        "backstage_role_changed" if detail(event, "members") == "complete" && event.outcome != Outcome::Failure => {
            take(fact(event, Rank::Change, What::RoleMembersReplaced { role: &event.right_id }));
        }
        "backstage_role_member_added" | "backstage_role_member_removed" => {
            let member = if reference.is_empty() { &event.holder_id } else { reference };
            let held = event.kind == "backstage_role_member_added";
            take(fact(event, Rank::Change, What::RoleMember { role: &event.right_id, member, held }));
        }
        "backstage_policy_added"
        | "backstage_policy_removed"
        | "backstage_condition_added"
        | "backstage_condition_removed" => {
            let role = &event.holder_id;
            if detail(event, "replaces_unnamed") == "true" {
                take(fact(event, Rank::Change, What::PoliciesReplaced { role }));
            }
            let permission = if event.permission.is_empty() { &event.right_name } else { &event.permission };
            let policy = Policy { permission, action: detail(event, "policy_action"), effect: detail(event, "effect") };
            let held = event.kind.ends_with("_added");
            take(fact(event, Rank::Change, What::Policy { role, policy, held }));
        }
        _ if event.data_class == DataClass::Decision => call(event, take),
        _ => {}
    }
}

/// An audited call that somebody was let through, or was not.
fn call<'a>(event: &'a Event, take: &mut dyn FnMut(Fact<'a>)) {
    let outcome = match event.outcome {
        Outcome::Success => Outcome::Allow,
        Outcome::Failure if detail(event, "denied") == "true" => Outcome::Deny,
        _ => return,
    };
    // A plugin's own reads are not decisions about anybody.
    if event.person_name.is_empty() && event.actor_kind != "static" {
        return;
    }
    take(fact(event, Rank::Decision, What::Decided(Decided { permission: "", ..decided(event, outcome) })));
}

fn decided(event: &Event, outcome: Outcome) -> Decided<'_> {
    Decided {
        reference: &event.person_name,
        actor: (&event.actor_kind, &event.actor_name),
        permission: &event.permission,
        action: &event.action,
        resource_type: &event.resource_kind,
        resource: &event.resource,
        outcome,
        owner_refs: &event.owner_refs,
        instance: detail(event, "instance"),
        trace: detail(event, "trace_id"),
    }
}
