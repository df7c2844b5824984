//! What a Backstage leaves out, told from what came in: each finding with its remedy and with what is lost meanwhile.
//!
//! Looks at the lines of one day and asks the store only: it neither calls the Backstage nor reads whole bodies.

use super::Check;
use jiff::{Timestamp, civil};
use serde::Deserialize;
use std::collections::BTreeMap;
use store::{LineSurvey, Store, StoreError};

/// How far back lines are looked at, milliseconds.
const DAY_MS: i64 = 24 * 3_600_000;

/// Most instances that are named in a remedy.
const NAMED: usize = 5;

/// What is known of the lines of one source.
#[derive(Default)]
struct Known {
    survey: LineSurvey,
    /// Lines that are no receipts: when some of a kind came last, UTC milliseconds.
    others: BTreeMap<String, i64>,
    /// A line that dates itself has a time without zone.
    zoneless: bool,
}

/// Checks one source; `beating` are the instances that heartbeats go to.
pub async fn check(
    store: &Store,
    (tenant, source): (&str, &str),
    (beating, now): (&[String], i64),
) -> Result<Vec<Check>, StoreError> {
    let since = now - DAY_MS;
    let others = store.other_lines(tenant).await?.into_iter().filter(|row| row.source_id == source);
    let known = Known {
        survey: store.survey_lines(tenant, source, since).await?,
        others: others.map(|row| (row.kind, row.last_received_at)).collect(),
        zoneless: store.self_dated_lines(tenant, source, since).await?.iter().any(|line| is_zoneless(line)),
    };
    let mut checks = known.checks(source, since);
    if !checks.is_empty() {
        checks.extend(unproven(source, beating, &known.survey.receipts.instances));
    }
    Ok(checks)
}

/// Whether a heartbeat goes to every instance of which lines come; none where no heartbeats are sent at all.
fn unproven(source: &str, beating: &[String], instances: &[String]) -> Option<Check> {
    let what = format!("source {source}: a heartbeat goes to each instance");
    let check = Check::new("backstage_instances", what).of_source(source);
    let without: Vec<&str> = match beating {
        [] => return None,
        // One address is all there is: one instance, or a balancer in front of several.
        [one] if one.is_empty() && instances.len() > 1 => instances.iter().map(String::as_str).collect(),
        [one] if one.is_empty() => Vec::new(),
        named => instances.iter().filter(|instance| !named.contains(instance)).map(String::as_str).collect(),
    };
    if without.is_empty() {
        return Some(check);
    }
    let named = without.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    let more = if without.len() > NAMED { format!(" and {} more", without.len() - NAMED) } else { String::new() };
    let remedy = format!(
        "lines come of {named}{more}: name the address of each, past the balancer, in sources.{source}.heartbeat.instances"
    );
    Some(check.look(remedy).losing("the shipper of an instance without heartbeat can fall silent unseen"))
}

impl Known {
    fn came(&self, kind: &str, since: i64) -> bool {
        self.others.get(kind).is_some_and(|last| *last >= since)
    }

    fn checks(&self, source: &str, since: i64) -> Vec<Check> {
        let (events, receipts) = (&self.survey.events, &self.survey.receipts);
        let silent = receipts.lines == 0 && !self.others.keys().any(|kind| self.came(kind, since));
        if silent {
            return Vec::new(); // that nothing comes is another check
        }
        let redaction = |kind: &str| self.others.get(kind).copied().unwrap_or(i64::MIN);
        let last_day = |missing: bool, finding: &'static Finding| finding.of(source, missing);
        vec![
            last_day(self.came("dev_text", since), &DEV_TEXT),
            last_day(events.audit + events.legacy == 0, &AUDIT_LINES),
            last_day(events.legacy > 0, &LEGACY),
            last_day(events.audit_without_id + events.audit_without_time > 0, &AUDIT_IDS),
            last_day(self.zoneless, &ZONE),
            last_day(events.wrapped_decisions == 0, &DECISION_RESOURCES),
            last_day(events.undated_decisions > 0 && receipts.authorize_access == 0, &AUTHORIZE_LINES),
            last_day(events.tokens_issued == 0, &ISSUED_TOKENS),
            last_day(events.auth_access == 0, &AUTH_LINES),
            last_day(receipts.without_instance > 0, &INSTANCE),
            last_day(redaction("redaction_off") > redaction("redaction_on"), &REDACTION),
        ]
    }
}

/// A line's own time that says no zone.
fn is_zoneless(line: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Dated<'a> {
        #[serde(borrow)]
        timestamp: Option<std::borrow::Cow<'a, str>>,
    }
    let Ok(Dated { timestamp: Some(written) }) = serde_json::from_slice(line) else { return false };
    written.parse::<Timestamp>().is_err() && written.parse::<civil::DateTime>().is_ok()
}

struct Finding {
    id: &'static str,
    what: &'static str,
    remedy: &'static str,
    lost: &'static str,
}

impl Finding {
    fn of(&self, source: &str, found: bool) -> Check {
        let what = format!("source {source}: {}", self.what);
        let check = Check::new(&format!("backstage_{}", self.id), what).of_source(source);
        if found { check.look(self.remedy).losing(self.lost) } else { check }
    }
}

const DEV_TEXT: Finding = Finding {
    id: "json",
    what: "it writes JSON",
    remedy: "coloured text came: set NODE_ENV=production in the environment of the backend",
    lost: "nothing is read from coloured text, it is only counted",
};

const AUDIT_LINES: Finding = Finding {
    id: "audit_lines",
    what: "audit lines come",
    remedy: "none came in the last 24 hours: ship the backend's whole standard output, leave backend.logger.level (and \
        LOG_LEVEL, which wins) at info, and have no backend.logger.overrides that match audit lines",
    lost: "no action and no decision inside Backstage is known",
};

const LEGACY: Finding = Finding {
    id: "current_format",
    what: "audit lines are of today's format",
    remedy: "lines of the older audit-log-node came (isAuditLog): update the plugins that write them (RBAC from 6.0, \
        Red Hat Developer Hub from 1.6)",
    lost: "older lines name fewer events, and the two of one call cannot be joined",
};

const AUDIT_IDS: Finding = Finding {
    id: "audit_ids",
    what: "audit lines have an id and a time",
    remedy: "add the auditor override docs/sources/backstage/auditor.js",
    lost: "times are those of the shipper; which end belongs to which beginning is a guess; a repeated line is told from \
        a second, equal event by the shipper's time only",
};

const ZONE: Finding = Finding {
    id: "zone",
    what: "times name their zone",
    remedy: "write times as ISO 8601 with an offset (docs/sources/backstage/auditor.js does), or set the zone of the \
        source in the config to the one that the backend runs in",
    lost: "times are read in the zone of the config; if it is another one, every time is wrong by hours",
};

const DECISION_RESOURCES: Finding = Finding {
    id: "decision_resources",
    what: "decisions name their resource",
    remedy: "add the permissions override docs/sources/backstage/permissions.js",
    lost: "with the RBAC plugin: what a decision was about, and what became of a conditional one; without it: every \
        decision",
};

const AUTHORIZE_LINES: Finding = Finding {
    id: "authorize_lines",
    what: "access lines of /api/permission/authorize come",
    remedy: "none came in the last 24 hours, though there are decisions without a time of their own: ship the backend's \
        whole standard output, or add docs/sources/backstage/auditor.js",
    lost: "decisions are dated by the shipper, up to a second off, or by their receipt alone",
};

const ISSUED_TOKENS: Finding = Finding {
    id: "issued_tokens",
    what: "\"Issuing token\" lines come",
    remedy: "none came in the last 24 hours (good only if nobody signed in): ship the backend's whole standard output, \
        not its audit lines alone, and leave backend.logger.level at info",
    lost: "nobody's sign-in to Backstage, nor the groups known then, is in evidence",
};

const AUTH_LINES: Finding = Finding {
    id: "auth_lines",
    what: "access lines of /api/auth come",
    remedy: "none came in the last 24 hours (good only if nobody signed in): ship the backend's whole standard output, \
        access lines included",
    lost: "sign-ins cannot be bound to Keycloak sessions: what rests on a session is inferred at best",
};

const INSTANCE: Finding = Finding {
    id: "instance",
    what: "lines name their instance",
    remedy: "lines without one came: let the shipper add the pod, file or host (docs/sources/backstage), or use \
        `tokentrail send --instance`",
    lost: "several instances count as one: neighbouring lines may belong to different people, so sign-ins are inferred; \
        a repeated line without a time of its own is a second event",
};

const REDACTION: Finding = Finding {
    id: "redaction",
    what: "it redacts secrets of its own config",
    remedy: "it said `Found 0 new secrets in config`: run the backend where its package can be resolved (inside its \
        workspace, or with its schema), so that it finds which settings are secret",
    lost: "a secret of its config that gets into a log line leaves Backstage in clear; Tokentrail removes only what it \
        recognises by itself",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_without_a_heartbeat_are_named() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<String>>();
        let remedy = |beating: &[&str], instances: &[&str]| {
            unproven("portal", &names(beating), &names(instances)).map(|check| check.remedy.unwrap_or_default())
        };
        assert_eq!(remedy(&[], &["a", "b"]), None, "that there are no heartbeats is another check");
        for (beating, instances) in [(&[""][..], &["a"][..]), (&[""], &[]), (&["a", "b"], &["a", "b"])] {
            assert_eq!(remedy(beating, instances).as_deref(), Some(""), "{beating:?} {instances:?}");
        }
        assert!(remedy(&[""], &["a", "b"]).unwrap().contains("of a, b: name the address of each"));
        assert!(remedy(&["a"], &["a", "b"]).unwrap().contains("of b: "));
        let many = ["a", "b", "c", "d", "e", "f", "g"];
        assert!(remedy(&[""], &many).unwrap().contains("e and 2 more"));
    }
}
