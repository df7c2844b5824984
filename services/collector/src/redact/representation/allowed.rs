//! What is kept of each class of representation; what is not named is denied or searched, as the class says.

use super::{Class, Others, Rule};

const SEARCHED: Rule = Rule::Map(&Rule::Text);
const NAMES: Rule = Rule::Map(&Rule::Name);

pub(super) static USER: Class = Class {
    fields: &[
        ("id", Rule::Name),
        ("username", Rule::Name),
        ("firstName", Rule::Name),
        ("lastName", Rule::Name),
        ("email", Rule::Name),
        ("emailVerified", Rule::Name),
        ("attributes", SEARCHED),
        ("enabled", Rule::Name),
        ("createdTimestamp", Rule::Name),
        ("totp", Rule::Name),
        ("disableableCredentialTypes", Rule::Name),
        ("requiredActions", Rule::Name),
        ("federatedIdentities", Rule::One(&USER)),
        ("realmRoles", Rule::Name),
        ("clientRoles", NAMES),
        ("groups", Rule::Name),
        ("notBefore", Rule::Name),
        ("access", NAMES),
        ("federationLink", Rule::Name),
        ("serviceAccountClientId", Rule::Name),
        ("origin", Rule::Name),
        ("identityProvider", Rule::Name),
        ("userId", Rule::Name),
        ("userName", Rule::Name),
        ("credentials", Rule::Deny),
    ],
    others: Others::Search,
};

pub(super) static GROUP: Class = Class {
    fields: &[
        ("id", Rule::Name),
        ("name", Rule::Name),
        ("description", Rule::Text),
        ("path", Rule::Name),
        ("parentId", Rule::Name),
        ("subGroupCount", Rule::Name),
        ("subGroups", Rule::One(&GROUP)),
        ("attributes", SEARCHED),
        ("realmRoles", Rule::Name),
        ("clientRoles", NAMES),
        ("access", NAMES),
    ],
    others: Others::Search,
};

pub(super) static ROLE: Class = Class {
    fields: &[
        ("id", Rule::Name),
        ("name", Rule::Name),
        ("description", Rule::Text),
        ("composite", Rule::Name),
        ("composites", Rule::One(&COMPOSITES)),
        ("clientRole", Rule::Name),
        ("containerId", Rule::Name),
        ("attributes", SEARCHED),
        ("scopeParamRequired", Rule::Name),
    ],
    others: Others::Search,
};

static COMPOSITES: Class =
    Class { fields: &[("realm", Rule::Name), ("client", NAMES), ("application", NAMES)], others: Others::Deny };

pub(super) static CLIENT: Class = Class {
    fields: &[
        ("id", Rule::Name),
        ("clientId", Rule::Name),
        ("name", Rule::Name),
        ("description", Rule::Text),
        ("rootUrl", Rule::Url),
        ("adminUrl", Rule::Url),
        ("baseUrl", Rule::Url),
        ("enabled", Rule::Name),
        ("clientAuthenticatorType", Rule::Name),
        ("redirectUris", Rule::Url),
        ("webOrigins", Rule::Url),
        ("protocol", Rule::Name),
        ("attributes", SEARCHED),
        ("authenticationFlowBindingOverrides", NAMES),
        ("nodeReRegistrationTimeout", Rule::Name),
        ("protocolMappers", Rule::One(&MAPPER)),
        ("defaultClientScopes", Rule::Name),
        ("optionalClientScopes", Rule::Name),
        ("access", NAMES),
        ("secret", Rule::Deny),
        ("registrationAccessToken", Rule::Deny),
        ("type", Rule::Name),
        ("value", Rule::Deny),
        ("roles", Rule::Name),
        ("loginFlows", Rule::Name),
        ("serviceAccountRoles", Rule::Name),
        ("appUrl", Rule::Url),
        ("displayName", Rule::Name),
    ],
    others: Others::Search,
};

/// Protocol and identity provider mappers and client scopes: what maps to what is access, other settings are not.
pub(super) static MAPPER: Class = Class {
    fields: &[
        ("id", Rule::Name),
        ("name", Rule::Name),
        ("description", Rule::Text),
        ("protocol", Rule::Name),
        ("protocolMapper", Rule::Name),
        ("protocolMappers", Rule::One(&MAPPER)),
        ("identityProviderAlias", Rule::Name),
        ("identityProviderMapper", Rule::Name),
        ("consentRequired", Rule::Name),
        ("attributes", SEARCHED),
        ("config", Rule::One(&MAPPER_CONFIG)),
    ],
    others: Others::Search,
};

static MAPPER_CONFIG: Class = Class {
    fields: &[
        ("claim.name", Rule::Name),
        ("id.token.claim", Rule::Name),
        ("access.token.claim", Rule::Name),
        ("userinfo.token.claim", Rule::Name),
        ("introspection.token.claim", Rule::Name),
        ("lightweight.claim", Rule::Name),
        ("jsonType.label", Rule::Name),
        ("user.attribute", Rule::Name),
        ("multivalued", Rule::Name),
        ("full.path", Rule::Name),
        ("role", Rule::Name),
        ("new.role.name", Rule::Name),
        ("group", Rule::Name),
        ("claim", Rule::Name),
        ("syncMode", Rule::Name),
        ("included.client.audience", Rule::Name),
        ("included.custom.audience", Rule::Name),
        ("include.in.token.scope", Rule::Name),
        ("display.on.consent.screen", Rule::Name),
        ("usermodel.clientRoleMapping.clientId", Rule::Name),
    ],
    others: Others::Deny,
};

pub(super) static REALM: Class = Class {
    fields: &[
        ("id", Rule::Name),
        ("realm", Rule::Name),
        ("displayName", Rule::Name),
        ("enabled", Rule::Name),
        ("eventsEnabled", Rule::Name),
        ("eventsExpiration", Rule::Name),
        ("eventsListeners", Rule::Name),
        ("enabledEventTypes", Rule::Name),
        ("adminEventsEnabled", Rule::Name),
        ("adminEventsDetailsEnabled", Rule::Name),
        ("accessTokenLifespan", Rule::Name),
        ("accessTokenLifespanForImplicitFlow", Rule::Name),
        ("actionTokenGeneratedByAdminLifespan", Rule::Name),
        ("actionTokenGeneratedByUserLifespan", Rule::Name),
        ("refreshTokenMaxReuse", Rule::Name),
        ("otpPolicyType", Rule::Name),
        ("otpPolicyAlgorithm", Rule::Name),
        ("otpPolicyInitialCounter", Rule::Name),
        ("otpPolicyDigits", Rule::Name),
        ("otpPolicyLookAheadWindow", Rule::Name),
        ("otpPolicyPeriod", Rule::Name),
        ("otpSupportedApplications", Rule::Name),
        ("passwordPolicy", Rule::Name),
        ("requiredCredentials", Rule::Name),
        ("defaultGroups", Rule::Name),
        ("defaultRoles", Rule::Name),
        ("defaultRole", Rule::One(&ROLE)),
        ("supportedLocales", Rule::Name),
        ("webAuthnPolicySignatureAlgorithms", Rule::Name),
        ("webAuthnPolicyAcceptableAaguids", Rule::Name),
        ("attributes", SEARCHED),
        ("browserSecurityHeaders", SEARCHED),
        ("smtpServer", Rule::Deny),
    ],
    others: Others::Search,
};

pub(super) static SESSION: Class = Class {
    fields: &[
        ("id", Rule::Id),
        ("username", Rule::Name),
        ("userId", Rule::Name),
        ("ipAddress", Rule::Name),
        ("start", Rule::Name),
        ("lastAccess", Rule::Name),
        ("rememberMe", Rule::Name),
        ("clients", NAMES),
        ("transientUser", Rule::Name),
        ("offline", Rule::Name),
    ],
    others: Others::Search,
};

pub(super) static ORGANIZATION: Class = Class {
    fields: &[
        ("id", Rule::Name),
        ("name", Rule::Name),
        ("alias", Rule::Name),
        ("enabled", Rule::Name),
        ("description", Rule::Text),
        ("redirectUrl", Rule::Url),
        ("attributes", SEARCHED),
        ("domains", Rule::One(&DOMAIN)),
        ("members", Rule::One(&USER)),
        ("username", Rule::Name),
        ("email", Rule::Name),
        ("path", Rule::Name),
    ],
    others: Others::Search,
};

static DOMAIN: Class = Class { fields: &[("name", Rule::Name), ("verified", Rule::Name)], others: Others::Deny };

pub(super) static POLICY: Class = Class {
    fields: &[
        ("id", Rule::Name),
        ("name", Rule::Name),
        ("description", Rule::Text),
        ("type", Rule::Name),
        ("logic", Rule::Name),
        ("decisionStrategy", Rule::Name),
        ("resourceType", Rule::Name),
        ("resources", Rule::Name),
        ("scopes", Rule::Name),
        ("policies", Rule::Name),
        ("owner", Rule::Name),
        ("users", Rule::Name),
        ("clients", Rule::Name),
        ("roles", Rule::One(&POLICY_REF)),
        ("groups", Rule::One(&POLICY_REF)),
        ("groupsClaim", Rule::Name),
        ("code", Rule::Deny),
    ],
    others: Others::Search,
};

static POLICY_REF: Class = Class {
    fields: &[("id", Rule::Name), ("path", Rule::Name), ("required", Rule::Name), ("extendChildren", Rule::Name)],
    others: Others::Deny,
};

/// Identity providers, components (LDAP, key providers) and authenticators: of their settings only those listed stay.
pub(super) static PROVIDER: Class = Class {
    fields: &[
        ("id", Rule::Name),
        ("alias", Rule::Name),
        ("name", Rule::Name),
        ("displayName", Rule::Name),
        ("internalId", Rule::Name),
        ("providerId", Rule::Name),
        ("providerType", Rule::Name),
        ("parentId", Rule::Name),
        ("subType", Rule::Name),
        ("enabled", Rule::Name),
        ("storeToken", Rule::Name),
        ("addReadTokenRoleOnCreate", Rule::Name),
        ("firstBrokerLoginFlowAlias", Rule::Name),
        ("postBrokerLoginFlowAlias", Rule::Name),
        ("organizationId", Rule::Name),
        ("types", Rule::Name),
        ("config", Rule::One(&PROVIDER_CONFIG)),
    ],
    others: Others::Search,
};

static PROVIDER_CONFIG: Class = Class {
    fields: &[
        ("enabled", Rule::Name),
        ("active", Rule::Name),
        ("priority", Rule::Name),
        ("algorithm", Rule::Name),
        ("vendor", Rule::Name),
        ("connectionUrl", Rule::Url),
        ("usersDn", Rule::Name),
        ("bindDn", Rule::Name),
        ("editMode", Rule::Name),
        ("importEnabled", Rule::Name),
        ("syncRegistrations", Rule::Name),
        ("fullSyncPeriod", Rule::Name),
        ("changedSyncPeriod", Rule::Name),
        ("clientId", Rule::Name),
        ("issuer", Rule::Url),
        ("authorizationUrl", Rule::Url),
        ("tokenUrl", Rule::Url),
        ("userInfoUrl", Rule::Url),
        ("logoutUrl", Rule::Url),
        ("jwksUrl", Rule::Url),
        ("syncMode", Rule::Name),
        ("defaultScope", Rule::Name),
        ("validateSignature", Rule::Name),
        ("useJwksUrl", Rule::Name),
        ("hideOnLoginPage", Rule::Name),
        ("mode", Rule::Name),
        ("groups.dn", Rule::Name),
        ("roles.dn", Rule::Name),
    ],
    others: Others::Deny,
};

pub(super) static AUTHENTICATOR_CONFIG: Class =
    Class { fields: &[("id", Rule::Name), ("alias", Rule::Name)], others: Others::Deny };

pub(super) static OTHER: Class = Class {
    fields: &[
        ("id", Rule::Name),
        ("name", Rule::Name),
        ("alias", Rule::Name),
        ("path", Rule::Name),
        ("type", Rule::Name),
        ("enabled", Rule::Name),
    ],
    others: Others::Search,
};
