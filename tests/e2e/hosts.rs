//! Container apps and container groups, and what runs in them: programs that ask for tokens of the identities that their
//! host has.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::azure::Azure;
use crate::world::World;

/// The resource group of what the operator does not manage.
pub const APPS: &str = "apps";

/// The audience of the data plane of session pools.
const SESSIONS: &str = "https://dynamicsessions.io";

impl Azure {
    /// An environment of Container Apps in a group that is there, made by somebody else. Returns its id.
    pub async fn environment(&self, world: &World, group: &str) -> String {
        let id = format!(
            "{}/providers/Microsoft.App/managedEnvironments/environment",
            self.group_id(group)
        );
        if self.find(&id).await.is_none() {
            self.put(&id, &json!({"location": "northcentralus", "properties": {}}))
                .await;
            self.until_succeeded(world, &id).await;
        }
        id
    }

    /// A container app with a secret, made by somebody else. Returns its id.
    pub async fn container_app(&self, world: &World, name: &str) -> String {
        self.put(&self.group_id(APPS), &json!({"location": "northcentralus"}))
            .await;
        let environment = self.environment(world, APPS).await;
        let id = self.app_id(APPS, name);
        let app = json!({
            "location": "northcentralus",
            "properties": {
                "environmentId": environment,
                "configuration": {"secrets": [{"name": "password", "value": "canary-of-the-app"}]},
                "template": {"containers": [{
                    "name": "main", "image": "mcr.microsoft.com/azure-cli", "command": ["tail", "-f", "/dev/null"],
                }]},
            },
        });
        self.put(&id, &app).await;
        self.until_succeeded(world, &id).await;
        id
    }

    /// A container group, made by somebody else. Returns its id.
    pub async fn container_group(&self, world: &World, name: &str) -> String {
        self.put(&self.group_id(APPS), &json!({"location": "northcentralus"}))
            .await;
        let id = self.container_group_id(APPS, name);
        let group = json!({
            "location": "northcentralus",
            "properties": {
                "osType": "Linux",
                "containers": [{"name": name, "properties": {
                    "image": "mcr.microsoft.com/azure-cli", "command": ["tail", "-f", "/dev/null"],
                    "resources": {"requests": {"cpu": 1.0, "memoryInGB": 1.5}},
                }}],
            },
        });
        self.put(&id, &group).await;
        self.until_succeeded(world, &id).await;
        id
    }

    /// Waits until the last operation on a resource has succeeded.
    pub async fn until_succeeded(&self, world: &World, id: &str) {
        world
            .until(&format!("{id} is provisioned"), || async {
                let found = self.find(id).await?;
                (found["properties"]["provisioningState"] == "Succeeded").then_some(())
            })
            .await;
    }
}

/// A program in a container app or container group.
pub struct Host {
    imds: String,
    identity_endpoint: String,
    identity_header: String,
}

impl Host {
    /// A program in the resource with this id.
    pub async fn of(world: &World, id: &str) -> Self {
        let endpoints = world
            .control(Method::GET, &format!("hosts?resourceId={id}"), None)
            .await;
        let text = |name: &str| endpoints[name].as_str().expect("an endpoint").to_owned();
        Self {
            imds: text("imds").trim_end_matches('/').to_owned(),
            identity_endpoint: text("identityEndpoint"),
            identity_header: text("identityHeader"),
        }
    }

    /// Asks the Instance Metadata Service for a token, as the tutorial does: of the identity with this client id, or of
    /// the one that there is.
    pub async fn ask_imds(&self, world: &World, client_id: Option<&str>) -> (StatusCode, Value) {
        let mut query = vec![("api-version", "2018-02-01"), ("resource", SESSIONS)];
        query.extend(client_id.map(|id| ("client_id", id)));
        let base = if self.imds.ends_with("/token") {
            self.imds.clone()
        } else {
            format!("{}/metadata/identity/oauth2/token", self.imds)
        };
        let url = reqwest::Url::parse_with_params(&base, query).expect("a URL");
        let request = world.http().get(url).header("Metadata", "true");
        answer(request).await
    }

    /// Asks the endpoint of Container Apps for a token.
    pub async fn ask_endpoint(&self, world: &World, client_id: Option<&str>) -> (StatusCode, Value) {
        let mut query = vec![("api-version", "2019-08-01"), ("resource", SESSIONS)];
        query.extend(client_id.map(|id| ("client_id", id)));
        let url = reqwest::Url::parse_with_params(&self.identity_endpoint, query).expect("a URL");
        let request = world.http().get(url).header("X-IDENTITY-HEADER", &self.identity_header);
        answer(request).await
    }
}

/// Executes a command in a pool with somebody's token, as the tutorial does.
pub async fn execute(world: &World, pool: &Value, token: &Value, command: &str) -> (StatusCode, Value) {
    let endpoint = pool["properties"]["poolManagementEndpoint"]
        .as_str()
        .expect("a pool has an endpoint");
    let query = [
        ("api-version", "2025-02-02-preview"),
        ("identifier", &uuid::Uuid::new_v4().to_string()),
    ];
    let url = reqwest::Url::parse_with_params(&format!("{}/executions", endpoint.trim_end_matches('/')), query);
    let request = world
        .http()
        .post(url.expect("a URL"))
        .bearer_auth(token["access_token"].as_str().unwrap_or_default())
        .json(&json!({"shellCommand": command, "timeoutInSeconds": 60}));
    answer(request).await
}

async fn answer(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.expect("an answer");
    let status = response.status();
    let text = response.text().await.unwrap_or_default();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}
