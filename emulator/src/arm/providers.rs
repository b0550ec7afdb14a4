//! Resource providers: their types and whether a subscription registered them.

use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{ArmError, ArmReply, ArmRequest, access, paging, regions, versions};
use crate::behaviour::ArmBehaviour;
use crate::clock::seconds;
use crate::store::{Registration, Store};

/// A resource type of a provider.
#[derive(Debug)]
pub struct TypeInfo {
    /// Name below the namespace.
    pub name: &'static str,
    /// API versions, newest first.
    pub versions: &'static [&'static str],
    /// `capabilities` of the provider's metadata.
    pub capabilities: &'static str,
    /// Whether its resources are in a region.
    pub regional: bool,
}

/// A resource provider.
#[derive(Debug)]
pub struct ProviderInfo {
    /// Namespace in ARM's spelling.
    pub namespace: &'static str,
    /// Whether every subscription has it.
    pub always_registered: bool,
    /// Its types.
    pub types: &'static [TypeInfo],
}

const fn type_info(
    name: &'static str,
    versions: &'static [&'static str],
    capabilities: &'static str,
    regional: bool,
) -> TypeInfo {
    TypeInfo {
        name,
        versions,
        capabilities,
        regional,
    }
}

/// Capabilities of types that can be moved and have an identity.
const TRACKED: &str = "CrossResourceGroupResourceMove, CrossSubscriptionResourceMove, SystemAssignedResourceIdentity, SupportsTags, SupportsLocation";

/// The providers that are known.
pub const PROVIDERS: &[ProviderInfo] = &[
    ProviderInfo {
        namespace: "Microsoft.App",
        always_registered: false,
        types: &[
            type_info("sessionPools", versions::SESSION_POOLS, TRACKED, true),
            type_info("managedEnvironments", versions::CONTAINER_APPS, TRACKED, true),
            type_info("containerApps", versions::CONTAINER_APPS, TRACKED, true),
            type_info("operations", versions::SESSION_POOLS, "None", false),
            type_info("locations", versions::SESSION_POOLS, "None", false),
            type_info("locations/operationResults", versions::SESSION_POOLS, "None", true),
            type_info("locations/operationStatuses", versions::SESSION_POOLS, "None", true),
            type_info(
                "locations/containerappOperationResults",
                versions::CONTAINER_APPS,
                "None",
                true,
            ),
            type_info(
                "locations/containerappOperationStatuses",
                versions::CONTAINER_APPS,
                "None",
                true,
            ),
            type_info(
                "locations/managedEnvironmentOperationResults",
                versions::CONTAINER_APPS,
                "None",
                true,
            ),
            type_info(
                "locations/managedEnvironmentOperationStatuses",
                versions::CONTAINER_APPS,
                "None",
                true,
            ),
        ],
    },
    ProviderInfo {
        namespace: "Microsoft.Authorization",
        always_registered: true,
        types: &[
            type_info("roleAssignments", versions::AUTHORIZATION, "SupportsExtension", false),
            type_info("roleDefinitions", versions::AUTHORIZATION, "SupportsExtension", false),
        ],
    },
    ProviderInfo {
        namespace: "Microsoft.ManagedIdentity",
        always_registered: false,
        types: &[
            type_info(
                "userAssignedIdentities",
                versions::MANAGED_IDENTITIES,
                "SupportsTags, SupportsLocation",
                true,
            ),
            type_info(
                "userAssignedIdentities/federatedIdentityCredentials",
                versions::MANAGED_IDENTITIES,
                "None",
                true,
            ),
            type_info("identities", versions::MANAGED_IDENTITIES, "SupportsExtension", false),
        ],
    },
    ProviderInfo {
        namespace: "Microsoft.ContainerInstance",
        always_registered: false,
        types: &[
            type_info(
                "containerGroups",
                versions::CONTAINER_GROUPS,
                "SystemAssignedResourceIdentity, SupportsTags, SupportsLocation",
                true,
            ),
            type_info("operations", versions::CONTAINER_GROUPS, "None", false),
            type_info("locations", versions::CONTAINER_GROUPS, "None", false),
            type_info("locations/operations", versions::CONTAINER_GROUPS, "None", true),
        ],
    },
    ProviderInfo {
        namespace: "Microsoft.Resources",
        always_registered: true,
        types: &[
            type_info("resourceGroups", versions::RESOURCES, "SupportsTags", true),
            type_info("deployments", versions::RESOURCES, "None", false),
            type_info("deployments/operations", versions::RESOURCES, "None", false),
            type_info("subscriptions", versions::RESOURCES, "None", false),
            type_info("tenants", versions::RESOURCES, "None", false),
            type_info("providers", versions::RESOURCES, "None", false),
        ],
    },
];

/// The provider of a namespace, whatever its case.
pub fn find(namespace: &str) -> Option<&'static ProviderInfo> {
    PROVIDERS
        .iter()
        .find(|provider| provider.namespace.eq_ignore_ascii_case(namespace))
}

/// The type of a provider, or ARM's 404.
pub fn find_type(
    namespace: &str,
    name: &str,
    api_version: &str,
) -> Result<(&'static ProviderInfo, &'static TypeInfo), ArmError> {
    let Some(provider) = find(namespace) else {
        return Err(ArmError::gateway(
            StatusCode::NOT_FOUND,
            "InvalidResourceNamespace",
            format!("The resource namespace '{namespace}' is invalid."),
        ));
    };
    provider
        .types
        .iter()
        .find(|one| one.name.eq_ignore_ascii_case(name))
        .map(|one| (provider, one))
        .ok_or_else(|| {
            ArmError::gateway(
                StatusCode::NOT_FOUND,
                "InvalidResourceType",
                format!(
                    "The resource type '{name}' could not be found in the namespace '{}' for api version '{api_version}'.",
                    provider.namespace
                ),
            )
        })
}

/// `registrationState` of a namespace in a subscription.
pub fn registration_state(
    store: &Store,
    subscription: &str,
    namespace: &str,
    now: Timestamp,
    behaviour: &ArmBehaviour,
) -> &'static str {
    if find(namespace).is_none_or(|provider| provider.always_registered) {
        return "Registered";
    }
    match store.registrations.get(&key(subscription, namespace)) {
        None if behaviour.providers_registered => "Registered",
        None => "NotRegistered",
        Some(registration) => match (registration.registered, registration.since <= now) {
            (true, true) => "Registered",
            (true, false) => "Registering",
            (false, true) => "NotRegistered",
            (false, false) => "Unregistering",
        },
    }
}

fn key(subscription: &str, namespace: &str) -> String {
    format!("{subscription}/{namespace}").to_ascii_lowercase()
}

/// `GET /subscriptions/{s}/providers`.
pub fn list(request: &ArmRequest<'_>, store: &Store, subscription: &str) -> Result<ArmReply, ArmError> {
    access::authorize(
        request,
        store,
        &format!("/subscriptions/{subscription}"),
        "Microsoft.Resources/providers/read",
    )?;
    let items = PROVIDERS
        .iter()
        .map(|provider| render(request, store, Some(subscription), provider))
        .collect();
    Ok(paging::page(request, items))
}

/// `GET /providers`: without a subscription nothing is said about registration.
pub fn list_for_tenant(request: &ArmRequest<'_>, store: &Store) -> ArmReply {
    paging::page(
        request,
        PROVIDERS
            .iter()
            .map(|provider| render(request, store, None, provider))
            .collect(),
    )
}

/// `GET /subscriptions/{s}/providers/{namespace}`.
pub fn get(
    request: &ArmRequest<'_>,
    store: &Store,
    subscription: Option<&str>,
    namespace: &str,
) -> Result<ArmReply, ArmError> {
    if let Some(subscription) = subscription {
        let scope = format!("/subscriptions/{subscription}");
        access::authorize(request, store, &scope, "Microsoft.Resources/providers/read")?;
    }
    let provider = known(namespace)?;
    Ok(ArmReply::ok(render(request, store, subscription, provider)))
}

/// `POST /subscriptions/{s}/providers/{namespace}/register` and `/unregister`.
pub fn change_registration(
    request: &ArmRequest<'_>,
    store: &mut Store,
    subscription: &str,
    namespace: &str,
    register: bool,
) -> Result<ArmReply, ArmError> {
    let provider = known(namespace)?;
    let verb = if register { "register" } else { "unregister" };
    let action = format!("{}/{verb}/action", provider.namespace);
    access::authorize(request, store, &format!("/subscriptions/{subscription}"), &action)?;
    let arm = &request.state.behaviour().arm;
    let current = registration_state(store, subscription, namespace, request.now, arm);
    let done = if register {
        ["Registered", "Registering"]
    } else {
        ["NotRegistered", "Unregistering"]
    };
    if !provider.always_registered && !done.contains(&current) {
        let since = request.now + seconds(arm.registration_seconds);
        store.registrations.insert(
            key(subscription, namespace),
            Registration {
                registered: register,
                since,
            },
        );
    }
    // The answer always shows the transition, even when it takes no time.
    let mut body = render(request, store, Some(subscription), provider);
    if !provider.always_registered && !done.contains(&current) {
        body["registrationState"] = json!(done[1]);
    }
    Ok(ArmReply::ok(body))
}

fn known(namespace: &str) -> Result<&'static ProviderInfo, ArmError> {
    find(namespace).ok_or_else(|| {
        ArmError::gateway(
            StatusCode::NOT_FOUND,
            "InvalidResourceNamespace",
            format!("The resource namespace '{namespace}' is invalid."),
        )
    })
}

fn render(request: &ArmRequest<'_>, store: &Store, subscription: Option<&str>, provider: &ProviderInfo) -> Value {
    let types: Vec<Value> = provider
        .types
        .iter()
        .map(|one| {
            let default = one.versions.iter().find(|version| !version.ends_with("-preview"));
            json!({
                "resourceType": one.name,
                "locations": if one.regional { regions::REGIONS } else { &[] },
                "apiVersions": one.versions,
                "defaultApiVersion": default,
                "capabilities": one.capabilities,
            })
        })
        .collect();
    let mut body = json!({
        "namespace": provider.namespace,
        "resourceTypes": types,
    });
    if let Some(subscription) = subscription {
        let state = registration_state(
            store,
            subscription,
            provider.namespace,
            request.now,
            &request.state.behaviour().arm,
        );
        body["id"] = json!(format!(
            "/subscriptions/{subscription}/providers/{}",
            provider.namespace
        ));
        body["registrationState"] = json!(state);
        body["registrationPolicy"] = json!(if provider.always_registered {
            "RegistrationFree"
        } else {
            "RegistrationRequired"
        });
    }
    body
}
