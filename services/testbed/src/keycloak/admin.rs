//! The Admin REST API as an administrator uses it: people, groups, roles, and what the event store holds.

use super::{ADMIN, Webhook};
use anyhow::{Context, Result, bail, ensure};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// Admin tokens live 60 s; a new one is taken well before.
const TOKEN_AGE: Duration = Duration::from_secs(30);

/// More events than any test makes: one page holds them all.
const ALL: u32 = 1_000_000;

/// Acts as the temporary administrator, who lives in the master realm.
#[derive(Debug)]
pub struct Admin {
    http: Client,
    url: String,
    token: Mutex<Option<(String, Instant)>>,
}

impl Admin {
    pub(super) fn new(http: Client, url: String) -> Self {
        Self { http, url, token: Mutex::new(None) }
    }

    /// Sends a request to `/admin/realms/{path}` and returns the JSON of a 2xx, null if it has none.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let request = self.http.request(method.clone(), format!("{}/admin/realms/{path}", self.url));
        let answer = self.send(request, body).await.with_context(|| format!("{method} {path}"))?;
        let bytes = answer.bytes().await?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).context("the answer is no JSON")
    }

    /// Reads `/admin/realms/{path}`.
    pub async fn get(&self, path: &str) -> Result<Value> {
        self.call(Method::GET, path, None).await
    }

    /// The names of one of Keycloak's enums, `eventType` for one, as this server has it.
    pub async fn names_of(&self, kind: &str) -> Result<Vec<String>> {
        let request = self.http.request(Method::GET, format!("{}/admin/serverinfo", self.url));
        let info: Value = self.send(request, None).await.context("asking what the server is")?.json().await?;
        let names = info["enums"][kind].as_array().with_context(|| format!("the server names no {kind}"))?;
        Ok(names.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// All user events that the store holds, oldest first.
    pub async fn events(&self, realm: &str) -> Result<Vec<Value>> {
        self.list(&format!("{realm}/events?direction=asc&max={ALL}")).await
    }

    /// All admin events that the store holds, oldest first.
    pub async fn admin_events(&self, realm: &str) -> Result<Vec<Value>> {
        self.list(&format!("{realm}/admin-events?direction=asc&max={ALL}")).await
    }

    /// Changes some fields of the realm's event configuration.
    pub async fn change_events_config(&self, realm: &str, changes: Value) -> Result<()> {
        let path = format!("{realm}/events/config");
        let mut config = self.get(&path).await?;
        let (Value::Object(config_fields), Value::Object(changes)) = (&mut config, changes) else {
            bail!("an event configuration is an object");
        };
        config_fields.extend(changes);
        self.call(Method::PUT, &path, Some(&config)).await.map(drop)
    }

    /// Registers a webhook of keycloak-events for every kind of event.
    pub async fn add_webhook(&self, realm: &str, webhook: &Webhook) -> Result<()> {
        let body = json!({"enabled": "true", "url": webhook.url, "secret": webhook.secret, "eventTypes": ["*"]});
        let request = self.http.post(format!("{}/realms/{realm}/webhooks", self.url));
        self.send(request, Some(&body)).await.context("registering the webhook").map(drop)
    }

    /// Id of a user.
    pub async fn user_id(&self, realm: &str, username: &str) -> Result<String> {
        let found = self.list(&format!("{realm}/users?exact=true&username={username}")).await?;
        id(found.first().with_context(|| format!("no user {username}"))?)
    }

    /// Id of a group by its path, such as `/platform/ops`.
    pub async fn group_id(&self, realm: &str, path: &str) -> Result<String> {
        id(&self.get(&format!("{realm}/group-by-path{path}")).await?)
    }

    /// Internal id of a client.
    pub async fn client_uuid(&self, realm: &str, client_id: &str) -> Result<String> {
        let found = self.list(&format!("{realm}/clients?clientId={client_id}")).await?;
        id(found.first().with_context(|| format!("no client {client_id}"))?)
    }

    /// Creates a user with password `<username>-pw` and returns the id.
    pub async fn create_user(&self, realm: &str, username: &str) -> Result<String> {
        let user = json!({
            "username": username, "enabled": true, "email": format!("{username}@{realm}.example"), "emailVerified": true,
            "firstName": username, "lastName": "Example",
            "credentials": [{"type": "password", "value": format!("{username}-pw")}],
        });
        self.call(Method::POST, &format!("{realm}/users"), Some(&user)).await?;
        self.user_id(realm, username).await
    }

    /// Disables a user.
    pub async fn disable_user(&self, realm: &str, user_id: &str) -> Result<()> {
        let change = json!({"enabled": false});
        self.call(Method::PUT, &format!("{realm}/users/{user_id}"), Some(&change)).await.map(drop)
    }

    /// Enables a user again.
    pub async fn enable_user(&self, realm: &str, user_id: &str) -> Result<()> {
        let change = json!({"enabled": true});
        self.call(Method::PUT, &format!("{realm}/users/{user_id}"), Some(&change)).await.map(drop)
    }

    /// Deletes a user.
    pub async fn delete_user(&self, realm: &str, user_id: &str) -> Result<()> {
        self.call(Method::DELETE, &format!("{realm}/users/{user_id}"), None).await.map(drop)
    }

    /// Makes a user a member of a group.
    pub async fn join_group(&self, realm: &str, user_id: &str, group_id: &str) -> Result<()> {
        self.call(Method::PUT, &format!("{realm}/users/{user_id}/groups/{group_id}"), None).await.map(drop)
    }

    /// Ends a membership.
    pub async fn leave_group(&self, realm: &str, user_id: &str, group_id: &str) -> Result<()> {
        self.call(Method::DELETE, &format!("{realm}/users/{user_id}/groups/{group_id}"), None).await.map(drop)
    }

    /// Gives a realm role to `holder`: `users/{id}` or `groups/{id}`.
    pub async fn grant_role(&self, realm: &str, holder: &str, role: &str) -> Result<()> {
        self.map_role(Method::POST, realm, holder, role).await
    }

    /// Takes a realm role from `holder`: `users/{id}` or `groups/{id}`.
    pub async fn revoke_role(&self, realm: &str, holder: &str, role: &str) -> Result<()> {
        self.map_role(Method::DELETE, realm, holder, role).await
    }

    /// Takes a realm role from `holder` as the admin console does: the event names no role.
    pub async fn revoke_role_by_console(&self, realm: &str, holder: &str, role: &str) -> Result<()> {
        let role = self.get(&format!("{realm}/roles/{role}")).await?;
        let body = json!([{"roleId": role["id"], "roleName": role["name"]}]);
        self.call(Method::POST, &format!("{realm}/ui-ext/role-mapping-delete/{holder}"), Some(&body)).await.map(drop)
    }

    /// Gives a client role to the service account of `client_id`, such as `realm-management` `view-events`.
    pub async fn grant_service_account(&self, realm: &str, client_id: &str, role: (&str, &str)) -> Result<()> {
        self.map_service_account(Method::POST, realm, client_id, role).await
    }

    /// Takes a client role from the service account of `client_id`.
    pub async fn revoke_service_account(&self, realm: &str, client_id: &str, role: (&str, &str)) -> Result<()> {
        self.map_service_account(Method::DELETE, realm, client_id, role).await
    }

    async fn map_role(&self, method: Method, realm: &str, holder: &str, role: &str) -> Result<()> {
        let role = self.get(&format!("{realm}/roles/{role}")).await?;
        self.call(method, &format!("{realm}/{holder}/role-mappings/realm"), Some(&json!([role]))).await.map(drop)
    }

    async fn map_service_account(
        &self,
        method: Method,
        realm: &str,
        client_id: &str,
        role: (&str, &str),
    ) -> Result<()> {
        let client = self.client_uuid(realm, client_id).await?;
        let account = id(&self.get(&format!("{realm}/clients/{client}/service-account-user")).await?)?;
        let owner = self.client_uuid(realm, role.0).await?;
        let role = self.get(&format!("{realm}/clients/{owner}/roles/{}", role.1)).await?;
        let path = format!("{realm}/users/{account}/role-mappings/clients/{owner}");
        self.call(method, &path, Some(&json!([role]))).await.map(drop)
    }

    async fn list(&self, path: &str) -> Result<Vec<Value>> {
        match self.get(path).await? {
            Value::Array(items) => Ok(items),
            _ => bail!("the answer is no list"),
        }
    }

    async fn send(&self, request: RequestBuilder, body: Option<&Value>) -> Result<Response> {
        let mut request = request.bearer_auth(self.token().await?);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let status = answer.status();
        if !status.is_success() {
            bail!("{status}: {}", answer.text().await.unwrap_or_default());
        }
        Ok(answer)
    }

    async fn token(&self) -> Result<String> {
        let mut held = self.token.lock().await;
        if let Some((token, since)) = held.as_ref().filter(|(_, since)| since.elapsed() < TOKEN_AGE) {
            let _ = since;
            return Ok(token.clone());
        }
        let form =
            [("grant_type", "password"), ("client_id", "admin-cli"), ("username", ADMIN.0), ("password", ADMIN.1)];
        let url = format!("{}/realms/master/protocol/openid-connect/token", self.url);
        let answer = self.http.post(url).form(&form).send().await?;
        ensure!(answer.status().is_success(), "the administrator's login was refused: {}", answer.status());
        let answer: Value = answer.json().await?;
        let token = answer["access_token"].as_str().context("no access token in the answer")?.to_owned();
        *held = Some((token.clone(), Instant::now()));
        Ok(token)
    }
}

fn id(object: &Value) -> Result<String> {
    Ok(object["id"].as_str().context("the object has no id")?.to_owned())
}
