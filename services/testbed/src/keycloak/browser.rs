//! A person at a login page: the authorization code flow with cookies and forms, and what an application does next.
//!
//! Keycloak sets Secure cookies also on http://127.0.0.1. Browsers send those back to a loopback address, HTTP
//! libraries do not (and Keycloak then answers 400 `cookie_not_found`): so the jar here is our own.

use anyhow::{Context, Result, bail, ensure};
use reqwest::{
    Client, RequestBuilder, Response, StatusCode,
    header::{COOKIE, LOCATION, SET_COOKIE},
};
use serde_json::Value;
use std::collections::BTreeMap;

/// An OIDC client with a secret.
#[derive(Clone, Debug)]
pub struct OidcClient {
    /// Client id.
    pub id: String,
    /// Secret.
    pub secret: String,
    /// A registered redirect URI. Nothing needs to listen there.
    pub redirect_uri: String,
}

impl OidcClient {
    /// A client of the project's own realm (`portal` or `deploys`).
    pub fn named(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            secret: format!("{id}-secret"),
            redirect_uri: "http://127.0.0.1:7007/callback".to_owned(),
        }
    }
}

/// What the login page did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// Signed in; the authorization code.
    Code(String),
    /// The form came again: wrong password, disabled or locked out.
    Refused,
}

/// What the token endpoint gave.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// Access token.
    pub access: String,
    /// Refresh token; empty for a service account.
    pub refresh: String,
    /// Keycloak's session id.
    pub session: String,
}

/// One person, one browser, one application.
#[derive(Clone, Debug)]
pub struct Browser {
    http: Client,
    realm_url: String,
    client: OidcClient,
    /// (path, name) -> value.
    cookies: BTreeMap<(String, String), String>,
}

impl Browser {
    pub(super) fn new(http: Client, realm_url: String, client: OidcClient) -> Self {
        Self { http, realm_url, client, cookies: BTreeMap::new() }
    }

    /// The same browser (and single sign-on session) at another application.
    pub fn visit(&self, client: OidcClient) -> Self {
        Self { client, ..self.clone() }
    }

    /// Opens the application, fills in the form if one comes, and ends with a code or the form again.
    pub async fn login(&mut self, username: &str, password: &str) -> Result<Login> {
        let query = [
            ("client_id", self.client.id.as_str()),
            ("redirect_uri", &self.client.redirect_uri),
            ("response_type", "code"),
            ("scope", "openid profile email"),
        ];
        let open = self.http.get(self.endpoint("auth")).query(&query);
        let page = self.follow(open).await?;
        let page = match page {
            Page::Code(code) => return Ok(Login::Code(code)),
            Page::Form(action) => action,
        };
        let form = [("username", username), ("password", password), ("credentialId", "")];
        match self.follow(self.http.post(page).form(&form)).await? {
            Page::Code(code) => Ok(Login::Code(code)),
            Page::Form(_) => Ok(Login::Refused),
        }
    }

    /// Signs in and takes tokens, as an application does. An error if the login is refused.
    pub async fn sign_in(&mut self, username: &str, password: &str) -> Result<Tokens> {
        match self.login(username, password).await? {
            Login::Code(code) => self.exchange(&code).await,
            Login::Refused => bail!("the login was refused"),
        }
    }

    /// Code to tokens.
    pub async fn exchange(&self, code: &str) -> Result<Tokens> {
        let redirect = self.client.redirect_uri.as_str();
        let form = [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", redirect)];
        tokens(self.post("token", &form).await?).await
    }

    /// Refresh token to tokens.
    pub async fn refresh(&self, held: &Tokens) -> Result<Tokens> {
        let form = [("grant_type", "refresh_token"), ("refresh_token", held.refresh.as_str())];
        tokens(self.post("token", &form).await?).await
    }

    /// A refresh that must be refused, for instance after a logout.
    pub async fn refresh_refused(&self, held: &Tokens) -> Result<()> {
        let form = [("grant_type", "refresh_token"), ("refresh_token", held.refresh.as_str())];
        let status = self.post("token", &form).await?.status();
        ensure!(status == StatusCode::BAD_REQUEST, "a refresh that must be refused was answered {status}");
        Ok(())
    }

    /// Ends the session from the application's side.
    pub async fn logout(&self, held: &Tokens) -> Result<()> {
        let status = self.post("logout", &[("refresh_token", held.refresh.as_str())]).await?.status();
        ensure!(status.is_success(), "the logout was answered {status}");
        Ok(())
    }

    /// Asks whether a token is good.
    pub async fn introspect(&self, held: &Tokens) -> Result<bool> {
        let answer = self.post("token/introspect", &[("token", held.access.as_str())]).await?;
        let answer: Value = answer.error_for_status()?.json().await?;
        answer["active"].as_bool().context("the answer says not whether the token is active")
    }

    /// Revokes a token (RFC 7009).
    pub async fn revoke(&self, token: &str) -> Result<()> {
        let status = self.post("revoke", &[("token", token)]).await?.status();
        ensure!(status.is_success(), "the revocation was answered {status}");
        Ok(())
    }

    fn endpoint(&self, name: &str) -> String {
        format!("{}/protocol/openid-connect/{name}", self.realm_url)
    }

    async fn post(&self, endpoint: &str, form: &[(&str, &str)]) -> Result<Response> {
        let mut form = form.to_vec();
        form.extend([("client_id", self.client.id.as_str()), ("client_secret", self.client.secret.as_str())]);
        Ok(self.http.post(self.endpoint(endpoint)).form(&form).send().await?)
    }

    async fn follow(&mut self, request: RequestBuilder) -> Result<Page> {
        const HOPS: usize = 10;
        let mut request = request;
        for _ in 0..HOPS {
            let built = request.build()?;
            let path = built.url().path().to_owned();
            let answer = self.http.execute(self.with_cookies(built, &path)?).await?;
            self.keep_cookies(&answer)?;
            if let Some(location) = answer.headers().get(LOCATION) {
                let location = answer.url().join(location.to_str()?)?;
                if location.as_str().starts_with(&self.client.redirect_uri) {
                    let code = location.query_pairs().find(|(name, _)| name == "code");
                    let (_, code) = code.context("the application got no code")?;
                    return Ok(Page::Code(code.into_owned()));
                }
                request = self.http.get(location);
                continue;
            }
            let (status, text) = (answer.status(), answer.text().await?);
            let Some(action) = form_action(&text) else { bail!("a page without a login form, status {status}") };
            return Ok(Page::Form(action));
        }
        bail!("more than {HOPS} redirects")
    }

    fn with_cookies(&self, mut request: reqwest::Request, path: &str) -> Result<reqwest::Request> {
        let fit = self.cookies.iter().filter(|((scope, _), _)| path.starts_with(scope.as_str()));
        let line: Vec<_> = fit.map(|((_, name), value)| format!("{name}={value}")).collect();
        if !line.is_empty() {
            request.headers_mut().insert(COOKIE, line.join("; ").parse()?);
        }
        Ok(request)
    }

    fn keep_cookies(&mut self, answer: &Response) -> Result<()> {
        for line in answer.headers().get_all(SET_COOKIE) {
            let line = line.to_str()?;
            let mut parts = line.split(';').map(str::trim);
            let (name, value) =
                parts.next().and_then(|pair| pair.split_once('=')).context("a cookie without a value")?;
            let mut scope = "/".to_owned();
            let mut ends = false;
            for part in parts {
                match part.split_once('=') {
                    Some((key, path)) if key.eq_ignore_ascii_case("path") => scope = path.to_owned(),
                    Some((key, "0")) if key.eq_ignore_ascii_case("max-age") => ends = true,
                    _ => {}
                }
            }
            let key = (scope, name.to_owned());
            if ends {
                self.cookies.remove(&key);
            } else {
                self.cookies.insert(key, value.to_owned());
            }
        }
        Ok(())
    }
}

enum Page {
    Code(String),
    Form(String),
}

/// A login of a service account.
pub async fn client_credentials(http: &Client, realm_url: &str, client: &OidcClient) -> Result<Tokens> {
    let form = [("grant_type", "client_credentials"), ("client_id", &client.id), ("client_secret", &client.secret)];
    let url = format!("{realm_url}/protocol/openid-connect/token");
    tokens(http.post(url).form(&form).send().await?).await
}

async fn tokens(answer: Response) -> Result<Tokens> {
    let status = answer.status();
    let answer: Value = answer.json().await?;
    ensure!(status.is_success(), "the token endpoint answered {status}: {}", answer["error"]);
    let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
    let tokens =
        Tokens { access: text("access_token"), refresh: text("refresh_token"), session: text("session_state") };
    ensure!(!tokens.access.is_empty(), "no access token in the answer");
    Ok(tokens)
}

/// Where the login form posts to, if the page has one.
fn form_action(page: &str) -> Option<String> {
    if !page.contains("name=\"username\"") {
        return None;
    }
    let action = page.split("action=\"").nth(1)?.split('"').next()?;
    Some(action.replace("&amp;", "&").replace("&#x2F;", "/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_action_of_a_login_form_is_found_and_unescaped() {
        let page =
            "<form id=\"kc-form-login\" action=\"http://a/b?x=1&amp;y=2\" method=\"post\"><input name=\"username\">";
        assert_eq!(form_action(page).as_deref(), Some("http://a/b?x=1&y=2"));
        assert_eq!(form_action("<form action=\"http://a\">"), None);
    }
}
