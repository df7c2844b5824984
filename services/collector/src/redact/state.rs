//! What may stay of state that a snapshot reads: one allow-list for the fields that its readers pick. All others are denied.

use super::{Broken, Class, MAX_NODES, Others, Rule, Walk, backstage};
use events::person::DeploymentKey;
use serde_json::Value;

static STATE: Rule = Rule::One(&STATE_CLASS);

static STATE_CLASS: Class = Class {
    fields: &[
        ("id", Rule::Name),
        ("name", Rule::Text),
        ("enabled", Rule::Name),
        // users
        ("username", Rule::Name),
        ("firstName", Rule::Name),
        ("lastName", Rule::Name),
        ("email", Rule::Name),
        ("emailVerified", Rule::Name),
        ("createdTimestamp", Rule::Name),
        ("federationLink", Rule::Name),
        // groups, roles, organizations
        ("path", Rule::Name),
        ("parentId", Rule::Name),
        ("composite", Rule::Name),
        ("clientUuid", Rule::Name),
        ("alias", Rule::Name),
        ("domains", Rule::Name),
        // pairs
        ("user", Rule::Name),
        ("group", Rule::Name),
        ("role", Rule::Name),
        ("outer", Rule::Name),
        ("client", Rule::Name),
        ("organization", Rule::Name),
        ("session", Rule::Id),
        // sessions
        ("ipAddress", Rule::Name),
        ("start", Rule::Name),
        ("rememberMe", Rule::Name),
        // clients
        ("clientId", Rule::Name),
        ("protocol", Rule::Name),
        ("publicClient", Rule::Name),
        ("bearerOnly", Rule::Name),
        ("consentRequired", Rule::Name),
        ("standardFlowEnabled", Rule::Name),
        ("implicitFlowEnabled", Rule::Name),
        ("directAccessGrantsEnabled", Rule::Name),
        ("serviceAccountsEnabled", Rule::Name),
        ("fullScopeAllowed", Rule::Name),
        ("clientAuthenticatorType", Rule::Name),
        ("rootUrl", Rule::Url),
        ("baseUrl", Rule::Url),
        ("redirectUris", Rule::Url),
        ("webOrigins", Rule::Url),
        ("access.token.lifespan", Rule::Name),
        ("client.session.idle.timeout", Rule::Name),
        ("client.session.max.lifespan", Rule::Name),
        ("client.offline.session.idle.timeout", Rule::Name),
        ("client.offline.session.max.lifespan", Rule::Name),
        ("use.refresh.tokens", Rule::Name),
        ("standard.token.exchange.enabled", Rule::Name),
        // the realm
        ("realm", Rule::Name),
        ("defaultRole", Rule::One(&STATE_CLASS)),
        ("accessTokenLifespan", Rule::Name),
        ("accessTokenLifespanForImplicitFlow", Rule::Name),
        ("ssoSessionIdleTimeout", Rule::Name),
        ("ssoSessionMaxLifespan", Rule::Name),
        ("ssoSessionIdleTimeoutRememberMe", Rule::Name),
        ("ssoSessionMaxLifespanRememberMe", Rule::Name),
        ("offlineSessionIdleTimeout", Rule::Name),
        ("offlineSessionMaxLifespanEnabled", Rule::Name),
        ("offlineSessionMaxLifespan", Rule::Name),
        ("clientSessionIdleTimeout", Rule::Name),
        ("clientSessionMaxLifespan", Rule::Name),
        ("accessCodeLifespan", Rule::Name),
        ("revokeRefreshToken", Rule::Name),
        ("refreshTokenMaxReuse", Rule::Name),
        ("notBefore", Rule::Name),
        ("organizationsEnabled", Rule::Name),
        ("bruteForceProtected", Rule::Name),
        ("permanentLockout", Rule::Name),
        ("failureFactor", Rule::Name),
        ("eventsEnabled", Rule::Name),
        ("eventsExpiration", Rule::Name),
        ("eventsListeners", Rule::Name),
        ("enabledEventTypes", Rule::Name),
        ("adminEventsEnabled", Rule::Name),
        ("adminEventsDetailsEnabled", Rule::Name),
        // the catalog and RBAC of a Backstage
        ("ref", Rule::Name),
        ("uid", Rule::Name),
        ("keycloakId", Rule::Name),
        ("keycloakRealm", Rule::Name),
        ("parent", Rule::Name),
        ("member", Rule::Name),
        ("source", Rule::Name),
        ("permission", Rule::Name),
        ("policy", Rule::Name),
        ("effect", Rule::Name),
        ("pluginId", Rule::Name),
        ("resourceType", Rule::Name),
        ("permissionMapping", Rule::Name),
        ("result", Rule::Name),
        ("conditions", Rule::One(&backstage::CONDITION)),
    ],
    others: Others::Deny,
};

/// The state without its secrets.
pub(crate) fn redact(key: &DeploymentKey, state: &Value) -> Result<Value, Broken> {
    let text = state.to_string();
    let mut walk = Walk::new(&text, key, MAX_NODES);
    let span = walk.only(&STATE)?;
    serde_json::from_slice(&walk.body(span)).map_err(|_| Broken::Syntax)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_listed_stays_and_nothing_else() {
        let key = DeploymentKey::new([7; 32]);
        let good = json!({"id": "c1", "accessTokenLifespan": 300, "redirectUris": ["https://app.example/*"],
            "keycloakId": "1bc6ec44-547f-4b49-83b0-3ea39f26a233", "access.token.lifespan": "60",
            "conditions": {"rule": "IS_ENTITY_OWNER", "params": {"claims": ["$ownerRefs"]}}});
        assert_eq!(redact(&key, &good).unwrap(), good);
        let jwt = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl";
        let bad = json!({"id": "c1", "secret": "hunter2hunter2", "name": jwt, "redirectUris": ["https://u:hunter2@app.example/"]});
        let out = redact(&key, &bad).unwrap().to_string();
        assert!(!out.contains("hunter2") && !out.contains(jwt), "{out}");
    }
}
