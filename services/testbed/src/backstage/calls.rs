//! What can be asked of Backstage with a token: permissions, catalog, RBAC, scaffolder.
//!
//! Every call answers with status and body, also when it is refused: a refusal is what tests look for.

use anyhow::{Context, Result, bail, ensure};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

/// What was answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// JSON body, null if there is none.
    pub body: Value,
}

/// A final decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Allowed.
    Allow,
    /// Denied.
    Deny,
}

/// A permission of a plugin, with the resource that it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission<'a> {
    /// `catalog.location.create`
    CreateLocation,
    /// `catalog.entity.delete` of an entity.
    DeleteEntity(&'a str),
    /// `catalog.entity.refresh` of an entity.
    RefreshEntity(&'a str),
    /// `scaffolder.task.create`
    CreateTask,
}

impl Permission<'_> {
    /// Name as in audit lines.
    pub fn name(&self) -> &'static str {
        match self {
            Self::CreateLocation => "catalog.location.create",
            Self::DeleteEntity(_) => "catalog.entity.delete",
            Self::RefreshEntity(_) => "catalog.entity.refresh",
            Self::CreateTask => "scaffolder.task.create",
        }
    }

    /// The entity that it is asked for, if it is about one.
    pub fn resource(&self) -> Option<&str> {
        match self {
            Self::DeleteEntity(entity) | Self::RefreshEntity(entity) => Some(entity),
            Self::CreateLocation | Self::CreateTask => None,
        }
    }

    fn question(&self) -> Value {
        let name = self.name();
        let about = |entity: &str, action: &str| {
            json!({"id": "1", "resourceRef": entity, "permission": {
                "type": "resource", "name": name, "attributes": {"action": action}, "resourceType": "catalog-entity"}})
        };
        match self {
            Self::DeleteEntity(entity) => about(entity, "delete"),
            Self::RefreshEntity(entity) => about(entity, "update"),
            Self::CreateLocation | Self::CreateTask => {
                json!({"id": "1", "permission": {"type": "basic", "name": name, "attributes": {"action": "create"}}})
            }
        }
    }
}

/// Calls with one token.
#[derive(Clone, Debug)]
pub struct Calls {
    http: Client,
    url: String,
    token: String,
}

impl Calls {
    pub(super) fn new(http: Client, url: String, token: String) -> Self {
        Self { http, url, token }
    }

    /// Sends a request to `/api/{path}`.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer> {
        let mut request =
            self.http.request(method.clone(), format!("{}/api/{path}", self.url)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.with_context(|| format!("{method} /api/{path}"))?;
        let status = answer.status();
        let bytes = answer.bytes().await?;
        Ok(Answer { status, body: serde_json::from_slice(&bytes).unwrap_or_default() })
    }

    /// Asks the permission backend, as a frontend does. It asks RBAC itself, so no plugin and no override sees it.
    pub async fn authorize(&self, permission: Permission<'_>) -> Result<Decision> {
        let question = json!({"items": [permission.question()]});
        let answer = self.call(Method::POST, "permission/authorize", Some(&question)).await?;
        ensure!(answer.status == StatusCode::OK, "authorize was answered {}", answer.status);
        match answer.body["items"][0]["result"].as_str() {
            Some("ALLOW") => Ok(Decision::Allow),
            Some("DENY") => Ok(Decision::Deny),
            _ => bail!("an answer without a final decision"),
        }
    }

    /// Entities that fit a catalog filter, such as `kind=user`.
    pub async fn entities(&self, filter: &str) -> Result<Answer> {
        self.call(Method::GET, &format!("catalog/entities/by-query?filter={filter}"), None).await
    }

    /// One entity, by a reference such as `component:default/website`.
    pub async fn entity(&self, entity: &str) -> Result<Answer> {
        let path = entity.replacen(':', "/", 1);
        self.call(Method::GET, &format!("catalog/entities/by-name/{path}"), None).await
    }

    /// Asks for an entity to be read again.
    pub async fn refresh_entity(&self, entity: &str) -> Result<Answer> {
        self.call(Method::POST, "catalog/refresh", Some(&json!({"entityRef": entity}))).await
    }

    /// Registers a location. It is Backstage's own address, where nothing is found, so no other machine is asked.
    pub async fn create_location(&self, name: &str) -> Result<Answer> {
        let body = json!({"type": "url", "target": format!("{}/{name}.yaml", self.url)});
        self.call(Method::POST, "catalog/locations", Some(&body)).await
    }

    /// Takes a location out of the catalog.
    pub async fn delete_location(&self, id: &str) -> Result<Answer> {
        self.call(Method::DELETE, &format!("catalog/locations/{id}"), None).await
    }

    /// Takes an entity out of the catalog, by its uid.
    pub async fn delete_entity(&self, uid: &str) -> Result<Answer> {
        self.call(Method::DELETE, &format!("catalog/entities/by-uid/{uid}"), None).await
    }

    /// Creates an RBAC role with members (`user:...`, `group:...`).
    pub async fn create_role(&self, role: &str, members: &[&str]) -> Result<Answer> {
        let body = json!({"name": role, "memberReferences": members});
        self.call(Method::POST, "permission/roles", Some(&body)).await
    }

    /// Gives a role policies: (permission or resource type, action).
    pub async fn create_policies(&self, role: &str, policies: &[(&str, &str)]) -> Result<Answer> {
        let policy = |(permission, action): &(&str, &str)| json!({"entityReference": role, "permission": permission, "policy": action, "effect": "allow"});
        let body: Vec<Value> = policies.iter().map(policy).collect();
        self.call(Method::POST, "permission/policies", Some(&json!(body))).await
    }

    /// Deletes an RBAC role, such as `role:default/auditors`.
    pub async fn delete_role(&self, role: &str) -> Result<Answer> {
        let path = role.replacen(':', "/", 1);
        self.call(Method::DELETE, &format!("permission/roles/{path}"), None).await
    }

    /// Starts the template `release`, which runs for some six seconds. The answer's body holds `id`.
    pub async fn start_task(&self, version: &str) -> Result<Answer> {
        let body = json!({"templateRef": "template:default/release", "values": {"version": version}});
        self.call(Method::POST, "scaffolder/v2/tasks", Some(&body)).await
    }

    /// State of a task: the answer's body holds `status`.
    pub async fn task(&self, id: &str) -> Result<Answer> {
        self.call(Method::GET, &format!("scaffolder/v2/tasks/{id}"), None).await
    }
}
