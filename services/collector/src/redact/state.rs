//! What may stay of state that a snapshot reads: allow-lists for the fields that its readers pick. All others are denied.

use super::{Broken, Class, MAX_NODES, Others, Rule, Walk, backstage};
use events::{person::DeploymentKey, snapshot::Area};
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
        // what a realm records
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

/// A realm itself.
static REALM: Rule = Rule::One(&Class {
    fields: &[
        ("id", Rule::Name),
        ("realm", Rule::Name),
        ("enabled", Rule::Name),
        ("sslRequired", Rule::Name),
        ("registrationAllowed", Rule::Name),
        ("registrationEmailAsUsername", Rule::Name),
        ("verifyEmail", Rule::Name),
        ("loginWithEmailAllowed", Rule::Name),
        ("duplicateEmailsAllowed", Rule::Name),
        ("resetPasswordAllowed", Rule::Name),
        ("editUsernameAllowed", Rule::Name),
        ("rememberMe", Rule::Name),
        ("userManagedAccessAllowed", Rule::Name),
        ("adminPermissionsEnabled", Rule::Name),
        ("defaultSignatureAlgorithm", Rule::Name),
        ("passwordPolicy", Rule::Name),
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
        ("bruteForceStrategy", Rule::Name),
        ("maxTemporaryLockouts", Rule::Name),
        ("maxFailureWaitSeconds", Rule::Name),
        ("minimumQuickLoginWaitSeconds", Rule::Name),
        ("waitIncrementSeconds", Rule::Name),
        ("quickLoginCheckMilliSeconds", Rule::Name),
        ("maxDeltaTimeSeconds", Rule::Name),
        ("otpPolicyType", Rule::Name),
        ("otpPolicyAlgorithm", Rule::Name),
        ("otpPolicyDigits", Rule::Name),
        ("otpPolicyLookAheadWindow", Rule::Name),
        ("otpPolicyPeriod", Rule::Name),
        ("otpPolicyCodeReusable", Rule::Name),
        ("webAuthnPolicyUserVerificationRequirement", Rule::Name),
        ("webAuthnPolicyPasswordlessUserVerificationRequirement", Rule::Name),
        ("browserFlow", Rule::Name),
        ("registrationFlow", Rule::Name),
        ("directGrantFlow", Rule::Name),
        ("resetCredentialsFlow", Rule::Name),
        ("clientAuthenticationFlow", Rule::Name),
        ("dockerAuthenticationFlow", Rule::Name),
        ("firstBrokerLoginFlow", Rule::Name),
    ],
    others: Others::Deny,
});

/// Identity providers, authentication flows and what is required of people.
static SIGN_IN: Rule = Rule::One(&Class {
    fields: &[
        ("id", Rule::Name),
        ("internalId", Rule::Name),
        ("alias", Rule::Name),
        ("name", Rule::Name),
        ("displayName", Rule::Name),
        ("providerId", Rule::Name),
        ("enabled", Rule::Name),
        ("trustEmail", Rule::Name),
        ("storeToken", Rule::Name),
        ("addReadTokenRoleOnCreate", Rule::Name),
        ("authenticateByDefault", Rule::Name),
        ("linkOnly", Rule::Name),
        ("hideOnLogin", Rule::Name),
        ("firstBrokerLoginFlowAlias", Rule::Name),
        ("postBrokerLoginFlowAlias", Rule::Name),
        ("organizationId", Rule::Name),
        ("config", Rule::One(&PROVIDER)),
        // flows and their executions, required actions
        ("builtIn", Rule::Name),
        ("flow", Rule::Name),
        ("authenticationFlow", Rule::Name),
        ("authenticationConfig", Rule::Name),
        ("requirement", Rule::Name),
        ("level", Rule::Name),
        ("index", Rule::Name),
        ("priority", Rule::Name),
        ("defaultAction", Rule::Name),
    ],
    others: Others::Deny,
});

/// What an identity provider trusts and where it sends people. Of certificates a keyed mark is kept: that another one is trusted shows.
static PROVIDER: Class = Class {
    fields: &[
        ("clientId", Rule::Name),
        ("clientAuthMethod", Rule::Name),
        ("issuer", Rule::Url),
        ("authorizationUrl", Rule::Url),
        ("tokenUrl", Rule::Url),
        ("userInfoUrl", Rule::Url),
        ("logoutUrl", Rule::Url),
        ("jwksUrl", Rule::Url),
        ("metadataDescriptorUrl", Rule::Url),
        ("useMetadataDescriptorUrl", Rule::Name),
        ("useJwksUrl", Rule::Name),
        ("validateSignature", Rule::Name),
        ("disableUserInfo", Rule::Name),
        ("pkceEnabled", Rule::Name),
        ("pkceMethod", Rule::Name),
        ("defaultScope", Rule::Name),
        ("syncMode", Rule::Name),
        ("filteredByClaim", Rule::Name),
        ("claimFilterName", Rule::Name),
        ("hideOnLoginPage", Rule::Name),
        ("hostedDomain", Rule::Name),
        ("entityId", Rule::Name),
        ("idpEntityId", Rule::Name),
        ("singleSignOnServiceUrl", Rule::Url),
        ("singleLogoutServiceUrl", Rule::Url),
        ("wantAssertionsSigned", Rule::Name),
        ("wantAssertionsEncrypted", Rule::Name),
        ("wantAuthnRequestsSigned", Rule::Name),
        ("principalType", Rule::Name),
        ("principalAttribute", Rule::Name),
        ("nameIDPolicyFormat", Rule::Name),
        ("supportsClientAssertions", Rule::Name),
        ("signingCertificate", Rule::Deny),
        ("publicKeySignatureVerifier", Rule::Deny),
        ("publicKeySignatureVerifierKeyId", Rule::Name),
    ],
    others: Others::Deny,
};

/// The state of an area without its secrets.
pub(crate) fn redact(key: &DeploymentKey, area: Area, state: &Value) -> Result<Value, Broken> {
    let rule = match area {
        Area::Realm => &REALM,
        Area::IdentityProviders | Area::Flows | Area::FlowExecutions | Area::RequiredActions => &SIGN_IN,
        _ => &STATE,
    };
    let text = state.to_string();
    let mut walk = Walk::new(&text, key, MAX_NODES);
    let span = walk.only(rule)?;
    serde_json::from_slice(&walk.body(span)).map_err(|_| Broken::Syntax)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_listed_stays_and_nothing_else() {
        let key = DeploymentKey::new([7; 32]);
        let good = json!({"id": "c1", "eventsExpiration": 300, "redirectUris": ["https://app.example/*"],
            "keycloakId": "1bc6ec44-547f-4b49-83b0-3ea39f26a233", "access.token.lifespan": "60",
            "conditions": {"rule": "IS_ENTITY_OWNER", "params": {"claims": ["$ownerRefs"]}}});
        assert_eq!(redact(&key, Area::Clients, &good).unwrap(), good);
        let jwt = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl";
        let bad = json!({"id": "c1", "secret": "hunter2hunter2", "name": jwt, "redirectUris": ["https://u:hunter2@app.example/"]});
        let out = redact(&key, Area::Clients, &bad).unwrap().to_string();
        assert!(!out.contains("hunter2") && !out.contains(jwt), "{out}");
    }

    #[test]
    fn of_an_identity_provider_no_secret_stays_and_another_certificate_shows() {
        let key = DeploymentKey::new([7; 32]);
        let corp = |certificate: &str| {
            json!({"internalId": "i1", "alias": "corp", "trustEmail": true, "config": {
                "tokenUrl": "https://corp.example/token", "clientSecret": "hunter2hunter2", "signingCertificate": certificate,
                "singleSignOnServiceUrl": "https://corp.example/saml", "ofALaterRelease": "hunter2hunter2"}})
        };
        let out = |certificate: &str| redact(&key, Area::IdentityProviders, &corp(certificate)).unwrap();
        let (one, other) = (out("MIIC0one"), out("MIIC0other"));
        assert!(!one.to_string().contains("hunter2") && !one.to_string().contains("MIIC0"), "{one}");
        assert_eq!(one["config"]["tokenUrl"], "https://corp.example/token");
        assert_ne!(one["config"]["signingCertificate"], other["config"]["signingCertificate"]);
        assert_eq!(one, out("MIIC0one"), "the same is read alike");
        let policy =
            json!({"passwordPolicy": "length(12) and notUsername(undefined)", "browserFlow": "browser with OTP"});
        assert_eq!(redact(&key, Area::Realm, &policy).unwrap(), policy);
    }
}
