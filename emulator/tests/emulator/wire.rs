//! A running emulator and a client that trusts it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use azure_emulator::{Emulator, Isolation, Options};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

/// API version of session pools that most tests use.
pub const POOLS: &str = "2025-10-02-preview";
/// API version of resource groups and providers.
pub const RESOURCES: &str = "2025-04-01";
/// API version of managed identities.
pub const IDENTITIES: &str = "2024-11-30";
/// API version of role assignments.
pub const ROLES: &str = "2022-04-01";

/// An emulator in its own data directory, with its first principal's token for ARM.
pub struct Wire {
    pub emulator: Emulator,
    pub client: Client,
    pub token: String,
    pub data_dir: TempDir,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Answer {
    pub fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{:?}", self.body);
        self
    }

    #[track_caller]
    pub fn expect_error(self, status: u16, code: &str) -> Self {
        let answer = self.expect(status);
        assert_eq!(answer.code(), code, "{:?}", answer.body);
        answer
    }
}

/// A key for every authority of these tests, because making one takes longer than most of them.
pub fn shared_key() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("authority.key")
}

/// A client that trusts the CA of an emulator and follows nothing by itself.
pub fn client(ca: &Path) -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let certificate = reqwest::Certificate::from_pem(&std::fs::read(ca).unwrap()).unwrap();
    Client::builder()
        .tls_certs_only([certificate])
        .timeout(Duration::from_secs(20))
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap()
}

impl Wire {
    /// Live defaults, save that providers are registered and nothing takes time unless the clock is moved.
    pub async fn start() -> Self {
        Self::with(json!({ "arm": { "providersRegistered": true } })).await
    }

    /// As [`start`](Self::start), with the authority's key in the data directory, where it is kept unless told otherwise.
    pub async fn with_own_key() -> Self {
        Self::keyed(json!({ "arm": { "providersRegistered": true } }), None).await
    }

    pub async fn with(behaviour: Value) -> Self {
        Self::keyed(behaviour, Some(shared_key())).await
    }

    async fn keyed(behaviour: Value, authority_key: Option<PathBuf>) -> Self {
        let data_dir = TempDir::new().unwrap();
        let options = Options {
            behaviour,
            isolation: Isolation::None,
            authority_key,
            ..Options::new(data_dir.path())
        };
        let emulator = Emulator::start(options).await.unwrap();
        let client = client(&emulator.ready().ca);
        let mut wire = Self {
            emulator,
            client,
            token: String::new(),
            data_dir,
        };
        wire.token = wire.token_for("https://management.azure.com").await;
        wire
    }

    pub fn root(&self) -> String {
        self.emulator.ready().arm.clone()
    }

    pub fn subscription(&self) -> String {
        format!("/subscriptions/{}", self.emulator.ready().subscription_id)
    }

    pub fn group(&self, name: &str) -> String {
        format!("{}/resourceGroups/{name}", self.subscription())
    }

    pub fn pool(&self, group: &str, name: &str) -> String {
        format!("{}/providers/Microsoft.App/sessionPools/{name}", self.group(group))
    }

    /// Path of a user-assigned identity.
    pub fn identity(&self, group: &str, name: &str) -> String {
        format!(
            "{}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}",
            self.group(group)
        )
    }

    /// Creates a user-assigned identity, and answers what ARM says about it.
    pub async fn with_identity(&self, group: &str, name: &str) -> Value {
        let path = self.identity(group, name);
        self.put(&path, IDENTITIES, json!({ "location": "westeurope" }))
            .await
            .expect(201)
            .body
    }

    /// A token of the first principal.
    pub async fn token_for(&self, resource: &str) -> String {
        let ready = self.emulator.ready();
        let answer = self
            .ask_token(&ready.client_id, &ready.client_secret, resource)
            .await
            .expect(200);
        answer.body["access_token"].as_str().unwrap().to_owned()
    }

    pub async fn ask_token(&self, client_id: &str, secret: &str, resource: &str) -> Answer {
        let scope = format!("{resource}/.default");
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", client_id),
            ("client_secret", secret),
            ("scope", &scope),
        ];
        self.post_form(&form).await
    }

    pub async fn post_form(&self, form: &[(&str, &str)]) -> Answer {
        let url = format!("{}/{}/oauth2/v2.0/token", self.root(), self.emulator.ready().tenant_id);
        answer(self.client.post(url).form(form).send().await.unwrap()).await
    }

    /// A request to ARM as the first principal.
    pub async fn arm(&self, method: Method, path: &str, version: &str, body: Option<Value>) -> Answer {
        self.arm_as(&self.token, method, path, version, body).await
    }

    pub async fn arm_as(&self, token: &str, method: Method, path: &str, version: &str, body: Option<Value>) -> Answer {
        let joint = if path.contains('?') { '&' } else { '?' };
        let url = format!("{}{path}{joint}api-version={version}", self.root());
        let mut request = self.client.request(method, url).bearer_auth(token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        answer(request.send().await.unwrap()).await
    }

    pub async fn get(&self, path: &str, version: &str) -> Answer {
        self.arm(Method::GET, path, version, None).await
    }

    pub async fn put(&self, path: &str, version: &str, body: Value) -> Answer {
        self.arm(Method::PUT, path, version, Some(body)).await
    }

    pub async fn patch(&self, path: &str, version: &str, body: Value) -> Answer {
        self.arm(Method::PATCH, path, version, Some(body)).await
    }

    pub async fn delete(&self, path: &str, version: &str) -> Answer {
        self.arm(Method::DELETE, path, version, None).await
    }

    /// A URL that an answer gave, as it stands.
    pub async fn follow(&self, url: &str) -> Answer {
        answer(self.client.get(url).bearer_auth(&self.token).send().await.unwrap()).await
    }

    pub async fn control(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let mut request = self.client.request(method, format!("{}/_emulator/{path}", self.root()));
        if let Some(body) = body {
            request = request.json(&body);
        }
        answer(request.send().await.unwrap()).await
    }

    pub async fn advance(&self, seconds: u32) {
        self.control(Method::POST, "clock", Some(json!({ "advanceSeconds": seconds })))
            .await
            .expect(200);
    }

    /// An application with roles, and its ARM token.
    pub async fn application(&self, roles: &[(&str, &str)]) -> (Value, String) {
        let roles: Vec<Value> = roles
            .iter()
            .map(|(scope, role)| json!({ "scope": scope, "roleDefinitionId": role }))
            .collect();
        let body = json!({ "roleAssignments": roles });
        let application = self
            .control(Method::POST, "applications", Some(body))
            .await
            .expect(201)
            .body;
        let (id, secret) = (
            application["clientId"].as_str().unwrap(),
            application["clientSecret"].as_str().unwrap(),
        );
        let token = self
            .ask_token(id, secret, "https://management.azure.com")
            .await
            .expect(200);
        let token = token.body["access_token"].as_str().unwrap().to_owned();
        (application, token)
    }

    pub async fn with_group(self, name: &str) -> Self {
        self.put(&self.group(name), RESOURCES, json!({ "location": "westeurope" }))
            .await
            .expect(201);
        self
    }
}

pub async fn answer(response: reqwest::Response) -> Answer {
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Answer { status, headers, body }
}

/// The Shell pool of Microsoft's tutorial.
pub fn shell_pool() -> Value {
    json!({
        "location": "northcentralus",
        "properties": {
            "poolManagementType": "Dynamic",
            "containerType": "Shell",
            "scaleConfiguration": { "maxConcurrentSessions": 5 },
            "dynamicPoolConfiguration": {
                "lifecycleConfiguration": { "lifecycleType": "Timed", "cooldownPeriodInSeconds": 300 }
            },
            "sessionNetworkConfiguration": { "status": "EgressEnabled" },
        },
    })
}

/// A pool of custom containers in an environment of the same subscription.
pub fn custom_pool(subscription: &str) -> Value {
    json!({
        "location": "North Central US",
        "properties": {
            "environmentId": format!("{subscription}/resourceGroups/rg/providers/Microsoft.App/managedEnvironments/env"),
            "containerType": "CustomContainer",
            "scaleConfiguration": { "maxConcurrentSessions": 10, "readySessionInstances": 2 },
            "secrets": [{ "name": "registry", "value": "canary" }],
            "customContainerTemplate": {
                "registryCredentials": { "server": "r.example", "username": "u", "passwordSecretRef": "registry" },
                "containers": [{ "name": "c", "image": "r.example/i:1", "resources": { "cpu": "0.5", "memory": "1Gi" } }],
                "ingress": { "targetPort": 80 },
            },
        },
    })
}

/// The claims of a token, unchecked.
pub fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}
