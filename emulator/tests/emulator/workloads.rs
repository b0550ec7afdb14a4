//! Environments, container apps and container groups to test with.

use reqwest::Method;
use serde_json::{Value, json};

use crate::wire::{Answer, Wire, answer};

/// API version of environments and container apps that most tests use.
pub const APPS: &str = "2025-07-01";
/// API version of container groups that most tests use.
pub const GROUPS: &str = "2025-09-01";

impl Wire {
    /// Live defaults, save that providers are registered and operations take no time.
    pub async fn instant() -> Self {
        Self::with(json!({ "arm": { "providersRegistered": true, "operationSeconds": 0 } })).await
    }

    /// Path of an environment in the group `rg`.
    pub fn environment(&self, name: &str) -> String {
        format!(
            "{}/providers/Microsoft.App/managedEnvironments/{name}",
            self.group("rg")
        )
    }

    /// Path of a container app in the group `rg`.
    pub fn app(&self, name: &str) -> String {
        format!("{}/providers/Microsoft.App/containerApps/{name}", self.group("rg"))
    }

    /// Path of a container group in the group `rg`.
    pub fn container_group(&self, name: &str) -> String {
        format!(
            "{}/providers/Microsoft.ContainerInstance/containerGroups/{name}",
            self.group("rg")
        )
    }

    /// The group `rg` with an environment `env` in it that is ready.
    pub async fn with_environment(self) -> Self {
        let wire = self.with_group("rg").await;
        let body = json!({ "location": "westeurope", "properties": {} });
        wire.put(&wire.environment("env"), APPS, body).await.expect(201);
        wire.advance(31).await;
        wire
    }

    /// A container app in `env`, without secrets and with the identities that the block says.
    pub fn app_body(&self, identity: &Value) -> Value {
        json!({
            "location": "West Europe",
            "identity": identity,
            "properties": {
                "managedEnvironmentId": self.environment("env"),
                "template": { "containers": [{ "name": "main", "image": "r.example/i:1" }] },
            },
        })
    }

    /// Creates an app that is ready at once; only with operations that take no time.
    pub async fn with_app(&self, name: &str, identity: &Value) -> String {
        let path = self.app(name);
        self.put(&path, APPS, self.app_body(identity)).await.expect(201);
        path
    }

    /// Where the workload of a host asks for tokens.
    pub async fn host(&self, id: &str) -> Host {
        let path = format!("hosts?resourceId={id}");
        Host::new(self.control(Method::GET, &path, None).await.expect(200).body)
    }

    /// The host that the operator runs on.
    pub async fn operator_host(&self) -> Host {
        Host::new(self.control(Method::GET, "hosts", None).await.expect(200).body)
    }
}

/// A host as its workload sees it.
#[derive(Debug)]
pub struct Host {
    pub body: Value,
    pub client: reqwest::Client,
}

impl Host {
    fn new(body: Value) -> Self {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { body, client }
    }

    pub fn text(&self, name: &str) -> &str {
        self.body[name].as_str().unwrap()
    }

    /// Asks IMDS for a token of ARM, as its documentation says. `selector` is empty or starts with `&`.
    pub async fn imds(&self, selector: &str) -> Answer {
        self.imds_for("https://management.azure.com/", selector).await
    }

    pub async fn imds_for(&self, resource: &str, selector: &str) -> Answer {
        let url = format!(
            "{}/metadata/identity/oauth2/token?api-version=2018-02-01&resource={resource}{selector}",
            self.text("imds")
        );
        answer(self.client.get(url).header("Metadata", "true").send().await.unwrap()).await
    }

    /// Asks the endpoint in the manner of App Service.
    pub async fn app_service(&self, selector: &str) -> Answer {
        self.app_service_for("https://management.azure.com/", selector).await
    }

    pub async fn app_service_for(&self, resource: &str, selector: &str) -> Answer {
        let url = format!(
            "{}?api-version=2019-08-01&resource={resource}{selector}",
            self.text("identityEndpoint")
        );
        let header = self.text("identityHeader");
        let request = self.client.get(url).header("X-IDENTITY-HEADER", header);
        answer(request.send().await.unwrap()).await
    }
}

/// An `identity` block with user-assigned identities.
pub fn user_assigned(ids: &[&str]) -> Value {
    let ids: serde_json::Map<String, Value> = ids.iter().map(|id| ((*id).to_owned(), json!({}))).collect();
    json!({ "type": "UserAssigned", "userAssignedIdentities": ids })
}

/// The `identity` block of a resource with a system-assigned identity.
pub fn system_assigned() -> Value {
    json!({ "type": "SystemAssigned" })
}

/// A container group with a secure value and without identities.
pub fn group_body() -> Value {
    json!({
        "location": "westeurope",
        "properties": {
            "osType": "Linux",
            "restartPolicy": "Never",
            "containers": [{
                "name": "main",
                "properties": {
                    "image": "r.example/i:1",
                    "resources": { "requests": { "cpu": 1, "memoryInGB": 1.5 } },
                    "environmentVariables": [
                        { "name": "SHOWN", "value": "plain" },
                        { "name": "HIDDEN", "secureValue": "canary" },
                    ],
                },
            }],
            "imageRegistryCredentials": [{ "server": "r.example", "username": "u", "password": "canary" }],
            "volumes": [{ "name": "v", "secret": { "file": "Y2FuYXJ5" } }],
        },
    })
}
