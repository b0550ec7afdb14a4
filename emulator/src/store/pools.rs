//! Session pools as the data plane sees them.

use serde_json::Value;
use uuid::Uuid;

use super::{PendingKind, Resource, Store};
use crate::json::{get, get_str};

/// Type of session pools as ARM's metadata spell it.
pub(crate) const SESSION_POOLS: &str = "Microsoft.App/sessionPools";

/// How long sessions of a pool live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifecycle {
    /// Until no request came for this many seconds.
    Timed {
        /// `cooldownPeriodInSeconds`.
        cooldown_seconds: u32,
    },
    /// Until the container exits, at most this many seconds.
    OnContainerExit {
        /// `maxAlivePeriodInSeconds`.
        max_alive_seconds: u32,
    },
}

/// A session pool as the data plane sees it.
#[derive(Debug, Clone)]
pub struct Pool {
    /// Its ARM id, in the spelling of its creation.
    pub id: String,
    /// Its name, in the spelling of its creation.
    pub name: String,
    /// Its region (`westeurope`), which is the first label of its host.
    pub region: String,
    /// `containerType`: `Shell`, `PythonLTS`, `NodeLTS`, `CustomContainer`.
    pub container_type: String,
    /// `scaleConfiguration.maxConcurrentSessions`.
    pub max_concurrent_sessions: u32,
    /// `dynamicPoolConfiguration.lifecycleConfiguration`.
    pub lifecycle: Lifecycle,
    /// Whether sessions may use the network (`sessionNetworkConfiguration.status`).
    pub egress_enabled: bool,
    /// All properties that were set, secrets included.
    pub properties: Value,
    /// Tells it from an earlier pool of the same id.
    pub instance: Uuid,
}

impl Pool {
    /// The pool that a resource is; `None` for other types.
    pub fn of(resource: &Resource) -> Option<Self> {
        if !resource.resource_type.eq_ignore_ascii_case(SESSION_POOLS) {
            return None;
        }
        let properties = &resource.properties;
        let number = |value: Option<&Value>, default: u32| {
            value
                .and_then(Value::as_u64)
                .and_then(|number| u32::try_from(number).ok())
                .unwrap_or(default)
        };
        let scale = get(properties, "scaleConfiguration");
        let lifecycle =
            get(properties, "dynamicPoolConfiguration").and_then(|dynamic| get(dynamic, "lifecycleConfiguration"));
        let kind = lifecycle
            .and_then(|lifecycle| get_str(lifecycle, "lifecycleType"))
            .unwrap_or("Timed");
        let network = get(properties, "sessionNetworkConfiguration");
        Some(Self {
            id: resource.id.clone(),
            name: resource.name.clone(),
            region: resource.location.clone(),
            container_type: get_str(properties, "containerType").unwrap_or("PythonLTS").to_owned(),
            max_concurrent_sessions: number(scale.and_then(|scale| get(scale, "maxConcurrentSessions")), 10),
            lifecycle: if kind.eq_ignore_ascii_case("OnContainerExit") {
                Lifecycle::OnContainerExit {
                    max_alive_seconds: number(lifecycle.and_then(|one| get(one, "maxAlivePeriodInSeconds")), 3600),
                }
            } else {
                Lifecycle::Timed {
                    cooldown_seconds: number(lifecycle.and_then(|one| get(one, "cooldownPeriodInSeconds")), 300),
                }
            },
            egress_enabled: network
                .and_then(|network| get_str(network, "status"))
                .is_some_and(|status| status.eq_ignore_ascii_case("EgressEnabled")),
            properties: properties.clone(),
            instance: resource.instance,
        })
    }

    /// Whether its sessions are containers of the user's own images.
    pub fn is_custom(&self) -> bool {
        self.container_type.eq_ignore_ascii_case("CustomContainer")
    }
}

/// The host of a pool of custom containers: `{pool}.{domain of its environment}.{region}.azurecontainerapps.io`.
pub(crate) fn container_host(resource: &Resource) -> String {
    let environment = get_str(&resource.properties, "environmentId")
        .unwrap_or_default()
        .to_ascii_lowercase();
    let domain = Uuid::new_v5(&Uuid::NAMESPACE_URL, environment.as_bytes())
        .simple()
        .to_string();
    format!(
        "{}.env-{}.{}.azurecontainerapps.io",
        resource.name,
        &domain[..8],
        resource.location
    )
}

impl Store {
    /// The pool of custom containers whose host this is; `None` unless it exists and is not being created or deleted.
    pub fn find_pool_by_host(&self, host: &str) -> Option<Pool> {
        let is_meant = |resource: &&Resource| {
            resource.resource_type.eq_ignore_ascii_case(SESSION_POOLS)
                && get_str(&resource.properties, "containerType") == Some("CustomContainer")
                && container_host(resource).eq_ignore_ascii_case(host)
        };
        let resource = self.resources.values().find(is_meant)?;
        let serves = resource
            .pending
            .as_ref()
            .is_none_or(|pending| pending.kind == PendingKind::Update);
        if serves { Pool::of(resource) } else { None }
    }

    /// The session pool of these names, whatever their case; `None` unless it exists and is not being deleted.
    pub fn find_pool(&self, subscription: &str, resource_group: &str, name: &str) -> Option<Pool> {
        let id =
            format!("/subscriptions/{subscription}/resourceGroups/{resource_group}/providers/{SESSION_POOLS}/{name}");
        let resource = self.resource(&id)?;
        let going = resource
            .pending
            .as_ref()
            .is_some_and(|pending| pending.kind != PendingKind::Update);
        if going { None } else { Pool::of(resource) }
    }
}
