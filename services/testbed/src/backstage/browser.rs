//! A person who signs in to Backstage with a browser: Keycloak's form, the popup's answer, refresh, sign-out.
//!
//! Keycloak and Backstage set Secure cookies also on http://127.0.0.1. Browsers send those back to a loopback address,
//! HTTP libraries do not: so the jar here is our own.

use anyhow::{Context, Result, bail, ensure};
use reqwest::{
    Client, Method, Response, StatusCode, Url,
    header::{COOKIE, LOCATION, SET_COOKIE},
};
use serde_json::Value;
use std::collections::BTreeMap;

/// Redirects followed for one page.
const HOPS: usize = 10;

/// `auth.environment` of the app.
const ENVIRONMENT: &str = "production";

/// How a sign-in ended.
#[derive(Debug)]
pub enum SignIn {
    /// Signed in.
    Done(Box<Session>),
    /// Keycloak showed its form again: wrong password, disabled or locked out.
    RefusedByKeycloak,
    /// Keycloak let the person in, Backstage did not, for instance because the catalog does not know them. Backstage
    /// answers 200 to this, with an error in the page.
    RefusedByBackstage,
}

impl SignIn {
    /// The session; an error if the sign-in was refused.
    pub fn done(self) -> Result<Session> {
        match self {
            Self::Done(session) => Ok(*session),
            Self::RefusedByKeycloak => bail!("the sign-in was refused by Keycloak"),
            Self::RefusedByBackstage => bail!("the sign-in was refused by Backstage"),
        }
    }
}

/// What a refresh gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresh {
    /// New tokens.
    Done,
    /// None: Keycloak's session has ended, or the person is disabled.
    Refused,
}

/// A person who is signed in.
#[derive(Debug)]
pub struct Session {
    browser: Browser,
    /// `user:default/<username>`
    pub entity_ref: String,
    /// The Backstage token that was issued last.
    pub token: String,
    /// What the token says that the person is or owns: own reference and groups.
    pub ownership: Vec<String>,
    /// Id of the Keycloak session, as in `session_state` of the callback.
    pub keycloak_session: String,
}

impl Session {
    /// Takes new tokens, as the frontend does when a token is about to end.
    pub async fn refresh(&mut self) -> Result<Refresh> {
        let url = self.browser.url(&format!("/api/auth/oidc/refresh?env={ENVIRONMENT}"))?;
        let answer = self.browser.send(Method::GET, url).await?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            return Ok(Refresh::Refused);
        }
        ensure!(answer.status() == StatusCode::OK, "a refresh was answered {}", answer.status());
        self.take(&answer.json().await?)?;
        Ok(Refresh::Done)
    }

    /// Signs out. The Backstage token stays good until it expires.
    pub async fn logout(&mut self) -> Result<()> {
        let url = self.browser.url(&format!("/api/auth/oidc/logout?env={ENVIRONMENT}"))?;
        let status = self.browser.send(Method::POST, url).await?.status();
        ensure!(status.is_success(), "a sign-out was answered {status}");
        Ok(())
    }

    fn take(&mut self, response: &Value) -> Result<()> {
        let identity = &response["backstageIdentity"];
        self.token = identity["token"].as_str().context("an answer without a Backstage token")?.to_owned();
        self.entity_ref = identity["identity"]["userEntityRef"].as_str().unwrap_or_default().to_owned();
        let claims = identity["identity"]["ownershipEntityRefs"].as_array();
        self.ownership = claims.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        Ok(())
    }
}

pub(super) async fn sign_in(http: Client, backstage: String, (username, password): (&str, &str)) -> Result<SignIn> {
    let mut browser =
        Browser { http, backstage: Url::parse(&backstage)?, cookies: BTreeMap::new(), passed: Vec::new() };
    let mut start = browser.url("/api/auth/oidc/start")?;
    let query = [("env", ENVIRONMENT), ("scope", "openid profile email"), ("origin", &backstage), ("flow", "popup")];
    start.query_pairs_mut().extend_pairs(query);
    let page = browser.open(start).await?;
    let Some(action) = form_action(&page) else { bail!("Keycloak showed no login form") };
    let form = [("username", username), ("password", password), ("credentialId", "")];
    let page = browser.submit(Url::parse(&action)?, &form).await?;
    if form_action(&page).is_some() {
        return Ok(SignIn::RefusedByKeycloak);
    }
    let answer = popup_answer(&page).context("Backstage's page holds no answer")?;
    if answer.get("error").is_some() {
        return Ok(SignIn::RefusedByBackstage);
    }
    let states = browser.passed.iter().flat_map(|url| url.query_pairs()).filter(|(name, _)| name == "session_state");
    let keycloak_session = states.last().map(|(_, id)| id.into_owned()).context("a callback without session_state")?;
    let mut session =
        Session { browser, keycloak_session, entity_ref: String::new(), token: String::new(), ownership: Vec::new() };
    session.take(&answer["response"])?;
    Ok(SignIn::Done(Box::new(session)))
}

#[derive(Debug)]
struct Browser {
    http: Client,
    backstage: Url,
    /// (server, path, name) -> value.
    cookies: BTreeMap<(String, String, String), String>,
    /// Every address that was redirected to.
    passed: Vec<Url>,
}

impl Browser {
    fn url(&self, path: &str) -> Result<Url> {
        Ok(self.backstage.join(path)?)
    }

    /// Opens a page, follows redirects and returns the text of the last one.
    async fn open(&mut self, url: Url) -> Result<String> {
        let answer = self.send(Method::GET, url).await?;
        self.follow(answer).await
    }

    async fn submit(&mut self, url: Url, form: &[(&str, &str)]) -> Result<String> {
        let request = self.with_cookies(self.http.post(url).form(form).build()?)?;
        let answer = self.http.execute(request).await?;
        self.keep_cookies(&answer)?;
        self.follow(answer).await
    }

    async fn follow(&mut self, mut answer: Response) -> Result<String> {
        for _ in 0..HOPS {
            let Some(location) = answer.headers().get(LOCATION) else {
                let (status, text) = (answer.status(), answer.text().await?);
                ensure!(!status.is_server_error(), "a page was answered {status}");
                return Ok(text);
            };
            let next = answer.url().join(location.to_str()?)?;
            self.passed.push(next.clone());
            answer = self.send(Method::GET, next).await?;
        }
        bail!("more than {HOPS} redirects")
    }

    async fn send(&mut self, method: Method, url: Url) -> Result<Response> {
        // Backstage wants this header on refresh and logout, against forged requests.
        let request = self.http.request(method, url).header("X-Requested-With", "XMLHttpRequest").build()?;
        let answer = self.http.execute(self.with_cookies(request)?).await?;
        self.keep_cookies(&answer)?;
        Ok(answer)
    }

    fn with_cookies(&self, mut request: reqwest::Request) -> Result<reqwest::Request> {
        let (server, path) = (request.url().authority(), request.url().path());
        let fit = |(host, scope, _): &(String, String, String)| host == server && path.starts_with(scope.as_str());
        let fitting = self.cookies.iter().filter(|(key, _)| fit(key));
        let line: Vec<_> = fitting.map(|((_, _, name), value)| format!("{name}={value}")).collect();
        if !line.is_empty() {
            request.headers_mut().insert(COOKIE, line.join("; ").parse()?);
        }
        Ok(request)
    }

    fn keep_cookies(&mut self, answer: &Response) -> Result<()> {
        for line in answer.headers().get_all(SET_COOKIE) {
            let cookie = Cookie::parse(line.to_str()?).context("a cookie without a value")?;
            let key = (answer.url().authority().to_owned(), cookie.path, cookie.name);
            match cookie.value {
                Some(value) => self.cookies.insert(key, value),
                None => self.cookies.remove(&key),
            };
        }
        Ok(())
    }
}

/// A Set-Cookie line; no value if the cookie ends.
#[derive(Debug, PartialEq, Eq)]
struct Cookie {
    name: String,
    path: String,
    value: Option<String>,
}

impl Cookie {
    fn parse(line: &str) -> Option<Self> {
        let mut parts = line.split(';').map(str::trim);
        let (name, value) = parts.next()?.split_once('=')?;
        let mut cookie = Self { name: name.to_owned(), path: "/".to_owned(), value: Some(value.to_owned()) };
        for (key, value) in parts.filter_map(|part| part.split_once('=')) {
            if key.eq_ignore_ascii_case("path") {
                cookie.path = value.to_owned();
            }
            let ends = key.eq_ignore_ascii_case("max-age") && value == "0";
            if ends || (key.eq_ignore_ascii_case("expires") && value.contains(" 1970 ")) {
                cookie.value = None;
            }
        }
        Some(cookie)
    }
}

/// Where the login form posts to, if the page has one.
fn form_action(page: &str) -> Option<String> {
    if !page.contains("name=\"username\"") {
        return None;
    }
    let action = page.split("action=\"").nth(1)?.split('"').next()?;
    Some(action.replace("&amp;", "&").replace("&#x2F;", "/"))
}

/// What Backstage's popup page hands to the frontend.
fn popup_answer(page: &str) -> Option<Value> {
    let encoded = page.split("decodeURIComponent('").nth(1)?.split('\'').next()?;
    serde_json::from_slice(&percent_decode(encoded)).ok()
}

fn percent_decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_kept_whatever_their_flags_and_end_when_told() {
        let kept = Cookie::parse("AUTH_SESSION_ID=a.b==; Path=/realms/x/; Secure; HttpOnly; SameSite=None").unwrap();
        assert_eq!((kept.path.as_str(), kept.value.as_deref()), ("/realms/x/", Some("a.b==")));
        let ended =
            Cookie::parse("oidc-nonce=; Path=/api/auth/oidc/handler; Expires=Thu, 01 Jan 1970 00:00:00 GMT").unwrap();
        assert_eq!(ended.value, None);
        assert_eq!(Cookie::parse("KC_RESTART=; Max-Age=0; Path=/").unwrap().value, None);
        assert_eq!(Cookie::parse("nonsense"), None);
    }

    #[test]
    fn the_answer_of_the_popup_is_read() {
        let page = "<script>x = decodeURIComponent('%7B%22error%22%3A%7B%22name%22%3A%22%C3%A9%22%7D%7D'); y</script>";
        assert_eq!(popup_answer(page).unwrap()["error"]["name"], "é");
        assert_eq!(popup_answer("<html></html>"), None);
    }

    #[test]
    fn the_action_of_a_login_form_is_found_and_unescaped() {
        let page = "<form action=\"http://a/b?x=1&amp;y=2\" method=\"post\"><input name=\"username\">";
        assert_eq!(form_action(page).as_deref(), Some("http://a/b?x=1&y=2"));
        assert_eq!(form_action("<form action=\"http://a\">"), None);
    }
}
