//! Which fields of a representation are read into a snapshot and told of its state, one list for both.

/// Settings of a realm that decide who can sign in and how, how long tokens and sessions live and what is stored.
pub const SETTINGS: &[&str] = &[
    "enabled",
    "sslRequired",
    "registrationAllowed",
    "registrationEmailAsUsername",
    "verifyEmail",
    "loginWithEmailAllowed",
    "duplicateEmailsAllowed",
    "resetPasswordAllowed",
    "editUsernameAllowed",
    "rememberMe",
    "userManagedAccessAllowed",
    "adminPermissionsEnabled",
    "defaultSignatureAlgorithm",
    "accessTokenLifespan",
    "accessTokenLifespanForImplicitFlow",
    "ssoSessionIdleTimeout",
    "ssoSessionMaxLifespan",
    "ssoSessionIdleTimeoutRememberMe",
    "ssoSessionMaxLifespanRememberMe",
    "offlineSessionIdleTimeout",
    "offlineSessionMaxLifespanEnabled",
    "offlineSessionMaxLifespan",
    "clientSessionIdleTimeout",
    "clientSessionMaxLifespan",
    "accessCodeLifespan",
    "revokeRefreshToken",
    "refreshTokenMaxReuse",
    "notBefore",
    "organizationsEnabled",
    "bruteForceProtected",
    "permanentLockout",
    "failureFactor",
    "bruteForceStrategy",
    "maxTemporaryLockouts",
    "maxFailureWaitSeconds",
    "minimumQuickLoginWaitSeconds",
    "waitIncrementSeconds",
    "quickLoginCheckMilliSeconds",
    "maxDeltaTimeSeconds",
    "otpPolicyType",
    "otpPolicyAlgorithm",
    "otpPolicyDigits",
    "otpPolicyLookAheadWindow",
    "otpPolicyPeriod",
    "otpPolicyCodeReusable",
    "webAuthnPolicyUserVerificationRequirement",
    "webAuthnPolicyPasswordlessUserVerificationRequirement",
    "browserFlow",
    "registrationFlow",
    "directGrantFlow",
    "resetCredentialsFlow",
    "clientAuthenticationFlow",
    "dockerAuthenticationFlow",
    "firstBrokerLoginFlow",
];

/// Of an identity provider, its configuration apart.
pub const IDENTITY_PROVIDER: &[&str] = &[
    "alias",
    "displayName",
    "providerId",
    "enabled",
    "trustEmail",
    "storeToken",
    "addReadTokenRoleOnCreate",
    "authenticateByDefault",
    "linkOnly",
    "hideOnLogin",
    "firstBrokerLoginFlowAlias",
    "postBrokerLoginFlowAlias",
    "organizationId",
];

/// Of an authentication flow.
pub const FLOW: &[&str] = &["alias", "providerId", "builtIn"];

/// Of a step of a flow, with its place, which decides what is asked first.
pub const FLOW_EXECUTION: &[&str] = &[
    "displayName",
    "providerId",
    "authenticationFlow",
    "authenticationConfig",
    "requirement",
    "level",
    "index",
    "priority",
];

/// Of a required action.
pub const REQUIRED_ACTION: &[&str] = &["alias", "name", "providerId", "enabled", "defaultAction", "priority"];
