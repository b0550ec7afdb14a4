//! Somebody else's hands on Azure: what a person does with `az` while the operator looks on.

use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::World;

/// Versions of each type, by the last part of an id that names one, as `az` uses them.
const VERSIONS: [(&str, &str); 7] = [
    ("/federatedidentitycredentials", "2024-11-30"),
    ("/userassignedidentities", "2024-11-30"),
    ("/roleassignments", "2022-04-01"),
    ("/sessionpools", "2025-10-02-preview"),
    ("/containerapps", "2025-07-01"),
    ("/managedenvironments", "2025-07-01"),
    ("/containergroups", "2025-09-01"),
];
const GROUPS: &str = "2024-11-01";

/// The first principal of the emulator, with a token.
pub struct Azure {
    http: reqwest::Client,
    arm: String,
    subscription: String,
    token: String,
}

impl Azure {
    /// Logs in.
    pub async fn login(world: &World) -> Self {
        let ready = world.azure();
        let ca = std::fs::read(&ready.ca).expect("the CA of the emulator");
        let http = reqwest::Client::builder()
            .add_root_certificate(reqwest::Certificate::from_pem(&ca).expect("a certificate"))
            .build()
            .expect("an HTTP client");
        let url = format!(
            "{}/{}/oauth2/v2.0/token",
            ready.authority.trim_end_matches('/'),
            ready.tenant_id
        );
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &ready.client_id),
            ("client_secret", &ready.client_secret),
            ("scope", "https://management.azure.com/.default"),
        ];
        let answer: Value = http
            .post(url)
            .form(&form)
            .send()
            .await
            .expect("an answer")
            .json()
            .await
            .expect("JSON");
        Self {
            http,
            arm: ready.arm.trim_end_matches('/').to_owned(),
            subscription: ready.subscription_id.clone(),
            token: answer["access_token"].as_str().expect("a token").to_owned(),
        }
    }

    /// The id of a group.
    pub fn group_id(&self, name: &str) -> String {
        format!("/subscriptions/{}/resourceGroups/{name}", self.subscription)
    }

    /// The id of a pool.
    pub fn pool_id(&self, group: &str, name: &str) -> String {
        format!("{}/providers/Microsoft.App/sessionPools/{name}", self.group_id(group))
    }

    /// The id of a user-assigned identity.
    pub fn identity_id(&self, group: &str, name: &str) -> String {
        let group = self.group_id(group);
        format!("{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}")
    }

    /// The id of a container app.
    pub fn app_id(&self, group: &str, name: &str) -> String {
        format!("{}/providers/Microsoft.App/containerApps/{name}", self.group_id(group))
    }

    /// The id of a container group.
    pub fn container_group_id(&self, group: &str, name: &str) -> String {
        let group = self.group_id(group);
        format!("{group}/providers/Microsoft.ContainerInstance/containerGroups/{name}")
    }

    /// The id of the subscription.
    pub fn subscription_id(&self) -> String {
        format!("/subscriptions/{}", self.subscription)
    }

    /// Every item of a list, of all pages.
    pub async fn list(&self, id: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut next = Some(self.url(id));
        while let Some(url) = next {
            let (status, page) = self.send(Method::GET, &url, None).await;
            assert!(status.is_success(), "GET {url}: {status} {page}");
            items.extend(page["value"].as_array().cloned().unwrap_or_default());
            next = page["nextLink"].as_str().map(str::to_owned);
        }
        items
    }

    /// A resource, if it exists.
    pub async fn find(&self, id: &str) -> Option<Value> {
        let (status, body) = self.call(Method::GET, id, None).await;
        match status {
            StatusCode::NOT_FOUND => None,
            status => {
                assert!(status.is_success(), "GET {id}: {status} {body}");
                Some(body)
            }
        }
    }

    /// Creates or replaces a resource.
    pub async fn put(&self, id: &str, body: &Value) -> Value {
        let (status, answer) = self.call(Method::PUT, id, Some(body)).await;
        assert!(status.is_success(), "PUT {id}: {status} {answer}");
        answer
    }

    /// Asks for an action.
    pub async fn post(&self, id: &str, body: &Value) -> Value {
        let (status, answer) = self.call(Method::POST, id, Some(body)).await;
        assert!(status.is_success(), "POST {id}: {status} {answer}");
        answer
    }

    /// Changes a resource.
    pub async fn patch(&self, id: &str, body: &Value) {
        let (status, answer) = self.call(Method::PATCH, id, Some(body)).await;
        assert!(status.is_success(), "PATCH {id}: {status} {answer}");
    }

    /// Deletes a resource.
    pub async fn delete(&self, id: &str) {
        let (status, answer) = self.call(Method::DELETE, id, None).await;
        assert!(status.is_success(), "DELETE {id}: {status} {answer}");
    }

    /// Registers the provider of session pools, as a subscription that was used before has it.
    pub async fn register(&self) {
        let id = format!("/subscriptions/{}/providers/Microsoft.App/register", self.subscription);
        self.post(&id, &json!({})).await;
    }

    async fn call(&self, method: Method, id: &str, body: Option<&Value>) -> (StatusCode, Value) {
        self.send(method, &self.url(id), body).await
    }

    fn url(&self, id: &str) -> String {
        let lower = id.to_lowercase();
        // The type that the id ends with: an assignment at a pool's scope is an assignment.
        let last = VERSIONS
            .iter()
            .filter_map(|(part, version)| Some((lower.rfind(part)?, *version)))
            .max();
        let version = last.map_or(GROUPS, |(_, version)| version);
        format!("{}{id}?api-version={version}", self.arm)
    }

    /// Sends a request, again after the stated pause for as long as it is throttled: what a test reads by the
    /// side shares the subscription's limits with the operator that it watches.
    async fn send(&self, method: Method, url: &str, body: Option<&Value>) -> (StatusCode, Value) {
        const TRIES: u32 = 100;
        for _ in 1..TRIES {
            let mut request = self.http.request(method.clone(), url).bearer_auth(&self.token);
            if let Some(body) = body {
                request = request.json(body);
            }
            let response = request.send().await.expect("the emulator answers");
            let status = response.status();
            if status == StatusCode::TOO_MANY_REQUESTS {
                let seconds = response
                    .headers()
                    .get(RETRY_AFTER)
                    .and_then(|it| it.to_str().ok()?.parse().ok());
                tokio::time::sleep(Duration::from_secs(seconds.unwrap_or(1))).await;
                continue;
            }
            let text = response.text().await.unwrap_or_default();
            return (status, serde_json::from_str(&text).unwrap_or(Value::Null));
        }
        panic!("{method} {url} is still throttled after {TRIES} tries");
    }
}
