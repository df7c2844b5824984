//! The fields of Backstage lines (audit, legacy audit, access, token) and of the envelopes that shippers put around them.
//!
//! Template parameters, request and response bodies and analysis output are always removed.

use super::{Class, Others, Rule, Slot};

/// One JSON line, or one envelope of a shipper.
pub static LINE: Rule = Rule::One(&LINE_CLASS);

/// One recorded state of the catalog.
pub static SNAPSHOT: Rule = Rule::One(&SNAPSHOT_CLASS);

static LINE_CLASS: Class = Class {
    fields: &[
        ("actor", Rule::One(&ACTOR)),
        ("class", Rule::Note(Slot::Class, &Rule::Name)),
        ("component", Rule::Name),
        ("contentLength", Rule::Name),
        ("date", Rule::Note(Slot::Date, &Rule::Name)),
        ("eventId", Rule::Note(Slot::EventId, &Rule::Name)),
        ("httpVersion", Rule::Name),
        ("isAuditEvent", Rule::Note(Slot::IsAuditEvent, &Rule::Name)),
        ("isAuditLog", Rule::Note(Slot::IsAuditLog, &Rule::Name)),
        ("level", Rule::Note(Slot::Level, &Rule::Name)),
        ("message", Rule::Note(Slot::Message, &Rule::Text)),
        ("meta", Rule::One(&META)),
        ("method", Rule::Note(Slot::Method, &Rule::Name)),
        ("name", Rule::Name),
        ("plugin", Rule::Note(Slot::Plugin, &Rule::Name)),
        ("request", Rule::One(&REQUEST)),
        ("service", Rule::Name),
        ("severityLevel", Rule::Name),
        ("span_id", Rule::Id),
        ("stack", Rule::Text),
        ("stage", Rule::Name),
        ("status", Rule::Note(Slot::Status, &Rule::Name)),
        ("timestamp", Rule::Note(Slot::Timestamp, &Rule::Name)),
        ("trace_flags", Rule::Name),
        ("trace_id", Rule::Id),
        ("type", Rule::Note(Slot::Type, &Rule::Name)),
        ("url", Rule::Note(Slot::Url, &Rule::Url)),
        ("userAgent", Rule::Text),
        ("auditId", Rule::Id),
        ("instance", Rule::Note(Slot::Id, &Rule::Name)),
        ("cluster", Rule::Name),
        ("environment", Rule::Name),
        ("eventName", Rule::Name),
        ("response", Rule::One(&RESPONSE)),
        ("error", Rule::One(&ERROR)),
        ("errors", Rule::One(&ERROR)),
        ("cause", Rule::One(&ERROR)),
        ("log", Rule::Note(Slot::Log, &Rule::Text)),
        ("time", Rule::Note(Slot::ShipperTime, &Rule::Name)),
        ("stream", Rule::Note(Slot::Stream, &Rule::Name)),
        ("host", Rule::Note(Slot::Host, &Rule::Name)),
        ("file", Rule::Note(Slot::File, &Rule::Name)),
        ("kubernetes", Rule::One(&KUBERNETES)),
        ("source_type", Rule::Name),
    ],
    others: Others::Search,
};

static KUBERNETES: Class = Class {
    fields: &[
        ("pod_name", Rule::Note(Slot::Pod, &Rule::Name)),
        ("namespace_name", Rule::Name),
        ("pod_namespace", Rule::Name),
        ("container_name", Rule::Name),
        ("host", Rule::Name),
    ],
    others: Others::Deny,
};

static ACTOR: Class = Class {
    fields: &[("actorId", Rule::Name), ("hostname", Rule::Name), ("ip", Rule::Name), ("userAgent", Rule::Text)],
    others: Others::Search,
};

static REQUEST: Class = Class {
    fields: &[
        ("method", Rule::Name),
        ("url", Rule::Url),
        ("params", Rule::Map(&Rule::Text)),
        ("query", Rule::Map(&Rule::Text)),
        ("body", Rule::Deny),
    ],
    others: Others::Search,
};

static RESPONSE: Class = Class { fields: &[("status", Rule::Name), ("body", Rule::Deny)], others: Others::Search };

static ERROR: Class = Class {
    fields: &[("name", Rule::Name), ("message", Rule::Text), ("stack", Rule::Text), ("cause", Rule::One(&ERROR))],
    others: Others::Search,
};

static META: Class = Class {
    fields: &[
        ("action", Rule::Name),
        ("actionType", Rule::Name),
        ("permission", Rule::Name),
        ("permissionName", Rule::Name),
        ("pluginId", Rule::Name),
        ("principal", Rule::Name),
        ("queryType", Rule::Name),
        ("entityRef", Rule::Name),
        ("entityRefs", Rule::Name),
        ("resourceRef", Rule::Name),
        ("resourceType", Rule::Name),
        ("conditions", Rule::One(&CONDITION)),
        ("decision", Rule::One(&DECISION)),
        ("result", Rule::Note(Slot::Result, &Rule::Name)),
        ("userEntityRef", Rule::Name),
        ("via", Rule::Name),
        ("source", Rule::Name),
        ("response", Rule::One(&RESPONSE)),
        ("roleEntityRef", Rule::Name),
        ("members", Rule::Name),
        ("policies", Rule::Name),
        ("addedPolicies", Rule::Name),
        ("updatedPolicies", Rule::Name),
        ("failedPolicies", Rule::Name),
        ("condition", Rule::One(&CONDITION)),
        ("author", Rule::Name),
        ("modifiedBy", Rule::Name),
        ("createdAt", Rule::Name),
        ("lastModified", Rule::Name),
        ("owner", Rule::Name),
        ("description", Rule::Text),
        ("query", Rule::Map(&Rule::Text)),
        ("id", Rule::Name),
        ("uid", Rule::Name),
        ("location", Rule::One(&LOCATION)),
        ("locationRef", Rule::Url),
        ("isDryRun", Rule::Name),
        ("totalItems", Rule::Name),
        ("taskId", Rule::Name),
        ("templateRef", Rule::Name),
        ("createdBy", Rule::Name),
        ("taskParameters", Rule::Deny),
        ("serviceId", Rule::Name),
        ("clusterName", Rule::Name),
        ("path", Rule::Url),
        ("method", Rule::Name),
        ("toolName", Rule::Name),
        ("toolCount", Rule::Name),
        ("transport", Rule::Name),
        ("workflowId", Rule::Name),
        ("instanceId", Rule::Name),
        ("error", Rule::One(&ERROR)),
    ],
    others: Others::Search,
};

/// What was decided, as the legacy format nests it.
static DECISION: Class = Class {
    fields: &[
        ("result", Rule::Name),
        ("pluginId", Rule::Name),
        ("resourceType", Rule::Name),
        ("resourceRef", Rule::Name),
        ("conditions", Rule::One(&CONDITION)),
    ],
    others: Others::Search,
};

static LOCATION: Class = Class {
    fields: &[("entityRef", Rule::Name), ("id", Rule::Name), ("target", Rule::Url), ("type", Rule::Name)],
    others: Others::Search,
};

/// Conditions name what is compared; `key` and `value` of their parameters are names of annotations and labels.
pub(super) static CONDITION: Class = Class {
    fields: &[
        ("anyOf", Rule::One(&CONDITION)),
        ("allOf", Rule::One(&CONDITION)),
        ("not", Rule::One(&CONDITION)),
        ("rule", Rule::Name),
        ("resourceType", Rule::Name),
        ("params", Rule::One(&PARAMS)),
        ("id", Rule::Name),
        ("pluginId", Rule::Name),
        ("roleEntityRef", Rule::Name),
        ("permissionMapping", Rule::One(&MAPPING)),
        ("conditions", Rule::One(&CONDITION)),
        ("result", Rule::Name),
    ],
    others: Others::Search,
};

static MAPPING: Class = Class { fields: &[("action", Rule::Name), ("name", Rule::Name)], others: Others::Search };

static PARAMS: Class = Class {
    fields: &[
        ("claims", Rule::Name),
        ("annotation", Rule::Name),
        ("label", Rule::Name),
        ("key", Rule::Name),
        ("value", Rule::Text),
        ("kinds", Rule::Name),
        ("createdBy", Rule::Name),
    ],
    others: Others::Search,
};

static SNAPSHOT_CLASS: Class =
    Class { fields: &[("read_at", Rule::Name), ("entities", Rule::One(&ENTITY))], others: Others::Search };

static ENTITY: Class = Class {
    fields: &[
        ("kind", Rule::Name),
        ("ref", Rule::Name),
        ("uid", Rule::Name),
        ("keycloak_id", Rule::Name),
        ("keycloak_realm", Rule::Name),
        ("relations", Rule::Name),
        ("namespace", Rule::Name),
        ("name", Rule::Name),
        ("email", Rule::Name),
        ("display_name", Rule::Name),
        ("locations", Rule::Url),
    ],
    others: Others::Deny,
};
