//! An emulator with a pool, and a client of its data plane.

use std::path::Path;
use std::time::Duration;

use azure_emulator::{Emulator, Options};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

/// The version that Shell clients use.
pub const VERSION: &str = "2025-02-02-preview";
pub const GROUP: &str = "rg";

/// An emulator in this process.
pub struct Azure {
    pub emulator: Emulator,
    pub client: reqwest::Client,
    pub arm_token: String,
    pub token: String,
    _data_dir: tempfile::TempDir,
}

/// A pool, reached by the endpoint that ARM gave for it.
pub struct Pool<'a> {
    pub azure: &'a Azure,
    pub id: String,
    pub endpoint: String,
}

/// An answer: status, headers and JSON body (`Null` if it is none).
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Azure {
    /// Live defaults, but no lost writes, no waiting for roles, tokens that last, and registered providers; `sessions` are switches.
    pub async fn start(sessions: Value) -> Self {
        let data_dir = tempfile::tempdir().unwrap();
        let mut options = Options::new(data_dir.path());
        // Making one takes longer than most of these tests.
        options.authority_key = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("authority.key"));
        options.behaviour = json!({
            "arm": { "providersRegistered": true, "throttling": false },
            "roles": { "propagationSeconds": 0 },
            "sessions": { "lostWriteProbability": 0 },
            "tokens": { "lifetimeSeconds": 1_000_000 },
        });
        let emulator = Emulator::start(options).await.unwrap();
        let ca = std::fs::read(&emulator.ready().ca).unwrap();
        let client = client(&ca);
        let ready = emulator.ready().clone();
        let get = |audience| {
            token(
                &client,
                &ready.authority,
                &ready.tenant_id,
                &ready.client_id,
                &ready.client_secret,
                audience,
            )
        };
        let (arm_token, token) = (
            get("https://management.azure.com").await,
            get("https://dynamicsessions.io").await,
        );
        let azure = Self {
            emulator,
            client: client.clone(),
            arm_token,
            token,
            _data_dir: data_dir,
        };
        azure.switch(json!({ "sessions": sessions })).await;
        azure
    }

    pub fn root(&self) -> &str {
        &self.emulator.ready().arm
    }

    pub async fn switch(&self, behaviour: Value) {
        let url = format!("{}/_emulator/behaviour", self.root());
        let answer = send(self.client.put(url).json(&behaviour)).await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    }

    pub async fn advance(&self, seconds: u32) {
        let url = format!("{}/_emulator/clock", self.root());
        let answer = send(self.client.post(url).json(&json!({ "advanceSeconds": seconds }))).await;
        assert!(answer.status.is_success(), "{:?}", answer.body);
    }

    pub async fn executions(&self) -> Vec<Value> {
        let answer = send(self.client.get(format!("{}/_emulator/executions", self.root()))).await;
        answer.body.as_array().unwrap().clone()
    }

    /// Ends a session as a crash of the platform would.
    pub async fn crash(&self, pool: &str, identifier: &str) {
        let url = format!("{}/_emulator/sessions", self.root());
        let answer = send(
            self.client
                .delete(url)
                .query(&[("pool", pool), ("identifier", identifier)]),
        )
        .await;
        assert_eq!((answer.status, answer.body), (StatusCode::OK, json!({ "ended": 1 })));
    }

    /// Puts another session in the place of one.
    pub async fn replace(&self, pool: &str, identifier: &str) {
        let url = format!("{}/_emulator/sessions/replace", self.root());
        let query = [("pool", pool), ("identifier", identifier)];
        let answer = send(self.client.post(url).query(&query)).await;
        assert_eq!((answer.status, answer.body), (StatusCode::OK, json!({ "replaced": 1 })));
    }

    /// The journal of a pool's sessions.
    pub async fn allocations(&self, pool: &str) -> Value {
        let url = format!("{}/_emulator/allocations", self.root());
        send(self.client.get(url).query(&[("pool", pool)])).await.body
    }

    pub async fn clear_allocations(&self) {
        let url = format!("{}/_emulator/allocations", self.root());
        assert_eq!(send(self.client.delete(url)).await.status, StatusCode::NO_CONTENT);
    }

    /// A Shell pool of three sessions, a cooldown of five minutes and no network.
    pub async fn shell_pool(&self) -> Pool<'_> {
        self.pool("shell", "Shell", json!({})).await
    }

    pub async fn pool(&self, name: &str, container_type: &str, changes: Value) -> Pool<'_> {
        let subscription = &self.emulator.ready().subscription_id;
        let group = format!("/subscriptions/{subscription}/resourceGroups/{GROUP}");
        let body = json!({ "location": "westeurope" });
        let made = self.arm(Method::PUT, &group, "2024-11-01", Some(body)).await;
        assert!(made.status.is_success(), "{:?}", made.body);
        let id = format!("{group}/providers/Microsoft.App/sessionPools/{name}");
        let mut body = json!({ "location": "westeurope", "properties": {
            "poolManagementType": "Dynamic",
            "containerType": container_type,
            "scaleConfiguration": { "maxConcurrentSessions": 3 },
            "dynamicPoolConfiguration": { "lifecycleConfiguration": {
                "lifecycleType": "Timed", "cooldownPeriodInSeconds": 300,
            }},
            "sessionNetworkConfiguration": { "status": "EgressDisabled" },
        }});
        azure_emulator::json::merge_patch(&mut body["properties"], &changes);
        let made = self.arm(Method::PUT, &id, "2025-10-02-preview", Some(body)).await;
        assert!(made.status.is_success(), "{:?}", made.body);
        let endpoint = made.body["properties"]["poolManagementEndpoint"]
            .as_str()
            .unwrap()
            .to_owned();
        Pool {
            azure: self,
            id,
            endpoint,
        }
    }

    pub async fn arm(&self, method: Method, id: &str, version: &str, body: Option<Value>) -> Answer {
        let url = format!("{}{id}", self.root());
        let mut request = self
            .client
            .request(method, url)
            .query(&[("api-version", version)])
            .bearer_auth(&self.arm_token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        send(request).await
    }
}

impl Pool<'_> {
    /// A request of this version about a session.
    pub fn request(&self, method: Method, path: &str, identifier: &str, version: &str) -> RequestBuilder {
        let url = format!("{}/{path}", self.endpoint);
        let query = [("api-version", version), ("identifier", identifier)];
        self.azure
            .client
            .request(method, url)
            .query(&query)
            .bearer_auth(&self.azure.token)
    }

    pub async fn get(&self, path: &str, identifier: &str) -> Answer {
        send(self.request(Method::GET, path, identifier, VERSION)).await
    }

    pub async fn delete(&self, path: &str, identifier: &str) -> Answer {
        send(self.request(Method::DELETE, path, identifier, VERSION)).await
    }

    pub async fn post(&self, identifier: &str, body: Value) -> Answer {
        send(
            self.request(Method::POST, "executions", identifier, VERSION)
                .json(&body),
        )
        .await
    }

    /// Runs a command and returns what it printed; its exit code must be 0.
    pub async fn shell(&self, identifier: &str, text: &str) -> String {
        let answer = self.post(identifier, json!({ "shellCommand": text })).await;
        assert_eq!(answer.body["status"], "0", "{answer:?}");
        answer.body["result"]["stdout"].as_str().unwrap().to_owned()
    }

    pub async fn upload(&self, identifier: &str, directory: &str, name: &str, content: Vec<u8>) -> Answer {
        let part = reqwest::multipart::Part::bytes(content).file_name(name.to_owned());
        let form = reqwest::multipart::Form::new().part("file", part);
        let request = self
            .request(Method::POST, "files", identifier, VERSION)
            .query(&[("path", directory)]);
        send(request.multipart(form)).await
    }
}

impl Answer {
    /// The error's code, which body and header must agree on.
    pub fn code(&self) -> &str {
        let code = self.body["error"]["code"]
            .as_str()
            .unwrap_or_else(|| panic!("no error: {self:?}"));
        assert_eq!(self.headers["x-ms-error-code"], code);
        assert!(self.body["error"]["message"].is_string() && self.body["error"]["traceId"].is_string());
        code
    }
}

pub fn client(ca: &[u8]) -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(ca).unwrap()])
        .timeout(Duration::from_mins(2))
        .build()
        .unwrap()
}

pub async fn token(
    client: &reqwest::Client,
    authority: &str,
    tenant: &str,
    id: &str,
    secret: &str,
    audience: &str,
) -> String {
    let scope = format!("{audience}/.default");
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", id),
        ("client_secret", secret),
        ("scope", &scope),
    ];
    let answer = send(
        client
            .post(format!("{authority}/{tenant}/oauth2/v2.0/token"))
            .form(&form),
    )
    .await;
    answer.body["access_token"]
        .as_str()
        .unwrap_or_else(|| panic!("no token: {answer:?}"))
        .to_owned()
}

pub async fn send(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.bytes().await.unwrap();
    Answer {
        status,
        headers,
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    }
}
