//! An emulated Azure with the clients of its first principal.

use std::path::Path;
use std::time::Duration;

use azure_emulator::{Emulator, Options, Ready};
use lifeguard::azure::provider::RegistrationState;
use lifeguard::azure::resource_group::RESOURCE_GROUP_API_VERSION;
use lifeguard::azure::session::{PoolEndpoint, SessionClient, SessionIdentifier};
use lifeguard::azure::session_pool::{self, PoolApiVersion, SESSION_POOL_TYPE};
use lifeguard::azure::{ArmClient, Cloud, Credential, Gates, Http, ResourceId, Tokens, provider};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The pool of the tests.
pub const POOL: &str = "shell";
/// Its resource group.
pub const GROUP: &str = "rg-tests";

/// A running emulator.
pub struct Emulated {
    pub emulator: Emulator,
    pub cloud: Cloud,
    pub http: Http,
    _data: TempDir,
}

impl Emulated {
    pub async fn start() -> Self {
        // Every test asks for it; the first one wins.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let data = tempfile::tempdir().unwrap();
        let emulator = Emulator::start(Options {
            // Making one takes longer than most of these tests.
            authority_key: Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("authority.key")),
            ..Options::new(data.path())
        })
        .await
        .unwrap();
        let cloud = Cloud::from_file(&emulator.ready().cloud).unwrap();
        let http = Http::new(&cloud).unwrap();
        Self {
            emulator,
            cloud,
            http,
            _data: data,
        }
    }

    pub fn ready(&self) -> &Ready {
        self.emulator.ready()
    }

    /// The credential of the principal that is Owner and Session Executor.
    pub fn credential(&self) -> Credential {
        self.credential_with(
            &self.ready().tenant_id,
            &self.ready().client_id,
            &self.ready().client_secret,
        )
    }

    pub fn credential_with(&self, tenant: &str, client_id: &str, secret: &str) -> Credential {
        Credential::client_secret(
            self.http.clone(),
            self.cloud.authority.clone(),
            tenant,
            client_id,
            secret,
        )
    }

    pub fn tokens(&self) -> Tokens {
        Tokens::new(self.credential())
    }

    pub fn arm(&self) -> ArmClient {
        self.arm_over(self.http.clone())
    }

    pub fn arm_over(&self, http: Http) -> ArmClient {
        let gate = Gates::default().gate(&self.ready().subscription_id, &self.ready().client_id, "tests");
        ArmClient::new(http, &self.cloud, self.tokens(), gate)
    }

    pub fn group(&self) -> ResourceId {
        ResourceId::resource_group_id(&self.ready().subscription_id, GROUP).unwrap()
    }

    pub fn pool(&self) -> ResourceId {
        ResourceId::resource(&self.ready().subscription_id, GROUP, SESSION_POOL_TYPE, POOL).unwrap()
    }

    /// Makes the resource group.
    pub async fn with_group(&self) {
        let (id, body) = (self.group(), json!({"location": "westus2"}));
        let made = self.arm().put(id.as_str(), RESOURCE_GROUP_API_VERSION, &body).await;
        made.unwrap();
    }

    /// Makes the group and a Shell pool of `sessions` sessions, and returns a client of it.
    pub async fn with_pool(&self, sessions: u32) -> SessionClient {
        let arm = self.arm();
        let subscription = &self.ready().subscription_id;
        while provider::register(&arm, subscription, "Microsoft.App").await.unwrap() != RegistrationState::Registered {
            assert!(self.emulator.state().clock().advance(Duration::from_mins(1)));
        }
        self.with_group().await;
        let body = shell_pool(sessions);
        let version = PoolApiVersion::for_properties(&body["properties"]);
        let answer = arm.put(self.pool().as_str(), version.as_str(), &body).await.unwrap();
        let endpoint = session_pool::management_endpoint(&answer.body).unwrap();
        self.sessions_over(self.http.clone(), self.cloud.session_endpoint(endpoint).unwrap())
    }

    /// Where the pool's data plane is, or would be.
    pub fn endpoint(&self) -> PoolEndpoint {
        let Ready {
            arm, subscription_id, ..
        } = self.ready();
        let endpoint = format!(
            "{arm}/westus2.dynamicsessions.io/subscriptions/{subscription_id}/resourceGroups/{GROUP}/sessionPools/{POOL}"
        );
        self.cloud.session_endpoint(&endpoint).unwrap()
    }

    pub fn sessions(&self) -> SessionClient {
        self.sessions_over(self.http.clone(), self.endpoint())
    }

    pub fn sessions_over(&self, http: Http, endpoint: PoolEndpoint) -> SessionClient {
        let scope = self.cloud.sessions.as_ref().unwrap().scope.clone();
        SessionClient::new(http, endpoint, self.tokens(), scope)
    }

    /// Puts `action` in the place of the next `times` answers to requests that match.
    pub fn fault(&self, method: &str, path: &str, times: u32, action: Value) {
        let fault = json!({"match": {"method": method, "path": path}, "times": times, "action": action});
        self.emulator
            .state()
            .faults()
            .arm(serde_json::from_value(fault).unwrap())
            .unwrap();
    }

    /// How many requests came whose method and path match.
    pub fn requests(&self, method: &str, path: &str) -> Vec<azure_emulator::journal::RequestEntry> {
        let mut requests = self.emulator.state().journal().requests();
        requests.retain(|request| request.method == method && request.path.contains(path));
        requests
    }
}

/// The body of a Shell pool's PUT.
pub fn shell_pool(sessions: u32) -> Value {
    json!({
        "location": "westus2",
        "properties": {
            "containerType": "Shell",
            "poolManagementType": "Dynamic",
            "scaleConfiguration": {"maxConcurrentSessions": sessions},
            "dynamicPoolConfiguration": {
                "lifecycleConfiguration": {"lifecycleType": "Timed", "cooldownPeriodInSeconds": 300},
            },
            "sessionNetworkConfiguration": {"status": "EgressDisabled"},
        },
    })
}

/// The session of the tests.
pub fn session() -> SessionIdentifier {
    SessionIdentifier::new("lg-tests-0001").unwrap()
}
